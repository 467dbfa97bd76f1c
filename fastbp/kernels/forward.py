"""Forward: a' = f(a W^T + b), a tile product with fused bias and activation.

Legend: B rows (samples) of the block; I inputs and O outputs of the layer; P columns of a panel.
"""

from fastbp.activations import ACTIVATIONS, Identity, ReLU
from fastbp.compiler import inline, kernel
from fastbp.kernels.blend import blend
from fastbp.kernels.packing import clear_past, copy
from fastbp.kernels.products.gemm import Ends, Panels, count_panels, panel_product, panel_width, registers_of_panel
from fastbp.kernels.regularize import drop
from fastbp.kernels.sweeps import activate
from fastbp.kernels.team import barrier
from fastbp.kernels.tuning import AGAIN_IN_FIT, AGAIN_IN_PREDICT
from fastbp.kernels.walk import walk_over
from fastbp.simd.register import width
from fastbp.simd.tile import BIAS, CONTINUE, FLOOR, STORE

IDENTITY, RELU = ACTIVATIONS.code(Identity), ACTIVATIONS.code(ReLU)

# what a forward pass is for: gradients need z and masks; predictions have sums that run from the bias over the inputs, one after
# another, however few the outputs, so that those of one row, which is not computed in panels, have the same bits
TO_DIFFERENTIATE, TO_EVALUATE, TO_PREDICT = range(3)


@kernel
def activate_panel(code, z, rows, columns, alpha):
    """A = f(Z) for rows of a panel of so many columns or more; in lanes past them, A is 0 and not f(0), which may be infinite."""
    panel = panel_width(z)
    activate(code, z, rows * panel, panel if columns <= width(z) else width(z), alpha)
    if columns < panel:
        clear_past(z, rows, columns)


@inline
def is_floored(layer, purpose):
    """Whether the product itself ends with the activation: max(z, 0), and z is not kept."""
    return layer.code == RELU and layer.blend == 0 and not (purpose == TO_DIFFERENTIATE and layer.needs_z == 1)


@kernel
def finish_panel(plan, layer, work, p, top, rows, purpose):
    """A = f(Z) for rows from `top` on of panel p of a layer; z is kept if the slope needs it."""
    panel = panel_width(work)
    out, count = p * plan.panel_stride + top * panel, rows * panel
    z = work + layer.activation + out
    if (purpose == TO_DIFFERENTIATE and layer.needs_z == 1) or layer.blend > 0:
        copy(z, work + layer.raw + out, count)
    if layer.code != IDENTITY and not is_floored(layer, purpose):
        activate_panel(layer.code, z, rows, layer.n_out - p * panel, work + layer.alpha)
    if layer.blend > 0:
        blend(plan, layer, work, p, top, rows, purpose == TO_DIFFERENTIATE)
    elif purpose == TO_DIFFERENTIATE:
        drop(plan, layer, work, out, count)


@inline
def _forward_piece(plan, layer, work, piece, purpose):
    n_in, stride, panel = layer.n_in, plan.panel_stride, panel_width(work)
    a = Panels(work + layer.input + piece.k // panel * stride + piece.top * panel, stride)
    w = work + plan.packed + layer.pack + piece.panel * (n_in + 1) * panel
    z = work + layer.activation + piece.panel * stride + piece.top * panel
    b, registers = w + n_in * panel, registers_of_panel(piece.panel, layer.n_out, work)
    if purpose == TO_PREDICT:
        registers = max(registers, 1)
    ends = Ends(BIAS if piece.k == 0 else CONTINUE, b, FLOOR if piece.is_last and is_floored(layer, purpose) else STORE, z)
    ahead = (n_in + 1) * panel if piece.is_followed else 0
    # Z = A W^T + b
    panel_product(a, piece.depth, w + piece.k * panel, z, piece.rows, registers, ends, ahead)
    if piece.is_last:
        # A' = f(Z)
        finish_panel(plan, layer, work, piece.panel, piece.top, piece.rows, purpose)


def _slowed(walk):
    """`walk`, and thousandths of it again, by the constants of `tuning.py`: rows of the first panel, which end as they are."""
    if AGAIN_IN_FIT == AGAIN_IN_PREDICT == 0:
        return walk

    @kernel
    def walk_again(plan, layer, work, rows, depth, columns, purpose, team):
        walk(plan, layer, work, rows, depth, columns, purpose, team)
        thousandths = AGAIN_IN_PREDICT if purpose == TO_PREDICT else AGAIN_IN_FIT if purpose == TO_DIFFERENTIATE else 0
        again = min(rows, rows * count_panels(columns, work) * thousandths // 1000)
        if again > 0:
            barrier(team)
            walk(plan, layer, work, again, depth, min(columns, panel_width(work)), purpose, team)

    return walk_again


_walk = _slowed(walk_over(_forward_piece))


@kernel
def forward(plan, layer, work, rows, purpose, team):
    """A' (B, O) = f(A W^T + b) of one layer, this member's share; z too if the slope needs it.

    Reads A (B, I) and the packed weights in `work`; overwrites the layer's activations (and z).
    """
    _walk(plan, layer, work, rows, layer.n_in, layer.n_out, purpose, team)
