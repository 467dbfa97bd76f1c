"""What notebooks show of a network, of many, and of a history: HTML of the colour of the text around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from math import inf, isfinite, log
from typing import Any

MOST_LAYERS, MOST_UNITS, MOST_POINTS = 12, 8, 120
STEP, RADIUS, GAP = 14, 4, 90  # of a diagram, in pixels: unit to unit, a unit, layer to layer
CURVE = 240, 48  # width and height of that of a history
CELL = "padding:.2em .9em .2em 0;text-align:"


def abbreviated(count: int, most: int) -> list[int | None]:
    """The numbers of `count` things, or of the first and last of them, and None where the others are: `most` in all."""
    if count <= most:
        return list(range(count))
    first = most // 2
    return [*range(first), None, *range(count - (most - first - 1), count)]


def heights(units: Sequence[int | None]) -> list[float]:
    """How high the units of a layer stand that are shown, the first above, with 0 in the middle and 1 from one to the next."""
    return [(len(units) - 1) / 2 - place for place in range(len(units))]


def kind_of_layer(net: Any, layer: int) -> str:
    """What its units are: "inputs" of layer 0, else their activation."""
    kind: str = "inputs" if layer == 0 else (*net.hidden, net.output)[layer - 1].name
    return kind


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[int] = ()) -> str:
    """A table; columns of `numbers` stand to the right."""

    def line(cells: Sequence[Any], tag: str) -> str:
        styles = [CELL + ("right;font-variant-numeric:tabular-nums" if i in numbers else "left") for i in range(len(cells))]
        return "".join(f'<{tag} style="{style}">{escape(str(cell))}</{tag}>' for cell, style in zip(cells, styles, strict=True))

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table>\n<tr>{line(head, 'th')}</tr>\n{body}\n</table>"


def of_network(net: Any) -> str:
    """A diagram, and a table of the layers."""
    return _page(type(net).__name__, f"{net.params.size:,} parameters", net)


def of_networks(nets: Any) -> str:
    """As of one network, of each of them."""
    return _page(f"{len(nets):,} networks", f"{nets.params.shape[1]:,} parameters each", nets._one)


def _page(title: str, parameters: str, net: Any) -> str:
    layers = abbreviated(len(net.sizes), MOST_LAYERS)
    rows = [_row(net, layer) for layer in layers if layer != 0]
    scale = "" if net.input_scale == 1.0 else f", inputs times {net.input_scale:g}"
    facts = f"{parameters}, {net.dtype.name}, loss {net.loss_function!r}{scale}"
    text = table(("layer", "units", "activation", "parameters"), rows, numbers=(0, 1, 3))
    return f"<div>\n<b>{escape(title)}</b>: {escape(facts)}\n{_diagram(net.sizes, layers)}\n{text}\n</div>"


def _row(net: Any, layer: int | None) -> tuple[str, ...]:
    if layer is None:
        return ("\u22ee",) * 4
    n_in, n_out = net.sizes[layer - 1 : layer + 1]
    return str(layer), f"{n_in} \u2192 {n_out}", kind_of_layer(net, layer), f"{n_out * (n_in + 1):,}"


def _diagram(sizes: Sequence[int], layers: Sequence[int | None]) -> str:
    """Circles for units, dots for those that are left out, lines between them, and the sizes below."""
    shown: list[Any] = [None if layer is None else abbreviated(sizes[layer], MOST_UNITS) for layer in layers]
    middle = STEP * max(len(units) for units in shown if units) / 2
    width, height = GAP * (len(layers) - 1) + 60, 2 * middle + 20
    columns = [
        (30 + GAP * place, units and [(unit, middle - STEP * up) for unit, up in zip(units, heights(units), strict=True)])
        for place, units in enumerate(shown)
    ]
    lines, marks = [], []
    for (x, left), (right_x, right) in pairwise(columns):
        if left and right:
            lines += [f"M{x} {y:g}L{right_x} {up:g}" for unit, y in left if unit is not None for to, up in right if to is not None]
    for layer, (x, units) in zip(layers, columns, strict=True):
        for unit, y in units or ():
            spots = ((0, RADIUS),) if unit is not None else ((-4, 1), (0, 1), (4, 1))
            marks += [f'<circle cx="{x}" cy="{y + down:g}" r="{r}"/>' for down, r in spots]
        label, low = ("\u22ef", middle + 4) if layer is None else (sizes[layer], height - 4)
        marks.append(f'<text x="{x}" y="{low:g}" stroke="none" text-anchor="middle">{label}</text>')
    return (
        f'<svg role="img" aria-label="diagram of layers" width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}"'
        ' style="display:block;max-width:100%" font-size="12" fill="currentColor" stroke="currentColor">\n'
        f'<path d="{"".join(lines)}" fill="none" opacity=".25"/>\n{"".join(marks)}\n</svg>'
    )


def of_history(history: Any) -> str:
    """Curves of the losses, and a table of the first, the best and the last epoch."""
    count = len(history.loss)
    stopped = "" if history.stopped_by is None else f", stopped by {history.stopped_by}"
    facts = f"<b>History</b>: {count:,} epoch{'s' * (count != 1)}{escape(stopped)}"
    if not count:
        return f"<div>\n{facts}\n</div>"
    judged = history.validation_loss or history.loss
    best = min(range(len(judged)), key=lambda epoch: judged[epoch] if isfinite(judged[epoch]) else inf)
    told: dict[int, list[str]] = {}
    for what, epoch in ("first", 0), ("best", best), ("last", count - 1):
        told.setdefault(epoch, []).append(what)
    names = [name for name, values in vars(history).items() if isinstance(values, list) and values and name[-5:] != "norms"]
    rows = [
        (", ".join(what), epoch + 1, *(f"{found[name]:.4g}" if name in found else "" for name in names))
        for epoch, what in sorted(told.items())
        for found in [history.at(epoch)]
    ]
    head = ("", "epoch", *(name.replace("_", " ") + " (s)" * (name == "time") for name in names))
    return f"<div>\n{facts}\n{_curves(history)}\n{table(head, rows, numbers=range(1, len(head)))}\n</div>"


def _curves(history: Any) -> str:
    """The losses against epochs: a line through, and a broken one of validation."""
    curves = [_thinned(values) for values in (history.loss, history.validation_loss)]
    found = [value for curve in curves for _, value in curve]
    if len(curves[0]) < 2:
        return ""
    of = log if min(found) > 0 else float
    low, high = of(min(found)), of(max(found))
    (width, height), last = CURVE, max(epoch for curve in curves for epoch, _ in curve)
    parts = []
    for curve, dash in zip(curves, ("", ' stroke-dasharray="4 3"'), strict=True):
        points = " ".join(
            f"{4 + (width - 8) * epoch / last:.1f},{height - 4 - (height - 8) * (of(value) - low) / ((high - low) or 1.0):.1f}"
            for epoch, value in curve
        )
        parts.append(f'<polyline points="{points}"{dash}/>' if curve else "")
    label = "loss against epochs" + ("; broken, the validation loss" if history.validation_loss else "")
    return (
        f'<svg role="img" aria-label="{label}" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' style="display:block" fill="none" stroke="currentColor" stroke-width="1.5">\n<title>{label}</title>\n'
        f"{''.join(parts)}\n</svg>"
    )


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    """(epoch, value) at equal distances, the last one too, of those that are finite."""
    step = max(1, -(-len(values) // MOST_POINTS))
    epochs = sorted({*range(0, len(values), step), len(values) - 1} if values else ())
    return [(epoch, values[epoch]) for epoch in epochs if isfinite(values[epoch])]
