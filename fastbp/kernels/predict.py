"""Prediction: the forward pass alone, a block of rows at a time.

Legend: N rows predicted; S rows of a block; O outputs; L layers.
"""

from fastbp.compiler import inline, kernel
from fastbp.kernels.check import are_finite
from fastbp.kernels.encoder.features import encode_samples
from fastbp.kernels.forward import IDENTITY, TO_PREDICT, activate_panel, forward
from fastbp.kernels.packing import from_lanes, gather_rows, rows_from_panels, to_lanes
from fastbp.kernels.plan import SOFTMAX
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.kernels.sparse.entries import gather_entries
from fastbp.kernels.sparse.first_layer import forward_entries, forward_row_entries
from fastbp.kernels.sweeps import softmax_block
from fastbp.kernels.team import share
from fastbp.kernels.tuning import AGAIN_IN_ROW, FEW_WEIGHTS
from fastbp.simd.kinds import OWN
from fastbp.simd.register import broadcast, fma, load, load_first, store, width
from fastbp.simd.transpose import square_times, square_times_first


@kernel
def _two_panels_of_row(w, n_in, a, stride, z):
    """z += w a for the units of two panels and inputs a multiple of W: sums side by side, for those of one wait for each other."""
    lanes, panel = width(w), panel_width(w)
    w_1, w_2, w_3, z_2 = w + lanes * n_in, w + panel * n_in, w + (panel + lanes) * n_in, z + stride
    first, second, third, fourth = load(z, 0), load(z, lanes), load(z_2, 0), load(z_2, lanes)
    for i in range(0, n_in, lanes):
        a_i = a + i // panel * stride + i % panel
        first = square_times(first, w + i, n_in, lanes - 1, a_i)
        second = square_times(second, w_1 + i, n_in, lanes - 1, a_i)
        third = square_times(third, w_2 + i, n_in, lanes - 1, a_i)
        fourth = square_times(fourth, w_3 + i, n_in, lanes - 1, a_i)
    store(z, 0, first)
    store(z, lanes, second)
    store(z_2, 0, third)
    store(z_2, lanes, fourth)


@kernel
def _panel_of_row(w, n_in, left, a, stride, z):
    """z += w a for the `left` units of a panel that need not be full; after the last of them come others like it."""
    lanes, panel = width(w), panel_width(w)
    w_1, last, last_1 = w + min(lanes, left - 1) * n_in, min(left, lanes) - 1, max(left - lanes - 1, 0)
    first, second, whole = load(z, 0), load(z, lanes), n_in - n_in % lanes
    for i in range(0, whole, lanes):
        a_i = a + i // panel * stride + i % panel
        first = square_times(first, w + i, n_in, last, a_i)
        second = square_times(second, w_1 + i, n_in, last_1, a_i)
    if whole < n_in:
        a_i = a + whole // panel * stride + whole % panel
        first = square_times_first(first, w + whole, n_in, last, a_i, n_in - whole)
        second = square_times_first(second, w_1 + whole, n_in, last_1, a_i, n_in - whole)
    store(z, 0, first)
    store(z, lanes, second)


@kernel
def _layer_of_row(w, b, n_in, n_out, a, z, stride):
    """z = w (n_out, n_in) a + b (n_out,), a and z in panels, sums in the order of `forward`. Places past n_out are overwritten."""
    lanes, panel, panels = width(w), panel_width(w), count_panels(n_out, w)
    for p in range(panels):
        part, left = b + p * panel, n_out - p * panel
        store(z + p * stride, 0, load_first(part, left))
        store(z + p * stride, lanes, load_first(part + lanes, left - lanes))
    p = 0
    while p < panels:
        w_p, z_p, left = w + p * panel * n_in, z + p * stride, n_out - p * panel
        if left >= 2 * panel and n_in % lanes == 0:
            _two_panels_of_row(w_p, n_in, a, stride, z_p)
            p += 2
        else:
            _panel_of_row(w_p, n_in, left, a, stride, z_p)
            p += 1


@kernel
def _packed_layer_of_row(w, n_in, n_out, a, z, stride):
    """`_layer_of_row` by packed weights and biases (n_in + 1, n_out), two panels at a time, whose sums run side by side."""
    lanes, panel, panels = width(w), panel_width(w), count_panels(n_out, w)
    for p in range(0, panels, 2):
        w_1 = w + p * (n_in + 1) * panel
        w_2 = w_1 + min(1, panels - 1 - p) * (n_in + 1) * panel  # the same once more, if there is no other
        b = n_in * panel
        first, second, third, fourth = load(w_1, b), load(w_1, b + lanes), load(w_2, b), load(w_2, b + lanes)
        for q in range(0, n_in, panel):
            part = a + q // panel * stride
            for i in range(min(panel, n_in - q)):
                a_i, k = broadcast(part, i), (q + i) * panel
                first, second = fma(a_i, load(w_1, k), first), fma(a_i, load(w_1, k + lanes), second)
                third, fourth = fma(a_i, load(w_2, k), third), fma(a_i, load(w_2, k + lanes), fourth)
        z_1, z_2 = z + p * stride, z + min(p + 1, panels - 1) * stride
        store(z_2, 0, third)
        store(z_2, lanes, fourth)
        store(z_1, 0, first)
        store(z_1, lanes, second)


@inline
def is_row_packed(plan, params):
    """Whether the packed weights serve one row, too: so few that they, and what tells if they are current, are in the first cache.

    Then a row of 4-32-2 takes two thirds of the time. Of more, one look at each of the user's weights is the faster way: to tell
    takes two, and the product a third.
    """
    return plan.n_params <= FEW_WEIGHTS * width(params) and plan.most_entries == 0


@kernel
def forward_row(plan, layer, params, work):
    """`forward` for one row, by the user's weights, or by the packed ones if they are few. Bits are those of `forward`."""
    n_out, stride, panel = layer.n_out, plan.panel_stride, panel_width(work)
    a, z, alpha = work + layer.input, work + layer.activation, work + layer.alpha
    if is_row_packed(plan, params):
        _packed_layer_of_row(work + plan.packed + layer.pack, layer.n_in, n_out, a, z, stride)
    else:
        _layer_of_row(params + layer.weights, params + layer.biases, layer.n_in, n_out, a, z, stride)
    if layer.code != IDENTITY:
        for p in range(count_panels(n_out, work)):
            activate_panel(layer.code, z + p * stride, 1, n_out - p * panel, alpha)


def _slowed(layer_of_row):
    """`layer_of_row`, and so often again as a constant of `tuning.py` says."""
    if AGAIN_IN_ROW == 0:
        return layer_of_row

    @kernel
    def layer_again(plan, layer, params, work):
        for _ in range(1 + AGAIN_IN_ROW):
            layer_of_row(plan, layer, params, work)

    return layer_again


_forward_row = _slowed(forward_row)


@kernel
def write_outputs(plan, work, samples, count, out, team):
    """out (N, O), the rows of these samples = the network's outputs, from A (S, O) of the last layer, or Z if the loss has a link.

    A share of the samples; A and the member's lane blocks are overwritten.
    """
    layer, lanes = plan.layers[plan.n_layers - 1], width(work)
    n_out, stride, panel, a = layer.n_out, plan.panel_stride, panel_width(work), work + layer.activation
    first, last = share((count + lanes - 1) // lanes, team)
    top, end = first * lanes, min(last * lanes, count)
    if plan.output == SOFTMAX:
        block = work + plan.lanes + team.member * plan.lanes_stride
        for row in range(top, end, lanes):
            to_lanes(a, stride, row, n_out, block)
            softmax_block(block, n_out)
            from_lanes(block, n_out, a, stride, row)
    elif plan.output != IDENTITY:
        for p in range(count_panels(n_out, work)):
            activate_panel(plan.output, a + p * stride + top * panel, end - top, n_out - p * panel, work)
    rows_from_panels(a + top * panel, stride, samples + top, end - top, n_out, out)


@kernel
def predict(plan, params, work, reals, data, order, team):
    """The network's outputs for rows 0 to N of x, by a team of one; the block and its activations are overwritten.

    `order` are these numbers. Returns whether all numbers of the rows are finite; of rows without their zeros, and
    of numbers of other kinds than the network's, it is not asked.
    """
    n_in = plan.columns if plan.tabular == 1 else plan.layers[0].n_in
    is_sparse, is_finite = plan.most_entries > 0, True
    for top in range(0, plan.n_rows, plan.block):
        rows = min(plan.block, plan.n_rows - top)
        if plan.compressed == 0 and plan.conversion <= 1 + OWN:
            is_finite &= are_finite(data.x + top * n_in, rows * n_in)
        if plan.tabular == 1:
            encode_samples(plan, work, data, order + top, rows, team)
        elif is_sparse:
            gather_entries(plan, work, reals, data, order + top, 0, rows)
        else:
            gather_rows(plan, reals, data, order + top, 0, rows, work + plan.layers[0].input)
        for number in range(plan.n_layers):
            if is_sparse and number == 0 and plan.n_rows > 1:
                forward_entries(plan, work, rows, TO_PREDICT, team)
            elif is_sparse and number == 0:
                forward_row_entries(plan, params, work)
            elif plan.n_rows > 1 or plan.tabular == 1:
                forward(plan, plan.layers[number], work, rows, TO_PREDICT, team)
            else:
                _forward_row(plan, plan.layers[number], params, work)
        write_outputs(plan, work, order + top, rows, data.outputs, team)
    return is_finite
