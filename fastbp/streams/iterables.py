"""Parts that come one after another: an iterable of (X, y), or a function that gives one for each epoch."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from fastbp.streams.source import Part, Source


class Iterables(Source):
    """Parts of an iterable."""

    def __init__(self, parts: Any, n_rows: int | None) -> None:
        self._parts, self.n_rows, self._has_begun = parts, n_rows, False
        if not callable(parts) and not hasattr(parts, "__iter__"):
            raise TypeError(
                f"X must be arrays with y, a data set, an iterable of parts (X, y), or a function, got {type(parts).__name__}"
            )
        self._name = getattr(parts, "__name__", type(parts).__name__)
        self._is_once = not callable(parts) and iter(parts) is parts
        self._seen: Any = None  # an iterator, and what `look` has taken of it

    def parts(self, epoch: int, order: Any) -> Iterator[Part]:
        """Those of an epoch, as they come."""
        iterator, taken = self._seen or (self._iterator(), [])
        self._seen = None
        try:
            for number, item in enumerate(chain(taken, iterator)):
                yield self._part(item, number, epoch)
        finally:
            self._close(iterator)

    def look(self) -> Part:
        """The first part that has rows; it is kept for the next epoch, as the iterator may not give it again."""
        iterator, taken = self._seen or (self._iterator(), [])
        self._seen = iterator, taken
        for number, item in enumerate(chain(list(taken), iterator)):
            if number == len(taken):
                taken.append(item)
            part = self._part(item, number, 0)
            if len(part.X):
                return part
        raise ValueError(f"X ({self._name}) gave no rows: give at least one part that is not empty")

    def targets(self) -> Iterator[tuple[Any, str]]:
        """Of a pass of its own, which an iterator does not have to give."""
        if self._is_once:
            raise ValueError(
                f"X is an iterator ({self._name}), which is at its end after one epoch, and classes are not looked for in it: give"
                " classes=, or a list, or a function that makes an iterator for each epoch"
            )
        return super().targets()

    def end(self) -> None:
        """Nobody asks for what `look` has kept; of an iterator it stays, which has it for the next time only."""
        if self._seen and not self._is_once:
            self._close(self._seen[0])
            self._seen = None

    def _iterator(self) -> Iterator[Any]:
        if self._is_once and self._has_begun:
            raise ValueError(
                f"X is an iterator ({self._name}), which is at its end after one epoch: give a list, or a function that makes an"
                " iterator for each epoch"
            )
        self._has_begun = True
        if not callable(self._parts):
            return iter(self._parts)
        parts = self._parts()
        if not hasattr(parts, "__iter__"):
            raise TypeError(f"X ({self._name}) must return an iterable of parts (X, y), got {type(parts).__name__}")
        return iter(parts)

    def _close(self, iterator: Any) -> None:
        close = getattr(iterator, "close", None)
        if close is not None and iterator is not self._parts:
            close()

    def _part(self, item: Any, number: int, epoch: int) -> Part:
        name = f"part {number} of {self._name}" + (f" in epoch {epoch + 1}" if epoch else "")
        if not isinstance(item, tuple | list) or len(item) not in (2, 3):
            raise TypeError(f"{name} must be a tuple (X, y) or (X, y, sample_weight), got {type(item).__name__}")
        if getattr(item[0], "ndim", 2) == 1 and np.ndim(item[1]) == 0:
            raise TypeError(
                f"{name} is a single sample: give parts of many rows each, as torch.utils.data.DataLoader(data, batch_size=1000)"
                " makes them of samples"
            )
        return Part(item[0], item[1], item[2] if len(item) == 3 else None, name)
