"""Model files: equal to the bit, every damage found, nothing run, never half written."""

import errno
import gzip
import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import sys
import tempfile
from functools import partial

import numpy as np
import pytest

import fastbp
from fastbp.files import model_file, tree
from fastbp.files.model_file import ModelFormatError, read_header

HEAD = struct.Struct("<8sIIQ")


def sealed(header, data=b"", version=1):
    """A file with a right checksum, whatever it holds."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = HEAD.pack(model_file.MAGIC, version, len(text), len(data)) + text + data
    return content + hashlib.sha256(content).digest()


@pytest.fixture
def net():
    return fastbp.Network([2, 3, 1], hidden=fastbp.LeakyReLU(0.1), loss="squared", rng=0)


@pytest.fixture
def path(net, tmp_path):
    net.save(tmp_path / "net.fastbp")
    return tmp_path / "net.fastbp"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "settings",
    [
        {"sizes": [1, 1]},
        {"sizes": [3, 5, 2], "hidden": "tanh", "loss": "cross_entropy"},
        {"sizes": [3, 5, 2], "hidden": "gelu", "loss": "binary_cross_entropy"},
        {"sizes": [4, 7, 6, 2], "hidden": [fastbp.ELU(0.25), "silu"], "output": "sigmoid"},
        {"sizes": [4, 1], "loss": fastbp.SquaredError(reduction="mean"), "output": fastbp.LeakyReLU(1 / 3)},
        {"sizes": [4, 1], "input_scale": 1 / 255},
    ],
    ids=["smallest", "cross-entropy", "binary", "per layer", "hyper-parameters", "scale"],
)
def test_round_trip_is_exact(tmp_path, settings, dtype):
    net = fastbp.Network(**settings, dtype=dtype, rng=1)
    net.params[0], net.params[-1] = -0.0, np.finfo(dtype).smallest_subnormal
    net.save(tmp_path / "net.fastbp")
    again = fastbp.load(tmp_path / "net.fastbp")
    assert again.params.tobytes() == net.params.tobytes()
    assert list(again.sizes) == list(net.sizes)
    assert again.dtype == net.dtype
    assert again.input_scale == net.input_scale
    assert (again.hidden, again.output, again.loss_function) == (net.hidden, net.output, net.loss_function)
    X = np.random.default_rng(0).normal(size=(5, net.sizes[0])).astype(dtype)
    assert again(X).tobytes() == net(X).tobytes()
    assert again.weights[0].flags.writeable


def test_same_network_same_bytes(net, path, tmp_path):
    net.copy().save(tmp_path / "copy.fastbp")
    assert (tmp_path / "copy.fastbp").read_bytes() == path.read_bytes()


def test_extra_comes_back(net, tmp_path):
    extra = {"classes": ["ä", "b"], "mean": [0.1, 1 / 3, 5e-324], "columns": {"n": 3, "none": None, "yes": True}}
    net.save(tmp_path / "net.fastbp", extra)
    assert read_header(tmp_path / "net.fastbp")["extra"] == extra
    assert set(read_header(tmp_path / "net.fastbp")) == model_file.HEADER_KEYS


# --- files that are open -----------------------------------------------------------------------------------------------------


def test_networks_in_one_file_are_read_one_after_the_other(net, path):
    other = fastbp.Network([3, 4, 2], loss="cross_entropy", dtype="float64", rng=1)
    file = io.BytesIO()
    file.write(b"before")
    net.save(file)
    other.save(file, {"a": 1})
    file.write(b"after")
    assert file.getvalue() == b"before" + path.read_bytes() + saved(other, {"a": 1}) + b"after"
    file.seek(6)
    for each in (net, other):
        assert saved(fastbp.load(file)) == saved(each)
    assert file.read() == b"after"
    file.seek(6 + len(path.read_bytes()))
    assert read_header(file)["extra"] == {"a": 1}


def saved(net, extra=None):
    file = io.BytesIO()
    net.save(file, extra)
    return file.getvalue()


class Slow(io.RawIOBase):
    """Reads and writes three bytes at a time."""

    def __init__(self, content=b""):
        self.content = bytearray(content)

    def readable(self):
        return True

    writable = readable

    def write(self, part):
        self.content += bytes(part)[:3]
        return min(3, len(part))

    def readinto(self, buffer):
        count = min(3, len(buffer), len(self.content))
        buffer[:count], self.content[:count] = self.content[:count], b""
        return count


def test_files_of_any_kind_that_are_open(net, path, tmp_path):
    content = path.read_bytes()
    slow = Slow()
    net.save(slow)
    assert not slow.closed
    assert bytes(slow.content) == content
    assert saved(fastbp.load(Slow(content))) == content
    for opening in (gzip.open, open, partial(open, buffering=0)):
        with opening(tmp_path / "opened", "wb") as file:
            net.save(file)
        with opening(tmp_path / "opened", "rb") as file:
            assert saved(fastbp.load(file)) == content


def test_a_damaged_file_that_is_open_is_rejected(path):
    content = path.read_bytes()
    for length in range(len(content)):
        with pytest.raises(ModelFormatError):
            fastbp.load(io.BytesIO(content[:length]))
    with pytest.raises(ModelFormatError, match=r"^<_io\.BytesIO .* is damaged: its checksum"):
        fastbp.load(io.BytesIO(content[:-1] + b"\0"))
    with open(path, "rb") as file:
        file.seek(1)
        with pytest.raises(ModelFormatError, match=r"net\.fastbp is no fastbp model"):
            fastbp.load(file)


class Counting(io.BytesIO):
    asked = 0

    def read(self, count=-1):
        self.asked = max(self.asked, count if count >= 0 else 1 << 62)
        return super().read(count)


def test_no_more_is_asked_for_than_a_file_can_hold():
    file = Counting(HEAD.pack(model_file.MAGIC, 1, 2**32 - 1, 2**63) + bytes(32))
    with pytest.raises(ModelFormatError, match="length"):
        fastbp.load(file)
    assert file.asked <= 1 << 24


@pytest.mark.parametrize("value", [1, True, None, 2.5, object(), [b"x"]])
def test_what_is_no_path_and_no_file_is_refused(net, value):
    for call in (fastbp.load, read_header, net.save):
        with pytest.raises(TypeError, match="path must be a path, or a file"):
            call(value)


def test_descriptors_stay_open(net, path):
    descriptor = os.open(path, os.O_RDONLY)
    for call in (fastbp.load, net.save):
        with pytest.raises(TypeError, match="path"):
            call(descriptor)
    os.close(descriptor)  # an error if it is closed


def test_files_of_text_are_refused(net, path, tmp_path):
    for opened in (io.StringIO, partial(open, path), partial(open, tmp_path / "new", "w"), partial(tempfile.TemporaryFile, "w+")):
        with opened() as file:
            for call, mode in ((net.save, "wb"), (fastbp.load, "rb")):
                with pytest.raises(TypeError, match=f"path must be a file that is open in binary mode, as by .*'{mode}'"):
                    call(file)


def test_bytes_are_a_path(net, path):
    net.save(os.fsencode(path))
    path.write_bytes(b"")
    with pytest.raises(ModelFormatError, match=r"net\.fastbp"):
        fastbp.load(os.fsencode(path))


# --- damage ------------------------------------------------------------------------------------------------------------------


def test_every_truncation_is_rejected(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFormatError, match=r"net\.fastbp"):
            fastbp.load(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ModelFormatError, match="length"):
        fastbp.load(path)


def test_every_flipped_bit_is_rejected(path):
    content = bytearray(path.read_bytes())
    for i in range(len(content)):
        for bit in range(8):
            content[i] ^= 1 << bit
            path.write_bytes(content)
            with pytest.raises(ModelFormatError, match=r"net\.fastbp"):
                read_header(path)
            content[i] ^= 1 << bit
    path.write_bytes(content)
    read_header(path)


def test_newer_format_says_upgrade(path):
    path.write_bytes(sealed({}, version=model_file.VERSION + 1))
    with pytest.raises(
        ModelFormatError,
        match=rf"has format {model_file.VERSION + 1}, but this fastbp reads up to {model_file.VERSION}: upgrade fastbp",
    ):
        fastbp.load(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01.", b"x" * 1000])
def test_other_files_are_no_models(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match="is no fastbp model file"):
        fastbp.load(path)


VALID = {
    "sizes": [2, 3, 1],
    "dtype": "float32",
    "input_scale": 0.5,
    "hidden": [{"name": "relu", "parameters": {}}],
    "output": {"name": "identity", "parameters": {}},
    "loss": {"name": "squared", "parameters": {"reduction": "sum"}},
    "extra": {},
}
DATA = bytes(4 * 13)


def test_a_sealed_header_is_accepted(path):
    path.write_bytes(sealed(VALID, DATA))
    net = fastbp.load(path)
    assert not net.params.any()
    assert net.loss_function == fastbp.SquaredError("sum")
    assert net.input_scale == 0.5


def test_files_of_version_1_had_no_scale(path):
    header = {key: value for key, value in VALID.items() if key != "input_scale"}
    path.write_bytes(sealed(header, DATA, version=1))
    assert fastbp.load(path).input_scale == 1.0
    path.write_bytes(sealed(header, DATA, version=model_file.VERSION))
    with pytest.raises(ModelFormatError, match="lacks what describes a network"):
        fastbp.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [2, 3, 2]}, "data do not fit"),
        ({"sizes": [2**62, 2**62, 1]}, "data do not fit"),
        ({"sizes": [1] * 5000}, "sizes"),
        ({"sizes": [2, 0, 1]}, "sizes"),
        ({"sizes": [2, True, 1]}, "sizes"),
        ({"input_scale": 0.0}, "input_scale"),
        ({"input_scale": "1"}, "input_scale"),
        ({"sizes": [2.0, 3, 1]}, "sizes"),
        ({"sizes": [2]}, "sizes"),
        ({"sizes": "231"}, "sizes"),
        ({"sizes": None}, "sizes"),
        ({"dtype": "float16"}, "dtype"),
        ({"dtype": "object"}, "dtype"),
        ({"dtype": ["float32"]}, "dtype"),
        ({"dtype": "float64"}, "data do not fit"),
        ({"hidden": [{"name": "os.system", "parameters": {}}]}, "'os.system' is not known"),
        ({"hidden": [{"name": "relu", "parameters": {"alpha": 1}}]}, "cannot be built"),
        ({"hidden": [{"name": "elu", "parameters": {"alpha": -1}}]}, "alpha"),
        ({"hidden": [{"name": "elu", "parameters": {"alpha": float("nan")}}]}, "header"),
        ({"hidden": [{"name": "elu", "parameters": {"alpha": [1]}}]}, "alpha"),
        ({"hidden": [{"name": "elu", "parameters": [1]}]}, "cannot be built"),
        ({"hidden": [{"name": "relu"}]}, "parameters"),
        ({"hidden": [{"parameters": {}}]}, "name"),
        ({"hidden": ["relu"]}, "cannot be built"),
        ({"hidden": []}, "cannot be built"),
        ({"hidden": None}, "cannot be built"),
        ({"output": 3}, "cannot be built"),
        ({"output": {"name": "softmax", "parameters": {}}}, "cannot be built"),
        ({"loss": None}, "cannot be built"),
        ({"loss": {"name": "squared", "parameters": {"reduction": "product"}}}, "reduction"),
        ({"loss": {"name": "squared", "parameters": {"reduction": []}}}, "cannot be built"),
        (
            {"loss": {"name": "cross_entropy", "parameters": {}}, "output": {"name": "relu", "parameters": {}}},
            "cannot be built",
        ),
        ({"extra": {"x": float("nan")}}, "header"),
        ({"input_scale": float("inf")}, "header"),
        ({"extra": None}, "header"),
        ({"more": 1}, "header"),
    ],
)
def test_a_forged_header_is_rejected(path, change, message):
    path.write_bytes(sealed(VALID | change, DATA))
    with pytest.raises(ModelFormatError, match=message):
        fastbp.load(path)


RUNS = {
    "no number": ({"a": {tree.NUMBER: "x"}}, "could not convert string to float"),
    "no text": ({"a": {tree.NUMBER: []}}, "float"),
    "no such array": ({"a": {tree.ARRAY: 2, "dtype": "<f8", "shape": [1]}}, "not numbered"),
    "no such dtype": ({"a": {tree.ARRAY: 1, "dtype": "object", "shape": [1]}}, "object"),
    "no shape": ({"a": {tree.ARRAY: 1, "dtype": "<f8"}}, "shape"),
    "more than there is": ({"a": {tree.ARRAY: 1, "dtype": "<f8", "shape": [1]}}, "data do not fit"),
}


@pytest.mark.parametrize("case", RUNS)
def test_a_forged_run_is_rejected(path, case):
    run, message = RUNS[case]
    path.write_bytes(sealed(VALID | {"run": run}, DATA, version=3))
    with pytest.raises(ModelFormatError, match=message):
        model_file.read_run(path)


@pytest.mark.parametrize("case", ["no array", "a vector", "no network", "other sizes", "one more"])
def test_forged_networks_are_rejected(path, case):
    one = {tree.ARRAY: 1, "dtype": "<f4", "shape": [2, len(DATA) // 4]}
    change = {"no array": None, "a vector": {"shape": [len(DATA) // 4]}, "no network": {"shape": [0, len(DATA) // 4]}}
    change |= {"other sizes": {"shape": [2, 1]}, "one more": {}}
    run = {"networks": {"params": one | change[case] if case != "no array" else 1}}
    if case == "one more":
        run["networks"]["more"] = {tree.ARRAY: 2, "dtype": "<f4", "shape": [1]}
    sizes = [int(np.prod(each["shape"])) * 4 for each in run["networks"].values() if isinstance(each, dict)]
    path.write_bytes(sealed(VALID | {"run": run}, DATA + bytes(sum(sizes)), version=3))
    with pytest.raises(ModelFormatError, match=r"is damaged: its networks do not fit its sizes"):
        fastbp.load(path)


@pytest.mark.parametrize("number", [b"1e400", b"-Infinity", b"NaN"])
def test_a_number_that_cannot_be_written_again_is_rejected(path, number):
    path.write_bytes(sealed(json.dumps(VALID | {"extra": {"x": 1.5}}).encode().replace(b"1.5", number), DATA))
    with pytest.raises(ModelFormatError, match="header"):
        fastbp.load(path)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"sizes": ' + b"9" * 10_000 + b"}"],
    ids=["empty", "list", "null", "open", "no utf-8", "deep", "huge number"],
)
def test_a_header_that_is_no_json_object_is_rejected(path, text):
    path.write_bytes(sealed(text, DATA))
    with pytest.raises(ModelFormatError, match="header"):
        fastbp.load(path)


def test_lengths_are_checked_before_memory_is_taken(path):
    path.write_bytes(HEAD.pack(model_file.MAGIC, 1, 2**32 - 1, 2**63) + bytes(32))
    with pytest.raises(ModelFormatError, match="length"):
        fastbp.load(path)


LOAD_UNDER_AUDIT = """
import sys
import fastbp

fastbp.load(sys.argv[1])  # what is imported lazily is imported now
seen = set()

def hook(event, arguments):
    writes = event == "open" and arguments[1] not in ("r", "rb", None)
    if writes or event in ("exec", "compile", "import", "marshal.loads", "ctypes.dlopen") or event.startswith(
        ("pickle.", "os.", "subprocess.", "socket.", "shutil.")
    ):
        seen.add((event, str(arguments)[:80]))

sys.addaudithook(hook)
fastbp.load(sys.argv[1])
print(sorted(seen))
eval("1")
assert seen, "the hook sees nothing"
"""


def test_loading_runs_imports_and_writes_nothing(path):
    done = subprocess.run([sys.executable, "-c", LOAD_UNDER_AUDIT, path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "[]"


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file(net, path, monkeypatch, function):
    old = path.read_bytes()

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    net.params[:] = 7.0
    with pytest.raises(OSError, match="No space left"):
        net.save(path)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(("extra", "error"), [({"x": float("nan")}, ValueError), ({"x": {1, 2}}, TypeError)])
def test_what_json_cannot_hold_is_refused(net, path, extra, error):
    old = path.read_bytes()
    with pytest.raises(error):
        net.save(path, extra)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_missing_directory_and_file(net, tmp_path):
    with pytest.raises(FileNotFoundError):
        net.save(tmp_path / "absent" / "net.fastbp")
    with pytest.raises(FileNotFoundError):
        fastbp.load(tmp_path / "absent.fastbp")


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_mode_and_links_are_those_of_an_ordinary_file(net, tmp_path):
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "net.fastbp"
    net.save(target)
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    link = tmp_path / "link.fastbp"
    link.symlink_to(target)
    net.params[:] = 1.0
    net.save(link)
    assert link.is_symlink()
    assert (fastbp.load(target).params == 1.0).all()


KILL_DURING_SAVES = """
import os, random, signal, sys, time
import fastbp

path = sys.argv[1]
net = fastbp.Network([300, 200, 1], rng=0)
net.params[:] = 0.0
net.save(path)
random.seed(0)
for attempt in range(30):
    child = os.fork()
    if child == 0:
        while True:
            net.params += 1.0
            net.save(path)
    time.sleep(random.uniform(0.0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    params = fastbp.load(path).params
    assert (params == params[0]).all(), "half of one model, half of another"
    net.params[:] = params
print("saved", net.params[0])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_during_saves_leaves_a_whole_model(tmp_path):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", KILL_DURING_SAVES, tmp_path / "net.fastbp"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[1]) > 0, "no save was ever completed"
