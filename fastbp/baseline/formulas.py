# mypy: allow-untyped-defs, allow-untyped-calls
"""Activations, losses and update rules in plain NumPy: what the baseline computes with.

They are looked up in the three tables below by name, or by the ``name`` of an instance whose hyper-parameters are then copied.
Nothing here shares a formula with the kernels. The arithmetic is vectorised over the mini-batch and runs in buffers of the caller.
"""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np


def sigmoid(z, out):
    """Write 1 / (1 + exp(-z)); where exp overflows the result is the correct limit 0, so callers silence that warning."""
    return np.reciprocal(np.add(np.exp(np.negative(z, out), out), 1, out), out)


def _softplus_rest(z, out):
    """Write log1p(exp(-|z|)), which is softplus(z) - max(z, 0)."""
    return np.log1p(np.exp(np.negative(np.abs(z, out), out), out), out)


def exponentials(z, out, ones):
    """Subtract the maximum from each row of z, write the exponentials, and return their row sums, shape (n, 1)."""
    columns = np.asfortranarray(z) if z.shape[1] < 64 else z  # reducing many short rows is NumPy's slow case
    z -= np.maximum.reduce(columns, axis=1, keepdims=True)
    return np.dot(np.exp(z, out), ones)


# Activations. forward(z, a, s, h) writes f(z) to a, which is z itself unless keeps_z, and may leave notes in s; h holds the
# hyper-parameters. slope(z, a, s, h) writes f'(z) to s and may destroy a; None stands for f' = 1. At a kink relu and
# hard_sigmoid have slope 0, the others the slope of the left side.
_Activation = namedtuple("_Activation", "options forward slope keeps_z", defaults=[False])
_SELU = SimpleNamespace(alpha=1.6732632423543772, scale=1.0507009873554805)  # Klambauer et al. (2017)


def _leaky_relu(z, a, s, h):
    (np.maximum if h.alpha <= 1 else np.minimum)(z, np.multiply(z, h.alpha, a), out=a)


def _leaky_relu_slope(z, a, s, h):
    np.add(np.multiply(np.greater(z, 0, s), 1 - h.alpha, s), h.alpha, s)


def _elu(z, a, s, h):  # leaves scale alpha expm1(min(z, 0)) in s, which is 0 where z > 0
    np.multiply(np.expm1(np.minimum(z, 0, out=s), s), h.scale * h.alpha, s)
    np.add(np.multiply(np.maximum(z, 0, out=a), h.scale, a), s, a)


def _elu_slope(z, a, s, h):
    s += h.scale * h.alpha
    if h.alpha != 1:
        np.copyto(s, h.scale, where=z > 0)


def _silu_slope(z, a, s, h):  # s holds sigmoid(z); s + a (1 - s) = 1 - (1 - a)(1 - s), which needs no temporary
    np.subtract(1, np.multiply(np.subtract(1, a, a), np.subtract(1, s, s), s), s)


def _mish(z, a, s, h):  # leaves tanh(softplus(z)) in s
    np.add(_softplus_rest(z, s), np.maximum(z, 0, out=a), s)
    np.multiply(z, np.tanh(s, s), a)


def _mish_slope(z, a, s, h):
    np.multiply(sigmoid(z, a), z, a)
    np.add(s, np.multiply(a, 1 - s * s, a), s)


def _gelu(z, a, s, h):  # leaves Phi(z) in s; erfc keeps the digits of the lower tail, which 1 + erf would lose
    from scipy.special import erfc

    np.multiply(erfc(np.multiply(z, -(0.5**0.5), s), s), 0.5, s)
    np.multiply(z, s, a)


def _gelu_slope(z, a, s, h):  # Phi(z) + z phi(z)
    np.multiply(np.exp(np.multiply(np.multiply(z, z, a), -0.5, a), a), (2 * np.pi) ** -0.5, a)
    np.add(s, np.multiply(a, z, a), s)


ACTIVATIONS = {
    "identity": _Activation({}, lambda z, a, s, h: None, None),
    "sigmoid": _Activation({}, lambda z, a, s, h: sigmoid(z, a), lambda z, a, s, h: np.multiply(a, np.subtract(1, a, s), s)),
    "tanh": _Activation({}, lambda z, a, s, h: np.tanh(z, a), lambda z, a, s, h: np.subtract(1, np.multiply(a, a, s), s)),
    "relu": _Activation({}, lambda z, a, s, h: np.maximum(z, 0, out=a), lambda z, a, s, h: np.greater(a, 0, s)),
    "exp": _Activation({}, lambda z, a, s, h: np.exp(z, a), lambda z, a, s, h: np.copyto(s, a)),
    "leaky_relu": _Activation({"alpha": 0.01}, _leaky_relu, _leaky_relu_slope, True),
    "elu": _Activation({"alpha": 1.0, "scale": 1.0}, _elu, _elu_slope, True),
    "selu": _Activation({}, lambda z, a, s, h: _elu(z, a, s, _SELU), lambda z, a, s, h: _elu_slope(z, a, s, _SELU), True),
    "softplus": _Activation(
        {}, lambda z, a, s, h: np.add(np.maximum(z, 0, out=a), _softplus_rest(z, s), a), lambda z, a, s, h: sigmoid(z, s), True
    ),
    "silu": _Activation({}, lambda z, a, s, h: np.multiply(z, sigmoid(z, s), a), _silu_slope),
    "gelu": _Activation({}, _gelu, _gelu_slope, True),
    "mish": _Activation({}, _mish, _mish_slope, True),
    "hard_sigmoid": _Activation(
        {},
        lambda z, a, s, h: np.minimum(np.maximum(np.add(np.multiply(z, 1 / 6, a), 0.5, a), 0, out=a), 1, out=a),
        lambda z, a, s, h: np.multiply(np.less(np.abs(z, s), 3, s), 1 / 6, s),
        True,
    ),
}

# Losses. delta(out, y, d, cost, h) writes to d the derivative of each row's cost with respect to out, and to cost the terms,
# one per output, whose sum is the row's cost. out holds raw outputs, which may be destroyed, or activations if it has no link.
# h.ones, a column of ones, sums short rows by a product, which is faster than a reduction.
_Loss = namedtuple("_Loss", "options delta link")


def _squared(out, y, d, cost, h):
    factor = {"half_sum": 1.0, "sum": 2.0, "mean": 2.0 / y.shape[1]}[h.reduction]
    np.subtract(out, y, d)
    np.multiply(np.multiply(d, d, cost), factor / 2, cost)
    if factor != 1:
        d *= factor


def _cross_entropy(out, y, d, cost, h):
    if h.smoothing:
        y = (1 - h.smoothing) * y + h.smoothing / y.shape[1]
    sums = exponentials(out, d, h.ones)
    np.multiply(np.subtract(np.log(sums), out, cost), y, cost)
    d *= np.dot(y, h.ones) / sums
    d -= y


def _binary_cross_entropy(out, y, d, cost, h):
    if h.smoothing:
        y = (1 - h.smoothing) * y + h.smoothing / 2
    np.subtract(np.maximum(out, 0, out=cost), np.multiply(out, y, d), cost)  # exact for labels: small costs keep their digits
    cost += _softplus_rest(out, d)
    np.subtract(sigmoid(out, d), y, d)


def _poisson(out, y, d, cost, h):
    from scipy.special import xlogy

    mean = np.exp(out)
    np.subtract(mean - y + xlogy(y, y), y * out, cost)
    np.subtract(mean, y, d)


def _gamma(out, y, d, cost, h):
    ratio = y * np.exp(-out)
    np.add(out - np.log(y), ratio - 1, cost)
    np.subtract(1, ratio, d)


def _absolute(out, y, d, cost, h):
    np.sign(np.subtract(out, y, d), d)
    np.abs(out - y, cost)


def _huber(out, y, d, cost, h):
    error = out - y
    size = np.abs(error)
    np.copyto(cost, np.where(size <= h.delta, error**2 / 2, h.delta * (size - h.delta / 2)))
    np.clip(error, -h.delta, h.delta, d)


def _quantile(out, y, d, cost, h):
    error = y - out
    np.maximum(h.quantile * error, (h.quantile - 1) * error, out=cost)
    np.copyto(d, np.where(error > 0, -h.quantile, np.where(error < 0, 1 - h.quantile, 0)))


def _log_cosh(out, y, d, cost, h):
    error = out - y
    np.subtract(np.logaddexp(error, -error), np.log(2), cost)
    np.tanh(error, d)


LOSSES = {
    "squared": _Loss({"reduction": "half_sum"}, _squared, None),
    "cross_entropy": _Loss({"smoothing": 0.0}, _cross_entropy, "softmax"),
    "binary_cross_entropy": _Loss({"smoothing": 0.0}, _binary_cross_entropy, "sigmoid"),
    "poisson": _Loss({}, _poisson, "exp"),
    "gamma": _Loss({}, _gamma, "exp"),
    "absolute": _Loss({}, _absolute, None),
    "huber": _Loss({"delta": 1.0}, _huber, None),
    "quantile": _Loss({"quantile": 0.5}, _quantile, None),
    "log_cosh": _Loss({}, _log_cosh, None),
}

# Update rules. step(w, g, slots, h) changes the flat vector w in place and uses up the gradient g; the last slot is scratch. h
# holds the hyper-parameters, the number t of the step, from 1, and the list of weight matrices, which are views of w.
_Rule = namedtuple("_Rule", "options step n_slots")


def _average(slot, beta, x, work):  # slot = beta slot + (1 - beta) x
    slot *= beta
    slot += np.multiply(x, 1 - beta, work)


def _sgd(w, g, slots, h):
    w -= np.multiply(g, h.learning_rate, g)


def _momentum(w, g, slots, h):
    v, _ = slots
    w += np.subtract(np.multiply(v, h.momentum, v), np.multiply(g, h.learning_rate, g), v)


def _nesterov(w, g, slots, h):
    v, _ = slots
    w -= np.multiply(g, h.learning_rate, g)
    np.subtract(np.multiply(v, h.momentum, v), g, v)
    w += np.multiply(v, h.momentum, g)


def _rmsprop(w, g, slots, h):
    s, work = slots
    _average(s, h.rho, np.multiply(g, g, work), work)
    g /= np.add(np.sqrt(s, work), h.epsilon, work)
    w -= np.multiply(g, h.learning_rate, g)


def _adam(w, g, slots, h):
    m, v, work = slots
    _average(m, h.beta_1, g, work)
    _average(v, h.beta_2, np.multiply(g, g, g), work)
    # The bias corrections are scalars and leave the quotient: sqrt(v / c^2) + epsilon = (sqrt(v) + epsilon c) / c.
    c = (1 - h.beta_2**h.t) ** 0.5
    np.divide(m, np.add(np.sqrt(v, work), h.epsilon if h.epsilon_hat else h.epsilon * c, work), g)
    w -= np.multiply(g, h.learning_rate * c / (1 - h.beta_1**h.t), g)


def _adamw(w, g, slots, h):
    for weight in h.weights:
        weight *= 1 - h.learning_rate * h.weight_decay
    _adam(w, g, slots, h)


_ADAM = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "epsilon_hat": False}
RULES = {
    "sgd": _Rule({"learning_rate": 0.01}, _sgd, 0),
    "momentum": _Rule({"learning_rate": 0.01, "momentum": 0.9}, _momentum, 1),
    "nesterov": _Rule({"learning_rate": 0.01, "momentum": 0.9}, _nesterov, 1),
    "rmsprop": _Rule({"learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-8}, _rmsprop, 1),
    "adam": _Rule(_ADAM, _adam, 2),
    "adamw": _Rule({**_ADAM, "weight_decay": 0.01}, _adamw, 2),
}


def lookup(table, argument, spec):
    """Return what the table has for a name, or for an instance with a ``name``, and its hyper-parameters."""
    name = spec if isinstance(spec, str) else getattr(spec, "name", None)
    if name not in table:
        raise ValueError(f"{argument} {spec!r} is not known; choose from {', '.join(table)}")
    options = {key: getattr(spec, key, default) for key, default in table[name].options.items()}
    # float, because a NumPy scalar would draw float32 arithmetic up to float64
    return table[name], SimpleNamespace(**{key: x if isinstance(x, str) else float(x) for key, x in options.items()})
