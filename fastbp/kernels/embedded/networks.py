"""Outputs, gradients and derivatives of a network, in a workspace.

Legend: N rows; I inputs and O outputs of the network.
"""

from fastbp.compiler import kernel
from fastbp.kernels.embedded.checks import check
from fastbp.kernels.embedded.records import DONE, NOT_FINITE, PREDICTING, pool_at
from fastbp.kernels.embedded.workspaces import call, differentiating, integers_at, leave, plan_of, take
from fastbp.kernels.modes import DIFFERENTIATE, JACOBIAN, JVP, PREDICT, VJP
from fastbp.simd.record import numbers_of


@kernel
def predict_rows(handle, rows, x, out):
    """out (N, O) = the network's outputs for x (N, I)."""
    pool = pool_at(integers_at(numbers_of(handle) + PREDICTING))
    space = take(pool)
    plan, status = plan_of(space), DONE
    for top in range(0, rows, pool.rows):
        plan.n_rows = min(pool.rows, rows - top)
        part = out + top * handle.n_out
        if call(space, PREDICT, x + top * handle.n_in, x, numbers_of(space), part) != 0.0:
            status = NOT_FINITE
    return status + leave(handle, space, rows, 1)


@kernel
def differentiate(handle, rows, x, y, labels, is_labelled, out, loss):
    """loss (1,) and out = its gradient, like `params`."""
    status = check(handle, rows, x, y, labels, is_labelled)
    if status != DONE:
        return status
    space = take(differentiating(handle))
    plan = plan_of(space)
    plan.n_rows, plan.labelled = rows, is_labelled
    loss[0] = call(space, DIFFERENTIATE, x, y, labels, out)
    return leave(handle, space, rows, 3)


@kernel
def derive(handle, mode, rows, x, v, out):
    """VJP, JVP or JACOBIAN of any number of rows; see :mod:`fastbp.kernels.derivatives`."""
    pool = differentiating(handle)
    space = take(pool)
    plan, status, n_in, n_out = plan_of(space), DONE, handle.n_in, handle.n_out
    width_of_v = n_out if mode == VJP else n_in if mode == JVP else 0
    width_of_out = n_in if mode == VJP else n_out if mode == JVP else n_in * n_out
    for top in range(0, rows, pool.rows):
        plan.n_rows = min(pool.rows, rows - top)
        part = out + top * width_of_out
        if call(space, mode, x + top * n_in, v + top * width_of_v, numbers_of(space), part) != 0.0:
            status = NOT_FINITE
    return status + leave(handle, space, rows, 1 + (n_out if mode == JACOBIAN else 1))
