"""Derivatives of the outputs with respect to the inputs, without those of the weights: v^T J, J v and J, J_ki = dy_k / dx_i.

v^T J is pulled back through the layers, by the recursion that training has, from the last layer to the inputs; J v is pushed
forward, beside the activations. A row of J is e_k^T J: the recursion again for each output, after one forward pass.

Griewank and Walther, "Evaluating Derivatives", 2nd ed., 2008, chapter 3.

Legend: N samples; S of a block, S <= the plan's; I inputs and O outputs of the network or, of a layer, its own; W lanes of a
register; P = 2 W columns of a panel.
"""

from fastbp.compiler import inline, kernel
from fastbp.kernels.backward import backward, multiply_slope_of_panel, pull_to_inputs
from fastbp.kernels.check import are_finite
from fastbp.kernels.forward import IDENTITY, TO_DIFFERENTIATE, activate_panel, forward
from fastbp.kernels.minibatch import transpose_layers
from fastbp.kernels.modes import JACOBIAN, JVP, VJP
from fastbp.kernels.packing import copy, from_lanes, gather_as_they_are, gather_rows, to_lanes
from fastbp.kernels.plan import SOFTMAX
from fastbp.kernels.products.gemm import Ends, Panels, count_panels, panel_product, panel_width, registers_of_panel
from fastbp.kernels.sweeps import softmax_block
from fastbp.kernels.walk import walk_over
from fastbp.simd.kinds import OWN
from fastbp.simd.record import preceding
from fastbp.simd.register import like, load, store, width
from fastbp.simd.tile import CONTINUE, STORE, ZERO


@inline
def _push_piece(plan, layer, work, piece, purpose):
    n_in, stride, panel = layer.n_in, plan.panel_stride, panel_width(work)
    below = plan.delta if layer.number == 0 else preceding(layer).delta
    tangents = Panels(work + below + piece.k // panel * stride + piece.top * panel, stride)
    w = work + plan.packed + layer.pack + (piece.panel * (n_in + 1) + piece.k) * panel
    out = piece.panel * stride + piece.top * panel
    t, registers = work + layer.delta + out, registers_of_panel(piece.panel, layer.n_out, work)
    ends = Ends(ZERO if piece.k == 0 else CONTINUE, w, STORE, t)
    # T' = T W^T
    panel_product(tangents, piece.depth, w, t, piece.rows, registers, ends, (n_in + 1) * panel if piece.is_followed else 0)
    if piece.is_last and layer.code != IDENTITY:
        # T' = T' * f'(Z)
        z, a, left = work + layer.raw + out, work + layer.activation + out, layer.n_out - piece.panel * panel
        multiply_slope_of_panel(layer.code, z, a, t, piece.rows, left, work + layer.alpha)


_push = walk_over(_push_piece)


@kernel
def _activate_outputs(plan, work, rows):
    """A (S, O) = f(Z) of the last layer in place, where its activation is the loss's own and `forward` has left Z."""
    layer = plan.layers[plan.n_layers - 1]
    n_out, stride, panel, block = layer.n_out, plan.panel_stride, panel_width(work), work + plan.lanes
    if plan.output == SOFTMAX:
        for top in range(0, rows, width(work)):
            to_lanes(work + layer.activation, stride, top, n_out, block)
            softmax_block(block, n_out)
            from_lanes(block, n_out, work + layer.activation, stride, top)
    elif plan.output != IDENTITY:
        for p in range(count_panels(n_out, work)):
            activate_panel(plan.output, work + layer.activation + p * stride, rows, n_out - p * panel, work)


@kernel
def _multiply_slope_of_softmax(plan, work, rows):
    """D = p * (D - sum_k p_k D_k) of each sample, p its probabilities: the Jacobian diag(p) - p p^T is symmetric."""
    layer, lanes, stride = plan.layers[plan.n_layers - 1], width(work), plan.panel_stride
    n_out = layer.n_out
    room = count_panels(n_out, work) * panel_width(work) * lanes
    p, d = work + plan.lanes, work + plan.lanes + room
    for top in range(0, rows, lanes):
        to_lanes(work + layer.activation, stride, top, n_out, p)
        to_lanes(work + layer.delta, stride, top, n_out, d)
        total = like(load(p, 0), 0.0)
        for k in range(0, n_out * lanes, lanes):
            total = total + load(p, k) * load(d, k)
        for k in range(0, n_out * lanes, lanes):
            store(d, k, load(p, k) * (load(d, k) - total))
        from_lanes(d, n_out, work + layer.delta, stride, top)


@kernel
def _multiply_slope_of_outputs(plan, work, rows):
    """D = D * f'(Z) for the last layer's activation, or that which is the loss's own."""
    layer = plan.layers[plan.n_layers - 1]
    code = plan.output if layer.code == IDENTITY else layer.code
    stride, panel = plan.panel_stride, panel_width(work)
    if code == SOFTMAX:
        _multiply_slope_of_softmax(plan, work, rows)
    elif code != IDENTITY:
        for p in range(count_panels(layer.n_out, work)):
            out, alpha = p * stride, work + layer.alpha
            d, a, z = work + layer.delta + out, work + layer.activation + out, work + layer.raw + out
            multiply_slope_of_panel(code, z, a, d, rows, layer.n_out - p * panel, alpha)


@kernel
def _scale(plan, panels, columns, rows, factor):
    """Multiply the rows of a matrix of so many columns by the input scale."""
    for p in range(count_panels(columns, panels)):
        x = panels + p * plan.panel_stride
        for i in range(0, rows * panel_width(panels), width(panels)):
            store(x, i, load(x, i) * like(load(x, i), factor))


@kernel
def _seed(plan, work, rows, k):
    """D (S, O) = e_k, a row of the identity for each sample."""
    layer, stride, panel = plan.layers[plan.n_layers - 1], plan.panel_stride, panel_width(work)
    for p in range(count_panels(layer.n_out, work)):
        d = work + layer.delta + p * stride
        for row in range(rows):
            for column in range(0, panel, width(work)):
                store(d, row * panel + column, like(load(d, 0), 0.0))
            if k // panel == p:
                d[row * panel + k % panel] = 1


@kernel
def _write_rows(plan, panels, rows, columns, out, stride):
    """Rows of so many columns, `stride` numbers apart in `out`, from panels."""
    panel = panel_width(panels)
    for p in range(count_panels(columns, panels)):
        for row in range(rows):
            source = panels + p * plan.panel_stride + row * panel
            copy(source, out + row * stride + p * panel, min(panel, columns - p * panel))


@kernel
def _pull(plan, work, reals, rows, out, stride, team):
    """out (S, I), rows so far apart = D J from D (S, O), derivatives with respect to the outputs; all deltas are overwritten."""
    _multiply_slope_of_outputs(plan, work, rows)
    for number in range(plan.n_layers - 1, 0, -1):
        backward(plan, plan.layers[number], work, rows, team)
    first = plan.layers[0]
    pull_to_inputs(plan, first, work, rows, team)
    if reals.input_scale != 1.0:
        _scale(plan, work + plan.delta, first.n_in, rows, reals.input_scale)
    _write_rows(plan, work + plan.delta, rows, first.n_in, out, stride)


@kernel
def _push_forward(plan, work, reals, v, order, rows, out, team):
    """out (S, O) = V J^T from V (S, I), the samples' directions; all deltas are overwritten."""
    first, last = plan.layers[0], plan.layers[plan.n_layers - 1]
    gather_as_they_are(v, first.n_in, order, 0, rows, work + plan.delta, plan.panel_stride)
    if reals.input_scale != 1.0:
        _scale(plan, work + plan.delta, first.n_in, rows, reals.input_scale)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        _push(plan, layer, work, rows, layer.n_in, layer.n_out, TO_DIFFERENTIATE, team)
    if last.code == IDENTITY:
        _multiply_slope_of_outputs(plan, work, rows)
    _write_rows(plan, work + last.delta, rows, last.n_out, out, last.n_out)


@kernel
def derive(plan, work, reals, data, order, mode, team):
    """VJP: out (N, I) = v^T J with v (N, O); JVP: out (N, O) = J v with v (N, I); JACOBIAN: out (N, O, I) = J, of rows 0 to N of x.

    v is in the place of the targets; by a team of one. `order` are the numbers of the rows of a block. Activations and deltas are
    overwritten; weights are packed. Returns whether x and v are finite, where they are the network's numbers.
    """
    n_in, n_out = plan.layers[0].n_in, plan.layers[plan.n_layers - 1].n_out
    x_finite = plan.conversion > 1 + OWN or are_finite(data.x, plan.n_rows * n_in)
    width_of_v = n_in if mode == JVP else n_out
    if not (x_finite and (mode == JACOBIAN or are_finite(data.y, plan.n_rows * width_of_v))):
        return False
    out = data.outputs
    transpose_layers(plan, work, 0, team)
    for top in range(0, plan.n_rows, plan.block):
        rows = min(plan.block, plan.n_rows - top)
        gather_rows(plan, reals, data, order + top, 0, rows, work + plan.layers[0].input)
        for number in range(plan.n_layers):
            forward(plan, plan.layers[number], work, rows, TO_DIFFERENTIATE, team)
        last = plan.layers[plan.n_layers - 1]
        if last.code == IDENTITY:
            _activate_outputs(plan, work, rows)
        if mode == JVP:
            _push_forward(plan, work, reals, data.y, order + top, rows, out + top * n_out, team)
        elif mode == VJP:
            gather_as_they_are(data.y, n_out, order + top, 0, rows, work + last.delta, plan.panel_stride)
            _pull(plan, work, reals, rows, out + top * n_in, n_in, team)
        else:
            for k in range(n_out):
                _seed(plan, work, rows, k)
                _pull(plan, work, reals, rows, out + (top * n_out + k) * n_in, n_out * n_in, team)
    return True
