"""A partition that has been checked, on the worker that holds it: what is computed of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastbp.engine.minimize.curvature import NormalEquations, Products
from fastbp.engine.minimize.objective import Pull
from fastbp.engine.orders import epoch_order
from fastbp.estimators._training_data import TrainingData, report


class Part:
    """Samples and the buffers to compute with them, which stay between calls and are not sent with them.

    Parameters
    ----------
    data : TrainingData
    net : Network
        Of which the settings count; parameters come with each call.
    n_threads : int
    """

    def __init__(self, data: TrainingData, net: Any, n_threads: int) -> None:
        self.data, self.net, self.n_threads = data, net, n_threads
        self._idle: dict[str, list[Any]] = {}
        self._order: Any = None  # the last one

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_idle": {}, "_order": None}

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """The rows that an epoch visits."""
        known = self._order
        if known is None or known[0] != (seed, epoch):
            self._order = known = (seed, epoch), epoch_order(seed % (1 << 63), epoch, len(self.data))
        order: np.ndarray = known[1]
        return order

    def __sizeof__(self) -> int:
        """By which Dask knows that it is cheaper to send parameters to samples."""
        arrays = self.data.X, self.data.values, self.data.labels, self.data.weights
        return sum(getattr(array, "nbytes", 0) for array in arrays)

    @contextmanager
    def lent(self, kind: str, make: Callable[[Any], Any]) -> Iterator[Any]:
        """What `make` makes of a network of its own, for one thread at a time."""
        idle = self._idle.setdefault(kind, [])
        try:
            tool = idle.pop()
        except IndexError:
            tool = make(self.net.copy())
        yield tool
        idle.append(tool)

    def objective(self, net: Any) -> Any:
        """The mean loss of the samples, as it is reported."""
        found = self.data.objective(net, self.n_threads)
        found.set_report(*report(net))
        return found

    def of_squares(self, kind: Any) -> Callable[[Any], Any]:
        """What makes an object of a class for losses that are sums of squares."""
        return lambda net: (net, kind(net, self.data.X, self.data.values, self.data.weights, self.n_threads))

    def plain_objective(self, net: Any) -> Any:
        """The mean loss of the samples, as it is minimised."""
        return self.data.objective(net, self.n_threads)


def loss_of(part: Part, theta: np.ndarray, weight: float, is_reported: bool) -> tuple[Any, ...]:
    """(loss,), times `weight`."""
    with _objective(part, is_reported) as objective:
        objective.net._vector[:] = theta
        return (objective.loss() * weight,)


def gradient_of(part: Part, theta: np.ndarray, weight: float, is_reported: bool) -> tuple[Any, ...]:
    """(loss, gradient), times `weight`."""
    with _objective(part, is_reported) as objective:
        loss, gradient = objective(theta)
        return loss * weight, gradient.astype(np.float64) * weight


def _objective(part: Part, is_reported: bool) -> Any:
    return part.lent("reported", part.objective) if is_reported else part.lent("plain", part.plain_objective)


def equations_of(part: Part, theta: np.ndarray, weight: float) -> tuple[Any, ...]:
    """(J^T J with J^T e in the column after it,), times `weight`."""
    with part.lent("equations", part.of_squares(NormalEquations)) as (net, equations):
        net._vector[:] = theta
        return (equations.whole()[: theta.size, : theta.size + 1] * weight,)


def pulled_of(part: Part, here: np.ndarray, there: np.ndarray, weight: float) -> tuple[Any, ...]:
    """(J^T e,), J of here and e of there, times `weight`."""
    with part.lent("pulls", part.of_squares(Pull)) as (net, pulls):
        net._vector[:] = here
        pulls.linearize()
        return (pulls(there).astype(np.float64) * weight,)


def product_of(part: Part, theta: np.ndarray, v: np.ndarray, weight: float) -> tuple[Any, ...]:
    """(J^T J v,), times `weight`."""
    with part.lent("directions", part.of_squares(Products)) as (net, directions):
        net._vector[:] = theta
        return (directions.times(v) * weight,)
