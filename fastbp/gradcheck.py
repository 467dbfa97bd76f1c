"""Checking gradients: backpropagation against finite differences of the loss, one parameter at a time."""

from dataclasses import dataclass

import numpy as np

from fastbp.layout import parameter_offsets

SCHEMES = ("central", "forward")


@dataclass
class GradientReport:
    """How far backpropagation and finite differences are apart.

    Attributes
    ----------
    errors : list of float
        For each layer ||difference - gradient|| / (||difference|| + ||gradient||), over its weights and biases together.
    max_error : float
        The same over all parameters of the network.
    worst : tuple (layer, kind, index, gradient, difference)
        Where the two are furthest apart: layer from 1, "weights" or "biases", position, and both values.
    gradient, difference : ndarray (n_params,)
        What was compared, laid out like ``net.params``.
    """

    errors: list
    max_error: float
    worst: tuple
    gradient: np.ndarray
    difference: np.ndarray

    def __str__(self) -> str:
        lines = ["layer  relative error", *(f"{layer:5d}  {error:14.3e}" for layer, error in enumerate(self.errors, 1))]
        layer, kind, index, gradient, difference = self.worst
        place = ", ".join(str(i) for i in index)
        return "\n".join(
            [
                *lines,
                f"  all  {self.max_error:14.3e}",
                f"worst: layer {layer} {kind}[{place}]: backpropagation {gradient:.9g}, finite difference {difference:.9g}",
            ]
        )


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """||a - b|| / (||a|| + ||b||), and 0 where both are 0."""
    scale = np.linalg.norm(a) + np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / scale) if scale > 0 else 0.0


def finite_differences(net, X, y, eps: float, scheme: str) -> np.ndarray:
    """Numerical gradient of the loss (n_params,): (C(p + eps) - C(p - eps)) / 2 eps, or (C(p + eps) - C(p)) / eps.

    Computed on a copy of the network in float64.
    """
    probe = net.copy() if net.dtype == np.float64 else _in_float64(net)
    params = probe.params
    centre = probe.loss(X, y) if scheme == "forward" else 0.0
    result = np.empty(params.size)
    for i, value in enumerate(params.copy()):
        params[i] = value + eps
        above = probe.loss(X, y)
        if scheme == "forward":
            result[i] = (above - centre) / eps
        else:
            params[i] = value - eps
            result[i] = (above - probe.loss(X, y)) / (2 * eps)
        params[i] = value
    return result


def check_gradients(net, X, y, eps=None, scheme="central") -> GradientReport:
    """Compare the kernels' gradient of the mean loss with finite differences.

    The gradient is taken in the network's dtype, the differences in float64 at the same parameters: a float32 network should agree
    to about 1e-6, a float64 network to 1e-8 (central) where the loss is smooth.

    Parameters
    ----------
    net : Network
    X : array_like (n_samples, n_inputs)
    y : array_like
        Targets; see `Network.loss`.
    eps : float, optional
        Step; default 1e-5 (central) or 1e-7 (forward), near the best for float64.
    scheme : {"central", "forward"}

    Returns
    -------
    GradientReport

    Raises
    ------
    ValueError
        If `scheme` or `eps` is not valid, or as `Network.loss`.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be 'central' or 'forward', got {scheme!r}")
    eps = (1e-5 if scheme == "central" else 1e-7) if eps is None else float(eps)
    if not 0 < eps < np.inf:
        raise ValueError(f"eps must be positive and finite, got {eps!r}")
    _, gradients = net.value_and_grad(X, y)
    gradient = gradients.params.astype(np.float64)
    difference = finite_differences(net, X, y, eps, scheme)
    errors = [relative_error(difference[start:end], gradient[start:end]) for start, _, end in parameter_offsets(net.sizes)]
    worst = _place(net.sizes, int(np.abs(difference - gradient).argmax()), gradient, difference)
    return GradientReport(errors, relative_error(difference, gradient), worst, gradient, difference)


def _in_float64(net):
    from fastbp.network import Network

    return Network(
        net.sizes,
        list(net.hidden),
        net.loss_function,
        output=net.output,
        dtype="float64",
        weights=net.weights,
        biases=net.biases,
    )


def _place(sizes, position, gradient, difference):
    for layer, (start, biases, end) in enumerate(parameter_offsets(sizes), 1):
        if position < end:
            if position >= biases:
                kind, index = "biases", (position - biases,)
            else:
                kind, index = "weights", divmod(position - start, sizes[layer - 1])
            return layer, kind, index, float(gradient[position]), float(difference[position])
    raise AssertionError("position is past the last parameter")
