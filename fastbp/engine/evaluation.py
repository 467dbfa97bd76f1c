"""The loss and the outputs of a network on samples that stay, in one pass, as often as its parameters change."""

from typing import Any

import numpy as np

from fastbp.engine import sparsity, threads
from fastbp.engine.session import Session
from fastbp.kernels.modes import EVALUATE


class Evaluation:
    """A session that evaluates, by as many threads as that repays.

    Parameters
    ----------
    net : Network
    rows, values, labels, sample_weight : arrays
        As for `Session.set_data`: arrays that have passed validation.
    n_threads : int, optional
        Threads at most.

    Attributes
    ----------
    outputs : ndarray (n_samples, n_outputs)
        As of the last call.
    """

    def __init__(
        self, net: Any, rows: Any, values: Any, labels: Any, sample_weight: Any = None, n_threads: int | None = None
    ) -> None:
        members = threads.members_for(2.0 * net._vector.size * len(rows), n_threads)
        self.session = Session(net, len(rows), members=members, entries=sparsity.entries_for(net, rows))
        self.session.set_data(rows, values, labels, sample_weight)
        self.outputs = np.empty((len(rows), net.sizes[-1]), net.dtype)
        self.session.set_outputs(self.outputs)

    def loss(self) -> float:
        """Mean loss of the samples now."""
        loss: float = self.session.call(EVALUATE)
        return loss

    def close(self) -> None:
        """Let the threads go."""
        self.session.close()
