"""Callbacks that tell other libraries what each epoch has come to, for `Network.fit`, `Trainer` and the estimators.

A network takes them as ``net.fit(X, y, callbacks=[...])``, a trainer alike, and an estimator, with scikit-learn 1.9, as
``model.set_callbacks(...).fit(X, y)``. What is told is `History.at`: losses and scores, learning rate, time, and norms, as far
as they were asked for. Steps are epochs, from 0.
"""

from __future__ import annotations

import weakref
from os import PathLike
from typing import TYPE_CHECKING, Any

from fastbp.extras import require

if TYPE_CHECKING:
    from types import TracebackType

    from fastbp.engine.history import History

FLUSH_SECONDS = 10  # until what was told is on disk


class _EveryEpoch:
    """A callback of a fit, and one of scikit-learn's tasks."""

    def __call__(self, epoch: int, net: Any, history: History) -> None:
        """Tell what an epoch has come to.

        Parameters
        ----------
        epoch : int
            From 0.
        net : Network
        history : History
            Up to this epoch.
        """
        self._tell(len(history.loss) - 1, history)

    def _tell(self, epoch: int, history: History) -> None:
        raise NotImplementedError

    # what scikit-learn calls, by its protocol

    def setup(self, estimator: Any, context: Any) -> None:
        """Refuse an `estimator` that keeps no history, as all but fastbp's; `context` is that of scikit-learn."""
        from fastbp.estimators import MLPClassifier, MLPRegressor

        if not isinstance(estimator, MLPClassifier | MLPRegressor):
            raise TypeError(
                f"{type(self).__name__} is for MLPClassifier and MLPRegressor of fastbp, which have a history of their epochs, got "
                f"{type(estimator).__name__}"
            )

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing; `estimator` and `context` are those of scikit-learn."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing; `estimator` and `context` are those of scikit-learn."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Tell what an epoch of `estimator` has come to, if that is what ends in `context`."""
        if context.task_name == "epoch":
            history = estimator.history_
            self._tell(len(history.loss) - 1, history)


class TensorBoard(_EveryEpoch):
    """Writes every epoch into a file of events, which TensorBoard shows while training goes on.

    By the writer of tensorboardX, or else that of PyTorch with TensorBoard.

    Parameters
    ----------
    log_dir : str or path
        A folder of the run's own, in the one that ``tensorboard --logdir`` is told.

    Raises
    ------
    ImportError
        Where there is no writer.
    TypeError
        If `log_dir` is no path.
    ValueError
        From a fit that goes on after `close`.

    Examples
    --------
    >>> import numpy as np, fastbp, tempfile
    >>> X, y = np.eye(4), np.arange(4)
    >>> net = fastbp.Network([4, 16, 4], loss="cross_entropy", rng=0)
    >>> with fastbp.callbacks.TensorBoard(tempfile.mkdtemp()) as board:
    ...     history = net.fit(X, y, epochs=5, callbacks=[board])
    """

    def __init__(self, log_dir: str | PathLike[str]) -> None:
        if not isinstance(log_dir, str | PathLike):
            raise TypeError(f"log_dir must be a str or a path, got {log_dir!r}")
        self._writer = _event_writer()(str(log_dir), flush_secs=FLUSH_SECONDS)
        self._end = weakref.finalize(self, self._writer.close)  # which the end of the process calls, too

    def _tell(self, epoch: int, history: History) -> None:
        if not self._end.alive:
            raise ValueError("TensorBoard is closed: make another one for another fit, or fit inside its block")
        for name, value in history.at(epoch).items():
            self._writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Write what is left, and close the file: at the latest when the process ends."""
        self._end()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def _event_writer() -> Any:
    """The class of the first library that is there; PyTorch's takes seconds to import."""
    try:
        return require("tensorboardX", "TensorBoard").SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            pass
        else:
            return SummaryWriter
        raise


class MLflow(_EveryEpoch):
    """Logs every epoch as metrics of an MLflow run.

    Parameters
    ----------
    run_id : str, optional
        By default the active run; where there is none, MLflow begins one.

    Raises
    ------
    ImportError
        Without MLflow, of which mlflow-skinny is enough.

    Examples
    --------
    >>> import mlflow, numpy as np, fastbp
    >>> X, y = np.eye(4), np.arange(4)
    >>> net = fastbp.Network([4, 16, 4], loss="cross_entropy", rng=0)
    >>> with mlflow.start_run():
    ...     history = net.fit(X, y, epochs=5, callbacks=[fastbp.callbacks.MLflow()])
    """

    def __init__(self, run_id: str | None = None) -> None:
        self._mlflow, self._run_id = require("mlflow", "MLflow"), run_id

    def _tell(self, epoch: int, history: History) -> None:
        self._mlflow.log_metrics(history.at(epoch), step=epoch, run_id=self._run_id)


class OptunaPruning(_EveryEpoch):
    """Reports every epoch to a trial of Optuna, and ends the fit where its pruner wants that.

    The fit then raises `optuna.TrialPruned`, which the study catches; the network has the parameters after that epoch.

    Parameters
    ----------
    trial : optuna.trial.Trial
    monitor : str, default "validation_loss"
        What is reported: an item of `History.at`. The study must be made with the direction that is better.

    Raises
    ------
    ImportError
        Without Optuna.
    ValueError
        Where the fit does not record `monitor`.
    TypeError
        If `trial` is none.

    Notes
    -----
    Optuna takes one number for each step of a trial. Of several fits in one, as of cross-validation, only the first would be
    judged, and each of the others would be a warning for every epoch: prune by one fit, or report the mean of all yourself.

    Examples
    --------
    >>> import numpy as np, fastbp, optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> X, y = np.eye(4), np.arange(4)
    >>> def objective(trial):
    ...     rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    ...     net = fastbp.Network([4, 8, 4], loss="cross_entropy", rng=0)
    ...     prune = fastbp.callbacks.OptunaPruning(trial, monitor="loss")
    ...     return net.fit(X, y, epochs=20, optimizer=fastbp.Adam(rate), callbacks=[prune]).loss[-1]
    >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> study.optimize(objective, n_trials=10)
    >>> len(study.trials)
    10
    """

    def __init__(self, trial: Any, monitor: str = "validation_loss") -> None:
        self._optuna, self._trial, self._monitor = require("optuna", "OptunaPruning"), trial, monitor
        if not (hasattr(trial, "report") and hasattr(trial, "should_prune")):
            raise TypeError(f"trial must be a trial of Optuna, as an objective is given it, got {trial!r}")

    def _tell(self, epoch: int, history: History) -> None:
        found = history.at(epoch)
        if self._monitor not in found:
            raise ValueError(f"monitor must be something that this fit records, {', '.join(found)}, got {self._monitor!r}")
        self._trial.report(found[self._monitor], epoch)
        if self._trial.should_prune():
            raise self._optuna.TrialPruned(f"pruned after epoch {epoch}, with {self._monitor} {found[self._monitor]:.6g}")
