"""What the command line does with a model of a table: predictions, metrics, reports, and the file it is kept in."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from messy import made, predicted, refused, run, trained, write
from sklearn.metrics import mean_absolute_error, median_absolute_error, r2_score, root_mean_squared_error

from fastbp import cli
from fastbp.commands import metrics
from fastbp.files import table_model
from fastbp.files.model_file import ModelFormatError
from fastbp.files.raw_table import RawTable


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --- predict and evaluate ----------------------------------------------------------------------------------------------------


@pytest.fixture
def model(capsys):
    write(table=made().assign(id=range(80)))
    trained(capsys)
    return "t.fastbp"


def test_new_categories_are_counted(model, capsys):
    table = made(6).assign(colour=["violet", "red", "", "violet", "ochre", "blue"])
    rows, told = predicted(capsys, model, table)
    assert len(rows) == 6
    assert told == ["fastbp predict: column 'colour': 3 of 6 rows hold what training did not: 'violet', 'ochre'"]


def test_missing_extra_and_reordered_columns(model, capsys):
    table = made(6)
    expected, _ = predicted(capsys, model, table, "--proba")
    changed = table.assign(extra="x", kind="unknown")[["kind", "price", "extra", "colour", "size"]]
    assert predicted(capsys, model, changed, "--proba") == (expected, [])
    write("new.csv", table.drop(columns="size"))
    told = refused(capsys, "predict", model, "new.csv")
    assert told == "fastbp predict: new.csv has no column 'size', which the model was trained on"
    write("new.csv", table.assign(size=["1", "2", "huge", "4", "5", "6"]))
    assert "column 'size' of new.csv must hold numbers, as in training, but row 3 holds 'huge'" in refused(
        capsys, "predict", model, "new.csv"
    )
    write("new.csv", table.assign(size=["1", "", "huge", "4", "5", "6"]))
    assert "row 3 holds 'huge'" in refused(capsys, "predict", model, "new.csv")


def test_values_may_be_missing_where_none_was_in_training(model, capsys):
    rows, told = predicted(capsys, model, made(4).assign(size="", colour=""))
    assert len(rows) == 4
    assert told == []


def test_probabilities_and_columns_that_are_kept(model, capsys):
    table = made(6).assign(id=range(500, 506))
    rows, _ = predicted(capsys, model, table, "--proba", "--keep")
    assert list(rows[0]) == ["id", "kind", "P(big)", "P(small)"]
    assert [row["id"] for row in rows] == [str(i) for i in range(500, 506)]
    for row in rows:
        chances = {name: float(row[f"P({name})"]) for name in ("big", "small")}
        assert sum(chances.values()) == pytest.approx(1)
        assert row["kind"] == max(chances, key=chances.get)
    assert list(predicted(capsys, model, table, "--keep", "colour,id")[0][0]) == ["colour", "id", "kind"]
    assert "new.csv has no column 'nothing'" in refused(capsys, "predict", model, "new.csv", "--keep", "nothing")
    assert "'kind' is what is predicted" in refused(capsys, "predict", model, "new.csv", "--keep", "kind")


def test_plain_networks_have_probabilities_and_keep_columns_too(capsys):
    write(table=made().assign(id=range(80)))
    assert run(capsys, "train", "t.csv", "--target", "kind", "--hidden", "4", "--epochs", "2")[0] == 0
    rows, _ = predicted(capsys, "t.fastbp", made(6).assign(id=range(6)), "--proba", "--keep", "id")
    assert list(rows[0]) == ["id", "kind", "P(big)", "P(small)"]
    assert "say which to keep" in refused(capsys, "predict", "t.fastbp", "new.csv", "--keep")
    status, out, _ = run(capsys, "evaluate", "t.fastbp", "t.csv", "--metric", "accuracy")
    assert status == 0
    assert out.splitlines()[1].startswith("accuracy  0.")


def test_numbers_have_no_probabilities(capsys):
    write()
    trained(capsys, "t.csv", "price")
    assert "predicts numbers, which have no probabilities" in refused(capsys, "predict", "t.fastbp", "t.csv", "--proba")
    rows, _ = predicted(capsys, "t.fastbp", made(3))
    assert 1000 < float(rows[0]["price"]) < 3000


def test_evaluate_prints_metrics_with_intervals(model, capsys):
    status, out, told = run(capsys, "evaluate", model, "t.csv")
    assert (status, told) == (0, [])
    lines = [re.split(r" {2,}", line) for line in out.splitlines()]
    assert lines[0] == ["metric", "value", "95 % interval"]
    assert [line[0] for line in lines[1:6]] == ["accuracy", "balanced accuracy", "log loss", "ROC AUC", "F1, mean of classes"]
    for _, value, interval in lines[1:6]:
        low, high = map(float, interval.split(" to "))
        assert low <= float(value) <= high
    assert out.splitlines()[6] == "on 80 rows of t.csv; intervals by 250 resamples of them"
    assert run(capsys, "evaluate", model, "t.csv")[1] == out
    other = run(capsys, "evaluate", model, "t.csv", "--seed", "1")[1]
    assert [line.split()[:2] for line in other.splitlines()[1:4]] == [line.split()[:2] for line in out.splitlines()[1:4]]
    assert other != out
    write("one.csv", made()[made()["kind"] == "big"])
    assert re.search(r"ROC AUC +not defined$", run(capsys, "evaluate", model, "one.csv")[1], re.MULTILINE)
    assert "--metric: scikit-learn has no 'x'" in refused(capsys, "evaluate", model, "t.csv", "--metric", "x")
    assert "cannot be computed" in refused(capsys, "evaluate", model, "one.csv", "--metric", "roc_auc_ovo_weighted,jaccard_samples")


def test_scores_are_scikit_learns_and_intervals_cover():
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    given = metrics.Predictions(y + 0.5 * rng.normal(size=400))
    found = metrics.scores(metrics.DEFAULTS["regression"], y, given, 300)
    wanted = [f(y, given.values) for f in (r2_score, root_mean_squared_error, mean_absolute_error, median_absolute_error)]
    assert [score.value for score in found] == wanted
    rmse = found[1]
    # the deviation of the root of a mean of 400 squares of normal numbers is sigma / sqrt(2 n)
    assert (rmse.high - rmse.low) / 2 == pytest.approx(1.96 * 0.5 / 800**0.5, rel=0.25)


def test_intervals_of_many_rows_are_by_fewer_resamples():
    assert [metrics.resamples_for(count) for count in (1, 10_000, 10**6)] == [250, 200, 100]


# --- model files -------------------------------------------------------------------------------------------------------------


def test_a_model_file_keeps_the_bits(capsys, monkeypatch):
    rng = np.random.default_rng(0)
    table = made().assign(
        text=[f"word{i} and {i * 7} things of it" for i in range(80)],
        day=pd.date_range("2020-01-05", periods=80).astype(str),
        many=rng.choice([f"k{i}" for i in range(20)], 80),
        new=rng.choice(["true", "false"], 80),
    )
    table.loc[::7, "size"] = np.nan
    write(table=table)
    kept = []
    write_model = table_model.write
    monkeypatch.setattr(table_model, "write", lambda *arguments: (kept.append(arguments), write_model(*arguments)))
    for target in ("kind", "price"):
        columns, _, _ = trained(capsys, "t.csv", target)
        assert {cells[0] for cells in columns.values()} == {"number", "category", "date"}
        path, estimator, about = kept.pop()
        read, told = table_model.read(path)
        assert told == {"format": 1} | json.loads(json.dumps(about))
        frame = RawTable("t.csv").frame(cli.open_model(path).features)
        method = "predict_proba" if target == "kind" else "predict"
        np.testing.assert_array_equal(getattr(read, method)(frame), getattr(estimator, method)(frame))
        np.testing.assert_array_equal(getattr(cli.open_model(path).estimator, method)(frame), getattr(estimator, method)(frame))


def test_damaged_model_files_are_one_clear_sentence(model, capsys):
    content = Path(model).read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[: len(content) // 2], content[:-30], content[:4], b"PK\3\4" + bytes(1000)]
    for place in rng.integers(4, len(content), 40):
        other = bytearray(content)
        other[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(other))
    right = run(capsys, "predict", model, "t.csv")
    for each in damaged:
        Path("bad.fastbp").write_bytes(each)
        status, out, told = run(capsys, "predict", "bad.fastbp", "t.csv")
        if status == 0:  # what no reader looks at, such as the date of a member
            assert (out, told) == right[1:]
            continue
        assert status == 2
        assert out == ""
        assert len(told) == 1
        assert "bad.fastbp" in told[0]


def test_foreign_files_are_refused(model, capsys):
    import skops.io
    from sklearn.linear_model import LinearRegression
    from sklearn.preprocessing import FunctionTransformer

    with pytest.raises(ValueError, match=r"has parts that no file is trusted with, .*system"):
        table_model.write(Path("evil.fastbp"), FunctionTransformer(__import__("os").system), {})
    skops.io.dump(LinearRegression(), "foreign.fastbp")
    assert "foreign.fastbp is no fastbp model file" in refused(capsys, "predict", "foreign.fastbp", "t.csv")
    about = cli.open_model(Path(model)).about | {}
    del about["format"]
    table_model.write(Path("foreign.fastbp"), LinearRegression(), about)
    assert "holds no model of a table" in refused(capsys, "predict", "foreign.fastbp", "t.csv")
    estimator, _ = table_model.read(Path(model))
    estimator.columns_._cleaner.n_jobs = __import__("os").system
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_model, "trusted", lambda trusted=table_model.trusted: [*trusted(), "posix.system", "nt.system"])
        table_model.write(Path("evil.fastbp"), estimator, about)
    assert "has parts that are not trusted" in refused(capsys, "predict", "evil.fastbp", "t.csv")
    assert "is of a preset" in refused(capsys, "check-gradients", model, "t.csv")


CHANGES = {
    "layer too wide": lambda net: net.__dict__.update(sizes=(10**6, *net.sizes[1:])),
    "too few parameters": lambda net: net.__dict__.update(_vector=net._vector[:-1]),
    "larger table": lambda net: object.__setattr__(net.encoder, "table_rows", 10**6),
    "columns below none": lambda net: object.__setattr__(net.encoder, "periodic", -1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_networks_that_do_not_fit_together_are_refused(change, model):
    estimator, about = table_model.read(Path(model))
    CHANGES[change](estimator.networks_[0])
    del about["format"]
    table_model.write(Path("bad.fastbp"), estimator, about)
    with pytest.raises(ModelFormatError, match=r"bad\.fastbp (is damaged|describes a network that cannot be built)"):
        cli.open_model(Path("bad.fastbp"))


def test_newer_formats_are_told(model, monkeypatch):
    monkeypatch.setattr(table_model, "FORMAT", 2)
    estimator, about = table_model.read(Path(model))
    table_model.write(Path("new.fastbp"), estimator, {name: value for name, value in about.items() if name != "format"})
    monkeypatch.setattr(table_model, "FORMAT", 1)
    with pytest.raises(ModelFormatError, match="has format 2, but this fastbp reads up to 1: upgrade fastbp"):
        table_model.read(Path("new.fastbp"))


# --- reports -----------------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page consists of; that every element ends."""

    void = "meta", "br", "link", "img"

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.addresses, self.texts, self.open = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.addresses += [value for name, value in attributes if name.endswith(("href", "src"))]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


TITLES = {
    "kind": ["Metrics", "Learning curves", "Confusion matrix", "ROC", "Calibration", "Importance of columns", "Columns", "Made by"],
    "price": ["Metrics", "Learning curves", "Predicted against true", "Calibration", "Importance of columns", "Columns", "Made by"],
}


@pytest.mark.parametrize("target", TITLES)
def test_a_report_is_one_page_that_needs_nothing_else(target, capsys):
    table = made().rename(columns={"size": "size <b>&"})
    table["colour"] = table["colour"].replace("red", "<i>red</i>")
    write(table=table.assign(id=range(80)))
    _, facts, _ = trained(capsys, "t.csv", target, "--report", "r.html")
    assert facts["report"] == "r.html"
    text = Path("r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert re.findall(r"<h2>(.*?)</h2>", text) == TITLES[target]
    assert page.tags.count("svg") == len(TITLES[target]) - 3
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)
    assert not re.search(r"<script|@import|url\((?!#)|https?://(?!www\.w3\.org/)", text)
    assert "size <b>&" in page.texts
    assert "<b>" not in text
    assert "prefers-color-scheme: dark" in text
    assert f"fastbp train t.csv --target {target} --preset fast --epochs 2 --report r.html" in page.texts
    assert "number, left out: names rows" in page.texts
    assert f"{facts[{'kind': 'accuracy', 'price': 'R^2'}[target]]}" in page.texts
    before = text
    trained(capsys, "t.csv", target, "--report", "r.html")
    after = Path("r.html").read_text(encoding="utf-8")
    assert re.sub(r"[\d.]+ s<", "", after) == re.sub(r"[\d.]+ s<", "", before)


def test_a_report_of_many_classes(capsys):
    labels = np.arange(160) % 14
    write(table=pd.DataFrame({"x": labels + 0.5, "z": np.arange(160) % 3, "kind": [f"c{label}" for label in labels]}))
    trained(capsys, "t.csv", "kind", "--report", "r.html")
    assert "<h2>Most frequent confusions</h2>" in Path("r.html").read_text(encoding="utf-8")


def test_the_column_that_matters_is_told(capsys):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"noise": rng.normal(size=300), "signal": rng.normal(size=300)})
    write(table=table.assign(kind=np.where(table["signal"] > 0, "a", "b")))
    options = "--target", "kind", "--preset", "fast", "--report", "r.html"
    assert run(capsys, "train", "t.csv", *options)[0] == 0
    picture = Path("r.html").read_text(encoding="utf-8").split("<h2>Importance of columns</h2>")[1]
    assert 0 < picture.index(">signal<") < picture.index(">noise<")
