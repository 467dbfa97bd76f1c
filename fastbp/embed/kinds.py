"""The types that Numba knows networks and trainers by, and how a value of theirs comes in and out."""

from functools import cache
from typing import Any

from llvmlite import ir
from numba import from_dtype
from numba.core import cgutils, types
from numba.core.imputils import lower_constant
from numba.core.typing.typeof import typeof_impl
from numba.extending import NativeValue, box, lower_builtin, models, register_model, unbox

from fastbp.embed.handles import handle_of
from fastbp.embed.steps import handle_of_trainer
from fastbp.engine.trainer import Trainer

PLACES = types.CPointer(types.int64)


class Embedded(types.Type):
    """A handle, and the object of Python that keeps it.

    Parameters
    ----------
    what : str
        "Network" or "Trainer".
    dtype : Numba type
        Of the numbers.
    takes_classes : bool
        Whether targets may be class numbers.
    """

    def __init__(self, what: str, dtype: types.Type, takes_classes: bool) -> None:
        self.what, self.dtype, self.takes_classes = what, dtype, takes_classes
        super().__init__(f"fastbp.{what}({dtype}{', classes' if takes_classes else ''})")


class NetworkType(Embedded):
    """Of a `fastbp.Network`."""


class TrainerType(Embedded):
    """Of a `fastbp.Trainer`."""


@register_model(NetworkType)
@register_model(TrainerType)
class EmbeddedModel(models.StructModel):
    """Address of the handle; what counts references for Numba, and the object that it stands for."""

    def __init__(self, manager: Any, kind: Embedded) -> None:
        members = [("handle", PLACES), ("meminfo", types.MemInfoPointer(types.voidptr)), ("parent", types.pyobject)]
        super().__init__(manager, kind, members)


def kind_of_network(net: Any) -> NetworkType:
    """The type of a network."""
    return _callable(*_told(net))


@cache
def _callable(dtype: types.Type, takes_classes: bool) -> NetworkType:
    """A type whose calls are emitted as those of its method ``__call__``: Numba types them so, but would not find that."""
    kind = NetworkType("Network", dtype, takes_classes)

    @lower_builtin(kind, kind, types.Array)  # type: ignore[untyped-decorator]
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        method = context.typing_context.resolve_getattr(kind, "__call__")
        return context.get_function(method, signature)(builder, args)

    return kind


@typeof_impl.register(Trainer)
def _(trainer: Trainer, context: Any) -> TrainerType:
    return TrainerType("Trainer", *_told(trainer.net))


def _told(net: Any) -> tuple[types.Type, bool]:
    return from_dtype(net.dtype), net.loss_function.task == "labels" and net.sizes[-1] > 1


def address_of_network(net: Any) -> int:
    """Of its handle."""
    return handle_of(net).address


def address_of_trainer(trainer: Any) -> int:
    """The same, which is brought up to date."""
    return handle_of_trainer(trainer).address


_keeping: list[Any] = []  # networks that compiled functions have as constants


@unbox(NetworkType)
def _unbox_network(kind: Any, obj: Any, c: Any) -> NativeValue:
    return _unbox(kind, obj, c, address_of_network)


@unbox(TrainerType)
def _unbox_trainer(kind: Any, obj: Any, c: Any) -> NativeValue:
    return _unbox(kind, obj, c, address_of_trainer)


def _unbox(kind: Any, obj: Any, c: Any, address_of: Any) -> NativeValue:
    builder, value = c.builder, cgutils.create_struct_proxy(kind)(c.context, c.builder)
    function = c.pyapi.unserialize(c.pyapi.serialize_object(address_of))
    number = c.pyapi.call_function_objargs(function, [obj])
    c.pyapi.decref(function)
    failed = cgutils.is_null(builder, number)
    with builder.if_else(failed, likely=False) as (otherwise, then):
        with otherwise:
            pass
        with then:
            address = c.pyapi.long_as_longlong(number)
            value.handle = builder.inttoptr(address, c.context.get_value_type(PLACES))
            nothing = cgutils.voidptr_t(None)
            value.meminfo = c.pyapi.nrt_meminfo_new_from_pyobject(nothing, obj)
            value.parent = obj
            c.pyapi.decref(number)
    return NativeValue(value._getvalue(), is_error=failed)


@box(NetworkType)
@box(TrainerType)
def _box(kind: Any, value: Any, c: Any) -> Any:
    obj = cgutils.create_struct_proxy(kind)(c.context, c.builder, value=value).parent
    c.pyapi.incref(obj)
    c.context.nrt.decref(c.builder, kind, value)
    return obj


@lower_constant(NetworkType)
def _constant(context: Any, builder: Any, kind: Any, net: Any) -> Any:
    _keeping.append(net)
    value = cgutils.create_struct_proxy(kind)(context, builder)
    places = context.get_value_type(PLACES)
    value.handle = builder.bitcast(context.add_dynamic_addr(builder, address_of_network(net), info="Network"), places)
    value.parent = context.add_dynamic_addr(builder, id(net), info="Network")
    value.meminfo = ir.Constant(value.meminfo.type, None)
    return value._getvalue()
