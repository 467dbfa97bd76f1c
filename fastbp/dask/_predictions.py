"""Predictions of partitions, when they are asked for, and measures of them, at once."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import validate_data

from fastbp.dask._blocks import refuse_other_order, targets, told, weights_of
from fastbp.dask._graph import kept, shared, task, total
from fastbp.dask._table import aligned, in_one_order, with_all_columns


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
    _check_columns(model, X)
    if not hasattr(X, "columns"):
        X = with_all_columns(X)
        shape = {"drop_axis": 1} if columns is None else {"chunks": (X.chunks[0], (len(columns),))}
        meta = np.empty((0,) * (1 if columns is None else 2), dtype)
        return X.map_blocks(_of_block, shared(model), method, dtype, columns, dtype=dtype, meta=meta, **shape)
    meta = _of_frame(X._meta, model, method, dtype, columns)
    return in_one_order(X).map_partitions(_of_frame, shared(model), method, dtype, columns, meta=meta)


def _check_columns(model: Any, X: Any) -> None:
    """Raise for other columns than those of the fit."""
    is_frame = hasattr(X, "columns")
    if is_frame or not np.isnan(X.shape[1]):  # else how many there are is seen in each block
        validate_data(model, X._meta if is_frame else np.empty((1, X.shape[1])), reset=False, skip_check_array=True)


def _of_block(X: Any, model: Any, method: str, dtype: Any, columns: Any) -> Any:
    if X.shape[0] == 0:
        return np.empty(0 if columns is None else (0, len(columns)), dtype)
    return getattr(model, method)(X).astype(dtype, copy=False)


def _of_frame(X: Any, model: Any, method: str, dtype: Any, columns: Any) -> Any:
    import pandas

    found = _of_block(X, model, method, dtype, columns)
    return pandas.Series(found, X.index) if columns is None else pandas.DataFrame(found, X.index, columns)


@contextmanager
def _named(k: int) -> Iterator[None]:
    """A context in which errors name partition k."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"partition {k} {told(error)}") from error


def compared(model: Any, X: Any, y: Any, weights: Any, k: int) -> tuple[Any, ...]:
    """(predictions, y, weights), of partition k, of which y and weights are looked at as `fit` does; None if it is empty."""
    lengths = {len(each) for each in (y, weights) if each is not None} | {X.shape[0]}
    if len(lengths) > 1:
        raise ValueError(f"partition {k} has {X.shape[0]} rows of X, but {len(y)} of y, or another number of weights")
    if lengths == {0}:
        return None, None, None
    with _named(k):
        refuse_other_order({"X": X, "y": y, "sample_weight": weights})
        y = targets(model, y)
        weights = np.ones(len(y)) if weights is None else weights_of(weights, len(y))
        found = model.predict(X)
        if y.shape != found.shape:
            raise ValueError(f"y has {_width(y)} columns, but predictions have {_width(found)}")
    return found, y, weights


def _width(array: Any) -> int:
    return 1 if array.ndim == 1 else int(array.shape[1])


def score(model: Any, measure: Any, X: Any, y: Any, sample_weight: Any) -> float:
    """A measure of all partitions, from what `compared` gives of each."""
    kind = type(model).__name__
    lists = aligned({"X": X, "y": y, "sample_weight": sample_weight}, kind)
    _check_columns(model, X)
    known = shared(model)
    value: float = measure(kept([task(compared, known, *each, k) for k, each in enumerate(lists)]))
    return value


def _whole(count: int, weight: float) -> float:
    """The weight of all samples, if there are any."""
    if count == 0:
        raise ValueError("X has no rows: all of its partitions are empty")
    if weight == 0.0:
        raise ValueError("sample_weight must not be all zero")
    return weight


def accuracy(pairs: list[Any]) -> float:
    """The weight of rows that are right, by that of all."""
    right, count, weight = total([task(_right, pair, k) for k, pair in enumerate(pairs)])
    return float(right / _whole(count, weight))


def _right(pair: Any, k: int) -> tuple[Any, ...]:
    found, y, weights = pair
    if y is None or not weights.any():
        return 0.0, 0 if y is None else len(y), 0.0
    with _named(k):
        return float(accuracy_score(y, found, sample_weight=weights, normalize=False)), len(y), float(weights.sum())


def r2(pairs: list[Any]) -> float:
    """R^2, the mean over the outputs; of one whose targets are all equal 1 if it is met exactly, else 0."""
    sums, count, weight = total([task(_sums, pair) for pair in pairs])
    mean = shared(sums / _whole(count, weight))
    if count < 2:
        warnings.warn("R^2 is not defined for less than two samples.", UndefinedMetricWarning, stacklevel=4)
        return float("nan")
    errors, spread = total([task(_squares, pair, mean) for pair in pairs])
    exact = (errors == 0).astype(np.float64)
    return float(np.mean(np.where(spread > 0, 1 - errors / np.where(spread > 0, spread, 1.0), exact)))


def _sums(pair: Any) -> tuple[Any, ...]:
    _, y, weights = pair
    return (0.0, 0, 0.0) if y is None else (weights @ y, len(y), float(weights.sum()))


def _squares(pair: Any, mean: Any) -> tuple[Any, ...]:
    found, y, weights = pair
    return (0.0, 0.0) if y is None else (weights @ (found - y) ** 2, weights @ (y - mean) ** 2)
