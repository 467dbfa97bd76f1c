"""The package's surface: a light import, lazy names, one list of them."""

import ast
import os
import subprocess
import sys
import tomllib
from importlib import import_module, metadata, util
from importlib.machinery import ModuleSpec
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import fastbp

HEAVY = ("numba", "llvmlite", "sklearn", "scipy", "matplotlib", "tqdm", "pandas", "skrub")


def imported_by(statement):
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_is_light():
    assert "fastbp" in imported_by("import fastbp")
    assert imported_by("import fastbp; fastbp.__version__; hasattr(fastbp, 'AName'), dir(fastbp), fastbp.schedules").isdisjoint(
        HEAVY
    )


WRITES = """
import sys, time
writes = []
def hook(event, arguments):
    is_open = event == "open" and (set("wax+") & set(arguments[1] or "") or (arguments[2] or 0) & 0o103)
    if is_open or event in ("os.mkdir", "os.rename", "os.remove", "os.chmod", "os.symlink", "os.link", "subprocess.Popen"):
        writes.append((event, arguments[0]))
sys.addaudithook(hook)
start = time.process_time()
{}
print(time.process_time() - start < 1, len(writes))
"""


def written_by(statement, folder):
    """Whether a statement is done within a second of the processor, and how often it changes a file."""
    environment = {**os.environ, "FASTBP_CACHE_DIR": str(folder / "cache"), "HOME": str(folder / "none")}
    command = [sys.executable, "-B", "-c", WRITES.format(statement)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=folder)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(os.name == "nt", reason="numbers of flags of POSIX")
def test_import_is_soon_over_and_changes_no_file(tmp_path):
    """So it works on a disk that can only be read."""
    assert written_by("import fastbp; fastbp.Network", tmp_path)[1] == "0"
    assert written_by("import fastbp", tmp_path) == ["True", "0"]
    assert not list(tmp_path.iterdir())
    assert written_by("open('a', 'w').close(); import os; os.mkdir('b'); time.sleep(0)", tmp_path)[1] == "2"


def test_a_network_needs_neither_sklearn_nor_matplotlib():
    modules = imported_by("import fastbp; fastbp.Network([2, 3, 1])")
    assert modules.isdisjoint({"sklearn", "matplotlib", "tqdm", "pandas"})


@pytest.mark.parametrize("name", fastbp.__all__)
def test_public_name_resolves(name):
    value = getattr(fastbp, name)
    assert name in dir(fastbp)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__
        home = fastbp._HOME.get(name, value.__module__)
        assert home in {*fastbp._HOME.values(), *(f"fastbp.{module}" for module in fastbp._CLASSES)}
        assert value is getattr(import_module(home), name)


def test_a_program_that_was_frozen_without_sources_has_the_same_names(monkeypatch):
    names = {module: fastbp._listed(f"fastbp.{module}") for module in fastbp._CLASSES}
    assert all(names.values())
    monkeypatch.setattr(util, "find_spec", lambda name: ModuleSpec(name, None))
    assert {module: fastbp._listed(f"fastbp.{module}") for module in names} == names


def test_modules_that_users_name_are_there_once_they_are_named():
    code = (
        "import sys, fastbp; assert not any(name.startswith('fastbp.') for name in sys.modules);"
        "print(*(getattr(fastbp, name).__name__ for name in fastbp._SUBMODULES))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert printed == [f"fastbp.{name}" for name in fastbp._SUBMODULES]
    assert set(fastbp._SUBMODULES) <= set(dir(fastbp))


def test_star_import_gives_the_public_names():
    namespace = {}
    exec("from fastbp import *", namespace)
    assert set(fastbp.__all__) <= set(namespace)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'fastbp' has no attribute 'network_'"):
        _ = fastbp.network_
    with pytest.raises(AttributeError, match=r"module 'fastbp' has no attribute 'Netz'"):
        _ = fastbp.Netz
    with pytest.raises(ImportError, match="network_"):
        exec("from fastbp import network_")


def test_type_checkers_see_the_same_names():
    module = ast.parse(Path(fastbp.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in module.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    expected = {**fastbp._HOME, **dict.fromkeys(fastbp._SUBMODULES, "fastbp")}
    found = [(node.module, alias) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert {alias.asname: module for module, alias in found if alias.name != "*"} == expected
    assert [module for module, alias in found if alias.name == "*"] == [f"fastbp.{module}" for module in fastbp._CLASSES]
    for module in fastbp._CLASSES:  # a list that they can read: of nothing but strings
        tree = ast.parse(Path(import_module(f"fastbp.{module}").__file__).read_text(encoding="utf-8"))
        (listed,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets) == "__all__"]
        assert ast.literal_eval(listed) == import_module(f"fastbp.{module}").__all__


def test_tools_that_freeze_a_program_see_what_it_may_import(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import fastbp\n")
    finder = ModuleFinder([str(Path(fastbp.__file__).parents[1]), *sys.path], excludes=["numpy", "scipy", *HEAVY])
    finder.run_script(str(program))
    assert {"fastbp.network", "fastbp.kernels.train", "fastbp.estimators.classifier"} <= set(finder.modules)
    assert {*fastbp._HOME.values(), *(f"fastbp.{module}" for module in fastbp._CLASSES)} <= set(finder.modules)


@pytest.mark.parametrize(
    ("module", "registry"),
    [("activations", "ACTIVATIONS"), ("losses", "LOSSES"), ("minimizers", "MINIMIZERS"), ("optimizers", "OPTIMIZERS")],
)
def test_every_registered_class_is_public(module, registry):
    module = import_module(f"fastbp.{module}")
    registered = {cls.__name__ for cls in getattr(module, registry).classes}
    assert registered == set(module.__all__) - {"Softmax"}, f"__all__ of {module.__name__} must have every class"
    assert set(module.__all__) <= set(fastbp.__all__)


# --- dependencies ------------------------------------------------------------------------------------------------------------

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = {
    each.name: each.specifier
    for group in (
        PROJECT["project"]["dependencies"],
        *(
            PROJECT["project"]["optional-dependencies"][e]
            for e in ("plot", "cli", "data", "tables", "exports", "tensorboard", "optuna", "dask", "test")
        ),
    )
    for each in map(Requirement, group)
    if each.name != "fastbp"
}
PINS = {
    each["condition"].removeprefix("factor."): list(map(Requirement, each["then"]))
    for each in PROJECT["tool"]["tox"]["env_run_base"]["deps"]
}
NO_NEWER = {"skrub"}  # than the oldest that does what is needed
BROUGHT = {"scipy", "threadpoolctl", "pyparsing"}  # by scikit-learn and matplotlib


def lower_bound(specifier):
    (bound,) = [Version(each.version) for each in specifier if each.operator == ">="]
    return bound


def pinned(requirement):
    (pin,) = requirement.specifier
    assert pin.operator == "=="
    return Version(pin.version)


def test_the_oldest_versions_that_are_tested_are_the_lower_bounds_that_are_declared():
    oldest = {}
    for each in PINS["oldest"]:  # of two for different versions of Python the older one
        oldest[each.name] = min(pinned(each), oldest.get(each.name, pinned(each)))
    assert {name: oldest[name] for name in oldest.keys() - BROUGHT} == {name: lower_bound(each) for name, each in DECLARED.items()}


def test_the_middle_versions_are_newer_than_the_oldest():
    middle = {each.name: pinned(each) for each in PINS["middle"]}
    assert middle.keys() == DECLARED.keys()
    for name, version in middle.items():
        assert DECLARED[name].contains(version)
        assert version > lower_bound(DECLARED[name]) or name in NO_NEWER


def test_nothing_is_pinned_for_users():
    assert {each.operator for specifier in DECLARED.values() for each in specifier} == {">="}


def test_every_python_that_is_declared_is_tested():
    classifiers = [each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"] if each.startswith("Programming Language")]
    (pythons, kinds), *later = [each["product"] for each in PROJECT["tool"]["tox"]["env_list"]]
    assert pythons == [each for each in classifiers if "." in each]
    assert kinds == [*PINS, "newest"]
    assert all(set(kinds_of_later) < set(kinds) and "newest" in kinds_of_later for _, kinds_of_later in later)


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="run by tox only")
def test_the_versions_that_tox_asks_for_are_those_that_run():
    python, kind = os.environ["TOX_ENV_NAME"].split("-")
    assert python == ".".join(map(str, sys.version_info[:2]))
    for each in PINS.get(kind, []):
        if each.marker is None or each.marker.evaluate():
            assert Version(metadata.version(each.name)) == pinned(each), each.name
