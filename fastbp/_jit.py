"""The only maker of Numba's dispatchers: compile options, and which functions an entry is compiled from.

Options are spelled out for every function, because Numba lets an unset one be inherited from whichever caller compiles first, or
takes it from the environment: what a user sets there to debug functions of his own (NUMBA_DEBUGINFO, NUMBA_DISABLE_JIT) is not
about these, which have no lines to step through and are nothing but intrinsics in Python.
No fast-math flag is set: the order of every sum is fixed by explicit vector code, and NaN and infinity are kept.
"""

import gc
import hashlib
import inspect
from contextlib import contextmanager
from enum import IntEnum
from threading import RLock
from types import CodeType, FunctionType

import numba
from numba.core import cgutils, errors, types, typing
from numba.core.compiler import Compiler
from numba.core.target_extension import jit_registry
from numba.extending import intrinsic

from fastbp._cache import DiskCache
from fastbp._linker import EntryCompiler, PartCompiler
from fastbp._target import KernelDispatcher, KernelTarget, target
from fastbp._unboxing import flat

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


_parts, _switches = [], []  # all functions that others may call: what `_Choice.set` makes void
_compiling = RLock()


def inline(function):
    """Compile a helper that is always inlined: vector formulas, address arithmetic."""
    dispatcher = jit(**OPTIONS, forceinline=True)(_name_uniquely(function))
    _parts.append(dispatcher)
    return dispatcher


def kernel(function):
    """Compile a function called from other kernels: a loop nest with a name of its own.

    Numba would compile it anew for each constant among its arguments; here a constant is an argument like any other.
    """
    dispatcher = jit(**OPTIONS, forceinline=False)(_name_uniquely(function))
    template = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: template(tuple(types.unliteral(arg) for arg in args), kws)
    _parts.append(dispatcher)
    return dispatcher


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


class Level(IntEnum):
    """How much an entry can do: each level all that the ones before can, and takes longer to compile.

    COMMON has the common classes of every registry; SPARSE leaves out the zeros of samples, too; EXTENDED has all classes, and what
    `when_extended` keeps from the others.
    """

    COMMON, SPARSE, EXTENDED = range(3)


class _Choice:
    """What kernels are being compiled for."""

    level = Level.COMMON
    classes: tuple = ()
    registries: list = []  # noqa: RUF012 - one for the process

    @classmethod
    def classes_of(cls, level: Level) -> tuple:
        """The classes that are compiled at a level."""
        return tuple(c for registry in cls.registries for c in registry.chosen(level == Level.EXTENDED))

    @classmethod
    def set(cls, level: Level):
        """Compile from now on for this level; parts compiled for another are forgotten."""
        classes = cls.classes_of(level)
        if (level, classes) != (cls.level, cls.classes):
            for dispatcher in _parts:
                dispatcher._reset_overloads()
            target.typing_context.forget(_switches)
        cls.level, cls.classes = level, classes

    @classmethod
    def key(cls, level: Level) -> str:
        """Names a level; other people's classes in it by their code."""
        own = [c for c in cls.classes_of(level) if not c.__module__.startswith("fastbp.")]
        code = [_code_key(f.__func__.__code__) for c in own for f in vars(c).values() if isinstance(f, staticmethod)]
        digest = hashlib.sha256(repr((own, code)).encode()).hexdigest()[:12] if own else ""
        return f"{f'-{level.name.lower()}' if level else ''}{digest and '-' + digest}"


def _code_key(code: CodeType) -> tuple:
    """What a function does, as far as its own code tells."""
    constants = tuple(_code_key(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts)
    return code.co_code.hex(), code.co_names, code.co_varnames, constants


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
        """The compiled function for a dtype, of this level at least, and of the one that has all `classes`.

        One of a higher level does too: it is taken where it is at hand and the one asked for would have to be compiled.
        """
        least = level if all(cls.common for cls in classes) else Level.EXTENDED
        names = {each: f"{dtype}{_Choice.key(each)}" for each in Level if each >= least}
        for name in names.values():
            if name in self._compiled:
                return self._compiled[name]
        with _compiling, _nothing_collected():
            stored = [each for each, name in names.items() if self._stored(str(dtype), name).exists()]
            chosen = stored[0] if stored else least
            if names[chosen] not in self._compiled:  # another thread may have asked for it at the same time
                _Choice.set(chosen)
                self._compiled[names[chosen]] = self._compile(str(dtype), names[chosen])
        return self._compiled[names[chosen]]

    def _signature(self, dtype):
        plain = self.signature(getattr(numba.types, dtype))
        return plain.replace(args=tuple(flat(argument) for argument in plain.args))

    def _stored(self, dtype, name):
        """Where the machine code of that name is kept."""
        function, code = self.function, self.function.__code__
        parts = function.__module__, code.co_code, code.co_names, code.co_consts, self._signature(dtype)
        identity = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
        return DiskCache(f"{function.__name__}_{name}".replace("-", "_") + f"-{identity}")

    def _compile(self, dtype, name):
        function = self.function
        unique = FunctionType(function.__code__, function.__globals__, f"{function.__name__}_{name}".replace("-", "_"))
        unique.__qualname__ = unique.__name__
        dispatcher = jit(**ENTRY_OPTIONS)(unique)
        signature = self._signature(dtype)
        dispatcher._cache = self._stored(dtype, name)
        try:
            dispatcher.compile(signature)
        except errors.NumbaError:
            # other people's classes may call what kernels do without
            if not target.widen():
                raise
            for each in (*_parts, dispatcher):
                each._compiler._failed_cache.clear()
            dispatcher.compile(signature)
        # without the dispatcher, whose look-up of types costs more than a small network
        return dispatcher.overloads[signature.args].entry_point


def entry(signature):
    """Decorator: make an `Entry` of a function."""
    return lambda function: Entry(function, signature)


def switch_over(registry, build):
    """A `switch` over ``build(cls)`` for the classes of a registry, those registered later included."""
    built = {}

    def functions():
        for cls in registry.chosen(_Choice.level == Level.EXTENDED):
            if cls not in built:
                built[cls] = build(cls)
            yield built[cls]

    if registry not in _Choice.registries:
        _Choice.registries.append(registry)
    return switch(functions)


def switch(functions):
    """A function ``(code, *args)`` for use in kernels that calls ``functions[code](*args)``: one jump, which can be cached.

    All functions take the same types and return the same type; codes out of range have no effect on the choice's cost and must
    not occur. `functions` is a list, or gives one when called.
    """
    listed = functions if callable(functions) else lambda: functions

    def choose(typingctx, code, *args):
        plain = tuple(types.unliteral(arg) for arg in args)
        callees = [typingctx.resolve_value_type(function) for function in listed()]
        signatures = [callee.get_call_type(typingctx, plain, {}) for callee in callees]
        result = signatures[0].return_type

        def codegen(context, builder, signature, values):
            outcome = cgutils.alloca_once(builder, context.get_value_type(result))
            done = builder.append_basic_block("chosen")
            branches = [builder.append_basic_block(f"choice.{i}") for i in range(len(callees))]
            jump = builder.switch(values[0], branches[-1])
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
            is_called = _Choice.level >= level
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
    _switches.append(chooser)
    return chooser
