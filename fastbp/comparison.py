"""How much faster the kernels are than the NumPy baseline, measured on the same steps in turns."""

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
        Time of the baseline divided by that of the kernels, one for each turn.
    steps : int
        Mini-batches in a turn.
    """

    difference: float
    rows_per_second: float
    ratios: NDArray[np.float64]
    steps: int


def compare(net: Network, X: NDArray[Any], y: NDArray[Any], batch_size: int, optimizer: str | Optimizer) -> Comparison:
    """Train copies of a network by the kernels and by the baseline, the same mini-batches from the same weights, in turns.

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
        After about 2 s, or at least one turn.
    """
    from fastbp import baseline

    rng = np.random.default_rng(0)
    contestants = net.copy(), baseline.from_network(net)

    def turn(steps: int) -> list[float]:
        order = rng.integers(len(X), size=steps * batch_size)
        seconds = []
        for contestant in contestants:
            begin = time.perf_counter()
            contestant.fit(X, y, epochs=1, batch_size=batch_size, optimizer=optimizer, order=order)
            seconds.append(time.perf_counter() - begin)
        return seconds

    start = time.perf_counter()
    seconds_of_baseline = turn(CHECKED_STEPS)[1]
    ours, theirs = (contestant.params.astype(np.float64) for contestant in contestants)
    difference = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    steps = max(1, min(MOST_STEPS, int(CHECKED_STEPS * TURN_SECONDS / seconds_of_baseline)))
    turns = [turn(steps)]
    while len(turns) < MOST_TURNS and time.perf_counter() - start < MOST_SECONDS:
        turns.append(turn(steps))
    times = np.array(turns)
    return Comparison(difference, float(steps * batch_size / np.median(times[:, 0])), times[:, 1] / times[:, 0], steps)
