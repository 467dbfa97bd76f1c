"""The structure of the package: imports point one way, files stay short, every class and every kernel file says what it does."""

import ast
import re
import sys
from pathlib import Path

import pytest
from conftest import ACTIVATIONS, LOSSES, RULES

import fastbp
from fastbp.initializers import INITIALIZERS
from fastbp.schedules import SCHEDULES

PACKAGE = Path(fastbp.__file__).parent
FILES = {path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}

# A module imports from its own room and from those before it. What is in none of them is a tool on top of the network.
ROOMS = {
    "storage": "storage extras",
    "compiler": "compiler",
    "simd": "simd",
    "classes": "arguments activations losses optimizers minimizers initializers schedules",
    "kernels": "kernels",
    "streams": "streams",
    "mpi": "mpi",
    "engine": "engine gradcheck display",
    "files": "files",
    "embed": "embed",
    "exports": "exports",
    "network": "network networks evaluating training training_of_networks loading",
    "tools": "",
    "command line": "cli commands __main__",
}
RANK = {name: rank for rank, names in enumerate(ROOMS.values()) for name in names.split()}
TOOLS = list(ROOMS).index("tools")


def rank(module):
    return RANK.get(module.partition(".")[0], TOOLS)


def without_type_checking(tree):
    """Nodes of a module but those that only type checkers run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from without_type_checking(node)


def imports(tree):
    """Names of modules imported anywhere in a tree, those of the package as ``fastbp.x``."""
    for node in without_type_checking(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # the oracle is loaded by path, too, and imports its own modules only
            source = f"fastbp.baseline.{node.module}" if node.level else node.module
            inside = [f"{source}.{alias.name}" for alias in node.names]
            modules = [name for name in inside if name.removeprefix("fastbp.") in FILES]
            yield from ((node, name) for name in modules or [source])


def arrows(tree):
    """(whether the import is run with the module, imported module of the package)."""
    at_once = set(map(id, _run_on_import(tree)))
    for node, name in imports(tree):
        if name.partition(".")[0] == "fastbp" and name != "fastbp":
            yield id(node) in at_once, name.removeprefix("fastbp.")


def _run_on_import(tree):
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _run_on_import(node)


def wrong_arrows(module, tree):
    for _, target in arrows(tree):
        name = target if {target, f"{target}.__init__"} & FILES.keys() else target.rpartition(".")[0]
        if rank(name) > rank(module):
            yield f"{module} -> {name}"


def test_imports_point_one_way():
    assert [arrow for module, tree in TREES.items() for arrow in wrong_arrows(module, tree)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("storage", "from fastbp.compiler import cache_directory"),
        ("simd.register", "from fastbp.kernels.products.gemm import split"),
        ("compiler.parts", "from fastbp.simd.register import load"),
        ("kernels.products.gemm", "from fastbp import network"),
        ("losses", "from fastbp.kernels.packing import fill"),
        ("engine.session", "def f():\n    from fastbp.network import Network"),
        ("gradcheck", "def f():\n    from fastbp.network import Network"),
        ("files.model_file", "def f():\n    from fastbp.network import Network"),
        ("network", "def f():\n    from fastbp.estimators import MLPClassifier"),
        ("training", "from fastbp.bench import comparison"),
        ("kernels.plan", "import fastbp.engine.validation"),
        ("plotting._curves", "def f():\n    from fastbp.cli import main"),
    ],
)
def test_a_wrong_arrow_is_seen(module, source):
    assert list(wrong_arrows(module, ast.parse(source)))


def test_listed_modules_exist():
    assert set(RANK) <= {name.partition(".")[0] for name in FILES}
    assert len([name for name in FILES if rank(name) < TOOLS]) > 50


def circle(graph):
    """The nodes that wait for each other."""
    done: set[str] = set()
    while ready := {node for node, needed in graph.items() if node not in done and needed <= done}:
        done |= ready
    return set(graph) - done


# files; folders inside rooms and the files beside them
@pytest.mark.parametrize("depth", [9, 2])
def test_modules_import_each_other_in_no_circle(depth):
    def place(module):
        return ".".join(module.split(".")[:depth])

    graph: dict[str, set[str]] = {}
    for module, tree in TREES.items():
        needed = {place(name) for at_once, name in arrows(tree) if at_once and name in FILES}
        graph.setdefault(place(module), set()).update(needed - {place(module)})
    assert circle(graph) == set()


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}


STANDARD = {"__future__", "collections", "types", "typing", "itertools", "functools", "math"}


@pytest.mark.parametrize("module", [name for name, rank in RANK.items() if rank == 0])
def test_what_is_below_all_needs_nothing_but_the_standard_library(module):
    names = {name.partition(".")[0] for _, name in imports(TREES[module])}
    assert names
    assert names <= sys.stdlib_module_names


def is_oracle(module):
    return module.partition(".")[0] == "baseline"


def test_the_oracle_shares_nothing():
    for module in filter(is_oracle, TREES):
        at_once = set(map(id, _run_on_import(TREES[module])))
        for node, name in imports(TREES[module]):
            allowed = STANDARD | {"numpy"} if id(node) in at_once else {"scipy"}
            assert name.partition(".")[0] in allowed or is_oracle(name.removeprefix("fastbp.")), name
    users = {module for module, other in TREES.items() for at_once, name in arrows(other) if is_oracle(name)}
    assert not {module for module in users if rank(module) < TOOLS and not is_oracle(module)}


@pytest.mark.parametrize(
    ("library", "users"),
    [
        (
            "sklearn",
            r"estimators\..*|dask\..*|tabular\..*|model_selection|plotting\._classes|commands\.(given|metrics|report|split)|files\.datasets|bench\..*",
        ),
        ("matplotlib", r"plotting\..*|commands\.pictures|bench\..*"),
        ("pickle", r"compiler\.cache|bench\.worker"),
        ("numba", r"compiler\..*|simd\..*|kernels\..*|embed\..*|bench\..*|cli"),
        ("llvmlite", r"compiler\..*|simd\..*|kernels\..*|bench\..*|cli"),
    ],
)
def test_who_imports_what(library, users):
    found = {module for module, tree in TREES.items() for _, name in imports(tree) if name.partition(".")[0] == library}
    assert found
    assert {module for module in found if not re.fullmatch(users, module)} == set()


def insides(tree):
    """Imports of what Numba does not offer: its core, LLVM's, and names with an underscore of either."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            library, _, rest = name.partition(".")
            if library == "llvmlite" or (library == "numba" and (rest.partition(".")[0] == "core" or f".{rest}".find("._") >= 0)):
                yield name
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith(("numba.core", "numba._", "llvmlite.")):
            yield ast.unparse(node)


def test_numba_is_behind_one_door():
    users = {module for module, tree in TREES.items() if list(insides(tree))}
    assert users
    assert {module for module in users if not module.startswith(("compiler.", "simd."))} == set()


@pytest.mark.parametrize(
    "source",
    [
        "from numba.core import cgutils",
        "from numba.core.cgutils import pack_array",
        "from numba import core",
        "import numba.core.types",
        "from llvmlite import ir",
        "import llvmlite.binding as llvm",
        "from numba.np._ufunc import f",
        "from numba import _dispatcher",
        "def f():\n    from numba.core import config",
        "import numba\nnumba.core.config.OPT = 0",
    ],
)
def test_a_hand_on_the_insides_is_seen(source):
    assert list(insides(ast.parse(source)))
    assert not list(
        insides(ast.parse("import numba\nfrom numba import types\nfrom numba.extending import intrinsic\nnumba.types.x"))
    )


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("module", FILES)
def test_files_are_short(module):
    assert lines(FILES[module]) <= (445 if module == "simd.register" else 280 if module.startswith(("kernels.", "simd.")) else 400)


@pytest.mark.parametrize("module", [name for name in FILES if not FILES[name].name.startswith("__init__")])
def test_files_say_what_they_are(module):
    text = ast.get_docstring(TREES[module])
    assert text
    assert text.splitlines()[0].endswith((".", ":"))
    if module.startswith("kernels."):
        assert "Legend" in text


CLASSES = [type(instance) for instance in (*ACTIVATIONS, *LOSSES, *RULES)] + INITIALIZERS.classes + [fastbp.Softmax]


@pytest.mark.parametrize("cls", dict.fromkeys([*CLASSES, *SCHEDULES.classes]), ids=lambda cls: cls.name)
def test_every_class_states_its_formula(cls):
    text = cls.__dict__.get("__doc__")
    assert text
    assert re.search(r"=|<-|N\(|U\(", text)
    for name in cls().parameters():
        assert name in text


def test_names_are_words_of_the_field():
    names = [cls.name for cls in dict.fromkeys(CLASSES)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name) for name in names)
    for registry in (fastbp.activations.ACTIVATIONS, fastbp.losses.LOSSES, fastbp.optimizers.OPTIMIZERS):
        assert [registry.code(cls) for cls in registry.classes] == list(range(len(registry.classes)))
