"""Backward: d = (d' W) * f'(a), the delta recursion fused with the slope.

Legend: B rows (samples) of the block; I inputs and O outputs of the layer that the deltas come from; P columns of a panel.
"""

from fastbp.compiler import inline, kernel
from fastbp.kernels.blend import multiply_blended_slope
from fastbp.kernels.forward import IDENTITY, RELU, TO_DIFFERENTIATE
from fastbp.kernels.packing import clear_past, transposed_stride
from fastbp.kernels.products.few import product_shallow
from fastbp.kernels.products.gemm import Ends, Panels, panel_product, panel_width, registers_of_panel
from fastbp.kernels.products.ways import is_shallow
from fastbp.kernels.regularize import drop_deltas
from fastbp.kernels.sweeps import multiply_slope
from fastbp.kernels.walk import walk_over
from fastbp.simd.record import preceding
from fastbp.simd.register import like, load, store, width
from fastbp.simd.tile import CONTINUE, STORE, WHERE_ABOVE, ZERO


@kernel
def multiply_slope_of_panel(code, z, a, d, rows, columns, alpha):
    """D = D * f'(Z) for rows of a panel of so many columns or more; in lanes past them, D is 0."""
    panel = panel_width(d)
    multiply_slope(code, z, a, d, rows * panel, panel if columns <= width(d) else width(d), alpha)
    if columns < panel:
        clear_past(d, rows, columns)


@inline
def delta_product(plan, layer, work, piece, d, finish, a):
    """D = D' W for a piece of a layer's deltas, or the sum over its part of the depth added; `finish` as in `Ends`, with `a`."""
    n_out, stride, panel = layer.n_out, plan.panel_stride, panel_width(work)
    deltas = work + layer.delta + piece.k // panel * stride + piece.top * panel
    w = work + plan.transposed + layer.transpose + piece.panel * transposed_stride(n_out, work) + piece.k * panel
    registers = registers_of_panel(piece.panel, layer.n_in, work)
    if is_shallow(n_out, piece.rows):
        product_shallow(deltas, n_out, w, d, piece.rows, registers, finish, a)
    else:
        ends = Ends(ZERO if piece.k == 0 else CONTINUE, w, finish, a)
        ahead = transposed_stride(n_out, work) if piece.is_followed else 0
        panel_product(Panels(deltas, stride), piece.depth, w, d, piece.rows, registers, ends, ahead)


@inline
def is_choice(layer):
    """Whether the slope of a layer's activation is 0 or 1."""
    return layer.code == RELU and layer.blend == 0


@inline
def _backward_piece(plan, layer, work, piece, purpose):
    below, panel, count = preceding(layer), panel_width(work), piece.rows
    out, left = piece.panel * plan.panel_stride + piece.top * panel, layer.n_in - piece.panel * panel
    d, a, z = work + below.delta + out, work + below.activation + out, work + below.raw + out
    # of a ReLU, f'(a) is a choice, made before the product is stored
    finish = WHERE_ABOVE if piece.is_last and is_choice(below) else STORE
    # D = D' W
    delta_product(plan, layer, work, piece, d, finish, a)
    if piece.is_last and below.blend > 0:
        drop_deltas(layer, work, out, count * panel)
        multiply_blended_slope(plan, below, work, piece.panel, out, count, left)
    elif piece.is_last:
        # D = D * f'(A)
        if below.code != RELU and below.code != IDENTITY:
            multiply_slope_of_panel(below.code, z, a, d, count, left, work + below.alpha)
        elif left <= width(work):
            zero = like(load(work, 0), 0.0)
            for i in range(width(d), count * panel, panel):
                store(d, i, zero)  # the register that no product writes
        drop_deltas(layer, work, out, count * panel)


_walk = walk_over(_backward_piece)


@kernel
def backward(plan, layer, work, rows, team):
    """D (B, I) = (D' W) * f'(A) from a layer to the one below, this member's share.

    Reads D' (B, O), the transposed weights and the activations below; overwrites the deltas below.
    """
    _walk(plan, layer, work, rows, layer.n_out, layer.n_in, TO_DIFFERENTIATE, team)


@inline
def _pull_piece(plan, layer, work, piece, purpose):
    d = work + plan.delta + piece.panel * plan.panel_stride + piece.top * panel_width(work)
    delta_product(plan, layer, work, piece, d, STORE, d)


_walk_to_inputs = walk_over(_pull_piece)


@kernel
def pull_to_inputs(plan, layer, work, rows, team):
    """D (B, I) = D' W at ``plan.delta``: derivatives with respect to the inputs of the first layer, this member's share."""
    _walk_to_inputs(plan, layer, work, rows, layer.n_out, layer.n_in, TO_DIFFERENTIATE, team)
