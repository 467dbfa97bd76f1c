"""The code that the modules of the package were executed from, which need not be what lies on disk now.

Files may be replaced while a program runs, be in an archive, or not be there at all. So a module that machine code depends on hands
in its own code while it is executed: the decorators of kernels do it, other modules call `add_this_module`.
"""

import hashlib
import marshal
import sys
from functools import cache
from types import CodeType, ModuleType
from typing import Any

PACKAGE = __name__.partition(".")[0] + "."

_codes: dict[str, list[CodeType]] = {}  # by module: one, unless it was reloaded


class Unseen(Exception):
    """Something that machine code depends on, and that cannot be followed; `seen` is a digest of the rest, of this process."""

    def __init__(self, what: str, seen: str = ""):
        super().__init__(what)
        self.seen = seen


def add_this_module() -> None:
    """Hand in the code of the module that is being executed; of one outside the package, this does nothing."""
    frame = sys._getframe(1)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    name = str(frame.f_globals.get("__name__"))
    if name.startswith(PACKAGE):
        codes = _codes.setdefault(name, [])
        if not any(code is frame.f_code for code in codes):
            codes.append(frame.f_code)
            digest_of.cache_clear()


def _stated(constant: Any) -> Any:
    """A constant with slices, constants since Python 3.14, as what that version of the format has."""
    if isinstance(constant, CodeType):
        return constant.replace(co_consts=tuple(map(_stated, constant.co_consts)))
    if isinstance(constant, slice):
        return "slice", constant.start, constant.stop, constant.step
    return tuple(map(_stated, constant)) if isinstance(constant, tuple) else constant


def _digest(code: CodeType) -> str:
    # this version of the format does not depend on who else refers to a string; it does not matter where the module lies
    content = marshal.dumps(_stated(code), 2).replace(marshal.dumps(code.co_filename, 2), b"")
    return hashlib.sha256(content).hexdigest()


@cache
def _digests(name: str, count: int) -> list[str]:
    return sorted({_digest(code) for code in _codes[name][:count]})


@cache
def digest_of(*names: str) -> str:
    """Of the code of modules of the package and of all modules of the package that they import.

    Raises
    ------
    Unseen
        If one of them has not handed in its code.
    """
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            if name not in _codes:
                raise Unseen(f"module {name}")
            found.add(name)
            waiting.extend(_imported(name))
    parts = [(name, _digests(name, len(_codes[name]))) for name in sorted(found)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _imported(name: str) -> list[str]:
    """Modules of the package that a module imports when it is executed; of a package that is a door, those behind it."""
    mentioned = {each for code in _codes[name] for each in code.co_names}
    parents = {each for each in mentioned if f"{each}.".startswith(PACKAGE)}
    packages = {parent for parent in parents if hasattr(sys.modules[parent], "__path__")}
    values = vars(sys.modules[name])
    modules = {value.__name__ for each in mentioned if isinstance(value := values.get(each), ModuleType)}
    homes = [getattr(sys.modules[package], "HOME", {}) for package in packages]
    doors = {home[each] for home in homes for each in mentioned if each in home}
    return [*(parents - packages), *doors, *(each for each in modules if each.startswith(PACKAGE))]


add_this_module()
