"""Numbers of a history against epochs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.display import abbreviated
from fastbp.plotting._axes import axes_or_new, count_along, new_figure, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastbp.engine.history import History

MOST_NAMED = 12  # layers in a legend


def loss_curve(history: History, ax: Axes | None = None) -> Axes:
    """Plot loss against epoch, and the scores on a second axis where they were recorded.

    Parameters
    ----------
    history : History
        What `Network.fit` returned, or `history_` of an estimator.
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

    Examples
    --------
    >>> import fastbp
    >>> ax = fastbp.plotting.loss_curve(fastbp.History(loss=[2.0, 1.0, 0.5]))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('epoch', 'loss')
    """
    if not history.loss:
        raise ValueError("history holds no epoch: call fit with epochs >= 1 first")
    ax = axes_or_new(ax)
    first, second = palette(2)
    lines: list[Any] = []

    def draw(axes: Axes, values: list[float], label: str, **style: Any) -> None:
        if values:
            lines.extend(axes.plot(range(1, len(values) + 1), values, **_marks(values), label=label, **style))

    draw(ax, history.loss, "loss", color=first)
    draw(ax, history.validation_loss, "validation loss", color=second)
    ax.set(xlabel="epoch", ylabel="loss")
    if not np.min(_finite(history.loss + history.validation_loss), initial=np.inf) <= 0:
        ax.set_yscale("log")
    count_along(ax.xaxis)
    ax.grid(alpha=0.3)
    top = ax
    if history.score or history.validation_score:
        top = scores = ax.twinx()
        draw(scores, history.score, "score", color=first, linestyle="--")
        draw(scores, history.validation_score, "validation score", color=second, linestyle="--")
        scores.set_ylabel("score")
    top.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(lines), 2), frameon=False)
    return ax


def _finite(values: Any) -> NDArray[Any]:
    found = np.asarray(values, np.float64)
    return found[np.isfinite(found)]


def _marks(values: Any) -> dict[str, Any]:
    """Marks of the points of a curve that no line is seen at: a line needs two, one after the other, that are finite."""
    there = np.isfinite(np.asarray(values, np.float64))
    beside = np.concatenate([[False], there, [False]])
    alone = np.flatnonzero(there & ~beside[:-2] & ~beside[2:])
    return {"marker": "o", "markevery": alone.tolist()} if len(alone) else {}


def save_loss_curve(history: History, path: str | Path) -> None:
    """Write `loss_curve` of a history to the file `path`, whose ending gives the format: png, svg, pdf, ...

    Examples
    --------
    >>> import fastbp
    >>> fastbp.plotting.save_loss_curve(fastbp.History(loss=[1.0, 0.5, 0.3]), "loss.svg")
    """
    figure = new_figure()
    loss_curve(history, figure.subplots())
    figure.savefig(path)


def gradient_flow(history: History, ax: Axes | None = None) -> Axes:
    """Plot the norm of each layer's gradient against epoch: where it falls from layer to layer, early layers hardly learn.

    Parameters
    ----------
    history : History
        Of a fit with ``record_norms=True``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With a line for each layer, the first the darkest; of many, the first and the last are named.

    Raises
    ------
    ValueError
        If `history` holds no norms.

    Examples
    --------
    >>> import fastbp
    >>> history = fastbp.History(loss=[2.0, 1.0], gradient_norms=[[0.1, 0.9], [0.05, 0.4]])
    >>> [line.get_label() for line in fastbp.plotting.gradient_flow(history).lines]
    ['layer 1', 'layer 2']
    """
    if not history.gradient_norms:
        raise ValueError("history holds no norms of gradients: call fit with record_norms=True and epochs >= 1 first")
    ax = axes_or_new(ax)
    from matplotlib import colormaps

    norms = np.array(history.gradient_norms)
    n_layers = norms.shape[1]
    # of plasma, which all eyes can order, the part that is seen on white and on black
    colours = colormaps["plasma"](np.linspace(0.3, 0.85, n_layers))
    epochs = np.arange(1, len(norms) + 1)
    for layer, (values, colour) in enumerate(zip(norms.T, colours, strict=True), start=1):
        ax.plot(epochs, values, **_marks(values), color=colour, label=f"layer {layer}")
    ax.set(xlabel="epoch", ylabel="norm of the gradient of the weights")
    if not np.min(_finite(norms), initial=np.inf) <= 0:
        ax.set_yscale("log")
    count_along(ax.xaxis)
    ax.grid(alpha=0.3)
    named = [ax.lines[layer - n_layers] for layer in abbreviated(n_layers, MOST_NAMED) if layer is not None]
    ax.legend(handles=named, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return ax
