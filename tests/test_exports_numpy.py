"""Networks as Python programs: they run with NumPy alone, and agree with the kernels as far as rounding goes."""

import ast
import re
import subprocess
import sys

import numpy as np
import pytest
from exported import agree, drawn, every_kind, random_network, samples
from problems import ACTIVATIONS, DTYPES

import fastbp
from fastbp import activations
from fastbp.exports import numpy_source


def executed(text):
    namespace = {}
    exec(compile(text, "program", "exec"), namespace)
    return namespace


def agrees(net, X, predict):
    with np.errstate(over="ignore"):  # where the network gives infinity
        agree(net, X, predict(X))
    np.testing.assert_array_equal(predict(X[0]).shape, (net.sizes[-1],))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_activation_and_link(dtype):
    for net in every_kind(dtype):
        agrees(net, samples(net, 9), executed(net.to_numpy())["predict"])


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_random_networks():
    for seed in range(200):
        net = random_network(seed)
        agree(net, samples(net, 5, seed), executed(net.to_numpy())["predict"](samples(net, 5, seed)))


def test_a_formula_that_loses_digits_is_seen():
    net = drawn([1, 1, 1], "elu", "squared", 0)
    net.weights, net.biases = [[[1.0]], [[1.0]]], [[0.0], [0.0]]
    X, text = np.float32([[-1e-4], [0.5]]), net.to_numpy()
    agrees(net, X, executed(text)["predict"])
    with pytest.raises(AssertionError, match="of what rounding explains"):
        agrees(net, X, executed(re.sub(r"np\.expm1\((.*?\))\)", r"(np.exp(\1) - 1)", text))["predict"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("most", [0, numpy_source.MOST_IN_DIGITS])
def test_parameters_are_exact(monkeypatch, dtype, most):
    monkeypatch.setattr(numpy_source, "MOST_IN_DIGITS", most)
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    net = fastbp.Network([7, 20, 3], dtype=dtype, rng=0)
    bits = rng.integers(0, np.iinfo(np.int64).max, net.params.size).astype(f"i{info.bits // 8}")
    net.params[:] = np.where(np.isfinite(bits.view(dtype)), bits.view(dtype), -0.0)
    net.params[:5] = info.max, info.smallest_subnormal, -info.smallest_normal, 1 + info.eps, -0.0
    namespace = executed(net.to_numpy())
    for name in ("weights", "biases"):
        for ours, theirs in zip(getattr(net, name), namespace[name], strict=True):
            assert theirs.dtype == net.dtype
            assert theirs.tobytes() == ours.tobytes()
    assert ("base64" in net.to_numpy()) == (most == 0)


def test_digits_that_would_be_rounded_twice_are_not_shortened():
    """One decimal in very many is so near to the middle of two float32 that it becomes the other one by way of float64."""
    tie = np.float32(1 + 2**-23)
    number = type("Odd", (np.float32,), {"__str__": lambda self: "1.00000005960464477539062500001"})(tie)
    assert numpy_source._digits(number) == repr(float(tie))
    assert numpy_source._digits(np.float32(0.1)) == "0.1"


def test_the_program_needs_numpy_alone(tmp_path):
    net = drawn([4, 30, 30, 2], ["gelu", fastbp.ELU(0.3)], "cross_entropy", 0)
    text = net.to_numpy(tmp_path / "net.py")
    assert (tmp_path / "net.py").read_text() == text
    imported = {alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"numpy", "math", "base64"}
    code = "import sys, net; print(net.predict([1.0, -2.0, 0.5, 3.0]).tolist(), 'fastbp' in sys.modules)"
    printed = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    values, loaded = printed.stdout.rsplit(" ", 1)
    assert loaded == "False\n"
    np.testing.assert_allclose(ast.literal_eval(values), net([1.0, -2.0, 0.5, 3.0]), rtol=1e-5)


def test_the_program_is_to_be_read():
    net = fastbp.Network([2, 3, 1], [fastbp.LeakyReLU(0.2)], rng=0, input_scale=0.5)
    net.params[:] = 0.25
    text = net.to_numpy()
    assert text.startswith('"""A network of 2-3-1, leaky_relu, identity, float32, inputs times 0.5; written by fastbp ')
    assert "a = leaky_relu(a @ weights[0].T + biases[0], dtype.type(0.2))" in text
    assert "sigmoid" not in text
    assert max(map(len, text.splitlines())) <= 132


def test_every_class_has_a_formula():
    """Add that of a new one to `fastbp/exports/numpy_source.py`, as a function of its name."""
    assert numpy_source.FUNCTIONS.keys() == {*activations.ACTIVATIONS.classes, activations.Softmax}
    for cls, text in numpy_source.FUNCTIONS.items():
        assert (f"def {cls.name}(z" in text) == (cls is not activations.Identity)
    assert {type(each) for each in ACTIVATIONS} == numpy_source.FUNCTIONS.keys() - {activations.Softmax}


def test_the_limit_is_that_of_the_documentation():
    assert f"Up to {numpy_source.MOST_IN_DIGITS} parameters" in fastbp.Network.to_numpy.__doc__


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("old")
    net = fastbp.Network([2, 3, 1], rng=0)
    net.weights[0][1, 1] = -np.inf
    with pytest.raises(ValueError, match=r"to_numpy writes numbers, but weights\[0\] holds NaN or infinity"):
        net.to_numpy(path)
    with pytest.raises(TypeError, match="path must be a str or a path"):
        net.to_numpy(3)
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ['a"""b', "back\\", "new\nline", "ä", "'"])
def test_names_of_columns_cannot_end_the_docstring_that_they_are_in(name):
    net = fastbp.Network([1, 1], rng=0)
    scaling = numpy_source.Scaling(np.zeros(1), np.ones(1), inputs=[name], outputs=[name])
    text = numpy_source.source(net, scaling)
    assert text.isascii()
    np.testing.assert_allclose(executed(text)["predict"]([[0.5]]), net([[0.5]]))
