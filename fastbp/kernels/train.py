"""Epochs of mini-batches in one compiled call: the functions that Python calls.

Legend: N samples of the data; m rows visited in an epoch; L layers; all other letters as in :mod:`fastbp.kernels.minibatch`.
"""

from math import isfinite, nan
from typing import Any, NamedTuple

from numba import types

from fastbp.compiler import OneOf, entry, inline, kernel
from fastbp.kernels.check import are_finite
from fastbp.kernels.codes import codes_are_known
from fastbp.kernels.derivatives import derive
from fastbp.kernels.draws.philox import draw_with_replacement, shuffle
from fastbp.kernels.groups import begin_epoch
from fastbp.kernels.minibatch import help_along, minibatch
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE, PREDICT, STEP, TRAIN, VJP
from fastbp.kernels.narrow.minibatch import narrow_minibatch, pack_narrow, unpack_narrow, write_ones
from fastbp.kernels.norms import write_norms
from fastbp.kernels.parameters import forget_packed, pack_changed, unpack_layers, write_back
from fastbp.kernels.plan import DIVERGED, GIVEN, RUNNING, SHUFFLED, STOPPED, plan_at, reals_at
from fastbp.kernels.predict import is_row_packed, predict
from fastbp.kernels.roll_call import Crew, await_arrival, end_call
from fastbp.kernels.samples import Data, batch_of, set_conversion
from fastbp.kernels.team import alone
from fastbp.kernels.tuning import DRAWN
from fastbp.simd.kinds import OTHERS
from fastbp.simd.register import pointer


@kernel
def _draw_rows(plan, order, epoch):
    """The order of an epoch from ``plan.drawn`` on, or a part of what is missing of it; whether it is complete."""
    count, first = plan.n_rows, plan.drawn
    last = plan.drawn = min(count, first + DRAWN)
    if plan.order == SHUFFLED:
        shuffle(order, count, plan.seed, epoch, first, last)
        begin, end = count - last, count - first
    else:
        draw_with_replacement(order, plan.population, plan.seed, epoch, first, last)
        begin, end = first, last
    if plan.chosen == 1:
        for i in range(begin, end):
            order[i] = order[count + order[i]]
    return last == count


@inline
def _take_loss(reals):
    """Mean loss of the samples since the last time, 0 if none of them had a weight."""
    loss = reals.loss_sum / max(reals.loss_rows, 1.0)
    reals.loss_sum = reals.loss_rows = 0.0
    return loss


@kernel
def end_epoch(plan, work, reals, record):
    """Record the loss of an epoch and, where gradients are in memory, norms; the status is DIVERGED, or STOPPED by a rule."""
    loss = record[0] = _take_loss(reals)
    if plan.separate == 1:
        write_norms(plan, work + plan.packed, record + 1)
        write_norms(plan, work + plan.gradient, record + 1 + 2 * plan.n_layers)
    if not isfinite(loss):
        plan.status = DIVERGED
    elif plan.limit > 0:
        bound = reals.best - reals.tolerance
        reals.waited = reals.waited + 1.0 if loss > bound or (loss == bound and reals.strict > 0.0) else 0.0
        reals.best = min(reals.best, loss)
        if reals.waited >= plan.limit:
            plan.status = STOPPED


def _training(step):
    @kernel
    def train(plan, work, reals, rates, record, data, order, crew):
        """Mini-batches from the cursor on, until epochs or the budget is reached or the status is no longer RUNNING."""
        epoch, first, rows, size = plan.epoch, plan.first, plan.n_rows, plan.batch
        record_width, left = 1 + 4 * plan.n_layers, plan.budget
        while epoch < plan.epochs and left > 0 and plan.status == RUNNING:
            if plan.order != GIVEN and plan.drawn < rows and not _draw_rows(plan, order, epoch):
                break
            since, each = epoch - plan.origin, min(plan.rates - 1, 1)
            begin_epoch(plan, reals, rates, since)
            samples, rate = order + since * plan.order_stride, rates + since * plan.rates + each * (first // size)
            while first < rows and left > 0:
                batch = batch_of(plan, data, samples + first, min(size, rows - first), epoch, first)
                pieces = step(plan, work, reals, data, batch, rate[0], True, left, crew)
                left -= abs(pieces)
                if pieces < 0:
                    break
                first += batch.count
                rate = rate + each
            if first >= rows:
                end_epoch(plan, work, reals, record + since * record_width)
                epoch += 1
                first = plan.drawn = 0
        plan.epoch, plan.first, plan.budget = epoch, first, left

    return train


_train, _train_narrow = _training(minibatch), _training(narrow_minibatch)


@kernel
def _is_sound(plan, loss, packed):
    """Whether a step has led from a finite loss to finite parameters; if not, the status is DIVERGED."""
    is_sound = isfinite(loss) and are_finite(packed, plan.n_packed)
    if not is_sound:
        plan.status = DIVERGED
    return is_sound


class Call(NamedTuple):
    """What a call works on: pointers, and the records of the first and the fourth array."""

    plan: Any
    work: Any
    params: Any
    reals: Any
    rates: Any
    record: Any
    order: Any
    data: Data
    out: Any


@kernel
def lead(call, mode, crew):
    """A call on a plan of panels, by the leader of a crew; see `run`."""
    plan, work, params, reals = call.plan, call.work, call.params, call.reals
    if mode != PREDICT or plan.n_rows > 1 or plan.tabular == 1 or is_row_packed(plan, params):
        pack_changed(plan, params, work)
    if not codes_are_known(plan):
        return nan
    if mode == PREDICT:
        return 0.0 if predict(plan, params, work, reals, call.data, call.order, alone(crew.meeting)) else nan
    if mode >= VJP:
        return 0.0 if derive(plan, work, reals, call.data, call.order, mode, alone(crew.meeting)) else nan
    await_arrival(crew)
    if mode == TRAIN:
        _train(plan, work, reals, call.rates, call.record, call.data, call.order, crew)
        write_back(plan, work, params)
        return 0.0
    batch = batch_of(plan, call.data, call.order, plan.n_rows, plan.epoch, plan.first)
    minibatch(plan, work, reals, call.data, batch, call.rates[0], mode != EVALUATE, plan.budget, crew)
    if plan.top > 0:
        return 0.0
    loss = _take_loss(reals)
    if mode == DIFFERENTIATE:
        unpack_layers(plan, work + plan.gradient, call.out)
    elif mode == STEP:
        if _is_sound(plan, loss, work + plan.packed):
            write_back(plan, work, params)
        else:
            forget_packed(plan, work)
    return loss


@kernel
def in_panels(call, mode, member, crew):
    """A call on a plan of panels, by any number of threads; see `run`."""
    plan, order = call.plan, call.order
    if member > 0:
        if mode != TRAIN:  # what there is to do begins with the first of the order, wherever in an epoch it is
            order = order + -((plan.epoch - plan.origin) * plan.order_stride + plan.first)
        help_along(plan, call.work, call.reals, call.data, order, mode != EVALUATE, crew, member)
        return 0.0
    result = lead(call, mode, crew)
    end_call(crew)
    return result


@kernel
def in_lanes(call, mode, member, crew):
    """TRAIN or STEP for a plan of narrow layers, by one thread; see `run`."""
    plan, work, reals, packed = call.plan, call.work, call.reals, call.work + call.plan.packed
    if not codes_are_known(plan):
        return nan
    pack_narrow(plan, call.params, packed)
    write_ones(plan, work)
    if mode == STEP:
        batch = batch_of(plan, call.data, call.order, plan.n_rows, plan.epoch, plan.first)
        narrow_minibatch(plan, work, reals, call.data, batch, call.rates[0], True, plan.budget, crew)
        if plan.top > 0:
            return 0.0
        loss = _take_loss(reals)
        if _is_sound(plan, loss, packed):
            unpack_narrow(plan, packed, call.params)
        return loss
    _train_narrow(plan, work, reals, call.rates, call.record, call.data, call.order, crew)
    unpack_narrow(plan, packed, call.params)
    return 0.0


def signature(dtype):
    """Of the functions that Python calls with the arrays of a session."""
    vector, ints, reals = dtype[::1], types.int64[::1], types.float64[::1]
    numbers, places, rows = (types.Array(each, 1, "C", readonly=True) for each in (dtype, types.int32, types.int64))
    samples = OneOf(dtype, OTHERS)
    own = ints, vector, vector, *[reals] * 3, types.int32[::1], ints
    weights = types.Array(types.float64, 1, "C", readonly=True)
    return types.float64(*own, *[types.int64] * 3, samples, places, rows, numbers, rows, weights, vector)


def _running(name, way):
    def run(
        plan, work, params, reals, rates, record, order, meeting, mode, member, number, x, columns, starts, y, labels, weights, out
    ):
        """What one thread does in one call; all arrays are one-dimensional.

        Parameters
        ----------
        plan : array of int64
            A `Plan` and its layers.
        work, params : arrays
            See :mod:`fastbp.kernels.plan`. `work` is overwritten, and `params` by TRAIN.
        reals : array of float64
            `Reals`: hyper-parameters and sums.
        rates, record : arrays of float64
            Learning rate of each epoch (or of each of its mini-batches), and (epochs, 1 + 4 L): loss, norms of weights and biases,
            norms of their gradients.
        order : array of int32
            Row numbers, overwritten where the kernel draws them; where the plan says so, the rows that are `chosen` after them.
        meeting : array of int64
            What threads share, see :mod:`fastbp.kernels.roll_call`.
        mode : int
            See :mod:`fastbp.kernels.modes`.
        member, number : int
            This thread's number among those that run this call with the same arrays, 0 for the leader; and the number of the call,
            more than that of the one before, or 0: by one thread.
        x, columns, starts : arrays
            (N, n_in), also of one of the `OTHERS` of `fastbp.simd.kinds`, empty, empty; or, without zeros, the numbers, their
            columns, and where those of each sample begin (N + 1,).
        y, labels, weights, out : arrays
            (N, O) or empty; (N,) or empty; float64, (N,) or empty; see `mode`.

        Returns
        -------
        float
            STEP, DIFFERENTIATE and EVALUATE: to the leader, the mean loss, if ``plan.top`` is 0; else the call goes on. PREDICT
            and the three last: NaN if `x` holds one, or infinity, or `y` where it is read. Else 0. NaN, too, if a code is not
            known; the plan's status tells that.
        """
        plan_, reals_ = plan_at(pointer(plan)), reals_at(pointer(reals))
        if member == 0:  # the others read it after they have been let in
            set_conversion(plan_, reals_, x.kind)
        samples = pointer(x), pointer(columns), pointer(starts), pointer(y), pointer(labels), pointer(weights)
        data = Data(*samples, pointer(out))
        own = plan_, pointer(work), pointer(params), reals_, pointer(rates), pointer(record)
        return way(Call(*own, pointer(order), data, pointer(out)), mode, member, Crew(pointer(meeting), number))

    run.__name__ = run.__qualname__ = name
    return entry(signature)(run)


run, run_narrow = _running("run", in_panels), _running("run_narrow", in_lanes)


@entry(lambda dtype: types.void(types.int32[::1], types.int64, types.int64))
def draw_order(order, seed, epoch):
    """order (m,) = the rows that an epoch of a shuffled fit with this seed visits. `order` is overwritten."""
    shuffle(pointer(order), order.size, seed, epoch, 0, order.size)
