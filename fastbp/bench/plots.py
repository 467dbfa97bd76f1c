"""Two pictures of the results of ``fastbp bench``: how many times faster than the others, and how far from the machine's limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.bench.measure import OURS
from fastbp.plotting import _figure

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
        figure = _figure()
        figure.set_size_inches(6.4, 4.8)
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
    ax.set_title(_title(results), fontsize="medium")
    if seen:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=min(len(seen), 4), frameon=False)


def roofline(results: dict[str, Any], ax: Axes) -> None:
    """Speed of fastbp and of the NumPy baseline against arithmetic intensity, under the roofs measured in the same run.

    Only workloads of the dtype that most have are drawn: each dtype has a roof of its own.
    """
    timed = [result for result in results["workloads"] if "gflops" in result["contestants"].get(OURS, {})]
    dtypes = [result["dtype"] for result in timed]
    dtype = max(dtypes, key=dtypes.count)
    timed = [result for result in timed if result["dtype"] == dtype]
    peak, bandwidth = results["machine"]["peak_gflops"][dtype], results["machine"]["bandwidth_gbs"]
    ridge = peak / bandwidth
    intensities = [result["intensity"] for result in timed]
    x = np.geomspace(min(*intensities, ridge) / 4, max(*intensities, ridge) * 3, 200)
    ax.plot(x, np.minimum(peak, bandwidth * x), color="black", linewidth=1.5)
    above: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "va": "bottom"}
    ax.annotate(f"FMA peak {peak:.0f} GFLOP/s", (x[-1], peak), (-4, 3), **above)
    ax.annotate(f"memory {bandwidth:.0f} GB/s", (0.6 * ridge, 0.6 * peak), (-4, 0), **above)

    pairs = []
    for position, result in enumerate(timed):
        speeds = {name: result["contestants"].get(name, {}).get("gflops") for name in (OURS, "numpy")}
        found = [speed for speed in speeds.values() if speed is not None]
        pairs.append((result["name"], result["intensity"], min(found), max(found)))
        ax.plot([result["intensity"]] * len(found), found, color="grey", linewidth=1, zorder=1)
        for name, speed in speeds.items():
            colour, marker = STYLES[name]
            if speed is not None:
                label = name if position == 0 else None
                ax.plot(result["intensity"], speed, marker, color=colour, markersize=7, label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(min(low for *_, low, _ in pairs) / 4, peak * 3)
    ax.grid(which="major", alpha=0.3)
    ax.set(xlabel=f"flop per byte of unavoidable memory traffic ({dtype})", ylabel="GFLOP/s")
    ax.set_title(_title(results), fontsize="medium")
    ax.legend(loc="lower right")
    _name(ax, pairs)


def _name(ax: Axes, pairs: list[tuple[str, float, float, float]]) -> None:
    """Write each name beside its points (x, low) and (x, high), where it covers no other point, line or name, if possible."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout, and with it where the points are, is settled by drawing
    pixel = figure.dpi / 72
    taken = [
        (*at, *at)
        for _, x, low, high in pairs
        for at in ax.transData.transform([(x, y) for y in np.geomspace(low, high, 16)])  # the points and the line between them
    ]
    for name, x, low, high in pairs:
        width, height, gap = 5.0 * len(name) * pixel, 9 * pixel, 6 * pixel
        bottom, top = ax.transData.transform([(x, low), (x, high)])
        corners = [
            (bottom[0] - width / 2, bottom[1] - gap - height),
            *((point[0] + side, point[1] - height / 2) for point in (bottom, top) for side in (gap, -gap - width)),
            (top[0] - width / 2, top[1] + gap),
        ]
        boxes = [(left, base, left + width, base + height) for left, base in corners]
        free = [box for box in boxes if not any(_overlap(box, other) for other in taken)]
        box = (free or boxes)[0]
        taken.append(box)
        across, up = ax.transData.inverted().transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        ax.annotate(name, (across, up), ha="center", va="center", fontsize="small")


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether two boxes (left, bottom, right, top) have a point in common, or nearly."""
    margin = 4
    return a[0] < b[2] + margin and b[0] < a[2] + margin and a[1] < b[3] + margin and b[1] < a[3] + margin


def _title(results: dict[str, Any]) -> str:
    machine, threads = results["machine"], results["settings"]["threads"]
    plural = "s" if threads > 1 else ""
    return f"{machine['cpu']}, {threads} thread{plural}, {machine['date']}, fastbp {machine['versions']['fastbp']}"
