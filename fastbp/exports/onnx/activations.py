"""Each activation in operators of ONNX: `FORMS`, to which one that is added to the package must be added, too.

In float32 these are the operators of its name, or those that PyTorch writes, which runtimes fuse. ONNX Runtime has no kernels in
float64 for Elu, Erf, HardSigmoid, LeakyRelu, Selu and Softplus; there, the same function is composed of operators that it has.
"""

from collections.abc import Callable
from functools import cache
from math import erf, erfc, log, log1p
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from fastbp import activations
from fastbp.exports.onnx.graph import Graph

Form = Callable[[Graph, str, float], str]
FORMS: dict[type, Form] = {activations.Identity: lambda g, z, alpha: z}


def form(cls: type) -> Callable[[Form], Form]:
    """Register how the value of a class of activations is computed from its raw output z and its alpha."""

    def register(function: Form) -> Form:
        FORMS[cls] = function
        return function

    return register


def of(activation: Any, argument: str, caller: str) -> Form:
    """The form of an activation.

    Raises
    ------
    ValueError
        For a class that is not the package's.
    """
    found = FORMS.get(type(activation))
    if found is None:
        raise ValueError(
            f"{caller} has no operators of ONNX for {argument}={activation!r}, an activation of your own; networks with the"
            f" activations of fastbp can be written, or put yours into fastbp.exports.onnx.activations.FORMS"
        )
    return found


@form(activations.ReLU)
def _relu(g: Graph, z: str, alpha: float) -> str:
    return g("Relu", z)


@form(activations.Sigmoid)
def _sigmoid(g: Graph, z: str, alpha: float) -> str:
    return g("Sigmoid", z)


@form(activations.Tanh)
def _tanh(g: Graph, z: str, alpha: float) -> str:
    return g("Tanh", z)


@form(activations.Exp)
def _exp(g: Graph, z: str, alpha: float) -> str:
    return g("Exp", z)


@form(activations.LeakyReLU)
def _leaky_relu(g: Graph, z: str, alpha: float) -> str:
    if not g.is_double:
        return g("LeakyRelu", z, alpha=alpha)
    return g("Where", g("Greater", z, 0.0), z, g("Mul", alpha, z))


def _where_positive_or_expm1(g: Graph, z: str, alpha: float) -> str:
    """z where it is positive, elsewhere alpha (e**z - 1), which is 2 t / (1 - t) with t = tanh(z / 2): nothing cancels."""
    t = g("Tanh", g("Mul", g("Min", z, 0.0), 0.5))
    expm1 = g("Div", g("Mul", t, 2.0), g("Sub", 1.0, t))
    return g("Where", g("Greater", z, 0.0), z, g("Mul", alpha, expm1))


@form(activations.ELU)
def _elu(g: Graph, z: str, alpha: float) -> str:
    return _where_positive_or_expm1(g, z, alpha) if g.is_double else g("Elu", z, alpha=alpha)


@form(activations.SELU)
def _selu(g: Graph, z: str, alpha: float) -> str:
    if not g.is_double:
        return g("Selu", z)
    return g("Mul", activations.SELU_SCALE, _where_positive_or_expm1(g, z, activations.SELU_ALPHA))


@form(activations.Softplus)
def _softplus(g: Graph, z: str, alpha: float) -> str:
    if not g.is_double:
        return g("Softplus", z)
    # log(1 + e) loses the digits of a small e; times e / ((1 + e) - 1), which makes the same error, it does not (Kahan)
    e = g("Exp", g("Neg", g("Abs", z)))
    u = g("Add", 1.0, e)
    log1p = g("Where", g("Greater", u, 1.0), g("Mul", g("Log", u), g("Div", e, g("Sub", u, 1.0))), e)
    return g("Add", g("Max", z, 0.0), log1p)


@form(activations.SiLU)
def _silu(g: Graph, z: str, alpha: float) -> str:
    if not g.is_double:
        return g("Mul", z, g("Sigmoid", z))
    # ONNX Runtime up to 1.22 fuses these two, also in float64, for which it has no kernel of the result
    return g("Div", z, g("Add", 1.0, g("Exp", g("Neg", z))))


ERF_IS_1 = 6.0
DEGREE = 24  # by which erfc is met to 2e-15


@cache
def _log_erfc() -> list[float]:
    """Coefficients of log(erfc(-t)) / t - 1, t in [-6, 0], lowest power first; interpolated at Chebyshev's points."""

    def function(t: float) -> float:
        return (log1p(-erf(-t)) if t > -0.5 else log(erfc(-t))) / t - 1.0

    domain = [-ERF_IS_1, 0.0]
    series = Chebyshev.interpolate(np.vectorize(function), DEGREE, domain)
    found: list[float] = series.convert(kind=Polynomial, domain=domain, window=domain).coef.tolist()
    return found


@form(activations.GELU)
def _gelu(g: Graph, z: str, alpha: float) -> str:
    if not g.is_double:
        return g("Mul", g("Mul", z, g("Add", g("Erf", g("Div", z, 2.0**0.5)), 1.0)), 0.5)
    t = g("Max", g("Mul", g("Abs", z), -(0.5**0.5)), -ERF_IS_1)
    *first, last = _log_erfc()
    value = g.number(last)
    for coefficient in reversed(first):
        value = g("Add", g("Mul", value, t), coefficient)
    rest = g("Exp", g("Add", g("Mul", value, t), t))  # erfc(-t)
    signed = g("Where", g("Greater", z, 0.0), g("Sub", 1.0, rest), g("Sub", rest, 1.0))  # erf(z / sqrt(2))
    return g("Mul", g("Mul", z, g("Add", signed, 1.0)), 0.5)


@form(activations.Mish)
def _mish(g: Graph, z: str, alpha: float) -> str:
    if not g.is_double:
        return g("Mul", z, g("Tanh", g("Softplus", z)))
    # as in `fastbp.activations`
    e = g("Exp", g("Min", z, 20.0))
    n = g("Mul", e, g("Add", e, 2.0))
    return g("Mul", z, g("Div", n, g("Add", n, 2.0)))


@form(activations.HardSigmoid)
def _hard_sigmoid(g: Graph, z: str, alpha: float) -> str:
    if not g.is_double:
        return g("HardSigmoid", z, alpha=1.0 / 6.0, beta=0.5)
    return g("Min", g("Max", g("Add", g("Mul", z, 1.0 / 6.0), 0.5), 0.0), 1.0)


@form(activations.Softmax)
def _softmax(g: Graph, z: str, alpha: float) -> str:
    return g("Softmax", z, axis=-1)
