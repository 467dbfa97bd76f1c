"""Intrinsics that call the C functions of a handle, and read what is in it."""

import ctypes
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

from fastbp.embed.kinds import PLACES, Embedded
from fastbp.kernels.embedded import Handle

WORD, INT, REAL = ir.IntType(64), ir.IntType(32), ir.DoubleType()


def _field(builder: Any, handle: Any, field: str) -> Any:
    return builder.load(cgutils.gep(builder, handle, Handle.places[field]))


def _reader(field: str) -> Any:
    """The function ``(embedded)`` for use in compiled code: a number of the handle."""

    def read(typingctx: Any, embedded: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
            return _field(builder, value.handle, field)

        return types.int64(embedded), codegen

    return intrinsic(read)


n_inputs, n_outputs, n_params, _main_thread = map(_reader, ("n_in", "n_out", "n_params", "main_thread"))


def _pointer(context: Any, builder: Any, kind: Any, value: Any, wanted: Any) -> Any:
    """Where the numbers of an array are, or a number itself."""
    if isinstance(kind, types.Array):
        return builder.bitcast(context.make_array(kind)(context, builder, value).data, wanted)
    place = cgutils.alloca_once(builder, wanted.pointee)
    builder.store(context.cast(builder, value, kind, types.int64), place)
    return place


@intrinsic  # type: ignore[untyped-decorator]
def call(typingctx: Any, embedded: Any, mode: Any, rows: Any, x: Any, y: Any, out: Any) -> Any:
    """The C function of a handle: what came of it, and the loss; `y` are class numbers if they are integers."""
    if not isinstance(embedded, Embedded):
        return None
    is_labelled = isinstance(getattr(y, "dtype", y), types.Integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        handle = cgutils.create_struct_proxy(kinds[0])(context, builder, value=args[0]).handle
        own, places = (context.get_value_type(kind) for kind in (types.CPointer(kinds[0].dtype), PLACES))
        loss = cgutils.alloca_once_value(builder, ir.Constant(REAL, 0.0))
        x_at = _pointer(context, builder, kinds[3], args[3], own)
        labels = _pointer(context, builder, kinds[4], args[4], places) if is_labelled else handle
        y_at = x_at if is_labelled else _pointer(context, builder, kinds[4], args[4], own)
        given = [handle, *args[1:3], x_at, y_at, labels, WORD(int(is_labelled)), _pointer(context, builder, kinds[5], args[5], own), loss]
        function = ir.FunctionType(WORD, [each.type for each in given]).as_pointer()
        callee = builder.inttoptr(_field(builder, handle, "call"), function)
        status = builder.call(callee, given)
        return context.make_tuple(builder, signature.return_type, [status, builder.load(loss)])

    result = types.Tuple([types.int64, types.float64])
    return result(embedded, types.int64, types.int64, x, y, out), codegen


@intrinsic  # type: ignore[untyped-decorator]
def look_for_signals(typingctx: Any, main_thread: Any) -> Any:
    """Let Python's handlers of signals run, in the thread that they are for: what they raise ends the compiled function."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def of_python(name: str, result: Any, *given: Any) -> Any:
            function = ir.FunctionType(result, [each.type for each in given])
            return builder.call(cgutils.get_or_insert_function(builder.module, function, name), given)

        word = ir.IntType(8 * ctypes.sizeof(ctypes.c_ulong))
        own = of_python("PyThread_get_thread_ident", word)
        is_main = builder.icmp_unsigned("==", builder.zext(own, WORD) if word.width < WORD.width else own, args[0])
        with builder.if_then(is_main, likely=True):
            state = of_python("PyGILState_Ensure", INT)
            raised = of_python("PyErr_CheckSignals", INT)
            of_python("PyGILState_Release", ir.VoidType(), state)
            with builder.if_then(builder.icmp_signed("!=", raised, INT(0)), likely=False):
                context.call_conv.return_exc(builder)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@register_jitable
def look(embedded):  # type: ignore[no-untyped-def]
    """Let Ctrl-C count."""
    look_for_signals(_main_thread(embedded))
