"""Estimators with the interface of scikit-learn's `sklearn.neural_network`, trained by the kernels."""

from fastbp.estimators.classifier import MLPClassifier
from fastbp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
