"""Lanes over samples: the matrices of networks whose layers are narrower than a panel, feature by feature.

The samples of a block are in a row, so that no lane is lost to a layer of three units. The forward sums run in the order of the
panel kernels, bit for bit.

Legend: W lanes; S samples of a block, a multiple of W; I inputs and O outputs of a layer.
"""

from fastbp.compiler import inline, kernel, switch, switch_over
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.packing import copy, fill
from fastbp.kernels.products.gemm import ROWS, split
from fastbp.kernels.samples import number_of, numbers_of, weight_of
from fastbp.kernels.sweeps import activate
from fastbp.kernels.tuning import NARROW_CHAINS, NARROW_ROWS
from fastbp.losses import LOSSES
from fastbp.simd.register import broadcast, fence, horizontal_sum, like, load, load_first, load_rows, select, store, width
from fastbp.simd.tile import tile_accumulate, tile_load, tile_rank, tile_splat, tile_store, tile_sums, tile_zero
from fastbp.simd.transpose import square_load

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
    taller, lower, height = split(rows, ROWS)
    for block in range(taller):
        r = block * (height + 1)
        _strips(height, w + r * w_row, w_row, w_depth, depth, b, c + r * stride, samples, stride, bias)
    for block in range(lower):
        r = taller * (height + 1) + block * height
        _strips(height - 1, w + r * w_row, w_row, w_depth, depth, b, c + r * stride, samples, stride, bias)


def _sums(rows, chains):
    zero, load_tile = tile_zero(rows, chains), tile_load(rows, chains)

    @kernel
    def sums(d, a, samples, stride, partial, partial_row, is_first):
        """partial (rows, chains, W) += sums over S, W by W, of each row of D (rows, S) times each row of A (chains, S)."""
        tile = zero(d) if is_first else load_tile(partial, partial_row)
        for s in range(0, samples, width(d)):
            tile = tile_accumulate(tile, d + s, stride, a + s, stride)
        tile_store(tile, partial, partial_row)

    return sums


_sum_tiles = switch([_sums(rows, chains) for rows in (1, NARROW_ROWS) for chains in range(2, NARROW_CHAINS + 1)])


@kernel
def outer_sums(d, a, n_in, n_out, samples, stride, partial, is_first):
    """partial (O, I + 1, W) += sums over the samples of D (O, S) times A (I + 1, S): the gradient, lane by lane."""
    row = (n_in + 1) * width(d)
    j = 0
    while j < n_out:
        is_high = j + NARROW_ROWS <= n_out
        k = 0
        while k <= n_in:
            chains = min(NARROW_CHAINS, n_in + 1 - k)
            chains -= k + chains == n_in  # not one alone at the end
            code, target = chains - 2 + (NARROW_CHAINS - 1) * is_high, partial + j * row + k * width(d)
            _sum_tiles(code, d + j * stride, a + k * stride, samples, stride, target, row, is_first)
            k += chains
        j += NARROW_ROWS if is_high else 1


@kernel
def sum_lanes(partial, count, total):
    """total (count,) = sums over the lanes of partial (count, W), count a multiple of W."""
    lanes = width(partial)
    for i in range(0, count, lanes):
        tile_sums(square_load(partial + i * lanes, lanes), total + i)


@kernel
def gather_columns(x, columns, order, count, out, stride):
    """out (columns, S) = the rows order[:count] of x (N, columns), transposed; the last one fills up a register."""
    whole = count - count % width(x)
    for k in range(columns):
        for s in range(0, whole, width(x)):
            store(out, s, fence(load_rows(x + k, order + s, columns)))
        if whole < count:
            store(out, whole, broadcast(x, order[count - 1] * columns + k))
        for s in range(whole, count - 1):
            out[s] = x[order[s] * columns + k]
        out = out + stride


@kernel
def convert_columns(numbers, columns, order, count, samples, out, stride):
    """The same of samples whose numbers are to be converted, up to column `samples` of `out`."""
    for k in range(columns):
        for s in range(samples):
            out[s] = number_of(numbers, order[min(s, count - 1)] * columns + k)
        out = out + stride


@kernel
def gather(plan, reals, data, batch, samples, a, targets, weights):
    """Lanes of a block, `samples` with those past its last one: A (I, S), targets (O, S), weights (S,), for which see `weight_of`.

    Lanes past the last sample have the weight 0, and are the last sample once more: what is left of former ones might overflow
    where no sample does, and infinity times 0 is in every sum.
    """
    n_in, n_out, stride = plan.layers[0].n_in, plan.layers[plan.n_layers - 1].n_out, plan.block
    order, count = batch.samples, batch.count
    if plan.conversion == 0:
        gather_columns(data.x, n_in, order, count, a, stride)
    else:
        convert_columns(numbers_of(plan, reals, data), n_in, order, count, samples, a, stride)
    if plan.labelled == 1:
        fill(targets, n_out * stride, 0.0)
        for s in range(count):
            targets[data.labels[order[s]] * stride + s] = 1
    else:
        gather_columns(data.y, n_out, order, count, targets, stride)
    for s in range(count if plan.weighted == 1 else 0):
        weights[s] = weight_of(plan, data, batch, s)
    if plan.weighted == 0:
        fill(weights, samples, 1.0)
    if count < samples:
        last = samples - width(a)
        store(weights, last, load_first(weights + last, count - last))


@kernel
def finish(layer, work, a, count):
    """A = f(Z) in place, of one layer; Z is kept if the slope needs it."""
    if layer.needs_z == 1:
        copy(a, work + layer.raw, count)
    if layer.code != IDENTITY:
        activate(layer.code, a, count, width(a), work + layer.alpha)


def sweeping_losses(end):
    """What makes of a loss its sweep over the registers of a block.

    It writes D (O, S) = dC/dx of the last layer, and gives ``end`` of the sum of the weighted losses, min(l, cap) each.
    """

    def sweep_of(cls):
        value_and_grad = inline(cls.value_and_grad)

        @kernel
        def sweep(x, y, d, weights, n_out, samples, stride, scale, cap, rest):
            zero = total = like(load(x, 0), 0.0)
            scale, cap, rest = like(zero, scale), like(zero, cap), like(zero, rest)
            for s in range(0, samples, width(x)):
                losses, weight = value_and_grad(x + s, y + s, d + s, n_out, stride, scale), load(weights, s)
                losses = select(losses > cap, cap, losses)
                total = total + select(weight == 0.0, zero, losses * weight)
                factor = weight * rest
                for k in range(s, s + n_out * stride, stride):
                    store(d, k, select(weight == 0.0, zero, load(d, k) * factor))
            return end(total)

        return sweep

    return sweep_of


_loss_sweeps = switch_over(LOSSES, sweeping_losses(inline(lambda total: horizontal_sum(total))))


@kernel
def loss_narrow(plan, work, reals, samples, stride, targets, weights, rest):
    """Sum of the weighted losses; D (O, S) = dC/dx of the last layer, the weights still to be multiplied by `rest`."""
    layer = plan.layers[plan.n_layers - 1]
    x, d, scale, cap = work + layer.activation, work + layer.delta, reals.loss_scale, reals.cap
    return _loss_sweeps(plan.loss, x, targets, d, weights, layer.n_out, samples, stride, scale, cap, rest)
