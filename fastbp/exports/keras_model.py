"""Models of Keras 3 as networks, read by what their layers say of themselves; Keras itself is not imported."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from fastbp import activations, losses
from fastbp.exports.assembly import Assembly
from fastbp.exports.parts import Array

# by their names in Keras
ACTIVATIONS: dict[str, Any] = {
    **{name: activations.get(name) for name in ("relu", "sigmoid", "tanh", "elu", "selu", "softplus", "silu", "gelu", "mish")},
    "linear": activations.Identity(),
    "exponential": activations.Exp(),
    "leaky_relu": activations.LeakyReLU(0.2),
    "swish": activations.SiLU(),
    "hard_sigmoid": activations.HardSigmoid(),
    "softmax": activations.Softmax(),
}
LIBRARIES = "keras", "tf_keras", "tensorflow"
LEFT_OUT = "InputLayer", "Identity", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization"
LOSSES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "logcosh": "log_cosh",
    "sparse_categorical_crossentropy": "categorical_crossentropy",
}


def arguments(model: Any, loss: Any) -> dict[str, Any]:
    """Arguments of the network that a model is; see `fastbp.from_keras`."""
    if not (hasattr(model, "layers") and hasattr(model, "get_config")):
        raise TypeError(f"model must be a model of Keras, with layers and get_config, got {model!r}")
    assembly = Assembly("from_keras")
    for layer in _leaves(assembly, model):
        _read(assembly, layer)
    return assembly.arguments(loss, partial(_compiled_loss, getattr(model, "loss", None)))


def _leaves(assembly: Assembly, model: Any) -> Iterator[Any]:
    """Layers in their order, those of models inside, too; a model must be one chain."""
    name = getattr(model, "name", "")
    _check_call(assembly, model, f"model {name!r} ({type(model).__name__})")
    for kind in ("inputs", "outputs"):
        count = len(getattr(model, kind, None) or [])
        if count > 1:
            raise assembly.refusal(f"model {name!r}", f"has {count} {kind}, and a network has one row of them")
    for each in model.get_config().get("layers", []):
        if len(each.get("inbound_nodes", [])) > 1:
            raise assembly.refusal(f"layer {each['config']['name']!r}", "is used more than once")
    for each in getattr(model, "operations", ()):  # of a functional model
        if not any(each is layer for layer in model.layers):
            raise assembly.refusal(f"model {name!r}", f"computes {each.name!r} between its layers, which is none of them")
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(assembly, layer)
        else:
            yield layer


def _check_call(assembly: Assembly, layer: Any, where: str) -> None:
    """Raise for a model or a layer that computes what a program says, and not its class in Keras."""
    are_own = [
        str(getattr(vars(cls)[name], "__module__", "")).partition(".")[0] not in LIBRARIES
        for name in ("call", "__call__")
        for cls in [next((each for each in type(layer).__mro__ if name in vars(each)), None)]
        if cls is not None
    ]
    if any(are_own) or "call" in vars(layer):
        raise assembly.refusal(where, "has a call of its own, which may compute something else")


def _read(assembly: Assembly, layer: Any) -> None:
    """Put one layer into the network."""
    kind, config = type(layer).__name__, layer.get_config()
    where = f"layer {config.get('name', '')!r} ({kind})"
    _check_call(assembly, layer, where)
    if kind in LEFT_OUT:
        return
    if kind == "Dense":
        assembly.layer(*_arrays(assembly, layer, where), where)
        function = _activation(assembly, layer, config.get("activation"), where)
        if function.name != "identity":
            assembly.activation(function, where)
    elif kind == "Flatten":
        if config.get("data_format") == "channels_first":
            raise assembly.refusal(where, "changes the order of its inputs: it must be of channels_last")
    elif kind == "Rescaling":
        if np.any(config["offset"]):
            raise assembly.refusal(where, "adds an offset; a network has an input_scale only")
        assembly.scale(config["scale"], where)
    else:
        function = _activation(assembly, layer, {"class_name": kind, "config": config}, where)
        if function.name != "identity":
            assembly.activation(function, where)


def _arrays(assembly: Assembly, layer: Any, where: str) -> tuple[Array, Array | None]:
    arrays = [np.array(each) for each in layer.get_weights()]
    if not 1 <= len(arrays) <= 2:
        raise assembly.refusal(where, f"has {len(arrays)} arrays, not weights and biases: is the model built, and not quantised?")
    return arrays[0].T, arrays[1] if len(arrays) == 2 else None


def _activation(assembly: Assembly, layer: Any, described: Any, where: str) -> Any:
    """The activation of a layer as its configuration has it: a name, or a class and its configuration."""
    if described is None:
        return activations.Identity()
    if isinstance(described, str):
        if described == "hard_sigmoid" and _major_version(layer) < 3:
            raise assembly.refusal(where, "has the hard_sigmoid of Keras 2, whose slope is 1/5 instead of 1/6")
        if described in ACTIVATIONS:
            return ACTIVATIONS[described]
    elif isinstance(described, dict) and isinstance(described.get("config"), dict):
        kind, config = described.get("class_name"), described["config"]
        if kind == "Activation":
            return _activation(assembly, layer, config.get("activation"), where)
        if kind == "ELU":
            return assembly.elu(config["alpha"], where)
        if kind == "LeakyReLU":
            return assembly.rectifier(config.get("negative_slope", config.get("alpha")), where)
        if kind == "ReLU" and config.get("max_value") is None and not config.get("threshold"):
            return assembly.rectifier(config.get("negative_slope"), where)
        if kind == "Softmax" and config.get("axis", -1) == -1:
            return activations.Softmax()
    raise assembly.refusal(
        where,
        "is none of what a network is made of: Dense, Activation, activations that fastbp has, Rescaling in front; InputLayer, "
        "Flatten and Dropout are left out",
    )


def _major_version(layer: Any) -> int:
    library = sys.modules.get(type(layer).__module__.partition(".")[0])
    found = re.match("[0-9]+", getattr(library, "__version__", "3"))
    return int(found[0]) if found else 3


def _compiled_loss(loss: Any, last: Any) -> Any:
    """The loss that a model was compiled with, if it is one of fastbp's for such outputs, else None."""
    if loss is None or isinstance(loss, list | tuple | dict):
        return None
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    config = {**getattr(loss, "_fn_kwargs", {}), **config}  # Huber does not tell its delta otherwise
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    name = LOSSES.get(name, name)
    is_raw, smoothing = bool(config.get("from_logits", False)), float(config.get("label_smoothing", 0.0))
    found: Any = {
        "mean_squared_error": partial(losses.SquaredError, "mean"),
        "mean_absolute_error": losses.AbsoluteError,
        "huber": partial(losses.Huber, float(config.get("delta", 1.0))),
        "log_cosh": losses.LogCosh,
        "categorical_crossentropy": partial(losses.CrossEntropy, smoothing),
        "binary_crossentropy": partial(losses.BinaryCrossEntropy, smoothing),
        "poisson": losses.Poisson,
    }.get(name)
    if found is None:
        return None
    try:
        function = found()
    except (TypeError, ValueError):  # of numbers that ours does not take
        return None
    fits = last.name != "softmax" if function.link is None else last.name == ("identity" if is_raw else function.link)
    return function if fits else None
