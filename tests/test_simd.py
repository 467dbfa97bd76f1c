"""The vector type as a library: its door and its page name all it has, and arrays of any length are treated to their end only."""

import importlib
import re
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import numpy as np
import pytest
from conftest import DTYPES
from numba import types
from numba.core.extending import _Intrinsic
from test_package import HEAVY

from fastbp import simd
from fastbp.compiler import entry
from fastbp.simd import vmath
from fastbp.simd.register import register_bytes

PAGE = (Path(__file__).parents[1] / "docs" / "simd.md").read_text(encoding="utf-8")
MODULES = {name: importlib.import_module(f"fastbp.simd.{name}") for name in simd.MODULES}


@entry(lambda dtype: types.void(types.int64, dtype[::1], dtype[::1]))
def first(count, x, out):
    """out = the first `count` lanes at x, then, of x + 1, those that a mask has, 7 in the others."""
    source, target = simd.pointer(x), simd.pointer(out)
    simd.store_first(target, count, simd.load_first(source, count) + 1.0)
    target = target + 2 * simd.width(source)
    loaded = simd.load(source, 0)
    simd.store(target, 0, simd.select(simd.first_lanes(loaded, count), loaded, simd.like(loaded, 7.0)))
    simd.store(target, simd.width(source), simd.zeros(source))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_lanes(dtype):
    lanes = register_bytes() // np.dtype(dtype).itemsize
    x = np.arange(1, lanes + 1, dtype=dtype)
    for count in (-3, *range(lanes + 3), 1 << 40):
        out, expected = np.full((4, lanes), np.nan, dtype), np.full((4, lanes), np.nan)
        there = np.arange(lanes) < count
        expected[0, there] = x[there] + 1
        expected[2], expected[3] = np.where(there, x, 7), 0
        first[dtype](count, x, out)
        np.testing.assert_array_equal(out, expected)


@entry(lambda dtype: dtype(dtype[::1]))
def sum_and_fill(x):
    """Sum of x, which becomes 1, 1, ..."""
    x, n, total = simd.pointer(x), x.size, simd.zeros(simd.pointer(x))
    for i in range(0, n, simd.width(x)):
        total = total + simd.load_first(x + i, n - i)
        simd.store_first(x + i, n - i, simd.like(total, 1.0))
    return simd.horizontal_sum(total)


# the last number is the last of a page of memory, past which nothing can be read or written
AT_THE_END = """
import ctypes, mmap, sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_simd import sum_and_fill

size = mmap.PAGESIZE
memory = mmap.mmap(-1, 2 * size)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + size), ctypes.c_size_t(size), 0) == 0
for dtype in ("float32", "float64"):
    numbers = np.frombuffer(memory, dtype, size // np.dtype(dtype).itemsize)
    for n in range(1, 40):
        numbers[:] = 2
        assert sum_and_fill[dtype](numbers[-n:]) == 2 * n
        assert (numbers[-n:] == 1).all() and (numbers[:-n] == 2).all()
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pages are protected in another way there")
def test_nothing_past_the_end_is_touched():
    code = AT_THE_END.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@entry(lambda dtype: dtype(dtype[::1]))
def largest(x):
    return simd.horizontal_max(simd.load(simd.pointer(x), 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_lane_is_found_wherever_it_is_and_nan_is_kept(dtype):
    lanes = register_bytes() // np.dtype(dtype).itemsize
    for lane in range(lanes):
        for value, others in ((3.0, 1.0), (-1.0, -2.0), (np.inf, 0.0), (np.nan, np.inf)):
            x = np.full(lanes, others, dtype)
            x[lane] = value
            np.testing.assert_array_equal(largest[x.dtype](x), value)


@entry(lambda dtype: types.void(dtype, dtype[::1]))
def fill(number, out):
    simd.store(simd.pointer(out), 0, simd.splat(number))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [1 / 3, -0.0, np.inf, 1e30])
def test_a_number_in_every_lane(number, dtype):
    out = np.full(register_bytes() // np.dtype(dtype).itemsize + 1, 7, dtype)
    fill[out.dtype](out.dtype.type(number), out)
    assert out[:-1].tobytes() == np.full(len(out) - 1, number, dtype).tobytes()
    assert out[-1] == 7


def test_a_call_with_other_arrays_is_refused():
    for wrong in (np.ones(8, np.float32), np.ones(16)[::2], np.ones(8, int), [1.0]):
        with pytest.raises(TypeError):
            largest["float64"](wrong)


# --- the door and the page ---------------------------------------------------------------------------------------------------


def offered(module):
    """What a module has for its users: compiled functions, intrinsics and what makes them, defined there, of no private name."""
    for name, value in vars(module).items():
        defined = getattr(value, "_defn", None) or getattr(value, "py_func", None) or value
        is_for_users = isinstance(value, _Intrinsic) or name.startswith("tile_") or (module is vmath and hasattr(value, "py_func"))
        if not name.startswith("_") and name.islower() and is_for_users and defined.__module__ == module.__name__:
            yield name


def test_the_door_has_what_its_modules_have():
    for module in ("register", "tails", "tile", "transpose"):
        listed = set(simd.MODULES[module].split()) - {"register_bytes"}  # of Python
        assert listed == set(offered(MODULES[module])), module
    assert len(simd.__all__) > 50
    for name, module in simd.HOME.items():
        assert getattr(simd, name) is getattr(importlib.import_module(module), name)
    assert set(simd.__all__) <= set(dir(simd))
    with pytest.raises(AttributeError, match=r"'fastbp\.simd' has no attribute 'tan'"):
        _ = simd.tan


def test_the_page_explains_every_name():
    for name in simd.__all__:
        assert re.search(rf"`[^`]*\b{name}\b[^`]*`", PAGE), name


def test_the_page_has_the_accuracies_that_are_measured():
    names, *rows = re.findall(r"^(?: {6,}|float\d\d +)(.+)$", vmath.__doc__, flags=re.MULTILINE)
    assert len(names.split()) == 10
    for column, name in enumerate(names.split()):
        errors = " | ".join(row.split()[column] for row in rows)
        assert re.search(rf"^\| `{name}`.* \| {re.escape(errors)} \|$", PAGE, flags=re.MULTILINE), name


def test_tools_that_freeze_a_program_see_the_modules_behind_the_door(tmp_path):
    (tmp_path / "program.py").write_text("from fastbp.simd import load\n")
    root = str(Path(simd.__file__).parents[2])
    finder = ModuleFinder([root, *sys.path], excludes=["numpy", "scipy", *HEAVY])
    finder.run_script(str(tmp_path / "program.py"))
    assert set(simd.HOME.values()) <= set(finder.modules)
