"""The samples of a fit in the form that the kernels read."""

from dataclasses import dataclass

import numpy as np

from fastbp.engine.evaluation import Evaluation
from fastbp.engine.minimize.objective import Objective
from fastbp.engine.sparsity import CompressedRows, Entries, dense, entries
from fastbp.engine.validation import with_finite_sums
from fastbp.estimators import _checks


@dataclass
class TrainingData:
    """Arrays for `Session.set_data`.

    Attributes
    ----------
    X : ndarray or CompressedRows (N, n_in)
    values : ndarray (N, n_out) or None
        Targets, where they are not class numbers.
    labels : ndarray (N,) or None
        Class numbers.
    weights : ndarray of float64 (N,) or None
    """

    X: np.ndarray | CompressedRows
    values: np.ndarray | None
    labels: np.ndarray | None
    weights: np.ndarray | None

    @classmethod
    def make(cls, net, X, y, sample_weight) -> "TrainingData":
        """From checked arrays; y (N, n_out) holds targets, or True in the column of a sample's class."""
        is_labels = net.loss_function.task == "labels"
        return cls(
            _checks.in_dtype("X", X, net.dtype),
            None if is_labels else _checks.in_dtype("y", y, net.dtype),
            y.argmax(axis=1) if is_labels else None,
            None if sample_weight is None else np.ascontiguousarray(sample_weight, np.float64),
        )

    def __len__(self):
        return len(self.X)

    def entries(self, net) -> Entries | None:
        """What there is in a sample, if a network should leave out its zeros."""
        return entries(self.X, net.sizes[1] * net.dtype.itemsize)

    def part(self, rows) -> "TrainingData":
        """Some of the samples."""
        values, labels, weights = (None if array is None else array[rows] for array in (self.values, self.labels, self.weights))
        return TrainingData(self.X[rows], values, labels, weights)

    def fill_zeros(self):
        """Let rows have their zeros."""
        self.X = dense(self.X)

    def by_weight(self, alpha) -> float:
        """`alpha` by the weight of all samples: the penalty of each weight, for solvers that take all samples at once."""
        if self.weights is None:
            return alpha / len(self)
        weights, unit = with_finite_sums(self.weights)
        return alpha / weights.sum() / unit

    def objective(self, net, n_threads) -> Objective:
        """What such solvers minimise."""
        return Objective(net, self.X, self.values, self.labels, self.weights, n_threads)

    def give(self, session, order=None):
        """Set them as the data of a session."""
        session.set_data(self.X, self.values, self.labels, self.weights, order)

    def evaluation(self, net, n_threads=1) -> Evaluation:
        """Of a network on them; its loss is reported as scikit-learn does."""
        evaluation = Evaluation(net, self.X, self.values, self.labels, self.weights, n_threads)
        evaluation.session.set_report(report_factor(net))
        return evaluation


def report(net) -> tuple[float, float]:
    """Factor and cap of the loss that scikit-learn reports: it cuts probabilities off at the machine epsilon."""
    kind = net.loss_function.name
    is_cut = kind == "cross_entropy" or (kind == "binary_cross_entropy" and net.sizes[-1] == 1)
    cap = -np.log(np.finfo(net.dtype).eps) if is_cut and net.loss_function.smoothing == 0 else np.inf
    return report_factor(net), float(cap)


def report_factor(net) -> float:
    """Reported loss by minimised loss: scikit-learn reports the mean over the outputs, but its gradient is that of half the sum.

    See scikit-learn#8349.
    """
    return 1 / net.sizes[-1] if net.loss_function.name == "squared" else 1.0
