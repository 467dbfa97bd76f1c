"""Networks whose layers are narrower than a panel: lanes over samples, everything in the first-level cache.

Weights and bias of a layer are one matrix (O, I + 1), the bias its last column, and the activations have a last row of ones: the
bias gradient is then one more column of the same sum. A mini-batch of one sample has kernels of its own, without sums over lanes.

Legend: W lanes; S samples of a block, a multiple of W; I inputs and O outputs of a layer; B samples of the mini-batch.
"""

from fastbp.compiler.jit import inline, kernel
from fastbp.kernels.block import factor_of_weights
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.minibatch import inverse_weight
from fastbp.kernels.narrow.columns import finish, gather, loss_narrow, outer_sums, product, sum_lanes
from fastbp.kernels.packing import copy, fill
from fastbp.kernels.sweeps import multiply_slope, prepare, update
from fastbp.layout import (
    ACTIVATION,
    BIASES,
    BLOCK,
    CODE,
    COEFFICIENTS,
    COLUMNS,
    DELTA,
    GRADIENT,
    INPUT,
    LABELS,
    LANES,
    LOSS_ROWS,
    LOSS_SUM,
    N_COEFFICIENTS,
    N_IN,
    N_LAYERS,
    N_OUT,
    N_PACKED,
    PACK,
    PACKED,
    PARTIALS,
    RAW,
    REPORT,
    RULE,
    SLOT_1,
    SLOT_2,
    TABLE,
    WEIGHTED,
    WEIGHTS,
)
from fastbp.simd.register import broadcast, fence, fma, like, load, store, width


@kernel
def pack_narrow(plan, params, packed):
    """packed (O, I + 1) of each layer from the user's flat vector."""
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        n_in = row[N_IN]
        for j in range(row[N_OUT]):
            target = packed + row[PACK] + j * (n_in + 1)
            copy(params + row[WEIGHTS] + j * n_in, target, n_in)
            target[n_in] = params[row[BIASES] + j]


@kernel
def unpack_narrow(plan, packed, params):
    """The user's flat vector from packed parameters."""
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        n_in = row[N_IN]
        for j in range(row[N_OUT]):
            source = packed + row[PACK] + j * (n_in + 1)
            copy(source, params + row[WEIGHTS] + j * n_in, n_in)
            params[row[BIASES] + j] = source[n_in]


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
def gather_one(plan, x, y, labels, sample_weight, sample, inverse, a, targets, weights):
    """One sample in every lane: A (I, W), targets (O, W), weights (W,).

    Whole registers are written: to read one of which a part has not yet reached the cache takes long.
    """
    n_in, n_out, lanes = plan[TABLE + N_IN], plan[TABLE + (plan[N_LAYERS] - 1) * COLUMNS + N_OUT], width(a)
    for k in range(n_in):
        store(a, k * lanes, broadcast(x, sample * n_in + k))
    one = like(load(a, 0), 1.0)
    if plan[LABELS] == 1:
        zero = fence(one - one)  # not a constant, of which LLVM would make a call of memset
        for k in range(n_out):
            store(targets, k * lanes, zero)
        store(targets, labels[sample] * lanes, one)
    else:
        for k in range(n_out):
            store(targets, k * lanes, broadcast(y, sample * n_out + k))
    store(weights, 0, like(one, sample_weight[sample] * inverse) if plan[WEIGHTED] == 1 else one)


@kernel
def one_sample(plan, work, reals, data, sample, inverse):
    """The loss of one sample, times its weight, and the gradient of a mini-batch of it alone."""
    x, _, _, y, labels, sample_weight = data
    lanes, alphas = width(work), work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8
    packed, gradient, rows, weights = work + plan[PACKED], work + plan[GRADIENT], work + plan[PARTIALS], work + plan[LANES]
    targets = weights + lanes
    gather_one(plan, x, y, labels, sample_weight, sample, inverse, work + plan[TABLE + INPUT], targets, weights)
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        n_in, n_out, below, a = row[N_IN], row[N_OUT], work + row[INPUT], work + row[ACTIVATION]
        product_one(packed + row[PACK], n_in + 1, 1, n_out, n_in, below, a, n_in)
        # its inputs as a row, which `outer_one` reads: written here, so that it has reached the cache by then
        inputs = rows + (row[PACK] + n_out * (n_in + 1)) * lanes - (n_in + 1)
        for k in range(n_in):
            inputs[k] = below[k * lanes]
        inputs[n_in] = 1
        finish(row, work, a, n_out * lanes, alphas + layer)
    loss = loss_narrow(plan, work, reals, lanes, lanes, targets, weights, factor_of_weights(plan, inverse)) / lanes
    for layer in range(plan[N_LAYERS] - 1, -1, -1):
        row = plan + TABLE + layer * COLUMNS
        n_in, n_out, d, w = row[N_IN], row[N_OUT], work + row[DELTA], packed + row[PACK]
        if row[CODE] != IDENTITY:
            multiply_slope(row[CODE], work + row[RAW], work + row[ACTIVATION], d, n_out * lanes, lanes, alphas + layer)
        if layer > 0:
            product_one(w, 1, n_in + 1, n_in, n_out, d, work + (row - COLUMNS)[DELTA], -1)
        end = row[PACK] + n_out * (n_in + 1)
        outer_one(d, rows + end * lanes, n_in, n_out, gradient + end)
    return loss


@kernel
def many_samples(plan, work, reals, data, order, batch, inverse):
    """The sum of the weighted losses of a mini-batch, and its gradient."""
    x, _, _, y, labels, sample_weight = data
    stride, lanes, alphas = plan[BLOCK], width(work), work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8
    packed, partials, weights = work + plan[PACKED], work + plan[PARTIALS], work + plan[LANES]
    targets, loss = weights + stride, 0.0
    for top in range(0, batch, stride):
        count = min(stride, batch - top)
        samples = (count + lanes - 1) // lanes * lanes
        a = work + plan[TABLE + INPUT]
        gather(plan, x, y, labels, sample_weight, order + top, count, samples, inverse, a, targets, weights)
        for layer in range(plan[N_LAYERS]):
            row = plan + TABLE + layer * COLUMNS
            n_in, n_out, a = row[N_IN], row[N_OUT], work + row[ACTIVATION]
            product(packed + row[PACK], n_in + 1, 1, n_out, n_in, work + row[INPUT], a, samples, stride, n_in)
            finish(row, work, a, n_out * stride, alphas + layer)
        loss += loss_narrow(plan, work, reals, samples, stride, targets, weights, factor_of_weights(plan, inverse))
        for layer in range(plan[N_LAYERS] - 1, -1, -1):
            row = plan + TABLE + layer * COLUMNS
            n_in, n_out, d, w = row[N_IN], row[N_OUT], work + row[DELTA], packed + row[PACK]
            if row[CODE] != IDENTITY:
                multiply_slope(row[CODE], work + row[RAW], work + row[ACTIVATION], d, n_out * stride, lanes, alphas + layer)
            if layer > 0:
                product(w, 1, n_in + 1, n_in, n_out, d, work + (row - COLUMNS)[DELTA], samples, stride, -1)
            outer_sums(d, work + row[INPUT], n_in, n_out, samples, stride, partials + row[PACK] * lanes, top == 0)
    sum_lanes(partials, plan[N_PACKED], work + plan[GRADIENT])
    return loss


@kernel
def narrow_minibatch(plan, work, reals, rate, epoch, start, data, order, batch, differentiate, meeting, member, members):
    """One step on the samples order[:batch], by one member alone, with the ones of `write_ones`; see `minibatch`."""
    inverse = inverse_weight(plan, data, order, batch)
    if batch == 1:
        loss = one_sample(plan, work, reals, data, order[0], inverse)
    else:
        loss = many_samples(plan, work, reals, data, order, batch, inverse)
    reals[LOSS_SUM] += reals[REPORT] * factor_of_weights(plan, inverse) * loss * batch
    reals[LOSS_ROWS] += batch if inverse > 0.0 else 0
    coefficients = work + plan[COEFFICIENTS]
    reals[0] = rate
    prepare(plan[RULE], reals, coefficients)
    coefficients[0] = 1
    coefficients[2 * N_COEFFICIENTS] = 0
    l2, slot = coefficients + 2 * N_COEFFICIENTS, work + plan[SLOT_1]
    update(plan[RULE], work + plan[PACKED], work + plan[GRADIENT], slot, work + plan[SLOT_2], plan[N_PACKED], coefficients, l2)


@kernel
def write_ones(plan, work):
    """The last row of the input of every layer, which nothing overwrites."""
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        fill(work + row[INPUT] + row[N_IN] * plan[BLOCK], plan[BLOCK], 1.0)
