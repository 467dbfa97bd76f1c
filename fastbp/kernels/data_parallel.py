"""The gradient of a part of a mini-batch, whose other parts other processes have, and the step when the parts are summed.

A step of training in data-parallel processes (Dean et al., 2012, "Large scale distributed deep networks"): each computes the
gradient of its own samples, all are summed, and each takes the same step. The gradient of a layer is complete before that of the
layer below is begun: so calls end with each layer of the last block, and the layer's sum can be on its way meanwhile.

Legend: B samples of this part; S samples of a block; L layers.
"""

from math import nan

from fastbp.compiler import entry, kernel
from fastbp.kernels.block import backward_layer, forward_block, rows_together
from fastbp.kernels.codes import codes_are_known
from fastbp.kernels.loss import add_losses
from fastbp.kernels.minibatch import begin_minibatch, piece_of_work, transpose_layers
from fastbp.kernels.modes import END_EPOCH, GRADIENT, PACK
from fastbp.kernels.parameters import pack_changed, write_back
from fastbp.kernels.plan import plan_at, reals_at
from fastbp.kernels.regularize import penalty_factor
from fastbp.kernels.roll_call import (
    BLOCKS,
    FINISH,
    FORWARD,
    Crew,
    await_arrival,
    batch_of_work,
    come,
    end_call,
    form_team,
    next_work,
    settle,
)
from fastbp.kernels.samples import Batch, Data, block_of, factor_of_weights, set_conversion
from fastbp.kernels.train import Call, end_epoch, signature
from fastbp.simd.register import pointer


@kernel
def _piece(plan, work, reals, data, batch, top, below, loss, team):
    """Of the samples from `top` on: blocks; or of the last block what is above its layers, or one of them; or, of none, the step.

    Returns the sum of the losses so far, to member 0.
    """
    rows = batch.count - top
    if plan.area > 0 or rows > plan.block or rows == 0:
        return piece_of_work(plan, work, reals, data, batch, True, top, loss, team)
    if below > 0:
        backward_layer(plan, work, rows, below - 1, top == 0, True, team)
        return loss
    if top == 0:
        transpose_layers(plan, work, 1, team)
    forward_block(plan, work, reals, data, block_of(batch, top, rows), True, team)
    return add_losses(plan, work, rows, loss) if team.member == 0 else loss


@kernel
def _gradient(plan, work, reals, data, order, crew):
    """Go on with the gradient of the first ``plan.n_rows`` samples of the order, by the leader of a crew, up to its next layer.

    Adds their loss, a mean over the weight of the whole mini-batch, to ``reals.loss_sum`` when all is done: ``plan.top`` and
    ``plan.below`` are 0 then, and only then.
    """
    batch, pieces = Batch(order, plan.n_rows, plan.epoch, plan.first, reals.inverse), plan.budget
    top, below, loss, is_layer = plan.top, plan.below, reals.part, False
    while top < batch.count and pieces > 0 and not is_layer:
        rows, is_layer = batch.count - top, below > 0
        is_last = plan.area == 0 and rows <= plan.block
        plan.below = below  # the others read it when they are let in
        team = form_team(crew, reals, batch, top)
        loss = _piece(plan, work, reals, data, batch, top, below, loss, team)
        pieces -= 1
        if not is_last:
            rows = min(rows_together(plan, team), rows)
        if not is_layer:
            settle(crew, team, FORWARD if is_last else BLOCKS, rows)
        if is_last:
            below = below - 1 if is_layer else plan.n_layers
        if below == 0:
            top += rows
    if top >= batch.count:
        reals.loss_sum += reals.report * factor_of_weights(plan, batch) * loss
        top, loss = 0, 0.0
    plan.top, plan.below, reals.part = top, below, loss


@kernel
def _update(plan, work, reals, data, rates, order, crew):
    """The step by the gradient in `work`, by the leader of a crew; ``plan.n_rows`` are the samples of the whole mini-batch."""
    batch = Batch(order, plan.n_rows, plan.epoch, plan.first, reals.inverse)
    begin_minibatch(plan, work, reals, batch, rates[0], penalty_factor(plan, reals, reals.l2, batch))
    team = form_team(crew, reals, batch, batch.count)
    _piece(plan, work, reals, data, batch, batch.count, 0, 0.0, team)
    settle(crew, team, FINISH, 1)


@kernel
def _help(plan, work, reals, data, order, crew, member):
    """What another thread than the leader does in a call."""
    own = order + -((plan.epoch - plan.origin) * plan.order_stride + plan.first)  # where a mini-batch is looked for from
    number, team = next_work(crew, member, come(crew, member))
    while number > 0:
        if team.members > 0:
            batch, top = batch_of_work(plan, crew.meeting, own, reals)
            _piece(plan, work, reals, data, batch, top, plan.below, 0.0, team)
        number, team = next_work(crew, member, number)


@kernel
def _lead(call, mode, crew):
    """A call, by the leader of a crew."""
    plan, work, reals, order = call.plan, call.work, call.reals, call.order
    if mode == PACK:
        pack_changed(plan, call.params, work)
        return 0.0 if codes_are_known(plan) else nan
    if mode == END_EPOCH:
        end_epoch(plan, work, reals, call.record)
        write_back(plan, work, call.params)
        return 0.0
    await_arrival(crew)
    if mode == GRADIENT:
        _gradient(plan, work, reals, call.data, order, crew)
    else:
        _update(plan, work, reals, call.data, call.rates, order, crew)
    return 0.0


@entry(signature)
def train_together(
    plan, work, params, reals, rates, record, order, meeting, mode, member, number, x, columns, starts, y, labels, weights, out
):
    """What one thread does in one call; arguments are those of :func:`fastbp.kernels.train.run`, `work` is overwritten.

    PACK: the parameters, before any other call. GRADIENT: of the first ``plan.n_rows`` samples of `order`, whose weights are
    multiplied by ``reals.inverse``; to be repeated until ``plan.below`` and ``plan.top`` are 0, gradients of layers from
    ``plan.below`` on being complete where that is more. UPDATE: the step with rates[0], the gradient having been summed where it
    is; ``plan.n_rows`` is the number of all samples then. END_EPOCH: record the sums of ``reals``, and write `params`. Returns NaN
    if a code is not known, else 0.
    """
    plan_, reals_ = plan_at(pointer(plan)), reals_at(pointer(reals))
    if member == 0:
        set_conversion(plan_, reals_, x.kind)
    samples = pointer(x), pointer(columns), pointer(starts), pointer(y), pointer(labels), pointer(weights)
    data, crew = Data(*samples, pointer(out)), Crew(pointer(meeting), number)
    own = plan_, pointer(work), pointer(params), reals_, pointer(rates), pointer(record)
    if member > 0:
        _help(plan_, pointer(work), reals_, data, pointer(order), crew, member)
        return 0.0
    result = _lead(Call(*own, pointer(order), data, pointer(out)), mode, crew)
    end_call(crew)
    return result
