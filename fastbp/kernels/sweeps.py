"""The formulas of the classes over memory: which class is chosen once a sweep, outside the loop.

Legend: W lanes of a register; a, z activations and raw outputs; d deltas; g gradient; w weights; s, v slots of a rule.
"""

from fastbp.activations import ACTIVATIONS
from fastbp.compiler import inline, kernel, switch_over
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS
from fastbp.simd.register import broadcast, fence, fma, like, load, maximum, select, store, width
from fastbp.simd.vmath import exp

# --- activations --------------------------------------------------------------------------------------------------------------


def _value_sweep(cls):
    value = inline(cls.value)

    @kernel
    def value_block(z, count, step, alpha):
        # no ranges: with a step that is no constant they divide
        alpha, i = broadcast(alpha, 0), 0
        while i + step < count:
            # two at a time: their latencies overlap, and they share the loads of the constants
            first, second = value(load(z, i), alpha), value(load(z, i + step), alpha)
            store(z, i, fence(first))
            store(z, i + step, fence(second))
            i += 2 * step
        if i < count:
            store(z, i, fence(value(load(z, i), alpha)))

    return value_block


def _slope_sweep(cls):
    slope = inline(cls.slope)

    @kernel
    def slope_block(z, a, d, count, step, alpha):
        alpha, i = broadcast(alpha, 0), 0
        while i < count:
            store(d, i, load(d, i) * slope(load(z, i), load(a, i), alpha))
            i += step

    return slope_block


_choose_value, _choose_slope = switch_over(ACTIVATIONS, _value_sweep), switch_over(ACTIVATIONS, _slope_sweep)


@kernel
def activate(code, z, count, step, alpha):
    """a = f(z) in place on the registers at 0, `step`, 2 `step` ... below `count`; `alpha` points to the shape parameter."""
    _choose_value(code, z, count, step, alpha)


@kernel
def multiply_slope(code, z, a, d, count, step, alpha):
    """d = d f'(z) in place on registers as for `activate`; z is read only by activations with ``needs_z``."""
    _choose_slope(code, z, a, d, count, step, alpha)


# --- losses -------------------------------------------------------------------------------------------------------------------

_choose_loss = switch_over(LOSSES, lambda cls: kernel(cls.value_and_grad))


@kernel
def loss_block(code, x, y, d, count, stride, scale, cap):
    """min(l, cap) of W samples (nan stays nan), and d = dl/dx, for the loss of a code; see :mod:`fastbp.losses`."""
    losses, cap = _choose_loss(code, x, y, d, count, stride, like(load(x, 0), scale)), like(load(x, 0), cap)
    return select(losses > cap, cap, losses)


@kernel
def softmax_block(x, count):
    """x = softmax(x) over the outputs of W samples, in place."""
    end = count * width(x)
    highest = load(x, 0)
    for k in range(width(x), end, width(x)):
        highest = maximum(highest, load(x, k))
    total = like(highest, 0.0)
    for k in range(0, end, width(x)):
        term = exp(load(x, k) - highest)
        store(x, k, term)
        total = total + term
    for k in range(0, end, width(x)):
        store(x, k, load(x, k) / total)


# --- update rules -------------------------------------------------------------------------------------------------------------


def _stepping(at):
    """What makes of a rule its sweep; ``at(c, i)`` is the register of its coefficient i."""
    at = inline(at)

    @inline
    def coefficients(c):
        return at(c, 0), at(c, 1), at(c, 2), at(c, 3), at(c, 4), at(c, 5), at(c, 6), at(c, 7)

    def sweep_of(cls):
        step = inline(cls.step)
        if cls.slots == 0:

            @kernel
            def update_block(w, g, s, v, count, c, l2):
                c, l2 = coefficients(c), at(l2, 0)
                for i in range(0, count, width(w)):
                    weight = load(w, i)
                    store(w, i, step(weight, fma(l2, weight, load(g, i)), c))

        elif cls.slots == 1:

            @kernel
            def update_block(w, g, s, v, count, c, l2):
                c, l2 = coefficients(c), at(l2, 0)
                for i in range(0, count, width(w)):
                    weight = load(w, i)
                    weight, slot = step(weight, fma(l2, weight, load(g, i)), load(s, i), c)
                    store(w, i, weight)
                    store(s, i, slot)

        else:

            @kernel
            def update_block(w, g, s, v, count, c, l2):
                c, l2 = coefficients(c), at(l2, 0)
                for i in range(0, count, width(w)):
                    weight = load(w, i)
                    weight, slot, second = step(weight, fma(l2, weight, load(g, i)), load(s, i), load(v, i), c)
                    store(w, i, weight)
                    store(s, i, slot)
                    store(v, i, second)

        return update_block

    return sweep_of


_choose_update = switch_over(OPTIMIZERS, _stepping(lambda c, i: broadcast(c, i)))
_choose_update_of_lanes = switch_over(OPTIMIZERS, _stepping(lambda c, i: load(c, i * width(c))))
_choose_prepare = switch_over(OPTIMIZERS, lambda cls: inline(cls.prepare))


@kernel
def update(code, w, g, s, v, count, c, l2):
    """One step of a rule on `count` parameters, a multiple of W.

    w, s, v (weights and slots) are overwritten; slots a rule lacks are not touched. c points to the step's coefficients, l2 to the
    factor of the weights that is added to the gradient g.
    """
    _choose_update(code, w, g, s, v, count, c, l2)


@kernel
def update_lanes(code, w, g, s, v, count, c, l2):
    """The same with coefficients c (N, W) and a factor l2 (W,) for each lane."""
    _choose_update_of_lanes(code, w, g, s, v, count, c, l2)


@kernel
def prepare(code, h, c):
    """Coefficients c (float64) of the next step from the hyper-parameters h (float64), which keep running products."""
    _choose_prepare(code, h, c)
