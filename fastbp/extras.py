"""Libraries that only some things need: imported when those are asked for; one sentence says what to install where they miss."""

from importlib import import_module
from typing import Any

EXTRAS = {  # of the package, which bring them
    "dask": "dask",
    "matplotlib": "plot",
    "mlflow": "mlflow",
    "mpi4py": "mpi",
    "onnx": "exports",
    "optuna": "optuna",
    "pandas": "data",
    "pyarrow": "data",
    "safetensors": "exports",
    "skops": "tables",
    "skrub": "tables",
    "tensorboardX": "tensorboard",
    "tqdm": "cli",
}


def require(module: str, what: str) -> Any:
    """A module of a library of `EXTRAS`.

    Raises
    ------
    ImportError
        Saying that `what` needs it, and how it is installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ImportError(f"{what} needs {library}: python -m pip install 'fastbp[{EXTRAS[library]}]'") from error
