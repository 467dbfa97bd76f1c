"""Scores of predictions, as scikit-learn defines them: without its checks, and without importing it."""

import numpy as np

from fastbp.kernels.accuracy import count_right


def predictions(task: str, outputs: np.ndarray) -> np.ndarray:
    """What a network of this task predicts by outputs (..., n_outputs): class numbers, 0 or 1, or the outputs themselves."""
    if task == "labels":
        found: np.ndarray = outputs.argmax(axis=-1)
        return found
    if task == "binary":
        outputs = (outputs > 0.5).astype(np.int64)
    return outputs[..., 0] if outputs.shape[-1] == 1 else outputs


def score(task: str, outputs: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    """Accuracy, or R^2 where targets are numbers.

    Parameters
    ----------
    task : str
        Of the loss.
    outputs : ndarray (n_samples, n_outputs)
    targets : ndarray
        Class numbers (n_samples,), or targets like the outputs.
    sample_weight : ndarray (n_samples,), optional
    """
    if task == "labels":
        return accuracy(outputs, targets if targets.ndim == 1 else targets.argmax(axis=1), sample_weight)
    return accuracy(outputs, targets, sample_weight) if task == "binary" else r2(outputs, targets, sample_weight)


def accuracy(outputs: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    """(Weighted) share of samples of which all labels are right.

    Parameters
    ----------
    outputs : ndarray (n_samples, n_outputs)
    targets : ndarray
        Class numbers (n_samples,), or a yes (above 1/2) or no for every output (n_samples, n_outputs).
    sample_weight : ndarray (n_samples,), optional
    """
    if targets.ndim == 1 and sample_weight is None:
        right = count_right[outputs.dtype](np.ascontiguousarray(outputs), np.ascontiguousarray(targets, np.int64))
        return float(right / len(targets))
    right = outputs.argmax(axis=1) == targets if targets.ndim == 1 else ((outputs > 0.5) == (targets > 0.5)).all(axis=1)
    return float(np.average(right, weights=sample_weight))


def r2(outputs: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    """R^2 averaged over the outputs, in double precision; nan where an output is not finite.

    An output whose targets are all equal counts 1 if it is met exactly, else 0.

    Parameters
    ----------
    outputs, targets : ndarray (n_samples, n_outputs)
    sample_weight : ndarray (n_samples,), optional
    """
    if not np.isfinite(outputs).all():
        return float("nan")
    targets = targets.astype(np.float64)
    weights = np.float64(1) if sample_weight is None else sample_weight[:, None].astype(np.float64)
    center = np.average(targets, axis=0, weights=sample_weight)
    with np.errstate(over="ignore"):
        residual = (weights * (targets - outputs) ** 2).sum(axis=0)
    total = (weights * (targets - center) ** 2).sum(axis=0)
    constant = total == 0
    return float(np.mean(np.where(constant, residual == 0, 1 - residual / np.where(constant, 1, total))))


class Tally:
    """A score of samples that come part by part: that of all at once, to rounding, and without weights an accuracy to the bit.

    Parameters
    ----------
    task : str
        Of the loss.

    Attributes
    ----------
    weight : float
        Of all samples so far; their number, where they have none.
    """

    def __init__(self, task: str) -> None:
        self._task, self.weight, self._right = task, 0.0, 0.0
        self._mean = self._total = self._residual = np.zeros(1)
        self._least, self._most = np.array(np.inf), np.array(-np.inf)

    def add(self, outputs: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
        """Count some samples, as for `score`; their weight."""
        weight = float(len(targets) if sample_weight is None else sample_weight.sum())
        if weight == 0:
            return weight
        if self._task in ("labels", "binary"):
            found = score(self._task, outputs, targets, sample_weight) * weight
            self._right += found if sample_weight is not None else round(found)
        else:
            self._add_squares(outputs, targets.astype(np.float64), weight, sample_weight)
        self.weight += weight
        return weight

    def _add_squares(self, outputs: np.ndarray, targets: np.ndarray, weight: float, sample_weight: np.ndarray | None) -> None:
        """Squares about the mean of all, by those about the means of parts (Chan, Golub & LeVeque, 1979)."""
        weights = np.float64(1) if sample_weight is None else sample_weight[:, None]
        mean = np.average(targets, axis=0, weights=sample_weight)
        apart = mean - self._mean if self.weight else np.zeros_like(mean)
        share = weight / (self.weight + weight)
        with np.errstate(over="ignore", invalid="ignore"):
            self._residual = self._residual + (weights * (targets - outputs) ** 2).sum(axis=0)
        self._total = self._total + (weights * (targets - mean) ** 2).sum(axis=0) + apart**2 * self.weight * share
        self._mean = self._mean + apart * share if self.weight else mean
        counted = targets if sample_weight is None else targets[sample_weight > 0]
        self._least = np.minimum(self._least, counted.min(axis=0))
        self._most = np.maximum(self._most, counted.max(axis=0))

    def value(self) -> float:
        """The score."""
        if self.weight == 0:
            raise ValueError("sample_weight must not be all zero")
        if self._task in ("labels", "binary"):
            return self._right / self.weight
        if not np.isfinite(self._residual).all():
            return float("nan")
        constant = self._least == self._most
        return float(np.mean(np.where(constant, self._residual == 0, 1 - self._residual / np.where(constant, 1, self._total))))
