"""Pictures of a report: drawn by matplotlib, as SVG that takes the colour of the text around it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.plotting._axes import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

INK = "#010203"  # becomes the colour of the text
FIRST, SECOND = "#2a78d6", "#e8833a"  # readable on white and on black
SIZE = 4.8, 3.2  # inches
MOST_CURVES, MOST_POINTS, MOST_CLASSES, MOST_BARS, BINS = 8, 2000, 12, 20, 10
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are no formulas
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "sans-serif", "DejaVu Sans"],
    "font.size": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def drawn(name: str, draw: Callable[[Axes], None], size: tuple[float, float] = SIZE) -> str:
    """A picture as an element of a page; `name` tells its parts from those of others."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        warnings.simplefilter("ignore")  # of letters that a font here has not: who reads the page has others
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    names = set(re.findall(r'\bid="([^"]+)"', text))  # which must be unique in a page
    text = re.sub(
        r'(\bid="|"#|url\(#)([^")]+)', lambda found: f"{found[1]}{name}-{found[2]}" if found[2] in names else found[0], text
    )
    return text.replace("<svg", f'<svg role="img" aria-label="{name.replace("-", " ")}"', 1)


def short(name: str, most: int = 40) -> str:
    """A name that a picture has room for, of characters that XML may hold."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def learning_curves(histories: Sequence[Any], best: Sequence[int]) -> Callable[[Axes], None]:
    """Losses of each network against its epochs; a point at the epoch that was kept."""

    def draw(ax: Axes) -> None:
        for number, (history, epoch) in enumerate(zip(histories[:MOST_CURVES], best, strict=False)):
            for losses, colour, label in ((history.loss, FIRST, "training"), (history.validation_loss, SECOND, "held out")):
                if losses:
                    ax.plot(range(1, len(losses) + 1), losses, color=colour, lw=1, alpha=0.7, label=None if number else label)
            if history.validation_loss:
                ax.plot(epoch + 1, history.validation_loss[epoch], "o", color=SECOND, ms=4)
        ax.set(xlabel="epoch", ylabel="loss")
        if all(loss > 0 for history in histories for loss in (*history.loss, *history.validation_loss)):
            ax.set_yscale("log")
        ax.legend()
        ax.grid(alpha=0.2, color=INK)

    return draw


def roc(curves: Sequence[tuple[str, Array, Array]]) -> Callable[[Axes], None]:
    """True positives against false ones, of each class against the others."""

    def draw(ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=":")
        for (label, false, true), colour in zip(curves, palette(len(curves)), strict=True):
            ax.plot(false, true, color=colour, lw=1.5, label=label)
        ax.set(xlabel="false positives", ylabel="true positives")
        ax.legend(loc="lower right")

    return draw


def against(true: Array, predicted: Array, name: str) -> Callable[[Axes], None]:
    """Predictions against true numbers."""

    def draw(ax: Axes) -> None:
        ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
        ax.plot(ends, ends, color=INK, lw=0.8, ls=":")
        ax.plot(
            true[:MOST_POINTS], predicted[:MOST_POINTS], ".", color=FIRST, ms=4, alpha=0.5, rasterized=len(true) > MOST_POINTS // 4
        )
        ax.set(xlabel=f"true {short(name)}", ylabel="predicted")

    return draw


def means(said: Array, true: Array, name: str) -> Callable[[Axes], None]:
    """Mean true numbers of rows with about the same predictions: of numbers, what calibration is."""

    def draw(ax: Axes) -> None:
        ends = [min(said.min(), true.min()), max(said.max(), true.max())]
        ax.plot(ends, ends, color=INK, lw=0.8, ls=":")
        ax.plot(said, true, "o-", color=FIRST, ms=4, lw=1.2)
        ax.set(xlabel="mean prediction", ylabel=f"mean true {short(name)}")

    return draw


def importances(names: Sequence[str], values: Array, deviations: Array, metric: str) -> Callable[[Axes], None]:
    """What a score loses when a column is shuffled, the largest above."""

    def draw(ax: Axes) -> None:
        places = np.arange(len(names))[::-1]
        labels = [short(name, 20) for name in names]
        ax.barh(places, values, xerr=deviations, color=FIRST, ecolor=INK, error_kw={"lw": 0.8})
        ax.set_yticks(places, labels)
        ax.axvline(0, color=INK, lw=0.8)
        ax.set(xlabel=f"loss of {short(metric)}")

    return draw
