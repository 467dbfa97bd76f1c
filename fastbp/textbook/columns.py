# mypy: allow-untyped-calls
"""What the networks of both chapters share: parameters in lists, samples in pairs of columns, and a network on the kernels."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import network, optimizers
from fastbp.engine import validation

Array = NDArray[np.float64]
Pair = tuple[ArrayLike, ArrayLike]


class ColumnNetwork:
    """Sigmoid network whose parameters are lists of arrays, and whose samples are columns.

    A chapter's class has the cost, what is asked after an epoch, and `_originals`: its methods that a program may replace.
    """

    weights: Any
    biases: Any
    _net: network.Network
    _originals: ClassVar[dict[str, Any]]

    def __init__(self, sizes: Sequence[int]) -> None:
        validation.layer_sizes(sizes)
        self.num_layers = len(sizes)
        self.sizes = sizes

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
        return any(getattr(getattr(self, name), "__func__", None) is not self._originals[name] for name in names)

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
        return np.ascontiguousarray(self._activations(np.ascontiguousarray(columns.T)).T)

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

    def _activations(self, X: Array) -> Array:
        """Outputs for rows."""
        return np.asarray(self._load()(X))

    def _outputs(self, inputs: Sequence[ArrayLike], X: Array | None = None) -> Array:
        """Outputs, as rows, for columns, whose matrix is `X`."""
        if self._replaced("feedforward"):
            return np.array([np.reshape(self.feedforward(x), -1) for x in inputs])
        return self._activations(self._matrix("x", inputs, self.sizes[0]) if X is None else X)

    def _targets(self, X: Array, Y: Array) -> Array:
        """Targets for which the network on the kernels has the errors that the cost asks for."""
        return Y

    def _epochs(
        self,
        pairs: list[Any],
        epochs: int,
        size: int,
        eta: float,
        rows: tuple[Array, Array] | None,
        step: Callable[[list[Any]], None],
        lmbda: float = 0.0,
    ) -> Iterator[int]:
        """The number of each epoch after it: whole on the kernels if there are `rows`, else by a `step` for each mini-batch."""
        order = list(range(len(pairs)))
        originals = list(pairs)
        for epoch in range(epochs):
            random.shuffle(order)
            pairs[:] = [originals[i] for i in order]
            if rows is not None:
                rule = optimizers.SGD(eta)
                self._load().fit(*rows, epochs=1, batch_size=size, optimizer=rule, order=order, l2=lmbda)
                self._unload()
            else:
                for k in range(0, len(pairs), size):
                    step(pairs[k : k + size])
            yield epoch

    def _step(self, mini_batch: Any, eta: float, decay: float = 0.0) -> None:
        """One step of gradient descent on the mean cost of a mini-batch and decay / 2 times the sum of all squared weights."""
        pairs = as_pairs("mini_batch", mini_batch)
        eta = validation.real("eta", eta, above=0.0)
        if self._replaced("backprop"):
            gradients = [self.backprop(x, y) for x, y in pairs]
            rate = eta / len(pairs)
            biases, weights = ([sum(arrays) for arrays in zip(*parts, strict=True)] for parts in zip(*gradients, strict=True))
            self.weights = [(1.0 - eta * decay) * w - rate * g for w, g in zip(self.weights, weights, strict=True)]
            self.biases = [b - rate * g for b, g in zip(self.biases, biases, strict=True)]
            return
        X, Y = self._rows(pairs)
        targets, rule = self._targets(X, Y), optimizers.SGD(eta)
        self._load().fit(X, targets, epochs=1, batch_size=len(X), optimizer=rule, shuffle=False, l2=decay * len(X))
        self._unload()

    def _answers(self, pairs: Sequence[tuple[ArrayLike, Any]], what: str) -> list[int]:
        """The numbers of the outputs that should be largest."""
        answers, most = [], self._net.sizes[-1]
        for i, (_, n) in enumerate(pairs):
            number = np.asarray(n)
            if number.size != 1 or number.dtype.kind not in "biuf" or number.item() != np.floor(number.item()):
                got = f"an array of shape {number.shape}: pass int(np.argmax(y)) for a one-hot y" if number.size > 1 else repr(n)
                raise TypeError(f"{what} {i} must be the number of an output, got {got}")
            answers.append(int(number.item()))
            if most > 1 and not 0 <= answers[i] < most:
                raise ValueError(f"{what} {i} must be the number of an output, 0 to {most - 1}, got {answers[i]}")
        return answers

    def _rows(self, pairs: Sequence[Pair]) -> tuple[Array, Array]:
        """Matrices of the columns x and y, as rows."""
        X = self._matrix("x", [x for x, _ in pairs], self.sizes[0])
        return X, self._matrix("y", [y for _, y in pairs], self.sizes[-1])

    @staticmethod
    def _matrix(name: str, columns: Sequence[ArrayLike], n: int) -> Array:
        if columns and all(type(each) is np.ndarray and each.shape == (n, 1) and each.dtype == np.float64 for each in columns):
            rows = np.concatenate(columns).reshape(-1, n)  # what programs pass, three times as fast as one by one
            if validation.is_plain(rows):
                return rows
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


def as_pairs(name: str, data: Any, least: int = 1) -> list[Any]:
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


def drawn_biases(sizes: Sequence[int]) -> list[Array]:
    """Biases (n_out, 1) from N(0, 1), by the global generator, so that ``np.random.seed`` governs them as in the book."""
    return [np.random.randn(n_out, 1) for n_out in sizes[1:]]  # noqa: NPY002


def drawn_weights(sizes: Sequence[int]) -> list[Array]:
    """Likewise weights (n_out, n_in)."""
    return [np.random.randn(n_out, n_in) for n_in, n_out in pairwise(sizes)]  # noqa: NPY002


def sigmoid(z: ArrayLike) -> Array:
    """The sigmoid function 1 / (1 + exp(-z)), element by element; a name of the book's modules.

    Examples
    --------
    >>> sigmoid([-2.0, 0.0, 2.0]).round(3).tolist()
    [0.119, 0.5, 0.881]
    """
    try:
        array = np.asarray(z)
    except ValueError as error:
        raise ValueError(f"z must be a rectangular array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"z must hold real numbers, got dtype {array.dtype}")
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * array.astype(np.float64))))


def sigmoid_prime(z: ArrayLike) -> Array:
    """The derivative sigmoid(z) (1 - sigmoid(z)); a name of the book's modules.

    Examples
    --------
    >>> sigmoid_prime([-2.0, 0.0, 2.0]).round(3).tolist()
    [0.105, 0.25, 0.105]
    """
    return np.asarray(sigmoid(z) * (1.0 - sigmoid(z)))
