"""Features: what the first layer reads of a row of a table, s * [x, periodic(x), plain, embedded codes].

A row has first the columns with periodic embeddings, then plain numbers, then codes, which are rows of one table of embeddings for
all of them. The embedding of a number x, of each of its columns its own (PBLD of Holzmueller, Grinsztajn & Steinwart, 2024), is

    [x, V cos(2 pi w x + b) + c],   w, b (H,), V (D, H), c (D,).

Legend: S samples of the block; C columns of a row of X; N of them with periodic embeddings, in lanes, W at a time, R the same
rounded up to registers; H frequencies; D = `EMBEDDED` numbers; Q plain columns; E codes; K numbers of an embedding; F features,
N (1 + D) + Q + E K, the first N of which are the numbers themselves and the next D times N their embeddings; P columns of a panel.
"""

from math import pi

from fastbp.compiler import inline, when_tabular
from fastbp.kernels.packing import fill
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.kernels.team import share
from fastbp.kernels.tuning import EMBEDDED
from fastbp.simd.register import fma, like, load, load_first, store, width
from fastbp.simd.vmath import cos


@inline
def periodic_stride(plan, pointer):
    """R: numbers from one frequency of all columns to the next."""
    return (plan.periodic + width(pointer) - 1) // width(pointer) * width(pointer)


@inline
def periodic_parts(plan, periods):
    """w (H, R), b (H, R), V (D, H, R) and c (D, R), one after the other in the parameters, their gradient or slots."""
    size = plan.frequencies * periodic_stride(plan, periods)
    return periods, periods + size, periods + 2 * size, periods + (2 + EMBEDDED) * size


@inline
def angle(w, b, x):
    """2 pi w x + b of W columns."""
    return fma(load(w, 0) * like(x, 2.0 * pi), x, load(b, 0))


@inline
def _embed_numbers(plan, periods, x, row):
    """Write the periodic embeddings of a row's numbers x (N,): column by column of V, then c."""
    stride, count, lanes = periodic_stride(plan, periods), plan.periodic, width(periods)
    w, b, v, c = periodic_parts(plan, periods)
    # what is written past the end of a part is overwritten by the next one
    for d in range(EMBEDDED):
        for n in range(0, count, lanes):
            x_n = load_first(x + n, count - n)
            total = load(c, d * stride + n)
            for h in range(plan.frequencies):
                k = h * stride + n
                total = fma(load(v, d * plan.frequencies * stride + k), cos(angle(w + k, b + k, x_n)), total)
            store(row, (1 + d) * count + n, total)


@inline
def _encode_row(plan, work, x, row):
    """row (F,), and zeros up to the end of a panel = the features of x (C,), before their scales."""
    table, lanes, size = work + plan.packed + plan.table, width(work), plan.embedding
    numbers = plan.periodic
    for n in range(0, numbers, lanes):
        store(row, n, load_first(x + n, numbers - n))
    if numbers > 0:
        _embed_numbers(plan, work + plan.packed + plan.periods, x, row)
    x, row = x + numbers, row + numbers * (1 + EMBEDDED)
    for q in range(0, plan.plain, lanes):
        store(row, q, load_first(x + q, plan.plain - q))
    x, row = x + plan.plain, row + plan.plain
    for e in range(plan.coded):
        source = table + int(x[e]) * size
        for k in range(0, size, lanes):
            store(row, k, load(source, k))
        row = row + size
    fill(row, panel_width(work), 0.0)


@when_tabular
def encode_samples(plan, work, data, samples, rows, team):
    """A (S, F) in panels = the features times their scales, and in ``plan.features`` row by row without these; a share of the rows.

    Reads X (N, C) of the network's dtype, whose codes are rows of the table of embeddings.
    """
    stride, panel, count = plan.panel_stride, panel_width(work), plan.layers[0].n_in
    scales, a = work + plan.packed + plan.scales, work + plan.layers[0].input
    first, last = share(rows, team)
    for s in range(first, last):
        row = work + plan.features + s * plan.features_stride
        _encode_row(plan, work, data.x + samples[s] * plan.columns, row)
        for p in range(count_panels(count, work)):
            for i in range(p * panel, (p + 1) * panel, width(work)):
                store(a, p * stride + s * panel + i % panel, load(row, i) * load(scales, i))
