"""Prediction: the forward pass alone, a block of rows at a time.

Legend: N rows predicted; S rows of a block; O outputs; L layers.
"""

from fastbp._jit import kernel
from fastbp.activations import activate
from fastbp.kernels.check import are_finite
from fastbp.kernels.entries import gather_entries
from fastbp.kernels.forward import IDENTITY, forward
from fastbp.kernels.gemm import count_panels, panel_width
from fastbp.kernels.packing import copy, fill, from_lanes, gather_rows, rows_from_panels, to_lanes
from fastbp.kernels.simd import all_lanes, broadcast, fma, load, store, width
from fastbp.kernels.sparse import forward_entries, forward_row_entries
from fastbp.kernels.square import square_load, square_times, square_transpose
from fastbp.layout import (
    ACTIVATION,
    BIASES,
    BLOCK,
    CODE,
    COEFFICIENTS,
    COLUMNS,
    COMPRESSED,
    INPUT,
    LANES,
    MOST_ENTRIES,
    N_COEFFICIENTS,
    N_IN,
    N_LAYERS,
    N_OUT,
    OUTPUT,
    PANEL_STRIDE,
    ROWS,
    SOFTMAX,
    TABLE,
    WEIGHTS,
)
from fastbp.losses import softmax_block


@kernel
def are_equal(a, b, count):
    """Whether two vectors are the same (a NaN is not)."""
    whole = count - count % (2 * width(a))
    for i in range(0, whole, 2 * width(a)):
        if not all_lanes((load(a, i) == load(b, i)) & (load(a, i + width(a)) == load(b, i + width(a)))):
            return False
    same = True
    for i in range(whole, count):
        same &= a[i] == b[i]
    return same


@kernel
def _panel_of_row(w, b, n_in, n_out, a, a_panel, z):
    """z (P,) = w (n_out, n_in) a + b (n_out,) for n_out <= P units, sums in the order of `forward`.

    Two registers are summed side by side, for one alone would wait for its own additions; of units past n_out the last is repeated.
    """
    lanes, panel = width(w), panel_width(w)
    fill(z, panel, 0.0)
    copy(b, z, n_out)
    first, second = load(z, 0), load(z, lanes)
    last, start, rest = min(lanes, n_out) - 1, w + min(lanes, n_out - 1) * n_in, max(n_out - lanes - 1, 0)
    whole = n_in - n_in % lanes
    for i in range(0, whole, lanes):
        a_i = a + i // panel * a_panel + i % panel
        first = square_times(square_transpose(square_load(w + i, n_in, last)), a_i, first)
        second = square_times(square_transpose(square_load(start + i, n_in, rest)), a_i, second)
    for i in range(whole, n_in):
        for j in range(n_out):
            z[j] = w[j * n_in + i]
        spread = broadcast(a + i // panel * a_panel, i % panel)
        first, second = fma(load(z, 0), spread, first), fma(load(z, lanes), spread, second)
    store(z, 0, first)
    store(z, lanes, second)


@kernel
def forward_row(plan, layer, params, work):
    """`forward` for one row, by the user's weights: one look at each, where telling if the packed ones are current takes two.

    Bits are those of `forward`.
    """
    row = plan + TABLE + layer * COLUMNS
    n_in, n_out, stride, panel = row[N_IN], row[N_OUT], plan[PANEL_STRIDE], panel_width(work)
    alpha = work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8 + layer
    w, b = params + row[WEIGHTS], params + row[BIASES]
    for p in range(count_panels(n_out, work)):
        z, count = work + row[ACTIVATION] + p * stride, min(panel, n_out - p * panel)
        _panel_of_row(w + p * panel * n_in, b + p * panel, n_in, count, work + row[INPUT], stride, z)
        if row[CODE] != IDENTITY:
            activate(row[CODE], z, panel, alpha)


@kernel
def predict(plan, params, work, data, order, out):
    """out (N, O) = the network's outputs for rows 0 to N of x, by one thread; the block and its activations are overwritten.

    `order` are these numbers. Returns whether all numbers of the rows are finite; of rows without their zeros it is not asked.
    """
    last = plan + TABLE + (plan[N_LAYERS] - 1) * COLUMNS
    n_out, stride, panel, lanes = last[N_OUT], plan[PANEL_STRIDE], panel_width(work), width(work)
    block, z = work + plan[LANES], work + last[ACTIVATION]
    x, columns, starts, _, _, _ = data
    is_sparse, is_finite = plan[MOST_ENTRIES] > 0, True
    for top in range(0, plan[ROWS], plan[BLOCK]):
        rows = min(plan[BLOCK], plan[ROWS] - top)
        if plan[COMPRESSED] == 0:
            is_finite &= are_finite(x + top * plan[TABLE + N_IN], rows * plan[TABLE + N_IN])
        if is_sparse:
            gather_entries(plan, work, x, columns, starts, order + top, 0, rows)
        else:
            gather_rows(x, plan[TABLE + N_IN], order + top, 0, rows, work + plan[TABLE + INPUT], stride)
        for layer in range(plan[N_LAYERS]):
            if is_sparse and layer == 0 and plan[ROWS] > 1:
                forward_entries(plan, work, rows, False, 0, 1)
            elif is_sparse and layer == 0:
                forward_row_entries(plan, params, work)
            elif plan[ROWS] > 1:
                forward(plan, layer, work, rows, False, True, 0, 1)
            else:
                forward_row(plan, layer, params, work)
        if plan[OUTPUT] == SOFTMAX:
            for first in range(0, rows, lanes):
                to_lanes(z, stride, first, n_out, block)
                softmax_block(block, n_out)
                from_lanes(block, n_out, z, stride, first)
        else:
            for p in range(count_panels(n_out, work)):
                activate(plan[OUTPUT], z + p * stride, rows * panel, work)
        rows_from_panels(z, stride, rows, n_out, out + top * n_out)
    return is_finite
