# mypy: allow-untyped-defs, allow-untyped-calls
"""The same network and trainer in plain NumPy: the oracle of the tests and the opponent of the benchmarks.

Nothing here shares a formula with the kernels; activations, losses and update rules are those of `formulas.py`. The arithmetic is
vectorised over the mini-batch, runs in buffers allocated once, and leaves every matrix product to BLAS.

A sample is a row: ``z = a_prev W^T + b`` with ``W`` of shape (n_out, n_in). For rows with weights w_i the objective is
``sum_i w_i l_i / sum_i w_i + l2 / (2 n_train) sum W^2 + l1 / n_train sum |W|``.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .formulas import ACTIVATIONS, LOSSES, RULES, exponentials, lookup, sigmoid


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

    Examples
    --------
    >>> from fastbp import baseline
    >>> net = baseline.Network([2, 3, 1], "tanh", rng=0)
    >>> net.fit([[0.0, 1.0], [1.0, 0.0]], [[1.0], [0.0]], epochs=2)[1] > 0
    True
    """

    def __init__(self, sizes, hidden="relu", loss="squared", *, output=None, dtype="float32", weights=None, biases=None, rng=None):
        self.sizes, self.dtype = [int(n) for n in sizes], np.dtype(dtype)
        hidden = list(hidden) if isinstance(hidden, list | tuple) else [hidden] * (len(self.sizes) - 2)
        if len(self.sizes) < 2 or min(self.sizes) < 1 or len(hidden) != len(self.sizes) - 2:
            raise ValueError(f"sizes must be at least two positive widths, hidden one for each hidden layer; got {sizes}")
        self._loss, self._loss_options = lookup(LOSSES, "loss", loss)
        self._loss_options.ones = np.ones((self.sizes[-1], 1), self.dtype)
        link = self._loss.link
        if output is not None and link and getattr(output, "name", output) != link:
            raise ValueError(f"output must be {link!r} or None with this loss, got {output!r}")
        hidden.append("identity" if link or output is None else output)
        self._layers = [lookup(ACTIVATIONS, "activation", each) for each in hidden]
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
            w, ones = np.ones(n), np.ones(n, self.dtype)
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
        w = None if sample_weight is None else np.ascontiguousarray(sample_weight, np.float64)
        shapes = {"X": (len(X), self.sizes[0]), "y": (len(X), n_out), "sample_weight": (len(X),)}
        for (name, shape), array in zip(shapes.items(), (X, y, w), strict=True):
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        return X, y, w

    def _forward(self, x, at, masks=None):
        """Return the output activations, or raw outputs if the loss has a link, computed in the buffers `at`.

        The inputs of each layer, multiplied by their mask if there is one, are left in at.inputs.
        """
        at.inputs = []
        for i, (layer, options) in enumerate(self._layers):
            at.inputs.append(x if masks is None else x * masks[i])
            np.dot(at.inputs[i], self.weights[i].T, out=at.z[i])
            at.z[i] += self.biases[i]
            layer.forward(at.z[i], at.a[i], at.s[i], options)
            x = at.a[i]
        return x

    def _cost(self, x, y, w, at, masks=None):
        """Return loss and total weight, and leave its gradient by the outputs (raw outputs, with a link) in at.d[-1]."""
        self._loss.delta(self._forward(x, at, masks), y, at.d[-1], at.cost, self._loss_options)
        total = float(len(x) if w is None else w.sum())
        factor = 1 / total if total else 0.0
        at.d[-1] *= factor if w is None else (w * factor)[:, None]
        return float(np.add.reduce(at.cost if w is None else np.dot(w, at.cost), axis=None)) * factor, total

    def _backpropagate(self, x, y, w, at, decay, shrink=0, masks=None):
        """Return loss + decay / 2 sum W^2 + shrink sum |W| and the total weight, and write the gradient to self._gradient."""
        loss, total = self._cost(x, y, w, at, masks)
        for i in reversed(range(len(self._layers))):
            (layer, options), d, weight = self._layers[i], at.d[i], self.weights[i]
            if layer.slope is not None:
                layer.slope(at.z[i], at.a[i], at.s[i], options)
                d *= at.s[i]
            np.dot(d.T, at.inputs[i], out=self._gradients[0][i])
            np.dot(at.ones, d, out=self._gradients[1][i])
            if i:
                np.dot(d, weight, out=at.d[i - 1])
                if masks is not None:
                    at.d[i - 1] *= masks[i]
            if decay:
                self._gradients[0][i] += decay * weight
                loss += decay / 2 * float(np.vdot(weight, weight))
            if shrink:
                self._gradients[0][i] += shrink * np.sign(weight)
                loss += shrink * float(np.abs(weight).sum())
        return loss, total

    @np.errstate(over="ignore")
    def value_and_grad(self, X, y, sample_weight=None, l2=0, n_train=None):
        """Return the objective and lists of its gradients by weights and by biases; n_train defaults to the rows of X."""
        X, y, w = self._check(X, y, sample_weight)
        loss, _ = self._backpropagate(X, y, w, self._rows(len(X)), l2 / (n_train or len(X)))
        return loss, *_views(self._gradient.copy(), self._shapes)

    @np.errstate(over="ignore")
    def fit(
        self,
        X,
        y,
        *,
        epochs=10,
        batch_size=32,
        optimizer="sgd",
        order=None,
        shuffle=False,
        sample_weight=None,
        l1=0,
        l2=0,
        clip_norm=None,
        clip_value=None,
        max_norm=None,
        masks=None,
        rates=None,
        watch=None,
        rng=None,
    ):
        """Train, and return each epoch's loss: the mean over its rows of the loss each batch had before its step.

        Arguments are those of `fastbp.Network.fit`, but shuffle is False by default. order, of shape (m,) or (epochs, m),
        overrides shuffle. The optimiser's state starts anew with each call. ``masks(epoch, layer)`` gives what the inputs of a
        layer (from 0) are multiplied by in an epoch, a row for each row visited. rates, of shape (epochs, steps), are the learning
        rates of the mini-batches. ``watch(epoch, losses, norms)`` is called after every epoch, with the losses so far and the norms
        of the gradients of its last step, as clipped, of W_1, b_1, W_2, ...; one that returns True stops the fit.
        """
        X, y, w = self._check(X, y, sample_weight)
        rule, h = lookup(RULES, "optimizer", optimizer)
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
            sum_losses, rows_used = 0.0, 0
            for start in range(0, m, batch_size):
                part = slice(start, min(start + batch_size, m))
                at = self._rows(part.stop - start)
                if rows is None:
                    batch = X[part], y[part], None if w is None else w[part]
                else:  # the methods, because np.take spends microseconds in Python
                    i = rows[part], 0
                    batch = X.take(*i, at.x, "clip"), y.take(*i, at.y, "clip"), None if w is None else w.take(*i, at.w, "clip")
                drawn = None if masks is None else [masks(epoch, i)[part].astype(self.dtype) for i in range(len(self._layers))]
                loss, total = self._backpropagate(*batch, at, l2 / n, l1 / n, drawn)
                if clip_value is not None:
                    np.clip(self._gradient, -clip_value, clip_value, self._gradient)
                if clip_norm is not None and (norm := np.linalg.norm(self._gradient)) > clip_norm:
                    self._gradient *= clip_norm / norm
                norms = [] if watch is None else [np.linalg.norm(g) for pair in zip(*self._gradients, strict=True) for g in pair]
                h.t += 1
                if rates is not None:
                    h.learning_rate = float(rates[epoch][start // batch_size])
                rule.step(self.params, self._gradient, slots, h)
                if max_norm is not None:
                    _limit_norms(self.weights, max_norm)
                sum_losses += loss * (part.stop - part.start) * (total > 0)
                rows_used += (part.stop - part.start) * (total > 0)
            losses.append(sum_losses / rows_used if rows_used else 0.0)
            if watch is not None and watch(epoch, losses, norms):
                break
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
            out = at.d[-1] / exponentials(out, at.d[-1], self._loss_options.ones)
        elif self._loss.link == "sigmoid":
            out = sigmoid(out, at.d[-1])
        elif self._loss.link == "exp":
            out = np.exp(out)
        return out.copy().reshape(*shape[:-1], -1)

    def predict(self, X):
        """Return class numbers for cross-entropy, 0 or 1 for binary cross-entropy, else outputs; one column is flattened."""
        out = self(X)
        if self._loss.link == "softmax":
            return out.argmax(axis=-1)
        if self._loss.link == "sigmoid":
            out = (out > 0.5).astype(int)
        return out[..., 0] if out.shape[-1] == 1 else out


def _limit_norms(weights, most):
    """Scale the incoming weights of each unit down to a norm of at most `most`."""
    for weight in weights:
        norms = np.linalg.norm(weight, axis=1, keepdims=True)
        weight *= np.where(norms > most, most / np.maximum(norms, most), 1)


def from_network(net):
    """Return a baseline with the settings of a `fastbp.Network` and copies of its parameters; it takes inputs that are scaled.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp
    >>> net = fastbp.Network([2, 3, 1], "tanh", dtype="float64", rng=0)
    >>> X = np.ones((4, 2))
    >>> bool(abs(fastbp.baseline.from_network(net)(X) - net(X)).max() < 1e-14)
    True
    """
    settings = {"output": net.output, "dtype": net.dtype, "weights": net.weights, "biases": net.biases}
    return Network(net.sizes, net.hidden, net.loss_function, **settings)
