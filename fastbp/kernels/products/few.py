"""Products with a panel of which only a few columns are filled: lanes over the depth, or over the inputs, not over the columns.

A tile of one register of columns waits for its own sums, and most of its lanes multiply zeros: a network of one output would spend
a third of its time so.

A product of so small a depth is one turn of no loop.

Legend: W lanes of a register; P = 2 W columns of a panel; K depth of a product; k filled columns; see
:mod:`fastbp.kernels.products.gemm`.
"""

from fastbp.compiler import inline, kernel, switch
from fastbp.kernels.tuning import FEW, FEWER, SHALLOW_ROWS, TURNED_DEPTH
from fastbp.simd import register
from fastbp.simd.ieee754 import as_argument
from fastbp.simd.register import broadcast, fma, like, load, on_stack, store, width
from fastbp.simd.tile import (
    ADD_SCALED,
    BIAS,
    CONTINUE,
    STORE,
    WHERE_ABOVE,
    ZERO,
    tile_accumulate,
    tile_axpy,
    tile_load,
    tile_rank,
    tile_store,
    tile_sums,
    tile_where_above,
    tile_zero,
)
from fastbp.simd.transpose import square_load_transposed

SAMPLES = max(8, register.register_bytes() // 4)  # rows of A at a time: so many sums side by side


# TURNED_DEPTH registers, and SAMPLES numbers, for the length of a call
_room = on_stack(lambda lanes: TURNED_DEPTH * lanes + SAMPLES)


def _dots(rows):
    zero = tile_zero(1, rows)

    @kernel
    def dots(a, a_panel, registers, w, out):
        """out (rows,) = A w for rows of A; w (K,) in registers that are W^2 numbers apart."""
        lanes = width(a)
        tile = zero(a)
        for _ in range(registers // 2):
            # the sums of row r, lane by lane: A[r, i:i + W] w[i:i + W]
            tile = tile_accumulate(tile, w, 2 * lanes, a, 2 * lanes)
            tile = tile_accumulate(tile, w + lanes * lanes, 2 * lanes, a + lanes, 2 * lanes)
            a, w = a + a_panel, w + 2 * lanes * lanes
        if registers % 2 == 1:
            tile = tile_accumulate(tile, w, 2 * lanes, a, 2 * lanes)
        tile_sums(tile, out)

    return dots


_dots_of_many, _dots_of_one = _dots(SAMPLES), _dots(1)


@kernel
def product_few(a, a_panel, depth, m, c, rows, columns, start, bias):
    """C = start + A M for a panel of C of `columns` <= FEW columns, one sum for each, lane by lane, not yet finished."""
    lanes, panel = width(a), 2 * width(a)
    turned = _room(a)
    sums = turned + TURNED_DEPTH * lanes
    # M^T: the registers of column j are rows j of squares
    whole = depth - depth % lanes
    for k in range(0, whole, lanes):
        tile_store(square_load_transposed(m + k * panel, panel), turned + k * lanes, lanes)
    for j in range(lanes):
        for k in range(whole, (depth + lanes - 1) // lanes * lanes):
            turned[whole * lanes + j * lanes + k - whole] = m[k * panel + j] if k < depth else 0.0
    registers = (depth + lanes - 1) // lanes
    for j in range(columns):
        row = 0
        while row < rows:
            count = SAMPLES if row + SAMPLES <= rows else 1
            if count == SAMPLES:
                _dots_of_many(a + row * panel, a_panel, registers, turned + j * lanes, sums)
            else:
                _dots_of_one(a + row * panel, a_panel, registers, turned + j * lanes, sums)
            for r in range(count):
                i = (row + r) * panel
                before = c[i + j] if start == CONTINUE else bias[j] if start == BIAS else 0.0
                if j == 0 and start != CONTINUE:
                    store(c, i, like(load(c, i), 0.0))
                c[i + j] = before + sums[r]
            row += count


_next = tile_rank(1)


def _turned(columns):
    zero = tile_zero(columns, 2)

    @kernel
    def turned(a, d, depth, out):
        """out (columns, P) = D^T A for a panel of A and one of D; the sums of even and of odd samples run side by side."""
        panel = 2 * width(a)
        even, odd = zero(a), zero(a)
        for _ in range(depth // 2):
            # G^T[:, i] += D[b, :] A[b, i]
            even = _next(even, d, 1, 0, a, 0)
            odd = _next(odd, d + panel, 1, 0, a + panel, 0)
            a, d = a + 2 * panel, d + 2 * panel
        if depth % 2 == 1:
            even = _next(even, d, 1, 0, a, 0)
        tile_store(tile_axpy(like(load(a, 0), 1.0), odd, even), out, panel)

    return turned


def _turned_with_deltas(columns):
    zero, zero_row, load_row, multiply = tile_zero(columns, 2), tile_zero(1, 2), tile_load(1, 2), tile_rank(columns)

    @inline
    def delta(a, d, m):
        return tile_where_above(multiply(zero_row(a), d, 0, 1, m, 2 * width(a)), load_row(a, 0), like(load(a, 0), 0.0))

    @kernel
    def turned_with_deltas(a, d, depth, out, m, below):
        """`turned` of D (depth, columns), and below (depth, P) = D M where A is above 0: both in one pass over A."""
        panel = 2 * width(a)
        even, odd = zero(a), zero(a)
        for _ in range(depth // 2):
            first, second = delta(a, d, m), delta(a + panel, d + columns, m)
            even = _next(even, d, 1, 0, a, 0)
            odd = _next(odd, d + columns, 1, 0, a + panel, 0)
            tile_store(first, below, 0)
            tile_store(second, below + panel, 0)
            a, d, below = a + 2 * panel, d + 2 * columns, below + 2 * panel
        if depth % 2 == 1:
            tile_store(delta(a, d, m), below, 0)
            even = _next(even, d, 1, 0, a, 0)
        tile_store(tile_axpy(like(load(a, 0), 1.0), odd, even), out, panel)

    return turned_with_deltas


_turned_outer = switch([_turned(columns) for columns in range(1, FEW + 1)])
_turned_outer_with_deltas = switch([_turned_with_deltas(columns) for columns in range(1, FEWER + 1)])


@kernel
def _add_turned(turned, g, rows, columns, ends):
    """G = start + the transpose of turned (columns, P), for `rows` rows; see `gemm.outer_product`."""
    panel = 2 * width(g)
    for i in range(rows):
        row = g + i * panel
        if ends.start == ZERO and ends.finish == STORE:
            store(row, 0, like(load(g, 0), 0.0))
            store(row, width(g), like(load(g, 0), 0.0))
        for j in range(columns):
            if ends.finish == ADD_SCALED:
                # rounded once, as in the other tiles
                stepped = fma(broadcast(ends.aux, 0), broadcast(turned + j * panel, i), broadcast(row, j))
                row[j] = as_argument(stepped, row[j])
            else:
                row[j] += turned[j * panel + i]


@kernel
def outer_few(a, d, depth, g, rows, columns, ends):
    """G = start + A^T D for `rows` rows of a panel of G of `columns` <= FEW columns; see `gemm.outer_product`."""
    turned = _room(a)
    _turned_outer(columns - 1, a, d, depth, turned)
    _add_turned(turned, g, rows, columns, ends)


@kernel
def outer_few_with_deltas(a, d, depth, g, rows, columns, ends, m, below):
    """`outer_few` for D (depth, columns) of at most FEWER, and below (depth, P) = D M where A is above 0.

    Bits are those of `product_shallow`.
    """
    turned = _room(a)
    _turned_outer_with_deltas(columns - 1, a, d, depth, turned, m, below)
    _add_turned(turned, g, rows, columns, ends)


def _shallow(depth, columns):
    zero, load_tile, multiply = tile_zero(SHALLOW_ROWS, columns), tile_load(SHALLOW_ROWS, columns), tile_rank(depth)

    @kernel
    def shallow(a, m, c, rows, finish, aux):
        panel, row = 2 * width(a), 0
        while row < rows:
            # the last rows may be computed twice
            i = min(row, rows - SHALLOW_ROWS) * panel
            tile = multiply(zero(a), a + i, panel, 1, m, panel)
            if finish == WHERE_ABOVE:
                tile = tile_where_above(tile, load_tile(aux + i, panel), like(load(m, 0), 0.0))
            tile_store(tile, c + i, panel)
            row += SHALLOW_ROWS

    return shallow


_shallows = switch([_shallow(depth, columns) for columns in (1, 2) for depth in range(1, FEW + 1)])


@kernel
def product_shallow(a, depth, m, c, rows, registers, finish, aux):
    """C = A M for a panel of C and a depth of at most FEW; see `gemm.panel_product`, whose sums have the same bits."""
    _shallows((max(registers, 1) - 1) * FEW + depth - 1, a, m, c, rows, finish, aux)
