"""A dot product and a softmax in the vector type of the kernels, for arrays of any length, beside NumPy's."""

import numpy as np

from fastbp import simd
from fastbp.compiler import entry


@entry(lambda dtype: dtype(dtype[::1], dtype[::1]))
def dot(x, y):
    x, y, n, total = simd.pointer(x), simd.pointer(y), x.size, simd.zeros(simd.pointer(x))
    for i in range(0, n, simd.width(x)):
        total = simd.fma(simd.load_first(x + i, n - i), simd.load_first(y + i, n - i), total)
    return simd.horizontal_sum(total)


@entry(lambda dtype: dtype(dtype[::1]))
def softmax(x):  # in place; the result is log(sum(exp(x)))
    x, n, total, highest = simd.pointer(x), x.size, simd.zeros(simd.pointer(x)), simd.broadcast(simd.pointer(x), 0)
    for i in range(0, n, simd.width(x)):
        highest = simd.maximum(highest, simd.select(simd.first_lanes(highest, n - i), simd.load_first(x + i, n - i), highest))
    top = simd.horizontal_max(highest)
    for i in range(0, n, simd.width(x)):
        simd.store_first(x + i, n - i, simd.exp(simd.load_first(x + i, n - i) - top))
        total = total + simd.load_first(x + i, n - i)
    mass = simd.horizontal_sum(total)
    for i in range(0, n, simd.width(x)):
        simd.store_first(x + i, n - i, simd.load_first(x + i, n - i) / mass)
    return top + simd.log(mass)


for dtype in ("float32", "float64"):
    x, y = np.random.default_rng(0).normal(size=(2, 1001)).astype(dtype)
    expected, error = np.exp(x) / np.exp(x).sum(), abs(dot[dtype](x, y) / (x @ y) - 1)
    softmax[dtype](x)
    print(f"{dtype}: dot product within {error:.1e}, softmax within {np.abs(x / expected - 1).max():.1e}")
