"""`fastbp export`: what the files compute is what `fastbp predict` predicts, and what is left to do is said."""

import csv
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from test_exports_c import PREDICT, needs_gcc, run
from test_exports_numpy import executed

import fastbp
from fastbp import cli
from fastbp.commands import export
from fastbp.commands.saved import PlainModel
from fastbp.files import table_model

TABLE = "flats.csv"


def write_table():
    rng = np.random.default_rng(0)
    with open(TABLE, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["year", "town", "area", "price", "kind"])
        for year, area in zip(rng.integers(1900, 2020, 120), rng.gamma(9, 10, 120), strict=True):
            town = rng.choice(["Ay", 'B"o*/', "Ye"])
            writer.writerow(
                [1e6 + year, town, round(area, 2), round(3000 + 2 * area + 50 * (town == "Ye"), 2), "big" if area > 90 else "small"]
            )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Models of a table: of numbers, and of classes."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("fastbp.bench.comparison.MOST_SECONDS", 0.0)
        write_table()
        for target in ("price", "kind"):
            assert (
                cli.main(["train", TABLE, "--target", target, "--hidden", "9", "--epochs", "3", "--out", f"{target}.fastbp"]) == 0
            )
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (TABLE, "price.fastbp", "kind.fastbp"):
        shutil.copy(trained / name, tmp_path)
    return tmp_path


def told(capsys, *arguments):
    assert cli.main(["export", *map(str, arguments)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def refused(capsys, *arguments):
    assert cli.main(["export", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def inputs_and_predictions(path):
    """Rows of the table as programs take them, and what `fastbp predict` computes of them."""
    model = PlainModel(path)
    with open(TABLE, newline="") as file:
        rows = list(csv.DictReader(file))
    state, names = model.extra["preprocessor"], model.extra["feature_names"]
    X = [[float(row[names[i]]) for i in state["numeric"]] for row in rows]
    for i, categories in zip(state["categorical"], state["categories"], strict=True):
        X = [[*x, *(float(row[names[i]] == each) for each in categories)] for x, row in zip(X, rows, strict=True)]
    predictions = model.predict(TABLE, "predict")
    return np.array(X), predictions.probabilities if model.classes else predictions.values[:, None]


@pytest.mark.parametrize("model", ["price.fastbp", "kind.fastbp"])
def test_a_program_in_python_predicts_what_the_model_does(here, capsys, model):
    text = told(capsys, model, "--to", "numpy", "--out", "net.py")
    X, expected = inputs_and_predictions(model)
    np.testing.assert_allclose(executed((here / "net.py").read_text())["predict"](X), expected, rtol=2e-6)
    assert "it scales them itself" in text
    assert "inputs   year, " in text


@needs_gcc
@pytest.mark.parametrize("model", ["price.fastbp", "kind.fastbp"])
def test_a_program_in_c_predicts_what_the_model_does(here, capsys, model):
    told(capsys, model, "--to", "c", "--out", "net.c")
    X, expected = inputs_and_predictions(model)
    source = (here / "net.c").read_text()
    written = run(here, [source], [PREDICT.format(kind="double", name="net", n=len(X))], [X])
    np.testing.assert_allclose(np.frombuffer(written).reshape(len(X), -1), expected, rtol=2e-6)
    assert '\n * x[3] is "town = B\\"o\\u002a\\u002f"\n' in source or "\\u002a\\u002f" in source


@pytest.mark.parametrize("model", ["price.fastbp", "kind.fastbp"])
def test_a_graph_predicts_what_the_model_does(here, capsys, model):
    onnxruntime = pytest.importorskip("onnxruntime")
    told(capsys, model, "--to", "onnx")
    X, expected = inputs_and_predictions(model)
    found = onnxruntime.InferenceSession(str((here / model).with_suffix(".onnx"))).run(None, {"X": X})
    np.testing.assert_allclose(found[-1], expected, rtol=2e-6)
    if model == "kind.fastbp":
        names = PlainModel(model).classes
        assert found[0].tolist() == [names[i] for i in expected.argmax(axis=1)]


def test_the_tolerance_would_see_scaling_in_float32(here, capsys):
    """Years of a million and two thousand differ by less than float32 tells of them once they are scaled."""
    told(capsys, "price.fastbp", "--to", "numpy", "--out", "net.py")
    X, expected = inputs_and_predictions("price.fastbp")
    text = (here / "net.py").read_text().replace("np.asarray(x, float)", "np.asarray(x, dtype)")
    text = text.replace("], float)", "], dtype)")
    predictions = executed(text)["predict"](X)
    assert np.abs(predictions / expected - 1).max() > 4e-6


@pytest.mark.parametrize("model", ["price.fastbp", "kind.fastbp"])
def test_tensors_with_what_is_to_be_done_before_and_after(here, capsys, model):
    text = told(capsys, model, "--to", "safetensors", "--out", "net.safetensors")
    X, expected = inputs_and_predictions(model)
    with safetensors.safe_open("net.safetensors", "np") as file:
        scaling = json.loads(json.loads(file.metadata()["fastbp"])["scaling"])
    outputs = fastbp.load_safetensors("net.safetensors")((X - scaling["mean"]) / scaling["scale"]).astype(float)
    np.testing.assert_allclose(outputs * scaling["output_scale"] + scaling["output_mean"], expected, rtol=1e-9)
    assert f"before       x is (input - mean) / scale with mean {scaling['mean'][0]!r}, " in text
    assert ("after        the prediction is " in text) == (model == "price.fastbp")
    assert scaling["inputs"][0] == "year"


def test_numbers_of_many_columns_are_not_printed(here, capsys, monkeypatch):
    monkeypatch.setattr(export, "FEW", 2)
    assert "numbers that are in the metadata of the file" in told(capsys, "price.fastbp", "--to", "safetensors")
    assert "inputs       year, area, ... (7)" in told(capsys, "price.fastbp", "--to", "safetensors")


@pytest.mark.parametrize("to", export.FORMATS)
def test_files_are_named_by_the_model_unless_said(here, capsys, to):
    suffix = export.FORMATS[to][1]
    assert f"price{suffix}\n" in told(capsys, "price.fastbp", "--to", to)
    assert (here / f"price{suffix}").exists()


def test_a_network_that_a_program_saved_is_exported_as_it_is(here, capsys):
    net = fastbp.Network([2, 3, 1], "tanh", rng=0)
    net.save("net.fastbp")
    text = told(capsys, "net.fastbp", "--to", "numpy")
    assert text == "network  2-3-1, tanh, identity, float32\nnumpy    net.py\n"
    told(capsys, "net.fastbp", "--to", "onnx")
    assert fastbp.from_onnx("net.onnx")._settings() == net._settings()
    X = np.float32([[1, 2]])
    np.testing.assert_allclose(executed((here / "net.py").read_text())["predict"](X), net(X), rtol=1e-5)


def test_what_cannot_be_exported_is_refused_in_a_sentence(here, capsys, monkeypatch):
    fastbp.Networks(3, [2, 1], rng=0).save("many.fastbp")
    assert "many.fastbp has 3 networks: save one of them" in refused(capsys, "many.fastbp", "--to", "c")
    assert "--out must be another file than the model" in refused(capsys, "price.fastbp", "--to", "c", "--out", "price.fastbp")
    assert "none.fastbp" in refused(capsys, "none.fastbp", "--to", "c")
    assert "is no fastbp model file" in refused(capsys, TABLE, "--to", "c")
    monkeypatch.setattr(table_model, "is_table_model", lambda path: True)
    assert "is of a preset: several networks" in refused(capsys, "price.fastbp", "--to", "c")
    with pytest.raises(SystemExit):
        cli.main(["export", "price.fastbp", "--to", "fortran"])
