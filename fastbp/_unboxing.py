"""Arrays as arguments of entries: how a kernel gets at the numbers behind an object of Python.

Numba would make a reference-counted record of each array, 60 to 100 ns apiece, after a dispatcher has looked up the type of each.
Here the wrapper reads what it needs from the array itself, a few loads, and checks it on the way: wrong arguments are a TypeError.
"""

import sys
from functools import reduce

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.core.pythonapi import NativeValue, unbox
from numba.np.numpy_support import as_dtype

C_CONTIGUOUS, WRITEABLE = 0x1, 0x400  # bits of the flags of an array
MOST_DIMENSIONS = 64
FOREIGN_ORDER = ord(">" if sys.byteorder == "little" else "<")  # the byte order of another machine

BYTE, INT, WORD = ir.IntType(8), ir.IntType(32), ir.IntType(types.intp.bitwidth)
POINTER = BYTE.as_pointer()
OBJECT_HEAD = ir.ArrayType(BYTE, object.__basicsize__)
# fields of PyArrayObject and PyArray_Descr, as macros of NumPy's headers read them: fixed for every version of its C interface
ARRAY = ir.LiteralStructType([OBJECT_HEAD, POINTER, INT, POINTER, POINTER, POINTER, POINTER, INT])
ARRAY_DESCR, ARRAY_FLAGS = 6, 7
DESCR = ir.LiteralStructType([OBJECT_HEAD, POINTER, BYTE, BYTE, BYTE])
DESCR_KIND, DESCR_BYTE_ORDER = 2, 4
# what Numba's reader of arrays writes
FOUND = ir.LiteralStructType([POINTER, POINTER, WORD, WORD, POINTER, ir.ArrayType(WORD, 2 * MOST_DIMENSIONS)])
FOUND_SIZE, FOUND_ITEMSIZE, FOUND_DATA = 2, 3, 4


class Flat(types.Array):
    """A C-contiguous array of any shape, which the kernel sees as a vector."""

    def __init__(self, dtype, readonly):
        super().__init__(dtype, 1, "C", readonly=readonly, name=f"Flat({dtype}, {'readonly' if readonly else 'mutable'})")


register_default(Flat)(models.ArrayModel)


def flat(argument: types.Type) -> types.Type:
    """The type of an argument of an entry: vectors are taken from arrays of any shape."""
    return Flat(argument.dtype, not argument.mutable) if isinstance(argument, types.Array) else argument


@unbox(Flat)
def _unbox(typ, obj, c):
    builder, dtype = c.builder, as_dtype(typ.dtype)

    def field(structure, number):
        return builder.load(cgutils.gep_inbounds(builder, structure, 0, number))

    with builder.goto_entry_block():
        found = builder.alloca(FOUND)  # not `alloca_once`, which would fill it with zeros in every call
    reader = ir.FunctionType(INT, [POINTER, POINTER])
    read = cgutils.get_or_insert_function(builder.module, reader, "numba_adapt_ndarray")
    is_array = builder.not_(cgutils.is_not_null(builder, builder.call(read, [obj, builder.bitcast(found, POINTER)])))
    fits = cgutils.alloca_once_value(builder, cgutils.false_bit)
    with builder.if_then(is_array, likely=True):
        array = builder.bitcast(obj, ARRAY.as_pointer())
        descr = builder.bitcast(field(array, ARRAY_DESCR), DESCR.as_pointer())
        needed = INT(C_CONTIGUOUS | (WRITEABLE if typ.mutable else 0))
        checks = [
            builder.icmp_unsigned("==", builder.and_(field(array, ARRAY_FLAGS), needed), needed),
            builder.icmp_unsigned("==", field(descr, DESCR_KIND), BYTE(ord(dtype.kind))),
            builder.icmp_unsigned("!=", field(descr, DESCR_BYTE_ORDER), BYTE(FOREIGN_ORDER)),
            builder.icmp_unsigned("==", field(found, FOUND_ITEMSIZE), WORD(dtype.itemsize)),
        ]
        builder.store(reduce(builder.and_, checks), fits)
    refused = builder.not_(builder.load(fits))
    with builder.if_then(refused, likely=False):
        kind = "a writable" if typ.mutable else "a"
        c.pyapi.err_set_string("PyExc_TypeError", f"kernels take {kind} C-contiguous array of {dtype.name} here")
    native = c.context.make_array(typ)(c.context, builder)
    native.data = builder.bitcast(field(found, FOUND_DATA), native.data.type)
    native.nitems, native.itemsize = field(found, FOUND_SIZE), WORD(dtype.itemsize)
    native.shape, native.strides = (cgutils.pack_array(builder, [each]) for each in (native.nitems, native.itemsize))
    return NativeValue(native._getvalue(), is_error=refused)
