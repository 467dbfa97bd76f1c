"""What is in the layers of a network: weights, and activations of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.arguments import integer
from fastbp.display import kind_of_layer
from fastbp.plotting._axes import axes_or_new, count_along, ink, largest, palette
from fastbp.plotting._models import network_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

Array = NDArray[Any]

MOST_NUMBERS = 20_000  # of a layer, that its distribution is drawn from


def weights(net: Any, layer: int = 1, ax: Axes | None = None, *, shape: tuple[int, int] | None = None, max_units: int = 36) -> Axes:
    """Draw the weights of a layer as a heat map, a row for each unit; or each unit's as an image.

    Parameters
    ----------
    net : Network, MLPClassifier or MLPRegressor
    layer : int, default 1
        From 1, which the inputs enter; -1 is the output layer.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    shape : (int, int), optional
        Rows and columns of the images that the inputs of the layer are: the weights of each unit are one, in reading order.
    max_units : int, default 36
        Images of the first units at most.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([64, 9, 10], loss="cross_entropy", rng=0)
    >>> ax = fastbp.plotting.weights(net, shape=(8, 8))
    >>> ax.get_title()
    'layer 1: weights of 9 units as images of 8 x 8'
    """
    net = network_of(net)
    number = _layer(layer, len(net.weights))
    w = np.asarray(net.weights[number - 1], np.float64)
    if shape is not None:
        if not isinstance(shape, tuple | list) or len(shape) != 2:
            raise TypeError(f"shape must be (rows, columns) of the images, got {shape!r}")
        rows, columns = (integer("shape", side) for side in shape)
        if rows * columns != w.shape[1]:
            raise ValueError(f"shape must have {w.shape[1]} pixels, one for each input of layer {number}, got {rows} x {columns}")
    most = integer("max_units", max_units)
    title = f"layer {number}: weights"
    if shape is not None:
        kept = w[:most]
        title += f" of {len(kept)} units as images of {rows} x {columns}"
        w = _mosaic(kept.reshape(-1, rows, columns))
    ax = axes_or_new(ax)
    top = largest(w)
    image = ax.imshow(w, cmap="PuOr", vmin=-top, vmax=top, aspect="auto" if shape is None else "equal", interpolation="nearest")
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.colorbar(image, ax=ax, label="weight")
    ax.set_title(title, fontsize="medium")
    if shape is None:
        ax.set(xlabel="input" if number == 1 else f"unit of layer {number - 1}", ylabel=f"unit of layer {number}")
        count_along(ax.xaxis, ax.yaxis)
    else:
        ax.set_axis_off()
    return ax


def _layer(layer: Any, count: int) -> int:
    """The number of a layer, from 1."""
    number = integer("layer", layer, least=-count)
    if number == 0 or number > count:
        raise ValueError(f"layer must be 1 to {count}, or -1 to -{count} from the last, got {number}")
    return number if number > 0 else count + 1 + number


def _mosaic(images: Array) -> Array:
    """Images side by side, with NaN between them."""
    count, rows, columns = images.shape
    across = int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    found = np.full((down, rows + 1, across, columns + 1), np.nan)
    for place, image in enumerate(images):
        found[place // across, :rows, place % across, :columns] = image
    return found.reshape(down * (rows + 1), across * (columns + 1))[:-1, :-1]


def activations(net: Any, X: ArrayLike, ax: Axes | None = None, *, max_samples: int = 1000) -> Axes:
    r"""Draw how the activations of each layer are distributed, over units and samples.

    The line in each shape is the median. Where many are exactly 0, as of rectifiers, the part that is stands above.

    Parameters
    ----------
    net : Network, MLPClassifier or MLPRegressor
    X : array_like or sparse matrix (n_samples, n_inputs)
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    max_samples : int, default 1000
        Of more, so many are taken, at equal distances.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network([4, 8, 8, 2], hidden=["relu", "tanh"], rng=0)
    >>> ax = fastbp.plotting.activations(net, np.random.default_rng(0).normal(size=(100, 4)))
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['1\nrelu', '2\ntanh', '3\nidentity']
    """
    net, most = network_of(net), integer("max_samples", max_samples)
    rows: Any = X if hasattr(X, "tocsr") else np.asarray(X)
    if rows.ndim == 2 and rows.shape[0] > most:
        rows = (rows.tocsr() if hasattr(rows, "tocsr") else rows)[np.linspace(0, rows.shape[0] - 1, most).astype(int)]
    found = [_some(np.asarray(a, np.float64).ravel()) for a in net.trace(rows).a[1:]]
    ax = axes_or_new(ax, max(4.0, 1.2 + 1.2 * len(found)))
    (colour,), line = palette(1), ink(ax)
    places = range(1, len(found) + 1)
    drawn = ax.violinplot(found, places, widths=0.8, showextrema=False, showmedians=True)
    for body in drawn["bodies"]:  # type: ignore[attr-defined]
        body.set(facecolor=colour, edgecolor=colour, alpha=0.7)
    drawn["cmedians"].set_color(line)
    for place, values in zip(places, found, strict=True):
        if (part := np.mean(values == 0)) > 0.01:
            ax.annotate(
                f"{100 * part:.0f} % zero",
                (place, 1.0),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                fontsize="small",
                color=line,
            )
    ax.set_xticks(places, [f"{place}\n{kind_of_layer(net, place)}" for place in places])
    ax.set(xlabel="layer", ylabel="activation")
    ax.grid(axis="y", alpha=0.3)
    return ax


def _some(values: Array) -> Array:
    """Numbers at equal distances, of very many."""
    return values if len(values) <= MOST_NUMBERS else values[np.linspace(0, len(values) - 1, MOST_NUMBERS).astype(int)]
