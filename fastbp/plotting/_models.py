"""What pictures ask of a model: a network, or an estimator with scikit-learn's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastbp.network import Network

Array = NDArray[Any]


def is_network(model: Any) -> bool:
    """Whether it is a `fastbp.Network`."""
    from fastbp.network import Network

    return isinstance(model, Network)


def network_of(model: Any) -> Network:
    """The network, or that of an estimator of this package."""
    from fastbp.estimators import MLPClassifier, MLPRegressor

    if isinstance(model, MLPClassifier | MLPRegressor):
        if model.n_networks > 1:
            raise TypeError(f"{type(model).__name__} has {model.n_networks} networks: give one of them, e.g. networks_[0]")
        model._require_fitted()
        model = model._net()
    if not is_network(model):
        raise TypeError(f"net must be a Network, or an MLPClassifier or MLPRegressor of fastbp, got {type(model).__name__}")
    net: Network = model
    return net


def classes_of(model: Any) -> Array:
    """The classes that it tells apart, in the order of its outputs."""
    if is_network(model):
        return np.arange(max(2, model.sizes[-1]))
    if not hasattr(model, "classes_"):
        raise TypeError(f"model must be a Network, or a classifier that is fitted, got {type(model).__name__} without classes_")
    return np.asarray(model.classes_)


def chances_of(model: Any, X: Any) -> Array:
    """Probabilities (n_samples, n_classes): of a network its outputs, of a classifier without probabilities 0 and 1."""
    if is_network(model):
        outputs = np.clip(model(X), 0.0, 1.0).astype(np.float64)
        return outputs if outputs.shape[1] > 1 else np.concatenate([1.0 - outputs, outputs], axis=1)
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(X), np.float64)
    return np.asarray(np.asarray(model.predict(X))[:, None] == classes_of(model), np.float64)


def labels_of(y: Any) -> Array:
    """Classes (n_samples,), given as they are, as a column, or as rows of probabilities."""
    labels = np.asarray(y)
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    return labels


def checked(model: Any, X: Any, y: Any) -> tuple[Array, Array]:
    """Classes of the model, and of the samples."""
    classes, labels = classes_of(model), labels_of(y)
    if len(classes) < 2:
        raise ValueError(f"model must tell two classes apart at least, got the classes {classes.tolist()}")
    if labels.ndim != 1 or len(labels) == 0 or len(labels) != (X.shape[0] if hasattr(X, "shape") else len(X)):
        raise ValueError(f"X and y must have as many rows, at least one, got shapes {np.shape(X)} and {np.shape(y)}")
    if strange := sorted(set(labels.tolist()) - set(classes.tolist()), key=str):
        raise ValueError(f"y must be of the classes {classes.tolist()}, got {strange[0]!r}")
    return classes, labels
