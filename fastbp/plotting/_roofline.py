"""Speed against arithmetic intensity, under the roofs of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.plotting._axes import axes_or_new, ink, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes


OURS, BASELINE = "fastbp", "numpy"  # contestants


def roofline(results: dict[str, Any], ax: Axes | None = None) -> Axes:
    """Plot the speed of fastbp and of NumPy against arithmetic intensity, under the roofs measured in the same run.

    Only workloads of the dtype that most have are drawn: each dtype has a roof of its own.

    Parameters
    ----------
    results : dict
        What ``fastbp bench --json`` writes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If no training was timed.

    Examples
    --------
    >>> import fastbp
    >>> speeds = {"fastbp": {"gflops": 40.0}, "numpy": {"gflops": 12.0}}
    >>> digits = {"name": "digits", "dtype": "float32", "intensity": 20.0, "contestants": speeds}
    >>> machine = {"cpu": "AMD EPYC", "date": "2026-11-29", "versions": {"fastbp": "0.1.0"}, "bandwidth_gbs": 12.0}
    >>> machine["peak_gflops"] = {"float32": 100.0}
    >>> results = {"workloads": [digits], "machine": machine, "settings": {"threads": 1}}
    >>> fastbp.plotting.roofline(results).get_ylabel()
    'GFLOP/s'
    """
    timed = [result for result in results.get("workloads", ()) if "gflops" in result["contestants"].get(OURS, {})]
    if not timed:
        raise ValueError("results holds no training that was timed: give what `fastbp bench --json` writes")
    dtypes = [result["dtype"] for result in timed]
    dtype = max(dtypes, key=dtypes.count)
    timed = [result for result in timed if result["dtype"] == dtype]
    peak, bandwidth = results["machine"]["peak_gflops"][dtype], results["machine"]["bandwidth_gbs"]
    ridge = peak / bandwidth
    intensities = [result["intensity"] for result in timed]
    x = np.geomspace(min(*intensities, ridge) / 6, max(*intensities, ridge) * 3, 200)
    ax = axes_or_new(ax, 6.4, 4.8)
    line = ink(ax)
    styles: dict[str, tuple[Any, str]] = {OURS: (line, "o"), BASELINE: (palette(1)[0], "o")}
    ax.plot(x, np.minimum(peak, bandwidth * x), color=line, linewidth=1.5)
    above: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "va": "bottom"}
    ax.annotate(f"FMA peak {peak:.0f} GFLOP/s", (x[-1], peak), (-4, 3), **above)
    ax.annotate(f"memory {bandwidth:.0f} GB/s", (0.6 * ridge, 0.6 * peak), (-4, 0), **above)

    pairs, seen = [], set()
    for result in timed:
        speeds = {name: result["contestants"].get(name, {}).get("gflops") for name in styles}
        found = [speed for speed in speeds.values() if speed is not None]
        pairs.append((result["name"], result["intensity"], min(found), max(found)))
        ax.plot([result["intensity"]] * len(found), found, color="grey", linewidth=1, zorder=1)
        for name, speed in speeds.items():
            colour, marker = styles[name]
            if speed is not None:
                ax.plot(result["intensity"], speed, marker, color=colour, markersize=7, label=None if name in seen else name)
                seen.add(name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(min(low for *_, low, _ in pairs) / 4, peak * 3)
    ax.grid(which="major", alpha=0.3)
    ax.set(xlabel=f"flop per byte of unavoidable memory traffic ({dtype})", ylabel="GFLOP/s")
    ax.set_title(title_of(results), fontsize="medium")
    ax.legend(loc="lower right")
    _name(ax, pairs)
    return ax


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


def title_of(results: dict[str, Any]) -> str:
    """Machine and day of a benchmark."""
    machine, threads = results["machine"], results["settings"]["threads"]
    plural = "s" if threads > 1 else ""
    return f"{machine['cpu']}, {threads} thread{plural}, {machine['date']}, fastbp {machine['versions']['fastbp']}"
