"""Gradient: W -= step(d'^T a), outer products over the mini-batch fused with the update.

For plain gradient descent the gradient never reaches memory: the tile of outer products is scaled and added to the tile of weights
in registers. Other rules take it from a block of P x P numbers in the first-level cache, with their slots, in the same pass.

Legend: B rows (samples) of the block; I inputs and O outputs of the layer; P columns of a panel.
"""

from fastbp.compiler.jit import inline, kernel
from fastbp.kernels.forward import RELU
from fastbp.kernels.packing import clear_past, fill, transpose_square, transposed_stride
from fastbp.kernels.products.few import FEWER, outer_few_with_deltas
from fastbp.kernels.products.gemm import column_sums, count_panels, outer_product, panel_columns, panel_width, share
from fastbp.kernels.regularize import complete
from fastbp.kernels.sweeps import update
from fastbp.layout import (
    CODE,
    COEFFICIENTS,
    COLUMNS,
    COMPACT,
    COMPLETED,
    DELTA,
    GRADIENT,
    INPUT,
    KEEP,
    LANES,
    LANES_STRIDE,
    N_COEFFICIENTS,
    N_IN,
    N_OUT,
    PACK,
    PACKED,
    PANEL_STRIDE,
    RULE,
    SEPARATE,
    SLOT_1,
    SLOT_2,
    TABLE,
    TRANSPOSE,
    TRANSPOSED,
)
from fastbp.optimizers import OPTIMIZERS, SGD
from fastbp.simd.register import fma, like, load, store, width
from fastbp.simd.tile import ADD_SCALED, CONTINUE, STORE, ZERO

PLAIN = OPTIMIZERS.code(SGD)
LEAST_TURNED = 64  # samples that repay the transposition of a product
DEPTH = 256  # samples summed in one go: a panel of A and one of D so long stay in the first-level cache


@kernel
def update_part(plan, work, offset, gradient, rows, columns, is_bias, is_whole):
    """One step of the rule on rows of a panel of packed parameters, from `offset` on, of so many columns or more.

    `is_whole`: the gradient holds the penalty's part. In lanes past the columns, weights are 0: a rule may make anything of zeros.
    """
    coefficients, count = work + plan[COEFFICIENTS], rows * panel_width(work)
    if is_whole == 0:
        complete(plan, work, offset, gradient, count, is_bias)
    update(
        plan[RULE],
        work + plan[PACKED] + offset,
        gradient,
        work + plan[SLOT_1] + offset,
        work + plan[SLOT_2] + offset,
        count,
        coefficients + is_bias * N_COEFFICIENTS,
        coefficients + 2 * N_COEFFICIENTS + max(is_bias, is_whole, plan[COMPLETED]),
    )
    if columns < panel_width(work):
        clear_past(work + plan[PACKED] + offset, rows, columns)


@kernel
def _turned_product(a, d, rows, g, filled):
    """G (P, P) = A^T D for a panel each, of D so many columns filled, by way of its transpose, whose rows are these columns alone.

    Overwrites also the P^2 numbers before g.
    """
    panel, lanes = panel_width(g), width(g)
    turned = g - panel * panel
    fill(turned + filled * panel, (panel - filled) * panel, 0.0)
    for b in range(0, rows, DEPTH):
        part = b * panel
        outer_product(d + part, a + part, min(DEPTH, rows - b), turned, filled, 2, ZERO if b == 0 else CONTINUE, STORE, g)
    for i in range(0, panel, lanes):
        for j in range(0, panel, lanes):
            transpose_square(turned + j * panel + i, panel, g + i * panel + j, panel)


@inline
def computes_deltas(plan, layer, rows):
    """Whether `gradient` of a layer does what `backward` would: of few outputs, both are one pass over the activations below."""
    row = plan + TABLE + layer * COLUMNS
    is_small = layer > 0 and row[N_OUT] <= FEWER and rows <= DEPTH and rows * row[N_OUT] <= COMPACT
    return is_small and (row - COLUMNS)[CODE] == RELU and row[KEEP] == 0


@kernel
def gradient(plan, layer, work, rows, is_first, is_last, penalised, member, members):
    """G (I + 1, O) = A^T D (its last row the column sums of D) and, with the last block of the mini-batch, the step; a share of it.

    Overwrites the packed weights and slots, or the gradient in `work` where it is summed over blocks or wanted for itself. And the
    deltas below, if `computes_deltas`.
    """
    row = plan + TABLE + layer * COLUMNS
    n_in, n_out, stride, panel = row[N_IN], row[N_OUT], plan[PANEL_STRIDE], panel_width(work)
    panels_in, panels_out = count_panels(n_in, work), count_panels(n_out, work)
    in_memory = plan[SEPARATE] == 1 or not (is_first and is_last)
    steps_now = is_last and plan[SEPARATE] == 0
    is_plain = plan[RULE] == PLAIN and not penalised and plan[COMPLETED] == 0
    in_registers = not in_memory and is_plain and rows <= DEPTH
    scratch = work + plan[LANES] + (member + 1) * plan[LANES_STRIDE] - panel * panel
    scale = work + plan[COEFFICIENTS] + 1
    with_deltas, compact = computes_deltas(plan, layer, rows), scratch - panel * panel - COMPACT
    if with_deltas:
        # their panel, of which little is filled, would drive the others out of the first-level cache
        for b in range(rows):
            for j in range(n_out):
                compact[b * n_out + j] = work[row[DELTA] + b * panel + j]
    first, last = share(panels_out * (panels_in + 1), member, members)
    for unit in range(first, last):
        p, q = unit // (panels_in + 1), unit % (panels_in + 1)
        columns = panel_columns(p, n_out, work)
        offset = row[PACK] + (p * (n_in + 1) + min(q * panel, n_in)) * panel
        d = work + row[DELTA] + p * stride
        g = work + plan[GRADIENT] + offset if in_memory else scratch
        start = ZERO if is_first or not in_memory else CONTINUE
        if q == panels_in:
            column_sums(d, rows, g, start)
            if steps_now:
                update_part(plan, work, offset, g, 1, n_out - p * panel, 1, 0)
            continue
        a = work + row[INPUT] + q * stride
        inputs = min(panel, n_in - q * panel)
        filled = n_out - p * panel
        target, finish = (work + plan[PACKED] + offset, ADD_SCALED) if in_registers else (g, STORE)
        if with_deltas:
            m = work + plan[TRANSPOSED] + row[TRANSPOSE] + q * transposed_stride(n_out, work)
            below = work + (row - COLUMNS)[DELTA] + q * stride
            outer_few_with_deltas(a, compact, rows, target, inputs, n_out, start, finish, scale, m, below)
            if in_registers:
                continue
        elif not in_memory and columns > 0 and 4 * filled <= 3 * panel and rows >= LEAST_TURNED:
            _turned_product(a, d, rows, g, filled)
        elif in_registers:
            outer_product(a, d, rows, target, inputs, columns, start, finish, scale)
            continue
        else:
            if columns == 1 and start == ZERO:
                fill(g, inputs * panel, 0.0)
            for b in range(0, rows, DEPTH):
                begin = start if b == 0 else CONTINUE
                outer_product(a + b * panel, d + b * panel, min(DEPTH, rows - b), g, inputs, columns, begin, finish, scale)
        if steps_now:
            update_part(plan, work, offset, g, inputs, filled, 0, 0)


@kernel
def add_decay(plan, work, offset, count, l2):
    """G + l2 W in the gradient in memory, for `count` packed weights from `offset` on."""
    g, w = work + plan[GRADIENT] + offset, work + plan[PACKED] + offset
    for i in range(0, count, width(g)):
        store(g, i, fma(like(load(w, i), l2), load(w, i), load(g, i)))


@kernel
def update_from_memory(plan, layer, work, member, members):
    """The step of one layer from the gradient in `work`, to which the penalty's part is added unless it is complete; a share."""
    row = plan + TABLE + layer * COLUMNS
    n_in, panel = row[N_IN], panel_width(work)
    first, last = share(count_panels(row[N_OUT], work), member, members)
    for p in range(first, last):
        offset, filled = row[PACK] + p * (n_in + 1) * panel, row[N_OUT] - p * panel
        g, l2 = work + plan[GRADIENT] + offset, work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS
        add_decay(plan, work, offset, n_in * panel, float(l2[plan[COMPLETED]]))
        update_part(plan, work, offset, g, n_in, filled, 0, 1)
        update_part(plan, work, offset + n_in * panel, g + n_in * panel, 1, filled, 1, 1)
