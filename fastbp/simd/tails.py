"""Registers at the end of an array whose length is no multiple of W, beside `load_first`; and registers of nothing.

Legend: W lanes of a register.
"""

from numba import types
from numba.extending import intrinsic

from fastbp.compiler import add_this_module
from fastbp.simd.emit import emit_first_lanes, emit_store_first, vector_type
from fastbp.simd.register import Vec, lanes

add_this_module()


@intrinsic
def zeros(typingctx, ptr):
    """A register of zeros of the pointer's dtype."""
    vec = Vec(ptr.dtype, lanes(ptr.dtype))
    return vec(ptr), lambda context, builder, signature, args: vector_type(vec)(None)


@intrinsic
def first_lanes(typingctx, vec, count):
    """Mask of the lanes below `count` of a register; all of them from W on."""

    def codegen(context, builder, signature, args):
        return emit_first_lanes(builder, args[1], vec.lanes)

    return Vec(types.boolean, vec.lanes)(vec, types.intp), codegen


@intrinsic
def store_first(typingctx, ptr, count, value):
    """Write the first `count` lanes from ``ptr[0]`` on, all W from W on; nothing else is touched."""

    def codegen(context, builder, signature, args):
        emit_store_first(builder, args[2], args[0], args[1], ptr.dtype.bitwidth)
        return context.get_dummy_value()

    return types.void(ptr, types.intp, value), codegen
