"""The loss of all samples, and its gradient, as often as the parameters change; what minimisers ask of it, wherever samples are."""

from typing import Any, Protocol

import numpy as np

from fastbp.engine import memory, sparsity, threads
from fastbp.engine.minimize.curvature import NormalEquations, Products
from fastbp.engine.session import Session
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE


class Equations(Protocol):
    """J^T J and J^T e, J being d outputs / d parameters and e the errors of the outputs."""

    def whole(self) -> np.ndarray:
        """(P, P + 1) or larger, of the mean loss where the network is: J^T J in its upper triangle, and in column P J^T e."""

    def close(self) -> None:
        """Let go of what it needs."""


class Pulls(Protocol):
    """Errors of the outputs elsewhere, pulled back by the J of here."""

    def linearize(self) -> None:
        """Here is where the network is."""

    def __call__(self, there: np.ndarray) -> np.ndarray:
        """J^T e, e being the errors by the parameters `there`; the network is back here then."""

    def close(self) -> None:
        """Let go of what it needs."""


class Directions(Protocol):
    """J^T J, known by its products with vectors."""

    def times(self, v: np.ndarray) -> np.ndarray:
        """J^T J v, float64 (P,), of the mean loss where the network is."""

    def close(self) -> None:
        """Let go of what it needs."""


class Problem(Protocol):
    """What minimisers ask of samples.

    Attributes
    ----------
    net : Network
        Its parameters are overwritten.
    gradient : ndarray (P,)
        The last one that was computed.
    """

    net: Any

    @property
    def gradient(self) -> np.ndarray: ...  # noqa: D102

    def set_penalty(self, l2: float) -> None:
        """Add l2/2 sum W^2 over all weights to the loss."""

    def set_report(self, factor: float = 1.0, cap: float = float("inf")) -> None:
        """As of `Session`."""

    def loss(self) -> float:
        """Loss of the network as it is, penalties included."""

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient, a copy, after the network has been given the parameters theta."""

    def equations(self) -> Equations:
        """Of a loss that is a sum of squares, without its penalty, as the following."""

    def pulls(self) -> Pulls:
        """The correction of a step asks for them."""

    def directions(self) -> Directions:
        """Conjugate gradients ask for them."""

    def close(self) -> None:
        """Let go of what it needs."""


class Objective:
    """theta -> (loss, gradient), for as long as the samples stay: a `Problem` in memory.

    Parameters
    ----------
    net : Network
        Its parameters are overwritten by theta.
    rows, values, labels, weights : arrays
        As for `Session.set_data`: arrays that have passed validation.
    n_threads : int, optional
        Threads at most; the result does not depend on it.
    """

    def __init__(self, net: Any, rows: Any, values: Any, labels: Any, weights: Any, n_threads: int | None) -> None:
        entries = sparsity.entries(rows, net.sizes[1] * net.dtype.itemsize)
        members = threads.members_for(len(rows) * threads.flop_of_sample(net.sizes, entries), n_threads)
        self.net = net
        self._samples = rows, values, weights
        self._n_threads = n_threads
        self.session = Session(net, len(rows), differentiate=True, members=members, entries=entries)
        self.session.set_data(rows, values, labels, weights)
        self.session.out = memory.zeros(net._vector.size, net.dtype)

    @property
    def gradient(self) -> np.ndarray:
        """The last one that was computed."""
        return self.session.out

    def set_penalty(self, l2: float) -> None:
        """Add l2/2 sum W^2 over all weights to the loss."""
        self.session.set_penalty(l2, 0.0)

    def set_report(self, factor: float = 1.0, cap: float = float("inf")) -> None:
        """As of `Session`."""
        self.session.set_report(factor, cap)

    def loss(self) -> float:
        """Loss of the network as it is, penalties included."""
        loss: float = self.session.call(EVALUATE)
        return loss

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient, a copy, after the network has been given the parameters theta."""
        self.net._vector[:] = theta
        return self.session.call(DIFFERENTIATE), self.session.out.copy()

    def equations(self) -> NormalEquations:
        """Of samples with their zeros, as the following."""
        return NormalEquations(self.net, *self._samples, self._n_threads)

    def pulls(self) -> "Pull":
        """Of the same samples."""
        return Pull(self.net, *self._samples, self._n_threads)

    def directions(self) -> Products:
        """Of the same samples."""
        return Products(self.net, *self._samples, self._n_threads)

    def close(self) -> None:
        """Let the threads go."""
        self.session.close()


class Pull:
    """`Pulls` of samples in memory.

    Parameters
    ----------
    net : Network
    rows, values, weights : arrays
        As for `Objective`.
    n_threads : int or None
    """

    def __init__(self, net: Any, rows: Any, values: Any, weights: Any, n_threads: int | None) -> None:
        self._net, self._rows, self._values, self._n_threads = net, rows, values, n_threads
        self._targets = np.zeros_like(values)
        self._objective = Objective(net, rows, self._targets, None, weights, n_threads)

    def linearize(self) -> None:
        """Here is where the network is."""
        self._here = self._net._vector.copy()
        self._outputs = self._net._outputs(self._rows, self._n_threads)

    def __call__(self, there: np.ndarray) -> np.ndarray:
        """J^T e, e being the errors by the parameters `there`; the network is back here then."""
        net = self._net
        net._vector[:] = there
        # y is what the outputs here would have to be compared with
        self._targets[:] = self._outputs - (net._outputs(self._rows, self._n_threads) - self._values)
        return self._objective(self._here)[1]

    def close(self) -> None:
        """Let the threads go."""
        self._objective.close()
