"""Estimators of several networks: members that are trained together, and the mean of what they say."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastbp.engine import memory
from fastbp.engine.abreast import is_abreast
from fastbp.estimators import _checks, _parameters
from fastbp.estimators._base import MultilayerPerceptron
from fastbp.estimators._stochastic import warn_of_limit
from fastbp.estimators._streams import outputs_of
from fastbp.estimators._together import Samples, train
from fastbp.networks import GENERATOR_BYTES, Networks
from fastbp.streams import Source

MOST_OUTPUTS = 1 << 22  # numbers, of all networks for the rows that are predicted at a time
SEEDS = 2**31 - 1
KEPT = ("n_features_in_", "feature_names_in_", "classes_", "_label_binarizer", "n_outputs_", "n_layers_", "out_activation_")


class Ensemble(MultilayerPerceptron):
    """What the estimators do where `n_networks` is more than 1.

    `networks_` then holds the parameters, and there are no `coefs_` and `intercepts_`.
    """

    n_networks: int
    random_state: Any

    def __sklearn_is_fitted__(self):
        return "networks_" in self.__dict__ or super().__sklearn_is_fitted__()

    # --- fit -----------------------------------------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight=None, held_out=(None, None), init=(None, None), *args, **more):
        if self.n_networks == 1:
            super()._fit(X, y, sample_weight, held_out, init, *args, **more)
            for name in ("networks_", "histories_"):
                self.__dict__.pop(name, None)
            return self
        if isinstance(X, Source):
            raise ValueError(
                "n_networks above 1 needs arrays: the networks of an ensemble are trained together, on samples that stay."
            )
        self._refuse(init)
        with self._whose_turn():
            rng = check_random_state(self.random_state)
            drawn = rng.get_state(legacy=False)
            try:
                samples, fits = self._members(rng, X, y, sample_weight, held_out)
            except BaseException:
                rng.set_state(drawn)
                raise
            self._take(samples.estimator, fits)
        if not all(fit.is_told for fit in fits):
            warn_of_limit(self, stacklevel=5)
        return self

    def _refuse(self, init):
        """Raise for what the members of an ensemble do not have."""
        if self.warm_start:
            raise ValueError("warm_start=True needs n_networks=1: the networks of an ensemble begin anew with each fit.")
        if any(each is not None for each in init):
            raise ValueError(
                "coefs_init and intercepts_init need n_networks=1: the networks of an ensemble draw their first weights."
            )
        if getattr(self, "_skl_callbacks", None):
            raise ValueError("Callbacks need n_networks=1: the networks of an ensemble are trained together.")
        _parameters.check_finite(self)

    def _members(self, rng, X, y, sample_weight, held_out):
        """The samples, and the fits of all members, each what an estimator with its seed makes of them."""
        one = object.__new__(type(self))
        one.__dict__.update(self.get_params(deep=False), n_networks=1)
        samples = Samples(one, X, y, sample_weight, held_out)
        memory.check_room(f"n_networks={self.n_networks}", self.n_networks * (samples.net.params.nbytes + GENERATOR_BYTES))
        if self.early_stopping and samples.validation is None:  # on the same samples
            rows, samples.validation = samples.estimator._split(samples.data, rng)
            samples.data = samples.data.part(rows)
        seeds = rng.randint(SEEDS, size=self.n_networks).tolist()
        fits = [samples.fit_of({"random_state": seed}) for seed in seeds]
        train(fits)
        for fit in fits:
            if not fit.is_done:
                fit.alone()
                if fit.estimator.history_.stopped_by == "interrupt":  # of an estimator, that ends in a warning
                    raise KeyboardInterrupt
        return samples, fits

    def _take(self, one, fits):
        """Become what the members are, one of which has what they have in common."""
        own, members = self.__dict__, [fit.estimator for fit in fits]
        for name in [name for name in own if name.endswith("_") or name in ("_network", "_views", "_optimizer", "_best_params")]:
            del own[name]
        own.update((name, vars(one)[name]) for name in KEPT if name in vars(one))
        networks = Networks(len(fits), **fits[0].net._settings(), rng=[member.random_state for member in members])
        for row, fit in zip(networks.params, fits, strict=True):
            row[:] = fit.net.params
        self.networks_, self.histories_ = networks, [member.history_ for member in members]
        self.n_iter_ = max(member.n_iter_ for member in members)
        self.loss_ = float(np.mean([member.loss_ for member in members]))

    # --- predictions ---------------------------------------------------------------------------------------------------------

    def _nets(self):
        return list(self.networks_) if "networks_" in self.__dict__ else super()._nets()

    def _outputs(self, X) -> np.ndarray:
        if "networks_" not in self.__dict__:
            return super()._outputs(X)
        # in the order of the networks, whatever NumPy would do: a row's result does not depend on the others
        return self._of_members(X, lambda outputs: reduce(np.add, outputs) / len(outputs))

    def _of_members(self, X, summary: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """A summary (n_samples, ...) of the members' outputs (n_networks, n_samples, n_outputs)."""
        check_is_fitted(self)
        if isinstance(X, Source):
            return outputs_of(self, X, lambda one, rows: one._of_members(rows, summary))
        nets = self.networks_
        net = nets[0]
        rows, dtype = _checks.rows(self, X, net.dtype, net.sizes[0])
        most = max(1, MOST_OUTPUTS // (len(nets) * net.sizes[-1]))
        parts = [rows[first : first + most] for first in range(0, len(rows), most)]
        together = type(rows) is np.ndarray and is_abreast(net, min(most, len(rows)))
        outputs = (
            nets(part, self.n_threads) if together else np.stack([each._outputs(part, self.n_threads) for each in nets])
            for part in parts
        )
        return np.concatenate([summary(each.astype(dtype, copy=False)) for each in outputs])


def is_ensemble(estimator) -> bool:
    """Whether there are several networks; else what needs them is not there."""
    if "networks_" not in vars(estimator) and estimator.n_networks == 1:
        raise AttributeError("predict_std and predict_quantiles need several networks: set n_networks, 10 for a start, and fit.")
    return True


def quantiles(q) -> Callable[[np.ndarray], np.ndarray]:
    """The summary that is quantiles over the members, in the last dimension if there are several."""
    try:
        found = np.asarray(q, np.float64)
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if found.ndim > 1 or not found.size or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"q must be a number from 0 to 1, or a list of them, got {q!r}")
    return lambda outputs: (
        np.moveaxis(np.quantile(outputs, found, axis=0), 0, -1) if found.ndim else np.quantile(outputs, found, axis=0)
    )


def standard_deviation(outputs) -> np.ndarray:
    """That summary."""
    return np.std(outputs, axis=0)
