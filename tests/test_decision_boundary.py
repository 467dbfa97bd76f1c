"""The picture shows what the network says: colours, the line between classes, the samples."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.contour import ContourSet
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import fastbp
from fastbp.plotting import decision_boundary

X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])


def linear(weights, biases, loss="cross_entropy"):
    return fastbp.Network([2, len(weights)], loss=loss, dtype="float64", weights=[weights], biases=[biases])


def line(ax):
    """Points of the line between classes."""
    contours = [collection for collection in ax.collections if isinstance(collection, ContourSet)]
    return np.concatenate([path.vertices for contour in contours for path in contour.get_paths()])


@pytest.mark.parametrize(
    ("net", "y"),
    [
        (linear([[0.0, 0.0], [8.0, 0.0]], [2.0, 0.0]), [0, 1, 0, 1]),
        (linear([[0.0, 0.0], [8.0, 0.0]], [2.0, 0.0]), [[1, 0], [0, 1], [1, 0], [0, 1]]),
        (linear([[8.0, 0.0]], [-2.0], "binary_cross_entropy"), [[0], [1], [0], [1]]),
        (linear([[1.0, 0.0]], [0.25], "squared"), [0, 1, 0, 1]),
    ],
    ids=["labels", "rows", "binary", "squared"],
)
def test_line_is_where_two_classes_are_equal(net, y):
    ax = decision_boundary(net, X, y)
    np.testing.assert_allclose(line(ax)[:, 0], 0.25, atol=0.01)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["class 0", "class 1"]
    first, second = (collection.get_offsets() for collection in ax.collections[-2:])
    np.testing.assert_array_equal(first, X[[0, 2]])
    np.testing.assert_array_equal(second, X[[1, 3]])


def test_colours_are_mixed_by_the_outputs():
    ax = decision_boundary(linear([[0.0, 0.0], [8.0, 0.0]], [2.0, 0.0]), X, [0, 1, 0, 1])
    (image,) = ax.images
    shown = np.asarray(image.get_array())
    first, second = (collection.get_facecolors()[0, :3] for collection in ax.collections[-2:])
    np.testing.assert_allclose(shown[0, 0], 0.5 + 0.5 * first, atol=0.08)
    np.testing.assert_allclose(shown[0, -1], 0.5 + 0.5 * second, atol=0.02)
    assert tuple(image.get_extent()) == (-0.1, 1.1, -0.2, 2.2)


def test_three_classes_meet_in_three_lines():
    net = linear([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], [4.5, 0.0, 0.0])
    points = line(decision_boundary(net, X, [0, 1, 2, 1]))
    outputs = np.sort(net(points), axis=1)
    np.testing.assert_allclose(outputs[:, 2], outputs[:, 1], atol=0.02)
    for pair in ([0, 1], [0, 2], [1, 2]):
        assert (np.sort(np.argsort(net(points), axis=1)[:, 1:], axis=1) == pair).all(axis=1).any(), pair


def test_one_class_everywhere_draws_no_line_and_flat_data_no_error():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    flat = X * [1.0, 0.0]
    assert decision_boundary(linear([[0.0, 0.0], [0.0, 0.0]], [5.0, 0.0]), flat, [0, 0, 0, 0], ax=axes) is axes
    assert len(axes.collections) == 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model",
    [
        fastbp.MLPClassifier((4,), solver="lbfgs", random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        LinearSVC(),
    ],
    ids=["ours", "pipeline", "without probabilities"],
)
def test_estimators_decide_by_classes_of_any_name(model):
    table, y = pd.DataFrame(X, columns=["width (cm)", "height (cm)"]), np.array(["oak", "elm", "oak", "elm"])
    ax = decision_boundary(model.fit(table, y), table, y)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["elm", "oak"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width (cm)", "height (cm)")
    np.testing.assert_array_equal(ax.collections[-1].get_offsets(), X[y == "oak"])
    shown = line(ax)
    flat, steep = (pd.DataFrame(shown + move, columns=table.columns) for move in ([-0.02, 0.0], [0.02, 0.0]))
    assert (model.predict(flat) != model.predict(steep)).mean() > 0.9


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="model must have two features"):
        decision_boundary(fastbp.Network([3, 2], loss="cross_entropy", rng=0), X, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"X must be \(n_samples, 2\)"):
        decision_boundary(linear([[0.0, 0.0]], [0.0], "squared"), X[:, :1], [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"y must be of the classes \[0, 1\], got 2"):
        decision_boundary(linear([[0.0, 0.0]], [0.0], "squared"), X, [0, 1, 0, 2])
    with pytest.raises(TypeError, match="model must be a Network, or a classifier that is fitted, got LinearRegression"):
        decision_boundary(LinearRegression(), X, [0, 1, 0, 1])
    for number in (np.nan, np.inf):
        with pytest.raises(ValueError, match="X holds NaN or infinity"):
            decision_boundary(linear([[0.0, 0.0]], [0.0], "squared"), np.full((4, 2), number), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="as many rows"):
        decision_boundary(linear([[0.0, 0.0]], [0.0], "squared"), X, [0, 1, 0])
