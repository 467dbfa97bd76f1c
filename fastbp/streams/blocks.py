"""Blocks of whole mini-batches, in the order of an epoch."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastbp.kernels.train import draw_order
from fastbp.streams.source import Part, Source, Span

MOST = (1 << 31) - 1  # that an order numbers

Checked = tuple[Any, Any, Any, Any]  # samples, targets that are numbers, class numbers, weights: arrays, empty if there are none
Check = Callable[[Part], Checked]


class Block(NamedTuple):
    """Rows of an epoch from `first` on, which have been checked."""

    data: Checked
    order: np.ndarray  # int32: in which they are visited
    epoch: int
    first: int
    is_last: bool
    part: Part | None  # whose memory is given back

    @property
    def last(self) -> int:
        """Row of the epoch that it ends before."""
        return self.first + len(self.order)


class Orders:
    """Orders of a shuffled stream: functions of a seed, the epoch and the place in it.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def over_all(self, count: int, epoch: int) -> np.ndarray:
        """Of so many rows, chunks or row groups, all there are."""
        return drawn(count, self.seed, epoch)

    def within(self, count: int, epoch: int, number: int) -> np.ndarray:
        """Of the rows of a block, the one of that number."""
        return drawn(count, seed_of_block(self.seed, epoch, number), 0)


class Epochs:
    """Blocks of the epochs range(first, last), one after another.

    Parameters
    ----------
    source : Source
    check : callable
        Takes a `Part`, gives `Checked`, or raises.
    batch : int
        Samples of a mini-batch.
    orders : Orders, optional
        Without, rows keep theirs.
    """

    def __init__(self, source: Source, check: Check, batch: int, orders: Orders | None) -> None:
        self.source, self.check, self.batch, self.orders = source, check, batch, orders
        self.n_rows = source.n_rows  # or, after the first epoch, as many as there were in it

    def blocks(self, first: int, last: int, done: int) -> Iterator[Block]:
        """All of them, without the first `done` rows."""
        for epoch in range(first, last):
            yield from (self._addressed if self.source.chunk_rows else self._sequential)(epoch, done)
            done = 0

    # --- rows that are addressed -----------------------------------------------------------------------------------------

    def _addressed(self, epoch: int, done: int) -> Iterator[Block]:
        source, n_rows = self.source, self.n_rows
        chunk_rows, row_bytes = source.chunk_rows, source.row_bytes
        if n_rows is None or chunk_rows is None or row_bytes is None:
            raise TypeError(f"{type(source).__name__} must set n_rows and row_bytes, as it has chunk_rows")
        size = source.block_of(self.batch, row_bytes)
        chunks = None
        if self.orders is not None:
            chunks = _Chunks(n_rows, chunk_rows, self.orders.over_all(-(-n_rows // chunk_rows), epoch))
        for begin in range(done, n_rows, size):
            # as an expression, so that nothing here holds a block while the next one is read
            yield self._block_of(chunks, epoch, begin, min(begin + size, n_rows), begin // size)

    def _block_of(self, chunks: "_Chunks | None", epoch: int, begin: int, end: int, number: int) -> Block:
        """The rows at the places from `begin` to before `end` of an epoch."""
        order = rows_in_order(end - begin)
        part: Part | None
        if chunks is None or self.orders is None:
            data, part = self._read([(begin, end)])
        elif chunks.size == 1:
            data, part = self._take(chunks.order[begin:end])
        else:
            data, part = self._read(chunks.spans(begin, end))
            order = self.orders.within(end - begin, epoch, number)
        if (
            part is not None and isinstance(part.X, np.ndarray) and not np.may_share_memory(part.X, data[0])
        ):  # it has been converted
            self.source.give_back(Part(part.X, None, None, part.where))
            part = None
        return Block(data, order, epoch, begin, end == self.n_rows, part)

    def _read(self, spans: list[Span]) -> tuple[Checked, Part]:
        part = self.source.read(spans)
        try:
            return self.check(part), part
        except (ValueError, TypeError):
            if len(spans) > 1:  # which of them it was
                for span in spans:
                    self.check(self.source.read([span]))
            raise

    def _take(self, rows: np.ndarray) -> tuple[Checked, Part]:
        part = self.source.take(rows)
        try:
            return self.check(part), part
        except (ValueError, TypeError):
            for k in range(len(rows) if len(rows) > 1 else 0):
                self.check(self.source.take(rows[k : k + 1]))
            raise

    # --- parts that come one after another ---------------------------------------------------------------------------------

    def _sequential(self, epoch: int, done: int) -> Iterator[Block]:
        order = None if self.orders is None else partial(self.orders.over_all, epoch=epoch)
        filling, count, first, room = None, 0, done, 0
        parts = self.source.parts(epoch, order)
        try:
            for part, data in self._beyond(parts, done):
                size = len(data[0])
                if room == 0:
                    room = self.source.block_of(self.batch, data[0].nbytes // size)
                begin = 0
                while begin < size:
                    if count == room:  # not before there is another row: the last block is told from the others
                        yield self._block(filling, count, epoch, first, room, is_last=False)
                        filling, first, count = None, first + count, 0
                    filling = _like(data, room if self.n_rows is None else min(room, self.n_rows)) if filling is None else filling
                    taken = min(size - begin, room - count)
                    if self.n_rows is not None and first + count + taken > self.n_rows:
                        raise ValueError(f"{part.where}: there are more rows than the {self.n_rows} of {self._origin()}")
                    for target, values in zip(filling, data, strict=True):
                        if len(values):
                            target[count : count + taken] = values[begin : begin + taken]
                    begin, count = begin + taken, count + taken
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        total = first + count
        if count == 0:
            raise ValueError(f"X gave no rows in epoch {epoch + 1}: give at least one part that is not empty")
        if self.n_rows is not None and total != self.n_rows:
            raise ValueError(f"X ended in epoch {epoch + 1} after {total} rows: there are {self.n_rows} by {self._origin()}")
        self.n_rows = total
        yield self._block(filling, count, epoch, first, room, is_last=True)

    def _origin(self) -> str:
        return "n_rows" if self.source.n_rows is not None else "the first epoch"

    def _beyond(self, parts: Iterator[Part], done: int) -> Iterator[tuple[Part, Checked]]:
        """Parts that have rows, checked, without the first `done` rows."""
        passed = 0
        for part in parts:
            if hasattr(part.X, "shape") and part.X.shape[:1] == (0,):
                continue
            data = self.check(part)
            size = len(data[0])
            skipped = min(max(done - passed, 0), size)
            passed += size
            if skipped < size:
                yield part, tuple(values[skipped:] if len(values) else values for values in data)

    def _block(self, filling: Any, count: int, epoch: int, first: int, room: int, *, is_last: bool) -> Block:
        order = rows_in_order(count)
        if self.orders is not None:
            order = self.orders.within(count, epoch, first // room)
        data = tuple(values[:count] if len(values) else values for values in filling)
        return Block(data, order, epoch, first, is_last, None)


class _Chunks:
    """Chunks of rows in the order of an epoch, as one line of rows."""

    def __init__(self, n_rows: int, size: int, order: np.ndarray) -> None:
        self.order, self.size, self._n_rows = order, size, n_rows
        if size > 1:
            sizes = np.full(len(order), size, np.int64)
            sizes[order == len(order) - 1] = n_rows - size * (len(order) - 1)
            self._ends = np.cumsum(sizes)

    def spans(self, begin: int, end: int) -> list[Span]:
        """Rows from place `begin` to before `end` of the line."""
        found, place = [], begin
        chunk = int(np.searchsorted(self._ends, begin, side="right"))
        while place < end:
            number, stop = int(self.order[chunk]), min(end, int(self._ends[chunk]))
            length = min(self.size, self._n_rows - number * self.size)
            first = number * self.size + place - (int(self._ends[chunk]) - length)
            found.append((first, first + stop - place))
            place, chunk = stop, chunk + 1
        return found


def drawn(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of a shuffled epoch of so many rows, as a fit draws it."""
    if count > MOST:
        raise ValueError(f"{count} rows or chunks cannot be shuffled, {MOST} can: choose larger chunk_rows, or shuffle=False")
    order = np.empty(count, np.int32)
    draw_order["float32"](order, seed, epoch)
    return order


def rows_in_order(count: int) -> np.ndarray:
    """0, 1, 2, ... as kernels read them."""
    return np.arange(count, dtype=np.int32)


def seed_of_block(seed: int, epoch: int, number: int) -> int:
    """Of the order within a block, a number below 2^63."""
    return int(np.random.SeedSequence([seed, epoch, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _like(data: Checked, room: int) -> list[np.ndarray]:
    """Room for so many rows of the kinds of some."""
    return [np.empty((room, *values.shape[1:]), values.dtype) if len(values) else values for values in data]
