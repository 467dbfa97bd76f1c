"""Samples most of whose numbers are zero: as sparse matrices of SciPy, or as arrays that hold the zeros too."""

from typing import NamedTuple

import numpy as np

MOST = 0.25  # of the numbers of a matrix, above which its zeros are better multiplied than left out
LEAST_COLUMNS = 32  # of a matrix for which that is worth asking
LOOKED_AT = 64  # samples


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

    def __init__(self, matrix):
        self.matrix, self.shape, self.values = matrix, matrix.shape, matrix.data
        self.columns = matrix.indices.astype(np.int32, copy=False)
        self.starts = matrix.indptr.astype(np.int64, copy=False)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows) -> "CompressedRows":
        """Some of the rows, by a slice or an array."""
        return CompressedRows(self.matrix[rows])


def is_worthwhile(count: int, shape) -> bool:
    """Whether to leave out the zeros of a matrix with `count` other numbers makes its products faster."""
    return bool(shape[1] >= LEAST_COLUMNS and count <= MOST * shape[0] * shape[1])


def entries(rows) -> Entries | None:
    """What there is in a sample, if a network should leave out the zeros; else None."""
    if type(rows) is CompressedRows:
        return Entries(max(1, int(np.diff(rows.starts).max())), len(rows.values) / len(rows))
    if rows.shape[1] < LEAST_COLUMNS:
        return None
    seen = rows[:: -(-len(rows) // LOOKED_AT)]
    count = np.count_nonzero(seen)
    return Entries(rows.shape[1], count / len(seen)) if is_worthwhile(count, seen.shape) else None


def dense(rows) -> np.ndarray:
    """Rows as an array that holds the zeros too."""
    return rows.matrix.toarray() if type(rows) is CompressedRows else rows
