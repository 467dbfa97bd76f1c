"""What every format asks of a network, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class Scaling:
    """What a program does to its inputs before, and to the outputs after a network, in float64.

    Attributes
    ----------
    mean, scale : ndarray (n_inputs,)
        The network is given (x - mean) / scale.
    output_mean, output_scale : float
        The outputs are output_scale * a + output_mean.
    inputs, outputs : sequence of str
        What they are called.
    """

    mean: Array
    scale: Array
    output_mean: float = 0.0
    output_scale: float = 1.0
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()


def refuse_encoder(net: Any, method: str) -> None:
    """Raise for a network that does not read numbers."""
    if net.encoder is not None:
        raise TypeError(
            f"{method} is for networks that read numbers: this {type(net).__name__} reads rows that the columns_ of its estimator "
            f"make of a table; pickle the estimator"
        )


def check(net: Any, method: str, table: Mapping[type, Any]) -> None:
    """Raise for a network that reads no numbers, or has an activation that is not in the table of a format."""
    refuse_encoder(net, method)
    for activation in (*net.hidden, net.output):
        look_up(activation, method, table)


def look_up(part: Any, method: str, table: Mapping[type, Any]) -> Any:
    """What the table of a format has for the class of an activation or a loss.

    Raises
    ------
    ValueError
        If it is none of the package's.
    """
    try:
        return table[type(part)]
    except KeyError:
        raise ValueError(
            f"{method} does not know the formula of {part.name!r} ({type(part).__qualname__}), only those of the classes that "
            f"fastbp has: net.save keeps such a network"
        ) from None


def check_finite(net: Any, method: str) -> None:
    """Raise for parameters that no constant of a program can be."""
    for name, arrays in (("weights", net.weights), ("biases", net.biases)):
        for layer, array in enumerate(arrays):
            if not np.isfinite(array).all():
                raise ValueError(f"{method} writes numbers, but {name}[{layer}] holds NaN or infinity")


def title(net: Any) -> str:
    """A network in a line: its sizes and activations."""
    layers = [activation.name for activation in (*net.hidden, net.output)]
    names = layers if len(set(layers[:-1])) > 1 else [*dict.fromkeys(layers[:-1]), layers[-1]]
    scale = "" if net.input_scale == 1.0 else f", inputs times {net.input_scale!r}"
    return f"{'-'.join(map(str, net.sizes))}, {', '.join(names)}, {net.dtype.name}{scale}"
