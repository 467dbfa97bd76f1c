"""Euclidean norms of numbers of any size: squares overflow long before the numbers do, and those of exploding gradients are large.

Legend: W lanes of a register; L layers.
"""

from math import inf, sqrt

from fastbp.compiler import inline, kernel
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.simd.ieee754 import scale_of_squares
from fastbp.simd.register import fma, horizontal_sum, like, load, width
from fastbp.simd.register import sqrt as sqrt_of_lanes


@kernel
def _sum_of_squares(x, count):
    even = odd = like(load(x, 0), 0.0)
    for i in range(0, count, 2 * width(x)):
        even = fma(load(x, i), load(x, i), even)
        odd = fma(load(x, i + width(x)), load(x, i + width(x)), odd)
    return horizontal_sum(even + odd)


@kernel
def _sum_of_scaled_squares(x, count, scale):
    total = like(load(x, 0), 0.0)
    for i in range(0, count, width(x)):
        scaled = load(x, i) * scale
        total = fma(scaled, scaled, total)
    return horizontal_sum(total)


@kernel
def squared_norm(x, count):
    """sum x^2 of `count` numbers, a multiple of 2 W, in float64."""
    total, scale = 0.0 + _sum_of_squares(x, count), scale_of_squares(x)
    return total if total < inf else _sum_of_scaled_squares(x, count, scale) / scale / scale


@kernel
def norm(x, count):
    """sqrt(sum x^2) of `count` numbers, a multiple of 2 W, in float64."""
    total, scale = 0.0 + _sum_of_squares(x, count), scale_of_squares(x)
    return sqrt(total) if total < inf else sqrt(0.0 + _sum_of_scaled_squares(x, count, scale)) / scale


@kernel
def column_norms(x, rows, stride, unit):
    """Norms of W columns of x (rows, W), its rows `stride` numbers apart, each times a number in `unit`."""
    square = like(unit, 0.0)
    for i in range(rows):
        scaled = load(x, i * stride) * unit
        square = fma(scaled, scaled, square)
    return sqrt_of_lanes(square)


@inline
def norm_of_two(a, b):
    """sqrt(a^2 + b^2) of two norms."""
    large, small = (a, b) if a > b else (b, a)
    ratio = small / large if large > 0.0 else small
    return large * sqrt(1.0 + ratio * ratio)


@kernel
def norm_of_norms(norms, count):
    """sqrt(sum of the squares) of `count` norms."""
    total = 0.0
    for i in range(count):
        total = norm_of_two(total, 0.0 + norms[i])
    return total


@kernel
def write_norms(plan, packed, out):
    """out (L, 2): Euclidean norms of each layer's weights and biases, or of their gradients."""
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        weights = biases = 0.0
        for p in range(count_panels(layer.n_out, packed)):
            w, count = packed + layer.pack + p * (layer.n_in + 1) * panel_width(packed), layer.n_in * panel_width(packed)
            weights = norm_of_two(weights, norm(w, count))
            biases = norm_of_two(biases, norm(w + count, panel_width(packed)))
        out[2 * number], out[2 * number + 1] = weights, biases
