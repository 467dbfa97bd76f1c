"""What the machine can do: fused multiply-adds on the tile of the matrix products, and traffic to memory.

Legend: R rows of the largest tile; P = 2 W columns of a panel; K depth.
"""

from numba import types

from fastbp.compiler import entry
from fastbp.simd import register
from fastbp.simd.register import fma, like, load, pointer, store, width
from fastbp.simd.tile import tile_store, tile_zero
from fastbp.simd.tile_product import tile_product

ROWS = register.tile_rows()

_zero = tile_zero(ROWS, 2)


@entry(lambda dtype: types.void(dtype[::1], dtype[::1], dtype[::1], types.int64, types.int64))
def multiply_add(a, b, c, depth, repeats):
    """C (R, P) = A^T B, `repeats` times: 2 R P K flop each, at the FMA units' rate if A (K, R) and B (K, P) stay in L1."""
    a_, b_, c_ = pointer(a), pointer(b), pointer(c)
    panel = 2 * width(a_)
    for _ in range(repeats):
        tile = _zero(a_)
        tile = tile_product(tile, a_, 1, ROWS, b_, panel, depth)
        tile_store(tile, c_, panel)


@entry(lambda dtype: types.void(dtype[::1], dtype[::1], dtype[::1], types.int64, types.int64))
def triad(a, b, c, start, stop):
    """a[i] = 3 b[i] + c[i] for i in [start, stop), whole registers: the triad of McCalpin's STREAM."""
    a_, b_, c_ = pointer(a), pointer(b), pointer(c)
    for i in range(start, stop, width(a_)):
        b_i = load(b_, i)
        store(a_, i, fma(like(b_i, 3.0), b_i, load(c_, i)))
