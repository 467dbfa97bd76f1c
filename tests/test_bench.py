"""The benchmarks: the same work for everybody, wrong contestants caught, statistics that find what is there. No timing."""

import json
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError
from types import SimpleNamespace

import numpy as np
import pytest

from fastbp import bench, cli
from fastbp.bench import contest as contest_
from fastbp.bench import gate, plots, report, start, workloads
from fastbp.bench import machine as machine_
from fastbp.bench import worker as worker_
from fastbp.bench.contestants import CONTESTANTS, STEPPERS, TRAINERS, Fastbp
from fastbp.bench.measure import QUICK, Reference, Settings, interleave, latency, measure, unsound
from fastbp.bench.statistics import Interval, median_interval, ratio_interval, session_interval, verdict
from fastbp.bench.worker import DOORS, Turns, Worker, WorkerError, environment

SHAPES = {
    "small": ((20, 16, 3), 32),
    "small-deep": ((20, 64, 64, 3), 32),
    "online": ((3, 2, 2, 3), 1),
    "walkthrough": ((2, 3, 3, 1), 50),
    "deep-relu": ((1, 6, 6, 6, 6, 6, 1), 32),
    "matrix-exp": ((4, 32, 16, 4), 10_000),
    "valgrad": ((24, 8, 2), 200),
    "tabular": ((30, 64, 32, 2), 32),
    "digits": ((64, 100, 10), 200),
    "book-mnist": ((784, 30, 10), 10),
    "mnist": ((784, 128, 10), 128),
    "mnist-60k": ((784, 128, 10), 128),
    "mnist-adam": ((784, 128, 10), 128),
    "mnist-deep": ((784, 512, 512, 10), 256),
    "wide": ((1024, 1024, 1024, 1024), 1024),
    "closed-loop": ((4, 32, 2), 1),
    "closed-loop-deep": ((20, 64, 64, 4), 1),
    "training-loop": ((4, 32, 2), 8),
}
SMALL = ["small", "online", "walkthrough", "deep-relu", "valgrad", "tabular", "digits"]
SHORT = Settings(rounds=2, seconds=1e-3, steps=50)


# --- workloads ---------------------------------------------------------------------------------------------------------------


def test_workloads_are_those_that_are_published():
    assert {name: (w.sizes, w.batch_size) for name, w in workloads.WORKLOADS.items()} == SHAPES


@pytest.mark.parametrize("name", SHAPES)
def test_data_fit_their_workload(name):
    workload = workloads.get(name)
    data = workload.load()
    assert data.X.shape == (workload.n_samples, workload.sizes[0])
    assert data.X.dtype == workload.dtype
    assert np.isfinite(data.X).all()
    assert data.X.std() > 0.1
    if workload.loss == "cross_entropy":
        assert set(np.unique(data.y)) <= set(range(workload.sizes[-1]))
        assert len(np.unique(data.y)) > workload.sizes[-1] // 2
    else:
        assert data.y.shape == (workload.n_samples, workload.sizes[-1])
    if data.order is not None:
        assert sorted(data.order) == list(range(workload.n_samples))
    assert [w.shape for w in data.weights] == [(b, a) for a, b in zip(workload.sizes, workload.sizes[1:], strict=False)]
    assert workload.n_params == sum(array.size for array in data.weights + data.biases)


@pytest.mark.parametrize("name", SMALL)
def test_workloads_are_reproducible_and_equal_in_both_dtypes(name):
    workload = workloads.get(name)
    for first, again, wide in zip(workload.load(), workload.load(), workload.load("float64"), strict=True):
        for a, b, c in zip(*([arrays] if not isinstance(arrays, list) else arrays for arrays in (first, again, wide)), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)


def test_flop_of_one_hidden_layer():
    # forward 2 (64 100 + 100 10), gradients as much, delta of the hidden layer 2 100 10
    workload = workloads.get("digits")
    assert workload.flop_per_epoch == 1797 * (4 * (64 * 100 + 100 * 10) + 2 * 100 * 10)
    assert workload.steps_per_epoch == 9


def test_matrix_exponentials():
    from scipy.linalg import expm

    data = workloads.get("matrix-exp").load("float64")
    np.testing.assert_allclose(data.y[:20].reshape(-1, 2, 2), expm(data.X[:20].reshape(-1, 2, 2)), rtol=1e-6)


def test_unknown_workload():
    with pytest.raises(ValueError, match=r"workload must be one of small, .*, online, .*, got 'x'"):
        workloads.get("x")


# --- contestants -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("contestant", [cls.name for cls in TRAINERS if find_spec(cls.module)])
def test_contestants_do_the_same(contestant, name, dtype):
    workload, turns = workloads.get(name), Turns(contestant, 1)
    reason, tolerance = turns.open(name, dtype)
    if reason is not None:
        assert contestant == "scikit-learn"
        pytest.skip(f"scikit-learn {reason}")
    reference = Reference(workload)
    turns.reset()
    np.testing.assert_allclose(turns.outputs(5), reference.baseline.outputs(5), atol=1e-5)
    for _ in range(2):  # a turn starts anew: weights and state of the rule
        turns.turn(2)
        assert reference.difference(turns, 2) < tolerance


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["small", "small-deep", "tabular", "digits"])
@pytest.mark.parametrize("contestant", [cls.name for cls in STEPPERS if find_spec(cls.module)])
def test_contestants_do_the_same_in_single_steps(contestant, name, dtype):
    workload, turns = workloads.get(name), Turns(contestant, 1)
    reason, tolerance = turns.open(name, dtype)
    reason = reason or turns.reason_against_steps()
    if reason is not None:
        assert (name, contestant) in (("digits", "numpy"), ("digits", "fastbp fit"), ("tabular", "fastbp partial_fit"))
        pytest.skip(f"{contestant} {reason}")
    reference = Reference(workload)
    for _ in range(2):
        turns.steps(2)
        assert reference.difference(turns, 2) < tolerance


@pytest.mark.parametrize("name", ["small", "tabular", "digits", "book-mnist"])
def test_predictors_predict_the_same(name):
    pytest.importorskip("onnxruntime")
    turns = Turns("onnxruntime", 1)
    turns.open(name, "float32")
    np.testing.assert_allclose(turns.outputs(5), Reference(workloads.get(name)).baseline.outputs(5), atol=1e-5)


def test_the_gate_watches_every_door_and_those_that_both_versions_have():
    assert {door for workload in workloads.WORKLOADS.values() for door in workload.doors} == DOORS.keys()

    class Older(Fastbp):
        @classmethod
        def reason_against_steps(cls, workload):
            return "of this version has no Trainer"

    turns = Turns("fastbp", 1, Older)
    turns.open("small", "float32")
    assert turns.doors() == ["fit", "partial_fit", "row"]
    turns = Turns("fastbp", 1)
    turns.open("small", "float32")
    assert turns.doors() == ["fit", "step", "partial_fit", "row"]
    assert all(getattr(turns, DOORS[door])(2) > 0 for door in turns.doors())


class Slower(Fastbp):
    """Steps of 95 % of the length."""

    def build(self):
        super().build()
        if self.rule:
            rule = self.rule
            self.rule = lambda rate: rule(0.95 * rate)


class Lazy(Fastbp):
    """Leaves out the last mini-batch."""

    def run(self, epochs):
        self.data = self.data._replace(order=self.data.order[: -self.workload.batch_size])
        super().run(epochs)


class Idle(Fastbp):
    """Does nothing."""

    def run(self, epochs):
        pass


class Diverging(Fastbp):
    """Ends with numbers that are none."""

    def run(self, epochs):
        super().run(epochs)
        self.net.params[0] = np.nan


class Broken(Fastbp):
    """Ends at the right place when it is looked at, and elsewhere later."""

    turns = 0

    def run(self, epochs):
        Broken.turns += 1
        super().run(epochs if Broken.turns < 4 else 1 + epochs)


def contest(name, contestants, settings=SHORT):
    machine = SimpleNamespace(flops=lambda dtype, seconds: 1e11)
    return measure(workloads.get(name), "float32", contestants, machine, settings)


@pytest.mark.parametrize("wrong", [Slower, Lazy, Idle, Diverging])
@pytest.mark.parametrize("name", ["walkthrough", "digits"])
def test_wrong_contestant_is_shown_as_wrong_and_not_timed(wrong, name):
    result = contest(name, {"fastbp": Turns("fastbp", 1), "numpy": Turns("numpy", 1, wrong)})
    entry = result["contestants"]["numpy"]
    assert entry["status"] == "wrong"
    assert not entry["difference"] <= entry["tolerance"]
    assert {"microseconds", "gflops", "ratio"}.isdisjoint(entry)
    assert unsound([result]) == [("numpy", name)]
    assert result["contestants"]["fastbp"]["status"] == "ok"
    text = report.tables(results([result]), markdown=False)
    assert next(line for line in text.splitlines() if line.startswith(name)).split()[-1] == "wrong"
    assert f"numpy is wrong on {name}" in text


def test_contestant_that_is_right_only_at_first_is_caught():
    result = contest("walkthrough", {"fastbp": Turns("fastbp", 1), "numpy": Turns("numpy", 1, Broken)}, Settings(3, 1e-9, 1))
    assert result["contestants"]["numpy"]["status"] == "wrong"


def test_no_ratio_to_a_wrong_fastbp():
    result = contest("walkthrough", {"fastbp": Turns("fastbp", 1, Idle), "numpy": Turns("numpy", 1)})
    assert "ratio" not in result["contestants"]["numpy"]
    assert "wrong" in report.tables(results([result]), markdown=False).splitlines()[4]


def test_right_contestants_are_timed():
    names = ("fastbp", "numpy", "scikit-learn")
    result = contest("walkthrough", {name: Turns(name, 1) for name in names})
    entries = result["contestants"]
    assert entries["scikit-learn"]["status"] == "unable"
    assert entries["numpy"]["ratio"]["low"] <= entries["numpy"]["ratio"]["estimate"] <= entries["numpy"]["ratio"]["high"]
    assert entries["fastbp"]["peak_fraction"]["estimate"] == pytest.approx(entries["fastbp"]["gflops"] / 100, rel=0.5)
    assert unsound([result]) == []


def test_contestant_that_fails_is_named_and_the_others_are_timed():
    class Failing(Fastbp):
        def build(self):
            raise WorkerError("Traceback\n  somewhere\nOSError: a library is missing")

    contestants = {"fastbp": Turns("fastbp", 1), "numpy": Turns("numpy", 1, Failing)}
    for result in (contest("walkthrough", contestants), latency("float32", contestants, SHORT)):
        assert result["contestants"]["fastbp"]["status"] == "ok"
        assert result["contestants"]["numpy"] == {"status": "failed", "reason": "OSError: a library is missing"}
        assert f"numpy failed on {result['name']}: OSError" in report.tables(results([result]), markdown=False)
        assert unsound([result]) == []


def test_latency_is_verified():
    class Other(Fastbp):
        def outputs(self, X):
            return 1.01 * super().outputs(X)

    result = latency("float32", {"fastbp": Turns("fastbp", 1), "numpy": Turns("numpy", 1, Other)}, SHORT)
    assert result["contestants"]["fastbp"]["status"] == "ok"
    assert result["contestants"]["numpy"]["status"] == "wrong"


# --- statistics --------------------------------------------------------------------------------------------------------------


def test_median_interval_is_between_the_order_statistics_of_the_tables():
    # Conover (1999), table A3: for n = 6 the extremes, for n = 15 the 4th from each end, for n = 20 the 6th
    assert median_interval(range(6)) == (2.5, 0, 5)
    assert median_interval(range(15)) == (7, 3, 11)
    assert median_interval(range(20)) == (9.5, 5, 14)
    assert median_interval([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert median_interval([4.0]) == (4.0, 4.0, 4.0)


def test_median_interval_holds_the_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = rng.lognormal(size=(2000, 15))
    held = np.mean([interval.low <= 1 <= interval.high for interval in map(median_interval, samples)])
    assert 0.95 <= held < 0.98  # 1 - 2 P(Bin(15, 1/2) < 4) = 0.965


def wandering(rng, rounds):
    """Speed of a machine whose clock wanders by 30 %, with a neighbour that takes half of it now and then."""
    wander = 1 + 0.15 * np.sin(np.cumsum(rng.normal(0, 0.2, rounds)))
    return wander * np.where(rng.random((2, rounds)) < 0.1, 2.0, 1.0) * rng.lognormal(0, 0.02, (2, rounds))


def test_ratio_interval_finds_the_ratio_on_a_wandering_machine():
    rng = np.random.default_rng(1)
    slow, fast = wandering(rng, 31) * [[2.5], [1.0]]
    ratio = ratio_interval(slow, fast)
    assert ratio.low <= 2.5 <= ratio.high
    assert ratio.high / ratio.low < 1.05


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "no difference"), (1.1, "slower"), (1 / 1.1, "faster")])
def test_comparison_of_sessions_finds_what_is_there(factor, expected):
    rng = np.random.default_rng(2)
    found = []
    for _ in range(40):
        sessions = []
        for _ in range(3):
            old, new = wandering(rng, 60) * [[1.0], [factor * rng.lognormal(0, 0.005)]]
            sessions.append(np.log(new / old))
        found.append(verdict(session_interval(sessions), 0.05))
    assert found.count(expected) >= 39


def test_sessions_that_disagree_make_the_interval_wide():
    rng = np.random.default_rng(3)
    sessions = [np.log(level) + rng.normal(0, 0.005, 50) for level in (0.99, 1.08, 1.09)]
    interval = session_interval(sessions)
    assert interval.low < 1 < interval.high
    assert verdict(interval, 0.05) == "no difference"


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((1.06, 1.01, 1.1), "slower"),
        ((1.04, 1.03, 1.1), "no difference"),
        ((1.06, 0.99, 1.1), "no difference"),
        ((0.94, 0.9, 0.99), "faster"),
        ((0.97, 0.96, 0.98), "no difference"),
    ],
)
def test_verdict(interval, expected):
    assert verdict(Interval(*interval), 0.05) == expected


def test_turns_are_interleaved_in_both_directions():
    seen = []
    results = interleave({name: lambda name=name: seen.append(name) or len(seen) for name in "abc"}, 2)
    assert "".join(seen) == "abccba"
    assert results == {"a": [1, 6], "b": [2, 5], "c": [3, 4]}


# --- processes ---------------------------------------------------------------------------------------------------------------


def test_worker_does_what_turns_do():
    worker, turns = Worker("fastbp", 1), Turns("fastbp", 1)
    try:
        for each in (worker, turns):
            assert each.open("tabular", "float64")[0] is None
            each.turn(2)
        np.testing.assert_array_equal(worker.parameters(), turns.parameters())
        with pytest.raises(WorkerError, match="workload must be one of"):
            worker.open("x", "float32")
        np.testing.assert_array_equal(worker.parameters(), turns.parameters())
    finally:
        worker.close()
    with pytest.raises((WorkerError, ValueError, OSError)):
        worker.parameters()


def test_a_worker_that_ends_is_an_error():
    with closing(Worker("fastbp", 1)) as worker:
        worker._process.kill()
        with pytest.raises(WorkerError, match=r"the process of fastbp ended with status -?[0-9]+"):
            worker.receive()


def test_turns_of_several_threads_are_apart(monkeypatch):
    pauses = []
    monkeypatch.setattr(worker_.time, "sleep", pauses.append)
    for threads in (1, 2):
        turns = Turns("fastbp", threads)
        turns.open("online", "float32")
        turns.turn(1)
        assert pauses == [worker_.PAUSE] * (threads - 1)


def test_worker_that_cannot_start_is_an_error(tmp_path):
    worker = Worker("absent", 1)
    with pytest.raises(WorkerError, match="absent"):
        worker.open("online", "float32")
    worker.close()


def test_threads_are_set_for_everybody():
    variables = environment(1)
    assert {variables[f"{pool}_NUM_THREADS"] for pool in ("OMP", "OPENBLAS", "MKL", "NUMBA")} == {"1"}
    assert variables["NPROC"] == "1"
    assert "intra_op_parallelism_threads=1" in variables["XLA_FLAGS"]
    assert "intra_op" not in environment(2)["XLA_FLAGS"]


# --- gate --------------------------------------------------------------------------------------------------------------------


class Simulated(Turns):
    """A version whose times are made up: it really trains, on a machine that wanders, `factor` times as slow as the other."""

    def __init__(self, factor, contestant=None):
        super().__init__("fastbp", 1, contestant)
        self.factor, self.rng = factor, np.random.default_rng(round(1000 * factor))

    def turn(self, epochs):
        super().turn(epochs)
        return epochs * 1e-3 * self.factor * self.rng.lognormal(0, 0.03)

    predict = turn

    def send(self, method, *arguments):
        self.answer = getattr(self, method)(*arguments)

    def receive(self):
        return self.answer

    def pin(self, core):
        pass

    def close(self):
        pass


def compared(factor, contestant=None):
    sides = [SimpleNamespace(start=lambda threads, f=f, c=c: Simulated(f, c)) for f, c in ((1.0, None), (factor, contestant))]
    settings = gate.Settings(sessions=3, seconds=0.12, turn=1e-3)
    return gate.compare(*sides, [workloads.get("walkthrough"), workloads.get("tabular")], settings=settings)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "no difference"), (1.1, "slower"), (0.9, "faster")])
def test_gate_names_what_is_slower(factor, expected):
    found = compared(factor)
    assert [result[kind]["verdict"] for result in found for kind in ("fit", "predict")] == [expected] * 4
    named = [f"{name} {kind}" for name in ("walkthrough", "tabular") for kind in ("fit", "predict")]
    assert report.failures(found) == (named if expected == "slower" else [])
    text = report.verdicts(comparison(found), markdown=False)
    assert ("Regression against v1: walkthrough fit" in text) == (expected == "slower")
    assert found[0]["fit"]["ratio"]["estimate"] == pytest.approx(factor, rel=0.03)


def test_gate_refuses_a_version_that_is_wrong():
    found = compared(1.0, Idle)
    assert [result["fit"]["verdict"] for result in found] == ["wrong", "wrong"]
    assert "wrong: old and new end" in report.verdicts(comparison(found), markdown=True)
    assert len(report.failures(found)) == 4


def test_gate_shortens_what_would_make_its_turns_long():
    assert [gate.shortened(workloads.get(name)).n_samples for name in ("online", "digits", "mnist", "wide", "matrix-exp")] == [
        1000,
        1797,
        1280,
        1024,
        10_000,
    ]


@pytest.fixture
def repository(tmp_path):
    """Of one commit, with one file."""
    path = tmp_path / "repository"
    path.mkdir()
    (path / "setup.txt").write_text("first\n")
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        gate.git(path, *command)
    (path / "setup.txt").write_text("changed\n")
    return path


def test_gate_takes_a_revision_as_it_was_committed(repository, monkeypatch):
    built = []

    def build(source, label, key):
        built.append(((source / "setup.txt").read_text(), label, key))
        return gate.Side(label)

    monkeypatch.setattr(gate, "build", build)
    commit = gate.git(repository, "rev-parse", "HEAD").decode().strip()
    (repository / "below").mkdir()
    for place, name, label in ((repository, "HEAD", f"HEAD ({commit[:9]})"), (repository / "below", commit[:12], commit[:12])):
        assert gate.revision(place, name).label == label
        assert built.pop() == ("first\n", label, commit)


@pytest.mark.parametrize("is_kept", [True, False])
def test_gate_builds_a_revision_once(is_kept, tmp_path, monkeypatch):
    commands = []

    def create(directory, with_pip):
        (directory / "lib" / "python3" / "site-packages").mkdir(parents=True)
        (directory / "Lib" / "site-packages").mkdir(parents=True, exist_ok=True)

    def run(command, **options):
        commands.append(command)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr("fastbp.compiler.cache_directory", lambda: tmp_path / "kernels" if is_kept else None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(gate.venv, "create", create)
    monkeypatch.setattr(gate.subprocess, "run", run)
    side = gate.build(tmp_path / "source", "v1", "key")
    home = Path(side.python).parents[2]
    assert home.parent == tmp_path
    assert home.name == "revisions" if is_kept else home.name.startswith("fastbp-revisions-")
    (paths,) = home.glob("*/[Ll]ib/**/dependencies.pth")
    assert str(Path(np.__file__).parents[1]) in paths.read_text().splitlines()
    monkeypatch.setattr(gate, "_home", lambda: home)
    assert gate.build(tmp_path / "source", "v1", "key") == side
    assert [command[1:4] for command in commands] == [["-m", "pip", "install"]]
    assert gate.build(tmp_path / "source", "v1", "other").python != side.python
    assert len(commands) == 2


def test_gate_says_what_pip_says(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "_home", lambda: tmp_path)
    monkeypatch.setattr(
        gate.venv, "create", lambda directory, with_pip: (directory / "lib" / "python3" / "site-packages").mkdir(parents=True)
    )
    monkeypatch.setattr(gate.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr="no matching\ndistribution"))
    with pytest.raises(ValueError, match="v1 cannot be installed: no matching distribution"):
        gate.build(tmp_path / "source", "v1", "key")
    assert list(tmp_path.iterdir()) == []


def test_a_side_runs_what_its_interpreter_has():
    side = gate.Side("this", sys.executable)
    with closing(side.start(1)) as worker:
        assert worker.open("online", "float32")[0] is None


def test_gate_says_what_git_says(tmp_path):
    with pytest.raises(ValueError, match=r"git rev-parse: .*not a git repository"):
        gate.revision(tmp_path, "HEAD")


# --- report, plots, command line ---------------------------------------------------------------------------------------------


def results(measured):
    machine = {
        "cpu": "a CPU",
        "cores": 2,
        "vector_bits": 256,
        "date": "2026-01-01",
        "versions": {"python": "3.11", "fastbp": "0.1", "jax": None},
        "peak_gflops": {"float32": 100.0},
        "bandwidth_gbs": 20.0,
    }
    settings = {"threads": 1, "contestants": ["fastbp", "numpy"], "rounds": 2}
    return {"machine": machine, "settings": settings, "left_out": {"jax": "not installed"}, "workloads": measured, "start": {}}


def comparison(found):
    settings = {"threads": 1, "sessions": 3, "tolerance": 0.05}
    return results([]) | {"settings": settings, "against": "v1", "workloads": found, "failed": report.failures(found)}


def made_up():
    def entry(us, **more):
        interval = {"estimate": us, "low": 0.9 * us, "high": 1.2 * us}
        return {"status": "ok", "difference": 0.0, "tolerance": 0.01, "microseconds": interval, **more}

    fraction = {"peak_fraction": {"estimate": 0.5, "low": 0.4, "high": 0.6}}
    ratio = {"ratio": {"estimate": 2.0, "low": 1.9, "high": 2.1}}
    entries = {"fastbp": entry(1500.0, gflops=50.0, **fraction), "numpy": entry(3000.0, gflops=25.0, **fraction, **ratio)}
    return results([{"name": "mnist", "dtype": "float32", "intensity": 40.0, "contestants": entries}])


def test_tables():
    lines = report.tables(made_up(), markdown=True).splitlines()
    assert "FMA peak 100 GFLOP/s in float32; memory 20 GB/s." in lines[1]
    assert lines[3].split("|")[1:-1] == [" workload ", " fastbp ", " GFLOP/s ", " of peak ", " numpy / fastbp "]
    assert lines[4] == "| -------- | -----: | ------: | ------: | -------------: |"
    assert [cell.strip() for cell in lines[5].split("|")[1:-1]] == ["mnist", "1.5 ms", "50", "50 %", "2 (1.9 to 2.1)"]
    assert "jax: left out, not installed." in lines


def test_tables_of_what_was_not_measured():
    start = dict.fromkeys(report.START, 0.25) | {"import_fastbp": -0.001}
    lines = report.tables(results([]) | {"start": start}, markdown=False).splitlines()
    assert [line.split()[-2] for line in lines if line.endswith(" s")] == ["0.00", "0.25", "0.25", "0.25"]
    found = made_up()
    del found["machine"]["peak_gflops"]
    found["left_out"] = {}
    found["workloads"][0]["contestants"]["numpy"] = {"status": "unable", "reason": "has none"}
    lines = report.tables(found, markdown=False).splitlines()
    assert "FMA peak" not in lines[1]
    assert next(line for line in lines if line.startswith("mnist")).split()[-1] == "-"
    assert "numpy has none: not in mnist." in lines
    nothing = report.tables(results([]) | {"left_out": {}}, markdown=False)
    assert len(nothing.splitlines()) == 2


def test_pictures_of_fastbp_alone():
    from matplotlib.figure import Figure

    found = made_up()
    found["workloads"][0]["contestants"]["numpy"] = {"status": "unable", "reason": "has none"}
    ratios, roof = (Figure().subplots() for _ in range(2))
    plots.ratio_chart(found, ratios)
    assert ratios.get_legend() is None
    plots.roofline(found, roof)
    assert "numpy" not in [text.get_text() for text in roof.get_legend().get_texts()]


def test_start_is_told_apart_from_that_of_python(monkeypatch):
    times = {"pass": 1.0, "import numpy": 1.5, "import numpy, fastbp": 1.75}
    caches = []

    def seconds(code, cache=None):
        caches.extend([cache] if cache else [])
        return times.get(code, 9.0 if len(caches) == 1 else 3.0)

    monkeypatch.setattr(start, "seconds", seconds)
    assert start.measure_start(3) == {"import_numpy": 0.5, "import_fastbp": 0.25, "first_fit_cold": 9.0, "first_fit_warm": 3.0}
    assert len(set(caches)) == 1
    assert len(caches) == 4


def test_seconds_of_a_process_with_a_cache_of_its_own(tmp_path):
    code = "import os, time; time.sleep(0.2); assert os.environ['FASTBP_CACHE_DIR'] == {!r}"
    assert start.seconds(code.format(str(tmp_path)), str(tmp_path)) > 0.2
    with pytest.raises(CalledProcessError):
        start.seconds(code.format("elsewhere"), str(tmp_path))


@pytest.mark.parametrize("threads", [1, 2])
def test_contest_of_latency_and_start_alone(threads, monkeypatch):
    pinned = []
    fake = lambda name, count: SimpleNamespace(pin=lambda core: pinned.append(name), close=lambda: None)  # noqa: E731
    monkeypatch.setattr(contest_, "Worker", fake)
    monkeypatch.setattr(contest_, "latency", lambda dtype, contestants, settings: {"name": "latency", "dtype": dtype})
    monkeypatch.setattr(contest_, "measure_start", lambda rounds: {"import_numpy": 0.5})
    options = {"threads": threads, "dtype": None, "rounds": None, "quick": True}
    found = contest_.run(["latency", "start"], **options)
    assert found["workloads"] == [{"name": "latency", "dtype": "float32"}]
    assert found["start"] == {"import_numpy": 0.5}
    assert found["settings"]["rounds"] == QUICK.rounds
    assert bool(pinned) == (threads == 1)
    assert "peak_gflops" not in found["machine"]
    assert contest_.run(["start"], **options)["workloads"] == []


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (1.1, 1)])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_command_line_of_the_gate(factor, status, form, monkeypatch, capsys):
    found, asked = compared(factor), []
    monkeypatch.setattr(gate, "revision", lambda place, name: gate.Side(name))
    monkeypatch.setattr(gate, "compare", lambda *sides, **options: asked.append((*sides, options)) or found)
    chosen = ["--workload", "walkthrough", "latency", "--tolerance", "5", "--quick"]
    assert cli.main(["bench", "--against", "v1", *chosen, *form]) == status
    ((old, new, [workload], options),) = asked
    assert (old.label, new.python, workload.name, options["tolerance"]) == ("v1", None, "walkthrough", 0.05)
    assert options["settings"] == gate.QUICK
    out = capsys.readouterr().out
    if form:
        assert json.loads(out)["failed"] == report.failures(found)
    else:
        assert ("No regression against v1" in out) == (status == 0)


def test_results_are_told_as_text(monkeypatch, capsys):
    monkeypatch.setattr(contest_, "run", lambda names, **options: made_up())
    assert cli.main(["bench", "--workload", "mnist"]) == 0
    assert "2 (1.9 to 2.1)" in capsys.readouterr().out


def test_a_machine_that_does_not_say_what_it_is(monkeypatch):
    def refuse(*_, **__):
        raise OSError

    monkeypatch.setattr(machine_.Path, "read_text", refuse)
    monkeypatch.setattr(machine_.platform, "processor", lambda: "a processor")
    assert machine_.cpu() == "a processor"
    assert machine_.installed_version("no-such-distribution") is None


def test_parameters_of_another_shape_are_wrong():
    reference = Reference(workloads.get("walkthrough"))
    assert reference.difference(SimpleNamespace(parameters=lambda: np.zeros(3)), 1) == np.inf


def test_pictures(tmp_path):
    plots.save(made_up(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"ratios.png", "roofline.png"}
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    plots.roofline(made_up(), ax)
    roof = ax.get_lines()[0]
    np.testing.assert_allclose(roof.get_ydata(), np.minimum(100, 20 * roof.get_xdata()))
    assert {text.get_text() for text in ax.texts} == {"FMA peak 100 GFLOP/s", "memory 20 GB/s", "mnist"}


def test_command_line(tmp_path, capfd):
    arguments = ["bench", "--quick", "--rounds", "2", "--json", "--plot", str(tmp_path), "--workload", "walkthrough", "latency"]
    assert cli.main(arguments) == 0
    found = json.loads(capfd.readouterr().out)
    walkthrough, latencies = found["workloads"]
    assert (walkthrough["name"], latencies["name"]) == ("walkthrough", "latency")
    for name in ("fastbp", "numpy"):
        assert walkthrough["contestants"][name]["status"] == "ok"
        assert walkthrough["contestants"][name]["epochs"] * 20 <= QUICK.steps
    assert walkthrough["contestants"]["numpy"]["ratio"]["estimate"] > 0
    assert set(found["settings"]["contestants"]) | set(found["left_out"]) == set(CONTESTANTS)
    assert found["machine"]["peak_gflops"]["float32"] > 0.1
    assert found["machine"]["bandwidth_gbs"] > 0.1
    assert (tmp_path / "ratios.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "--threads must be at least 1"),
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--tolerance", "-1"], "--tolerance must be finite and >= 0"),
        (["--plot", "absent"], "there is no directory absent"),
        (["--against", "no-such-revision"], "git rev-parse"),
    ],
)
def test_bad_options(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_kernels_of_the_machine_compute_what_they_say():
    from fastbp.bench.machine import DEPTH, Machine
    from fastbp.kernels import peak

    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        machine = Machine(dtype, 1)
        a, b = rng.random((DEPTH, machine.rows)).astype(dtype), rng.random((DEPTH, machine.panel)).astype(dtype)
        c = np.zeros(machine.rows * machine.panel, dtype)
        peak.multiply_add[dtype](a.ravel(), b.ravel(), c, DEPTH, 2)
        np.testing.assert_allclose(c.reshape(machine.rows, machine.panel), a.T @ b, rtol=1e-4)
        x, y = rng.random((2, 4 * machine.panel)).astype(dtype)
        out = np.zeros_like(x)
        peak.triad[dtype](out, x, y, machine.panel, 3 * machine.panel)
        inside = slice(machine.panel, 3 * machine.panel)
        np.testing.assert_allclose(out[inside], 3 * x[inside] + y[inside], rtol=1e-6)
        assert not out[: machine.panel].any()
        assert not out[3 * machine.panel :].any()


def test_extras_are_no_workloads():
    assert set(bench.EXTRA).isdisjoint(workloads.WORKLOADS)
