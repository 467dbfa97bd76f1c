"""ONNX graphs for tests: made by hand, run by ONNX Runtime, and compared with networks."""

from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fastbp import Network

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def content(model):
    """A model, or the bytes or the file of one, as bytes."""
    if isinstance(model, bytes):
        return model
    return model.SerializeToString() if hasattr(model, "SerializeToString") else model.read_bytes()


def outputs(model, X):
    """{name: array}: what ONNX Runtime computes, after the full check of onnx."""
    onnx.checker.check_model(content(model), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content(model), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, {given.name: X}), strict=True))


def magnitude(net, X):
    """The largest sum of sizes that an output is computed from, by which its rounding errors are measured."""
    a = X * net.input_scale
    if net.hidden:
        settings = {"dtype": net.dtype, "input_scale": net.input_scale, "weights": net.weights[:-1], "biases": net.biases[:-1]}
        a = Network(net.sizes[:-1], list(net.hidden[:-1]), output=net.hidden[-1], **settings)(X)
    raw = (np.abs(a).astype(np.float64) @ np.abs(net.weights[-1].T.astype(np.float64)) + np.abs(net.biases[-1])).max()
    slope = np.abs(net(X)).max() if net.output.name == "exp" else 1.0
    return slope * (
        max(raw, 1.0)
        if net.output.name == "exp"
        else 1.0
        if net.output.name in ("softmax", "sigmoid", "tanh", "hard_sigmoid")
        else max(raw, 1e-300)
    )


def error(found, net, X):
    """The largest difference of outputs from those of a network, in units of `magnitude`."""
    expected = net(X).astype(np.float64)
    assert found.shape == expected.shape
    same = found == expected  # infinities too
    return np.abs(np.where(same, 0.0, found - np.where(same, 0.0, expected))[~same]).max(initial=0.0) / magnitude(net, X)


def model(nodes, constants, shape=("N", None), outputs=("Y",), dtype=np.float32, opset=18, **more):
    """A model of nodes (op, inputs, output, attributes), with one input X."""
    made = []
    for op, inputs, output, *attributes in nodes:
        made.append(helper.make_node(op, inputs.split(), output.split(), name=f"n{len(made)}", **dict(*attributes)))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    tensors = [
        each if isinstance(each, TensorProto) else numpy_helper.from_array(np.asarray(each), name)
        for name, each in constants.items()
    ]
    ends = [helper.make_tensor_value_info("X", kind, shape)], [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    graph = helper.make_graph(made, "by hand", *ends, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def parameters(sizes, dtype="float32", seed=0):
    """[(W (n_in, n_out), b (n_out,)), ...] of random numbers."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=pair).astype(dtype), rng.normal(size=pair[1]).astype(dtype)) for pair in pairwise(sizes)]


def constants_of(layers):
    """{"W1": ..., "b1": ..., "W2": ...}."""
    return {f"{name}{i}": array for i, pair in enumerate(layers, 1) for name, array in zip("Wb", pair, strict=True)}
