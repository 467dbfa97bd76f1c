"""The commands, run in this process on small data."""

import csv
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp import cli
from fastbp.bench.comparison import Comparison, compare
from fastbp.commands import train as train_command
from fastbp.engine.threads import flop_of_sample
from fastbp.files import datasets
from fastbp.files.checkpoint import Checkpoint
from fastbp.files.model_file import read_header

SMALL = ["--hidden", "8,4", "--epochs", "3"]


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def short_comparison(monkeypatch):
    monkeypatch.setattr("fastbp.bench.comparison.MOST_TURNS", 2)
    monkeypatch.setattr("fastbp.bench.comparison.TURN_SECONDS", 0.01)


def made(n_samples=120):
    """A table whose classes and whose price follow from its columns."""
    rng = np.random.default_rng(0)
    size, colour = rng.normal(10.0, 2.0, n_samples), rng.choice(["red", "green", "blue"], n_samples)
    price = 1000.0 + 50.0 * size + np.where(colour == "red", 200.0, 0.0)
    kind = np.where(size > 10.0, "big", np.where(colour == "red", "small red", "small"))
    return pd.DataFrame({"size": size, "colour": colour, "price": price, "kind": kind})


def predictions(text):
    header, *rows = csv.reader(text.splitlines())
    return header, [row[0] for row in rows]


def test_train_digits_reaches_its_accuracy_and_saves_everything(tmp_path, capsys):
    assert cli.main(["train", "digits"]) == 0
    out, err = capsys.readouterr()
    table = dict(line.split("  ", 1) for line in out.splitlines())
    assert float(table["test"].split()[1]) >= 97.5
    assert "450 held-out rows" in table["test"]
    assert "64-64-10" in table["network"]
    assert "epochs/s" in table["speed"]
    assert "GFLOP/s" in table["speed"]
    assert "x NumPy" in table["speed-up"]
    assert "loss=" in err
    assert fastbp.load(tmp_path / "digits.fastbp").sizes == (64, 64, 10)
    history = json.loads((tmp_path / "digits.history.json").read_text())
    assert len(history["loss"]) == len(history["score"]) == 40
    assert history["loss"][-1] < history["loss"][0]
    assert (tmp_path / "digits.loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", datasets.NAMES)
def test_train_every_named_dataset(name, tmp_path, capsys):
    assert cli.main(["train", name, *SMALL]) == 0
    out = capsys.readouterr().out
    assert "none claimed" not in out
    assert ("R^2" if name == "diabetes" else "accuracy") in out
    assert f"{name}.fastbp" in out
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{end}" for end in ("fastbp", "history.json", "loss.png")}


def test_options_are_obeyed(tmp_path, capsys):
    options = ["--hidden", "", "--epochs", "2", "--batch-size", "7", "--lr", "0.25", "--optimizer", "momentum"]
    assert cli.main(["train", "wine", *options, "--validation-fraction", "0.2", "--seed", "3", "--out", "a.model"]) == 0
    assert fastbp.load("a.model").sizes == (13, 3)
    history = json.loads((tmp_path / "a.history.json").read_text())
    assert history["learning_rate"] == [0.25, 0.25]
    assert len(history["validation_loss"]) == len(history["validation_score"]) == 2
    assert "2 epochs of 106 rows" in capsys.readouterr().out


def test_same_seed_same_model(tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert cli.main(["train", "iris", *SMALL, "--seed", seed, "--out", name]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_classes_of_a_mixed_table(suffix, tmp_path, capsys):
    table = made()
    path = tmp_path / f"table.{suffix}"
    if suffix == "npz":
        np.savez(path, **{name: table[name].to_numpy(np.str_ if name in ("colour", "kind") else float) for name in table})
    else:
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    assert cli.main(["train", path.name, "--target", "kind", "--hidden", "16", "--epochs", "60", "--lr", "0.01"]) == 0
    assert float(capsys.readouterr().out.split("accuracy ")[1].split()[0]) > 85
    assert cli.main(["predict", "table.fastbp", path.name]) == 0
    header, predicted = predictions(capsys.readouterr().out)
    assert header == ["kind"]

    net, extra = fastbp.load("table.fastbp"), read_header("table.fastbp")["extra"]
    X = datasets.read_features(path, extra["feature_names"], extra["feature_kinds"], extra["preprocessor"])
    classes = net.predict(datasets.restore_preprocessor(extra["preprocessor"]).transform(X))
    assert predicted == [extra["target_names"][k] for k in classes]
    assert np.mean(np.array(predicted) == table["kind"]) > 0.9


def test_regression_predicts_in_the_units_of_the_target(tmp_path, capsys):
    table = made()
    table.to_csv("table.csv", index=False)
    options = ["--target", "price", "--hidden", "16", "--epochs", "100", "--lr", "0.01"]
    assert cli.main(["train", "table.csv", *options]) == 0
    assert float(capsys.readouterr().out.split("R^2 ")[1].split()[0]) > 0.9
    table.drop(columns="price").sample(frac=1.0, random_state=0).to_csv("new.csv", index=False)
    assert cli.main(["predict", "table.fastbp", "new.csv", "--out", "out.csv"]) == 0
    assert capsys.readouterr().out == ""
    header, predicted = predictions((tmp_path / "out.csv").read_text())
    assert header == ["price"]
    wanted = table["price"].sample(frac=1.0, random_state=0).to_numpy()
    assert np.abs(np.array(predicted, float) - wanted).mean() < 0.3 * wanted.std()


def test_categories_and_classes_are_those_of_the_file(tmp_path, capsys):
    """Codes that look like numbers, in a file where all of them do; classes that begin with 0; Namibia."""
    rng = np.random.default_rng(0)
    codes = {"0010": "001", "0020": "002", "0030": "001", "V12": "010", "NA": "002"}
    code = rng.choice(list(codes), 200)
    pd.DataFrame({"code": code, "class": [codes[c] for c in code]}).to_csv("old.csv", index=False)
    assert cli.main(["train", "old.csv", "--target", "class", "--hidden", "16", "--epochs", "60", "--lr", "0.02"]) == 0
    assert "accuracy 100.00" in capsys.readouterr().out
    for new in (["0010", "0020", "0030"], ["NA", "0020"], ["V12"]):
        pd.DataFrame({"other": "", "code": new, "class": ""}).to_csv("new.csv", index=False)
        assert cli.main(["predict", "old.fastbp", "new.csv"]) == 0
        out, err = capsys.readouterr()
        assert predictions(out) == (["class"], [codes[c] for c in new])
        assert err == ""
    pd.DataFrame({"code": ["0010", "10", "new", "10"]}).to_csv("new.csv", index=False)
    assert cli.main(["predict", "old.fastbp", "new.csv"]) == 0
    out, err = capsys.readouterr()
    assert len(predictions(out)[1]) == 4
    assert err == "fastbp predict: column 'code': 3 of 4 rows hold what training did not: '10', 'new'\n"
    assert cli.main(["check-gradients", "old.fastbp", "old.csv"]) == 0


def test_zeros_that_are_left_out_are_no_operations(capsys, monkeypatch):
    told = []
    speed = train_command._speed
    monkeypatch.setattr(train_command, "_speed", lambda *arguments: (told.append(arguments[2]), speed(*arguments))[1])
    colour = [f"colour {i % 60}" for i in range(240)]
    pd.DataFrame({"colour": colour, "kind": np.arange(240) % 60 % 2}).to_csv("t.csv", index=False)
    assert cli.main(["train", "t.csv", "--target", "kind", "--hidden", "16", "--epochs", "2"]) == 0
    (flop,) = told
    assert flop == 6 * 16 * 2 + 4 * 16 * 1, "of a row one number is not zero"
    assert flop < flop_of_sample([60, 16, 2])


def test_task_can_be_forced(capsys):
    np.savez("data.npz", X=np.random.default_rng(0).normal(size=(60, 2)), y=np.arange(60) % 3)
    assert cli.main(["train", "data.npz", *SMALL]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert cli.main(["train", "data.npz", *SMALL, "--task", "regression"]) == 0
    assert "R^2" in capsys.readouterr().out


@pytest.mark.parametrize("scheme", ["central", "forward"])
def test_check_gradients(scheme, capsys):
    assert cli.main(["train", "iris", *SMALL, "--out", "iris.fastbp"]) == 0
    np.savez(
        "data.npz",
        **dict(zip(datasets.load("iris").feature_names, datasets.load("iris").X.T, strict=True)),
        y=np.arange(150) % 3,
    )
    capsys.readouterr()
    assert cli.main(["check-gradients", "iris.fastbp", "iris", "--scheme", scheme, "--samples", "5"]) == 0
    assert capsys.readouterr().out.endswith("gradients are right\n")


def test_gradients_of_a_regression_are_taken_at_the_targets_of_training(capsys):
    assert cli.main(["train", "diabetes", *SMALL, "--out", "a.fastbp"]) == 0
    X, y = cli._prepared("diabetes", cli.open_model(Path("a.fastbp")), "check-gradients")
    assert X.shape == (442, 10)
    assert abs(y.mean()) < 0.1
    assert y.std() == pytest.approx(1.0, abs=0.1)
    capsys.readouterr()
    assert cli.main(["check-gradients", "a.fastbp", "diabetes"]) == 0
    assert capsys.readouterr().out.endswith("gradients are right\n")


def test_other_classes_of_the_same_features_are_noticed(capsys):
    assert cli.main(["train", "moons", *SMALL, "--out", "a.fastbp"]) == 0
    assert cli.main(["check-gradients", "a.fastbp", "blobs"]) == 2
    assert "the model was not trained on blobs: it predicts 0, 1 ..." in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--eps", "10"], ["--eps", "1e-15"], ["--scheme", "forward", "--eps", "100"]])
def test_gradients_that_cannot_be_compared_are_exit_status_1(options, capsys):
    assert cli.main(["train", "iris", *SMALL, "--out", "iris.fastbp"]) == 0
    capsys.readouterr()
    assert cli.main(["check-gradients", "iris.fastbp", "iris", *options]) == 1
    assert capsys.readouterr().out.endswith("nothing could be compared\n")


@pytest.mark.parametrize("scheme", ["central", "forward"])
def test_wrong_gradients_are_exit_status_1(scheme, capsys, monkeypatch):
    assert cli.main(["train", "iris", *SMALL, "--out", "iris.fastbp"]) == 0
    right = fastbp.Network.value_and_grad

    def wrong(self, *arguments):
        loss, gradient = right(self, *arguments)
        gradient.biases[1][0] *= 1.01 if self.dtype == np.float32 else 1.0
        return loss, gradient

    monkeypatch.setattr(fastbp.Network, "value_and_grad", wrong)
    capsys.readouterr()
    assert cli.main(["check-gradients", "iris.fastbp", "iris", "--scheme", scheme]) == 1
    assert capsys.readouterr().out.endswith("gradients are WRONG\n")


BAD = {
    "no such dataset": (["train", "mnist"], "mnist is neither a dataset"),
    "no such file": (["train", "absent.csv"], "there is no file absent.csv"),
    "target of a named dataset": (["train", "iris", "--target", "x"], "--target and --task are for files"),
    "no such column": (["train", "good.csv", "--target", "y"], "no column 'y'"),
    "one class": (["train", "good.csv", "--target", "one"], "one class only"),
    "a class of one row": (["train", "good.csv", "--target", "rare"], "target: the class 'b' has one row only"),
    "more classes than held-out rows": (["train", "good.csv", "--target", "pair"], "40 rows are too few for 20 classes"),
    "no rows": (["train", "empty.csv"], "empty.csv has no rows"),
    "no table": (["predict", "table.fastbp", "good.txt"], "good.txt is no .csv, .parquet, .npz file"),
    "no rows to predict": (["predict", "table.fastbp", "empty.csv"], "empty.csv has no rows"),
    "text where training had numbers": (["predict", "table.fastbp", "words.csv"], "but row 2 holds 'big'"),
    "model without kinds": (["predict", "older.fastbp", "good.csv"], "which of its columns are numbers and which are text"),
    "wrong task": (["train", "good.csv", "--target", "text", "--task", "regression"], "holds strings"),
    "no epochs": (["train", "iris", "--epochs", "0"], "epochs must be at least 1"),
    "no rows in a batch": (["train", "iris", "--batch-size", "0"], "batch_size must be at least 1"),
    "negative rate": (["train", "iris", "--lr", "-1"], "learning_rate must be"),
    "empty layer": (["train", "iris", "--hidden", "3,0"], "sizes[2] must be at least 1"),
    "negative seed": (["train", "iris", "--seed", "-1"], "--seed"),
    "everything held out": (["train", "iris", "--validation-fraction", "1"], "validation_fraction"),
    "no directory": (["train", "iris", "--out", "absent/a.fastbp"], "there is no directory absent"),
    "divergence": (["train", "good.csv", "--target", "x", "--hidden", "8", "--optimizer", "sgd", "--lr", "1e30"], "diverged"),
    "no model": (["predict", "absent.fastbp", "good.csv"], "No such file"),
    "no model file": (["predict", "good.csv", "good.csv"], "is no fastbp model file"),
    "model without preprocessing": (["predict", "plain.fastbp", "good.csv"], "was not saved by 'fastbp train'"),
    "missing column": (["predict", "table.fastbp", "good.csv"], "has no column 'size'"),
    "other features": (["check-gradients", "table.fastbp", "iris"], "was not trained on iris"),
    "no samples": (["check-gradients", "table.fastbp", "good.csv", "--samples", "0"], "--samples must be at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case, tmp_path, capsys):
    arguments, message = BAD[case]
    n = np.arange(40)
    columns = {"x": n * 1.5, "one": 1, "text": [f"t{i % 2}" for i in n], "rare": ["a"] * 39 + ["b"], "pair": n // 2}
    pd.DataFrame(columns).to_csv("good.csv", index=False)
    fastbp.Network([3, 2], rng=0).save("plain.fastbp")
    extra = {
        "task": "regression",
        "feature_names": ["size"],
        "feature_kinds": ["number"],
        "target": "price",
        "target_names": ["price"],
        "target_scaling": {"mean": 0.0, "scale": 1.0},
        "preprocessor": {"numeric": [0], "mean": [0.0], "scale": [1.0], "categorical": [], "categories": []},
    }
    fastbp.Network([1, 1], rng=0).save("table.fastbp", extra)
    del extra["feature_kinds"]
    fastbp.Network([1, 1], rng=0).save("older.fastbp", extra)
    Path("empty.csv").write_text("size,y\n")
    Path("words.csv").write_text("size\n1.5\nbig\n")
    before = sorted(tmp_path.iterdir())
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith(f"fastbp {arguments[0]}: ")
    assert message in last
    assert "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["train"], ["train", "iris", "--hidden", "8,x"], ["train", "iris", "--optimizer", "x"]]
)
def test_bad_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: fastbp" in capsys.readouterr().err


def test_interrupt_is_no_traceback(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "open_source", interrupt)
    assert cli.main(["train", "iris"]) == 130


IMPORTING = """
import importlib.abc, signal, sys

class Interrupts(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numba":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.{handler})
sys.meta_path.insert(0, Interrupts())
from fastbp.__main__ import main
sys.argv = ["fastbp", "info"]
sys.exit(main())
"""


@pytest.mark.parametrize(("handler", "status"), [("default_int_handler", 130), ("SIG_IGN", 0)])
def test_ctrl_c_while_libraries_are_imported_is_no_traceback(handler, status):
    program = IMPORTING.format(handler=handler)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (status, "")
    assert bool(done.stdout) is (status == 0)


def test_interrupted_before_the_first_epoch_ends_it_saves_the_network_all_the_same(tmp_path, monkeypatch, capsys):
    fit = fastbp.Network.fit

    def interrupted(self, *arguments, **options):
        if "callbacks" in options:  # not the fit that compiles
            raise KeyboardInterrupt
        return fit(self, *arguments, **options)

    monkeypatch.setattr(fastbp.Network, "fit", interrupted)
    assert cli.main(["train", "iris", *SMALL, "--epochs", "9"]) == 130
    assert "interrupted after 0 of 9 epochs; saved what there is as iris.fastbp" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"iris.fastbp", "iris.history.json"}
    assert fastbp.load("iris.fastbp").sizes[0] == 4


def test_trains_in_a_thread_that_may_not_handle_signals():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cli.main, ["train", "iris", *SMALL]).result() == 0


def test_compiling_is_said(monkeypatch, capsys):
    assert cli.main(["train", "iris", *SMALL]) == 0
    assert "compiling" not in capsys.readouterr().err
    monkeypatch.setattr(train_command, "sizes_of_kernels", list)
    assert cli.main(["train", "iris", *SMALL]) == 0
    assert "compiling the kernels, once on this machine ..." in capsys.readouterr().err


@contextmanager
def ended(epoch, number):
    """Trainings end after that epoch: by a signal, or, without, as if the process were killed."""
    keep = Checkpoint.__call__

    def end(self, now, net, history, moment):
        keep(self, now, net, history, moment)
        if now == epoch and number is None:
            raise SystemExit
        if now == epoch:
            os.kill(os.getpid(), number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "__call__", end)
        patch.setattr(train_command, "SECONDS_OF_CHECKPOINT", 0.0)
        yield


def kill(epoch, command):
    with ended(epoch, None), pytest.raises(SystemExit):
        cli.main(command)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_or_terminated_it_saves_what_there_is_and_goes_on(number, capsys):
    assert cli.main(["train", "diabetes", *SMALL, "--epochs", "9", "--out", "whole.fastbp"]) == 0
    before = signal.getsignal(signal.SIGTERM)
    command = ["train", "diabetes", *SMALL, "--epochs", "9", "--out", "a.fastbp"]
    with ended(4, number):
        assert cli.main(command) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    err = capsys.readouterr().err
    assert "interrupted after 5 of 9 epochs; saved what there is as a.fastbp and a.history.json" in err
    assert "The same command with --resume goes on from a.checkpoint" in err
    history = json.loads(Path("a.history.json").read_text())
    assert len(history["loss"]) == len(history["score"]) == 5
    assert history["stopped_by"] == "interrupt"
    assert fastbp.load("a.fastbp").sizes == (10, 8, 4, 1)
    assert read_header("a.fastbp")["extra"]["task"] == "regression"
    assert cli.main([*command, "--resume"]) == 0
    assert not Path("a.checkpoint").exists()
    np.testing.assert_array_equal(fastbp.load("a.fastbp").params, fastbp.load("whole.fastbp").params)
    one, other = (json.loads(Path(f"{name}.history.json").read_text()) for name in ("a", "whole"))
    assert one["loss"] == other["loss"]
    assert len(one["time"]) == 9


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_forgets_counts_after_the_next_epoch(number, monkeypatch):
    class Finalised:
        def __del__(self):
            signal.raise_signal(number)

    preprocessor = train_command.datasets.preprocessor
    monkeypatch.setattr(train_command.datasets, "preprocessor", lambda *data: (Finalised(), preprocessor(*data))[1])
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    assert cli.main(["train", "diabetes", *SMALL, "--epochs", "9", "--out", "a.fastbp"]) == 130
    assert len(json.loads(Path("a.history.json").read_text())["loss"]) == 1


def test_killed_it_goes_on_to_the_same_bits(capsys):
    command = ["train", "wine", *SMALL, "--epochs", "9"]
    kill(6, command)
    assert Path("wine.checkpoint").exists()
    assert not Path("wine.fastbp").exists()
    assert cli.main([*command, "--resume"]) == 0
    resumed = fastbp.load("wine.fastbp").params
    assert cli.main([*command, "--resume"]) == 0
    assert "nothing to go on from at wine.checkpoint: training begins" in capsys.readouterr().err
    np.testing.assert_array_equal(fastbp.load("wine.fastbp").params, resumed)


def test_a_training_that_did_not_end_is_told_of(capsys):
    kill(1, ["train", "wine", *SMALL])
    assert cli.main(["train", "wine", *SMALL, "--batch-size", "9", "--resume"]) == 2
    assert "resume is of a run with batch_size=32, not 9" in capsys.readouterr().err
    assert cli.main(["train", "wine", *SMALL]) == 0
    assert "wine.checkpoint is of a training that did not end" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.fastbp", "a.history.json", "a.loss.png", "a.checkpoint"])
def test_what_cannot_be_written_is_told_before_the_data_are_read(name, monkeypatch, capsys):
    monkeypatch.setattr(datasets, "open_source", None)
    Path(name).mkdir()
    assert cli.main(["train", "iris", "--out", "a.fastbp"]) == 2
    assert capsys.readouterr().err == f"fastbp train: --out: {name} cannot be written: Is a directory\n"


def test_info(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["fastbp"] == fastbp.__version__
    assert facts["numpy"] == np.__version__
    assert facts["cores"] >= 1
    assert facts["vector_bits"] in (128, 256, 512)
    assert facts["cpu"]
    for fact in ("numba", "cpu", "cache"):
        assert str(facts[fact]) in text


def test_info_without_a_cache(monkeypatch, capsys):
    monkeypatch.setenv("FASTBP_CACHE", "0")
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["cache"] is None
    assert facts["cached_kernels"] == 0


def test_python_m_fastbp():
    command = [sys.executable, "-m", "fastbp", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(fastbp.__file__).parents[1])
    assert done.stdout == f"fastbp {fastbp.__version__}\n"


def test_comparison_leaves_the_network_and_agrees():
    data = datasets.load("wine")
    X = datasets.preprocessor(data.X).transform(data.X)
    net = fastbp.Network([13, 8, 3], loss="cross_entropy", dtype="float64", rng=0)
    before = net.params.copy()
    result = compare(net, X, data.y, 32, "adam")
    assert np.array_equal(net.params, before)
    assert result.difference < 1e-12
    assert result.rows_per_second > 0
    assert (result.ratios > 0).all()


def test_no_speed_is_claimed_for_other_weights():
    wrong = Comparison(difference=0.5, rows_per_second=1e6, ratios=np.array([100.0]), steps=10)
    speed, against = dict(train_command._speed(wrong, 1000, 10**6)).values()
    assert speed == "1000.0 epochs/s, 1000.00 GFLOP/s"
    assert against.startswith("none claimed")
    assert "100" not in against
    assert train_command._speed(wrong._replace(difference=np.nan), 1000, 1)[1][1].startswith("none claimed")
    assert "100.0 x NumPy" in train_command._speed(wrong._replace(difference=1e-6), 1000, 1)[1][1]


def test_a_reader_that_has_had_enough_ends_a_command_in_silence():
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        done = subprocess.run([sys.executable, "-m", "fastbp", "info"], stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")
