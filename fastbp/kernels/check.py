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
    whole = x.size - x.size % lanes
    zero = like(broadcast(x_, 0), 0.0)
    rest = zero
    for i in range(0, whole, lanes):
        rest = fma(load(x_, i), zero, rest)
    last = 0.0
    for i in range(whole, x.size):
        last += 0.0 * x[i]
    return all_lanes(rest == rest) and last == 0.0
