"""The methods of networks and trainers in compiled code.

Each checks types when it is compiled, and shapes when it is called; then one call of a C function does all the rest.
"""

from typing import Any

import numpy as np
from numba import NumbaTypeError, types
from numba.extending import overload, overload_method, register_jitable

from fastbp.compiler import address_of_array
from fastbp.embed.kinds import NetworkType, TrainerType, call, look, n_inputs, n_outputs, n_params
from fastbp.engine.supervisor import DivergenceError
from fastbp.kernels.embedded.records import (
    BUSY,
    DONE,
    LEFT,
    LOOK,
    LOSS_DIVERGED,
    NO_ROWS,
    NO_SUCH_CLASS,
    NOT_FINITE,
    STEP_DIVERGED,
    TOO_MANY_ROWS,
)
from fastbp.kernels.modes import DIFFERENTIATE, JACOBIAN, JVP, PREDICT, STEP, VJP

# Numba keeps messages as constants: they cannot name numbers
COLUMNS = "x must have as many columns as the network has inputs"
OUT = "out must have a row for each row of x, and as many columns as the network has outputs"
GRAD = "grad must have as many numbers as net.params"
TARGETS = "y must have a row of as many targets as the network has outputs, or a class number, for each row of x"
LIKE_X = "out must have the shape of x"
LIKE_OUTPUTS = "v must have a row for each row of x, and as many columns as the network has outputs"
V_LIKE_X = "v must have the shape of x"
ONE_OUTPUT = "input_gradient_into is for networks with one output; use jacobian_into or vjp_into"
WHOLE = "out must have the shape (rows of x, outputs, inputs), without the first for a row"
OVERLAP = "out overlaps x or v, of which rows would be overwritten before they are read: give it memory of its own"
ONE_CLASS, SOME_CLASSES = ", or an integer, the class number", ", or class numbers in an array of int64 with 1 dimension"
FINITE = "x, y or v holds NaN or infinity"
EMPTY = "x has no rows"
ROWS = "x has more rows than one call takes: batch_size of a trainer, else `rows` of fastbp.embed.prepare(net, rows)"
CLASSES = "y holds a number that is no class of the network"
VALUES = "y holds targets that the loss does not take: see Network.loss"
TRAINED = "this network is being trained already, by another thread: wait for the end of that, or train a copy"
LEFT_TO = "the trainer has been used otherwise meanwhile: give it to the compiled function anew"
OF_LOSS = "training diverged: the loss of these samples is not finite. Nothing has changed. Lower the learning rate, or scale X"
OF_STEP = (
    "training diverged: a weight after the step is not finite. The weights are as before the step, and the optimiser begins anew."
    " Lower the learning rate, or scale X"
)


def checked(name: str, kind: Any, dtype: Any, *dims: int, writable: bool = False, otherwise: str = "") -> None:
    """Raise, as a function is compiled, unless an argument is a C-contiguous array of a dtype with one of these numbers of axes."""
    fits = isinstance(kind, types.Array) and kind.dtype == dtype and kind.layout == "C" and kind.ndim in dims
    if not fits or (writable and not kind.mutable):
        axes = " or ".join(map(str, dims))
        raise NumbaTypeError(
            f"{name} must be a {'writable ' if writable else ''}C-contiguous array of {dtype} with {axes} dimension"
            f"{'s' if dims != (1,) else ''}{otherwise}, got {kind}"
        )


def checked_targets(embedded: Any, x: Any, y: Any) -> None:
    """The same for targets: numbers, or class numbers where the loss takes them."""
    if embedded.takes_classes and (isinstance(y, types.Integer) if x.ndim == 1 else getattr(y, "dtype", None) == types.int64):
        if x.ndim == 2:
            checked("y", y, types.int64, 1)
        return
    otherwise = ONE_CLASS if x.ndim == 1 else SOME_CLASSES
    checked("y", y, embedded.dtype, *((1,) if x.ndim == 1 else (1, 2)), otherwise=otherwise if embedded.takes_classes else "")


@register_jitable
def finish(embedded, status):
    """Raise what a status other than DONE stands for, after a look for signals if it is time."""
    if status >= LOOK:
        look(embedded)
        status -= LOOK
    if status == DONE:
        return
    if status == NOT_FINITE:
        raise ValueError(FINITE)
    if status == NO_ROWS:
        raise ValueError(EMPTY)
    if status == TOO_MANY_ROWS:
        raise ValueError(ROWS)
    if status == NO_SUCH_CLASS:
        raise ValueError(CLASSES)
    if status == BUSY:
        raise RuntimeError(TRAINED)
    if status == LEFT:
        raise RuntimeError(LEFT_TO)
    if status == LOSS_DIVERGED:
        raise DivergenceError(0, 0.0, OF_LOSS)
    if status == STEP_DIVERGED:
        raise DivergenceError(0, 0.0, OF_STEP)
    raise ValueError(VALUES)


def rows_of(x):
    """Rows of a matrix; 1 of a vector."""


@overload(rows_of)
def _rows_of(x):
    if x.ndim == 1:
        return lambda x: 1
    return lambda x: x.shape[0]


@register_jitable
def compute(embedded, mode, x, y, out):
    """One call of the C function, for arguments whose shapes have been checked; the loss, where there is one."""
    status, loss = call(embedded, mode, rows_of(x), x, y, out)
    if status != DONE:
        finish(embedded, status)
    return loss


@register_jitable
def is_overwritten(x, out):
    """Whether rows of x would be lost before they are read: rows come in order, so that `out` may be x itself."""
    begin, to = address_of_array(x), address_of_array(out)
    is_ahead = to > begin or out.nbytes > x.nbytes
    return is_ahead and to < begin + x.nbytes and begin < to + out.nbytes


@register_jitable
def check_overlap(x, v, out):
    """Raise if so, of x or v; one row is read as a whole."""
    if rows_of(x) > 1 and (is_overwritten(x, out) or is_overwritten(v, out)):
        raise ValueError(OVERLAP)


def are_targets_of(net, y, rows):
    """Whether targets or class numbers have the shape for so many rows."""


@overload(are_targets_of)
def _are_targets_of(net, y, rows):
    if isinstance(y, types.Integer):
        return lambda net, y, rows: True
    if isinstance(y.dtype, types.Integer):
        return lambda net, y, rows: y.size == rows
    if y.ndim == 1:
        return lambda net, y, rows: y.size == rows * n_outputs(net) and (rows == 1 or n_outputs(net) == 1)
    return lambda net, y, rows: y.shape[0] == rows and y.shape[1] == n_outputs(net)


@overload_method(NetworkType, "__call__")
def _call(net, x):
    checked("x", x, net.dtype, 1, 2)
    if x.ndim == 1:

        def outputs(net, x):
            out = np.empty(n_outputs(net), x.dtype)
            net.predict_into(x, out)
            return out
    else:

        def outputs(net, x):
            out = np.empty((x.shape[0], n_outputs(net)), x.dtype)
            net.predict_into(x, out)
            return out

    return outputs


@overload_method(NetworkType, "predict_into")
def _predict_into(net, x, out):
    checked("x", x, net.dtype, 1, 2)
    checked("out", out, net.dtype, x.ndim, writable=True)

    def predict_into(net, x, out):
        if x.shape[-1] != n_inputs(net):
            raise ValueError(COLUMNS)
        if out.shape[-1] != n_outputs(net) or rows_of(out) != rows_of(x):
            raise ValueError(OUT)
        check_overlap(x, x, out)
        compute(net, PREDICT, x, x, out)

    return predict_into


@overload_method(NetworkType, "value_and_grad_into")
def _value_and_grad_into(net, x, y, grad):
    checked("x", x, net.dtype, 1, 2)
    checked_targets(net, x, y)
    checked("grad", grad, net.dtype, 1, writable=True)

    def value_and_grad_into(net, x, y, grad):
        if x.shape[-1] != n_inputs(net):
            raise ValueError(COLUMNS)
        if not are_targets_of(net, y, rows_of(x)):
            raise ValueError(TARGETS)
        if grad.size != n_params(net):
            raise ValueError(GRAD)
        return compute(net, DIFFERENTIATE, x, y, grad)

    return value_and_grad_into


@overload_method(NetworkType, "input_gradient_into")
def _input_gradient_into(net, x, out):
    checked("x", x, net.dtype, 1, 2)
    checked("out", out, net.dtype, x.ndim, writable=True)

    def input_gradient_into(net, x, out):
        if n_outputs(net) != 1:
            raise ValueError(ONE_OUTPUT)
        if x.shape[-1] != n_inputs(net):
            raise ValueError(COLUMNS)
        if out.shape != x.shape:
            raise ValueError(LIKE_X)
        check_overlap(x, x, out)
        compute(net, JACOBIAN, x, x, out)

    return input_gradient_into


@overload_method(NetworkType, "jacobian_into")
def _jacobian_into(net, x, out):
    checked("x", x, net.dtype, 1, 2)
    checked("out", out, net.dtype, x.ndim + 1, writable=True)

    def jacobian_into(net, x, out):
        if x.shape[-1] != n_inputs(net):
            raise ValueError(COLUMNS)
        size = n_inputs(net) * n_outputs(net)
        if out.shape[-1] != n_inputs(net) or out.shape[-2] != n_outputs(net) or out.size != rows_of(x) * size:
            raise ValueError(WHOLE)
        check_overlap(x, x, out)
        compute(net, JACOBIAN, x, x, out)

    return jacobian_into


@overload_method(NetworkType, "vjp_into")
def _vjp_into(net, x, v, out):
    checked("x", x, net.dtype, 1, 2)
    checked("v", v, net.dtype, x.ndim)
    checked("out", out, net.dtype, x.ndim, writable=True)

    def vjp_into(net, x, v, out):
        if x.shape[-1] != n_inputs(net):
            raise ValueError(COLUMNS)
        if v.shape[-1] != n_outputs(net) or rows_of(v) != rows_of(x):
            raise ValueError(LIKE_OUTPUTS)
        if out.shape != x.shape:
            raise ValueError(LIKE_X)
        check_overlap(x, v, out)
        compute(net, VJP, x, v, out)

    return vjp_into


@overload_method(NetworkType, "jvp_into")
def _jvp_into(net, x, v, out):
    checked("x", x, net.dtype, 1, 2)
    checked("v", v, net.dtype, x.ndim)
    checked("out", out, net.dtype, x.ndim, writable=True)

    def jvp_into(net, x, v, out):
        if x.shape[-1] != n_inputs(net):
            raise ValueError(COLUMNS)
        if v.shape != x.shape:
            raise ValueError(V_LIKE_X)
        if out.shape[-1] != n_outputs(net) or rows_of(out) != rows_of(x):
            raise ValueError(OUT)
        check_overlap(x, v, out)
        compute(net, JVP, x, v, out)

    return jvp_into


@overload_method(TrainerType, "step")
def _step(trainer, x, y):
    checked("x", x, trainer.dtype, 1, 2)
    checked_targets(trainer, x, y)

    def step(trainer, x, y):
        if x.shape[-1] != n_inputs(trainer):
            raise ValueError(COLUMNS)
        if not are_targets_of(trainer, y, rows_of(x)):
            raise ValueError(TARGETS)
        return compute(trainer, STEP, x, y, x)

    return step
