"""Squares of W x W numbers in W registers, tiles of one column of registers; their columns; their transposes, by shuffles.

Legend: W lanes of a register.
"""

from llvmlite import ir
from numba import types
from numba.core.cgutils import pack_array
from numba.extending import intrinsic

from fastbp.compiler import add_this_module
from fastbp.simd.emit import I32, at, emit_fma, emit_gather, emit_load, emit_load_first, emit_splat, emit_store, vector_type
from fastbp.simd.register import Vec, lanes, number_of
from fastbp.simd.tile import Tile, emit_step

add_this_module()


def _square(ptr):
    return Tile(ptr.dtype, lanes(ptr.dtype), lanes(ptr.dtype), 1)


def _emit_loads(builder, square, starts):
    return [emit_load(builder, start, 0, vector_type(square), square.dtype.bitwidth) for start in starts]


def _shuffle_pairs(builder, rows, apart, low, high):
    """Rows that are so far apart, two by two, become what two shuffles take from them."""
    rows = list(rows)
    for i in range(len(rows)):
        if not i & apart:
            pair = rows[i], rows[i + apart]
            for place, index in (i, low), (i + apart, high):
                rows[place] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(I32, len(index)), index))
    return rows


def _emit_transpose(builder, square, rows, half):
    """Rows whose blocks of more than 2 `half` x 2 `half` numbers have been transposed, transposed: one shuffle a row and round."""
    count, narrow = square.lanes, 128 // square.dtype.bitwidth
    lanes = range(count)
    while half >= narrow:
        # swap the blocks beside the diagonal of each block of 2 half x 2 half numbers
        low, high = [i + count - half if i & half else i for i in lanes], [i + count if i & half else i + half for i in lanes]
        rows, half = _shuffle_pairs(builder, rows, half, low, high), half // 2
    return _interleave(builder, rows, count, narrow)


def _interleave(builder, rows, count, narrow):
    """Rows of `count` numbers whose squares within 128 bits are transposed where they are.

    Machines interleave two registers in one instruction: numbers first, then pairs of them.
    """
    unit = 1
    while unit < narrow:
        low = [i // narrow * narrow + i % narrow // (2 * unit) * unit + i % unit + (count if i & unit else 0) for i in range(count)]
        rows, unit = _shuffle_pairs(builder, rows, unit, low, [i + narrow // 2 for i in low]), 2 * unit
    # which leaves four of them with the two in the middle changed about
    return [rows[i ^ 3 if narrow == 4 and i % 4 in (1, 2) else i] for i in range(len(rows))]


def _emit_load_transposed(builder, square, starts):
    """The transpose of the square whose rows are at these pointers."""
    half, bits = square.lanes // 2, square.dtype.bitwidth
    if half * bits < 128:
        return _emit_transpose(builder, square, _emit_loads(builder, square, starts), half)
    # halves of rows are loaded side by side, which is a round of shuffles less
    vector, both = ir.VectorType(vector_type(square).element, half), list(range(square.lanes))
    rows = []
    for offset in (0, half):
        parts = [emit_load(builder, start, offset, vector, bits) for start in starts]
        rows += _shuffle_pairs(builder, parts, half, both, both)[:half]
    return _emit_transpose(builder, square, rows, half // 2)


@intrinsic
def square_load(typingctx, ptr, stride):
    """The tile of W rows and one column: W x W numbers, row r from ``ptr[r * stride]`` on."""
    square = _square(ptr)

    def codegen(context, builder, signature, args):
        return pack_array(builder, _emit_loads(builder, square, [emit_step(builder, *args, row) for row in range(square.rows)]))

    return square(ptr, types.intp), codegen


@intrinsic
def column_load(typingctx, ptr, stride):
    """The first column of what `square_load` loads: a register."""
    vec = Vec(ptr.dtype, lanes(ptr.dtype))

    def codegen(context, builder, signature, args):
        return emit_gather(builder, vector_type(vec), (emit_step(builder, *args, row) for row in range(vec.lanes)))

    return vec(ptr, types.intp), codegen


@intrinsic
def column_store(typingctx, column, ptr, stride):
    """Write a register where `column_load` would load it from."""

    def codegen(context, builder, signature, args):
        column, start, stride = args
        for row in range(column.type.count):
            builder.store(builder.extract_element(column, I32(row)), emit_step(builder, start, stride, row))
        return context.get_dummy_value()

    return types.void(column, ptr, types.intp), codegen


@intrinsic
def square_load_transposed(typingctx, ptr, stride):
    """The transpose of what `square_load` loads."""
    square = _square(ptr)

    def codegen(context, builder, signature, args):
        starts = [emit_step(builder, *args, row) for row in range(square.rows)]
        return pack_array(builder, _emit_load_transposed(builder, square, starts))

    return square(ptr, types.intp), codegen


def _emit_starts(builder, square, m, stride, last):
    """Where the rows of a square start; those past `last` are that row again."""
    numbers = [ir.Constant(stride.type, row) for row in range(square.rows)]
    numbers = [builder.select(builder.icmp_signed("<", number, last), number, last) for number in numbers]
    # or else LLVM would keep, and move on, a pointer for each row, more than there are registers
    opaque = builder.asm(ir.FunctionType(m.type, [m.type]), "", "=r,0", [m], False)
    return [at(builder, opaque, builder.mul(stride, number)) for number in numbers]


@intrinsic
def square_times(typingctx, total, ptr, stride, last, a):
    """total + M a of W x W numbers M, row r of which is from ``ptr[r * stride]`` on; they are added one after another.

    Rows past `last` are that row again.
    """
    square = _square(ptr)

    def codegen(context, builder, signature, args):
        total, m, stride, last, a = args
        for k, column in enumerate(_emit_load_transposed(builder, square, _emit_starts(builder, square, m, stride, last))):
            factor = emit_splat(builder, builder.load(at(builder, a, k)), vector_type(square))
            total = emit_fma(builder, factor, column, total)
        return total

    return total(total, ptr, types.intp, types.intp, a), codegen


@intrinsic
def square_times_first(typingctx, total, ptr, stride, last, a, columns):
    """`square_times` of which only so many columns are read, and change the result."""
    square = _square(ptr)

    def codegen(context, builder, signature, args):
        total, m, stride, last, a, columns = args
        vector, count = vector_type(square), columns.type
        starts = _emit_starts(builder, square, m, stride, last)
        rows = [emit_load_first(builder, start, columns, vector, ptr.dtype.bitwidth) for start in starts]
        for k, column in enumerate(_emit_transpose(builder, square, rows, square.lanes // 2)):
            is_there = builder.icmp_signed("<", count(k), columns)
            number = builder.load(at(builder, a, builder.select(is_there, count(k), count(0))))
            total = builder.select(is_there, emit_fma(builder, emit_splat(builder, number, vector), column, total), total)
        return total

    return total(total, ptr, types.intp, types.intp, a, types.intp), codegen


@intrinsic
def columns_together(typingctx, ptr):
    """How many columns `store_columns` takes."""
    return number_of(ptr, 128 // ptr.dtype.bitwidth)


@intrinsic
def store_columns(typingctx, ptr, rows, row_stride, stride, out, out_stride):
    """Write columns 0 to C - 1 of W rows of a matrix as registers ``out[c * out_stride]``, C those that are 128 bits.

    Lane j has a number of the row ``rows[j * row_stride]``; rows are `stride` numbers apart.
    """
    vec = Vec(ptr.dtype, lanes(ptr.dtype))

    def codegen(context, builder, signature, args):
        ptr, rows, row_stride, stride, out, out_stride = args
        bits = vec.dtype.bitwidth
        count = 128 // bits
        part = ir.VectorType(vector_type(vec).element, count)
        numbers = [builder.sext(builder.load(emit_step(builder, rows, row_stride, j)), stride.type) for j in range(vec.lanes)]
        parts = [emit_load(builder, at(builder, ptr, builder.mul(row, stride)), 0, part, bits) for row in numbers]
        # register k has rows k, C + k, 2 C + k ...: squares of C x C numbers, which are transposed where they are
        registers = []
        for k in range(count):
            own, width = parts[k::count], count
            while len(own) > 1:
                both = ir.Constant(ir.VectorType(I32, 2 * width), list(range(2 * width)))
                own, width = [builder.shuffle_vector(*pair, both) for pair in zip(own[::2], own[1::2], strict=True)], 2 * width
            registers += own
        registers = _interleave(builder, registers, vec.lanes, count)
        for c, register in enumerate(registers):
            emit_store(builder, register, emit_step(builder, out, out_stride, c), 0, bits)
        return context.get_dummy_value()

    return types.void(ptr, rows, types.intp, types.intp, out, types.intp), codegen
