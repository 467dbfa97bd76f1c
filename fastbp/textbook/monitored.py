# mypy: allow-untyped-calls
"""What is asked after an epoch of chapter 3: the cost and the accuracy of a network on samples."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from fastbp import arguments
from fastbp.textbook.columns import Array


class Data:
    """Samples whose cost and accuracy are asked for, maybe after each epoch: their matrices are made once, when needed."""

    def __init__(self, net: Any, pairs: list[Any], of_numbers: bool) -> None:
        self.net, self.pairs, self.of_numbers = net, list(pairs), of_numbers

    @cached_property
    def X(self) -> Array:
        """Inputs, as rows."""
        return self.net._matrix("x", [x for x, _ in self.pairs], self.net.sizes[0])

    @cached_property
    def Y(self) -> Array:
        """Targets, as rows."""
        n_out = self.net.sizes[-1]
        columns = [vectorized_result(n, n_out) for n in self.answers] if self.of_numbers else [y for _, y in self.pairs]
        return self.net._matrix("y", columns, n_out)

    @cached_property
    def answers(self) -> Any:
        """Numbers of the outputs that should be largest."""
        return self.net._answers(self.pairs, "y of sample") if self.of_numbers else self.Y.argmax(axis=1)

    def check(self, cost: bool) -> None:
        """Raise what would be raised after an epoch, but for what a subclass looks at itself."""
        if not self.net._replaced("feedforward", "accuracy", "total_cost"):
            _ = self.X, self.answers, cost and self.Y

    def asked_cost(self, lmbda: float) -> float:
        """What a subclass says, if it has a method of its own."""
        if not self.net._replaced("total_cost"):
            return self.cost(lmbda)
        return self.net.total_cost(self.pairs, lmbda, **{"convert": True} if self.of_numbers else {})

    def asked_accuracy(self) -> int:
        """Likewise."""
        if not self.net._replaced("accuracy"):
            return self.accuracy()
        return self.net.accuracy(self.pairs, **{} if self.of_numbers else {"convert": True})

    def _outputs(self) -> Array:
        return self.net._outputs([x for x, _ in self.pairs], None if self.net._replaced("feedforward") else self.X)

    def cost(self, lmbda: float) -> float:
        """As `Network.total_cost`."""
        net = self.net
        model = net._load()
        if net._loss is None or net._replaced("feedforward"):
            columns = ((a.reshape(-1, 1), y.reshape(-1, 1)) for a, y in zip(self._outputs(), self.Y, strict=True))
            mean = sum(float(net.cost.fn(a, y)) for a, y in columns) / len(self.pairs)
        else:
            mean = model.loss(self.X, self.Y)
        return mean + 0.5 * lmbda / len(self.pairs) * sum(float(np.vdot(w, w)) for w in model.weights)

    def accuracy(self) -> int:
        """As `Network.accuracy`."""
        return int((self._outputs().argmax(axis=1) == self.answers).sum())


def vectorized_result(j: int, n_outputs: int = 10) -> Array:
    """Column (n_outputs, 1) with 1 in place ``j`` and else 0: the output that is wanted for a digit.

    Parameters
    ----------
    j : int
    n_outputs : int, default 10

    Examples
    --------
    >>> vectorized_result(2, 4).ravel().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    column = np.zeros((arguments.integer("n_outputs", n_outputs), 1))
    column[arguments.position("an output", j, n_outputs)] = 1.0
    return column
