# mypy: allow-untyped-calls
"""The class `Network` of the book's chapters 1 and 2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp import network
from fastbp.engine import validation
from fastbp.textbook.columns import Array, ColumnNetwork, Pair, as_pairs, drawn_biases, drawn_weights


class Network(ColumnNetwork):
    """Sigmoid network with the quadratic cost C_x = |a - y|^2 / 2, in float64.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of inputs, of neurons of each hidden layer, and of outputs.
    weights : list of array_like (n_out, n_in), optional
        One a layer. By default drawn from N(0, 1) by the global generator of NumPy: after ``np.random.seed`` the numbers are
        those of the book's program, which draws all biases before all weights.
    biases : list of array_like (n_out, 1), optional
        Likewise.

    Attributes
    ----------
    num_layers : int
        Layers, the input counted.
    sizes : sequence of int
        As given.
    weights, biases : list of ndarray
        (n_out, n_in) and (n_out, 1) of each layer. They may be assigned and edited. Training puts new arrays into new lists and
        leaves the old ones as they were.

    Notes
    -----
    Methods that a subclass overrides (`backprop`, `cost_derivative`, `feedforward`, `update_mini_batch`, `evaluate`) are called
    where the book's program calls them. With another `backprop`, `cost_derivative` or `update_mini_batch`, training is done a
    mini-batch or a sample at a time instead of an epoch at a time, and is slower for it.

    Results differ from the book's by rounding: sums are taken in another order.

    Examples
    --------
    >>> net = Network([2, 3, 1], weights=[np.ones((3, 2)), np.ones((1, 3))], biases=[np.zeros((3, 1)), np.zeros((1, 1))])
    >>> net.feedforward(np.zeros((2, 5))).shape
    (1, 5)
    """

    def __init__(self, sizes: Sequence[int], weights: list[ArrayLike] | None = None, biases: list[ArrayLike] | None = None) -> None:
        super().__init__(sizes)
        self._net = network.Network(sizes, "sigmoid", "squared", output="sigmoid", dtype="float64", init="normal", rng=0)
        self.biases = drawn_biases(sizes) if biases is None else biases
        self.weights = drawn_weights(sizes) if weights is None else weights
        self._load()

    def SGD(
        self,
        training_data: Iterable[Pair],
        epochs: int,
        mini_batch_size: int,
        eta: float,
        test_data: Iterable[tuple[ArrayLike, Any]] | None = None,
    ) -> None:
        """Train by stochastic gradient descent on mini-batches, and print a line after each epoch.

        Parameters
        ----------
        training_data : list of (x, y)
            Columns x (n_in, 1) and y (n_out, 1). A list is shuffled in place before every epoch by ``random.shuffle``, as in
            the book, so that ``random.seed`` fixes the order; other iterables are made into a list first.
        epochs, mini_batch_size : int
            The last mini-batch of an epoch may be shorter.
        eta : float
            Learning rate, > 0.
        test_data : list of (x, n), optional
            Evaluated after every epoch; see `evaluate`.
        """
        epochs = validation.integer("epochs", epochs, least=0)
        mini_batch_size = validation.integer("mini_batch_size", mini_batch_size)
        pairs = training_data if isinstance(training_data, list) else as_pairs("training_data", training_data)
        tests = None if test_data is None else as_pairs("test_data", test_data, least=0)
        if tests and not self._replaced("evaluate", "feedforward"):
            self._answers(tests, "n of test sample")
        rows = None
        if not self._replaced("update_mini_batch", "backprop", "cost_derivative"):
            eta = validation.real("eta", eta, above=0.0)
            rows = self._rows(as_pairs("training_data", pairs))
        for epoch in self._epochs(pairs, epochs, mini_batch_size, eta, rows, lambda batch: self.update_mini_batch(batch, eta)):
            if tests:
                print(f"Epoch {epoch}: {self.evaluate(tests)} / {len(tests)}")
            else:
                print(f"Epoch {epoch} complete")

    def update_mini_batch(self, mini_batch: Sequence[Pair], eta: float) -> None:
        """Take one step of gradient descent on the mean cost of a mini-batch: w -= eta / m sum_x dC_x/dw.

        Parameters
        ----------
        mini_batch : list of (x, y)
            m columns x (n_in, 1) and y (n_out, 1).
        eta : float
            Learning rate, > 0.
        """
        self._step(mini_batch, eta)

    def evaluate(self, test_data: Iterable[tuple[ArrayLike, Any]]) -> int:
        """Number of test inputs whose largest output is the right one.

        Parameters
        ----------
        test_data : list of (x, n)
            Columns x (n_in, 1), and the number n of the output that should be largest.
        """
        pairs = as_pairs("test_data", test_data, least=0)
        if not pairs:
            return 0
        answers = self._answers(pairs, "n of test sample")
        return int((self._outputs([x for x, _ in pairs]).argmax(axis=1) == answers).sum())

    def cost_derivative(self, output_activations: Any, y: Any) -> Any:
        """Derivatives dC_x/da of the cost of a sample with respect to the outputs: a - y.

        Parameters
        ----------
        output_activations, y : ndarray (n_out, 1)

        Returns
        -------
        ndarray (n_out, 1)

        Notes
        -----
        A subclass may override it with the derivatives of another cost; `backprop` and training then use those.
        """
        return output_activations - y

    def _targets(self, X: Array, Y: Array) -> Array:
        """Targets t for which the quadratic cost has the derivative that `cost_derivative` gives: a - t = dC/da."""
        if not self._replaced("cost_derivative"):
            return Y
        outputs = self._activations(X)
        columns = zip(outputs, Y, strict=True)
        slopes = [np.reshape(self.cost_derivative(a.reshape(-1, 1), y.reshape(-1, 1)), -1) for a, y in columns]
        return outputs - np.stack(slopes)


# the functions, not the names: attributes of the class may be replaced
_REPLACEABLE = ("backprop", "cost_derivative", "evaluate", "feedforward", "update_mini_batch")
Network._originals = {name: getattr(Network, name) for name in _REPLACEABLE}
