"""The problems: a network, its data and first weights from fixed seeds, and the losses and accuracies that are to be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Data(NamedTuple):
    """Rows to train on and rows that are held out, which may be none; targets as `fastbp.bench.workloads.Data` has them."""

    X: Array
    y: Array
    held_X: Array
    held_y: Array


class Aim(NamedTuple):
    """A value of a measure of `Judge` that is to be reached."""

    measure: str
    value: float

    def is_reached(self, values: dict[str, float]) -> bool:
        """Whether values by measure are as good."""
        value = values[self.measure]
        return value >= self.value if self.measure.endswith("accuracy") else value <= self.value

    def __str__(self) -> str:
        return f"{self.measure} {self.value:g}"


# --- data --------------------------------------------------------------------------------------------------------------------


def _standardised(X: Array) -> Array:
    found: Array = (X - X.mean(axis=0)) / X.std(axis=0)
    return found


def _sin_product(rng: np.random.Generator) -> tuple[Array, Array]:
    X = rng.uniform(-2, 2, (1000, 2))
    return X, (np.sin(2 * X[:, 0]) * np.cos(X[:, 1]))[:, None]


def _matrix_exponentials(rng: np.random.Generator) -> tuple[Array, Array]:
    from fastbp.bench import workloads

    data = workloads.get("matrix-exp").load("float64")
    return data.X[:1000], data.y[:1000]


def _friedman(rng: np.random.Generator) -> tuple[Array, Array]:
    from sklearn.datasets import make_friedman1

    X, y = make_friedman1(1000, random_state=0)
    return _standardised(X), _standardised(y)[:, None]


def _diabetes(rng: np.random.Generator) -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    return _standardised(X), _standardised(y)[:, None]


def _digits(rng: np.random.Generator) -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X / 16, y


def _moons(rng: np.random.Generator) -> tuple[Array, Array]:
    from sklearn.datasets import make_moons

    X, y = make_moons(1000, noise=0.2, random_state=0)
    return _standardised(X), y[:, None].astype(float)


# --- problems ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A network of tanh units in float64 and what is to be reached with it.

    Attributes
    ----------
    sizes, loss
        As for `fastbp.Network`; the squared error is the mean over samples and outputs.
    held_out : int
        Rows, chosen at random, that are not trained on.
    learning_rate, batch_size
        For everybody's Adam: those with which that of fastbp gets there soonest, or lowest in 1.5 s, from one start; of 1e-3, 3e-3,
        1e-2 and 3e-2, and of 50, 200 and all samples.
    """

    name: str
    sizes: tuple[int, ...]
    loss: str
    make: Callable[[np.random.Generator], tuple[Array, Array]]
    aims: tuple[Aim, ...]
    learning_rate: float
    batch_size: int
    held_out: int = 0

    @property
    def is_squared(self) -> bool:
        """Whether the loss is a sum of squares."""
        return self.loss == "squared"

    def load(self) -> Data:
        """The data, the same at every call."""
        rng = np.random.default_rng(0)
        X, y = self.make(rng)
        rows = rng.permutation(len(X)) if self.held_out else np.arange(len(X))
        held, chosen = np.split(rows, [self.held_out])
        return Data(X[chosen], y[chosen], X[held], y[held])

    def first(self, start: int) -> tuple[list[Array], list[Array]]:
        """Weights (n_out, n_in), uniform as Glorot and Bengio (2010) have them, and biases, which are zero."""
        rng = np.random.default_rng(start)
        weights = [rng.uniform(-1, 1, (n_out, n_in)) * (6 / (n_in + n_out)) ** 0.5 for n_in, n_out in pairwise(self.sizes)]
        return weights, [np.zeros(n_out) for n_out in self.sizes[1:]]


def _all() -> dict[str, Problem]:
    def loss(value: float) -> Aim:
        return Aim("loss", value)

    ce, binary = "cross_entropy", "binary_cross_entropy"
    table = [
        Problem("sin-product", (2, 16, 16, 1), "squared", _sin_product, (loss(1e-5), loss(1e-7)), 1e-2, 200),
        Problem("matrix-exp", (4, 32, 16, 4), "squared", _matrix_exponentials, (loss(1e-5), loss(1e-6)), 1e-3, 50),
        Problem("friedman", (10, 16, 16, 1), "squared", _friedman, (loss(1e-5), loss(1e-6)), 3e-3, 1000),
        Problem("diabetes", (10, 16, 1), "squared", _diabetes, (loss(0.2), Aim("held-out loss", 0.55)), 3e-2, 50, 110),
        Problem("digits", (64, 32, 10), ce, _digits, (loss(1e-3), Aim("held-out accuracy", 0.96)), 3e-2, 50, 450),
        Problem("moons", (2, 16, 16, 1), binary, _moons, (loss(5e-2), Aim("held-out accuracy", 0.96)), 1e-2, 750, 250),
    ]
    return {problem.name: problem for problem in table}


PROBLEMS = _all()


def get(name: str) -> Problem:
    """A problem by its name.

    Raises
    ------
    ValueError
        If there is no such problem.
    """
    if name not in PROBLEMS:
        raise ValueError(f"problem must be one of {', '.join(PROBLEMS)}, got {name!r}")
    return PROBLEMS[name]
