"""Pictures of layers, of classes and of a machine: they show the numbers in the style of their axes, and change nothing else."""

import doctest
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib import style
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy import sparse
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from test_bench import made_up

import fastbp
from fastbp import History, Network, plotting

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = RNG.integers(0, 3, 60)
NET = Network([4, 6, 3], loss="cross_entropy", rng=0)
BINARY = Network([4, 1], loss="binary_cross_entropy", rng=0)
NORMS = History(loss=[2.0, 1.0], gradient_norms=[[0.5, 2.0, 8.0], [0.25, 1.0, 4.0]])

DRAWN = {
    "loss_curve": lambda ax: plotting.loss_curve(NORMS, ax),
    "gradient_flow": lambda ax: plotting.gradient_flow(NORMS, ax),
    "decision_boundary": lambda ax: plotting.decision_boundary(Network([2, 2], rng=0), X[:, :2], Y % 2, ax),
    "network_diagram": lambda ax: plotting.network_diagram(NET, ax),
    "weights": lambda ax: plotting.weights(NET, 1, ax),
    "activations": lambda ax: plotting.activations(NET, X, ax),
    "confusion": lambda ax: plotting.confusion(NET, X, Y, ax),
    "calibration": lambda ax: plotting.calibration(NET, X, Y, ax),
    "roofline": lambda ax: plotting.roofline(made_up(), ax),
}


def test_every_picture_is_drawn_here():
    assert DRAWN.keys() == {name for name in vars(plotting) if not name.startswith("_")} - {"save_loss_curve"}


@pytest.mark.parametrize("name", DRAWN)
def test_axes_in_axes_out(name):
    figure = Figure()
    axes, others = figure.subplots(1, 2)
    assert DRAWN[name](axes) is axes
    assert axes.has_data()
    assert not others.has_data()
    new = DRAWN[name](None)
    assert new.get_figure() not in (None, figure)
    for ax in (axes, new):
        assert not ax.axison or (ax.get_xlabel() and ax.get_ylabel())


@pytest.mark.parametrize("name", DRAWN)
def test_other_axes_are_refused_before_anything_is_drawn(name):
    figure = Figure()
    for other in (figure, figure.subplots(1, 2), 3):
        with pytest.raises(TypeError, match="ax must be axes of matplotlib"):
            DRAWN[name](other)
    for projection in ("polar", "3d"):
        ax = figure.add_subplot(projection=projection)
        with pytest.raises(ValueError, match=f"ax must be axes of the plane, with x and y, got the projection '{projection}'"):
            DRAWN[name](ax)
        assert not ax.has_data()


RICH = History(loss=[2.0, 1.0], validation_loss=[2.0, 1.5], score=[0.1, 0.2], validation_score=[0.1, 0.2])
DEEP = History(loss=[2.0, 1.0], gradient_norms=[[*range(1, 201)]] * 2)
MANY = Network([4, 30], loss="cross_entropy", rng=0)


@pytest.mark.parametrize(
    "draw",
    [
        *DRAWN.values(),
        lambda ax: plotting.loss_curve(RICH, ax),
        lambda ax: plotting.gradient_flow(DEEP, ax),
        lambda ax: plotting.decision_boundary(Network([2, 30], loss="cross_entropy", rng=0), X[:, :2], np.arange(60) % 30, ax),
        lambda ax: plotting.calibration(MANY, X, np.arange(60) % 30, ax),
    ],
    ids=[*DRAWN, "four curves", "200 layers", "30 classes", "calibration of 30"],
)
def test_half_a_figure_is_room_enough(draw):
    """Axes are at least an inch wide and high: the rest is for what is beside them. Too little room would be a warning, too."""
    figure = Figure(layout="constrained")
    ax, _ = figure.subplots(1, 2)
    draw(ax)
    figure.draw_without_rendering()
    width, height = ax.get_window_extent().size / figure.dpi
    assert width > 1
    assert height > 1


def test_a_new_figure_is_not_larger_than_files_can_be():
    figure = plotting.network_diagram(Network([1] * 301, rng=0)).get_figure()
    assert max(figure.get_size_inches()) * figure.dpi < 2**16


@pytest.mark.parametrize("name", ["_hidden", "$10-$20", "$\\frac$"])
def test_names_are_drawn_as_they_are(name):
    """Though matplotlib leaves out what begins with an underscore, and takes what is between two dollars for a formula."""
    model = LogisticRegression().fit(X[:, :2], names := np.array([name, "b"])[Y % 2])
    frame = pd.DataFrame(X[:, :2], columns=[name, "b"])
    ax = plotting.decision_boundary(LogisticRegression().fit(frame, names), frame, names)
    texts = [*ax.get_legend().get_texts(), ax.xaxis.label]
    ax.figure.draw_without_rendering()
    drawn = plotting.confusion(model, X[:, :2], names)
    texts += drawn.get_xticklabels() + drawn.get_yticklabels()
    swapped = np.array([name, "a"])[Y % 2]  # the curve is of the second class
    curve = plotting.calibration(LogisticRegression().fit(X[:, :2], swapped), X[:, :2], swapped)
    texts += curve.get_legend().get_texts()
    for figure in (drawn.figure, curve.figure):
        figure.draw_without_rendering()
    assert sum(text.get_text().replace("\\$", "$") == name for text in texts) >= 4
    assert not any(text.get_text().count("$") - text.get_text().count("\\$") for text in texts)


def test_models_of_one_class_are_refused():
    for draw in (plotting.confusion, plotting.calibration, plotting.decision_boundary):
        with pytest.raises(ValueError, match=r"model must tell two classes apart at least, got the classes \['only'\]"):
            draw(DummyClassifier().fit(X[:, :2], ["only"] * 60), X[:, :2], ["only"] * 60)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_none_are_left_out_without_a_warning(number):
    net = Network([4, 6, 3], loss="cross_entropy", rng=0)
    net.weights[0][0] = number
    net.weights[1][:] = number
    for layer in (1, 2):
        plotting.weights(net, layer)
    widths = [np.max(lines.get_linewidths()) for lines in plotting.network_diagram(net).collections[:2]]
    assert np.isfinite(widths).all()
    (line,) = plotting.loss_curve(History(loss=[1.0, number, 2.0, 1.5, number, 3.0])).lines
    assert line.get_markevery() == [0, 5]  # the others have a line
    assert line.axes.get_yscale() == "log"


@pytest.mark.parametrize("name", DRAWN)
def test_every_text_and_mark_is_seen_under_a_dark_style(name):
    """Nothing has the colour of what is behind; under the light style, where black is right, the same holds."""
    for background in ("dark_background", "default"):
        with style.context(background):
            ax = DRAWN[name](None)
            ax.get_figure().canvas.draw()
            behind = np.array(to_rgb(ax.get_figure().get_facecolor()))
            lines = [each.get_color() for each in ax.lines if each.get_linestyle() != "None" or each.get_marker() != "None"]
            texts = [each for each in ax.texts if name != "confusion"]  # on colours of their own
            labels = [*ax.get_xticklabels(), *ax.get_yticklabels()] if ax.axison else []
            for colour in [*lines, *(each.get_color() for each in (*texts, *labels))]:
                assert np.abs(np.array(to_rgb(colour)) - behind).max() > 0.3, (background, colour)


def test_a_picture_with_axes_leaves_pyplot_alone():
    code = (
        "import sys, numpy as np, fastbp\n"
        "from matplotlib.figure import Figure\n"
        "fastbp.plotting.confusion(fastbp.Network([2, 2], rng=0), np.eye(2), [0, 1], Figure().subplots())\n"
        "fastbp.plotting.calibration(fastbp.Network([2, 2], rng=0), np.eye(2), [0, 1], Figure().subplots(), n_bins=1)\n"
        "fastbp.plotting.network_diagram(fastbp.Network([2, 2], rng=0))\n"
        "from matplotlib import pyplot\n"
        "assert pyplot.get_fignums() == []\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("name", DRAWN)
def test_examples_are_right(name):
    for example in doctest.DocTestFinder().find(getattr(plotting, name), name):
        assert doctest.DocTestRunner().run(example).failed == 0


def test_in_a_notebook_a_new_figure_is_one_that_is_shown():
    code = (
        "import sys, types, fastbp\n"
        "import matplotlib\n"
        "matplotlib.use('Agg')\n"
        "sys.modules['ipykernel.zmqshell'] = types.ModuleType('ipykernel.zmqshell')\n"
        "ax = fastbp.plotting.loss_curve(fastbp.History(loss=[2.0, 1.0]))\n"
        "from matplotlib import pyplot\n"
        "assert pyplot.gcf() is ax.figure\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gradients_flow_by_layers():
    ax = plotting.gradient_flow(NORMS)
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.5, 0.25], [2.0, 1.0], [8.0, 4.0]]
    assert ax.get_yscale() == "log"
    assert plotting.gradient_flow(History(loss=[1.0], gradient_norms=[[0.0, 1.0]])).get_yscale() == "linear"
    with pytest.raises(ValueError, match="record_norms=True"):
        plotting.gradient_flow(History(loss=[1.0]))


def test_one_epoch_is_a_point():
    for ax in (plotting.loss_curve(History(loss=[1.0])), plotting.gradient_flow(History(loss=[1.0], gradient_norms=[[1.0]]))):
        assert ax.lines[0].get_marker() == "o"
        assert 1.0 in ax.get_xticks()


def test_the_diagram_has_each_unit_and_each_weight():
    net = Network([2, 3, 1], hidden="tanh", dtype="float64", rng=0)
    net.weights[0] = [[1.0, -2.0], [0.0, 0.5], [-0.25, 4.0]]
    ax = plotting.network_diagram(net)
    lines, units = ax.collections[:2], ax.collections[2:]
    assert [len(each.get_offsets()) for each in units] == [2, 3, 1]
    assert [len(each.get_segments()) for each in lines] == [6, 3]
    widths = lines[0].get_linewidths()
    np.testing.assert_allclose(np.subtract(widths, min(widths)) / np.ptp(widths), np.abs(net.weights[0]).ravel() / 4)
    positive = np.array(net.weights[0]).ravel() >= 0
    colours = np.array(lines[0].get_colors())
    assert (colours[positive] == colours[0]).all()
    assert not (colours[~positive] == colours[0]).all(axis=1).any()
    for segment in lines[0].get_segments():  # each joins units that are there
        for end, group in zip(segment, units, strict=False):
            assert (np.abs(group.get_offsets() - end) < 1e-9).all(axis=1).any()


def test_the_middle_of_large_layers_is_left_out():
    ax = plotting.network_diagram(Network([784, 5, 300, 4], rng=0), max_units=6)
    assert [len(each.get_offsets()) for each in ax.collections[3:]] == [5, 5, 5, 4]
    assert len(ax.lines) == 2
    assert [text.get_text().split()[0] for text in ax.texts] == ["784", "5", "300", "4"]
    assert ax.get_legend() is None
    with pytest.raises(ValueError, match="max_units must be at least 3"):
        plotting.network_diagram(NET, max_units=2)


def test_weights_are_a_heat_map():
    ax = plotting.weights(NET, -1)
    np.testing.assert_array_equal(ax.images[0].get_array(), NET.weights[1].astype(np.float64))
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("unit of layer 1", "unit of layer 2")
    assert plotting.weights(NET).get_xlabel() == "input"


def test_weights_are_images_where_inputs_are():
    net = Network([6, 5, 2], rng=0)
    shown = plotting.weights(net, shape=(2, 3)).images[0].get_array()
    assert shown.shape == (2 * 2 + 1, 3 * 3 + 2)
    np.testing.assert_array_equal(shown[3:5, :3], net.weights[0][3].reshape(2, 3))
    assert shown.mask[2].all()
    assert shown.mask[3:, 8:].all()
    assert plotting.weights(net, shape=(2, 3), max_units=1).images[0].get_array().shape == (2, 3)
    assert plotting.weights(Network([2, 2], weights=[np.zeros((2, 2))])).images[0].get_clim() == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 0}, "layer must be 1 to 2, or -1 to -2 from the last, got 0"),
        ({"layer": 3}, "layer must be 1 to 2"),
        ({"layer": -3}, "layer must be at least -2"),
        ({"shape": (3, 3)}, "shape must have 4 pixels, one for each input of layer 1, got 3 x 3"),
        ({"max_units": 0}, "max_units must be at least 1"),
    ],
)
def test_arguments_of_weights_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        plotting.weights(NET, **options)
    for shape in (4, (4,), "44"):
        with pytest.raises(TypeError, match=r"shape must be \(rows, columns\)"):
            plotting.weights(NET, shape=shape)


def test_activations_are_those_of_the_trace():
    ax = plotting.activations(NET, X)
    medians = [segment[0][1] for segment in ax.collections[-1].get_segments()]
    np.testing.assert_allclose(medians, [np.median(a) for a in NET.trace(X).a[1:]], rtol=1e-6)
    assert [text.get_text() for text in ax.texts] == [f"{100 * np.mean(NET.trace(X).a[1] == 0):.0f} % zero"]
    few = plotting.activations(NET, sparse.csr_array(X), max_samples=1)
    np.testing.assert_allclose(few.collections[-1].get_segments()[0][0][1], np.median(NET.trace(X[:1]).a[1]), rtol=1e-6)


def test_confusion_is_scikit_learns():
    ax = plotting.confusion(NET, X, Y)
    counts = confusion_matrix(Y, NET.predict(X))
    assert [int(text.get_text()) for text in ax.texts] == counts.ravel().tolist()
    np.testing.assert_allclose(ax.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))
    rows = plotting.confusion(NET, X, np.eye(3)[Y])
    assert [text.get_text() for text in rows.texts] == [text.get_text() for text in ax.texts]
    assert plotting.confusion(NET, sparse.csr_array(X), Y).texts[0].get_text() == ax.texts[0].get_text()
    binary = plotting.confusion(BINARY, X, Y[:, None] // 2)
    assert [int(text.get_text()) for text in binary.texts] == confusion_matrix(Y // 2, BINARY.predict(X)).ravel().tolist()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_are_drawn_as_networks_are():
    names = np.array(["a long name of a class", "b", "c"])[Y]
    model = fastbp.MLPClassifier((6,), max_iter=2, random_state=0).fit(X, names)
    ax = plotting.confusion(model, X, names)
    assert ax.get_xticklabels()[0].get_text() == "a long name\u2026"
    assert [int(text.get_text()) for text in ax.texts] == confusion_matrix(names, model.predict(X)).ravel().tolist()
    np.testing.assert_array_equal(plotting.weights(model).images[0].get_array(), model.coefs_[0].T)
    assert plotting.activations(model, X).get_xticklabels()[1].get_text() == "2\nsoftmax"
    assert len(plotting.network_diagram(model).texts) == 3
    assert plotting.loss_curve(model.history_).lines[0].get_ydata().tolist() == model.loss_curve_
    assert len(plotting.calibration(model, X, names, n_bins=2).lines) == 4
    with pytest.raises(TypeError, match=r"MLPClassifier has 2 networks: give one of them, e\.g\. networks_\[0\]"):
        plotting.weights(fastbp.MLPClassifier((6,), max_iter=2, n_networks=2, random_state=0).fit(X, names))
    with pytest.raises(TypeError, match="net must be a Network, or an MLPClassifier"):
        plotting.weights(3)


def test_calibration_is_how_often_it_is_so():
    net = Network([1, 1], loss="binary_cross_entropy", dtype="float64", weights=[[[1.0]]], biases=[[0.0]])
    rows = np.linspace(-3, 3, 40)[:, None]
    (curve,) = plotting.calibration(net, rows, np.arange(40) % 2, n_bins=4).lines[1:]
    np.testing.assert_allclose(curve.get_ydata(), 0.5)
    np.testing.assert_allclose(curve.get_xdata(), net(rows).reshape(4, 10).mean(axis=1), atol=0.02)
    labels = [text.get_text() for text in plotting.calibration(NET, X, Y).get_legend().get_texts()]
    assert labels == ["0", "1", "2"]
    with pytest.raises(ValueError, match="two classes"):
        plotting.calibration(net, rows, np.zeros(40, int))


def test_calibration_needs_probabilities():
    from sklearn.svm import LinearSVC

    with pytest.raises(TypeError, match="which LinearSVC has not"):
        plotting.calibration(LinearSVC().fit(X, Y), X, Y)


def test_roofline_needs_a_training():
    with pytest.raises(ValueError, match="results holds no training that was timed"):
        plotting.roofline({"workloads": []})
