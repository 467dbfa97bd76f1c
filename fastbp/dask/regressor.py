"""`MLPRegressor` on collections of Dask."""

from typing import Any

from sklearn.base import _fit_context

from fastbp.dask import _predictions
from fastbp.dask._base import CONSTRAINTS, OnPartitions, documented
from fastbp.dask._table import Shape, Table
from fastbp.estimators import MLPRegressor as Plain


@documented
class MLPRegressor(OnPartitions, Plain):
    """`fastbp.MLPRegressor` on arrays and DataFrames of Dask.

    What a fit gives depends on the partitions and `random_state`, and not on the workers, their threads, or which of them are lost
    meanwhile. `predict` of a collection is one, too, and computed when it is asked for; of an array it is an array.
    `n_threads` is of a task, and 1 by default: Dask computes as many tasks at a time as its workers have threads. No ensembles, and
    no part of the samples is set aside for early stopping: that takes `X_val` and `y_val`.

    See Also
    --------
    fastbp.MLPRegressor : The same on arrays, which `local` gives.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastbp.dask import MLPRegressor
    >>> X = da.random.default_rng(0).normal(size=(2000, 3), chunks=(500, -1)).persist()
    >>> model = MLPRegressor(hidden_layer_sizes=(16,), solver="lbfgs", max_iter=300, random_state=0).fit(X, X[:, 0] * X[:, 1])
    >>> model.predict(X).chunks
    ((500, 500, 500, 500),)
    >>> model.score(X, X[:, 0] * X[:, 1]) > 0.9
    True
    """

    _plain = Plain
    _parameter_constraints = Plain._parameter_constraints | CONSTRAINTS

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, coefs_init=None, intercepts_init=None):
        """Train on X and y.

        Parameters
        ----------
        X : array or DataFrame of Dask (n_samples, n_features)
            The number of rows of its partitions need not be known.
        y : array, Series or DataFrame of Dask
            Targets (n_samples,) or (n_samples, n_outputs), in partitions of the same rows, as the following.
        sample_weight : array or Series of Dask (n_samples,), optional
            Not negative, not all zero.
        X_val, y_val : array_like, optional
            Validation data in memory, as of `fastbp.MLPRegressor.fit`.
        coefs_init, intercepts_init : list of array_like, optional
            Weights and intercepts to start from.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For parameters at fault, and naming the partition for data at fault, before training begins.
        """
        return self._fit_partitions(X, y, sample_weight, (X_val, y_val), (coefs_init, intercepts_init))

    def _encode(self, targets, is_known):
        if not isinstance(targets, Table):
            return super()._encode(targets, is_known)
        return Shape((targets.shape[0], max(1, targets.n_targets)))

    def predict(self, X) -> Any:
        """Predictions.

        Parameters
        ----------
        X : array or DataFrame of Dask, or array_like (n_samples, n_features)

        Returns
        -------
        array, Series or DataFrame of Dask, or ndarray: (n_samples,), or (n_samples, n_outputs) for several outputs
        """
        if not self._is_partitioned(X):
            return super().predict(X)
        columns = None if self.n_outputs_ == 1 else list(range(self.n_outputs_))
        return _predictions.of(self.local(), "predict", X, self._result_dtype(X), columns)

    def score(self, X, y=None, sample_weight=None) -> float:
        """R^2 of the predictions for X, given the true y, computed at once.

        Parameters
        ----------
        X : array or DataFrame of Dask, or array_like (n_samples, n_features)
        y : array, Series or DataFrame of Dask, or array_like, optional
            As for `fit`.
        sample_weight : array or Series of Dask, or array_like (n_samples,), optional

        Returns
        -------
        float
        """
        if not self._is_partitioned(X):
            return super().score(X, y, sample_weight)
        return _predictions.score(self.local(), _predictions.r2, X, y, sample_weight)
