"""Networks for tables in plain NumPy and float64: what the kernels of encoders and parametric activations are compared with."""

import numpy as np

from fastbp.engine.parameters import parameter_offsets

SELU = 1.0507009873554805, 1.6732632423543772
ACTIVATIONS = {
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "selu": lambda z: SELU[0] * np.where(z > 0, z, SELU[1] * np.expm1(np.minimum(z, 0))),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
}


def features(net, rows):
    """s * [x, V cos(2 pi w x + b) + c, plain, embeddings of codes]."""
    encoder, own = net.encoder, net.extra
    x, plain, codes = np.split(rows, [encoder.periodic, encoder.periodic + encoder.plain], axis=1)
    waves = np.cos(2 * np.pi * x[:, None] * own["frequencies"] + own["phases"])
    embedded = np.einsum("shn,dhn->sdn", waves, own["mixing"]) + own["offsets"]
    coded = own["table"][codes.astype(int)]
    return np.concatenate([x, embedded.reshape(len(x), -1), plain, coded.reshape(len(x), -1)], axis=1) * own["scales"]


def outputs(net, rows, masks=None):
    """Raw outputs; `masks` of what layers 1, 2, ... read."""
    a, hidden = features(net, rows), len(net.sizes) - 2
    for number, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        z = a @ w.T + b
        if number == hidden:
            return z
        f = ACTIVATIONS[net.hidden[number].name](z)
        a = z + net.extra[f"beta_{number}"] * (f - z) if net.encoder.blended else f
        if masks is not None:
            a = a * masks[number]
    return None


def half_squares(net, rows, y, masks=None):
    """Mean over samples of half the squared errors."""
    return ((outputs(net, rows, masks) - y) ** 2).sum(axis=1).mean() / 2


def central_differences(net, loss, h=1e-5):
    """Gradient of ``loss()`` by every parameter."""
    vector, gradient = net.params, np.empty(net.params.size)
    for i in range(vector.size):
        before = vector[i]
        vector[i] = before + h
        above = loss()
        vector[i] = before - h
        gradient[i] = (above - loss()) / (2 * h)
        vector[i] = before
    return gradient


def groups(net):
    """The group that each parameter is of: the row of ``net.rates.factors``."""
    group = np.empty(net.params.size, int)
    offsets = parameter_offsets(net.sizes)
    for number, (weights, biases, end) in enumerate(offsets):
        group[weights:biases], group[biases:end] = 2 * number, 2 * number + 1
    place, beyond = offsets[-1][2], 2 * len(offsets)
    kinds = {"scales": 0, "frequencies": 1, "phases": 1, "mixing": 1, "offsets": 1, "table": 2}
    for name, view in net.extra.items():
        group[place : place + view.size] = beyond + kinds.get(name, 3)
        place += view.size
    return group
