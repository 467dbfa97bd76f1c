"""J^T J times a vector: tangents of the outputs along a direction of the parameters, pulled back by the recursion of training.

Pearlmutter, "Fast exact multiplication by the Hessian", 1994; Schraudolph, "Fast curvature matrix-vector products for second-order
gradient descent", 2002.

Legend: S samples of a block; I inputs and O outputs of a layer; V, c a direction of its weights and biases; P parameters.
"""

from typing import Any, NamedTuple

from fastbp.compiler import inline, kernel
from fastbp.kernels.backward import backward, multiply_slope_of_panel
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.gradient import computes_deltas, gradient
from fastbp.kernels.packing import pack_weights
from fastbp.kernels.products.gemm import Ends, Panels, count_panels, panel_product, panel_width, registers_of_panel
from fastbp.kernels.samples import weight_of
from fastbp.kernels.team import barrier, share
from fastbp.kernels.walk import walk_over
from fastbp.simd.record import preceding
from fastbp.simd.register import like, load, store, width
from fastbp.simd.tile import BIAS, CONTINUE, STORE


class Direction(NamedTuple):
    """Where in the numbers of a call what is; `fastbp.engine.minimize.curvature` has their length."""

    vector: Any  # (P,), like `params`; the product is written there in the end
    packed: Any  # like the packed weights


@inline
def direction_of(plan, out):
    """The direction of a call."""
    return Direction(out, out + (plan.n_params + width(out) - 1) // width(out) * width(out))


@kernel
def pack_direction(plan, out, team):
    """The packed direction from the user's flat vector; a share of the panels of each layer."""
    direction = direction_of(plan, out)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        first, last = share(count_panels(layer.n_out, out), team)
        v, c, packed = direction.vector + layer.weights, direction.vector + layer.biases, direction.packed + layer.pack
        pack_weights(v, c, packed, layer.n_in, layer.n_out, first, last)


@inline
def _tangent_piece(plan, layer, work, piece, direction):
    n_in, stride, panel = layer.n_in, plan.panel_stride, panel_width(work)
    begin, out = piece.k // panel * stride + piece.top * panel, piece.panel * stride + piece.top * panel
    place = layer.pack + piece.panel * (n_in + 1) * panel
    v, w, t = direction + place, work + plan.packed + place, work + layer.delta + out
    registers = registers_of_panel(piece.panel, layer.n_out, work)
    # T' = A V^T + c
    ends = Ends(BIAS if piece.k == 0 else CONTINUE, v + n_in * panel, STORE, t)
    panel_product(Panels(work + layer.input + begin, stride), piece.depth, v + piece.k * panel, t, piece.rows, registers, ends, 0)
    if layer.number > 0:
        # T' += T W^T
        ends = Ends(CONTINUE, w, STORE, t)
        tangents = Panels(work + preceding(layer).delta + begin, stride)
        panel_product(tangents, piece.depth, w + piece.k * panel, t, piece.rows, registers, ends, 0)
    if piece.is_last and layer.code != IDENTITY:
        # T' = T' * f'(Z)
        z, a, left = work + layer.raw + out, work + layer.activation + out, layer.n_out - piece.panel * panel
        multiply_slope_of_panel(layer.code, z, a, t, piece.rows, left, work + layer.alpha)


_tangents = walk_over(_tangent_piece)


@kernel
def _weigh(plan, work, data, batch, team):
    """D (S, O) = w T * f'(Z) of the last layer, T its tangents; a share of the samples."""
    layer, stride, panel = plan.layers[plan.n_layers - 1], plan.panel_stride, panel_width(work)
    first, last = share(batch.count, team)
    for p in range(count_panels(layer.n_out, work)):
        begin = p * stride + first * panel
        d = work + layer.delta + begin
        if plan.weighted == 1:
            for row in range(last - first):
                weight = weight_of(plan, data, batch, first + row)
                for i in range(row * panel, (row + 1) * panel, width(work)):
                    store(d, i, load(d, i) * like(load(d, i), weight))
        if layer.code != IDENTITY:
            a, z, left = work + layer.activation + begin, work + layer.raw + begin, layer.n_out - p * panel
            multiply_slope_of_panel(layer.code, z, a, d, last - first, left, work + layer.alpha)


@kernel
def add_product(plan, work, data, batch, is_first, out, team):
    """J^T W J v of the rows of a block, after the forward pass, added to the gradient in `work`, or in its place; W are weights.

    Deltas of all layers are overwritten.
    """
    rows, direction = batch.count, direction_of(plan, out)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        _tangents(plan, layer, work, rows, layer.n_in, layer.n_out, direction.packed, team)
        barrier(team)
    _weigh(plan, work, data, batch, team)
    barrier(team)
    for number in range(plan.n_layers - 1, -1, -1):
        layer = plan.layers[number]
        if number > 0 and not computes_deltas(layer, rows):
            backward(plan, layer, work, rows, team)
        gradient(plan, layer, work, rows, is_first, False, team)
        barrier(team)
