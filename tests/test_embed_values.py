"""Networks as values of compiled functions: where Numba may keep them, and arrays that overlap."""

import gc
import multiprocessing
import os

import embedded
import numpy as np
import pytest
from conftest import make_net, make_samples, make_targets
from numba import njit, prange
from numba.core.errors import NumbaTypeError, TypingError
from scipy import LowLevelCallable, integrate

import fastbp
from fastbp import embed


def test_a_network_that_may_be_none_is_called():
    @njit
    def outputs(net, x, wanted):
        chosen = net if wanted else None
        return chosen(x)

    net, X = make_net((4, 32, 2)), make_samples(9, 4)
    np.testing.assert_array_equal(outputs(net, X, True), net(X))
    with pytest.raises(TypeError, match="got None"):
        outputs(net, X, False)


def test_a_network_is_itself():
    @njit
    def are_same(one, other):
        return one is other

    net, (one, other) = make_net((4, 3)), (make_net((4, 3)).trainer() for _ in range(2))
    assert are_same(net, net)
    assert not are_same(net, net.copy())
    assert are_same(one, one)
    assert not are_same(one, other)


def test_a_trainer_is_no_constant():
    trainer = make_net((4, 3)).trainer()

    @njit
    def step(x, y):
        return trainer.step(x, y)

    with pytest.raises(
        NumbaTypeError, match="a Trainer cannot be a global of a compiled function, nor closed over: make it an arg"
    ):
        step(make_samples(9, 4), make_targets("squared", 9, 3))


class Doubled(fastbp.Network):
    def __call__(self, X, n_threads=None):
        return 2 * super().__call__(X, n_threads)


class Named(fastbp.Network):
    name = "one"


def test_a_network_whose_class_computes_something_else_is_refused():
    net, X = Doubled([4, 3], dtype="float64", rng=0), make_samples(9, 4)
    with pytest.raises(TypeError, match=r"would not call Doubled.__call__, but the network alone: pass net.copy\(\)"):
        embedded.outputs(net, X)
    np.testing.assert_array_equal(2 * embedded.outputs(net.copy(), X), net(X))
    net = Named([4, 3], dtype="float64", rng=0)
    np.testing.assert_array_equal(embedded.outputs(net, X), net(X))


def test_workspaces_are_for_networks():
    with pytest.raises(TypeError, match=r"net must be a fastbp.Network, got Trainer"):
        embed.prepare(make_net((4, 3)).trainer())


def test_what_class_numbers_must_be_is_said():
    net, X, grad = make_net((4, 3), loss="cross_entropy"), make_samples(9, 4), np.empty(15)
    with pytest.raises(TypingError, match=r"or class numbers in an array of int64 with 1 dimension, got array.int32"):
        embedded.value_and_grad_into(net, X, np.zeros(9, np.int32), grad)
    with pytest.raises(TypingError, match="or an integer, the class number, got bool"):
        embedded.value_and_grad_into(net, X[0], True, grad)
    with pytest.raises(TypingError, match=r"dimensions, got array.int32"):
        embedded.value_and_grad_into(make_net((4, 3)), X, np.zeros(9, np.int32), grad)


# --- arrays that overlap -----------------------------------------------------------------------------------------------------

DERIVATIVES = {  # what each writes, from x and v
    "predict_into": lambda net, x, v: net(x),
    "vjp_into": lambda net, x, v: net.vjp(x, v),
    "jvp_into": lambda net, x, v: net.jvp(x, v),
    "jacobian_into": lambda net, x, v: net.jacobian(x),
    "input_gradient_into": lambda net, x, v: net.jacobian(x)[:, 0],
}
SQUARE, SCALAR = (6, 20, 6), (6, 20, 1)


def write(name, net, x, v, out):
    """Call a method by its name."""
    given = (x, v) if name in ("vjp_into", "jvp_into") else (x,)
    getattr(embedded, name)(net, *given, out)


READ = [(name, which) for name in DERIVATIVES for which in ("x", "v") if which == "x" or name in ("vjp_into", "jvp_into")]


@pytest.mark.parametrize("sizes", [SQUARE, (6, 5, 6), SCALAR, (6, 6)])
@pytest.mark.parametrize(("name", "which"), READ)
def test_what_is_written_may_begin_where_rows_begin_that_are_no_shorter(name, which, sizes):
    net = make_net(SCALAR if name == "input_gradient_into" else sizes)
    given = {"x": make_samples(700, 6), "v": make_samples(700, 6 if name == "jvp_into" else net.sizes[-1], seed=1)}
    expected = DERIVATIVES[name](net, **given)
    size = given[which].size
    memory = np.zeros(max(size, expected.size))
    memory[:size] = given[which].reshape(-1)
    given[which], out = memory[:size].reshape(700, -1), memory[: expected.size].reshape(expected.shape)
    if expected.size > size:
        with pytest.raises(ValueError, match="out overlaps x or v"):
            write(name, net, **given, out=out)
    else:
        write(name, net, **given, out=out)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("rows", [2, 700])
@pytest.mark.parametrize(("name", "which"), [pair for pair in READ if pair[0] != "input_gradient_into"])
def test_rows_that_would_be_overwritten_before_they_are_read_are_an_error(name, which, rows):
    net, v, memory = make_net(SQUARE), make_samples(rows, 6, seed=1), make_samples(rows * 8, 6).reshape(-1)
    given = memory[6 : 6 + rows * 6].reshape(rows, 6)
    pair = (given, v) if which == "x" else (v, given)
    expected, before = DERIVATIVES[name](net, *pair), memory.copy()
    shape = expected.shape
    for begin in (7, 6 + rows * 6 - 1) if name != "jacobian_into" else (0, 6, 7):
        with pytest.raises(ValueError, match="out overlaps x or v"):
            write(name, net, *pair, memory[begin : begin + expected.size].reshape(shape))
        np.testing.assert_array_equal(memory, before)
    write(name, net, *pair, memory[6 + rows * 6 :][: expected.size].reshape(shape))  # right behind
    np.testing.assert_array_equal(memory[6 + rows * 6 :][: expected.size].reshape(shape), expected)
    if name != "jacobian_into":
        write(name, net, *pair, memory[5 : 5 + expected.size].reshape(shape))  # one number before
        np.testing.assert_array_equal(memory[5 : 5 + expected.size].reshape(shape), expected)


def test_one_row_may_overlap_in_any_way():
    net, memory = make_net(SQUARE), make_samples(3, 6).reshape(-1)
    expected = net(memory[:6])
    embedded.predict_into(net, memory[:6], memory[3:9])
    np.testing.assert_array_equal(memory[3:9], expected)


# --- exceptions --------------------------------------------------------------------------------------------------------------


@njit
def _or_nan(net, x, out):
    try:
        net.predict_into(x, out)
    except Exception:  # Numba knows no other
        out[:] = np.nan


@njit(parallel=True)
def _rows_or_nan(net, x, out):
    for i in prange(len(x)):
        _or_nan(net, x[i], out[i])


def test_an_error_that_is_caught_in_a_prange_spoils_no_other_row():
    net, X, out = make_net((4, 32, 2)), make_samples(50, 4), np.zeros((50, 2))
    expected = net(X)
    X[3, 1], X[40, 0] = np.nan, np.inf
    expected[[3, 40]] = np.nan
    _rows_or_nan(net, X, out)
    np.testing.assert_array_equal(out, expected)


# --- what lives how long -----------------------------------------------------------------------------------------------------


def test_what_scipy_has_keeps_the_network():
    function = make_net((1, 16, 1)).cfunc
    called = LowLevelCallable(function.integrand, function.user_data)
    expected, _ = integrate.quad(called, -1.0, 1.0)
    del function
    gc.collect()
    junk = [np.full(length, np.nan) for length in range(20, 2000) for _ in range(3)]
    assert integrate.quad(called, -1.0, 1.0)[0] == expected
    del junk


def _in_child(queue):
    queue.put(embedded.outputs(make_net((4, 32, 2)), make_samples(9, 4)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_was_forked_while_workspaces_were_made_makes_its_own():
    net, X = make_net((4, 32, 2)), make_samples(9, 4)
    embedded.outputs(net, X)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(queue,))
    with embed.handles._making:  # as if another thread held it
        child.start()
    child.join(30)
    if child.is_alive():
        child.kill()
        child.join()
    assert child.exitcode == 0
    np.testing.assert_array_equal(queue.get(), net(X))
