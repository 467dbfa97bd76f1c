"""Dropout, L1, clipping and max-norm: in the extended entries only, so that the common one is compiled sooner.

Legend: B rows (samples) of the block; I inputs and O outputs of a layer; P columns of a panel; W lanes; G gradient, D deltas,
M masks of dropout: 0 where an input is dropped, else 1 / (1 - p).
"""

from math import inf

from numba import types

from fastbp.compiler.jit import entry, inline, when_extended
from fastbp.kernels.draws.philox import mask_of_units
from fastbp.kernels.norms import column_norms, norm, norm_of_norms
from fastbp.kernels.products.gemm import count_panels, panel_width, share
from fastbp.kernels.team import barrier
from fastbp.layout import (
    ACTIVATION,
    CLIP_NORM,
    CLIP_VALUE,
    COEFFICIENTS,
    COLUMNS,
    COMPLETED,
    DELTA,
    GRADIENT,
    INPUT,
    KEEP,
    L1,
    LOSS_SUM,
    MASK,
    MAX_NORM,
    N_COEFFICIENTS,
    N_IN,
    N_LAYERS,
    N_OUT,
    NORMS,
    PACK,
    PACKED,
    PANEL_STRIDE,
    PENALISED,
    PER_BATCH,
    SEED,
    TABLE,
    UNIT,
)
from fastbp.simd import register
from fastbp.simd.ieee754 import scale_of_squares
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
def draw_masks(plan, work, epoch, position, rows, member, members):
    """M (B, I) of every layer whose inputs are dropped, and X = X * M for those of the network; a share of the rows.

    `position` is the place of the first row among those of the epoch: a mask depends on nothing but the place it is for.
    """
    stride, panel = plan[PANEL_STRIDE], panel_width(work)
    first, last = share(rows, member, members)
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        keep = row[KEEP]
        if keep == 0:
            continue
        mask, x, end = work + row[MASK], work + row[INPUT], count_panels(row[N_IN], work) * panel
        for b in range(first, last):
            for i in range(0, end, 16):
                k = i
                for chunk in mask_of_units(mask, plan[SEED], epoch, position + b, layer, i // 16, keep):
                    if k < end:
                        store(mask, k // panel * stride + b * panel + k % panel, chunk)
                    k += 4
            if layer == 0:
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
    row = plan + TABLE + (layer + 1) * COLUMNS
    if layer + 1 < plan[N_LAYERS] and row[KEEP] > 0:
        a, mask, target = work + (row - COLUMNS)[ACTIVATION] + out, work + row[MASK] + out, work + row[INPUT] + out
        for i in range(0, count, width(a)):
            store(target, i, load(a, i) * load(mask, i))


@when_extended
def drop_deltas(plan, layer, work, out, count):
    """D = D * M for `count` deltas below a layer."""
    row = plan + TABLE + layer * COLUMNS
    if row[KEEP] > 0:
        d, mask = work + (row - COLUMNS)[DELTA] + out, work + row[MASK] + out
        for i in range(0, count, width(d)):
            store(d, i, load(d, i) * load(mask, i))


# --- L1 and clipping ---------------------------------------------------------------------------------------------------------


@inline
def penalty_factor(plan, reals, name, inverse):
    """L1 or L2 of this mini-batch; `inverse` is 1 over the sum of its weights, in units of UNIT."""
    return reals[name] / reals[UNIT] * inverse if plan[PENALISED] == PER_BATCH else reals[name]


@when_extended
def begin_step(plan, work, reals, inverse, batch):
    """The coefficients of this step, beside those of the rule, and the L1 penalty in the loss."""
    c = work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS
    l1 = penalty_factor(plan, reals, L1, inverse)
    c[2] = l1
    c[3] = 0  # of biases
    c[4] = reals[CLIP_VALUE]
    if l1 > 0.0 and inverse > 0.0:
        total = 0.0
        for layer in range(plan[N_LAYERS]):
            row = plan + TABLE + layer * COLUMNS
            for p in range(count_panels(row[N_OUT], work)):
                w = work + plan[PACKED] + row[PACK] + p * (row[N_IN] + 1) * panel_width(work)
                part = like(load(w, 0), 0.0)
                for i in range(0, row[N_IN] * panel_width(work), width(w)):
                    part = part + register.absolute(load(w, i))
                total += horizontal_sum(part)
        reals[LOSS_SUM] += l1 * total * batch


@when_extended
def complete(plan, work, offset, g, count, is_bias):
    """G = clip(G + l2 W + l1 sign(W)) for `count` packed parameters from `offset` on; sign(0) = 0."""
    if plan[COMPLETED] == 0:
        return
    w, c = work + plan[PACKED] + offset, work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS
    l2, l1, limit, zero = broadcast(c, is_bias), broadcast(c, 2 + is_bias), broadcast(c, 4), like(load(g, 0), 0.0)
    for i in range(0, count, width(g)):
        weight = load(w, i)
        sign = select(weight > 0.0, l1, select(weight < 0.0, -l1, zero))
        store(g, i, maximum(minimum(fma(l2, weight, load(g, i)) + sign, limit), -limit))


@when_extended
def complete_all(plan, work, reals, meeting, member, members):
    """G, in memory, completed, and scaled down to the norm it is clipped at: G = G min(1, limit / |G|); a share of it.

    Pascanu et al. (2013), algorithm 1. Norms are taken panel by panel, and of these in their order by every member.
    """
    if plan[COMPLETED] == 0:
        return
    panel, norms, before = panel_width(work), work + plan[NORMS], 0
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        panels, inputs = count_panels(row[N_OUT], work), row[N_IN] * panel
        first, last = share(panels, member, members)
        for p in range(first, last):
            offset = row[PACK] + p * (inputs + panel)
            g = work + plan[GRADIENT] + offset
            complete(plan, work, offset, g, inputs, 0)
            complete(plan, work, offset + inputs, g + inputs, panel, 1)
            norms[before + p] = norm(g, inputs + panel)
        before += panels
    barrier(meeting, members)
    whole, unit = norm_of_norms(norms, before), 1.0
    if not whole > reals[CLIP_NORM]:
        return
    if reals[CLIP_NORM] < SMALLEST_SCALE * whole:
        unit = scale_of_squares(work)
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        panels, count = count_panels(row[N_OUT], work), (row[N_IN] + 1) * panel
        first, last = share(panels, member, members)
        g = work + plan[GRADIENT] + row[PACK]
        scale = like(load(g, 0), reals[CLIP_NORM] / (whole * unit))
        for i in range(first * count, last * count, width(g)):
            store(g, i, scale * (load(g, i) * unit))


# --- max-norm ----------------------------------------------------------------------------------------------------------------


@when_extended
def limit_norms(plan, work, reals, meeting, member, members):
    """w = w min(1, limit / |w|) for the weights w of every unit, a column of W^T (I, O); a share of the panels.

    Srivastava et al. (2014), section 5.1.
    """
    limit, panel = reals[MAX_NORM], panel_width(work)
    if limit == 0.0:
        return
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        first, last = share(count_panels(row[N_OUT], work), member, members)
        for p in range(first, last):
            for column in range(0, panel, width(work)):
                w = work + plan[PACKED] + row[PACK] + p * (row[N_IN] + 1) * panel + column
                one = unit = like(load(w, 0), 1.0)
                norms = column_norms(w, row[N_IN], panel, unit)
                if not all_lanes(norms < like(one, inf)):
                    unit = select(norms < like(one, inf), one, like(one, scale_of_squares(w)))
                    norms = column_norms(w, row[N_IN], panel, unit)
                above = norms > like(one, limit) * unit
                if not all_lanes(norms <= like(one, limit) * unit):
                    unit, scale = select(above, unit, one), select(above, like(one, limit) / norms, one)
                    for i in range(0, row[N_IN] * panel, panel):
                        store(w, i, scale * (load(w, i) * unit))
    barrier(meeting, members)
