"""A block of a matrix held in the register file: a Numba type of rows x columns registers, in which the products are computed.

Legend: W lanes of a register; R rows of a tile; C columns of a tile, in registers.
"""

from functools import cache
from itertools import product

from llvmlite import ir
from numba import types
from numba.core.cgutils import pack_array, unpack_tuple
from numba.extending import intrinsic, models, register_model

from fastbp.compiler import add_this_module
from fastbp.simd.emit import I32, at, emit_fma, emit_load, emit_splat, emit_store, vector_type
from fastbp.simd.register import lanes

add_this_module()

# how a tile of a product starts, and what is done to it before it is stored; see `gemm.panel_product` and `outer_product`
ZERO, BIAS, CONTINUE = 0, 1, 2
STORE, FLOOR, WHERE_ABOVE, ADD_SCALED = 0, 1, 2, 3


class Tile(types.Type):
    """Numba type of rows x columns registers: a block of a matrix held in the register file."""

    def __init__(self, dtype, lanes, rows, columns):
        self.dtype, self.lanes, self.rows, self.columns = dtype, lanes, rows, columns
        super().__init__(f"Tile({dtype},{lanes},{rows},{columns})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, tile):
        super().__init__(manager, tile, ir.ArrayType(vector_type(tile), tile.rows * tile.columns))


@cache
def tile_zero(rows: int, columns: int):
    """An intrinsic: (ptr) -> a tile of zeros of the pointer's dtype."""

    @intrinsic
    def op(typingctx, ptr):
        tile = Tile(ptr.dtype, lanes(ptr.dtype), rows, columns)

        def codegen(context, builder, signature, args):
            return ir.Constant(ir.ArrayType(vector_type(tile), rows * columns), None)

        return tile(ptr), codegen

    return op


@cache
def tile_load(rows: int, columns: int):
    """An intrinsic: (ptr, stride) -> the tile whose row r starts at ``ptr[r * stride]``."""

    @intrinsic
    def op(typingctx, ptr, stride):
        tile = Tile(ptr.dtype, lanes(ptr.dtype), rows, columns)

        def codegen(context, builder, signature, args):
            vector = vector_type(tile)
            value = ir.Constant(ir.ArrayType(vector, rows * columns), ir.Undefined)
            for row in range(rows):
                start = at(builder, args[0], builder.mul(args[1], ir.Constant(args[1].type, row)))
                for c in range(columns):
                    register = emit_load(builder, start, c * tile.lanes, vector, ptr.dtype.bitwidth)
                    value = builder.insert_value(value, register, row * columns + c)
            return value

        return tile(ptr, types.intp), codegen

    return op


@intrinsic
def tile_store(typingctx, tile, ptr, stride):
    """Write row r of the tile from ``ptr[r * stride]`` on."""

    def codegen(context, builder, signature, args):
        for row in range(tile.rows):
            start = at(builder, args[1], builder.mul(args[2], ir.Constant(args[2].type, row)))
            for c in range(tile.columns):
                emit_store(
                    builder, builder.extract_value(args[0], row * tile.columns + c), start, c * tile.lanes, ptr.dtype.bitwidth
                )
        return context.get_dummy_value()

    return types.void(tile, ptr, types.intp), codegen


def times(builder, stride, count):
    """A stride so many times, be it a number or a value of LLVM."""
    return builder.mul(stride, ir.Constant(stride.type, count)) if isinstance(stride, ir.Value) else stride * count


def emit_step(builder, pointer, stride, count):
    """The pointer so many strides on."""
    return at(builder, pointer, times(builder, stride, count)) if count else pointer


def emit_rank(builder, tile, registers, k, a, offsets, step, b, b_step):
    """The registers of a tile plus the product of a column, numbers at these offsets from a_k, and a row, the registers at b_k."""
    a, b = emit_step(builder, a, step, k), emit_step(builder, b, b_step, k)
    vector = vector_type(tile)
    columns = [emit_load(builder, b, c * tile.lanes, vector, tile.dtype.bitwidth) for c in range(tile.columns)]
    results = []
    for offset in offsets:
        factor = emit_splat(builder, builder.load(at(builder, a, offset)), vector)
        results += [emit_fma(builder, factor, each, registers[len(results) + c]) for c, each in enumerate(columns)]
    return results


@cache
def tile_rank(steps: int):
    """An intrinsic: (tile, a, stride, step, b, b_step) -> tile + a_0 b_0^T + a_1 b_1^T + ..., so many products one after another.

    a_k[r] is ``a[k * step + r * stride]``; b_k are the registers at ``b[k * b_step]``, W numbers later, and so on.
    """

    @intrinsic
    def op(typingctx, tile, a, stride, step, b, b_step):
        def codegen(context, builder, signature, args):
            value, a, stride, step, b, b_step = args
            registers = unpack_tuple(builder, value)
            offsets = [builder.mul(stride, ir.Constant(stride.type, r)) for r in range(tile.rows)]
            for k in range(steps):
                registers = emit_rank(builder, tile, registers, k, a, offsets, step, b, b_step)
            return pack_array(builder, registers)

        return tile(tile, a, types.intp, types.intp, b, types.intp), codegen

    return op


def _same_in_row(register_at):
    """An intrinsic for each shape: (ptr, stride) -> the tile with one register in row r, that of ``ptr[r * stride]``."""

    @cache
    def shaped(rows: int, columns: int):
        @intrinsic
        def op(typingctx, ptr, stride):
            tile = Tile(ptr.dtype, lanes(ptr.dtype), rows, columns)

            def codegen(context, builder, signature, args):
                places = [emit_step(builder, args[0], args[1], row) for row in range(rows)]
                registers = [register_at(builder, place, vector_type(tile), ptr.dtype.bitwidth) for place in places]
                return pack_array(builder, [each for each in registers for _ in range(columns)])

            return tile(ptr, types.intp), codegen

        return op

    return shaped


tile_splat = _same_in_row(lambda builder, place, vector, bits: emit_splat(builder, builder.load(place), vector))
tile_repeat = _same_in_row(lambda builder, place, vector, bits: emit_load(builder, place, 0, vector, bits))


@intrinsic
def tile_accumulate(typingctx, tile, a, a_stride, b, b_stride):
    """Add to register (r, c) of a tile the product of the registers at ``a[r * a_stride]`` and ``b[c * b_stride]``."""

    def codegen(context, builder, signature, args):
        value, a, a_stride, b, b_stride = args
        vector, bits = vector_type(tile), tile.dtype.bitwidth
        rows = [emit_load(builder, emit_step(builder, a, a_stride, r), 0, vector, bits) for r in range(tile.rows)]
        columns = [emit_load(builder, emit_step(builder, b, b_stride, c), 0, vector, bits) for c in range(tile.columns)]
        pairs = zip(product(rows, columns), unpack_tuple(builder, value), strict=True)
        return pack_array(builder, [emit_fma(builder, *pair, each) for pair, each in pairs])

    return tile(tile, a, types.intp, b, types.intp), codegen


@intrinsic
def tile_sums(typingctx, tile, ptr):
    """Write the sum of the lanes of each register of a tile, halves added first; it has 1, or a multiple of W."""

    def codegen(context, builder, signature, args):
        count, values = tile.lanes, dict(enumerate(unpack_tuple(builder, args[0])))
        is_one, half = len(values) == 1, count // 2
        while half:
            index = [i + count - half if i & half else i for i in range(count)]
            low, high = (ir.Constant(ir.VectorType(I32, count), [i + start for i in index]) for start in (0, half))
            pairs = {i: (values[i], values[i if is_one else i + half]) for i in values if i % count < half}
            sides = {i: [builder.shuffle_vector(*pair, side) for side in (low, high)] for i, pair in pairs.items()}
            values, half = {i: builder.fadd(*pair) for i, pair in sides.items()}, half // 2
        for i, value in values.items():
            if is_one:
                builder.store(builder.extract_element(value, I32(0)), args[1])
            else:
                emit_store(builder, value, args[1], i, ptr.dtype.bitwidth)
        return context.get_dummy_value()

    return types.void(tile, ptr), codegen


@intrinsic
def tile_floor(typingctx, tile, low):
    """max(tile, low) of every register, NaN kept."""

    def codegen(context, builder, signature, args):
        value = args[0]
        for i in range(tile.rows * tile.columns):
            register = builder.extract_value(value, i)
            value = builder.insert_value(value, builder.select(builder.fcmp_ordered(">", args[1], register), args[1], register), i)
        return value

    return tile(tile, low), codegen


@intrinsic
def tile_where_above(typingctx, tile, aux, cut):
    """The tile where ``aux > cut``, zero elsewhere."""

    def codegen(context, builder, signature, args):
        value = args[0]
        zero = ir.Constant(vector_type(tile), None)
        for i in range(tile.rows * tile.columns):
            keep = builder.fcmp_ordered(">", builder.extract_value(args[1], i), args[2])
            value = builder.insert_value(value, builder.select(keep, builder.extract_value(value, i), zero), i)
        return value

    return tile(tile, tile, cut), codegen


@intrinsic
def tile_axpy(typingctx, alpha, x, y):
    """alpha x + y of two tiles, alpha a register."""

    def codegen(context, builder, signature, args):
        factor, value, addend = args
        for i in range(x.rows * x.columns):
            register = emit_fma(builder, factor, builder.extract_value(value, i), builder.extract_value(addend, i))
            value = builder.insert_value(value, register, i)
        return value

    return x(alpha, x, x), codegen
