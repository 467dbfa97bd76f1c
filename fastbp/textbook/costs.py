# mypy: allow-untyped-calls
"""The costs of chapter 3, and which of them, and of a user's own, the kernels compute."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlog1py, xlogy

from fastbp import losses
from fastbp.textbook.columns import Array, sigmoid_prime


class QuadraticCost:
    """C_x = |a - y|^2 / 2.

    Examples
    --------
    >>> a, y = np.array([[0.75], [0.5]]), np.array([[1.0], [0.0]])
    >>> QuadraticCost.fn(a, y)
    0.15625
    """

    @staticmethod
    def fn(a: ArrayLike, y: ArrayLike) -> float:
        """Cost of the outputs ``a`` where ``y`` is wanted."""
        return float(0.5 * np.sum((np.asarray(a) - y) ** 2))

    @staticmethod
    def delta(z: ArrayLike, a: ArrayLike, y: ArrayLike) -> Array:
        """Error dC_x/dz of the output layer: (a - y) sigmoid'(z)."""
        return np.asarray((np.asarray(a) - y) * sigmoid_prime(z))


class CrossEntropyCost:
    """C_x = -sum_k [y_k log a_k + (1 - y_k) log(1 - a_k)], each y_k in [0, 1].

    Examples
    --------
    >>> a, y = np.array([[0.75], [0.5]]), np.array([[1.0], [0.0]])
    >>> round(CrossEntropyCost.fn(a, y), 4)
    0.9808
    >>> CrossEntropyCost.delta(np.zeros((2, 1)), a, y).ravel().tolist()
    [-0.25, 0.5]
    """

    @staticmethod
    def fn(a: ArrayLike, y: ArrayLike) -> float:
        """Cost of the outputs ``a`` where ``y`` is wanted: infinite for an output of 0 that should be 1, or 1 that should be 0.

        `Network.total_cost` takes it from z instead, and stays finite where the sigmoid is rounded to 0 or 1.
        """
        a, y = np.asarray(a), np.asarray(y)
        return float(-np.sum(xlogy(y, a) + xlog1py(1.0 - y, -a)))

    @staticmethod
    def delta(z: ArrayLike, a: ArrayLike, y: ArrayLike) -> Array:
        """Error dC_x/dz of the output layer: a - y, whatever ``z``."""
        return np.asarray(a) - np.asarray(y)


# by the functions, not the class: a subclass, or an assignment to the class, may put others in their place
_COMPILED = [
    (QuadraticCost.fn, QuadraticCost.delta, "squared"),
    (CrossEntropyCost.fn, CrossEntropyCost.delta, "binary_cross_entropy"),
]


def loss_of(cost: Any) -> Any:
    """What the kernels compute a cost by: the name of a loss, a loss, or None for functions of Python."""
    if isinstance(cost, losses.Loss) or (isinstance(cost, type) and issubclass(cost, losses.Loss)):
        return cost
    fn, delta = getattr(cost, "fn", None), getattr(cost, "delta", None)
    if not (callable(fn) and callable(delta)):
        raise TypeError(
            "cost must be a class with the functions fn(a, y) and delta(z, a, y), as network2.QuadraticCost, or a loss of "
            f"fastbp.losses (one of your own is registered there by @LOSSES.register, see CONTRIBUTING.md), got {cost!r}"
        )
    return next((loss for *functions, loss in _COMPILED if functions == [fn, delta]), None)
