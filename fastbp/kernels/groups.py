"""Groups of parameters with a learning rate, an epsilon and a decay of their own: factors of the rule's hyper-parameters.

Groups are weights and biases of each layer, two by two, then the scales, periodic embeddings and table of an encoder, and the
betas of parametric activations.

Legend: G groups.
"""

from fastbp.compiler import kernel, when_tabular
from fastbp.kernels.plan import step_at
from fastbp.kernels.sweeps import prepare, update
from fastbp.kernels.team import share
from fastbp.optimizers import N_COEFFICIENTS, N_HYPER
from fastbp.simd.record import numbers_of
from fastbp.simd.register import width

SCALES, PERIODS, TABLE, BLENDS, BEYOND_LAYERS = range(5)  # after two groups for each layer
DECAY = 4  # which of the hyper-parameters is the decay


@when_tabular
def prepare_groups(plan, work, reals):
    """Coefficients (G, N_COEFFICIENTS) of the step, before those of the rule itself, which moves its running products on."""
    hyper, factors = reals.hyper, numbers_of(reals) + plan.factors
    count = 2 * plan.n_layers + BEYOND_LAYERS
    own = factors + count * N_HYPER
    for group in range(count):
        for i in range(N_HYPER):
            own[i] = hyper[i] * factors[group * N_HYPER + i]
        own[DECAY] *= reals.decay
        c = work + plan.coefficients + group * N_COEFFICIENTS
        prepare(plan.rule, own, c)
        c[0] = 1


@when_tabular
def begin_epoch(plan, reals, rates, since):
    """The decay of the epoch `since` the first, and what its dropout leaves, where both follow schedules."""
    if plan.schedules == 0:
        return
    factors = rates + plan.schedules + 2 * since
    reals.decay = factors[0]
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        if layer.dropped > 0:
            layer.keep = min((1 << 32) - 1, (1 << 32) - int(layer.dropped * factors[1]))


@kernel
def _update(plan, work, offset, count, group, team):
    first, last = share(count // width(work), team)
    begin = offset + first * width(work)
    c, step = work + plan.coefficients + group * N_COEFFICIENTS, step_at(work + plan.step)
    w, g = work + plan.packed + begin, work + plan.gradient + begin
    s, v = work + plan.slot_1 + begin, work + plan.slot_2 + begin
    update(plan.rule, w, g, s, v, (last - first) * width(work), c, step.l2 + 1)


@when_tabular
def update_groups(plan, work, team):
    """The step of all parameters beyond the layers, from the gradient in memory; a share of each."""
    first_group = 2 * plan.n_layers
    _update(plan, work, plan.scales, plan.periods - plan.scales, first_group + SCALES, team)
    _update(plan, work, plan.periods, plan.table - plan.periods, first_group + PERIODS, team)
    _update(plan, work, plan.table, plan.blends - plan.table, first_group + TABLE, team)
    _update(plan, work, plan.blends, plan.n_packed - plan.blends, first_group + BLENDS, team)
