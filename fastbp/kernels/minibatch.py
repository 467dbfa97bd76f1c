"""One mini-batch: its blocks, penalties and the step, by all members of a team.

Legend: B samples of the mini-batch, taken S at a time; L layers; W lanes of a register.
"""

from fastbp.compiler.jit import inline, kernel
from fastbp.kernels.block import all_blocks, factor_of_weights
from fastbp.kernels.gradient import add_decay, update_from_memory
from fastbp.kernels.norms import squared_norm
from fastbp.kernels.packing import transpose_weights
from fastbp.kernels.products.gemm import count_panels, panel_width, share
from fastbp.kernels.regularize import begin_step, complete_all, limit_norms, penalty_factor
from fastbp.kernels.sweeps import prepare
from fastbp.kernels.team import barrier
from fastbp.layout import (
    COEFFICIENTS,
    COLUMNS,
    L2,
    LOSS_ROWS,
    LOSS_SUM,
    N_COEFFICIENTS,
    N_IN,
    N_LAYERS,
    N_OUT,
    NO_RULE,
    PACK,
    PACKED,
    PENALISED,
    REPORT,
    RULE,
    SEPARATE,
    TABLE,
    TRANSPOSE,
    TRANSPOSED,
    WEIGHTED,
)

LEAST_WEIGHT = 1e-300  # of a mini-batch that does not weigh nothing: the inverse of a smaller one might not be a number


@kernel
def transpose_layers(plan, work, member, members):
    """W^T of every layer but the first, for the delta recursion; a share of the panels of each."""
    for layer in range(1, plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        first, last = share(count_panels(row[N_IN], work), member, members)
        packed, transposed = work + plan[PACKED] + row[PACK], work + plan[TRANSPOSED] + row[TRANSPOSE]
        transpose_weights(packed, transposed, row[N_IN], row[N_OUT], first, last)


@kernel
def squared_weights(plan, packed):
    """Sum over all weights, not biases, of their squares."""
    total = 0.0
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        for p in range(count_panels(row[N_OUT], packed)):
            w = packed + row[PACK] + p * (row[N_IN] + 1) * panel_width(packed)
            total += squared_norm(w, row[N_IN] * panel_width(packed))
    return total


@kernel
def add_penalty(plan, work, l2, member, members):
    """G + l2 W of every layer, for gradients in memory that no rule will read; a share of the panels."""
    for layer in range(plan[N_LAYERS]):
        row = plan + TABLE + layer * COLUMNS
        first, last = share(count_panels(row[N_OUT], work), member, members)
        for p in range(first, last):
            offset = row[PACK] + p * (row[N_IN] + 1) * panel_width(work)
            add_decay(plan, work, offset, row[N_IN] * panel_width(work), l2)


@inline
def inverse_weight(plan, data, order, batch):
    """1 over the sum of the weights of the samples order[:batch], or 0 if they weigh nothing."""
    _, _, _, _, _, sample_weight = data
    total = float(batch)
    if plan[WEIGHTED] == 1:
        total = 0.0
        for j in range(batch):
            total += sample_weight[order[j]]
    return 0.0 if total < LEAST_WEIGHT else 1.0 / total


@kernel
def minibatch(plan, work, reals, rate, epoch, start, data, order, batch, differentiate, meeting, member, members):
    """One step of training on the samples order[:batch], or (with NO_RULE) their loss and gradient.

    They are the rows from `start` on of an epoch. `data`: x, columns, starts, y, labels and weights of the samples; see
    :func:`fastbp.kernels.train.run`.

    Adds the loss, penalty included, times `batch` to ``reals[LOSS_SUM]``, and `batch` to ``reals[LOSS_ROWS]``,
    unless its weight is 0; `rate` is lr.
    Everything in `work` may be overwritten but the packed weights and slots, which the rule changes.
    """
    n_layers = plan[N_LAYERS]
    inverse = inverse_weight(plan, data, order, batch)
    l2 = penalty_factor(plan, reals, L2, inverse)
    coefficients = work + plan[COEFFICIENTS]
    if member == 0:
        if plan[RULE] != NO_RULE:
            reals[0] = rate
            prepare(plan[RULE], reals, coefficients)
            for i in range(1, N_COEFFICIENTS):
                coefficients[N_COEFFICIENTS + i] = coefficients[i]
            coefficients[0] = 1
            coefficients[N_COEFFICIENTS] = 0
            coefficients[2 * N_COEFFICIENTS] = l2
            coefficients[2 * N_COEFFICIENTS + 1] = 0
            begin_step(plan, work, reals, inverse, batch)
        reals[LOSS_ROWS] += batch if inverse > 0.0 else 0
        if plan[PENALISED] > 0 and inverse > 0.0:
            reals[LOSS_SUM] += 0.5 * l2 * squared_weights(plan, work + plan[PACKED]) * batch
    if differentiate:
        transpose_layers(plan, work, member, members)

    loss = all_blocks(plan, work, reals, epoch, start, data, order, batch, inverse, differentiate, meeting, member, members)
    if member == 0:
        reals[LOSS_SUM] += reals[REPORT] * factor_of_weights(plan, inverse) * loss * batch
    if plan[SEPARATE] == 1 and plan[RULE] != NO_RULE:
        complete_all(plan, work, reals, meeting, member, members)
        for layer in range(n_layers):
            update_from_memory(plan, layer, work, member, members)
        barrier(meeting, members)
    elif differentiate and plan[RULE] == NO_RULE and plan[PENALISED] > 0 and inverse > 0.0:
        add_penalty(plan, work, l2, member, members)
        barrier(meeting, members)
    limit_norms(plan, work, reals, meeting, member, members)
