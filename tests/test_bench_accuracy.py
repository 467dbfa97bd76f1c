"""Time to accuracy: aims are what they say, all contestants lower the same loss, and time is told rightly. No timing."""

import json
import re
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from least_squares import outputs_and_jacobian

import fastbp
from fastbp import bench, cli
from fastbp.bench.accuracy import contest, picture, report
from fastbp.bench.accuracy.contestants import CONTESTANTS, OURS
from fastbp.bench.accuracy.contestants.base import Contestant, packed
from fastbp.bench.accuracy.problems import PROBLEMS, Aim, get
from fastbp.bench.accuracy.search import SPACING, Judge, Search, Searches
from fastbp.bench.worker import WorkerError

INSTALLED = [name for name, cls in CONTESTANTS.items() if find_spec(cls.module)]


def net_of(problem, start=0):
    loss = fastbp.SquaredError("mean") if problem.is_squared else problem.loss
    net = fastbp.Network(problem.sizes, "tanh", loss, dtype="float64", rng=0)
    net.params[:] = packed(*problem.first(start))
    return net


# --- problems ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBLEMS)
def test_data_fit_their_problem_and_are_the_same_again(name):
    problem = get(name)
    data, again = problem.load(), problem.load()
    assert data.X.shape[1] == problem.sizes[0]
    assert len(data.held_X) == len(data.held_y) == problem.held_out
    assert len(data.X) == len(data.y) >= problem.batch_size
    for one, other in zip(data, again, strict=True):
        np.testing.assert_array_equal(one, other)
    rows = {row.tobytes() for row in data.X}
    assert not rows & {row.tobytes() for row in data.held_X}
    assert (problem.held_out > 0) == any(aim.measure.startswith("held-out") for aim in problem.aims)
    first, second = (packed(*problem.first(start)) for start in (0, 1))
    assert first.size == net_of(problem).params.size
    assert np.abs(first - second).max() > 0.1


def test_unknown_problem():
    with pytest.raises(ValueError, match=r"problem must be one of sin-product, .*, got 'x'"):
        get("x")


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_judge_says_what_the_network_says(name):
    problem, judge = get(name), Judge(get(name))
    net, data = net_of(problem), problem.load()
    values = judge(net.params)
    assert values["loss"] == pytest.approx(net.loss(data.X, data.y), rel=1e-12)
    if problem.held_out:
        assert values["held-out loss"] == pytest.approx(net.loss(data.held_X, data.held_y), rel=1e-12)
    if not problem.is_squared:
        assert values["held-out accuracy"] == net.score(data.held_X, data.held_y)


def test_accuracies_are_to_be_high_and_losses_low():
    for measure, better in (("loss", 0.1), ("held-out loss", 0.1), ("held-out accuracy", 0.9)):
        aim = Aim(measure, 0.5)
        assert [aim.is_reached({measure: value}) for value in (better, 0.5, 1 - better, np.nan)] == [True, True, False, False]


# --- contestants -------------------------------------------------------------------------------------------------------------


class Looks:
    """A search that is over after some looks."""

    def __init__(self, count):
        self.count, self.seen = count, []

    def __call__(self, params):
        self.seen.append(np.array(params()))
        return len(self.seen) >= self.count


@pytest.mark.parametrize("name", ["diabetes", "moons"])
@pytest.mark.parametrize("contestant", INSTALLED)
def test_all_start_from_the_same_weights_and_lower_the_same_loss(contestant, name):
    problem, kind = get(name), CONTESTANTS[contestant]
    if kind.reason_against(problem):
        assert kind.squares_only
        assert not problem.is_squared
        return
    judge, losses = Judge(problem), []
    trained = kind(problem, judge.data, 1)
    for _ in range(2):  # the second is from the first weights again
        trained.begin(*problem.first(3), 3)
        np.testing.assert_allclose(trained.parameters(), packed(*problem.first(3)), rtol=1e-12)
        looks = Looks(10)
        trained.train(looks)
        losses.append([judge(params)["loss"] for params in looks.seen])
    assert min(losses[0]) < 0.8 * judge(packed(*problem.first(3)))["loss"]
    np.testing.assert_allclose(*losses, rtol=1e-6)


@pytest.mark.parametrize("name", ["matrix-exp", "diabetes"])
def test_the_jacobian_that_scipy_is_given(name):
    problem = get(name)
    data, net = problem.load(), net_of(problem)
    solver = CONTESTANTS["scipy least_squares"](problem, data, 1)
    outputs, jacobian = outputs_and_jacobian(net, data.X)
    np.testing.assert_allclose(solver.derivatives(net.params), jacobian.reshape(outputs.size, -1), atol=1e-12)
    np.testing.assert_allclose(solver.errors(net.params), (outputs - data.y).ravel(), atol=1e-12)


# --- a try -------------------------------------------------------------------------------------------------------------------


class Clock:
    """Goes on by 1 each time it is asked, and by what a test says."""

    now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


def test_the_time_of_looks_does_not_count():
    clock, values = Clock(), iter([0.5, 0.2, 0.04, 0.3, 0.01])

    def judge(params):
        clock.now += 1000
        return {"loss": params}

    search = Search(judge, [Aim("loss", 0.1), Aim("loss", 0.02)], 100, clock)
    ends = []
    for step in (0, 9, 9, 9, 9):
        clock.now += step
        ends.append(search(lambda: next(values)))
    assert [seconds for seconds, _ in search.trace] == [1, 11, 21, 31, 41]
    assert search.reached == [21, 41]
    assert ends == [False] * 4 + [True]


def test_looks_are_as_rare_as_they_may_be_and_the_last_is_always_one():
    clock = Clock()
    search = Search(lambda params: {"loss": 1.0}, [Aim("loss", 0.1)], 1000, clock)
    while not search(lambda: None):
        pass
    seconds = [at for at, _ in search.trace]
    assert all(later >= SPACING * sooner for sooner, later in pairwise(seconds))
    assert len(seconds) < 400
    search(lambda: None, last=True)
    assert len(search.trace) == len(seconds) + 1
    assert search.reached == [None]


def test_a_try_of_levenberg_and_marquardt():
    searches = Searches("fastbp lm", 1)
    assert searches.open("digits") == "needs a sum of squares"
    assert searches.open("sin-product") is None
    found = searches.search(0, 60.0)
    first, last = (seconds for seconds in found["reached"])
    assert 0 < first < last == pytest.approx(found["trace"][-1][0], rel=1e-3)
    assert found["trace"][-1][1]["loss"] <= 1e-7
    json.dumps(found, allow_nan=False)


# --- contest, report, picture ------------------------------------------------------------------------------------------------


class Made:
    """A contestant whose tries are made up."""

    def __init__(self, factor, reaches=(0, 1, 2), reason=None):
        self.factor, self.reaches, self.reason, self.order = factor, reaches, reason, []

    def open(self, problem):
        if isinstance(self.reason, Exception):
            raise self.reason
        return self.reason

    def search(self, start, seconds):
        self.order.append(start)
        end = self.factor * (1 + start)
        loss = 1e-8 if start in self.reaches else 0.5
        return {
            "reached": [end / 2 if start in self.reaches else None, end if start in self.reaches else None],
            "trace": [(0.0, {"loss": 1.0}), (end / 2, {"loss": 5e-6 if start in self.reaches else 0.5}), (end, {"loss": loss})],
        }


def made_up():
    contestants = {
        "fastbp lm": Made(0.1),
        "fastbp lbfgs": Made(1.0),
        "optimistix bfgs": Made(0.5),
        "pytorch lbfgs": Made(0.2, reaches=(2,)),
        "jax adam": Made(3.0, reaches=()),
        "optimistix lm": Made(1.0, reason="needs a sum of squares"),
        "scipy least_squares": Made(1.0, reason=WorkerError("Traceback\nOSError: a library is missing")),
    }
    result = contest.measure(get("sin-product"), contestants, contest.Settings(starts=3, seconds=1.0))
    assert [contestants[name].order for name in ("fastbp lm", "jax adam")] == [[0, 1, 2]] * 2
    machine = {"cpu": "a CPU", "cores": 2, "vector_bits": 256, "date": "2026-01-01", "versions": {"python": "3", "fastbp": "0.1"}}
    settings = {"threads": 1, "starts": 3, "seconds": 1.0}
    return {"machine": machine, "settings": settings, "left_out": {"scikit-learn lbfgs": "not installed"}, "problems": [result]}


def test_medians_ranges_and_those_who_never_get_there():
    (result,) = made_up()["problems"]
    entries = result["contestants"]
    assert entries["fastbp lm"]["seconds"][1] == pytest.approx({"estimate": 0.2, "low": 0.1, "high": 0.3, "count": 3})
    assert entries["pytorch lbfgs"]["seconds"][1] == {"estimate": None, "low": pytest.approx(0.6), "high": None, "count": 1}
    assert entries["jax adam"]["seconds"][0] == {"estimate": None, "low": None, "high": None, "count": 0}
    assert entries["jax adam"]["lowest"] == 0.5
    assert result["best"][0] == {"ours": "fastbp lm", "others": "optimistix bfgs", "ratio": pytest.approx(5)}
    json.dumps(result, allow_nan=False)


def test_tables():
    lines = report.tables(made_up(), markdown=True).splitlines()
    assert "3 first weights, 1 s at most." in lines[1]
    cells = {row[0]: row[1:] for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line)}
    assert cells["sin-product"] == ["s to loss 1e-05", "s to loss 1e-07", "lowest loss"]
    assert cells["fastbp lm"] == ["0.1 (0.05 to 0.15)", "0.2 (0.1 to 0.3)", "1.0e-08"]
    assert cells["pytorch lbfgs"] == ["- (0.3 to -), 1 of 3", "- (0.6 to -), 1 of 3", "5.0e-01"]
    assert cells["jax adam"] == ["-", "-", "5.0e-01"]
    assert "optimistix lm" not in cells
    text = "\n".join(lines)
    assert "loss 1e-05: optimistix bfgs takes 5 times as long as fastbp lm." in text
    assert "scipy least_squares failed: OSError: a library is missing" in text
    assert "scikit-learn lbfgs: left out, not installed." in text


def test_a_curve_is_the_median_of_what_was_known():
    tries = [Made(1.0).search(start, 1.0) for start in range(3)]
    at, lowest = picture.median_curve(tries)
    assert at[0] == pytest.approx(1.5)  # when each of them has been looked at
    assert at[-1] == pytest.approx(2.0)  # when half of them were over
    assert lowest[0] == 5e-6
    assert lowest[-1] == 1e-8


def test_everyone_has_a_style_of_its_own(tmp_path):
    assert picture.STYLES.keys() == CONTESTANTS.keys()
    assert len(set(picture.STYLES.values())) == len(picture.STYLES)
    picture.save(made_up(), tmp_path)
    assert (tmp_path / picture.NAME).stat().st_size > 10_000


def test_contest_leaves_out_what_is_not_installed(monkeypatch):
    started = []

    def worker(name, threads, kind):
        started.append(name)
        return SimpleNamespace(pin=lambda core: None, close=lambda: None)

    monkeypatch.setattr(contest, "Worker", worker)
    monkeypatch.setattr(contest, "find_spec", lambda module: None if module in ("torch", "jax", "optimistix") else True)
    monkeypatch.setattr(contest, "measure", lambda problem, contestants, settings: {"name": problem.name, "settings": settings})
    found = contest.run(["moons"], threads=1, starts=2, quick=True)
    assert started == [*(cls.name for cls in OURS), "scipy least_squares", "scikit-learn lbfgs"]
    assert set(found["left_out"]) == CONTESTANTS.keys() - set(started)
    assert found["problems"] == [{"name": "moons", "settings": contest.Settings(2, contest.QUICK.seconds)}]


def test_a_process_tries(monkeypatch):
    monkeypatch.setattr(contest, "CONTESTANTS", {"fastbp lbfgs": CONTESTANTS["fastbp lbfgs"]})
    found = contest.run(["moons"], threads=1, starts=1, quick=True)
    (entry,) = found["problems"][0]["contestants"].values()
    assert entry["seconds"][1]["count"] == 1
    assert found["problems"][0]["best"][1] == {"ours": "fastbp lbfgs", "others": None, "ratio": None}


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command(as_json, monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(contest, "run", lambda names, **options: asked.append((names, options)) or made_up())
    arguments = ["bench", "--to-accuracy", "--rounds", "2", "--plot", str(tmp_path), *(["--json"] if as_json else [])]
    assert cli.main(arguments) == 0
    assert asked == [(tuple(PROBLEMS), {"threads": 1, "starts": 2, "quick": False})]
    out = capsys.readouterr().out
    assert (json.loads(out)["settings"]["starts"] == 3) if as_json else ("takes 5 times as long" in out)
    assert (tmp_path / picture.NAME).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to-accuracy", "--workload", "mnist"], "--workload must be of sin-product, .*, got mnist"),
        (["--workload", "moons"], "--workload must be of small, .*, got moons"),
        (["--to-accuracy", "--dtype", "float32"], "--dtype has no meaning for --to-accuracy"),
        (["--to-accuracy", "--against", "HEAD"], "--against has no meaning for --to-accuracy"),
        (["--to-accuracy", "--rounds", "0"], "--rounds"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message, capsys):
    assert cli.main(["bench", *arguments]) != 0
    err = capsys.readouterr().err
    assert re.search(message, err)
    assert "Traceback" not in err


def test_contestants_say_what_they_are():
    assert all(issubclass(cls, Contestant) and cls.__doc__ for cls in CONTESTANTS.values())
    assert bench.PROBLEMS is PROBLEMS
