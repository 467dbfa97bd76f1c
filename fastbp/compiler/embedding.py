"""Objects of Python as values in other people's compiled functions: the address of a record in memory, and what keeps it there.

Such a function calls what the record says by its address, so that its own machine code depends on no object, and may be cached.
"""

import ctypes
import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import NumbaTypeError
from numba.core.imputils import lower_constant
from numba.extending import NativeValue, box, intrinsic, lower_builtin, models, register_model, unbox

from fastbp.compiler.modules import add_this_module

add_this_module()

PLACES = types.CPointer(types.int64)
WORD, INT, REAL = ir.IntType(64), ir.IntType(32), ir.DoubleType()

_frozen: list[object] = []  # objects that compiled functions have as constants


class Embedded(types.Type):
    """Type of an object that is known by a record of integers.

    Parameters
    ----------
    what : str
        Name of its class.
    dtype : Numba type
        Of the numbers that it computes with.
    takes_classes : bool
        Whether targets may be class numbers.
    """

    def __init__(self, what, dtype, takes_classes):
        self.what, self.dtype, self.takes_classes = what, dtype, takes_classes
        super().__init__(f"fastbp.{what}({dtype}{', classes' if takes_classes else ''})")


class _Model(models.StructModel):
    """Where the record is; what counts references for Numba; the object that it is of."""

    def __init__(self, manager, kind):
        members = [("record", PLACES), ("meminfo", types.MemInfoPointer(types.voidptr)), ("parent", types.pyobject)]
        super().__init__(manager, kind, members)


def values_of(kind, address_of, *, freeze=False):
    """Let objects of a subclass of `Embedded` in and out of compiled functions.

    ``address_of(obj)`` gives the address of the record, which is good as long as the object lives. `freeze`: a function may have
    one as a constant, too; then it lives as long as the process, and the function is not cached.
    """
    register_model(kind)(_Model)

    @unbox(kind)
    def enter(typ, obj, c):
        builder, value = c.builder, cgutils.create_struct_proxy(typ)(c.context, c.builder)
        function = c.pyapi.unserialize(c.pyapi.serialize_object(address_of))
        number = c.pyapi.call_function_objargs(function, [obj])
        c.pyapi.decref(function)
        failed = cgutils.is_null(builder, number)
        with builder.if_then(builder.not_(failed), likely=True):
            address = c.pyapi.long_as_longlong(number)
            value.record = builder.inttoptr(address, c.context.get_value_type(PLACES))
            value.meminfo = c.pyapi.nrt_meminfo_new_from_pyobject(cgutils.voidptr_t(None), obj)
            value.parent = obj
            c.pyapi.decref(number)
        return NativeValue(value._getvalue(), is_error=failed)

    @box(kind)
    def leave(typ, value, c):
        obj = cgutils.create_struct_proxy(typ)(c.context, c.builder, value=value).parent
        c.pyapi.incref(obj)
        c.context.nrt.decref(c.builder, typ, value)
        return obj

    @lower_builtin(operator.is_, kind, kind)
    def is_same(context, builder, signature, args):
        one, other = (_record(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True))
        return builder.icmp_unsigned("==", one, other)

    if not freeze:

        @lower_constant(kind)
        def refuse(context, builder, typ, obj):
            raise NumbaTypeError(f"a {typ.what} cannot be a global of a compiled function, nor closed over: make it an argument")

    else:

        @lower_constant(kind)
        def constant(context, builder, typ, obj):
            _frozen.append(obj)
            value = cgutils.create_struct_proxy(typ)(context, builder)
            address = context.add_dynamic_addr(builder, address_of(obj), info=typ.what)
            value.record = builder.bitcast(address, context.get_value_type(PLACES))
            value.parent = context.add_dynamic_addr(builder, id(obj), info=typ.what)
            value.meminfo = ir.Constant(value.meminfo.type, None)
            return value._getvalue()


def call_by_method(kind):
    """Let calls of values of a type be emitted as those of its method ``__call__``: Numba types them so, but would not find it.

    So with one that may be None, which is an error of the function that is compiled if it is.
    """

    def emit(context, builder, signature, args):
        method = context.typing_context.resolve_getattr(kind, "__call__")
        return context.get_function(method, signature)(builder, args)

    def emit_optional(context, builder, signature, args):
        value = context.cast(builder, args[0], types.Optional(kind), kind)
        return emit(context, builder, signature, [value, *args[1:]])

    lower_builtin(kind, kind, types.Array)(emit)
    lower_builtin(types.Optional(kind), kind, types.Array)(emit_optional)


def _record(context, builder, kind, value):
    return cgutils.create_struct_proxy(kind)(context, builder, value=value).record


def field_of_record(place):
    """The function ``(embedded)`` for use in compiled functions: the number at a place of the record."""

    def read(typingctx, embedded):
        def codegen(context, builder, signature, args):
            return builder.load(cgutils.gep(builder, _record(context, builder, signature.args[0], args[0]), place))

        return types.int64(embedded), codegen

    return intrinsic(read)


def _pointer(context, builder, kind, value, wanted):
    """Where the numbers of an array are, or a number itself."""
    if isinstance(kind, types.Array):
        return builder.bitcast(context.make_array(kind)(context, builder, value).data, wanted)
    place = cgutils.alloca_once(builder, wanted.pointee)
    builder.store(context.cast(builder, value, kind, types.int64), place)
    return place


def call_of_record(place):
    """The function ``(embedded, mode, rows, x, y, out)`` for use in compiled functions: calls the C function of the record.

    Its address is at a place of the record. It is given the record, mode, rows, pointers to x, to numbers y and to class numbers y,
    whether it is the latter, and pointers to out, and to a float64 which it may write. The result is what it gives back, and that.
    """

    def call(typingctx, embedded, mode, rows, x, y, out):
        is_labelled = isinstance(getattr(y, "dtype", y), types.Integer)

        def codegen(context, builder, signature, args):
            kinds = signature.args
            record = _record(context, builder, kinds[0], args[0])
            own, places = (context.get_value_type(kind) for kind in (types.CPointer(kinds[0].dtype), PLACES))
            number = cgutils.alloca_once_value(builder, REAL(0.0))
            x_at, out_at = (_pointer(context, builder, kinds[i], args[i], own) for i in (3, 5))
            y_at = x_at if is_labelled else _pointer(context, builder, kinds[4], args[4], own)
            labels = _pointer(context, builder, kinds[4], args[4], places) if is_labelled else record
            given = [record, *args[1:3], x_at, y_at, labels, WORD(int(is_labelled)), out_at, number]
            function = ir.FunctionType(WORD, [each.type for each in given]).as_pointer()
            callee = builder.load(builder.bitcast(cgutils.gep(builder, record, place), function.as_pointer()))
            status = builder.call(callee, given)
            return context.make_tuple(builder, signature.return_type, [status, builder.load(number)])

        result = types.Tuple([types.int64, types.float64])
        return result(embedded, types.int64, types.int64, x, y, out), codegen

    return intrinsic(call)


@intrinsic
def address_of_array(typingctx, array):
    """Where the numbers of an array are."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(context.make_array(signature.args[0])(context, builder, args[0]).data, WORD)

    return types.int64(array), codegen


@intrinsic
def look_for_signals(typingctx, main_thread):
    """Let Python's handlers of signals run, in the thread that they are for: what they raise ends the compiled function."""

    def codegen(context, builder, signature, args):
        def of_python(name, result, *given):
            function = ir.FunctionType(result, [each.type for each in given])
            return builder.call(cgutils.get_or_insert_function(builder.module, function, name), given)

        own = of_python("PyThread_get_thread_ident", ir.IntType(8 * ctypes.sizeof(ctypes.c_ulong)))
        own = builder.zext(own, WORD) if own.type.width < WORD.width else own
        with builder.if_then(builder.icmp_unsigned("==", own, args[0]), likely=True):
            state = of_python("PyGILState_Ensure", INT)
            raised = of_python("PyErr_CheckSignals", INT)
            of_python("PyGILState_Release", ir.VoidType(), state)
            with builder.if_then(builder.icmp_signed("!=", raised, INT(0)), likely=False):
                context.call_conv.return_exc(builder)
        return context.get_dummy_value()

    return types.void(types.int64), codegen
