"""Forward: a' = f(a W^T + b), a tile product with fused bias and activation.

A group of rows meets one piece of the depth in all panels of W before the next piece: its part of A stays in the second-level
cache, the piece of a panel of W in the first. Sums go on from piece to piece in the place of the result (Goto and van de Geijn,
"Anatomy of high-performance matrix multiplication", 2008).

Legend: B rows (samples) of the block; I inputs and O outputs of the layer; P columns of a panel; K depth of a product.
"""

from fastbp.activations import ACTIVATIONS, Identity, ReLU
from fastbp.compiler.jit import inline, kernel
from fastbp.kernels.packing import clear_past, copy
from fastbp.kernels.products.gemm import ROWS, count_panels, panel_columns, panel_product, panel_width, share
from fastbp.kernels.regularize import drop
from fastbp.kernels.sweeps import activate
from fastbp.layout import (
    ACTIVATION,
    CODE,
    COEFFICIENTS,
    COLUMNS,
    INPUT,
    N_COEFFICIENTS,
    N_IN,
    N_OUT,
    NEEDS_Z,
    PACK,
    PACKED,
    PANEL_STRIDE,
    RAW,
    TABLE,
)
from fastbp.simd.register import width
from fastbp.simd.tile import BIAS, CONTINUE, FLOOR, STORE

IDENTITY, RELU = ACTIVATIONS.code(Identity), ACTIVATIONS.code(ReLU)
DEPTH = 256  # of a product in one go: a panel of weights so deep stays in the first-level cache
GROUP = 1 << 11  # rows of panels of A that stay in the second-level cache while all panels of W pass over them


@kernel
def rows_in_group(rows, depth, panels, members, panel):
    """Rows of A that one unit of work covers: a cacheful, but not so many that a member of the team has nothing to do."""
    most = max(48, GROUP * panel // min(depth, DEPTH))
    groups = (rows + most - 1) // most
    if members > 1 and panels * groups < 2 * members:
        groups = 2 * members
    return (rows + groups * ROWS - 1) // (groups * ROWS) * ROWS


@inline
def depth_of_pieces(depth, panel):
    """Columns of A in each of the pieces, at most DEPTH deep and as equal as can be, into which a product is cut."""
    pieces = (depth + DEPTH - 1) // DEPTH
    return (depth + pieces * panel - 1) // (pieces * panel) * panel


@kernel
def activate_panel(code, z, rows, columns, alpha):
    """A = f(Z) for rows of a panel of so many columns or more; in lanes past them, A is 0 and not f(0), which may be infinite."""
    panel = panel_width(z)
    activate(code, z, rows * panel, panel if columns <= width(z) else width(z), alpha)
    if columns < panel:
        clear_past(z, rows, columns)


@kernel
def finish_panel(plan, layer, work, p, top, rows, training, is_done):
    """A = f(Z) for rows from `top` on of panel p of a layer, unless `is_done`; z is kept if the slope needs it."""
    row, panel = plan + TABLE + layer * COLUMNS, panel_width(work)
    out, count = p * plan[PANEL_STRIDE] + top * panel, rows * panel
    z = work + row[ACTIVATION] + out
    if training and row[NEEDS_Z] == 1:
        copy(z, work + row[RAW] + out, count)
    if row[CODE] != IDENTITY and not is_done:
        alpha = work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8 + layer
        activate_panel(row[CODE], z, rows, row[N_OUT] - p * panel, alpha)
    if training:
        drop(plan, layer, work, out, count)


@kernel
def forward(plan, layer, work, rows, training, in_order, member, members):
    """A' (B, O) = f(A W^T + b) of one layer, this member's share; z too if the slope needs it.

    Reads A and the packed weights in `work`; overwrites the layer's activations (and z). With `in_order` all sums run from the bias
    over the inputs, one after another, however few the outputs.
    """
    row = plan + TABLE + layer * COLUMNS
    n_in, n_out, stride, panel = row[N_IN], row[N_OUT], plan[PANEL_STRIDE], panel_width(work)
    panels = count_panels(n_out, work)
    group, piece = rows_in_group(rows, n_in, panels, members, panel), depth_of_pieces(n_in, panel)
    groups = (rows + group - 1) // group
    is_floored = row[CODE] == RELU and not (training and row[NEEDS_Z] == 1)
    first, last = share(groups * panels, member, members)
    while first < last:
        top, begin = first // panels * group, first % panels
        end = min(panels, begin + last - first)
        first += end - begin
        count = min(group, rows - top)
        for k in range(0, n_in, piece):
            a = work + row[INPUT] + k // panel * stride + top * panel
            depth, is_last = min(piece, n_in - k), k + piece >= n_in
            start = BIAS if k == 0 else CONTINUE
            finish = FLOOR if is_last and is_floored else STORE
            for p in range(begin, end):
                w = work + plan[PACKED] + row[PACK] + p * (n_in + 1) * panel
                out = p * stride + top * panel
                z = work + row[ACTIVATION] + out
                columns = panel_columns(p, n_out, work)
                if in_order:
                    columns = max(columns, 1)
                ahead = (n_in + 1) * panel if p + 1 < end else 0
                panel_product(a, stride, depth, w + k * panel, z, count, columns, start, w + n_in * panel, finish, z, ahead)
                if is_last:
                    finish_panel(plan, layer, work, p, top, count, training, finish == FLOOR)
