"""One mini-batch: gather, forward, loss, delta recursion, gradients and step, by all members of a team.

Legend: B samples of the mini-batch, taken S at a time; L layers; O outputs of the network; W lanes of a register.
"""

from fastbp._jit import inline, kernel
from fastbp.activations import multiply_slope
from fastbp.kernels.backward import backward
from fastbp.kernels.forward import IDENTITY, forward
from fastbp.kernels.gemm import count_panels, panel_width, share
from fastbp.kernels.gradient import add_decay, gradient, update_from_memory
from fastbp.kernels.packing import fill, from_lanes, gather_rows, to_lanes, transpose_weights
from fastbp.kernels.regularize import begin_step, complete_all, draw_masks, limit_norms
from fastbp.kernels.simd import fma, horizontal_sum, like, load, load_rows, select, store, width
from fastbp.kernels.team import barrier
from fastbp.layout import (
    ACTIVATION,
    BLOCK,
    CAP,
    CODE,
    COEFFICIENTS,
    COLUMNS,
    DELTA,
    INPUT,
    L2,
    LABELS,
    LANES,
    LANES_STRIDE,
    LOSS,
    LOSS_ROWS,
    LOSS_SCALE,
    LOSS_SUM,
    LOSSES,
    N_COEFFICIENTS,
    N_IN,
    N_LAYERS,
    N_OUT,
    PACK,
    PACKED,
    PANEL_STRIDE,
    PENALISED,
    PER_BATCH,
    RAW,
    REPORT,
    RULE,
    SEPARATE,
    TABLE,
    TRANSPOSE,
    TRANSPOSED,
    WEIGHTED,
)
from fastbp.losses import loss_block
from fastbp.optimizers import prepare

NO_RULE = -1


@kernel
def transpose_layers(plan, work, member, members):
    """W^T of every layer but the first, for the delta recursion; a share of the panels of each."""
    for layer in range(1, plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        first, last = share(count_panels(row[N_IN], work), member, members)
        packed, transposed = work + plan[PACKED] + row[PACK], work + plan[TRANSPOSED] + row[TRANSPOSE]
        transpose_weights(packed, transposed, row[N_IN], row[N_OUT], first, last)


@kernel
def squared_norm(x, count):
    """Sum of the squares of `count` numbers, a multiple of 2 W."""
    even = odd = like(load(x, 0), 0.0)
    for i in range(0, count, 2 * width(x)):
        even = fma(load(x, i), load(x, i), even)
        odd = fma(load(x, i + width(x)), load(x, i + width(x)), odd)
    return horizontal_sum(even + odd)


@kernel
def squared_weights(plan, packed):
    """Sum over all weights, not biases, of their squares."""
    total = 0.0
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        for p in range(count_panels(row[N_OUT], packed)):
            w = packed + row[PACK] + p * (row[N_IN] + 1) * panel_width(packed)
            total += squared_norm(w, row[N_IN] * panel_width(packed))
    return total


@kernel
def add_penalty(plan, work, l2, member, members):
    """G + l2 W of every layer, for gradients in memory that no rule will read; a share of the panels."""
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        first, last = share(count_panels(row[N_OUT], work), member, members)
        for p in range(first, last):
            offset = row[PACK] + p * (row[N_IN] + 1) * panel_width(work)
            add_decay(plan, work, offset, row[N_IN] * panel_width(work), l2)


@inline
def _write_targets(plan, y, labels, order, top, rows, n_out, block):
    """Lane block (O, W) of the targets of the samples from `top` on, W or as many as are left of `rows`."""
    lanes = width(block)
    if rows - top >= lanes and plan[LABELS] == 0:
        for k in range(n_out):
            store(block, k * lanes, load_rows(y + k, order + top, n_out))
        return
    fill(block, n_out * lanes, 0.0)
    for j in range(min(lanes, rows - top)):
        sample = order[top + j]
        if plan[LABELS] == 1:
            block[labels[sample] * lanes + j] = 1
        else:
            for k in range(n_out):
                block[k * lanes + j] = y[sample * n_out + k]


@inline
def _write_weights(plan, sample_weight, order, top, rows, weights):
    """Weights of W samples, 0 of those past `rows`."""
    for j in range(width(weights)):
        weight = 1 if top + j < rows else 0
        weights[j] = sample_weight[order[top + j]] if weight and plan[WEIGHTED] == 1 else weight


@kernel
def loss_and_delta(plan, work, reals, y, labels, sample_weight, order, rows, inverse, differentiate, member, members):
    """Losses of the samples, summed W by W, and D (B, O) = dC/dz of the last layer; a share of it.

    C is the weighted mean over the mini-batch: `inverse` is 1 over the sum of its weights.
    """
    last_layer = plan[N_LAYERS] - 1
    row = plan + TABLE + last_layer * COLUMNS
    n_out, stride, lanes = row[N_OUT], plan[PANEL_STRIDE], width(work)
    room = count_panels(n_out, work) * panel_width(work) * lanes
    x = work + plan[LANES] + member * plan[LANES_STRIDE]
    targets, following, d, weights = x + room, x + 2 * room, x + 3 * room, x + 4 * room
    alpha = work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8 + last_layer
    first, last = share((rows + lanes - 1) // lanes, member, members)
    fill(d + n_out * lanes, room - n_out * lanes, 0.0)
    fill(weights, lanes, 1.0)
    _write_targets(plan, y, labels, order, first * lanes, rows, n_out, targets)
    for block in range(first, last):
        top = block * lanes
        count = min(lanes, rows - top)
        to_lanes(work + row[ACTIVATION], stride, top, n_out, x)
        # a register of numbers that were written one by one just before would be waited for
        _write_targets(plan, y, labels, order, top + lanes, rows, n_out, following)
        if plan[WEIGHTED] == 1 or count < lanes:
            _write_weights(plan, sample_weight, order, top, rows, weights)
        losses = loss_block(plan[LOSS], x, targets, d, n_out, lanes, reals[LOSS_SCALE], reals[CAP])
        targets, following = following, targets
        weight = load(weights, 0)
        work[plan[LOSSES] + block] = horizontal_sum(select(weight > 0.0, losses * weight, like(losses, 0.0)))
        if differentiate:
            scale = weight * inverse
            for k in range(0, n_out * lanes, lanes):
                store(d, k, select(weight > 0.0, load(d, k) * scale, like(scale, 0.0)))
            from_lanes(d, n_out, work + row[DELTA], stride, top)
            if row[CODE] != IDENTITY:
                for p in range(count_panels(n_out, work)):
                    out = p * stride + top * panel_width(work)
                    a, z, delta = work + row[ACTIVATION] + out, work + row[RAW] + out, work + row[DELTA] + out
                    multiply_slope(row[CODE], z, a, delta, count * panel_width(work), alpha)


@kernel
def minibatch(
    plan, work, reals, rate, epoch, start, x, y, labels, sample_weight, order, batch, differentiate, meeting, member, members
):
    """One step of training on the samples order[:batch], or (with NO_RULE) their loss and gradient.

    They are the rows from `start` on of an epoch.

    Adds the loss, penalty included, times `batch` to ``reals[LOSS_SUM]``, and `batch` to ``reals[LOSS_ROWS]``,
    unless its weight is 0; `rate` is lr.
    Everything in `work` may be overwritten but the packed weights and slots, which the rule changes.
    """
    n_layers, n_in = plan[N_LAYERS], plan[TABLE + N_IN]
    weight_sum = float(batch)
    if plan[WEIGHTED] == 1:
        weight_sum = 0.0
        for j in range(batch):
            weight_sum += sample_weight[order[j]]
    inverse = 1.0 / weight_sum if weight_sum > 0.0 else 0.0
    l2 = reals[L2] * inverse if plan[PENALISED] == PER_BATCH else reals[L2]
    coefficients, loss = work + plan[COEFFICIENTS], 0.0
    if member == 0:
        if plan[RULE] != NO_RULE:
            reals[0] = rate
            prepare(plan[RULE], reals, coefficients)
            for i in range(1, N_COEFFICIENTS):
                coefficients[N_COEFFICIENTS + i] = coefficients[i]
            coefficients[0] = 1
            coefficients[N_COEFFICIENTS] = 0
            coefficients[2 * N_COEFFICIENTS] = l2
            coefficients[2 * N_COEFFICIENTS + 1] = 0
            begin_step(plan, work, reals, inverse, batch)
        reals[LOSS_ROWS] += batch if inverse > 0.0 else 0
        if plan[PENALISED] > 0 and inverse > 0.0:
            reals[LOSS_SUM] += 0.5 * l2 * squared_weights(plan, work + plan[PACKED]) * batch
    if differentiate:
        transpose_layers(plan, work, member, members)

    block = plan[BLOCK]
    for top in range(0, batch, block):
        rows = min(block, batch - top)
        is_first, is_last = top == 0, top + block >= batch
        samples = order + top
        first, last = share(rows, member, members)
        gather_rows(x, n_in, samples, first, last, work + plan[TABLE + INPUT], plan[PANEL_STRIDE])
        draw_masks(plan, work, epoch, start + top, rows, member, members)
        barrier(meeting, members)
        for layer in range(n_layers):
            forward(plan, layer, work, rows, differentiate, False, member, members)
            barrier(meeting, members)
        loss_and_delta(plan, work, reals, y, labels, sample_weight, samples, rows, inverse, differentiate, member, members)
        barrier(meeting, members)
        if member == 0:
            for i in range((rows + width(work) - 1) // width(work)):
                loss += work[plan[LOSSES] + i]
        if differentiate:
            for layer in range(n_layers - 1, -1, -1):
                if layer > 0:
                    backward(plan, layer, work, rows, member, members)
                gradient(plan, layer, work, rows, is_first, is_last, plan[PENALISED] > 0, member, members)
                barrier(meeting, members)
        else:
            barrier(meeting, members)
    if member == 0:
        reals[LOSS_SUM] += reals[REPORT] * inverse * loss * batch
    if plan[SEPARATE] == 1 and plan[RULE] != NO_RULE:
        complete_all(plan, work, reals, meeting, member, members)
        for layer in range(n_layers):
            update_from_memory(plan, layer, work, member, members)
        barrier(meeting, members)
    elif differentiate and plan[RULE] == NO_RULE and plan[PENALISED] > 0 and inverse > 0.0:
        add_penalty(plan, work, l2, member, members)
        barrier(meeting, members)
    limit_norms(plan, work, reals, meeting, member, members)
