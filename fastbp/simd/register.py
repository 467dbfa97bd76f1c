"""A SIMD vector type for Numba: what the kernels are written in.

``Vec(dtype, lanes)`` is one hardware register. It is loaded from and stored to pointers, combined with ``+ - * /`` (a scalar
operand is converted to the vector's dtype and splatted), compared into masks and selected by them. Blocks of several
registers, in which products are computed, are in :mod:`fastbp.simd.tile`.

The width follows what Numba compiles for, not the host (``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` are honoured), so it is a
function of Numba's own cache key. Nothing here depends on an instruction set: AVX-512, AVX2, NEON and SSE2 differ in `lanes`.

Legend: W lanes of a register.
"""

import operator
from functools import cache, partial

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from fastbp.compiler import add_this_module, lowered, processor
from fastbp.simd.emit import (
    I32,
    at,
    call,
    emit_fma,
    emit_gather,
    emit_load,
    emit_load_first,
    emit_splat,
    emit_store,
    suffix,
    vector_type,
)

add_this_module()

WITH_AVX512 = ("x86-64-v4", "skylake-avx512", "icelake-server", "sapphirerapids", "znver4", "znver5")
WITH_AVX2 = ("x86-64-v3", "haswell", "skylake", "znver2", "znver3")


@cache
def register_bytes() -> int:
    """Bytes of the widest vector register of the target: 64, 32 or 16."""
    _, cpu, features = processor()
    flags = set(features.split(","))
    for size, flag, names in ((64, "avx512f", WITH_AVX512), (32, "avx2", WITH_AVX2)):
        # a processor that is only named has the features of its name
        if f"+{flag}" in flags or (f"-{flag}" not in flags and cpu in names):
            return size
    return 16


def tile_rows() -> int:
    """R of the largest tile of two columns that the register file holds beside its operands: 12 of 32 registers, 6 of 16."""
    triple, *_ = processor()
    return 12 if register_bytes() == 64 or triple.startswith(("aarch64", "arm64")) else 6


def lanes(dtype: types.Float) -> int:
    """W: how many numbers of a Numba float type one register holds."""
    return register_bytes() * 8 // dtype.bitwidth


class Vec(types.Type):
    """Numba type of a register of `lanes` numbers (or of booleans: a mask)."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(f"Vec({dtype},{lanes})")


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, manager, vec):
        super().__init__(manager, vec, vector_type(vec))


# --- pointers ----------------------------------------------------------------------------------------------------------------


@intrinsic
def pointer(typingctx, array):
    """Pointer to the first number of an array: one that an entry is given, or one of Numba's own."""

    def codegen(context, builder, signature, args):
        if isinstance(array, types.Array):
            return context.make_array(array)(context, builder, args[0]).data
        return builder.extract_value(args[0], 0)

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def integers(typingctx, ptr):
    """The same place as one of int32."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.PointerType(I32))

    return types.CPointer(types.int32)(ptr), codegen


def _is_offset(ptr, offset) -> bool:
    return isinstance(ptr, types.CPointer) and isinstance(offset, types.Integer)


@lowered(operator.add, lambda ptr, offset: ptr if _is_offset(ptr, offset) else None)
def _pointer_add(context, builder, signature, args):
    """``p + k``: k elements further."""
    return at(builder, args[0], context.cast(builder, args[1], signature.args[1], types.intp))


@lowered(operator.sub, lambda ptr, offset: ptr if _is_offset(ptr, offset) else None)
def _pointer_subtract(context, builder, signature, args):
    """``p - k``: k elements back."""
    return at(builder, args[0], builder.neg(context.cast(builder, args[1], signature.args[1], types.intp)))


@intrinsic
def prefetch(typingctx, ptr, offset):
    """Ask for the cache line of ``ptr[offset]``; never faults."""

    def codegen(context, builder, signature, args):
        byte = ir.PointerType(ir.IntType(8))
        address = builder.bitcast(at(builder, *args), byte)
        call(builder, "llvm.prefetch.p0i8", ir.VoidType(), [address, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(ptr, types.intp), codegen


def on_stack(count):
    """An intrinsic: (ptr) -> a pointer to ``count(W)`` numbers of the pointer's dtype, until the function returns."""

    @intrinsic
    def room(typingctx, ptr):
        def codegen(context, builder, signature, args):
            kind = ir.ArrayType(args[0].type.pointee, count(lanes(ptr.dtype)))
            with builder.goto_entry_block():  # not Numba's alloca_once, which writes zeros to it at every call
                place = builder.alloca(kind)
            return builder.bitcast(place, args[0].type)

        return ptr(ptr), codegen

    return room


# --- one register ------------------------------------------------------------------------------------------------------------


def number_of(ptr, value: int):
    """What an intrinsic returns that tells a number of a pointer's type: a constant of the compiled code."""
    return types.intp(ptr), lambda context, builder, signature, args: context.get_constant(types.intp, value)


@intrinsic
def width(typingctx, ptr):
    """W of the pointer's dtype."""
    return number_of(ptr, lanes(ptr.dtype))


@intrinsic
def load(typingctx, ptr, offset):
    """The W numbers from ``ptr[offset]`` on, at any alignment."""
    vec = Vec(ptr.dtype, lanes(ptr.dtype))

    def codegen(context, builder, signature, args):
        return emit_load(builder, *args, vector_type(vec), ptr.dtype.bitwidth)

    return vec(ptr, types.intp), codegen


@intrinsic
def load_first(typingctx, ptr, count):
    """The numbers at ``ptr[0]`` to ``ptr[count - 1]``, and zeros in the other lanes; nothing else is read."""
    vec = Vec(ptr.dtype, lanes(ptr.dtype))

    def codegen(context, builder, signature, args):
        return emit_load_first(builder, *args, vector_type(vec), ptr.dtype.bitwidth)

    return vec(ptr, types.intp), codegen


@intrinsic
def load_rows(typingctx, ptr, rows, stride):
    """The numbers ``ptr[rows[j] * stride]``, one for each lane j."""
    vec = Vec(ptr.dtype, lanes(ptr.dtype))

    def codegen(context, builder, signature, args):
        numbers = (builder.sext(builder.load(at(builder, args[1], lane)), args[2].type) for lane in range(vec.lanes))
        return emit_gather(builder, vector_type(vec), (at(builder, args[0], builder.mul(row, args[2])) for row in numbers))

    return vec(ptr, rows, types.intp), codegen


@intrinsic
def store(typingctx, ptr, offset, value):
    """Write W numbers from ``ptr[offset]`` on, at any alignment."""

    def codegen(context, builder, signature, args):
        emit_store(builder, args[2], args[0], args[1], ptr.dtype.bitwidth)
        return context.get_dummy_value()

    return types.void(ptr, types.intp, value), codegen


@intrinsic
def splat(typingctx, scalar):
    """A register with the same float in every lane."""
    vec = Vec(scalar, lanes(scalar))

    def codegen(context, builder, signature, args):
        return emit_splat(builder, args[0], vector_type(vec))

    return vec(scalar), codegen


@intrinsic
def broadcast(typingctx, ptr, offset):
    """A register with ``ptr[offset]`` in every lane."""
    vec = Vec(ptr.dtype, lanes(ptr.dtype))

    def codegen(context, builder, signature, args):
        return emit_splat(builder, builder.load(at(builder, *args)), vector_type(vec))

    return vec(ptr, types.intp), codegen


@intrinsic
def like(typingctx, vec, scalar):
    """A register of `vec`'s type with the number `scalar` (converted to its dtype) in every lane."""

    def codegen(context, builder, signature, args):
        value = context.cast(builder, args[1], scalar, vec.dtype)
        return emit_splat(builder, value, vector_type(vec))

    return vec(vec, scalar), codegen


def is_vector(t) -> bool:
    """Whether a type of Numba is a register of floats."""
    return isinstance(t, Vec) and isinstance(t.dtype, types.Float)


def _binary(emit):
    """An intrinsic of two registers of one type."""

    @intrinsic
    def op(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return emit(builder, *args)

        return a(a, b), codegen

    return op


def _mask(vec):
    return Vec(types.boolean, vec.lanes)


def _operator(symbol, emit, result=lambda vec: vec):
    """Let an operator take two registers of floats, or one and a number."""

    def result_type(a, b):
        if is_vector(a) and (a == b or isinstance(b, types.Number)):
            return result(a)
        return result(b) if isinstance(a, types.Number) and is_vector(b) else None

    @lowered(symbol, result_type)
    def codegen(context, builder, signature, args):
        vec = next(arg for arg in signature.args if is_vector(arg))
        registers = [
            arg if is_vector(t) else emit_splat(builder, context.cast(builder, arg, t, vec.dtype), vector_type(vec))
            for arg, t in zip(args, signature.args, strict=True)
        ]
        return emit(builder, *registers)


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b))
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
_operator(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b), _mask)
_operator(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), _mask)
_operator(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), _mask)
_operator(operator.ge, lambda builder, a, b: builder.fcmp_ordered(">=", a, b), _mask)
_operator(operator.eq, lambda builder, a, b: builder.fcmp_ordered("==", a, b), _mask)


@lowered(operator.neg, lambda a: a if is_vector(a) else None)
def _negate(context, builder, signature, args):
    return builder.fneg(args[0])


def _is_mask(t) -> bool:
    return isinstance(t, Vec) and t.dtype is types.boolean


@lowered(operator.and_, lambda a, b: a if _is_mask(a) and a == b else None)
def _and(context, builder, signature, args):
    return builder.and_(*args)


@lowered(operator.or_, lambda a, b: a if _is_mask(a) and a == b else None)
def _or(context, builder, signature, args):
    return builder.or_(*args)


@intrinsic
def isnan(typingctx, a):
    """Mask of the lanes that are NaN."""

    def codegen(context, builder, signature, args):
        return builder.fcmp_unordered("uno", args[0], args[0])

    return _mask(a)(a), codegen


@intrinsic
def select(typingctx, mask, a, b):
    """Lane by lane: a where the mask holds, b elsewhere."""

    def codegen(context, builder, signature, args):
        return builder.select(*args)

    return a(mask, a, a), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c, rounded once where the target has the instruction."""

    def codegen(context, builder, signature, args):
        return emit_fma(builder, *args)

    return a(a, a, a), codegen


def _emit_choice(predicate, builder, a, b):
    # a NaN in either operand reaches the result: in b by the order of the operands, in a by the second select
    chosen = builder.select(builder.fcmp_ordered(predicate, a, b), a, b)
    return builder.select(builder.fcmp_unordered("uno", a, a), a, chosen)


minimum = _binary(partial(_emit_choice, "<"))
maximum = _binary(partial(_emit_choice, ">"))


@intrinsic
def floor_at(typingctx, a, low):
    """max(a, low), NaN in `a` kept: one instruction (`low` must not be NaN)."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", args[1], args[0]), args[1], args[0])

    return a(a, a), codegen


def _unary(name):
    @intrinsic
    def op(typingctx, a):
        def codegen(context, builder, signature, args):
            return call(builder, f"llvm.{name}.{suffix(args[0].type)}", args[0].type, args)

        return a(a), codegen

    return op


sqrt = _unary("sqrt")
absolute = _unary("fabs")


@intrinsic
def fence(typingctx, a):
    """The register itself, opaque to LLVM: a select stored where it was loaded would become a masked store, which is slow."""

    def codegen(context, builder, signature, args):
        return call(builder, f"llvm.arithmetic.fence.{suffix(args[0].type)}", args[0].type, args)

    return a(a), codegen


@intrinsic
def copysign(typingctx, magnitude, sign):
    """|magnitude| with the sign of `sign`."""

    def codegen(context, builder, signature, args):
        return call(builder, f"llvm.copysign.{suffix(args[0].type)}", args[0].type, args)

    return magnitude(magnitude, magnitude), codegen


@intrinsic
def lane(typingctx, a, index):
    """The number in lane `index`."""

    def codegen(context, builder, signature, args):
        return builder.extract_element(args[0], builder.trunc(args[1], I32))

    return a.dtype(a, types.intp), codegen


@intrinsic
def all_lanes(typingctx, mask):
    """Whether a mask holds in every lane."""

    def codegen(context, builder, signature, args):
        bits = builder.bitcast(args[0], ir.IntType(mask.lanes))
        return builder.icmp_unsigned("==", bits, ir.Constant(bits.type, (1 << mask.lanes) - 1))

    return types.boolean(mask), codegen


def _halve(reduce):
    """Fold a register onto its lower half until one lane is left: a fixed order, whatever the compiler."""

    @intrinsic
    def op(typingctx, a):
        def codegen(context, builder, signature, args):
            value = args[0]
            while value.type.count > 1:
                half = value.type.count // 2
                low, high = (
                    builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(I32, half), list(range(start, start + half))))
                    for start in (0, half)
                )
                value = reduce(builder, low, high)
            return builder.extract_element(value, I32(0))

        return a.dtype(a), codegen

    return op


horizontal_sum = _halve(lambda builder, a, b: builder.fadd(a, b))
horizontal_max = _halve(partial(_emit_choice, ">"))
