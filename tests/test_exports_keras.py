"""Models of Keras as networks: the same outputs, and a refusal that names the layer.

Where Keras is not installed, stand-ins take its place, which say of themselves what layers of Keras say.
"""

import os

import numpy as np
import pytest
from exported import agree
from problems import DTYPES

import fastbp
from fastbp import activations, from_keras, losses
from fastbp.exports import keras_model

os.environ.setdefault("KERAS_BACKEND", "numpy")
try:
    import keras
    from keras import layers
except ImportError:
    keras = layers = None
needs_keras = pytest.mark.skipif(keras is None, reason="needs Keras")
own_warnings = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class StandIn:
    """A layer, by the name of its class in Keras."""

    def __init__(self, weights=(), **config):
        self.config, self.weights = {"name": "it", **config}, list(weights)

    def get_config(self):
        return self.config

    def get_weights(self):
        return self.weights


def stand_in(kind, weights=(), **config):
    return type(kind, (StandIn,), {})(weights, **config)


def dense(n_in, n_out, activation="linear", **config):
    rng = np.random.default_rng([n_in, n_out])
    weights = [rng.normal(size=(n_in, n_out)).astype("f4"), rng.normal(size=n_out).astype("f4")]
    return stand_in("Dense", weights, activation=activation, **config)


class Model:
    def __init__(self, *given, loss=None, **facts):
        self.layers, self.loss, self.name, self.facts = list(given), loss, "model", facts
        self.inputs, self.outputs = facts.pop("inputs", [0]), facts.pop("outputs", [0])

    def get_config(self):
        return self.facts


# --- stand-ins -------------------------------------------------------------------------------------------------------------


def test_layers_make_a_network():
    first, second = dense(3, 4, "tanh"), dense(4, 2)
    second.weights.pop()
    inner = Model(stand_in("Dropout"), second, stand_in("Softmax", axis=-1))
    net = from_keras(Model(stand_in("InputLayer"), stand_in("Rescaling", scale=0.5, offset=0.0), stand_in("Flatten"), first, inner))
    assert (net.sizes, net.hidden, net.output, net.input_scale) == ((3, 4, 2), (fastbp.Tanh(),), fastbp.Softmax(), 0.5)
    assert (net.loss_function, net.dtype) == (fastbp.CrossEntropy(), np.float32)
    np.testing.assert_array_equal(net.weights[0], first.weights[0].T)
    np.testing.assert_array_equal(net.biases[0], first.weights[1])
    np.testing.assert_array_equal(net.biases[1], 0)


NAMES = {cls().name: cls for cls in activations.ACTIVATIONS.classes} | {"softmax": activations.Softmax}
THEIRS = {"identity": "linear", "exp": "exponential"}


@pytest.mark.parametrize("name", NAMES)
def test_activations_by_their_names(name):
    net = from_keras(Model(dense(3, 2, THEIRS.get(name, name))))
    assert net.output == (fastbp.LeakyReLU(0.2) if name == "leaky_relu" else NAMES[name]())


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("LeakyReLU", {"negative_slope": 0.3}, fastbp.LeakyReLU(0.3)),
        ("LeakyReLU", {"alpha": np.float32(0.5)}, fastbp.LeakyReLU(0.5)),
        ("ELU", {"alpha": 0.7}, fastbp.ELU(0.7)),
        ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}, fastbp.ReLU()),
        ("ReLU", {"max_value": None, "negative_slope": 0.1, "threshold": 0.0}, fastbp.LeakyReLU(0.1)),
        ("Activation", {"activation": "swish"}, fastbp.SiLU()),
        ("Activation", {"activation": {"class_name": "ELU", "config": {"alpha": 0.2}}}, fastbp.ELU(0.2)),
    ],
)
def test_activations_as_layers_and_as_objects(kind, config, expected):
    for layers in ([dense(3, 2), stand_in(kind, **config)], [dense(3, 2, {"class_name": kind, "config": config})]):
        assert from_keras(Model(*layers)).output == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([dense(3, 2), stand_in("Conv2D", name="c")], r"layer 'c' \(Conv2D\) is none of what a network is made of"),
        ([dense(3, 2), stand_in("BatchNormalization")], r"\(BatchNormalization\) is none of"),
        ([dense(3, 2, "relu6")], r"layer 'it' \(Dense\) is none of"),
        ([dense(3, 2, {"class_name": "function", "config": "mine"})], r"\(Dense\) is none of"),
        ([dense(3, 2), stand_in("ReLU", max_value=6.0)], r"\(ReLU\) is none of"),
        ([dense(3, 2), stand_in("ReLU", threshold=1.0)], r"\(ReLU\) is none of"),
        ([dense(3, 2), stand_in("Softmax", axis=1)], r"\(Softmax\) is none of"),
        ([dense(3, 2), stand_in("PReLU")], r"\(PReLU\) is none of"),
        ([dense(3, 2, "softmax"), dense(2, 1)], r"\(Dense\) comes after a softmax"),
        (
            [dense(3, 2, "relu"), stand_in("Activation", activation="tanh")],
            r"\(Activation\) is an activation, but there is no layer",
        ),
        ([stand_in("Activation", activation="tanh"), dense(3, 2)], r"is an activation, but there is no layer"),
        ([dense(3, 2), dense(3, 2)], r"weights of shape \(2, 3\), which do not fit"),
        ([stand_in("Dense")], r"\(Dense\) has 0 arrays, not weights and biases: is the model built"),
        ([stand_in("Dense", [np.zeros((3, 2), "i1")])], r"has weights of int8"),
        ([stand_in("Dense", [np.zeros((3, 2), "f4"), np.zeros((1, 2), "f4")])], r"has biases of shape \(1, 2\)"),
        ([stand_in("Dense", [np.full((3, 2), np.nan, "f4")])], r"\(Dense\) has NaN or infinity"),
        ([dense(3, 2), stand_in("ELU", alpha=0.0)], r"\(ELU\) is no elu that fastbp has: alpha must be"),
        ([dense(3, 2), stand_in("LeakyReLU", negative_slope=-0.3)], r"\(LeakyReLU\) is no leaky_relu that"),
        ([stand_in("Flatten", data_format="channels_first"), dense(3, 2)], r"must be of channels_last"),
        ([stand_in("Rescaling", scale=0.5, offset=-1.0), dense(3, 2)], r"\(Rescaling\) adds an offset"),
        ([dense(3, 2), stand_in("Rescaling", scale=0.5, offset=0.0)], r"\(Rescaling\) scales what is no input"),
        ([stand_in("Dropout")], "it has no layer"),
    ],
    ids=range(22),
)
def test_what_is_no_network_is_refused_by_its_name(given, message):
    with pytest.raises(ValueError, match=message):
        from_keras(Model(*given))


def test_a_call_of_its_own_is_refused():
    """Of a layer or a model, by its class or by itself: what it computes is not what Keras would."""
    own = stand_in("Dense", [np.zeros((3, 2), "f4")])
    type(own).call = lambda self, x: x
    with pytest.raises(ValueError, match=r"layer 'it' \(Dense\) has a call of its own"):
        from_keras(Model(own))
    replaced = dense(3, 2)
    replaced.call = lambda x: x
    with pytest.raises(ValueError, match=r"layer 'it' \(Dense\) has a call of its own"):
        from_keras(Model(replaced))
    subclass = type("Mine", (Model,), {"__call__": lambda self, x: x})
    with pytest.raises(ValueError, match=r"model 'model' \(Mine\) has a call of its own"):
        from_keras(subclass(dense(3, 2)))


def test_what_is_computed_between_layers_is_refused():
    layer, double = dense(3, 2), stand_in("Multiply")
    double.name = "multiply"
    model = Model(layer)
    model.operations = [layer]
    assert from_keras(model).sizes == (3, 2)
    model.operations = [layer, double]
    with pytest.raises(ValueError, match="model 'model' computes 'multiply' between its layers"):
        from_keras(model)


def test_a_scale_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"input_scale of layer 'it' \(Rescaling\) must be finite"):
        from_keras(Model(stand_in("Rescaling", scale=-1.0, offset=0.0), dense(3, 2)))
    with pytest.raises(ValueError, match=r"input_scale of layer 'it' \(Rescaling\) must be finite and > 0 and <= 1, got 2.0"):
        from_keras(Model(stand_in("Rescaling", scale=2.0, offset=0.0), dense(3, 2)))
    with pytest.raises(TypeError, match=r"input_scale of layer 'it' \(Rescaling\) must be a number"):
        from_keras(Model(stand_in("Rescaling", scale=[0.5, 0.5, 0.5], offset=0.0), dense(3, 2)))


def test_a_graph_that_is_no_chain_is_refused():
    with pytest.raises(ValueError, match="model 'model' has 2 inputs"):
        from_keras(Model(dense(3, 2), inputs=[0, 1]))
    with pytest.raises(ValueError, match="model 'model' has 2 outputs"):
        from_keras(Model(dense(3, 2), outputs=[0, 1]))
    twice = [{"config": {"name": "twice"}, "inbound_nodes": [0, 1]}]
    with pytest.raises(ValueError, match="layer 'twice' is used more than once"):
        from_keras(Model(dense(3, 2), layers=twice))
    with pytest.raises(TypeError, match="model must be a model of Keras"):
        from_keras(3)


def test_the_hard_sigmoid_of_keras_2_is_another(monkeypatch):
    assert from_keras(Model(dense(3, 2, "hard_sigmoid"))).output == fastbp.HardSigmoid()
    monkeypatch.setattr(keras_model, "_major_version", lambda layer: 2)
    with pytest.raises(ValueError, match="the hard_sigmoid of Keras 2, whose slope is 1/5"):
        from_keras(Model(dense(3, 2, "hard_sigmoid")))


def loss_of_keras(kind, **config):
    return stand_in(kind, **config)


@pytest.mark.parametrize(
    ("loss", "last", "expected"),
    [
        (None, "linear", losses.SquaredError()),
        (None, "softmax", losses.CrossEntropy()),
        (None, "sigmoid", losses.BinaryCrossEntropy()),
        ("mse", "sigmoid", losses.SquaredError("mean")),
        ("mean_squared_error", "linear", losses.SquaredError("mean")),
        ("mae", "linear", losses.AbsoluteError()),
        ("sparse_categorical_crossentropy", "softmax", losses.CrossEntropy()),
        (loss_of_keras("CategoricalCrossentropy", label_smoothing=0.1), "softmax", losses.CrossEntropy(0.1)),
        (loss_of_keras("SparseCategoricalCrossentropy", from_logits=True), "linear", losses.CrossEntropy()),
        (loss_of_keras("BinaryCrossentropy", from_logits=True), "linear", losses.BinaryCrossEntropy()),
        (loss_of_keras("Huber", delta=0.5), "tanh", losses.Huber(0.5)),
        (loss_of_keras("LogCosh"), "linear", losses.LogCosh()),
        ("poisson", "exponential", losses.Poisson()),
        ("poisson", "softplus", losses.SquaredError()),  # not a loss of fastbp's for these outputs
        ("categorical_crossentropy", "linear", losses.SquaredError()),
        ("hinge", "linear", losses.SquaredError()),
        (["mse"], "linear", losses.SquaredError()),
        (loss_of_keras("CategoricalCrossentropy", from_logits=True, label_smoothing=1.5), "linear", losses.SquaredError()),
    ],
    ids=range(18),
)
def test_the_loss_is_that_of_the_model_if_there_is_one(loss, last, expected):
    model = Model(dense(3, 2, last), loss=loss)
    assert from_keras(model).loss_function == expected
    if last == "linear":
        assert from_keras(model, loss="huber").loss_function == losses.Huber()


# --- Keras -----------------------------------------------------------------------------------------------------------------


def probed(model, X):
    return np.asarray(model.predict(X, verbose=0) if keras.backend.backend() != "numpy" else keras.ops.convert_to_numpy(model(X)))


def draw(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) / max(1, w.shape[0]) ** 0.5 for w in model.get_weights()])
    return model


@needs_keras
@own_warnings
@pytest.mark.parametrize("name", sorted({*keras_model.ACTIVATIONS} - {"softmax"}))
def test_activations_are_those_of_keras(name):
    model = draw(keras.Sequential([keras.Input((3,)), layers.Dense(5, activation=name), layers.Dense(4, activation=name)]))
    X = np.random.default_rng(1).normal(size=(40, 3)).astype("f4")
    agree(from_keras(model), X, probed(model, X))


@needs_keras
@own_warnings
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sequential_model(dtype):
    keras.config.set_floatx(dtype)
    try:
        model = keras.Sequential(
            [
                keras.Input((2, 3)),
                layers.Rescaling(1 / 4),
                layers.Flatten(),
                layers.Dense(5, use_bias=False),
                layers.LeakyReLU(0.3),
                layers.Dropout(0.5),
                layers.Dense(4, activation=layers.ELU(0.7)),
                keras.Sequential([layers.Dense(3, activation="gelu")]),
                layers.Dense(2, activation="softmax"),
            ]
        )
        draw(model).compile(loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    finally:
        keras.config.set_floatx("float32")
    net, X = from_keras(model), np.random.default_rng(1).normal(size=(9, 6)).astype(dtype)
    assert net.hidden == (fastbp.LeakyReLU(0.3), fastbp.ELU(0.7), fastbp.GELU())
    assert (net.loss_function, net.input_scale) == (fastbp.CrossEntropy(0.1), 0.25)
    agree(net, X, probed(model, X.reshape(9, 2, 3)))


@needs_keras
@own_warnings
def test_a_functional_chain_and_what_is_none():
    x = keras.Input((3,))
    shared = layers.Dense(3, activation="tanh", name="shared")
    once = keras.Model(x, layers.Dense(2)(shared(x)))
    X = np.random.default_rng(1).normal(size=(9, 3)).astype("f4")
    agree(from_keras(draw(once)), X, probed(once, X))
    twice = keras.Model(x, shared(shared(x)))
    with pytest.raises(ValueError, match="layer 'shared' is used more than once"):
        from_keras(twice)
    with pytest.raises(ValueError, match=r"\(Add\) is none of what"):
        from_keras(keras.Model(x, layers.Add()([shared(x), x])))
    with pytest.raises(ValueError, match="has 2 outputs"):
        from_keras(keras.Model(x, [shared(x), layers.Dense(2)(x)]))
    with pytest.raises(ValueError, match="is the model built"):
        from_keras(keras.Sequential([layers.Dense(2)]))


@needs_keras
@own_warnings
def test_what_a_program_computes_of_layers_is_no_network():
    """Operations that are no layers, and methods of classes of one's own, which the list of layers does not tell of."""
    x = keras.Input((3,))
    with pytest.raises(ValueError, match=r"computes 'multiply.*' between its layers"):
        from_keras(keras.Model(x, 2.0 * layers.Dense(2)(x)))
    with pytest.raises(ValueError, match=r"computes 'get_item.*' between its layers"):
        from_keras(keras.Model(x, layers.Dense(2)(x[:, ::-1])))

    def triple(self, inputs, training=None, mask=None):
        return 3.0 * super(type(self), self).call(inputs)

    for kind in (keras.Sequential, layers.Dense):
        own = type(kind.__name__, (kind,), {"call": triple})
        given = own([x, layers.Dense(2)]) if kind is keras.Sequential else keras.Sequential([x, own(2)])
        with pytest.raises(ValueError, match="has a call of its own"):
            from_keras(given)
    trained_otherwise = type("Mine", (keras.Model,), {"train_step": lambda self, data: {}})
    assert from_keras(trained_otherwise(x, layers.Dense(2)(x))).sizes == (3, 2)


@needs_keras
@own_warnings
def test_the_loss_of_keras_with_its_numbers():
    for loss, expected in (
        (keras.losses.Huber(delta=2.0), fastbp.Huber(2.0)),
        (keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2), fastbp.CrossEntropy(0.2)),
        (keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=1.5), fastbp.SquaredError()),  # none of ours
    ):
        model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
        model.compile(loss=loss)
        assert from_keras(model).loss_function == expected
