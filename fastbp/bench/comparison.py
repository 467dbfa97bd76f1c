"""How much faster the kernels are than the NumPy baseline: the same steps in turns, one thread each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastbp.network import Network
    from fastbp.optimizers import Optimizer

CHECKED_STEPS, MOST_STEPS = 20, 1000
MOST_TURNS, TURN_SECONDS, MOST_SECONDS = 15, 0.1, 2.0


class Comparison(NamedTuple):
    """Result of `compare`.

    Attributes
    ----------
    difference : float
        Norm of the difference of the parameters after 20 equal steps, divided by the norm of the baseline's.
    rows_per_second : float
        Median speed of the kernels in training, in rows visited.
    ratios : ndarray
        Time of the baseline divided by that of the kernels, one for each turn after the first.
    steps : int
        Mini-batches in a turn.
    """

    difference: float
    rows_per_second: float
    ratios: NDArray[np.float64]
    steps: int


def compare(net: Network, X: NDArray[Any], y: NDArray[Any], batch_size: int, optimizer: str | Optimizer) -> Comparison:
    """Train copies of a network by the kernels and by the baseline, the same mini-batches from the same weights, in turns.

    Both have one thread: a BLAS that spins on more threads than there are idle cores would be slowed down many times.

    Parameters
    ----------
    net : Network
        Where both start. Not changed.
    X, y : ndarray
        Data, as for `Network.fit`.
    batch_size : int
    optimizer : str or Optimizer

    Returns
    -------
    Comparison
        After about 2 s. The first turn, in which both warm up, is checked but not timed.
    """
    from threadpoolctl import threadpool_limits

    from fastbp import baseline

    rng = np.random.default_rng(0)
    ours, theirs = net.copy(), baseline.from_network(net)
    turns: list[tuple[float, float]] = []
    steps = CHECKED_STEPS
    start = time.perf_counter()
    with threadpool_limits(1, user_api="blas"):
        while len(turns) < MOST_TURNS and (len(turns) < 2 or time.perf_counter() - start < MOST_SECONDS):
            order = rng.integers(len(X), size=steps * batch_size)
            begin = time.perf_counter()
            ours.fit(X, y, epochs=1, batch_size=batch_size, optimizer=optimizer, order=order, n_threads=1)
            middle = time.perf_counter()
            theirs.fit(X, y, epochs=1, batch_size=batch_size, optimizer=optimizer, order=order)
            turns.append((middle - begin, time.perf_counter() - middle))
            if len(turns) == 1:
                mine, other = (contestant.params.astype(np.float64) for contestant in (ours, theirs))
                difference = float(np.linalg.norm(mine - other) / np.linalg.norm(other))
                steps = max(1, min(MOST_STEPS, int(CHECKED_STEPS * TURN_SECONDS / turns[0][1])))
    times = np.array(turns[1:])
    return Comparison(difference, float(steps * batch_size / np.median(times[:, 0])), times[:, 1] / times[:, 0], steps)
