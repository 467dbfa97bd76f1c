"""Axes to draw into, and colours on them: of their style, light or dark, and told apart by the colour-blind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LARGEST_SIDE = 40.0  # of a new figure, in inches: more pixels than this makes are too many for writers of files


def new_figure(width: float = 6.4, height: float = 4.0) -> Figure:
    """A new figure that no backend knows of, in inches; in a notebook one of pyplot, which shows it below the cell."""
    size = min(width, LARGEST_SIDE), min(height, LARGEST_SIDE)
    options: dict[str, Any] = {"figsize": size, "dpi": 150, "layout": "constrained"}
    if "ipykernel.zmqshell" in sys.modules:
        pyplot = require("matplotlib.pyplot", "a picture")
        shown: Figure = pyplot.figure(**options)
        return shown
    require("matplotlib", "a picture")
    from matplotlib.figure import Figure

    return Figure(**options)


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 4.0) -> Axes:
    """The axes given, after a check of what they are, or those of a new figure."""
    if ax is None:
        return new_figure(width, height).subplots()
    require("matplotlib", "a picture")
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be axes of matplotlib, as plt.subplots() gives them beside the figure, got {ax!r}")
    if ax.name != "rectilinear":
        raise ValueError(f"ax must be axes of the plane, with x and y, got the projection {ax.name!r}")
    return ax


def as_it_is(name: str) -> str:
    """Text in which a dollar is a dollar, and begins no formula."""
    return name.replace("$", r"\$")


def legend_of(ax: Axes, handles: Sequence[Any], names: Sequence[str], **options: Any) -> Any:
    """A legend of all that is given; matplotlib leaves out names that begin with an underscore."""
    legend = ax.legend(handles, [f"name {place}" for place in range(len(names))], **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(as_it_is(name))
    return legend


def largest(values: NDArray[Any]) -> float:
    """The size of the largest of the numbers that are finite; 1 if that is 0."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0


def palette(count: int) -> list[tuple[float, float, float]]:
    """Petroff's colours, which the colour-blind can tell apart, over again after ten."""
    from matplotlib import color_sequences
    from matplotlib.colors import to_rgb

    colours = color_sequences["petroff10"]
    return [to_rgb(colours[number % len(colours)]) for number in range(count)]


def ink(ax: Axes) -> Any:
    """The colour of text and lines in the style of these axes."""
    return ax.xaxis.label.get_color()


def paper(ax: Axes) -> tuple[float, float, float]:
    """The colour behind what is drawn in these axes: of themselves, of their figure, or white."""
    from matplotlib.colors import to_rgb, to_rgba

    figure = ax.get_figure(root=True)
    assert figure is not None
    seen = [colour for colour in (ax.get_facecolor(), figure.get_facecolor()) if to_rgba(colour)[3] > 0]
    return to_rgb(seen[0]) if seen else (1.0, 1.0, 1.0)


def count_along(*axes: Axis) -> None:
    """Whole numbers along x or y axes."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
