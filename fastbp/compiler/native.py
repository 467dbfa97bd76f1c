"""Calls of compiled functions by their addresses: machine code that is not linked to what it calls, nor compiled with it."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.compiler.modules import add_this_module
from fastbp.compiler.unboxing import Flat, OneOf, flat_signature

add_this_module()


def _loading(result):
    def codegen(context, builder, signature, args):
        # read as a pointer: LLVM cannot tell what an integer that is made one may point to
        return builder.load(builder.bitcast(args[0], context.get_value_type(result).as_pointer()))

    return codegen


@intrinsic
def load_pointer(typingctx, place, like):
    """The pointer that is stored at a place of integers, of the type of another."""
    return like(place, like), _loading(like)


def loads(dtype):
    """The function ``(place)`` for use in kernels: the pointer to numbers of a dtype that is stored at a place of integers."""
    kind = types.CPointer(dtype)
    return intrinsic(lambda typingctx, place: (kind(place), _loading(kind)))


def calls(signature):
    """The function ``(place, like, args)`` for use in kernels: calls an entry of this `signature`, whose address is stored there.

    `like` is a pointer to numbers of the dtype that it was compiled for; an array among its arguments is given as a pointer to its
    first number, and is the callee's as an array of no size, and of the first of several kinds.
    """

    def choose(typingctx, place, like, args):
        wanted = flat_signature(signature, like.dtype)
        return wanted.return_type(place, like, args), _codegen(wanted)

    return intrinsic(choose)


def _codegen(wanted):
    def codegen(context, builder, signature, args):
        convention = context.call_conv
        function = convention.get_function_type(wanted.return_type, wanted.args)
        callee = builder.load(builder.bitcast(args[0], function.as_pointer().as_pointer()))
        given = cgutils.unpack_tuple(builder, args[2], len(wanted.args))
        values = [_argument(context, builder, kind, value) for kind, value in zip(wanted.args, given, strict=True)]
        _, result = convention.call_function(builder, callee, wanted.return_type, wanted.args, values)
        return result

    return codegen


def _argument(context, builder, kind, value):
    if not isinstance(kind, Flat):
        return value
    place = context.get_value_type(types.CPointer(kind.dtype))
    nothing = ir.Constant(context.get_value_type(types.intp), 0)
    fields = [builder.bitcast(value, place), nothing, *([nothing] if isinstance(kind, OneOf) else [])]
    return cgutils.pack_struct(builder, fields)
