"""Samples most of whose numbers are zero: sparse matrices of SciPy, and arrays that hold the zeros too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST = 0.25  # of the numbers of a matrix, above which its zeros are better multiplied than left out
LEAST_COLUMNS = 32  # of a matrix for which that is worth asking
LOOKED_AT = 64  # samples of an array
LEAST_BYTES = 128  # of the sums of a sample, below which fewer numbers repay to be looked for


class Entries(NamedTuple):
    """Numbers other than zero in a sample: how many at most, and on average."""

    most: int
    average: float


class CompressedRows:
    """The rows of a sparse matrix, as the kernels take them.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array or csr_matrix
        Of float32 or float64, in canonical form: the columns of each row ascend, none of them twice.

    Attributes
    ----------
    values : ndarray
        The numbers other than zero, row by row.
    columns : ndarray of int32
        The column of each.
    starts : ndarray of int64, (n_samples + 1,)
        Where those of each row begin.
    """

    def __init__(self, matrix: Any):
        self.matrix, self.shape, self.dtype = matrix, matrix.shape, matrix.dtype
        self.values: NDArray[Any] = matrix.data
        self.columns: NDArray[np.int32] = matrix.indices.astype(np.int32, copy=False)
        self.starts: NDArray[np.int64] = matrix.indptr.astype(np.int64, copy=False)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> CompressedRows:
        """Some of the rows, by a slice or an array."""
        return CompressedRows(self.matrix[rows])

    def with_values(self, values: NDArray[Any]) -> CompressedRows:
        """The same with other numbers."""
        matrix = self.matrix
        return CompressedRows(type(matrix)((values, matrix.indices, matrix.indptr), shape=matrix.shape))

    @property
    def most(self) -> int:
        """Numbers in a row, at most."""
        return int(np.diff(self.starts).max())


Rows = CompressedRows | NDArray[Any]


def rows_of(matrix: Any, converted: Callable[[NDArray[Any]], NDArray[Any]]) -> Rows:
    """The rows of a sparse matrix, or an array where too few of its numbers are zero.

    Parameters
    ----------
    matrix : sparse matrix or array of SciPy, (n_samples, n_features)
    converted : callable
        Checks an array of numbers and gives it the dtype of the network.
    """
    rows = matrix.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy() if rows is matrix else rows
        rows.sum_duplicates()
    if not _is_worthwhile(rows.nnz, rows.shape, MOST):
        return converted(rows.toarray())
    # the check of an array is that it is not empty
    values = converted(rows.data) if rows.nnz else rows.data.astype(converted(np.zeros(1)).dtype)
    return CompressedRows(rows) if values is rows.data else CompressedRows(rows).with_values(values)


def _is_worthwhile(count: int, shape: tuple[int, ...], most: float) -> bool:
    """Whether at most this part of a matrix, with `count` numbers other than zero, is not zero, and it has enough columns."""
    return bool(shape[1] >= LEAST_COLUMNS and count <= most * shape[0] * shape[1])


def entries(rows: Rows, n_units: int) -> Entries | None:
    """What there is in a sample, if a first layer of so many units should leave out the zeros; else None."""
    if isinstance(rows, CompressedRows):
        return Entries(max(1, rows.most), len(rows.values) / len(rows))
    if rows.shape[1] < LEAST_COLUMNS:
        return None
    seen = rows[:: -(-len(rows) // LOOKED_AT)]
    count = int(np.count_nonzero(seen))
    most = MOST * min(1.0, n_units * rows.dtype.itemsize / LEAST_BYTES)
    return Entries(rows.shape[1], count / len(seen)) if _is_worthwhile(count, seen.shape, most) else None


def dense(rows: Rows) -> NDArray[Any]:
    """Rows as an array that holds the zeros too."""
    if isinstance(rows, CompressedRows):
        everything: NDArray[Any] = rows.matrix.toarray()
        return everything
    return rows
