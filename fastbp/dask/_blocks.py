"""Partitions as they come, on the workers: their checks, what is told of each, and the samples that are made of them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight

from fastbp.dask._part import Part
from fastbp.engine.validation import some_weights, with_finite_sums
from fastbp.estimators import _checks, _labels
from fastbp.estimators._training_data import TrainingData

PRECISIONS = (np.float64, np.float32)


@dataclass
class Facts:
    """What is told of a partition.

    Attributes
    ----------
    lengths : dict
        Of what is given: "X", "y" and "sample_weight".
    columns : list
        Names of those of X, or their numbers.
    dtypes : list of str
        Of the columns of X, each once for arrays.
    n_targets : int
        Columns of y; 0: it has one dimension.
    labels : ndarray or None
        Of a classifier, in order, and how often there is each: `counts`.
    error : str
        What is wrong; empty if nothing is.
    """

    lengths: dict[str, int]
    columns: list[Any] = field(default_factory=list)
    dtypes: list[str] = field(default_factory=list)
    n_targets: int = 0
    labels: Any = None
    counts: Any = None
    error: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not any(self.lengths.values())


@dataclass
class Block:
    """Arrays of a partition, checked as far as one partition tells, and the facts."""

    facts: Facts
    X: Any = None
    y: Any = None
    weights: Any = None

    def __sizeof__(self) -> int:
        return sum(getattr(array, "nbytes", 0) for array in (self.X, self.y, self.weights))


def facts_of(block: Block) -> Facts:
    """The facts of a block."""
    return block.facts


def load(model: Any, X: Any, y: Any, weights: Any) -> Block:
    """A partition in memory; what is wrong with it is in its facts.

    Parameters
    ----------
    model : MLPClassifier or MLPRegressor
        Of `fastbp.estimators`, with the parameters of the fit.
    X, y, weights : arrays or DataFrames
    """
    given = {"X": X, "y": y} | ({} if weights is None else {"sample_weight": weights})
    for name, value in given.items():
        if not hasattr(value, "__len__") or not hasattr(value, "shape"):
            return Block(Facts({}, error=f"holds a {type(value).__name__} of {name}, and no array"))
        if hasattr(value, "tocsr"):
            advice = "make it dense, as by X.map_blocks(lambda part: part.toarray())"
            return Block(Facts({}, error=f"holds a sparse matrix of {name}: {advice}"))
    facts = Facts({name: len(value) for name, value in given.items()})
    facts.columns, facts.dtypes = _columns(X)
    if facts.is_empty or len(set(facts.lengths.values())) > 1:
        return Block(facts)
    try:
        refuse_other_order(given)
        X, y = _matrix(X), targets(model, y)
        weights = None if weights is None else weights_of(weights, len(X))
        facts.n_targets = 0 if y.ndim == 1 else y.shape[1]
        if is_classifier(model) and y.ndim == 2:
            _labels.refuse_other_than_sets(y)
        elif is_classifier(model):
            facts.labels, facts.counts = np.unique(y, return_counts=True)
            if y.dtype.kind == "f" and (between := facts.labels != np.floor(facts.labels)).any():
                raise ValueError(f"y holds {facts.labels[between][0]:g}, which is a number and no class: take MLPRegressor")
    except (TypeError, ValueError) as error:
        facts.error = told(error)
        return Block(facts)
    return Block(facts, X, y, weights)


def told(error: Exception) -> str:
    """What is wrong with a partition, in one line."""
    return f"cannot be used: {str(error).splitlines()[0]}"  # below it there are samples, or advice on estimators of others


def _plain(value: Any) -> Any:
    return value.to_numpy() if hasattr(value, "to_numpy") else value


def in_order(frame: Any, columns: list[Any]) -> Any:
    """A DataFrame with its columns in this order; one of others as it is."""
    present = list(getattr(frame, "columns", columns))
    is_other = present != columns and len(set(present)) == len(present) == len(columns) and set(present) == set(columns)
    return frame[columns] if is_other else frame


def refuse_other_order(given: dict[str, Any]) -> None:
    """Raise where the rows of a partition of DataFrames are the same by their index, but in another order."""
    indexes = {name: value.index for name, value in given.items() if hasattr(value, "iloc")}
    if "X" not in indexes:
        return
    own = indexes.pop("X")
    for name, other in indexes.items():
        is_like = (len(own), own.nlevels) == (len(other), other.nlevels)
        if is_like and not own.equals(other) and own.isin(other).all() and other.isin(own).all():
            raise ValueError(
                f"{name} has the rows of X, by their index, in another order; if they belong together as they stand, give"
                " arrays, as by to_dask_array()"
            )


def weights_of(weights: Any, count: int) -> Any:
    """Weights of the samples of a partition, as an array."""
    return some_weights(_plain(weights), count, "sample_weight")


def _columns(X: Any) -> tuple[list[Any], list[str]]:
    if hasattr(X, "columns"):
        return list(X.columns), [str(dtype) for dtype in X.dtypes]
    width = X.shape[1] if getattr(X, "ndim", 0) == 2 else 0
    return list(range(width)), [str(getattr(X, "dtype", type(X).__name__))]


def _matrix(X: Any) -> Any:
    _checks.refuse_misleading("X", X)
    try:
        with _checks.Blamed("X"):
            found = check_array(X, dtype=PRECISIONS, input_name="X")
    except (TypeError, ValueError) as error:
        columns = [X.iloc[:, k] for k in range(X.shape[1])] if hasattr(X, "iloc") else []
        if words := [f"{column.name!r} ({column.dtype})" for column in columns if not _is_of_numbers(column)]:
            raise ValueError(f"X has columns that are no numbers: {', '.join(words)}; encode them, as by get_dummies") from error
        raise
    _checks.refuse_large(found)
    return found


def _is_of_numbers(column: Any) -> bool:
    try:
        column.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return getattr(column.dtype, "kind", "") not in "mM"


def targets(model: Any, y: Any) -> Any:
    """y of a partition as an array; one of one dimension if it has one column."""
    y = _plain(y)
    _checks.refuse_misleading("y", y)
    y = model._checked_targets("y", y)
    with _checks.Blamed("y"):
        y = check_array(y, dtype=None, ensure_2d=False, input_name="y")
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def prepared(block: Block, model: Any, net: Any, n_threads: int) -> tuple[Part | None, tuple[float, float], str]:
    """(samples, their weight as a number and its unit, what is wrong) of a partition that is not empty.

    `model` knows the classes, and has weights for them, if any, by name.
    """
    try:
        with _checks.Blamed("y"):
            matrix = model._encode(block.y, True)
        weights = _weights(model, block)
        data = TrainingData.make(net, block.X, matrix, weights)
    except (TypeError, ValueError) as error:
        return None, (0.0, 1.0), told(error)
    if data.weights is None:
        return Part(data, net, n_threads), (float(len(data)), 1.0), ""
    finite, unit = with_finite_sums(data.weights)
    return Part(data, net, n_threads), (float(finite.sum()), unit), ""


def _weights(model: Any, block: Block) -> Any:
    of_classes = getattr(model, "class_weight", None)
    if of_classes is None:
        return block.weights
    present = {label: of_classes[label] for label in np.unique(block.y).tolist() if label in of_classes}
    weights = compute_sample_weight(present, block.y)
    if not np.any(weights * (1.0 if block.weights is None else block.weights)):
        return np.zeros(len(weights))  # which another partition may have
    return _checks.product_of_weights(weights, block.weights)


def weight_of(found: tuple[Any, ...]) -> tuple[Any, ...]:
    """What is told of a part."""
    return found[1:]


def part_of(found: tuple[Any, ...]) -> Any:
    """The part alone."""
    return found[0]
