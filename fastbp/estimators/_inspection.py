"""Looks into a fitted network: the activations of its hidden layers, and the slopes of its predictions."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from fastbp.engine import sparsity
from fastbp.estimators import _checks
from fastbp.network import Network

ROWS_TOGETHER = 512


class Inspection(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Methods of the estimators."""

    @property
    def _n_features_out(self):
        return sum(net.sizes[-2] for net in self._nets())

    def transform(self, X, layer=-1) -> np.ndarray:
        """Activations of a hidden layer: features that the network has learned (scikit-learn#9468).

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features)
        layer : int, default -1
            Which hidden layer; 0 is the first, -1 the last.

        Returns
        -------
        ndarray (n_samples, n_units)
            Those of several networks are beside each other.
        """
        nets, parts = self._nets_and_rows(X)
        count = len(nets[0].sizes) - 2
        if not -count <= layer < count:
            raise ValueError(f"layer must be one of the {count} hidden layers, got {layer}.")
        return np.concatenate([np.hstack([net.trace(rows).a[1:-1][layer] for net in nets]) for rows in parts])

    def input_gradient(self, X) -> np.ndarray:
        """Derivatives of the predictions with respect to the features (scikit-learn#27996).

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features)

        Returns
        -------
        ndarray
            Regressor: the slopes of ``predict``, (n_samples, n_features), or (n_samples, n_outputs, n_features) with several
            outputs. Classifier: those of ``predict_proba``, (n_samples, n_columns, n_features).
        """
        nets, parts = self._nets_and_rows(X)
        return sum(self._slopes_of(net, parts) for net in nets) / len(nets)

    def _nets_and_rows(self, X):
        self._require_fitted()
        nets = self._nets()
        rows, _ = _checks.rows(self, X, nets[0].dtype, nets[0].sizes[0])
        return nets, [sparsity.dense(rows[i : i + ROWS_TOGETHER]) for i in range(0, len(rows), ROWS_TOGETHER)]

    def _slopes_of(self, net, parts):
        # targets one below the raw outputs make the derivative of half the squared error 1
        linear = Network(net.sizes, net.hidden, dtype=net.dtype, weights=net.weights, biases=net.biases)
        return np.concatenate([self._slopes(_jacobian(linear, rows), net._outputs(rows)) for rows in parts])

    def _slopes(self, jacobian, outputs):
        """Chain rule through the output activation."""
        a = outputs[:, :, None]
        kind = self.out_activation_
        if kind == "softmax":
            return a * (jacobian - (a * jacobian).sum(axis=1, keepdims=True))
        if kind == "logistic":
            slopes = a * (1 - a) * jacobian
            return np.concatenate([-slopes, slopes], axis=1) if self.n_outputs_ == 1 else slopes
        slopes = a * jacobian if kind == "exp" else jacobian
        return slopes[:, 0] if slopes.shape[1] == 1 else slopes


def _jacobian(linear, rows):
    """Derivatives (N, n_out, n_in) of the raw outputs."""
    raw = linear._outputs(rows)
    result = np.empty((len(rows), raw.shape[1], rows.shape[1]), rows.dtype)
    for k in range(raw.shape[1]):
        targets = raw.copy()
        targets[:, k] -= 1
        result[:, k] = linear.trace(rows, targets).delta[0] @ linear.weights[0] * len(rows)
    return result
