"""A step of a trainer: what :meth:`fastbp.Trainer.step` does, without Python.

Legend: N rows; I inputs and O outputs of the network.
"""

from math import isfinite

from fastbp.compiler import exchange, kernel, load_pointer, store_shared
from fastbp.kernels.embedded.checks import check
from fastbp.kernels.embedded.records import (
    BUSY,
    DONE,
    LEFT,
    LOSS_DIVERGED,
    RATES,
    REALS,
    SCHEDULED,
    SETTINGS,
    SLOTS,
    STEP_DIVERGED,
    TURN,
    WORK,
    settings_at,
)
from fastbp.kernels.embedded.workspaces import call, differentiating, integers_at, note_time, numbers_at, plan_of
from fastbp.kernels.modes import STEP
from fastbp.kernels.plan import DIVERGED, MAX_PIECES, PER_POPULATION, RUNNING, reals_at
from fastbp.optimizers import N_HYPER
from fastbp.simd.record import numbers_of


@kernel
def _rate_of(handle, settings, batch):
    """The learning rate of the next step."""
    if handle.n_steps == 0:
        return settings.rate
    epoch, steps = min(handle.epochs - handle.origin, handle.n_rates - 1), handle.n_steps
    return numbers_at(numbers_of(handle) + SCHEDULED)[epoch * steps + min(handle.first // batch, steps - 1)]


@kernel
def _advance(handle, settings, space, rate, rows, x, y, labels, is_labelled, loss):
    """A step, and what :meth:`fastbp.engine.training_session.TrainingSession.step` does about one that diverges."""
    word = numbers_of(space)
    plan, reals = plan_of(space), reals_at(numbers_at(word + REALS))
    hyper, begun, before = reals.hyper, settings.begun, settings.before
    for i in range(N_HYPER):
        before[i] = hyper[i]
    # what the session has set for itself is as before afterwards
    given = plan.n_rows, plan.labelled, plan.weighted, plan.budget
    plan.n_rows, plan.labelled, plan.weighted, plan.budget = rows, is_labelled, 0, MAX_PIECES
    if settings.l2 > 0.0 or settings.l1 > 0.0:
        samples = handle.n_samples if handle.n_samples > 0 else rows
        reals.l2, reals.l1, plan.penalised = settings.l2 / samples, settings.l1 / samples, PER_POPULATION
    plan.epoch, plan.first = handle.epochs, handle.first
    rates = numbers_at(word + RATES)
    rates[0] = rate
    loss[0] = call(space, STEP, x, y, labels, load_pointer(word + WORK, x))
    plan.n_rows, plan.labelled, plan.weighted, plan.budget = given
    if plan.status != DIVERGED:
        handle.first += rows
        if 0 < handle.n_samples <= handle.first:
            handle.epochs, handle.first = handle.epochs + 1, 0
        return DONE
    plan.status = RUNNING
    is_loss = not isfinite(loss[0])
    for i in range(N_HYPER):
        hyper[i] = before[i] if is_loss else begun[i]
    if is_loss:
        return LOSS_DIVERGED
    slots = load_pointer(numbers_of(handle) + SLOTS, x)
    for i in range(handle.n_slots):
        slots[i] = 0
    return STEP_DIVERGED


@kernel
def step(handle, rows, x, y, labels, is_labelled, loss):
    """One mini-batch; see :meth:`fastbp.Trainer.step`."""
    turn = integers_at(numbers_of(handle) + TURN)
    if exchange(turn, 1) != 0:
        return BUSY
    # only now: whose turn it is may give the trainer another workspace
    status = LEFT if handle.is_left == 1 else check(handle, rows, x, y, labels, is_labelled)
    if status == DONE:
        pool, settings = differentiating(handle), settings_at(numbers_at(numbers_of(handle) + SETTINGS))
        rate, space = _rate_of(handle, settings, pool.rows), pool.workspaces[0]
        status = _advance(handle, settings, space, rate, rows, x, y, labels, is_labelled, loss) + note_time(handle, space, rows, 3)
    store_shared(turn, 0)
    return status
