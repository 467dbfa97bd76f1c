"""Networks in the format of safetensors: the same bits back, every damage found, files of other libraries if they are networks."""

import json
import struct
import sys
from contextlib import suppress

import numpy as np
import pytest
import safetensors.numpy
from exported import random_network
from problems import DTYPES, make_net

import fastbp
from fastbp import ModelFormatError, load_safetensors
from fastbp.exports import safetensors_file


@pytest.fixture
def path(tmp_path):
    make_net([2, 3, 1], fastbp.ELU(0.3), dtype="float32").save_safetensors(tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def parted(content):
    """Header and data of a file."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def is_same(net, other):
    return repr(net) == repr(other) and net._settings() == other._settings() and net.params.tobytes() == other.params.tobytes()


# --- round trips -------------------------------------------------------------------------------------------------------------


def test_random_networks_come_back_to_the_bit(tmp_path):
    for seed in range(200):
        net = random_network(seed)
        net.save_safetensors(tmp_path / "net")
        assert is_same(load_safetensors(tmp_path / "net"), net)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_bits_come_back(tmp_path, dtype):
    net = fastbp.Network([3, 4, 2], dtype=dtype, rng=0)
    bits = np.random.default_rng(0).integers(0, np.iinfo(np.int64).max, net.params.size).astype(f"i{net.dtype.itemsize}")
    net.params[:] = bits.view(dtype)  # NaN of all kinds, too
    net.params[:3] = -0.0, np.finfo(dtype).smallest_subnormal, -np.inf
    net.save_safetensors(tmp_path / "net")
    assert load_safetensors(tmp_path / "net").params.tobytes() == net.params.tobytes()


def test_tensors_have_the_names_and_shapes_of_a_sequential(path):
    tensors = safetensors.numpy.load_file(path)
    assert {name: array.shape for name, array in tensors.items()} == {
        **{"0.weight": (3, 2), "0.bias": (3,)},
        **{"2.weight": (1, 3), "2.bias": (1,)},
    }
    net = load_safetensors(path)
    np.testing.assert_array_equal(tensors["2.weight"], net.weights[1])


def test_activations_of_your_own_are_looked_up_by_name(tmp_path):
    net = fastbp.Network([2, 3, 1], rng=0)
    net.save_safetensors(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    header, data = parted(content)
    note = json.loads(header["__metadata__"]["fastbp"])
    note["settings"] = note["settings"].replace('"relu"', '"mine"')
    note["sha256"] = safetensors_file._digest(note, [a for pair in zip(net.weights, net.biases, strict=True) for a in pair])
    header["__metadata__"]["fastbp"] = json.dumps(note)
    (tmp_path / "net").write_bytes(joined(header, data))
    with pytest.raises(ModelFormatError, match="cannot be built: activation 'mine' is not known; choose from"):
        load_safetensors(tmp_path / "net")


# --- damage ------------------------------------------------------------------------------------------------------------------


def read_or_refused(path, content):
    """The network in a file, None if that is refused as it should be."""
    path.write_bytes(content)
    with suppress(ModelFormatError):
        return load_safetensors(path)


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_seen(path, every):
    """Or, in the names of the header that nothing depends on, changes nothing."""
    content, net = bytearray(path.read_bytes()), load_safetensors(path)
    read = 0
    for place, bit in [divmod(number, 8) for number in range(0, 8 * len(content), every)]:
        content[place] ^= 1 << bit
        found = read_or_refused(path, content)
        read += found is not None
        assert found is None or is_same(found, net)
        content[place] ^= 1 << bit
    assert read < 100


def test_a_file_without_checksum_would_be_read_wrong(path, monkeypatch):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    assert read_or_refused(path, content) is None
    header, _ = parted(content)
    note = json.loads(header["__metadata__"]["fastbp"])
    monkeypatch.setattr(safetensors_file, "_digest", lambda *_: note["sha256"])
    assert read_or_refused(path, content) is not None


def test_every_truncation_and_what_is_too_long_is_seen(path):
    content = path.read_bytes()
    for length in range(len(content)):
        assert read_or_refused(path, content[:length]) is None
    assert read_or_refused(path, content + b"\0") is None


def changed(path, **changes):
    header, data = parted(path.read_bytes())
    header = {**header, **changes}
    return joined({name: value for name, value in header.items() if value is not None}, data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0.weight": None}, "safetensors file"),
        ({"0.weight": None, "1.weight": {"dtype": "F32", "shape": [3, 2], "data_offsets": [12, 36]}}, "do not fit its sizes"),
        ({"0.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [12, 36]}}, "do not fit its sizes"),
        ({"0.weight": {"dtype": "F64", "shape": [3], "data_offsets": [12, 36]}}, "do not fit its sizes"),
        ({"0.weight": {"dtype": "BF16", "shape": [6, 2], "data_offsets": [12, 36]}}, "tensor '0.weight' is of BF16"),
        ({"0.weight": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [12, 36]}}, "safetensors file"),
        ({"0.weight": {"dtype": "F32", "shape": [3, 2], "data_offsets": [12, 1 << 60]}}, "safetensors file"),
        ({"0.weight": {"dtype": "F32", "shape": [3, 2], "data_offsets": [12]}}, "safetensors file"),
        ({"0.weight": 3}, "safetensors file"),
        ({"__metadata__": {"fastbp": "{"}}, "its settings cannot be read"),
        ({"__metadata__": {"fastbp": "[" * 100_000}}, "its settings cannot be read"),
        ({"__metadata__": {"fastbp": "[]"}}, "its settings cannot be read"),
        ({"__metadata__": {"fastbp": '{"version": 1, "settings": "{}"}'}}, "its settings cannot be read|damaged"),
        ({"__metadata__": {"fastbp": '{"version": 2, "settings": ""}'}}, "reads up to 1: upgrade fastbp"),
        ({"__metadata__": {"fastbp": '{"version": 0, "settings": ""}'}}, "damaged: its version is 0"),
        ({"__metadata__": {"fastbp": '{"version": "1", "settings": ""}'}}, "damaged: its version is '1'"),
        ({"__metadata__": {"fastbp": 3}}, "safetensors file"),
        ({"__metadata__": 3}, "safetensors file"),
    ],
    ids=range(18),
)
def test_what_is_no_network_is_refused(path, changes, message):
    path.write_bytes(changed(path, **changes))
    with pytest.raises(ModelFormatError, match=message):
        load_safetensors(path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\0" * 8, b"\xff" * 8, b"\xff" * 100, struct.pack("<Q", 100_000_000) + b"{}", struct.pack("<Q", 1 << 40) + b"{}"),
        *(joined(each, b"") for each in (b"[]", b"3", b"null", b"[" * 200_000, b"\xff\xfe", b'{"a": {}}', b"{}")),
        joined(b'{"__metadata__": null}', b""),
        b"PK\x03\x04" + b"\0" * 30,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_other_files_are_refused_soon(tmp_path, content):
    assert read_or_refused(tmp_path / "other", content) is None


@pytest.mark.skipif(sys.platform == "win32", reason="a device")
def test_a_file_that_never_ends_is_refused():
    with pytest.raises(ModelFormatError, match="its header cannot have 0 bytes"):
        load_safetensors("/dev/zero")


def test_what_fails_leaves_the_file_that_was_there(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        fastbp.Network([2, 1], rng=0).save_safetensors(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --- files of other libraries ------------------------------------------------------------------------------------------------


def foreign(path, tensors):
    safetensors.numpy.save_file(tensors, path)
    return path


@pytest.mark.parametrize("names", ["0 2 4", "1 3 10", "net.0 net.3 net.6", "fc1 fc2 fc10", "a.2.layer_01 a.2.layer_2 a.2.layer_3"])
def test_tensors_of_a_sequential_make_a_network(tmp_path, names):
    net = make_net([3, 4, 5, 2], "tanh", "cross_entropy", dtype="float64")
    tensors = {}
    for name, w, b in zip(names.split(), net.weights, net.biases, strict=True):
        tensors |= {f"{name}.weight": w, f"{name}.bias": b}
    found = load_safetensors(foreign(tmp_path / "net", tensors), hidden="tanh", loss="cross_entropy")
    assert is_same(found, net)


def test_layers_without_biases_have_zeros(tmp_path):
    w = np.ones((2, 3), np.float32)
    found = load_safetensors(foreign(tmp_path / "net", {"0.weight": w}), hidden=[], output="sigmoid")
    np.testing.assert_array_equal(found.params, [1] * 6 + [0, 0])
    assert found.output == fastbp.Sigmoid()
    assert found.loss_function == fastbp.SquaredError()


def test_what_else_there_is_must_be_said_where_the_file_does_not(tmp_path, path):
    other = foreign(tmp_path / "net", {"0.weight": np.ones((2, 3), np.float32)})
    with pytest.raises(ModelFormatError, match=r"only tensors: say what else .* load_safetensors\(path, hidden='relu'"):
        load_safetensors(other)
    for name in ("hidden", "loss", "output"):
        with pytest.raises(ValueError, match=f"{name} must be left out: .*net.safetensors says it itself"):
            load_safetensors(path, **{name: "relu"})
    with pytest.raises(ValueError, match="hidden must name one activation for each of the 0 hidden layers, got 1"):
        load_safetensors(other, hidden=["relu"])


ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"0.weight": ONES, "0.running_mean": ONES[0]}, "tensor '0.running_mean' is no weight or bias of a numbered layer"),
        ({"weight": ONES}, "tensor 'weight' is no weight"),
        ({"a0.weight": ONES, "b0.weight": ONES.T}, "not those of one chain of layers: a0.weight, b0.weight"),
        ({"0.weight": ONES, "00.weight": ONES}, "not those of one chain"),
        ({"0.weight": ONES, "1.weight": ONES}, "the weights of layer 1 do not fit to what is before them"),
        ({"0.weight": ONES, "1.weight": ONES.T.astype("f8").copy()}, "the weights of layer 1 do not fit"),
        ({"0.weight": ONES[0]}, "the weights of layer 0 do not fit"),
        ({"0.weight": ONES[:0]}, "the weights of layer 0 do not fit"),
        ({"0.bias": ONES[0]}, "the weights of layer 0 do not fit"),
        ({"0.weight": ONES, "0.bias": ONES[0]}, "the biases of layer 0 do not fit"),
        ({"0.weight": ONES.astype(np.float16)}, "tensor '0.weight' is of F16"),
        ({}, "not those of one chain"),
    ],
    ids=range(12),
)
def test_tensors_that_are_no_network_are_refused(tmp_path, tensors, message):
    with pytest.raises(ModelFormatError, match=message):
        load_safetensors(foreign(tmp_path / "net", tensors), hidden="relu")
