"""Registers as numbers in IEEE 754 format, and polynomials in them: what the elementary functions are built from.

Legend: m bits of the significand (23 or 52); W lanes of a register.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.compiler import add_this_module
from fastbp.simd.emit import I32, constant, emit_fma, emit_splat, integer_type, vector_type
from fastbp.simd.register import Vec, is_vector, lanes

add_this_module()


def _float_format(vector):
    """(mantissa bits, exponent bias) of IEEE 754 binary32 or binary64."""
    return (52, 1023) if isinstance(vector.element, ir.DoubleType) else (23, 127)


@intrinsic
def power_of_two(typingctx, n):
    """2**n of integral lanes within the exponents of normal numbers."""

    def codegen(context, builder, signature, args):
        vector = args[0].type
        mantissa, bias = _float_format(vector)
        integers = integer_type(vector)
        # adding 1.5 * 2**m puts the integer n into the low bits: no float-to-integer conversion, which AVX2 lacks for int64
        magic = 1.5 * 2.0**mantissa
        bits = builder.bitcast(builder.fadd(args[0], constant(vector, magic + bias)), integers)
        return builder.bitcast(builder.shl(bits, constant(integers, mantissa)), vector)

    return n(n), codegen


@intrinsic
def exponent(typingctx, a):
    """floor(log2(a)) as a float, of positive normal lanes."""

    def codegen(context, builder, signature, args):
        vector = args[0].type
        mantissa, bias = _float_format(vector)
        integers = integer_type(vector)
        biased = builder.lshr(builder.bitcast(args[0], integers), constant(integers, mantissa))
        magic = 2.0**mantissa  # as an integer, its low bits are free to hold the exponent
        bits = 0x4330000000000000 if mantissa == 52 else 0x4B000000
        number = builder.bitcast(builder.or_(biased, constant(integers, bits)), vector)
        return builder.fsub(number, constant(vector, magic + bias))

    return a(a), codegen


@intrinsic
def significand(typingctx, a):
    """a / 2**exponent(a), in [1, 2), of positive normal lanes."""

    def codegen(context, builder, signature, args):
        vector = args[0].type
        mantissa, bias = _float_format(vector)
        integers = integer_type(vector)
        bits = builder.and_(builder.bitcast(args[0], integers), constant(integers, (1 << mantissa) - 1))
        return builder.bitcast(builder.or_(bits, constant(integers, bias << mantissa)), vector)

    return a(a), codegen


@intrinsic
def exponent_field(typingctx, a):
    """The lowest bits of `a` moved up into its exponent: 2**n if they hold n + bias, and zero or infinity at the ends."""

    def codegen(context, builder, signature, args):
        vector = args[0].type
        integers = integer_type(vector)
        bits = builder.shl(builder.bitcast(args[0], integers), constant(integers, _float_format(vector)[0]))
        return builder.bitcast(bits, vector)

    return a(a), codegen


@intrinsic
def as_register(typingctx, x):
    """A scalar in every lane of a register; a register as it is."""

    def codegen(context, builder, signature, args):
        return args[0] if is_vector(x) else emit_splat(builder, args[0], vector_type(vec))

    vec = x if is_vector(x) else Vec(x, lanes(x))
    return vec(x), codegen


@intrinsic
def scale_of_squares(typingctx, ptr):
    """What any numbers of the pointer's dtype are multiplied by for their squares, and sums of them, to be finite."""
    scale = {32: 2.0**-80, 64: 2.0**-540}[ptr.dtype.bitwidth]
    return types.float64(ptr), lambda context, builder, signature, args: context.get_constant(types.float64, scale)


@intrinsic
def as_argument(typingctx, a, x):
    """Undo `as_register(x)`: lane 0 of the register `a` if x is a scalar, else `a`."""

    def codegen(context, builder, signature, args):
        return args[0] if is_vector(x) else builder.extract_element(args[0], I32(0))

    return x(a, x), codegen


def _horner(builder, x, coefficients):
    value = constant(x.type, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = emit_fma(builder, value, x, constant(x.type, c))
    return value


def polynomial(float32, float64):
    """An intrinsic: x -> c[0] + c[1] x + c[2] x**2 + ...; the coefficients are chosen by the dtype of x.

    Horner's rule; from nine coefficients on, all but c[0] are summed as an even and an odd half: the same number of operations,
    plus one, in chains half as long.
    """

    @intrinsic
    def op(typingctx, x):
        coefficients = {"float32": float32, "float64": float64}[str(x.dtype)]

        def codegen(context, builder, signature, args):
            number = args[0]
            if len(coefficients) < 9:
                return _horner(builder, number, coefficients)
            square = builder.fmul(number, number)
            even, odd = (_horner(builder, square, coefficients[start::2]) for start in (1, 2))
            return emit_fma(builder, emit_fma(builder, odd, number, even), number, constant(number.type, coefficients[0]))

        return x(x), codegen

    return op
