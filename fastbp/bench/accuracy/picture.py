"""The lowest loss so far against seconds, a panel for each problem."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.plotting._axes import new_figure
from fastbp.plotting._roofline import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "to-accuracy.png"
COLUMNS = 3
# ours are drawn through, in dark colours, the others broken
STYLES = {
    "fastbp lm": ("black", "-"),
    "fastbp gauss-newton-cg": ("#7030A0", "-"),
    "fastbp lbfgs": ("#0072B2", "-"),
    "fastbp adam": ("#56B4E9", "-"),
    "optimistix lm": ("#D55E00", "--"),
    "scipy least_squares": ("#E69F00", "--"),
    "optimistix bfgs": ("#D4006A", "--"),
    "pytorch lbfgs": ("#8C564B", "--"),
    "scikit-learn lbfgs": ("#7F7F7F", "--"),
    "jax adam": ("#009E73", "--"),
}


def save(results: dict[str, Any], directory: Path) -> None:
    """Write to-accuracy.png."""
    problems = results["problems"]
    n_rows, n_columns = -(-len(problems) // COLUMNS), min(COLUMNS, len(problems))
    figure = new_figure(3.6 * n_columns, 3.0 * n_rows + 0.8)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    lines: dict[str, Any] = {}
    for ax, result in zip(panels, problems, strict=False):
        lines |= draw(result, ax)
    for ax in panels[len(problems) :]:
        ax.set_axis_off()
    for ax in panels[max(0, len(problems) - n_columns) : len(problems)]:
        ax.set_xlabel("seconds")
    for ax in panels[::n_columns]:
        ax.set_ylabel("lowest loss so far")
    figure.suptitle(title_of(results), fontsize="medium")
    shown = [name for name in STYLES if name in lines]
    figure.legend(
        [lines[name] for name in shown],
        shown,
        loc="outside lower center",
        ncols=5 if n_columns == COLUMNS else n_columns,
        frameon=False,
        handlelength=3,
    )
    figure.savefig(directory / NAME)


def draw(result: dict[str, Any], ax: Axes) -> dict[str, Any]:
    """One panel; returns the line of each contestant."""
    lines = {}
    for name, outcome in result["contestants"].items():
        if outcome["status"] == "ok":
            colour, style = STYLES[name]
            width = 2.4 if name == "fastbp lm" else 1.6
            (lines[name],) = ax.plot(*median_curve(outcome["tries"]), style, color=colour, linewidth=width)
    for aim in result["aims"]:
        measure, _, value = aim.rpartition(" ")
        if measure == "loss":
            ax.axhline(float(value), color="black", linewidth=0.8, alpha=0.4)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.grid(alpha=0.3)
    ax.set_title(f"{result['name']}: {'-'.join(map(str, result['sizes']))}", fontsize="medium")
    return lines


def median_curve(tries: list[dict[str, Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds, and the median of the lowest losses until then, as long as half of the tries were going on."""
    curves = []
    for attempt in tries:
        seconds, losses = (np.array(values) for values in zip(*((s, v["loss"]) for s, v in attempt["trace"]), strict=True))
        curves.append((seconds, np.fmin.accumulate(losses)))
    first = max(seconds[min(1, len(seconds) - 1)] for seconds, _ in curves)
    last = max(np.median([seconds[-1] for seconds, _ in curves]), first)
    at = np.geomspace(max(first, 1e-6), max(last, 1e-6), 200)
    # a step function: nothing is known of the time between two looks
    lowest = [losses[np.searchsorted(seconds, at, side="right") - 1] for seconds, losses in curves]
    return at, np.median(lowest, axis=0)
