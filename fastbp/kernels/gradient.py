"""Gradient: W -= step(d'^T a), outer products over the mini-batch fused with the update. Packed weights are W^T: G = A^T D here.

For plain gradient descent the gradient never reaches memory: the tile of outer products is scaled and added to the tile of weights
in registers. Other rules take it from a block of P x P numbers in the first-level cache, with their slots, in the same pass.

Legend: B rows (samples) of the block; I inputs and O outputs of the layer; P columns of a panel.
"""

from fastbp.compiler import inline, kernel
from fastbp.kernels.backward import is_choice
from fastbp.kernels.packing import clear_past, fill, transpose_square, transposed_stride
from fastbp.kernels.plan import step_at
from fastbp.kernels.products.few import outer_few_with_deltas
from fastbp.kernels.products.gemm import Ends, column_sums, count_panels, outer_product, panel_width, registers_of_panel
from fastbp.kernels.products.ways import go_deltas_along, is_gradient_turned
from fastbp.kernels.regularize import complete
from fastbp.kernels.sweeps import update
from fastbp.kernels.team import share
from fastbp.kernels.tuning import COMPACT, DEPTH
from fastbp.optimizers import N_COEFFICIENTS, OPTIMIZERS, SGD
from fastbp.simd.record import preceding
from fastbp.simd.register import fma, like, load, store, width
from fastbp.simd.tile import ADD_SCALED, CONTINUE, STORE, ZERO

PLAIN = OPTIMIZERS.code(SGD)


@kernel
def update_part(plan, layer, work, offset, gradient, rows, columns, is_bias, is_whole):
    """One step of the rule on rows of a panel of a layer's packed parameters, from `offset` on, of so many columns or more.

    `is_whole`: the gradient holds the penalty's part. In lanes past the columns, weights are 0: a rule may make anything of zeros.
    """
    step, count = step_at(work + plan.step), rows * panel_width(work)
    if is_whole == 0:
        complete(plan, work, offset, gradient, count, is_bias)
    update(
        plan.rule,
        work + plan.packed + offset,
        gradient,
        work + plan.slot_1 + offset,
        work + plan.slot_2 + offset,
        count,
        work + layer.rule + is_bias * N_COEFFICIENTS,
        step.l2 + max(is_bias, is_whole, plan.completed),
    )
    if columns < panel_width(work):
        clear_past(work + plan.packed + offset, rows, columns)


@inline
def destination(plan, is_first, is_last):
    """Whether the gradient of a block goes to memory; whether the step follows; and if it may be W += scale A^T D, in one go."""
    in_memory = plan.separate == 1 or not (is_first and is_last)
    is_plain = plan.rule == PLAIN and plan.penalised == 0 and plan.completed == 0
    return in_memory, is_last and plan.separate == 0, is_plain and not in_memory


@kernel
def _turned_product(a, d, rows, g, filled):
    """G (P, P) = A^T D for a panel each, of D so many columns filled, by way of its transpose, whose rows are these columns alone.

    Overwrites also the P^2 numbers before g.
    """
    panel, lanes = panel_width(g), width(g)
    turned = g - panel * panel
    fill(turned + filled * panel, (panel - filled) * panel, 0.0)
    for b in range(0, rows, DEPTH):
        part, ends = b * panel, Ends(ZERO if b == 0 else CONTINUE, g, STORE, g)
        outer_product(d + part, a + part, min(DEPTH, rows - b), turned, filled, 2, ends)
    for i in range(0, panel, lanes):
        for j in range(0, panel, lanes):
            transpose_square(turned + j * panel + i, panel, g + i * panel + j, panel)


@kernel
def _long_product(a, d, rows, g, inputs, registers, start):
    """G (inputs, P) = start + A^T D for a panel each, of any number of samples."""
    panel = panel_width(g)
    if registers == 1 and start == ZERO:
        fill(g, inputs * panel, 0.0)
    for b in range(0, rows, DEPTH):
        part, ends = b * panel, Ends(start if b == 0 else CONTINUE, g, STORE, g)
        outer_product(a + part, d + part, min(DEPTH, rows - b), g, inputs, registers, ends)


@inline
def computes_deltas(layer, rows):
    """Whether `gradient` of a layer does what `backward` would."""
    is_possible = layer.number > 0 and go_deltas_along(layer.n_out, rows)
    return is_possible and is_choice(preceding(layer)) and layer.keep == 0


@kernel
def gradient(plan, layer, work, rows, is_first, is_last, team):
    """G (I + 1, O) = A^T D (its last row the column sums of D) and, with the last block of the mini-batch, the step; a share of it.

    Overwrites the packed weights and slots, or the gradient in `work` where it is summed over blocks or wanted for itself. And the
    deltas below, if `computes_deltas`.
    """
    n_in, n_out, stride, panel = layer.n_in, layer.n_out, plan.panel_stride, panel_width(work)
    panels_in, panels_out = count_panels(n_in, work), count_panels(n_out, work)
    in_memory, steps_now, in_place = destination(plan, is_first, is_last)
    in_registers = in_place and rows <= DEPTH
    scratch = work + plan.lanes + (team.member + 1) * plan.lanes_stride - panel * panel
    scale = work + layer.rule + 1
    with_deltas, compact = computes_deltas(layer, rows), scratch - panel * panel - COMPACT
    if with_deltas:
        for b in range(rows):
            for j in range(n_out):
                compact[b * n_out + j] = work[layer.delta + b * panel + j]
    first, last = share(panels_out * (panels_in + 1), team)
    for unit in range(first, last):
        p, q = unit // (panels_in + 1), unit % (panels_in + 1)
        filled, registers = n_out - p * panel, registers_of_panel(p, n_out, work)
        offset = layer.pack + (p * (n_in + 1) + min(q * panel, n_in)) * panel
        w, d = work + plan.packed + offset, work + layer.delta + p * stride
        g = work + plan.gradient + offset if in_memory else scratch
        start = ZERO if is_first or not in_memory else CONTINUE
        if q == panels_in:
            column_sums(d, rows, g, start)
            if steps_now:
                update_part(plan, layer, work, offset, g, 1, filled, 1, 0)
            continue
        a, inputs = work + layer.input + q * stride, min(panel, n_in - q * panel)
        target, ends = (w if in_registers else g), Ends(start, g, ADD_SCALED if in_registers else STORE, scale)
        # G = A^T D, or at once W += scale A^T D
        if with_deltas:
            m = work + plan.transposed + layer.transpose + q * transposed_stride(n_out, work)
            below = work + preceding(layer).delta + q * stride
            outer_few_with_deltas(a, compact, rows, target, inputs, n_out, ends, m, below)
            if in_registers:
                continue
        elif not in_memory and is_gradient_turned(filled, registers, rows, panel):
            _turned_product(a, d, rows, g, filled)
        elif in_registers:
            outer_product(a, d, rows, w, inputs, registers, ends)
            continue
        else:
            _long_product(a, d, rows, g, inputs, registers, start)
        if steps_now:
            update_part(plan, layer, work, offset, g, inputs, filled, 0, 0)


@kernel
def add_decay(plan, work, offset, count, l2):
    """G + l2 W in the gradient in memory, for `count` packed weights from `offset` on."""
    g, w = work + plan.gradient + offset, work + plan.packed + offset
    for i in range(0, count, width(g)):
        store(g, i, fma(like(load(w, i), l2), load(w, i), load(g, i)))


@kernel
def update_from_memory(plan, layer, work, team):
    """The step of one layer from the gradient in `work`, to which the penalty's part is added unless it is complete; a share."""
    n_in, panel = layer.n_in, panel_width(work)
    l2 = float(step_at(work + plan.step).l2[plan.completed])
    first, last = share(count_panels(layer.n_out, work), team)
    for p in range(first, last):
        offset, filled = layer.pack + p * (n_in + 1) * panel, layer.n_out - p * panel
        g = work + plan.gradient + offset
        add_decay(plan, work, offset, n_in * panel, l2)
        update_part(plan, layer, work, offset, g, n_in, filled, 0, 1)
        update_part(plan, layer, work, offset + n_in * panel, g + n_in * panel, 1, filled, 1, 1)
