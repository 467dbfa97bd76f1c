# mypy: allow-untyped-calls
"""The network of the book's chapter 3: costs, regularisation, two ways to draw weights, monitors, early stopping, files.

A script written for the book's network2 needs a new import and nothing else::

    from fastbp.textbook import network2        # was: import network2

    net = network2.Network([784, 30, 10], cost=network2.CrossEntropyCost)
    net.SGD(training_data, 30, 10, 0.5, lmbda=5.0, evaluation_data=validation_data, monitor_evaluation_accuracy=True)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp import losses, network, storage
from fastbp.engine import validation
from fastbp.files.model_file import ModelFormatError
from fastbp.textbook import columns, costs, monitored
from fastbp.textbook.columns import Array, Pair, sigmoid, sigmoid_prime
from fastbp.textbook.costs import CrossEntropyCost, QuadraticCost
from fastbp.textbook.monitored import vectorized_result

__all__ = ["CrossEntropyCost", "Network", "QuadraticCost", "load", "sigmoid", "sigmoid_prime", "vectorized_result"]


class Network(columns.ColumnNetwork):
    """Sigmoid network with a cost of one's choice, in float64.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of inputs, of neurons of each hidden layer, and of outputs.
    cost : class, optional
        By default `CrossEntropyCost`; else `QuadraticCost`, or a class of your own with the functions ``fn(a, y)``, the cost of a
        sample, and ``delta(z, a, y)``, its derivative by z of the output layer. Those are called for each sample, and the rest is
        done by the kernels, a mini-batch at a time. A loss of `fastbp.losses`, or one of your own that is registered there
        (``@LOSSES.register``, see CONTRIBUTING.md), is compiled, and whole epochs run on the kernels:
        ``cost=fastbp.CrossEntropy`` is the book's softmax layer with the log-likelihood.

    Attributes
    ----------
    num_layers : int
        Layers, the input counted.
    sizes : sequence of int
        As given.
    weights, biases : list of ndarray
        (n_out, n_in) and (n_out, 1) of each layer. They may be assigned and edited. Training puts new arrays into new lists and
        leaves the old ones as they were.
    cost : class
        May be assigned.

    Notes
    -----
    Methods that a subclass overrides (`backprop`, `feedforward`, `update_mini_batch`, `accuracy`, `total_cost`, the initialisers)
    are called where the book's program calls them; with another `backprop` or `update_mini_batch` training is slower.

    Random draws and printed lines are those of the book's program, numbers differ from it by rounding; but

    - the cross-entropy is that of z, finite and exact where outputs are rounded to 0 or 1;
    - evaluation data may have any number of classes, not ten only;
    - early stopping looks at the accuracy on the evaluation data whatever is monitored. A port of the book's program to Python 3
      takes whichever accuracy was computed last, if need be that on the training data, which overfitting does not lower; and it
      adds the penalty to the cost once for each sample, where the book, and this class, add it once.

    As in the book, `total_cost` divides lmbda by the number of samples that it is given: on evaluation data the penalty is not the
    one that training minimises, which is divided by the number of training samples.

    Examples
    --------
    >>> np.random.seed(0)
    >>> net = Network([2, 3, 1], cost=QuadraticCost)
    >>> net.feedforward(np.zeros((2, 5))).shape
    (1, 5)
    """

    def __init__(self, sizes: Sequence[int], cost: Any = CrossEntropyCost) -> None:
        super().__init__(sizes)
        self.cost = cost
        self._prepare(costs.loss_of(cost))
        self.default_weight_initializer()

    def default_weight_initializer(self) -> None:
        """Draw all biases from N(0, 1), then weights from N(0, 1 / n_in), by the global generator of NumPy."""
        self.biases = columns.drawn_biases(self.sizes)
        self.weights = [w / np.sqrt(w.shape[1]) for w in columns.drawn_weights(self.sizes)]

    def large_weight_initializer(self) -> None:
        """Draw all biases, then weights from N(0, 1), as chapter 1 does."""
        self.biases = columns.drawn_biases(self.sizes)
        self.weights = columns.drawn_weights(self.sizes)

    def _prepare(self, loss: Any) -> None:
        """A network on the kernels for a loss; for a cost in Python, one whose outputs are z, and whose errors are z - t."""
        self._loss = loss
        if loss is None:
            function, output = losses.get("squared"), "identity"
        else:
            function = losses.get(loss)
            output = function.link or "sigmoid"
        self._net = network.Network(self.sizes, "sigmoid", function, output=output, dtype="float64", init="normal", rng=0)

    def _load(self) -> network.Network:
        loss = costs.loss_of(self.cost)
        if loss is not self._loss:
            self._prepare(loss)
        return super()._load()

    def _activations(self, X: Array) -> Array:
        outputs = super()._activations(X)
        return sigmoid(outputs) if self._loss is None else outputs

    def _targets(self, X: Array, Y: Array) -> Array:
        net = self._load()
        if self._loss is not None:
            return Y
        Z = np.asarray(net(X))
        deltas = np.empty_like(Z)
        for row, z, a, y in zip(deltas, Z, sigmoid(Z), Y, strict=True):
            delta = self.cost.delta(*(each.reshape(-1, 1) for each in (z, a, y)))
            numbers = validation.numbers("what delta of the cost returns", delta, np.float64)
            if numbers.size != row.size:
                raise ValueError(f"delta of the cost must return a column ({row.size}, 1), got shape {numbers.shape}")
            row[:] = numbers.reshape(-1)
        return Z - deltas

    def SGD(
        self,
        training_data: Iterable[Pair],
        epochs: int,
        mini_batch_size: int,
        eta: float,
        lmbda: float = 0.0,
        evaluation_data: Iterable[tuple[ArrayLike, Any]] | None = None,
        monitor_evaluation_cost: bool = False,
        monitor_evaluation_accuracy: bool = False,
        monitor_training_cost: bool = False,
        monitor_training_accuracy: bool = False,
        early_stopping_n: int = 0,
    ) -> tuple[list[float], list[int], list[float], list[int]]:
        """Train by stochastic gradient descent on mini-batches, and print what is monitored after each epoch.

        Parameters
        ----------
        training_data : list of (x, y)
            Columns x (n_in, 1) and y (n_out, 1). A list is shuffled in place before every epoch by ``random.shuffle``, as in
            the book, so that ``random.seed`` fixes the order; other iterables are made into a list first.
        epochs, mini_batch_size : int
            The last mini-batch of an epoch may be shorter.
        eta : float
            Learning rate, > 0.
        lmbda : float, default 0.0
            Factor of the penalty lmbda / (2 n) sum w^2, over all weights, not biases, and n training samples.
        evaluation_data : list of (x, n), optional
            Columns x (n_in, 1), and the number n of the output that should be largest.
        monitor_evaluation_cost, monitor_evaluation_accuracy : bool, default False and False
            Whether to compute `total_cost` and `accuracy` on the evaluation data after each epoch.
        monitor_training_cost, monitor_training_accuracy : bool, default False and False
            Likewise on the training data.
        early_stopping_n : int, default 0
            Stop after so many epochs in a row without a better accuracy on the evaluation data; 0 for never. The parameters are
            those of the last epoch, not of the best.

        Returns
        -------
        evaluation_cost, evaluation_accuracy, training_cost, training_accuracy : lists
            A number an epoch, of what is monitored.
        """
        epochs = validation.integer("epochs", epochs, least=0)
        mini_batch_size = validation.integer("mini_batch_size", mini_batch_size)
        patience = validation.integer("early_stopping_n", early_stopping_n, least=0)
        eta, lmbda = validation.real("eta", eta, above=0.0), validation.real("lmbda", lmbda)
        pairs = training_data if isinstance(training_data, list) else columns.as_pairs("training_data", training_data)
        tests = [] if evaluation_data is None else columns.as_pairs("evaluation_data", evaluation_data, least=0)
        asking = {
            "monitor_evaluation_cost": monitor_evaluation_cost,
            "monitor_evaluation_accuracy": monitor_evaluation_accuracy,
            "early_stopping_n": patience,
        }
        if not tests and any(asking.values()):
            raise ValueError(f"evaluation_data must hold samples, because of {' and '.join(compress(asking, asking.values()))}")

        training = monitored.Data(self, columns.as_pairs("training_data", pairs), of_numbers=False)
        evaluation = monitored.Data(self, tests, of_numbers=True)
        rows = None
        if costs.loss_of(self.cost) is not None and not self._replaced("update_mini_batch", "backprop"):
            rows = training.X, training.Y
            task = self._load().loss_function.task
            validation.targets("y of training_data", rows[1], len(pairs), self.sizes[-1], task, np.dtype(np.float64))
        if any(asking.values()):
            evaluation.check(bool(monitor_evaluation_cost))
        best, waited = 0, 0
        evaluation_cost: list[float] = []
        evaluation_accuracy: list[int] = []
        training_cost: list[float] = []
        training_accuracy: list[int] = []

        def step(mini_batch: list[Any]) -> None:
            self.update_mini_batch(mini_batch, eta, lmbda, len(pairs))

        for epoch in self._epochs(pairs, epochs, mini_batch_size, eta, rows, step, lmbda):
            print(f"Epoch {epoch} training complete")
            if monitor_training_cost:
                training_cost.append(training.asked_cost(lmbda))
                print(f"Cost on training data: {training_cost[-1]}")
            if monitor_training_accuracy:
                training_accuracy.append(training.asked_accuracy())
                print(f"Accuracy on training data: {training_accuracy[-1]} / {len(pairs)}")
            if monitor_evaluation_cost:
                evaluation_cost.append(evaluation.asked_cost(lmbda))
                print(f"Cost on evaluation data: {evaluation_cost[-1]}")
            if monitor_evaluation_accuracy or patience:
                accuracy = evaluation.asked_accuracy()
                best, waited = (accuracy, 0) if accuracy > best else (best, waited + 1)
            if monitor_evaluation_accuracy:
                evaluation_accuracy.append(accuracy)
                print(f"Accuracy on evaluation data: {accuracy} / {len(tests)}")
            print()
            if patience and waited == patience:
                break
        return evaluation_cost, evaluation_accuracy, training_cost, training_accuracy

    def update_mini_batch(self, mini_batch: Sequence[Pair], eta: float, lmbda: float, n: int) -> None:
        """Take one step of gradient descent: w -= eta (lmbda / n w + 1 / m sum_x dC_x/dw).

        Parameters
        ----------
        mini_batch : list of (x, y)
            m columns x (n_in, 1) and y (n_out, 1).
        eta : float
            Learning rate, > 0.
        lmbda : float
            Factor of the penalty lmbda / (2 n) sum w^2.
        n : int
            Number of training samples.
        """
        self._step(mini_batch, eta, validation.real("lmbda", lmbda) / validation.integer("n", n))

    def accuracy(self, data: Iterable[Pair], convert: bool = False) -> int:
        """Number of inputs whose largest output is the right one.

        Parameters
        ----------
        data : list of (x, y)
            Columns x (n_in, 1); y is the number of the output that should be largest.
        convert : bool, default False
            Whether y is a column (n_out, 1) instead, whose largest number is in that place, as in training data.
        """
        pairs = columns.as_pairs("data", data, least=0)
        return monitored.Data(self, pairs, of_numbers=not convert).accuracy() if pairs else 0

    def total_cost(self, data: Iterable[Pair], lmbda: float, convert: bool = False) -> float:
        """Mean cost of the samples, and the penalty lmbda / (2 n) sum w^2 for the n samples of `data`.

        Parameters
        ----------
        data : list of (x, y)
            Columns x (n_in, 1) and y (n_out, 1).
        lmbda : float
            Factor of the penalty.
        convert : bool, default False
            Whether y is a number instead, for a column with 1 in this place and else 0, as in validation and test data.
        """
        return monitored.Data(self, columns.as_pairs("data", data), of_numbers=convert).cost(validation.real("lmbda", lmbda))

    def save(self, filename: storage.AnyPath) -> None:
        """Write the network to a file that the book's program reads, too: JSON with the keys sizes, weights, biases, cost.

        Parameters
        ----------
        filename : str, bytes or path
            Replaced in one step, if it is there.
        """
        net = self._load()
        data = {
            "sizes": list(net.sizes),
            "weights": [w.tolist() for w in net.weights],
            "biases": [b.reshape(-1, 1).tolist() for b in net.biases],
            "cost": getattr(self.cost, "__name__", type(self.cost).__name__),
        }
        storage.replace(filename, json.dumps(data).encode())


Network._originals = {
    name: getattr(Network, name) for name in ("accuracy", "backprop", "feedforward", "total_cost", "update_mini_batch")
}


def load(filename: storage.AnyPath, cost: Any = None) -> Network:
    """Read a network that `Network.save`, or the book's program, has written.

    Parameters
    ----------
    filename : str, bytes or path
    cost : class, optional
        The cost that the file names, where that is none of this module.

    Returns
    -------
    Network

    Raises
    ------
    ModelFormatError
        If it is no such file, or is damaged.
    ValueError
        If its cost is none of this module, and is not given.
    OSError
        If the file cannot be read.

    Notes
    -----
    As in the book, the numbers of a new network are drawn first.

    Examples
    --------
    >>> net = Network([2, 3, 1], cost=QuadraticCost)
    >>> net.save("net.json")
    >>> load("net.json").cost.__name__
    'QuadraticCost'
    """
    name = os.fsdecode(filename)
    text = Path(name).read_bytes()
    try:
        data = json.loads(text)
        sizes, cost_name = data["sizes"], data["cost"]
        validation.layer_sizes(sizes)
        shapes = {"weights": list(zip(sizes[1:], sizes, strict=False)), "biases": [(n_out, 1) for n_out in sizes[1:]]}
        arrays = {key: [validation.numbers(key, array, np.float64) for array in data[key]] for key in shapes}
        for key, expected in shapes.items():
            if [array.shape for array in arrays[key]] != expected:
                raise ValueError(f"{key} do not fit sizes")
        if not isinstance(cost_name, str):
            raise TypeError("cost is no name")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelFormatError(f"{name} is no file of network2, or is damaged: {error!r}") from error
    known = {each.__name__: each for each in (QuadraticCost, CrossEntropyCost)}
    if cost is None and cost_name not in known:
        raise ValueError(f"cost must be given, as load(filename, cost=...): {name} names {cost_name!r}, which is not of network2")
    net = Network(sizes, known[cost_name] if cost is None else cost)
    net.weights, net.biases = arrays["weights"], arrays["biases"]
    return net
