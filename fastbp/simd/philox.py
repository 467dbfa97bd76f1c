"""Philox4x32-10, a counter-based generator of random numbers (Salmon et al., 2011): on numbers, and on registers.

Every number is a function of a key and a counter: it does not depend on what was drawn before.

Legend: c0..c3 the counter, k0, k1 the key, p0, p1 their 64-bit products.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.compiler import inline
from fastbp.simd import register
from fastbp.simd.emit import emit_load, emit_splat, emit_store, vector_type

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
ROUNDS = 10
SEEDS = 8  # at a time


@inline
def philox(c0, c1, c2, c3, k0, k1):
    """Four random 32-bit numbers (in uint64) of a 128-bit counter and a 64-bit key, all given as uint64 below 2**32."""
    for _ in range(ROUNDS):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


def _emit_rounds(builder, counters, keys):
    """`philox` on vectors of 64-bit integers."""
    vector = counters[0].type
    low, half = (ir.Constant(vector, [number] * vector.count) for number in (0xFFFFFFFF, 32))
    m0, m1, w0, w1 = (ir.Constant(vector, [int(number)] * vector.count) for number in (M0, M1, W0, W1))
    c0, c1, c2, c3, k0, k1 = (builder.and_(word, low) for word in (*counters, *keys))
    for _ in range(ROUNDS):
        p0, p1 = builder.mul(m0, c0), builder.mul(m1, c2)
        high = [builder.xor(builder.xor(builder.lshr(p, half), c), k) for p, c, k in ((p1, c1, k0), (p0, c3, k1))]
        c0, c1, c2, c3 = high[0], builder.and_(p1, low), high[1], builder.and_(p0, low)
        k0, k1 = (builder.and_(builder.add(k, w), low) for k, w in ((k0, w0), (k1, w1)))
    return c0, c1, c2, c3


@intrinsic
def words_of_seeds(typingctx, seeds, epoch, block, words):
    """words (4, 8) = `philox` of the counter (block, epoch), each in two halves, with each of 8 seeds as its key."""

    def codegen(context, builder, signature, args):
        seeds, epoch, block, words = args
        vector, half = ir.VectorType(ir.IntType(64), SEEDS), ir.Constant(ir.IntType(64), 32)
        keys = emit_load(builder, seeds, 0, vector, 64)
        counters = [block, builder.lshr(block, half), epoch, builder.lshr(epoch, half)]
        found = _emit_rounds(
            builder,
            [emit_splat(builder, word, vector) for word in counters],
            [keys, builder.lshr(keys, emit_splat(builder, half, vector))],
        )
        for k, word in enumerate(found):
            emit_store(builder, word, words, k * SEEDS, 64)
        return context.get_dummy_value()

    return types.void(seeds, types.int64, types.int64, words), codegen


@intrinsic
def masks(typingctx, ptr, group, position, epoch, layer, k0, k1, keep):
    """Four registers of four numbers of the pointer's dtype: 2^32 / keep where a word of `philox` is below `keep`, else 0.

    The four blocks of counters 4 group + (0, 1, 2, 3) are computed side by side; register j holds word j of each.
    """
    lanes = register.Vec(ptr.dtype, 4)

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.IntType(64), 4)
        group, c1, c2, c3, k0, k1, limit = (emit_splat(builder, arg, vector) for arg in args[1:])
        c0 = builder.add(builder.shl(group, ir.Constant(vector, [2] * 4)), ir.Constant(vector, [0, 1, 2, 3]))
        c0, c1, c2, c3 = _emit_rounds(builder, (c0, c1, c2, c3), (k0, k1))
        number = context.get_value_type(ptr.dtype)
        scale = builder.fdiv(ir.Constant(number, float(1 << 32)), builder.sitofp(args[-1], number))
        scale, zero = emit_splat(builder, scale, vector_type(lanes)), ir.Constant(vector_type(lanes), [0.0] * 4)
        kept = [builder.select(builder.icmp_unsigned("<", word, limit), scale, zero) for word in (c0, c1, c2, c3)]
        return context.make_tuple(builder, signature.return_type, kept)

    return types.UniTuple(lanes, 4)(ptr, *[types.int64] * 7), codegen
