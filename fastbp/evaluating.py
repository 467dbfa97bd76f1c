"""What a network predicts, and how well: methods of `Network`."""

import numpy as np

from fastbp.engine import metrics, stream_evaluation, threads, validation
from fastbp.engine.parameters import Gradients
from fastbp.engine.session import Session
from fastbp.engine.stream_run import source_of
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE
from fastbp.streams import Source

SPARE_BYTES = 1 << 24  # of the work buffer that a network keeps between calls


def predict(self, X, n_threads=None) -> np.ndarray:
    """Predictions; X and n_threads as for `__call__`, of several rows.

    Returns
    -------
    ndarray
        Cross-entropy: class numbers (n_samples,). Binary cross-entropy: 0 or 1. Other losses: the outputs. The latter two are
        (n_samples,) for one output, else (n_samples, n_outputs).
    """
    outputs = self(X, n_threads) if isinstance(X, Source) else self._outputs(self._samples("X", X), n_threads)
    return metrics.predictions(self.loss_function.task, outputs)


def score(self, X, y=None) -> float:
    """Accuracy of the predictions (all outputs right, if there are several), or R^2 where targets are numbers.

    X and y are as for `loss`; of a stream, samples count by their weights. R^2 is averaged over the outputs; an output whose
    targets are all equal counts 1 if it is met exactly, else 0.
    """
    source = source_of(X, y)
    if source is not None:
        return stream_evaluation.measured(self, source)[1]
    rows = self._samples("X", X)
    task = self.loss_function.task
    values, labels = validation.targets("y", y, len(rows), self.sizes[-1], task, self.dtype)
    return metrics.score(task, self._outputs(rows), labels if labels.size else values)


def _evaluate(self, X, y, sample_weight, out):
    """The loss, and its gradient in `out` if there is one."""
    sizes, dtype = self.sizes, self.dtype
    rows = self._samples("X", X)
    count = len(rows)
    values, labels = validation.targets("y", y, count, sizes[-1], self.loss_function.task, dtype)
    weights = validation.weights_of_samples(sample_weight, count)
    mode, differentiate = (EVALUATE, False) if out is None else (DIFFERENTIATE, True)
    flop = (6.0 if differentiate else 2.0) * self._vector.size * count
    members = 1 if 3 * count <= self._few else threads.members_for(flop, None, threads.FLOP_PER_START)
    try:
        session = self._spare.pop()
    except IndexError:
        session = None
    if session is None or not (session.computes(count, differentiate, members) and session.takes(rows)):
        session = Session(self, count, differentiate=differentiate, members=members, entries=self._entries(rows))
    loss = session.compute(mode, count, rows, values, labels, weights, out if differentiate else session.out)
    if members > 1:
        session.close()
    elif session.work.nbytes <= SPARE_BYTES and not self._spare:
        self._spare.append(session)
    return loss


def loss(self, X, y=None, sample_weight=None) -> float:
    """Weighted mean of the samples' losses.

    Parameters
    ----------
    X : array_like or sparse matrix (n_samples, n_inputs), or `stream`
        A stream is read block by block, and given without `y` and `sample_weight`.
    y : array_like, optional
        Class numbers (n_samples,) or rows of probabilities for cross-entropy; numbers in [0, 1] for binary cross-entropy;
        targets for other losses. The latter two (n_samples, n_outputs), or (n_samples,) for one output.
    sample_weight : array_like (n_samples,), optional
        Not negative.
    """
    source = source_of(X, y)
    if source is not None:
        if sample_weight is not None:
            raise ValueError("sample_weight must be left out for a stream: give it to stream")
        return stream_evaluation.measured(self, source)[0]
    return _evaluate(self, X, y, sample_weight, None)


def value_and_grad(self, X, y, sample_weight=None) -> tuple[float, Gradients]:
    """The loss, and its gradient with respect to every weight and bias; X, y and sample_weight as for `loss`, no stream."""
    gradient = np.empty(self._vector.size, self.dtype)
    loss = _evaluate(self, X, y, sample_weight, gradient)
    return loss, Gradients(gradient, self.sizes)
