"""Datasets by name and from files, and the preprocessing that is saved with a model."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from fastbp.files import datasets

SHAPES = {
    "digits": (1797, 64, 10),
    "breast-cancer": (569, 30, 2),
    "wine": (178, 13, 3),
    "iris": (150, 4, 3),
    "diabetes": (442, 10, None),
    "moons": (1000, 2, 2),
    "circles": (1000, 2, 2),
    "blobs": (1000, 2, 4),
}


@pytest.fixture
def mixed():
    """Two numeric columns, two categorical ones, a class."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, 60),
            "colour": rng.choice(["red", "green", "blue"], 60),
            "income": rng.normal(50.0, 10.0, 60),
            "shape": pd.Categorical(rng.choice(["disc", "cube"], 60)),
            "bought": rng.choice(["yes", "no"], 60),
        }
    )


@pytest.mark.parametrize("name", datasets.NAMES)
def test_named_dataset(name):
    data = datasets.load(name)
    n_samples, n_features, n_classes = SHAPES[name]
    assert data.X.shape == (n_samples, n_features)
    assert data.X.dtype == np.float64
    assert len(data.feature_names) == n_features
    assert data.y.shape == (n_samples,)
    if n_classes is None:
        assert (data.task, data.y.dtype, len(data.target_names)) == ("regression", np.float64, 1)
    else:
        assert (data.task, data.y.dtype, len(data.target_names)) == ("classification", np.int64, n_classes)
        assert np.array_equal(np.unique(data.y), np.arange(n_classes))
    again = datasets.load(name)
    assert np.array_equal(data.X, again.X)
    assert np.array_equal(data.y, again.y)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown dataset 'mnist'; choose one of digits, breast-cancer"):
        datasets.load("mnist")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_read_mixed_table(mixed, tmp_path, suffix):
    path = tmp_path / f"table.{suffix}"
    mixed.to_csv(path, index=False) if suffix == "csv" else mixed.to_parquet(path)
    data = datasets.read(path, "bought")
    assert (data.task, data.target_names) == ("classification", ["no", "yes"])
    assert data.feature_names == ["age", "colour", "income", "shape"]
    assert data.X.dtype == object
    assert np.array_equal(data.y, (mixed["bought"] == "yes").to_numpy())
    assert np.array_equal(data.X[:, 1].astype(str), mixed["colour"].to_numpy(str))
    assert np.allclose(data.X[:, 2].astype(float), mixed["income"], rtol=1e-15)


def test_read_npz_matrix(tmp_path):
    X, y = load_iris(return_X_y=True)
    np.savez(tmp_path / "iris.npz", X=X, y=y, other=-y)
    data = datasets.read(tmp_path / "iris.npz")
    assert (data.task, data.target_names) == ("classification", ["0", "1", "2"])
    assert data.feature_names == ["x0", "x1", "x2", "x3", "other"]
    assert np.array_equal(data.X, np.column_stack([X, -y]))
    assert np.array_equal(data.y, y)


def test_read_npz_columns(tmp_path):
    np.savez(tmp_path / "columns.npz", size=[1.0, 2.0, 3.0], kind=["a", "b", "a"], price=[0.5, 1.5, 2.5])
    data = datasets.read(tmp_path / "columns.npz", "price")
    assert (data.task, data.target_names) == ("regression", ["price"])
    assert data.feature_names == ["size", "kind"]
    assert data.X.tolist() == [[1.0, "a"], [2.0, "b"], [3.0, "a"]]


@pytest.mark.parametrize(
    ("values", "task", "found", "names"),
    [
        (["b", "a", "b", "c"], None, "classification", ["a", "b", "c"]),
        ([True, False, True, True], None, "classification", ["False", "True"]),
        ([3, 7, 3, 3], None, "classification", ["3", "7"]),
        ([3.0, 7.0, 3.0, 3.0], None, "classification", ["3.0", "7.0"]),
        ([0.5, 7.0, 3.0, 3.0], None, "regression", ["t"]),
        ([3, 7, 3, 3], "regression", "regression", ["t"]),
        (range(20), None, "classification", [str(i) for i in range(20)]),
        (range(21), None, "regression", ["t"]),
        (range(21), "classification", "classification", [str(i) for i in range(21)]),
    ],
    ids=["strings", "booleans", "integers", "whole floats", "fractions", "forced", "20 values", "21 values", "21 forced"],
)
def test_task_follows_from_target(tmp_path, values, task, found, names):
    np.savez(tmp_path / "t.npz", x=np.arange(float(len(values))), t=list(values))
    data = datasets.read(tmp_path / "t.npz", "t", task)
    assert (data.task, data.target_names) == (found, names)
    assert data.y.dtype == (np.int64 if found == "classification" else np.float64)


ONES = np.ones(4)


@pytest.mark.parametrize(
    ("arrays", "target", "task", "message"),
    [
        ({"x": ONES}, "y", None, "has no column 'y'; say which to predict: 'x'"),
        ({"x": ONES}, None, None, "has no column 'y'"),
        ({"y": ONES}, "y", "regression", "no columns besides the target"),
        ({"x": ONES, "y": [1, 2, 3]}, "y", None, "column 'x' of .* has 4 rows, unlike the others"),
        ({"x": [1, np.nan, 1, 1], "y": [1, 2, 1, 1]}, "y", None, "column 'x' of .* 1 missing values"),
        ({"x": ONES, "y": [1, np.inf, 1, 1]}, "y", None, "column 'y' of .* infinite values"),
        ({"x": ONES * 1j, "y": [1, 2, 1, 1]}, "y", None, "column 'x' of .* dtype complex128"),
        ({"x": np.ones((4, 2)), "y": [1, 2, 1, 1]}, "y", None, r"column 'x' of .* shape \(4, 2\)"),
        ({"X": ONES, "y": [1, 2, 1, 1]}, "y", None, "X must be a matrix"),
        ({"x": ONES, "y": ONES}, "y", None, "holds one class only, 1"),
        ({"x": ONES, "y": ["a", "b", "a", "b"]}, "y", "regression", "holds strings"),
        ({"x": ONES, "y": ONES / 2}, "y", "classification", "holds fractions"),
        ({"x": ONES, "y": ONES}, "y", "ranking", "task must be one of classification, regression"),
        ({"x": np.array([{}, 1, 2, 3], object), "y": ONES}, "y", None, "cannot read .*allow_pickle"),
    ],
)
def test_bad_npz_names_the_column(tmp_path, arrays, target, task, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        datasets.read(tmp_path / "bad.npz", target, task)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.npz", b"not a zip file", "cannot read"),
        ("bad.npz", b"", "cannot read"),
        ("bad.csv", b"", "cannot read"),
        ("bad.csv", b"x,y\n1,a\n,b\n", "column 'x' of .* has 1 missing values"),
        ("bad.csv", b"x,y\n1,a\nnan,b\n", "column 'x' of .* has 1 missing values"),
        ("bad.csv", b"x,y\n1,a\ninf,b\n", "column 'x' of .* has infinite values, the first in row 2"),
        ("bad.parquet", b"PAR1", "cannot read"),
        ("bad.txt", b"x,y", "neither a dataset .* nor a .csv"),
    ],
)
def test_bad_file_is_a_value_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        datasets.read(tmp_path / name, "y")


def test_missing_file_and_dates_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*absent\.csv"):
        datasets.read(tmp_path / "absent.csv", "y")
    pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2020-01-02"]), "y": [0, 1]}).to_parquet(tmp_path / "dates.parquet")
    with pytest.raises(ValueError, match=r"column 'day' of .* dtype datetime64"):
        datasets.read(tmp_path / "dates.parquet", "y")


def test_missing_pandas_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "table.csv").write_text("x,y\n1,2\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"python -m pip install 'fastbp\[data\]'"):
        datasets.read(tmp_path / "table.csv", "y")


def test_preprocessor_standardises_and_encodes(mixed, tmp_path):
    mixed.to_csv(tmp_path / "table.csv", index=False)
    X = datasets.read(tmp_path / "table.csv", "bought").X
    out = datasets.preprocessor(X).transform(X)
    assert out.shape == (60, 2 + 3 + 2)
    assert out.dtype == np.float64
    age = mixed["age"].to_numpy(float)
    assert np.allclose(out[:, 0], (age - age.mean()) / age.std())
    assert np.array_equal(out[:, 2], mixed["colour"] == "blue")
    assert np.array_equal(out[:, 6], mixed["shape"] == "disc")


@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [0, 2], [1, 3]], ids=["mixed", "numeric", "categorical"])
def test_restored_preprocessor_is_the_same_to_the_bit(mixed, tmp_path, columns):
    names = [["age", "colour", "income", "shape"][i] for i in columns]
    mixed[[*names, "bought"]].to_csv(tmp_path / "table.csv", index=False)
    X = datasets.read(tmp_path / "table.csv", "bought").X
    fitted = datasets.preprocessor(X[:40])
    state = json.loads(json.dumps(datasets.preprocessor_state(fitted), allow_nan=False))
    restored = datasets.restore_preprocessor(state)
    assert restored.transform(X).tobytes() == fitted.transform(X).tobytes()
    assert datasets.preprocessor_state(restored) == state


def test_features_of_one_unit_share_a_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3)) * [1.0, 0.01, 0.0] + [5.0, 0.0, 2.0]
    out = datasets.preprocessor(X, same_unit=True).transform(X)
    assert np.allclose(out.mean(axis=0), 0.0, atol=1e-12)
    assert np.isclose(out.var(), 1.0)
    assert np.allclose(out.std(axis=0) / out.std(axis=0)[0], X.std(axis=0) / X.std(axis=0)[0])
    assert datasets.load("digits").same_unit
    assert not datasets.load("wine").same_unit


def test_unseen_category_is_all_zeros():
    X = np.array([["a"], ["b"]], dtype=object)
    restored = datasets.restore_preprocessor(datasets.preprocessor_state(datasets.preprocessor(X)))
    assert restored.transform(np.array([["c"], ["b"]], dtype=object)).tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("odd", ["?", "01.5", "1,5"])
def test_the_cell_that_makes_numbers_text_is_named(tmp_path, odd):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["x,y", *(f'"{odd}",1' if i == 16 else f"{i * 0.37},{i % 2}" for i in range(3000))]))
    why = rf"it is text because row 17 holds '{re.escape(odd)}': mend that, or drop"
    with pytest.raises(ValueError, match=rf"column 'x' of .* has 3000 different texts, more than 1000: {why} it"):
        datasets.read(path)
    with pytest.raises(ValueError, match=rf"target: column 'x' holds strings, {why} that row"):
        datasets.read(path, "x", "regression")
    path.write_text("\n".join(["x,y", *(f"a{i},{i % 2}" for i in range(3000))]))
    with pytest.raises(ValueError, match=r"more than 1000: drop it"):
        datasets.read(path)


def test_column_of_identifiers_is_refused(tmp_path):
    names = [f"id{i}" for i in range(datasets.MAX_CATEGORIES + 1)]
    np.savez(tmp_path / "ids.npz", who=names, y=np.arange(len(names)) % 2)
    with pytest.raises(ValueError, match=r"column 'who' of .* has 1001 different texts, more than 1000: drop it"):
        datasets.read(tmp_path / "ids.npz")
    np.savez(tmp_path / "ids.npz", who=names[:-1], y=np.arange(len(names) - 1) % 2)
    datasets.read(tmp_path / "ids.npz")


def state_of(**categories):
    """Of a preprocessor fitted to columns of text."""
    return {"categorical": list(range(len(categories))), "categories": list(categories.values())}


def test_read_features_takes_the_columns_of_the_model(mixed, tmp_path):
    shuffled = mixed[["shape", "income", "bought", "age"]]
    shuffled.to_csv(tmp_path / "new.csv", index=False)
    state = {"categorical": [1], "categories": [["cube", "disc"]]}
    X = datasets.read_features(tmp_path / "new.csv", ["age", "shape"], ["number", "text"], state)
    assert X.dtype == object
    assert np.array_equal(X[:, 0].astype(float), mixed["age"])
    assert np.array_equal(X[:, 1].astype(str), mixed["shape"].astype(str))
    with pytest.raises(ValueError, match="has no column 'colour'"):
        datasets.read_features(tmp_path / "new.csv", ["age", "colour"], ["number", "text"], state)
    with pytest.raises(ValueError, match=r"column 'shape' of .* must hold numbers, as in training, but row 1 holds '(disc|cube)'"):
        datasets.read_features(tmp_path / "new.csv", ["age", "shape"], ["number", "number"], state_of())


def test_read_features_takes_a_matrix_in_its_order(tmp_path):
    np.savez(tmp_path / "new.npz", X=np.arange(6.0).reshape(2, 3))
    X = datasets.read_features(tmp_path / "new.npz", ["p", "q", "r"], ["number"] * 3, state_of())
    assert X.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    with pytest.raises(ValueError, match="X has 3 columns, but the model was trained on 2"):
        datasets.read_features(tmp_path / "new.npz", ["p", "q"], ["number"] * 2, state_of())


def test_numbers_serve_as_categories_where_the_model_had_strings(tmp_path):
    np.savez(tmp_path / "new.npz", zone=[1, 2, 1], size=[0.5, 1.0, 2.0])
    state = state_of(zone=["1", "V12"])
    X = datasets.read_features(tmp_path / "new.npz", ["zone", "size"], ["text", "number"], state)
    assert X.tolist() == [["1", 0.5], ["2", 1.0], ["1", 2.0]]


CODES = ["0010", "0020", "0030", "V12", "E90", "1.50", "1e3", "7", "NA"]


@pytest.mark.parametrize("chosen", [CODES, CODES[:3], ["1.50"], ["7", "1e3"], ["NA"]], ids=str)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_categories_are_known_again(tmp_path, suffix, chosen):
    """However many of a file's codes look like numbers: training alone says what a column is."""
    pd.DataFrame({"code": CODES, "y": [0, 1, 0] * 3}).to_csv(tmp_path / "old.csv", index=False)
    data = datasets.read(tmp_path / "old.csv")
    assert data.kinds == ["text"]
    assert data.X[:, 0].tolist() == CODES
    state = datasets.preprocessor_state(datasets.preprocessor(data.X))
    path = tmp_path / f"new.{suffix}"
    if suffix == "npz":
        np.savez(path, code=chosen)
    else:
        frame = pd.DataFrame({"code": chosen})
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    X = datasets.read_features(path, data.feature_names, data.kinds, state)
    assert X[:, 0].tolist() == chosen
    assert datasets.unseen_categories(X, data.feature_names, state) == []
    assert datasets.restore_preprocessor(state).transform(X).sum() == len(chosen)


def test_categories_of_a_column_that_had_a_gap(tmp_path):
    """pandas makes floats of whole numbers beside a missing value, and writes 1.0."""
    state = state_of(floor=["1", "2", "ground"])
    frame = pd.DataFrame({"floor": [1, None, 2]})
    frame.dropna().to_csv(tmp_path / "new.csv", index=False)
    assert "1.0" in (tmp_path / "new.csv").read_text()
    frame.dropna().to_parquet(tmp_path / "new.parquet")
    for name in ("new.csv", "new.parquet"):
        assert datasets.read_features(tmp_path / name, ["floor"], ["text"], state)[:, 0].tolist() == ["1", "2"]
    frame.assign(other=1).to_csv(tmp_path / "gap.csv", index=False)
    with pytest.raises(ValueError, match=r"column 'floor' of .* has 1 missing values, the first in row 2"):
        datasets.read_features(tmp_path / "gap.csv", ["floor"], ["text"], state)


def test_unseen_categories_are_counted():
    X = np.array([["a", 1.0], ["b", 2.0], ["c", 3.0], ["c", 4.0], ["d", 5.0]], dtype=object)
    state = {"categorical": [0], "categories": [["a", "b"]]}
    assert datasets.unseen_categories(X, ["kind", "size"], state) == [
        "column 'kind': 3 of 5 rows hold what training did not: 'c', 'd'"
    ]
    many = np.array([[f"v{i}"] for i in range(8)], dtype=object)
    assert datasets.unseen_categories(many, ["kind"], state)[0].endswith("'v0', 'v1', 'v2', 'v3', 'v4' and 3 more")


LABELS = {
    "codes": (["001", "002", "001", "010"], ["001", "002", "010"]),
    "whole": (["10", "9", "10", "9"], ["9", "10"]),
    "floats": (["1.0", "2.0", "1.0", "2.0"], ["1.0", "2.0"]),
    "words for missing": (["NA", "None", "NA", "DE"], ["DE", "NA", "None"]),
    "truth": (["true", "false", "true", "true"], ["false", "true"]),
    "shouted truth": (["TRUE", "FALSE", "TRUE", "TRUE"], ["FALSE", "TRUE"]),
    "long": (["12345678901234567", "12345678901234568"] * 2, ["12345678901234567", "12345678901234568"]),
    "mixed": (["1", "a", "1", "a"], ["1", "a"]),
}


@pytest.mark.parametrize("case", LABELS)
def test_classes_are_those_of_the_file(tmp_path, case):
    labels, classes = LABELS[case]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["x,y", *(f"{i},{label}" for i, label in enumerate(labels))]))
    data = datasets.read(path)
    assert data.target_names == classes
    assert [data.target_names[k] for k in data.y] == labels
    assert datasets.read_target(path, "y", "classification", classes).tolist() == data.y.tolist()
    with pytest.raises(ValueError, match=rf"has the class '{classes[0]}' in row {labels.index(classes[0]) + 1}, which"):
        datasets.read_target(path, "y", "classification", classes[1:])


def test_booleans_are_two_classes_however_they_are_written(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("x,y\n1,true\n2,True\n3,FALSE\n4,False\n5, TRUE\n")
    data = datasets.read(path)
    assert data.target_names == ["FALSE", "true"], "the first spelling of each, false first"
    assert data.y.tolist() == [1, 1, 0, 0, 1]
    for names in (["FALSE", "true"], ["False", "True"]):
        assert datasets.read_target(path, "y", "classification", names).tolist() == [1, 1, 0, 0, 1]
    path.write_text("x,y\n1,true\n2,True\n3,FALSE\n4,unknown\n")
    assert datasets.read(path).target_names == ["FALSE", "True", "true", "unknown"], "text is what is written"
    with pytest.raises(ValueError, match=r"has the class 'unknown' in row 4, which"):
        datasets.read_target(path, "y", "classification", ["False", "True"])


def test_targets_that_are_missing(tmp_path):
    for cells in ("1,a\n2,\n", "1,5\n2,NA\n3,6\n", "1,0.5\n2,\n"):
        (tmp_path / "table.csv").write_text("x,y\n" + cells)
        with pytest.raises(ValueError, match=r"column 'y' of .* has 1 missing values, the first in row 2"):
            datasets.read(tmp_path / "table.csv")


def test_regression_reads_the_numbers_of_the_target(tmp_path):
    (tmp_path / "table.csv").write_text("x,y\n1,0.25\n2,1e2\n3,-7\n")
    data = datasets.read(tmp_path / "table.csv")
    assert (data.task, data.y.tolist()) == ("regression", [0.25, 100, -7])
    assert datasets.read_target(tmp_path / "table.csv", "y", "regression", ["y"]).tolist() == [0.25, 100, -7]
