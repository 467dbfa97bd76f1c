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

from numba.extending import intrinsic

from fastbp.compiler.jit import inline, kernel, switch
from fastbp.kernels.products.few import outer_few, product_few
from fastbp.kernels.products.ways import is_worth_turning
from fastbp.kernels.tuning import FEW
from fastbp.simd import register
from fastbp.simd.register import like, load, number_of, prefetch, store, width
from fastbp.simd.tile import CONTINUE, STORE
from fastbp.simd.tile_product import outer_tile, product_tile

ROWS = register.tile_rows()
TALL = max(ROWS, 8)  # rows of a tile one register wide: two units, each with four sums under way, are busy then


@intrinsic
def panel_width(typingctx, pointer):
    """P of the pointer's dtype."""
    return number_of(pointer, 2 * register.lanes(pointer.dtype))


@inline
def count_panels(columns, pointer):
    """Panels that hold so many columns."""
    return (columns + panel_width(pointer) - 1) // panel_width(pointer)


@inline
def panel_columns(panel, columns, pointer):
    """Registers that the numbers of a panel fill in each row, 1 or 2; -k where they are but k <= FEW numbers."""
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
    def strip(a, a_panel, depth, m, c, blocks, start, bias, finish, aux, ahead, lines):
        """C = start + A M for `blocks` blocks of rows of one panel of C; see `panel_product`."""
        panel = panel_width(a)
        for block in range(blocks):
            for line in range(block * lines, (block + 1) * lines):
                prefetch(m, ahead + line * panel)
            first = block * rows * panel
            multiply(a + first, a_panel, depth, m, c + first, start, bias, finish, aux + first)

    return strip


_strips = switch([_strip(rows, columns) for columns, most in ((1, TALL), (2, ROWS)) for rows in range(1, most + 1)])


@kernel
def panel_product(a, a_panel, depth, m, c, rows, columns, start, bias, finish, aux, ahead):
    """C = start + A M for one panel of C.

    Parameters
    ----------
    a : pointer, (rows, depth)
        Panels, `a_panel` numbers apart, from the first row and column wanted.
    m : pointer, (depth, P)
        One panel.
    c : pointer, (rows, P)
        One panel, overwritten; read first if `start` is CONTINUE.
    columns : int
        What `panel_columns` tells.
    start : int
        ZERO, BIAS (the row at `bias`), or CONTINUE from c.
    finish : int
        STORE; FLOOR: max(c, 0); WHERE_ABOVE: 0 where not aux > 0, `aux` a panel like c.
    ahead : int
        Numbers from m to the panel of the next product, 0 if there is none. It is asked for a few rows a tile: all at once, or
        when it is read, would hold up the first tiles.
    """
    is_turned = columns < 0 and is_worth_turning(depth, -columns, a)
    if is_turned:
        product_few(a, a_panel, depth, m, c, rows, -columns, start, bias)
        if finish == STORE:
            return
    depth, start = 0 if is_turned else depth, CONTINUE if is_turned else start
    taller, lower, height = split(rows, ROWS if columns == 2 else TALL)
    code = (max(columns, 1) - 1) * TALL + height - 1
    lines = (depth + taller + lower - 1) // (taller + lower) if ahead != 0 else 0
    if taller > 0:
        _strips(code + 1, a, a_panel, depth, m, c, taller, start, bias, finish, aux, ahead, lines)
    if lower > 0:
        skip = taller * (height + 1) * panel_width(a)
        ahead += taller * lines * panel_width(a)
        _strips(code, a + skip, a_panel, depth, m, c + skip, lower, start, bias, finish, aux + skip, ahead, lines)


def _outer(rows, columns):
    multiply = outer_tile(rows, columns)

    @kernel
    def outer(a, d, depth, g, blocks, start, finish, scale):
        """G = start + A^T D for `blocks` blocks of rows of a panel of G; see `outer_product`."""
        for block in range(blocks):
            multiply(a + block * rows, d, depth, g + block * rows * panel_width(a), start, finish, scale)

    return outer


_outers = switch([_outer(rows, columns) for columns, most in ((1, TALL), (2, ROWS)) for rows in range(1, most + 1)])


@kernel
def outer_product(a, d, depth, g, rows, columns, start, finish, scale):
    """G = start + A^T D: the sum over `depth` samples of the outer products of a row of A with a row of D.

    Parameters
    ----------
    a : pointer, (depth, P)
        One panel; its first `rows` <= P columns are used.
    d : pointer, (depth, P)
        One panel.
    g : pointer, (rows, P)
        Overwritten; read first if `start` is CONTINUE or `finish` is ADD_SCALED.
    columns : int
        What `panel_columns` tells of G.
    finish : int
        STORE; ADD_SCALED (with start ZERO): g + scale * product is stored instead, the whole step of plain gradient descent.
    scale : pointer to one number
    """
    if columns < 0:
        outer_few(a, d, depth, g, rows, -columns, start, finish, scale)
        return
    taller, lower, height = split(rows, ROWS if columns == 2 else TALL)
    code = (columns - 1) * TALL + height - 1
    if taller > 0:
        _outers(code + 1, a, d, depth, g, taller, start, finish, scale)
    if lower > 0:
        skip = taller * (height + 1)
        _outers(code, a + skip, d, depth, g + skip * panel_width(a), lower, start, finish, scale)


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
