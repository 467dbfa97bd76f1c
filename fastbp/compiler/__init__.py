"""Numba behind one door: what compiles kernels, links them, and keeps their machine code.

Other rooms import the names below from here, and nothing from the modules behind it. They are looked up when first used: the
registries need no Numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The modules behind the door, and what they offer.
MODULES = {
    "atomics": "clock exchange fetch_add give_way load_shared relax stack_address store_shared",
    "cache": "kept_by_this_process",
    "choice": "Choice Level choose",
    "directory": "cache_directories cache_directory cache_trouble environment_key remove_kernels stored_kernels",
    "embedding": "Embedded address_of_array call_by_method call_of_record field_of_record look_for_signals values_of",
    "entries": "Entry c_entry entry",
    "modules": "add_this_module",
    "native": "calls load_pointer loads",
    "operators": "lowered",
    "parts": "inline kernel",
    "pool": "threads_of_numba",
    "registry": "Described Registry is_own",
    "tier": "processor",
    "switches": "known_codes switch switch_over when_extended when_sparse when_tabular",
    "unboxing": "OneOf",
}
HOME = {name: f"{__name__}.{module}" for module, names in MODULES.items() for name in names.split()}

__all__ = [*HOME]

if TYPE_CHECKING:
    from fastbp.compiler.atomics import clock as clock
    from fastbp.compiler.atomics import exchange as exchange
    from fastbp.compiler.atomics import fetch_add as fetch_add
    from fastbp.compiler.atomics import give_way as give_way
    from fastbp.compiler.atomics import load_shared as load_shared
    from fastbp.compiler.atomics import relax as relax
    from fastbp.compiler.atomics import stack_address as stack_address
    from fastbp.compiler.atomics import store_shared as store_shared
    from fastbp.compiler.cache import kept_by_this_process as kept_by_this_process
    from fastbp.compiler.choice import Choice as Choice
    from fastbp.compiler.choice import Level as Level
    from fastbp.compiler.choice import choose as choose
    from fastbp.compiler.directory import cache_directories as cache_directories
    from fastbp.compiler.directory import cache_directory as cache_directory
    from fastbp.compiler.directory import cache_trouble as cache_trouble
    from fastbp.compiler.directory import environment_key as environment_key
    from fastbp.compiler.directory import remove_kernels as remove_kernels
    from fastbp.compiler.directory import stored_kernels as stored_kernels
    from fastbp.compiler.embedding import Embedded as Embedded
    from fastbp.compiler.embedding import address_of_array as address_of_array
    from fastbp.compiler.embedding import call_by_method as call_by_method
    from fastbp.compiler.embedding import call_of_record as call_of_record
    from fastbp.compiler.embedding import field_of_record as field_of_record
    from fastbp.compiler.embedding import look_for_signals as look_for_signals
    from fastbp.compiler.embedding import values_of as values_of
    from fastbp.compiler.entries import Entry as Entry
    from fastbp.compiler.entries import c_entry as c_entry
    from fastbp.compiler.entries import entry as entry
    from fastbp.compiler.modules import add_this_module as add_this_module
    from fastbp.compiler.native import calls as calls
    from fastbp.compiler.native import load_pointer as load_pointer
    from fastbp.compiler.native import loads as loads
    from fastbp.compiler.operators import lowered as lowered
    from fastbp.compiler.parts import inline as inline
    from fastbp.compiler.parts import kernel as kernel
    from fastbp.compiler.pool import threads_of_numba as threads_of_numba
    from fastbp.compiler.registry import Described as Described
    from fastbp.compiler.registry import Registry as Registry
    from fastbp.compiler.registry import is_own as is_own
    from fastbp.compiler.switches import known_codes as known_codes
    from fastbp.compiler.switches import switch as switch
    from fastbp.compiler.switches import switch_over as switch_over
    from fastbp.compiler.switches import when_extended as when_extended
    from fastbp.compiler.switches import when_sparse as when_sparse
    from fastbp.compiler.switches import when_tabular as when_tabular
    from fastbp.compiler.tier import processor as processor
    from fastbp.compiler.unboxing import OneOf as OneOf


def __getattr__(name: str) -> Any:
    if name in HOME:
        value = globals()[name] = getattr(import_module(HOME[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
