"""Watches the epochs of a run of training: fills its history, calls its callbacks, and decides whether to stop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import numpy as np

from fastbp.arguments import boolean
from fastbp.engine import metrics
from fastbp.engine.held_out import HeldOut, Judge
from fastbp.engine.history import History
from fastbp.engine.run_state import Moment
from fastbp.engine.supervisor import Stopping
from fastbp.engine.training_session import TrainingSession
from fastbp.extras import require
from fastbp.streams import Source

if TYPE_CHECKING:
    from fastbp.engine.minimize.run import Iterations


@dataclass
class Watch:
    """Looks at the epochs of a run, one after the other."""

    session: "TrainingSession | Iterations"  # ready to train
    loss_rule: Stopping | None  # which the kernel follows
    gradient_tol: float | None
    held_out: HeldOut | Source | None  # a source is being read
    held_out_rule: Stopping | None  # by their loss; the best parameters are kept
    scored: Any  # targets of the training samples, if their score is recorded
    n_threads: int | None  # for evaluations
    record_norms: bool
    callbacks: tuple[Callable[..., Any], ...]
    bar: Any  # of tqdm, or None
    last: int  # epoch that the run ends before
    state: Callable[["Watch"], dict[str, Any]]  # of the run; see `Moment`
    history: History = field(default_factory=History)  # of the epochs before, where a run is resumed
    best: Any = None  # the best parameters so far

    def __post_init__(self) -> None:
        self.net, before = self.session.net, self.history.time[-1] if self.history.time else 0.0
        self.begin, self.first = perf_counter() - before, self.session.epoch - len(self.history.loss)
        # those that keep states come last: they see whether another one has ended the run
        self.callbacks = tuple(sorted(self.callbacks, key=takes_moment))
        self._keep = tuple(map(takes_moment, self.callbacks))
        self.session.set_stop(self.loss_rule)
        self.outputs = self.judge = None
        if self.scored is not None:
            self.outputs = np.full((len(self.scored), self.net.sizes[-1]), np.nan, self.net.dtype)
            self.session.set_outputs(self.outputs)
        if self.held_out is not None:
            self.judge = Judge(self.net, self.held_out, self.n_threads)

    now = staticmethod(perf_counter)  # the clock of the times that `after` is given

    def is_needed_every_epoch(self) -> bool:
        """Whether anything has to be looked at, or to be done, between two epochs."""
        return bool(self.held_out is not None or self.gradient_tol is not None or self.scored is not None or self.callbacks)

    def after(self, first: int, last: int, times: list[float]) -> bool:
        """Take over the epochs that a call has completed, one if `is_needed_every_epoch`; True to stop."""
        history = self.history
        judged = None if self.judge is None else self.judge.measure()  # may fail, before anything is taken over
        self._take(first, last, times)
        if self.outputs is not None:
            history.score.append(self._score_of_epoch(self.outputs))
        if judged is not None:
            loss, score = judged
            history.validation_loss.append(loss)
            history.validation_score.append(score)
        history.stopped_by = self._reason(last)
        for callback, keeps in zip(self.callbacks, self._keep, strict=True):
            is_end = history.stopped_by is not None or last == self.last
            moment = [Moment(partial(self.state, self), is_end)] if keeps else []
            if callback(first, self.net, history, *moment) is True and history.stopped_by is None:
                history.stopped_by = "callback"
        if self.bar is not None:
            self.bar.set_postfix(self._summary(), refresh=False)
            self.bar.update(last - first)
        return history.stopped_by is not None

    def _take(self, first: int, last: int, times: list[float]) -> None:
        """Take over what the kernel has recorded."""
        history = self.history
        losses, rates = self.session.losses_and_rates(first, last)
        history.loss += losses
        history.learning_rate += rates
        history.time += [time - self.begin for time in times]
        if self.record_norms:
            of_weights, of_gradients = self.session.norms(first, last)
            history.weight_norms += of_weights[:, ::2].tolist()
            history.gradient_norms += of_gradients[:, ::2].tolist()

    def _score(self, outputs: Any, targets: Any) -> float:
        return metrics.score(self.net.loss_function.task, outputs, targets)

    def _score_of_epoch(self, outputs: Any) -> float:
        """Score of the training samples that were visited."""
        visited = ~np.isnan(outputs[:, 0])
        score = self._score(outputs, self.scored) if visited.all() else self._score(outputs[visited], self.scored[visited])
        outputs[:, 0] = np.nan
        return score

    def _reason(self, last: int) -> str | None:
        if self.held_out_rule is not None and self.held_out_rule.follow(self.history.validation_loss[-1]):
            self.best = self.net.params.copy()
        if self.gradient_tol is not None and sum(self.session.norms(last - 1, last)[1][0].tolist()) <= self.gradient_tol:
            return "gradient_tol"
        if self.loss_rule is not None:
            self.loss_rule.best, self.loss_rule.waited = self.session.stop_state()
            if self.loss_rule.is_over():
                return "tol"
        if self.held_out_rule is not None and self.held_out_rule.is_over():
            return "patience"
        return None

    def _summary(self) -> dict[str, str]:
        """What the progress bar shows."""
        shown = {"loss": self.history.loss, "score": self.history.score}
        shown |= {"validation loss": self.history.validation_loss, "validation score": self.history.validation_score}
        return {name: f"{values[-1]:.4g}" for name, values in shown.items() if values}

    def rules(self) -> dict[str, Any]:
        """What the rules of stopping know, as `run_state.checked` takes it."""
        both = {"stop": self.loss_rule, "patience": self.held_out_rule}
        found = {name: None if rule is None else [rule.best, int(rule.waited)] for name, rule in both.items()}
        return found | {"best": None if self.best is None else self.best.copy()}

    def end_by(self, error: BaseException, last: int) -> None:
        """What an exception that ends a run leaves: it carries the history, and after Ctrl-C the best parameters are back.

        The history is that up to an epoch that is complete, whatever has been taken over of it.
        """
        history = error.history = self.history  # type: ignore[attr-defined]
        history.even()
        known = self.first + len(history.loss)
        if known < last and not self.is_needed_every_epoch():
            self._take(known, last, [perf_counter()] * (last - known))
        if isinstance(error, KeyboardInterrupt):
            history.stopped_by = history.stopped_by or "interrupt"
            self.restore_best()

    def restore_best(self) -> None:
        """Give the network the parameters of the best validation loss, if a rule looks at that."""
        if self.best is not None:
            self.net.params[:] = self.best

    def close(self) -> None:
        """End the progress bar, and let the threads of evaluations go."""
        if self.judge is not None:
            self.judge.close()
        if self.bar is not None:
            self.bar.close()


def bar_of(epochs: int, done: int) -> Any:
    """A progress bar for so many epochs: a widget in notebooks where ipywidgets is there, else text."""
    with catch_warnings():
        simplefilter("ignore", require("tqdm", "progress=True").TqdmWarning)  # of a notebook without ipywidgets
        from tqdm.auto import tqdm

    return tqdm(total=epochs, initial=done, unit="epoch")


def wants_bar(value: Any, name: str = "progress") -> bool:
    """Whether a progress bar is asked for by the argument `name`, after a check that there is one to be had."""
    if boolean(name, value):
        require("tqdm", f"{name}=True")
    return bool(value)


def takes_moment(callback: Any) -> bool:
    """Whether a callback is to be given a `Moment`, too."""
    return bool(getattr(callback, "takes_moment", False))
