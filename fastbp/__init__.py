"""Fully connected neural networks trained by backpropagation in Numba kernels on the CPU.

The names below are looked up when first used, so that ``import fastbp`` costs a few milliseconds: Numba, scikit-learn and
matplotlib are imported by the modules that need them. Type checkers, and tools that gather the modules of a program to freeze it,
read the same names from imports that are never run. Activations, losses and update rules are listed in their modules only.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULES = {
    "estimators": "MLPClassifier MLPRegressor",
    "gradcheck": "GradientReport",
    "loading": "from_keras from_onnx from_torch load load_safetensors",
    "network": "Network",
    "networks": "Networks",
    "tabular": "TabularClassifier TabularRegressor",
    "engine.histories": "Histories",
    "engine.history": "History",
    "engine.regularization": "dropout_mask",
    "engine.supervisor": "DivergenceError",
    "engine.trainer": "Trainer",
    "engine.orders": "epoch_order",
    "files.checkpoint": "Checkpoint",
    "streams": "stream",
    "files.model_file": "ModelFormatError",
}
_SUBMODULES = [
    *("activations", "baseline", "callbacks", "dask", "embed", "estimators", "gradcheck", "initializers", "losses", "minimizers"),
    *("model_selection", "mpi", "optimizers", "plotting", "schedules", "streams", "tabular", "textbook"),
]
_HOME = {name: f"fastbp.{module}" for module, names in _MODULES.items() for name in names.split()}
_CLASSES = ("activations", "losses", "minimizers", "optimizers")  # whose ``__all__`` is public here, too


if TYPE_CHECKING:
    __version__: str
    from fastbp import activations as activations
    from fastbp import baseline as baseline
    from fastbp import callbacks as callbacks
    from fastbp import dask as dask
    from fastbp import embed as embed
    from fastbp import estimators as estimators
    from fastbp import gradcheck as gradcheck
    from fastbp import initializers as initializers
    from fastbp import losses as losses
    from fastbp import minimizers as minimizers
    from fastbp import model_selection as model_selection
    from fastbp import mpi as mpi
    from fastbp import optimizers as optimizers
    from fastbp import plotting as plotting
    from fastbp import schedules as schedules
    from fastbp import streams as streams
    from fastbp import tabular as tabular
    from fastbp import textbook as textbook
    from fastbp.activations import *  # noqa: F403
    from fastbp.engine.histories import Histories as Histories
    from fastbp.engine.history import History as History
    from fastbp.engine.orders import epoch_order as epoch_order
    from fastbp.engine.regularization import dropout_mask as dropout_mask
    from fastbp.engine.supervisor import DivergenceError as DivergenceError
    from fastbp.engine.trainer import Trainer as Trainer
    from fastbp.estimators import MLPClassifier as MLPClassifier
    from fastbp.estimators import MLPRegressor as MLPRegressor
    from fastbp.files.checkpoint import Checkpoint as Checkpoint
    from fastbp.files.model_file import ModelFormatError as ModelFormatError
    from fastbp.gradcheck import GradientReport as GradientReport
    from fastbp.loading import from_keras as from_keras
    from fastbp.loading import from_onnx as from_onnx
    from fastbp.loading import from_torch as from_torch
    from fastbp.loading import load as load
    from fastbp.loading import load_safetensors as load_safetensors
    from fastbp.losses import *  # noqa: F403
    from fastbp.minimizers import *  # noqa: F403
    from fastbp.network import Network as Network
    from fastbp.networks import Networks as Networks
    from fastbp.optimizers import *  # noqa: F403
    from fastbp.streams import stream as stream
    from fastbp.tabular import TabularClassifier as TabularClassifier
    from fastbp.tabular import TabularRegressor as TabularRegressor
else:

    @cache
    def _classes() -> dict[str, str]:
        """Public classes of the modules that list them, and where each is: read from their sources, for Numba takes its time."""
        return {name: f"fastbp.{module}" for module in _CLASSES for name in _listed(f"fastbp.{module}")}

    def _listed(module: str) -> list[str]:
        import ast
        from importlib.util import find_spec

        spec = find_spec(module)
        assert spec is not None
        source = getattr(spec.loader, "get_source", lambda _: None)(module)
        if source is None:  # a program that was frozen without it
            return list(import_module(module).__all__)
        assignments = (node for node in ast.parse(source).body if isinstance(node, ast.Assign))
        return list(next(ast.literal_eval(each.value) for each in assignments if ast.unparse(each.targets[0]) == "__all__"))

    @cache
    def _version() -> str:
        """The tag of the release, as the installed package has it."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("fastbp")
        except PackageNotFoundError:  # sources that are imported from where they lie
            return "0+unknown"

    def __getattr__(name: str) -> Any:
        if name in _SUBMODULES:
            return import_module(f"fastbp.{name}")
        if name == "__version__":
            return _version()
        if name == "__all__":
            return ["__version__", *_HOME, *_classes()]
        # to look for a name of no class, nothing is read
        home = _HOME.get(name) or (_classes().get(name) if name[:1].isupper() else None)
        if home is None:
            raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*(name for name in globals() if name.startswith("__")), *__getattr__("__all__"), *_SUBMODULES})
