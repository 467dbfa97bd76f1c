"""What machine code is keyed by: the code that it was compiled from and all that this refers to, as it is in memory."""

import ast
import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import pytest

import fastbp
import fastbp.compiler as compiler_
from fastbp.compiler import choice, inline, tier
from fastbp.compiler import directory as directory_
from fastbp.compiler import modules as modules_
from fastbp.compiler.key import digest
from fastbp.compiler.modules import Unseen, digest_of
from fastbp.kernels.train import run

PACKAGE = Path(fastbp.__file__).parent

# --- what a class refers to --------------------------------------------------------------------------------------------------

HELPERS = """
from numba.extending import intrinsic

from fastbp.compiler import inline, kernel

LIMIT, DEEP, UNUSED = 7.0, 1.5, 0.0


def emitted(builder, value):
    return builder.fmul(value, value)


@intrinsic
def squared(typingctx, x):
    def codegen(context, builder, signature, args):
        return emitted(builder, args[0])

    return x(x), codegen


@inline
def deepest(z):
    return DEEP * z


@inline
def deep(z):
    return deepest(z) + 1.0
"""

CLASS = """
import enum

import numba
import numpy as np

import key_helpers
from fastbp.compiler import inline
from fastbp.activations import Activation
from fastbp.simd.register import horizontal_sum, like
from fastbp.simd.vmath import exp
from key_helpers import deep

CONSTANT, PAIR, ARRAY, WRITTEN_AS = 2.0, (1.0, (2.0, 3)), np.array([[1.0, 2.0], [3.0, 4.0]]), exp


class Mode(enum.IntEnum):
    FIRST = 1


def made(factor):
    @inline
    def times(z):
        return factor * z

    return times


five_times = made(5.0)


@inline
def with_default(z, by=6.0):
    return by * z


@numba.njit(fastmath=False)
def of_numba(x):
    return 2.5 * x


class Base(Activation):
    @staticmethod
    def slope(z, a, alpha):
        return like(z, 4.0)


class Mine(Base):
    '''f(z) = a long sum.'''

    name = "mine"
    slots = 0

    @staticmethod
    def value(z, alpha):
        scalar = of_numba(CONSTANT) + PAIR[1][0] + ARRAY[0, 1] + key_helpers.LIMIT + Mode.FIRST
        return scalar + five_times(deep(z)) + with_default(z) + key_helpers.squared(z) + WRITTEN_AS(z)
"""

EDITS = {
    "a number in the formula": ("scalar + five", "2.0 + scalar + five"),
    "an operator in the formula": ("+ five_times", "- five_times"),
    "a constant of the module": ("CONSTANT, PAIR, ARRAY, WRITTEN_AS = 2.0", "CONSTANT, PAIR, ARRAY, WRITTEN_AS = 2.5"),
    "its sign of zero": ("WRITTEN_AS = 2.0", "WRITTEN_AS = -0.0"),
    "its type": ("WRITTEN_AS = 2.0", "WRITTEN_AS = 2"),
    "a tuple": ("(2.0, 3)", "(2.0, 4)"),
    "an array": ("[3.0, 4.0]", "[3.0, 4.5]"),
    "the type of an array": ("[3.0, 4.0]])", "[3.0, 4.0]], np.float32)"),
    "a member of an enumeration": ("FIRST = 1", "FIRST = 2"),
    "what a name stands for": (", exp\n\n\nclass", ", inline(lambda z: z)\n\n\nclass"),
    "a closure": ("made(5.0)", "made(5.5)"),
    "a default": ("by=6.0", "by=6.5"),
    "an inherited function": ("like(z, 4.0)", "like(z, 4.5)"),
    "a constant of the class": ("slots = 0", "slots = 1"),
    "a function of Numba's own target": ("2.5 * x", "3.5 * x"),
    "its options": ("fastmath=False", "fastmath=True"),
    "a constant of another module": ("LIMIT, DEEP, UNUSED = 7.0", "LIMIT, DEEP, UNUSED = 7.5"),
    "a helper": ("deepest(z) + 1.0", "deepest(z) + 2.0"),
    "a constant of a helper's helper": ("LIMIT, DEEP, UNUSED = 7.0, 1.5", "LIMIT, DEEP, UNUSED = 7.0, 1.25"),
    "what an intrinsic emits": ("builder.fmul", "builder.fadd"),
    "a kind of helper": ("@inline\ndef deepest", "@kernel\ndef deepest"),
}
HARMLESS = {
    "lines": ("LIMIT, DEEP", "# a remark\n\n\nLIMIT, DEEP"),
    "a constant that is not used": ("7.0, 1.5, 0.0", "7.0, 1.5, 0.5"),
    "a name": ('name = "mine"', 'name = "yours"'),
    "another function": ("class Mode", "def unused():\n    pass\n\n\nclass Mode"),
}


def executed(monkeypatch, name, source, **values):
    module = ModuleType(name)
    vars(module).update(values)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, f"<{name} {next(COUNT)}>", "exec"), vars(module))
    return module


COUNT = itertools.count()


def digest_with(monkeypatch, old="", new=""):
    assert old in HELPERS or old in CLASS
    executed(monkeypatch, "key_helpers", HELPERS.replace(old, new) if old else HELPERS)
    return choice._digest(executed(monkeypatch, "key_class", CLASS.replace(old, new) if old else CLASS).Mine)


def test_whatever_a_class_refers_to_is_in_its_digest(monkeypatch):
    before = digest_with(monkeypatch)
    assert digest_with(monkeypatch) == before  # other objects of the same values
    found = {name: digest_with(monkeypatch, *edit) for name, edit in EDITS.items()}
    assert len({before, *found.values()}) == 1 + len(found)
    assert {name: digest_with(monkeypatch, *edit) for name, edit in HARMLESS.items()} == dict.fromkeys(HARMLESS, before)


def test_a_digest_is_the_same_in_every_process(monkeypatch, tmp_path):
    (tmp_path / "key_helpers.py").write_text(HELPERS)
    (tmp_path / "key_class.py").write_text(CLASS)
    path = os.pathsep.join([str(tmp_path), str(PACKAGE.parent)])
    code = "import key_class\nfrom fastbp.compiler import choice\nprint(choice._digest(key_class.Mine))"
    for seed in "01":  # of the hashes of strings, which orders sets
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [digest_with(monkeypatch)]


class Callable:
    def __call__(self, x):
        return x


UNSEEN = {
    "an object": object(),
    "a function of Python, which only an overload can compile": lambda x: x,
    "an object that is called": Callable(),
    "a module that is not looked into": sys.modules[__name__],
    "an array of objects": np.array([object()]),
    "a dictionary of objects": {1: object()},
}


@pytest.mark.parametrize("kind", UNSEEN)
def test_what_cannot_be_followed_has_no_digest(kind, monkeypatch):
    source = "def f(x):\n    return given(x)\n"
    with pytest.raises(Unseen):
        digest(executed(monkeypatch, "key_function", source, given=UNSEEN[kind]).f)
    assert digest(executed(monkeypatch, "key_function", source, given=2.0).f)


CONSTANTS = [{1, 2}, frozenset({1, 2}), frozenset({1, 3}), frozenset({(1, 2)}), numba.float32, numba.float64, numba.float64[::1]]
CONSTANTS += [np.dtype("float32"), np.dtype("float64"), functools.cache(inline(lambda x: x)), staticmethod(inline(lambda x: x))]
CONSTANTS += [inline(lambda x: x), np.linspace, np.logspace, functools.partial(np.linspace, 1), functools.partial(np.linspace, 2)]


def test_constants_that_differ_have_digests_that_differ(monkeypatch):
    source = "def f(x):\n    return given\n"
    found = [digest(executed(monkeypatch, "key_function", source, given=value).f) for value in CONSTANTS]
    again = [digest(executed(monkeypatch, "key_function", source, given=value).f) for value in CONSTANTS]
    assert found == again
    assert len(set(found)) == len(CONSTANTS)
    ways = [digest(frozenset(order)) for order in itertools.permutations(["a", "b", "c"])]
    assert len(set(ways)) == 1


def test_an_attribute_that_a_module_does_not_have_yet_has_no_digest(monkeypatch):
    module = ModuleType("key_constants")
    function = executed(monkeypatch, "key_function", "def f(x):\n    return given.later * x\n", given=module).f
    with pytest.raises(Unseen, match=r"key_constants\.later"):
        digest(function)
    module.later = 2.0
    assert digest(function)


def test_a_module_of_the_package_that_has_handed_in_no_code_has_no_digest(monkeypatch):
    function = executed(monkeypatch, "fastbp.unheard", "def f(x):\n    return x\n").f
    with pytest.raises(Unseen, match=r"module fastbp\.unheard"):
        digest(function)


def test_slices_are_constants_like_others():
    """Compilers since Python 3.14 leave them in the code."""

    module = compile("def f(x): return x[1:]", "f", "exec")
    (code,) = (each for each in module.co_consts if hasattr(each, "co_code"))

    def taking(constant):
        function = code.replace(co_consts=(None, constant))
        return modules_._digest(module.replace(co_consts=(function, None))), digest(constant)

    found = [taking(each) for each in (slice(1, None), slice(1, 2), slice(None, 1), (slice(1, 2), 3), (slice(1, 3), 3))]
    assert len({each for pair in found for each in pair}) == 10
    assert taking(slice(1, 2)) == found[1]


def test_an_object_without_a_value_yet_has_no_digest():
    def outer():
        def inner(x):
            return later * x

        with pytest.raises(Unseen, match="later"):
            digest(inner)
        later = 2.0
        return digest(inner)

    assert outer()


SWEEP = '''
import numpy as np
from numba import types

import helpers
from fastbp.compiler import linker
from fastbp.compiler.choice import choose
from fastbp.compiler import Entry
from fastbp.activations import ACTIVATIONS, Activation
from fastbp.kernels.sweeps import activate
from fastbp.simd.register import pointer, width

compile_extra, compiled = linker.CompilerBase.compile_extra, []
linker.CompilerBase.compile_extra = lambda self, *args: (compiled.append(self), compile_extra(self, *args))[1]


def values(code, z):
    activate(code, pointer(z), z.size, width(pointer(z)), pointer(z))


@ACTIVATIONS.register
class Mine(Activation):
    """f(z) = c z."""

    name = "mine"

    @staticmethod
    def value(z, alpha):
        return helpers.helper(z) * FACTOR

    @staticmethod
    def slope(z, a, alpha):
        return z


FACTOR = 2.0
choice, z = choose([Mine]), np.full(64, 1.0)
Entry(values, lambda dtype: types.void(types.int64, dtype[::1])).compiled(choice, "float64")(choice.code(Mine), z)
print(z[0], "compiled" if compiled else "loaded")
'''
IN_HELPERS = """
from fastbp.compiler import inline

ADDED = {}


@inline
def deeper(z):
    return z + ADDED


@inline
def helper(z):
    return deeper(z)
"""


def output(path, *arguments, package=PACKAGE.parent, cache=None):
    """What a program prints, or the last line of its error."""
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"FASTBP_CACHE_DIR": str(cache)} if cache else {}
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, env=environment, cwd="/")
    return done.stdout.strip() if done.returncode == 0 else done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_an_edit_that_a_class_depends_on_is_compiled_and_nothing_else_is(tmp_path):
    program, helpers, cache = tmp_path / "program.py", tmp_path / "helpers.py", tmp_path / "cache"
    states = ("2.0", "1.0", "4.0"), ("3.0", "1.0", "6.0"), ("3.0", "2.0", "9.0")
    for way in ("compiled", "loaded"):
        for factor, added, expected in states:
            program.write_text(SWEEP.replace("FACTOR = 2.0", f"FACTOR = {factor}"))
            helpers.write_text(IN_HELPERS.format(added))
            assert output(program, cache=cache) == f"{expected} {way}"
    files = set(cache.rglob("*.bin"))
    for name in ("object_of", "abs"):
        text = SWEEP.replace("helpers.helper(z) * FACTOR", f"{name}(z)").replace("FACTOR = 2.0", OVERLOAD.replace("#", name))
        program.write_text(text)
        for added, expected in (("1.0", "2.0"), ("5.0", "6.0")):  # depends on what cannot be seen: right, and not kept
            helpers.write_text(IN_HELPERS.format(added))
            assert output(program, cache=cache) == f"{expected} compiled"
            assert set(cache.rglob("*.bin")) == files


OVERLOAD = """
from numba.extending import overload


def object_of(z):
    raise NotImplementedError


@overload(#)
def _(z):
    return lambda z: z + helpers.ADDED
"""

# --- the package -------------------------------------------------------------------------------------------------------------

ORDER = """
import sys
import fastbp
{before}
from fastbp.compiler import cache
saved = []
save = cache.DiskCache.save_overload
cache.DiskCache.save_overload = lambda self, *args: (saved.append(self.name), save(self, *args))[1]
from fastbp.engine.orders import epoch_order
print(*epoch_order(3, 1, 9), len(saved))
"""
EDITS_OF_PACKAGE = ("simd/philox.py", "ROUNDS = 10", "ROUNDS = 9"), ("kernels/team.py", "return spins + 1", "return spins + 2")


def copied(target, *edits):
    """The package in another place, with some of its files changed."""
    shutil.copytree(PACKAGE, target / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in edits:
        path = target / "fastbp" / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    return target


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    """A program, the order that it prints from the package as it is and with edits, and the two packages."""
    place = tmp_path_factory.mktemp("orders")
    program = place / "program.py"
    program.write_text(ORDER.format(before=""))
    packages = copied(place / "old"), copied(place / "new", *EDITS_OF_PACKAGE)
    old, new = (output(program, package=package, cache=place / "cache") for package in packages)
    assert re.fullmatch(r"(\d ){9}1", old)
    assert re.fullmatch(r"(\d ){9}1", new)
    assert old[:-1] != new[:-1]
    return program, old[:-1], new[:-1], packages


def test_it_does_not_matter_where_the_package_lies(orders, tmp_path):
    program, old, _, _ = orders
    cache = tmp_path / "cache"
    assert output(program, cache=cache) == f"{old}1"
    assert output(program, package=copied(tmp_path / "elsewhere"), cache=cache) == f"{old}0"


# what was loaded before the files were replaced: nothing, some, all
LOADED = ["", "import fastbp.kernels.tuning, fastbp.kernels.draws.philox", "import fastbp.training"]


@pytest.mark.parametrize("loaded", LOADED)
def test_a_package_that_is_replaced_while_a_program_runs(orders, tmp_path, loaded):
    """Machine code is stored as that of the functions that were loaded, whatever lies on disk when it is compiled."""
    program, old, new, (old_package, new_package) = orders
    package, cache, replacing = tmp_path / "site", tmp_path / "cache", tmp_path / "replacing.py"
    shutil.copytree(old_package, package)
    replace = f"import shutil; shutil.copytree({str(new_package)!r}, {str(package)!r}, dirs_exist_ok=True)"
    replacing.write_text(ORDER.format(before=f"{loaded}\n{replace}"))
    is_new, is_old = not loaded, loaded.endswith("training")
    assert output(replacing, package=package, cache=cache) == f"{new if is_new else old}1"
    assert output(program, package=package, cache=cache) == f"{new}{0 if is_new else 1}"
    assert output(program, package=package, cache=cache) == f"{new}0"
    assert output(program, package=old_package, cache=cache) == f"{old}{0 if is_old else 1}"


def test_a_package_in_an_archive(orders, tmp_path):
    program, old, new, packages = orders
    cache, archive = tmp_path / "cache", tmp_path / "site.zip"
    for package, expected in zip(packages, (old, new), strict=True):
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(package.rglob("*.py")):
                file.write(path, path.relative_to(package))
        assert output(program, package=archive, cache=cache) == f"{expected}1"
        assert output(program, package=archive, cache=cache) == f"{expected}0"
        assert output(program, package=package, cache=cache) == f"{expected}0"  # the same code, wherever it lies


def test_a_module_that_hands_in_no_code_is_never_taken_for_another(orders, tmp_path):
    """With a module whose code is not in the key, nothing is stored: it cannot fall out of the key without a sign."""
    program, old, _, _ = orders
    silent = copied(tmp_path / "site", ("simd/emit.py", "\nadd_this_module()\n", "\n"))
    for _ in range(2):
        assert output(program, package=silent, cache=tmp_path / "cache") == f"{old}0"
    assert list((tmp_path / "cache").rglob("*.bin")) == []


def imported_modules(name):
    """Modules of the package that one imports when it is executed, by its source."""
    path = PACKAGE / f"{name.removeprefix('fastbp.').replace('.', '/')}.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fastbp":
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            if node.module == "fastbp.compiler":
                yield from {compiler_.HOME.get(alias.name, f"{node.module}.{alias.name}") for alias in node.names}
            else:
                yield from [each for each in inside if each in sys.modules] or [node.module]
    if name == "fastbp.compiler.tier":
        yield f"fastbp.compiler.{tier.TIERS[tier.TIER][0]}"


def behind(names, imported):
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(each for each in imported(name) if each != "fastbp")
    return found


def test_every_module_that_kernels_are_made_of_is_in_the_key(monkeypatch):
    modules = behind(["fastbp.compiler.entries", "fastbp.kernels.train"], imported_modules)
    assert modules == behind(["fastbp.compiler.entries", "fastbp.kernels.train"], modules_._imported)
    assert {"fastbp.compiler.plain", "fastbp.compiler.atomics", "fastbp.compiler.unboxing"} < modules
    assert len(modules) > 35
    before, entry = digest_of("fastbp.compiler.entries", "fastbp.kernels.train"), digest(run.function)
    assert entry == digest(run.function)
    for name in modules:
        monkeypatch.setitem(modules_._codes, name, [compile("x = 1", "<edited>", "exec"), *modules_._codes[name]])
        digest_of.cache_clear()
        modules_._digests.cache_clear()
        assert digest_of("fastbp.compiler.entries", "fastbp.kernels.train") != before, name
        assert digest(run.function) != entry, name
        monkeypatch.undo()
    digest_of.cache_clear()
    modules_._digests.cache_clear()
    assert digest_of("fastbp.compiler.entries", "fastbp.kernels.train") == before


def test_flags_are_in_the_key(monkeypatch):
    before = directory_.environment_key.__wrapped__()
    assert before == directory_.environment_key.__wrapped__() == directory_.environment_key()
    monkeypatch.setattr(directory_.config, "BOUNDSCHECK", 1)
    assert directory_.environment_key.__wrapped__() != before


def test_the_door_shows_what_it_offers():
    assert {*compiler_.__all__} <= {*dir(compiler_)}
    with pytest.raises(AttributeError, match=r"module 'fastbp\.compiler' has no attribute 'nothing'"):
        compiler_.nothing  # noqa: B018 - the look-up is what is tested
