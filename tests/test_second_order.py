"""J^T J of squared errors, whole and times vectors, against a dense Jacobian in NumPy."""

import numpy as np
import pytest
from conftest import ACTIVATIONS, DTYPES, error, label, make_net, make_samples, make_targets
from least_squares import normal_equations

from fastbp import SquaredError
from fastbp.engine.minimize import curvature
from fastbp.engine.minimize.curvature import NormalEquations, Products

# around panels of P + 1 columns, blocks of samples, and several outputs whose parameters begin anywhere in a panel
SHAPES = [(1, 1), (3, 1), (14, 1), (15, 1), (16, 1), (2, 3, 2), (1, 1, 1), (4, 7, 5, 3), (3, 20, 17), (5, 33, 2)]
BOUND = {"float64": 1e-12, "float32": 2e-5}
LOSSES = [SquaredError(reduction) for reduction in ("half_sum", "sum", "mean")]


def case(sizes, n, dtype, hidden="tanh", loss="squared", **settings):
    net = make_net(sizes, hidden, loss, dtype=dtype, **settings)
    return net, make_samples(n, sizes[0], dtype), make_targets("squared", n, sizes[-1], dtype)


def dense(found, count):
    """The (count + 1, count + 1) matrix whose upper triangle was computed."""
    upper = np.triu(found[: count + 1, : count + 1])
    return upper + np.triu(upper, 1).T


def check(net, X, y, weights=None):
    count = net.params.size
    A, g, e2, *_ = normal_equations(net, X, y, weights)
    found = dense(NormalEquations(net, X, y, weights).whole(), count)
    bound = BOUND[net.dtype.name]
    assert error(found[:count, :count], A) < bound
    assert error(found[:count, count], g) < bound * max(1.0, np.sqrt(A.diagonal().max() * e2) / np.abs(g).max())
    assert abs(found[count, count] - e2) < bound * e2
    assert abs(0.5 * e2 - net.loss(X, y, weights)) < bound * e2
    v = np.random.default_rng(0).normal(size=count)
    assert error(Products(net, X, y, weights).times(v), A @ v) < 10 * bound


@pytest.mark.parametrize("loss", LOSSES, ids=label)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_activation_and_reduction(dtype, activation, loss):
    check(*case((4, 7, 5, 3), 70, dtype, activation, loss))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
def test_an_activation_of_the_outputs(activation):
    check(*case((3, 6, 2), 40, "float64", output=activation))


@pytest.mark.parametrize("n", [1, 2, 9, 256, 257, 601])
@pytest.mark.parametrize("sizes", SHAPES)
def test_every_shape(sizes, n):
    net, X, y = case(sizes, n, "float64")
    check(net, X, y)
    check(net, X, y, np.random.default_rng(1).uniform(0, 3, n) * 1e-200)


@pytest.mark.parametrize("sizes", SHAPES)
def test_every_shape_in_single_precision(sizes):
    check(*case(sizes, 257, "float32"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(5, 33, 2), (2, 16, 16, 1)])
def test_the_bits_do_not_depend_on_the_threads(sizes, dtype, teams):
    net, X, y = case(sizes, 1000, dtype)
    weights, v = np.random.default_rng(1).uniform(0, 3, 1000), np.random.default_rng(0).normal(size=net.params.size)
    found = []
    for n_threads in (1, 2, 3, 4):
        equations, products = (cls(net, X, y, weights, n_threads) for cls in (NormalEquations, Products))
        found.append((equations.whole().tobytes(), products.times(v).tobytes()))
        equations.close()
        products.close()
    assert found == found[:1] * 4
    assert set(teams) == {1, 2, 3, 4}


def test_a_pass_in_several_calls_is_one(monkeypatch):
    net, X, y = case((3, 9, 2), 1500, "float64")
    whole, products = NormalEquations(net, X, y), Products(net, X, y)
    expected, v = whole.whole().copy(), np.arange(net.params.size) - 7.0
    product = products.times(v)
    short, calls = NormalEquations(net, X, y), []
    short.plan.budget = products.plan.budget = 1
    by_all = short._by_all
    monkeypatch.setattr(short, "_by_all", lambda *arguments: (calls.append(1), by_all(*arguments))[1])
    assert np.array_equal(short.whole(), expected)
    assert len(calls) == 6  # blocks of 256
    assert np.array_equal(products.times(v), product)


def test_a_pass_that_is_interrupted_begins_anew(monkeypatch):
    net, X, y = case((3, 9, 2), 1500, "float64")
    expected = NormalEquations(net, X, y).whole().copy()
    short, left = NormalEquations(net, X, y), [2]
    short.plan.budget = 1
    by_all = short._by_all

    def interrupted(*arguments):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return by_all(*arguments)

    monkeypatch.setattr(short, "_by_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        short.whole()
    assert np.array_equal(short.whole(), expected)


def test_a_block_has_few_samples_where_each_is_much_work(monkeypatch):
    net, X, y = case((3, 9, 2), 300, "float64")
    expected = NormalEquations(net, X, y)
    monkeypatch.setattr(curvature, "CALL_SECONDS", 1e-12)
    found = NormalEquations(net, X, y)
    assert (expected.plan.block, found.plan.block) == (256, curvature.LEAST_ROWS)
    assert error(found.whole(), expected.whole()) < 1e-13


def test_numbers_of_other_kinds_are_converted():
    net = make_net((4, 6, 2), input_scale=1 / 255)
    X = np.random.default_rng(0).integers(0, 256, (300, 4)).astype(np.uint8)
    y = make_targets("squared", 300, 2)
    found = NormalEquations(net, X, y).whole()
    assert error(found, NormalEquations(make_like(net), X / 255, y).whole()) < 1e-12


def make_like(net):
    other = make_net(net.sizes)
    other.params[:] = net.params
    return other
