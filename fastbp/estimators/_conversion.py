"""From scikit-learn's fitted estimators to ours and back."""

from copy import deepcopy
from typing import Any

import numpy as np
from sklearn import neural_network

from fastbp.estimators._parameters import SGD_SCHEDULES

FITTED = (
    "classes_",
    "n_features_in_",
    "feature_names_in_",
    "n_outputs_",
    "n_layers_",
    "out_activation_",
    "n_iter_",
    "t_",
    "loss_",
    "best_loss_",
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
    "_label_binarizer",
    "_no_improvement_count",
)
ACTIVATIONS = {"identity": "identity", "logistic": "logistic", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}


class Conversion:
    """Methods of the estimators; the name of their counterpart in scikit-learn is set by each."""

    _counterpart: str

    @classmethod
    def from_sklearn(cls, model: Any) -> Any:
        """An estimator with the parameters, and if it is fitted the weights and history, of scikit-learn's.

        Parameters
        ----------
        model : sklearn.neural_network.MLPClassifier or MLPRegressor

        Returns
        -------
        MLPClassifier or MLPRegressor
            Arrays are copied. The state of the optimiser is not: `partial_fit` starts it anew.
        """
        if not isinstance(model, getattr(neural_network, cls._counterpart)):
            raise TypeError(f"model must be an sklearn.neural_network.{cls._counterpart}, got {type(model).__name__}.")
        estimator = cls(**model.get_params(deep=False))
        _copy_fitted(model, estimator)
        return estimator

    def to_sklearn(self) -> Any:
        """scikit-learn's estimator with the same parameters, and if this one is fitted the same weights and history.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            Arrays are copied. What scikit-learn has no parameter for is left out: it may train otherwise, but predicts the same.

        Raises
        ------
        ValueError
            For an activation, or an output activation, that scikit-learn does not have, and for several networks.
        """
        if self.n_networks > 1:  # type: ignore[attr-defined]
            raise ValueError("scikit-learn has no ensembles of networks in one estimator; n_networks=1 has a counterpart there.")
        target = getattr(neural_network, self._counterpart)
        known = target().get_params()
        parameters = {name: value for name, value in self.get_params(deep=False).items() if name in known}  # type: ignore[attr-defined]
        activation = self.activation  # type: ignore[attr-defined]
        names: set[Any] = {
            getattr(item, "name", item) for item in (activation if isinstance(activation, list | tuple) else [activation])
        }
        if len(names) > 1 or not names <= set(ACTIVATIONS):
            raise ValueError(f"scikit-learn has no network with activation={activation!r}.")
        parameters["activation"] = ACTIVATIONS[names.pop()] if names else "relu"
        if parameters["solver"] not in ("lbfgs", "sgd", "adam"):
            parameters["solver"] = "adam"
        if parameters["learning_rate"] not in SGD_SCHEDULES:
            parameters["learning_rate"] = "constant"
        if "loss" in parameters and parameters["loss"] not in ("squared_error", "poisson"):
            parameters["loss"] = {"identity": "squared_error", "exp": "poisson"}[self._out_activation()]  # type: ignore[attr-defined]
        model = target(**parameters)
        _copy_fitted(self, model)
        return model


def _copy_fitted(source, target):
    if not hasattr(source, "coefs_"):
        return
    for name in FITTED:
        if hasattr(source, name):
            setattr(target, name, deepcopy(getattr(source, name)))
    for name in ("coefs_", "intercepts_"):
        setattr(target, name, [np.array(array, order="C") for array in getattr(source, name)])
