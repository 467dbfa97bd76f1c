"""Without a library of an extra there is one sentence that says what to install, before any work; the rest needs none of them."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import fastbp
from fastbp import cli
from fastbp.extras import EXTRAS, require
from fastbp.files.table_model import check_installed

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("library", EXTRAS)
def test_the_extra_that_is_named_brings_the_library(library):
    brought = {Requirement(each).name.removesuffix("-skinny") for each in PROJECT["optional-dependencies"][EXTRAS[library]]}
    assert library in brought


NET = "fastbp.Network([2, 2, 2], loss='cross_entropy', rng=0)"
CALLS = {
    "dask": ["fastbp.dask.MLPClassifier().fit(X, y)", "fastbp.dask.MLPRegressor().fit(X, y)"],
    "matplotlib": ["fastbp.plotting.loss_curve(fastbp.History(loss=[1.0]))", f"fastbp.plotting.network_diagram({NET})"],
    "tqdm": [
        "fastbp.TabularClassifier(verbose=True).fit(X, y)",
        f"{NET}.fit(X, y, progress=True)",
        "fastbp.Networks(2, [2, 2]).fit(X, X, progress=True)",
    ],
    "safetensors": [f"{NET}.save_safetensors('net')", "fastbp.load_safetensors('net')"],
    "pandas": ["fastbp.History(loss=[1.0]).to_pandas()"],
    "pyarrow": ["fastbp.stream('.', target='y')"],
    "tensorboardX": ["fastbp.callbacks.TensorBoard('run')"],
    "mlflow": ["fastbp.callbacks.MLflow()"],
    "onnx": [
        f"{NET}.to_onnx('never.onnx')",
        "fastbp.from_onnx(b'')",
        "fastbp.MLPRegressor(max_iter=1, solver='lbfgs', tol=9.0).fit(X, y).to_onnx('never.onnx')",
    ],
    "mpi4py": [f"{NET}.fit([[0.0, 1.0]], [0], comm=1)", "fastbp.mpi.Ranks(None)"],
    "optuna": ["fastbp.callbacks.OptunaPruning(None)"],
    "skops": ["check_installed()"],
    "skrub": ["fastbp.TabularClassifier().fit(X, y)"],
}


@pytest.mark.parametrize(("library", "call"), [(library, call) for library in EXTRAS for call in CALLS[library]])
def test_a_missing_library_is_one_sentence(library, call, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == library] + [library]:
        monkeypatch.setitem(sys.modules, name, None)
    if library == "tensorboardX":  # in the place of which PyTorch's is taken
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError) as caught:
        eval(call, {"fastbp": fastbp, "check_installed": check_installed, "X": np.eye(2), "y": [0, 1]})
    pattern = rf"[\w= ]+ needs {library}: python -m pip install 'fastbp\[{EXTRAS[library]}\]'"
    assert re.fullmatch(pattern, str(caught.value)), caught.value


def test_a_missing_bar_leaves_the_network_as_it_was(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    net = fastbp.Network([2, 2], rng=0)
    before, state = net.params.copy(), net.rng.bit_generator.state
    with pytest.raises(ImportError, match="progress=True needs tqdm"):
        net.fit(np.eye(2), np.eye(2), progress=True)
    np.testing.assert_array_equal(net.params, before)
    assert net.rng.bit_generator.state == state
    assert len(net.fit(np.eye(2), np.eye(2), progress=False).loss) == 10


@pytest.mark.parametrize("library", ["matplotlib", "tqdm"])
def test_the_command_line_says_so_before_it_trains(library, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    assert cli.main(["train", "iris"]) == 2
    told = f"fastbp train: a plain network needs {library}: python -m pip install 'fastbp[{EXTRAS[library]}]'\n"
    assert capsys.readouterr() == ("", told)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_imported():
    assert require("tqdm.auto", "this") is sys.modules["tqdm.auto"]


# --- bars in notebooks -------------------------------------------------------------------------------------------------------

NOTEBOOK = """
import sys, types
shell = type("ZMQInteractiveShell", (), {"config": {"IPKernelApp": {}}})()
notebook = sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
try:
    import IPython
except ImportError:
    IPython = sys.modules["IPython"] = types.ModuleType("IPython")
IPython.get_ipython = lambda: shell
if "without" in sys.argv:
    sys.modules["ipywidgets"] = None
from fastbp.engine.watch import bar_of
bar = bar_of(5, 0)
bar.update(5)
bar.close()
print([cls.__module__ for cls in type(bar).__mro__])
"""


@pytest.mark.parametrize("widgets", ["with", "without"])
def test_a_notebook_has_a_widget_where_it_can_and_else_text(widgets):
    if widgets == "with" and importlib.util.find_spec("ipywidgets") is None:
        pytest.skip("ipywidgets is not installed")
    command = [sys.executable, "-W", "error::UserWarning", "-c", NOTEBOOK, widgets]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("tqdm.notebook" in done.stdout) == (widgets == "with")
    assert ("5/5" in done.stderr) == (widgets == "without")
    assert "Warning" not in done.stderr
