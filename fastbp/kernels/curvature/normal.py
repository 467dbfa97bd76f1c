"""The normal equations of a sum of squares: J^T J, J^T e and e^T e, of which J is never stored.

A block of rows of (J, e) is written into panels, which stay in the cache while the products of each pair of panels are added to the
tiles of one triangle of (J, e)^T (J, e). Tiles are divided among the members of a team, never the rows.

Legend: N samples; S of a block; P parameters; O outputs of the network; Q columns of a panel; n panels of P + 1 columns.
"""

from typing import Any, NamedTuple

from fastbp.compiler import inline, kernel
from fastbp.kernels.curvature.rows import write_rows_of_output
from fastbp.kernels.packing import fill
from fastbp.kernels.products.gemm import Ends, count_panels, outer_product, panel_width, registers_of_panel
from fastbp.kernels.team import barrier, share
from fastbp.simd.tile import CONTINUE, STORE


class Places(NamedTuple):
    """Where in the numbers of a call what is."""

    triangle: Any  # panels 0 to n - 1 of the upper triangle of a matrix: panel q has (q + 1) Q rows
    panels: Any  # (S, P + 1), as far apart as all panels of the plan
    row: Any  # a member's own


@inline
def size_of_triangle(panels, panel):
    """Numbers of the panels of an upper triangle."""
    return panels * (panels + 1) // 2 * panel * panel


@inline
def places_of(plan, out, team):
    """Where in `out` what is; `fastbp.engine.curvature` has its length."""
    panel, count = panel_width(out), count_panels(plan.n_params + 1, out)
    panels = out + size_of_triangle(count, panel)
    return Places(out, panels, panels + count * plan.panel_stride + team.member * (count + 1) * panel)


@inline
def _is_of_output(plan, k, begin, end):
    """Whether output k depends on any of the parameters of these columns; the error counts as one."""
    last = plan.layers[plan.n_layers - 1]
    w, b = last.weights + k * last.n_in, last.biases + k
    return begin < last.weights or (begin < w + last.n_in and w < end) or begin <= b < end or end > plan.n_params


@kernel
def _add_products(plan, places, rows, k, team):
    """(J, e)^T (J, e) of the rows of a block that belong to output k added to the triangle; a share of its tiles."""
    panel, stride, columns = panel_width(places.panels), plan.panel_stride, plan.n_params + 1
    count, active = count_panels(columns, places.panels), 0
    for p in range(count):
        active += _is_of_output(plan, k, p * panel, (p + 1) * panel)
    first, last = share(active * (active + 1) // 2, team)
    unit, right = 0, places.panels
    for q in range(count):
        g = places.triangle + size_of_triangle(q, panel)
        registers = registers_of_panel(q, columns, places.panels)
        if _is_of_output(plan, k, q * panel, (q + 1) * panel):
            left = places.panels
            for p in range(q + 1):
                if _is_of_output(plan, k, p * panel, (p + 1) * panel):
                    if first <= unit < last:
                        outer_product(left, right, rows, g, min(panel, columns - p * panel), registers, Ends(CONTINUE, g, STORE, g))
                    unit += 1
                left, g = left + stride, g + panel * panel
        right = right + stride


@kernel
def clear_triangle(plan, out, team):
    """Write 0 to the triangle; a share of it."""
    panel = panel_width(out)
    pairs = size_of_triangle(count_panels(plan.n_params + 1, out), 1)
    first, last = share(pairs, team)
    fill(out + first * panel * panel, (last - first) * panel * panel, 0.0)


@kernel
def add_block(plan, work, data, batch, out, team):
    """The products of all rows of J of a block of samples added to the triangle in `out`, after the forward pass."""
    places = places_of(plan, out, team)
    for k in range(plan.layers[plan.n_layers - 1].n_out):
        write_rows_of_output(plan, work, data, batch, k, places.panels, places.row, team)
        _add_products(plan, places, batch.count, k, team)
        barrier(team)
