"""Activations known by what they compute: exporters write one function in many ways, and each way by many operators."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import activations
from fastbp.exports.onnx.activations import FORMS
from fastbp.exports.onnx.graph import Graph
from fastbp.extras import require

CALLER = "from_onnx"

# operators that compute each number of their result by one of their argument
ELEMENTWISE = frozenset(
    str.split("""Abs Add And Cast Celu Clip Div Elu Equal Erf Exp Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity
    LeakyRelu Less
    LessOrEqual Log Max Min Mish Mul Neg Not Or PRelu Pow Reciprocal Relu Selu Sigmoid Softplus Softsign Sqrt Sub Sum Swish Tanh
    ThresholdedRelu Where""")
)
# where functions are compared: all the bends of ours, the slopes between, and far away
FAR = np.geomspace(10.0, 1e6, 60)
PROBES = np.concatenate([-FAR[::-1], np.linspace(-10.0, 10.0, 401), FAR, [0.0, -1.0]])
AT_MINUS_1, FARTHEST = len(PROBES) - 1, 0
TOLERANCE = 2e-6  # of constants in float32, such as the square root of 2
NEAR = 0.01  # that a message tells of
OVERFLOW = 80.0  # beyond which the evaluator's e**z may not be a number of float32, in formulas that end in one


class NotComputed(Exception):
    """A function that cannot be evaluated."""


def _values(model: Any) -> NDArray[Any]:
    """What a graph of one input and one output computes of `PROBES`."""
    evaluator = require("onnx.reference", CALLER).ReferenceEvaluator
    try:
        with np.errstate(all="ignore"):
            (found,) = evaluator(model).run(None, {"z": PROBES})
        array = np.asarray(found, np.float64)
    except Exception as error:  # whatever it raises for operators that it has not, or that are used wrongly
        raise NotComputed(str(error)) from error
    if array.shape != PROBES.shape:
        raise NotComputed(f"its shape is {array.shape}")
    return array


@lru_cache(64)
def _ours(activation: activations.Activation) -> NDArray[Any]:
    """The values of an activation of the package."""
    graph = Graph("float64")
    graph("Identity", FORMS[type(activation)](graph, "z", activation.alpha), output="a")
    model = graph.model(require("onnx", CALLER), {"z": (np.float64, [None])}, {"a": (np.float64, [None])})
    return _values(model)


def _candidates(theirs: NDArray[Any], is_rounded: bool) -> Iterator[activations.Activation]:
    """Activations that it might be; hyper-parameters are read off the values."""
    slope, limit = (_alpha(-theirs[place], is_rounded) for place in (AT_MINUS_1, FARTHEST))
    cls: Any
    for cls in activations.ACTIVATIONS.classes:
        if cls not in FORMS:
            continue
        if cls is activations.LeakyReLU or cls is activations.ELU:
            alpha = slope if cls is activations.LeakyReLU else limit
            if np.isfinite(alpha) and alpha > 0.0:
                yield cls(alpha)
        else:
            yield cls()


def _alpha(value: float, is_rounded: bool) -> float:
    """A hyper-parameter; of one that an attribute holds, which is of float32, the shortest number that it was."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return float(str(single)) if is_rounded and single == value else float(value)


@lru_cache(64)
def recognised(content: bytes, is_rounded: bool) -> tuple[activations.Activation | None, str]:
    """The activation that a graph computes of its input "z"; else None, and what to say of the nearest.

    Parameters
    ----------
    content : bytes
        Of a model.
    is_rounded : bool
        Whether a hyper-parameter is of float32.

    Raises
    ------
    NotComputed
        If it cannot be evaluated.
    """
    theirs = _values(require("onnx", CALLER).load_model_from_string(content))
    nearest: activations.Activation | None = None
    least = NEAR
    for activation in _candidates(theirs, is_rounded):
        ours = _ours(activation)
        counted = np.isfinite(theirs) | (np.abs(PROBES) <= OVERFLOW)
        with np.errstate(invalid="ignore", over="ignore"):
            differences = np.where(theirs == ours, 0.0, np.abs(theirs - ours) / (1.0 + np.abs(ours)))[counted]
        worst = np.inf if np.isnan(differences).any() else differences.max()
        if worst < least:  # not the first that is near enough: elu with a tiny alpha is near relu, too
            least, nearest = worst, activation
    if nearest is None or least <= TOLERANCE:
        return nearest, ""
    return None, f" ({nearest.name} is nearest, and differs by {least:.1g})"
