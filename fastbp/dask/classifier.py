"""`MLPClassifier` on collections of Dask."""

from functools import reduce
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight

from fastbp.dask import _predictions
from fastbp.dask._base import CONSTRAINTS, OnPartitions, documented
from fastbp.dask._table import Shape, Table
from fastbp.estimators import MLPClassifier as Plain
from fastbp.estimators import _checks, _labels

NUMBERS = "biuf"


@documented
class MLPClassifier(OnPartitions, Plain):
    """`fastbp.MLPClassifier` on arrays and DataFrames of Dask.

    What a fit gives depends on the partitions and `random_state`, and not on the workers, their threads, or which of them are lost
    meanwhile. `predict` and `predict_proba` of a collection are collections, too, and computed when they are asked for; of an array
    they are arrays.
    `n_threads` is of a task, and 1 by default: Dask computes as many tasks at a time as its workers have threads. No ensembles, and
    no part of the samples is set aside for early stopping: that takes `X_val` and `y_val`.

    See Also
    --------
    fastbp.MLPClassifier : The same on arrays, which `local` gives.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastbp.dask import MLPClassifier
    >>> X = da.random.default_rng(0).normal(size=(2000, 3), chunks=(500, -1)).persist()
    >>> y = (X.sum(axis=1) > 0).astype(int)
    >>> model = MLPClassifier((16,), solver="lbfgs", max_iter=50, random_state=0).fit(X, y)
    >>> model.predict_proba(X).chunks
    ((500, 500, 500, 500), (2,))
    >>> model.score(X, y) > 0.95
    True
    """

    _plain = Plain
    _parameter_constraints = Plain._parameter_constraints | CONSTRAINTS

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, classes=None, X_val=None, y_val=None, coefs_init=None, intercepts_init=None):
        """Train on X and y.

        Parameters
        ----------
        X : array or DataFrame of Dask (n_samples, n_features)
            The number of rows of its partitions need not be known.
        y : array, Series or DataFrame of Dask
            Class labels (n_samples,), or (n_samples, n_classes) of 0 and 1 for sets of labels, in partitions of the same rows, as
            the following.
        sample_weight : array or Series of Dask (n_samples,), optional
            Not negative, not all zero.
        classes : array_like (n_classes,), optional
            All classes there may be; by default those that there are.
        X_val, y_val : array_like, optional
            Validation data in memory, as of `fastbp.MLPClassifier.fit`.
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
        return self._fit_partitions(X, y, sample_weight, (X_val, y_val), (coefs_init, intercepts_init), classes)

    def _encode(self, targets, is_known):
        if not isinstance(targets, Table):
            return super()._encode(targets, is_known)
        is_new = not hasattr(self, "classes_") or not self.warm_start
        if targets.n_targets:
            if self._given_classes is not None:
                raise ValueError("classes must be left out for sets of labels: they are the columns of y")
            found = np.zeros((2, targets.n_targets), np.int64)
            found[1] = 1
        else:
            found = self._classes_of(targets)
        if is_new:
            # twice, as scikit-learn warns of labels that are all different
            self._label_binarizer = LabelBinarizer().fit(np.concatenate([found, found]))
            self.classes_ = self._label_binarizer.classes_
        elif not targets.n_targets:
            _labels.check_known(found, self.classes_, True)
        n_classes = len(self.classes_)
        return Shape((targets.shape[0], targets.n_targets or (1 if n_classes <= 2 else n_classes)))

    def _classes_of(self, table):
        """All classes: those that are given, or else those of all partitions."""
        first = table.facts[0].labels
        for place, each in zip(table.places, table.facts, strict=True):
            if (each.labels.dtype.kind in NUMBERS) != (first.dtype.kind in NUMBERS):
                raise ValueError(
                    f"{place} has labels as {each.labels[:2].tolist()} in y, but they are as {first[:2].tolist()} before"
                )
        if self._given_classes is None:
            return reduce(np.union1d, [each.labels for each in table.facts])
        _checks.refuse_odd_labels("classes", self._given_classes)
        given = np.asarray(self._given_classes)
        if given.ndim != 1:
            raise ValueError(f"classes must be a list of all labels, got {self._given_classes!r}")
        given = np.unique(check_array(given, dtype=None, ensure_2d=False, input_name="classes"))
        for place, each in zip(table.places, table.facts, strict=True):
            others = np.setdiff1d(each.labels, given)
            if len(others):
                raise ValueError(f"{place} has labels {others[:5].tolist()} in y that are not among classes={given.tolist()}")
        return given

    def _weigh_classes(self, targets, sample_weight, incremental):
        if not isinstance(targets, Table):
            return super()._weigh_classes(targets, sample_weight, incremental)
        _checks.class_weight(self.class_weight)
        if self.class_weight is not None and targets.n_targets:
            raise ValueError("class_weight needs one label a sample on collections of Dask")
        return None

    def _encoder(self, table):
        weight = self.class_weight
        if isinstance(weight, str):  # "balanced"
            counts = dict.fromkeys(self.classes_.tolist(), 0)
            for each in table.facts:
                for label, count in zip(each.labels.tolist(), each.counts.tolist(), strict=True):
                    counts[label] += count
            present = {label: count for label, count in counts.items() if count}
            weight = {label: sum(counts.values()) / (len(present) * count) for label, count in present.items()}
        elif weight is not None:
            compute_class_weight(weight, classes=self.classes_, y=self.classes_)  # raises for labels that there are not
        known = {"_label_binarizer": self._label_binarizer, "classes_": self.classes_, "warm_start": False, "class_weight": weight}
        return self._model(known)

    def predict(self, X) -> Any:
        """The likeliest classes.

        Parameters
        ----------
        X : array or DataFrame of Dask, or array_like (n_samples, n_features)

        Returns
        -------
        array, Series or DataFrame of Dask, or ndarray: (n_samples,), or (n_samples, n_classes) of 0 and 1 for sets of labels
        """
        if not self._is_partitioned(X):
            return super().predict(X)
        is_sets = self._label_binarizer.y_type_ == "multilabel-indicator"
        return _predictions.of(self.local(), "predict", X, self.classes_.dtype, self.classes_.tolist() if is_sets else None)

    def predict_proba(self, X) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array or DataFrame of Dask, or array_like (n_samples, n_features)

        Returns
        -------
        array or DataFrame of Dask, or ndarray: (n_samples, n_classes)
            Columns in the order of `classes_`, which those of a DataFrame are called.
        """
        if not self._is_partitioned(X):
            return super().predict_proba(X)
        return _predictions.of(self.local(), "predict_proba", X, self._result_dtype(X), self.classes_.tolist())

    def predict_log_proba(self, X) -> Any:
        """Logarithms of `predict_proba`.

        Parameters
        ----------
        X : array or DataFrame of Dask, or array_like (n_samples, n_features)

        Returns
        -------
        array or DataFrame of Dask, or ndarray: (n_samples, n_classes)
        """
        if not self._is_partitioned(X):
            return super().predict_log_proba(X)
        return _predictions.of(self.local(), "predict_log_proba", X, self._result_dtype(X), self.classes_.tolist())

    def score(self, X, y=None, sample_weight=None) -> float:
        """Accuracy of the predictions for X, given the true y, computed at once.

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
        return _predictions.score(self.local(), _predictions.accuracy, X, y, sample_weight)
