"""Whether data can be computed with, at the speed of memory.

Legend: n numbers; W lanes of a register.
"""

from numba import types

from fastbp._jit import entry
from fastbp.kernels.simd import all_lanes, broadcast, fma, like, load, pointer, width


@entry(lambda dtype: types.boolean(types.Array(dtype, 1, "C", readonly=True)))
def all_finite(x):
    """Whether none of x (n,) is NaN or infinite: 0 times such a number is NaN, and NaN stays in the sum."""
    x_, lanes = pointer(x), width(pointer(x))
    fours, whole = x.size - x.size % (4 * lanes), x.size - x.size % lanes
    zero = like(broadcast(x_, 0), 0.0)
    rest = b = c = d = zero  # four sums, none of which waits for another
    for i in range(0, fours, 4 * lanes):
        rest = fma(load(x_, i), zero, rest)
        b = fma(load(x_, i + lanes), zero, b)
        c = fma(load(x_, i + 2 * lanes), zero, c)
        d = fma(load(x_, i + 3 * lanes), zero, d)
    for i in range(fours, whole, lanes):
        rest = fma(load(x_, i), zero, rest)
    rest = rest + b + (c + d)
    last = 0.0
    for i in range(whole, x.size):
        last += 0.0 * x[i]
    return all_lanes(rest == rest) and last == 0.0
