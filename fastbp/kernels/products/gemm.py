"""Matrix products from register tiles, on matrices stored as column panels.

Every matrix of a mini-batch and every packed weight matrix is stored the same way: cut into panels of P columns, each panel
row after row. All strides inside a panel are then constants of the code, each tile reads its operands as contiguous streams,
and no product needs a copy: the panel of one product is the operand of the next.

Legend: W lanes of a register; P = 2 W columns of a panel; K depth of a product; B rows (samples); I inputs, O outputs of a layer.
A (B, I) and D (B, O) have panels of ``capacity`` >= B rows; packed weights (I + 1, O) have panels of I + 1 rows, the last the bias.

In lanes past the last column of a matrix, A, D, G and W are 0 after whatever wrote them, so that sums over registers are sums over
the columns, whatever an activation or a rule makes of 0. In a register all of whose lanes are past it, only D, G and W need be: of
A such a register is neither written nor read.
"""

from typing import Any, NamedTuple

from numba.extending import intrinsic

from fastbp.compiler import inline, kernel, switch
from fastbp.kernels.products.few import outer_few, product_few
from fastbp.kernels.products.ways import is_worth_turning
from fastbp.kernels.tuning import FEW
from fastbp.simd import register
from fastbp.simd.register import like, load, number_of, prefetch, store, width
from fastbp.simd.tile import CONTINUE, STORE
from fastbp.simd.tile_product import outer_tile, product_tile

ROWS = register.tile_rows()
TALL = max(ROWS, 8)  # rows of a tile one register wide: two units, each with four sums under way, are busy then


class Panels(NamedTuple):
    """A matrix, or a part of one from some row and panel on."""

    first: Any  # pointer to its first panel
    stride: int  # numbers from one panel to the next


class Ends(NamedTuple):
    """How a product begins and what becomes of it."""

    start: int  # ZERO, BIAS (every row is the one at `bias`), or CONTINUE from what is there
    bias: Any
    # STORE; FLOOR: max(c, 0); WHERE_ABOVE: 0 where not aux > 0, `aux` a panel like c; ADD_SCALED, with ZERO: what is there, and the
    # number at `aux` times the product, the whole step of plain gradient descent
    finish: int
    aux: Any


@intrinsic
def panel_width(typingctx, pointer):
    """P of the pointer's dtype."""
    return number_of(pointer, 2 * register.lanes(pointer.dtype))


@inline
def count_panels(columns, pointer):
    """Panels that hold so many columns."""
    return (columns + panel_width(pointer) - 1) // panel_width(pointer)


@inline
def registers_of_panel(panel, columns, pointer):
    """Registers that a row of a panel of a matrix of so many columns fills, 1 or 2; -k where it is but k <= FEW numbers."""
    left = columns - panel * panel_width(pointer)
    if left <= min(FEW, width(pointer)):
        return -left
    return 1 if left <= width(pointer) else 2


@inline
def split(rows, most):
    """Blocks of at most so many rows, as equal as can be: (blocks of height + 1, blocks of height, height)."""
    blocks = (rows + most - 1) // most
    height = rows // blocks
    return rows - blocks * height, blocks * (height + 1) - rows, height


def _strip(rows, columns):
    multiply = product_tile(rows, columns)

    @kernel
    def strip(a, depth, m, c, blocks, ends, ahead, lines):
        """C = start + A M for `blocks` blocks of rows of one panel of C; see `panel_product`."""
        panel = panel_width(c)
        for block in range(blocks):
            for line in range(block * lines, (block + 1) * lines):
                prefetch(m, ahead + line * panel)
            first = block * rows * panel
            multiply(a.first + first, a.stride, depth, m, c + first, ends.start, ends.bias, ends.finish, ends.aux + first)

    return strip


_strips = switch([_strip(rows, columns) for columns, most in ((1, TALL), (2, ROWS)) for rows in range(1, most + 1)])


@kernel
def panel_product(a, depth, m, c, rows, registers, ends, ahead):
    """C = start + A M for one panel of C.

    Parameters
    ----------
    a : Panels, (rows, depth)
    m : pointer, (depth, P)
        One panel.
    c : pointer, (rows, P)
        One panel, overwritten; read first if the product continues.
    registers : int
        What `registers_of_panel` tells.
    ends : Ends
    ahead : int
        Numbers from m to the panel of the next product, 0 if there is none. It is asked for a few rows a tile: all at once, or
        when it is read, would hold up the first tiles.
    """
    is_turned = registers < 0 and is_worth_turning(depth, -registers, c)
    if is_turned:
        product_few(a.first, a.stride, depth, m, c, rows, -registers, ends.start, ends.bias)
        if ends.finish == STORE:
            return
        depth, ends = 0, Ends(CONTINUE, ends.bias, ends.finish, ends.aux)
    taller, lower, height = split(rows, ROWS if registers == 2 else TALL)
    code = (max(registers, 1) - 1) * TALL + height - 1
    lines = (depth + taller + lower - 1) // (taller + lower) if ahead != 0 else 0
    if taller > 0:
        _strips(code + 1, a, depth, m, c, taller, ends, ahead, lines)
    if lower > 0:
        skip = taller * (height + 1) * panel_width(c)
        ahead += taller * lines * panel_width(c)
        ends = Ends(ends.start, ends.bias, ends.finish, ends.aux + skip)
        _strips(code, Panels(a.first + skip, a.stride), depth, m, c + skip, lower, ends, ahead, lines)


def _outer(rows, columns):
    multiply = outer_tile(rows, columns)

    @kernel
    def outer(a, d, depth, g, blocks, ends):
        """G = start + A^T D for `blocks` blocks of rows of a panel of G; see `outer_product`."""
        for block in range(blocks):
            multiply(a + block * rows, d, depth, g + block * rows * panel_width(a), ends.start, ends.finish, ends.aux)

    return outer


_outers = switch([_outer(rows, columns) for columns, most in ((1, TALL), (2, ROWS)) for rows in range(1, most + 1)])


@kernel
def outer_product(a, d, depth, g, rows, registers, ends):
    """G = start + A^T D: the sum over `depth` samples of the outer products of a row of A with a row of D.

    Parameters
    ----------
    a : pointer, (depth, P)
        One panel; its first `rows` <= P columns are used.
    d : pointer, (depth, P)
        One panel.
    g : pointer, (rows, P)
        Overwritten; read first if the product continues, or is added to it.
    registers : int
        What `registers_of_panel` tells of G.
    ends : Ends
    """
    if registers < 0:
        outer_few(a, d, depth, g, rows, -registers, ends)
        return
    taller, lower, height = split(rows, ROWS if registers == 2 else TALL)
    code = (registers - 1) * TALL + height - 1
    if taller > 0:
        _outers(code + 1, a, d, depth, g, taller, ends)
    if lower > 0:
        skip = taller * (height + 1)
        _outers(code, a + skip, d, depth, g + skip * panel_width(a), lower, ends)


@kernel
def column_sums(d, depth, total, start):
    """total (P,) = start + the sum over the rows of one panel d (depth, P): the gradient of a bias. `total` is overwritten.

    Four partial sums run side by side, for one alone would wait for its own additions.
    """
    panel, lanes, zero = panel_width(d), width(d), like(load(d, 0), 0.0)
    # of the low and the high half of the columns
    l0, h0 = (load(total, 0), load(total, lanes)) if start == CONTINUE else (zero, zero)
    l1 = l2 = l3 = h1 = h2 = h3 = zero
    for _ in range(depth // 4):
        l0, h0 = l0 + load(d, 0), h0 + load(d, lanes)
        l1, h1 = l1 + load(d, panel), h1 + load(d, panel + lanes)
        l2, h2 = l2 + load(d, 2 * panel), h2 + load(d, 2 * panel + lanes)
        l3, h3 = l3 + load(d, 3 * panel), h3 + load(d, 3 * panel + lanes)
        d = d + 4 * panel
    for b in range(depth % 4):
        l0, h0 = l0 + load(d, b * panel), h0 + load(d, b * panel + lanes)
    store(total, 0, (l0 + l1) + (l2 + l3))
    store(total, lanes, (h0 + h1) + (h2 + h3))
