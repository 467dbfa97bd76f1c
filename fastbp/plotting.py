"""Pictures of a fit. matplotlib is imported when the first one is drawn, and its global state is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from fastbp.engine.history import History
    from fastbp.network import Network


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
    top.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(lines), frameon=False)
    return ax


def save_loss_curve(history: History, path: str | Path) -> None:
    """Write `loss_curve` of a history to the file `path`, whose ending gives the format: png, svg, pdf, ..."""
    figure = _figure()
    loss_curve(history, figure.subplots())
    figure.savefig(path)


def decision_boundary(net: Network, X: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """Plot what a network of two inputs decides over the plane, and the samples on it.

    Each class has a colour. The plane takes the mixture of them that the network's outputs say, and the black line is where two
    classes are equally likely.

    Parameters
    ----------
    net : Network
        With two inputs; its outputs are taken for probabilities, a single one for that of class 1.
    X : array_like (n_samples, 2)
    y : array_like
        Class numbers (n_samples,) or (n_samples, 1), or rows of probabilities (n_samples, n_classes).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If `net` has not two inputs, or X and y do not fit it.
    """
    if net.sizes[0] != 2:
        raise ValueError(f"net must have two inputs to be drawn in the plane, got {net.sizes[0]}")
    import numpy as np
    from matplotlib import colormaps

    points, labels = np.asarray(X, np.float64), np.asarray(y)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0 or len(labels) != len(points):
        raise ValueError(f"X must be (n_samples, 2) and y as long, got shapes {points.shape} and {labels.shape}")
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.1 * (high - low), 1.0)
    low, high = low - margin, high + margin
    across, up = (np.linspace(a, b, 201) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    outputs = np.clip(net(grid.reshape(-1, 2)), 0.0, 1.0).astype(np.float64).reshape(201, 201, -1)
    chances = outputs if outputs.shape[2] > 1 else np.concatenate([1.0 - outputs, outputs], axis=2)
    colours = np.asarray(colormaps["tab10"](np.arange(chances.shape[2]) % 10))[:, :3]

    ax = _figure().subplots() if ax is None else ax
    ax.imshow(
        np.clip(0.5 + 0.5 * (chances @ colours), 0.0, 1.0),
        extent=(low[0], high[0], low[1], high[1]),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )
    for c in range(chances.shape[2] - 1):
        lead = chances[:, :, c] - np.delete(chances, c, axis=2).max(axis=2)
        if lead.min() < 0 < lead.max():
            ax.contour(across, up, lead, levels=[0.0], colors="black", linewidths=1.0)
    for c, colour in enumerate(colours):
        chosen = points[labels == c]
        ax.scatter(chosen[:, 0], chosen[:, 1], s=12, color=colour, edgecolors="black", linewidths=0.3, label=f"class {c}")
    ax.legend(loc="upper right")
    return ax
