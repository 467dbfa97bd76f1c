"""The layers of a network as statements in C."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp.engine.parameters import parameter_offsets
from fastbp.exports.c.formulas import ACTIVATIONS


@dataclass
class Layer:
    """A layer: its number from 1, where its parameters begin, what it reads and what it has, its activation."""

    number: int
    start: int
    n_in: int
    n_out: int
    activation: Any


def layers_of(net: Any) -> Iterator[Layer]:
    """The layers of a network."""
    starts, activations = parameter_offsets(net.sizes), (*net.hidden, net.output)
    for number, ((n_in, n_out), (start, *_), activation) in enumerate(
        zip(pairwise(net.sizes), starts, activations, strict=True), 1
    ):
        yield Layer(number, start, n_in, n_out, activation)


def decimal(value: float, dtype: Any) -> str:
    """A number of the dtype with as few digits as tell it from all others, and a point; or the macro that is infinity."""
    with np.errstate(over="ignore"):
        number = np.dtype(dtype).type(value)
    if np.isinf(number):
        return "INFINITY"
    ordinary = 1e-4 <= abs(number) < 1e16 or number == 0
    return np.format_float_positional(number, trim="0") if ordinary else np.format_float_scientific(number, trim="0")


def values(layer: Layer, dtype: Any, z: str, a: str) -> list[str]:
    """Statements that compute the activations `a` of a layer from `z`; both may be the same."""
    if layer.activation.name == "softmax":
        return [f"@softmax({a}, {layer.n_out});"]
    if layer.activation.name == "identity" and z == a:
        return []
    return _loop(layer, dtype, ACTIVATIONS[type(layer.activation)].value, {"z": f"{z}[k]"}, f"{a}[k] =")


def slopes(layer: Layer, dtype: Any, z: str, a: str, d: str) -> list[str]:
    """Statements that multiply `d` by the slopes of a layer."""
    slope = ACTIVATIONS[type(layer.activation)].slope
    return [] if slope == "1.0" else _loop(layer, dtype, f"({slope})", {"z": f"{z}[k]", "a": f"{a}[k]"}, f"{d}[k] *=")


def _loop(layer: Layer, dtype: Any, expression: str, variables: dict[str, str], target: str) -> list[str]:
    used = {name: value for name, value in variables.items() if re.search(rf"\b{name}\b", expression)}
    declared = [f"    const real {name} = {value};" for name, value in used.items()]
    expression = expression.replace("$alpha", decimal(layer.activation.alpha, dtype))
    return [f"for (k = 0; k < {layer.n_out}; k++) {{", *declared, f"    {target} {expression};", "}"]
