"""The types that Numba knows networks and trainers by, and what compiled functions read and call of their handles."""

from functools import cache
from typing import Any

from numba import from_dtype
from numba.extending import register_jitable, typeof_impl

from fastbp.compiler import Embedded, call_by_method, call_of_record, field_of_record, look_for_signals, values_of
from fastbp.embed.handles import handle_of
from fastbp.embed.steps import handle_of_trainer
from fastbp.engine.trainer import Trainer
from fastbp.kernels.embedded.records import Handle


class NetworkType(Embedded):
    """Of a `fastbp.Network`."""


class TrainerType(Embedded):
    """Of a `fastbp.Trainer`."""


def kind_of_network(net: Any) -> NetworkType:
    """The type of a network."""
    return _callable(*_told(net))


@cache
def _callable(dtype: Any, takes_classes: bool) -> NetworkType:
    kind = NetworkType("Network", dtype, takes_classes)
    call_by_method(kind)
    return kind


@typeof_impl.register(Trainer)
def _(trainer: Trainer, context: Any) -> TrainerType:
    return TrainerType("Trainer", *_told(trainer.net))


def _told(net: Any) -> tuple[Any, bool]:
    return from_dtype(net.dtype), net.loss_function.task == "labels" and net.sizes[-1] > 1


def address_of_network(net: Any) -> int:
    """Of its handle."""
    return handle_of(net).address


def address_of_trainer(trainer: Any) -> int:
    """The same, which is brought up to date."""
    return handle_of_trainer(trainer).address


values_of(NetworkType, address_of_network, freeze=True)
values_of(TrainerType, address_of_trainer)

call = call_of_record(Handle.places["call"])
n_inputs, n_outputs, n_params, _main_thread = (
    field_of_record(Handle.places[field]) for field in ("n_in", "n_out", "n_params", "main_thread")
)


@register_jitable
def look(embedded):
    """Let Ctrl-C count."""
    look_for_signals(_main_thread(embedded))
