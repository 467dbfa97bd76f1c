"""Numbers of other types than those that are computed with: how samples may be kept. They are converted where they are read.

A kind is 0 for numbers of the pointer's own type, else one more than the place of their type among `OTHERS`.

Legend: W lanes of a register.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.compiler import add_this_module
from fastbp.simd.emit import I32, at, call, constant, emit_first_lanes, emit_load, emit_load_first, vector_type
from fastbp.simd.register import Vec, lanes

add_this_module()

OTHERS = (types.uint8, types.int8, types.float16)
OWN, _, _, _ = range(1 + len(OTHERS))


def _by_kind(builder, kind, emit):
    """What ``emit(number)`` gives of the kind that it is: one jump, foreseen as all numbers of an array are of one kind."""
    done = builder.append_basic_block("converted")
    jump, found = None, []
    for number in range(1 + len(OTHERS)):
        block = builder.append_basic_block(f"kind.{number}")
        if jump is None:
            jump = builder.switch(kind, block)
        else:
            jump.add_case(kind.type(number), block)
        builder.position_at_end(block)
        found.append((emit(number), builder.block))
        builder.branch(done)
    builder.position_at_end(done)
    value = builder.phi(found[0][0].type)
    for each in found:
        value.add_incoming(*each)
    return value


def _bytes_of(number, dtype):
    return (OTHERS[number - 1] if number else dtype).bitwidth // 8


def _place(builder, number, dtype, pointer, index):
    """Address of a number, as of integers of its size."""
    kept = ir.IntType(8 * _bytes_of(number, dtype))
    return at(builder, builder.bitcast(pointer, ir.PointerType(kept)), index)


def _converted(builder, number, kept, vector):
    """Integers that were read, as the numbers that they are."""
    other = OTHERS[number - 1]
    if other in (types.uint8, types.int8):
        return (builder.uitofp if other is types.uint8 else builder.sitofp)(kept, vector)
    return _from_halves(builder, kept, vector)


def _from_halves(builder, halves, vector):
    """Finite numbers of float16, exactly: their bits moved to those of float32, whose exponents count from elsewhere.

    Not by the conversion of LLVM, which without an instruction for it is a call of a library that need not be there.
    """
    single = ir.VectorType(ir.FloatType(), vector.count)
    bits = ir.VectorType(I32, vector.count)
    wide = builder.zext(halves, bits)
    size = builder.shl(builder.and_(wide, constant(bits, 0x7FFF)), constant(bits, 13))
    value = builder.fmul(builder.bitcast(size, single), constant(single, 2.0**112))
    sign = builder.shl(builder.and_(wide, constant(bits, 0x8000)), constant(bits, 16))
    value = builder.bitcast(builder.or_(builder.bitcast(value, bits), sign), single)
    return value if vector == single else builder.fpext(value, vector)


@intrinsic
def load_as(typingctx, ptr, kind, index):
    """W numbers of a kind from number `index` on."""
    vec = Vec(ptr.dtype, lanes(ptr.dtype))

    def codegen(context, builder, signature, args):
        pointer, kind, index = args
        vector = vector_type(vec)

        def emit(number):
            if number == OWN:
                return emit_load(builder, pointer, index, vector, ptr.dtype.bitwidth)
            size = _bytes_of(number, ptr.dtype)
            kept = ir.VectorType(ir.IntType(8 * size), vec.lanes)
            loaded = builder.load(_place(builder, number, ptr.dtype, pointer, index), align=size, typ=kept)
            return _converted(builder, number, loaded, vector)

        return _by_kind(builder, kind, emit)

    return vec(ptr, types.intp, types.intp), codegen


@intrinsic
def load_first_as(typingctx, ptr, kind, index, count):
    """The first `count` of them, and zeros in the other lanes; nothing else is read."""
    vec = Vec(ptr.dtype, lanes(ptr.dtype))

    def codegen(context, builder, signature, args):
        pointer, kind, index, count = args
        vector = vector_type(vec)

        def emit(number):
            if number == OWN:
                return emit_load_first(builder, at(builder, pointer, index), count, vector, ptr.dtype.bitwidth)
            size = _bytes_of(number, ptr.dtype)
            kept = ir.VectorType(ir.IntType(8 * size), vec.lanes)
            mask = emit_first_lanes(builder, count, vec.lanes)
            arguments = [_place(builder, number, ptr.dtype, pointer, index), I32(size), mask, ir.Constant(kept, None)]
            loaded = call(builder, f"llvm.masked.load.v{vec.lanes}i{8 * size}.p0", kept, arguments)
            return _converted(builder, number, loaded, vector)

        return _by_kind(builder, kind, emit)

    return vec(ptr, types.intp, types.intp, types.intp), codegen


@intrinsic
def number_as(typingctx, ptr, kind, index):
    """One of them."""

    def codegen(context, builder, signature, args):
        pointer, kind, index = args
        one = ir.VectorType(context.get_value_type(ptr.dtype), 1)

        def emit(number):
            loaded = builder.load(_place(builder, number, ptr.dtype, pointer, index))
            if number == OWN:
                return builder.bitcast(loaded, one.element)
            kept = builder.insert_element(ir.Constant(ir.VectorType(loaded.type, 1), ir.Undefined), loaded, I32(0))
            return builder.extract_element(_converted(builder, number, kept, one), I32(0))

        return _by_kind(builder, kind, emit)

    return ptr.dtype(ptr, types.intp, types.intp), codegen


@intrinsic
def prefetch_as(typingctx, ptr, kind, index):
    """Ask for the cache line of one of them; never faults."""

    def codegen(context, builder, signature, args):
        pointer, kind, index = args
        byte = ir.PointerType(ir.IntType(8))
        address = _by_kind(builder, kind, lambda number: builder.bitcast(_place(builder, number, ptr.dtype, pointer, index), byte))
        call(builder, "llvm.prefetch.p0i8", ir.VoidType(), [address, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(ptr, types.intp, types.intp), codegen
