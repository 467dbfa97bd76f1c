"""The kernels against the oracle on thousands of random cases with all options; see `fuzz.py`."""

from collections import Counter

import fuzz
import numpy as np
import pytest

import fastbp
from fastbp import activations, losses, optimizers

CASES, PARTS = 5000, 10


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(part, marks=pytest.mark.slow) for part in range(2, PARTS))])
def test_kernels_equal_the_oracle_on_random_cases(part):
    count = CASES // PARTS
    outcomes, mismatches, ratios = fuzz.run(count, first=part * count)
    assert mismatches == []
    assert outcomes["equal"] > 0.95 * count  # the others prove nothing
    assert np.median(ratios) < 0.1


def test_cases_have_everything():
    seen = Counter()
    for number in range(CASES // PARTS):
        case = fuzz.Case(0, number)
        parts = *case.net.hidden, case.net.output, case.net.loss_function, case.rule, case.schedule
        seen.update(part.name for part in parts)
        seen.update(list(case.options))
        seen.update({"dropout": any(case.dropped[1:]), "input_dropout": case.dropped[0] > 0, "sparse": case.is_sparse})
        seen.update(
            {
                "threads": case.n_threads > 1,
                case.dtype: 1,
                "exp beside clipping": "clip_norm" in case.options and any(part.name == "exp" for part in parts[:-3]),
            }
        )
    registries = activations.ACTIVATIONS, losses.LOSSES, optimizers.OPTIMIZERS
    wanted = {name for registry in registries for name in registry.names}
    wanted |= {"l1", "l2", "clip_norm", "clip_value", "max_norm", "sample_weight", "dropout", "input_dropout", "sparse", "threads"}
    wanted |= {"float32", "float64", "exp beside clipping"}
    assert {name: seen[name] for name in wanted if seen[name] < 20} == {}


@pytest.mark.parametrize("name", ["l1", "l2", "clip_norm", "clip_value", "max_norm", "dropout", "input_dropout", "sample_weight"])
def test_an_option_that_has_no_effect_is_found(name, monkeypatch):
    fit = fastbp.Network.fit
    monkeypatch.setattr(fastbp.Network, "fit", lambda net, X, y, **options: fit(net, X, y, **options | {name: NOTHING.get(name)}))
    assert any(outcome in fuzz.FAULTS for _, outcome, _ in fuzz.verdicts(60))


NOTHING = {"l1": 0.0, "l2": 0.0, "dropout": 0.0, "input_dropout": 0.0}


def test_a_relative_error_of_a_millionth_is_found(monkeypatch):
    fit = fastbp.Network.fit

    def slightly_wrong(net, X, y, **options):
        history = fit(net, X, y, **options)
        net.params[0] *= 1 + 1e-6
        return history

    monkeypatch.setattr(fastbp.Network, "fit", slightly_wrong)
    outcomes, mismatches, _ = fuzz.run(20)
    assert len(mismatches) > 0.6 * outcomes.total()  # not where the first weight is small, or precision single
