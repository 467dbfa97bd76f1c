"""The C functions: of a handle, for compiled functions of Python, and of plain pointers, for everybody else.

Legend: N rows; I inputs and O outputs of the network.
"""

from math import nan

from numba import types

from fastbp.compiler import c_entry, entry, exchange, store_shared
from fastbp.kernels.embedded.networks import derive, differentiate, predict_rows
from fastbp.kernels.embedded.records import DONE, LOOK, NO_ROWS, PREDICTING, RECORD, handle_at, pool_at
from fastbp.kernels.embedded.steps import step
from fastbp.kernels.embedded.workspaces import call, integers_at, leave, numbers_at, plan_of, take
from fastbp.kernels.modes import DIFFERENTIATE, PREDICT
from fastbp.simd.record import numbers_of
from fastbp.simd.register import pointer


def _signature(dtype):
    own, places = types.CPointer(dtype), types.CPointer(types.int64)
    return types.int64(places, types.int64, types.int64, own, own, places, types.int64, own, types.CPointer(types.float64))


@c_entry(_signature)
def call_network(network, mode, rows, x, y, labels, is_labelled, out, loss):
    """PREDICT, DIFFERENTIATE, VJP, JVP or JACOBIAN on a Handle; what came of it.

    x (N, I); y (N, O), or labels (N,), or what a derivative is multiplied by; out as in `run`; loss (1,), of DIFFERENTIATE.
    """
    handle = handle_at(network)
    if rows <= 0:
        return DONE if mode != DIFFERENTIATE else NO_ROWS
    if mode == PREDICT:
        return predict_rows(handle, rows, x, out)
    if mode == DIFFERENTIATE:
        return differentiate(handle, rows, x, y, labels, is_labelled, out, loss)
    return derive(handle, mode, rows, x, y, out)


@c_entry(_signature)
def call_trainer(trainer, mode, rows, x, y, labels, is_labelled, out, loss):
    """A step with x (N, I) and y (N, O) or labels (N,), and loss (1,) before it; what came of it. `out` is not touched."""
    return step(handle_at(trainer), rows, x, y, labels, is_labelled, loss) if rows > 0 else NO_ROWS


def _predict_of(dtype):
    own = types.CPointer(dtype)
    return types.int32(types.CPointer(types.int64), types.int64, own, own)


@c_entry(_predict_of)
def predict(network, rows, x, out):
    """`fastbp_predict` of fastbp.h: out (N, O) for x (N, I); 0, or 1 where x holds NaN or infinity."""
    return predict_rows(handle_at(network), rows, x, out) % LOOK if rows > 0 else DONE


@c_entry(lambda dtype: types.float64(types.int32, types.CPointer(types.float64), types.CPointer(types.int64)))
def integrand(count, x, network):
    """`fastbp_integrand` of fastbp.h: the output of a network of float64 that has one, for the inputs x (count,).

    NaN where it has another number of inputs or outputs, or x is not finite.
    """
    handle, result = handle_at(network), nan
    if count == handle.n_in and handle.n_out == 1:
        space = take(pool_at(integers_at(numbers_of(handle) + PREDICTING)))
        plan, out = plan_of(space), numbers_at(numbers_of(space) + RECORD)  # which no prediction writes to
        plan.n_rows = 1
        if call(space, PREDICT, x, x, numbers_of(space), out) == 0.0:
            result = out[0]
        leave(handle, space, 1, 1)
    return result


@entry(lambda _: types.boolean(types.int64[::1]))
def take_turn(word):
    """Write 1 to word (1,), which threads share; whether it was 0."""
    return exchange(pointer(word), 1) == 0


@entry(lambda _: types.void(types.int64[::1]))
def end_turn(word):
    """Write 0 to word (1,), for other threads to see."""
    store_shared(pointer(word), 0)
