"""Products whose matrices have a register, W networks in its lanes, in the place of a number.

Sums run in the order of the panel kernels, bit for bit.

Legend: W lanes; R rows of a tile and C its columns, registers; S samples; I inputs and O outputs of a layer.
"""

from fastbp.compiler import inline, kernel, switch
from fastbp.simd.register import width
from fastbp.simd.tile import tile_accumulate, tile_repeat, tile_store, tile_zero

ROWS, SAMPLES = 4, (4, 2, 1)  # of a tile: sixteen sums, of which none waits for another


def _tile(rows, columns):
    zero, repeat = tile_zero(rows, columns), tile_repeat(rows, columns)

    @inline
    def tile_of(w, w_row, w_depth, depth, b, c, stride, bias):
        lanes = width(w)
        tile = repeat(w + bias, w_row) if bias >= 0 else zero(b)
        for k in range(depth):
            # C[r, s] += W[r, k] * B[k, s], lane by lane
            tile = tile_accumulate(tile, w + k * w_depth, w_row, b + k * stride, lanes)
        tile_store(tile, c, stride)

    return tile_of


def _strip(rows):
    four, two, one = (_tile(rows, columns) for columns in SAMPLES)

    @kernel
    def strip(w, w_row, w_depth, depth, b, c, samples, stride, bias):
        """C (rows, S, W) = bias + W B for W (rows, depth, W), B (depth, S, W)."""
        lanes, s = width(w), 0
        while s + 4 <= samples:
            four(w, w_row, w_depth, depth, b + s * lanes, c + s * lanes, stride, bias)
            s += 4
        if s + 2 <= samples:
            two(w, w_row, w_depth, depth, b + s * lanes, c + s * lanes, stride, bias)
            s += 2
        if s < samples:
            one(w, w_row, w_depth, depth, b + s * lanes, c + s * lanes, stride, bias)

    return strip


_strips = switch([_strip(rows) for rows in range(1, ROWS + 1)])


@kernel
def product(w, w_row, w_depth, rows, depth, b, c, samples, stride, bias):
    """C (rows, S, W) = bias + W B; rows and columns of W are `w_row` and `w_depth` numbers apart, rows of B and C `stride`.

    The biases begin at w[bias]; there are none if that is negative.
    """
    for r in range(0, rows, ROWS):
        height = min(ROWS, rows - r)
        _strips(height - 1, w + r * w_row, w_row, w_depth, depth, b, c + r * stride, samples, stride, bias)
