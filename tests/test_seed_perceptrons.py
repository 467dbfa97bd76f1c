"""Exercises on perceptrons: single samples drawn with replacement, on blobs, moons and circles, with the notebook's own draws.

Notebook "Perceptrons and Back propagation" (Marra, 2019): np.random.seed(7) for the data, seed 42 for parameters and samples.
It prints no numbers; its procedure, one sample at a time, is the reference.
"""

# ruff: noqa: NPY002 (the notebook draws from NumPy's global generator)
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.model_selection import train_test_split

import fastbp

STEPS = 1000


def draws(n_hidden, n_classes, n_samples):
    """Sizes, weights, biases and sample numbers, in the notebook's order: biases before weights, layer by layer."""
    np.random.seed(42)
    sizes = [2, n_hidden, n_classes] if n_hidden else [2, n_classes]
    weights, biases = [], []
    for n_in, n_out in pairwise(sizes):
        biases.append(np.random.normal(size=(n_out, 1)))
        weights.append(np.random.normal(size=(n_in, n_out)).T)
    return sizes, weights, biases, np.random.randint(n_samples, size=STEPS)


@pytest.fixture(scope="module")
def data():
    """The three data sets; the trainings between them leave the global generator as they do in the notebook."""
    np.random.seed(7)
    split = {"random_state": 42, "test_size": 0.4}
    blobs = train_test_split(*make_blobs(n_samples=500, n_features=2), **split)
    draws(0, 3, 300)
    moons = train_test_split(*make_moons(n_samples=500, noise=0.2), **split)
    draws(16, 2, 300)
    circles = train_test_split(*make_circles(n_samples=500, noise=0.2, factor=0.4), **split)
    return SimpleNamespace(blobs=blobs, moons=moons, circles=circles)


def train(data, learning_rate, n_hidden=0, hidden="relu", **options):
    X, _, y, _ = data
    sizes, weights, biases, order = draws(n_hidden, y.max() + 1, len(X))
    net = fastbp.Network(sizes, hidden, "cross_entropy", dtype="float64", weights=weights, biases=biases, rng=0)
    options = {"epochs": STEPS, "batch_size": 1, "order": order[:, None]} | options
    return net, net.fit(X, y, optimizer=fastbp.SGD(learning_rate), **options)


def notebook(data, learning_rate, n_hidden=0, hidden="relu"):
    """The notebook's loop: parameters at the end and the loss of each sample before its step."""
    X, _, y, _ = data
    _, weights, biases, order = draws(n_hidden, y.max() + 1, len(X))
    losses = []
    for i in order:
        x, target = X[i][:, None], np.eye(len(biases[-1]))[:, [y[i]]]
        a = [x]
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            z = w @ a[-1] + b
            a.append(np.tanh(z) if hidden == "tanh" else (z > 0) * z)
        e = np.exp(weights[-1] @ a[-1] + biases[-1])
        probability = e / e.sum()
        losses.append(-np.log(float((probability * target).sum())))
        delta = probability - target
        for layer in range(len(weights) - 1, -1, -1):
            slope = 1 - a[layer] ** 2 if hidden == "tanh" else (a[layer] > 0) * 1.0
            below = (weights[layer].T @ delta) * slope
            weights[layer] = weights[layer] - learning_rate * delta @ a[layer].T
            biases[layer] = biases[layer] - learning_rate * delta
            delta = below
    return weights, biases, losses


@pytest.mark.parametrize(
    ("name", "learning_rate", "n_hidden", "hidden"),
    [
        ("blobs", 0.01, 0, "relu"),
        ("moons", 0.001, 0, "relu"),
        ("moons", 0.1, 16, "relu"),
        ("circles", 0.1, 16, "relu"),
        ("circles", 0.1, 16, "tanh"),
    ],
)
def test_same_samples_give_the_same_network(data, name, learning_rate, n_hidden, hidden):
    chosen = getattr(data, name)
    net, history = train(chosen, learning_rate, n_hidden, hidden)
    weights, biases, losses = notebook(chosen, learning_rate, n_hidden, hidden)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(net.weights + net.biases, weights + biases, strict=True):
        np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "learning_rate", "n_hidden", "hidden"),
    [("blobs", 0.01, 0, "relu"), ("moons", 0.1, 16, "relu"), ("circles", 0.1, 16, "tanh")],
)
def test_finite_differences_agree_while_training(data, name, learning_rate, n_hidden, hidden):
    X, _, y, _ = getattr(data, name)
    central, forward = [], []

    def check(epoch, net, history):
        one = slice(epoch % 300, epoch % 300 + 1)
        report = net.check_gradients(X[one], y[one])
        # rounding alone is 1e-16 / eps, which weighs where the sample is met almost exactly and the gradient is tiny
        central.append(np.linalg.norm(report.difference - report.gradient) / max(1e-3, 2 * np.linalg.norm(report.gradient)))
        forward.append(net.check_gradients(X[one], y[one], eps=1e-4, scheme="forward").max_error)

    train(getattr(data, name), learning_rate, n_hidden, hidden, epochs=40, callbacks=[check], order=None, shuffle="replacement")
    assert len(central) == 40
    assert max(central) < 1e-7
    assert max(forward) < 1e-2
    assert np.median(forward) < 1e-3


@pytest.mark.parametrize(
    ("name", "learning_rate", "n_hidden", "hidden", "least"),
    [
        ("blobs", 0.01, 0, "relu", 0.97),
        ("moons", 0.1, 16, "relu", 0.88),
        ("moons", 0.1, 16, "tanh", 0.88),
        ("circles", 0.1, 16, "relu", 0.8),
        ("circles", 0.1, 16, "tanh", 0.8),
    ],
)
def test_accuracy_reached(data, name, learning_rate, n_hidden, hidden, least):
    chosen = getattr(data, name)
    net, _ = train(chosen, learning_rate, n_hidden, hidden)
    assert net.score(chosen[1], chosen[3]) >= least


def test_a_line_is_not_enough_for_moons_or_circles(data):
    for chosen, most in ((data.moons, 0.92), (data.circles, 0.7)):
        net, _ = train(chosen, 0.01, epochs=100, order=None, shuffle="replacement")
        assert net.score(chosen[1], chosen[3]) < most


@pytest.mark.parametrize("hidden", ["relu", "tanh"])
def test_hidden_units_bend_the_boundary(data, hidden):
    X, X_test, y, y_test = data.circles
    scores = []
    for n_hidden in (1, 4, 16):
        net = fastbp.Network([2, n_hidden, 2], hidden, "cross_entropy", dtype="float64", rng=0)
        net.fit(X, y, epochs=100, batch_size=1, shuffle="replacement", optimizer=fastbp.SGD(0.05))
        scores.append(net.score(X_test, y_test))
    assert scores[0] < 0.75
    assert scores[2] > 0.88
    assert scores[2] > scores[0] + 0.2
