"""Prediction: the forward pass alone, a block of rows at a time.

Legend: N rows predicted; S rows of a block; O outputs; L layers.
"""

from fastbp._jit import kernel
from fastbp.activations import activate
from fastbp.kernels.forward import forward
from fastbp.kernels.gemm import count_panels, panel_width, share
from fastbp.kernels.packing import from_lanes, gather_rows, rows_from_panels, to_lanes
from fastbp.kernels.simd import all_lanes, load, width
from fastbp.kernels.team import barrier
from fastbp.layout import (
    ACTIVATION,
    BLOCK,
    COLUMNS,
    INPUT,
    LANES,
    LANES_STRIDE,
    N_IN,
    N_LAYERS,
    N_OUT,
    OUTPUT,
    PANEL_STRIDE,
    ROWS,
    SOFTMAX,
    TABLE,
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
def predict(plan, work, x, order, out, meeting, member, members):
    """out (N, O) = the network's outputs for rows `order` of x."""
    last = plan + TABLE + (plan[N_LAYERS] - 1) * COLUMNS
    n_out, stride, panel, lanes = last[N_OUT], plan[PANEL_STRIDE], panel_width(work), width(work)
    block = work + plan[LANES] + member * plan[LANES_STRIDE]
    for top in range(0, plan[ROWS], plan[BLOCK]):
        rows = min(plan[BLOCK], plan[ROWS] - top)
        begin, end = share(rows, member, members)
        gather_rows(x, plan[TABLE + N_IN], order + top, begin, end, work + plan[TABLE + INPUT], stride)
        barrier(meeting, members)
        for layer in range(plan[N_LAYERS]):
            forward(plan, layer, work, rows, False, member, members)
            barrier(meeting, members)
        if member == 0:
            z = work + last[ACTIVATION]
            if plan[OUTPUT] == SOFTMAX:
                for first in range(0, rows, lanes):
                    to_lanes(z, stride, first, n_out, block)
                    softmax_block(block, n_out)
                    from_lanes(block, n_out, z, stride, first)
            else:
                for p in range(count_panels(n_out, work)):
                    activate(plan[OUTPUT], z + p * stride, rows * panel, work)
            rows_from_panels(z, stride, rows, n_out, out + top * n_out)
        barrier(meeting, members)
