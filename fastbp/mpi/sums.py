"""The sum of a gradient over all ranks, layer by layer, while the gradient of the next layer is computed.

A layer's numbers are divided among the n ranks of a node: each adds up its segment over the node, sums that with the ranks of the
other nodes that have the same segment, and writes it into the gradients of all n. So every number is read and written once by each
rank and crosses the network twice, as in the best of the algorithms for Allreduce (Thakur et al., 2005), whatever MPI does.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.mpi.board import Board
from fastbp.mpi.pairs import sum_in_pairs

if TYPE_CHECKING:
    from fastbp.mpi.ranks import Ranks


class Sums:
    """Sums of gradients that lie in `gradient`.

    Parameters
    ----------
    ranks : Ranks
        That have begun; to make one, and to close it, is collective.
    count : int
        Numbers of a gradient.
    dtype : dtype
    regions : list of slice
        Of each layer.

    Attributes
    ----------
    gradient : ndarray (count,)
        Where this rank's is, and then the sum.
    """

    def __init__(self, ranks: "Ranks", count: int, dtype: Any, regions: list[slice]) -> None:
        self._ranks, self._regions = ranks, regions
        self._board = Board(ranks.node, count, dtype, len(regions))
        self._member, self._step = ranks.node.rank, 0
        self.gradient = self._board.gradients[self._member]
        self._open: list[Iterator[None]] = []
        # one for each layer: collective calls on one communicator come in the same order on all ranks, layers do not
        self._across = [ranks.across.Dup() for _ in regions] if ranks.across.size > 1 else []

    def begin(self) -> None:
        """A step begins."""
        self._step += 1

    def ready(self, layer: int) -> None:
        """Of a layer the gradient of this rank is complete: its sum may begin."""
        self._board.sync()
        self._board.posted[self._member][layer] = self._step
        self._open.append(self._of_layer(layer))
        self._advance()

    def finish(self) -> None:
        """Wait until the sums of all layers that were ready are in the gradient.

        Raises
        ------
        RankError
            Where another rank has stopped, or does not answer.
        """
        self._ranks.wait(self._advance)
        self._board.sync()

    def close(self) -> None:
        """Give the memory back."""
        self.gradient = np.zeros(0)
        self._open = []
        if not self._ranks.is_lost:
            self._board.close()
            for each in self._across:
                each.Free()

    def _advance(self) -> bool:
        """Do what can be done without waiting; whether that is all."""
        done = object()
        self._open = [each for each in self._open if next(each, done) is not done]
        return not self._open

    def _of_layer(self, layer: int) -> Iterator[None]:
        """Sum a layer; gives way where something has not come yet."""
        board, step, region = self._board, self._step, self._regions[layer]
        members, count = len(board.gradients), region.stop - region.start
        while not all(posted[layer] >= step for posted in board.posted):
            yield
        board.sync()
        own = slice(region.start + count * self._member // members, region.start + count * (self._member + 1) // members)
        segments = [gradient[own] for gradient in board.gradients]
        total = sum_in_pairs(segments)
        if self._across:
            yield from self._between_nodes(self._across[layer], total)
        for segment in segments:
            if segment is not total:
                segment[:] = total
        board.sync()
        board.done[self._member][layer] = step
        while not all(done[layer] >= step for done in board.done):
            yield

    def _between_nodes(self, across: Any, total: np.ndarray) -> Iterator[None]:
        """Sum a segment over the nodes, in its place."""
        nodes = across.size
        if self._ranks.parts is None:
            from mpi4py import MPI

            request = across.Iallreduce(MPI.IN_PLACE, total)
            while not request.Test():
                yield
            return
        # in one order, whatever MPI does: each node adds up a part of the segment
        bounds = [total.size * node // nodes for node in range(nodes + 1)]
        counts = np.diff(bounds)
        mine = slice(bounds[across.rank], bounds[across.rank + 1])
        parts = np.empty((nodes, mine.stop - mine.start), total.dtype)
        request = across.Ialltoallv([total, (counts, bounds[:-1])], [parts, [parts.shape[1]] * nodes])
        while not request.Test():
            yield
        part = sum_in_pairs(parts)
        request = across.Iallgatherv(np.array(part), [total, (counts, bounds[:-1])])
        while not request.Test():
            yield
