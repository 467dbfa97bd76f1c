"""The loss of all partitions, and its gradient and curvature: the problem that minimisers are given here."""

from typing import Any

import numpy as np

from fastbp.dask import _part
from fastbp.dask._graph import shared, task, total
from fastbp.engine.minimize.run import decay_of


class Partitioned:
    """A `fastbp.engine.minimize.objective.Problem`: sums over partitions, divided by the weight of all samples.

    Parameters
    ----------
    net : Network
    parts : list of tasks
        Each gives a `Part`.
    weights : list of float
        Those of the parts.
    """

    def __init__(self, net: Any, parts: list[Any], weights: list[float]) -> None:
        self.net, self._parts, self._weights = net, parts, weights
        self._whole = float(sum(weights))
        self._decay, self._is_reported = np.zeros(net._vector.size), False
        self.gradient = np.zeros(net._vector.size)

    def set_penalty(self, l2: float) -> None:
        """Add l2/2 sum W^2 over all weights to the loss."""
        self._decay = decay_of(self.net, l2)

    def set_report(self, factor: float = 1.0, cap: float = float("inf")) -> None:
        """Report the loss as the estimators do, or, without arguments, as it is minimised."""
        self._is_reported = (factor, cap) != (1.0, float("inf"))

    def mean(self, function: Any, *arrays: np.ndarray, more: tuple[Any, ...] = ()) -> list[Any]:
        """Of what a function of a part, arrays, its weight and `more` gives."""
        given = [shared(array.copy()) for array in arrays]
        pairs = zip(self._parts, self._weights, strict=True)
        return [each / self._whole for each in total([task(function, part, *given, weight, *more) for part, weight in pairs])]

    def loss(self) -> float:
        """Loss of the network as it is, penalties included."""
        (found,) = self.mean(_part.loss_of, self.net._vector, more=(self._is_reported,))
        return float(found) + self._penalty()

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient, a copy, after the network has been given the parameters theta."""
        self.net._vector[:] = theta
        loss, gradient = self.mean(_part.gradient_of, self.net._vector, more=(self._is_reported,))
        self.gradient = gradient + self._decay * self.net._vector
        return float(loss) + self._penalty(), self.gradient.copy()

    def _penalty(self) -> float:
        return 0.5 * float(self._decay @ self.net._vector.astype(np.float64) ** 2)

    def equations(self) -> "_Equations":
        """J^T J and J^T e."""
        return _Equations(self)

    def pulls(self) -> "_Pulls":
        """Errors elsewhere, pulled back."""
        return _Pulls(self)

    def directions(self) -> "_Directions":
        """Products of J^T J with vectors."""
        return _Directions(self)

    def close(self) -> None:
        """Nothing is open."""


class _Sums:
    def __init__(self, objective: Partitioned) -> None:
        self._mean, self._net = objective.mean, objective.net

    def close(self) -> None:
        """Nothing is open."""


class _Equations(_Sums):
    def whole(self) -> np.ndarray:
        """(P, P + 1)."""
        found: np.ndarray = self._mean(_part.equations_of, self._net._vector)[0]
        return found


class _Pulls(_Sums):
    def linearize(self) -> None:
        """Here is where the network is."""
        self._here = self._net._vector.copy()

    def __call__(self, there: np.ndarray) -> np.ndarray:
        """J^T e by the parameters `there`; the network is back here then."""
        self._net._vector[:] = self._here
        found: np.ndarray = self._mean(_part.pulled_of, self._here, there)[0]
        return found


class _Directions(_Sums):
    def times(self, v: np.ndarray) -> np.ndarray:
        """J^T J v."""
        found: np.ndarray = self._mean(_part.product_of, self._net._vector, v)[0]
        return found
