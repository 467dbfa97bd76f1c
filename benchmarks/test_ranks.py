"""The simulation of ranks: against the formula where there is nothing else, and what noise and hiding do to it."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.ranks.simulate import Cluster, Cost, best_ranks, in_one_formula, least_batch, simulated

COST = Cost((784, 512, 512, 10), c0=1e-4, c1=3e-5, update=2e-4, other=3e-5, s0=1e-5, shared=2e10)
CLUSTER = Cluster(cores=4)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_on_one_node_it_is_the_formula(ranks):
    assert simulated(COST, 256, ranks, CLUSTER) == pytest.approx(in_one_formula(COST, 256, ranks, CLUSTER))


@pytest.mark.parametrize("ranks", [8, 64, 256])
def test_what_is_hidden_is_at_most_all_that_goes_between_nodes(ranks):
    slow = in_one_formula(COST, 1024, ranks, CLUSTER)
    quick = in_one_formula(COST, 1024, ranks, replace(CLUSTER, latency=0.0, bandwidth=np.inf))
    assert quick < simulated(COST, 1024, ranks, CLUSTER) < slow


def test_the_slowest_of_many_is_slower():
    noisy = replace(COST, noise=np.array([1.0] * 9 + [2.0]))
    alone = [simulated(cost, 1, 1, CLUSTER) - COST.update - COST.other for cost in (COST, noisy)]
    assert alone[1] / alone[0] == pytest.approx(1.1, abs=0.05)
    for ranks, slower in {2: 2 - 0.9**2, 4: 2 - 0.9**4}.items():
        gradient = COST.c0 + COST.c1 * 256 / ranks
        lost = simulated(noisy, 256, ranks, CLUSTER, steps=4000) - simulated(COST, 256, ranks, CLUSTER)
        assert lost / gradient == pytest.approx(slower - 1, abs=0.03)


def test_what_repays():
    most = best_ranks(COST, 256, CLUSTER)
    speed = [in_one_formula(COST, 256, 1, CLUSTER) / in_one_formula(COST, 256, ranks, CLUSTER) for ranks in (most, 2 * most)]
    assert speed[0] >= 0.5 * most
    assert speed[1] < 0.5 * 2 * most
    batch = least_batch(COST, 64, CLUSTER)
    assert best_ranks(COST, batch, CLUSTER) >= 64
    assert best_ranks(COST, batch // 2, CLUSTER) < 64
