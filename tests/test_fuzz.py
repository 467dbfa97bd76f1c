"""The kernels against the reference on random cases with all options of a fit; see `random_fits.py`."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import random_fits

import fastbp
from fastbp import activations, losses, optimizers, schedules

sys.path.insert(0, str(Path(__file__).with_name("reliability")))
import differential

CASES, PARTS = 5000, 10
OPTIONS = ["l1", "l2", "clip_norm", "clip_value", "max_norm", "dropout", "input_dropout", "sample_weight"]
RECORDED = ["tol", "gradient_tol", "patience", "validation_data", "validation_fraction", "record_norms", "record_score"]


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(part, marks=pytest.mark.slow) for part in range(2, PARTS))])
def test_kernels_equal_the_reference_on_random_cases(part):
    count = CASES // PARTS
    outcomes, mismatches, ratios, seen = differential.compared(count, part * count)
    assert mismatches == []
    assert outcomes["equal"] > 0.9 * count  # the others prove nothing
    assert np.median(ratios) < 0.1
    check_that_cases_have_everything(seen)


def check_that_cases_have_everything(seen):
    registries = activations.ACTIVATIONS, losses.LOSSES, optimizers.OPTIMIZERS, schedules.SCHEDULES
    wanted = {name for registry in registries for name in registry.names}
    wanted |= {*OPTIONS, *RECORDED, *random_fits.KINDS, "sparse", "threads", "blocks", "order", "input_scale"}
    wanted |= {"float32", "float64", "shuffle=replacement", "exp beside clipping"}
    assert wanted - seen.keys() == set()


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_has_no_effect_is_found(name, monkeypatch):
    fit = fastbp.Network.fit
    nothing = {"l1": 0.0, "l2": 0.0, "dropout": 0.0, "input_dropout": 0.0}
    monkeypatch.setattr(fastbp.Network, "fit", lambda net, X, y, **options: fit(net, X, y, **options | {name: nothing.get(name)}))
    assert any(random_fits.run(100, seed, shrink=False).mismatch for seed in range(3))


@pytest.mark.parametrize("control", differential.CONTROLS)
def test_a_fault_of_the_reference_is_found(control):
    assert differential.is_found(control)


def test_a_relative_error_of_a_millionth_is_found(monkeypatch):
    fit, found = fastbp.Network.fit, Counter()

    def slightly_wrong(net, X, y, **options):
        history = fit(net, X, y, **options)
        net.params[0] *= 1 + 1e-6
        return history

    monkeypatch.setattr(fastbp.Network, "fit", slightly_wrong)
    random_fits.for_cases(25, 0, lambda case: found.update([case.verdict()[0] in random_fits.FAULTS]))
    assert found[True] > 0.4 * found.total()  # not where the first weight is small, or precision single
