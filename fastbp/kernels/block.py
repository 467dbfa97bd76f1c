"""The blocks of a mini-batch: gather, forward, loss, delta recursion and gradients, by all members of a team or by one for itself.

Legend: B samples of the block; L layers; W lanes of a register.
"""

from math import isfinite

from fastbp.compiler import inline, kernel
from fastbp.kernels.backward import backward
from fastbp.kernels.blend import blend_gradients
from fastbp.kernels.encoder.feature_gradients import encoder_gradients
from fastbp.kernels.encoder.features import encode_samples
from fastbp.kernels.forward import TO_DIFFERENTIATE, TO_EVALUATE, forward
from fastbp.kernels.gradient import computes_deltas, destination, gradient
from fastbp.kernels.groups import update_groups
from fastbp.kernels.loss import add_losses, loss_and_delta
from fastbp.kernels.packing import gather_rows
from fastbp.kernels.plan import Layer, Plan, plan_at
from fastbp.kernels.predict import write_outputs
from fastbp.kernels.regularize import draw_masks
from fastbp.kernels.samples import block_of
from fastbp.kernels.sparse.entries import gather_entries, sort_entries
from fastbp.kernels.sparse.first_layer import forward_entries, gradient_entries
from fastbp.kernels.team import alone, barrier, share
from fastbp.simd.record import numbers_of
from fastbp.simd.register import load, store, width

PLAN, LAYER = Plan.size, Layer.size


@kernel
def add_gradient(plan, work, area, is_first, team):
    """The gradient of a block, in the area of the member that computed it, added to that of the blocks before; a share of it."""
    first, last = share(plan.n_packed // width(work), team)
    total, part = work + plan.gradient, area + plan.partials
    for i in range(first * width(work), last * width(work), width(work)):
        store(total, i, load(part, i) if is_first else load(total, i) + load(part, i))


@kernel
def plan_of_member(plan, member):
    """A copy of the plan, whose places count from the member's area, for blocks whose gradients are summed later."""
    length, shift = PLAN + LAYER * plan.n_layers, member * plan.area
    numbers = numbers_of(plan)
    copy = numbers + (member + 1) * length
    for i in range(length):
        copy[i] = numbers[i]
    own = plan_at(copy)
    own.packed, own.transposed, own.step = plan.packed - shift, plan.transposed - shift, plan.step - shift
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        own.layers[number].alpha, own.layers[number].rule = layer.alpha - shift, layer.rule - shift
    own.gradient = plan.partials
    return own


@kernel
def gather_block(plan, work, reals, data, batch, team):
    """A (B, I), or its entries: the samples, less what dropout of the inputs drops; a share of the rows."""
    first, last = share(batch.count, team)
    if plan.tabular == 1:
        encode_samples(plan, work, data, batch.samples, batch.count, team)
    elif plan.most_entries > 0:
        gather_entries(plan, work, reals, data, batch.samples, first, last)
    else:
        gather_rows(plan, reals, data, batch.samples, first, last, work + plan.layers[0].input)
    draw_masks(plan, work, batch, team)


@kernel
def beyond_layers(plan, work, data, batch, is_first, is_last, team):
    """Gradients of an encoder and of parametric activations and, with the last block of the mini-batch, the step; a share of it."""
    _, steps_now, _ = destination(plan, is_first, is_last)
    blend_gradients(plan, work, batch.count, is_first, team)
    encoder_gradients(plan, work, data, batch.samples, batch.count, is_first, team)
    barrier(team)
    if steps_now:
        update_groups(plan, work, team)
        barrier(team)


@inline
def forward_block(plan, work, reals, data, batch, differentiate, team):
    """Activations and losses of a block and, to differentiate, the deltas of its outputs."""
    rows, is_sparse, purpose = batch.count, plan.most_entries > 0, TO_DIFFERENTIATE if differentiate else TO_EVALUATE
    gather_block(plan, work, reals, data, batch, team)
    barrier(team)
    if is_sparse and differentiate:
        sort_entries(plan, work, rows, team)
    for number in range(plan.n_layers):
        if is_sparse and number == 0:
            forward_entries(plan, work, rows, purpose, team)
        else:
            forward(plan, plan.layers[number], work, rows, purpose, team)
        barrier(team)
    loss_and_delta(plan, work, reals, data, batch, differentiate, team)
    barrier(team)


@inline
def backward_layer(plan, work, rows, number, is_first, is_last, team):
    """The deltas below a layer, and its gradient as `gradient` says, of a block of which all above is done."""
    layer = plan.layers[number]
    if number > 0 and not computes_deltas(layer, rows):
        backward(plan, layer, work, rows, team)
    if plan.most_entries > 0 and number == 0:
        gradient_entries(plan, work, rows, is_first, is_last, team)
    else:
        gradient(plan, layer, work, rows, is_first, is_last, team)
    barrier(team)


@kernel
def one_block(plan, work, reals, data, batch, differentiate, is_first, is_last, team):
    """The losses of a block, and its gradients as `gradient` says: backpropagation, one layer after the other.

    `is_first` and `is_last` tell which of the mini-batch's blocks it is whose gradients are summed in the same place.
    """
    rows = batch.count
    forward_block(plan, work, reals, data, batch, differentiate, team)
    if plan.outputs == 1:
        write_outputs(plan, work, batch.samples, rows, data.outputs, team)
        barrier(team)  # what is overwritten next may be so by others
    if not differentiate:
        return
    if plan.guarded == 1 and not isfinite(add_losses(plan, work, rows, 0.0)):
        barrier(team)  # all members see it
        return
    for number in range(plan.n_layers - 1, -1, -1):
        backward_layer(plan, work, rows, number, is_first, is_last, team)
    if plan.tabular == 1:
        beyond_layers(plan, work, data, batch, is_first, is_last, team)


@inline
def rows_together(plan, team):
    """Samples of a mini-batch that a team takes up at a time: a block, or one for each member."""
    return plan.block * (team.members if plan.area > 0 else 1)


@kernel
def next_blocks(plan, work, reals, data, batch, differentiate, top, loss, team):
    """The next blocks of a mini-batch, from sample `top` on; the sum of its losses so far, to member 0, and gradients as there.

    A block is computed by all members, or, where each member has an area, one by each: then nothing but their gradients goes from
    core to core, which are summed in the order of the blocks, however many members there are.
    """
    count, block = batch.count, plan.block
    if plan.area == 0:
        rows = min(block, count - top)
        one_block(plan, work, reals, data, block_of(batch, top, rows), differentiate, top == 0, top + block >= count, team)
        return add_losses(plan, work, rows, loss) if team.member == 0 else loss
    own, area, begin = plan_of_member(plan, team.member), work + team.member * plan.area, top + team.member * block
    if top == 0:
        barrier(team)
    if begin < count:
        rows = min(block, count - begin)
        one_block(own, area, reals, data, block_of(batch, begin, rows), differentiate, True, False, alone(team.meeting))
    barrier(team)
    for other in range(min(team.members, (count - top + block - 1) // block)):
        theirs = work + other * plan.area
        if team.member == 0:
            loss = add_losses(plan, theirs, min(block, count - top - other * block), loss)
        if differentiate:
            add_gradient(plan, work, theirs, top == 0 and other == 0, team)
    barrier(team)
    return loss
