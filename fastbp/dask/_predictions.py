"""Predictions of partitions, when they are asked for, and measures of them, at once."""

from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from fastbp.dask._graph import kept, shared, task, total
from fastbp.dask._table import aligned


def of(model: Any, method: str, X: Any, dtype: Any, columns: Any) -> Any:
    """A collection like X of what a method of `model` gives for each of its partitions.

    Parameters
    ----------
    model : MLPClassifier or MLPRegressor
        Of `fastbp.estimators`; each worker is sent it once.
    method : str
    X : array or DataFrame of Dask
    dtype : dtype
    columns : list or None
        Of the result; None: it has one dimension.
    """
    if X.ndim != 2:
        raise ValueError(f"X must have two dimensions, got {X.ndim}")
    is_frame = hasattr(X, "columns")
    validate_data(model, X._meta if is_frame else np.empty((1, X.shape[1])), reset=False, skip_check_array=True)
    if not is_frame:
        X = X.rechunk({1: -1})
        shape = {"drop_axis": 1} if columns is None else {"chunks": (X.chunks[0], (len(columns),))}
        meta = np.empty((0,) * (1 if columns is None else 2), dtype)
        return X.map_blocks(_of_block, shared(model), method, dtype, columns, dtype=dtype, meta=meta, **shape)
    meta = _of_frame(X._meta, model, method, dtype, columns)
    return X.map_partitions(_of_frame, shared(model), method, dtype, columns, meta=meta)


def _of_block(X: Any, model: Any, method: str, dtype: Any, columns: Any) -> Any:
    if len(X) == 0:
        return np.empty(0 if columns is None else (0, len(columns)), dtype)
    return getattr(model, method)(X).astype(dtype, copy=False)


def _of_frame(X: Any, model: Any, method: str, dtype: Any, columns: Any) -> Any:
    import pandas

    found = _of_block(X, model, method, dtype, columns)
    return pandas.Series(found, X.index) if columns is None else pandas.DataFrame(found, X.index, columns)


def compared(model: Any, X: Any, y: Any, weights: Any, k: int) -> tuple[Any, ...]:
    """(predictions, y, weights), of one partition."""
    y, weights = (each.to_numpy() if hasattr(each, "to_numpy") else each for each in (y, weights))
    if not len(X) == len(y) == (len(X) if weights is None else len(weights)):
        raise ValueError(f"partition {k} has {len(X)} rows of X, but {len(y)} of y, or another number of weights")
    weights = np.ones(len(X)) if weights is None else np.asarray(weights, np.float64)
    if len(X) == 0:
        return np.empty(0), np.empty(0), weights
    found = model.predict(X)
    return found, np.asarray(y).reshape(found.shape), weights


def score(model: Any, measure: Any, X: Any, y: Any, sample_weight: Any) -> float:
    """A measure of all partitions, from what `compared` gives of each."""
    kind = type(model).__name__
    lists = aligned({"X": X, "y": y, "sample_weight": sample_weight}, kind)
    known = shared(model)
    value: float = measure(kept([task(compared, known, *each, k) for k, each in enumerate(lists)]))
    return value


def accuracy(pairs: list[Any]) -> float:
    """The weight of rows that are right, by that of all."""
    right, whole = total([task(_right, pair) for pair in pairs])
    return float(right / whole)


def _right(pair: Any) -> tuple[Any, ...]:
    found, y, weights = pair
    is_right = found == y
    return float(weights @ (is_right if is_right.ndim == 1 else is_right.all(axis=1))), float(weights.sum())


def r2(pairs: list[Any]) -> float:
    """R^2, the mean over the outputs; of one whose targets are all equal 1 if it is met exactly, else 0."""
    whole, sums = total([task(_sums, pair) for pair in pairs])
    mean = shared(sums / whole)
    errors, spread = total([task(_squares, pair, mean) for pair in pairs])
    exact = (errors == 0).astype(np.float64)
    return float(np.mean(np.where(spread > 0, 1 - errors / np.where(spread > 0, spread, 1.0), exact)))


def _sums(pair: Any) -> tuple[Any, ...]:
    _, y, weights = pair
    return float(weights.sum()), weights @ y if len(y) else 0.0


def _squares(pair: Any, mean: Any) -> tuple[Any, ...]:
    found, y, weights = pair
    return (weights @ (found - y) ** 2, weights @ (y - mean) ** 2) if len(y) else (0.0, 0.0)
