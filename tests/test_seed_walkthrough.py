"""A walk through forward and backward propagation: sigmoid networks 1-1-1-1, 1-3-2-1 and 2-3-3-1 with quadratic cost.

Its random numbers are not seeded: its prints are followed where they do not depend on them (shapes, costs, equalities).
"""

import random

import numpy as np
import pytest
from sklearn.datasets import make_circles

import fastbp
from fastbp import textbook
from fastbp.initializers import Uniform

EPOCHS, BATCH, ETA = 10, 50, 1e-2


def sigmoid_network(sizes, rng=0, **options):
    options = {"init": "normal", "hidden": "sigmoid", "output": "sigmoid"} | options
    return fastbp.Network(sizes, dtype="float64", rng=rng, **options)


def toy():
    X = np.linspace(-5, 5, 1000).reshape(-1, 1)
    return X, np.where(X > 0, 1.0, -1.0)


@pytest.fixture(scope="module")
def circles():
    X, y = make_circles(n_samples=1000, shuffle=False, factor=0.3, noise=0.1, random_state=0)
    return X, y.reshape(-1, 1).astype(float)


def test_printed_cost_of_one_sample():
    net = fastbp.Network([1, 1], loss=fastbp.SquaredError("mean"), dtype="float64", weights=[[[0.0]]], biases=[[0.76936505]])
    np.testing.assert_allclose(net.loss([[-5.0]], [[-1.0]]), 3.1306526667222374, rtol=0, atol=2e-8)


def test_printed_shapes(circles):
    trace = sigmoid_network([1, 3, 2, 1]).trace(*toy())
    assert [z.T.shape for z in trace.z] == [(3, 1000), (2, 1000), (1, 1000)]
    assert [a.T.shape for a in trace.a] == [(1, 1000), (3, 1000), (2, 1000), (1, 1000)]
    assert [d.T.shape for d in trace.delta] == [z.T.shape for z in trace.z]
    net = sigmoid_network([2, 3, 3, 1])
    assert net.params.shape == (25,)
    assert [z.shape for z in net.trace(*circles).z] == [(1000, 3), (1000, 3), (1000, 1)]


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [1, 3, 2, 1]])
def test_four_equations_hold_between_the_quantities_of_the_trace(sizes):
    net, (X, y) = sigmoid_network(sizes), toy()
    a, z, delta = net.trace(X, y)
    _, gradient = net.value_and_grad(X, y)
    s = [1 / (1 + np.exp(-each)) for each in z]
    for layer, w in enumerate(net.weights):
        np.testing.assert_allclose(z[layer], a[layer] @ w.T + net.biases[layer], rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(a[layer + 1], s[layer], rtol=1e-13)
        error = (a[-1] - y) / len(X) if layer == len(z) - 1 else delta[layer + 1] @ net.weights[layer + 1]
        np.testing.assert_allclose(delta[layer], error * s[layer] * (1 - s[layer]), rtol=1e-11, atol=1e-18)
        np.testing.assert_allclose(gradient.biases[layer], delta[layer].sum(axis=0), rtol=1e-11)
        np.testing.assert_allclose(gradient.weights[layer], delta[layer].T @ a[layer], rtol=1e-11)


def test_biases_as_a_column_of_weights():
    X, _ = toy()
    net = sigmoid_network([1, 3, 2, 1])
    # a unit with the constant activation 1 in each hidden layer: sigmoid(40) is 1 in float64
    weights = [np.column_stack([w, b]) for w, b in zip(net.weights, net.biases, strict=True)]
    for w in weights[:-1]:
        w.resize((w.shape[0] + 1, w.shape[1]), refcheck=False)
        w[-1, -1] = 40.0
    merged = sigmoid_network([2, 4, 3, 1], weights=weights)
    assert not any(b.any() for b in merged.biases)
    np.testing.assert_allclose(merged(np.column_stack([X, np.ones(1000)])), net(X), rtol=1e-14)


def test_linear_layers_collapse_into_one():
    X, _ = toy()
    deep = sigmoid_network([1, 3, 2, 1], hidden="identity", output="identity")
    (w1, w2, w3), (b1, b2, b3) = deep.weights, deep.biases
    weights, biases = [w3 @ w2 @ w1], [w3 @ w2 @ b1 + w3 @ b2 + b3]
    flat = fastbp.Network([1, 1], dtype="float64", weights=weights, biases=biases)
    np.testing.assert_allclose(flat(X), deep(X), rtol=1e-13, atol=1e-14)
    final = sigmoid_network([1, 3, 2, 1], hidden="identity", weights=deep.weights, biases=deep.biases)
    logistic = sigmoid_network([1, 1], weights=weights, biases=biases)
    np.testing.assert_allclose(final(X), logistic(X), rtol=1e-13)


@pytest.mark.parametrize("layer", [0, 2])
def test_slope_of_a_nudge_is_the_gradient(layer):
    net, (X, y) = sigmoid_network([1, 1, 1, 1], loss=fastbp.SquaredError("sum")), toy()
    one = X[:1], y[:1]
    _, gradient = net.value_and_grad(*one)
    centre = net.weights[layer][0, 0]
    costs = []
    for nudge in (-1e-5, 1e-5):
        net.weights[layer][0, 0] = centre + nudge
        costs.append(net.loss(*one))
    np.testing.assert_allclose((costs[1] - costs[0]) / 2e-5, gradient.weights[layer][0, 0], rtol=1e-6)


def test_gradients_are_checked_at_every_step(circles):
    X, y = circles
    net = sigmoid_network([2, 3, 3, 1], init=Uniform(0.0, 1.0))
    order = np.tile(np.arange(1000).reshape(-1, BATCH), (EPOCHS, 1))
    batch_errors, sample_errors = [], []

    def check(step, net, history):
        rows = order[step]
        batch_errors.append(net.check_gradients(X[rows], y[rows], eps=1e-7).max_error)
        one = rows[step % BATCH :][:1]
        sample_errors.append(net.check_gradients(X[one], y[one], eps=1e-7).max_error)

    net.fit(X, y, epochs=200, batch_size=BATCH, order=order, optimizer=fastbp.SGD(ETA), callbacks=[check])
    assert len(batch_errors) == len(sample_errors) == 200
    assert max(batch_errors) < 1e-7
    assert max(sample_errors) < 1e-7


def per_example(weights, biases, X, y):
    """The notebook's training: gradients of single examples, added up over each mini-batch of consecutive rows."""
    weights, biases = [w.copy() for w in weights], [b.reshape(-1, 1).copy() for b in biases]
    for _ in range(EPOCHS):
        for first in range(0, len(X), BATCH):
            w_sums, b_sums = [np.zeros_like(w) for w in weights], [np.zeros_like(b) for b in biases]
            for x, target in zip(X[first : first + BATCH], y[first : first + BATCH], strict=True):
                a = [x.reshape(-1, 1)]
                for w, b in zip(weights, biases, strict=True):
                    a.append(1 / (1 + np.exp(-(w @ a[-1] + b))))
                error = a[-1] - target.reshape(-1, 1)
                for layer in (2, 1, 0):
                    delta = error * a[layer + 1] * (1 - a[layer + 1])
                    w_sums[layer] += delta @ a[layer].T
                    b_sums[layer] += delta
                    error = weights[layer].T @ delta
            weights = [w - ETA / BATCH * total for w, total in zip(weights, w_sums, strict=True)]
            biases = [b - ETA / BATCH * total for b, total in zip(biases, b_sums, strict=True)]
    return weights, biases


def test_ten_epochs_equal_nielsens_class(circles, monkeypatch):
    X, y = circles
    net = sigmoid_network([2, 3, 3, 1], init=Uniform(0.0, 1.0))
    columns = [b.reshape(-1, 1).copy() for b in net.biases]
    book = textbook.Network([2, 3, 3, 1], weights=[w.copy() for w in net.weights], biases=columns)
    weights, biases = per_example(net.weights, net.biases, X, y)

    net.fit(X, y, epochs=EPOCHS, batch_size=BATCH, shuffle=False, optimizer=fastbp.SGD(ETA))
    monkeypatch.setattr(random, "shuffle", lambda _: None)  # the notebook comments it out
    book.SGD([(row.reshape(-1, 1), target.reshape(-1, 1)) for row, target in zip(X, y, strict=True)], EPOCHS, BATCH, ETA)

    for layer in range(3):
        np.testing.assert_allclose(net.weights[layer], weights[layer], rtol=0, atol=1e-12)
        np.testing.assert_allclose(book.weights[layer], weights[layer], rtol=0, atol=1e-12)
        np.testing.assert_allclose(net.biases[layer].reshape(-1, 1), biases[layer], rtol=0, atol=1e-12)
        np.testing.assert_allclose(book.biases[layer], biases[layer], rtol=0, atol=1e-12)


def test_mean_of_single_gradients_is_that_of_the_batch(circles):
    X, y = circles
    net = sigmoid_network([2, 3, 3, 1])
    _, whole = net.value_and_grad(X[:BATCH], y[:BATCH])
    single = [net.value_and_grad(X[i : i + 1], y[i : i + 1])[1].params.copy() for i in range(BATCH)]
    np.testing.assert_allclose(np.mean(single, axis=0), whole.params, rtol=1e-12, atol=1e-16)


def test_norms_are_recorded(circles):
    X, y = circles
    net = sigmoid_network([2, 3, 3, 1])
    order = np.arange(1000).reshape(-1, BATCH)
    expected = []

    def compute(step, net, history):
        expected.append([np.linalg.norm(w) for w in net.weights])

    before = net.copy()
    options = {"batch_size": BATCH, "order": order, "optimizer": fastbp.SGD(ETA), "record_norms": True}
    history = net.fit(X, y, epochs=20, callbacks=[compute], **options)
    np.testing.assert_allclose(history.weight_norms, expected, rtol=1e-13)
    _, gradient = before.value_and_grad(X[:BATCH], y[:BATCH])
    np.testing.assert_allclose(history.gradient_norms[0], [np.linalg.norm(w) for w in gradient.weights], rtol=1e-12)
