"""The workloads whose loop is the user's, in compiled code: what they are, and that all contestants compute the same. No timing."""

import importlib.util
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from fastbp.bench import plots, report, workloads
from fastbp.bench.contestants import CONTESTANTS, LOOPERS, Fastbp, NumbaDot, OnnxRuntime
from fastbp.bench.contestants.ours import Calls
from fastbp.bench.measure import Reference, Settings, measure, unsound
from fastbp.bench.worker import Turns

LOOPS = [name for name, workload in workloads.WORKLOADS.items() if workload.loop]
CLOSED = [name for name in LOOPS if workloads.get(name).simulates]


def contest(name, contestants):
    machine = SimpleNamespace(flops=lambda dtype, seconds: 1e11)
    return measure(workloads.get(name), "float32", contestants, machine, Settings(rounds=2, seconds=1e-3, steps=50))


def test_loops_are_those_that_are_published():
    assert [(w.loop, w.hidden, w.rule, w.steps_per_epoch) for w in map(workloads.get, LOOPS)] == [
        ("simulation", ("tanh",), None, 10_000),
        ("simulation", ("relu", "relu"), None, 10_000),
        ("training", ("tanh",), "adam", 1000),
    ]


def test_a_closed_loop_adds_outputs_to_the_inputs_that_come_next():
    data = workloads.get("closed-loop").load("float64")
    (w1, w2), (b1, b2) = data.weights, data.biases
    outputs, out = [], np.zeros(2)
    for row in data.X[:100]:
        out = w2 @ np.tanh(w1 @ (row + np.append(out, [0.0, 0.0])) + b1) + b2
        outputs.append(out)
    turns = Turns("numpy", 1)
    turns.open("closed-loop", "float64")
    turns.turn(1)
    np.testing.assert_allclose(turns.parameters()[:200], np.ravel(outputs), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_loop_lives_on_what_comes_in_and_on_its_outputs(name):
    """It neither comes to rest nor diverges, and without the outputs before it would be another one."""
    reference = Reference(workloads.get(name))
    reference.difference(SimpleNamespace(parameters=lambda: np.zeros(0)), 1)
    actions = reference._ends[1].reshape(10_000, -1)
    assert 0.1 < np.std(actions[5000:]) < 10
    data = workloads.get(name).load("float64")
    alone = reference.baseline.current.outputs(data.X)
    assert np.linalg.norm(alone - actions) > 0.1 * np.linalg.norm(actions)


def test_flop_of_a_row():
    assert workloads.get("closed-loop").flop_per_epoch == 10_000 * 2 * (4 * 32 + 32 * 2)
    assert workloads.get("closed-loop").bytes_per_epoch == 4 * 10_000 * (4 + 2 + 4 * 32 + 32 + 32 * 2 + 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("contestant", [cls.name for cls in LOOPERS if find_spec(cls.module)])
def test_contestants_do_the_same(contestant, name, dtype):
    turns = Turns(contestant, 1)
    reason, tolerance = turns.open(name, dtype)
    if reason is not None:
        assert contestant == "onnxruntime"
        pytest.skip(f"{contestant} {reason}")
    reference = Reference(workloads.get(name))
    for epochs in (1, 2, 1):  # a turn starts anew: weights and state of the rule
        turns.turn(epochs)
        assert reference.difference(turns, epochs) < tolerance / 5


def test_those_who_cannot_say_so():
    assert OnnxRuntime.reason_against(workloads.get("training-loop")) == "does not train"
    assert NumbaDot.reason_against(workloads.get("digits")) == "is for loops"
    with pytest.raises(NotImplementedError, match="loops only"):
        NumbaDot(workloads.get("closed-loop"), "float32", 1).outputs(np.zeros((1, 4), np.float32))


def test_a_version_without_networks_in_compiled_code_says_so(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert Fastbp.reason_against(workloads.get("digits")) is None
    for name in LOOPS:
        assert Fastbp.reason_against(workloads.get(name)).startswith("of this version has no")


class Open(Calls):
    """Leaves the outputs out of the inputs."""

    def simulate(self):
        return self.net(self.data.X)


class Short(Calls):
    """Ends before the last mini-batch."""

    def train(self, epochs):
        for _ in range(epochs):
            self._train_in_loop(len(self.data.X) - self.workload.batch_size)


@pytest.mark.parametrize(("name", "wrong"), [*((name, Open) for name in CLOSED), ("training-loop", Short)])
def test_wrong_contestants_are_shown_as_wrong(name, wrong):
    result = contest(name, {"fastbp": Turns("fastbp", 1), "fastbp call": Turns("fastbp call", 1, wrong)})
    outcomes = result["contestants"]
    assert (outcomes["fastbp"]["status"], outcomes["fastbp call"]["status"]) == ("ok", "wrong")
    assert unsound([result]) == [("fastbp call", name)]


def test_simulations_fill_a_turn_whatever_the_baseline_takes():
    result = contest("closed-loop", {"fastbp": Turns("fastbp", 1), "numba dot": Turns("numba dot", 1)})
    assert result["contestants"]["numba dot"]["ratio"]["low"] > 0
    reference = Reference(workloads.get("closed-loop"))
    counted = []
    reference.baseline = SimpleNamespace(turn=counted.append, parameters=lambda: np.ones(3))
    reference.difference(SimpleNamespace(parameters=lambda: np.ones(3)), 1000)
    assert counted == [1]


def test_gradients_are_measured_from_zero():
    reference = Reference(workloads.get("valgrad"))
    assert reference.difference(SimpleNamespace(parameters=lambda: np.zeros(24 * 8 + 8 + 16 + 2)), 1) == 1.0


def test_times_have_units():
    assert [report._time(value) for value in (0.0123, 0.2, 1.0, 99.96, 1500.0)] == ["12.3 ns", "200 ns", "1 us", "100 us", "1.5 ms"]


def test_a_table_has_columns_of_those_that_take_part():
    interval = {"estimate": 2.0, "low": 1.0, "high": 3.0}
    outcome = {"status": "ok", "microseconds": interval, "ratio": interval}
    found = {"name": "closed-loop", "dtype": "float32", "contestants": {"fastbp": outcome, "numba dot": outcome}}
    head, _ = report._ratios({"settings": {"contestants": ["fastbp", "scikit-learn", "numba dot"]}, "workloads": [found]})
    assert head[4:] == ["numba dot / fastbp"]


def test_every_contestant_has_a_marker():
    assert CONTESTANTS.keys() <= plots.STYLES.keys()
    assert len(set(plots.STYLES.values())) == len(plots.STYLES)
