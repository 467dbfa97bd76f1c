"""Loss: the losses of a block of samples and their derivatives, D = dC/dz of the last layer, from which the recursion starts.

C is the weighted mean of the losses over the mini-batch.

Legend: B samples of the block; O outputs of the network; W lanes of a register; P columns of a panel.
"""

from fastbp.compiler import inline, kernel
from fastbp.kernels.backward import multiply_slope_of_panel
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.packing import fill, from_lanes, to_lanes
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.kernels.samples import factor_of_weights, weight_of
from fastbp.kernels.sweeps import loss_block
from fastbp.kernels.team import share
from fastbp.kernels.tuning import ROWS_OF_LOSS
from fastbp.simd.register import horizontal_sum, like, load, load_first, load_rows, select, store, width


@inline
def _write_targets(plan, data, batch, top, n_out, targets):
    """Lane block (O, W) of the targets of the samples from `top` on, W or as many as are left."""
    lanes, samples = width(targets), batch.samples
    if batch.count - top >= lanes and plan.labelled == 0:
        for k in range(n_out):
            store(targets, k * lanes, load_rows(data.y + k, samples + top, n_out))
        return
    fill(targets, n_out * lanes, 0.0)
    for j in range(min(lanes, batch.count - top)):
        sample = samples[top + j]
        if plan.labelled == 1:
            targets[data.labels[sample] * lanes + j] = 1
        else:
            for k in range(n_out):
                targets[k * lanes + j] = data.y[sample * n_out + k]


@inline
def _write_weights(plan, data, batch, top, weights):
    """Weights of W samples, 0 of those past the last; see `weight_of`."""
    for j in range(width(weights)):
        weights[j] = weight_of(plan, data, batch, top + j) if top + j < batch.count else 0.0


@kernel
def _loss_in_panels(plan, work, reals, data, batch, differentiate, team):
    """`loss_and_delta` without weights, for a loss of raw outputs that takes them as they are: nothing is transposed."""
    layer, samples = plan.layers[plan.n_layers - 1], batch.samples
    n_out, stride, panel, lanes = layer.n_out, plan.panel_stride, panel_width(work), width(work)
    targets = work + plan.lanes + team.member * plan.lanes_stride
    zero, together = like(load(targets, 0), 0.0), ROWS_OF_LOSS * lanes
    first, last = share((batch.count + together - 1) // together, team)
    for top in range(first * together, min(last * together, batch.count), together):
        count, total = min(together, batch.count - top), zero
        for p in range(count_panels(n_out, work)):
            left, out = n_out - p * panel, p * stride + top * panel
            registers = 1 if left <= lanes else 2
            for j in range(count):
                source = data.y + samples[top + j] * n_out + p * panel
                store(targets, j * panel, load_first(source, left))
                if registers == 2:
                    store(targets, j * panel + lanes, load_first(source + lanes, left - lanes))
            z = work + layer.activation + out
            d = work + layer.delta + out if differentiate else targets
            step = panel // registers
            total = total + loss_block(plan.loss, z, targets, d, count * registers, step, reals.loss_scale, reals.cap)
            if differentiate:
                for k in range(0, count * panel, step):
                    store(d, k, load(d, k) * batch.inverse)
                    if registers == 1:
                        store(d, k + lanes, zero)
        for i in range((count + lanes - 1) // lanes):
            work[plan.losses + top // lanes + i] = horizontal_sum(total) if i == 0 else 0.0


@kernel
def loss_and_delta(plan, work, reals, data, batch, differentiate, team):
    """Losses of a block of samples times their weights, summed W by W, and D (B, O) = dC/dz of the last layer; a share of it."""
    if plan.panel_loss == 1 and plan.weighted == 0:
        _loss_in_panels(plan, work, reals, data, batch, differentiate, team)
        return
    layer, rows = plan.layers[plan.n_layers - 1], batch.count
    n_out, stride, lanes = layer.n_out, plan.panel_stride, width(work)
    room = count_panels(n_out, work) * panel_width(work) * lanes
    x = work + plan.lanes + team.member * plan.lanes_stride
    targets, following, d, weights = x + room, x + 2 * room, x + 3 * room, x + 4 * room
    first, last = share((rows + lanes - 1) // lanes, team)
    fill(d + n_out * lanes, room - n_out * lanes, 0.0)
    fill(weights, lanes, 1.0)
    _write_targets(plan, data, batch, first * lanes, n_out, targets)
    for register in range(first, last):
        top = register * lanes
        count = min(lanes, rows - top)
        to_lanes(work + layer.activation, stride, top, n_out, x)
        # a register of numbers that were written one by one just before would be waited for
        _write_targets(plan, data, batch, top + lanes, n_out, following)
        if plan.weighted == 1 or count < lanes:
            _write_weights(plan, data, batch, top, weights)
        losses = loss_block(plan.loss, x, targets, d, n_out, lanes, reals.loss_scale, reals.cap)
        targets, following = following, targets
        weight = load(weights, 0)
        work[plan.losses + register] = horizontal_sum(select(weight == 0.0, like(losses, 0.0), losses * weight))
        if differentiate:
            scale = weight * factor_of_weights(plan, batch)
            for k in range(0, n_out * lanes, lanes):
                store(d, k, select(weight == 0.0, like(scale, 0.0), load(d, k) * scale))
            from_lanes(d, n_out, work + layer.delta, stride, top)
            if layer.code != IDENTITY:
                for p in range(count_panels(n_out, work)):
                    out, left = p * stride + top * panel_width(work), n_out - p * panel_width(work)
                    a, z, delta = work + layer.activation + out, work + layer.raw + out, work + layer.delta + out
                    multiply_slope_of_panel(layer.code, z, a, delta, count, left, work + layer.alpha)


@kernel
def add_losses(plan, work, rows, loss):
    """`loss` and the losses of a block of samples, one register's after the other's."""
    for i in range((rows + width(work) - 1) // width(work)):
        loss += work[plan.losses + i]
    return loss
