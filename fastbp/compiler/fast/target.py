"""What Numba compiles kernels for: its own CPU, with the few of its functions that kernels use.

Numba's CPU target learns all that Numba knows (linear algebra, strings, typed dictionaries) when it is first used, and its
operators are tried on dozens of types. Here they know numbers, tuples, arrays and what :func:`fastbp.compiler.lowered` adds to
them; the rest is learnt when something that is being compiled asks for it.
"""

import operator
from functools import cache, partial
from types import FunctionType

from numba.core import types, typing
from numba.core.compiler import Compiler
from numba.core.cpu import CPUContext, CPUTargetOptions
from numba.core.descriptors import TargetDescriptor
from numba.core.dispatcher import Dispatcher
from numba.core.target_extension import CPU, dispatcher_registry, jit_registry, target_registry
from numba.core.typing import mathdecl, templates
from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401 - define what kernels use
from numba.cpython.builtins import do_minmax
from numba.np import arrayobj  # noqa: F401 - the arguments of entries

from fastbp.compiler import linker
from fastbp.compiler.fast import lowering
from fastbp.compiler.fast.passes import EntryCompiler, PartCompiler
from fastbp.compiler.modules import add_this_module
from fastbp.compiler.operators import lowered

add_this_module()

NAME = "fastbp"


class KernelTarget(CPU):
    """Numba's name of the target."""


class _Narrow:
    """A context that knows what kernels use, until it is told to learn the rest."""

    is_wide = False
    mathematics = None  # Numba's registry of Python's `math`

    def widen(self):
        """Learn all that Numba knows."""
        self.is_wide = True
        self._registries.clear()

    def load_additional_registries(self):
        if self.is_wide:
            super().load_additional_registries()
        else:
            self.install_registry(self.mathematics)


def _is_not_overload(template) -> bool:
    return not {templates._OverloadFunctionTemplate, templates._OverloadAttributeTemplate}.intersection(template.__mro__)


class _Typing(_Narrow, typing.Context):
    mathematics = mathdecl.registry
    adopted = None  # makes a function for this target of one that Numba compiles for its own

    def __init__(self):
        super().__init__()
        self._resolved = {}

    def resolve_value_type(self, value):
        is_foreign = isinstance(value, Dispatcher) and not isinstance(value, KernelDispatcher)
        return super().resolve_value_type(self.adopted(value) if is_foreign else value)

    def resolve_function_type(self, func, args, kws):
        # what a function makes of its types does not change but with the choice of classes
        if kws or not isinstance(func, types.Function | types.Dispatcher):
            return super().resolve_function_type(func, args, kws)
        key = func, tuple(args)
        signature = self._resolved.get(key)
        if signature is None:
            signature = self._resolved[key] = super().resolve_function_type(func, args, kws)
        return signature

    def forget(self):
        """Ask functions anew what they make of their types."""
        self._resolved.clear()

    def install_registry(self, registry):
        if self.is_wide:
            super().install_registry(registry)
            return
        # as in Numba, but without overloads: Python functions, which Numba would compile
        loader = self._registries.setdefault(registry, templates.RegistryLoader(registry))
        for template in filter(_is_not_overload, loader.new_registrations("functions")):
            self.insert_function(template(self))
        for template in filter(_is_not_overload, loader.new_registrations("attributes")):
            self.insert_attributes(template(self))
        for value, kind in loader.new_registrations("globals"):
            if isinstance(kind, types.Function):
                known = list(filter(_is_not_overload, kind.templates))
                if not known:
                    continue
                kind = types.Function(known)
            existing = self._lookup_global(value)
            if existing is not None:
                self._remove_global(value)
            self._insert_global(value, existing.augment(kind) if existing is not None else kind)


class _Lowering(_Narrow, CPUContext):
    mathematics = mathimpl.registry

    def refresh(self):
        super().refresh()
        # after Numba's own, which they replace
        self.install_registry(lowering.registry)

    def post_lowering(self, mod, library):
        """Nothing: no reference is counted."""

    def insert_user_function(self, func, fndesc, libs=()):
        """Make a compiled function known to its callers."""
        is_part = len(libs) == 1 and hasattr(libs[0], "may_raise")
        if isinstance(fndesc.restype, types.Optional) or not is_part:
            super().insert_user_function(func, fndesc, libs)
            return
        call = partial(lowering.call_part, fndesc, libs[0].may_raise)
        call.libs = tuple(libs)
        self._defns[func].append(call, fndesc.argtypes)


class _Descriptor(TargetDescriptor):
    options = CPUTargetOptions
    typing_context = target_context = None

    def __init__(self):
        super().__init__(NAME)
        self.typing_context = _Typing()
        self.target_context = _Lowering(self.typing_context, NAME)

    def widen(self) -> bool:
        """Let kernels use all that Numba knows; whether they could not before."""
        is_news = not self.target_context.is_wide
        if is_news:  # else what they know would be told to them again, which they refuse
            self.typing_context.widen()
            self.target_context.widen()
        return is_news


target_registry[NAME] = KernelTarget
target = _Descriptor()


class KernelDispatcher(linker.LinkedDispatcher):
    """Numba's dispatcher of functions compiled for this target."""

    targetdescr = target
    parts: list = []  # noqa: RUF012 - as those of any target

    def __init__(self, py_func, locals=None, targetoptions=None, pipeline_class=PartCompiler):
        super().__init__(py_func, locals, targetoptions, pipeline_class)


dispatcher_registry[KernelTarget] = KernelDispatcher


def _jit(*, pipeline_class=Compiler, **options):
    """What Numba's `jit` makes of a function of its own that is written in Python, for this target."""
    options = {"nopython": True, "debug": False, **options}
    return lambda function: KernelDispatcher(function, None, options, pipeline_class)


jit_registry[KernelTarget] = _jit


class Fast(linker.Linked):
    """Kernels linked to entries, each part compiled for this target."""

    target = target
    dispatcher_class = KernelDispatcher
    part_compiler, entry_compiler = PartCompiler, EntryCompiler

    def __init__(self):
        super().__init__()
        target.typing_context.adopted = cache(self._adopted)

    def _adopted(self, function):
        """A helper that its user compiled by Numba's own `njit`, as one for this target."""
        py = function.py_func
        own = FunctionType(py.__code__, py.__globals__, py.__name__, py.__defaults__, py.__closure__)
        own.__kwdefaults__, own.__module__, own.__qualname__ = py.__kwdefaults__, py.__module__, py.__qualname__
        return self.part(own, inlined=True)

    def entry(self, function, signature, cache, *, for_c=False):
        """Compiled again with all that Numba knows if that fails: other people's classes may call what kernels do without."""
        try:
            return super().entry(function, signature, cache, for_c=for_c)
        except Exception:
            if not target.widen():
                raise
            self.forget_failures()
            return super().entry(function, signature, None if self.knows_foreign_overloads() else cache, for_c=for_c)

    def make_ready(self):
        """Nothing: this target has no runtime, unless it has learnt all that Numba knows."""
        if target.target_context.is_wide:
            super().make_ready()

    def forget(self, intrinsics):
        super().forget(intrinsics)
        target.typing_context.forget()

    def knows_foreign_overloads(self):
        return target.target_context.is_wide and super().knows_foreign_overloads()


def _unified(*args):
    are_numbers = len(args) > 1 and all(isinstance(arg, types.Number) for arg in args)
    return target.typing_context.unify_types(*args) if are_numbers else None


@lowered(min, _unified)
def _minimum(context, builder, signature, args):
    return do_minmax(context, builder, signature.args, args, operator.lt)


@lowered(max, _unified)
def _maximum(context, builder, signature, args):
    return do_minmax(context, builder, signature.args, args, operator.gt)
