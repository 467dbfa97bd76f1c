"""Training by mini-batches: scikit-learn's order of random draws and rules of stopping, around kernel calls of many epochs."""

import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp.engine import sparsity
from fastbp.engine.evaluation import Evaluation
from fastbp.engine.regularization import drops_inputs
from fastbp.engine.rule import RunningRule
from fastbp.engine.session import rows_upto
from fastbp.engine.supervisor import OVERWRITTEN, DivergenceError, OverwrittenError, Stopping, Supervisor
from fastbp.estimators._checks import NOT_FINITE
from fastbp.estimators._orders import draw_orders, order_of_seed
from fastbp.estimators._parameters import schedule, update_rule
from fastbp.estimators._training_data import report

EPOCHS_TOGETHER = 64  # orders drawn for one call of the kernel
ORDER_NUMBERS = 1 << 18  # at most, in one call
HOPELESS = 1e6  # times the first loss, or 1 if that is more
ABSURD = 1e100  # a loss
LARGE = 1e4  # a parameter
SMALLEST_RATE = 1e-6  # of learning_rate="adaptive"


def prepare_stochastic(estimator, net, data, held_out, rng, tasks, incremental, extra):
    """The function that trains by solver "sgd" or another that takes mini-batches, and sets the attributes of the estimator."""
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = RunningRule(update_rule(estimator))
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    rows = rows_upto(len(data))
    if estimator.early_stopping and held_out is None:
        rows, held_out = estimator._split(data, rng)
    batch_size = clipped_batch_size(estimator.batch_size, len(rows))
    # one epoch seldom repays the start of threads, and threads of a session that stays open would not survive a fork
    n_threads = 1 if incremental and estimator.n_threads is None else estimator.n_threads
    if drops_inputs(extra):
        data.X = sparsity.dense(data.X)

    def train():
        entries = None if drops_inputs(extra) else data.entries(net)
        # never the plan of narrow networks: it has no place for a penalty
        session = estimator._optimizer.open(net, batch_size, data.X, entries, n_threads, plain=False, extra=extra)
        try:
            StochasticFit(estimator, net, session, data, rows, held_out, rng, tasks, incremental).run()
        finally:
            if held_out is not None:
                held_out.close()
            if incremental and session.members == 1:
                session.release_data()
            else:
                estimator._optimizer.close()

    return train


def warn_of_limit(estimator, stacklevel):
    """Say that training has come to `max_iter`, and is not at its end."""
    warnings.warn(
        f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization hasn't converged yet.",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )


def clipped_batch_size(value, n_samples) -> int:
    """``batch_size`` as a number that is at most that of the samples, if that is known, and not None."""
    if n_samples is None:
        return 200 if isinstance(value, str) else int(value)
    if isinstance(value, str):
        return min(200, n_samples)
    if value > n_samples:
        warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2)
    return int(np.clip(value, 1, n_samples))


class Fit:
    """One call of fit, or of partial_fit: its epochs, what is told of them, and what ends it.

    A subclass says how samples come: in `_give_data`, before training, and in `_epochs`.
    """

    _give_data: Callable[[], None]
    _epochs: Callable[[int], bool]  # trains so many epochs; True to stop
    _steps: Callable[[], int]  # of an epoch
    _rooms: Callable[[], int]  # epochs for which there are rates, and a record
    _set_rates: Callable[[], None]
    _evaluation: Callable[[], Evaluation | None]  # of samples, for a last look
    rows_of_epoch: Any  # how many
    together = 1  # epochs in one call of `_epochs`
    count: int  # epochs that `_epochs` goes up to
    taken: int  # epochs that have been taken over

    def __init__(self, estimator, net, session, held_out, rng, tasks, incremental):
        self.estimator, self.net, self.session = estimator, net, session
        self.held_out, self.rng, self.tasks, self.incremental = held_out, rng, tasks, incremental
        self.optimizer = estimator._optimizer
        self.early_stopping = estimator.early_stopping
        self.max_iter = 1 if incremental else estimator.max_iter
        self.schedule = schedule(estimator)

    def run(self):
        """All epochs, or until a rule or the user stops."""
        estimator = self.estimator
        self.start, first_params = perf_counter(), self.net.params.copy()
        self._prepare()
        estimator.n_iter_, estimator.history_.stopped_by = 0, None
        try:
            while estimator.n_iter_ < self.max_iter:
                if self._epochs(min(self.together, self.max_iter - estimator.n_iter_)):
                    break
            else:
                if not self.incremental:
                    warn_of_limit(estimator, stacklevel=6)
        except KeyboardInterrupt:
            estimator.history_.stopped_by = "interrupt"
            warnings.warn("Training interrupted by user.", stacklevel=4)
        except OverwrittenError:
            raise
        except DivergenceError as error:
            self._diverged(error)
        if self.early_stopping:
            self.net.params[:] = estimator._best_params
        if not self.incremental:
            self._judge(first_params)

    def _prepare(self):
        estimator, session = self.estimator, self.session
        self._give_data()
        # rules that decay weights, as AdamW, take alpha for that
        session.set_penalty(0.0 if self.optimizer.rule.decays else estimator.alpha, session.extra.l1, per_batch=True)
        session.set_report(*report(self.net))
        self.steps = self._steps()
        is_per_step = self.schedule is not None and self.schedule.per_step
        rooms = self._rooms()
        session.set_rates(np.empty((rooms, self.steps if is_per_step else 1)))
        session.set_record(rooms)
        self._begin_rule()
        self.supervisor = Supervisor(session)

    def _begin_rule(self):
        """The rule of stopping, which goes on where the fit before has left it."""
        estimator = self.estimator
        best = -estimator.best_validation_score_ if self.early_stopping else estimator.best_loss_
        limit = estimator.n_iter_no_change + 1
        self.rule = Stopping(estimator.tol, limit, best, estimator._no_improvement_count, strict=False)
        self.session.set_stop(None if self.early_stopping else self.rule)

    def _fill_rates(self, rates):
        """Learning rates of the epochs to come."""
        estimator, optimizer = self.estimator, self.optimizer
        if self.schedule is not None:
            init, start = float(estimator.learning_rate_init), optimizer.place.epochs
            rates[:] = self.schedule.rates(init, estimator.max_iter, self.steps, start, start + len(rates))
            return
        rates[:] = optimizer.learning_rate
        if self._is_scheduled("invscaling"):
            for k in range(1, len(rates)):
                rates[k] = self._inverse_scaling(estimator.t_ + k * self.rows_of_epoch)

    def _is_scheduled(self, name) -> bool:
        return bool(self.estimator.solver == "sgd" and self.estimator.learning_rate == name)

    def _inverse_scaling(self, t) -> float:
        try:
            return float(self.estimator.learning_rate_init) / (t + 1) ** float(self.estimator.power_t)
        except OverflowError:
            return 0.0

    def _take(self, times=None):
        """Take over the epochs that calls have completed since the last time."""
        estimator, session, first, last = self.estimator, self.session, self.taken, self.session.epoch
        if last <= first:
            return
        self.taken, count = last, last - first
        losses, rates = session.losses_and_rates(first, last)
        estimator.loss_curve_ += losses
        estimator.loss_ = losses[-1]
        estimator.history_.learning_rate += rates
        estimator.history_.time += [time - self.start for time in times or [perf_counter()] * count]
        estimator.n_iter_ += count
        self.optimizer.place.epochs += count
        estimator.t_ += count * self.rows_of_epoch
        if self._is_scheduled("invscaling"):
            self.optimizer.learning_rate = self._inverse_scaling(estimator.t_)
        if not self.early_stopping:
            self.rule.best, self.rule.waited = session.stop_state()
            estimator.best_loss_, estimator._no_improvement_count = self.rule.best, self.rule.waited
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")

    def _after(self, first, last, times) -> bool:
        """Look at the epochs that a call completed; True to stop."""
        estimator = self.estimator
        self._take(times)
        if self.held_out is not None:
            self._validate()
        stop = self.tasks.end_epoch()
        if self.rule.is_over() and not stop:
            watched = "Validation score" if self.early_stopping else "Training loss"
            gain = f"did not improve more than tol={estimator.tol:f} for {int(estimator.n_iter_no_change)} consecutive epochs."
            stop = self._stop_or_slow_down(f"{watched} {gain}")
        if last < self.count and not stop:
            self.tasks.begin_epoch()
        return stop

    def _stop_or_slow_down(self, message) -> bool:
        optimizer, ending = self.optimizer, " Stopping."
        stop = True
        if self._is_scheduled("adaptive"):
            if optimizer.learning_rate <= SMALLEST_RATE:
                ending = " Learning rate too small. Stopping."
            else:
                stop = False
                optimizer.learning_rate /= 5.0
                self._set_rates()
                self.rule.waited = self.estimator._no_improvement_count = 0
                if not self.early_stopping:
                    self.session.set_stop(self.rule)
                ending = f" Setting learning rate to {optimizer.learning_rate:f}"
        if self.estimator.verbose:
            print(message + ending)
        return stop

    def _validate(self):
        """Score the held-out samples, and keep the best parameters if training stops by them."""
        estimator, history, rule = self.estimator, self.estimator.history_, self.rule
        loss, score = self.held_out.judge(estimator, self.net)
        history.validation_score.append(score)
        history.validation_loss.append(loss)
        if not self.early_stopping:
            return
        if estimator.verbose:
            print(f"Validation score: {score:f}")
        if rule.follow(-score):
            estimator.best_validation_score_ = score
            estimator._best_params = self.net.params.copy()
        estimator._no_improvement_count = rule.waited

    def _diverged(self, error):
        """Go on with the best parameters where there are any, else raise."""
        estimator = self.estimator
        epoch = estimator.n_iter_ + 1
        if self.early_stopping and np.isfinite(estimator.best_validation_score_):
            estimator.n_iter_, estimator.loss_ = epoch, float("nan")
            estimator.loss_curve_.append(float("nan"))
            estimator.validation_scores_.append(float("nan"))
            warnings.warn(
                f"Training diverged in epoch {epoch}: the loss or a weight is not finite. The weights of the best epoch are kept;"
                " lower learning_rate_init, or scale X.",
                ConvergenceWarning,
                stacklevel=5,
            )
            return
        raise DivergenceError(
            epoch - 1,
            error.learning_rate,
            f"{NOT_FINITE} (Training diverged in epoch {epoch} with learning rate {error.learning_rate:g}; a lower one may help.)",
        ) from None

    def _judge(self, first_params):
        """Say so if the loss has grown beyond all reason: an error, or a warning where the weights of the best epoch are kept.

        That is if the loss of the last epoch, or that of weights that are not those of a best epoch, is `HOPELESS` times the first,
        or 1 if that is more, or `ABSURD`; or if somebody else than the kernels has left weights that are not finite.
        """
        estimator, net = self.estimator, self.net
        is_finite = self.session.has_finite_parameters()
        if not estimator.loss_curve_ or (is_finite and estimator.loss_ < HOPELESS and np.abs(net.params).max() < LARGE):
            return
        evaluation, last_params = self._evaluation(), net.params.copy()
        net.params[:] = first_params
        rate = self.optimizer.learning_rate
        if not is_finite:
            where = f"after epoch {estimator.n_iter_}"
            raise OverwrittenError(estimator.n_iter_, rate, OVERWRITTEN.format(where=where, which="before the fit"))
        if evaluation is None:
            net.params[:] = last_params
            return
        first, last = evaluation.loss(), estimator.loss_
        net.params[:] = last_params
        now = evaluation.loss()
        if not self.early_stopping:
            last = max(last, now)
        if last < min(HOPELESS * max(first, 1.0), ABSURD) or (self.early_stopping and np.isnan(last)):  # which has been said
            return
        message = f"Training diverged: the loss was {first:.3g} at first and is {last:.3g} now."
        advice = f" Lower learning_rate_init ({estimator.learning_rate_init:g}), or scale X and y."
        if not self.early_stopping:
            raise DivergenceError(estimator.n_iter_ - 1, rate, message + advice)
        kept = f" The weights of the best epoch are kept, with a loss of {now:.3g}."
        warnings.warn(message + kept + advice, ConvergenceWarning, stacklevel=5)


class StochasticFit(Fit):
    """One on arrays, of which kernels train many epochs in a call."""

    def __init__(self, estimator, net, session, data, rows, held_out, rng, tasks, incremental):
        super().__init__(estimator, net, session, held_out, rng, tasks, incremental)
        self.data, self.rows, self.rows_of_epoch = data, rows, len(rows)
        self.each = bool(estimator.verbose or held_out is not None or tasks.is_watched)
        self.together = min(EPOCHS_TOGETHER, self.max_iter, max(1, ORDER_NUMBERS // len(rows)))
        self.orders = np.empty((self.together if estimator.shuffle else 1, len(rows)), np.int32)
        self.orders[0] = rows
        # drawn where it is needed only: the random numbers of the defaults are scikit-learn's
        self.seed = int(rng.randint(np.iinfo(np.int64).max, dtype=np.int64)) if session.extra.dropout else 0

    def _give_data(self):
        self.data.give(self.session, self.orders)
        self.session.set_order(False, self.orders.shape[1] if self.estimator.shuffle else 0)

    def _steps(self):
        return -(-len(self.rows) // self.session.batch)

    def _rooms(self):
        return self.together

    def _set_rates(self):
        self._fill_rates(self.session.rates.reshape(self.together, -1)[self.taken : self.count])

    def _evaluation(self):
        return self.data.evaluation(self.net)

    def _epochs(self, count) -> bool:
        """Up to `count` more epochs; True to stop."""
        state = None
        if self.rng is None:
            self.orders[0] = order_of_seed(self.estimator.random_state, len(self.rows)) if self.estimator.shuffle else self.rows
        else:
            # what is drawn for epochs that are not begun is taken back; to keep a state takes longer than a small `partial_fit`
            state, order = self.rng.get_state() if self.together > 1 else None, self.rows.copy()
            if self.estimator.shuffle:
                draw_orders(self.rng, self.rows, self.orders[:count])
        # masks are a function of the seed and the epoch in this call: the samples seen so far make another seed of one random_state
        self.session.begin((self.seed + int(self.estimator.t_)) % (1 << 63))
        self.count, self.taken = count, 0
        try:
            self._set_rates()
            self.tasks.begin_epoch()
            return self.supervisor.run(count, self._after, each=self.each)
        finally:
            self._take()  # also what was complete before an interruption or a divergence
            if self.estimator.shuffle and self.taken < count and state is not None:
                self.rng.set_state(state)
                self.rows = order
                draw_orders(self.rng, self.rows, self.orders[: self.taken])
