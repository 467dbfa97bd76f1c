"""Mean normalised score against CPU seconds, a panel for each half and task."""

import numpy as np

from benchmarks.tables.contestants import OURS
from benchmarks.tables.data_sets import HALVES
from benchmarks.tables.report import KINDS, summary
from benchmarks.tables.scores import normalised, seconds
from fastbp.plotting._axes import new_figure

NAME = "tabular.png"
COLOURS = {"fastbp": "#0072B2", "RealMLP": "#D55E00"}  # of names that begin so; others are grey
ABOVE, BELOW = (0, 8), (0, -15)  # of a point, in points of type


def save(runs, names, directory):
    """Write tabular.png, if there is a split that all have done."""
    names = [name for name in names if any(run["contestant"] == name for run in runs)]
    found = {(half, kind): summary(runs, names, half, kind) for half in HALVES for kind in KINDS}
    halves = [half for half in HALVES if any(len(found[half, kind][1]) for kind in KINDS)]
    if not halves:
        return
    figure = new_figure(5.4 * len(KINDS), 3.6 * len(halves) + 0.3)
    panels = figure.subplots(len(halves), len(KINDS), squeeze=False, sharex=True, sharey=True)
    for line, half in zip(panels, halves, strict=True):
        for ax, kind in zip(line, KINDS, strict=True):
            draw(ax, names, *found[half, kind])
            ax.set_title(f"{kind}, {half} (data sets: {len(found[half, kind][1])})", fontsize="medium")
        line[0].set_ylabel("mean normalised score")
    for ax in panels[-1]:
        ax.set_xlabel("CPU seconds to fit, geometric mean")
    figure.savefig(directory / NAME)


def draw(ax, names, tried, data_sets, values):
    """One point for each contestant; ours joined."""
    from matplotlib.patheffects import withStroke

    ax.set_xscale("log")
    ax.set_ylim(-0.1, 1.1)
    ax.margins(x=0.15)
    ax.grid(alpha=0.3)
    if not len(data_sets):
        return
    heights = np.mean(normalised(values), axis=0)
    points = {}
    for name, height in zip(names, heights, strict=True):
        if len(taken := seconds(tried, name, "fit_seconds")):
            points[name] = np.exp(np.log(taken).mean()), height
    presets = np.array([points[name] for name in OURS if name in points]).reshape(-1, 2)
    ax.plot(*presets.T, color=COLOURS["fastbp"], linewidth=1.5, zorder=1)
    for name, (x, y) in points.items():
        colour = next((colour for start, colour in COLOURS.items() if name.startswith(start)), "#555555")
        ax.scatter(x, y, color=colour, s=30, zorder=4)
        style = {"textcoords": "offset points", "ha": "center", "fontsize": "small", "color": colour}
        ax.annotate(
            name, (x, y), side(points, name), zorder=3, path_effects=[withStroke(linewidth=2.5, foreground="white")], **style
        )


def side(points, name):
    """Where a name is written: below its point if the nearest of those beside it is higher."""
    x, y = points[name]
    near = [other for other in points if other != name and abs(np.log(points[other][0] / x)) < 1.5]
    nearest = min(near, key=lambda other: abs(points[other][1] - y), default=None)
    return BELOW if nearest is not None and (points[nearest][1], nearest) > (y, name) else ABOVE
