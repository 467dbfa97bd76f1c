"""The library `onnx`, which is imported when a graph is written or read."""

from typing import Any


def library(caller: str) -> Any:
    """The library, or an error that says what needs it and how to install it.

    Parameters
    ----------
    caller : str
        What users call.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"{caller} needs onnx: pip install 'fastbp[exports]'") from error
    return onnx
