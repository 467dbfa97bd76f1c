"""Axes to draw into, and colours on them: of their style, light or dark, and told apart by the colour-blind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fastbp.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def new_figure(width: float = 6.4, height: float = 4.0) -> Figure:
    """A new figure that no backend knows of, in inches; in a notebook one of pyplot, which shows it below the cell."""
    options: dict[str, Any] = {"figsize": (width, height), "dpi": 150, "layout": "constrained"}
    if "ipykernel.zmqshell" in sys.modules:
        pyplot = require("matplotlib.pyplot", "a picture")
        shown: Figure = pyplot.figure(**options)
        return shown
    require("matplotlib", "a picture")
    from matplotlib.figure import Figure

    return Figure(**options)


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 4.0) -> Axes:
    """The axes given, or those of a new figure."""
    return new_figure(width, height).subplots() if ax is None else ax


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
