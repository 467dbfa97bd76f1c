"""Predictions that there are, in the place of an estimator: what scikit-learn's scorers ask."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class Given(BaseEstimator):  # type: ignore[misc]
    """An estimator whose samples are numbers of rows that have been predicted.

    Parameters
    ----------
    predictions : fastbp.commands.metrics.Predictions
    """

    def __init__(self, predictions: Any) -> None:
        self.predictions = predictions

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, rows: Any) -> Any:
        """What was predicted of these rows."""
        return self.predictions.values[rows]


class GivenRegressor(RegressorMixin, Given):  # type: ignore[misc]
    """Of numbers."""


class GivenClassifier(ClassifierMixin, Given):  # type: ignore[misc]
    """Of class numbers."""

    @property
    def classes_(self) -> Any:
        """All class numbers."""
        return np.arange(self.predictions.probabilities.shape[1])

    def predict_proba(self, rows: Any) -> Any:
        """Their probabilities."""
        return self.predictions.probabilities[rows]
