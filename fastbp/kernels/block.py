"""A block of a mini-batch: gather, forward, loss, delta recursion and gradients, by all members of a team or by one for itself.

Legend: B samples of the block; L layers; O outputs of the network; W lanes of a register.
"""

from fastbp.compiler.jit import inline, kernel
from fastbp.kernels.backward import backward, multiply_slope_of_panel
from fastbp.kernels.forward import IDENTITY, forward
from fastbp.kernels.gradient import computes_deltas, gradient
from fastbp.kernels.packing import fill, from_lanes, gather_rows, to_lanes
from fastbp.kernels.products.entries import gather_entries, sort_entries
from fastbp.kernels.products.gemm import count_panels, panel_width, share
from fastbp.kernels.products.sparse import forward_entries, gradient_entries
from fastbp.kernels.regularize import draw_masks
from fastbp.kernels.sweeps import loss_block
from fastbp.kernels.team import barrier
from fastbp.layout import (
    ACTIVATION,
    AREA,
    BLOCK,
    CAP,
    CODE,
    COEFFICIENTS,
    COLUMNS,
    DELTA,
    GRADIENT,
    INPUT,
    LABELS,
    LANES,
    LANES_STRIDE,
    LOSS,
    LOSS_SCALE,
    LOSSES,
    MOST_ENTRIES,
    N_COEFFICIENTS,
    N_IN,
    N_LAYERS,
    N_OUT,
    N_PACKED,
    PACKED,
    PANEL_LOSS,
    PANEL_STRIDE,
    PARTIALS,
    PENALISED,
    RAW,
    TABLE,
    TRANSPOSED,
    WEIGHTED,
)
from fastbp.simd.register import horizontal_sum, like, load, load_first, load_rows, select, store, width

ROWS_OF_LOSS = 4  # registers of rows whose targets are gathered at a time: there is room for so many


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
def factor_of_weights(plan, inverse):
    """What the weights of the kernels are still to be multiplied by, `inverse` being 1 over the sum of those of a mini-batch.

    Weights of the user are divided by their sum in float64, before they become numbers of the network: they may be of any size.
    """
    return 1.0 if plan[WEIGHTED] == 1 else inverse


@inline
def _write_weights(plan, sample_weight, order, top, rows, inverse, weights):
    """Weights of W samples, 0 of those past `rows`; see `factor_of_weights`."""
    for j in range(width(weights)):
        weight = 1.0 if top + j < rows else 0.0
        if plan[WEIGHTED] == 1 and top + j < rows:
            weight = sample_weight[order[top + j]] * inverse
        weights[j] = weight


@kernel
def _loss_in_panels(plan, work, reals, y, order, rows, inverse, differentiate, member, members):
    """`loss_and_delta` without weights, for a loss of raw outputs that takes them as they are: nothing is transposed."""
    row = plan + TABLE + (plan[N_LAYERS] - 1) * COLUMNS
    n_out, stride, panel, lanes = row[N_OUT], plan[PANEL_STRIDE], panel_width(work), width(work)
    targets = work + plan[LANES] + member * plan[LANES_STRIDE]
    zero, together = like(load(targets, 0), 0.0), ROWS_OF_LOSS * lanes
    first, last = share((rows + together - 1) // together, member, members)
    for top in range(first * together, min(last * together, rows), together):
        count, total = min(together, rows - top), zero
        for p in range(count_panels(n_out, work)):
            left, out = n_out - p * panel, p * stride + top * panel
            registers = 1 if left <= lanes else 2
            for j in range(count):
                source = y + order[top + j] * n_out + p * panel
                store(targets, j * panel, load_first(source, left))
                if registers == 2:
                    store(targets, j * panel + lanes, load_first(source + lanes, left - lanes))
            z = work + row[ACTIVATION] + out
            d = work + row[DELTA] + out if differentiate else targets
            step = panel // registers
            total = total + loss_block(plan[LOSS], z, targets, d, count * registers, step, reals[LOSS_SCALE], reals[CAP])
            if differentiate:
                for k in range(0, count * panel, step):
                    store(d, k, load(d, k) * inverse)
                    if registers == 1:
                        store(d, k + lanes, zero)
        for i in range((count + lanes - 1) // lanes):
            work[plan[LOSSES] + top // lanes + i] = horizontal_sum(total) if i == 0 else 0.0


@kernel
def loss_and_delta(plan, work, reals, y, labels, sample_weight, order, rows, inverse, differentiate, member, members):
    """Losses of the samples times their weights, summed W by W, and D (B, O) = dC/dz of the last layer; a share of it.

    C is the weighted mean over the mini-batch: `inverse` is 1 over the sum of its weights; see `factor_of_weights`.
    """
    if plan[PANEL_LOSS] == 1 and plan[WEIGHTED] == 0:
        _loss_in_panels(plan, work, reals, y, order, rows, inverse, differentiate, member, members)
        return
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
            _write_weights(plan, sample_weight, order, top, rows, inverse, weights)
        losses = loss_block(plan[LOSS], x, targets, d, n_out, lanes, reals[LOSS_SCALE], reals[CAP])
        targets, following = following, targets
        weight = load(weights, 0)
        work[plan[LOSSES] + block] = horizontal_sum(select(weight == 0.0, like(losses, 0.0), losses * weight))
        if differentiate:
            scale = weight * factor_of_weights(plan, inverse)
            for k in range(0, n_out * lanes, lanes):
                store(d, k, select(weight == 0.0, like(scale, 0.0), load(d, k) * scale))
            from_lanes(d, n_out, work + row[DELTA], stride, top)
            if row[CODE] != IDENTITY:
                for p in range(count_panels(n_out, work)):
                    out = p * stride + top * panel_width(work)
                    a, z, delta = work + row[ACTIVATION] + out, work + row[RAW] + out, work + row[DELTA] + out
                    multiply_slope_of_panel(row[CODE], z, a, delta, count, n_out - p * panel_width(work), alpha)


@kernel
def add_losses(plan, work, rows, loss):
    """`loss` and the losses of a block of samples, one register's after the other's."""
    for i in range((rows + width(work) - 1) // width(work)):
        loss += work[plan[LOSSES] + i]
    return loss


@kernel
def add_gradient(plan, work, area, is_first, member, members):
    """The gradient of a block, in the area of the member that computed it, added to that of the blocks before; a share of it."""
    first, last = share(plan[N_PACKED] // width(work), member, members)
    total, part = work + plan[GRADIENT], area + plan[PARTIALS]
    for i in range(first * width(work), last * width(work), width(work)):
        store(total, i, load(part, i) if is_first else load(total, i) + load(part, i))


@kernel
def plan_of_member(plan, member):
    """A copy of the plan, whose offsets count from the member's area, for blocks whose gradients are summed later."""
    length, shift = TABLE + COLUMNS * plan[N_LAYERS], member * plan[AREA]
    own = plan + (member + 1) * length
    for i in range(length):
        own[i] = plan[i]
    own[PACKED], own[TRANSPOSED], own[COEFFICIENTS] = plan[PACKED] - shift, plan[TRANSPOSED] - shift, plan[COEFFICIENTS] - shift
    own[GRADIENT] = plan[PARTIALS]
    return own


@kernel
def all_blocks(plan, work, reals, epoch, start, data, order, batch, inverse, differentiate, meeting, member, members):
    """The sum of the losses of a mini-batch, to member 0, and its gradients as `gradient` says.

    Blocks are computed by all members, one after the other, or, where each member has an area, by one each: then nothing but their
    gradients goes from core to core, which are summed in the order of the blocks, however many members there are.
    """
    x, columns, starts, y, labels, sample_weight = data
    alone, block, loss, is_sparse = plan[AREA] > 0, plan[BLOCK], 0.0, plan[MOST_ENTRIES] > 0
    own, area, together, one, team = plan, work, 1, member, members
    if alone:
        own, area, together, one, team = plan_of_member(plan, member), work + member * plan[AREA], members, 0, 1
        barrier(meeting, members)
    for top in range(0, batch, block * together):
        begin = top + member * block if alone else top
        rows, samples = min(block, batch - begin), order + begin
        if rows > 0:
            is_first, is_last = alone or top == 0, top + block >= batch and not alone
            first, last = share(rows, one, team)
            if is_sparse:
                gather_entries(own, area, x, columns, starts, samples, first, last)
            else:
                gather_rows(x, own[TABLE + N_IN], samples, first, last, area + own[TABLE + INPUT], own[PANEL_STRIDE])
            draw_masks(own, area, epoch, start + begin, rows, one, team)
            barrier(meeting, team)
            if is_sparse and differentiate:
                sort_entries(own, area, rows, one, team)
            for layer in range(plan[N_LAYERS]):
                if is_sparse and layer == 0:
                    forward_entries(own, area, rows, differentiate, one, team)
                else:
                    forward(own, layer, area, rows, differentiate, False, one, team)
                barrier(meeting, team)
            loss_and_delta(own, area, reals, y, labels, sample_weight, samples, rows, inverse, differentiate, one, team)
            barrier(meeting, team)
            if differentiate:
                for layer in range(plan[N_LAYERS] - 1, -1, -1):
                    if layer > 0 and not computes_deltas(own, layer, rows):
                        backward(own, layer, area, rows, one, team)
                    if is_sparse and layer == 0:
                        gradient_entries(own, area, rows, is_first, is_last, plan[PENALISED] > 0, one, team)
                    else:
                        gradient(own, layer, area, rows, is_first, is_last, plan[PENALISED] > 0, one, team)
                    barrier(meeting, team)
        if alone:
            barrier(meeting, members)
        for other in range(min(together, (batch - top + block - 1) // block)):
            theirs = work + other * plan[AREA]
            if member == 0:
                loss = add_losses(plan, theirs, min(block, batch - top - other * block), loss)
            if alone and differentiate:
                add_gradient(plan, work, theirs, top == 0 and other == 0, member, members)
        if alone:
            barrier(meeting, members)
    return loss
