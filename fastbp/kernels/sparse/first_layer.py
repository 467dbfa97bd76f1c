"""The first layer where most numbers of the samples are zero: products with the others only.

A block of samples is kept as entries (:mod:`fastbp.kernels.sparse.entries`): row by row for the forward product, column by column
for the gradient. The sums run over them in the order of the dense products, in which a zero changes no bit.

Legend: B rows (samples) of the block; I inputs and O outputs of the layer; P columns of a panel.
"""

from typing import Any, NamedTuple

from fastbp.compiler import inline, kernel, switch, when_sparse
from fastbp.kernels.forward import IDENTITY, activate_panel, finish_panel, is_floored
from fastbp.kernels.gradient import destination, update_part
from fastbp.kernels.packing import copy, fill
from fastbp.kernels.plan import step_at
from fastbp.kernels.products.gemm import Ends, Panels, column_sums, count_panels, panel_width
from fastbp.kernels.sparse.entries import by_columns, by_rows
from fastbp.kernels.team import part, share
from fastbp.kernels.tuning import PART, SIDE_BY_SIDE
from fastbp.simd.register import broadcast, fma, like, load, store, width
from fastbp.simd.tile import (
    ADD_SCALED,
    BIAS,
    CONTINUE,
    FLOOR,
    STORE,
    ZERO,
    tile_axpy,
    tile_floor,
    tile_load,
    tile_store,
    tile_zero,
)


class Entries(NamedTuple):
    """Pointers to the entries of a sparse matrix: the numbers, their columns, and where those of each row begin and end."""

    values: Any
    places: Any
    begins: Any
    ends: Any


def _sums(panels):
    zero, load_tile = tile_zero(panels, 2), tile_load(panels, 2)

    @kernel
    def sums(entries, first, last, m, c, ends):
        """`sums_of_entries` of so many panels."""
        panel, place, values, places = panel_width(c.first), c.first, entries.values, entries.places
        for i in range(first, last):
            if ends.start == ZERO:
                tile = zero(place)
            elif ends.start == BIAS:
                tile = load_tile(ends.bias, m.stride)
            else:
                tile = load_tile(place, c.stride)
            for e in range(entries.begins[i], entries.ends[i]):
                # C[i, :] += value M[place, :]
                tile = tile_axpy(broadcast(values, e), load_tile(m.first + places[e] * panel, m.stride), tile)
            if ends.finish == FLOOR:
                tile = tile_floor(tile, like(load(place, 0), 0.0))
            elif ends.finish == ADD_SCALED:
                tile = tile_axpy(broadcast(ends.aux, 0), tile, load_tile(place, c.stride))
            tile_store(tile, place, c.stride)
            place = place + panel

    return sums


_sums_of_panels = switch([_sums(panels) for panels in range(1, SIDE_BY_SIDE + 1)])


@inline
def sums_of_entries(panels, entries, first, last, m, c, ends):
    """C = start + S M for rows first to last of a sparse matrix S, `panels` panels of M and C at a time, at most SIDE_BY_SIDE.

    Parameters
    ----------
    entries : Entries
        Of S.
    m : Panels, (I, P)
    c : Panels, (last - first, P)
        Overwritten; read first if the product continues, or is added to it.
    ends : Ends
        The row at `bias` is one of the panels of M.
    """
    _sums_of_panels(panels - 1, entries, first, last, m, c, ends)


@inline
def _groups(panels):
    return (panels + SIDE_BY_SIDE - 1) // SIDE_BY_SIDE


@when_sparse
def forward_entries(plan, work, rows, purpose, team):
    """`forward` of the first layer, this member's share of the rows."""
    layer = plan.layers[0]
    n_in, stride, panel = layer.n_in, plan.panel_stride, panel_width(work)
    panels, w_panel = count_panels(layer.n_out, work), (n_in + 1) * panel
    values, places, bounds, capacity = by_rows(plan, work)
    last_finish = FLOOR if is_floored(layer, purpose) else STORE
    first, last = share(rows, team)
    for group in range(_groups(panels)):
        p, end = part(panels, group, _groups(panels))
        w, out = work + plan.packed + layer.pack + p * w_panel, p * stride + first * panel
        z, bias = work + layer.activation + out, w + n_in * panel
        for q in range(plan.pieces):
            entries = Entries(values, places, bounds + q * capacity, bounds + (q + 1) * capacity)
            ends = Ends(CONTINUE if q > 0 else BIAS, bias, last_finish if q == plan.pieces - 1 else STORE, z)
            sums_of_entries(end - p, entries, first, last, Panels(w, w_panel), Panels(z, stride), ends)
    for p in range(panels):
        finish_panel(plan, layer, work, p, first, last - first, purpose)


@when_sparse
def forward_row_entries(plan, params, work):
    """`forward_entries` for one row, by the user's weights: few of them are looked at. Bits are those of `forward_entries`."""
    layer = plan.layers[0]
    n_in, n_out, stride, panel, lanes = layer.n_in, layer.n_out, plan.panel_stride, panel_width(work), width(work)
    values, places, bounds, capacity = by_rows(plan, work)
    for p in range(count_panels(n_out, work)):
        z, count = work + layer.activation + p * stride, min(panel, n_out - p * panel)
        w = params + layer.weights + p * panel * n_in
        fill(z, panel, 0.0)
        copy(params + layer.biases + p * panel, z, count)
        first, second = load(z, 0), load(z, lanes)
        for e in range(bounds[0], bounds[plan.pieces * capacity]):
            for j in range(count):
                z[j] = w[j * n_in + places[e]]
            first, second = fma(load(z, 0), broadcast(values, e), first), fma(load(z, lanes), broadcast(values, e), second)
        store(z, 0, first)
        store(z, lanes, second)
        if layer.code != IDENTITY:
            activate_panel(layer.code, z, 1, n_out - p * panel, work + layer.alpha)


@when_sparse
def gradient_entries(plan, work, rows, is_first, is_last, team):
    """`gradient` of the first layer, from the entries by columns; a share of it."""
    layer = plan.layers[0]
    n_in, stride, panel = layer.n_in, plan.panel_stride, panel_width(work)
    panels, parts, w_panel = count_panels(layer.n_out, work), (n_in + PART - 1) // PART, (n_in + 1) * panel
    values, places, begins = by_columns(plan, work)
    entries = Entries(values, places, begins, begins + 1)
    in_memory, steps_now, in_place = destination(plan, is_first, is_last)
    start = ZERO if is_first or not in_memory else CONTINUE
    scratch = work + plan.lanes + (team.member + 1) * plan.lanes_stride - SIDE_BY_SIDE * PART * panel
    scale = step_at(work + plan.step).rule + 1
    first, last = share(_groups(panels) * (parts + 1), team)
    for unit in range(first, last):
        p, end = part(panels, unit // (parts + 1), _groups(panels))
        k = unit % (parts + 1) * PART
        is_bias, stop = k >= n_in, min(k + PART, n_in)
        offset, d = layer.pack + p * w_panel + min(k, n_in) * panel, work + layer.delta + p * stride
        w, g, g_panel = work + plan.packed + offset, scratch, PART * panel
        if in_memory:
            g, g_panel = work + plan.gradient + offset, w_panel
        if is_bias:
            for each in range(end - p):
                column_sums(d + each * stride, rows, g + each * g_panel, start)
        elif in_place:
            sums_of_entries(end - p, entries, k, stop, Panels(d, stride), Panels(w, w_panel), Ends(ZERO, d, ADD_SCALED, scale))
            continue
        else:
            sums_of_entries(end - p, entries, k, stop, Panels(d, stride), Panels(g, g_panel), Ends(start, d, STORE, scale))
        if steps_now:
            count, is_bias = (1, 1) if is_bias else (stop - k, 0)
            for each in range(end - p):
                filled = layer.n_out - (p + each) * panel
                update_part(plan, plan.layers[0], work, offset + each * w_panel, g + each * g_panel, count, filled, is_bias, 0)
