"""Epochs of mini-batches in one compiled call: the functions that Python calls, one compile a dtype for every network.

Legend: N samples of the data; m rows visited in an epoch; L layers; all other letters as in :mod:`fastbp.kernels.minibatch`.
"""

from math import isfinite, nan

from numba import types

from fastbp.compiler.jit import entry, inline, kernel
from fastbp.kernels.codes import codes_are_known
from fastbp.kernels.draws.philox import draw_with_replacement, shuffle
from fastbp.kernels.minibatch import minibatch
from fastbp.kernels.narrow.minibatch import narrow_minibatch, pack_narrow, unpack_narrow, write_ones
from fastbp.kernels.norms import write_norms
from fastbp.kernels.packing import copy, pack_weights, unpack_weights
from fastbp.kernels.predict import are_equal, predict
from fastbp.kernels.products.gemm import count_panels, share
from fastbp.kernels.team import all_are_here, barrier
from fastbp.layout import (
    BATCH,
    BEST,
    BIASES,
    COLUMNS,
    COPY,
    DIVERGED,
    EPOCH,
    EPOCHS,
    FIRST,
    GIVEN,
    GRADIENT,
    LIMIT,
    LOSS_ROWS,
    LOSS_SUM,
    N_IN,
    N_LAYERS,
    N_OUT,
    ORDER,
    ORDER_STRIDE,
    PACK,
    PACKED,
    POPULATION,
    RATES,
    ROWS,
    RUNNING,
    SEED,
    SEPARATE,
    SHUFFLED,
    STATUS,
    STEPS,
    STOPPED,
    STRICT,
    TABLE,
    TOLERANCE,
    WAITED,
    WEIGHTS,
)
from fastbp.simd.register import pointer

# what a call does
TRAIN, DIFFERENTIATE, EVALUATE, PREDICT = range(4)


@kernel
def pack_layers(plan, params, packed, member, members):
    """The packed parameters of every layer from the user's flat vector; a share of the panels of each."""
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        first, last = share(count_panels(row[N_OUT], packed), member, members)
        w, b = params + row[WEIGHTS], params + row[BIASES]
        pack_weights(w, b, packed + row[PACK], row[N_IN], row[N_OUT], first, last)


@kernel
def unpack_layers(plan, packed, params):
    """The user's flat vector from packed parameters (or their gradients)."""
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        unpack_weights(packed + row[PACK], params + row[WEIGHTS], params + row[BIASES], row[N_IN], row[N_OUT])


@kernel
def _begin_epoch(plan, order, epoch):
    if plan[ORDER] == SHUFFLED:
        shuffle(order, plan[ROWS], plan[SEED], epoch)
    elif plan[ORDER] != GIVEN:
        draw_with_replacement(order, plan[ROWS], plan[POPULATION], plan[SEED], epoch)


@inline
def _take_loss(reals):
    """Mean loss of the samples since the last time, 0 if none of them had a weight."""
    loss = reals[LOSS_SUM] / max(reals[LOSS_ROWS], 1.0)
    reals[LOSS_SUM] = reals[LOSS_ROWS] = 0.0
    return loss


@kernel
def _end_epoch(plan, work, reals, record):
    loss = record[0] = _take_loss(reals)
    if plan[SEPARATE] == 1:
        write_norms(plan, work + plan[PACKED], record + 1)
        write_norms(plan, work + plan[GRADIENT], record + 1 + 2 * plan[N_LAYERS])
    if not isfinite(loss):
        plan[STATUS] = DIVERGED
    elif plan[LIMIT] > 0:
        bound = reals[BEST] - reals[TOLERANCE]
        reals[WAITED] = reals[WAITED] + 1.0 if loss > bound or (loss == bound and reals[STRICT] > 0.0) else 0.0
        reals[BEST] = min(reals[BEST], loss)
        if reals[WAITED] >= plan[LIMIT]:
            plan[STATUS] = STOPPED


def _training(step):
    @kernel
    def train(plan, work, reals, rates, record, data, order, meeting, member, members):
        """Mini-batches from the cursor (EPOCH, FIRST) on, until EPOCHS or STEPS are reached or STATUS is no longer RUNNING."""
        epoch, first, rows, batch = plan[EPOCH], plan[FIRST], plan[ROWS], plan[BATCH]
        record_width, steps = 1 + 4 * plan[N_LAYERS], 0
        while epoch < plan[EPOCHS] and steps < plan[STEPS] and plan[STATUS] == RUNNING:
            if first == 0 and plan[ORDER] != GIVEN:
                if member == 0:
                    _begin_epoch(plan, order, epoch)
                barrier(meeting, members)
            samples, each = order + epoch * plan[ORDER_STRIDE], min(plan[RATES] - 1, 1)
            rate = rates + epoch * plan[RATES] + each * (first // batch)
            while first < rows and steps < plan[STEPS]:
                count, part, lr = min(batch, rows - first), samples + first, rate[0]
                step(plan, work, reals, lr, epoch, first, data, part, count, True, meeting, member, members)
                first += count
                steps += 1
                rate = rate + each
            if first >= rows:
                if member == 0:
                    _end_epoch(plan, work, reals, record + epoch * record_width)
                barrier(meeting, members)
                epoch += 1
                first = 0
        barrier(meeting, members)
        if member == 0:
            plan[EPOCH], plan[FIRST] = epoch, first

    return train


_train, _train_narrow = _training(minibatch), _training(narrow_minibatch)


def _signature(dtype):
    vector, ints, reals = dtype[::1], types.int64[::1], types.float64[::1]
    numbers, places, rows = (types.Array(each, 1, "C", readonly=True) for each in (dtype, types.int32, types.int64))
    own = ints, vector, vector, *[reals] * 3, ints, ints
    weights = types.Array(types.float64, 1, "C", readonly=True)
    return types.float64(*own, *[types.int64] * 3, numbers, places, rows, numbers, rows, weights, vector)


@entry(_signature)
def run(
    plan,
    work,
    params,
    reals,
    rates,
    record,
    order,
    meeting,
    mode,
    member,
    members,
    x,
    columns,
    starts,
    y,
    labels,
    sample_weight,
    out,
):
    """What one member of a team does in one call; all arrays are one-dimensional.

    Parameters
    ----------
    plan, work, params : arrays
        See :mod:`fastbp.layout`. `work` is overwritten, and `params` by TRAIN.
    reals : array of float64
        Hyper-parameters and sums; see :mod:`fastbp.kernels.minibatch`.
    rates, record : arrays of float64
        Learning rate of each epoch (or of each of its mini-batches), and (epochs, 1 + 4 L): loss, norms of weights and biases,
        norms of their gradients.
    order, meeting : arrays of int64
        Row numbers, overwritten where the kernel draws them; the team's counter, see :mod:`fastbp.kernels.team`.
    mode : int
        TRAIN: `train`, parameters packed before and unpacked after. DIFFERENTIATE: `out` = the gradient, like `params`, of the mean
        loss of rows order[:ROWS] and the L2 penalty. EVALUATE: the loss only. PREDICT: `out` = outputs (ROWS, O), by one member.
    member, members : int
        This thread's number and how many run this call together, with the same arrays.
    x, columns, starts : arrays
        (N, n_in), empty, empty; or, without zeros, the numbers, their columns, and where those of each sample begin (N + 1,).
    y, labels, sample_weight, out : arrays
        (N, O) or empty; (N,) or empty; float64, (N,) or empty; see `mode`.

    Returns
    -------
    float
        DIFFERENTIATE and EVALUATE: to member 0, the mean loss. PREDICT: NaN if `x` holds one, or infinity. Else 0. NaN, too, if
        the team was called off or a code is not known; STATUS tells that.
    """
    plan_, work_, params_, meeting_ = pointer(plan), pointer(work), pointer(params), pointer(meeting)
    reals_, order_, out_ = pointer(reals), pointer(order), pointer(out)
    data = pointer(x), pointer(columns), pointer(starts), pointer(y), pointer(labels), pointer(sample_weight)
    packed = work_ + plan_[PACKED]
    if mode != PREDICT:
        pack_layers(plan_, params_, packed, member, members)
    elif plan_[ROWS] > 1 and not are_equal(params_, work_ + plan_[COPY], params.size):
        # telling that nothing has changed is three times as fast as packing
        pack_layers(plan_, params_, packed, 0, 1)
        copy(params_, work_ + plan_[COPY], params.size)
    if not (codes_are_known(plan_) and all_are_here(meeting_, members)):
        return nan
    if mode == TRAIN:
        _train(plan_, work_, reals_, pointer(rates), pointer(record), data, order_, meeting_, member, members)
        if member == 0:
            unpack_layers(plan_, packed, params_)
    elif mode == PREDICT:
        return 0.0 if predict(plan_, params_, work_, data, order_, out_) else nan
    else:
        rows, differentiate = plan_[ROWS], mode == DIFFERENTIATE
        minibatch(plan_, work_, reals_, 0.0, 0, 0, data, order_, rows, differentiate, meeting_, member, members)
        if member == 0:
            if differentiate:
                unpack_layers(plan_, work_ + plan_[GRADIENT], out_)
            return _take_loss(reals_)
    return 0.0


@entry(_signature)
def run_narrow(
    plan,
    work,
    params,
    reals,
    rates,
    record,
    order,
    meeting,
    mode,
    member,
    members,
    x,
    columns,
    starts,
    y,
    labels,
    sample_weight,
    out,
):
    """TRAIN for a plan of :mod:`fastbp.kernels.narrow.minibatch`, by one member; arguments as for `run`."""
    plan_, work_, params_, reals_, order_ = pointer(plan), pointer(work), pointer(params), pointer(reals), pointer(order)
    data = pointer(x), pointer(columns), pointer(starts), pointer(y), pointer(labels), pointer(sample_weight)
    if not codes_are_known(plan_):
        return nan
    pack_narrow(plan_, params_, work_ + plan_[PACKED])
    write_ones(plan_, work_)
    _train_narrow(plan_, work_, reals_, pointer(rates), pointer(record), data, order_, pointer(meeting), member, members)
    unpack_narrow(plan_, work_ + plan_[PACKED], params_)
    return 0.0


@entry(lambda dtype: types.void(types.int64[::1], types.int64, types.int64))
def draw_order(order, seed, epoch):
    """order (m,) = the rows that an epoch of a shuffled fit with this seed visits. `order` is overwritten."""
    shuffle(pointer(order), order.size, seed, epoch)
