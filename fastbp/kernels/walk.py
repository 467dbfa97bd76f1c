"""The walk of a product over a layer's matrices, piece by piece, by all members of a team.

A matrix product C = A M of panels is cut three ways (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication",
2008; BLIS's loops over ic, pc and jr). A *group* of rows meets one *piece* of the depth in all *panels* of M before the next piece:
its part of A stays in the second-level cache, the piece of a panel of M in the first. Sums go on from piece to piece in the place
of the result.

Legend: B rows (samples) of the block; K depth of the product; N columns of its result; P columns of a panel.
"""

from typing import NamedTuple

from fastbp.compiler import inline, kernel
from fastbp.kernels.products.gemm import ROWS, count_panels, panel_width
from fastbp.kernels.team import share
from fastbp.kernels.tuning import DEPTH, GROUP, LEAST_GROUP


class Piece(NamedTuple):
    """What is computed at a time: rows top to top + rows of a panel of C, summed over a piece of the depth."""

    top: int
    rows: int
    panel: int  # its number
    k: int  # the piece begins here
    depth: int
    is_last: bool  # of the pieces: C is complete then
    is_followed: bool  # by the same of the next panel


@kernel
def rows_in_group(rows, depth, panels, members, panel):
    """Rows of A that one unit of work covers: a cacheful, but not so many that a member of the team has nothing to do."""
    most = max(LEAST_GROUP, GROUP * panel // min(depth, DEPTH))
    groups = (rows + most - 1) // most
    if members > 1 and panels * groups < 2 * members:
        groups = 2 * members
    return (rows + groups * ROWS - 1) // (groups * ROWS) * ROWS


@inline
def depth_of_pieces(depth, panel):
    """Columns of A in each of the pieces, at most DEPTH deep and as equal as can be, into which a product is cut."""
    pieces = (depth + DEPTH - 1) // DEPTH
    return (depth + pieces * panel - 1) // (pieces * panel) * panel


def walk_over(compute):
    """The kernel that calls ``compute(plan, layer, work, piece, purpose)`` for all pieces of a member's share of C (B, N)."""

    @kernel
    def walk(plan, layer, work, rows, depth, columns, purpose, team):
        panel = panel_width(work)
        panels = count_panels(columns, work)
        group, step = rows_in_group(rows, depth, panels, team.members, panel), depth_of_pieces(depth, panel)
        groups = (rows + group - 1) // group
        first, last = share(groups * panels, team)
        while first < last:
            top, begin = first // panels * group, first % panels
            end = min(panels, begin + last - first)
            first += end - begin
            count = min(group, rows - top)
            for k in range(0, depth, step):
                deep, is_last = min(step, depth - k), k + step >= depth
                for p in range(begin, end):
                    compute(plan, layer, work, Piece(top, count, p, k, deep, is_last, p + 1 < end), purpose)

    return walk
