"""`TabularClassifier`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import assert_all_finite, check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from fastbp.engine import validation
from fastbp.engine.encoder import Encoder
from fastbp.tabular._base import TabularModel
from fastbp.tabular.recipe import CLASSIFIERS, Recipe
from fastbp.tabular.training import Task


class TabularClassifier(ClassifierMixin, TabularModel):
    """Classes from a table as it is: numbers, missing values, categories, text of any cardinality, dates.

    Networks of RealMLP's kind (Holzmueller, Grinsztajn & Steinwart, 2024), of each of which another part of the rows is held
    out, to keep its best epoch; probabilities are their mean. Needs the extra ``tables``.

    Parameters
    ----------
    preset : {"fast", "default", "best"} or fastbp.tabular.Recipe, default "default"
        How much is spent, or every setting.
    n_networks : int, optional
        By default the preset's.
    epochs : int, optional
        By default the preset's.
    random_state : None, int or RandomState, optional
        Of the parts that are held out, first weights, orders and dropout.
    n_threads : int, optional
        Threads at most; by default what is usable. The results are the same.
    verbose : bool, default False
        Show a progress bar.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    networks_ : list of TabularNetwork
    histories_ : list of History
    best_epochs_ : list of int
        Of each network, from 0.
    is_interrupted_ : bool
        Whether Ctrl-C has ended the training: networks that had begun are what they were at their best epoch so far.
    columns_ : Columns
        ``columns_.kinds`` tells what each column was taken for.
    n_features_in_, feature_names_in_, n_iter_
        As scikit-learn has them.

    Examples
    --------
    >>> import pandas as pd
    >>> from fastbp import TabularClassifier
    >>> table = pd.DataFrame({"size": [1.0, None, 3.0, 4.0] * 20, "kind": ["a", "b", "b", None] * 20})
    >>> model = TabularClassifier("fast", random_state=0).fit(table, [0, 1, 1, 0] * 20)
    >>> model.predict(table[:4]).tolist()
    [0, 1, 1, 0]
    """

    presets = CLASSIFIERS

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularClassifier:
        """Train the networks.

        Parameters
        ----------
        X : DataFrame of pandas or Polars, or array_like (n_samples, n_features)
        y : array_like (n_samples,)
            Classes of any kind.
        sample_weight : array_like (n_samples,), optional

        Returns
        -------
        TabularClassifier
            Itself.
        """
        table = self._table(X, reset=True)
        encoder = LabelEncoder()
        labels = _encoded(encoder, y, table)
        count = len(encoder.classes_)
        if count < 2:
            raise ValueError(f"y must hold at least two classes, got one class only: {encoder.classes_[0]!r}")

        def targets(features: Encoder, rows: Any, labels: Any, weights: Any, recipe: Recipe) -> tuple[Task, Any]:
            smooth = labels
            if recipe.label_smoothing > 0 and count > 2:
                smooth = np.full((len(labels), count), recipe.label_smoothing / count, np.float32)
                smooth[np.arange(len(labels)), labels] += 1 - recipe.label_smoothing
            return Task(features, rows, smooth, labels, weights, "cross_entropy", count), labels

        self._train(table, labels, sample_weight, targets)
        self.classes_ = encoder.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n_samples, n_classes) for a table X as in `fit`, the mean of those of the networks."""
        return self.predicted(self._rows(X))

    def predicted(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n_samples, n_classes) for rows that ``columns_.transform`` gave."""
        mean = self._outputs(rows).mean(axis=0, dtype=np.float64)
        return np.asarray(mean / mean.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> np.ndarray:
        """Classes (n_samples,) for a table X as in `fit`."""
        found: np.ndarray = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[found])


def _encoded(encoder: LabelEncoder, y: Any, table: Any) -> np.ndarray:
    """Class numbers (n_samples,), after scikit-learn's checks."""
    from pandas import isna

    validation.refuse_masked("y", y)
    y = column_or_1d(y, warn=True)
    check_consistent_length(table, y)
    if y.dtype == object and isna(y).any():
        raise ValueError(f"y holds NaN or nothing in {isna(y).sum()} rows: drop these rows")
    assert_all_finite(y, input_name="y")
    kinds = sorted({type(each).__name__ for each in y}) if y.dtype == object else []
    try:
        check_classification_targets(y)
        return np.asarray(encoder.fit_transform(y))
    except TypeError as error:
        if len(kinds) < 2:
            raise
        told = ", ".join(kinds)
        raise TypeError(f"y holds classes of several types, {told}, which have no order: make them all strings") from error
