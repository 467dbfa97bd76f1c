"""Emitting LLVM vectors: what the register and tile intrinsics are built from.

Legend: builder the LLVM IR builder; vector an LLVM vector type; pointer and offset in numbers, not bytes.
"""

from functools import cache

from llvmlite import ir
from numba.core import cgutils

from fastbp.compiler import add_this_module

add_this_module()

I32 = ir.IntType(32)


def vector_type(vec) -> ir.Type:
    """LLVM type of a `Vec` or of one register of a `Tile`."""
    element = {"float32": ir.FloatType(), "float64": ir.DoubleType(), "bool": ir.IntType(1)}[str(vec.dtype)]
    return ir.VectorType(element, vec.lanes)


def call(builder, name, result, args):
    """Call a function (an LLVM intrinsic) by name."""
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(function, args)


def suffix(vector: ir.VectorType) -> str:
    """What LLVM appends to the names of intrinsics on this type."""
    return f"v{vector.count}f{64 if isinstance(vector.element, ir.DoubleType) else 32}"


def integer_type(vector: ir.VectorType) -> ir.VectorType:
    """Vector of integers as wide as the floats of a vector."""
    return ir.VectorType(ir.IntType(64 if isinstance(vector.element, ir.DoubleType) else 32), vector.count)


def constant(vector: ir.VectorType, value) -> ir.Constant:
    """The same number in every lane."""
    return ir.Constant(vector, [value] * vector.count)


@cache
def _nothing_and_first(vector):
    """An undefined vector, and the mask of a shuffle that spreads lane 0: shared, for such a constant is formatted once."""
    return ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count)


def emit_splat(builder, scalar, vector):
    """A scalar in every lane."""
    undefined, first = _nothing_and_first(vector)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, I32(0)), undefined, first)


def at(builder, pointer, offset):
    """Address of pointer[offset], by getelementptr: integers cast to pointers are miscompiled."""
    if offset == 0:
        return pointer
    return builder.gep(pointer, [offset if isinstance(offset, ir.Value) else ir.Constant(ir.IntType(64), offset)])


def emit_load(builder, pointer, offset, vector, bits):
    """The vector at pointer[offset], aligned only as its numbers are."""
    return builder.load(at(builder, pointer, offset), align=bits // 8, typ=vector)


def emit_first_lanes(builder, count, lanes):
    """The mask of the first `count` of so many lanes."""
    index = ir.VectorType(count.type, lanes)
    return builder.icmp_signed("<", ir.Constant(index, list(range(lanes))), emit_splat(builder, count, index))


def emit_load_first(builder, pointer, count, vector, bits):
    """The first `count` numbers at a pointer, and zeros in the other lanes; nothing else is read."""
    # the fourth argument is what other lanes hold
    arguments = [pointer, I32(bits // 8), emit_first_lanes(builder, count, vector.count), ir.Constant(vector, None)]
    return call(builder, f"llvm.masked.load.{suffix(vector)}.p0", vector, arguments)


def emit_store_first(builder, value, pointer, count, bits):
    """Write the first `count` lanes of a vector to a pointer, and nothing else."""
    arguments = [value, pointer, I32(bits // 8), emit_first_lanes(builder, count, value.type.count)]
    call(builder, f"llvm.masked.store.{suffix(value.type)}.p0", ir.VoidType(), arguments)


def emit_gather(builder, vector, pointers):
    """A vector of the numbers at these pointers, one a lane."""
    value = ir.Constant(vector, ir.Undefined)
    for lane, pointer in enumerate(pointers):
        value = builder.insert_element(value, builder.load(pointer), I32(lane))
    return value


def emit_store(builder, value, pointer, offset, bits):
    """Write a vector to pointer[offset]."""
    builder.store(value, builder.bitcast(at(builder, pointer, offset), ir.PointerType(value.type))).align = bits // 8


def emit_fma(builder, a, b, c):
    """a b + c of vectors."""
    # fmuladd, not fma: without an FMA unit the latter becomes one libm call a lane
    return call(builder, f"llvm.fmuladd.{suffix(a.type)}", a.type, [a, b, c])


class _LoopId(ir.MDValue):
    """What a loop is known by, and a hint to LLVM; its first operand is itself, which `add_metadata` has no way to say."""

    def __init__(self, module, hint):
        self.hint = hint
        super().__init__(module, [], str(len(module.metadata)))

    def descr(self, buf):
        buf += (f"distinct !{{ {self.get_reference()}, {self.hint.get_reference()} }}", "\n")


@cache
def unrolled_loop(module, count: int):
    """What hangs on the jump back of a loop that LLVM is to unroll so many times."""
    return _LoopId(module, module.add_metadata(["llvm.loop.unroll.count", I32(count)]))
