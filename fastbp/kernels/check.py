"""Whether all numbers of an array are finite.

Legend: W lanes of a register.
"""

from numba import types

from fastbp._jit import entry, kernel
from fastbp.kernels.simd import all_lanes, broadcast, fma, like, load, pointer, width


@kernel
def are_finite(x, count):
    """Whether none of the `count` numbers at x is NaN or infinite: 0 times such a number is NaN, and NaN stays in the sum."""
    lanes = width(x)
    fours, whole = count - count % (4 * lanes), count - count % lanes
    zero = like(broadcast(x, 0), 0.0)
    rest = b = c = d = zero  # four sums, none of which waits for another
    for i in range(0, fours, 4 * lanes):
        rest = fma(load(x, i), zero, rest)
        b = fma(load(x, i + lanes), zero, b)
        c = fma(load(x, i + 2 * lanes), zero, c)
        d = fma(load(x, i + 3 * lanes), zero, d)
    for i in range(fours, whole, lanes):
        rest = fma(load(x, i), zero, rest)
    for i in range(whole, count):
        rest = fma(broadcast(x, i), zero, rest)
    return all_lanes((rest + b) + (c + d) == zero)


@entry(lambda dtype: types.boolean(types.Array(dtype, 1, "C", readonly=True)))
def all_finite(x):
    """Whether none of x (n,) is NaN or infinite."""
    return are_finite(pointer(x), x.size)
