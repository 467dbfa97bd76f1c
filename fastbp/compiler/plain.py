"""The plain compiler: kernels by Numba's public interface alone.

Each kernel is an `njit` function like any other, optimised by itself with a copy of all that it calls, so that compiling takes ten
times as long. What is set to debug and profile functions of Numba (NUMBA_DEBUGINFO, NUMBA_BOUNDSCHECK, NUMBA_ENABLE_PROFILING) is
heeded here, and nowhere else.
"""

import hashlib
import sys
from contextlib import contextmanager
from importlib import import_module
from types import FunctionType

import numba
from numba.core import config
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.typing import templates

from fastbp.compiler.modules import PACKAGE, add_this_module

add_this_module()

# Options are spelled out for every function: Numba lets an unset one be inherited from whichever caller compiles first.
# No fast-math flag is set: the order of every sum is fixed by explicit vector code, and NaN and infinity are kept.
OPTIONS = {
    "error_model": "numpy",
    "fastmath": False,
    "nogil": True,
    "no_cfunc_wrapper": True,
    "no_cpython_wrapper": True,
}
OF_ENTRIES = {"no_cpython_wrapper": False, "forceinline": False}
OF_C_ENTRIES = {"no_cfunc_wrapper": False, "forceinline": False}


@contextmanager
def _enabled():
    """Compile though NUMBA_DISABLE_JIT is set: kernels are nothing but intrinsics in Python."""
    before, config.DISABLE_JIT = config.DISABLE_JIT, 0
    try:
        yield
    finally:
        config.DISABLE_JIT = before


def _name_uniquely(function: FunctionType) -> FunctionType:
    """Put what a generated function closes over into its name.

    Numba derives symbol names from it, and two functions of one name in two cached files are taken for the same one.
    """
    parts = []
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        inner = getattr(value, "py_func", None) or getattr(value, "_defn", None)
        parts.append(inner.__qualname__ if inner is not None else repr(value))
    if parts:
        digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]
        function.__qualname__ = f"{function.__qualname__}_{digest}"
    return function


class OfKernels:
    """A dispatcher of Numba that says so when Python calls a function that has no code for Python: it would crash.

    Sent to another process it is what the package has there, where that is what it is here: it would be a function beside it,
    which keeps the classes that it was first compiled for.
    """

    parts: list  # one for the process: all that are called by others

    def __call__(self, *args, **kwargs):
        if self.targetoptions.get("no_cpython_wrapper"):
            name = self.py_func.__name__
            raise NotImplementedError(f"{name} runs in compiled functions only: call it from an @entry of fastbp.compiler")
        return super().__call__(*args, **kwargs)

    def __reduce__(self):
        module, name = self.py_func.__module__, self.py_func.__name__
        if module.startswith(PACKAGE) and getattr(sys.modules[module], name, None) is self:
            return _part_of_package, (module, name)
        return super().__reduce__()

    @classmethod
    def _rebuild(cls, **state):
        made = super()._rebuild(**state)
        if made not in cls.parts:
            cls.parts.append(made)
        return made


def _part_of_package(module, name):
    """What a module of the package calls so, in a process that need not have imported it."""
    return getattr(import_module(module), name)


class PlainDispatcher(OfKernels, CPUDispatcher):
    """Numba's own dispatcher."""

    parts: list = []  # noqa: RUF012


class Plain:
    """How kernels are compiled; the other tiers replace some of it."""

    options = OPTIONS
    target = cpu_target
    dispatcher_class = PlainDispatcher

    def __init__(self):
        self.parts = self.dispatcher_class.parts
        self.refused = {}  # classes whose functions cannot be compiled, and why

    def dispatcher(self, function, options):
        """Numba's object for a function."""
        with _enabled():
            dispatcher = numba.njit(**options)(function)
        dispatcher.__class__ = PlainDispatcher
        return dispatcher

    def part(self, function, *, inlined):
        """A function that others may call."""
        dispatcher = self.dispatcher(_name_uniquely(function), {**self.options, "forceinline": inlined})
        self.parts.append(dispatcher)
        return dispatcher

    def entry(self, function, signature, cache, *, for_c=False):
        """What Python calls, or C: a function compiled for a signature, or loaded from a cache, if there is one."""
        self.refused.clear()
        dispatcher = self.dispatcher(function, {**self.options, **(OF_C_ENTRIES if for_c else OF_ENTRIES)})
        if cache is not None:
            self.make_ready()
            dispatcher._cache = cache
        with _enabled():  # functions of Numba's own that are written in Python
            dispatcher.compile(signature)
        return dispatcher.overloads[signature.args]

    def make_ready(self):
        """Let Numba define what stored machine code calls: its runtime, when its target is first looked through."""
        self.target.target_context.refresh()

    def processor(self) -> tuple[str, str, str]:
        """Triple, name and features of the processor that Numba compiles for."""
        return self.target.target_context.codegen().magic_tuple()

    def forget(self, intrinsics):
        """Type these anew when they are next called, and compile anew all that may call them."""
        for dispatcher in self.parts:
            dispatcher._reset_overloads()
        for function in filter(None, map(self.target.typing_context._lookup_global, intrinsics)):
            for template in function.templates:
                template._impl_cache.clear()

    def forget_failures(self):
        """Try again what could not be compiled: the next may ask for the same parts, called in another way."""
        for dispatcher in self.parts:
            dispatcher._compiler._failed_cache.clear()

    def knows_foreign_overloads(self) -> bool:
        """Whether kernels may call what others have taught Numba, of which a key could not tell."""
        overloads = (getattr(each, "_overload_func", None) for each in templates.builtin_registry.functions)
        return any(each is not None and not str(each.__module__ or "numba.").startswith(("numba.", PACKAGE)) for each in overloads)
