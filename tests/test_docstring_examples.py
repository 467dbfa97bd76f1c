"""Every public name has an example, in its docstring or drawn by the site, and all of them give what they say."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

import fastbp

API = Path(__file__).parents[1] / "docs" / "api.rst"
KINDS = re.split(r"^\.\. autosummary::\n", API.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
# what the site draws, of which `test_docs.py` runs the programs, has a template of its own
NAMES = [name for kind in KINDS if "formula.rst" not in kind for name in re.findall(r"^   ([\w.]+)$", kind, re.MULTILINE)]

NEEDED = {"callbacks.MLflow": "mlflow", "callbacks.OptunaPruning": "optuna", "callbacks.TensorBoard": "tensorboardX"}
NEEDED |= {"dask.MLPClassifier": "dask", "dask.MLPRegressor": "dask"}


def of_name(name):
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(f"fastbp.{module}") if module else fastbp, attribute)


def test_names_are_found():
    assert {"Network", "load", "tabular.Recipe"} < set(NAMES)
    assert "ELU" not in NAMES


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_examples_give_what_they_say(name, tmp_path, monkeypatch, capsys):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    monkeypatch.chdir(tmp_path)
    examples = [each for each in doctest.DocTestFinder(exclude_empty=True).find(of_name(name), name) if each.examples]
    assert name in {each.name for each in examples}, f"the docstring of {name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for each in examples:
        each.globs = {"np": __import__("numpy"), **vars(import_module(of_name(name).__module__)), **each.globs}
        runner.run(each)
    assert runner.summarize().failed == 0, capsys.readouterr().out
