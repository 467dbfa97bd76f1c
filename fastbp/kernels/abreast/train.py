"""Epochs of W networks in one compiled call: the function that Python calls.

Legend: K networks; W lanes, a network in each; N samples, M of them held out; m rows that a network visits in an epoch; E epochs; P
parameters of a network, registers of a group; I inputs and O outputs.
"""

from math import isfinite

from numba import types

from fastbp.compiler import entry, inline, kernel
from fastbp.kernels.abreast.lanes import from_lane, group_at, lane_of, load_group, reals_of, store_group
from fastbp.kernels.abreast.minibatch import Data, losses_and_gradients, minibatch, write_outputs
from fastbp.kernels.abreast.orders import order_rows, write_consecutive, write_rows_of_y
from fastbp.kernels.codes import codes_are_known
from fastbp.kernels.modes import EVALUATE, PREDICT, TRAIN
from fastbp.kernels.plan import DIVERGED, RUNNING, STOPPED, plan_at
from fastbp.simd.register import fma, like, load, pointer, select, store, width


@kernel
def _tell_not_finite(plan, work, flags):
    """flags (W,) = 0 for networks of which all parameters are finite, else NaN."""
    packed = work + plan.packed
    zero = total = like(load(packed, 0), 0.0)
    for i in range(0, plan.n_packed, width(work)):
        total = fma(load(packed, i), zero, total)
    store(flags, 0, total)


@kernel
def _keep(plan, work, source, target, flags):
    """target (P, W) = source, in the lanes whose flag is 1."""
    is_kept = load(flags, 0) > like(load(flags, 0), 0.5)
    for i in range(0, plan.n_packed, width(work)):
        store(target, i, select(is_kept, load(source, i), load(target, i)))


@kernel
def _evaluate(plan, work, data, members, reals, count, rows, rows_of_y):
    """``part`` of each network's real numbers = its mean loss of so many samples; sums over blocks are in float64."""
    lanes, losses = width(work), work + plan.losses
    for j in range(lanes):
        own = reals_of(reals, j)
        own.loss_sum = own.loss_rows = 0.0
    for top in range(0, count, plan.block):
        samples = min(plan.block, count - top)
        write_consecutive(top, samples, rows, data.row_stride, lanes)
        write_rows_of_y(data, members, rows, rows_of_y, samples, lanes)
        losses_and_gradients(plan, work, data, members, reals, rows, rows_of_y, samples, False)
        for j in range(lanes):
            own = reals_of(reals, j)
            weight = samples if plan.weighted == 0 else 1.0 / own.inverse if own.inverse > 0.0 else 0.0
            own.loss_sum += losses[j] * weight
            own.loss_rows += weight
    for j in range(lanes):
        own = reals_of(reals, j)
        own.part = own.loss_sum / own.loss_rows if own.loss_rows > 0.0 else 0.0
        own.loss_sum = own.loss_rows = 0.0


@inline
def _has_waited(loss, bound, is_strict, waited):
    """Epochs running without a loss below the bound, after one more."""
    return waited + 1.0 if loss > bound or (loss == bound and is_strict) else 0.0


@kernel
def _end_epoch(plan, work, group, members, reals, epoch, record):
    """Losses into `record` (K, E), and which networks go on; flags (W,) of those whose parameters are to be kept."""
    lanes, flags = width(work), work + plan.norms
    _tell_not_finite(plan, work, flags)
    for j in range(lanes):
        lane, own = lane_of(members, j), reals_of(reals, j)
        loss, is_finite = own.loss_sum / max(own.loss_rows, 1.0), flags[j] == 0.0
        own.loss_sum = own.loss_rows = 0.0
        flags[j] = 0
        if lane.status != RUNNING:
            continue
        if not (is_finite and isfinite(loss)):
            lane.status = DIVERGED
            continue
        record[lane.network * group.epochs + epoch], flags[j] = loss, 1
        if group.limit > 0:
            own.waited = _has_waited(loss, own.best - own.tolerance, own.strict > 0.0, own.waited)
            own.best = min(own.best, loss)
            if own.waited >= group.limit:
                lane.status = STOPPED


@kernel
def _judge(plan, work, group, held, members, reals, epoch, record, rows):
    """Losses of the samples that are held out into `record`; with patience, the parameters of the best are kept."""
    lanes, flags, ended = width(work), work + plan.norms, work + plan.norms + width(work)
    store(ended, 0, load(flags, 0))
    _evaluate(plan, work, held, members, reals, group.held, rows, rows)
    for j in range(lanes):
        lane, own = lane_of(members, j), reals_of(reals, j)
        flags[j] = 0
        if ended[j] != 1:
            continue
        loss = record[lane.network * group.epochs + epoch] = own.part
        if group.patience > 0:
            own.waited_held = _has_waited(loss, own.best_held, True, own.waited_held)
            if own.waited_held == 0.0:
                own.best_held, flags[j] = loss, 1
            elif own.waited_held >= group.patience:
                lane.status = STOPPED
    if group.patience > 0:
        _keep(plan, work, work + plan.packed, work + plan.partials, flags)


@kernel
def _train(plan, work, group, members, reals, rates, losses, held_losses, given, data, held, words, rows, rows_of_y):
    """Epochs from `first` on, until `last` or no network is RUNNING; the epoch where this ends."""
    lanes, size, flags = width(work), plan.batch, work + plan.norms
    epoch, are_running = group.first, True
    while epoch < group.last and are_running:
        if epoch == group.first or group.changes == 1:
            order_rows(group, members, given, epoch, words, rows, data.row_stride, lanes)
            write_rows_of_y(data, members, rows, rows_of_y, group.rows, lanes)
        for j in range(lanes):
            reals_of(reals, j).hyper[0] = rates[lane_of(members, j).network * group.epochs + epoch]
        for first in range(0, group.rows, size):
            count = min(size, group.rows - first)
            minibatch(plan, work, data, members, reals, rows + first, rows_of_y + first, count)
        _end_epoch(plan, work, group, members, reals, epoch, losses)
        _keep(plan, work, work + plan.packed, work + plan.copy, flags)
        if group.held > 0:
            _judge(plan, work, group, held, members, reals, epoch, held_losses, rows)
        are_running = False
        for j in range(lanes):
            are_running |= lane_of(members, j).status == RUNNING
        epoch += 1
    return epoch


@kernel
def _predict(plan, work, group, data, members, rows, out):
    """out (K, N, O) = the outputs of the networks of a group for all samples."""
    lanes, n_out = width(work), plan.layers[plan.n_layers - 1].n_out
    for top in range(0, group.samples, plan.block):
        samples = min(plan.block, group.samples - top)
        write_consecutive(top, samples, rows, data.row_stride, lanes)
        write_outputs(plan, work, data, rows, samples)
        for j in range(group.members):
            own = out + (lane_of(members, j).network * group.samples + top) * n_out
            for s in range(samples):
                for k in range(n_out):
                    own[s * n_out + k] = work[plan.lanes + (s * n_out + k) * lanes + j]


def _signature(dtype):
    vector, ints, reals, places = dtype[::1], types.int64[::1], types.float64[::1], types.int32[::1]
    numbers, rows, weights = (types.Array(each, 1, "C", readonly=True) for each in (dtype, types.int32, types.float64))
    kept, recorded = [vector] * 3, [reals] * 4
    samples = [numbers, numbers, weights] * 2
    return types.int64(types.int64, ints, vector, ints, ints, *kept, *recorded, rows, *samples, ints, *[places] * 2, vector)


@entry(_signature)
def run_abreast(
    mode,
    plan,
    work,
    group,
    members,
    params,
    slots,
    best,
    reals,
    rates,
    losses,
    held_losses,
    given,
    x,
    y,
    sample_weight,
    held_x,
    held_y,
    held_weight,
    words,
    rows,
    rows_of_y,
    out,
):
    """What one thread does with the networks of a group; all arrays are one-dimensional.

    Parameters
    ----------
    mode : int
        TRAIN, DIFFERENTIATE, EVALUATE or PREDICT.
    plan : array of int64
        A `Plan` and its layers, of :func:`fastbp.engine.planner.make_abreast_plan`.
    work : array
        Overwritten.
    group, members : arrays of int64
        A `Group`, and a `Lane` for each lane.
    params, slots, best : arrays
        (K, P), (K, slots, P) and (K, P), which TRAIN overwrites; the last with patience only.
    reals : array of float64
        `Reals` of each lane.
    rates, losses, held_losses : arrays of float64
        (K, E): learning rates, and what is recorded; without TRAIN, losses is (K,).
    given : array of int32
        Rows, where lanes say so.
    x, y, sample_weight, held_x, held_y, held_weight : arrays
        See `Data`; the last three are those of the samples that are held out, of which all have the same.
    words : array of int64
        (5, SEEDS), overwritten.
    rows, rows_of_y : arrays of int32
        (W, m or samples of a block), and the same again, or `rows` once more where all have the same targets. Overwritten.
    out : array
        DIFFERENTIATE: gradients (K, P); PREDICT: outputs (K, N, O).

    Returns
    -------
    int
        TRAIN: the epoch that would be next. Else 0. -1 if a code is not known.
    """
    own, about, lanes, which, numbers = (
        plan_at(pointer(plan)),
        group_at(pointer(group)),
        pointer(work),
        pointer(members),
        pointer(reals),
    )
    row, place, loss = pointer(rows), pointer(rows_of_y), pointer(losses)
    columns, stride = (about.columns, about.target_columns), about.row_stride
    targets, weights = (pointer(y), columns[1], about.targets_of_each), (pointer(sample_weight), about.weights_of_each)
    data = Data(pointer(x), columns[0], *targets, *weights, stride)
    if not codes_are_known(own):
        return -1
    load_group(own, lanes, about, which, pointer(params), pointer(slots), pointer(best))
    if mode == TRAIN:
        held = Data(pointer(held_x), columns[0], pointer(held_y), columns[1], 0, pointer(held_weight), 0, stride)
        recorded = pointer(rates), loss, pointer(held_losses)
        epoch = _train(own, lanes, about, which, numbers, *recorded, pointer(given), data, held, pointer(words), row, place)
        store_group(own, lanes, about, which, pointer(params), pointer(slots), pointer(best))
        return epoch
    if mode == PREDICT:
        _predict(own, lanes, about, data, which, row, pointer(out))
    elif mode == EVALUATE:
        _evaluate(own, lanes, data, which, numbers, about.samples, row, place)
        for j in range(about.members):
            loss[lane_of(which, j).network] = reals_of(numbers, j).part
    else:
        write_consecutive(0, about.samples, row, about.row_stride, width(lanes))
        write_rows_of_y(data, which, row, place, about.samples, width(lanes))
        losses_and_gradients(own, lanes, data, which, numbers, row, place, about.samples, True)
        for j in range(about.members):
            network = lane_of(which, j).network
            loss[network] = lanes[own.losses + j]
            from_lane(own, lanes + own.gradient, j, pointer(out) + network * own.n_params)
    return 0
