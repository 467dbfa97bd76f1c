"""What the formats ask of a network, before anything is written."""

from __future__ import annotations

import os
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


def checked_path(path: Any) -> str | os.PathLike[str]:
    """A path, after a check of its type."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a path, got {path!r}")
    return path


def refuse_more_than_layers(net: Any, caller: str) -> None:
    """Raise for a network that computes more than its layers."""
    if net.encoder is not None:
        raise TypeError(
            f"{caller} cannot write a {type(net).__name__}: it reads rows that the columns_ of its estimator make; pickle that"
        )
    if type(net).__call__.__module__ != "fastbp.network":
        raise TypeError(f"{caller} would not write {type(net).__name__}.__call__, but the network alone: write net.copy()")


def check(net: Any, caller: str, table: Mapping[type, Any]) -> None:
    """Raise for a network that computes more than its layers, or has an activation that is not in the table of a format."""
    refuse_more_than_layers(net, caller)
    for place, activation in [*((f"hidden[{number}]", each) for number, each in enumerate(net.hidden)), ("output", net.output)]:
        if type(activation) not in table:
            raise unknown(caller, place, activation)


def unknown(caller: str, argument: str, part: Any) -> ValueError:
    """What to raise for an activation or a loss that is not in the table of a format."""
    return ValueError(f"{caller} has no formula of {argument}={part!r}, which is your own: write a network with fastbp's alone")


def check_finite(net: Any, caller: str) -> None:
    """Raise for parameters that no constant of a program can be."""
    for name, arrays in (("weights", net.weights), ("biases", net.biases)):
        for layer, array in enumerate(arrays):
            if not np.isfinite(array).all():
                raise ValueError(f"{caller} writes numbers, but {name}[{layer}] holds NaN or infinity")


def origin(net: Any) -> str:
    """What a program says of itself."""
    from fastbp import __version__  # which is looked up among the installed packages

    return f"{title(net)}; written by fastbp {__version__}"


def title(net: Any) -> str:
    """A network in a line: its sizes and activations."""
    hidden, output = [activation.name for activation in net.hidden], net.output.name
    names = [*(dict.fromkeys(hidden) if len(set(hidden)) == 1 else hidden), output]
    scale = "" if net.input_scale == 1.0 else f", inputs times {net.input_scale!r}"
    return f"{'-'.join(map(str, net.sizes))}, {', '.join(names)}, {net.dtype.name}{scale}"
