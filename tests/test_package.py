"""The package's surface: a light import, lazy names, one list of them."""

import ast
import subprocess
import sys
from importlib import import_module
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

import fastbp

HEAVY = ("numba", "llvmlite", "sklearn", "scipy", "matplotlib", "tqdm", "pandas")


def imported_by(statement):
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_is_light():
    assert "fastbp" in imported_by("import fastbp")
    assert imported_by("import fastbp; dir(fastbp); fastbp.__version__").isdisjoint(HEAVY)


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
        assert value is getattr(import_module(fastbp._HOME[name]), name)


def test_star_import_gives_the_public_names():
    namespace = {}
    exec("from fastbp import *", namespace)
    assert set(fastbp.__all__) <= set(namespace)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'fastbp' has no attribute 'network_'"):
        _ = fastbp.network_
    with pytest.raises(ImportError, match="network_"):
        exec("from fastbp import network_")


def test_type_checkers_see_the_same_names():
    module = ast.parse(Path(fastbp.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in module.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    assert {alias.asname: node.module for node in block.body for alias in node.names} == fastbp._HOME


def test_tools_that_freeze_a_program_see_what_it_may_import(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import fastbp\n")
    finder = ModuleFinder([str(Path(fastbp.__file__).parents[1]), *sys.path], excludes=["numpy", "scipy", *HEAVY])
    finder.run_script(str(program))
    assert {"fastbp.network", "fastbp.kernels.train", "fastbp.estimators.classifier"} <= set(finder.modules)
    assert set(fastbp._HOME.values()) <= set(finder.modules)


@pytest.mark.parametrize(
    ("module", "registry"), [("activations", "ACTIVATIONS"), ("losses", "LOSSES"), ("optimizers", "OPTIMIZERS")]
)
def test_every_registered_class_is_public(module, registry):
    classes = getattr(import_module(f"fastbp.{module}"), registry).classes
    assert {cls.__name__ for cls in classes} <= set(fastbp._MODULES[module].split())
