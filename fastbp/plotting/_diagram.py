"""The units of a network and what joins them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.arguments import integer
from fastbp.display import abbreviated, heights, kind_of_layer
from fastbp.plotting._axes import axes_or_new, ink, largest, paper
from fastbp.plotting._models import network_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POSITIVE, NEGATIVE = "#3f90da", "#e76300"  # two of Petroff's, told apart by everybody on white and on black
WIDEST = 2.5  # line, in points


def network_diagram(net: Any, ax: Axes | None = None, *, max_units: int = 10) -> Axes:
    r"""Draw a network: a circle for each unit, from the inputs on the left to the outputs on the right.

    Between layers that are drawn whole, lines are as wide as the weights are large beside the largest of their layer, and have the
    colour of their sign.

    Parameters
    ----------
    net : Network, MLPClassifier or MLPRegressor
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    max_units : int, default 10
        Of larger layers the middle is left out, which dots stand for.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([784, 5, 3], hidden="tanh", loss="cross_entropy", rng=0)
    >>> ax = fastbp.plotting.network_diagram(net)
    >>> [text.get_text() for text in ax.texts]
    ['784\ninputs', '5\ntanh', '3\nsoftmax']
    """
    net, most = network_of(net), integer("max_units", max_units, least=3)
    shown = [abbreviated(size, most) for size in net.sizes]
    ax = axes_or_new(ax, max(4.0, 1.6 * len(shown)), 4.0)
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    line, tallest = ink(ax), max(map(len, shown))
    places = [np.array(heights(units)) for units in shown]
    is_signed = False
    for layer, (w, (left, right)) in enumerate(zip(net.weights, pairwise(range(len(shown))), strict=True)):
        here = [(unit, y) for unit, y in zip(shown[left], places[left], strict=True) if unit is not None]
        there = [(unit, y) for unit, y in zip(shown[right], places[right], strict=True) if unit is not None]
        segments = [((layer, y), (layer + 1, up)) for _, up in there for _, y in here]
        if None in shown[left] or None in shown[right]:
            ax.add_collection(LineCollection(segments, colors=[line], linewidths=0.4, alpha=0.35, zorder=1))
            continue
        values = np.asarray(w, np.float64).ravel()
        sizes = np.clip(np.nan_to_num(np.abs(values) / largest(values)), 0.0, 1.0)
        colours = np.where(values < 0, NEGATIVE, POSITIVE)
        ax.add_collection(LineCollection(segments, colors=colours, linewidths=0.2 + WIDEST * sizes, alpha=0.8, zorder=1))
        is_signed = True
    for layer, (units, ys) in enumerate(zip(shown, places, strict=True)):
        are_units = np.array([unit is not None for unit in units])
        size = min(180.0, 1600.0 / tallest)
        ax.scatter(
            np.full(are_units.sum(), layer), ys[are_units], s=size, color=[paper(ax)], edgecolors=[line], linewidths=1.0, zorder=2
        )
        for y in ys[~are_units]:
            ax.plot([layer] * 3, y + np.array([-0.25, 0.0, 0.25]), ".", color=line, markersize=2.5, zorder=2)
        ax.annotate(
            f"{net.sizes[layer]}\n{kind_of_layer(net, layer)}",
            (layer, -tallest / 2),
            (0, -4),
            textcoords="offset points",
            ha="center",
            va="top",
            color=line,
        )
    if is_signed:
        handles = [Line2D([], [], color=colour, linewidth=2) for colour in (POSITIVE, NEGATIVE)]
        ax.legend(
            handles, ["positive weight", "negative weight"], loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False
        )
    ax.set(xlim=(-0.5, len(shown) - 0.5), ylim=(-tallest / 2 - 0.2, tallest / 2 + 0.2))
    ax.set_axis_off()
    return ax
