"""Forward: a' = f(a W^T + b), a tile product with fused bias and activation.

Legend: B rows (samples) of the block; I inputs and O outputs of the layer; P columns of a panel; K depth of a product.
"""

from fastbp._jit import kernel
from fastbp.activations import Identity, ReLU, activate
from fastbp.kernels.gemm import (
    BIAS,
    CONTINUE,
    FLOOR,
    ROWS,
    STORE,
    count_panels,
    panel_columns,
    panel_product,
    panel_width,
    share,
)
from fastbp.kernels.packing import copy
from fastbp.kernels.regularize import drop
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

IDENTITY, RELU = Identity.code, ReLU.code
DEPTH = 384  # of a product in one go: a panel of weights so deep stays in the first-level cache
GROUP = 1 << 16  # numbers of A that stay in the second-level cache while all panels of W pass over them


@kernel
def rows_in_group(rows, depth, panels, members):
    """Rows of A that one unit of work covers: a cacheful, but not so many that a member of the team has nothing to do."""
    groups = (rows + max(48, GROUP // depth) - 1) // max(48, GROUP // depth)
    if members > 1 and panels * groups < 2 * members:
        groups = 2 * members
    return (rows + groups * ROWS - 1) // (groups * ROWS) * ROWS


@kernel
def product(a, stride, depth, m, c, rows, columns, start, bias, finish, aux):
    """`panel_product` with the depth cut into pieces: C = start + A M, the same sums in the same order."""
    panel = panel_width(a)
    pieces = (depth + DEPTH - 1) // DEPTH
    piece = (depth + pieces * panel - 1) // (pieces * panel) * panel
    for k in range(0, depth, piece):
        first, last = k == 0, k + piece >= depth
        panel_product(
            a + k // panel * stride,
            stride,
            min(piece, depth - k),
            m + k * panel,
            c,
            rows,
            columns,
            start if first else CONTINUE,
            bias,
            finish if last else STORE,
            aux,
        )


@kernel
def forward(plan, layer, work, rows, training, member, members):
    """A' (B, O) = f(A W^T + b) of one layer, this member's share; z too if the slope needs it.

    Reads A and the packed weights in `work`; overwrites the layer's activations (and z).
    """
    row = plan + TABLE + layer * COLUMNS
    n_in, n_out, stride, panel = row[N_IN], row[N_OUT], plan[PANEL_STRIDE], panel_width(work)
    panels = count_panels(n_out, work)
    group = rows_in_group(rows, n_in, panels, members)
    groups = (rows + group - 1) // group
    code, alpha = row[CODE], work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8 + layer
    keep = training and row[NEEDS_Z] == 1
    first, last = share(groups * panels, member, members)
    for unit in range(first, last):
        top, p = unit // panels * group, unit % panels
        count = min(group, rows - top)
        a = work + row[INPUT] + top * panel
        w = work + plan[PACKED] + row[PACK] + p * (n_in + 1) * panel
        out = p * stride + top * panel
        z = work + row[ACTIVATION] + out
        finish = FLOOR if code == RELU and not keep else STORE
        product(a, stride, n_in, w, z, count, panel_columns(p, n_out, work), BIAS, w + n_in * panel, finish, z)
        if keep:
            copy(z, work + row[RAW] + out, count * panel)
        if code != IDENTITY and finish == STORE:
            activate(code, z, count * panel, alpha)
        if training:
            drop(plan, layer, work, out, count * panel)
