# mypy: allow-untyped-defs, allow-untyped-calls
"""The same network and trainer in plain NumPy: the oracle of the tests and the opponent of the benchmarks.

Nothing here shares a formula with the rest of the package. Activations, losses and update rules are looked up in the three
tables below by name, or by the ``name`` of an instance whose hyper-parameters are then copied. The arithmetic is vectorised
over the mini-batch, runs in buffers allocated once, and leaves every matrix product to BLAS.

A sample is a row: ``z = a_prev W^T + b`` with ``W`` of shape (n_out, n_in). For rows with weights w_i the objective is
``sum_i w_i l_i / sum_i w_i + l2 / (2 n_train) sum W^2``.
"""

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import numpy as np


def _sigmoid(z, out):
    """Write 1 / (1 + exp(-z)); where exp overflows the result is the correct limit 0, so callers silence that warning."""
    return np.reciprocal(np.add(np.exp(np.negative(z, out), out), 1, out), out)


def _softplus_rest(z, out):
    """Write log1p(exp(-|z|)), which is softplus(z) - max(z, 0)."""
    return np.log1p(np.exp(np.negative(np.abs(z, out), out), out), out)


def _exponentials(z, out, ones):
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


def _gelu(z, a, s, h):  # leaves Phi(z) in s; erfc keeps the digits of the lower tail, which 1 + erf would lose
    from scipy.special import erfc  # type: ignore[import-untyped]

    np.multiply(erfc(np.multiply(z, -(0.5**0.5), s), s), 0.5, s)
    np.multiply(z, s, a)


def _gelu_slope(z, a, s, h):  # Phi(z) + z phi(z)
    np.multiply(np.exp(np.multiply(np.multiply(z, z, a), -0.5, a), a), (2 * np.pi) ** -0.5, a)
    np.add(s, np.multiply(a, z, a), s)


ACTIVATIONS = {
    "identity": _Activation({}, lambda z, a, s, h: None, None),
    "sigmoid": _Activation({}, lambda z, a, s, h: _sigmoid(z, a), lambda z, a, s, h: np.multiply(a, np.subtract(1, a, s), s)),
    "tanh": _Activation({}, lambda z, a, s, h: np.tanh(z, a), lambda z, a, s, h: np.subtract(1, np.multiply(a, a, s), s)),
    "relu": _Activation({}, lambda z, a, s, h: np.maximum(z, 0, out=a), lambda z, a, s, h: np.greater(a, 0, s)),
    "leaky_relu": _Activation({"alpha": 0.01}, _leaky_relu, _leaky_relu_slope, True),
    "elu": _Activation({"alpha": 1.0, "scale": 1.0}, _elu, _elu_slope, True),
    "selu": _Activation({}, lambda z, a, s, h: _elu(z, a, s, _SELU), lambda z, a, s, h: _elu_slope(z, a, s, _SELU), True),
    "softplus": _Activation(
        {}, lambda z, a, s, h: np.add(np.maximum(z, 0, out=a), _softplus_rest(z, s), a), lambda z, a, s, h: _sigmoid(z, s), True
    ),
    "silu": _Activation({}, lambda z, a, s, h: np.multiply(z, _sigmoid(z, s), a), _silu_slope),
    "gelu": _Activation({}, _gelu, _gelu_slope, True),
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
    sums = _exponentials(out, d, h.ones)
    np.multiply(np.subtract(np.log(sums), out, cost), y, cost)
    d *= np.dot(y, h.ones) / sums
    d -= y


def _binary_cross_entropy(out, y, d, cost, h):
    np.subtract(np.maximum(out, 0, out=cost), np.multiply(out, y, d), cost)  # exact for labels: small costs keep their digits
    cost += _softplus_rest(out, d)
    np.subtract(_sigmoid(out, d), y, d)


LOSSES = {
    "squared": _Loss({"reduction": "half_sum"}, _squared, None),
    "cross_entropy": _Loss({}, _cross_entropy, "softmax"),
    "binary_cross_entropy": _Loss({}, _binary_cross_entropy, "sigmoid"),
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
    np.divide(m, np.add(np.sqrt(v, work), h.epsilon * c, work), g)
    w -= np.multiply(g, h.learning_rate * c / (1 - h.beta_1**h.t), g)


def _adamw(w, g, slots, h):
    for weight in h.weights:
        weight *= 1 - h.learning_rate * h.weight_decay
    _adam(w, g, slots, h)


_ADAM = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
RULES = {
    "sgd": _Rule({"learning_rate": 0.01}, _sgd, 0),
    "momentum": _Rule({"learning_rate": 0.01, "momentum": 0.9}, _momentum, 1),
    "nesterov": _Rule({"learning_rate": 0.01, "momentum": 0.9}, _nesterov, 1),
    "rmsprop": _Rule({"learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-8}, _rmsprop, 1),
    "adam": _Rule(_ADAM, _adam, 2),
    "adamw": _Rule({**_ADAM, "weight_decay": 0.01}, _adamw, 2),
}


def _lookup(table, argument, spec):
    """Return the table's entry for a name, or for an instance with a ``name``, and its hyper-parameters."""
    name = spec if isinstance(spec, str) else getattr(spec, "name", None)
    if name not in table:
        raise ValueError(f"{argument} {spec!r} is not known; choose from {', '.join(table)}")
    options = {key: getattr(spec, key, default) for key, default in table[name].options.items()}
    # float, because a NumPy scalar would draw float32 arithmetic up to float64
    return table[name], SimpleNamespace(**{key: x if isinstance(x, str) else float(x) for key, x in options.items()})


def _views(flat, shapes):
    """Return the weight matrices and the bias vectors as views of the flat vector [W0, b0, W1, b1, ...]."""
    weights, biases, start = [], [], 0
    for n_out, n_in in shapes:
        middle = start + n_out * n_in
        weights.append(flat[start:middle].reshape(n_out, n_in))
        start = middle + n_out
        biases.append(flat[middle:start])
    return weights, biases


class Network:
    """A fully connected network trained by mini-batch backpropagation.

    Parameters
    ----------
    sizes, hidden, loss, output, dtype, rng
        As for `fastbp.Network`. Weights not given are Glorot uniform, biases not given zero.
    weights, biases : list of array_like, optional
        Initial parameters, (n_out, n_in) and (n_out,) for each layer. The attributes of these names are writable views of the
        flat vector ``params``.

    Raises
    ------
    ValueError
        If a name is not known, a shape does not fit, or `output` contradicts the loss.
    """

    def __init__(self, sizes, hidden="relu", loss="squared", *, output=None, dtype="float32", weights=None, biases=None, rng=None):
        self.sizes, self.dtype = [int(n) for n in sizes], np.dtype(dtype)
        hidden = list(hidden) if isinstance(hidden, list | tuple) else [hidden] * (len(self.sizes) - 2)
        if len(self.sizes) < 2 or min(self.sizes) < 1 or len(hidden) != len(self.sizes) - 2:
            raise ValueError(f"sizes must be at least two positive widths, hidden one entry for each hidden layer; got {sizes}")
        self._loss, self._loss_options = _lookup(LOSSES, "loss", loss)
        self._loss_options.ones = np.ones((self.sizes[-1], 1), self.dtype)
        link = self._loss.link
        if output is not None and link and getattr(output, "name", output) != link:
            raise ValueError(f"output must be {link!r} or None with this loss, got {output!r}")
        hidden.append("identity" if link or output is None else output)
        self._layers = [_lookup(ACTIVATIONS, "activation", each) for each in hidden]
        self._shapes = list(zip(self.sizes[1:], self.sizes, strict=False))
        self.params = np.zeros(sum(n_out * (n_in + 1) for n_out, n_in in self._shapes), self.dtype)
        self.weights, self.biases = _views(self.params, self._shapes)
        if weights is None:
            rng = np.random.default_rng(rng)
            weights = [rng.uniform(-1, 1, shape) * (6 / sum(shape)) ** 0.5 for shape in self._shapes]
        for own, given in (self.weights, weights), (self.biases, self.biases if biases is None else biases):
            for array, values in zip(own, given, strict=True):
                array[...] = np.reshape(values, array.shape)
        self._gradient = np.empty_like(self.params)
        self._gradients = _views(self._gradient, self._shapes)
        self._buffers: dict[int, Any] = {}

    def _rows(self, n):
        """Return the buffers for n rows; those of the last two n are kept from call to call."""
        if n not in self._buffers:
            if len(self._buffers) > 1:
                self._buffers.clear()
            z, s, d = ([np.empty((n, width), self.dtype) for width in self.sizes[1:]] for _ in range(3))
            a = [np.empty_like(raw) if layer.keeps_z else raw for raw, (layer, _) in zip(z, self._layers, strict=True)]
            x, y, cost = (np.empty((n, self.sizes[i]), self.dtype) for i in (0, -1, -1))
            w, ones = np.ones((2, n), self.dtype)
            self._buffers[n] = SimpleNamespace(z=z, a=a, s=s, d=d, x=x, y=y, w=w, cost=cost, ones=ones)
        return self._buffers[n]

    def _check(self, X, y, sample_weight):
        """Return samples, rows of targets and weights in the network's dtype, without copying what already fits."""
        X, y, n_out = np.ascontiguousarray(X, self.dtype), np.asarray(y), self.sizes[-1]
        if self._loss.link == "softmax" and y.ndim == 1:
            labels, y = y, np.zeros((len(y), n_out), self.dtype)
            if labels.dtype.kind not in "iu" or (labels.size and not 0 <= labels.min() <= labels.max() < n_out):
                raise ValueError(f"y must hold integer labels in [0, {n_out}), or rows of probabilities")
            y[np.arange(len(labels)), labels] = 1
        y = np.ascontiguousarray(y[:, None] if y.ndim == 1 else y, self.dtype)
        w = None if sample_weight is None else np.ascontiguousarray(sample_weight, self.dtype)
        shapes = {"X": (len(X), self.sizes[0]), "y": (len(X), n_out), "sample_weight": (len(X),)}
        for (name, shape), array in zip(shapes.items(), (X, y, w), strict=True):
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        return X, y, w

    def _forward(self, x, at):
        """Return the output activations, or raw outputs if the loss has a link, computed in the buffers `at`."""
        for i, (layer, options) in enumerate(self._layers):
            np.dot(x, self.weights[i].T, out=at.z[i])
            at.z[i] += self.biases[i]
            layer.forward(at.z[i], at.a[i], at.s[i], options)
            x = at.a[i]
        return x

    def _cost(self, x, y, w, at):
        """Return loss and total weight, and leave its gradient by the outputs (raw outputs, with a link) in at.d[-1]."""
        self._loss.delta(self._forward(x, at), y, at.d[-1], at.cost, self._loss_options)
        total = float(len(x) if w is None else w.sum())
        factor = 1 / total if total else 0.0
        at.d[-1] *= factor if w is None else (w * factor)[:, None]
        return float(np.add.reduce(at.cost if w is None else np.dot(w, at.cost), axis=None)) * factor, total

    def _backpropagate(self, x, y, w, at, decay):
        """Return loss + decay / 2 sum W^2 and the total weight, and write the gradient to self._gradient."""
        loss, total = self._cost(x, y, w, at)
        for i in reversed(range(len(self._layers))):
            (layer, options), d, weight = self._layers[i], at.d[i], self.weights[i]
            if layer.slope is not None:
                layer.slope(at.z[i], at.a[i], at.s[i], options)
                d *= at.s[i]
            np.dot(d.T, at.a[i - 1] if i else x, out=self._gradients[0][i])
            np.dot(at.ones, d, out=self._gradients[1][i])
            if i:
                np.dot(d, weight, out=at.d[i - 1])
            if decay:
                self._gradients[0][i] += decay * weight
                loss += decay / 2 * float(np.vdot(weight, weight))
        return loss, total

    @np.errstate(over="ignore")
    def value_and_grad(self, X, y, sample_weight=None, l2=0, n_train=None):
        """Return the objective and lists of its gradients by weights and by biases; n_train defaults to the rows of X."""
        X, y, w = self._check(X, y, sample_weight)
        loss, _ = self._backpropagate(X, y, w, self._rows(len(X)), l2 / (n_train or len(X)))
        return loss, *_views(self._gradient.copy(), self._shapes)

    @np.errstate(over="ignore")
    def fit(
        self, X, y, *, epochs=10, batch_size=32, optimizer="sgd", order=None, shuffle=False, sample_weight=None, l2=0, rng=None
    ):
        """Train, and return each epoch's loss: the mean over its rows of the loss each batch had before its step.

        Arguments are those of `fastbp.Network.fit`, but shuffle is False by default. order, of shape (m,) or (epochs, m),
        overrides shuffle. The optimiser's state starts anew with each call.
        """
        X, y, w = self._check(X, y, sample_weight)
        rule, h = _lookup(RULES, "optimizer", optimizer)
        h.t, h.weights = 0, self.weights
        slots = [np.zeros_like(self.params) for _ in range(rule.n_slots + 1)]
        rng, n, losses = np.random.default_rng(rng), len(X), []
        if order is not None:
            order = np.broadcast_to(np.asarray(order, np.intp), (epochs, np.shape(order)[-1]))
            if order.size and not 0 <= order.min() <= order.max() < n:
                raise ValueError(f"order must hold row numbers in [0, {n})")
        for epoch in range(epochs):
            rows = None if order is None else order[epoch]
            if order is None and shuffle:
                rows = rng.integers(n, size=n) if shuffle == "replacement" else rng.permutation(n)
            m = n if rows is None else len(rows)
            sum_losses = sum_weights = 0.0
            for start in range(0, m, batch_size):
                part = slice(start, min(start + batch_size, m))
                at = self._rows(part.stop - start)
                if rows is None:
                    batch = X[part], y[part], None if w is None else w[part]
                else:  # the methods, because np.take spends microseconds in Python
                    i = rows[part], 0
                    batch = X.take(*i, at.x, "clip"), y.take(*i, at.y, "clip"), None if w is None else w.take(*i, at.w, "clip")
                loss, total = self._backpropagate(*batch, at, l2 / n)
                h.t += 1
                rule.step(self.params, self._gradient, slots, h)
                sum_losses += loss * total
                sum_weights += total
            losses.append(sum_losses / sum_weights if sum_weights else 0.0)
        return losses

    @np.errstate(over="ignore")
    def loss(self, X, y, sample_weight=None):
        """Return the mean loss of the rows, without penalties."""
        X, y, w = self._check(X, y, sample_weight)
        return self._cost(X, y, w, self._rows(len(X)))[0]

    @np.errstate(over="ignore")
    def __call__(self, X):
        """Return the output activations, (n, n_out), or (n_out,) for a one-dimensional X."""
        shape, X = np.shape(X), np.atleast_2d(np.ascontiguousarray(X, self.dtype))
        at = self._rows(len(X))
        out = self._forward(X, at)
        if self._loss.link == "softmax":
            out = at.d[-1] / _exponentials(out, at.d[-1], self._loss_options.ones)
        elif self._loss.link == "sigmoid":
            out = _sigmoid(out, at.d[-1])
        return out.copy().reshape(*shape[:-1], -1)

    def predict(self, X):
        """Return class numbers for cross-entropy, 0 or 1 for binary cross-entropy, else outputs; one column is flattened."""
        out = self(X)
        if self._loss.link == "softmax":
            return out.argmax(axis=-1)
        if self._loss.link == "sigmoid":
            out = (out > 0.5).astype(int)
        return out[..., 0] if out.shape[-1] == 1 else out


def from_network(net):
    """Return a baseline with the settings of a `fastbp.Network` and copies of its parameters."""
    settings = {"output": net.output, "dtype": net.dtype, "weights": net.weights, "biases": net.biases}
    return Network(net.sizes, net.hidden, net.loss_function, **settings)
