"""Mini-batch training on partitions: rounds of local epochs and averages, or of steps that all partitions make together."""

from time import perf_counter
from typing import Any

import numpy as np

from fastbp.dask import _steps
from fastbp.dask._graph import results, shared, task, total, tree
from fastbp.engine.rule import RunningRule
from fastbp.engine.supervisor import DivergenceError
from fastbp.engine.training_session import full_hyper
from fastbp.estimators._parameters import schedule, update_rule
from fastbp.estimators._stochastic import StochasticFit, clipped_batch_size

STEPS_TOGETHER = 32  # of one graph


def prepare_rounds(estimator, net, data, held_out, rng, tasks, extra):
    """The function that trains by mini-batches, and sets the attributes of the estimator."""
    rule = update_rule(estimator)
    is_local = estimator.updates == "local"
    how = _steps.How(
        rule=rule,
        batch_size=clipped_batch_size(estimator.batch_size, len(data)),
        shuffle=estimator.shuffle,
        alpha=0.0 if rule.decays else float(estimator.alpha),
        extra=extra,
        seed=int(rng.randint(np.iinfo(np.int64).max, dtype=np.int64)),
        epochs=estimator.local_epochs if is_local else 1,
    )

    def train():
        estimator._optimizer = RunningRule(rule)
        rounds = (LocalEpochs if is_local else CommonSteps)(net, data, how)
        try:
            PartitionedFit(estimator, net, rounds, data, held_out, tasks).run()
        finally:
            estimator._optimizer.load(rounds.kept())
            if held_out is not None:
                held_out.close()

    return train


def check_synchronous(estimator):
    """Raise for parameters that only local epochs give a meaning."""
    for name in ("dropout", "input_dropout"):
        if np.any(getattr(estimator, name)):
            raise ValueError(f"{name}={getattr(estimator, name)!r} needs updates='local'")
    if estimator.local_epochs != 1:
        raise ValueError(f"local_epochs={estimator.local_epochs} needs updates='local'")


class Rounds:
    """What `StochasticFit` asks of a session, for rounds: epochs of all partitions.

    Parameters
    ----------
    net : Network
        It has the parameters after the last round.
    data : Partitions
    how : How
    """

    def __init__(self, net: Any, data: Any, how: _steps.How) -> None:
        self.net, self.how, self.extra = net, how, how.extra
        self.parts, self.weights, self.n_rows = data.parts, data.weights, len(data)
        self.rates, self.epoch = np.empty((1, 1)), 0
        self._n_rounds, self._loss, self._stop = 0, np.nan, None
        self._shared = shared(how)
        self._kept = full_hyper(how.rule), np.zeros((how.rule.slots, net._vector.size), net.dtype)

    def begin(self) -> None:
        """The next round is the first of another call."""
        self.epoch = 0

    def round(self) -> None:
        """A round, at the rate that is set; where it diverges nothing is changed."""
        rate = float(self.rates[0, 0])
        loss, theta = self._after_round(rate)
        if not (np.isfinite(loss) and np.isfinite(theta).all()):
            raise DivergenceError(self._n_rounds, rate)
        self.net._vector[:] = theta
        self._loss = float(loss)
        self.epoch += 1
        self._n_rounds += 1
        if self._stop is not None:
            self._stop.follow(self._loss)

    def _after_round(self, rate: float) -> tuple[float, np.ndarray]:
        raise NotImplementedError

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """What the rule keeps from step to step, as `TrainingSession.rule_state` gives it."""
        return self._kept

    def set_stop(self, rule: Any) -> None:
        """The rule of stopping, if it is by the loss."""
        self._stop = rule

    def stop_state(self) -> tuple[float, int]:
        """Of that rule, now."""
        assert self._stop is not None
        return self._stop.best, self._stop.waited

    def losses_and_rates(self, first: int, last: int) -> tuple[list[float], list[float]]:
        """Of the last round."""
        return [self._loss], self.rates[0].tolist()

    def has_finite_parameters(self) -> bool:
        """Whoever wrote them."""
        return bool(np.isfinite(self.net._vector).all())


class LocalEpochs(Rounds):
    """Each partition trains by itself, from the same parameters; these are averaged by the weights of the partitions."""

    def _after_round(self, rate):
        theta, kept, first = shared(self.net._vector.copy()), shared(self._kept), self._n_rounds * self.how.epochs
        whole = sum(self.weights)
        each = [
            task(_steps.trained, part, theta, kept, self._shared, k, weight / whole, rate, first)
            for k, (part, weight) in enumerate(zip(self.parts, self.weights, strict=True))
        ]
        loss, theta, hyper, slots = total(each)
        if np.isfinite(loss):
            self._kept = hyper, slots.astype(self.net.dtype)
        return loss, theta.astype(self.net.dtype)


class CommonSteps(Rounds):
    """Mini-batches of rows from all partitions, whose gradients are summed before each step."""

    def __init__(self, net: Any, data: Any, how: _steps.How) -> None:
        super().__init__(net, data, how)
        self._steps = -(-self.n_rows // how.batch_size)
        self._settings = shared(net)

    def _after_round(self, rate):
        state = _steps.State(self.net._vector.copy(), self._kept)
        for first in range(0, self._steps, STEPS_TOGETHER):
            (state,) = results([self._chain(state, range(first, min(self._steps, first + STEPS_TOGETHER)), rate)])
        if state.rows and np.isfinite(state.loss):
            self._kept = state.kept
        return state.loss / max(state.rows, 1.0), state.theta

    def _chain(self, state, steps, rate):
        """The state after some steps, as a task."""
        state, more = shared(state), (self._n_rounds, self._steps)
        for step in steps:
            theta = task(_steps.theta_of, state)
            each = [
                task(_steps.share_of, part, theta, self._shared, k, more[0], step, more[1]) for k, part in enumerate(self.parts)
            ]
            state = task(_steps.stepped, state, tree(each), self._settings, self._shared, rate)
        return state


class PartitionedFit(StochasticFit):
    """One call of fit on partitions: what differs from that on arrays is who computes an epoch."""

    def __init__(self, estimator, net, rounds, data, held_out, tasks):
        self.estimator, self.net, self.session, self.data = estimator, net, rounds, data
        self.held_out, self.tasks, self.optimizer = held_out, tasks, estimator._optimizer
        self.rows_of_epoch = len(data) * rounds.how.epochs
        self.early_stopping, self.max_iter, self.incremental = estimator.early_stopping, estimator.max_iter, False
        self.together = self.steps = 1
        self.schedule = schedule(estimator)

    def _prepare(self):
        self._begin_rule()

    def _epochs(self, count):
        self.session.begin()
        self.count, self.taken = count, 0
        self._set_rates()
        self.tasks.begin_epoch()
        self.session.round()
        return self._after(0, 1, [perf_counter()])
