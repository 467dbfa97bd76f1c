"""Memory that the ranks of a node share: the gradient of each, and how far it is.

A rank writes to its own counters only, after what they tell the others of; a counter grows by 1 from step to step. Loads and stores
of one aligned integer are never torn, and ``Win.Sync`` keeps their order (MPI 4.1, section 12.7).

Legend: N numbers of a gradient; L layers.
"""

from typing import Any

import numpy as np

LINE = 64  # bytes of a line of the cache


class Board:
    """The shared memory of a node.

    Parameters
    ----------
    node : mpi4py.MPI.Intracomm
        Ranks that share memory; making one, and closing it, is collective.
    count : int
        N.
    dtype : dtype
    n_layers : int
        L.

    Attributes
    ----------
    gradients : list of ndarray (N,)
        Of each rank of the node.
    posted, done : list of ndarray of int64 (L,)
        Of each rank: the last step in which its gradient of a layer was complete; in which its segment of the sums was written.
    """

    def __init__(self, node: Any, count: int, dtype: Any, n_layers: int) -> None:
        from mpi4py import MPI

        line = -(-8 * n_layers // LINE) * LINE
        size = 2 * line + np.dtype(dtype).itemsize * count
        self._window = MPI.Win.Allocate_shared(size + LINE, 1, comm=node)
        self._window.Lock_all()
        self.gradients: list[np.ndarray] = []
        self.posted: list[np.ndarray] = []
        self.done: list[np.ndarray] = []
        for rank in range(node.size):
            shared: Any = self._window.Shared_query(rank)[0]
            memory = np.frombuffer(shared, np.uint8)
            memory = memory[-memory.ctypes.data % LINE :][:size]  # pages begin at a multiple of it: in all processes the same place
            self.posted.append(memory[: 8 * n_layers].view(np.int64))
            self.done.append(memory[line:][: 8 * n_layers].view(np.int64))
            self.gradients.append(memory[2 * line :].view(dtype))
        own = node.rank
        self.posted[own][:] = self.done[own][:] = 0
        self.sync()
        node.Barrier()
        self.sync()

    def sync(self) -> None:
        """What was written before can be seen by the others before what is written after; and the other way round for reading."""
        self._window.Sync()

    def close(self) -> None:
        """Give the memory back; nothing may look at it after that."""
        self.gradients, self.posted, self.done = [], [], []
        self._window.Unlock_all()
        self._window.Free()
