"""The command line on files as they come: each gives the right outcome, or one clear sentence and exit status 2."""

import bz2
import gzip
import io
import re
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from messy import QUICK, columns_of, facts_of, made, refused, run, trained, write

from fastbp import cli
from fastbp.files.raw_table import RawTable


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --- sixteen messy files -----------------------------------------------------------------------------------------------------


def test_1_missing_values(capsys):
    table = made()
    table.loc[::7, "size"], table.loc[::5, "colour"] = np.nan, None
    for marker in ("", "NA", "?"):
        write(table=table, na_rep=marker)
        columns, facts, told = trained(capsys)
        assert columns["size"] == ("number", 12, 68)
        assert columns["colour"][:2] == ("category", 16 if marker == "" else 0)  # NA is a word among words
        assert facts["tested on"] == "20 held-out rows"
        assert told == []


def test_2_missing_targets(capsys):
    table = made()
    table.loc[:9, "kind"] = None
    table.loc[3:9, "price"] = None
    write(table=table)
    _, facts, told = trained(capsys)
    assert told == ["fastbp train: 10 of 80 rows have no kind and are left out"]
    assert facts["training"].startswith("52 rows")
    assert "fastbp train: 7 of 80 rows have no price and are left out" in trained(capsys, "t.csv", "price")[2]
    table["kind"] = None
    write(table=table)
    assert "target: column 'kind' of t.csv is empty" in refused(capsys, "train", "t.csv", "--target", "kind")


def test_3_semicolons_with_decimal_commas(capsys):
    write(sep=";", decimal=",")
    columns, _, _ = trained(capsys, "t.csv", "price")
    assert columns["size"] == ("number", 0, 80)
    np.testing.assert_array_equal(RawTable("t.csv").read("price", "number"), made()["price"])
    Path("big.csv").write_text("a;b\n1.234,5;x\n-12.345.678,25;y\n7;z\n")
    assert RawTable("big.csv").read("a", "number").tolist() == [1234.5, -12345678.25, 7.0]
    Path("groups.csv").write_text("a;people\n0,5;1.234\n1,5;12.345.678\n2;7\n")
    assert RawTable("groups.csv").read("people", "number").tolist() == [1234, 12345678, 7]
    Path("points.csv").write_text("a;b\n0.5;1.234\n1.5;12.345\n")
    assert RawTable("points.csv").read("b", "number").tolist() == [1.234, 12.345]
    Path("us.csv").write_text('a,b\n"1,234.5",x\n"12,345,678",y\n7,z\n')
    assert RawTable("us.csv").read("a", "number").tolist() == [1234.5, 12345678.0, 7.0]
    Path("quoted.csv").write_text('a,b\n"1,5",x\n"-2,25",y\n')
    assert RawTable("quoted.csv").read("a", "number").tolist() == [1.5, -2.25]
    Path("words.csv").write_text('a,b\n"1,5",x\n"red, green",y\n')
    assert RawTable("words.csv").read("a", "text").tolist() == ["1,5", "red, green"]


@pytest.mark.parametrize(("name", "separator"), [("t.tsv", "\t"), ("t.txt", "\t"), ("t.txt", "|"), ("t.csv", "\t")])
def test_4_tabs(name, separator, capsys):
    write(name, sep=separator)
    assert trained(capsys, name)[0]["size"] == ("number", 0, 80)


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst"])
def test_5_compressed(ending, capsys):
    squeeze = {"gz": gzip.compress, "bz2": bz2.compress, "zst": lambda content: pa.compress(content, "zstd", asbytes=True)}[ending]
    if ending == "zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(write().encode())
        content = sink.getvalue().to_pybytes()
    else:
        content = squeeze(write().encode())
    Path(f"u.csv.{ending}").write_bytes(content)
    assert trained(capsys, f"u.csv.{ending}")[1]["model"] == "u.fastbp"
    Path(f"u.csv.{ending}").write_bytes(content[: len(content) // 2])
    assert refused(capsys, "train", f"u.csv.{ending}", "--target", "kind").startswith(f"fastbp train: cannot read u.csv.{ending}: ")


def test_6_latin_1(capsys):
    table = made().replace({"colour": {"red": "rött", "blue": "blå \u20ac"}})
    Path("t.csv").write_bytes(table.to_csv(index=False).encode("cp1252"))
    trained(capsys)
    assert set(RawTable("t.csv").read("colour", "text")) == {"rött", "green", "blå \u20ac"}
    Path("u.csv").write_bytes(table.to_csv(index=False).encode())
    assert run(capsys, "predict", "t.fastbp", "u.csv")[2] == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_7_a_byte_order_mark(encoding, capsys):
    Path("t.csv").write_bytes(made().to_csv(index=False).encode(encoding))
    assert list(trained(capsys)[0]) == ["size", "colour", "price"]


@pytest.mark.parametrize("content", ["size,colour,kind\n", "size,colour,kind"])
def test_8_a_header_only(content, capsys):
    Path("t.csv").write_text(content)
    assert refused(capsys, "train", "t.csv", "--target", "kind") == "fastbp train: t.csv has no rows"


@pytest.mark.parametrize("content", ["", "\n", "  \n\n", "\ufeff"])
def test_9_nothing_at_all(content, capsys):
    Path("t.csv").write_text(content, encoding="utf-8")
    assert refused(capsys, "train", "t.csv") == "fastbp train: cannot read t.csv: it is empty"


def test_10_five_rows(capsys):
    write(table=pd.DataFrame({"size": [1.5, 2.5, 3.5, 4.5, 5.5], "kind": list("aabba"), "price": [1.5, 2, 3, 4, 5]}))
    assert trained(capsys)[1]["tested on"] == "2 held-out rows"
    assert trained(capsys, "t.csv", "price")[1]["tested on"] == "2 held-out rows"
    write(table=pd.DataFrame({"size": [1.5, 2.5, 3.5, 4.5, 5.5], "kind": list("aabbc")}))
    assert "the class 'c' has one row only" in refused(capsys, "train", "t.csv", "--target", "kind")
    write(table=made(1))
    assert "t.csv has 1 row with a target: too few" in refused(capsys, "train", "t.csv", "--target", "price")


def test_11_one_class(capsys):
    write(table=made().assign(kind="big"))
    assert "holds one class only, big" in refused(capsys, "train", "t.csv", "--target", "kind")


def test_12_columns_that_name_rows(capsys):
    rng = np.random.default_rng(0)
    names = {
        "number": np.arange(100, 900, 10),
        "shuffled": rng.permutation(80),
        "customer_id": rng.choice(10**6, 80, replace=False),
        "uuid": [f"{value:08x}" for value in rng.choice(2**31, 80, replace=False)],
        "full name": [f"Anna {value}" for value in range(80)],
    }
    kept = {
        "income": rng.choice(10**6, 80, replace=False),
        "review": [f"this is thing number {value} and it is good" for value in range(80)],
        "day": pd.date_range("2020-01-01", periods=80).strftime("%d.%m.%Y"),
    }
    write(table=made().assign(**names, **kept, one=1, none=""))
    columns, _, _ = trained(capsys)
    why = {name: cells[3] for name, cells in columns.items() if len(cells) > 3}
    assert why == dict.fromkeys(names, "left out: names rows") | {"one": "left out: constant", "none": "left out: empty"}
    assert columns["day"][0] == "date"
    write(table=pd.DataFrame({"id": range(20), "one": 1, "kind": ["a", "b"] * 10}))
    assert "t.csv has no columns to learn from" in refused(capsys, "train", "t.csv", "--target", "kind")
    assert trained(capsys, "t.csv", "kind", "--use", "id")[0] == {
        "id": ("number", 0, 20),
        "one": ("number", 0, 1, "left out: constant"),
    }


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S"])
def test_13_dates(form, capsys):
    days = pd.date_range("2020-01-05", periods=80, freq="37h").strftime(form)
    write(table=made().assign(day=days))
    columns, _, _ = trained(capsys)
    assert columns["day"][0] == "date"
    assert run(capsys, "predict", "t.fastbp", "t.csv")[0] == 0


def test_14_a_column_of_text_and_numbers(capsys):
    table = made()
    table["mixed"] = [str(i % 5) if i % 4 else "none" for i in range(80)]
    write(table=table)
    columns, _, _ = trained(capsys)
    assert columns["mixed"] == ("category", 0, 6)
    table["price"] = [*table["price"].astype(str)[:79], "on request"]
    write(table=table)
    told = refused(capsys, "train", "t.csv", "--target", "price", "--task", "regression")
    assert "it is text because row 80 holds 'on request'" in told


def test_15_quoted_line_breaks(capsys):
    write(table=made().replace({"colour": {"red": 'dark\n"red", like; wine'}}))
    columns, facts, _ = trained(capsys)
    assert columns["colour"] == ("category", 0, 3)
    assert facts["training"].startswith("60 rows")


def test_16_codes_with_leading_zeros(capsys):
    codes = np.random.default_rng(0).choice(["01234", "90210", "00501"], 80)
    write(table=made().assign(code=codes, kind=np.where(codes == "90210", "010", "001")))
    columns, _, _ = trained(capsys)
    assert columns["code"] == ("category", 0, 3)
    write("new.csv", pd.DataFrame({"size": [1], "colour": "red", "code": ["90210"], "price": [3]}))
    status, out, told = run(capsys, "predict", "t.fastbp", "new.csv")
    assert (status, told) == (0, [])
    assert set(out.split()[1:]) <= {"001", "010"}
    write("new.csv", pd.DataFrame({"size": [1], "colour": "red", "code": ["1234"], "price": [3]}))
    assert "column 'code': 1 of 1 rows hold what training did not: '1234'" in run(capsys, "predict", "t.fastbp", "new.csv")[2][0]


# --- formats -----------------------------------------------------------------------------------------------------------------

WRITERS = {
    "parquet": lambda table, path: table.to_parquet(path),
    "feather": lambda table, path: table.to_feather(path),
    "jsonl": lambda table, path: table.to_json(path, orient="records", lines=True),
    "xlsx": lambda table, path: table.to_excel(path, index=False),
    "npz": lambda table, path: np.savez(
        path, **{name: table[name].to_numpy(np.str_ if name in ("colour", "kind", "code") else float) for name in table}
    ),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_formats(suffix, capsys):
    table = made().assign(code=["007", "1.50"] * 40)
    if suffix != "npz":
        table.loc[::9, "size"], table.loc[::9, "colour"] = np.nan, None
    WRITERS[suffix](table, f"t.{suffix}")
    columns, _, _ = trained(capsys, f"t.{suffix}")
    missing = 0 if suffix == "npz" else 9
    assert columns["size"][:2] == ("number", missing)
    assert columns["colour"] == ("category", missing, 3)
    assert columns["code"] == ("category", 0, 2)
    write(table=table)
    of_other, of_csv = (run(capsys, "predict", "t.fastbp", name, "--proba") for name in (f"t.{suffix}", "t.csv"))
    assert of_other == of_csv
    content = Path(f"t.{suffix}").read_bytes()
    Path(f"t.{suffix}").write_bytes(content[: len(content) // 2 + 1])
    assert refused(capsys, "train", f"t.{suffix}", "--target", "kind").startswith(f"fastbp train: cannot read t.{suffix}: ")


def test_dates_durations_and_booleans_with_types(capsys):
    table = made().assign(
        day=pd.date_range("2020-01-05", periods=80, freq="37h", tz="Europe/Berlin"),
        since=pd.to_timedelta(np.random.default_rng(0).integers(0, 10**6, 80), unit="s"),
        new=pd.array([True, False, None, True] * 20, dtype="boolean"),
        things=[[1]] * 80,
    )
    table.to_parquet("t.parquet")
    columns, _, _ = trained(capsys, "t.parquet")
    assert columns["day"][0] == "date"
    assert columns["since"][0] == "number"
    assert columns["new"] == ("category", 20, 2)
    assert columns["things"][3].startswith("left out: has dtype object")
    plain = table.drop(columns="things").assign(day=table["day"].dt.tz_convert(None), since=table["since"].dt.total_seconds())
    write(table=plain)
    assert run(capsys, "predict", "t.fastbp", "t.csv", "--proba") == run(capsys, "predict", "t.fastbp", "t.parquet", "--proba")
    write(table=plain.assign(day="someday"))
    assert "column 'day' of t.csv must hold dates" in refused(capsys, "predict", "t.fastbp", "t.csv")


@pytest.mark.parametrize("squeezed", [False, True])
def test_standard_input(squeezed, capsys, monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(content) if squeezed else content)))

    give(write("t.csv", sep=";").encode())
    assert trained(capsys, "-")[1]["model"] == "table.fastbp"
    give(Path("t.csv").read_bytes())
    by_name = run(capsys, "predict", "table.fastbp", "t.csv")
    give(Path("t.csv").read_bytes())
    assert run(capsys, "predict", "table.fastbp", "-") == by_name
    give(b"")
    assert refused(capsys, "train", "-") == "fastbp train: cannot read standard input: it is empty"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.pdf", b"x", "nor a .csv, .tsv, .txt, .parquet"),
        ("absent.csv", None, "there is no file absent.csv"),
        ("t.csv", b"a,b\0c\n1,2\n", "cannot read t.csv: it is no text"),
        ("t.csv", b"a,b,a\n1,2,3\n", "2 columns are called 'a'"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "cannot read t.csv"),
        ("t.csv", b"a,b\n7,1,2\n9,3,4\n", "rows have more cells than the first line has names"),
        ("t.csv", b'a,b\n1,"2\n3,4\n', "cannot read t.csv"),
        ("t.csv", b"y,x\na,1\nb,inf\na,2\nb,3\na,5\n", "has infinite values"),
        ("t.jsonl", b'{"a": 1}\n{"a"\n', "cannot read t.jsonl"),
        ("t.xlsx", b"PK\3\4 nothing", "cannot read t.xlsx"),
        ("t.npz", b"PK\3\4 nothing", "cannot read t.npz"),
    ],
)
def test_files_that_cannot_be_read(name, content, message, capsys):
    if content is not None:
        Path(name).write_bytes(content)
    assert message in refused(capsys, "train", name)


# --- options -----------------------------------------------------------------------------------------------------------------

BAD_OPTIONS = {
    "no such target": (["--target", "nothing"], "t.csv has no column 'nothing'; say which to predict: 'size', 'colour'"),
    "no such column": (["--target", "kind", "--drop", "size,nothing"], "--drop: t.csv has no column 'nothing'"),
    "target dropped": (["--target", "kind", "--drop", "kind"], "--drop: 'kind' is the target"),
    "no column to use": (["--target", "kind", "--use", "nothing"], "--use: t.csv has no column 'nothing'"),
    "target used": (["--target", "kind", "--use", "kind"], "--use: 'kind' is the target"),
    "used and dropped": (["--target", "kind", "--use", "size", "--drop", "size"], "--use: 'size' is among what --drop leaves out"),
    "useless": (["--target", "kind", "--use", "one"], "--use: nothing can be learnt from 'one': it is constant"),
    "no metric": (["--target", "kind", "--metric", "nothing"], "--metric: scikit-learn has no 'nothing'"),
    "metric of numbers": (["--target", "kind", "--metric", "r2"], "--metric: r2 is for regression"),
    "no test": (["--target", "kind", "--test", "absent.csv"], "there is no file absent.csv"),
    "no directory": (["--target", "kind", "--report", "absent/r.html"], "--report: there is no directory absent"),
    "plain option": (["--target", "kind", "--batch-size", "3"], "--batch-size is for plain networks: give --hidden"),
    "resume": (["--target", "kind", "--resume"], "--resume is for plain networks"),
    "both": (["--target", "kind", "--hidden", "3", "--preset", "fast"], "--preset is for presets: leave out --hidden"),
    "no epochs": (["--target", "kind", "--epochs", "0"], "epochs must be at least 1"),
    "strings": (["--target", "kind", "--task", "regression"], "holds strings"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_one_clear_sentence(case, capsys, tmp_path):
    write(table=made().assign(one=1))
    options, message = BAD_OPTIONS[case]
    assert message in refused(capsys, "train", "t.csv", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_test_file_metric_drop_and_seed(capsys):
    table = made()
    write(table=table[:60])
    table.loc[79, "kind"] = None
    write("test.csv", table[60:])
    columns, facts, told = trained(capsys, "t.csv", "kind", "--test", "test.csv", "--drop", "price", "--metric", "roc_auc,f1_macro")
    assert columns["price"][3] == "left out: dropped"
    assert list(facts) == ["roc_auc", "F1, mean of classes", "tested on", "training", "model"]
    assert facts["tested on"] == "19 rows of test.csv"
    assert facts["training"].startswith("60 rows, 1 network")
    assert told == ["fastbp train: 1 of 20 rows have no kind and are left out"]
    write("test.csv", table[60:79].replace({"kind": {"small": "tiny"}}))
    told = refused(capsys, "train", "t.csv", "--target", "kind", *QUICK, "--test", "test.csv")
    assert "has the class 'tiny'" in told


def test_presets_of_named_data_sets(capsys):
    status, out, _ = run(capsys, "train", "iris", *QUICK)
    assert status == 0
    assert facts_of(out)["model"] == "iris.fastbp"
    write("flower.csv", pd.DataFrame(np.ones((2, 4)), columns=list(columns_of(out))))
    assert run(capsys, "predict", "iris.fastbp", "flower.csv")[1].startswith("class\n")


def test_a_wide_table_is_told_in_short(capsys):
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 60)), columns=[f"c{i}" for i in range(60)])
    write(table=wide.assign(last=1, kind=made()["kind"]))
    _, out, _ = run(capsys, "train", "t.csv", "--target", "kind", *QUICK)
    lines = out.split("\n\n")[0].splitlines()
    assert lines[1].split() == ["last", "number", "0", "1", "left", "out:", "constant"]
    assert lines[-1] == "and 21 more"


def test_interrupted_nothing_is_saved(capsys, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    write()
    monkeypatch.setattr("fastbp.commands.train_table._fitted", interrupted)
    assert cli.main(["train", "t.csv", "--target", "kind"]) == 130
    assert capsys.readouterr().err == "interrupted before there was a network; nothing is saved\n"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_what_there_is_is_saved(capsys, number):
    write()
    run(capsys, "train", "t.csv", "--target", "kind", *QUICK)  # kernels are there
    timer = threading.Timer(2.0, lambda: signal.raise_signal(number))
    timer.start()
    assert cli.main(["train", "t.csv", "--target", "kind", "--epochs", "1000000", "--out", "part.fastbp"]) == 130
    timer.join()
    assert re.search(
        r"interrupted after \d+ epochs of \d networks?; saved what there is as part.fastbp$", capsys.readouterr().err.strip()
    )
    assert cli.main(["evaluate", "part.fastbp", "t.csv"]) == 0


def test_training_shows_a_bar_with_the_time_left(capsys):
    write()
    assert cli.main(["train", "t.csv", "--target", "kind", *QUICK]) == 0
    assert re.search(r"2/2 \[\d\d:\d\d<\d\d:\d\d", capsys.readouterr().err)


def test_what_is_not_installed_is_told_before_anything_is_read(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    assert "pip install 'fastbp[tables]'" in refused(capsys, "train", "absent.csv")
