"""How well classes are told: right and wrong ones, and whether probabilities are what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.arguments import integer
from fastbp.plotting._axes import as_it_is, axes_or_new, ink, legend_of, palette
from fastbp.plotting._models import chances_of, checked, is_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

Array = NDArray[Any]

LONGEST_NAME, MOST_CURVES = 12, 10


def confusion(model: Any, X: Any, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw the confusion matrix: how many samples of each class are predicted to be of which.

    The matrix is that of `sklearn.metrics.ConfusionMatrixDisplay`; colours are by the part of the class, so that small classes are
    seen, too.

    Parameters
    ----------
    model : Network or classifier
        The outputs of a network are taken for probabilities, a single one for that of class 1.
    X : array_like or DataFrame (n_samples, n_inputs)
    y : array_like
        Classes (n_samples,) or (n_samples, 1), or rows of probabilities (n_samples, n_classes).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 2], loss="cross_entropy", weights=[[[1, 0], [0, 1]]], biases=[[0, 0]])
    >>> ax = fastbp.plotting.confusion(net, [[1, 0], [0, 1], [0, 1]], [0, 1, 0])
    >>> [text.get_text() for text in ax.texts]
    ['1', '1', '0', '1']
    """
    classes, labels = checked(model, X, y)
    predicted = classes[chances_of(model, X).argmax(axis=1)] if is_network(model) else np.asarray(model.predict(X))
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(labels, predicted, labels=classes)
    side = 2.0 + 0.4 * len(classes)
    ax = axes_or_new(ax, max(4.0, side), max(3.4, side - 0.4))
    draw_confusion(ax, counts, [str(name) for name in classes.tolist()])
    return ax


def draw_confusion(ax: Axes, counts: Array, names: Sequence[str]) -> None:
    """Draw the numbers of samples of each class (rows) that were predicted to be of which (columns)."""
    from sklearn.metrics import ConfusionMatrixDisplay

    short = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\u2026" for name in names]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    is_long = max(map(len, short)) > 3
    display = ConfusionMatrixDisplay(shares, display_labels=[as_it_is(name) for name in short])
    display.plot(ax=ax, cmap="Blues", colorbar=False, xticks_rotation=45 if is_long else 0, im_kw={"vmin": 0.0, "vmax": 1.0})
    for text, count in zip(display.text_.ravel(), counts.ravel(), strict=True):
        text.set_text(str(count))
    if is_long:
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    ax.set(xlabel="predicted", ylabel="true")


def calibration(model: Any, X: Any, y: ArrayLike, ax: Axes | None = None, *, n_bins: int = 10) -> Axes:
    """Draw how often what was predicted with a probability is so: on the dotted line, as often as it says.

    Curves are those of `sklearn.calibration.CalibrationDisplay`, for bins of equally many samples; with more than two classes each
    has one, against all others.

    Parameters
    ----------
    model : Network or classifier
        That gives probabilities.
    X : array_like or DataFrame (n_samples, n_inputs)
    y : array_like
        As for `confusion`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    n_bins : int, default 10

    Returns
    -------
    matplotlib.axes.Axes
        With curves of the ten most frequent classes at most.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.linspace(-4, 4, 200)[:, None]
    >>> net = fastbp.Network([1, 1], loss="binary_cross_entropy", weights=[[[1.0]]], biases=[[0.0]])
    >>> ax = fastbp.plotting.calibration(net, X, (X[:, 0] > 0).astype(int), n_bins=5)
    >>> len(ax.lines[-1].get_xdata())
    5
    """
    n_bins = integer("n_bins", n_bins)
    classes, labels = checked(model, X, y)
    if not is_network(model) and not hasattr(model, "predict_proba"):
        raise TypeError(f"model must give probabilities, by predict_proba, which {type(model).__name__} has not")
    chances = chances_of(model, X)
    counts = np.array([np.sum(labels == name) for name in classes])
    asked = [1] if len(classes) == 2 else sorted(np.argsort(-counts, kind="stable")[:MOST_CURVES].tolist())
    curves = [(str(classes[k]), labels == classes[k], chances[:, k]) for k in asked if 0 < counts[k] < len(labels)]
    if not curves:
        raise ValueError("y must hold samples of two classes at least")
    ax = axes_or_new(ax, 5.2, 4.2)
    draw_calibration(ax, curves, n_bins)
    return ax


def draw_calibration(ax: Axes, curves: Sequence[tuple[str, Array, Array]], n_bins: int) -> None:
    """Draw a curve for each class: its name, which samples are of it, and the probabilities that they are."""
    from sklearn.calibration import CalibrationDisplay

    ax.plot([0, 1], [0, 1], color=ink(ax), linewidth=0.8, linestyle=":")
    lines = []
    for (name, is_so, chances), colour in zip(curves, palette(len(curves)), strict=True):
        style = {"color": colour, "marker": "o", "markersize": 4, "linewidth": 1.2}
        display = CalibrationDisplay.from_predictions(
            is_so, np.clip(chances, 0.0, 1.0), n_bins=n_bins, strategy="quantile", name=name, ref_line=False, ax=ax, **style
        )
        lines.append(display.line_)
    ax.set(xlabel="predicted probability", ylabel="part that is so", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    legend_of(ax, lines, [name for name, *_ in curves], loc="upper left", title="class")
