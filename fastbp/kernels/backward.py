"""Backward: d = (d' W) * f'(a), the delta recursion fused with the slope.

Legend: B rows (samples) of the block; I inputs and O outputs of the layer that the deltas come from; P columns of a panel.
"""

from fastbp.compiler.jit import kernel
from fastbp.kernels.forward import IDENTITY, RELU, depth_of_pieces, rows_in_group
from fastbp.kernels.packing import clear_past, transposed_stride
from fastbp.kernels.products.few import is_shallow, product_shallow
from fastbp.kernels.products.gemm import count_panels, panel_columns, panel_product, panel_width, share
from fastbp.kernels.regularize import drop_deltas
from fastbp.kernels.sweeps import multiply_slope
from fastbp.layout import (
    ACTIVATION,
    CODE,
    COEFFICIENTS,
    COLUMNS,
    DELTA,
    N_COEFFICIENTS,
    N_IN,
    N_OUT,
    PANEL_STRIDE,
    RAW,
    TABLE,
    TRANSPOSE,
    TRANSPOSED,
)
from fastbp.simd.register import like, load, store, width
from fastbp.simd.tile import CONTINUE, STORE, WHERE_ABOVE, ZERO


@kernel
def multiply_slope_of_panel(code, z, a, d, rows, columns, alpha):
    """D = D * f'(Z) for rows of a panel of so many columns or more; in lanes past them, D is 0."""
    panel = panel_width(d)
    multiply_slope(code, z, a, d, rows * panel, panel if columns <= width(d) else width(d), alpha)
    if columns < panel:
        clear_past(d, rows, columns)


@kernel
def backward(plan, layer, work, rows, member, members):
    """D (B, I) = (D' W) * f'(A) from a layer to the one below, this member's share.

    Reads D' (B, O), the transposed weights and the activations below; overwrites the deltas below.
    """
    row = plan + TABLE + layer * COLUMNS
    below = row - COLUMNS
    n_in, n_out, stride, panel = row[N_IN], row[N_OUT], plan[PANEL_STRIDE], panel_width(work)
    panels = count_panels(n_in, work)
    group, piece = rows_in_group(rows, n_out, panels, members, panel), depth_of_pieces(n_out, panel)
    groups = (rows + group - 1) // group
    zero = like(load(work, 0), 0.0)
    code, alpha = below[CODE], work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8 + layer - 1
    first, last = share(groups * panels, member, members)
    while first < last:
        top, begin = first // panels * group, first % panels
        end = min(panels, begin + last - first)
        first += end - begin
        count = min(group, rows - top)
        for k in range(0, n_out, piece):
            deltas = work + row[DELTA] + k // panel * stride + top * panel
            depth, is_last = min(piece, n_out - k), k + piece >= n_out
            start = ZERO if k == 0 else CONTINUE
            finish = WHERE_ABOVE if is_last and code == RELU else STORE
            for p in range(begin, end):
                out = p * stride + top * panel
                w = work + plan[TRANSPOSED] + row[TRANSPOSE] + p * transposed_stride(n_out, work) + k * panel
                d, a = work + below[DELTA] + out, work + below[ACTIVATION] + out
                columns = panel_columns(p, n_in, work)
                if is_shallow(n_out, count):
                    product_shallow(deltas, n_out, w, d, count, columns, finish, a)
                else:
                    ahead = transposed_stride(n_out, work) if p + 1 < end else 0
                    panel_product(deltas, stride, depth, w, d, count, columns, start, w, finish, a, ahead)
                if not is_last:
                    continue
                if code != RELU and code != IDENTITY:
                    multiply_slope_of_panel(code, work + below[RAW] + out, a, d, count, n_in - p * panel, alpha)
                elif columns != 2:
                    for i in range(width(d), count * panel, panel):
                        store(d, i, zero)  # the register that no product writes
                drop_deltas(plan, layer, work, out, count * panel)
