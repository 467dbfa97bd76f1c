"""Which products go another way than tiles of R rows and a panel, and why: forward, backward and gradient ask here.

What each saves is the time of a whole fit with and without it: one thread, float32, AVX-512 (Zen), 4 or 5 pairs of processes.

Legend: W lanes of a register; P = 2 W columns of a panel; K depth of a product; B rows (samples) of the block.
"""

from fastbp.compiler import inline
from fastbp.kernels.tuning import (
    COMPACT,
    DEPTH,
    FEW,
    FEWER,
    LEAST_TURNED_DEPTH,
    LEAST_TURNED_SAMPLES,
    SHALLOW_ROWS,
    TURNED_DEPTH,
)
from fastbp.simd.register import width


@inline
def is_worth_turning(depth, columns, pointer):
    """Whether C of few columns is computed with lanes over the depth (`few.product_few`).

    A tile one register wide has few sums, which wait for themselves, and most of their lanes multiply zeros. This way takes a pass
    over A for each column, and M^T first. Without it a fit of 30-64-1 in mini-batches of 64 takes 12 to 15 % longer.
    """
    return LEAST_TURNED_DEPTH <= depth <= TURNED_DEPTH - TURNED_DEPTH // 8 and 4 * columns <= width(pointer)


@inline
def is_shallow(depth, rows):
    """Whether C of a depth of one to three is computed without a loop over it (`few.product_shallow`).

    Deltas that come from few outputs: a loop of so few turns is mostly its own jump. Without it 16-48-1 takes 1 to 4 % longer,
    20-64-64-3 and wider ones 1 % or nothing.
    """
    return depth <= FEW and rows >= SHALLOW_ROWS


@inline
def is_gradient_turned(filled, registers, rows, panel):
    """Whether G of a panel that is at most three quarters full is computed by way of its transpose.

    Its tiles are then as high as there are outputs, two registers wide, and no lane is idle, at the price of turning P x P numbers.
    Of few columns (`registers` < 0), lanes run over the inputs in any case. Without it 64-100-10 with Adam, in mini-batches of 200,
    takes 2 to 8 % longer.
    """
    return registers > 0 and 4 * filled <= 3 * panel and rows >= LEAST_TURNED_SAMPLES


@inline
def go_deltas_along(n_out, rows):
    """Whether the deltas below a layer of one or two outputs may be computed beside its gradient (`few.outer_few_with_deltas`).

    Both need a number of D and a row of A, which is then read once. There are registers for the sums of so few outputs, and room
    for so many deltas side by side; their panel, of which little is filled, would drive the others out of the first-level cache.
    Without it 30-256-1 with Adam, in mini-batches of 200, takes 6 to 8 % longer, 8-64-64-1 1 % longer, smaller ones no longer.
    """
    return n_out <= FEWER and rows <= DEPTH and rows * n_out <= COMPACT
