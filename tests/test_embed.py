"""Networks in compiled functions: the bits that Python gets, and an error before anything is read that is not there."""

import copy
import gc
import pickle
import signal
import sys
import threading

import embedded
import numpy as np
import pytest
from conftest import ACTIVATIONS, DTYPES, LOSSES, label, make_net, make_samples, make_targets
from numba import njit
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python as runtime

from fastbp import embed
from fastbp.embed.handles import handle_of
from fastbp.kernels.embedded.records import Pool, Workspace

SHAPES = [(4, 3), (4, 7, 2), (4, 32, 2), (33, 17, 1), (20, 65, 40, 11)]  # of them the first two are narrow


def same(one, other):
    np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
def test_outputs_have_the_bits_of_those_in_python(activation, dtype):
    for sizes in SHAPES:
        net, X = make_net(sizes, activation, dtype=dtype), make_samples(19, sizes[0], dtype)
        same(embedded.outputs(net, X), net(X))
        same(embedded.outputs(net, X[0]), net(X[0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_losses_and_gradients_have_the_bits_of_those_in_python(loss, dtype):
    for sizes in [(4, 3), (4, 32, 2), (20, 65, 40, 11)]:
        net, X = make_net(sizes, "gelu", loss, dtype=dtype), make_samples(19, sizes[0], dtype)
        y = make_targets(loss, 19, sizes[-1], dtype)
        grad = np.empty(net.params.size, dtype)
        expected, gradients = net.value_and_grad(X, y)
        assert embedded.value_and_grad_into(net, X, y, grad) == expected
        same(grad, gradients.params)
        same(embedded.outputs(net, X), net(X))


@pytest.mark.parametrize("rows", [1, 2, 95, 96, 97, 255, 256, 1023, 1024])
def test_so_they_have_whatever_the_number_of_rows(rows):
    net, X, y = make_net((20, 65, 40, 11)), make_samples(rows, 20), make_targets("squared", rows, 11)
    embed.prepare(net, rows=1024, threads=1)
    grad = np.empty(net.params.size)
    expected, gradients = net.value_and_grad(X, y)
    assert embedded.value_and_grad_into(net, X, y, grad) == expected
    same(grad, gradients.params)


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_have_the_bits_of_those_in_python(dtype):
    for sizes in SHAPES:
        net, X = make_net(sizes, dtype=dtype), make_samples(300, sizes[0], dtype)
        V, U = make_samples(300, sizes[-1], dtype), make_samples(300, sizes[0], dtype, seed=1)
        J, pulled, pushed = np.empty((300, sizes[-1], sizes[0]), dtype), np.empty_like(X), np.empty_like(V)
        embedded.jacobian_into(net, X, J)
        same(J, net.jacobian(X))
        embedded.vjp_into(net, X, V, pulled)
        same(pulled, net.vjp(X, V))
        embedded.jvp_into(net, X, U, pushed)
        same(pushed, net.jvp(X, U))
        embedded.jacobian_into(net, X[1], J[0])
        same(J[0], net.jacobian(X[1]))
        if sizes[-1] == 1:
            embedded.input_gradient_into(net, X, pulled)
            same(pulled, net.jacobian(X)[:, 0])


def test_class_numbers_are_targets_one_by_one_too():
    net, X, y = make_net((4, 20, 3), loss="cross_entropy"), make_samples(9, 4), np.arange(9) % 3
    grad = np.empty(net.params.size)
    expected, gradients = net.value_and_grad(X, y)
    assert embedded.value_and_grad_into(net, X, y, grad) == expected
    same(grad, gradients.params)
    expected, gradients = net.value_and_grad(X[4:5], y[4:5])
    assert embedded.value_and_grad_into(net, X[4], 1, grad) == expected
    same(grad, gradients.params)


def test_many_rows_and_none():
    net = make_net((4, 32, 2))
    X = make_samples(5000, 4)
    same(embedded.outputs(net, X), net(X))
    assert embedded.outputs(net, X[:0]).shape == (0, 2)
    with pytest.raises(ValueError, match="x has no rows"):
        embedded.value_and_grad_into(net, X[:0], np.empty((0, 2)), np.empty(net.params.size))


# --- threads, memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workspaces", [1, 2, 5])
def test_any_number_of_threads_may_call_at_once(workspaces):
    net, X, y = make_net((4, 32, 2)), make_samples(2000, 4), make_targets("squared", 2000, 2)
    embed.prepare(net, threads=workspaces)
    out, grads, losses = np.empty((2000, 2)), np.empty((2000, net.params.size)), np.empty(2000)
    embedded.rows_by_all_threads(net, X, out)
    same(out, net(X))
    embedded.gradients_by_all_threads(net, X, y, grads, losses)
    for i in range(0, 2000, 97):
        loss, gradient = net.value_and_grad(X[i : i + 1], y[i : i + 1])
        assert losses[i] == loss
        same(grads[i], gradient.params)


def test_threads_of_python_run_while_one_calls():
    net, X, out = make_net((4, 32, 2)), make_samples(500, 4), np.empty((500, 2))
    embedded.rows_one_by_one(net, X, out, 1)
    turns = 0
    other = threading.Thread(target=embedded.rows_one_by_one, args=(net, X, out, 2000))
    other.start()
    while other.is_alive():
        turns += 1
    assert turns > 1000  # with the GIL held until the end there would be a few


def test_nothing_is_allocated():
    net, X, y = make_net((4, 32, 2)), make_samples(50, 4), make_targets("squared", 50, 2)
    trainer = net.trainer(batch_size=5)
    out, losses = np.empty((50, 2)), np.empty(1000)

    def allocated(call, *arguments):
        call(*arguments)
        before = runtime.memsys_get_stats_alloc()
        call(*arguments)
        return runtime.memsys_get_stats_alloc() - before

    runtime.memsys_enable_stats()
    try:
        few = allocated(embedded.rows_one_by_one, net, X, out, 1), allocated(embedded.steps, trainer, X, y, 5, losses[:1])
        many = allocated(embedded.rows_one_by_one, net, X, out, 100), allocated(embedded.steps, trainer, X, y, 5, losses)
        assert many == few
        assert allocated(embedded.outputs, net, X) > 0  # a new array: the count counts
    finally:
        runtime.memsys_disable_stats()


def test_ctrl_c_ends_a_loop_of_calls():
    net, X, out = make_net((4, 32, 2)), make_samples(500, 4), np.empty((500, 2))
    embedded.rows_one_by_one(net, X, out, 1)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            embedded.rows_one_by_one(net, X, out, 10**9)
    finally:
        signal.signal(signal.SIGALRM, before)
    embedded.rows_one_by_one(net, X, out, 1)
    same(out, net(X))


# --- what lives how long -----------------------------------------------------------------------------------------------------


def test_new_parameters_are_seen_by_the_next_call():
    net, X = make_net((4, 32, 2)), make_samples(9, 4)
    for value in (net.params * 2, net.params * 3):
        net.params = value
        same(embedded.outputs(net, X), net(X))
        same(embedded.outputs(net, X[0]), net(X[0]))
    net.weights[0][:] = 0.5
    same(embedded.outputs(net, X), net(X))


def test_a_network_that_is_a_constant_outlives_its_name():
    net, X = make_net((4, 32, 2)), make_samples(9, 4)

    @njit
    def frozen(x):
        return net(x)

    expected = net(X)
    same(frozen(X), expected)
    net = None
    gc.collect()
    junk = [np.full(1 << 12, np.nan) for _ in range(100)]
    same(frozen(X), expected)
    del junk


def test_a_network_comes_out_as_it_went_in():
    @njit
    def chosen(nets, other, first):
        return nets[0] if first else other

    one, other = make_net((4, 32, 2)), make_net((4, 5, 2), seed=1)
    assert chosen((one,), other, True) is one
    assert chosen((one,), other, False) is other


def test_references_are_given_back():
    net, X = make_net((4, 32, 2)), make_samples(9, 4)
    embedded.outputs(net, X)
    before = sys.getrefcount(net)
    for _ in range(100):
        embedded.outputs(net, X)
    assert sys.getrefcount(net) == before


def test_copies_and_pickles_have_workspaces_of_their_own():
    net, X = make_net((4, 32, 2)), make_samples(9, 4)
    expected = embedded.outputs(net, X)
    for other in (net.copy(), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        net.params[:] = 0.0
        same(embedded.outputs(other, X), expected)
        net.params = other.params


def test_a_larger_workspace_takes_the_place_of_the_one_before():
    net, X, y = make_net((4, 32, 2)), make_samples(600, 4), make_targets("squared", 600, 2)
    grad = np.empty(net.params.size)
    with pytest.raises(ValueError, match=r"fastbp.embed.prepare\(net, rows\)"):
        embedded.value_and_grad_into(net, X, y, grad)
    made = embed.prepare(net, rows=600, threads=1)
    assert (made.rows, made.threads) == (600, 1)
    assert embedded.value_and_grad_into(net, X, y, grad) == net.value_and_grad(X, y)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "rows must be at least 1"),
        ({"rows": 1025}, "at most 1024"),
        ({"threads": 0}, "threads"),
        ({"threads": 4097}, "threads .* 4096"),
    ],
)
def test_bad_options_of_workspaces_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        embed.prepare(make_net((4, 3)), **options)


def test_workspaces_are_free_in_a_process_that_was_forked_meanwhile():
    net = make_net((4, 32, 2))
    pool = handle_of(net)._predicting.pool
    pool[Pool.size :: Workspace.size] = 1  # as if threads were in them
    embed.handles._after_fork()
    assert not pool[Pool.size :: Workspace.size].any()


# --- errors ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        ("outputs", lambda X, y, g: (X.astype("float32"),), "x must be a C-contiguous array of float64 with 1 or 2 dimensions"),
        ("outputs", lambda X, y, g: (X[:, ::2],), "C-contiguous"),
        ("outputs", lambda X, y, g: (X.T,), "x must be a C-contiguous"),
        ("outputs", lambda X, y, g: (X[None],), "1 or 2 dimensions"),
        ("outputs", lambda X, y, g: (1.0,), "x must be"),
        ("predict_into", lambda X, y, g: (X, y[0]), "out must be a writable C-contiguous array of float64 with 2 dimensions"),
        ("predict_into", lambda X, y, g: (X, y.astype("float32")), "out must be"),
        ("value_and_grad_into", lambda X, y, g: (X, y, g.astype("float32")), "grad must be"),
        ("value_and_grad_into", lambda X, y, g: (X, y.astype(int), g), "y must be a C-contiguous array of float64"),
        ("value_and_grad_into", lambda X, y, g: (X[0], 1, g), "y must be"),
        ("vjp_into", lambda X, y, g: (X, y[0], X), "v must be"),
        ("jacobian_into", lambda X, y, g: (X, X), "out must be a writable C-contiguous array of float64 with 3 dimensions"),
    ],
)
def test_wrong_types_are_errors_of_compiling(call, arguments, message):
    net, X, y = make_net((4, 32, 2)), make_samples(9, 4), make_targets("squared", 9, 2)
    with pytest.raises(TypingError, match=message):
        getattr(embedded, call)(net, *arguments(X, y, np.zeros(net.params.size)))


def test_what_must_not_be_written_is_not():
    net, X, out = make_net((4, 32, 2)), make_samples(9, 4), np.empty((9, 2))
    out.flags.writeable = False
    with pytest.raises(TypingError, match="out must be a writable"):
        embedded.predict_into(net, X, out)


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        ("outputs", lambda X, y, g: (X[:, :3].copy(),), "x must have as many columns as the network has inputs"),
        ("outputs", lambda X, y, g: (X[0, :3],), "x must have as many columns"),
        ("outputs", lambda X, y, g: (X * np.nan,), "holds NaN or infinity"),
        ("predict_into", lambda X, y, g: (X, y[:8]), "out must have a row for each row of x"),
        ("predict_into", lambda X, y, g: (X, np.empty((9, 3))), "out must have a row for each"),
        ("predict_into", lambda X, y, g: (X[0], g[:1]), "and as many columns"),
        ("value_and_grad_into", lambda X, y, g: (X[:, :3].copy(), y, g), "x must have as many columns"),
        ("value_and_grad_into", lambda X, y, g: (X, y[:8], g), "y must have a row"),
        ("value_and_grad_into", lambda X, y, g: (X, y[:, 0].copy(), g), "y must have a row of as many"),
        ("value_and_grad_into", lambda X, y, g: (X, y, g[1:]), "grad must have as many numbers as net.params"),
        ("value_and_grad_into", lambda X, y, g: (X, y * np.inf, g), "x, y or v holds NaN"),
        ("input_gradient_into", lambda X, y, g: (X, X.copy()), "is for networks with one output"),
        ("jacobian_into", lambda X, y, g: (X, np.empty((9, 4, 2))), "out must have the shape"),
        ("jacobian_into", lambda X, y, g: (X, np.empty((8, 2, 4))), "out must have the shape .rows"),
        ("vjp_into", lambda X, y, g: (X, X, X.copy()), "v must have a row for each row of x"),
        ("vjp_into", lambda X, y, g: (X, y, X[:8].copy()), "out must have the shape of x"),
        ("vjp_into", lambda X, y, g: (X, y * np.nan, X.copy()), "holds NaN"),
        ("jvp_into", lambda X, y, g: (X, y, y.copy()), "v must have the shape of x"),
        ("jvp_into", lambda X, y, g: (X, X, X.copy()), "out must have a row"),
    ],
)
def test_wrong_values_are_errors_before_anything_is_written(call, arguments, message):
    net, X, y = make_net((4, 32, 2)), make_samples(9, 4), make_targets("squared", 9, 2)
    given = arguments(X, y, np.zeros(net.params.size))
    before = [copy.copy(each) for each in given]
    with pytest.raises(ValueError, match=message):
        getattr(embedded, call)(net, *given)
    for now, then in zip(given, before, strict=True):
        if message != "holds NaN or infinity" or call != "outputs":
            np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("cross_entropy", np.array([0, 1, 3]), "no class of the network"),
        ("cross_entropy", np.array([0, 1, -1]), "a number that is no class"),
        ("cross_entropy", np.full((3, 3), 0.2), "targets that the loss does not take"),
        ("binary_cross_entropy", np.full((3, 3), 1.5), "targets that the loss does not take"),
        ("binary_cross_entropy", np.full((3, 3), -0.5), "y holds targets that the loss does not take"),
        ("poisson", np.full((3, 3), -1.0), "targets that the loss does not take"),
        ("gamma", np.zeros((3, 3)), "targets that the loss does not take"),
    ],
)
def test_targets_that_the_loss_does_not_take(loss, y, message):
    net = make_net((4, 20, 3), loss=loss)
    with pytest.raises(ValueError, match=message):
        embedded.value_and_grad_into(net, make_samples(3, 4), y, np.empty(net.params.size))
    with pytest.raises(ValueError, match=r"y (holds|must)"):
        net.value_and_grad(make_samples(3, 4), y)
