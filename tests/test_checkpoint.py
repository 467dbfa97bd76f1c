"""`Checkpoint` and `resume`: whatever ends a run, another process goes on from its last file to the same bits."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from conftest import make_net, make_samples, make_targets

import fastbp
from fastbp import Adam, Checkpoint, Momentum, Network
from fastbp.engine import run_state
from fastbp.files import checkpoint, model_file, tree

N = 60
SIZES = (4, 20, 3)
X, Y = make_samples(N, 4), make_targets("squared", N, 3)
OPTIONS = {
    "plain": {},
    "momentum": {"optimizer": Momentum(0.05), "shuffle": "replacement", "l2": 0.3},
    "narrow": {"optimizer": Adam(0.01)},
    "patience": {"validation_fraction": 0.25, "patience": 3, "optimizer": Adam(0.3), "record_score": True},
    "tol": {"tol": 1e-2, "n_iter_no_change": 2, "optimizer": Adam(0.02)},
    "schedule": {"schedule": "cosine", "dropout": 0.2, "optimizer": Adam(0.02), "record_norms": True},
    "order": {"order": np.random.default_rng(0).integers(N, size=(9, 40))},
    "weights": {"sample_weight": np.linspace(0, 2, N), "validation_data": (X[:9], Y[:9], np.arange(9)), "patience": 2},
    "one cycle": {"schedule": "one_cycle", "optimizer": Adam(0.02), "clip_norm": 0.5, "gradient_tol": 1e-3},
}


def network(name):
    return make_net((4, 7, 3) if name == "narrow" else SIZES)


def told(history):
    return {name: value for name, value in history.to_dict().items() if name != "time"}


class Stop:
    """Ends the process, as far as a callback can."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, epoch, net, history):
        if epoch == self.epoch:
            raise RuntimeError("killed")


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_goes_on_to_the_same_bits(name, every, tmp_path):
    options = {"epochs": 9, "batch_size": 7} | OPTIONS[name]
    whole = network(name)
    expected = whole.fit(X, Y, rng=3, **options)
    for killed in range(len(expected.loss)):
        path = tmp_path / f"{killed}.fastbp"
        with pytest.raises(RuntimeError, match="killed"):
            network(name).fit(X, Y, rng=3, callbacks=[Stop(killed), Checkpoint(path, every)], resume=path, **options)
        assert path.exists() == (killed >= every)
        net = network(name)
        if path.exists():
            net.params[:] = 7  # all that counts is in the file
        history = net.fit(X, Y, rng=None if path.exists() else 3, callbacks=[Checkpoint(path, every)], resume=path, **options)
        np.testing.assert_array_equal(net.params, whole.params)
        np.testing.assert_equal(told(history), told(expected))
        assert np.all(np.diff(history.time) >= 0)
        if "patience" not in options:  # which ends with the parameters of another epoch
            np.testing.assert_array_equal(fastbp.load(path).params, net.params)


@pytest.mark.parametrize("name", ["plain", "patience"])
def test_what_is_complete_is_given_at_once(name, tmp_path):
    path, net = tmp_path / "a.fastbp", network(name)
    expected = net.fit(X, Y, epochs=20, callbacks=[Checkpoint(path, every=100)], **OPTIONS[name])
    other, calls = network(name), []
    options = {"callbacks": [lambda *_: calls.append(1), Checkpoint(path)]} | OPTIONS[name]
    assert other.fit(X, Y, epochs=20, resume=path, **options).to_dict() == expected.to_dict()
    np.testing.assert_array_equal(other.params, net.params)
    assert not calls


def test_more_epochs_may_be_asked_for(tmp_path):
    path, whole, net = tmp_path / "a.fastbp", network(""), network("")
    whole.fit(X, Y, epochs=9, rng=0)
    net.fit(X, Y, epochs=4, rng=0, callbacks=[Checkpoint(path)])
    assert len(net.fit(X, Y, epochs=9, resume=path).loss) == 9
    np.testing.assert_array_equal(net.params, whole.params)


def test_trainers_go_on_too(tmp_path):
    path, net = tmp_path / "a.fastbp", network("")
    trainer = net.trainer(callbacks=[Checkpoint(path)], rng=0)
    trainer.step(X[:5], Y[:5])
    trainer.run(X, Y, 3)
    other = network("").trainer(callbacks=[])
    assert other.run(X, Y, 3, resume=checkpoint.read_run(path, net._settings())).loss
    for each in (trainer, other):
        each.run(X, Y, 2)
    np.testing.assert_array_equal(other.net.params, net.params)


def test_the_last_files_are_kept(tmp_path):
    path = tmp_path / "a.fastbp"
    network("").fit(X, Y, epochs=7, callbacks=[Checkpoint(path, every=2, keep=3)])
    names = [path, f"{path}.1", f"{path}.2"]
    assert sorted(map(str, tmp_path.iterdir())) == sorted(map(str, names))
    assert [len(checkpoint.read_run(name, network("")._settings())["run"]["history"]["loss"]) for name in names] == [7, 6, 4]


def test_seconds_from_one_to_the_next(tmp_path, monkeypatch):
    now, epochs = [0.0], []
    monkeypatch.setattr(checkpoint, "monotonic", lambda: now[0])
    keep = Checkpoint(tmp_path / "a.fastbp", seconds=10)
    write = model_file.write
    monkeypatch.setattr(model_file, "write", lambda *args, run: (epochs.append(run["trainer"]["epochs"]), write(*args, run=run)))
    network("").fit(X, Y, epochs=12, callbacks=[lambda *_: now.__setitem__(0, now[0] + 3), keep])
    assert epochs == [4, 8, 12]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l2": 1.0}, r"resume is of a run with l2=0.0, not 1.0: give it the same options"),
        ({"batch_size": 9}, "batch_size=7, not 9"),
        ({"optimizer": "adam"}, r"optimizer=SGD\(.*, not Adam"),
        ({"dropout": 0.1}, "regularization="),
        ({"schedule": "cosine"}, "schedule="),
        ({"sample_weight": np.ones(N)}, "resume is of a run on other data"),
        ({"X": X + 1e-9}, "resume is of a run on other data"),
        ({"y": Y[::-1]}, "resume is of a run on other data"),
        ({"validation_data": (X, Y)}, "resume is of a run on other data"),
        ({"order": np.arange(N)}, "resume is of a run on other data"),
    ],
)
def test_other_options_and_data_are_refused(options, message, tmp_path):
    path = tmp_path / "a.fastbp"
    network("").fit(X, Y, epochs=2, batch_size=7, callbacks=[Checkpoint(path)])
    net = network("")
    before = net.params.copy()
    with pytest.raises(ValueError, match=message):
        net.fit(**{"X": X, "y": Y, "epochs": 4, "batch_size": 7, "resume": path} | options)
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (make_net((4, 21, 3)), r"has sizes=\[4, 20, 3\], not \[4, 21, 3\]"),
        (make_net(SIZES, dtype="float32"), "has dtype=float64, not float32"),
        (make_net(SIZES, "relu"), "has hidden="),
        (make_net(SIZES, loss="huber"), "has loss="),
    ],
)
def test_another_network_is_refused(other, message, tmp_path):
    path = tmp_path / "a.fastbp"
    network("").fit(X, Y, epochs=1, callbacks=[Checkpoint(path)])
    with pytest.raises(ValueError, match=message):
        other.fit(X, Y, resume=path)


def test_a_file_that_is_not_there_or_holds_no_run(tmp_path):
    net, path = network(""), tmp_path / "a.fastbp"
    with pytest.raises(FileNotFoundError, match=r"a\.fastbp"):
        net.fit(X, Y, resume=path)
    with pytest.raises(FileNotFoundError, match=r"a\.fastbp"):
        net.fit(X, Y, resume=path, callbacks=[Checkpoint(tmp_path / "b.fastbp")])
    net.save(path)
    with pytest.raises(ValueError, match="is a model, and no run to go on with"):
        net.fit(X, Y, resume=path)


def test_what_cannot_be_written_is_told_before_anything(tmp_path):
    with pytest.raises(FileNotFoundError):
        Checkpoint(tmp_path / "nowhere" / "a.fastbp")
    with pytest.raises(IsADirectoryError):
        Checkpoint(tmp_path)
    with pytest.raises(TypeError, match="path must be a path"):
        Checkpoint(3)
    with pytest.raises(ValueError, match="keep must be at least 1"):
        Checkpoint(tmp_path / "a", keep=0)
    assert not list(tmp_path.iterdir())


DAMAGE = {
    "no run": lambda state: state.pop("run"),
    "history": lambda state: state["run"]["history"]["loss"].pop(),
    "no losses": lambda state: state["run"].__setitem__("history", {}),
    "rule": lambda state: state["run"].__setitem__("stop", ["x", 1]),
    "begun": lambda state: state["run"].__setitem__("begun", 1 << 60),
    "best": lambda state: state["run"].__setitem__("best", np.zeros(3)),
    "split": lambda state: state["run"].__setitem__("split", {"state": 1}),
    "options": lambda state: state["run"].__setitem__("options", None),
    "trainer": lambda state: state["trainer"].pop("slots"),
    "slots": lambda state: state["trainer"].__setitem__("slots", np.zeros((2, 2))),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_state_that_is_none_changes_nothing(name):
    class Keep:
        takes_moment = True

        def __call__(self, epoch, net, history, moment):
            self.state = moment.state()

    keep, net = Keep(), network("")
    net.trainer(callbacks=[keep], validation_fraction=0.2, tol=0.1).run(X, Y, 3)
    DAMAGE[name](keep.state)
    other = network("").trainer(validation_fraction=0.2, tol=0.1)
    before = other.state()["params"].copy()
    with pytest.raises((ValueError, TypeError)):
        other.run(X, Y, 5, resume=keep.state)
    np.testing.assert_array_equal(other.net.params, before)


def test_trees_keep_what_json_does_not_know():
    value = {
        "a": [1, 2.5, None, "x", True, {"b": float("inf"), "c": float("-inf")}],
        "d": np.arange(6.0).reshape(2, 3),
        "e": np.int64(3),
    }
    value |= {"f": np.zeros((0, 2), np.float32), "g": (1 << 127) + 1}
    arrays = [np.zeros(1)]
    json = tree.without_arrays(value, arrays)
    found = tree.with_arrays(json, arrays)
    np.testing.assert_equal(found, value)
    assert [shape for _, shape in tree.kinds(json)] == [(2, 3), (0, 2)]
    assert np.isnan(tree.with_arrays(tree.without_arrays(float("nan"), []), []))
    for wrong in (object(), np.zeros(2, object), np.zeros(2, complex)):
        with pytest.raises(TypeError, match="cannot be kept"):
            tree.without_arrays([wrong], arrays)


@pytest.mark.parametrize("shape", [[-1], ["x"], None, [1.5], [1 << 60]])
def test_shapes_of_arrays_in_a_file(shape):
    with pytest.raises(ValueError, match="no array has the shape"):
        tree.kinds([{tree.ARRAY: 1, "dtype": "<f8", "shape": shape}])
    with pytest.raises(ValueError, match="not numbered"):
        tree.kinds([{tree.ARRAY: 2, "dtype": "<f8", "shape": [1]}])


def test_fingerprints_tell_arrays_apart():
    a = np.arange(6.0)
    parts = [[a], [a.reshape(2, 3)], [a.astype("f")], [a, None], [None, a], [a[::-1]], [a[:5]], [], [a[::2]]]
    assert len({run_state.fingerprint(each) for each in parts}) == len(parts)
    assert run_state.fingerprint([a[::2]]) == run_state.fingerprint([a[::2].copy()])


def _train(path):
    net = Network([4, 30, 3], dtype="float64", rng=0)
    net.fit(X, Y, epochs=40_000, callbacks=[Checkpoint(path, every=3)], resume=path, rng=0, optimizer="adam", record_score=True)


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_process_that_is_killed_loses_nothing(tmp_path):
    """Killed and begun again, five times; tests/reliability/resume.py does it more often."""
    path = tmp_path / "a.fastbp"
    context = multiprocessing.get_context("fork")
    done = 0
    for _ in range(5):
        process = context.Process(target=_train, args=(path,))
        process.start()
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if path.exists():
            done = len(checkpoint.read_run(path, Network([4, 30, 3], dtype="float64")._settings())["run"]["history"]["loss"])
    assert done > 10
    net, whole = (Network([4, 30, 3], dtype="float64", rng=0) for _ in range(2))
    options = {"epochs": done + 5, "optimizer": "adam", "record_score": True}
    history = net.fit(X, Y, resume=path, **options)
    expected = whole.fit(X, Y, rng=0, **options)
    np.testing.assert_array_equal(net.params, whole.params)
    assert told(history) == told(expected)
