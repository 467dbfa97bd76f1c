"""Dropout, L1, clipping and max-norm: in the extended entries only, so that the common one is compiled sooner.

Legend: B rows (samples) of the block; I inputs and O outputs of a layer; P columns of a panel; W lanes; G gradient, D deltas,
M masks of dropout: 0 where an input is dropped, else 1 / (1 - p).
"""

from math import inf

from numba import types

from fastbp.compiler import entry, inline, when_extended
from fastbp.kernels.draws.philox import mask_of_units
from fastbp.kernels.norms import column_norms, norm, norm_of_norms
from fastbp.kernels.plan import PER_BATCH, step_at
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.kernels.team import barrier, share
from fastbp.simd import register
from fastbp.simd.ieee754 import scale_of_squares
from fastbp.simd.record import following, preceding
from fastbp.simd.register import (
    all_lanes,
    broadcast,
    fma,
    horizontal_sum,
    like,
    load,
    maximum,
    minimum,
    pointer,
    select,
    store,
    width,
)

SMALLEST_SCALE = 1e-30  # of a gradient that is multiplied in one step: a smaller one has few digits, or is 0, in float32


# --- dropout -----------------------------------------------------------------------------------------------------------------


@when_extended
def draw_masks(plan, work, batch, team):
    """M (B, I) of every layer whose inputs are dropped, and X = X * M for those of the network; a share of the rows.

    A mask depends on nothing but the place among the rows of the epoch that it is for.
    """
    stride, panel = plan.panel_stride, panel_width(work)
    first, last = share(batch.count, team)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        keep = layer.keep
        if keep == 0:
            continue
        mask, x, end = work + layer.mask, work + layer.input, count_panels(layer.n_in, work) * panel
        for b in range(first, last):
            for i in range(0, end, 16):
                k = i
                for chunk in mask_of_units(mask, plan.seed, batch.epoch, batch.first + b, number, i // 16, keep):
                    if k < end:
                        store(mask, k // panel * stride + b * panel + k % panel, chunk)
                    k += 4
            if number == 0:
                for i in range(0, end, width(x)):
                    place = i // panel * stride + b * panel + i % panel
                    store(x, place, load(x, place) * load(mask, place))


@entry(lambda dtype: types.void(dtype[::1], *[types.int64] * 5))
def draw_mask(out, units, seed, epoch, layer, keep):
    """out (m, units), `units` a multiple of 16: the masks of an epoch's m rows, as `draw_masks` writes them. It is overwritten."""
    for place in range(0, out.size, 16):
        k = place
        for chunk in mask_of_units(pointer(out), seed, epoch, place // units, layer, place % units // 16, keep):
            store(pointer(out), k, chunk)
            k += 4


@when_extended
def drop(plan, layer, work, out, count):
    """What the next layer reads of `count` activations: A * M, `out` numbers into each matrix. The slope is taken of A itself."""
    above = following(layer)
    if layer.number + 1 < plan.n_layers and above.keep > 0:
        a, mask, target = work + layer.activation + out, work + above.mask + out, work + above.input + out
        for i in range(0, count, width(a)):
            store(target, i, load(a, i) * load(mask, i))


@when_extended
def drop_deltas(layer, work, out, count):
    """D = D * M for `count` deltas below a layer."""
    if layer.keep > 0:
        d, mask = work + preceding(layer).delta + out, work + layer.mask + out
        for i in range(0, count, width(d)):
            store(d, i, load(d, i) * load(mask, i))


# --- L1 and clipping ---------------------------------------------------------------------------------------------------------


@inline
def penalty_factor(plan, reals, value, batch):
    """L1 or L2, its `value`, in this mini-batch; the sum of the weights is in units of ``reals.unit``."""
    return value / reals.unit * batch.inverse if plan.penalised == PER_BATCH else value


@when_extended
def begin_step(plan, work, reals, batch):
    """The coefficients of this step, beside those of the rule, and the L1 penalty in the loss."""
    step, l1 = step_at(work + plan.step), penalty_factor(plan, reals, reals.l1, batch)
    step.l1[0], step.l1[1] = l1, 0
    step.clip = reals.clip_value
    if l1 > 0.0 and batch.inverse > 0.0:
        total = 0.0
        for number in range(plan.n_layers):
            layer = plan.layers[number]
            for p in range(count_panels(layer.n_out, work)):
                w = work + plan.packed + layer.pack + p * (layer.n_in + 1) * panel_width(work)
                part = like(load(w, 0), 0.0)
                for i in range(0, layer.n_in * panel_width(work), width(w)):
                    part = part + register.absolute(load(w, i))
                total += horizontal_sum(part)
        reals.loss_sum += l1 * total * batch.count


@when_extended
def complete(plan, work, offset, g, count, is_bias):
    """G = clip(G + l2 W + l1 sign(W)) for `count` packed parameters from `offset` on; sign(0) = 0."""
    if plan.completed == 0:
        return
    w, step, zero = work + plan.packed + offset, step_at(work + plan.step), like(load(g, 0), 0.0)
    l2, l1, limit = broadcast(step.l2, is_bias), broadcast(step.l1, is_bias), like(zero, step.clip)
    for i in range(0, count, width(g)):
        weight = load(w, i)
        sign = select(weight > 0.0, l1, select(weight < 0.0, -l1, zero))
        store(g, i, maximum(minimum(fma(l2, weight, load(g, i)) + sign, limit), -limit))


@when_extended
def complete_all(plan, work, reals, team):
    """G, in memory, completed, and scaled down to the norm it is clipped at: G = G min(1, limit / |G|); a share of it.

    Pascanu et al. (2013), algorithm 1. Norms are taken panel by panel, and of these in their order by every member.
    """
    if plan.completed == 0:
        return
    panel, norms, before = panel_width(work), work + plan.norms, 0
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        panels, inputs = count_panels(layer.n_out, work), layer.n_in * panel
        first, last = share(panels, team)
        for p in range(first, last):
            offset = layer.pack + p * (inputs + panel)
            g = work + plan.gradient + offset
            complete(plan, work, offset, g, inputs, 0)
            complete(plan, work, offset + inputs, g + inputs, panel, 1)
            norms[before + p] = norm(g, inputs + panel)
        before += panels
    barrier(team)
    whole, unit = norm_of_norms(norms, before), 1.0
    if not whole > reals.clip_norm:
        return
    if reals.clip_norm < SMALLEST_SCALE * whole:
        unit = scale_of_squares(work)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        panels, count = count_panels(layer.n_out, work), (layer.n_in + 1) * panel
        first, last = share(panels, team)
        g = work + plan.gradient + layer.pack
        scale = like(load(g, 0), reals.clip_norm / (whole * unit))
        for i in range(first * count, last * count, width(g)):
            store(g, i, scale * (load(g, i) * unit))


# --- max-norm ----------------------------------------------------------------------------------------------------------------


@when_extended
def limit_norms(plan, work, reals, team):
    """w = w min(1, limit / |w|) for the weights w of every unit, a column of W^T (I, O); a share of the panels.

    Srivastava et al. (2014), section 5.1.
    """
    limit, panel = reals.max_norm, panel_width(work)
    if limit == 0.0:
        return
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        first, last = share(count_panels(layer.n_out, work), team)
        for p in range(first, last):
            for column in range(0, panel, width(work)):
                w = work + plan.packed + layer.pack + p * (layer.n_in + 1) * panel + column
                one = unit = like(load(w, 0), 1.0)
                norms = column_norms(w, layer.n_in, panel, unit)
                if not all_lanes(norms < like(one, inf)):
                    unit = select(norms < like(one, inf), one, like(one, scale_of_squares(w)))
                    norms = column_norms(w, layer.n_in, panel, unit)
                above = norms > like(one, limit) * unit
                if not all_lanes(norms <= like(one, limit) * unit):
                    unit, scale = select(above, unit, one), select(above, like(one, limit) / norms, one)
                    for i in range(0, layer.n_in * panel, panel):
                        store(w, i, scale * (load(w, i) * unit))
    barrier(team)
