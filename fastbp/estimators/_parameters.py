"""The parameters that classifier and regressor share: what values they may have, and what they mean to the kernels."""

from inspect import signature
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils import _param_validation
from sklearn.utils._param_validation import Options, StrOptions

from fastbp import activations, minimizers, optimizers, schedules
from fastbp.engine import memory, regularization, validation

# the parameters of the estimators that are arguments of update rules under another name
ARGUMENTS = {"learning_rate": "learning_rate_init", "rho": "beta_2", "weight_decay": "alpha"}
SGD_SCHEDULES = ("constant", "invscaling", "adaptive")  # scikit-learn's, of which the other solvers take no notice


class Interval(_param_validation.Interval):
    """An interval of numbers only: True is none, and fractions and the like are none that NumPy knows."""

    def is_satisfied_by(self, val):
        """Whether `val` is a number in the interval."""
        is_number = isinstance(val, int | float | np.number) and not isinstance(val, bool)
        return is_number and super().is_satisfied_by(val)


class Names(StrOptions):
    """Names that `listed()` gives when it is asked, so that classes which a user registers count too."""

    def __init__(self, listed):
        self.listed = listed
        super().__init__(set(listed()))

    def is_satisfied_by(self, val):
        """Whether `val` is one of the names there are now."""
        self.options = set(self.listed())
        return super().is_satisfied_by(val)


CONSTRAINTS: dict = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [Names(lambda: ["logistic", *activations.ACTIVATIONS.names]), activations.Activation, list, tuple],
    "solver": [Names(lambda: [*minimizers.MINIMIZERS.names, *optimizers.OPTIMIZERS.names])],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [Names(lambda: [*SGD_SCHEDULES, *schedules.SCHEDULES.names]), schedules.Schedule],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dtype": [StrOptions({"float32", "float64"}), type, np.dtype, None],
    "scoring": [StrOptions(set(get_scorer_names())), callable, None],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    "l1": [Interval(Real, 0, None, closed="left")],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "clip_value": [Interval(Real, 0, None, closed="neither"), None],
    "max_norm": [Interval(Real, 0, None, closed="neither"), None],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple, np.ndarray],
    "input_dropout": [Interval(Real, 0, 1, closed="left")],
    "n_networks": [Interval(Integral, 1, None, closed="left")],
}
REGULARIZATION = ("l1", "clip_norm", "clip_value", "max_norm", "dropout", "input_dropout")


def precision(value) -> np.dtype:
    """``dtype`` as one of the two precisions."""
    if np.dtype(value) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be None, 'float32' or 'float64', got {value!r}.")
    return np.dtype(value)


def hidden_sizes(value) -> list[int]:
    """``hidden_layer_sizes`` as a list."""
    sizes = list(value) if hasattr(value, "__iter__") and np.shape(value) != () else [value]
    for size in sizes:
        if isinstance(size, bool | np.bool_) or not isinstance(size, Integral):
            raise ValueError(f"hidden_layer_sizes must hold integers, got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def check_finite(estimator) -> None:
    """Raise for what no float holds, which scikit-learn's intervals without an end let through; `tol` may be infinite."""
    for name in ("alpha", "learning_rate_init", "power_t", "epsilon", "tol"):
        value = getattr(estimator, name)
        if not (type(value) is float and (value < np.inf or name == "tol")):
            validation.real(name, value)


def check_room(sizes, dtype) -> None:
    """Raise for a network that no memory holds, before its weights are drawn."""
    count = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    memory.check_room(f"hidden_layer_sizes={sizes[1:-1]}", count * np.dtype(dtype).itemsize)


def hidden_activations(value, count: int) -> list[activations.Activation]:
    """``activation`` as one instance a hidden layer."""
    if isinstance(value, list | tuple):
        if len(value) != count:
            raise ValueError(f"activation must name one function for each of the {count} hidden layers, got {len(value)}.")
        return [_activation(item, f"activation[{i}]") for i, item in enumerate(value)]
    return [_activation(value, "activation")] * count


def _activation(value, argument: str) -> activations.Activation:
    return activations.get("sigmoid" if isinstance(value, str) and value == "logistic" else value, argument)


def gain(activation: str, layer: int, n_hidden: int) -> float:
    """The 6 of Glorot's bound sqrt(6 / (fan_in + fan_out)), or 2 for the logistic function: scikit-learn's rule for a layer."""
    if isinstance(activation, list | tuple):
        if not activation:
            return 6.0
        activation = activation[min(layer, n_hidden - 1)]
    name = activation if isinstance(activation, str) else activation.name
    return 2.0 if name in ("logistic", "sigmoid") else 6.0


def schedule(estimator) -> schedules.Schedule | None:
    """The schedule that ``learning_rate`` means, if it is not one of scikit-learn's."""
    value = estimator.learning_rate
    return None if isinstance(value, str) and value in SGD_SCHEDULES else schedules.get(value, "learning_rate")


def regularization_of(estimator, n_hidden: int) -> regularization.Regularization:
    """What is done to training beyond loss, `alpha` and rule; an error names the parameter at fault."""
    extra = regularization.checked(n_hidden, *(getattr(estimator, name) for name in REGULARIZATION))
    is_scheduled = schedule(estimator) is not None
    if takes_all(estimator) and (is_scheduled or extra != regularization.NOTHING):
        at_fault = [name for name in REGULARIZATION if np.any(getattr(estimator, name))]
        name = "learning_rate" if is_scheduled else at_fault[0]
        raise ValueError(
            f"{name}={getattr(estimator, name)!r} needs a solver that takes mini-batches"
            f" ({', '.join(optimizers.OPTIMIZERS.names)}), not {estimator.solver!r}."
        )
    return extra


def takes_all(estimator) -> bool:
    """Whether ``solver`` takes all samples at once: one of `fastbp.minimizers`."""
    return estimator.solver in minimizers.MINIMIZERS.names


def update_rule(estimator) -> optimizers.Optimizer:
    """The rule that ``solver`` means, "sgd" being the one with the momentum asked for; parameters are its arguments by name."""
    rule = type(optimizers.get(estimator.solver))
    if estimator.solver == "sgd" and estimator.momentum != 0:
        rule = optimizers.Nesterov if estimator.nesterovs_momentum else optimizers.Momentum
    arguments = {name: ARGUMENTS.get(name, name) for name in signature(rule).parameters}
    given = {name: getattr(estimator, parameter) for name, parameter in arguments.items() if hasattr(estimator, parameter)}
    # scikit-learn's Adam has the paper's other epsilon
    return rule(**given, **{name: True for name in ("epsilon_hat",) if name in arguments})
