"""The named workloads of the benchmarks: network, data, first weights and order of the rows, all from fixed seeds.

`tabular` and `digits` train on scikit-learn's bundled data, `walkthrough` on its circles, `matrix-exp` on exponentials of random
matrices. The sets of handwritten digits that the other names allude to cannot be bundled: their stand-in has the same shape and
range (class prototypes of smooth random images plus noise, clipped to [0, 1]).

`closed-loop`, `closed-loop-deep` and `training-loop` are what a user's own compiled loop does: it asks the network, or trains it,
once a turn, and there is as little else in it as can be. In the closed loops the outputs of a step are added to the first inputs of
the next.

This file imports nothing of the package, so that today's workloads can be loaded by path and run on an older version of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class Data(NamedTuple):
    """What every contestant starts from.

    Attributes
    ----------
    X : ndarray (n_samples, n_in)
    y : ndarray
        Class numbers (n_samples,), int64, for cross-entropy; targets (n_samples, n_out) for the squared error.
    order : ndarray (n_samples,) or None
        Rows in the order in which each epoch visits them; None: as they are.
    weights, biases : lists of ndarray
        (n_out, n_in) and (n_out,) of each layer.
    """

    X: Array
    y: Array
    order: NDArray[np.int64] | None
    weights: list[Array]
    biases: list[Array]


# --- data: functions of (rng, number of samples, number of inputs, number of outputs) ----------------------------------------


def _circles(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    from sklearn.datasets import make_circles

    X, y = make_circles(n_samples, noise=0.1, factor=0.5, random_state=0)
    return X, y[:, None].astype(float)


def _breast_cancer(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _digits(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X / 16, y


def _prototypes(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    """Images in [0, 1], each a smooth prototype of its class plus noise."""
    side = int(n_in**0.5)
    coarse = rng.random((n_out, -(-side // 4), -(-side // 4)))
    prototypes = np.kron(coarse, np.ones((4, 4)))[:, :side, :side].reshape(n_out, n_in)
    y = rng.integers(n_out, size=n_samples)
    noise = rng.standard_normal((n_samples, n_in), np.float32)
    return np.clip(prototypes[y] + 0.3 * noise, 0, 1), y


def _prototypes_as_targets(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    X, y = _prototypes(rng, n_samples, n_in, n_out)
    return X, np.eye(n_out)[y]


def _blobs(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    y = rng.integers(n_out, size=n_samples)
    return rng.normal(size=(n_out, n_in))[y] + 0.7 * rng.normal(size=(n_samples, n_in)), y


def _curve(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    X = rng.uniform(-1, 1, (n_samples, n_in))
    return X, np.sin(3 * X) + 0.05 * rng.normal(size=(n_samples, n_out))


def _matrix_exponentials(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    """2 x 2 matrices, row by row, and their exponentials (the example in the documentation of SimpleChains.jl)."""
    X = 0.5 * rng.normal(size=(n_samples, 2, 2))
    # Taylor polynomial of X / 2**6, squared six times: for all matrices at once, where scipy.linalg.expm takes seconds
    term = power = np.broadcast_to(np.eye(2), X.shape)
    for k in range(1, 13):
        term = term @ X / (2**6 * k)
        power = power + term
    for _ in range(6):
        power = power @ power
    return X.reshape(n_samples, 4), power.reshape(n_samples, 4)


def _linear(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    X = rng.normal(size=(n_samples, n_in))
    return X, X @ rng.normal(size=(n_in, n_out)) / n_in**0.5 + 0.1 * rng.normal(size=(n_samples, n_out))


def _disturbances(rng: np.random.Generator, n_samples: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    """What comes into a closed loop from outside; there are no targets."""
    return rng.normal(size=(n_samples, n_in)), np.zeros((n_samples, n_out))


# --- workloads ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workload:
    """One network and how it is trained; see the table in `WORKLOADS`.

    Attributes
    ----------
    sizes, hidden, loss, output
        As for `fastbp.Network`, all by name; `reduction` is that of the squared error.
    rule : str or None
        Update rule by name; None: no training, value and gradient of all samples, or a simulation.
    batch_size, n_samples : int
        The last mini-batch of an epoch has what is left over.
    dtype : str
        Its own; `load` takes another.
    doors : tuple of str
        What two versions are compared by; see `fastbp.bench.worker`. None, where that would take too long.
    loop : {"", "simulation", "training"}
        What a loop of the user does with each mini-batch: compute outputs for a row of X, to whose first numbers the outputs before
        are added; or a training step. "": the loop is the library's.
    """

    name: str
    sizes: tuple[int, ...]
    hidden: tuple[str, ...]
    loss: str
    rule: str | None
    learning_rate: float
    batch_size: int
    n_samples: int
    make: Callable[[np.random.Generator, int, int, int], tuple[Array, Array]]
    output: str = "identity"
    reduction: str = "half_sum"
    dtype: str = "float32"
    doors: tuple[str, ...] = ("fit", "predict")  # that two versions are compared by, see `worker`
    loop: str = ""

    @property
    def by_steps(self) -> bool:
        """Whether contestants are timed by single mini-batches, each a call."""
        return "step" in self.doors

    @property
    def simulates(self) -> bool:
        """Whether what counts are the outputs of all steps."""
        return self.loop == "simulation"

    @property
    def steps_per_epoch(self) -> int:
        """Mini-batches in an epoch."""
        return -(-self.n_samples // self.batch_size)

    @property
    def n_params(self) -> int:
        """Weights and biases."""
        return sum((n_in + 1) * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def flop_per_epoch(self) -> int:
        """6 N P - 2 N P_1 for N samples, P weights, P_1 of the first layer, whose input needs no gradient; of outputs 2 N P."""
        weights = [n_in * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False)]
        return self.n_samples * (2 * sum(weights) if self.simulates else 6 * sum(weights) - 2 * weights[0])

    @property
    def bytes_per_epoch(self) -> int:
        """Traffic that no implementation can avoid if nothing stays in a cache between two steps.

        The samples and targets are read once an epoch; parameters are read and written every step, and so are the two slots
        that Adam keeps for each; a gradient that is asked for is written, and so are outputs.
        """
        itemsize = np.dtype(self.dtype).itemsize
        samples = self.n_samples * (self.sizes[0] + (1 if self.loss == "cross_entropy" else self.sizes[-1]))
        accesses = 1 if self.simulates else {None: 2, "sgd": 2, "adam": 6}[self.rule]
        return itemsize * (samples + self.steps_per_epoch * accesses * self.n_params)

    def load(self, dtype: DTypeLike | None = None) -> Data:
        """Data, order and first weights, the same at every call.

        They are made in the workload's own dtype and then converted, so that a reference computed in float64 starts from the
        very numbers that a contestant in float32 starts from.
        """
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        X, y = self.make(rng, self.n_samples, self.sizes[0], self.sizes[-1])

        def numbers(array: Array) -> Array:
            return np.ascontiguousarray(array, np.float32 if self.dtype == "float32" else np.float64).astype(dtype or self.dtype)

        weights, biases = [], []
        for n_in, n_out, activation in zip(self.sizes, self.sizes[1:], (*self.hidden, self.output), strict=False):
            gain = {"relu": 2.0, "sigmoid": 8.0}.get(activation, 1.0)  # less, and sigmoids begin on a plateau
            if self.simulates and n_out == self.sizes[-1]:
                gain = 0.25  # a closed loop forgets its rounding errors, and is compared with one in float64
            weights.append(numbers(rng.normal(0, (gain / n_in) ** 0.5, (n_out, n_in))))
            biases.append(numbers(rng.normal(0, 0.1, n_out)))
        order = rng.permutation(self.n_samples) if self.batch_size < self.n_samples and not self.loop else None
        targets = y.astype(np.int64) if self.loss == "cross_entropy" else numbers(y)
        return Data(numbers(X), targets, order, weights, biases)


def _all() -> dict[str, Workload]:
    ce, mnist, small = "cross_entropy", 12_800, ("fit", "step", "partial_fit", "row")
    simulation: dict[str, Any] = {"doors": (), "loop": "simulation"}
    table = [
        Workload("small", (20, 16, 3), ("relu",), ce, "sgd", 0.01, 32, 1280, _blobs, doors=small),
        Workload("small-deep", (20, 64, 64, 3), ("relu",) * 2, ce, "sgd", 0.01, 32, 1280, _blobs, doors=small),
        Workload("online", (3, 2, 2, 3), ("relu", "sigmoid"), ce, "sgd", 0.01, 1, 1000, _blobs),
        Workload("walkthrough", (2, 3, 3, 1), ("sigmoid",) * 2, "squared", "sgd", 0.5, 50, 1000, _circles, output="sigmoid"),
        Workload("deep-relu", (1, *[6] * 5, 1), ("relu",) * 5, "squared", "sgd", 0.005, 32, 1024, _curve, reduction="sum"),
        Workload("matrix-exp", (4, 32, 16, 4), ("tanh",) * 2, "squared", "adam", 1e-3, 10_000, 10_000, _matrix_exponentials),
        Workload("valgrad", (24, 8, 2), ("tanh",), "squared", None, 0.0, 200, 200, _linear, dtype="float64"),
        Workload("tabular", (30, 64, 32, 2), ("relu",) * 2, ce, "sgd", 0.01, 32, 569, _breast_cancer),
        Workload("digits", (64, 100, 10), ("relu",), ce, "adam", 1e-3, 200, 1797, _digits),
        Workload("book-mnist", (784, 30, 10), ("sigmoid",), "squared", "sgd", 0.3, 10, 5000, _prototypes_as_targets, "sigmoid"),
        Workload("mnist", (784, 128, 10), ("relu",), ce, "sgd", 0.02, 128, mnist, _prototypes),
        Workload("mnist-60k", (784, 128, 10), ("relu",), ce, "sgd", 0.02, 128, 60_000, _prototypes, doors=()),  # from memory
        Workload("mnist-adam", (784, 128, 10), ("relu",), ce, "adam", 1e-4, 128, mnist, _prototypes),
        Workload("mnist-deep", (784, 512, 512, 10), ("relu",) * 2, ce, "sgd", 0.02, 256, 2560, _prototypes),
        Workload("wide", (1024, 1024, 1024, 1024), ("relu",) * 2, ce, "sgd", 0.02, 1024, 2048, _prototypes),
        Workload("closed-loop", (4, 32, 2), ("tanh",), "squared", None, 0.0, 1, 10_000, _disturbances, **simulation),
        Workload("closed-loop-deep", (20, 64, 64, 4), ("relu",) * 2, "squared", None, 0.0, 1, 10_000, _disturbances, **simulation),
        Workload("training-loop", (4, 32, 2), ("tanh",), "squared", "adam", 1e-3, 8, 8000, _linear, doors=(), loop="training"),
    ]
    return {workload.name: workload for workload in table}


WORKLOADS = _all()


def get(name: str) -> Workload:
    """A workload by its name.

    Raises
    ------
    ValueError
        If there is no such workload.
    """
    if name not in WORKLOADS:
        raise ValueError(f"workload must be one of {', '.join(WORKLOADS)}, got {name!r}")
    return WORKLOADS[name]
