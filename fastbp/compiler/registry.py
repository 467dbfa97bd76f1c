"""Registries: where the classes of activations, losses, rules and initialisers are found by name."""

import functools
import inspect
from time import time_ns

from fastbp.compiler.modules import PACKAGE, add_this_module

NEW_OBJECT = object().__reduce_ex__(2)[0]  # what makes an instance from a pickle


class Described:
    """Base of registered classes: a name, and equality and representation from the hyper-parameters, which are fixed.

    Buffers of a network hold copies of them, so one that changed would act on some calls and not on others.
    Entries are compiled over the ``common`` classes; one over all of them is compiled when another class is first used.
    """

    registry: "Registry"  # of the kind
    name = ""
    common = False

    def parameters(self) -> dict:
        """Hyper-parameters by name, enough to build an equal instance."""
        return dict(vars(self))

    def __setattr__(self, name, value):
        self._refuse_if_made(name)
        super().__setattr__(name, value)

    def __delattr__(self, name):
        self._refuse_if_made(name)
        super().__delattr__(name)

    def _refuse_if_made(self, name):
        cls = type(self)
        if is_registered(cls) and id(self) not in _being_made:
            argument = f"{name}=..." if name in inspect.signature(cls).parameters else ""
            raise AttributeError(f"{name} of {cls.__qualname__} is fixed: make another {cls.__qualname__}({argument})")

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.parameters().items())
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and self.parameters() == other.parameters()

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.parameters().items())))

    def __reduce_ex__(self, protocol):
        reduced = super().__reduce_ex__(protocol)
        return (_arrived, *reduced[1:]) if reduced[0] is NEW_OBJECT else reduced


_being_made: set[int] = set()  # addresses of instances in whose __init__ a thread is


def _fixing(init):
    """An __init__ at whose end, if no subclass has called it, the hyper-parameters are fixed."""

    @functools.wraps(init)
    def initialise(self, *args, **kwargs):
        is_outermost = id(self) not in _being_made
        _being_made.add(id(self))
        try:
            init(self, *args, **kwargs)
        finally:
            if is_outermost:
                _being_made.discard(id(self))

    vars(initialise)["fixes"] = True
    return initialise


def _arrived(cls, *args):
    """An instance of a class that may have come with it, from another process: by name, both find the same from now on."""
    if is_registered(cls):
        cls.registry.receive(cls)
    return cls.__new__(cls, *args)


def _is_again(cls, known) -> bool:
    """Whether a class is another one defined anew."""
    return (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)


def is_registered(cls: type) -> bool:
    """Whether a class itself was registered, be it in another process."""
    return bool(vars(cls).get("registered", False))


def is_own(cls: type) -> bool:
    """Whether a class is not the package's."""
    return not cls.__module__.startswith(PACKAGE)


class Registry:
    """Classes of one kind by name; the place of one of the package's is the code the kernels know it by.

    Parameters
    ----------
    argument : str
        What messages call the kind: the name of the argument it is given through.
    *compiled : str
        The static methods of a class that kernels are compiled from.
    """

    def __init__(self, argument: str, *compiled: str):
        self.argument, self.compiled = argument, compiled
        self.classes: list[type[Described]] = []

    def __reduce__(self):
        # the one of the process that it arrives in: functions that are sent to a worker refer to it
        return getattr, (self.kind, "registry")

    @property
    def kind(self) -> type[Described]:
        """Base of the classes."""
        return next(cls for cls in self.classes[0].__mro__ if "registry" in vars(cls))

    def register(self, cls):
        """Decorator: add a class that has a ``name``; the common ones come first.

        A class defined anew, as in a notebook, takes the name from the one before; instances there are keep the formula they have.

        Raises
        ------
        ValueError
            If a class of that name is there already, and is another one.
        TypeError
            If the class is not of this kind, or lacks what kernels are compiled from.
        """
        if getattr(cls, "registry", None) is not self:
            raise TypeError(f"{cls.__qualname__} must be a subclass of {self.kind.__name__}")
        known = self._named(cls.name)
        if known is not None and not _is_again(cls, known):
            raise ValueError(f"{self.argument} {cls.name!r} is the name of {known.__qualname__} already; choose another")
        for name in self.compiled:
            if not callable(getattr(cls, name, None)):
                raise TypeError(f"{cls.__qualname__} must have a static method {name!r}: kernels are compiled from it")
        if known is None and cls.common and self.classes and not self.classes[-1].common:
            raise ValueError(f"{cls.__qualname__} must not be common: the common classes are the first")
        add_this_module()
        if cls.__init__ is not object.__init__ and not hasattr(cls.__init__, "fixes"):
            cls.__init__ = _fixing(cls.__init__)
        # when: of two definitions of a class, that tells every process which is the later
        cls.registered = max(time_ns(), known.registered + 1 if known else 0)
        self._put(cls, known)
        return cls

    def receive(self, cls):
        """Take a class that was registered in another process, unless its name is another's or it has been defined anew since."""
        known = self._named(cls.name)
        if known is None or (_is_again(cls, known) and cls.registered > known.registered):
            self._put(cls, known)

    def _named(self, name):
        return next((cls for cls in self.classes if cls.name == name), None)

    def _put(self, cls, known):
        if known is None:
            self.classes.append(cls)
        else:
            self.classes[self.classes.index(known)] = cls

    def code(self, cls) -> int:
        """The number by which kernels know a class of the package."""
        return self.classes.index(cls)

    @property
    def names(self) -> list[str]:
        """Known names, in the order of their codes."""
        return [cls.name for cls in self.classes]

    def get(self, value, argument: str | None = None):
        """The instance meant by a name, a class or an instance; messages call it `argument`.

        Raises
        ------
        ValueError
            For a name that is not known.
        TypeError
            For anything else that is not of this kind.
        """
        argument = argument or self.argument
        if isinstance(value, str):
            cls = self._named(value)
            if cls is not None:
                return cls()
            raise ValueError(f"{argument} {value!r} is not known; choose from {', '.join(self.names)}")
        cls = value if isinstance(value, type) else type(value)
        if getattr(cls, "registry", None) is self and is_registered(cls):
            return value() if cls is value else value
        raise TypeError(f"{argument} must be a name ({', '.join(self.names)}) or an instance of such a class, got {value!r}")


add_this_module()
