"""The only maker of Numba's dispatchers: compile options, and which functions an entry is compiled from.

Options are spelled out for every function, because Numba lets an unset one be inherited from whichever caller compiles first, or
takes it from the environment: what a user sets there to debug functions of his own (NUMBA_DEBUGINFO, NUMBA_DISABLE_JIT) is not
about these, which have no lines to step through and are nothing but intrinsics in Python.
No fast-math flag is set: the order of every sum is fixed by explicit vector code, and NaN and infinity are kept.
"""

import gc
import hashlib
import inspect
import re
from contextlib import contextmanager
from functools import cache
from itertools import count
from types import FunctionType

import numba
from llvmlite.ir import Constant
from numba.core import cgutils, types, typing
from numba.core.caching import NullCache
from numba.core.compiler import Compiler
from numba.core.target_extension import jit_registry
from numba.extending import intrinsic

from fastbp.compiler.cache import DiskCache
from fastbp.compiler.choice import Choice, Level, choose, compiling, switches
from fastbp.compiler.key import digest
from fastbp.compiler.linker import EntryCompiler, PartCompiler
from fastbp.compiler.modules import Unseen, add_this_module
from fastbp.compiler.registry import is_own
from fastbp.compiler.target import KernelDispatcher, KernelTarget, target
from fastbp.compiler.unboxing import flat

add_this_module()

OPTIONS = {
    "_nrt": False,
    "debug": False,
    "_dbg_extend_lifetimes": False,
    "error_model": "numpy",
    "fastmath": False,
    "nogil": True,
    "boundscheck": None,
    "no_cfunc_wrapper": True,
    "no_cpython_wrapper": True,
    "pipeline_class": PartCompiler,
}
ENTRY_OPTIONS = {**OPTIONS, "no_cpython_wrapper": False, "pipeline_class": EntryCompiler, "forceinline": False}


def jit(*, pipeline_class=Compiler, **options):
    """Decorator: what Numba's `jit` makes of a function, for this target, and where NUMBA_DISABLE_JIT is set, too."""
    options = {"nopython": True, "debug": False, **options}
    return lambda function: KernelDispatcher(function, None, options, pipeline_class)


jit_registry[KernelTarget] = jit  # for functions of Numba that are written in Python


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


@cache
def _adopted(function):
    """A helper that its user compiled by Numba's own `njit`, as one for this target."""
    py = function.py_func
    own = FunctionType(py.__code__, py.__globals__, py.__name__, py.__defaults__, py.__closure__)
    own.__kwdefaults__, own.__module__, own.__qualname__ = py.__kwdefaults__, py.__module__, py.__qualname__
    return inline(own)


target.typing_context.adopted = _adopted
_numbers = count()
_refused = {}  # classes whose functions cannot be compiled, and why


def _part(function, *, inlined):
    """Compile a function that others may call; the module that it stands in is in the key of the machine code."""
    add_this_module()
    dispatcher = jit(**OPTIONS, forceinline=inlined)(_name_uniquely(function))
    KernelDispatcher.parts.append(dispatcher)
    return dispatcher


def inline(function):
    """Compile a helper that is always inlined: vector formulas, address arithmetic."""
    return _part(function, inlined=True)


def kernel(function):
    """Compile a function called from other kernels: a loop nest with a name of its own."""
    return _part(function, inlined=False)


@contextmanager
def _nothing_collected():
    """While compiling, next to nothing becomes garbage, and looking for it would take a twentieth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            # what has come up is there to stay: as old objects, it is not looked through at once
            gc.freeze()
            gc.unfreeze()
        if was_enabled:
            gc.enable()


class Entry(dict):
    """A function that Python calls: one signature per dtype, compiled (or loaded) when first asked for.

    ``entry[dtype]`` is the compiled function for "float32" or "float64", over the common classes.

    Parameters
    ----------
    function : callable
        Takes arrays and integers, returns an integer.
    signature : callable
        ``signature(dtype)`` gives the Numba signature for a Numba float type.
    """

    def __init__(self, function, signature):
        super().__init__()
        self.function, self.signature = function, signature
        self.__doc__ = function.__doc__
        self._compiled = {}

    def __missing__(self, dtype):
        self[dtype] = self.over((), dtype)
        return self[dtype]

    def over(self, classes, dtype, level=Level.COMMON):
        """The compiled function for a dtype, of this level at least, and over all `classes`."""
        return self.compiled(choose(classes, level), dtype)

    def compiled(self, choice, dtype):
        """The compiled function for a dtype and what `choose` gave, or one that can do more.

        That is taken where it is at hand and the one asked for would have to be compiled.
        """
        for each in choice.enough:
            if (dtype, each) in self._compiled:
                return self._compiled[dtype, each]
        with compiling, _nothing_collected():
            name = str(dtype)
            stored = [each for each in choice.enough if (cache := self._stored(name, each)) is not None and cache.exists()]
            chosen = stored[0] if stored else choice
            if (name, chosen) not in self._compiled:  # another thread may have asked for it at the same time
                chosen.set()
                self._compiled[name, chosen] = self._compile(name, chosen)
            self._compiled[dtype, chosen] = self._compiled[name, chosen]
        return self._compiled[dtype, chosen]

    def _signature(self, dtype):
        plain = self.signature(getattr(numba.types, dtype))
        return plain.replace(args=tuple(flat(argument) for argument in plain.args))

    def _stored(self, dtype, choice):
        """Where the machine code is kept, None if it must not be."""
        if not choice.is_cached:
            return None
        try:
            identity = digest(self.function, str(self._signature(dtype)), *choice.own)
        except Unseen:
            return None
        return DiskCache(f"{self.function.__name__}_{dtype}{choice.name}".replace("-", "_") + f"-{identity[:12]}")

    def _compile(self, dtype, choice):
        function, cache = self.function, self._stored(dtype, choice)
        # symbols are linked by name: no two entries may have the same
        name = (cache.name if cache else f"{function.__name__}_{dtype}{choice.name}_{next(_numbers)}").replace("-", "_")
        unique = FunctionType(function.__code__, function.__globals__, name, None, function.__closure__)
        unique.__qualname__ = name
        dispatcher = jit(**ENTRY_OPTIONS)(unique)
        signature = self._signature(dtype)
        if cache is not None and not target.has_foreign_overloads():
            dispatcher._cache = cache
        try:
            self._compile_wide(dispatcher, signature)
        except Exception as error:
            _forget_failures()  # the parts are those of other classes, too
            choice.give_up()
            for cls, reason in _refused.items():
                if is_own(cls):
                    raise TypeError(_message(cls, reason)) from error
            raise
        # without the dispatcher, whose look-up of types costs more than a small network
        return dispatcher.overloads[signature.args].entry_point

    def _compile_wide(self, dispatcher, signature):
        """Compile, again with all that Numba knows if that fails: other people's classes may call what kernels do without."""
        _refused.clear()
        try:
            dispatcher.compile(signature)
        except Exception:
            if not target.widen():
                raise
            _forget_failures(dispatcher)
            if target.has_foreign_overloads():
                dispatcher._cache = NullCache()
            _refused.clear()
            dispatcher.compile(signature)


def _forget_failures(*dispatchers):
    for each in (*KernelDispatcher.parts, *dispatchers):
        each._compiler._failed_cache.clear()


def _message(cls, reason):
    """What Numba has to say in a line: the call that has no meaning, or what it says last but for where."""
    text = str(reason)
    before_source = re.split(r'^\W*File "', text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [each for each in before_source.splitlines() if re.match(r"(?!\W*(During|raised from)\b).*\w", each)]
    calls = re.findall(r">>> (.+)", text)
    told = f"there is no {calls[-1]}" if calls else lines[-1].strip() if lines else repr(reason)
    return (
        f"{cls.__qualname__} cannot be compiled: {told}; its {' and '.join(cls.registry.compiled)} may call what"
        " fastbp.simd.register and fastbp.simd.vmath have, and helpers decorated by fastbp.compiler.jit.inline or numba.njit"
    )


def entry(signature):
    """Decorator: make an `Entry` of a function."""
    return lambda function: Entry(function, signature)


def switch_over(registry, build):
    """A `switch` over ``build(cls)`` for the classes of a registry, those registered later included."""
    built = {}

    def functions():
        for cls in Choice.current.classes(registry):
            if cls not in built:
                built[cls] = build(cls)
            yield built[cls]

    def refuse(i, error):
        _refused[Choice.current.classes(registry)[i]] = error

    return switch(functions, refuse)


def known_codes(registry):
    """A function ``()`` for use in kernels: how many classes of a registry there are, whose codes are the numbers below that."""

    def choose(typingctx):
        count = len(Choice.current.classes(registry))
        return types.int64(), lambda context, builder, signature, args: context.get_constant(types.int64, count)

    return _chooser(choose, [])


def switch(functions, refuse=lambda i, error: None):
    """A function ``(code, *args)`` for use in kernels that calls ``functions[code](*args)``: one jump, which can be cached.

    All functions take the same types and return the same type. For a code out of range none is called, and the result is 0.
    `functions` is a list, or gives one when called; ``refuse(i, error)`` is told which one cannot be compiled.
    """
    listed = functions if callable(functions) else lambda: functions

    def choose(typingctx, code, *args):
        plain = tuple(types.unliteral(arg) for arg in args)
        callees = [typingctx.resolve_value_type(function) for function in listed()]
        signatures = []
        for i, callee in enumerate(callees):
            try:
                signatures.append(callee.get_call_type(typingctx, plain, {}))
            except Exception as error:
                refuse(i, error)
                raise
        result = signatures[0].return_type

        def codegen(context, builder, signature, values):
            outcome = cgutils.alloca_once_value(builder, Constant(context.get_value_type(result), None))
            done = builder.append_basic_block("chosen")
            branches = [builder.append_basic_block(f"choice.{i}") for i in range(len(callees))]
            jump = builder.switch(values[0], done)
            for i, (callee, callee_signature) in enumerate(zip(callees, signatures, strict=True)):
                jump.add_case(values[0].type(i), branches[i])
                builder.position_at_end(branches[i])
                implementation = context.get_function(callee, callee_signature)
                context.add_linking_libs(getattr(implementation, "libs", ()))
                builder.store(implementation(builder, values[1:]), outcome)
                builder.branch(done)
            builder.position_at_end(done)
            return builder.load(outcome)

        return typing.signature(result, types.int64, *plain), codegen

    return _chooser(choose, ["code", *inspect.signature(next(iter(listed())).py_func).parameters])


def _from(level):
    """Decorator: a kernel without a result, which entries of this level and above call; in others its calls are nothing."""

    def decorate(function):
        dispatcher = kernel(function)

        def choose(typingctx, *args):
            plain = tuple(types.unliteral(arg) for arg in args)
            is_called = Choice.current.level >= level
            callee = typingctx.resolve_value_type(dispatcher)
            signature = callee.get_call_type(typingctx, plain, {}) if is_called else None

            def codegen(context, builder, _, values):
                if is_called:
                    implementation = context.get_function(callee, signature)
                    context.add_linking_libs(getattr(implementation, "libs", ()))
                    implementation(builder, values)
                return context.get_dummy_value()

            return types.void(*plain), codegen

        return _chooser(choose, list(inspect.signature(function).parameters))

    return decorate


when_sparse, when_extended = _from(Level.SPARSE), _from(Level.EXTENDED)


def _chooser(choose, parameters):
    """The intrinsic ``choose(typingctx, *parameters)``, typed anew when the choice of classes changes."""
    # Numba folds arguments by the signature, which must not have a star
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    choose.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in ("typingctx", *parameters)])
    chooser = intrinsic(choose)
    switches.append(chooser)
    return chooser
