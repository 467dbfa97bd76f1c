"""What no export writes: networks that compute more than their layers, and formulas that no format has."""

import sys

import pytest

import fastbp
from fastbp import activations, losses
from fastbp.engine.encoder import Encoder
from fastbp.tabular_network import TabularNetwork

EXPORTS = {
    "to_c": lambda net, folder: net.to_c(folder / "net.c"),
    "to_onnx": lambda net, folder: net.to_onnx(folder / "net.onnx"),
    "to_numpy": lambda net, folder: net.to_numpy(folder / "net.py"),
    "to_torch": lambda net, folder: net.to_torch(),
    "save_safetensors": lambda net, folder: net.save_safetensors(folder / "net.safetensors"),
}
every_export = pytest.mark.parametrize("export", EXPORTS)


@pytest.fixture
def own(monkeypatch):
    """An activation and a loss of a user, which are forgotten after the test."""
    for registry in (activations.ACTIVATIONS, losses.LOSSES):
        monkeypatch.setattr(registry, "classes", list(registry.classes))

    @activations.ACTIVATIONS.register
    class Square(activations.Activation):
        name = "square"

        @staticmethod
        def value(z, alpha):
            return z * z

        @staticmethod
        def slope(z, a, alpha):
            return z + z

    @losses.LOSSES.register
    class Fourth(losses.Loss):
        name = "fourth"

        @staticmethod
        def value_and_grad(x, y, d, count, stride, scale):
            return scale

    return Square(), Fourth()


def refused(error, message, export, net, folder):
    with pytest.raises(error, match=message):
        EXPORTS[export](net, folder)
    assert not list(folder.iterdir())


@every_export
def test_a_network_of_tables_is_refused(export, tmp_path):
    net = TabularNetwork(Encoder(1, 1, 0, 0), [3], 2, rng=0)
    refused(TypeError, f"{export} cannot write a TabularNetwork: it reads rows that the columns_", export, net, tmp_path)


@every_export
def test_a_class_that_computes_something_else_is_refused(export, tmp_path):
    class Twice(fastbp.Network):
        def __call__(self, X):
            return 2 * super().__call__(X)

    class Named(fastbp.Network):
        pass

    net = Twice([2, 3, 1], rng=0)
    refused(TypeError, f"{export} would not write Twice.__call__, but the network alone: write net.copy", export, net, tmp_path)
    if export != "to_torch":
        EXPORTS[export](Named([2, 3, 1], rng=0), tmp_path)
        EXPORTS[export](net.copy(), tmp_path)


@pytest.mark.parametrize("export", sorted({*EXPORTS} - {"save_safetensors", "to_onnx"}))
def test_an_activation_of_your_own_is_named(export, tmp_path, own):
    message = rf"{export} has no formula of {{}}=Square\(\), which is your own"
    net = fastbp.Network([2, 3, 3, 1], ["relu", own[0]], rng=0)
    refused(ValueError, message.format(r"hidden\[1\]"), export, net, tmp_path)
    refused(ValueError, message.format("output"), export, fastbp.Network([2, 1], output=own[0], rng=0), tmp_path)


def test_a_loss_of_your_own_matters_where_it_is_computed_only(tmp_path, own):
    net = fastbp.Network([2, 3, 1], loss=own[1], rng=0)
    net.to_c(tmp_path / "net.c")
    net.to_numpy()
    with pytest.raises(ValueError, match=r"to_c\(training=True\) has no formula of loss=Fourth\(\), which is your own"):
        net.to_c(tmp_path / "other.c", training=True)
    assert not (tmp_path / "other.c").exists()


def test_safetensors_keep_what_is_your_own_by_its_name(tmp_path, own):
    net = fastbp.Network([2, 3, 1], own[0], own[1], rng=0)
    net.save_safetensors(tmp_path / "net")
    assert fastbp.load_safetensors(tmp_path / "net")._settings() == net._settings()


@every_export
def test_a_path_must_be_one(export):
    if export != "to_torch":
        with pytest.raises(TypeError, match="path must be a str or a path, got 3"):
            getattr(fastbp.Network([2, 1], rng=0), export)(3)


def test_no_library_is_imported_before_it_is_needed():
    import subprocess

    code = (
        "import sys, fastbp; fastbp.Network([2, 1]).to_numpy(); print({'safetensors', 'torch', 'onnx', 'keras'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
