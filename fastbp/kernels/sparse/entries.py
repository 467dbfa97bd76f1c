"""Samples most of whose numbers are zero as entries: the other numbers, and where they stand.

Row by row they are what the forward product of the first layer takes, column by column what its gradient does; see
:mod:`fastbp.kernels.sparse.first_layer`.

Legend: B rows (samples) of the block; I inputs of the network; N samples.
"""

from fastbp.compiler import inline, when_sparse
from fastbp.kernels.products.gemm import panel_width
from fastbp.kernels.samples import number_of, numbers_of
from fastbp.kernels.team import share
from fastbp.simd.kinds import OWN, prefetch_as
from fastbp.simd.register import all_lanes, integers, load, width


@inline
def by_rows(plan, work):
    """Values, their columns, where those of each row in each piece of the columns begin, and rows from one piece to the next."""
    capacity = plan.panel_stride // panel_width(work)
    return work + plan.values, integers(work + plan.places), integers(work + plan.bounds), capacity


@inline
def by_columns(plan, work):
    """Values, their rows, and where those of each column begin."""
    return work + plan.column_values, integers(work + plan.column_places), integers(work + plan.column_begins)


@inline
def _entries_of_row(row, n_in, piece, values, places, bounds, capacity, e):
    """Write the entries of a row (I,) of all numbers from place `e` on; returns where they end."""
    lanes, edge = width(row), 0
    for i in range(0, n_in, lanes):
        if i == edge:
            bounds[0] = e
            bounds = bounds + capacity
            edge += piece
        if i + lanes <= n_in and all_lanes(load(row, i) == 0.0):
            continue
        for k in range(i, min(i + lanes, n_in)):
            values[e] = row[k]
            places[e] = k
            e += 0 if row[k] == 0.0 else 1
    return e


@inline
def _copy_entries(x, scale, columns, count, piece, values, places, bounds, capacity, e):
    """Write so many entries, numbers and their columns, from place `e` on; returns in which piece those that are left would be."""
    q = 0
    for i in range(count):
        k = columns[i]
        values[e + i] = x[i] * scale
        places[e + i] = k
        while k >= q * piece:
            bounds[q * capacity] = e + i
            q += 1
    return q


@when_sparse
def gather_entries(plan, work, reals, data, order, first, last):
    """Entries of the samples order[first:last], by rows."""
    x, columns, starts, numbers = data.x, data.columns, data.starts, numbers_of(plan, reals, data)
    n_in, pieces, piece = plan.layers[0].n_in, plan.pieces, plan.piece
    values, places, bounds, capacity = by_rows(plan, work)
    if plan.compressed == 0:
        for b in range(first, last):
            if b + 1 < last:
                for i in range(0, n_in, 2 * width(x)):
                    prefetch_as(x, max(plan.conversion - 1, OWN), order[b + 1] * n_in + i)
            row, e = x + order[b] * n_in, b * plan.most_entries
            if plan.conversion > 0:
                row = values + e  # where there is room for the whole row: no entry is written before its number has been read
                for i in range(n_in):
                    row[i] = number_of(numbers, order[b] * n_in + i)
            e = _entries_of_row(row, n_in, piece, values, places, bounds + b, capacity, e)
            bounds[pieces * capacity + b] = e
        return
    e = 0
    for b in range(last):
        start, count = starts[order[b]], starts[order[b] + 1] - starts[order[b]]
        if b >= first:
            begun = _copy_entries(
                x + start, reals.input_scale, columns + start, count, piece, values, places, bounds + b, capacity, e
            )
            for q in range(begun, pieces + 1):
                bounds[q * capacity + b] = e + count
        e += count


@when_sparse
def sort_entries(plan, work, rows, team):
    """The entries by columns from those by rows: counted, and put one after another into the place of their column; a share."""
    n_in, piece = plan.layers[0].n_in, plan.piece
    values, places, bounds, capacity = by_rows(plan, work)
    sorted_values, sorted_places, column_begins = by_columns(plan, work)
    free = column_begins + 1  # while they are filled, those of column k go on at free[k]
    first, last = share(plan.pieces, team)
    begins, ends = bounds + first * capacity, bounds + last * capacity
    before = 0
    for b in range(rows):
        before += begins[b] - bounds[b]
    column_begins[0] = 0
    for k in range(first * piece, min(last * piece, n_in)):
        free[k] = 0
    for b in range(rows):
        for e in range(begins[b], ends[b]):
            free[places[e]] += 1
    for k in range(first * piece, min(last * piece, n_in)):
        before, free[k] = before + free[k], before
    for b in range(rows):
        for e in range(begins[b], ends[b]):
            k = places[e]
            sorted_values[free[k]] = values[e]
            sorted_places[free[k]] = b
            free[k] += 1
