"""The loss of all samples, and its gradient, as often as the parameters change."""

from typing import Any

import numpy as np

from fastbp.engine import memory, sparsity, threads
from fastbp.engine.session import Session
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE


class Objective:
    """theta -> (loss, gradient), for as long as the samples stay.

    Parameters
    ----------
    net : Network
        Its parameters are overwritten by theta.
    rows, values, labels, weights : arrays
        As for `Session.set_data`: arrays that have passed validation.
    n_threads : int, optional
        Threads at most; the result does not depend on it.

    Attributes
    ----------
    session : Session
        Whose penalty and report may be set.
    """

    def __init__(self, net: Any, rows: Any, values: Any, labels: Any, weights: Any, n_threads: int | None) -> None:
        entries = sparsity.entries(rows, net.sizes[1] * net.dtype.itemsize)
        members = threads.members_for(len(rows) * threads.flop_of_sample(net.sizes, entries), n_threads)
        self.net = net
        self.session = Session(net, len(rows), differentiate=True, members=members, entries=entries)
        self.session.set_data(rows, values, labels, weights)
        self.session.out = memory.zeros(net._vector.size, net.dtype)

    def loss(self) -> float:
        """Loss of the network as it is, penalties included."""
        loss: float = self.session.call(EVALUATE)
        return loss

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient, a copy, after the network has been given the parameters theta."""
        self.net._vector[:] = theta
        return self.session.call(DIFFERENTIATE), self.session.out.copy()

    def close(self) -> None:
        """Let the threads go."""
        self.session.close()
