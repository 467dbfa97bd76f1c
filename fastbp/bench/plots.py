"""Two pictures of the results of ``fastbp bench``: how many times faster than the others, and how far from the machine's limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbp.bench.measure import OURS
from fastbp.plotting import roofline
from fastbp.plotting._axes import new_figure
from fastbp.plotting._roofline import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's colours, which the colour-blind can tell apart, and a marker each; one colour, too, for all doors of one library
STYLES = {
    "numpy": ("#0072B2", "o"),
    "scikit-learn": ("#E69F00", "s"),
    "pytorch": ("#D55E00", "^"),
    "jax": ("#009E73", "D"),
    "onnxruntime": ("#56B4E9", "v"),
    "numba dot": ("#CC79A7", "P"),
    "numba loops": ("#CC79A7", "X"),
    OURS: ("black", "o"),
    "fastbp call": ("black", "<"),
    "fastbp fit": ("black", ">"),
    "fastbp partial_fit": ("black", "*"),
}


def save(results: dict[str, Any], directory: Path) -> None:
    """Write ratios.png and roofline.png."""
    for name, draw in (("ratios", ratio_chart), ("roofline", roofline)):
        figure = new_figure(6.4, 4.8)
        draw(results, figure.subplots())
        figure.savefig(directory / f"{name}.png")


def ratio_chart(results: dict[str, Any], ax: Axes) -> None:
    """For each workload, the time of every contestant divided by that of fastbp, with its interval."""
    rows = [result for result in results["workloads"] if any("ratio" in outcome for outcome in result["contestants"].values())]
    low, high, seen = 1.0, 1.0, set()
    for position, result in enumerate(rows):
        for name, outcome in result["contestants"].items():
            if "ratio" not in outcome:
                continue
            ratio = outcome["ratio"]
            colour, marker = STYLES[name]
            label = None if name in seen else name
            seen.add(name)
            ax.plot([ratio["low"], ratio["high"]], [position] * 2, color=colour, linewidth=2, alpha=0.5)
            ax.plot(ratio["estimate"], position, marker, color=colour, markersize=7, label=label)
            low, high = min(low, ratio["low"]), max(high, ratio["high"])
    ax.axvline(1.0, color="black", linewidth=1)
    ax.set_xscale("log")
    ax.set_xlim(low / 1.3, high * 1.3)
    decades = [digit * 10.0**power for power in range(-1, 5) for digit in (1, 2, 5)]
    ticks = [tick for tick in decades if low / 1.3 < tick < high * 1.3]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_yticks(range(len(rows)), [result["name"] for result in rows])
    ax.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)
    ax.set(xlabel=f"time divided by that of {OURS}: right of 1, {OURS} is faster")
    ax.set_title(title_of(results), fontsize="medium")
    if seen:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=min(len(seen), 4), frameon=False)
