"""Two pictures of the results of ``fastbp bench``: how many times faster than the others, and how far from the machine's limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.bench.measure import OURS
from fastbp.plotting import _figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's colours, which the colour-blind can tell apart, and a marker each
STYLES = {
    "numpy": ("#0072B2", "o"),
    "scikit-learn": ("#E69F00", "s"),
    "pytorch": ("#D55E00", "^"),
    "jax": ("#009E73", "D"),
    OURS: ("black", "o"),
}


def save(results: dict[str, Any], directory: Path) -> None:
    """Write ratios.png and roofline.png."""
    for name, draw in (("ratios", ratio_chart), ("roofline", roofline)):
        figure = _figure()
        draw(results, figure.subplots())
        figure.savefig(directory / f"{name}.png")


def ratio_chart(results: dict[str, Any], ax: Axes) -> None:
    """For each workload, the time of every contestant divided by that of fastbp, with its interval."""
    rows = [result for result in results["workloads"] if any("ratio" in entry for entry in result["contestants"].values())]
    low, high, seen = 1.0, 1.0, set()
    for position, result in enumerate(rows):
        for name, entry in result["contestants"].items():
            if "ratio" not in entry:
                continue
            ratio = entry["ratio"]
            colour, marker = STYLES[name]
            label = None if name in seen else name
            seen.add(name)
            ax.plot([ratio["low"], ratio["high"]], [position] * 2, color=colour, linewidth=2, alpha=0.5)
            ax.plot(ratio["estimate"], position, marker, color=colour, markersize=7, label=label)
            low, high = min(low, ratio["low"]), max(high, ratio["high"])
    ax.axvline(1.0, color="black", linewidth=1)
    ax.set_xscale("log")
    ax.set_xlim(low / 1.3, high * 1.3)
    ticks = [tick for decade in (0.1, 1, 10, 100, 1000) for tick in (decade, 2 * decade, 5 * decade) if low / 1.3 < tick < high * 1.3]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_yticks(range(len(rows)), [result["name"] for result in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)
    ax.set(xlabel=f"time divided by that of {OURS}: right of 1, {OURS} is faster")
    ax.set_title(_title(results), fontsize="medium")
    if seen:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(seen), frameon=False)


def roofline(results: dict[str, Any], ax: Axes) -> None:
    """Speed of fastbp and of the NumPy baseline against arithmetic intensity, under the roofs measured in the same run.

    Only workloads of the dtype that most have are drawn: each dtype has a roof of its own.
    """
    rows = [result for result in results["workloads"] if "intensity" in result]
    dtypes = [result["dtype"] for result in rows]
    dtype = max(dtypes, key=dtypes.count)
    rows = [result for result in rows if result["dtype"] == dtype]
    peak, bandwidth = results["machine"]["peak_gflops"][dtype], results["machine"]["bandwidth_gbs"]
    intensities = [result["intensity"] for result in rows]
    left, right = min(intensities) / 3, max(*intensities, peak / bandwidth) * 4
    x = np.geomspace(left, right, 200)
    ax.plot(x, np.minimum(peak, bandwidth * x), color="black", linewidth=1.5)
    ax.annotate(f"FMA peak {peak:.0f} GFLOP/s", (right, peak), (-4, 4), textcoords="offset points", ha="right", va="bottom")
    middle = (left * peak / bandwidth) ** 0.5
    lowest = peak
    for name, filled in ((OURS, True), ("numpy", False)):
        points = [
            (result["intensity"], result["contestants"][name]["gflops"])
            for result in rows
            if "gflops" in result["contestants"].get(name, {})
        ]
        if points:
            colour = STYLES[name][0]
            ax.plot(*zip(*points, strict=True), "o", color=colour, markerfacecolor=colour if filled else "white", markersize=7, label=name)
            lowest = min(lowest, *(speed for _, speed in points))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(lowest / 2, peak * 2)
    _along_the_slope(ax, middle, bandwidth)
    _name_points(ax, rows)
    ax.grid(which="major", alpha=0.3)
    ax.set(xlabel=f"flop per byte of unavoidable memory traffic, {dtype}", ylabel="GFLOP/s")
    ax.set_title(_title(results), fontsize="medium")
    ax.legend(loc="lower right")


def _along_the_slope(ax: Axes, x: float, bandwidth: float) -> None:
    """Name the memory roof, above it and parallel to it."""
    if bandwidth * x < ax.get_ylim()[0]:
        x = 1.5 * ax.get_ylim()[0] / bandwidth
    ax.annotate(
        f"memory {bandwidth:.0f} GB/s",
        (x, bandwidth * x),
        (-6, 6),
        textcoords="offset points",
        rotation=45,
        rotation_mode="anchor",
        transform_rotates_text=True,
        va="bottom",
    )


def _name_points(ax: Axes, rows: list[dict[str, Any]]) -> None:
    """Write the workloads' names beside fastbp's points, to the side where the next point is farther away."""
    points = [(row["intensity"], row["contestants"][OURS]["gflops"], row["name"]) for row in rows if "gflops" in row["contestants"][OURS]]
    points.sort()
    for i, (intensity, speed, name) in enumerate(points):
        below = i % 2
        ax.annotate(
            name, (intensity, speed), (0, -9 if below else 7), textcoords="offset points", ha="center", va="top" if below else "bottom", fontsize="small"
        )


def _title(results: dict[str, Any]) -> str:
    machine, threads = results["machine"], results["settings"]["threads"]
    return f"{machine['cpu']}, {threads} thread{'s' if threads > 1 else ''}, {machine['date']}, fastbp {machine['versions']['fastbp']}"
