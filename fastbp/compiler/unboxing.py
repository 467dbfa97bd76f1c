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


# what is found here: the numbers, how many, and their form, 0 where the array is not as it must be
TAKEN = ir.LiteralStructType([POINTER, WORD, WORD])


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


class OneOf(Flat):
    """A `Flat` of any of several types that is not written to: the kernel sees a pointer to the first, and which `kind` it is."""

    def __init__(self, dtype, others):
        self.kinds = dtype, *others
        super().__init__(dtype, False)
        self.name = f"OneOf({', '.join(map(str, self.kinds))})"


@register_default(OneOf)
class _OneOfModel(models.StructModel):
    def __init__(self, manager, one):
        members = [("data", types.CPointer(one.dtype)), ("size", types.intp), ("kind", types.intp)]
        super().__init__(manager, one, members)


make_attribute_wrapper(OneOf, "size", "size")
make_attribute_wrapper(OneOf, "kind", "kind")


def flat(argument: types.Type) -> types.Type:
    """The type of an argument of an entry: vectors are taken from arrays of any shape."""
    return Flat(argument.dtype, argument.mutable) if isinstance(argument, types.Array) else argument


def flat_signature(signature, dtype):
    """What ``signature(dtype)`` of an entry gives, with vectors so."""
    plain = signature(dtype)
    return plain.replace(args=tuple(flat(argument) for argument in plain.args))


def _form(dtype) -> ir.Constant:
    """What numbers of a dtype are told by: how many bytes, and of which kind."""
    return WORD(dtype.itemsize << 8 | ord(dtype.kind))


def _reader(module):
    """The function that takes an object apart, given the flags that an array must have."""
    name = "fastbp.take_array"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(TAKEN, [POINTER, INT]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    obj, flags = function.args
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
        builder.icmp_unsigned("!=", field(descr, DESCR_BYTE_ORDER), BYTE(FOREIGN_ORDER)),
    ]
    form = builder.or_(builder.shl(field(found, FOUND_ITEMSIZE), WORD(8)), builder.zext(field(descr, DESCR_KIND), WORD))
    form = builder.select(reduce(builder.and_, checks), form, WORD(0))
    builder.ret(cgutils.pack_struct(builder, (field(found, FOUND_DATA), field(found, FOUND_SIZE), form)))
    return function


def _take(typ, obj, c):
    """Pointer to the numbers of an array, how many, and their form."""
    needed = C_CONTIGUOUS | (WRITEABLE if typ.is_mutable else 0)
    data, size, form = cgutils.unpack_tuple(c.builder, c.builder.call(_reader(c.builder.module), [obj, INT(needed)]), 3)
    return c.builder.bitcast(data, c.context.get_value_type(types.CPointer(typ.dtype))), size, form


def _refuse_unless(fits, expected, c):
    """Whether there is an error, which is set: that an array was not as `expected`."""
    refused = c.builder.not_(fits)
    with c.builder.if_then(refused, likely=False):
        c.pyapi.err_set_string("PyExc_TypeError", f"kernels take {expected} here")
    return refused


@unbox(Flat)
def _unbox(typ, obj, c):
    dtype = as_dtype(typ.dtype)
    data, size, form = _take(typ, obj, c)
    fits = c.builder.icmp_unsigned("==", form, _form(dtype))
    kind = "a writable" if typ.is_mutable else "a"
    refused = _refuse_unless(fits, f"{kind} C-contiguous array of {dtype.name}", c)
    return NativeValue(cgutils.pack_struct(c.builder, (data, size)), is_error=refused)


@unbox(OneOf)
def _unbox_one_of(typ, obj, c):
    builder, dtypes = c.builder, [as_dtype(each) for each in typ.kinds]
    data, size, form = _take(typ, obj, c)
    kind = WORD(len(dtypes))
    for number, dtype in enumerate(dtypes):
        kind = builder.select(builder.icmp_unsigned("==", form, _form(dtype)), WORD(number), kind)
    names = " or ".join(dtype.name for dtype in dtypes)
    refused = _refuse_unless(builder.icmp_unsigned("<", kind, WORD(len(dtypes))), f"a C-contiguous array of {names}", c)
    return NativeValue(cgutils.pack_struct(builder, (data, size, kind)), is_error=refused)
