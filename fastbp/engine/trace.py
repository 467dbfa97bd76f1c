"""What backpropagation computes on its way, to be looked at."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.engine import sparsity, validation
from fastbp.engine.session import Session
from fastbp.kernels.modes import DIFFERENTIATE

Array = NDArray[Any]


class Trace(NamedTuple):
    """The quantities of backpropagation, a row for each sample.

    ``a[0]`` is the input, times the network's `input_scale`, and ``a[l]`` the activations of layer l; ``z[l - 1]`` its raw outputs
    a[l-1] W^T + b; ``delta[l - 1]`` the derivative of the mean loss with respect to them (None without targets).
    """

    a: list[Array]
    z: list[Array]
    delta: list[Array] | None


def trace(net, X, y=None) -> Trace:
    """a, z and delta of every layer for X (and y) as for `loss`: the quantities in the four equations of backpropagation."""
    rows = sparsity.dense(net._samples("X", X))
    dummy = np.zeros(len(rows)) if net.loss_function.task == "labels" else np.ones((len(rows), net.sizes[-1]))
    values, labels = validation.targets("y", dummy if y is None else y, len(rows), net.sizes[-1], net.loss_function.task, net.dtype)
    session = Session(net, len(rows), differentiate=True, keep_all=True)
    out = np.empty(net._vector.size, net.dtype)
    session.compute(DIFFERENTIATE, len(rows), rows, values, labels, validation.NO_WEIGHTS, out)
    layers = range(len(net.weights))
    a = [session.matrix(layer, "activation") for layer in layers]
    if net.loss_function.link:
        a[-1] = net._outputs(rows)
    delta = None if y is None else [session.matrix(layer, "delta") for layer in layers]
    return Trace([session.matrix(0, "input"), *a], [session.matrix(layer, "raw") for layer in layers], delta)
