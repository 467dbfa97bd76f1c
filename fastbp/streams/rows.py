"""A sequence of samples as a source: what has ``__len__`` and gives (x, y) by a number, as the data sets of PyTorch."""

from typing import Any

import numpy as np

from fastbp.streams.source import Part, Source, Span, where


class Rows(Source):
    """Samples by their numbers."""

    def __init__(self, samples: Any, chunk_rows: int | None) -> None:
        self._samples, self.n_rows = samples, len(samples)
        if not self.n_rows:
            raise ValueError("X is empty: it has a length of 0")
        self.chunk_rows = chunk_rows or 1
        self._name = type(samples).__name__
        self.row_bytes = np.asarray(self.take(np.zeros(1, np.int64)).X).nbytes

    def read(self, spans: list[Span]) -> Part:
        """Rows of spans."""
        return self.take(np.concatenate([np.arange(first, last) for first, last in spans]))

    def take(self, rows: np.ndarray) -> Part:
        """Samples one by one, or by ``__getitems__``, where there is one."""
        numbers, name = rows.tolist(), where(self._name, int(rows.min()), int(rows.max()) + 1)
        many = getattr(self._samples, "__getitems__", None)
        samples = [self._samples[number] for number in numbers] if many is None else list(many(numbers))
        if len(samples) != len(numbers):
            raise ValueError(f"{name}: asked for {len(numbers)} samples, __getitems__ gave {len(samples)}")
        widths = {len(sample) if isinstance(sample, tuple | list) else 0 for sample in samples}
        if widths not in ({2}, {3}):
            raise TypeError(f"{name} must be tuples (x, y), or all of them (x, y, weight)")
        X, y, *weights = zip(*samples, strict=True)
        return Part(_stacked("x", X, name), _stacked("y", y, name), _stacked("weight", weights[0], name) if weights else None, name)


def _stacked(what: str, values: Any, name: str) -> np.ndarray:
    try:
        arrays = [np.asarray(value) for value in values]
    except (ValueError, TypeError, RuntimeError) as error:  # the latter of PyTorch
        raise TypeError(f"{name}: {what} cannot be made an array: {error}") from error
    shapes, kinds = {array.shape for array in arrays}, {array.dtype for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"{name}: {what} must have one shape, got {' and '.join(map(str, sorted(shapes)[:2]))}")
    if len(kinds) > 1 and any(kind.kind not in "biuf" for kind in kinds):
        raise ValueError(f"{name}: {what} must have one dtype, got {' and '.join(sorted(map(str, kinds))[:2])}")
    return np.stack(arrays)
