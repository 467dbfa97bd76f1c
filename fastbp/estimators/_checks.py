"""Checks of data that scikit-learn's own checks let through, and ways around them where a cheap look proves the data fine."""

import re

import numpy as np
from scipy import sparse
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastbp.engine.sparsity import CompressedRows, check_places, rows_of
from fastbp.engine.validation import again, is_plain, numbers, real, refuse_masked
from fastbp.kernels.tuning import AGAIN_IN_PARTIAL_FIT
from fastbp.streams.source import Source

NOT_FINITE = "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."


def refuse_misleading(name: str, value) -> None:
    """Raise for arrays whose numbers are not what they seem, or not where they should be."""
    if type(value) is np.ndarray and value.ndim > 0 and value.dtype.kind in "fiub":
        return
    if isinstance(value, Source):
        raise TypeError(
            f"{name} is a stream, which is not taken here: give arrays, or X alone as a stream to fit, predict or score"
        )
    refuse_masked(name, value.data if sparse.issparse(value) and hasattr(value, "data") else value)
    if name.startswith("y") and value is not None and _is_no_sequence(value):
        raise ValueError(f"{name} must be a sequence or array with the targets of the samples, got {value!r}")
    if sparse.issparse(value) and value.ndim == 2:
        check_places(name, value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("m", "M"):
        raise ValueError(f"{name} must hold numbers, got dtype {value.dtype}; turn dates and durations into numbers first.")


NO_WEIGHT = "class_weight and sample_weight leave no sample a weight; give a class that there is one above 0."
PRECISIONS = np.float32, np.float64


class Blamed:
    """A context in which errors from the inside, of conversions and comparisons, name the argument that they are due to.

    A ValueError is as a rule one that scikit-learn has worded, and stays as it is.
    """

    def __init__(self, name: str, kinds=(TypeError, OverflowError)):
        self.name, self.kinds = name, kinds

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        if not isinstance(error, self.kinds):
            return
        words = rf"\b{self.name}\b|\b{self.name.replace('_', ' ').capitalize()}"
        if type(error) not in (TypeError, ValueError) or not re.search(words, str(error)):
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{self.name} holds what cannot be used: {error}") from error


def numeric_targets(name: str, y):
    """Targets as numbers, if they are not already, nor a matter for scikit-learn's checks."""
    is_plain_array = type(y) is np.ndarray and (y.dtype.kind in "iubc" or y.dtype in (np.float16, np.float32, np.float64))
    if y is None or sparse.issparse(y) or is_plain_array:
        return y
    return numbers(name, y, np.float64)


def refuse_odd_labels(name: str, y) -> None:
    """Raise where labels are missing, or are words and numbers, which lists of both become words of."""
    if y is None or sparse.issparse(y) or (type(y) is np.ndarray and y.dtype.kind != "O"):
        return
    try:
        array = np.asarray(y)
    except ValueError:  # a ragged list, of which scikit-learn has its own to say
        return
    if array.dtype.kind == "O" and any(map(_is_missing, array.flat)):
        raise ValueError(f"{name} holds missing labels (None, NaN or NA); drop these samples, or give them a class of their own.")
    kinds = set(map(type, np.asarray(y, object).flat)) if array.dtype.kind in "OU" else set()
    if 0 < sum(issubclass(kind, str) for kind in kinds) < len(kinds):
        listed = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"{name} holds labels of several types ({listed}); make all of them words, or all of them numbers.")


def _is_no_sequence(value) -> bool:
    is_array = hasattr(value, "__len__") or hasattr(value, "__array__")
    return not is_array or isinstance(value, str | bytes | dict | set | frozenset) or getattr(value, "shape", None) == ()


def _is_missing(label) -> bool:
    return label is None or type(label).__name__ == "NAType" or (isinstance(label, float) and label != label)


def weights(sample_weight, rows, **options):
    """Weights of the rows, checked by scikit-learn; None if there are none."""
    if sample_weight is None:
        return None
    refuse_misleading("sample_weight", sample_weight)
    with Blamed("sample_weight", (TypeError, OverflowError, ValueError)):
        return _check_sample_weight(sample_weight, rows, **options)


def class_weight(value) -> None:
    """Raise for weights of classes that are no weights."""
    for label, weight in value.items() if isinstance(value, dict) else ():
        real(f"class_weight[{label!r}]", weight)


def product_of_weights(of_classes, of_samples):
    """Weights of samples by their classes and of their own, of which one must be above 0; none of the latter is None."""
    weights = products_of_weights(of_classes, of_samples)
    if not weights.any():
        raise ValueError(NO_WEIGHT)
    return weights


def products_of_weights(of_classes, of_samples):
    """The same of a part of the samples, which may all weigh nothing; the products must be numbers, too."""
    with np.errstate(over="ignore", under="ignore"):
        weights = of_classes if of_samples is None else of_classes * of_samples
    is_lost = (weights == 0) & (of_classes > 0) & (True if of_samples is None else of_samples > 0)
    if is_lost.any() or not np.isfinite(weights).all():
        raise ValueError("class_weight times sample_weight is too small or too large for float64; divide one by a constant.")
    return weights


def refuse_large(X) -> None:
    """Raise for numbers whose squares are not finite: training needs them."""
    present = X.values if type(X) is CompressedRows else X
    largest = max(present.max(initial=0), -present.min(initial=0))
    if largest > np.sqrt(np.finfo(X.dtype).max):
        raise ValueError(f"{NOT_FINITE} (X holds {largest:.3g}, whose square is not a finite {X.dtype.name}.)")


def in_dtype(name: str, array, dtype):
    """A C-contiguous array of another precision, if all of its numbers fit; sparse matrices as the kernels take them."""
    if sparse.issparse(array):
        return rows_of(name, array, lambda present: in_dtype(name, present, dtype))
    if type(array) is CompressedRows:
        return array.with_values(in_dtype(name, array.values, dtype))
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype)
    if array.dtype.itemsize > converted.dtype.itemsize and not np.isfinite(converted).all():
        raise ValueError(f"Input {name} contains infinity or a value too large for {converted.dtype!r}.")
    return converted


def is_known_to_be_fine(estimator, X, dtype, n_features: int) -> bool:
    """Whether scikit-learn's checks would find nothing wrong with an array (n, n_features) of a fitted estimator, nor change it."""
    is_like = X.dtype == dtype and X.ndim == 2 and X.shape[1] == n_features and not hasattr(estimator, "feature_names_in_")
    return is_like and X.size > 0 and is_plain(X)


def are_plain(estimator, X, y) -> bool:
    """The same of X and one column of targets; what it takes for numbers are those of NumPy."""
    if not (type(X) is type(y) is np.ndarray and y.ndim == 1 and X.ndim == 2 and len(X) == len(y)):
        return False
    is_fine = y.dtype.kind in "iu" or (y.dtype in PRECISIONS and is_plain(y))
    return is_fine and X.dtype in PRECISIONS and is_known_to_be_fine(estimator, X, X.dtype, estimator.n_features_in_)


are_plain = again(are_plain, AGAIN_IN_PARTIAL_FIT)


def rows(estimator, X, dtype, n_features: int):
    """X as rows that the kernels take, and the dtype of what scikit-learn would make of them."""
    kind = type(X)
    if (
        kind in (np.ndarray, sparse.csr_array, sparse.csr_matrix)
        and X.dtype == dtype
        and X.ndim == 2
        and X.shape[1] == n_features
        and not hasattr(estimator, "feature_names_in_")
        and (present := X if kind is np.ndarray else X.data).size
        and is_plain(present)
    ):
        return X if kind is np.ndarray else in_dtype("X", X, dtype), dtype
    refuse_misleading("X", X)
    with Blamed("X"):
        X = validate_data(estimator, X, accept_sparse=["csr", "csc"], reset=False)
    if X.shape[1] != n_features:
        raise ValueError(f"X has {X.shape[1]} features, but coefs_ are those of a network with {n_features} inputs.")
    result = np.result_type(X.dtype, dtype)
    return in_dtype("X", X, dtype), result
