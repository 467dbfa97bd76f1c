"""Mini-batches of a partition, on the worker that holds it: epochs of its own, and shares of steps that all make together."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.dask._part import Part
from fastbp.engine.data_parallel_session import DataParallelSession
from fastbp.engine.regularization import Regularization, drops_inputs
from fastbp.engine.rule import RunningRule
from fastbp.engine.session import Session
from fastbp.engine.validation import NO_LABELS, NO_WEIGHTS, NOTHING
from fastbp.estimators._training_data import report
from fastbp.kernels.modes import DIFFERENTIATE
from fastbp.optimizers import Optimizer


@dataclass(frozen=True)
class How:
    """What mini-batches are like.

    Attributes
    ----------
    rule : Optimizer
    batch_size : int
    shuffle : bool
    alpha : float
        By the weight of a mini-batch: the penalty of each weight.
    extra : Regularization
    seed : int
        Of orders and dropped units; that of partition k is k more.
    epochs : int
        Of each partition, between two averages.
    """

    rule: Optimizer
    batch_size: int
    shuffle: bool
    alpha: float
    extra: Regularization
    seed: int
    epochs: int


# --- epochs of one partition -------------------------------------------------------------------------------------------------


def trained(
    part: Part, theta: np.ndarray, kept: tuple[np.ndarray, np.ndarray], how: How, k: int, share: float, rate: float, epoch: int
) -> tuple[Any, ...]:
    """(loss, parameters, what the rule keeps), times `share`, after epochs of partition k that begin with number `epoch`.

    The loss is the mean over the epochs, and NaN where training diverges.
    """
    with part.lent("training", lambda net: _training_session(part, net, how)) as session:
        session.net._vector[:] = theta
        session.set_rule_state(kept)
        session.set_rates(np.full(how.epochs, rate))
        session.set_record(how.epochs)
        session.begin((how.seed + k) % (1 << 63), epoch)
        session.train_to(epoch + how.epochs)
        if session.is_finite():
            losses, _ = session.losses_and_rates(epoch, epoch + how.epochs)
            hyper, slots = session.rule_state()
            found: tuple[Any, ...] = np.mean(losses), session.net._vector.astype(np.float64), hyper, slots.astype(np.float64)
        else:
            found = np.nan, np.zeros(theta.size), *(np.zeros_like(each, np.float64) for each in kept)
    return tuple(each * share for each in found)


def _training_session(part: Part, net: Any, how: How) -> Any:
    data = part.data
    entries = None if drops_inputs(how.extra) else data.entries(net)
    batch_size = min(how.batch_size, len(data))
    session = RunningRule(how.rule).open(net, batch_size, data.X, entries, part.n_threads, plain=False, extra=how.extra)
    data.give(session)
    session.set_order(how.shuffle)
    session.set_penalty(how.alpha, how.extra.l1, per_batch=True)
    session.set_report(*report(net))
    return session


# --- steps of all partitions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Between two steps: parameters, what the rule keeps, and sums of losses and rows since the beginning of the epoch."""

    theta: np.ndarray
    kept: tuple[np.ndarray, np.ndarray]  # as `TrainingSession.rule_state` gives it
    loss: float = 0.0
    rows: float = 0.0


def theta_of(state: State) -> np.ndarray:
    """What gradients ask for."""
    return state.theta


def share_of(part: Part, theta: np.ndarray, how: How, k: int, epoch: int, step: int, steps: int) -> tuple[Any, ...]:
    """(loss, gradient, weight, rows) of partition k's part of the mini-batch of a step, the first two times its weight."""
    data, count = part.data, len(part.data)
    rows = slice(count * step // steps, count * (step + 1) // steps)
    nothing = 0.0, np.zeros(theta.size), 0.0, 0.0
    if rows.start == rows.stop:
        return nothing
    batch = data.part(part.order(how.seed + k, epoch)[rows] if how.shuffle else rows)
    weight = float(len(batch)) if batch.weights is None else float(batch.weights.sum())
    if weight == 0.0:
        return nothing
    most = -(-count // steps)
    with part.lent("steps", lambda net: _step_session(part, net, most)) as session:
        session.net._vector[:] = theta
        values = NOTHING[session.dtype] if batch.values is None else batch.values
        labels = NO_LABELS if batch.labels is None else batch.labels
        weights = NO_WEIGHTS if batch.weights is None else batch.weights
        gradient = np.empty(theta.size, session.dtype)
        loss = session.compute(DIFFERENTIATE, len(batch), batch.X, values, labels, weights, gradient)
        return loss * weight, gradient.astype(np.float64) * weight, weight, float(len(batch))


def _step_session(part: Part, net: Any, most: int) -> Session:
    session = Session(net, most, differentiate=True)
    session.set_report(*report(net))
    return session


def stepped(state: State, shares: tuple[Any, ...], net: Any, how: How, rate: float) -> State:
    """After a step of the rule by the gradient of a mini-batch, of which all partitions have given their shares."""
    loss, gradient, weight, rows = shares
    if weight == 0.0:
        return state
    session = DataParallelSession(net.copy(), 1, how.rule, extra=how.extra)
    session.net._vector[:] = state.theta
    session.set_rule_state(state.kept)
    session.set_rates(np.full(1, rate))
    session.set_record(1)
    session.set_penalty(how.alpha, how.extra.l1, per_batch=True)
    session.begin()
    penalty = session.step_by((gradient / weight).astype(session.dtype), int(rows), 1.0 / weight)
    loss = loss / weight * rows + penalty
    return State(session.net._vector.copy(), session.rule_state(), state.loss + loss, state.rows + rows)
