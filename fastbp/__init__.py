"""Fully connected neural networks trained by backpropagation in Numba kernels on the CPU.

The names below are looked up when first used, so that ``import fastbp`` costs a few milliseconds: Numba, scikit-learn and
matplotlib are imported by the modules that need them. Type checkers read the same names from ``__init__.pyi``.
"""

from importlib import import_module
from typing import Any

from fastbp._version import __version__

_MODULES = {
    "activations": "ELU Exp GELU HardSigmoid Identity LeakyReLU ReLU SELU SiLU Sigmoid Softmax Softplus Tanh",
    "estimators": "MLPClassifier MLPRegressor",
    "checkpoint": "ModelFormatError load",
    "gradcheck": "GradientReport",
    "losses": "AbsoluteError BinaryCrossEntropy CrossEntropy Gamma Huber LogCosh Poisson Quantile SquaredError",
    "network": "Network",
    "optimizers": "SGD Adam AdamW Momentum Nesterov RMSprop",
    "training": "DivergenceError History",
}
_HOME = {name: f"fastbp.{module}" for module, names in _MODULES.items() for name in names.split()}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
