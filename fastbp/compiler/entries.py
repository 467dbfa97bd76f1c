"""Entries: the functions that Python calls, one compiled function for each dtype and choice of classes."""

import re
from itertools import count
from types import FunctionType

import numba

from fastbp.compiler.cache import DiskCache
from fastbp.compiler.choice import Level, choose, compiling
from fastbp.compiler.interrupts import Heeded
from fastbp.compiler.key import digest
from fastbp.compiler.modules import PACKAGE, Unseen, add_this_module
from fastbp.compiler.notices import tell
from fastbp.compiler.registry import is_own
from fastbp.compiler.tier import compiler
from fastbp.compiler.unboxing import flat_signature

add_this_module()

DTYPES = ("float32", "float64")
_numbers = count()


class Entry(dict):
    """A function that Python calls: one signature per dtype, compiled (or loaded) when first asked for.

    ``entry[dtype]`` is the compiled function for "float32" or "float64", over the common classes.

    Parameters
    ----------
    function : callable
        Takes arrays and numbers, by position.
    signature : callable
        ``signature(dtype)`` gives the Numba signature for a Numba float type.
    """

    for_c = False  # instead of Python

    def __init__(self, function, signature):
        super().__init__()
        self.function, self.signature = function, signature
        self.__doc__ = function.__doc__
        self._compiled = {}
        self._results = {}  # of Numba, by what Python calls

    def __missing__(self, dtype):
        if str(dtype) not in DTYPES:
            raise ValueError(f"{self.function.__name__} is compiled for {' and '.join(DTYPES)} only, got {dtype!r}")
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
        with compiling, Heeded():
            name = str(dtype)
            stored = [each for each in choice.enough if (cache := self._stored(name, each)) is not None and cache.exists()]
            chosen = stored[0] if stored else choice
            if (name, chosen) not in self._compiled:  # another thread may have asked for it at the same time
                chosen.set()
                self._compiled[name, chosen] = self._compile(name, chosen)
            self._compiled[dtype, chosen] = self._compiled[name, chosen]
            tell()
        return self._compiled[dtype, chosen]

    def _signature(self, dtype):
        return flat_signature(self.signature, getattr(numba.types, dtype))

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
        is_ours = not choice.own and function.__module__.startswith(PACKAGE)
        if not is_ours and compiler.knows_foreign_overloads():
            cache = None
        try:
            result = compiler.entry(unique, self._signature(dtype), cache, for_c=self.for_c)
        except Exception as error:
            compiler.forget_failures()
            choice.give_up()
            for cls, reason in compiler.refused.items():
                if is_own(cls):
                    raise TypeError(_message(cls, reason)) from error
            raise
        return self._found(result)

    def _found(self, result):
        # without the dispatcher, whose look-up of types costs more than a small network
        self._results[result.entry_point] = result
        return result.entry_point

    def address(self, compiled):
        """Where the machine code of a compiled function is that compiled code may call, see `calls`."""
        result = self._results[compiled]
        return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


class CEntry(Entry):
    """A function that C calls, and no Python: ``entry[dtype]`` is its address, which is good as long as the process lives."""

    for_c = True

    def _found(self, result):
        address = result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)
        self._results[address] = result
        return address


def _message(cls, reason):
    """What Numba has to say in a line: the call that has no meaning, or what it says last but for where."""
    text = str(reason)
    before_source = re.split(r'^\W*File "', text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [each for each in before_source.splitlines() if re.match(r"(?!\W*(During|raised from)\b).*\w", each)]
    calls = re.findall(r">>> (.+)", text)
    told = f"there is no {calls[-1]}" if calls else lines[-1].strip() if lines else repr(reason)
    return (
        f"{cls.__qualname__} cannot be compiled: {told}; its {' and '.join(cls.registry.compiled)} may call what"
        " fastbp.simd has, and helpers decorated by fastbp.compiler.inline or numba.njit"
    )


def entry(signature):
    """Decorator: make an `Entry` of a function; the code of its module, if that is of the package, is handed in."""
    add_this_module()
    return lambda function: Entry(function, signature)


def c_entry(signature):
    """Decorator: make a `CEntry` of a function of numbers and pointers, as `entry` does."""
    add_this_module()
    return lambda function: CEntry(function, signature)
