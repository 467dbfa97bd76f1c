"""Steps of data-parallel training, simulated rank by rank; and the same in one formula.

A step is what the slowest rank takes for the gradient of its b = B / R samples, the sums of a node, what goes between nodes and was
not hidden behind the gradients of the layers below, and the update:

    T(R) = max over ranks of C(b) + S(n) + hidden(A(m)) + U + P,    C(b) = c0 + c1 b,
    S(n) = s0 + 2 N w / v                                       each number is read and written once by each of n ranks of a node,
    A(m) = 2 a log2(m) + 2 (m - 1) / m  (N w / n) / v_network   of Rabenseifner's algorithm (Thakur et al., 2005),

U the update, P what Python takes, N parameters of w bytes, n ranks on each of m = R / n nodes. Noise of C is drawn from steps that
were measured: the slowest of many ranks is slower than their mean, the more the more there are.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from math import log2
from typing import Any

import numpy as np


@dataclass
class Cluster:
    """Nodes of some cores, one rank each, and what is between them."""

    cores: int = 16
    latency: float = 2e-6  # seconds of a message
    bandwidth: float = 12.5e9  # bytes per second of each node


@dataclass
class Cost:
    """What was measured of a network on one machine, in seconds."""

    sizes: tuple[int, ...]
    c0: float  # of a gradient, however few samples
    c1: float  # of each sample
    update: float
    other: float  # of Python, and of what is done once an epoch, for each step
    s0: float  # of the sums of a node, however few numbers
    shared: float  # bytes per second of these sums
    noise: Any = field(default_factory=lambda: np.ones(1))  # factors of the time of a gradient, of which the median is 1
    itemsize: int = 4

    @property
    def layers(self) -> list[int]:
        """Parameters of each layer, the last first, as their gradients come."""
        return [(n_in + 1) * n_out for n_in, n_out in pairwise(self.sizes)][::-1]

    def shares(self) -> list[float]:
        """Of the time of a gradient, how much has gone by when that of each layer is there: two thirds are the way back."""
        of_layers = self.layers
        done = np.cumsum(of_layers) / sum(of_layers)
        return list(1 / 3 + 2 / 3 * done)


def simulated(cost: Cost, batch: int, ranks: int, cluster: Cluster, steps: int = 400, seed: int = 0) -> float:
    """Mean seconds of a step of `batch` samples, on so many ranks."""
    rng = np.random.default_rng(seed)
    n = min(ranks, cluster.cores)
    m = -(-ranks // n)
    gradient = (cost.c0 + cost.c1 * batch / ranks) * rng.choice(cost.noise, (steps, ranks))
    free = np.zeros(steps)  # when the network is
    end = np.zeros(steps)
    spent = np.zeros(steps)  # by the sums of a node so far, which take the core that gradients take, too
    for numbers, share in zip(cost.layers, cost.shares(), strict=True):
        size = numbers * cost.itemsize
        there = (gradient * share).max(axis=1) + spent
        within = cost.s0 / len(cost.layers) + (2 * size / cost.shared if n > 1 else 0.0)
        spent += within
        end = there + within
        if m > 1:
            across = 2 * cluster.latency * log2(m) + 2 * (m - 1) / m * (size / n) / (cluster.bandwidth / n)
            end = free = np.maximum(free, end) + across
    return float(end.mean() + cost.update + cost.other)


def in_one_formula(cost: Cost, batch: int, ranks: int, cluster: Cluster) -> float:
    """Seconds of such a step without noise, if nothing between nodes is hidden."""
    n = min(ranks, cluster.cores)
    m = -(-ranks // n)
    size = sum(cost.layers) * cost.itemsize
    within = cost.s0 + (2 * size / cost.shared if n > 1 else 0.0)
    across = 2 * cluster.latency * log2(m) * len(cost.layers) + 2 * (m - 1) / m * size / cluster.bandwidth if m > 1 else 0.0
    return cost.c0 + cost.c1 * batch / ranks + within + across + cost.update + cost.other


def best_ranks(cost: Cost, batch: int, cluster: Cluster, least: float = 0.5, most: int = 4096) -> int:
    """The most ranks, a power of two, of which each still does `least` of what one alone would."""
    best, alone = 1, in_one_formula(cost, batch, 1, cluster)
    ranks = 2
    while ranks <= min(most, batch):
        if alone / in_one_formula(cost, batch, ranks, cluster) < least * ranks:
            break
        best, ranks = ranks, ranks * 2
    return best


def least_batch(cost: Cost, ranks: int, cluster: Cluster, efficiency: float = 0.5) -> int:
    """The smallest mini-batch, a power of two times the ranks, of which so many ranks each do that part of what one would."""
    batch = ranks
    while in_one_formula(cost, batch, 1, cluster) < efficiency * ranks * in_one_formula(cost, batch, ranks, cluster):
        batch *= 2
        if batch > 1 << 40:
            raise ValueError(f"no mini-batch repays {ranks} ranks")
    return batch
