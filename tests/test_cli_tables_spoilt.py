"""Commands on tables where something is wrong: told before the work, and nothing that was there is lost."""

import io
import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from messy import QUICK, made, refused, run, trained, write
from mixed_table import QUICK as RECIPE
from mixed_table import table
from sklearn.metrics import accuracy_score

from fastbp import TabularClassifier, TabularRegressor, cli
from fastbp.commands import train_table
from fastbp.commands.interrupts import interrupts
from fastbp.tabular.columns import Columns
from fastbp.tabular.importance import losses


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def untrained(monkeypatch):
    """A training would be an error of the test."""
    monkeypatch.setattr(train_table, "_fitted", lambda *_: pytest.fail("there was a training"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (None, "there is no file test.csv"),
        ({"kind": "tiny"}, "has the class 'tiny'"),
        ({"size": "large"}, "column 'size' of test.csv must hold numbers"),
        ({"size": None}, "test.csv has no column 'size'"),
        ({"kind": None}, "test.csv has no column 'kind'"),
    ],
    ids=str,
)
def test_a_test_file_is_read_before_the_training(changed, message, capsys, untrained):
    write()
    if changed is not None:
        name, value = changed.popitem()
        write("test.csv", made().drop(columns=name) if value is None else made().assign(**{name: value}))
    assert message in refused(capsys, "train", "t.csv", "--target", "kind", "--test", "test.csv")


@pytest.mark.parametrize(
    ("target", "metric", "message"),
    [
        ("kind", "r2", "r2 is for regression"),
        ("kind", "explained_variance", "explained_variance is for regression"),
        ("kind", "neg_mean_squared_error", "neg_mean_squared_error is for regression"),
        ("price", "roc_auc", "roc_auc is for classification"),
        ("price", "f1", "f1 is for classification"),
        ("colour", "f1", "f1 cannot be computed"),
        ("colour", "roc_auc", "roc_auc cannot be computed"),
        ("loss", "neg_mean_squared_log_error", "neg_mean_squared_log_error cannot be computed"),
    ],
)
def test_metrics_that_cannot_be_are_told_before_the_training(target, metric, message, capsys, untrained):
    write(table=made().assign(loss=-made()["price"]))
    assert f"--metric: {message}" in refused(capsys, "train", "t.csv", "--target", target, "--metric", metric)


@pytest.mark.parametrize(
    "options",
    [
        ["--out", "t.csv"],
        ["--report", "t.csv"],
        ["--report", "m.fastbp", "--out", "m.fastbp"],
        ["--report", "u.csv", "--test", "u.csv"],
        ["--out", "t.csv", "--hidden", "3"],
    ],
    ids=" ".join,
)
def test_no_file_of_a_training_is_written_over_another(options, capsys, untrained):
    before = write()
    write("u.csv")
    assert "which would be overwritten" in refused(capsys, "train", "t.csv", "--target", "kind", *options)
    assert Path("t.csv").read_text() == Path("u.csv").read_text() == before


def test_predictions_are_not_written_over_what_they_are_made_of(capsys):
    before = write()
    trained(capsys)
    model = Path("t.fastbp").read_bytes()
    for name in ("t.csv", "t.fastbp"):
        assert "--out: " in refused(capsys, "predict", "t.fastbp", "t.csv", "--out", name)
    assert (Path("t.csv").read_text(), Path("t.fastbp").read_bytes()) == (before, model)
    assert "--out: there is no directory absent" in refused(capsys, "predict", "t.fastbp", "t.csv", "--out", "absent/p.csv")
    write("new.csv", made().assign(**{"P(big)": 1}))
    told = refused(capsys, "predict", "t.fastbp", "new.csv", "--proba", "--keep", "P(big)")
    assert told.endswith("--keep: 'P(big)' is what a probability is called")


def test_a_model_is_saved_before_it_is_tested(capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    write()
    monkeypatch.setattr(train_table, "_tested", interrupted)
    status = cli.main(["train", "t.csv", "--target", "kind", *QUICK])
    assert (status, capsys.readouterr().err.splitlines()[-1]) == (130, "interrupted before it was tested; the model is t.fastbp")
    assert run(capsys, "predict", "t.fastbp", "t.csv")[0] == 0


def test_an_interrupt_that_a_library_turned_into_an_error_is_one():
    def imports():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as interrupt:
            raise ImportError("cannot import") from interrupt

    with pytest.raises(KeyboardInterrupt), interrupts():
        imports()
    with pytest.raises(ImportError), interrupts():
        raise ImportError("cannot import")


FEATURE = {"name": "size", "kind": "number", "categories": []}
WRONG = [
    {"classes": None},
    {"classes": []},
    {"classes": ["big"]},
    {"classes": [1, 2]},
    {"classes": "ab"},
    {"task": "x"},
    {"task": "regression"},
    {"task": "regression", "classes": []},
    {"target": None},
    {"target": ["a"]},
    {"format": True},
    {"format": 0},
    {"left_out": [1]},
    {"left_out": {"a": 1}},
    {"features": None},
    {"features": [{}]},
    {"features": "abc"},
    {"features": [FEATURE | {"kind": "bogus"}]},
    {"features": [FEATURE | {"name": 1}]},
    {"features": [FEATURE | {"categories": 5}]},
    {"features": [FEATURE | {"categories": [5]}]},
    {"versions": {"a": 1}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_model_file_that_says_what_cannot_be_is_damaged(wrong, capsys):
    write()
    model = _model(capsys)
    _rewritten(model, "fastbp.json", lambda about: about | wrong)
    for command in ("predict", "evaluate"):
        assert "h.fastbp" in refused(capsys, command, "h.fastbp", "t.csv")


@pytest.mark.parametrize(("of", "name"), [("TabularClassifier", "columns_"), ("Columns", "_sizes"), ("Columns", "_cleaner")])
def test_a_model_file_without_its_parts_is_damaged(of, name, capsys):
    def without(schema):
        part = next(each for each in _parts(schema) if each.get("__class__") == of)
        values = next(each for each in _parts(part) if name in each)
        values[name] = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "null", "is_json": True}
        values[name]["__id__"] = 10**9
        return schema

    write()
    _rewritten(_model(capsys), "schema.json", without)
    assert "h.fastbp is damaged" in refused(capsys, "predict", "h.fastbp", "t.csv")


def _model(capsys):
    trained(capsys)
    return Path("t.fastbp").read_bytes()


def _rewritten(content, member, change):
    with ZipFile(io.BytesIO(content)) as old, ZipFile("h.fastbp", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, json.dumps(change(json.loads(data))) if name == member else data)


def _parts(value):
    """All objects of JSON in one."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from _parts(each)


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_importance_is_what_is_lost_when_a_column_of_the_table_is_shuffled(kind):
    frame, classes, numbers = table()
    y = np.unique(classes, return_inverse=True)[1] if kind is TabularClassifier else numbers
    model = kind(RECIPE, random_state=0).fit(frame, y)

    def score(predicted):
        return accuracy_score(y, predicted.argmax(axis=1)) if predicted.ndim == 2 else -np.abs(predicted - y).mean()

    names, found = losses(model, frame, score, 2, np.random.default_rng(0))
    assert {*names} == {*frame.columns} - {"nothing", "same"}
    rng, ask = np.random.default_rng(0), model.predict_proba if kind is TabularClassifier else model.predict
    for name, lost in zip(names, found, strict=True):
        for each in lost:
            shuffled = frame.assign(**{name: frame[name].iloc[rng.permutation(240)].array})
            assert each == score(ask(frame)) - score(ask(shuffled)), name


def test_a_report_of_a_wide_table_reads_it_once(capsys, monkeypatch):
    calls, transform = [], Columns.transform
    monkeypatch.setattr(Columns, "transform", lambda self, X: calls.append(1) or transform(self, X))
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 60))).add_prefix("c").assign(kind=made()["kind"])
    write(table=wide)
    assert run(capsys, "train", "t.csv", "--target", "kind", *QUICK, "--report", "r.html")[0] == 0
    assert len(calls) == 2  # to test, and to shuffle
    assert "The 20 largest of 60" in Path("r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["$x^2$", "$\\bad{", "中文 \U0001f600", "<script>alert(1)</script>", "x" * 3000, "a\x07b"])
def test_names_of_all_kinds_are_words_in_a_report(name, capsys):
    write(table=made().rename(columns={"size": name}).assign(kind=made()["kind"] + name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, _, told = run(capsys, "train", "t.csv", "--target", "kind", *QUICK, "--report", "r.html")
    assert (status, told) == (0, [])
    page = Path("r.html").read_text(encoding="utf-8")
    assert "<script" not in page
    shown = name if len(name) <= 12 else name[:19]
    pictures = "".join(part.split("</svg>")[0] for part in page.split("<svg")[1:])
    assert shown.replace("<", "&lt;").replace(">", "&gt;").replace("\x07", " ") in pictures
    assert "\x07" not in pictures


def test_text_in_no_known_encoding_is_no_text(capsys):
    Path("t.csv").write_bytes(made().to_csv(index=False).encode("utf-32"))
    assert "t.csv: it is no text in UTF-8, UTF-16 or Latin-1" in refused(capsys, "train", "t.csv", "--target", "kind")


def test_a_pipe_with_a_name_is_read_as_a_file(capsys):
    text = write()
    trained(capsys)
    expected = run(capsys, "predict", "t.fastbp", "t.csv")
    os.mkfifo("pipe.csv")
    writer = threading.Thread(target=Path("pipe.csv").write_text, args=[text])
    writer.start()
    found = run(capsys, "predict", "t.fastbp", "pipe.csv")
    writer.join()
    assert found == expected
    Path("d.csv").mkdir()
    assert "there is no file d.csv" in refused(capsys, "predict", "t.fastbp", "d.csv")


def test_closed_streams_are_one_sentence(capsys, monkeypatch):
    write()
    trained(capsys)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        assert "standard input is closed" in refused(capsys, "predict", "t.fastbp", "-")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        status = cli.main(["predict", "t.fastbp", "t.csv"])
    assert (status, "standard output is closed" in capsys.readouterr().err) == (2, True)
