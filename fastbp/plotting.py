"""Pictures of a fit. matplotlib is imported when the first one is drawn, and its global state is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastbp.training import History


def _figure() -> Figure:
    """A new figure that no backend knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, 4.0), dpi=150, layout="constrained")


def loss_curve(history: History, ax: Axes | None = None) -> Axes:
    """Plot loss against epoch, and the scores on a second axis where they were recorded.

    Parameters
    ----------
    history : History
        What `Network.fit` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes of the losses.

    Raises
    ------
    ValueError
        If `history` holds no epoch.
    """
    if not history.loss:
        raise ValueError("history holds no epoch: call fit with epochs >= 1 first")
    from matplotlib.ticker import MaxNLocator

    ax = _figure().subplots() if ax is None else ax
    lines: list[Any] = []

    def draw(axes: Axes, values: list[float], label: str, **style: Any) -> None:
        if values:
            lines.extend(axes.plot(range(1, len(values) + 1), values, label=label, **style))

    draw(ax, history.loss, "loss", color="C0")
    draw(ax, history.validation_loss, "validation loss", color="C1")
    ax.set(xlabel="epoch", ylabel="loss")
    if min(history.loss + history.validation_loss) > 0:
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
    ax.grid(alpha=0.3)
    top = ax
    if history.score or history.validation_score:
        top = scores = ax.twinx()
        draw(scores, history.score, "score", color="C0", linestyle="--")
        draw(scores, history.validation_score, "validation score", color="C1", linestyle="--")
        scores.set_ylabel("score")
    top.legend(handles=lines, loc="center right")
    return ax


def save_loss_curve(history: History, path: str | Path) -> None:
    """Write the picture of `loss_curve` to a file, whose ending gives the format: png, svg, pdf, ..."""
    figure = _figure()
    loss_curve(history, figure.subplots())
    figure.savefig(path)
