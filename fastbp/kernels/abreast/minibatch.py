"""A mini-batch of W networks at once: each has its own rows, weights of samples, learning rate and penalty.

Legend: N samples; W lanes, a network in each; S samples of a block; I inputs and O outputs of a layer; P parameters of a network.
"""

from typing import Any, NamedTuple

from fastbp.compiler import inline, kernel, switch_over
from fastbp.kernels.abreast.lanes import lane_of, reals_of
from fastbp.kernels.abreast.products import product
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.narrow.columns import finish, outer_sums, sweeping_losses
from fastbp.kernels.packing import fill
from fastbp.kernels.plan import PER_BATCH, SOFTMAX
from fastbp.kernels.samples import LEAST_WEIGHT
from fastbp.kernels.sweeps import activate, multiply_slope, prepare, softmax_block, update_lanes
from fastbp.losses import LOSSES
from fastbp.optimizers import N_COEFFICIENTS
from fastbp.simd.record import preceding
from fastbp.simd.register import fma, like, load, on_stack, store, width
from fastbp.simd.transpose import columns_together, store_columns


class Data(NamedTuple):
    """Pointers to the samples of a call; what is not needed is never read."""

    x: Any  # (N, I'): a column of ones after the last, and as many zeros as to be a multiple of `columns_together`
    columns: int  # I'
    y: Any  # (N, O'), or (K, N, O'): zeros after the last
    target_columns: int  # O'
    targets_of_each: int  # N in the second case, else 0
    sample_weight: Any  # (N,), or (K, N), float64
    weights_of_each: int  # N in the second case, else 0
    row_stride: int  # numbers from the rows of a network to those of the next


_loss_sweeps = switch_over(LOSSES, sweeping_losses(inline(lambda total: total)))
_coefficients = on_stack(lambda lanes: N_COEFFICIENTS)


@kernel
def write_ones(plan, work, stride):
    """The last row of the input of every layer, (S, W) numbers, which nothing overwrites while `stride` stays the same."""
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        fill(work + layer.input + layer.n_in * stride, stride, 1.0)


@inline
def _gather(x, columns, rows, row_stride, samples, out, stride):
    """out (columns, S, W) = rows (W, S) of x (N, columns); columns are a multiple of those that are taken together."""
    for s in range(samples):
        for k in range(0, columns, columns_together(x)):
            store_columns(x + k, rows + s, row_stride, columns, out + k * stride + s * width(x), stride)


@kernel
def forward_block(plan, work, data, rows, samples, stride):
    """Activations of all layers, Z of the last where the loss has a link, for S samples: rows (W, S) of X."""
    lanes, packed = width(work), work + plan.packed
    _gather(data.x, data.columns, rows, data.row_stride, samples, work + plan.layers[0].input, stride)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        n_in, n_out, a = layer.n_in, layer.n_out, work + layer.activation
        row = (n_in + 1) * lanes
        product(packed + layer.pack, row, lanes, n_out, n_in, work + layer.input, a, samples, stride, n_in * lanes)
        finish(layer, work, a, n_out * stride)


@kernel
def add_losses(plan, work, data, rows, samples, stride, scale, cap, rest):
    """Add to work[plan.losses] (W,) the weighted losses; D (O, S, W) = dC/dx of the last layer. rows (W, S) of Y."""
    layer, weights = plan.layers[plan.n_layers - 1], work + plan.lanes
    targets = weights + plan.block * width(work)
    _gather(data.y, data.target_columns, rows, data.row_stride, samples, targets, stride)
    x, d = work + layer.activation, work + layer.delta
    total = _loss_sweeps(plan.loss, x, targets, d, weights, layer.n_out, samples * width(work), stride, scale, cap, rest)
    store(work, plan.losses, load(work, plan.losses) + total)


@kernel
def backward_block(plan, work, samples, stride, is_first):
    """Add the gradients of S samples, from D of the last layer; `is_first`: there are none yet."""
    lanes, packed = width(work), work + plan.packed
    for number in range(plan.n_layers - 1, -1, -1):
        layer = plan.layers[number]
        n_in, n_out, d, w = layer.n_in, layer.n_out, work + layer.delta, packed + layer.pack
        if layer.code != IDENTITY:
            multiply_slope(layer.code, work + layer.raw, work + layer.activation, d, n_out * stride, lanes, work + layer.alpha)
        if number > 0:
            product(w, lanes, (n_in + 1) * lanes, n_in, n_out, d, work + preceding(layer).delta, samples, stride, -1)
        outer_sums(d, work + layer.input, n_in, n_out, samples * lanes, stride, work + plan.gradient + layer.pack, is_first)


@kernel
def _weigh(data, members, reals, rows, count, lanes):
    """1 over the sum of the weights of each network's mini-batch, 0 if it weighs nothing."""
    for j in range(lanes):
        total, weight = 0.0, data.sample_weight + lane_of(members, j).network * data.weights_of_each
        for s in range(count):
            total += weight[rows[j * data.row_stride + s]]
        reals_of(reals, j).inverse = 0.0 if total < LEAST_WEIGHT else 1.0 / total


@kernel
def _write_weights(plan, work, data, members, reals, rows, samples):
    """Weights (S, W) of a block: the user's, divided by their sum in the mini-batch; see `_weigh`."""
    lanes, weights = width(work), work + plan.lanes
    for j in range(lanes):
        weight, inverse = data.sample_weight + lane_of(members, j).network * data.weights_of_each, reals_of(reals, j).inverse
        for s in range(samples):
            weights[s * lanes + j] = weight[rows[j * data.row_stride + s]] * inverse


@kernel
def losses_and_gradients(plan, work, data, members, reals, rows, rows_of_y, count, differentiate):
    """work[plan.losses] (W,) = the mean losses of a mini-batch, in `report` and `cap` of the first lane; gradients (P, W).

    rows and rows_of_y (W, count) are rows of X and Y.
    """
    lanes, most, own, rest = width(work), plan.block, reals_of(reals, 0), 1.0 / count
    store(work, plan.losses, like(load(work, 0), 0.0))
    if plan.weighted == 1:
        rest = 1.0
        _weigh(data, members, reals, rows, count, lanes)
    else:
        fill(work + plan.lanes, min(most, count) * lanes, 1.0)
    for top in range(0, count, most):
        samples = min(most, count - top)
        stride = samples * lanes
        if samples < most or top == 0:
            write_ones(plan, work, stride)
        if plan.weighted == 1:
            _write_weights(plan, work, data, members, reals, rows + top, samples)
        forward_block(plan, work, data, rows + top, samples, stride)
        add_losses(plan, work, data, rows_of_y + top, samples, stride, own.loss_scale, own.cap, rest)
        if differentiate:
            backward_block(plan, work, samples, stride, top == 0)
    store(work, plan.losses, load(work, plan.losses) * like(load(work, 0), rest * own.report))


@kernel
def write_outputs(plan, work, data, rows, samples):
    """work[plan.lanes] (S, O, W) = outputs for S samples, rows (W, S) of X."""
    lanes, layer = width(work), plan.layers[plan.n_layers - 1]
    stride, n_out = samples * lanes, layer.n_out
    forward_block(plan, work, data, rows, samples, stride)
    for s in range(samples):
        out, a = work + plan.lanes + s * n_out * lanes, work + layer.activation + s * lanes
        for k in range(n_out):
            store(out, k * lanes, load(a, k * stride))
        if plan.output == SOFTMAX:
            softmax_block(out, n_out)
        elif plan.output != IDENTITY:
            activate(plan.output, out, n_out * lanes, lanes, work)


@kernel
def _squares(plan, work):
    """Sums (W,) over each network's weights, not its biases, of their squares."""
    lanes = width(work)
    total = like(load(work, 0), 0.0)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        row = (layer.n_in + 1) * lanes
        for o in range(layer.n_out):
            w = work + plan.packed + layer.pack + o * row
            for i in range(0, row - lanes, lanes):
                total = fma(load(w, i), load(w, i), total)
    return total


@inline
def _l2(plan, own, count):
    """Factor of a network's penalty in a mini-batch of so many samples."""
    if plan.penalised != PER_BATCH:
        return own.l2
    return own.l2 / own.unit * own.inverse if plan.weighted == 1 else own.l2 / count


@kernel
def _prepare(plan, work, reals, count):
    """The coefficients of a step, (N, W) for weights and then for biases, and the factors of the penalties (W,), 0 for biases."""
    lanes, c = width(work), _coefficients(work)
    of_weights = work + plan.step
    of_biases = of_weights + N_COEFFICIENTS * lanes
    l2 = of_biases + N_COEFFICIENTS * lanes
    for j in range(lanes):
        own = reals_of(reals, j)
        prepare(plan.rule, own.hyper, c)
        for i in range(1, N_COEFFICIENTS):
            of_weights[i * lanes + j] = c[i]
            of_biases[i * lanes + j] = c[i]
        of_weights[j], of_biases[j], l2[j], l2[lanes + j] = 1, 0, _l2(plan, own, count), 0


@kernel
def step(plan, work, reals, count):
    """One step of the rule of every network, by the gradients of so many samples."""
    _prepare(plan, work, reals, count)
    lanes, of_weights = width(work), work + plan.step
    of_biases = of_weights + N_COEFFICIENTS * lanes
    l2 = of_biases + N_COEFFICIENTS * lanes
    w, g, s, v = work + plan.packed, work + plan.gradient, work + plan.slot_1, work + plan.slot_2
    if plan.penalised == 0:
        update_lanes(plan.rule, w, g, s, v, plan.n_packed, of_weights, l2)
        return
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        size, place = layer.n_in * lanes, layer.pack
        for _ in range(layer.n_out):
            update_lanes(plan.rule, w + place, g + place, s + place, v + place, size, of_weights, l2)
            place += size
            update_lanes(plan.rule, w + place, g + place, s + place, v + place, lanes, of_biases, l2 + lanes)
            place += lanes


@kernel
def minibatch(plan, work, data, members, reals, rows, rows_of_y, count):
    """One step of training of every network; the loss of each, with its penalty, times its samples is added to its `loss_sum`."""
    losses_and_gradients(plan, work, data, members, reals, rows, rows_of_y, count, True)
    losses, squares = work + plan.losses, work + plan.losses + width(work)
    if plan.penalised > 0:
        store(squares, 0, _squares(plan, work))
    for j in range(width(work)):
        own = reals_of(reals, j)
        loss, weighs = 0.0 + losses[j], plan.weighted == 0 or own.inverse > 0.0
        if plan.penalised > 0 and weighs:
            loss += 0.5 * _l2(plan, own, count) * squares[j]
        own.loss_sum += loss * count
        own.loss_rows += count if weighs else 0
    step(plan, work, reals, count)
