"""Samples most of whose numbers are zero: sparse matrices of SciPy, and arrays that hold the zeros too."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.check import FITS, OUTSIDE, WRONG_STARTS, order_of_places

Array = NDArray[Any]

MOST = 0.25  # of the numbers of a matrix, above which its zeros are better multiplied than left out
LEAST_COLUMNS = 32  # of a matrix for which that is worth asking
LOOKED_AT = 64  # samples of an array
LARGEST = 1 << 31  # columns, whose numbers the kernels take as int32
LEAST_BYTES = 128  # of the sums of a sample, below which fewer numbers repay to be looked for


class Entries(NamedTuple):
    """Numbers other than zero in a sample: how many at most, and on average."""

    most: int
    average: float


class CompressedRows:
    """The rows of a sparse matrix, as the kernels take them.

    Parameters
    ----------
    values : ndarray
        The numbers other than zero, row by row.
    columns : ndarray of int32
        The column of each; those of a row ascend, none of them twice.
    starts : ndarray of int64, (n_samples + 1,)
        Where those of each row begin.
    shape : (int, int)
    kind : type
        The class of SciPy's that they are in.
    """

    def __init__(self, values: Array, columns: Array, starts: Array, shape: tuple[int, ...], kind: Any):
        self.values, self.columns, self.starts, self.shape, self.kind = values, columns, starts, shape, kind

    @classmethod
    def of(cls, matrix: Any) -> CompressedRows:
        """Those of a matrix of SciPy's in CSR format that is as it should be."""
        columns, starts = matrix.indices.astype(np.int32, copy=False), matrix.indptr.astype(np.int64, copy=False)
        return cls(matrix.data, columns, starts, matrix.shape, type(matrix))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""
        return self.values.dtype

    @cached_property
    def matrix(self) -> Any:
        """The same as a matrix of SciPy's."""
        return self.kind((self.values, self.columns, self.starts), shape=self.shape)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> CompressedRows:
        """Some of the rows, by a slice or an array."""
        return self.of(self.matrix[rows])

    def with_values(self, values: Array) -> CompressedRows:
        """The same with other numbers."""
        return CompressedRows(values, self.columns, self.starts, self.shape, self.kind)

    @property
    def most(self) -> int:
        """Numbers in a row, at most."""
        return int(np.diff(self.starts).max())


Rows = CompressedRows | Array


def rows_of(name: str, matrix: Any, converted: Callable[[Array], Array]) -> Rows:
    """The rows of a sparse matrix, or an array where too few of its numbers are zero.

    Where the numbers are is copied and then checked, so that nobody changes it meanwhile: the kernels go where it says.

    Parameters
    ----------
    name : str
        What messages call it.
    matrix : sparse matrix or array of SciPy, (n_samples, n_features)
    converted : callable
        Checks an array of numbers and gives it the dtype of the network.
    """
    if matrix.format != "csr":
        check_places(name, matrix)
        matrix = matrix.tocsr()
    n_samples, n_features = matrix.shape
    columns, starts, is_ascending = _places(name, "columns", matrix.indices, matrix.indptr, matrix.data, n_samples, n_features)
    values = matrix.data[: len(columns)]
    if not is_ascending:
        summed = type(matrix)((values, columns, starts), matrix.shape, copy=True)
        summed.sum_duplicates()
        values, columns, starts = summed.data, summed.indices.astype(np.int32), summed.indptr.astype(np.int64)
    # the check of an array is that it is not empty
    values = converted(values) if len(values) else values.astype(converted(np.zeros(1)).dtype)
    rows = CompressedRows(values, columns, starts, matrix.shape, type(matrix))
    return rows if _is_worthwhile(len(rows.values), rows.shape, MOST) else rows.matrix.toarray()


def check_places(name: str, matrix: Any) -> None:
    """Raise where a sparse matrix says that numbers are outside of it: SciPy would read and write there."""
    kind, (n_rows, n_columns) = matrix.format, matrix.shape
    if kind in ("csr", "csc", "bsr"):
        height, width = matrix.blocksize if kind == "bsr" else (1, 1)
        major, minor, what = (n_columns, n_rows, "rows") if kind == "csc" else (n_rows // height, n_columns // width, "columns")
        _places(name, what, matrix.indices, matrix.indptr, matrix.data, major, minor, 3 if kind == "bsr" else 1)
    elif kind == "coo":
        for what, places, n_places in (("rows", matrix.row, n_rows), ("columns", matrix.col, n_columns)):
            if len(places) != len(matrix.data):
                raise ValueError(f"{name} is a sparse matrix of {len(matrix.data)} numbers, but says of {len(places)} their {what}")
            _check_span(name, what, places, n_places)
    elif kind == "dia":
        if matrix.data.ndim != 2 or len(matrix.data) != len(matrix.offsets):
            raise ValueError(f"{name} is a sparse matrix of {len(matrix.data)} diagonals, but has {len(matrix.offsets)} offsets")
    elif kind == "lil":
        if len(matrix.rows) != n_rows or len(matrix.data) != n_rows:
            raise ValueError(f"{name} is a sparse matrix of {n_rows} rows, but has lists for {len(matrix.rows)}: make it anew")
        for row, (columns, numbers) in enumerate(zip(matrix.rows, matrix.data, strict=True)):
            if len(columns) != len(numbers):
                raise ValueError(f"{name} is a sparse matrix with {len(numbers)} numbers in row {row}, but {len(columns)} columns")


def _places(
    name: str, what: str, indices: Any, indptr: Any, data: Any, n_major: int, n_minor: int, n_dimensions: int = 1
) -> tuple[NDArray[np.int32], NDArray[np.int64], bool]:
    """Copies of the indices and of where those of each row (or column) begin, checked, and whether the indices ascend there."""
    for part, array in (("indices", indices), ("indptr", indptr)):
        if not (isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype.kind in "iu"):
            raise ValueError(f"{name} is a sparse matrix whose {part} must be integers, one after another: make it anew")
    if getattr(data, "ndim", 0) != n_dimensions:
        raise ValueError(
            f"{name} is a sparse matrix whose data must have {n_dimensions} dimensions, not {np.ndim(data)}: make it anew"
        )
    starts = np.array(indptr, np.int64)
    stored = min(len(indices), len(data))
    used = int(starts[-1]) if len(starts) and 0 <= starts[-1] <= stored else stored
    if indices.dtype.itemsize > 4 or indices.dtype.kind == "u" or n_minor > LARGEST:
        _check_span(name, what, indices[:used], min(n_minor, LARGEST))
    places = np.array(indices[:used], np.int32)
    order = order_of_places["float32"](places, starts, n_minor) if len(starts) == n_major + 1 else WRONG_STARTS
    if order == WRONG_STARTS:
        raise ValueError(
            f"{name} is a sparse matrix whose indptr must be {n_major + 1} numbers that ascend from 0 to at most {stored}, how many"
            " indices and data there are: make it anew"
        )
    if order == OUTSIDE:
        _check_span(name, what, places, n_minor)
    return places, starts, order == FITS


def _check_span(name: str, what: str, places: Any, n_places: int) -> None:
    """Raise where numbers of rows or columns are outside of a matrix."""
    if len(places) and (places.min() < 0 or places.max() >= n_places):
        raise ValueError(
            f"{name} is a sparse matrix with numbers in {what} {places.min()} to {places.max()}, but its {what} are 0 to"
            f" {n_places - 1}; if they are counted from 1, as in files of libsvm, subtract 1"
        )


def _is_worthwhile(count: int, shape: tuple[int, ...], most: float) -> bool:
    """Whether at most this part of a matrix, with `count` numbers other than zero, is not zero, and it has enough columns."""
    return bool(shape[1] >= LEAST_COLUMNS and count <= most * shape[0] * shape[1])


def entries_for(net: Any, rows: Rows) -> Entries | None:
    """What there is in a sample, if the first layer of a network should leave out the zeros; else None."""
    return None if net.encoder else entries(rows, net.sizes[1] * net.dtype.itemsize)


def entries(rows: Rows, n_bytes: int) -> Entries | None:
    """The same for a first layer of units of so many bytes."""
    if isinstance(rows, CompressedRows):
        return Entries(max(1, rows.most), len(rows.values) / len(rows))
    if rows.shape[1] < LEAST_COLUMNS:
        return None
    seen = rows[:: -(-len(rows) // LOOKED_AT)]
    count = int(np.count_nonzero(seen))
    most = MOST * min(1.0, n_bytes / LEAST_BYTES)
    return Entries(rows.shape[1], count / len(seen)) if _is_worthwhile(count, seen.shape, most) else None


def dense(rows: Rows) -> Array:
    """Rows as an array that holds the zeros too."""
    if isinstance(rows, CompressedRows):
        everything: Array = rows.matrix.toarray()
        return everything
    return rows
