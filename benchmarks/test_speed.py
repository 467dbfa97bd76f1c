"""pytest-benchmark: training and outputs on every workload, grouped by workload, fastbp beside NumPy.

    python -m pytest benchmarks                        # times
    python -m pytest benchmarks --benchmark-disable    # correctness only, each once

The ratio NumPy / fastbp, from interleaved rounds, is in `extra_info` of the fastbp case.
"""

from statistics import median

import numpy as np

from .common import NAMES, ratios, workloads

CONTESTANTS = ("numpy", "fastbp")


def pytest_generate_tests(metafunc):
    # not by a decorator: asv imports this module where pytest is not installed
    metafunc.parametrize(("workload", "contestant"), [(name, contestant) for name in NAMES for contestant in CONTESTANTS])


def prepared(workload, contestant):
    """A contestant on a workload, the reference for it, and the tolerance."""
    # here, because asv imports this module beside versions of the package that lack these
    from fastbp.bench.gate import shortened
    from fastbp.bench.measure import Reference
    from fastbp.bench.worker import Turns

    chosen = shortened(workloads.get(workload))
    turns = Turns(contestant, 1)
    reason, tolerance = turns.open(workload, chosen.dtype, tuple(chosen.load()))
    assert reason is None
    return turns, Reference(chosen), tolerance


def measure(benchmark, group, workload, contestant, work):
    """Time `work(turns)`; beside fastbp, the ratio to NumPy."""
    benchmark.group = f"{group}: {workload}"
    turns, reference, tolerance = prepared(workload, contestant)
    turns.turn(2)
    assert reference.difference(turns, 2) < tolerance
    if contestant == "fastbp" and benchmark.enabled:
        numpy, _, _ = prepared(workload, "numpy")
        numpy.reset()
        found = ratios(lambda: work(numpy), lambda: work(turns))
        benchmark.extra_info["numpy_over_fastbp"] = {"median": median(found), "low": found[1], "high": found[-2]}
    benchmark.pedantic(work, args=(turns,), rounds=10, warmup_rounds=1)
    return turns, reference


def test_training(benchmark, workload, contestant):
    turns, _ = measure(benchmark, "training", workload, contestant, lambda turns: turns.current.run(1))
    assert np.isfinite(turns.parameters()).all()


def test_outputs(benchmark, workload, contestant):
    turns, reference = measure(benchmark, "outputs", workload, contestant, lambda turns: turns.predict(1))
    turns.reset()
    reference.baseline.reset()
    np.testing.assert_allclose(turns.outputs(5), reference.baseline.outputs(5), atol=1e-4)
