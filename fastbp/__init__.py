"""Fully connected neural networks trained by backpropagation in Numba kernels on the CPU.

The names below are looked up when first used, so that ``import fastbp`` costs a few milliseconds: Numba, scikit-learn and
matplotlib are imported by the modules that need them. Type checkers, and tools that gather the modules of a program to freeze it,
read the same names from imports that are never run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastbp._version import __version__ as __version__

_MODULES = {
    "activations": "ELU Exp GELU HardSigmoid Identity LeakyReLU ReLU SELU SiLU Sigmoid Softmax Softplus Tanh",
    "estimators": "MLPClassifier MLPRegressor",
    "gradcheck": "GradientReport",
    "losses": "AbsoluteError BinaryCrossEntropy CrossEntropy Gamma Huber LogCosh Poisson Quantile SquaredError",
    "network": "Network load",
    "optimizers": "SGD Adam AdamW Momentum Nesterov RMSprop",
    "engine.history": "History",
    "engine.regularization": "dropout_mask",
    "engine.trainer": "DivergenceError",
    "engine.training": "epoch_order",
    "files.checkpoint": "ModelFormatError",
}
_SUBMODULES = [
    *("activations", "baseline", "estimators", "gradcheck", "initializers", "losses", "optimizers", "plotting", "schedules"),
    "textbook",
]
_HOME = {name: f"fastbp.{module}" for module, names in _MODULES.items() for name in names.split()}

__all__ = ["__version__", *_HOME]


if TYPE_CHECKING:
    from fastbp import activations as activations
    from fastbp import baseline as baseline
    from fastbp import estimators as estimators
    from fastbp import gradcheck as gradcheck
    from fastbp import initializers as initializers
    from fastbp import losses as losses
    from fastbp import optimizers as optimizers
    from fastbp import plotting as plotting
    from fastbp import schedules as schedules
    from fastbp import textbook as textbook
    from fastbp.activations import ELU as ELU
    from fastbp.activations import GELU as GELU
    from fastbp.activations import SELU as SELU
    from fastbp.activations import Exp as Exp
    from fastbp.activations import HardSigmoid as HardSigmoid
    from fastbp.activations import Identity as Identity
    from fastbp.activations import LeakyReLU as LeakyReLU
    from fastbp.activations import ReLU as ReLU
    from fastbp.activations import Sigmoid as Sigmoid
    from fastbp.activations import SiLU as SiLU
    from fastbp.activations import Softmax as Softmax
    from fastbp.activations import Softplus as Softplus
    from fastbp.activations import Tanh as Tanh
    from fastbp.engine.history import History as History
    from fastbp.engine.regularization import dropout_mask as dropout_mask
    from fastbp.engine.trainer import DivergenceError as DivergenceError
    from fastbp.engine.training import epoch_order as epoch_order
    from fastbp.estimators import MLPClassifier as MLPClassifier
    from fastbp.estimators import MLPRegressor as MLPRegressor
    from fastbp.files.checkpoint import ModelFormatError as ModelFormatError
    from fastbp.gradcheck import GradientReport as GradientReport
    from fastbp.losses import AbsoluteError as AbsoluteError
    from fastbp.losses import BinaryCrossEntropy as BinaryCrossEntropy
    from fastbp.losses import CrossEntropy as CrossEntropy
    from fastbp.losses import Gamma as Gamma
    from fastbp.losses import Huber as Huber
    from fastbp.losses import LogCosh as LogCosh
    from fastbp.losses import Poisson as Poisson
    from fastbp.losses import Quantile as Quantile
    from fastbp.losses import SquaredError as SquaredError
    from fastbp.network import Network as Network
    from fastbp.network import load as load
    from fastbp.optimizers import SGD as SGD
    from fastbp.optimizers import Adam as Adam
    from fastbp.optimizers import AdamW as AdamW
    from fastbp.optimizers import Momentum as Momentum
    from fastbp.optimizers import Nesterov as Nesterov
    from fastbp.optimizers import RMSprop as RMSprop
else:

    def __getattr__(name: str) -> Any:
        if name in _SUBMODULES:
            return import_module(f"fastbp.{name}")
        if name not in _HOME:
            raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
