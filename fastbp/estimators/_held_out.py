"""Samples that a fit is judged by, and not trained on."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring


class HeldOut:
    """Held-out samples.

    Parameters
    ----------
    estimator : MultilayerPerceptron
        Its ``scoring`` says how outputs are judged.
    data : TrainingData
    targets : array_like
        The targets as the user knows them, for a scorer.
    """

    def __init__(self, estimator, data, targets):
        self.data, self.targets = data, targets
        self.measure = accuracy if is_classifier(estimator) else r2
        self.scorer = None if estimator.scoring is None else check_scoring(estimator, estimator.scoring)
        self.session = None

    def score(self, estimator, net) -> float:
        """Score of the estimator as it is now."""
        if self.scorer is None:
            return self.measure(net._forward(self.data.X), self.data)
        weights = {} if self.data.weights is None else {"sample_weight": self.data.weights}
        return float(self.scorer(_without_names(estimator), self.data.X, self.targets, **weights))

    def loss(self, net) -> float:
        """Loss of the network as it is now, without penalty."""
        if self.session is None:
            self.session = self.data.session(net)
        return self.data.loss(self.session)


def _without_names(estimator):
    """The estimator, but it does not warn that arrays have no column names."""
    if not hasattr(estimator, "feature_names_in_"):
        return estimator
    same = object.__new__(type(estimator))
    same.__dict__.update((name, value) for name, value in vars(estimator).items() if name != "feature_names_in_")
    return same


def accuracy(outputs, data) -> float:
    """(Weighted) share of samples of which all labels are right."""
    if data.labels is not None:
        right = outputs.argmax(axis=1) == data.labels
    else:
        right = ((outputs > 0.5) == (data.values > 0.5)).all(axis=1)
    return float(np.average(right, weights=data.weights))


def r2(outputs, data) -> float:
    """R^2, averaged over the outputs; nan where an output is not finite."""
    if not np.isfinite(outputs).all():
        return float("nan")
    targets = data.values.astype(np.float64)
    weights = np.ones((len(targets), 1)) if data.weights is None else data.weights[:, None].astype(np.float64)
    with np.errstate(over="ignore"):
        residual = (weights * (targets - outputs) ** 2).sum(axis=0)
    total = (weights * (targets - np.average(targets, axis=0, weights=weights[:, 0])) ** 2).sum(axis=0)
    constant = total == 0
    return float(np.mean(np.where(constant, residual == 0, 1 - residual / np.where(constant, 1, total))))
