"""Model files of every format that there has been: the same parameters to the bit, and the same outputs.

Outputs are equal to the bit to those of a network that is made from the same parameters, on any processor; to those of the NumPy
baseline to rounding; and to those in the golden files to the bit where registers are as wide as they were then: the order of sums
depends on that.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import error, oracle

import fastbp
from fastbp.files import model_file
from fastbp.files.model_file import ModelFormatError, read_header
from fastbp.simd.register import register_bytes

HERE = Path(__file__).parent / "golden"
sys.path.insert(0, str(HERE))
make = importlib.import_module("make")
sys.path.remove(str(HERE))
FILES = sorted(HERE.glob("*.fastbp"))
# a sum of at most 40 terms, and functions to 4 units in the last place
CLOSE = {"float32": 60 * 2.0**-24, "float64": 60 * 2.0**-53}


def parts(path):
    """Format, case and dtype in a name."""
    version, case, dtype = path.stem.split("-")
    return int(version.removeprefix("format")), case, dtype


def known(path, what):
    version, case, dtype = parts(path)
    with np.load(HERE / f"format{version}.npz") as contents:
        return contents[what if what == "register_bytes" else f"{case}-{dtype}/{what}"]


def test_there_are_files_of_every_format():
    expected = [
        (version, case, dtype) for version in range(1, model_file.VERSION + 1) for case in make.CASES for dtype in make.DTYPES
    ]
    assert sorted(map(parts, FILES)) == sorted(expected), "python tests/golden/make.py writes those of a new format"
    for path in FILES:
        assert path.read_bytes()[8] == parts(path)[0]
        assert path.stat().st_size < 5000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_read_to_the_bit(path):
    version, case, dtype = parts(path)
    net, params, X = fastbp.load(path), known(path, "params"), known(path, "X")
    assert net.params.tobytes() == params.tobytes()
    same = fastbp.Network(**make.settings(case, dtype, version))
    same.params[:] = params
    assert repr(net) == repr(same)
    assert (net.sizes, net.hidden, net.output, net.loss_function) == (same.sizes, same.hidden, same.output, same.loss_function)
    assert (net.dtype, net.input_scale) == (same.dtype, same.input_scale)
    assert read_header(path)["extra"] == make.EXTRA
    outputs = net(X)
    assert outputs.tobytes() == same(X).tobytes()
    assert error(outputs, oracle(net)(X.astype(np.float64) * net.input_scale)) < CLOSE[dtype]
    expected = known(path, "outputs")
    assert error(outputs, expected) < CLOSE[dtype]
    if register_bytes() == known(path, "register_bytes"):
        assert outputs.tobytes() == expected.tobytes()


@pytest.mark.parametrize("path", [path for path in FILES if parts(path)[0] == model_file.VERSION], ids=lambda path: path.stem)
def test_the_current_format_is_written_as_it_was(path, tmp_path):
    fastbp.load(path).save(tmp_path / path.name, read_header(path)["extra"])
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_newer_format_says_upgrade(tmp_path):
    content = bytearray(FILES[-1].read_bytes())
    content[8] = model_file.VERSION + 1
    (tmp_path / "new").write_bytes(content)
    with pytest.raises(ModelFormatError, match=rf"has format {model_file.VERSION + 1}, but .* upgrade fastbp"):
        fastbp.load(tmp_path / "new")


def test_what_is_there_is_not_written_again():
    before = [path.read_bytes() for path in FILES]
    assert "stay as they are" in make.write()
    assert [path.read_bytes() for path in FILES] == before
