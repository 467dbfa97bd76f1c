"""What compiled code outside the package calls: C functions of a pool of workspaces, or of a trainer, and of plain pointers.

A workspace is all that a call of :func:`fastbp.kernels.train.run` needs beside its samples. A thread takes one of the pool for as
long as a call lasts, so that any number of threads may call at once, without an allocation; with more threads than workspaces some
wait. The kernels are those that Python calls, found by their address: the same machine code, and so the same bits.

Legend: N rows; I inputs and O outputs of the network.
"""

from math import isfinite, nan

import numpy as np
from numba import types

from fastbp.compiler import (
    c_entry,
    calls,
    entry,
    exchange,
    give_way,
    inline,
    kernel,
    load_pointer,
    load_shared,
    loads,
    relax,
    stack_address,
    store_shared,
)
from fastbp.kernels.check import are_finite
from fastbp.kernels.modes import DIFFERENTIATE, JACOBIAN, JVP, PREDICT, STEP, VJP
from fastbp.kernels.plan import DIVERGED, MAX_PIECES, PER_POPULATION, RUNNING, plan_at, reals_at
from fastbp.kernels.train import run
from fastbp.optimizers import N_HYPER
from fastbp.simd.record import Record, numbers_of
from fastbp.simd.register import pointer

# what a call gives back
DONE, NOT_FINITE, NO_ROWS, TOO_MANY_ROWS, NO_SUCH_CLASS, WRONG_TARGETS, BUSY, LEFT, LOSS_DIVERGED, STEP_DIVERGED = range(10)
LOOK = 64  # added to that: it is time to look whether there is a signal, such as that of Ctrl-C
LOOK_AFTER, OF_CALL, FLOP = 50_000_000, 200, 40  # nanoseconds, about: of calls, of one less its arithmetic, and flop of each
# what targets must be, beside finite
ANY, PROBABILITIES, NOT_NEGATIVE, POSITIVE, SHARES = range(5)
ROUNDING = 1e-3  # by which the sum of shares may differ from 1

Workspace = Record(
    "Workspace",
    taken="1: a thread is in it",
    run="address of the machine code of `run` or `run_narrow`",
    plan="address, as all that follow: of a Plan",
    work="see `run`",
    params="the same",
    reals="the same",
    rates="the same",
    record="the same",
    order="row numbers 0, 1, 2, ...",
    meeting="see `run`",
    spent="nanoseconds, about, that calls have taken since somebody looked for signals",
    room=(5, "so that no two of them share a line of the cache"),
)

Pool = Record(
    "Pool",
    count="of the workspaces",
    rows="that one call of `run` is given at most",
    room=(14, "as in a Workspace"),
    workspaces=(Workspace, "count"),
)

Handle = Record(
    "Handle",
    call="address of `call_network` or `call_trainer`",
    predicting="address of a Pool, for PREDICT",
    differentiating="address of a Pool, for all else",
    n_in="I",
    n_out="O",
    n_params="numbers of params",
    main_thread="the thread that signals are for",
    targets="what they must be: ANY, PROBABILITIES, NOT_NEGATIVE, POSITIVE or SHARES",
    # of a trainer, whose only workspace is the first of `differentiating`
    turn="address of the word that says whether somebody trains the network",
    is_left="1: the trainer has begun something else, and left the workspace",
    epochs="that are complete",
    first="samples that steps have taken since",
    n_samples="of an epoch, 0: it never ends",
    slots="address of the slots of the rule",
    n_slots="numbers of them",
    settings="address of `Settings`",
    rates="address of the learning rates that a schedule gives",
    n_rates="epochs that they are of; later ones have those of the last",
    n_steps="mini-batches of an epoch that have rates of their own; 0: there is no schedule, the rate is constant",
    origin="epoch of the first of them",
)

Settings = Record(
    "Settings",
    np.float64,
    rate="learning rate, where it is constant",
    l2="lambda of the penalty, not yet divided by the samples",
    l1="the same of sum |W|",
    begun=(N_HYPER, "hyper-parameters of the rule, as it begins"),
    before=(N_HYPER, "the same before the step at hand; overwritten"),
)

# places of addresses
RUN, PLAN, WORK, PARAMS, REALS, RATES, RECORD, ORDER, MEETING = range(1, 10)  # in a Workspace
PREDICTING, DIFFERENTIATING = (Handle.places[field] for field in ("predicting", "differentiating"))
TURN, SLOTS, SETTINGS, SCHEDULED = (Handle.places[field] for field in ("turn", "slots", "settings", "rates"))

pool_at, handle_at, settings_at = Pool.at, Handle.at, Settings.at
_run, _integers_at, _reals_at, _rows_at = calls(run.signature), loads(types.int64), loads(types.float64), loads(types.int32)


@kernel
def take(pool):
    """A workspace that no other thread is in, taken; each thread looks first where it was the last time."""
    count, spins = pool.count, 0
    i = ((stack_address() >> 20) * 0x9E3779B1 & 0x7FFFFFFF) * count >> 31
    while True:
        space = pool.workspaces[i]
        word = numbers_of(space)
        if load_shared(word) == 0 and exchange(word, 1) == 0:
            return space
        i = i + 1 if i + 1 < count else 0
        spins += 1
        if spins < 64 * count:
            relax()
        else:
            give_way()


@inline
def note_time(handle, space, rows, passes):
    """Add up what calls have taken, of so many passes over the weights; LOOK when that is so much that Ctrl-C may be waiting."""
    spent = space.spent + OF_CALL + 2 * passes * rows * handle.n_params // FLOP
    space.spent = 0 if spent > LOOK_AFTER else spent
    return LOOK if spent > LOOK_AFTER else DONE


@inline
def leave(handle, space, rows, passes):
    """Let other threads have a workspace; `note_time`."""
    look = note_time(handle, space, rows, passes)
    store_shared(numbers_of(space), 0)
    return look


@inline
def plan_of(space):
    """The plan of a workspace."""
    return plan_at(_integers_at(numbers_of(space) + PLAN))


@inline
def _call(space, mode, x, y, labels, out):
    """`run` on a workspace, whose plan says all else, by this thread alone."""
    word = numbers_of(space)
    plan, reals = _integers_at(word + PLAN), _reals_at(word + REALS)
    rates, record = _reals_at(word + RATES), _reals_at(word + RECORD)
    work, params = load_pointer(word + WORK, x), load_pointer(word + PARAMS, x)
    order, meeting = _rows_at(word + ORDER), _integers_at(word + MEETING)
    samples = x, order, word, y, labels, reals, out  # what is not needed is anything of its kind
    return _run(word + RUN, x, (plan, work, params, reals, rates, record, order, meeting, mode, 0, 0, *samples))


@kernel
def _predict(handle, rows, x, out):
    """out (N, O) = the network's outputs for x (N, I)."""
    pool = pool_at(_integers_at(numbers_of(handle) + PREDICTING))
    space = take(pool)
    plan, status = plan_of(space), DONE
    for top in range(0, rows, pool.rows):
        plan.n_rows = min(pool.rows, rows - top)
        part = out + top * handle.n_out
        if _call(space, PREDICT, x + top * handle.n_in, x, numbers_of(space), part) != 0.0:
            status = NOT_FINITE
    return status + leave(handle, space, rows, 1)


@inline
def _differentiating(handle):
    return pool_at(_integers_at(numbers_of(handle) + DIFFERENTIATING))


@kernel
def _are_targets(handle, rows, y):
    """Whether y (N, O) is what the loss takes."""
    kind, n_out = handle.targets, handle.n_out
    lowest, highest, worst = y[0], y[0], 0.0
    for i in range(rows * n_out):
        lowest, highest = min(lowest, y[i]), max(highest, y[i])
    if kind == SHARES:
        for i in range(rows):
            total = 0.0
            for k in range(n_out):
                total += y[i * n_out + k]
            worst = max(worst, abs(total - 1.0))
    is_low = kind != ANY and (lowest < 0.0 or (kind == POSITIVE and lowest == 0.0))
    return not (is_low or (kind == PROBABILITIES and highest > 1.0) or worst > ROUNDING)


@kernel
def _check(handle, rows, x, y, labels, is_labelled):
    """DONE if x (N, I) and y (N, O) or labels (N,) can be differentiated at, in one call; else what is wrong."""
    if rows > _differentiating(handle).rows:
        return TOO_MANY_ROWS
    if not are_finite(x, rows * handle.n_in):
        return NOT_FINITE
    if is_labelled == 1:
        outside = 0
        for i in range(rows):
            outside |= labels[i] | (handle.n_out - 1 - labels[i])  # negative if either is
        return DONE if outside >= 0 else NO_SUCH_CLASS
    if not are_finite(y, rows * handle.n_out):
        return NOT_FINITE
    return DONE if _are_targets(handle, rows, y) else WRONG_TARGETS


@kernel
def _differentiate(handle, rows, x, y, labels, is_labelled, out, loss):
    """loss (1,) and out = its gradient, like `params`."""
    status = _check(handle, rows, x, y, labels, is_labelled)
    if status != DONE:
        return status
    space = take(_differentiating(handle))
    plan = plan_of(space)
    plan.n_rows, plan.labelled = rows, is_labelled
    loss[0] = _call(space, DIFFERENTIATE, x, y, labels, out)
    return leave(handle, space, rows, 3)


@kernel
def _derive(handle, mode, rows, x, v, out):
    """VJP, JVP or JACOBIAN of any number of rows; see :mod:`fastbp.kernels.derivatives`."""
    pool = _differentiating(handle)
    space = take(pool)
    plan, status, n_in, n_out = plan_of(space), DONE, handle.n_in, handle.n_out
    width_of_v = n_out if mode == VJP else n_in if mode == JVP else 0
    width_of_out = n_in if mode == VJP else n_out if mode == JVP else n_in * n_out
    for top in range(0, rows, pool.rows):
        plan.n_rows = min(pool.rows, rows - top)
        part = out + top * width_of_out
        if _call(space, mode, x + top * n_in, v + top * width_of_v, numbers_of(space), part) != 0.0:
            status = NOT_FINITE
    return status + leave(handle, space, rows, 1 + (n_out if mode == JACOBIAN else 1))


@kernel
def _rate_of(handle, settings, batch):
    """The learning rate of the next step."""
    if handle.n_steps == 0:
        return settings.rate
    epoch, steps = min(handle.epochs - handle.origin, handle.n_rates - 1), handle.n_steps
    return _reals_at(numbers_of(handle) + SCHEDULED)[epoch * steps + min(handle.first // batch, steps - 1)]


@kernel
def _advance(handle, settings, space, rate, rows, x, y, labels, is_labelled, loss):
    """A step, and what :meth:`fastbp.engine.training_session.TrainingSession.step` does about one that diverges."""
    word = numbers_of(space)
    plan, reals = plan_of(space), reals_at(_reals_at(word + REALS))
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
    rates = _reals_at(word + RATES)
    rates[0] = rate
    loss[0] = _call(space, STEP, x, y, labels, load_pointer(word + WORK, x))
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
def _step(handle, rows, x, y, labels, is_labelled, loss):
    """One mini-batch; see :meth:`fastbp.Trainer.step`."""
    status = _check(handle, rows, x, y, labels, is_labelled)
    if status != DONE:
        return status
    turn = _integers_at(numbers_of(handle) + TURN)
    if exchange(turn, 1) != 0:
        return BUSY
    pool, settings = _differentiating(handle), settings_at(_reals_at(numbers_of(handle) + SETTINGS))
    rate = _rate_of(handle, settings, pool.rows)
    if handle.is_left == 1:
        status = LEFT
    else:
        space = pool.workspaces[0]
        status = _advance(handle, settings, space, rate, rows, x, y, labels, is_labelled, loss) + note_time(handle, space, rows, 3)
    store_shared(turn, 0)
    return status


def _call_of(dtype):
    own, places = types.CPointer(dtype), types.CPointer(types.int64)
    return types.int64(places, types.int64, types.int64, own, own, places, types.int64, own, types.CPointer(types.float64))


@c_entry(_call_of)
def call_network(network, mode, rows, x, y, labels, is_labelled, out, loss):
    """PREDICT, DIFFERENTIATE, VJP, JVP or JACOBIAN on a Handle; what came of it.

    x (N, I); y (N, O), or labels (N,), or what a derivative is multiplied by; out as in `run`; loss (1,), of DIFFERENTIATE.
    """
    handle = handle_at(network)
    if rows <= 0:
        return DONE if mode != DIFFERENTIATE else NO_ROWS
    if mode == PREDICT:
        return _predict(handle, rows, x, out)
    if mode == DIFFERENTIATE:
        return _differentiate(handle, rows, x, y, labels, is_labelled, out, loss)
    return _derive(handle, mode, rows, x, y, out)


@c_entry(_call_of)
def call_trainer(trainer, mode, rows, x, y, labels, is_labelled, out, loss):
    """A step with x (N, I) and y (N, O) or labels (N,), and loss (1,) before it; what came of it. `out` is not touched."""
    return _step(handle_at(trainer), rows, x, y, labels, is_labelled, loss) if rows > 0 else NO_ROWS


def _predict_of(dtype):
    own = types.CPointer(dtype)
    return types.int32(types.CPointer(types.int64), types.int64, own, own)


@c_entry(_predict_of)
def predict(network, rows, x, out):
    """`fastbp_predict` of fastbp.h: out (N, O) for x (N, I); 0, or 1 where x holds NaN or infinity."""
    return _predict(handle_at(network), rows, x, out) % LOOK if rows > 0 else DONE


@c_entry(lambda dtype: types.float64(types.int32, types.CPointer(types.float64), types.CPointer(types.int64)))
def integrand(count, x, network):
    """`fastbp_integrand` of fastbp.h: the output of a network of float64 that has one, for the inputs x (count,).

    NaN where it has another number of inputs or outputs, or x is not finite.
    """
    handle, result = handle_at(network), nan
    if count == handle.n_in and handle.n_out == 1:
        space = take(pool_at(_integers_at(numbers_of(handle) + PREDICTING)))
        plan, out = plan_of(space), _reals_at(numbers_of(space) + RECORD)  # which no prediction writes to
        plan.n_rows = 1
        if _call(space, PREDICT, x, x, numbers_of(space), out) == 0.0:
            result = out[0]
        leave(handle, space, 1, 1)
    return result


@entry(lambda _: types.boolean(types.int64[::1]))
def take_turn(word):
    """Write 1 to word (1,), which threads share; whether it was 0."""
    return exchange(pointer(word), 1) == 0


@entry(lambda _: types.void(types.int64[::1]))
def end_turn(word):
    """Write 0 to word (1,), for other threads to see."""
    store_shared(pointer(word), 0)
