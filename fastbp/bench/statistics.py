"""Ratios of interleaved times: estimates that a wandering clock and a busy neighbour do not move."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
RESAMPLES = 1000


class Interval(NamedTuple):
    """An estimate and its confidence interval."""

    estimate: float
    low: float
    high: float


def median_interval(values: ArrayLike) -> Interval:
    """The median, and the interval between two order statistics that holds the population's with 95 % confidence.

    The number of values below the population's median is binomial (n, 1/2) whatever the distribution. With fewer than six
    values no interval has that confidence: the range is given.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    n = len(ordered)
    outside, k = 0.0, 0
    while k < (n - 1) // 2 and outside + comb(n, k) / 2**n <= (1 - CONFIDENCE) / 2:
        outside += comb(n, k) / 2**n
        k += 1
    # P(fewer than k below) is small enough: the k-th smallest (from 1) and the k-th largest bound the median
    k = max(k - 1, 0)
    return Interval(float(np.median(ordered)), float(ordered[k]), float(ordered[n - 1 - k]))


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike) -> Interval:
    """Median of the ratios of times taken one after the other, with its interval."""
    return median_interval(np.asarray(numerators, np.float64) / np.asarray(denominators, np.float64))


def midmean(values: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Mean of the middle half: a quarter of the values at either end counts for nothing, as in a median, but it varies less."""
    ordered = np.sort(np.asarray(values, np.float64), axis)
    n = ordered.shape[axis]
    middle: NDArray[np.float64] = ordered.take(range(n // 4, n - n // 4), axis).mean(axis)
    return middle


def session_interval(log_ratios: Sequence[ArrayLike]) -> Interval:
    """Ratio from the logarithms of several sessions' ratios, with a bootstrap interval.

    It is the midmean of the sessions' midmeans. Sessions are resampled, and rounds within them: the rounds of one session share
    the placement of code and data in memory, which no number of rounds averages out. Sessions of different lengths are cut to
    the shortest.
    """
    rounds = min(map(np.size, log_ratios))
    sessions = np.array([np.asarray(ratios, np.float64)[:rounds] for ratios in log_ratios])
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(sessions), size=(RESAMPLES, len(sessions), 1))
    samples = sessions[chosen, rng.integers(rounds, size=(RESAMPLES, len(sessions), rounds))]
    low, high = np.quantile(midmean(midmean(samples)), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(*(float(np.exp(value)) for value in (midmean(midmean(sessions)), low, high)))


def verdict(ratio: Interval, tolerance: float) -> str:
    """What a ratio of times, new to old, says: "slower", "faster" or "no difference".

    A difference is one whose estimate lies beyond the tolerance and whose interval leaves out 1.
    """
    if ratio.estimate > 1 + tolerance and ratio.low > 1:
        return "slower"
    if ratio.estimate < 1 / (1 + tolerance) and ratio.high < 1:
        return "faster"
    return "no difference"
