"""Sparse matrices that say that numbers are where the matrix is not: an error by name, for kernels and SciPy go where they say."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_net, make_samples, make_targets
from scipy import sparse

from fastbp import MLPClassifier, MLPRegressor
from fastbp.kernels.check import FITS, NOT_ASCENDING, OUTSIDE, WRONG_STARTS, order_of_places

N, N_IN, N_OUT = 30, 50, 4


def dense(seed=0):
    X = make_samples(N, N_IN, seed=seed)
    X[np.random.default_rng([seed, 3]).random(X.shape) > 0.1] = 0
    X[3, 7] = X[-1, -1] = 1.5
    return X


X, Y = dense(), make_targets("squared", N, N_OUT)
LABELS = np.arange(N) % 3


# --- what is refused ---------------------------------------------------------------------------------------------------------


def counted_from_one(matrix):
    matrix.indices = matrix.indices + 1


def negative(matrix):
    matrix.indices[5] = -1


def just_outside(matrix):
    matrix.indices[-1] = matrix.shape[matrix.format != "csc"] // (matrix.blocksize[1] if matrix.format == "bsr" else 1)


def far_outside(matrix):
    matrix.indices[5] = 2**31 - 1


def wrapped(matrix):
    """For int32 this is column 3."""
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    matrix.indices[5] = 2**32 + 3


def wrapped_unsigned(matrix):
    matrix.indices = matrix.indices.astype(np.uint32)
    matrix.indices[5] = 2**32 - 1


def beginning_late(matrix):
    matrix.indptr[0] = 1


def beginning_early(matrix):
    matrix.indptr[0] = -1


def decreasing(matrix):
    matrix.indptr[3] = matrix.indptr[2] - 2


def beyond_the_end(matrix):
    matrix.indptr[-1] += 100000


def beyond_the_end_and_back(matrix):
    matrix.indptr[3] = 100000


def wrapped_indptr(matrix):
    matrix.indptr = matrix.indptr.astype(np.int64)
    matrix.indptr[-1] += 2**32


def fewer_indptr(matrix):
    matrix.indptr = matrix.indptr[:-1]


def more_indptr(matrix):
    matrix.indptr = np.append(matrix.indptr, matrix.indptr[-1])


def no_indptr(matrix):
    matrix.indptr = matrix.indptr[:0]


def fewer_indices(matrix):
    matrix.indices = matrix.indices[:-3]


def fewer_numbers(matrix):
    matrix.data = matrix.data[:-3]


def fractions(matrix):
    matrix.indices = matrix.indices.astype(float)


def indices_of_two_dimensions(matrix):
    matrix.indices = matrix.indices[None]


def a_list(matrix):
    matrix.indptr = matrix.indptr.tolist()


DAMAGES = [
    *(counted_from_one, negative, just_outside, far_outside, wrapped, wrapped_unsigned),
    *(beginning_late, beginning_early, decreasing, beyond_the_end, beyond_the_end_and_back, wrapped_indptr),
    *(fewer_indptr, more_indptr, no_indptr, fewer_indices, fewer_numbers, fractions, indices_of_two_dimensions, a_list),
]
KINDS = ["csr_array", "csr_matrix", "csc_array", "csc_matrix", "bsr_array"]


def damaged(kind, damage, array=X):
    matrix = getattr(sparse, kind)(array)
    damage(matrix)
    return matrix


def of_coordinates(axis, value):
    matrix = sparse.coo_array(X)
    coordinates = matrix.coords[axis].astype(np.int64)
    coordinates[5] = value
    matrix.coords = (coordinates, matrix.coords[1]) if axis == 0 else (matrix.coords[0], coordinates)
    return matrix


def shorter_coordinates():
    matrix = sparse.coo_array(X)
    matrix.coords = tuple(each[:-3] for each in matrix.coords)
    return matrix


def of_lists():
    matrix = sparse.lil_array(X)
    matrix.rows[3] = [N_IN + 7]
    matrix.data[3] = [1.0]
    return matrix


BAD = {f"{kind}-{damage.__name__}": (damaged, kind, damage) for kind in KINDS for damage in DAMAGES}
BAD |= {f"coo-{axis}-{value}": (of_coordinates, axis, value) for axis in (0, 1) for value in (-1, (N, N_IN)[axis], 2**32 + 3)}
BAD |= {"coo-shorter": (shorter_coordinates,), "lil": (of_lists,)}


def network_calls():
    net = make_net((N_IN, 20, N_OUT))
    return net, {
        "call": net,
        "predict": net.predict,
        "score": lambda rows: net.score(rows, Y),
        "loss": lambda rows: net.loss(rows, Y),
        "value_and_grad": lambda rows: net.value_and_grad(rows, Y),
        "trace": net.trace,
        "check_gradients": lambda rows: net.check_gradients(rows, Y),
        "fit": lambda rows: net.fit(rows, Y, epochs=1),
        "validation_data": lambda rows: net.fit(X, Y, epochs=1, validation_data=(rows, Y)),
    }


def check_refused(calls, bad, argument):
    make, *args = BAD[bad]
    for name, call in calls.items():
        with pytest.raises(ValueError, match="is a sparse matrix") as caught:
            call(make(*args))
        expected = "validation_data" if name == "validation_data" else "X_val" if name == "X_val" else argument
        assert str(caught.value).startswith(expected), name


@pytest.mark.parametrize("bad", BAD)
def test_networks_refuse_it_by_name(bad):
    net, calls = network_calls()
    before = net.params.copy()
    check_refused(calls, bad, "X")
    np.testing.assert_array_equal(net.params, before)


def small(cls, **options):
    return cls(hidden_layer_sizes=(8,), max_iter=1, random_state=0, **options)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("bad", BAD)
def test_estimators_refuse_it_by_name(cls, bad):
    fitted = small(cls).fit(X, LABELS)
    expected = fitted.predict(X)
    options = {"classes": [0, 1, 2]} if cls is MLPClassifier else {}
    calls = {
        "fit": lambda rows: small(cls).fit(rows, LABELS),
        "lbfgs": lambda rows: small(cls, solver="lbfgs").fit(rows, LABELS),
        "partial_fit": lambda rows: small(cls).partial_fit(rows, LABELS, **options),
        "more": lambda rows: fitted.partial_fit(rows, LABELS),
        "again": lambda rows: fitted.fit(rows, LABELS),
        "X_val": lambda rows: small(cls).fit(X, LABELS, X_val=rows, y_val=LABELS),
        **{name: getattr(fitted, name) for name in ("predict", "transform", "input_gradient")},
        "score": lambda rows: fitted.score(rows, LABELS),
    }
    check_refused(calls, bad, "X")
    np.testing.assert_array_equal(fitted.predict(X), expected)


@pytest.mark.parametrize("damage", [counted_from_one, negative, decreasing, fewer_numbers])
def test_sets_of_labels_are_checked_likewise(damage):
    sets = np.eye(3, dtype=int)[LABELS]
    for call in (small(MLPClassifier).fit, lambda X, y: small(MLPClassifier).partial_fit(X, y, classes=[0, 1, 2])):
        with pytest.raises(ValueError, match=r"^y is a sparse matrix"):
            call(X, damaged("csr_array", damage, sets))


def test_messages_say_what_to_do():
    net = make_net((N_IN, 20, N_OUT))
    with pytest.raises(ValueError, match=r"numbers in columns 1 to 50, but its columns are 0 to 49; if .* from 1, .* subtract 1"):
        net(damaged("csr_array", counted_from_one))
    with pytest.raises(ValueError, match=rf"numbers in columns 0 to {2**32 + 3}, but"):
        net(damaged("csr_array", wrapped))
    with pytest.raises(ValueError, match=r"indptr must be 31 numbers that ascend from 0 to at most \d+, .*: make it anew"):
        net(damaged("csr_array", decreasing))
    with pytest.raises(ValueError, match=r"numbers in rows -?\d+ to \d+, but its rows are 0 to 29"):
        net(damaged("csc_array", just_outside))


def test_one_pass_tells_all_that_can_be_wrong():
    def look(places, starts, n):
        return order_of_places["float32"](np.array(places, np.int32), np.array(starts, np.int64), n)

    assert look([0, 3, 1, 2], [0, 2, 2, 4], 4) == look([], [0, 0], 1) == look([5, 4, 3], [0, 1, 1, 2, 3], 6) == FITS
    assert look([0, 3, 2, 1], [0, 2, 4], 4) == look([1, 1], [0, 2], 4) == look([0, 1, 0], [0, 0, 3], 2) == NOT_ASCENDING
    assert look([0, 4], [0, 2], 4) == look([-1, 2], [0, 2], 4) == look([3, 0, -(2**31)], [0, 3], 4) == OUTSIDE
    for starts in ([1, 2], [-1, 2], [0, 3], [0, 2, 1], [0, 3, 2], [0, 2**40]):
        assert look([0, 1], starts, 4) == WRONG_STARTS


# --- what is taken -----------------------------------------------------------------------------------------------------------


def reversed_rows(matrix):
    for i in range(N):
        part = slice(*matrix.indptr[i : i + 2])
        matrix.indices[part], matrix.data[part] = matrix.indices[part][::-1].copy(), matrix.data[part][::-1].copy()


def halves(matrix):
    matrix.data, matrix.indices, matrix.indptr = np.repeat(matrix.data / 2, 2), np.repeat(matrix.indices, 2), matrix.indptr * 2


def unused_room(matrix):
    """Numbers past the last row are none of the matrix."""
    matrix.data, matrix.indices = np.append(matrix.data, [np.nan] * 5), np.append(matrix.indices, [10**6] * 5).astype(np.int32)


@pytest.mark.parametrize("change", [reversed_rows, halves, unused_room])
@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix"])
def test_matrices_changed_after_scipy_has_looked_at_them(kind, change):
    matrix = getattr(sparse, kind)(X)
    assert matrix.has_canonical_format  # which SciPy remembers
    change(matrix)
    held = [array.tobytes() for array in (matrix.data, matrix.indices, matrix.indptr)]
    net = make_net((N_IN, 20, N_OUT))
    other = net.copy()
    np.testing.assert_array_equal(net(matrix), net(X))
    assert net.fit(matrix, Y, epochs=2, rng=0).loss == other.fit(X, Y, epochs=2, rng=0).loss
    assert held == [array.tobytes() for array in (matrix.data, matrix.indices, matrix.indptr)]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float32, np.longdouble])
def test_numbers_of_every_type(dtype):
    numbers = np.round(X * 2).astype(dtype)
    net = make_net((N_IN, 20, N_OUT))
    for kind in (*KINDS, "coo_array", "lil_array", "dok_array", "dia_array"):
        np.testing.assert_array_equal(net(getattr(sparse, kind)(numbers)), net(numbers.astype(float)))


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_none_are_refused(kind):
    net = make_net((N_IN, 20, N_OUT))
    for value, message in ((np.nan, "X holds NaN or infinity"), (np.inf, "X holds NaN or infinity")):
        matrix = getattr(sparse, kind)(np.where(X == 1.5, value, X))
        for call in (net, lambda rows: net.fit(rows, Y)):
            with pytest.raises(ValueError, match=message):
                call(matrix)
    with pytest.raises(TypeError, match="X must hold real numbers"):
        net(getattr(sparse, kind)(X * 1j))


@pytest.mark.parametrize("shape", [(N,), (2, N, N_IN)])
def test_other_numbers_of_dimensions_are_refused(shape):
    matrix = sparse.coo_array(np.ones(shape))
    with pytest.raises(ValueError, match="X must be two-dimensional"):
        make_net((N_IN, 20, N_OUT))(matrix)
    with pytest.raises((ValueError, TypeError), match=r"X|2D|dim"):
        small(MLPRegressor).fit(matrix, Y)


def test_a_matrix_that_a_callback_changes_is_trained_on_as_it_was():
    matrix, net, expected = sparse.csr_array(X), make_net((N_IN, 20, N_OUT)), make_net((N_IN, 20, N_OUT))

    def change(epoch, net, history):
        matrix.indices += 2**20
        matrix.indptr[:] = 2**20

    history = net.fit(matrix, Y, epochs=3, callbacks=[change], rng=0, validation_data=(matrix, Y), record_score=True)
    assert history.loss == expected.fit(X, Y, epochs=3, rng=0).loss


# --- memory ------------------------------------------------------------------------------------------------------------------

GUARDED = r'''
import os, signal, sys
import numpy as np
from scipy import sparse
sys.path.append("reliability")
from guard_pages import guarded  # arrays beside pages that must not be touched
from fastbp.engine import sparsity
from fastbp.engine import validation
from test_sparse_structure import BAD, N_IN, X, Y, check_refused, make_net, network_calls

# what the kernels are given lies beside pages that must not be touched
init = sparsity.CompressedRows.__init__


def beside(self, values, columns, starts, shape, kind):
    init(self, *(guarded(array, side) if array.size else array for array in (values, columns, starts)), shape, kind)


def canary(side):
    """Die, as a kernel must that is given a column far outside, where nobody has looked."""
    child = os.fork()
    if child == 0:
        sparsity.order_of_places = {"float32": lambda *_: sparsity.FITS}
        matrix = sparse.csr_array(X)
        matrix.indices[5] = {"left": -(10**9), "right": 10**9}[side]
        make_net((N_IN, 20, 4))(matrix)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSEGV, signal.SIGBUS)


sparsity.CompressedRows.__init__ = beside
count = 0
for side in ("left", "right"):
    net, calls = network_calls()
    for call in calls.values():
        call(sparse.csr_array(X))
    for bad in BAD:
        check_refused(calls, bad, "X")
        count += 1
    assert canary(side), side
print(count)
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs mmap, mprotect and fork")
def test_no_kernel_goes_where_a_matrix_says():
    command = [sys.executable, "-W", "ignore", "-c", GUARDED]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    assert int(done.stdout) == 2 * len(BAD)


@pytest.mark.parametrize("kind", ["network", "estimator"])
def test_parts_that_do_not_belong_together(kind):
    matrix, y = sparse.random(40, 64, 0.1, "csr", random_state=0), np.zeros(40)
    two = matrix.copy()
    two.data = np.c_[two.data, two.data]
    diagonals = matrix.todia()
    diagonals.offsets = diagonals.offsets[:-5]
    lists, fewer = matrix.tolil(), matrix.tolil()
    lists.data[3] = [*lists.data[3], 1.0]
    fewer.rows = fewer.rows[:-1]
    masked = matrix.copy()
    masked.data = np.ma.masked_greater(masked.data, 0.5)
    for bad, message in (
        (two, "dimensions"),
        (diagonals, "offsets"),
        (lists, "in row 3"),
        (fewer, "lists for 39"),
        (masked, "masked"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            make_net((64, 8, 1))(bad) if kind == "network" else MLPRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(bad, y)
