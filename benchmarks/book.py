"""How many times faster network2 is than Nielsen's equations in NumPy, on his 784-30-10; `python -m benchmarks.book`.

NumPy takes one column at a time, as the book's program does, or a mini-batch as a matrix, as the book leaves for an exercise. All
take turns, on one core, from the same first weights and the same order of samples, and must end with the same weights.
"""

import argparse
import io
import os
import random
from contextlib import redirect_stdout
from functools import partial
from time import perf_counter

import numpy as np
from scipy.special import expit

from fastbp.bench import workloads
from fastbp.textbook import network2

EPOCHS, SIZE, ETA, LMBDA = 2, 10, 0.5, 5.0


class InNumPy:
    """Cross-entropy and L2 penalty of chapter 3."""

    def __init__(self, net, columns):
        self.weights, self.biases, self.columns = list(net.weights), list(net.biases), columns

    def gradient(self, X, Y):
        """Sums over the columns of X."""
        a = [X]
        for w, b in zip(self.weights, self.biases, strict=True):
            a.append(expit(w @ a[-1] + b))
        delta, found = a[-1] - Y, []
        for layer in range(len(self.weights) - 1, -1, -1):
            found.insert(0, (delta @ a[layer].T, delta.sum(axis=1, keepdims=True)))
            delta = self.weights[layer].T @ delta * a[layer] * (1 - a[layer])
        return found

    def train(self, pairs):
        """As `SGD` without monitors."""
        for _ in range(EPOCHS):
            random.shuffle(pairs)
            for k in range(0, len(pairs), SIZE):
                batch = pairs[k : k + SIZE]
                parts = [batch[i : i + self.columns] for i in range(0, len(batch), self.columns)]
                found = [self.gradient(*(np.hstack(columns) for columns in zip(*part, strict=True))) for part in parts]
                for layer, each in enumerate(zip(*found, strict=True)):
                    of_weights, of_biases = (sum(part) / len(batch) for part in zip(*each, strict=True))
                    w = self.weights[layer]
                    self.weights[layer] = w - ETA * (of_weights + LMBDA / len(pairs) * w)
                    self.biases[layer] = self.biases[layer] - ETA * of_biases


def in_fastbp(net, pairs):
    """Its weights after a training."""
    with redirect_stdout(io.StringIO()):
        net.SGD(pairs, EPOCHS, SIZE, ETA, LMBDA)
    return net.weights


def in_numpy(columns, net, pairs):
    """Likewise, by so many columns at a time."""
    other = InNumPy(net, columns)
    other.train(pairs)
    return other.weights


WAYS = {
    "fastbp.textbook.network2": in_fastbp,
    "NumPy, a mini-batch as a matrix": partial(in_numpy, SIZE),
    "NumPy, one column at a time, as the book's program": partial(in_numpy, 1),
}


def contest(samples):
    """Seconds that each way takes, after a look at the weights with which they end."""
    data = workloads.get("book-mnist").load("float64")
    pairs = [(x.reshape(-1, 1), y.reshape(-1, 1)) for x, y in zip(data.X[:samples], data.y, strict=False)]
    seconds, ends = [], []
    for train in WAYS.values():
        np.random.seed(0)  # noqa: NPY002 (the book draws from NumPy's global generator)
        random.seed(0)
        net, own = network2.Network([784, 30, 10]), list(pairs)
        start = perf_counter()
        ends.append(train(net, own))
        seconds.append(perf_counter() - start)
    for other in ends[1:]:
        for ours, theirs in zip(ends[0], other, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    return seconds


def main():
    """Print a table of microseconds a sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=5000)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    contest(100)  # everything is compiled
    times = np.array([contest(arguments.samples) for _ in range(arguments.rounds)])
    each, ratios = times / (EPOCHS * arguments.samples) * 1e6, times / times[:, :1]
    print("| 784-30-10, mini-batches of 10 | us a sample | times as long |\n| - | -: | -: |")
    for name, column, ratio in zip(WAYS, each.T, ratios.T, strict=True):
        print(f"| {name} | {np.median(column):.2f} | {np.median(ratio):.1f} ({ratio.min():.1f} to {ratio.max():.1f}) |")


if __name__ == "__main__":
    main()
