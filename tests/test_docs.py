"""The Python blocks of the README and of docs/ run, links lead somewhere, commands are the command line's, each name has a page."""

import re
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import fastbp
from fastbp import activations, losses, optimizers, schedules

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
BLOCKS = {
    f"{name}, block {number}": block
    for name, path in PAGES.items()
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
}
OF_OTHERS = {"benchmarks.md", "changelog.md", "compiler.md", "contributing.md"}  # pages of the site that are files elsewhere
WITHOUT_BLOCKS = OF_OTHERS | {"guides.md", "how.md", "reliability.md", "scaling.md"}


@pytest.mark.parametrize("page", PAGES)
def test_there_are_blocks(page):
    count = PAGES[page].read_text(encoding="utf-8").count("```python")
    assert sum(name.startswith(f"{page},") for name in BLOCKS) == count
    assert (count == 0) == (page in WITHOUT_BLOCKS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", BLOCKS)
def test_block_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for callback, library in {"TensorBoard": "tensorboardX", "OptunaPruning": "optuna"}.items():
        if f"callbacks.{callback}(" in BLOCKS[name]:
            pytest.importorskip(library)
    for library in ("dask", "ray"):
        if f"import {library}" in BLOCKS[name] or f"from {library}" in BLOCKS[name]:
            pytest.importorskip(library)
    if "mpi4py" in BLOCKS[name]:
        try:
            import_module("mpi4py.MPI")
        except (ImportError, RuntimeError) as error:  # the latter without an MPI
            pytest.skip(str(error))
    exec(compile(BLOCKS[name], name, "exec"), {"__name__": "__main__"})
    output = capsys.readouterr().out
    if "digits.fastbp" in BLOCKS[name]:
        assert float(re.search(r"accuracy (\d\.\d+)", output)[1]) >= 0.97
        assert (tmp_path / "digits.fastbp").exists()
    if "cross_val_score" in BLOCKS[name]:
        assert float(output) > 0.9


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    prose = re.sub(r"^```.*?^```$", "", PAGES[page].read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#]+)\)", prose)
    assert links or page != "README.md"
    for link in links:
        if link == "auto_examples/index.rst":  # which the site makes
            continue
        assert link.startswith("https://") or (PAGES[page].parent / link).is_file(), link


BEGINNERS = {
    "start.md",
    "dask.md",
    "training.md",
    "from-keras.md",
    "from-pytorch.md",
    "larger.md",
    "how.md",
}  # which need no file of ours
PROSE = {name: path for name, path in PAGES.items() if name != "estimators.md"} | {
    name: ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md")
}


@pytest.mark.parametrize("page", PROSE)
def test_files_that_are_named_are_there(page):
    """By the end of their path, or from the folder of the kernels on."""
    text = re.sub(r"^```.*?^```$", "", PROSE[page].read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`((?:\.\./)*[a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", text))
    there = [f"/{path.relative_to(ROOT).as_posix()}{'/' * path.is_dir()}" for path in ROOT.glob("[a-z]*/**/*")]
    there += [f"/{path.name}/" for path in ROOT.iterdir() if path.is_dir()]
    ends = {name: f"/fastbp/{name[3:]}" if name.startswith("../") else f"/{name}" for name in named}
    assert {name for name, end in ends.items() if not any(path.endswith(end) for path in there)} == set()
    assert named or page in {"README.md", "guides.md", "index.md", *BEGINNERS} | OF_OTHERS


def test_every_example_is_listed():
    for path in (ROOT / "examples").glob("plot_*.py"):
        assert f"(examples/{path.name})" in TEXT


def test_commands_are_understood():
    from fastbp.cli import _parser

    commands = re.findall(r"^(?:.* && )?fastbp (.+)$", TEXT, flags=re.MULTILINE)
    commands = [command for command in commands if "trains" not in command]
    assert len(commands) >= 5
    for command in commands:
        _parser().parse_args(command.split())


def module_of_docs(name):
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLASS_PICTURES = module_of_docs("class_pictures")


@pytest.mark.parametrize("cls", CLASS_PICTURES.classes(), ids=lambda cls: cls.__name__)
def test_examples_of_classes_draw_something(cls):
    exec(compile(CLASS_PICTURES.example(cls), cls.__name__, "exec"), {})
    (axes,) = plt.gcf().axes
    drawn = [line.get_ydata() for line in axes.lines] or [[patch.get_height() for patch in axes.patches]]
    plt.close()
    assert axes.get_xlabel()
    for values in drawn:
        assert np.isfinite(values).all()
    assert cls is schedules.Constant or any(np.ptp(values) > 0 for values in drawn)


def test_the_page_of_classes_is_that_of_the_registries():
    module = module_of_docs("classes")
    assert PAGES["classes.md"].read_text(encoding="utf-8") == module.page(), "run python docs/classes.py"
    assert module.page().count("\n| `") >= 27


def test_the_readme_names_no_class_that_is_not_there():
    row = {name: line.split("|")[2] for line in TEXT.splitlines() if line.startswith("| ") for name in [line.split("|")[1].strip()]}
    for title, registry in (("Activations", activations.ACTIVATIONS), ("Update rules", optimizers.OPTIMIZERS)):
        named = re.findall(r"\w+", row[title].partition(";")[0].lower())
        assert len(named) >= 6
        assert set(named) <= set(registry.names)
    assert set(re.findall(r"\b[a-z]+_[a-z]+\b", row["Losses"])) <= set(losses.LOSSES.names)


def test_every_page_is_on_the_site():
    pages = {*PAGES} - {"README.md"}
    listed = {"index.md"}
    for index in ("index.md", "guides.md", "how.md"):
        (tree,) = re.findall(r"^:::\{toctree\}\n(.*?)^:::$", PAGES[index].read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        listed |= {f"{name}.md" for name in re.findall(r"^([\w-]+)$", tree, re.MULTILINE)}
    assert pages | {"api.md"} == listed


def test_every_public_name_has_a_page_of_reference():
    listed = re.findall(r"^   ([A-Za-z_.0-9]+)$", (ROOT / "docs" / "api.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    names = {name: getattr(fastbp, name) for name in fastbp.__all__ if name != "__version__"}
    for module in (*fastbp._SUBMODULES, "textbook.network2"):
        names |= {f"{module}.{name}": value for name, value in public_names(import_module(f"fastbp.{module}")).items()}
    pages = {id(names[name]) for name in listed}
    assert [name for name, value in names.items() if id(value) not in pages] == []
    assert len(pages) == len(listed) > 75


INSIDE = {"get", "Initializer", "Schedule", "kind_of_network", "check_gradients"}  # what rooms use of each other


def public_names(module):
    """Classes and functions that a module of users has: what it lists, or all of its own."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        listed = [name for name, value in vars(module).items() if getattr(value, "__module__", "").startswith(module.__name__)]
    return {name: getattr(module, name) for name in listed if not name.startswith("_") and name not in INSIDE}
