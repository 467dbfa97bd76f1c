"""The equations of chapter 3 of Nielsen's book in NumPy, on problems small enough, and a network2 with the same draws beside it."""

# ruff: noqa: NPY002 (the book draws from NumPy's global generator)
import random
from itertools import pairwise

import numpy as np
from scipy.special import expit

from fastbp.textbook import network2

SIZES = [6, 9, 4]
MONITORS = ("evaluation_cost", "evaluation_accuracy", "training_cost", "training_accuracy")
ALL = {f"monitor_{name}": True for name in MONITORS}
# of columns, one a sample: the costs of the samples, and the errors of the output layer
FORMULAS = {
    "quadratic": (lambda a, y: ((a - y) ** 2).sum(axis=0) / 2, lambda a, y: (a - y) * a * (1 - a)),
    "cross-entropy": (lambda a, y: -np.where(y == 1, np.log(a), np.log(1 - a)).sum(axis=0), lambda a, y: a - y),
    "quartic": (lambda a, y: ((a - y) ** 4).sum(axis=0) / 4, lambda a, y: (a - y) ** 3 * a * (1 - a)),
    "log-likelihood": (lambda a, y: -np.log(a[y == 1]), lambda a, y: a - y),
}
COSTS = {"quadratic": network2.QuadraticCost, "cross-entropy": network2.CrossEntropyCost}


class Reference:
    """The equations of chapters 2 and 3 on matrices whose columns are samples."""

    def __init__(self, sizes, cost="cross-entropy", large=False, output=expit):
        self.cost, self.output = cost, output
        self.biases = [np.random.randn(n, 1) for n in sizes[1:]]
        self.weights = [np.random.randn(n, m) / (1 if large else m**0.5) for m, n in pairwise(sizes)]

    def activations(self, X):
        a = [X]
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            a.append((self.output if layer == len(self.weights) else expit)(w @ a[-1] + b))
        return a

    def step(self, X, Y, eta, lmbda, n):
        a = self.activations(X)
        delta = FORMULAS[self.cost][1](a[-1], Y)
        for layer in range(len(self.weights) - 1, -1, -1):
            w = self.weights[layer]
            gradient_w, gradient_b = delta @ a[layer].T / X.shape[1], delta.mean(axis=1, keepdims=True)
            delta = w.T @ delta * a[layer] * (1 - a[layer])
            self.weights[layer] = w - eta * (gradient_w + lmbda / n * w)
            self.biases[layer] = self.biases[layer] - eta * gradient_b

    def look(self, X, Y, lmbda):
        a = self.activations(X)[-1]
        penalty = lmbda / (2 * X.shape[1]) * sum((w**2).sum() for w in self.weights)
        return FORMULAS[self.cost][0](a, Y).mean() + penalty, int((a.argmax(axis=0) == Y.argmax(axis=0)).sum())

    def train(self, training, epochs, size, eta, lmbda, evaluation, patience=0):
        """The four lists, in the order of MONITORS."""
        X, Y = training
        order, seen, best, waited = list(range(X.shape[1])), [], 0, 0
        for _ in range(epochs):
            random.shuffle(order)
            for k in range(0, len(order), size):
                batch = order[k : k + size]
                self.step(X[:, batch], Y[:, batch], eta, lmbda, len(order))
            seen.append(self.look(*evaluation, lmbda) + self.look(X, Y, lmbda))
            waited = 0 if seen[-1][1] > best else waited + 1
            best = max(best, seen[-1][1])
            if patience and waited == patience:
                break
        return [list(each) for each in zip(*seen, strict=True)]


def matrices(n=60, seed=0, sizes=SIZES, noise=1.0):
    """Columns of noise around a place for each class, and the columns of the classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % sizes[-1]
    places = np.random.default_rng(9).normal(size=(sizes[0], sizes[-1]))
    return places[:, classes] + noise * rng.normal(size=(sizes[0], n)), np.eye(sizes[-1])[:, classes]


def vectors(X, Y):
    return [(X[:, [i]], Y[:, [i]]) for i in range(X.shape[1])]


def numbers(X, Y):
    return [(X[:, [i]], int(Y[:, i].argmax())) for i in range(X.shape[1])]


TRAINING, EVALUATION = matrices(), matrices(23, seed=1)


def both(cost="cross-entropy", sizes=SIZES, large=False, seed=7, ours=None, **options):
    np.random.seed(seed)
    reference = Reference(sizes, cost, large, **options)
    np.random.seed(seed)
    net = network2.Network(sizes, cost=COSTS[cost] if ours is None else ours)
    if large:
        np.random.seed(seed)
        net.large_weight_initializer()
    return reference, net


def train(reference, net, epochs=4, size=7, eta=0.8, lmbda=0.0, patience=0, **options):
    """The lists of both, from the same order of samples."""
    random.seed(3)
    theirs = reference.train(TRAINING, epochs, size, eta, lmbda, EVALUATION, patience)
    random.seed(3)
    options = ALL | {"evaluation_data": numbers(*EVALUATION), "early_stopping_n": patience} | options
    return theirs, net.SGD(vectors(*TRAINING), epochs, size, eta, lmbda=lmbda, **options)


def assert_equal(net, reference, tolerance=1e-10):
    for name in ("weights", "biases"):
        for ours, theirs in zip(getattr(net, name), getattr(reference, name), strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-13)


class Quartic:
    """Sum of (a - y)^4 / 4."""

    @staticmethod
    def fn(a, y):
        assert a.shape == y.shape == (4, 1)
        return np.sum((a - y) ** 4) / 4

    @staticmethod
    def delta(z, a, y):
        assert z.shape == a.shape == y.shape == (4, 1)
        np.testing.assert_allclose(expit(z), a, rtol=1e-13)
        return (a - y) ** 3 * network2.sigmoid_prime(z)
