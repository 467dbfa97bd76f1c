"""Networks whose layers are narrower than a panel: lanes over samples, everything in the first-level cache.

Activations and deltas are stored feature by feature, the samples of a block in a row, so that no lane is lost to a layer of three
units. Weights and bias of a layer are one matrix (O, I + 1), the bias its last column, and the activations have a last row of
ones: the bias gradient is then one more column of the same sum. The forward sums run in the order of the panel kernels, bit for
bit.

Legend: W lanes; S samples of a block, a multiple of W; I inputs and O outputs of a layer; B samples of the mini-batch.
"""

from fastbp._jit import inline, kernel, switch
from fastbp.activations import activate, multiply_slope
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.gemm import ROWS, split
from fastbp.kernels.packing import copy, fill, transpose_square
from fastbp.kernels.simd import horizontal_sum, like, load, select, store, width
from fastbp.kernels.tile import tile_accumulate, tile_load, tile_rank, tile_splat, tile_store, tile_zero
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
from fastbp.losses import loss_block
from fastbp.optimizers import prepare, update

CHAINS = 4  # sums over the samples that run side by side


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


def _sums(chains):
    zero, load_tile = tile_zero(1, chains), tile_load(1, chains)

    @kernel
    def sums(d, a, samples, stride, partial, rows, partial_row, is_first):
        """partial (rows, chains, W) += sums over S, W by W, of each row of D (rows, S) times each row of A (chains, S)."""
        for _ in range(rows):
            tile = zero(d) if is_first else load_tile(partial, 0)
            for s in range(0, samples, width(d)):
                tile = tile_accumulate(tile, d + s, a + s, stride)
            tile_store(tile, partial, 0)
            d = d + stride
            partial = partial + partial_row

    return sums


_sum_chains = switch([_sums(chains) for chains in range(1, CHAINS + 1)])


@kernel
def outer_sums(d, a, n_in, n_out, samples, stride, partial, is_first):
    """partial (O, I + 1, W) += sums over the samples of D (O, S) times A (I + 1, S): the gradient, lane by lane."""
    for k in range(0, n_in + 1, CHAINS):
        chains = min(CHAINS, n_in + 1 - k)
        target = partial + k * width(d)
        _sum_chains(chains - 1, d, a + k * stride, samples, stride, target, n_out, (n_in + 1) * width(d), is_first)


@kernel
def sum_lanes(partial, count, total, square):
    """total (count,) = sums over the lanes of partial (count, W), count a multiple of W; `square` is room for W x W numbers."""
    lanes = width(partial)
    for i in range(0, count, lanes):
        transpose_square(partial + i * lanes, lanes, square, lanes)
        value = load(square, 0)
        for j in range(1, lanes):
            value = value + load(square, j * lanes)
        store(total, i, value)


@kernel
def gather_columns(plan, x, y, labels, sample_weight, order, count, samples, a, targets, weights):
    """Lanes of `count` samples: A (I, S), targets (O, S), weights (S,); weights past them are 0."""
    n_in, n_out, stride = plan[TABLE + N_IN], plan[TABLE + (plan[N_LAYERS] - 1) * COLUMNS + N_OUT], plan[BLOCK]
    for k in range(n_in):
        for s in range(count):
            a[k * stride + s] = x[order[s] * n_in + k]
    if plan[LABELS] == 1:
        fill(targets, n_out * stride, 0.0)
        for s in range(count):
            targets[labels[order[s]] * stride + s] = 1
    else:
        for k in range(n_out):
            for s in range(count):
                targets[k * stride + s] = y[order[s] * n_out + k]
    if plan[WEIGHTED] == 1:
        for s in range(count):
            weights[s] = sample_weight[order[s]]
    else:
        fill(weights, samples, 1.0)
    for s in range(count, samples):
        weights[s] = 0


@kernel
def forward_narrow(plan, work, samples):
    """A (O, S) of every layer, and z where the slope needs it."""
    stride = plan[BLOCK]
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        n_in, n_out = row[N_IN], row[N_OUT]
        a = work + row[ACTIVATION]
        product(work + plan[PACKED] + row[PACK], n_in + 1, 1, n_out, n_in, work + row[INPUT], a, samples, stride, n_in)
        if row[NEEDS_Z] == 1:
            copy(a, work + row[RAW], n_out * stride)
        if row[CODE] != IDENTITY:
            activate(row[CODE], a, n_out * stride, work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8 + layer)


@kernel
def loss_narrow(plan, work, reals, samples, targets, weights, inverse):
    """Sum of the weighted losses; D (O, S) = dC/dx of the last layer."""
    row = plan + TABLE + (plan[N_LAYERS] - 1) * COLUMNS
    n_out, stride, total = row[N_OUT], plan[BLOCK], 0.0
    x, d = work + row[ACTIVATION], work + row[DELTA]
    for s in range(0, samples, width(work)):
        losses = loss_block(plan[LOSS], x + s, targets + s, d + s, n_out, stride, reals[LOSS_SCALE], reals[CAP])
        weight = load(weights, s)
        total += horizontal_sum(select(weight > 0.0, losses * weight, like(losses, 0.0)))
        scale = weight * inverse
        for k in range(s, n_out * stride, stride):
            store(d, k, select(weight > 0.0, load(d, k) * scale, like(scale, 0.0)))
    return total


@kernel
def narrow_minibatch(plan, work, reals, rate, epoch, start, data, order, batch, differentiate, meeting, member, members):
    """One step on the samples order[:batch], by one member alone, with the ones of `write_ones`; see `minibatch`."""
    x, _, _, y, labels, sample_weight = data
    n_layers, stride, lanes = plan[N_LAYERS], plan[BLOCK], width(work)
    weight_sum = float(batch)
    if plan[WEIGHTED] == 1:
        weight_sum = 0.0
        for j in range(batch):
            weight_sum += sample_weight[order[j]]
    inverse = 1.0 / weight_sum if weight_sum > 0.0 else 0.0
    packed, gradient, partials = work + plan[PACKED], work + plan[GRADIENT], work + plan[PARTIALS]
    weights = work + plan[LANES]
    square = weights + stride
    targets, loss = square + lanes * lanes, 0.0
    for top in range(0, batch, stride):
        count = min(stride, batch - top)
        samples = (count + lanes - 1) // lanes * lanes
        a = work + plan[TABLE + INPUT]
        gather_columns(plan, x, y, labels, sample_weight, order + top, count, samples, a, targets, weights)
        forward_narrow(plan, work, samples)
        loss += loss_narrow(plan, work, reals, samples, targets, weights, inverse)
        for layer in range(n_layers - 1, -1, -1):
            row = plan + TABLE + layer * COLUMNS
            n_in, n_out, d = row[N_IN], row[N_OUT], work + row[DELTA]
            if row[CODE] != IDENTITY:
                alpha = work + plan[COEFFICIENTS] + 2 * N_COEFFICIENTS + 8 + layer
                multiply_slope(row[CODE], work + row[RAW], work + row[ACTIVATION], d, n_out * stride, alpha)
            if layer > 0:
                below = work + (row - COLUMNS)[DELTA]
                product(packed + row[PACK], 1, n_in + 1, n_in, n_out, d, below, samples, stride, -1)
            outer_sums(d, work + row[INPUT], n_in, n_out, samples, stride, partials + row[PACK] * lanes, top == 0)
    reals[LOSS_SUM] += reals[REPORT] * inverse * loss * batch
    reals[LOSS_ROWS] += batch if inverse > 0.0 else 0
    sum_lanes(partials, plan[N_PACKED], gradient, square)
    coefficients = work + plan[COEFFICIENTS]
    reals[0] = rate
    prepare(plan[RULE], reals, coefficients)
    coefficients[0] = 1
    coefficients[2 * N_COEFFICIENTS] = 0
    l2, slot = coefficients + 2 * N_COEFFICIENTS, work + plan[SLOT_1]
    update(plan[RULE], packed, gradient, slot, work + plan[SLOT_2], plan[N_PACKED], coefficients, l2)


@kernel
def write_ones(plan, work):
    """The last row of the input of every layer, which nothing overwrites."""
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        fill(work + row[INPUT] + row[N_IN] * plan[BLOCK], plan[BLOCK], 1.0)
