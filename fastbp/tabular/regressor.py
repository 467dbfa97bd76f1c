"""`TabularRegressor`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import column_or_1d

from fastbp.engine import validation
from fastbp.engine.encoder import Encoder
from fastbp.tabular._base import TabularModel
from fastbp.tabular.recipe import REGRESSORS, Recipe
from fastbp.tabular.training import Task


class TabularRegressor(RegressorMixin, TabularModel):
    """Numbers from a table as it is: numbers, missing values, categories, text of any cardinality, dates.

    Networks of RealMLP's kind (Holzmueller, Grinsztajn & Steinwart, 2024), of each of which another part of the rows is held
    out, to keep its best epoch; predictions are their mean. Targets are scaled to mean 0 and deviation 1, and no prediction
    lies outside those of the fit. Needs the extra ``tables``.

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
    networks_ : list of TabularNetwork
    histories_ : list of History
        Losses of scaled targets.
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
    >>> import numpy as np
    >>> from fastbp import TabularRegressor
    >>> X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    >>> model = TabularRegressor("fast", random_state=0).fit(X, X[:, 0] * X[:, 1])
    >>> round(model.score(X, X[:, 0] * X[:, 1]))
    1
    """

    presets = REGRESSORS

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularRegressor:
        """Train the networks.

        Parameters
        ----------
        X : DataFrame of pandas or Polars, or array_like (n_samples, n_features)
        y : array_like (n_samples,)
            Finite numbers.
        sample_weight : array_like (n_samples,), optional

        Returns
        -------
        TabularRegressor
            Itself.
        """
        table = self._table(X, reset=True)
        check_consistent_length(table, y)
        validation.refuse_masked("y", y)
        values = validation.numbers("y", column_or_1d(y, warn=True), np.float64)
        # by a power of two, which rounds nothing: squares of very large or small numbers are none
        exponent = int(np.frexp(np.abs(values).max())[1])
        values = np.ldexp(values, -exponent)
        scaling: dict[str, Any] = {"_exponent": exponent}

        def targets(features: Encoder, rows: Any, values: Any, weights: Any, recipe: Recipe) -> tuple[Task, Any]:
            mean, scale = float(values.mean()), float(values.std()) or 1.0
            scaling.update(_mean=mean, _scale=scale, _range=(float(values.min()), float(values.max())))
            scaled = ((values - mean) / scale).astype(np.float32)[:, None]
            return Task(features, rows, scaled, scaled, weights, "squared", 1), None

        self._train(table, values, sample_weight, targets)
        for name, value in scaling.items():
            setattr(self, name, value)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Numbers (n_samples,) for a table X as in `fit`."""
        return self.predicted(self._rows(X))

    def predicted(self, rows: np.ndarray) -> np.ndarray:
        """Numbers (n_samples,) for rows that ``columns_.transform`` gave."""
        each = self._outputs(rows)[:, :, 0].astype(np.float64) * self._scale + self._mean
        return np.ldexp(np.clip(each, *self._range).mean(axis=0), self._exponent)  # type: ignore[no-any-return]
