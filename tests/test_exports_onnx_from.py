"""`fastbp.from_onnx`: graphs as PyTorch, Keras and scikit-learn export them are read, all others are one clear error."""

import warnings

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import (
    B1,
    CONSTANTS,
    FIRST,
    HALF,
    LAST,
    LAYERS,
    ONE,
    ROW,
    ROWS,
    W1,
    WRITTEN,
    between,
    content,
    error,
    model,
    outputs,
    read,
)
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import fastbp
from fastbp import ModelFormatError


def agrees(graph, net, rows=ROWS):
    (found,) = outputs(graph, rows).values()
    return error(found, net, rows.reshape(len(rows), -1)) < 1e-6


# --- activations, as they are written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", WRITTEN)
def test_activations_are_known_by_what_they_compute(written):
    nodes, constants, expected = WRITTEN[written]
    graph = between(nodes, constants)
    net = read(graph)
    assert net.hidden == (fastbp.activations.get(expected),)
    assert agrees(graph, net)
    for mine, (w, b) in zip(zip(net.weights, net.biases, strict=True), LAYERS, strict=True):
        assert mine[0].T.tobytes() == w.tobytes()
        assert mine[1].tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [fastbp.ELU(1e-7), fastbp.LeakyReLU(1e-12), fastbp.ReLU(), fastbp.LeakyReLU(3e38)], ids=repr)
def test_the_nearest_of_those_that_are_near(tmp_path, activation, dtype):
    """A hyper-parameter that is tiny makes another function than ReLU, which it is near; one may also be huge."""
    fastbp.Network([2, 3, 1], activation, dtype=dtype, rng=0).to_onnx(tmp_path / "net")
    assert fastbp.from_onnx(tmp_path / "net").hidden == (activation,)


OTHERS = {
    "gelu by tanh": (
        [("Gelu", "z", "a", {"approximate": "tanh"})],
        {},
        r"'n2' \(Gelu\) .* that fastbp does not have \(gelu is nearest, and differs by 0.0005\)",
    ),
    "relu6": ([("Clip", "z zero six", "a")], {"zero": 0 * ONE, "six": 6 * ONE}, r"'n2' \(Clip\)"),
    "cut off far out": ([("Min", "z c", "a")], {"c": np.float32(9e5)}, r"'n2' \(Min\)"),
    "hard swish": ([("HardSwish", "z", "a")], {}, r"'n2' \(HardSwish\)"),
    "hard sigmoid of older Keras": ([("HardSigmoid", "z", "a")], {}, r"'n2' \(HardSigmoid\)"),
    "slopes of each unit": ([("PRelu", "z c", "a")], {"c": np.full(5, 0.2, np.float32)}, r"'n2' \(PRelu\) has a constant of 5"),
    "to whole numbers": ([("Cast", "z", "i", {"to": 7}), ("Cast", "i", "a", {"to": 1})], {}, r"'n2' \(Cast\)"),
    "softmax inside": ([("Softmax", "z", "a")], {}, r"'n2' \(Softmax\) is no part of a layer that is known"),
    "a layer norm": ([("ReduceMean", "z", "c"), ("Sub", "z c", "a")], {}, r"\(ReduceMean\)"),
    "past a layer": ([("Relu", "z", "r"), ("Mul", "m r", "a")], {}, "'a' depends on 2 values, not on one layer"),
    "of another domain": ([("FastGelu", "z", "a", {"domain": "com.microsoft"})], {}, "is of the domain 'com.microsoft'"),
    "dropping units": (
        [("Constant", "", "yes", {"value": numpy_helper.from_array(np.array(1, np.int64))}), ("Dropout", "z h yes", "a")],
        HALF,
        r"\(Dropout\) drops units: export the network in the mode of inference",
    ),
    "a loop": ([("Loop", "n_max c z", "a", {"body": helper.make_graph([], "b", [], [])})], {"n_max": 3, "c": True}, r"\(Loop\)"),
    "a choice": (
        [("If", "c", "a", {"then_branch": helper.make_graph([], "b", [], [])})],
        {"c": np.array(True)},
        r"\(If\) is no part of a layer",
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_functions_are_refused(other):
    nodes, constants, message = OTHERS[other]
    with pytest.raises(ModelFormatError, match=message):
        read(between(nodes, constants, opset=20))


# --- layers ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", FIRST)
def test_layers_as_they_are_written(first):
    nodes, constants = FIRST[first]
    graph = model(nodes + LAST, CONSTANTS | constants, ("N", 4))
    net = read(graph)
    assert net.hidden[-1].name == "relu"
    assert agrees(graph, net)
    assert net.input_scale == 1.0


def test_a_network_normalised_between_its_layers():
    normal = ("BatchNormalization", "r g t u v", "a")
    graph = between([("Relu", "z", "r"), normal], {"g": ROW + 1, "t": -ROW, "u": ROW + 2, "v": ROW + 1})
    net = read(graph)
    assert net.hidden == (fastbp.ReLU(),)
    assert agrees(graph, net)


@pytest.mark.parametrize(("op", "c"), [("Mul", 1 / 255), ("Div", 255.0), ("Mul", 0.5)])
def test_one_scale_of_the_inputs_is_kept(op, c):
    graph = model([(op, "X c", "x"), ("Gemm", "x W1 b1", "z"), *LAST], CONSTANTS | {"c": np.float32(c)}, ("N", 4))
    net = read(graph)
    assert net.input_scale == np.float32(c if op == "Mul" else 1 / c)
    assert net.weights[0].T.tobytes() == W1.tobytes()
    assert agrees(graph, net)


@pytest.mark.parametrize(("batch", "rows"), [("N", 7), (None, 7), (3, 3), (1, 1)])
@pytest.mark.parametrize(("flat", "how"), [("Flatten", {}), ("Reshape", {}), ("Reshape", {"allowzero": 1})])  # torch.export says so
def test_rows_of_images_and_batches_of_one_size(batch, rows, flat, how):
    shape = {"s": np.array([-1 if batch in ("N", None) else batch, 4])} if flat == "Reshape" else {}
    nodes = [(flat, " ".join(["X", *shape]), "x", how), ("Gemm", "x W1 b1", "z"), *LAST]
    graph = model(nodes, CONSTANTS | shape, (batch, 2, 1, 2))
    assert agrees(graph, read(graph), ROWS[:rows].reshape(rows, 2, 1, 2))


def test_constants_that_are_declared_as_inputs():
    """As files before IR version 4 have them."""
    graph = model([("Gemm", "X W1 b1", "z"), *LAST], CONSTANTS, ("N", 4))
    for name, array in CONSTANTS.items():
        graph.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
    assert read(graph).sizes == (4, 5, 2)


WRONG = {
    "transposed inputs": ([("Gemm", "X W1 b1", "z", {"transA": 1})], {}, r"'n0' \(Gemm\) is no product of rows"),
    "weights on the left": ([("MatMul", "V X", "z")], {"V": W1}, r"'n0' \(MatMul\) is no product with a matrix"),
    "weights of two samples": ([("MatMul", "X V", "z")], {"V": W1[None]}, "is no product with a matrix of constants"),
    "X X": ([("MatMul", "X X", "z")], {}, "is no product with a matrix of constants"),
    "a column of biases": ([("Gemm", "X W1 c", "z")], {"c": ROW[:, None]}, r"has a constant of shape \(5, 1\), which is no row"),
    "too few biases": ([("Gemm", "X W1 c", "z")], {"c": ROW[:4]}, "which what is added or multiplied does not fit"),
    "too few biases to add": ([("MatMul", "X W1", "m"), ("Add", "m c", "z")], {"c": ROW[:4]}, "does not fit"),
    "columns that differ": (
        [("Gemm", "X W1 b1", "m"), ("Mul", "m c", "o"), ("Mul", "o d", "z")],
        {"c": ROW, "d": ROW[:4]},
        r"is of other columns than what follows it: \[4, 5\]",
    ),
    "layers that do not fit": ([("Gemm", "X V b1", "z")], {"V": W1[:, :3]}, "has weights of shape"),
    "the next layer": ([("Gemm", "X V", "z")], {"V": W1[:, :3]}, "gives 3 columns, and the next layer takes 5"),
    "other inputs than declared": ([("Gemm", "X V b1", "z")], {"V": np.ones((3, 5), np.float32)}, "takes rows of 3 numbers"),
    "whole numbers": ([("MatMul", "X V", "z")], {"V": np.ones((4, 5), np.int64)}, "is no product with a matrix"),
    "NaN": ([("Gemm", "X V b1", "z")], {"V": np.full((4, 5), np.nan, np.float32)}, "'n0' .Gemm. has NaN or infinity"),
    "infinity": ([("Gemm", "X W1 c", "z")], {"c": np.full(5, np.inf, np.float32)}, "has NaN or infinity"),
    "no variance": (
        [("Gemm", "X W1 b1", "m"), ("BatchNormalization", "m g g g v", "z", {"epsilon": 0.0})],
        {"g": ROW, "v": 0 * ROW},
        "what scales columns makes them infinite",
    ),
    "normalised in training": (
        [("Gemm", "X W1 b1", "m"), ("BatchNormalization", "m g g g g", "z a1 a2", {"training_mode": 1})],
        {"g": ROW},
        r"\(BatchNormalization\) computes means and deviations",
    ),
    "an activation first": ([("Relu", "X", "x"), ("Gemm", "x W1 b1", "z")], {}, "an activation of 'X' is before all"),
    "another axis": ([("Flatten", "X", "x", {"axis": 0}), ("Gemm", "x W1 b1", "z")], {}, r"\(Flatten\) has the axis 0"),
    "another shape": (
        [("Reshape", "X s", "x"), ("Gemm", "x W1 b1", "z")],
        {"s": np.array([-1, 2])},
        r"makes the shape \[-1, 2\] of rows of 4 columns",
    ),
    "one dimension": ([("Reshape", "X s", "x"), ("Gemm", "x W1 b1", "z")], {"s": np.array([-1])}, "does not make rows"),
    "a loop": ([("Add", "z X", "y"), ("Gemm", "y W1 b1", "z")], {}, r"'n0' \(Add\) reads 'z' before it is computed"),
    "two origins": ([("Gemm", "X W1 b1", "z"), ("Gemm", "X W1 b1", "z")], {}, "computes 'z' a second time"),
    "what was dropped": ([("Dropout", "X", "x y"), ("Gemm", "y W1 b1", "z")], {}, "gives more than its first output"),
    "of nothing": ([("Flatten", "", "x"), ("Gemm", "x W1 b1", "z")], {}, r"'n0' \(Flatten\) has no input"),
    "rows of nothing": (
        [("Reshape", "X s", "x", {"allowzero": 1}), ("Gemm", "x W1 b1", "z")],
        {"s": np.array([0, 4])},
        r"\(Reshape\) makes rows of nothing",
    ),
    "as many rows as columns": (
        [
            *(("Shape", "X", "s"), ("Gather", "s one", "i", {"axis": 0}), ("Unsqueeze", "i at", "j")),
            *(("Concat", "j k", "l", {"axis": 0}), ("Reshape", "X l", "x"), ("Gemm", "x W1 b1", "z")),
        ],
        {"one": np.array(1), "at": np.array([0]), "k": np.array([-1])},
        r"\(Reshape\) does not make rows of features",
    ),
    "other axes": ([("Transpose", "V", "W", {"perm": [0, 2]}), ("MatMul", "X W", "z")], {"V": W1}, r"transposes the axes \[0, 2\]"),
    "scaled by other columns": ([("Mul", "X c", "x"), ("Gemm", "x W1 b1", "z")], {"c": ROW}, "does not fit its 4 columns"),
    "normalised by other columns": (
        [("Gemm", "X W1 b1", "m"), ("BatchNormalization", "m g g g v", "z")],
        {"g": ROW, "v": ROW[:4]},
        r"\(BatchNormalization\) has parameters of different lengths",
    ),
    "words": ([("Gemm", "X V b1", "z")], {"V": np.array([["a"]])}, "the constant 'V' is not of float32, float64 or float16"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_layer_is_refused(wrong):
    nodes, constants, message = WRONG[wrong]
    graph = model(nodes + LAST, CONSTANTS | constants, ("N", 4))
    with pytest.raises(ModelFormatError, match=message) as caught:
        read(graph)
    assert str(caught.value).startswith("the graph ")


# --- outputs, losses, precision --------------------------------------------------------------------------------------------------

ENDS = {
    "Softmax": ([("Softmax", "y", "Y")], "cross_entropy", "softmax"),
    "Softmax of columns": ([("Softmax", "y", "Y", {"axis": 1})], "cross_entropy", "softmax"),
    "Sigmoid": ([("Sigmoid", "y", "Y")], "binary_cross_entropy", "sigmoid"),
    "Tanh": ([("Tanh", "y", "Y")], "squared", "tanh"),
    "Exp": ([("Exp", "y", "Y")], "squared", "exp"),
    "nothing": ([("Identity", "y", "Y")], "squared", "identity"),
}


def ending(nodes):
    return model([("Gemm", "X W1 b1", "z"), *LAST[:1], ("Gemm", "a W2 b2", "y"), *nodes], CONSTANTS, ("N", 4))


@pytest.mark.parametrize("end", ENDS)
def test_outputs_say_what_the_loss_is(end):
    nodes, loss, output = ENDS[end]
    net = read(ending(nodes))
    assert (net.loss_function.name, net.output.name) == (loss, output)
    assert agrees(ending(nodes), net)


def test_a_loss_that_is_given():
    logits = read(ending(ENDS["nothing"][0]), loss="cross_entropy")
    (raw,) = outputs(ending(ENDS["nothing"][0]), ROWS).values()
    np.testing.assert_allclose(logits(ROWS), np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True), rtol=1e-5)
    assert read(ending(ENDS["Exp"][0]), loss="poisson").loss_function.name == "poisson"
    assert read(ending(ENDS["Sigmoid"][0]), loss=fastbp.Huber(0.5)).output.name == "sigmoid"
    with pytest.raises(ValueError, match="loss must be one that owns softmax"):
        read(ending(ENDS["Softmax"][0]), loss="squared")
    with pytest.raises(ValueError, match="loss must be left out, or one of outputs that are tanh: poisson owns exp"):
        read(ending(ENDS["Tanh"][0]), loss="poisson")
    with pytest.raises(ValueError, match="loss 'none' is not known"):
        read(ending(ENDS["Tanh"][0]), loss="none")
    with pytest.raises(ModelFormatError, match="is not over the columns"):
        read(ending([("Softmax", "y", "Y", {"axis": 0})]))


@pytest.mark.parametrize("noted", ["", "{", '{"name": "x"}', '{"name": "poisson", "parameters": {}}', '{"name": 3}', "[" * 100_000])
def test_a_note_of_a_loss_that_does_not_fit_is_passed_over(noted):
    graph = ending(ENDS["Sigmoid"][0])
    helper.set_model_props(graph, {"fastbp.loss": noted})
    assert read(graph).loss_function.name == "binary_cross_entropy"


def test_precision():
    double = model([("Gemm", "X W b", "Y")], {"W": W1.astype(float) + 1e-12, "b": B1.astype(float)}, ("N", 4), dtype=np.float64)
    assert read(double).dtype == "float64"
    assert read(double, dtype="float32").dtype == "float32"
    assert read(ending(ENDS["Tanh"][0])).dtype == "float32"
    assert read(ending(ENDS["Tanh"][0]), dtype=np.float64).dtype == "float64"
    large = model([("Gemm", "X W", "Y")], {"W": np.full((4, 5), 1e300)}, ("N", 4), dtype=np.float64)
    with pytest.raises(ModelFormatError, match=r"the graph describes .* weights\[0\] holds a value too large for dtype float32"):
        read(large, dtype="float32")
    with pytest.raises(ValueError, match="dtype must be"):
        read(double, dtype="int8")


def test_files_and_bytes(tmp_path):
    graph = ending(ENDS["Tanh"][0])
    path = tmp_path / "net.onnx"
    path.write_bytes(content(graph))
    for given in (path, str(path), content(graph), bytearray(content(graph)), memoryview(content(graph))):
        assert fastbp.from_onnx(given).sizes == (4, 5, 2)
    with pytest.raises(TypeError, match="path must be a path, or the bytes"):
        fastbp.from_onnx(graph)
    with pytest.raises(FileNotFoundError):
        fastbp.from_onnx(tmp_path / "none.onnx")
    path.write_bytes(content(graph)[:100])
    with pytest.raises(ModelFormatError, match=r"net\.onnx is"):
        fastbp.from_onnx(path)


def test_several_inputs_and_outputs():
    graph = ending([("Identity", "y", "Y"), ("Identity", "a", "Z")])
    graph.graph.output.append(helper.make_tensor_value_info("Z", TensorProto.FLOAT, None))
    with pytest.raises(ModelFormatError, match=r"of its outputs \['Y', 'Z'\] there are 2 of numbers"):
        read(graph)
    graph = ending(ENDS["Tanh"][0])
    graph.graph.output.append(helper.make_tensor_sequence_value_info("Z", TensorProto.FLOAT, None))
    with pytest.raises(ModelFormatError, match="has an output 'Z' that is no tensor"):
        read(graph)
    graph = ending(ENDS["Tanh"][0])
    graph.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, None))
    with pytest.raises(ModelFormatError, match="has 2 inputs and 1 outputs"):
        read(graph)


# --- scikit-learn, by skl2onnx ---

NUMBERS = np.arange(30) % 3
CLASSIFIER = {"hidden_layer_sizes": (5,), "max_iter": 3}
THEIRS = {
    "three classes": (neural_network.MLPClassifier(**CLASSIFIER), NUMBERS),
    "two": (neural_network.MLPClassifier(**CLASSIFIER, activation="tanh"), NUMBERS == 1),
    "text": (neural_network.MLPClassifier(**CLASSIFIER, activation="identity"), np.array(["a", "b", "c"])[NUMBERS]),
    "sets": (neural_network.MLPClassifier(**CLASSIFIER), np.eye(3, dtype=int)[NUMBERS]),
    "numbers": (neural_network.MLPRegressor(**CLASSIFIER, activation="logistic"), NUMBERS),
    "standard": (make_pipeline(StandardScaler(), neural_network.MLPRegressor(**CLASSIFIER)), NUMBERS),
    "min-max": (make_pipeline(MinMaxScaler(), neural_network.MLPClassifier(**CLASSIFIER)), NUMBERS),
}


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("theirs", THEIRS)
def test_scikit_learns_networks_by_skl2onnx(theirs, zipmap):
    skl2onnx = pytest.importorskip("skl2onnx")
    estimator, targets = THEIRS[theirs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(ROWS, targets)
    is_classifier = hasattr(estimator, "classes_")
    options = {"options": {id(estimator): {"zipmap": zipmap}}} if is_classifier else {}
    net = read(skl2onnx.to_onnx(estimator, ROWS[:1], **options))
    expected = estimator.predict_proba(ROWS) if is_classifier else estimator.predict(ROWS)[:, None]
    np.testing.assert_allclose(net(ROWS), expected[:, 1:] if net.sizes[-1] == 1 < expected.shape[1] else expected, atol=1e-5)
