"""The entry of the curvature: passes over all samples, block by block, by all members of a team.

Legend: N samples; S of a block; P parameters.
"""

from math import nan

from fastbp.compiler import entry, kernel
from fastbp.kernels.block import gather_block
from fastbp.kernels.codes import codes_are_known
from fastbp.kernels.curvature.direction import add_product, pack_direction
from fastbp.kernels.curvature.normal import add_block, clear_triangle
from fastbp.kernels.forward import TO_DIFFERENTIATE, forward
from fastbp.kernels.minibatch import transpose_layers
from fastbp.kernels.modes import NORMAL_EQUATIONS
from fastbp.kernels.parameters import pack_changed, unpack_layers
from fastbp.kernels.plan import plan_at, reals_at
from fastbp.kernels.roll_call import (
    BLOCKS,
    Crew,
    await_arrival,
    batch_of_work,
    come,
    end_call,
    form_team,
    next_work,
    settle,
)
from fastbp.kernels.samples import Data, batch_of, block_of, set_conversion
from fastbp.kernels.team import barrier
from fastbp.kernels.train import signature
from fastbp.simd.register import pointer


@kernel
def _piece(plan, work, reals, data, mode, whole, top, out, team):
    """A block of samples from `top` on."""
    if top == 0:
        transpose_layers(plan, work, 1, team)
        if mode == NORMAL_EQUATIONS:
            clear_triangle(plan, out, team)
        else:
            pack_direction(plan, out, team)
    batch = block_of(whole, top, min(plan.block, whole.count - top))
    gather_block(plan, work, reals, data, batch, team)
    barrier(team)
    for number in range(plan.n_layers):
        forward(plan, plan.layers[number], work, batch.count, TO_DIFFERENTIATE, team)
        barrier(team)
    if mode == NORMAL_EQUATIONS:
        add_block(plan, work, data, batch, out, team)
    else:
        add_product(plan, work, data, batch, top == 0, out, team)


@kernel
def _lead(plan, work, params, reals, order, data, mode, out, crew):
    """A call, by the leader of a crew: blocks from sample ``plan.top`` on, as many as the budget says; 0, or NaN."""
    pack_changed(plan, params, work)
    if not codes_are_known(plan):
        return nan
    await_arrival(crew)
    batch, top = batch_of(plan, data, order, plan.n_rows, plan.epoch, plan.first), plan.top
    for _ in range(plan.budget):
        team = form_team(crew, reals, batch, top)
        _piece(plan, work, reals, data, mode, batch, top, out, team)
        rows = min(plan.block, batch.count - top)
        settle(crew, team, BLOCKS, rows)
        top += rows
        if top >= batch.count:
            top = 0
            if mode != NORMAL_EQUATIONS:
                unpack_layers(plan, work + plan.gradient, out)
            break
    plan.top = top
    return 0.0


@kernel
def _help(plan, work, reals, order, data, mode, out, crew, member):
    """What another thread than the leader does in a call."""
    number, team = next_work(crew, member, come(crew, member))
    while number > 0:
        if team.members > 0:
            batch, top = batch_of_work(plan, crew.meeting, order, reals)
            _piece(plan, work, reals, data, mode, batch, top, out, team)
        number, team = next_work(crew, member, number)


@entry(signature)
def curve(
    plan, work, params, reals, rates, record, order, meeting, mode, member, number, x, columns, starts, y, labels, weights, out
):
    """What one thread does in one call; arguments are those of :func:`fastbp.kernels.train.run`, `work` is overwritten.

    NORMAL_EQUATIONS: `out` begins with the triangle of (J, e)^T (J, e), see :mod:`fastbp.kernels.curvature.normal`. PRODUCT: it
    begins with J^T J v in the place of v, see :mod:`fastbp.kernels.curvature.direction`. J has the rows of all samples, times the
    square roots of their weights. The call is to be repeated until ``plan.top`` is 0. Returns NaN if a code is not known, else 0.
    """
    plan_, reals_ = plan_at(pointer(plan)), reals_at(pointer(reals))
    if member == 0:
        set_conversion(plan_, reals_, x.kind)
    samples = pointer(x), pointer(columns), pointer(starts), pointer(y), pointer(labels), pointer(weights)
    data, crew = Data(*samples, pointer(out)), Crew(pointer(meeting), number)
    if member > 0:
        _help(plan_, pointer(work), reals_, pointer(order), data, mode, pointer(out), crew, member)
        return 0.0
    result = _lead(plan_, pointer(work), pointer(params), reals_, pointer(order), data, mode, pointer(out), crew)
    end_call(crew)
    return result
