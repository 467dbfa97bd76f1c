"""ONNX files that networks and estimators write: what ONNX Runtime computes from them is what they compute."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import onnx
import pytest
from conftest import ACTIVATIONS, DTYPES, label, make_net, make_samples
from onnx_graphs import TOLERANCE, error, outputs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

import fastbp
from fastbp import MLPClassifier, MLPRegressor, Network
from fastbp.activations import ACTIVATIONS as REGISTRY
from fastbp.exports.onnx import writing
from fastbp.exports.onnx.activations import FORMS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def test_every_activation_has_a_form():
    """One that is added to the package is added to `fastbp/exports/onnx/activations.py`, too."""
    ours = {cls for cls in REGISTRY.classes if cls.__module__ == "fastbp.activations"}
    assert set(FORMS) == {*ours, fastbp.Softmax}


@pytest.mark.parametrize("loss", ["squared", "cross_entropy", "binary_cross_entropy", "poisson"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
def test_a_runtime_computes_what_the_network_computes(path, activation, dtype, loss):
    net = make_net((5, 7, 6, 3), activation, loss, dtype=dtype, input_scale=0.5)
    X = make_samples(40, 5, dtype)
    net.to_onnx(path)
    found = outputs(path, X)
    assert found.keys() == {"Y"}
    assert found["Y"].dtype == dtype
    assert error(found["Y"], net, X) < TOLERANCE[dtype]
    again = fastbp.from_onnx(path)
    assert again._settings() == net._settings()
    assert again.params.tobytes() == net.params.tobytes()


def test_any_number_of_rows(path):
    net = make_net((5, 7, 3), "gelu")
    net.to_onnx(path)
    for count in (0, 1, 2, 300):
        found = outputs(path, X := make_samples(count, 5))["Y"]
        assert found.shape == (count, 3)
        assert count == 0 or error(found, net, X) < 1e-12


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
def test_of_any_raw_output(path, activation, dtype):
    """One unit each with the weight 1: far out, near zero, where it bends, and the smallest numbers."""
    far = 80.0 if activation.name == "exp" else 1e30
    z = np.concatenate([np.linspace(-30, 30, 601), *(sign * np.geomspace(np.finfo(dtype).tiny, far, 300) for sign in (-1, 1))])
    z = np.append(z, np.array([5, -5]) * np.finfo(dtype).smallest_subnormal).astype(dtype)[:, None]
    net = Network([1, 1], output=activation, dtype=dtype, weights=[[[1.0]]], biases=[[0.0]])
    net.to_onnx(path)
    found, expected = outputs(path, z)["Y"], net(z)
    # e**z is as exact as z: an error of rounding in z is one of as many units of the result
    units = np.maximum(np.abs(expected), 1.0)
    assert (np.abs(found - expected) / units).max() < TOLERANCE[dtype]


RANDOM = 200


def random_network(number):
    """A network of any shape, classes and size of weights."""
    rng = np.random.default_rng([19, number])
    dtype = DTYPES[number % 2]
    sizes = rng.integers(1, 12, rng.integers(2, 6)).tolist()
    kinds = [each for each in ACTIVATIONS if each.name != "exp"]  # of which two layers overflow
    hidden = [kinds[i] for i in rng.integers(len(kinds), size=len(sizes) - 2)]
    loss = ["squared", "cross_entropy", "binary_cross_entropy", "poisson", "huber"][rng.integers(5)]
    output = kinds[rng.integers(len(kinds))] if loss in ("squared", "huber") else None
    scale = [1.0, float(rng.uniform(0.001, 1.0))][rng.integers(2)]
    net = Network(sizes, hidden, loss, output=output, dtype=dtype, input_scale=scale, rng=rng)
    net.params[:] = rng.normal(size=net.params.size)
    size = [1.0, 1.0, 100.0, 1e10, float(np.finfo(dtype).tiny) / 8][rng.integers(5)]
    net.weights[0][:] *= size if loss != "poisson" or size < 1.0 else 1.0
    return net, rng.normal(size=(20, sizes[0])).astype(dtype)


@pytest.mark.parametrize("first", range(0, RANDOM, 20))
def test_random_networks_there_and_back(path, first):
    for number in range(first, first + 20):
        net, X = random_network(number)
        net.to_onnx(path)
        assert error(outputs(path, X)["Y"], net, X) < TOLERANCE[net.dtype.name], number
        again = fastbp.from_onnx(path)
        assert again.params.tobytes() == net.params.tobytes()
        assert again._settings() == net._settings()
        again.to_onnx(path.with_name("again"))
        assert path.with_name("again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_of_any_bits_come_back(path, dtype):
    net = Network([20, 30, 10], dtype=dtype)
    integers = {"float32": np.uint32, "float64": np.uint64}[dtype]
    bits = np.random.default_rng(0).integers(0, np.iinfo(integers).max, net.params.size, integers).view(dtype)
    bits[~np.isfinite(bits)] = -0.0
    bits[:4] = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal, -0.0, np.finfo(dtype).min
    net.params[:] = bits
    net.to_onnx(path)
    assert fastbp.from_onnx(path).params.tobytes() == bits.tobytes()


def test_what_the_model_says_of_itself(path):
    net = Network([3, 2], loss=fastbp.Huber(0.3), dtype="float64", rng=0)
    net.to_onnx(path)
    model = onnx.load(path)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    assert (model.producer_name, model.producer_version) == ("fastbp", fastbp.__version__)
    assert model.doc_string == repr(net)
    (noted,) = model.metadata_props
    assert noted.key == "fastbp.loss"
    assert json.loads(noted.value) == {"name": "huber", "parameters": {"delta": 0.3}}
    assert "opset 13 and IR version 7" in Network.to_onnx.__doc__


@pytest.mark.parametrize("input_dtype", ["uint8", "int8", "float16", "float32", "float64", np.dtype("uint8")], ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_of_other_types(path, dtype, input_dtype):
    net = make_net((6, 5, 2), "tanh", dtype=dtype, input_scale=1 / 255)
    net.to_onnx(path, input_dtype=input_dtype)
    X = np.random.default_rng(0).integers(0, 120, (9, 6)).astype(input_dtype)
    assert error(outputs(path, X)["Y"], net, X) < TOLERANCE[dtype]
    assert fastbp.from_onnx(path).input_scale == net.input_scale


# --- what cannot be written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": 3}, TypeError, "path must be a str or a path, got 3"),
        ({"path": b"x"}, TypeError, "path must be"),
        ({"input_dtype": "int64"}, ValueError, "input_dtype must be one of float32, float64, .*got 'int64'"),
        ({"input_dtype": "quick"}, ValueError, "input_dtype must be .*got 'quick'"),
    ],
)
def test_arguments_are_checked(path, arguments, error, message):
    with pytest.raises(error, match=message):
        Network([2, 1], rng=0).to_onnx(**{"path": path} | arguments)
    assert not path.exists()


def test_more_than_a_file_holds(path, monkeypatch):
    net = Network([30, 40], dtype="float64", rng=0)
    monkeypatch.setattr(writing, "LARGEST", net.params.nbytes)
    net.to_onnx(path)
    monkeypatch.setattr(writing, "LARGEST", net.params.nbytes - 1)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"ends at 2 GiB.*net.copy\('float32'\)"):
        net.to_onnx(path)
    assert path.read_bytes() == before


OWN = """
import fastbp
from fastbp.activations import ACTIVATIONS, Activation
@ACTIVATIONS.register
class Cube(Activation):
    name = "cube"
    value = staticmethod(lambda z, alpha: z * z * z)
    slope = staticmethod(lambda z, a, alpha: 3.0 * z * z)
try:
    fastbp.Network([2, 3, 3, 1], ["relu", "cube"]).to_onnx("never.onnx")
except ValueError as error:
    print(error)
"""


def test_activations_of_users_are_named(tmp_path):
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "to_onnx has no operators of ONNX for hidden[1]=Cube()" in done.stdout
    assert os.listdir(tmp_path) == []


def test_networks_of_tables_are_refused(path):
    from fastbp.engine.encoder import Encoder
    from fastbp.tabular_network import TabularNetwork

    net = TabularNetwork(Encoder(0, 3, 0, 0), [4], 2, rng=0)
    with pytest.raises(TypeError, match="to_onnx cannot write a TabularNetwork"):
        net.to_onnx(path)


class Named(Network):
    pass


class Doubled(Named):
    def __call__(self, X, n_threads=None):
        return 2 * super().__call__(X, n_threads)


def test_networks_of_other_classes(path):
    net = Named([2, 3, 1], rng=0)
    net.to_onnx(path)
    X = make_samples(5, 2, "float32")
    assert error(outputs(path, X)["Y"], net, X) < 1e-5
    other = Doubled([2, 3, 1], rng=0)
    with pytest.raises(TypeError, match=r"would not write Doubled.__call__.*net.copy\(\)"):
        other.to_onnx(path)
    other.copy().to_onnx(path)


def test_a_file_is_whole_or_as_it_was(path, monkeypatch):
    Network([2, 3, 1], rng=0).to_onnx(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        Network([2, 4, 1], rng=0).to_onnx(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


# --- estimators --------------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)) * [1, 100, 1e-3, 5] + [0, 1e5, 3, -2]
NUMBERS = np.arange(90) % 3
CLASSES = {
    "int": NUMBERS,
    "int two": NUMBERS == 1,
    "negative": 1 - NUMBERS.astype(np.int8),
    "float": NUMBERS * 2.0,
    "text": np.array(["yes", "no", "perhaps"])[NUMBERS],
    "text two": np.array(["ja", "nein", "ja"], dtype=object)[NUMBERS],
    "bool": NUMBERS > 0,
    "one": np.full(90, 7),
    "sets": np.eye(3, dtype=int)[NUMBERS] | np.eye(3, dtype=int)[NUMBERS[::-1]],
}
SCALERS = {
    "standard": StandardScaler(),
    "centred": StandardScaler(with_std=False),
    "min-max": MinMaxScaler((-1, 2), clip=True),
    "max-abs": MaxAbsScaler(),
    "robust": RobustScaler(),
    "pipeline": make_pipeline(RobustScaler(with_centering=False), "passthrough", make_pipeline(StandardScaler(with_mean=False))),
}
SHORT = {"hidden_layer_sizes": (6, 5), "max_iter": 3, "random_state": 0}


@pytest.fixture(autouse=True)
def _short(recwarn):
    warnings.simplefilter("ignore", ConvergenceWarning)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("kind", CLASSES)
def test_classes_and_probabilities(path, kind, n_networks, dtype):
    y = CLASSES[kind]
    pipe = make_pipeline(StandardScaler(), MLPClassifier(**SHORT, n_networks=n_networks, dtype=dtype)).fit(X, y)
    pipe[-1].to_onnx(path, pipe[:-1])
    found = outputs(path, X)
    assert list(found) == ["label", "probabilities"]
    assert found["label"].dtype == (object if kind.startswith("text") else np.int64)
    np.testing.assert_array_equal(found["label"], pipe.predict(X))
    assert found["probabilities"].dtype == dtype
    np.testing.assert_allclose(found["probabilities"], pipe.predict_proba(X), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("kind", ["int", "text two", "sets"])
def test_networks_come_back_from_classifiers(path, kind):
    model = MLPClassifier(**SHORT).fit(scaled := StandardScaler().fit_transform(X), CLASSES[kind])
    model.to_onnx(path)
    again = fastbp.from_onnx(path)
    assert again.params.tobytes() == model._net().params.tobytes()
    assert again.loss_function == model._net().loss_function
    expected = model.predict_proba(scaled)
    np.testing.assert_allclose(again(scaled), expected[:, 1:] if again.sizes[-1] == 1 else expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scaler", SCALERS)
def test_scalers(path, scaler, dtype):
    pipe = make_pipeline(SCALERS[scaler], MLPRegressor(**SHORT, dtype=dtype)).fit(X, NUMBERS)
    pipe[-1].to_onnx(path, pipe[:-1])
    units = np.abs(pipe.predict(X)).max()
    np.testing.assert_allclose(outputs(path, X)["variable"][:, 0], pipe.predict(X), rtol=0, atol=TOLERANCE[dtype] * units)
    pipe[-1].to_onnx(path, pipe[:-1], input_dtype="float32")  # the scaler computes in float64 all the same
    rows = X.astype(np.float32)
    expected = pipe.predict(rows.astype(np.float64))
    np.testing.assert_allclose(outputs(path, rows)["variable"][:, 0], expected, rtol=0, atol=TOLERANCE[dtype] * units)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
@pytest.mark.parametrize("n_networks", [1, 3])
def test_numbers(path, loss, n_networks):
    targets = np.abs(RNG.normal(size=(90, 2)))
    scaled = StandardScaler().fit_transform(X)
    model = MLPRegressor(**SHORT, loss=loss, activation=["gelu", "tanh"], n_networks=n_networks).fit(scaled, targets)
    model.to_onnx(path)
    expected = model.predict(scaled)
    np.testing.assert_allclose(outputs(path, scaled)["variable"], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_estimators_that_cannot_be_written(path):
    model = MLPClassifier(**SHORT)
    with pytest.raises(NotFittedError):
        model.to_onnx(path)
    model.fit(X / 1e5, NUMBERS)
    with pytest.raises(NotFittedError):
        model.to_onnx(path, StandardScaler())
    with pytest.raises(TypeError, match=r"scaler must be one of StandardScaler, .* or a Pipeline of them, got PCA\(\)"):
        model.to_onnx(path, make_pipeline(StandardScaler(), PCA()).fit(X))
    with pytest.raises(ValueError, match="scaler is of 2 features, and the network of 4"):
        model.to_onnx(path, StandardScaler().fit(X[:, :2]))
    model.classes_ = np.array([b"a", b"b", b"c"], dtype=object)
    with pytest.raises(ValueError, match="classes_ must be numbers or text"):
        model.to_onnx(path)
    assert not path.exists()
