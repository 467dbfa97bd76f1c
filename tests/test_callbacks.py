"""Other libraries are told what the history holds, by each way to train, and a pruned fit leaves everything usable."""

import doctest
import struct
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

import fastbp
from fastbp import MLPClassifier, Network, callbacks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
VALIDATION = X[:10], Y[:10]


class Recorder(callbacks._EveryEpoch):
    def __init__(self):
        self.told = []

    def _tell(self, epoch, history):
        self.told.append((epoch, history.at(epoch)))


def small():
    return Network([3, 4, 2], loss="cross_entropy", rng=0)


def estimator(callback, solver="adam"):
    pytest.importorskip("sklearn.callback")
    return MLPClassifier((4,), max_iter=4, tol=1e-12, solver=solver, random_state=0).set_callbacks(callback)


def by_fit(callback):
    return small().fit(X, Y, epochs=4, callbacks=[callback], validation_data=VALIDATION, record_norms=True)


def by_trainer(callback):
    return small().trainer(callbacks=[callback]).run(X, Y, 4, validation_data=VALIDATION)


def by_minimizer(callback):
    return small().fit(X, Y, epochs=4, optimizer="lbfgs", callbacks=[callback], validation_data=VALIDATION)


def by_estimator(solver):
    def fit(callback):
        return estimator(callback, solver).fit(X, Y, X_val=X[:10], y_val=Y[:10]).history_

    return fit


WAYS = {"fit": by_fit, "trainer": by_trainer, "minimizer": by_minimizer}
WAYS |= {f"estimator, {solver}": by_estimator(solver) for solver in ("adam", "lbfgs")}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("way", WAYS)
def test_each_epoch_is_told_once(way):
    recorder = Recorder()
    history = WAYS[way](recorder)
    assert recorder.told == [(epoch, history.at(epoch)) for epoch in range(len(history.loss))]
    assert len(recorder.told) == 4
    assert {"loss", "validation_loss"} <= recorder.told[0][1].keys()


# --- TensorBoard -------------------------------------------------------------------------------------------------------------


def events(folder):
    """{(name, step): number} of all files of events of a folder."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event, data = Event.FromString(data[12 : 12 + length]), data[16 + length :]
            found |= {(each.tag, event.step): each.simple_value for each in event.summary.value}
    return found


def expected(history):
    return {(name, epoch): value for epoch in range(len(history.loss)) for name, value in history.at(epoch).items()}


@pytest.mark.parametrize("way", ["fit", "estimator, adam"])
def test_tensorboard_reads_what_the_history_holds(way, tmp_path):
    pytest.importorskip("tensorboardX")
    with callbacks.TensorBoard(tmp_path / "run") as board:
        history = WAYS[way](board)
    assert events(tmp_path / "run") == {key: pytest.approx(value, rel=1e-6) for key, value in expected(history).items()}
    assert ("gradient_norm_2", 3) in events(tmp_path / "run") or way != "fit"


def test_nothing_is_lost_where_nobody_closes(tmp_path):
    pytest.importorskip("tensorboardX")
    code = (
        "import sys, fastbp\n"
        "board = fastbp.callbacks.TensorBoard(sys.argv[1])\n"
        "for epoch in range(30):\n"
        "    board(epoch, None, fastbp.History(loss=[1.0] * (epoch + 1)))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert events(tmp_path).keys() == {("loss", epoch) for epoch in range(30)}


def test_a_board_that_is_closed_says_so(tmp_path):
    """Its writer would lose what it is told, and fail when the process ends."""
    pytest.importorskip("tensorboardX")
    with callbacks.TensorBoard(tmp_path / "run") as board:
        by_fit(board)
    with pytest.raises(ValueError, match="TensorBoard is closed: make another one"):
        by_fit(board)


@pytest.mark.parametrize("folder", [None, 3, b"run"])
def test_a_folder_that_is_no_path_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match="log_dir must be a str or a path"):
        callbacks.TensorBoard(folder)
    assert not list(tmp_path.iterdir())


def test_estimators_without_a_history_are_refused():
    pytest.importorskip("sklearn.callback")
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(TypeError, match=r"Recorder is for MLPClassifier and MLPRegressor of fastbp, .* got LogisticRegression"):
        LogisticRegression().set_callbacks(Recorder()).fit(X, Y)


class Writer:
    def __init__(self, log_dir, flush_secs):
        self.log_dir, self.scalars, self.closed = log_dir, [], False

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def close(self):
        self.closed = True


def test_the_writer_of_torch_is_taken_where_there_is_no_other(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    for name in ("torch", "torch.utils", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["torch.utils.tensorboard"].SummaryWriter = Writer
    board = callbacks.TensorBoard("run")
    by_fit(board)
    board.close()
    assert board._writer.closed
    assert board._writer.log_dir == "run"
    assert len(board._writer.scalars) == 4 * 9


# --- MLflow ------------------------------------------------------------------------------------------------------------------


def test_mlflow_keeps_what_the_history_holds(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path}")
    mlflow.set_experiment("of a test")
    with mlflow.start_run() as run:
        history = by_fit(callbacks.MLflow())
    again = by_fit(callbacks.MLflow(run.info.run_id))
    assert mlflow.active_run() is None
    kept = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in kept] == list(enumerate(history.loss)) + list(enumerate(again.loss))


def test_mlflow_is_given_the_run(monkeypatch):
    calls = []
    library = ModuleType("mlflow")
    library.log_metrics = lambda metrics, **options: calls.append((metrics, options))
    monkeypatch.setitem(sys.modules, "mlflow", library)
    history = by_fit(callbacks.MLflow("a run"))
    assert calls == [(history.at(epoch), {"step": epoch, "run_id": "a run"}) for epoch in range(4)]


# --- Optuna ------------------------------------------------------------------------------------------------------------------


class Trial:
    """A trial whose pruner ends it after an epoch."""

    def __init__(self, last):
        self.last, self.reported = last, {}

    def report(self, value, step):
        self.reported[step] = value

    def should_prune(self):
        return max(self.reported) >= self.last


@pytest.mark.parametrize("way", WAYS)
def test_the_pruner_is_told_and_heeded(way):
    optuna = pytest.importorskip("optuna")
    trial = Trial(last=2)
    with pytest.raises(optuna.TrialPruned, match="pruned after epoch 2, with validation_loss"):
        WAYS[way](callbacks.OptunaPruning(trial))
    assert list(trial.reported) == [0, 1, 2]
    whole = Trial(last=99)
    history = WAYS[way](callbacks.OptunaPruning(whole))
    assert list(whole.reported.values()) == history.validation_loss
    assert trial.reported.items() <= whole.reported.items()


def test_a_pruned_network_has_its_parameters_and_its_history_and_goes_on():
    optuna = pytest.importorskip("optuna")
    net, reference = small(), small()
    pruning = callbacks.OptunaPruning(Trial(last=2), monitor="loss")
    trainer = net.trainer(optimizer="adam", callbacks=[pruning])
    with pytest.raises(optuna.TrialPruned) as caught:
        trainer.run(X, Y, 9)
    again = reference.trainer(optimizer="adam")
    expected = again.run(X, Y, 3)
    assert caught.value.history.loss == expected.loss
    np.testing.assert_array_equal(net.params, reference.params)
    pruning._trial.last = 99
    assert trainer.run(X, Y, 2).loss == again.run(X, Y, 2).loss
    np.testing.assert_array_equal(net.params, reference.params)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_pruned_estimator_can_be_fitted_again(solver):
    optuna = pytest.importorskip("optuna")
    model = estimator(callbacks.OptunaPruning(Trial(last=1), monitor="loss"), solver)
    with pytest.raises(optuna.TrialPruned):
        model.fit(X, Y)
    assert len(model.history_.loss) == 2
    assert model.set_callbacks().fit(X, Y).n_iter_ == 4


def test_a_study_prunes_what_is_hopeless():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):
        rate = trial.suggest_categorical("rate", [0.1, 1e-9])
        pruning = callbacks.OptunaPruning(trial)
        return small().fit(X, Y, optimizer=fastbp.Adam(rate), callbacks=[pruning], validation_data=VALIDATION).validation_loss[-1]

    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler({"rate": [0.1, 1e-9]}, seed=0),
        pruner=optuna.pruners.ThresholdPruner(upper=0.5, n_warmup_steps=8),
    )
    study.optimize(objective, n_trials=2)
    states = {trial.params["rate"]: trial.state.name for trial in study.trials}
    assert states == {0.1: "COMPLETE", 1e-9: "PRUNED"}


def test_what_is_not_recorded_cannot_be_monitored():
    pytest.importorskip("optuna")
    with pytest.raises(
        ValueError, match="monitor must be something that this fit records, loss, learning_rate, time, got 'accuracy'"
    ):
        small().fit(X, Y, callbacks=[callbacks.OptunaPruning(Trial(9), "accuracy")])


def test_what_is_no_trial_is_refused():
    pytest.importorskip("optuna")
    with pytest.raises(TypeError, match="trial must be a trial of Optuna, as an objective is given it, got 3"):
        callbacks.OptunaPruning(3)


@pytest.mark.parametrize("name", ["TensorBoard", "OptunaPruning"])
def test_examples_are_right(name):
    pytest.importorskip({"TensorBoard": "tensorboardX", "OptunaPruning": "optuna"}[name])
    for example in doctest.DocTestFinder().find(getattr(callbacks, name), name):
        assert doctest.DocTestRunner().run(example).failed == 0
