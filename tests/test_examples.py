"""Every example runs on its own, without a warning, and leaves the computing to the package."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp

EXAMPLES = sorted(Path(__file__).parents[1].joinpath("examples").glob("*.py"))
GALLERY = [path for path in EXAMPLES if path.name.startswith("plot_")]
# what the examples print next to the numbers of their sources
PRINTED = {
    "plot_dixon_softmax": [r"200 steps, stopped by None", r"prediction: largest difference \d\.\de-0[89]"],
    "plot_hidden_representation": [r"all below 1e-7: True", r"accuracy 1\.000", r"wrote hidden_representation\.gif"],
    "plot_learned_dynamics": [r"mean squared error of the learned derivatives: \d\.\de-0[3-5]", r"BDF: \d+ evaluations, \d+ Jac"],
    "plot_nielsen_chapter_1": [
        r"Epoch 29: 4[89]\d / 500",
        r"learning rate 0\.001: accuracy 0\.1",
        r"learning rate 3: accuracy 0\.9[89]",
        r"learning rate 100: accuracy 0\.1",
    ],
    "plot_nielsen_chapter_2": [
        r"BP1 and BP2 against backprop: hidden layer \de-1[5678], output layer \de-1[5678]",
        r"central differences: best with epsilon = \de-0[456], relative error \de-1[012]",
        r"the steps are the same: True",
    ],
    "plot_nielsen_chapter_3": [
        r"QuadraticCost, w = 0\.6, b = 0\.9: output 0\.82 at first, 0\.09 after 300 steps",
        r"QuadraticCost, w = 2\.0, b = 2\.0: output 0\.98 at first, 0\.20 after 300 steps",
        r"CrossEntropyCost: accuracy 0\.9[789]",
        r"50 images, 400 epochs: accuracy 0\.[78]\d\d, with a penalty 0\.8",
        r"no better for 20 epochs: stopped after +\d+, best accuracy 0\.9[789]",
    ],
    "plot_pendulum_controller": [
        r"derivative of the cost: (\d\.\d{7})\d, by central differences \1",
        r"cost 1\.\d+ at first, 0\.[01]\d+ at the end",
        r"1[1-5] of 19 pendulums stand",
    ],
    "plot_perceptrons": [r"blobs: accuracy on test data (0\.9[7-9]|1\.0)"],
    "plot_pictures": [r"^accuracy 0\.9[4-9]", r"half-moons: accuracy 0\.9"],
    "plot_tanh_sigmoid_regression": [
        r"gradient of w1: largest difference \de-0[89]",
        r"w3\[0, 0\] +-2\.15859016 +-2\.15859016 ",
    ],
    "plot_udl_deep_relu": [r"printed 1\.907, fastbp 1\.907", r"printed 327\.371, fastbp 327\.371"],
    "simd_softmax": [
        r"float32: dot product within (0\.0e\+00|\d\.\de-0[678]), softmax within \d\.\de-0[78]\n",
        r"float64: dot product within (0\.0e\+00|\d\.\de-1[4567]), softmax within \d\.\de-1[56]\n",
    ],
    "plot_walkthrough_nudges": [r"z: \(1000, 3\) \(1000, 2\) \(1000, 1\)", r"printed 3\.1306526667222374, fastbp 3\.1306526"],
}


def test_all_are_here():
    assert [path.stem for path in EXAMPLES] == sorted(PRINTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs_without_a_warning(path, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    paths = [str(Path(fastbp.__file__).parents[1]), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment |= {"MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(paths)}
    # where there is no way to know that no display was meant (not Linux), matplotlib warns that Agg cannot show
    command = [sys.executable, "-W", "error", "-W", "ignore:FigureCanvasAgg is non-interactive", str(path)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr
    for pattern in PRINTED[path.stem]:
        assert re.search(pattern, run.stdout), f"{pattern!r} is not in\n{run.stdout}"
    pictures = [file.name for file in tmp_path.iterdir() if file.is_file()]
    assert pictures == (["hidden_representation.gif"] if path.stem == "plot_hidden_representation" else [])


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_is_a_gallery_script_that_computes_nothing_itself(path):
    source = path.read_text(encoding="utf-8")
    title, underline = source.split("\n")[1:3]
    assert source.startswith('"""\n')
    assert underline == "=" * len(title)
    assert source.count("\n# %%\n") >= 4
    assert source.count("plt.show()") >= 2
    assert not re.search(r"np\.(exp|tanh|log|maximum|outer|einsum)\b", source), "forward and backward passes belong to fastbp"
