"""One mini-batch: its blocks, penalties and the step, by all members of a team.

Legend: B samples of the mini-batch, taken S at a time; L layers; W lanes of a register.
"""

from math import isfinite

from fastbp.compiler import inline, kernel
from fastbp.kernels.block import next_blocks, rows_together
from fastbp.kernels.gradient import add_decay, update_from_memory
from fastbp.kernels.groups import prepare_groups, update_groups
from fastbp.kernels.norms import squared_norm
from fastbp.kernels.packing import transpose_weights
from fastbp.kernels.plan import DIVERGED, NO_RULE, step_at
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.kernels.regularize import begin_step, complete_all, limit_norms, penalty_factor
from fastbp.kernels.roll_call import BLOCKS, FINISH, batch_of_work, come, form_team, next_work, settle
from fastbp.kernels.samples import factor_of_weights
from fastbp.kernels.sweeps import prepare
from fastbp.kernels.team import barrier, share
from fastbp.optimizers import N_COEFFICIENTS


@kernel
def transpose_layers(plan, work, first, team):
    """W^T of the layers from `first` on, whose inputs have deltas; a share of the panels of each."""
    for number in range(first, plan.n_layers):
        layer = plan.layers[number]
        first, last = share(count_panels(layer.n_in, work), team)
        packed, transposed = work + plan.packed + layer.pack, work + plan.transposed + layer.transpose
        transpose_weights(packed, transposed, layer.n_in, layer.n_out, first, last)


@kernel
def squared_weights(plan, packed):
    """Sum over all weights, not biases, of their squares."""
    total = 0.0
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        for p in range(count_panels(layer.n_out, packed)):
            w = packed + layer.pack + p * (layer.n_in + 1) * panel_width(packed)
            total += squared_norm(w, layer.n_in * panel_width(packed))
    return total


@kernel
def add_penalty(plan, work, l2, team):
    """G + l2 W of every layer, for gradients in memory that no rule will read; a share of the panels."""
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        first, last = share(count_panels(layer.n_out, work), team)
        for p in range(first, last):
            offset = layer.pack + p * (layer.n_in + 1) * panel_width(work)
            add_decay(plan, work, offset, layer.n_in * panel_width(work), l2)


@kernel
def prepare_step(plan, work, reals, rate, l2):
    """The coefficients of this step, for weights and for biases, from the learning rate and what the rule keeps."""
    step, hyper = step_at(work + plan.step), reals.hyper
    of_weights, of_biases = step.rule, step.rule + N_COEFFICIENTS
    hyper[0] = rate
    if plan.tabular == 1:
        prepare_groups(plan, work, reals)
    prepare(plan.rule, hyper, of_weights)
    for i in range(1, N_COEFFICIENTS):
        of_biases[i] = of_weights[i]
    of_weights[0], of_biases[0] = 1, 0
    step.l2[0], step.l2[1] = l2, 0


@inline
def begin_minibatch(plan, work, reals, batch, rate, l2):
    """The coefficients of its step, if it makes one, and its penalties and samples in the sums of ``reals``."""
    weighs = batch.inverse > 0.0
    if plan.rule != NO_RULE:
        prepare_step(plan, work, reals, rate, l2)
        begin_step(plan, work, reals, batch)
    reals.loss_rows += batch.count if weighs else 0
    if plan.penalised > 0 and weighs:
        reals.loss_sum += 0.5 * l2 * squared_weights(plan, work + plan.packed) * batch.count


@inline
def steps_from_memory(plan):
    """Whether the step is taken when all gradients are complete, and not as they come."""
    return plan.separate == 1 and plan.rule != NO_RULE


@inline
def adds_penalty(plan, batch, differentiate):
    """Whether gradients that no rule reads are to have that of the penalty added."""
    return differentiate and plan.rule == NO_RULE and plan.penalised > 0 and batch.inverse > 0.0


@kernel
def piece_of_work(plan, work, reals, data, batch, differentiate, top, loss, team):
    """Blocks of a mini-batch from sample `top` on, or, after all of them, what is done once; the sum of its losses so far."""
    if top < batch.count:
        if differentiate and top == 0:
            transpose_layers(plan, work, 1 - plan.tabular, team)
        return next_blocks(plan, work, reals, data, batch, differentiate, top, loss, team)
    if steps_from_memory(plan):
        complete_all(plan, work, reals, team)
        for number in range(plan.n_layers):
            update_from_memory(plan, plan.layers[number], work, team)
        if plan.tabular == 1:
            update_groups(plan, work, team)
        barrier(team)
    elif adds_penalty(plan, batch, differentiate):
        add_penalty(plan, work, penalty_factor(plan, reals, reals.l2, batch), team)
        barrier(team)
    limit_norms(plan, work, reals, team)
    return loss


@inline
def leave(plan, reals, top, loss):
    """A mini-batch goes on from sample `top` on, with its `loss` so far, in the next call; with the next one, where that is 0."""
    plan.top, reals.part = top, loss


@kernel
def minibatch(plan, work, reals, data, batch, rate, differentiate, most, crew):
    """One step of training on a mini-batch, or (with NO_RULE) its loss and gradient, by the leader of a crew.

    Adds the loss, penalty included, times its samples to ``reals.loss_sum``, and their number to ``reals.loss_rows``, unless it
    weighs nothing; `rate` is lr. Everything in `work` may be overwritten but the packed weights and slots, which the rule changes.

    It begins with sample ``plan.top``, and does `most` pieces at most. Returns how many it did; less than 0 where the mini-batch
    goes on with sample ``plan.top``, which is not 0 then: nothing else may use `work` meanwhile.
    """
    l2, loss, top, count, pieces = penalty_factor(plan, reals, reals.l2, batch), reals.part, plan.top, batch.count, 0
    while top < count and plan.status != DIVERGED:
        if pieces == most:
            leave(plan, reals, top, loss)
            return -pieces
        pieces += 1
        team = form_team(crew, reals, batch, top)
        if top == 0:
            begin_minibatch(plan, work, reals, batch, rate, l2)
        loss = piece_of_work(plan, work, reals, data, batch, differentiate, top, loss, team)
        rows = min(rows_together(plan, team), count - top)
        settle(crew, team, BLOCKS, rows)
        top += rows
        if plan.guarded == 1 and not isfinite(loss):
            plan.status = DIVERGED
    leave(plan, reals, 0, 0.0)
    reals.loss_sum += reals.report * factor_of_weights(plan, batch) * loss * count
    if plan.status == DIVERGED:
        return pieces
    if steps_from_memory(plan) or adds_penalty(plan, batch, differentiate) or reals.max_norm > 0.0:
        team = form_team(crew, reals, batch, count)
        piece_of_work(plan, work, reals, data, batch, differentiate, count, loss, team)
        settle(crew, team, FINISH, 1)
    return pieces


@kernel
def help_along(plan, work, reals, data, order, differentiate, crew, member):
    """What another thread than the leader does in a call: its part of each piece of work that it is in the team of."""
    number, team = next_work(crew, member, come(crew, member))
    while number > 0:
        if team.members > 0:
            batch, top = batch_of_work(plan, crew.meeting, order, reals)
            piece_of_work(plan, work, reals, data, batch, differentiate, top, 0.0, team)
        number, team = next_work(crew, member, number)
