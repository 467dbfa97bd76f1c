"""From ONNX files to the arguments of networks."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np

from fastbp import losses
from fastbp.exports.assembly import loss_and_output
from fastbp.exports.onnx.chain import Chain
from fastbp.exports.onnx.functions import CALLER
from fastbp.exports.onnx.opened import Opened
from fastbp.exports.onnx.writing import LOSS
from fastbp.extras import require
from fastbp.files.model_file import ModelFormatError


def arguments(path: Any, loss: Any, dtype: Any) -> dict[str, Any]:
    """Those of a network; see `fastbp.from_onnx`."""
    given = None if loss is None else losses.get(loss)
    opened = Opened(require("onnx", CALLER), path)
    chain = Chain(opened)
    *hidden, last = chain.functions
    chosen, output = loss_and_output(last, given or _noted_loss(opened, last))
    kind = np.dtype("float64" if chain.is_double else "float32") if dtype is None else dtype
    return {
        "sizes": [chain.weights[0].shape[1], *(len(each) for each in chain.weights)],
        "hidden": hidden,
        "loss": chosen,
        "output": output,
        "dtype": kind,
        "input_scale": chain.input_scale,
        "weights": chain.weights,
        "biases": chain.biases,
    }


def _noted_loss(opened: Opened, last: Any) -> Any:
    """The loss that `to_onnx` has noted, if it is one that is known here, and of such outputs; else None."""
    for each in opened.model.metadata_props:
        if each.key == LOSS:
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                note = json.loads(each.value)
                found = type(losses.get(str(note["name"])))(**note["parameters"])
                if found.link == last.name or (found.link is None and last.name != "softmax"):
                    return found
    return None


def cannot_be_built(path: Any, error: Exception) -> ModelFormatError:
    """What to raise where numbers of a file make no network."""
    name = "the graph" if isinstance(path, bytes | bytearray | memoryview) else str(path)
    return ModelFormatError(f"{name} describes a network that cannot be built: {error}")
