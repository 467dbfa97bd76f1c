"""What machine code depends on: the code of the functions it was compiled from, and of all that they refer to, as it is in memory.

What belongs to the package is known by the modules it is in (`fastbp.compiler.modules`), what belongs to a library by its name, for
the version is in the key; anything else is followed: constants, helpers, their helpers, closures, defaults. What cannot be followed
is `Unseen`, and nothing that depends on it is kept on disk.
"""

import dis
import enum
import functools
import hashlib
from importlib import import_module
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.types import Type

from fastbp.compiler.modules import PACKAGE, Unseen, add_this_module, digest_of

ENTRIES = f"{PACKAGE}compiler.entries"  # what compiles, by the modules that it imports
VERSIONED = {"builtins", "math", "cmath", "operator", "_operator", "functools", "itertools", "types", "typing"}
VERSIONED |= {"numba", "llvmlite", "numpy"}
PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None), type(Ellipsis)})
LOOKUPS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
OF_MODULE = ("LOAD_ATTR", "LOAD_METHOD")


def digest(*values: Any) -> str:
    """Of compiled functions and constants: of their code and all that it refers to.

    Raises
    ------
    Unseen
        If that cannot be told.
    """
    import_module(ENTRIES)  # whoever asks first: a digest must not depend on what has been used so far
    walk = _Walk()
    for value in values:
        walk.follow(value, is_compiled=True)
    try:
        walk.feed(digest_of(*sorted({ENTRIES, *walk.modules})))
    except Unseen as unseen:
        walk.unseen.append(str(unseen))
    if walk.unseen:
        raise Unseen(", ".join(walk.unseen), walk.hash.hexdigest())
    return walk.hash.hexdigest()


@functools.cache
def _references(code: CodeType) -> list[tuple[str, str, tuple[str, ...]]]:
    """What a function and those inside look up: (opcode, name, names of attributes looked up of that)."""
    found: dict[tuple[str, str, tuple[str, ...]], None] = {}
    instructions = list(dis.get_instructions(code))
    for i, each in enumerate(instructions):
        if each.opname in LOOKUPS:
            end = i + 1
            while end < len(instructions) and instructions[end].opname in OF_MODULE:
                end += 1
            kind = "cell" if "DEREF" in each.opname else "global"
            found[kind, each.argval, tuple(following.argval for following in instructions[i + 1 : end])] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(dict.fromkeys(_references(constant)))
    return list(found)


def _has_version(module: Any) -> bool:
    """Whether what a module holds is told by its name."""
    return str(module).partition(".")[0] in VERSIONED


class _Walk:
    """Feeds values into a hash, each in a form that differs from all others', and notes which modules of the package it meets."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.modules: set[str] = set()
        self.unseen: list[str] = []
        self._known: dict[tuple[int, bool], str] = {}
        self._kept: list[Any] = []

    def feed(self, *words: Any) -> None:
        """Strings and numbers."""
        self.hash.update(repr(words).encode(errors="surrogatepass"))

    def pass_over(self, what: str, value: Any = None) -> None:
        """Note what cannot be followed, and which object it is: all else is."""
        self.unseen.append(what)
        self.feed("unseen", what, id(value))

    def follow(self, value: Any, is_compiled: bool = False) -> None:
        """A value and all that it refers to; a function is one that is called, or one `is_compiled`."""
        self.feed(self._digest(value, is_compiled))

    def _digest(self, value: Any, is_compiled: bool) -> Any:
        if type(value) in PLAIN:
            return type(value).__name__, value
        key = id(value), is_compiled
        if key not in self._known:
            self._known[key] = "a cycle"
            self._kept.append(value)  # so that no other takes its address
            outer, self.hash = self.hash, hashlib.sha256()
            for kind, follow in FOLLOWED:
                if isinstance(value, kind):
                    follow(self, value, is_compiled)
                    break
            else:
                self._by_name(value, is_compiled)
            self._known[key], self.hash = self.hash.hexdigest(), outer
        return self._known[key]

    def _by_name(self, value: Any, is_compiled: bool) -> None:
        """What is known by its name, because the version of the library is in the key."""
        module = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", None)
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if not (isinstance(name, str) and _has_version(module)):
            self.pass_over(f"{type(value).__name__} {name or ''}".strip(), value)
        else:
            self.feed("named", module, name)

    def _items(self, value: Any, is_compiled: bool) -> None:
        self.feed(type(value).__name__, len(value), *getattr(value, "_fields", ()))
        for each in value.items() if isinstance(value, dict) else value:
            self.follow(each, is_compiled)

    def _slice(self, value: Any, is_compiled: bool) -> None:
        self.feed("slice")
        self._items((value.start, value.stop, value.step), is_compiled)

    def _set(self, value: Any, is_compiled: bool) -> None:
        self.feed(type(value).__name__, *sorted(map(str, (self._digest(each, is_compiled) for each in value))))

    def _array(self, value: Any, is_compiled: bool) -> None:
        if value.dtype.hasobject:
            self.pass_over("array of objects", value)
            return
        self.feed("array", value.dtype.str, value.shape, value.flags.f_contiguous)
        self.hash.update(value.tobytes())

    def _enum(self, value: Any, is_compiled: bool) -> None:
        self.feed("enum", type(value).__qualname__, value.name)
        self.follow(value.value)

    def _members(self, value: Any, is_compiled: bool) -> None:
        self.feed("members", value.__qualname__)
        for each in value:
            self.follow(each)

    def _type(self, value: Any, is_compiled: bool) -> None:
        self.feed("type", type(value).__name__, str(value))  # Numba's float32 and that of NumPy have one name

    def _module(self, value: Any, is_compiled: bool) -> None:
        self.pass_over(f"module {value.__name__}", value)

    def _dispatcher(self, value: Any, is_compiled: bool) -> None:
        self.feed("dispatcher")
        self.follow({name: option for name, option in value.targetoptions.items() if not isinstance(option, type)})
        self.follow(value.locals)
        self.follow(value.py_func, is_compiled=True)

    def _intrinsic(self, value: Any, is_compiled: bool) -> None:
        self.feed("intrinsic")
        self._function(value._defn, is_compiled=False)

    def _wrapped(self, value: Any, is_compiled: bool) -> None:
        self.feed("wrapped", type(value).__name__)
        self.follow(getattr(value, "__wrapped__", None) or value.__func__, is_compiled)

    def _partial(self, value: Any, is_compiled: bool) -> None:
        self.feed("partial")
        for each in (value.func, value.args, value.keywords):
            self.follow(each, is_compiled)

    def _function(self, value: Any, is_compiled: bool) -> None:
        module = str(value.__module__)
        if _has_version(module):
            self.feed("named", module, value.__qualname__)
            return
        self.feed("function")
        self._code(value.__code__)
        self.follow(value.__defaults__)
        self.follow(value.__kwdefaults__)
        is_ours = module.startswith(PACKAGE)
        if is_ours:
            self.modules.add(module)  # its code tells what its names stand for
        cells = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
        for kind, name, attributes in _references(value.__code__) if cells or not is_ours else ():
            if kind == "cell" and name in cells:
                self.feed(name)
                try:
                    found = cells[name].cell_contents
                except ValueError:
                    self.pass_over(f"{name}, which has no value yet")
                else:
                    self._referred(found, attributes, is_compiled)
            elif kind == "global" and not is_ours and name in value.__globals__:  # if not, a builtin
                self.feed(name)
                self._referred(value.__globals__[name], attributes, is_compiled)

    def _referred(self, found: Any, attributes: tuple[str, ...], is_compiled: bool) -> None:
        for name in attributes:
            if not isinstance(found, ModuleType) or _has_version(found.__name__):
                break
            self.feed(name)
            if not hasattr(found, name):
                self.pass_over(f"{found.__name__}.{name}", found)
                return
            found = getattr(found, name)
        if isinstance(found, ModuleType) and _has_version(found.__name__):
            self.feed("module", found.__name__, *attributes)
            return
        if is_compiled and isinstance(found, FunctionType) and not _has_version(found.__module__):
            # what is compiled for it stands elsewhere: an overload
            self.pass_over(f"function {found.__qualname__}", found)
        else:
            self.follow(found, is_compiled)

    def _code(self, code: CodeType) -> None:
        self.feed(
            "code",
            code.co_code,
            code.co_exceptiontable,
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_cellvars,
            code.co_argcount,
            code.co_kwonlyargcount,
            code.co_flags,
        )
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._code(constant)
            else:
                self.follow(constant)

    def _class(self, value: Any, is_compiled: bool) -> None:
        if not value.__module__.startswith(PACKAGE):
            self._by_name(value, is_compiled)
            return
        self.modules.add(value.__module__)
        self.feed("class", value.__module__, value.__qualname__)


FOLLOWED: tuple[tuple[Any, Any], ...] = (
    (enum.Enum, _Walk._enum),
    (enum.EnumMeta, _Walk._members),
    (tuple | list | dict, _Walk._items),
    (slice, _Walk._slice),
    (set | frozenset, _Walk._set),
    (np.ndarray | np.generic, _Walk._array),
    (Type | ir.Type | np.dtype, _Walk._type),
    (ModuleType, _Walk._module),
    (Dispatcher, _Walk._dispatcher),
    (_Intrinsic, _Walk._intrinsic),
    (functools._lru_cache_wrapper | staticmethod, _Walk._wrapped),
    (functools.partial, _Walk._partial),
    (FunctionType, _Walk._function),
    (type, _Walk._class),
)

add_this_module()
