"""Derivatives of a network's outputs with respect to its inputs."""

from itertools import pairwise
from typing import Any

import numpy as np

from fastbp.engine import memory, sparsity, threads, validation
from fastbp.engine.session import FIRST_RATE, Session, seconds_of_call
from fastbp.kernels.modes import JACOBIAN, JVP, VJP

TOGETHER = 96  # rows whose activations and deltas stay in the cache


def jacobian(net: Any, X: Any, n_threads: Any = None) -> np.ndarray:
    """Derivatives of the outputs with respect to the inputs.

    Parameters
    ----------
    X : array_like or sparse matrix, (n_samples, n_inputs), or array_like (n_inputs,)
    n_threads : int, optional
        As for `Network.__call__`.

    Returns
    -------
    ndarray, (n_samples, n_outputs, n_inputs) or (n_outputs, n_inputs)
        ``J[i, k, j]`` is dy_k / dx_j of sample i, where y are what `Network.__call__` gives, probabilities included, and x the
        numbers of X, before they are multiplied by `input_scale`. At the corner of an activation it is what `fit` takes: 0 of relu.

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault.

    Notes
    -----
    By the delta recursion (Rumelhart, Hinton and Williams, 1986) from each output to the inputs, after one forward pass.
    """
    rows, is_one = _rows(net, X)
    found = _derived(net, JACOBIAN, rows, None, (len(rows), net.sizes[-1], net.sizes[0]), n_threads)
    return found[0] if is_one else found


def vjp(net: Any, X: Any, V: Any, n_threads: Any = None) -> np.ndarray:
    """Products of vectors with the Jacobian: v^T J, the gradient of v^T y with respect to the inputs.

    Parameters
    ----------
    X : array_like or sparse matrix, (n_samples, n_inputs), or array_like (n_inputs,)
    V : array_like (n_samples, n_outputs) or (n_outputs,)
        A vector for each sample.
    n_threads : int, optional
        As for `Network.__call__`.

    Returns
    -------
    ndarray, (n_samples, n_inputs) or (n_inputs,)
        ``V[i] @ J[i]``, J as from `Network.jacobian`, for the price of one backward pass.

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault.
    """
    rows, is_one = _rows(net, X)
    found = _derived(net, VJP, rows, _vectors(net, V, len(rows), net.sizes[-1], is_one), (len(rows), net.sizes[0]), n_threads)
    return found[0] if is_one else found


def jvp(net: Any, X: Any, V: Any, n_threads: Any = None) -> np.ndarray:
    """Products of the Jacobian with vectors: J v, the derivative of the outputs along v.

    Parameters
    ----------
    X : array_like or sparse matrix, (n_samples, n_inputs), or array_like (n_inputs,)
    V : array_like (n_samples, n_inputs) or (n_inputs,)
        A direction for each sample.
    n_threads : int, optional
        As for `Network.__call__`.

    Returns
    -------
    ndarray, (n_samples, n_outputs) or (n_outputs,)
        ``J[i] @ V[i]``, J as from `Network.jacobian`, for the price of one more forward pass.

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault.
    """
    rows, is_one = _rows(net, X)
    found = _derived(net, JVP, rows, _vectors(net, V, len(rows), net.sizes[0], is_one), (len(rows), net.sizes[-1]), n_threads)
    return found[0] if is_one else found


def _rows(net, X):
    """X as rows, with their zeros, and whether it is a single one."""
    validation.refuse_stream("X", X)
    is_one = not hasattr(X, "tocsr") and np.ndim(X) == 1
    if is_one:
        X = validation.numbers("X", X, net.dtype, validation.KEPT)[None]
    return sparsity.dense(validation.samples("X", X, net.sizes[0], net.dtype)), is_one


def _vectors(net, V, count, length, is_one):
    found = validation.numbers("V", V, net.dtype)
    if found.shape != ((length,) if is_one else (count, length)):
        expected = f"({length},)" if is_one else f"({count}, {length})"
        raise ValueError(f"V must have shape {expected}, a vector for each sample, got {found.shape}")
    return found.reshape(count, length)


def _derived(net, mode, rows, vectors, shape, n_threads):
    """What the kernel gives for rows that have passed validation; many are divided among threads, and among calls."""
    if n_threads is not None:
        validation.integer("n_threads", n_threads)
    memory.check_room("X", int(np.prod(shape, dtype=object)) * net.dtype.itemsize)
    count, out = len(rows), np.empty(shape, net.dtype)
    passes = 2.0 + 2.0 * (net.sizes[-1] if mode == JACOBIAN else 1)
    flop = passes * net._vector.size * count
    members = min(count, threads.members_for(flop, n_threads, threads.FLOP_PER_START))
    parts = min(count, max(members, int(flop / (seconds_of_call(net, 3) * FIRST_RATE)) + 1))  # parameters are packed and transposed
    nothing, idle = validation.NOTHING[net.dtype], net._derived

    def derive(part):
        first, last = part
        size = last - first
        try:
            session = idle.pop()
        except IndexError:
            session = None
        if session is None or session.batch < min(size, TOGETHER):
            session = Session(net, min(size, TOGETHER), differentiate=True, derives=True)
        try:
            session.derive(mode, size, rows[first:last], nothing if vectors is None else vectors[first:last], out[first:last])
        finally:
            idle.append(session)

    threads.divide(derive, pairwise(count * part // parts for part in range(parts + 1)), members)
    del idle[1:]  # each has a copy of the parameters
    return out
