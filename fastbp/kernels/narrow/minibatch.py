"""Networks whose layers are narrower than a panel: lanes over samples, everything in the first-level cache.

Weights and bias of a layer are one matrix (O, I + 1), the bias its last column, and the activations have a last row of ones: the
bias gradient is then one more column of the same sum. A mini-batch of one sample has kernels of its own, without sums over lanes.

Legend: W lanes; S samples of a block, a multiple of W; I inputs and O outputs of a layer; B samples of the mini-batch.
"""

from math import isfinite

from fastbp.compiler import inline, kernel
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.minibatch import leave, prepare_step
from fastbp.kernels.narrow.columns import finish, gather, loss_narrow, outer_sums, product, sum_lanes
from fastbp.kernels.packing import copy, fill
from fastbp.kernels.plan import DIVERGED, SOFTMAX, step_at
from fastbp.kernels.samples import block_of, factor_of_weights, number_of, numbers_of, weight_of
from fastbp.kernels.sweeps import activate, multiply_slope, softmax_block, update
from fastbp.kernels.tuning import NARROW_PIECE
from fastbp.simd.record import preceding
from fastbp.simd.register import broadcast, fence, fma, like, load, store, width


@kernel
def pack_narrow(plan, params, packed):
    """packed (O, I + 1) of each layer from the user's flat vector."""
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        n_in = layer.n_in
        for j in range(layer.n_out):
            target = packed + layer.pack + j * (n_in + 1)
            copy(params + layer.weights + j * n_in, target, n_in)
            target[n_in] = params[layer.biases + j]


@kernel
def unpack_narrow(plan, packed, params):
    """The user's flat vector from packed parameters."""
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        n_in = layer.n_in
        for j in range(layer.n_out):
            source = packed + layer.pack + j * (n_in + 1)
            copy(source, params + layer.weights + j * n_in, n_in)
            params[layer.biases + j] = source[n_in]


@inline
def product_one(w, w_row, w_depth, rows, depth, b, c, bias):
    """`product` for one sample, rows of B and C registers: so small that choosing a tile and calling it would cost more than it."""
    lanes = width(b)
    for r in range(rows):
        total = broadcast(w, bias) if bias >= 0 else like(load(b, 0), 0.0)
        for k in range(depth):
            total = fma(broadcast(w, k * w_depth), load(b, k * lanes), total)
        store(c, r * lanes, total)
        w = w + w_row


@inline
def outer_one(d, inputs, n_in, n_out, g):
    """G (O, I + 1) = D A^T of one sample, row by row in whole registers, from the end so that each row ends at `g` or another row.

    `inputs` points past the end of A (I + 1,), `g` past that of G; up to W - 1 numbers before A are read, and before G overwritten.
    """
    lanes = width(d)
    last = load(inputs, -lanes)
    for j in range(n_out - 1, -1, -1):
        delta = load(d, j * lanes)
        store(g, -lanes, delta * last)
        for i in range(2 * lanes, n_in + 1 + lanes, lanes):
            store(g, -i, delta * load(inputs, -i))
        g = g - (n_in + 1)


@kernel
def gather_one(plan, reals, data, batch, a, targets, weights):
    """One sample in every lane: A (I, W), targets (O, W), weights (W,).

    Whole registers are written: to read one of which a part has not yet reached the cache takes long.
    """
    n_in, n_out, lanes = plan.layers[0].n_in, plan.layers[plan.n_layers - 1].n_out, width(a)
    x, y, sample = data.x, data.y, batch.samples[0]
    numbers, one = numbers_of(plan, reals, data), like(load(weights, 0), 1.0)
    for k in range(n_in):
        i = sample * n_in + k
        store(a, k * lanes, broadcast(x, i) if plan.conversion == 0 else one * number_of(numbers, i))
    if plan.labelled == 1:
        zero = fence(one - one)  # not a constant, of which LLVM would make a call of memset
        for k in range(n_out):
            store(targets, k * lanes, zero)
        store(targets, data.labels[sample] * lanes, one)
    else:
        for k in range(n_out):
            store(targets, k * lanes, broadcast(y, sample * n_out + k))
    store(weights, 0, like(one, weight_of(plan, data, batch, 0)))


@kernel
def write_outputs(plan, work, batch, stride, room, out):
    """out (N, O), the rows of these samples = the network's outputs, from A (O, S) of the last layer, or Z if the loss has a link.

    Targets, in whose `room` they are computed, are overwritten.
    """
    layer, lanes = plan.layers[plan.n_layers - 1], width(work)
    n_out = layer.n_out
    for top in range(0, batch.count, lanes):
        for k in range(n_out):
            store(room, k * lanes, load(work + layer.activation, k * stride + top))
        if plan.output == SOFTMAX:
            softmax_block(room, n_out)
        elif plan.output != IDENTITY:
            activate(plan.output, room, n_out * lanes, lanes, work)
        for j in range(min(lanes, batch.count - top)):
            for k in range(n_out):
                out[batch.samples[top + j] * n_out + k] = room[k * lanes + j]


@kernel
def one_sample(plan, work, reals, data, batch):
    """The loss of one sample, times its weight, and the gradient of a mini-batch of it alone."""
    lanes, packed, gradient, rows = width(work), work + plan.packed, work + plan.gradient, work + plan.partials
    weights, targets = work + plan.lanes, work + plan.lanes + lanes
    gather_one(plan, reals, data, batch, work + plan.layers[0].input, targets, weights)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        n_in, n_out, below, a = layer.n_in, layer.n_out, work + layer.input, work + layer.activation
        product_one(packed + layer.pack, n_in + 1, 1, n_out, n_in, below, a, n_in)
        # its inputs as a row, which `outer_one` reads: written here, so that it has reached the cache by then
        inputs = rows + (layer.pack + n_out * (n_in + 1)) * lanes - (n_in + 1)
        for k in range(n_in):
            inputs[k] = below[k * lanes]
        inputs[n_in] = 1
        finish(layer, work, a, n_out * lanes)
    loss = loss_narrow(plan, work, reals, lanes, lanes, targets, weights, factor_of_weights(plan, batch)) / lanes
    if plan.outputs == 1:
        write_outputs(plan, work, batch, lanes, targets, data.outputs)
    for number in range(plan.n_layers - 1, -1, -1):
        layer = plan.layers[number]
        n_in, n_out, d, w = layer.n_in, layer.n_out, work + layer.delta, packed + layer.pack
        if layer.code != IDENTITY:
            multiply_slope(layer.code, work + layer.raw, work + layer.activation, d, n_out * lanes, lanes, work + layer.alpha)
        if number > 0:
            product_one(w, 1, n_in + 1, n_in, n_out, d, work + preceding(layer).delta, -1)
        end = layer.pack + n_out * (n_in + 1)
        outer_one(d, rows + end * lanes, n_in, n_out, gradient + end)
    return loss


@kernel
def many_samples(plan, work, reals, data, batch, begin, end, loss):
    """The sum of the weighted losses of samples `begin` to `end` of a mini-batch and those before, and the gradient of all."""
    stride, lanes, packed, partials = plan.block, width(work), work + plan.packed, work + plan.partials
    weights, targets = work + plan.lanes, work + plan.lanes + stride
    for top in range(begin, end, stride):
        block = block_of(batch, top, min(stride, batch.count - top))
        samples = (block.count + lanes - 1) // lanes * lanes
        a = work + plan.layers[0].input
        gather(plan, reals, data, block, samples, a, targets, weights)
        for number in range(plan.n_layers):
            layer = plan.layers[number]
            n_in, n_out, a = layer.n_in, layer.n_out, work + layer.activation
            product(packed + layer.pack, n_in + 1, 1, n_out, n_in, work + layer.input, a, samples, stride, n_in)
            finish(layer, work, a, n_out * stride)
        loss += loss_narrow(plan, work, reals, samples, stride, targets, weights, factor_of_weights(plan, batch))
        if plan.outputs == 1:
            write_outputs(plan, work, block, stride, targets, data.outputs)
        for number in range(plan.n_layers - 1, -1, -1):
            layer = plan.layers[number]
            n_in, n_out, d, w = layer.n_in, layer.n_out, work + layer.delta, packed + layer.pack
            if layer.code != IDENTITY:
                multiply_slope(layer.code, work + layer.raw, work + layer.activation, d, n_out * stride, lanes, work + layer.alpha)
            if number > 0:
                product(w, 1, n_in + 1, n_in, n_out, d, work + preceding(layer).delta, samples, stride, -1)
            outer_sums(d, work + layer.input, n_in, n_out, samples, stride, partials + layer.pack * lanes, top == 0)
    if end == batch.count:
        sum_lanes(partials, plan.n_packed, work + plan.gradient)
    return loss


@kernel
def narrow_minibatch(plan, work, reals, data, batch, rate, differentiate, most, crew):
    """One step on a mini-batch, by one thread, with the ones of `write_ones`; see `minibatch`. A piece is of `NARROW_PIECE`."""
    pieces = 1
    if batch.count == 1:
        loss = one_sample(plan, work, reals, data, batch)
    else:
        top = plan.top
        pieces = min(most, (batch.count - top + NARROW_PIECE - 1) // NARROW_PIECE)
        end = min(batch.count, top + pieces * NARROW_PIECE)
        loss = many_samples(plan, work, reals, data, batch, top, end, reals.part)
        if end < batch.count:
            leave(plan, reals, end, loss)
            return -pieces
        leave(plan, reals, 0, 0.0)
    reals.loss_sum += reals.report * factor_of_weights(plan, batch) * loss * batch.count
    reals.loss_rows += batch.count if batch.inverse > 0.0 else 0
    if plan.guarded == 1 and not isfinite(loss):
        plan.status = DIVERGED
        return pieces
    prepare_step(plan, work, reals, rate, 0.0)
    step, packed = step_at(work + plan.step), work + plan.packed
    update(plan.rule, packed, work + plan.gradient, work + plan.slot_1, work + plan.slot_2, plan.n_packed, step.rule, step.l2)
    return pieces


@kernel
def write_ones(plan, work):
    """The last row of the input of every layer, which nothing overwrites."""
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        fill(work + layer.input + layer.n_in * plan.block, plan.block, 1.0)
