"""What a model of two features decides over the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.plotting._axes import as_it_is, axes_or_new, ink, legend_of, palette, paper
from fastbp.plotting._models import chances_of, checked, is_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

RESOLUTION = 201  # points along each side
MOST_NAMED, MOST_IN_COLUMN = 20, 10  # classes in the legend, which would hide the plane if there were more


def decision_boundary(model: Any, X: Any, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """Plot what a model of two features decides over the plane, and the samples on it.

    Each class has a colour; of up to 20 classes a legend says which. The plane takes the mixture of them that the probabilities
    say, and the line is where two classes are equally likely.

    Parameters
    ----------
    model : Network or classifier
        With two features. The outputs of a network are taken for probabilities, a single one for that of class 1; classifiers are
        those of this package, of scikit-learn, and pipelines of them.
    X : array_like or DataFrame (n_samples, 2)
    y : array_like
        Classes (n_samples,) or (n_samples, 1), or rows of probabilities (n_samples, n_classes).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        If `model` has not two inputs, or X and y do not fit it.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = fastbp.Network([2, 8, 2], hidden="tanh", loss="cross_entropy", rng=0)
    >>> history = net.fit(X, y, epochs=200, optimizer="adam", rng=0)
    >>> ax = fastbp.plotting.decision_boundary(net, X, y)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['class 0', 'class 1']
    """
    n_inputs = model.sizes[0] if is_network(model) else getattr(model, "n_features_in_", 2)
    if n_inputs != 2:
        raise ValueError(f"model must have two features to be drawn in the plane, got {n_inputs}")
    points = np.asarray(X, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"X must be (n_samples, 2), got shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("X holds NaN or infinity; drop or impute these samples")
    classes, labels = checked(model, points, y)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.1 * (high - low), 1.0)
    low, high = low - margin, high + margin
    across, up = (np.linspace(a, b, RESOLUTION) for a, b in zip(low, high, strict=True))
    grid: Any = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    names = list(getattr(X, "columns", ()))
    if hasattr(X, "iloc"):  # of pandas, whose names models look at
        grid = type(X)(grid, columns=names)
    chances = chances_of(model, grid).reshape(RESOLUTION, RESOLUTION, -1)

    ax = axes_or_new(ax)
    colours, line = palette(len(classes)), ink(ax)
    ax.imshow(
        np.clip(0.5 * np.array(paper(ax)) + 0.5 * (chances @ np.array(colours)), 0.0, 1.0),
        extent=(low[0], high[0], low[1], high[1]),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )
    for c in range(len(classes) - 1):
        lead = chances[:, :, c] - np.delete(chances, c, axis=2).max(axis=2)
        if lead.min() < 0 < lead.max():
            ax.contour(across, up, lead, levels=[0.0], colors=[line], linewidths=1.0)
    handles = []
    for name, colour in zip(classes.tolist(), colours, strict=True):
        chosen = points[labels == name]
        handles.append(ax.scatter(chosen[:, 0], chosen[:, 1], s=14, color=colour, edgecolors=[line], linewidths=0.4))
    across_name, up_name = (as_it_is(str(name)) for name in names or ("feature 1", "feature 2"))
    ax.set(xlabel=across_name, ylabel=up_name)
    if len(classes) <= MOST_NAMED:
        texts = [name if isinstance(name, str) else f"class {name}" for name in classes.tolist()]
        legend = legend_of(ax, handles, texts, loc="upper right", ncols=-(-len(texts) // MOST_IN_COLUMN))
        legend.set_in_layout(False)  # it is inside the axes, which need not make room
    return ax
