# mypy: allow-untyped-calls
"""The network of a textbook, on the kernels: the class `Network` of Nielsen's "Neural Networks and Deep Learning", chapter 1.

A script written for the book needs a new import and nothing else::

    from fastbp import textbook as network      # was: import network

    net = network.Network([784, 30, 10])
    net.SGD(training_data, 30, 10, 3.0, test_data=test_data)

Samples are columns here, as in the book; everywhere else in this package they are rows.

References
----------
M. A. Nielsen (2015), "Neural Networks and Deep Learning", Determination Press, http://neuralnetworksanddeeplearning.com
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import network, optimizers
from fastbp.engine import validation

Array = NDArray[np.float64]
Pair = tuple[ArrayLike, ArrayLike]


class Network:
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
        validation.layer_sizes(sizes)
        self.num_layers = len(sizes)
        self.sizes = sizes
        self._net = network.Network(sizes, "sigmoid", "squared", output="sigmoid", dtype="float64", init="normal", rng=0)
        # the book's draws come from the global generator, so np.random.seed must govern them
        self.biases: Any = [np.random.randn(y, 1) for y in sizes[1:]] if biases is None else biases  # noqa: NPY002
        if weights is None:
            weights = [np.random.randn(y, x) for x, y in pairwise(sizes)]  # noqa: NPY002
        self.weights: Any = weights
        self._load()

    def _load(self) -> network.Network:
        """The network on the kernels, with the parameters that the lists hold now."""
        for name in ("weights", "biases"):
            given, own = getattr(self, name), getattr(self._net, name)
            if not isinstance(given, Sequence | np.ndarray):
                raise TypeError(f"{name} must be a list of arrays, one a layer, got {type(given).__name__}")
            if len(given) != len(own):
                raise ValueError(f"{name} must hold {len(own)} arrays, one a layer, got {len(given)}")
            for layer, (array, target) in enumerate(zip(given, own, strict=True)):
                shape = target.shape if name == "weights" else (len(target), 1)
                numbers = validation.numbers(f"{name}[{layer}]", array, np.float64)
                if numbers.shape != shape:
                    raise ValueError(f"{name}[{layer}] must have shape {shape}, got {numbers.shape}")
                target[:] = numbers.reshape(target.shape)
        return self._net

    def _unload(self) -> None:
        """New lists of new arrays from the network on the kernels."""
        self.weights = [w.copy() for w in self._net.weights]
        self.biases = [b.reshape(-1, 1).copy() for b in self._net.biases]

    def _replaced(self, *names: str) -> bool:
        """Whether a subclass, or an assignment to the object or the class, has put something else in place of a method."""
        return any(getattr(getattr(self, name), "__func__", None) is not _METHODS[name] for name in names)

    def feedforward(self, a: ArrayLike) -> Array:
        """Output of the network for the input ``a``.

        Parameters
        ----------
        a : array_like (n_in, m)
            One input a column.

        Returns
        -------
        ndarray (n_out, m)
        """
        columns = validation.numbers("a", a, np.float64)
        if columns.ndim != 2 or len(columns) != self._net.sizes[0]:
            raise ValueError(f"a must hold columns: shape ({self._net.sizes[0]}, m), got {columns.shape}")
        return np.ascontiguousarray(self._load()(columns.T).T)

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
        pairs = training_data if isinstance(training_data, list) else _pairs("training_data", training_data)
        tests = None if test_data is None else _pairs("test_data", test_data, least=0)
        if tests and not self._replaced("evaluate", "feedforward"):
            self._answers(tests)
        fused = not self._replaced("update_mini_batch", "backprop", "cost_derivative")
        if fused:
            eta = validation.real("eta", eta, above=0.0)
            X, Y = self._rows(_pairs("training_data", pairs))
        order = list(range(len(pairs)))
        originals = list(pairs)
        for epoch in range(epochs):
            random.shuffle(order)
            pairs[:] = [originals[i] for i in order]
            if fused:
                self._load().fit(X, Y, epochs=1, batch_size=mini_batch_size, optimizer=optimizers.SGD(eta), order=order)
                self._unload()
            else:
                for k in range(0, len(pairs), mini_batch_size):
                    self.update_mini_batch(pairs[k : k + mini_batch_size], eta)
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
        pairs = _pairs("mini_batch", mini_batch)
        eta = validation.real("eta", eta, above=0.0)
        if self._replaced("backprop"):
            gradients = [self.backprop(x, y) for x, y in pairs]
            steps = eta / len(pairs)
            biases, weights = ([sum(arrays) for arrays in zip(*parts, strict=True)] for parts in zip(*gradients, strict=True))
            self.weights = [w - steps * g for w, g in zip(self.weights, weights, strict=True)]
            self.biases = [b - steps * g for b, g in zip(self.biases, biases, strict=True)]
            return
        X, Y = self._rows(pairs)
        self._load().fit(X, self._targets(X, Y), epochs=1, batch_size=len(X), optimizer=optimizers.SGD(eta), shuffle=False)
        self._unload()

    def backprop(self, x: ArrayLike, y: ArrayLike) -> tuple[list[Array], list[Array]]:
        """Gradient of the cost C_x of one sample.

        Parameters
        ----------
        x, y : array_like (n_in, 1), (n_out, 1)

        Returns
        -------
        nabla_b, nabla_w : lists of ndarray
            Shaped like `biases` and `weights`.
        """
        X, Y = self._rows([(x, y)])
        _, gradient = self._load().value_and_grad(X, self._targets(X, Y))
        return [b.reshape(-1, 1) for b in gradient.biases], list(gradient.weights)

    def evaluate(self, test_data: Iterable[tuple[ArrayLike, Any]]) -> int:
        """Number of test inputs whose largest output is the right one.

        Parameters
        ----------
        test_data : list of (x, n)
            Columns x (n_in, 1), and the number n of the output that should be largest.
        """
        pairs = _pairs("test_data", test_data, least=0)
        if not pairs:
            return 0
        answers = self._answers(pairs)
        if self._replaced("feedforward"):
            outputs = [int(np.argmax(self.feedforward(x))) for x, _ in pairs]
        else:
            outputs = self._load()(self._matrix("x", [x for x, _ in pairs], self.sizes[0])).argmax(axis=1).tolist()
        return sum(int(output == n) for output, n in zip(outputs, answers, strict=True))

    def _answers(self, pairs: Sequence[tuple[ArrayLike, Any]]) -> list[int]:
        """The numbers of the outputs that should be largest."""
        answers, most = [], self._net.sizes[-1]
        for i, (_, n) in enumerate(pairs):
            number = np.asarray(n)
            if number.size != 1 or number.dtype.kind not in "biuf" or number.item() != np.floor(number.item()):
                what = f"an array of shape {number.shape}: pass int(np.argmax(y)) for a one-hot y" if number.size > 1 else repr(n)
                raise TypeError(f"n of test sample {i} must be the number of an output, got {what}")
            answers.append(int(number.item()))
            if most > 1 and not 0 <= answers[i] < most:
                raise ValueError(f"n of test sample {i} must be the number of an output, 0 to {most - 1}, got {answers[i]}")
        return answers

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
        outputs = self._load()(X)
        columns = zip(outputs, Y, strict=True)
        slopes = [np.reshape(self.cost_derivative(a.reshape(-1, 1), y.reshape(-1, 1)), -1) for a, y in columns]
        return outputs - np.stack(slopes)

    def _rows(self, pairs: Sequence[Pair]) -> tuple[Array, Array]:
        """Matrices of the columns x and y, as rows."""
        X = self._matrix("x", [x for x, _ in pairs], self.sizes[0])
        return X, self._matrix("y", [y for _, y in pairs], self.sizes[-1])

    @staticmethod
    def _matrix(name: str, columns: list[ArrayLike], n: int) -> Array:
        rows = np.empty((len(columns), n))
        for i, column in enumerate(columns):
            numbers = validation.numbers(f"{name} of sample {i}", column, np.float64)
            if numbers.size != n:
                many = (
                    f"; pass a pair for each of the {len(numbers)} samples" if numbers.ndim == 2 and numbers.shape[1] == n else ""
                )
                raise ValueError(f"{name} of sample {i} must be a column ({n}, 1), got shape {numbers.shape}{many}")
            rows[i] = numbers.reshape(n)
        return rows


def _pairs(name: str, data: Any, least: int = 1) -> list[Any]:
    """`data` as a list of pairs, so many at least."""
    advice = "pass list(zip(inputs, targets)), with a column for each sample"
    if not np.iterable(data):
        raise TypeError(f"{name} must be a list of pairs, got {type(data).__name__}; {advice}")
    pairs = list(data)
    if len(pairs) < least:
        raise ValueError(f"{name} is empty; {advice}")
    for i, pair in enumerate(pairs):
        is_pair = isinstance(pair, tuple | list) or (isinstance(pair, np.ndarray) and pair.dtype == object)
        if not is_pair or len(pair) != 2:
            what = f"an array of shape {pair.shape}" if isinstance(pair, np.ndarray) else f"a {type(pair).__name__}"
            length = f" of {len(pair)}" if is_pair else ""
            raise TypeError(f"{name} must be a list of pairs, but sample {i} is {what}{length}; {advice}")
    return pairs


# kept apart from the class, whose attributes a program may replace
_METHODS = {name: vars(Network)[name] for name in ("backprop", "cost_derivative", "evaluate", "feedforward", "update_mini_batch")}


def sigmoid(z: ArrayLike) -> Array:
    """The sigmoid function 1 / (1 + exp(-z)), element by element; a name of the book's module."""
    try:
        array = np.asarray(z)
    except ValueError as error:
        raise ValueError(f"z must be a rectangular array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"z must hold real numbers, got dtype {array.dtype}")
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * array.astype(np.float64))))


def sigmoid_prime(z: ArrayLike) -> Array:
    """The derivative sigmoid(z) (1 - sigmoid(z)); a name of the book's module."""
    return np.asarray(sigmoid(z) * (1.0 - sigmoid(z)))
