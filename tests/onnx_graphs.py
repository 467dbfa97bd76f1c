"""ONNX graphs for tests: made by hand, run by ONNX Runtime, and compared with networks."""

from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import fastbp
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
    ends = (
        [helper.make_tensor_value_info("X", kind, shape)],
        [helper.make_tensor_value_info(name, kind, ["rows", "columns"]) for name in outputs],
    )
    graph = helper.make_graph(made, "by hand", *ends, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def parameters(sizes, dtype="float32", seed=0):
    """[(W (n_in, n_out), b (n_out,)), ...] of random numbers."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=pair).astype(dtype), rng.normal(size=pair[1]).astype(dtype)) for pair in pairwise(sizes)]


def constants_of(layers):
    """{"W1": ..., "b1": ..., "W2": ...}."""
    return {f"{name}{i}": array for i, pair in enumerate(layers, 1) for name, array in zip("Wb", pair, strict=True)}


LAYERS = parameters([4, 5, 2])
CONSTANTS = constants_of(LAYERS)
ONE = np.float32(1)
ROWS = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)


def between(nodes, constants=None, **more):
    """A graph of two layers with some nodes from z to a between them."""
    first = [("MatMul", "X W1", "m"), ("Add", "m b1", "z")]
    last = [("MatMul", "a W2", "n"), ("Add", "n b2", "Y")]
    return model(first + nodes + last, CONSTANTS | (constants or {}), ("N", 4), **more)


def read(graph, **more):
    """The network of a model."""
    return fastbp.from_onnx(content(graph), **more)


# activations of z, as they are written: nodes, constants, and the one of ours
ROOT2, HALF = {"c": np.float32(2**0.5)}, {"h": np.float32(0.5)}
WRITTEN = {
    "gelu: PyTorch before opset 20": (
        [("Div", "z c", "d"), ("Erf", "d", "e"), ("Add", "e one", "p"), ("Mul", "z p", "q"), ("Mul", "q h", "a")],
        ROOT2 | HALF | {"one": ONE},
        "gelu",
    ),
    "gelu: another order": (
        [("Mul", "z c", "d"), ("Erf", "d", "e"), ("Add", "one e", "p"), ("Mul", "h p", "q"), ("Mul", "z q", "a")],
        HALF | {"one": ONE, "c": np.float32(0.5**0.5)},
        "gelu",
    ),
    "silu": ([("Sigmoid", "z", "s"), ("Mul", "z s", "a")], {}, "silu"),
    "silu: by exp": (
        [("Neg", "z", "n1"), ("Exp", "n1", "e"), ("Add", "e one", "p"), ("Div", "z p", "a")],
        {"one": ONE},
        "silu",
    ),
    "mish: PyTorch before opset 18": ([("Softplus", "z", "s"), ("Tanh", "s", "t"), ("Mul", "z t", "a")], {}, "mish"),
    "mish": ([("Mish", "z", "a")], {}, "mish"),
    "softplus: PyTorch, with its threshold": (
        [("Softplus", "z", "s"), ("Greater", "z t", "g"), ("Where", "g z s", "a")],
        {"t": np.float32(20)},
        "softplus",
    ),
    "hard sigmoid": ([("HardSigmoid", "z", "a", {"alpha": 1 / 6, "beta": 0.5})], {}, "hard_sigmoid"),
    "hard sigmoid: clipped": (
        [("Mul", "z c", "m1"), ("Add", "m1 h", "n1"), ("Clip", "n1 zero one", "a")],
        HALF | {"c": np.float32(1 / 6), "zero": 0 * ONE, "one": ONE},
        "hard_sigmoid",
    ),
    "relu: the larger": ([("Max", "z zero", "a")], {"zero": 0 * ONE}, "relu"),
    "relu, of Constant": ([("Constant", "", "zero", {"value_float": 0.0}), ("Max", "zero z", "a")], {}, "relu"),
    "leaky relu": ([("LeakyRelu", "z", "a", {"alpha": 0.1})], {}, fastbp.LeakyReLU(0.1)),
    "leaky relu: one slope of PReLU": ([("PRelu", "z c", "a")], {"c": np.array([0.25], np.float32)}, fastbp.LeakyReLU(0.25)),
    "elu": ([("Elu", "z", "a", {"alpha": 0.3})], {}, fastbp.ELU(0.3)),
    "celu is elu": ([("Celu", "z", "a")], {}, fastbp.ELU(1.0)),
    "selu": ([("Selu", "z", "a")], {}, "selu"),
    "sigmoid by tanh": (
        [("Mul", "z h", "m1"), ("Tanh", "m1", "t"), ("Mul", "t h", "n1"), ("Add", "n1 h", "a")],
        HALF,
        "sigmoid",
    ),
    "exp": ([("Exp", "z", "a")], {}, "exp"),
    "tanh, of what changes nothing": (
        [("Identity", "z", "i"), ("Dropout", "i", "j"), ("Cast", "j", "k", {"to": 1}), ("Tanh", "k", "l"), ("Flatten", "l", "a")],
        {},
        "tanh",
    ),
    "nothing": ([("Identity", "z", "a")], {}, "identity"),
}

# first layers, as they are written: nodes up to z, and constants
ROW, COLUMN = np.arange(5, dtype=np.float32), np.arange(5, dtype=np.float32)[:, None]
(W1, B1), (W2, B2) = LAYERS
LAST = [("Relu", "z", "a"), ("Gemm", "a W2 b2", "Y")]
FIRST = {
    "Gemm": ([("Gemm", "X W1 b1", "z")], {}),
    "Gemm of PyTorch": ([("Gemm", "X V b1", "z", {"transB": 1})], {"V": W1.T}),
    "Gemm, alpha and beta": ([("Gemm", "X W1 b1", "z", {"alpha": 0.5, "beta": 2.0})], {}),
    "Gemm without biases": ([("Gemm", "X W1", "z")], {}),
    "Gemm, one bias": ([("Gemm", "X W1 c", "z")], {"c": ONE}),
    "Gemm, a row of biases": ([("Gemm", "X W1 c", "z")], {"c": ROW[None]}),
    "MatMul alone": ([("MatMul", "X W1", "z")], {}),
    "Add, biases first": ([("MatMul", "X W1", "m"), ("Add", "b1 m", "z")], {}),
    "Add, one bias": ([("MatMul", "X W1", "m"), ("Add", "m c", "z")], {"c": ONE}),
    "Sub": ([("MatMul", "X W1", "m"), ("Sub", "m b1", "z")], {}),
    "Sub, biases first": ([("MatMul", "X W1", "m"), ("Sub", "b1 m", "z")], {}),
    "Transpose of weights": ([("Transpose", "V", "W"), ("MatMul", "X W", "m"), ("Add", "m b1", "z")], {"V": W1.T}),
    "Identity of weights": ([("Identity", "W1", "W"), ("MatMul", "X W", "z")], {}),
    "weights in half precision": ([("Cast", "V", "W", {"to": 1}), ("MatMul", "X W", "z")], {"V": W1.astype(np.float16)}),
    "weights of Constant": (
        [("Constant", "", "W", {"value": numpy_helper.from_array(W1)}), ("Gemm", "X W b1", "z")],
        {},
    ),
    "Reshape, as Keras flattens": ([("Reshape", "X s", "x"), ("Gemm", "x W1 b1", "z")], {"s": np.array([-1, 4])}),
    "Reshape of x.view(len(x), -1)": (
        [
            *(("Shape", "X", "s"), ("Gather", "s zero", "i", {"axis": 0}), ("Unsqueeze", "i at", "j")),
            *(("Concat", "j k", "l", {"axis": 0}), ("Reshape", "X l", "x"), ("Gemm", "x W1 b1", "z")),
        ],
        {"zero": np.array(0), "at": np.array([0]), "k": np.array([-1])},
    ),
    "normalised after": (
        [("Gemm", "X W1 b1", "m"), ("BatchNormalization", "m g t u v", "z")],
        {"g": ROW, "t": -ROW, "u": ROW + 2, "v": ROW + 1},
    ),
    "columns scaled after": ([("Gemm", "X W1 b1", "m"), ("Mul", "m c", "o"), ("Div", "o d", "z")], {"c": ROW, "d": ROW + 1}),
    "normalised before": (
        [("BatchNormalization", "X g t u v", "x"), ("Gemm", "x W1 b1", "z")],
        {"g": ROW[1:], "t": -ROW[1:], "u": ROW[1:] + 2, "v": ROW[1:]},
    ),
    "columns scaled before": ([("Sub", "X c", "y"), ("Div", "y d", "x"), ("Gemm", "x W1 b1", "z")], {"c": ROW[1:], "d": ROW[1:]}),
    "images scaled before": (
        [("Div", "X c", "y"), ("Sub", "y h", "v"), ("Div", "v h", "x"), ("Gemm", "x W1 b1", "z")],
        HALF | {"c": np.float32(255)},
    ),
    "two layers without an activation": (
        [("MatMul", "X W1", "m"), ("Add", "m b1", "y"), ("MatMul", "y V", "o"), ("Add", "o b1", "z")],
        {"V": np.eye(5, dtype=np.float32)},
    ),
}
