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
from numba.extending import make_attribute_wrapper
from numba.np.numpy_support import as_dtype

from fastbp.compiler.modules import add_this_module

add_this_module()

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


# what is found here: the numbers, how many, and whether they are those of such an array
TAKEN = ir.LiteralStructType([POINTER, WORD, ir.IntType(1)])


class Flat(types.Type):
    """A C-contiguous array of any shape, which the kernel sees as a pointer and a size."""

    def __init__(self, dtype, mutable):
        self.dtype, self.is_mutable = dtype, mutable
        super().__init__(f"Flat({dtype}, {'mutable' if mutable else 'readonly'})")


@register_default(Flat)
class _FlatModel(models.StructModel):
    def __init__(self, manager, flat):
        super().__init__(manager, flat, [("data", types.CPointer(flat.dtype)), ("size", types.intp)])


make_attribute_wrapper(Flat, "size", "size")


def flat(argument: types.Type) -> types.Type:
    """The type of an argument of an entry: vectors are taken from arrays of any shape."""
    return Flat(argument.dtype, argument.mutable) if isinstance(argument, types.Array) else argument


def _reader(module):
    """The function that takes an object apart, given what an array must be: its flags, kind, and bytes of a number."""
    name = "fastbp.take_array"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(TAKEN, [POINTER, INT, BYTE, WORD]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    obj, flags, kind, itemsize = function.args
    builder = ir.IRBuilder(function.append_basic_block())

    def field(structure, number):
        return builder.load(cgutils.gep_inbounds(builder, structure, 0, number))

    found = builder.alloca(FOUND)
    reader = ir.FunctionType(INT, [POINTER, POINTER])
    read = cgutils.get_or_insert_function(module, reader, "numba_adapt_ndarray")
    with cgutils.if_unlikely(builder, cgutils.is_not_null(builder, builder.call(read, [obj, builder.bitcast(found, POINTER)]))):
        builder.ret(ir.Constant(TAKEN, None))
    array = builder.bitcast(obj, ARRAY.as_pointer())
    descr = builder.bitcast(field(array, ARRAY_DESCR), DESCR.as_pointer())
    checks = [
        builder.icmp_unsigned("==", builder.and_(field(array, ARRAY_FLAGS), flags), flags),
        builder.icmp_unsigned("==", field(descr, DESCR_KIND), kind),
        builder.icmp_unsigned("!=", field(descr, DESCR_BYTE_ORDER), BYTE(FOREIGN_ORDER)),
        builder.icmp_unsigned("==", field(found, FOUND_ITEMSIZE), itemsize),
    ]
    fields = field(found, FOUND_DATA), field(found, FOUND_SIZE), reduce(builder.and_, checks)
    builder.ret(cgutils.pack_struct(builder, fields))
    return function


@unbox(Flat)
def _unbox(typ, obj, c):
    builder, dtype = c.builder, as_dtype(typ.dtype)
    needed = C_CONTIGUOUS | (WRITEABLE if typ.is_mutable else 0)
    asked = [obj, INT(needed), BYTE(ord(dtype.kind)), WORD(dtype.itemsize)]
    data, size, fits = cgutils.unpack_tuple(builder, builder.call(_reader(builder.module), asked), 3)
    refused = builder.not_(fits)
    with builder.if_then(refused, likely=False):
        kind = "a writable" if typ.is_mutable else "a"
        c.pyapi.err_set_string("PyExc_TypeError", f"kernels take {kind} C-contiguous array of {dtype.name} here")
    data = builder.bitcast(data, c.context.get_value_type(types.CPointer(typ.dtype)))
    return NativeValue(cgutils.pack_struct(builder, (data, size)), is_error=refused)
