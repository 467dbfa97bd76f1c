"""For tests of exports: random networks, and how far two computations of one may be apart."""

from itertools import pairwise

import numpy as np
from problems import ACTIVATIONS, LOSSES, make_samples

from fastbp import Network, activations, baseline

UNITS = 8  # in the last place, that two libraries' elementary functions, or formulas made of a few of them, may differ by
NOT_MONOTONE = {"gelu": 1.13, "silu": 1.1, "mish": 1.09}  # their largest slopes
HARD_SIGMOID_HALF = 0.5  # the largest number in its formula, where the result is small


def function(activation):
    """f of an activation, in float64, by the baseline's formula."""
    formula, options = baseline.formulas.lookup(baseline.formulas.ACTIVATIONS, "activation", activation)

    def f(z):
        z = np.array(z, np.float64)
        a, spare = np.empty_like(z) if formula.keeps_z else z, np.empty_like(z)
        formula.forward(z, a, spare, options)
        return a if activation.name != "identity" else z

    return f


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def bound(net, X):
    """How far outputs of `net` for X may be from those of another correct computation in its dtype; the outputs in float64.

    A sum of n terms, in whatever order, is within n eps / 2 of the sum of their sizes (Higham, 2002, section 4.2); functions are
    within `UNITS` of each other. What was off in a layer goes through the next: by the values at both ends of the interval where a
    function is monotone, by its largest slope elsewhere.
    """
    eps, tiny = np.finfo(net.dtype).eps, np.finfo(net.dtype).tiny
    a = X.astype(np.float64) * net.input_scale
    off = eps * np.abs(a)
    with np.errstate(all="ignore"):
        for w, b, activation in zip(net.weights, net.biases, (*net.hidden, net.output), strict=True):
            w, b = w.astype(np.float64), b.astype(np.float64)
            z, sizes = a @ w.T + b, np.abs(a) @ np.abs(w.T) + np.abs(b)
            off = off @ np.abs(w.T) + (len(w.T) + 1) * (eps * sizes + tiny)
            off[~(sizes + off < np.finfo(net.dtype).max)] = np.inf  # what has overflowed may be anything
            if isinstance(activation, activations.Softmax):
                a = softmax(z)
                high, low = np.zeros_like(z), np.zeros_like(z)
                for k in range(z.shape[1]):  # one unit up and all others down, and the reverse
                    away = np.where(np.arange(z.shape[1]) == k, off, -off)
                    high[:, k], low[:, k] = softmax(z + away)[:, k], softmax(z - away)[:, k]
                off = np.maximum(high - a, a - low) + (UNITS + z.shape[1]) * eps * a + 2 * tiny
                continue
            f, name = function(activation), activation.name
            a = f(z)
            size = {"gelu": np.abs(z), "hard_sigmoid": HARD_SIGMOID_HALF}.get(name, np.abs(a))
            ends = np.maximum(f(z + off) - a, a - f(z - off))
            off = NOT_MONOTONE[name] * off if name in NOT_MONOTONE else ends
            off = off + UNITS * eps * size + 2 * tiny
    return a, off


def agree(net, X, outputs):
    """Raise unless outputs are those of `net`, as far as rounding goes; gives the largest difference in units of that."""
    expected = net(X)
    value, off = bound(net, X)
    assert outputs.dtype == net.dtype
    assert outputs.shape == expected.shape
    known = np.abs(value) + off < np.finfo(net.dtype).max  # where nothing overflows on the way
    parts = np.abs(outputs[known].astype(np.float64) - expected[known]) / off[known]
    assert (parts <= 1).all(), f"{parts.max()} of what rounding explains, by {net}"
    return parts.max(initial=0.0)


def every_kind(dtype):
    """Networks of all activations, hidden ones and at the output, and of all links."""
    for number, activation in enumerate(ACTIVATIONS):
        yield drawn([3, 5, 4, 2], [activation, ACTIVATIONS[number - 1]], "squared", number, output=activation, dtype=dtype)
    for loss in ("cross_entropy", "binary_cross_entropy", "poisson"):
        yield drawn([3, 5, 4], "tanh", loss, 0, dtype=dtype)


def random_network(seed):
    """Any sizes, activations and losses, of either dtype; every third one with parameters that are denormal, huge, or saturate."""
    rng = np.random.default_rng([seed, 19])
    sizes = rng.integers(1, 20, rng.integers(2, 6)).tolist()
    loss = LOSSES[rng.integers(len(LOSSES))]
    settings = {
        "output": None if loss.link else ACTIVATIONS[rng.integers(len(ACTIVATIONS))],
        "dtype": ("float32", "float64")[rng.integers(2)],
        "input_scale": (1.0, 1 / 255)[rng.integers(2)],
    }
    hidden = [ACTIVATIONS[i] for i in rng.integers(len(ACTIVATIONS), size=len(sizes) - 2)]
    net = drawn(sizes, hidden, loss, seed, **settings)
    if seed % 3 == 0:
        info = np.finfo(net.dtype)
        where = rng.integers(net.params.size, size=max(1, net.params.size // 5))
        net.params[where] *= [info.smallest_subnormal * 1e3, 1e3, info.max**0.4][rng.integers(3)]
    return net


def drawn(sizes, hidden, loss, seed, **settings):
    """A network with random weights and biases, raw outputs of about 1."""
    net = Network(sizes, hidden, loss, rng=seed, **settings)
    rng = np.random.default_rng([seed, 7])
    net.weights = [rng.normal(size=(n_out, n_in)) / n_in**0.5 for n_in, n_out in pairwise(sizes)]
    net.biases = [rng.normal(size=n_out) / 2 for n_out in sizes[1:]]
    return net


def samples(net, n, seed=0):
    return make_samples(n, net.sizes[0], net.dtype, seed)
