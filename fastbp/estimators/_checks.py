"""Checks of data that scikit-learn's own checks let through, and ways around them where a cheap look proves the data fine."""

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from fastbp.sparsity import CompressedRows, check_places, rows_of
from fastbp.validation import is_plain, refuse_masked

NOT_FINITE = "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."


def refuse_misleading(name: str, value) -> None:
    """Raise for arrays whose numbers are not what they seem, or not where they should be."""
    refuse_masked(name, value)
    if sparse.issparse(value) and value.ndim == 2:
        check_places(name, value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("m", "M"):
        raise ValueError(f"{name} must hold numbers, got dtype {value.dtype}; turn dates and durations into numbers first.")


def refuse_large(X) -> None:
    """Raise for numbers whose squares are not finite: training needs them."""
    numbers = X.values if type(X) is CompressedRows else X
    largest = max(numbers.max(initial=0), -numbers.min(initial=0))
    if largest > np.sqrt(np.finfo(X.dtype).max):
        raise ValueError(f"{NOT_FINITE} (X holds {largest:.3g}, whose square is not a finite {X.dtype.name}.)")


def in_dtype(name: str, array, dtype):
    """A C-contiguous array of another precision, if all of its numbers fit; sparse matrices as the kernels take them."""
    if sparse.issparse(array):
        return rows_of(name, array, lambda numbers: in_dtype(name, numbers, dtype))
    if type(array) is CompressedRows:
        return array.with_values(in_dtype(name, array.values, dtype))
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype)
    if array.dtype.itemsize > converted.dtype.itemsize and not np.isfinite(converted).all():
        raise ValueError(f"Input {name} contains infinity or a value too large for {converted.dtype!r}.")
    return converted


def rows(estimator, X, dtype, n_features: int):
    """X as rows that the kernels take, and the dtype of what scikit-learn would make of them."""
    kind = type(X)
    if (
        kind in (np.ndarray, sparse.csr_array, sparse.csr_matrix)
        and X.dtype == dtype
        and X.ndim == 2
        and X.shape[1] == n_features
        and not hasattr(estimator, "feature_names_in_")
        and (numbers := X if kind is np.ndarray else X.data).size
        and is_plain(numbers)
    ):
        return X if kind is np.ndarray else in_dtype("X", X, dtype), dtype
    refuse_misleading("X", X)
    X = validate_data(estimator, X, accept_sparse=["csr", "csc"], reset=False)
    if X.shape[1] != n_features:
        raise ValueError(f"X has {X.shape[1]} features, but coefs_ are those of a network with {n_features} inputs.")
    result = np.result_type(X.dtype, dtype)
    return in_dtype("X", X, dtype), result
