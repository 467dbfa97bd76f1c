"""Squares of W x W numbers in W registers: tiles of one column of registers, transposed in log2(W) rounds of shuffles.

Legend: W lanes of a register.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels.emit import I32, at, emit_fma, emit_load, emit_splat, vector_type
from fastbp.kernels.simd import lanes
from fastbp.kernels.tile import Tile


@intrinsic
def square_load(typingctx, ptr, stride, last):
    """The tile of W rows and one column: W x W numbers, row r from ``ptr[r * stride]`` on; rows past `last` are that row again."""
    tile = Tile(ptr.dtype, lanes(ptr.dtype), lanes(ptr.dtype), 1)

    def codegen(context, builder, signature, args):
        vector = vector_type(tile)
        value = ir.Constant(ir.ArrayType(vector, tile.lanes), ir.Undefined)
        for row in range(tile.lanes):
            number = ir.Constant(args[2].type, row)
            number = builder.select(builder.icmp_signed("<", number, args[2]), number, args[2])
            start = at(builder, args[0], builder.mul(args[1], number))
            value = builder.insert_value(value, emit_load(builder, start, 0, vector, ptr.dtype.bitwidth), row)
        return value

    return tile(ptr, types.intp, types.intp), codegen


@intrinsic
def square_transpose(typingctx, tile):
    """The transpose of a tile of W rows and one column: W x W numbers, in log2(W) rounds of shuffles."""

    def codegen(context, builder, signature, args):
        count = tile.lanes
        rows = [builder.extract_value(args[0], i) for i in range(count)]
        half = count // 2
        while half:
            # swap the off-diagonal half x half blocks of every 2 half x 2 half block
            keep = [i + count - half if i & half else i for i in range(count)]
            swap = [i + count if i & half else i + half for i in range(count)]
            index = ir.VectorType(I32, count)
            for i in range(count):
                if not i & half:
                    low, high = rows[i], rows[i + half]
                    rows[i] = builder.shuffle_vector(low, high, ir.Constant(index, keep))
                    rows[i + half] = builder.shuffle_vector(low, high, ir.Constant(index, swap))
            half //= 2
        value = args[0]
        for i, row in enumerate(rows):
            value = builder.insert_value(value, row, i)
        return value

    return tile(tile), codegen


@intrinsic
def square_times(typingctx, square, a, total):
    """total + a[0] row 0 + a[1] row 1 + ... of W rows of one register each, in this order."""

    def codegen(context, builder, signature, args):
        tile, ptr, total = args
        for row in range(square.rows):
            number = builder.load(at(builder, ptr, ir.Constant(ir.IntType(64), row)))
            total = emit_fma(builder, emit_splat(builder, number, vector_type(square)), builder.extract_value(tile, row), total)
        return total

    return total(square, a, total), codegen
