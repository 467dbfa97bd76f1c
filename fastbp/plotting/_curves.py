"""Numbers of a history against epochs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.plotting._axes import axes_or_new, count_along, new_figure, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastbp.engine.history import History


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
            lines.extend(axes.plot(range(1, len(values) + 1), values, marker=_marker(values), label=label, **style))

    draw(ax, history.loss, "loss", color=first)
    draw(ax, history.validation_loss, "validation loss", color=second)
    ax.set(xlabel="epoch", ylabel="loss")
    if min(history.loss + history.validation_loss) > 0:
        ax.set_yscale("log")
    count_along(ax.xaxis)
    ax.grid(alpha=0.3)
    top = ax
    if history.score or history.validation_score:
        top = scores = ax.twinx()
        draw(scores, history.score, "score", color=first, linestyle="--")
        draw(scores, history.validation_score, "validation score", color=second, linestyle="--")
        scores.set_ylabel("score")
    top.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(lines), frameon=False)
    return ax


def _marker(values: Any) -> str:
    """Of the points of a curve: a line needs two."""
    return "" if len(values) > 1 else "o"


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
        With a line for each layer, the first the darkest.

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
        ax.plot(epochs, values, marker=_marker(values), color=colour, label=f"layer {layer}")
    ax.set(xlabel="epoch", ylabel="norm of the gradient of the weights")
    if norms.min() > 0:
        ax.set_yscale("log")
    count_along(ax.xaxis)
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=-(-n_layers // 12), frameon=False)
    return ax
