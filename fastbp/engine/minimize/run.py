"""`fit_all`: a fit by a minimiser, which takes all samples at once, until a rule of stopping, a callback or the user ends it."""

from collections.abc import Callable
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from fastbp.arguments import integer
from fastbp.engine import held_out, memory, sparsity, validation
from fastbp.engine.history import History
from fastbp.engine.minimize import damped, lbfgs
from fastbp.engine.minimize.normal_system import NormalSystem
from fastbp.engine.minimize.objective import Objective, Problem
from fastbp.engine.minimize.product_system import ProductSystem
from fastbp.engine.supervisor import OVERWRITTEN, DivergenceError, OverwrittenError, Stopping
from fastbp.engine.validation import NO_WEIGHTS
from fastbp.engine.watch import Watch, bar_of, takes_moment
from fastbp.losses import SquaredError
from fastbp.minimizers import LBFGS, GaussNewtonCG, LevenbergMarquardt, Minimizer

MOST_PARAMETERS = 3500  # whose matrix of 100 MB is decomposed in less than half a second, for which Ctrl-C waits
# arguments of `fit` that only mini-batches give a meaning
OF_MINI_BATCHES = (
    *("batch_size", "order", "l1", "clip_norm", "clip_value", "max_norm", "dropout", "input_dropout", "schedule", "resume", "comm"),
)


def check(net: Any, minimizer: Minimizer, given: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Raise for arguments of `fit` that a minimiser has no use for, and for networks that it is not for."""
    name = minimizer.name
    for argument in OF_MINI_BATCHES:
        value = given[argument]
        if not (value is defaults[argument] or np.array_equal(value, defaults[argument])):
            raise ValueError(f"{argument} has no meaning for optimizer={name!r}, which takes all samples at once: leave it out")
    if isinstance(given["shuffle"], str):
        raise ValueError(f"shuffle has no meaning for optimizer={name!r}, which takes all samples at once: leave it out")
    if any(map(takes_moment, given["callbacks"])):
        raise ValueError(f"callbacks must not hold a Checkpoint for optimizer={name!r}, whose runs cannot be resumed")
    check_network(net, minimizer)


def check_network(net: Any, minimizer: Minimizer, argument: str = "optimizer") -> None:
    """Raise for a network that a minimiser, given through this argument, is not for."""
    asked, count = f"{argument}={minimizer.name!r}", net._vector.size
    if net.encoder and minimizer.needs_squares:
        raise ValueError(f"{asked} knows no encoder, and a TabularNetwork has one: take {argument}='lbfgs', or an update rule")
    if minimizer.needs_squares and type(net.loss_function) is not SquaredError:
        raise ValueError(
            f"{asked} needs a loss that is a sum of squares, 'squared', not {net.loss_function.name!r}: take {argument}='lbfgs', or"
            " an update rule"
        )
    if isinstance(minimizer, LevenbergMarquardt):
        if count > MOST_PARAMETERS:
            raise ValueError(
                f"{asked} solves for all parameters at once, at most {MOST_PARAMETERS}, but this network has {count}: take"
                f" {argument}='gauss-newton-cg' or 'lbfgs'"
            )
        memory.check_room(asked, 20 * count**2)


class Iterations:
    """What `Watch` asks of a session, for iterations of a minimiser."""

    def __init__(self, net: Any, rows: Any, rule: Stopping | None) -> None:
        self.net, self.rows, self.rule = net, rows, rule
        self.epoch = 0
        self.outputs: Any = None
        self._loss, self._gradient = np.nan, np.zeros(0)

    def add(self, loss: float, gradient: np.ndarray) -> None:
        """Another iteration, its loss after the step and the gradient that it has come from."""
        self.epoch += 1
        self._loss, self._gradient = loss, gradient
        if self.rule is not None:
            self.rule.follow(loss)
        if self.outputs is not None:
            self.outputs[:] = self.net._outputs(self.rows)

    def set_stop(self, rule: Stopping | None) -> None:
        """The rule is known."""

    def set_outputs(self, outputs: Any) -> None:
        """Where the outputs after each iteration are wanted."""
        self.outputs = outputs

    def losses_and_rates(self, first: int, last: int) -> tuple[list[float], list[float]]:
        """The loss of the last iteration; there is no rate."""
        return [self._loss], []

    def norms(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Norms of weights and biases of each layer after the last iteration, and of their gradients: (1, 2 L)."""
        return self._norms(self.net._vector), self._norms(self._gradient)

    def _norms(self, vector: np.ndarray) -> np.ndarray:
        sizes = [size for n_in, n_out in pairwise(self.net.sizes) for size in (n_in * n_out, n_out)]
        return np.array([[np.linalg.norm(part) for part in np.split(vector, np.cumsum(sizes)[:-1])]])

    def stop_state(self) -> tuple[float, int]:
        """Of the rule of stopping, now."""
        assert self.rule is not None
        return self.rule.best, self.rule.waited


def decay_of(net: Any, l2: float) -> np.ndarray:
    """(P,): `l2` of weights, 0 of biases."""
    return np.concatenate([np.repeat([l2, 0.0], [n_in * n_out, n_out]) for n_in, n_out in pairwise(net.sizes)])


def fit_all(trainer: Any, minimizer: Minimizer, X: Any, y: Any, epochs: Any, sample_weight: Any, validation_data: Any) -> History:
    """A run of a trainer, but by a minimiser, for which its options have passed `check`. See `Network.fit`."""
    net, patience, tol = trainer.net, trainer._patience, trainer._tol
    epochs = integer("epochs", epochs)
    rows, values, labels, weights = trainer._checked(X, y, sample_weight)
    targets = labels if labels.size else values
    judged = held_out.given(net, validation_data)
    held_count = 0 if judged is not None else held_out.count_of(trainer._validation_fraction, len(rows))
    if patience is not None and judged is None and held_count == 0:
        raise ValueError("patience needs validation_data or validation_fraction")
    validation.finite_parameters("params", net._vector)
    with net._turn:
        if held_count:
            before = trainer._rng.bit_generator.state
            chosen, held = held_out.split(trainer._rng, len(rows), held_count)
            if len(weights) and not weights[chosen].any():
                trainer._rng.bit_generator.state = before
                raise ValueError("sample_weight must not be all zero for the rows that are trained on")
            judged = held_out.HeldOut(rows[held], targets[held], NO_WEIGHTS)
            rows, targets, weights = rows[chosen], targets[chosen], weights[chosen] if len(weights) else weights
        if minimizer.needs_squares:
            rows = sparsity.dense(rows)
        values, labels = (None, targets) if targets.ndim == 1 else (targets, None)
        l2, n_threads = trainer._l2 / len(rows), trainer._n_threads
        objective = Objective(net, rows, values, labels, weights, n_threads)
        objective.set_penalty(l2)
        iterations = Iterations(net, rows, None if tol is None else Stopping(tol, trainer._n_iter_no_change))
        watch = Watch(
            iterations,
            iterations.rule,
            trainer._gradient_tol,
            judged,
            None if patience is None else Stopping(0.0, patience),
            targets if trainer._record_score else None,
            n_threads,
            trainer._record_norms,
            trainer._callbacks,
            bar_of(epochs, 0) if trainer._progress else None,
            epochs,
            lambda watch: {},  # no run is resumed
        )
        history = watch.history

        def after(loss: float, gradient: np.ndarray) -> bool:
            iterations.add(loss, gradient)
            return watch.after(iterations.epoch - 1, iterations.epoch, [perf_counter()])

        try:
            reason = search(minimizer, objective, l2, epochs, after)
            history.stopped_by = history.stopped_by or reason
            watch.restore_best()
        except BaseException as error:
            watch.end_by(error, iterations.epoch)
            raise
        finally:
            objective.close()
            watch.close()
    return history


def search(minimizer: Minimizer, objective: Problem, l2: float, epochs: int, after: Callable[[float, Any], bool]) -> str | None:
    """Iterations of a minimiser, from the network's present parameters; "converged" if there is nothing more to gain.

    Parameters
    ----------
    minimizer : Minimizer
    objective : Problem
        Penalty included, of rows with their zeros where the loss must be a sum of squares. Its network has the parameters after the
        last iteration at the end, whatever ends it.
    l2 : float
        Second derivative of the penalty with respect to a weight.
    epochs : int
        Iterations at most.
    after : callable
        ``after(loss, gradient)`` is called after each, with the loss then and the gradient before; True means stop. The next goes
        on from what it has written into the parameters; what is not finite is an error.
    """
    if not np.isfinite(objective.loss()):
        message = "the loss of these samples is not finite, and the network is as it was: scale X and y to mean 0 and deviation 1"
        raise DivergenceError(0, 0.0, message)
    net, after = objective.net, _guarded(objective.net, after)
    if isinstance(minimizer, LBFGS):
        return lbfgs.search(objective, minimizer, epochs, after)
    decay = decay_of(net, l2)
    system: NormalSystem | ProductSystem
    if isinstance(minimizer, LevenbergMarquardt):
        system = NormalSystem(objective, decay, minimizer.acceleration)
    else:
        assert isinstance(minimizer, GaussNewtonCG)
        system = ProductSystem(objective, decay, minimizer)
    try:
        return damped.search(objective, system, minimizer.damping, epochs, after)
    finally:
        system.close()


def _guarded(net: Any, after: Callable[[float, Any], bool]) -> Callable[[float, Any], bool]:
    """`after`, but what it leaves in the parameters is finite, or they are again as they were before, and it raises."""
    n_calls = 0

    def guarded(loss: float, gradient: Any) -> bool:
        nonlocal n_calls
        n_calls, before = n_calls + 1, net._vector.copy()
        is_over = after(loss, gradient)
        if not validation.is_plain(net._vector):
            net._vector[:] = before
            message = OVERWRITTEN.format(where=f"after epoch {n_calls}", which="that epoch")
            raise OverwrittenError(n_calls, 0.0, message)
        return is_over

    return guarded
