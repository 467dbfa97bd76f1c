"""Estimators that take tables as they are, in the manner of scikit-learn."""

from fastbp.engine.encoder import Rates
from fastbp.tabular.classifier import TabularClassifier
from fastbp.tabular.recipe import Recipe
from fastbp.tabular.regressor import TabularRegressor

__all__ = ["Rates", "Recipe", "TabularClassifier", "TabularRegressor"]
