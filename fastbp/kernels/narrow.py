"""Networks whose layers are narrower than a panel: lanes over samples, everything in the first-level cache.

Activations and deltas are stored feature by feature, the samples of a block in a row, so that no lane is lost to a layer of three
units. Weights and bias of a layer are one matrix (O, I + 1), the bias its last column, and the activations have a last row of
ones: the bias gradient is then one more column of the same sum. The forward sums run in the order of the panel kernels, bit for
bit.

Legend: W lanes; S samples of a block, a multiple of W; I inputs and O outputs of a layer; B samples of the mini-batch.
"""

from fastbp._jit import inline, kernel, switch, switch_over
from fastbp.activations import activate, multiply_slope
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.gemm import ROWS, split
from fastbp.kernels.packing import copy, fill
from fastbp.kernels.simd import broadcast, fence, fma, horizontal_sum, like, load, load_first, load_rows, select, store, width
from fastbp.kernels.square import square_load
from fastbp.kernels.tile import tile_accumulate, tile_load, tile_rank, tile_splat, tile_store, tile_sums, tile_zero
from fastbp.layout import (
    ACTIVATION,
    BIASES,
    BLOCK,
    CAP,
    CODE,
    COEFFICIENTS,
    COLUMNS,
    DELTA,
    GRADIENT,
    INPUT,
    LABELS,
    LANES,
    LOSS,
    LOSS_ROWS,
    LOSS_SCALE,
    LOSS_SUM,
    N_COEFFICIENTS,
    N_IN,
    N_LAYERS,
    N_OUT,
    N_PACKED,
    NEEDS_Z,
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
from fastbp.losses import LOSSES
from fastbp.optimizers import prepare, update

HEIGHT, CHAINS = 3, 4  # of a tile of sums over the samples, which run side by side


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


_next = tile_rank(1)


def _block(rows, columns):
    zero, splat = tile_zero(rows, columns), tile_splat(rows, columns)

    @inline
    def block(w, w_row, w_depth, depth, b, c, stride, bias):
        tile = splat(w + bias, w_row) if bias >= 0 else zero(b)
        for k in range(depth):
            # C[r, :] += W[r, k] B[k, :]
            tile = _next(tile, w + k * w_depth, w_row, 0, b + k * stride, 0)
        tile_store(tile, c, stride)

    return block


def _strip(rows):
    pair, single = _block(rows, 2), _block(rows, 1)

    @kernel
    def strip(w, w_row, w_depth, depth, b, c, samples, stride, bias):
        """C (rows, S) = bias + W B for W (rows, depth), B (depth, S); the bias is at w[bias], or 0 if `bias` is negative."""
        s = 0
        while s + width(b) < samples:
            pair(w, w_row, w_depth, depth, b + s, c + s, stride, bias)
            s += 2 * width(b)
        if s < samples:
            single(w, w_row, w_depth, depth, b + s, c + s, stride, bias)

    return strip


_strips = switch([_strip(rows) for rows in range(1, ROWS + 1)])


@kernel
def product(w, w_row, w_depth, rows, depth, b, c, samples, stride, bias):
    """C (rows, S) = bias + W B; rows and columns of W are `w_row` and `w_depth` numbers apart, rows of B and C `stride`."""
    if rows <= ROWS:
        _strips(rows - 1, w, w_row, w_depth, depth, b, c, samples, stride, bias)
        return
    taller, lower, height = split(rows)
    for block in range(taller):
        r = block * (height + 1)
        _strips(height, w + r * w_row, w_row, w_depth, depth, b, c + r * stride, samples, stride, bias)
    for block in range(lower):
        r = taller * (height + 1) + block * height
        _strips(height - 1, w + r * w_row, w_row, w_depth, depth, b, c + r * stride, samples, stride, bias)


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


def _sums(rows, chains):
    zero, load_tile = tile_zero(rows, chains), tile_load(rows, chains)

    @kernel
    def sums(d, a, samples, stride, partial, partial_row, is_first):
        """partial (rows, chains, W) += sums over S, W by W, of each row of D (rows, S) times each row of A (chains, S)."""
        tile = zero(d) if is_first else load_tile(partial, partial_row)
        for s in range(0, samples, width(d)):
            tile = tile_accumulate(tile, d + s, a + s, stride)
        tile_store(tile, partial, partial_row)

    return sums


_sum_tiles = switch([_sums(rows, chains) for rows in (1, HEIGHT) for chains in range(2, CHAINS + 1)])


@kernel
def outer_sums(d, a, n_in, n_out, samples, stride, partial, is_first):
    """partial (O, I + 1, W) += sums over the samples of D (O, S) times A (I + 1, S): the gradient, lane by lane."""
    row = (n_in + 1) * width(d)
    j = 0
    while j < n_out:
        is_high = j + HEIGHT <= n_out
        k = 0
        while k <= n_in:
            chains = min(CHAINS, n_in + 1 - k)
            chains -= k + chains == n_in  # not one alone at the end
            code, target = chains - 2 + (CHAINS - 1) * is_high, partial + j * row + k * width(d)
            _sum_tiles(code, d + j * stride, a + k * stride, samples, stride, target, row, is_first)
            k += chains
        j += HEIGHT if is_high else 1


@kernel
def sum_lanes(partial, count, total):
    """total (count,) = sums over the lanes of partial (count, W), count a multiple of W."""
    lanes = width(partial)
    for i in range(0, count, lanes):
        tile_sums(square_load(partial + i * lanes, lanes, lanes - 1), total + i)


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
def gather_one(plan, x, y, labels, sample_weight, sample, a, targets, weights):
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
    store(weights, 0, broadcast(sample_weight, sample) if plan[WEIGHTED] == 1 else one)


@kernel
def gather_columns(x, columns, order, count, out, stride):
    """out (columns, S) = the rows order[:count] of x (N, columns), transposed."""
    whole = count - count % width(x)
    for k in range(columns):
        for s in range(0, whole, width(x)):
            store(out, s, fence(load_rows(x + k, order + s, columns)))
        for s in range(whole, count):
            out[s] = x[order[s] * columns + k]
        out = out + stride


@kernel
def gather(plan, x, y, labels, sample_weight, order, count, samples, a, targets, weights):
    """Lanes of `count` samples: A (I, S), targets (O, S), weights (S,); weights past them are 0."""
    n_in, n_out, stride = plan[TABLE + N_IN], plan[TABLE + (plan[N_LAYERS] - 1) * COLUMNS + N_OUT], plan[BLOCK]
    gather_columns(x, n_in, order, count, a, stride)
    if plan[LABELS] == 1:
        fill(targets, n_out * stride, 0.0)
        for s in range(count):
            targets[labels[order[s]] * stride + s] = 1
    else:
        gather_columns(y, n_out, order, count, targets, stride)
    if plan[WEIGHTED] == 1:
        gather_columns(sample_weight, 1, order, count, weights, stride)
    else:
        fill(weights, samples, 1.0)
    if count < samples:
        last = samples - width(x)
        store(weights, last, load_first(weights + last, count - last))


@kernel
def finish(row, work, a, count, alpha):
    """A = f(Z) in place, of one layer; Z is kept if the slope needs it."""
    if row[NEEDS_Z] == 1:
        copy(a, work + row[RAW], count)
    if row[CODE] != IDENTITY:
        activate(row[CODE], a, count, alpha)


def _loss_sweep(cls):
    block = inline(cls.block)

    @kernel
    def sweep(x, y, d, weights, n_out, samples, stride, scale, cap, inverse):
        """Sum of the weighted losses of the samples, min(l, cap) each; D (O, S) = dC/dx of the last layer."""
        zero = total = like(load(x, 0), 0.0)
        scale, cap, inverse = like(zero, scale), like(zero, cap), like(zero, inverse)
        for s in range(0, samples, width(x)):
            losses, weight = block(x + s, y + s, d + s, n_out, stride, scale), load(weights, s)
            losses = select(losses > cap, cap, losses)
            total = total + select(weight > 0.0, losses * weight, zero)
            factor = weight * inverse
            for k in range(n_out):
                store(d, s + k * stride, select(weight > 0.0, load(d, s + k * stride) * factor, zero))
        return horizontal_sum(total)

    return sweep


_loss_sweeps = switch_over(LOSSES, _loss_sweep)


@kernel
def loss_narrow(plan, work, reals, samples, stride, targets, weights, inverse):
    """Sum of the weighted losses; D (O, S) = dC/dx of the last layer."""
    row = plan + TABLE + (plan[N_LAYERS] - 1) * COLUMNS
    x, d, scale, cap = work + row[ACTIVATION], work + row[DELTA], reals[LOSS_SCALE], reals[CAP]
    return _loss_sweeps(plan[LOSS], x, targets, d, weights, row[N_OUT], samples, stride, scale, cap, inverse)


@kernel
def one_sample(plan, work, reals, data, sample, inverse):
    """The loss of one sample, times its weight, and the gradient of a mini-batch of it alone."""
    x, _, _, y, labels, sample_weight = data
    lanes, alphas = width(work), work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8
    packed, gradient, rows, weights = work + plan[PACKED], work + plan[GRADIENT], work + plan[PARTIALS], work + plan[LANES]
    targets = weights + lanes
    gather_one(plan, x, y, labels, sample_weight, sample, work + plan[TABLE + INPUT], targets, weights)
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
    loss = loss_narrow(plan, work, reals, lanes, lanes, targets, weights, inverse) / lanes
    for layer in range(plan[N_LAYERS] - 1, -1, -1):
        row = plan + TABLE + layer * COLUMNS
        n_in, n_out, d, w = row[N_IN], row[N_OUT], work + row[DELTA], packed + row[PACK]
        if row[CODE] != IDENTITY:
            multiply_slope(row[CODE], work + row[RAW], work + row[ACTIVATION], d, n_out * lanes, alphas + layer)
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
        gather(plan, x, y, labels, sample_weight, order + top, count, samples, a, targets, weights)
        for layer in range(plan[N_LAYERS]):
            row = plan + TABLE + layer * COLUMNS
            n_in, n_out, a = row[N_IN], row[N_OUT], work + row[ACTIVATION]
            product(packed + row[PACK], n_in + 1, 1, n_out, n_in, work + row[INPUT], a, samples, stride, n_in)
            finish(row, work, a, n_out * stride, alphas + layer)
        loss += loss_narrow(plan, work, reals, samples, stride, targets, weights, inverse)
        for layer in range(plan[N_LAYERS] - 1, -1, -1):
            row = plan + TABLE + layer * COLUMNS
            n_in, n_out, d, w = row[N_IN], row[N_OUT], work + row[DELTA], packed + row[PACK]
            if row[CODE] != IDENTITY:
                multiply_slope(row[CODE], work + row[RAW], work + row[ACTIVATION], d, n_out * stride, alphas + layer)
            if layer > 0:
                product(w, 1, n_in + 1, n_in, n_out, d, work + (row - COLUMNS)[DELTA], samples, stride, -1)
            outer_sums(d, work + row[INPUT], n_in, n_out, samples, stride, partials + row[PACK] * lanes, top == 0)
    sum_lanes(partials, plan[N_PACKED], work + plan[GRADIENT])
    return loss


@kernel
def narrow_minibatch(plan, work, reals, rate, epoch, start, data, order, batch, differentiate, meeting, member, members):
    """One step on the samples order[:batch], by one member alone, with the ones of `write_ones`; see `minibatch`."""
    _, _, _, _, _, sample_weight = data
    weight_sum = float(batch)
    if plan[WEIGHTED] == 1:
        weight_sum = 0.0
        for j in range(batch):
            weight_sum += sample_weight[order[j]]
    inverse = 1.0 / weight_sum if weight_sum > 0.0 else 0.0
    if batch == 1:
        loss = one_sample(plan, work, reals, data, order[0], inverse)
    else:
        loss = many_samples(plan, work, reals, data, order, batch, inverse)
    reals[LOSS_SUM] += reals[REPORT] * inverse * loss * batch
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
