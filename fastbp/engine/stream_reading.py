"""Blocks of a stream for whoever computes with them: one reader at a time, and the checks of a part."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from threading import Event, Lock
from typing import Any
from weakref import WeakKeyDictionary

from fastbp.engine import validation
from fastbp.streams import Part, Source
from fastbp.streams.ahead import ReadAhead
from fastbp.streams.blocks import Block, Checked, Epochs
from fastbp.streams.source import names_of

LOCK, _readers = Lock(), WeakKeyDictionary[Source, object]()  # who reads a source now: it has one place in its file

NO_TARGETS = "y must be given with X ({}): make the stream of X and y"
NOTHING_TO_READ = nullcontext()  # one for all: a call that trains by a few samples takes microseconds


def reading(*given: Any) -> AbstractContextManager[None]:
    """A context in which those that are sources are read, and by nobody else; None and arrays are not looked at."""
    for each in given:
        if isinstance(each, Source):
            return _reading([each for each in given if isinstance(each, Source)])
    return NOTHING_TO_READ


@contextmanager
def _reading(sources: list[Source]) -> Iterator[None]:
    with ExitStack() as stack:
        for source in sources:
            stack.enter_context(_reading_one(source))
        yield


@contextmanager
def _reading_one(source: Source) -> Iterator[None]:
    reader = object()
    try:
        with LOCK:
            if _readers.setdefault(source, reader) is not reader:
                raise RuntimeError(
                    "this stream is read by another fit already, or is both that of the samples and that of validation_data: wait"
                    " for its end, or make another one by stream"
                )
        source.begin()
        yield
    finally:
        if _readers.get(source) is reader:  # wherever Ctrl-C came
            try:
                source.end()
            finally:
                del _readers[source]


@contextmanager
def blocks_of(rows: Epochs, first: int, last: int, done: int = 0, halt: Event | None = None) -> Iterator[ReadAhead[Block]]:
    """Blocks of some epochs of a source that is being read, without the first `done` rows, and a thread that reads ahead."""
    source = rows.source
    with ExitStack() as stack:
        blocks = ReadAhead(rows.blocks(first, last, done), source.read_ahead, lambda block: _give_back(source, block), halt)
        stack.callback(blocks.close)
        blocks.start()
        yield blocks


def _give_back(source: Source, block: Block) -> None:
    if block.part is not None:
        source.give_back(block.part)


def require_names(known: Any, names: Any, what: str) -> None:
    """Raise where columns have other names than those of the fit, or another order; where either have none, nothing is known.

    Parameters
    ----------
    known, names : sequence of str or None
        Of the fit, and of what is given.
    what : str
        What an error calls the latter.
    """
    if known is not None and names is not None and list(names) != list(known):
        raise ValueError(f"{what} must be those of the fit, {list(known)[:20]}, got {list(names)[:20]}")


class Checks:
    """The checks of a part, in the thread that reads.

    Parameters
    ----------
    net : Network
    names : sequence of str, optional
        Of the columns that it was trained on.
    """

    def __init__(self, net: Any, names: Any = None) -> None:
        self.net = net
        self._names = names
        self._kinds: Any = None

    def __call__(self, part: Part) -> Checked:
        """Samples, targets of the two kinds, and weights."""
        net, where = self.net, part.where
        if hasattr(part.X, "tocsr"):
            raise TypeError(f"X ({where}) is a sparse matrix, which a stream does not take: give arrays")
        rows = validation.samples(f"X ({where})", part.X, net.sizes[0], net.dtype)
        values, labels = self.targets(part, len(rows))
        weights = validation.NO_WEIGHTS
        if part.weights is not None:
            weights = validation.some_weights(part.weights, len(rows), f"sample_weight ({where})")
        names = names_of(part.X)
        require_names(self._names, names, f"columns of X ({where})")
        kinds = getattr(part.X, "dtype", rows.dtype), names, len(labels) > 0, len(weights) > 0
        if self._kinds is None:
            self._kinds = kinds
        for name, one, other in zip(("X", "columns of X", "y", "sample_weight"), self._kinds, kinds, strict=True):
            if one != other:
                told = [_described(name, each) for each in (other, one)]
                raise ValueError(f"{name} ({where}) {told[0]}, but {told[1]} in the rows before: all must be alike")
        return rows, values, labels, weights

    def targets(self, part: Part, count: int) -> tuple[Any, Any]:
        """Numbers, or class numbers; the other of the two is empty.

        Parameters
        ----------
        part : Part
        count : int
            Of its rows.
        """
        net = self.net
        if part.y is None:
            raise ValueError(NO_TARGETS.format(part.where))
        return validation.targets(f"y ({part.where})", part.y, count, net.sizes[-1], net.loss_function.task, net.dtype)


class ChecksOfInputs(Checks):
    """The same, where targets are not looked at."""

    def __call__(self, part: Part) -> Checked:
        """Samples alone."""
        return super().__call__(part._replace(weights=None))

    def targets(self, part: Part, count: int) -> tuple[Any, Any]:
        """None."""
        return validation.NOTHING[self.net.dtype], validation.NO_LABELS


def _described(name: str, kind: Any) -> str:
    if name == "X":
        return f"is of dtype {kind}"
    if name == "columns of X":
        return "have no names" if kind is None else f"are {kind[:20]}"
    if name == "y":
        return "holds class numbers" if kind else "holds numbers for each output"
    return "is given" if kind else "is not given"
