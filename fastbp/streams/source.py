"""What a source of blocks is: rows that are addressed, or parts that come one after another."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

BLOCK_BYTES = 1 << 25  # of the inputs of a block
CHUNKS = 16  # of a block, where rows are not drawn one by one
CHANGED = "{} has changed while it was read: wait until it is complete, then train anew"

Span = tuple[int, int]  # rows from the first to before the second


class Part(NamedTuple):
    """Some rows, as they were read; what a `Source` of your own gives.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> part = fastbp.streams.Part(np.zeros((2, 3)), np.zeros(2), None, "rows 0 to 1 of the file")
    >>> part.X.shape, part.where
    ((2, 3), 'rows 0 to 1 of the file')
    """

    X: Any
    y: Any  # or None: they can be predicted, and not be trained on
    weights: Any  # or None
    where: str  # what errors call them, as "rows 0 to 99 of X.npy"


class Source:
    """Rows that are read in blocks: what `stream` gives, and base of sources of your own.

    A subclass has `parts`, or sets `chunk_rows` and `n_rows` and has `read` and `take`. All are called in one thread, which is not
    the one that trains, but never in two at the same time.

    Attributes
    ----------
    n_rows : int or None
        Rows of an epoch, if they are known.
    chunk_rows : int or None
        Where rows can be addressed: those that a shuffled epoch reads in one go; else None.
    row_bytes : int or None
        Of the inputs of a row, if that is known before a row is read.
    block_rows : int or None
        Rows of a block that were asked for.
    read_ahead : int
        Blocks that are read while one is in use.
    names : list of str or None
        Of the columns of `X`, where they have some.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> class Waves(fastbp.streams.Source):
    ...     n_rows = 200
    ...
    ...     def parts(self, epoch, order):
    ...         for first in range(0, 200, 50):
    ...             x = np.arange(first, first + 50)[:, None] / 200
    ...             yield fastbp.streams.Part(x, np.sin(6 * x), None, f"rows {first} to {first + 49} of the waves")
    >>> net = fastbp.Network([1, 8, 1], rng=0)
    >>> len(net.fit(Waves(), epochs=2).loss)
    2
    """

    n_rows: int | None = None
    chunk_rows: int | None = None
    row_bytes: int | None = None
    block_rows: int | None = None
    read_ahead: int = 1
    names: list[str] | None = None

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """Not of a stream: what takes arrays says so in one sentence, scikit-learn's searches and scalers too."""
        raise TypeError("a stream is no array: give X and y themselves to what takes arrays only, as searches and pipelines do")

    def begin(self) -> None:
        """A training begins: what is read from now on must not change before its end."""

    def end(self) -> None:
        """It is over: files may be closed."""

    def read(self, spans: list[Span]) -> Part:
        """The rows of some spans, one after another.

        Parameters
        ----------
        spans : list of (int, int)
            Each from the first row to before the second.
        """
        raise NotImplementedError

    def take(self, rows: np.ndarray) -> Part:
        """Single rows.

        Parameters
        ----------
        rows : ndarray of int
        """
        raise NotImplementedError

    def parts(self, epoch: int, order: Any) -> Iterator[Part]:
        """All rows of an epoch, in parts of any length.

        Parameters
        ----------
        epoch : int
            From 0.
        order : callable or None
            ``order(count)`` draws a permutation for this epoch, an array of int; None: the rows are not to be shuffled.
        """
        raise NotImplementedError

    def look(self) -> Part:
        """Some rows, one at least, by which widths and dtypes are told. They come again in the epoch that is read next."""
        if self.chunk_rows:
            return self.read([(0, 1)])
        part = next((part for part in self.parts(0, None) if len(part.X)), None)
        if part is None:
            raise ValueError("X gave no rows: give at least one part that is not empty")
        return part

    def targets(self) -> Iterator[tuple[Any, str]]:
        """All targets, in parts, each with what errors call it; inputs are read where targets are not without them."""
        if not self.chunk_rows or self.n_rows is None:
            yield from ((part.y, part.where) for part in self.parts(0, None))
            return
        size = self.block_of(1, self.row_bytes or 1)
        for first in range(0, self.n_rows, size):
            part = self.read([(first, min(first + size, self.n_rows))])
            yield part.y, part.where
            self.give_back(part)

    def give_back(self, part: Part) -> None:
        """Nobody needs the arrays of a part any more, which `read` or `take` gave.

        Parameters
        ----------
        part : Part
        """

    def describe(self) -> str:
        """What tells a source from one with which an interrupted run cannot go on."""
        return f"{type(self).__name__} {self.n_rows} {self.block_rows} {self.chunk_rows}"

    def block_of(self, batch: int, row_bytes: int) -> int:
        """Rows of a block: whole mini-batches.

        Parameters
        ----------
        batch : int
        row_bytes : int
        """
        wanted = self.block_rows or max(1, BLOCK_BYTES // max(1, row_bytes))
        return max(1, wanted // batch) * batch


def names_of(X: Any) -> list[str] | None:
    """Of the columns of a DataFrame, if all are words; None for anything else."""
    names = getattr(X, "columns", None)
    return list(names) if names is not None and all(isinstance(name, str) for name in names) else None


def where(name: str, first: int, last: int) -> str:
    """What errors call rows from `first` to before `last`."""
    return f"row {first} of {name}" if last - first == 1 else f"rows {first} to {last - 1} of {name}"


def state_of(file: Any) -> tuple[int, int] | None:
    """Size of a file, by its path or number, and when it was changed; None if there is none."""
    if file is None:
        return None
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
