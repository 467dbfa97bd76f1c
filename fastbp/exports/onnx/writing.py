"""From networks to ONNX files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp import __version__, storage
from fastbp.engine import validation
from fastbp.exports.onnx.activations import of
from fastbp.exports.onnx.graph import Graph
from fastbp.exports.parts import checked_path, refuse_more_than_layers
from fastbp.extras import require
from fastbp.files import model_file

INPUT, OUTPUT = "X", "Y"
ROWS = "N"  # their number, which is any
LOSS = "fastbp.loss"  # key of the metadata
LARGEST = (1 << 31) - (1 << 20)  # bytes of parameters: a message of protobuf ends at 2 GiB, with its nodes


def write(net: Any, path: Any, input_dtype: Any) -> None:
    """Write a network to a file; see `fastbp.Network.to_onnx`.

    Parameters
    ----------
    net : Network
    path : str or path
    input_dtype : dtype, optional
    """
    caller = "to_onnx"
    path = checked_path(path)
    refuse_more_than_layers(net, caller)
    dtype = dtype_of_inputs(input_dtype, net.dtype)
    check_size([net])
    onnx = require("onnx", caller)
    graph = Graph(net.dtype)
    outputs = layers(graph, net, graph.cast(INPUT, dtype, net.dtype, onnx), caller, OUTPUT)
    model = graph.model(
        onnx, {INPUT: (dtype, [ROWS, net.sizes[0]])}, {outputs: (net.dtype, [ROWS, net.sizes[-1]])}, **facts_of(net)
    )
    save(onnx, model, net, path)


def dtype_of_inputs(value: Any, dtype: Any) -> Any:
    """The dtype of X that is meant by an argument; by default that of the network."""
    known = [*validation.NOTHING, *validation.KEPT]
    if value is None:
        return dtype
    try:
        return known[known.index(np.dtype(value))]
    except (TypeError, ValueError) as error:
        raise ValueError(f"input_dtype must be one of {', '.join(each.name for each in known)}, got {value!r}") from error


def check_size(nets: Sequence[Any]) -> None:
    """Raise where the parameters do not fit into one file."""
    size = sum(net.params.nbytes for net in nets)
    if size > LARGEST:
        raise ValueError(
            f"an ONNX file ends at 2 GiB, but there are {size / (1 << 30):.1f} GiB of parameters; net.copy('float32') has half of"
            " those in float64, net.save and pickle have no limit"
        )


def layers(graph: Graph, net: Any, x: str, caller: str, output: str | None = None) -> str:
    """Add the nodes of a network, and return the name of its outputs.

    Parameters
    ----------
    graph : Graph
        Of the network's dtype.
    net : Network
    x : str
        Name of the rows, in that dtype.
    caller : str
        What users call.
    output : str, optional
        What the outputs are named.
    """
    functions = (*net.hidden, net.output)
    places = [*(f"hidden[{number}]" for number in range(len(net.hidden))), "output"]
    forms = [of(function, place, caller) for function, place in zip(functions, places, strict=True)]
    scope = graph.scope
    if net.input_scale != 1.0:
        x = graph("Mul", x, net.input_scale)
    for number, (function, form, w, b) in enumerate(zip(functions, forms, net.weights, net.biases, strict=True), 1):
        graph.scope = f"{scope}layer{number}/"
        names = graph.tensor(f"{graph.scope}weights", w), graph.tensor(f"{graph.scope}biases", b)
        x = form(graph, graph("Gemm", x, *names, transB=1), function.alpha)
    graph.scope = scope
    return x if output is None else graph.rename(x, output)


def facts_of(net: Any) -> dict[str, str]:
    """What a model says of itself."""
    return {"producer_name": "fastbp", "producer_version": __version__, "doc_string": repr(net)}


def save(onnx: Any, model: Any, net: Any, path: str | os.PathLike[str]) -> None:
    """Write a model, with the loss of a network among its metadata, in one step."""
    onnx.helper.set_model_props(model, {LOSS: json.dumps(model_file.describe(net._settings())["loss"], sort_keys=True)})
    storage.replace(path, model.SerializeToString())
