"""Networks put together from the layers of models of other libraries, which are read one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp import activations, losses
from fastbp.arguments import real
from fastbp.exports.parts import Array

BY_OUTPUT = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}


class Assembly:
    """Arguments of a network, from the first layer to the last.

    Parameters
    ----------
    caller : str
        What users call.
    """

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.input_scale = 1.0
        self.weights: list[Array] = []
        self.biases: list[Array] = []
        self.functions: list[Any] = []  # activations of the layers, of the last perhaps not yet

    def refusal(self, where: str, why: str) -> ValueError:
        """What to raise: where in the model, and what is wrong there."""
        return ValueError(f"{self.caller} cannot make a network of this: {where} {why}")

    def scale(self, value: Any, where: str) -> None:
        """Inputs are multiplied by a number."""
        if self.weights or self.input_scale != 1.0:
            raise self.refusal(where, "scales what is no input; only inputs can be scaled, once, as by input_scale")
        self.input_scale = real(f"input_scale of {where}", value, above=0.0, most=1.0)

    def layer(self, weights: Array, biases: Array | None, where: str) -> None:
        """A layer z = a W^T + b."""
        if self.functions and self.functions[-1].name == "softmax":
            raise self.refusal(where, "comes after a softmax, which is for outputs only")
        first = self.weights[0] if self.weights else weights
        if weights.dtype not in (np.float32, np.float64) or weights.dtype != first.dtype:
            raise self.refusal(where, f"has weights of {weights.dtype}; all must be of float32, or all of float64")
        if weights.ndim != 2 or (self.weights and weights.shape[1] != len(self.weights[-1])):
            raise self.refusal(where, f"has weights of shape {weights.shape}, which do not fit to the layer before it")
        if biases is None:
            biases = np.zeros(len(weights), weights.dtype)
        if biases.shape != (len(weights),) or biases.dtype != weights.dtype:
            raise self.refusal(where, f"has biases of shape {biases.shape} and {biases.dtype}, which do not fit to its weights")
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            raise self.refusal(where, "has NaN or infinity among its weights or biases")
        self._end_layer()
        self.weights.append(weights)
        self.biases.append(biases)

    def elu(self, alpha: Any, where: str) -> Any:
        """The activation ELU, of what a model has for its alpha."""
        return self._of_number(activations.ELU, alpha, where)

    def rectifier(self, slope: Any, where: str) -> Any:
        """ReLU, or the leaky one of a slope that is not 0."""
        is_zero = slope is None or (isinstance(slope, float | int) and slope == 0)
        return activations.ReLU() if is_zero else self._of_number(activations.LeakyReLU, slope, where)

    def _of_number(self, cls: Any, number: Any, where: str) -> Any:
        try:
            return cls(number)
        except (TypeError, ValueError) as error:
            raise self.refusal(where, f"is no {cls.name} that fastbp has: {error}") from error

    def activation(self, activation: Any, where: str) -> None:
        """An activation of the layer before it."""
        if len(self.functions) == len(self.weights):
            raise self.refusal(where, "is an activation, but there is no layer before it that has none")
        self.functions.append(activation)

    def _end_layer(self) -> None:
        if len(self.functions) < len(self.weights):
            self.functions.append(activations.Identity())

    def arguments(self, loss: Any = None, noted: Any = None) -> dict[str, Any]:
        """Those of the network.

        Parameters
        ----------
        loss : str or Loss, optional
            As given by the user.
        noted : callable, optional
            What gives the loss that the model itself tells of, or None, for its last activation.
        """
        if not self.weights:
            raise ValueError(f"{self.caller} cannot make a network of this: it has no layer")
        self._end_layer()
        *hidden, last = self.functions
        given = losses.get(loss) if loss is not None else None if noted is None else noted(last)
        function, output = loss_and_output(last, given)
        return {
            "sizes": [self.weights[0].shape[1], *(len(each) for each in self.weights)],
            "hidden": hidden,
            "loss": function,
            "output": output,
            "dtype": self.weights[0].dtype,
            "input_scale": self.input_scale,
            "weights": self.weights,
            "biases": self.biases,
        }


def loss_and_output(last: Any, loss: Any) -> tuple[Any, Any]:
    """The loss of a network whose outputs are those of the activation `last`, and what it is given as `output`.

    Without a loss it is the one that owns the activation, else squared error. A loss with a link is that of raw outputs, too.

    Raises
    ------
    ValueError
        If the loss is none of such outputs.
    """
    chosen = losses.get(BY_OUTPUT.get(last.name, "squared")) if loss is None else loss
    if chosen.link is None and last.name == "softmax":
        raise ValueError(f"loss must be one that owns softmax, in which the model ends, as 'cross_entropy', not {chosen.name!r}")
    if chosen.link not in (None, last.name) and last.name != "identity":
        raise ValueError(f"loss must be left out, or one of outputs that are {last.name}: {chosen.name} owns {chosen.link}")
    return chosen, last if chosen.link is None else None
