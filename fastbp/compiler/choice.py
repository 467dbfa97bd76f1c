"""Which classes an entry is compiled over, and by which numbers its kernels know them."""

import hashlib
from collections.abc import Iterable
from enum import IntEnum
from threading import RLock
from typing import Any

from fastbp.compiler.key import digest
from fastbp.compiler.modules import Unseen, add_this_module
from fastbp.compiler.registry import Described, Registry, is_own
from fastbp.compiler.tier import compiler

add_this_module()

UNSEEN = "unseen "  # in the place of a digest
compiling = RLock()
switches: list[Any] = []  # what is typed anew when the choice of classes changes


class Level(IntEnum):
    """How much an entry can do: each level all that the ones before can, and takes longer to compile.

    COMMON has the common classes of every registry; SPARSE leaves out the zeros of samples, too; EXTENDED has all classes, and what
    `when_extended` keeps from the others. TABULAR has encoders of tables and parametric activations.
    """

    COMMON, SPARSE, EXTENDED, TABULAR = range(4)


class Choice:
    """What an entry is compiled for: a level, and classes that are not the package's, by digests of what they are compiled from.

    These are in the order of the digests, which gives each its code: whoever has the same formulas has the same machine code.
    """

    current: "Choice"  # what is being compiled

    def __init__(self, level: Level, own: dict[str, type[Described]]):
        self.level, self.own = level, dict(sorted(own.items()))
        self.is_cached = not any(each.startswith(UNSEEN) for each in own)
        digest_of_own = "-" + _short(list(self.own)) if own else ""
        self.name = f"{f'-{level.name.lower()}' if level else ''}{digest_of_own}"
        self.enough = [self]  # each of these does
        self.codes: dict[type[Described], int] = {}

    def classes(self, registry: Registry) -> list[type[Described]]:
        """The classes of a kind, each at the place that is its code."""
        ours = [cls for cls in registry.classes if not is_own(cls)]
        if self.level < Level.EXTENDED:
            return [cls for cls in ours if cls.common]
        return [*ours, *(cls for cls in self.own.values() if cls.registry is registry)]

    def code(self, cls: type[Described]) -> int:
        """The number by which kernels compiled for this know a class."""
        return self.codes[cls] if cls in self.codes else cls.registry.code(cls)

    def take(self, cls: type[Described], key: str) -> None:
        """Compile this class, of whose digest there may be another, from now on: what it refers to has just been looked at."""
        self.own[key] = cls
        self.codes[cls] = self.classes(cls.registry).index(self.own[key])

    def changed(self) -> list[type[Described]]:
        """Classes that are not what their digests say: with them, nothing can be compiled or loaded for this now."""
        return [cls for key, cls in self.own.items() if _now(cls) != key]

    def give_up(self) -> None:
        """Take this for no other classes: one of its own cannot be compiled."""
        _with_own[:] = [each for each in _with_own if each is not self]

    def set(self) -> None:
        """Compile from now on for this; parts compiled for another are forgotten.

        Raises
        ------
        ValueError
            If a class has changed meanwhile: its machine code would be kept under the digest that it had.
        """
        for cls in self.changed():
            raise _has_changed(cls)
        if self is not Choice.current:
            compiler.forget(switches)
        Choice.current = self


_plain = [Choice(level, {}) for level in Level]
for _each in _plain:
    _each.enough = _plain[_each.level :]
Choice.current = _plain[0]
_with_own: list[Choice] = []
_digests: dict[type, str] = {}  # of classes when they were first used


def _short(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def _now(cls: type[Described]) -> str:
    """Digest of what a class is compiled from; of one that cannot be followed, its own mark with that of what can be seen."""
    compiled = [getattr(cls, name, None) for name in cls.registry.compiled]
    try:
        return digest(cls.registry.argument, *compiled, getattr(cls, "slots", None))
    except Unseen as unseen:
        return f"{UNSEEN}{id(cls)} {unseen.seen}"


def _has_changed(cls: type[Described]) -> ValueError:
    return ValueError(
        f"{cls.__qualname__} has changed, or something that it refers to, since it was first used, and kernels have the formula"
        " it had; define the class again"
    )


def _digest(cls: type[Described]) -> str:
    """Of what a class is compiled from, which must be what it was when the class was first used."""
    now = _now(cls)
    if _digests.setdefault(cls, now) != now:
        raise _has_changed(cls)
    return now


def choose(classes: Iterable[type[Described]], level: Level = Level.COMMON) -> Choice:
    """What an entry must be compiled for, to do what is asked of this level with these classes.

    Raises
    ------
    ValueError
        If a class, or what it refers to, has changed since it was first used: kernels have the formula it had. One that
        is not asked for does no harm: what was compiled together with it is then left alone.
    """
    own = [cls for cls in classes if is_own(cls)]
    if not own:
        return _plain[level if all(cls.common for cls in classes) else max(level, Level.EXTENDED)]
    with compiling:
        wanted = [(_digest(cls), cls) for cls in own]
        keys = dict(wanted)
        least = max(level, Level.EXTENDED)
        choice = next((it for it in _with_own if it.level >= least and keys.keys() <= it.own.keys() and not it.changed()), None)
        if choice is None:
            choice = Choice(least, keys)
            _with_own.append(choice)
        for key, cls in wanted:
            choice.take(cls, key)
    return choice
