"""From estimators to ONNX files: scaled features, one network or the mean of several, classes and their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.exports.onnx import writing
from fastbp.exports.onnx.graph import Graph
from fastbp.exports.parts import checked_path
from fastbp.extras import require

CALLER = "to_onnx"
LABEL, PROBABILITIES, VARIABLE = "label", "probabilities", "variable"


def write(
    nets: Sequence[Any],
    path: Any,
    input_dtype: Any,
    steps: Sequence[tuple[str, NDArray[Any]]],
    classes: NDArray[Any] | None,
    is_classifier: bool,
    last: Sequence[tuple[str, float]] = (),
) -> None:
    """Write an estimator to a file.

    Parameters
    ----------
    nets : sequence of Network
        Of one shape and dtype; what is written is the mean of their outputs.
    path : str or path
    input_dtype : dtype, optional
    steps : sequence of (operator, ndarray)
        What is done to the features first, in float64.
    classes : ndarray (n_classes,), optional
        None for sets of labels, and numbers.
    is_classifier : bool
    last : sequence of (operator, float)
        What is done to outputs that are numbers, in float64.
    """
    path, first = checked_path(path), nets[0]
    dtype = writing.dtype_of_inputs(input_dtype, np.dtype(np.float64) if steps else first.dtype)
    labels = None if classes is None else _labels(classes)
    writing.check_size(nets)
    onnx = require("onnx", CALLER)
    graph = Graph(first.dtype)
    x, n_out = _scaled(graph, steps, dtype, onnx), first.sizes[-1]
    outputs: dict[str, tuple[Any, list[Any]]]
    if not is_classifier:
        kind = np.dtype(np.float64) if last else first.dtype
        y = graph.cast(_mean(graph, nets, x, None if last else VARIABLE), first.dtype, kind, onnx)
        for number, (op, value) in enumerate(last, 1):
            tensor = graph.tensor(f"last{number}", np.array(value, kind))
            y = graph(op, y, tensor, output=VARIABLE if number == len(last) else None)
        outputs = {VARIABLE: (kind, [writing.ROWS, n_out])}
    else:
        if labels is None:
            p = _mean(graph, nets, x, PROBABILITIES)
            graph("Cast", graph("Greater", p, 0.5), output=LABEL, to=onnx.TensorProto.INT64)
            label: tuple[Any, list[Any]] = np.int64, [writing.ROWS, n_out]
        else:
            n_out = _classes(graph, nets, x, labels, onnx)
            label = str if labels.dtype.kind == "O" else labels.dtype, [writing.ROWS]
        outputs = {LABEL: label, PROBABILITIES: (first.dtype, [writing.ROWS, n_out])}
    inputs = {writing.INPUT: (dtype, [writing.ROWS, first.sizes[0]])}
    writing.save(onnx, graph.model(onnx, inputs, outputs, **writing.facts_of(first)), first, path)


def _scaled(graph: Graph, steps: Sequence[tuple[str, NDArray[Any]]], dtype: Any, onnx: Any) -> str:
    """The features as the networks take them."""
    x, kind = writing.INPUT, dtype
    for number, (op, value) in enumerate(steps, 1):
        x, kind = graph.cast(x, kind, np.float64, onnx), np.dtype(np.float64)
        x = graph(op, x, graph.tensor(f"scaler{number}", np.asarray(value, np.float64)))
    return graph.cast(x, kind, graph.dtype, onnx)


def _mean(graph: Graph, nets: Sequence[Any], x: str, output: str | None = None) -> str:
    """Add the networks, and return the name of the mean of their outputs."""
    if len(nets) == 1:
        return writing.layers(graph, nets[0], x, CALLER, output)
    members = []
    for number, net in enumerate(nets, 1):
        graph.scope = f"network{number}/"
        members.append(writing.layers(graph, net, x, CALLER))
    graph.scope = ""
    return graph("Div", reduce(lambda total, each: graph("Add", total, each), members), float(len(nets)), output=output)


def _classes(graph: Graph, nets: Sequence[Any], x: str, labels: NDArray[Any], onnx: Any) -> int:
    """Add the probabilities of all classes, and the likeliest of these; return how many there are."""
    n_out = int(nets[0].sizes[-1])
    if n_out > 1:
        number = graph("ArgMax", _mean(graph, nets, x, PROBABILITIES), axis=1, keepdims=0)
    else:
        p = _mean(graph, nets, x)
        graph("Concat", graph("Sub", 1.0, p), p, output=PROBABILITIES, axis=1)
        column = graph("Cast", graph("Greater", p, 0.5), to=onnx.TensorProto.INT64)
        number = graph("Reshape", column, graph.tensor("any number", np.array([-1], np.int64)))
    graph("Gather", graph.tensor("classes", labels), number, output=LABEL)
    return max(n_out, 2)


def _labels(classes: NDArray[Any]) -> NDArray[Any]:
    """Classes as int64 (truth values, and whole numbers of other kinds) or text; a single one stands for both sides."""
    classes = np.repeat(classes, 2) if len(classes) == 1 else classes
    kind = classes.dtype.kind
    if kind in "biuf" and (abs(classes.astype(np.float64)) < 2.0**63).all():
        return classes.astype(np.int64)
    if kind in "OUT" and all(isinstance(each, str) for each in classes):
        return classes.astype(object)
    raise ValueError(f"classes_ must be numbers or text for an ONNX graph, got {classes.tolist()}: fit to such")
