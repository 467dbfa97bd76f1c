"""What happens in a fit of a network: `History`, and who watches the epochs, fills it, and stops the fit."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from fastbp.engine import metrics
from fastbp.engine.evaluation import Evaluation
from fastbp.engine.supervisor import Stopping
from fastbp.engine.training_session import TrainingSession


@dataclass
class History:
    """What happened in a fit; one item an epoch in each list that was asked for.

    Attributes
    ----------
    loss : list of float
        Mean over the epoch's samples of the loss each mini-batch had before its step, penalty included.
    validation_loss, validation_score : list of float
        After the epoch, on the validation data.
    score : list of float
        On the training data during the epoch, with ``record_score=True``: of the outputs that each sample had when its mini-batch
        came, before the step. `Network.score` gives the score of parameters that stay.
    learning_rate : list of float
        At the beginning of the epoch.
    time : list of float
        Seconds since the fit began.
    weight_norms, gradient_norms : list of list of float
        Euclidean norm of each layer's weights after the epoch and of their gradient, as clipped, at its last step, with
        ``record_norms=True``.
    stopped_by : str or None
        "tol", "gradient_tol", "patience", "callback", or None if all epochs were run.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    time: list[float] = field(default_factory=list)
    weight_norms: list[list[float]] = field(default_factory=list)
    gradient_norms: list[list[float]] = field(default_factory=list)
    stopped_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The lists that were filled, and why the fit stopped."""
        return {name: value for name, value in vars(self).items() if value != []}

    def save(self, path: str | PathLike[str]) -> None:
        """Write `to_dict` as JSON to `path`."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")


@dataclass
class Watch:
    """Looks at the epochs of a fit: fills its history, calls its callbacks, and decides whether to stop."""

    session: TrainingSession  # ready to train
    loss_rule: Stopping | None  # which the kernel follows
    gradient_tol: float | None
    held_out: tuple[Any, Any] | None  # X, y to validate by
    held_out_rule: Stopping | None  # by their loss; the best parameters are kept
    scored: Any  # targets of the training samples, if their score is recorded
    n_threads: int | None  # for evaluations
    record_norms: bool
    callbacks: tuple[Callable[..., Any], ...]
    bar: Any  # of tqdm, or None

    def __post_init__(self) -> None:
        self.net, self.history, self.best, self.begin = self.session.net, History(), None, perf_counter()
        self.session.set_stop(self.loss_rule)
        self.outputs = self.evaluation = None
        if self.scored is not None:
            self.outputs = np.full((len(self.scored), self.net.sizes[-1]), np.nan, self.net.dtype)
            self.session.set_outputs(self.outputs)
        if self.held_out is not None:
            rows, targets = self.held_out
            values, labels = (None, targets) if targets.ndim == 1 else (targets, None)
            self.evaluation = Evaluation(self.net, rows, values, labels, n_threads=self.n_threads)

    def is_needed_every_epoch(self) -> bool:
        """Whether anything has to be looked at, or to be done, between two epochs."""
        return bool(self.held_out is not None or self.gradient_tol is not None or self.scored is not None or self.callbacks)

    def after(self, first: int, last: int, times: list[float]) -> bool:
        """Take over the epochs that a call has completed, one if `is_needed_every_epoch`; True to stop."""
        history = self.history
        losses, rates = self.session.losses_and_rates(first, last)
        history.loss += losses
        history.learning_rate += rates
        history.time += [time - self.begin for time in times]
        if self.record_norms:
            of_weights, of_gradients = self.session.norms(first, last)
            history.weight_norms += of_weights[:, ::2].tolist()
            history.gradient_norms += of_gradients[:, ::2].tolist()
        if self.outputs is not None:
            history.score.append(self._score_of_epoch(self.outputs))
        if self.evaluation is not None and self.held_out is not None:
            history.validation_loss.append(self.evaluation.loss())
            history.validation_score.append(self._score(self.evaluation.outputs, self.held_out[1]))
        history.stopped_by = self._reason(last)
        for callback in self.callbacks:
            if callback(first, self.net, history) is True and history.stopped_by is None:
                history.stopped_by = "callback"
        if self.bar is not None:
            self.bar.set_postfix(self._summary(), refresh=False)
            self.bar.update(last - first)
        return history.stopped_by is not None

    def _score(self, outputs: Any, targets: Any) -> float:
        return metrics.score(self.net.loss_function.task, outputs, targets)

    def _score_of_epoch(self, outputs: Any) -> float:
        """Score of the training samples that were visited."""
        visited = ~np.isnan(outputs[:, 0])
        score = self._score(outputs, self.scored) if visited.all() else self._score(outputs[visited], self.scored[visited])
        outputs[:, 0] = np.nan
        return score

    def _reason(self, last: int) -> str | None:
        if self.gradient_tol is not None and sum(self.session.norms(last - 1, last)[1][0].tolist()) <= self.gradient_tol:
            return "gradient_tol"
        if self.loss_rule is not None:
            self.loss_rule.best, self.loss_rule.waited = self.session.stop_state()
            if self.loss_rule.is_over():
                return "tol"
        if self.held_out_rule is not None:
            if self.held_out_rule.follow(self.history.validation_loss[-1]):
                self.best = self.net.params.copy()
            if self.held_out_rule.is_over():
                return "patience"
        return None

    def _summary(self) -> dict[str, str]:
        """What the progress bar shows."""
        shown = {"loss": self.history.loss, "score": self.history.score}
        shown |= {"validation loss": self.history.validation_loss, "validation score": self.history.validation_score}
        return {name: f"{values[-1]:.4g}" for name, values in shown.items() if values}

    def restore_best(self) -> None:
        """Give the network the parameters of the best validation loss, if a rule looks at that."""
        if self.best is not None:
            self.net.params[:] = self.best

    def close(self) -> None:
        """End the progress bar, and let the threads of evaluations go."""
        if self.evaluation is not None:
            self.evaluation.close()
        if self.bar is not None:
            self.bar.close()


def bar_of(epochs: int) -> Any:
    """A progress bar for so many epochs."""
    from tqdm.auto import tqdm

    return tqdm(total=epochs, unit="epoch")
