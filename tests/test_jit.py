"""Compile options, and random numbers."""

import ast
import itertools
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import reference
from conftest import DTYPES, compiled, make_net, make_samples, make_targets
from numba import types
from numba.extending import intrinsic

import fastbp
from fastbp.compiler import Entry, kernel, switch
from fastbp.compiler.choice import Level
from fastbp.compiler.linker import Linked
from fastbp.compiler.plain import Plain
from fastbp.compiler.tier import TIER
from fastbp.engine.orders import epoch_order
from fastbp.engine.regularization import dropout_mask
from fastbp.kernels.draws import philox as _philox
from fastbp.kernels.train import draw_order, run
from fastbp.simd.register import pointer

PACKAGE = Path(fastbp.__file__).parent
KERNELS = sorted(path for room in ("kernels", "simd") for path in PACKAGE.glob(f"{room}/**/*.py") if path.stem != "__init__")


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


# --- sources -----------------------------------------------------------------------------------------------------------------


def compilers(node):
    """Names of Numba's own decorators that are used below a node."""
    banned = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "generated_jit", "prange"}
    for each in ast.walk(node):
        if isinstance(each, ast.ImportFrom) and (each.module or "").partition(".")[0] == "numba":
            yield from banned & {alias.name for alias in each.names}
        elif (
            isinstance(each, ast.Attribute)
            and each.attr in banned
            and isinstance(each.value, ast.Name)
            and each.value.id == "numba"
        ):
            yield each.attr


# what others write by hand, with which the benchmarks compare
OURS = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "contestants"]


def test_only_one_file_makes_dispatchers():
    assert [path.name for path in OURS if set(compilers(tree(path)))] == ["plain.py"]
    call = re.compile(r"\bnjit\(|Dispatcher\(|dispatcher_class\(")
    makers = {path.name for path in OURS if call.search(path.read_text(encoding="utf-8"))}
    assert makers == {"plain.py", "linker.py", "target.py"}  # one for each tier
    assert set(compilers(ast.parse("import numba\n@numba.njit\ndef f(): pass"))) == {"njit"}


def test_options_are_spelled_out():
    for tier in (Plain, Linked):
        assert tier.options["fastmath"] is False
        assert tier.options["nogil"] is True
        assert tier.options["error_model"] == "numpy"
        assert "parallel" not in tier.options
        # what a user sets for functions of his own is heeded where kernels are functions like any other
        assert ("debug" in tier.options) is ("boundscheck" in tier.options) is (tier is Linked)
    assert Linked.options["debug"] is Linked.options["_dbg_extend_lifetimes"] is False
    assert Linked.options["boundscheck"] is None
    fast = [
        path.name
        for path in OURS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.keyword) and node.arg in ("fastmath", "parallel")
    ]
    assert fast == []


# flags of LLVM that change sums, NaN and infinity: in text, and as flags that are given to an instruction
LENIENT = re.compile(r"\b(?:nnan|ninf|nsz|arcp|contract|afn|reassoc|f[a-z]+ fast)\b|^fast$")


def lenient(node):
    """Where they are given."""
    every = list(ast.walk(node))
    prose = {id(each.value) for each in every if isinstance(each, ast.Expr)}
    flags = {id(inside) for each in every if isinstance(each, ast.keyword) and each.arg == "flags" for inside in ast.walk(each)}
    texts = [each for each in every if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in prose]
    for text in texts:
        if LENIENT.search(text.value) and (text.value != "fast" or id(text) in flags):  # else that is a tier
            yield f"line {text.lineno}: {text.value}"


def test_no_instruction_is_lenient():
    """Also those that are emitted one by one: the options of the compiler do not reach them."""
    sources = [path for room in ("compiler", "simd", "kernels") for path in PACKAGE.glob(f"{room}/**/*.py")]
    assert len(sources) > 40
    assert [f"{path.name}, {fault}" for path in sources for fault in lenient(tree(path))] == []
    for source in ("builder.fadd(x, y, flags=('fast',))", "text = 'fadd nnan float %x, %y'", "text = f'fmul fast float {x}, {y}'"):
        assert list(lenient(ast.parse(source))), source


COMPILED = {"kernel", "inline", "elementary", "entry"}


def compiled_functions(module):
    """Functions of a module that Numba compiles: decorated ones, and those inside."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            decorators = {getattr(each.func if isinstance(each, ast.Call) else each, "id", None) for each in node.decorator_list}
            if decorators & COMPILED:
                yield node


def python_only(function):
    """What kernels must not do: raise, assert, catch, make strings, dicts, sets or lists, import, or touch None."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    banned = (
        ast.Raise,
        ast.Assert,
        ast.Try,
        ast.Dict,
        ast.Set,
        ast.List,
        ast.ListComp,
        ast.JoinedStr,
        ast.Import,
        ast.ImportFrom,
        ast.With,
    )
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, banned) or (
                isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str | bytes))
            ):
                yield f"{function.name}, line {node.lineno}: {ast.unparse(node)[:60]}"


def test_kernels_hold_numbers_only():
    sources = [*KERNELS, *(PACKAGE / name for name in ("activations.py", "losses.py", "optimizers.py"))]
    functions = [function for path in sources for function in compiled_functions(tree(path))]
    assert len(functions) > 40
    assert [fault for function in functions for fault in python_only(function)] == []
    for statement in ("raise ValueError", "assert x", "x = {}", "x = 'a'", "x = None", "x = [1]"):
        assert list(python_only(ast.parse(f"def f():\n  '''Doc.'''\n  {statement}").body[0])), statement


def test_kernels_import_no_python_beyond_what_they_need():
    allowed = {"math", "numpy", "numba", "llvmlite", "fastbp", "operator", "functools", "sys", "itertools", "typing", "ctypes"}
    for path in KERNELS:
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed, path.name


# --- entries -----------------------------------------------------------------------------------------------------------------


def test_one_signature_for_each_dtype_whatever_is_trained():
    for dtype in DTYPES:
        for sizes, hidden, options in (
            ((2, 3, 1), "relu", {}),
            ((5, 8, 8, 3), "gelu", {"optimizer": "adam", "l2": 0.1}),
            ((70, 2), "exp", {"record_norms": True}),
            ((5, 20, 3), "tanh", {"optimizer": "rmsprop"}),
        ):
            net = make_net(sizes, hidden, dtype=dtype)
            X, y = make_samples(9, sizes[0]), make_targets("squared", 9, sizes[-1])
            X.flags.writeable = False
            net.fit(X, np.asfortranarray(y), epochs=2, sample_weight=np.arange(1, 10), **options)
            net.value_and_grad(X, y)
            net.score(X, y)
        assert run[dtype] is run[np.dtype(dtype)] is run.over([fastbp.ReLU, fastbp.SGD], dtype)
        assert run.over([fastbp.GELU], dtype) is run.over([fastbp.ReLU, fastbp.RMSprop], dtype)
    ours = {(str(dtype), choice.name) for dtype, choice in run._compiled if not choice.own}
    assert ours <= set(itertools.product(DTYPES, ("", "-sparse", "-extended", "-tabular")))


@compiled(lambda dtype: types.float64(dtype))
def twice(x):
    return 2 * x


def test_an_entry_that_can_do_more_is_taken_where_it_is_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    made, compile_ = [], Entry._compile
    monkeypatch.setattr(
        Entry, "_compile", lambda self, dtype, choice: (made.append(dtype + choice.name), compile_(self, dtype, choice))[1]
    )

    def fresh():
        """The entry as another process would find it."""
        made.clear()
        return Entry(twice.function, twice.signature)

    entry = fresh()
    extended = entry.over([fastbp.GELU], "float64")
    assert entry.over((), "float64", Level.SPARSE) is entry["float64"] is extended
    assert extended(1.5) == 3.0
    assert made == ["float64-extended"]
    entry = fresh()
    entry.over((), "float64")  # one in a file need not be compiled
    entry["float32"]
    assert made == ["float64-extended", "float32"]
    entry = fresh()
    common, sparse = entry["float32"], entry.over((), "float32", Level.SPARSE)
    assert common is not sparse
    assert entry["float32"] is common
    assert made == ["float32", "float32-sparse"]


@pytest.mark.parametrize("is_cached", ["0", "1"])
def test_threads_that_ask_at_once_compile_once(monkeypatch, tmp_path, is_cached):
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("FASTBP_CACHE", is_cached)
    entry, made, started = Entry(twice.function, twice.signature), [], Barrier(4)
    compile_ = Entry._compile

    def slow(self, dtype, choice):
        made.append(dtype)
        time.sleep(0.1)  # so that the others have asked, too
        return compile_(self, dtype, choice)

    monkeypatch.setattr(Entry, "_compile", slow)

    def ask(_):
        started.wait()
        return entry["float32"](1.5)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [3.0] * 4
    assert made == ["float32"]


def read_only(array):
    array.flags.writeable = False
    return array


REFUSED = {
    "wider": lambda: np.zeros(4, np.int64),
    "narrower": lambda: np.zeros(4, np.int16),
    "of the same width": lambda: np.zeros(4, np.float32),
    "unsigned": lambda: np.zeros(4, np.uint32),
    "of another byte order": lambda: np.zeros(4, np.dtype(np.int32).newbyteorder()),
    "dates": lambda: np.zeros(4, "M8[s]"),
    "strided": lambda: np.zeros(8, np.int32)[::2],
    "by columns": lambda: np.zeros((2, 2), np.int32, order="F"),
    "read-only": lambda: read_only(np.zeros(4, np.int32)),
    "a scalar": lambda: np.int32(4),
    "a list": lambda: [0, 1],
    "None": lambda: None,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_call_with_another_array_is_an_error_not_a_compile(kind):
    given = REFUSED[kind]()
    before = repr(given)
    with pytest.raises(TypeError, match="a writable C-contiguous array of int32"):
        draw_order["float32"](given, 0, 0)
    assert repr(given) == before


def test_a_call_with_too_few_arguments_is_an_error():
    with pytest.raises(TypeError):
        draw_order["float32"](np.zeros(4, np.int32), 0)


def test_an_array_of_any_shape_is_taken_as_a_vector():
    expected = epoch_order(3, 1, 64)
    for given in (np.zeros((4, 16), np.int32), np.zeros((1,) * 30 + (4, 16), np.int32), np.zeros(64, np.intc)):
        draw_order["float32"](given, 3, 1)
        np.testing.assert_array_equal(given.ravel(), expected)
    given = np.zeros(64, np.int32).view(Subclass)
    draw_order["float32"](given, 3, 1)
    np.testing.assert_array_equal(given, expected)
    draw_order["float32"](np.zeros((0, 3), np.int32), 3, 1)


class Subclass(np.ndarray):
    pass


def test_calls_hold_no_reference_to_their_arguments():
    given = np.zeros(4, np.int32)
    count = sys.getrefcount(given)
    for _ in range(10):
        draw_order["float32"](given, 0, 0)
    assert sys.getrefcount(given) == count


@compiled(lambda dtype: types.void(types.int64[::1], dtype[::1], types.float64[::1]))
def extremes(ints_, reals_, out_):
    ints, reals, out = pointer(ints_), pointer(reals_), pointer(out_)
    out[0] = min(ints[0], ints[1])
    out[1] = max(3, ints[0], ints[1])
    out[2] = min(reals[0], reals[1])
    out[3] = max(reals[1], reals[0])
    out[4] = max(ints[1], reals[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pair", [(1.5, -2.25), (-2.25, 1.5), (np.nan, 1.0), (1.0, np.nan)])
def test_extremes_are_those_of_python(dtype, pair):
    out, (a, b) = np.zeros(5), pair
    extremes[dtype](np.array([7, -4]), np.array(pair, dtype), out)
    np.testing.assert_array_equal(out, [-4, 7, min(a, b), max(b, a), max(-4.0, a)])


@kernel
def _loops(start, stop, step, out):
    for i in range(stop):
        out[0] += 1 + i * 0x10000
    for i in range(start, stop):
        out[1] += 1 + i * 0x10000
    for i in range(start, stop, step):
        out[2] += 1 + i * 0x10000
    for i in range(start, stop):
        for j in range(i, stop, step):
            if j == stop - 1:
                break
            out[3] += 1 + j * 0x10000
    for i in range(start, stop, 3):
        out[4] += 1 + i * 0x10000
    either = range(start, stop)
    if step < 0:
        either = range(stop)
    for i in either:
        out[5] += 1 + i * 0x10000


@compiled(lambda dtype: types.void(types.int64, types.int64, types.int64, types.int64[::1]))
def loops(start, stop, step, out):
    _loops(start, stop, step, pointer(out))


@kernel
def _add(x):
    return x + 1.0


@kernel
def _triple(x):
    return 3.0 * x


_either = switch([_add, _triple])


@compiled(lambda dtype: types.float64(types.int64, types.float64))
def either(code, x):
    return _either(code, x)


def test_a_code_out_of_range_calls_none():
    assert [either["float64"](code, 5.0) for code in (0, 1)] == [6.0, 15.0]
    assert [either["float64"](code, 5.0) for code in (-1, 2, 1 << 40)] == [0.0] * 3


def test_loops_are_those_of_python():
    for args in itertools.product((-5, 0, 3, 8), (-4, 0, 1, 7), (-7, -2, -1, 1, 2, 8)):
        out, expected = np.zeros(6, np.int64), [0] * 6
        loops["float64"](*args, out)
        _loops.py_func(*args, expected)
        np.testing.assert_array_equal(out, expected)
    with pytest.raises(ValueError, match="must not be zero"):
        loops["float64"](0, 5, 0, out)


@kernel
def _quotients(a, b, out):
    out[0], out[1] = a // b, a % b
    out[2], out[3] = a // 8, a % 8
    out[4], out[5] = a // 7, a % 7
    out[6], out[7] = a // -7, a % -7
    out[8], out[9] = a // 1, a % 1
    out[10], out[11] = 2 * 3 - 7 + a, (a, b, 5)[2]


@compiled(lambda dtype: types.void(types.int64, types.int64, types.int64[::1]))
def quotients(a, b, out):
    _quotients(a, b, pointer(out))


def test_quotients_are_those_of_python():
    numbers = [0, 1, 2, 6, 7, 8, 9, 2**40 + 3, 2**62]
    numbers += [-number for number in numbers]
    for a, b in itertools.product(numbers, numbers):
        out, expected = np.zeros(12, np.int64), [0] * 12
        quotients["float64"](a, b, out)
        if b:
            _quotients.py_func(a, b, expected)
            np.testing.assert_array_equal(out, expected)
        else:
            np.testing.assert_array_equal(out[:2], 0)


@intrinsic
def _positive(typingctx, x):
    def codegen(context, builder, signature, args):
        with builder.if_then(builder.fcmp_ordered("<", args[0], args[0].type(0))):
            context.call_conv.return_user_exc(builder, ValueError, ("negative",))
        return args[0]

    return x(x), codegen


@kernel
def _checked(x):
    return _positive(x)


@kernel
def _root(x):
    return sqrt(_checked(x))


@compiled(lambda dtype: types.float64(types.float64))
def root(x):
    return _root(x)


def test_an_exception_in_a_part_reaches_python():
    assert root["float64"](4.0) == 2
    with pytest.raises(ValueError, match="negative"):
        root["float64"](-4.0)
    assert root["float64"](9.0) == 3


@intrinsic
def _broken_off(typingctx, x):
    def codegen(context, builder, signature, args):
        raise KeyboardInterrupt

    return x(x), codegen


@kernel
def _half(x):
    return 0.5 * _broken_off(x)


@compiled(lambda dtype: types.float64(types.float64))
def half(x):
    return _half(x)


def test_a_compile_that_is_broken_off_does_no_harm_to_the_next(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        half["float64"]
    assert Entry(twice.function, twice.signature)["float64"](1.5) == 3.0


only_fast = pytest.mark.skipif(TIER != "fast", reason="the other tiers compile for Numba's own target")
TARGETS = """
from numba.core.registry import cpu_target
from fastbp.kernels.train import draw_order
draw_order["float32"]
assert not cpu_target.target_context._registries, "Numba's own target was looked through"
assert not cpu_target.typing_context._registries
import numba, numpy
assert numba.njit(lambda x: numpy.sort(x)[0] + len("two"))(numpy.array([5, 4])) == 7
"""


@only_fast
def test_kernels_have_a_target_of_their_own_and_leave_numbas_alone():
    done = subprocess.run(
        [sys.executable, "-c", TARGETS], capture_output=True, text=True, cwd=PACKAGE.parent, env={**os.environ, "FASTBP_CACHE": "0"}
    )
    assert done.returncode == 0, done.stderr


NARROW = """
from fastbp.compiler.choice import Level
from fastbp.compiler.fast.target import target
from fastbp.kernels.train import {0}
{0}.over((), "float32", Level.EXTENDED)
assert not target.target_context.is_wide, "a kernel asks for more of Numba than numbers, tuples and arrays: compiled twice"
"""


@only_fast
@pytest.mark.parametrize("name", ["run_narrow", pytest.param("run", marks=pytest.mark.slow)])
def test_all_classes_are_compiled_without_the_rest_of_numba(name):
    code = NARROW.format(name)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, env={**os.environ, "FASTBP_CACHE": "0"}
    )
    assert done.returncode == 0, done.stderr


def _first_plus_one(x):
    first = pointer(x)
    first = first[0] + 1.0
    pointer(x)[0] = first


def test_a_name_may_be_used_for_values_of_several_types():
    x = np.zeros(1)
    Entry(_first_plus_one, lambda dtype: types.void(dtype[::1]))["float64"](x)
    assert x[0] == 1.0


SETTINGS = """
import numba
from numba.extending import overload
from fastbp.compiler import Entry
from fastbp.compiler.tier import compiler
from fastbp.kernels.train import draw_order

def doubled(x): pass

@overload(doubled)
def _(x):
    return lambda x: x + x

def quadrupled(x):
    return doubled(doubled(x))

draw_order["float32"]
is_wide = lambda: getattr(compiler.target.target_context, "is_wide", None)
assert not is_wide()
entry = Entry(quadrupled, lambda dtype: numba.types.float64(numba.types.float64))
assert entry["float64"](1.5) == 6.0
assert is_wide() is not False, "nothing was asked of Numba's own functions"
"""
DUMPS = ("BYTECODE", "CFG", "IR", "SSA", "LLVM", "FUNC_OPT", "OPTIMIZED", "ASSEMBLY", "ANNOTATION")
ALONE = [
    {"NUMBA_DEBUGINFO": "1"},
    {"NUMBA_ENABLE_PROFILING": "1"},
    {"VS_PROFILER": "1"},
    {"NUMBA_DISABLE_JIT": "1"},
    {"NUMBA_DEBUGINFO": "1", "NUMBA_OPT": "0", "NUMBA_EXTEND_VARIABLE_LIFETIMES": "1", "NUMBA_BOUNDSCHECK": "1"},
    {"NUMBA_DEBUG": "1", "NUMBA_DEBUG_JIT": "1", "NUMBA_DEBUG_TYPEINFER": "1", "NUMBA_TRACE": "1"},
    {f"NUMBA_DUMP_{name}": "1" for name in DUMPS},
    {"NUMBA_CPU_NAME": "generic", "NUMBA_USE_LLVMLITE_MEMORY_MANAGER": "1"},
    # Numba looks into coverage, where that is at work, for what some versions of it have not
    {"NUMBA_DEVELOPER_MODE": "1", "NUMBA_JIT_COVERAGE": "0" if "coverage" in sys.modules else "1", "NUMBA_LLVM_PASS_TIMINGS": "1"},
    {"NUMBA_OPT": "max", "NUMBA_SLP_VECTORIZE": "1", "NUMBA_ENABLE_AVX": "0", "NUMBA_DISABLE_INTEL_SVML": "1"},
]
NUMBA_SETTINGS = [
    ALONE[3],
    ALONE[4] | ALONE[5] | ALONE[6],
    ALONE[1] | ALONE[2] | ALONE[7] | ALONE[8] | ALONE[9],
    *(pytest.param(settings, marks=pytest.mark.slow) for settings in ALONE if settings != ALONE[3]),
]


@pytest.mark.parametrize("settings", NUMBA_SETTINGS, ids=" ".join)
def test_kernels_run_whatever_is_set_to_debug_other_functions(settings, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "FASTBP_CACHE": "0", **settings}
    done = subprocess.run([sys.executable, "-c", SETTINGS], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


FROM_PYTHON = """
from numba import types
from fastbp import simd
from fastbp.compiler import entry, kernel

@kernel
def successor(x):
    return x + 1.0

@entry(lambda dtype: dtype(dtype))
def compiled(x):
    return successor(x)

assert compiled["float32"](2.0) == 3.0
for function in (successor, simd.exp, simd.width):
    try:
        function(1.0)
    except NotImplementedError:
        continue
    raise AssertionError(function)
"""


def test_a_kernel_that_python_calls_is_an_error_and_no_crash():
    environment = {**os.environ, "FASTBP_CACHE": "0"}
    done = subprocess.run([sys.executable, "-c", FROM_PYTHON], capture_output=True, text=True, cwd=PACKAGE.parent, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", ["float16", 3, np.float64])
def test_entries_are_of_two_dtypes(dtype):
    with pytest.raises(ValueError, match="compiled for float32 and float64 only"):
        twice[dtype]


# --- random numbers ----------------------------------------------------------------------------------------------------------


@compiled(lambda dtype: types.void(types.uint64[::1], types.uint64[::1]))
def philox(given_, out_):
    given, out = pointer(given_), pointer(out_)
    words = _philox.philox(given[0], given[1], given[2], given[3], given[4], given[5])
    out[0], out[1], out[2], out[3] = words


def drawn(*given):
    out = np.zeros(4, np.uint64)
    philox["float64"](np.array(given, np.uint64), out)
    return [int(word) for word in out]


ONES = 0xFFFFFFFF
KNOWN = [  # the known answers of the authors' Random123 library
    ((0, 0, 0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES, ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("given", "expected"), KNOWN)
def test_known_answers(given, expected):
    assert drawn(*given) == reference.philox(*given) == list(expected)


def test_philox_equals_the_reference():
    rng = np.random.default_rng(0)
    for given in rng.integers(0, 1 << 32, (200, 6)):
        assert drawn(*given) == reference.philox(*map(int, given))


def test_masks_of_dropout_are_words_of_philox():
    seed, epoch, layer, keep = (77 << 32) + 5, 3, 2, 0.25
    mask = dropout_mask(seed, epoch, layer, 9, 37, 1 - keep)
    for row in range(9):
        for unit in range(37):
            group, word, lane = unit // 16, unit % 16 // 4, unit % 4
            drawn = reference.philox(4 * group + lane, row, epoch, layer + 1, 5, 77)[word]
            assert mask[row, unit] == (1 / keep if drawn < keep * 2**32 else 0.0)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 100, 1001])
def test_shuffling_gives_a_permutation_of_seed_and_epoch(n):
    order = epoch_order(12345, 3, n)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(order, epoch_order(12345, 3, n))
    if n >= 100:
        others = [
            epoch_order(12345, 4, n),
            epoch_order(12346, 3, n),
            epoch_order(12345 + (1 << 32), 3, n),
            epoch_order(12345, 3 + (1 << 32), n),
        ]
        for i, one in enumerate([order, *others]):
            for two in others[i:]:
                assert (one == two).mean() < 0.1


def test_shuffling_is_fair():
    n, seeds = 4, 4800
    found = {}
    for seed in range(seeds):
        order = tuple(epoch_order(seed, seed % 7, n))
        found[order] = found.get(order, 0) + 1
    assert len(found) == 24
    expected = seeds / 24
    chi_square = sum((count - expected) ** 2 / expected for count in found.values())
    assert chi_square < 49.7  # 23 degrees of freedom, probability 0.001


def test_every_place_is_as_likely_for_every_row():
    n, seeds = 13, 3000
    counts = np.zeros((n, n))
    for seed in range(seeds):
        counts[np.arange(n), epoch_order(seed, 0, n)] += 1
    expected = seeds / n
    assert ((counts - expected) ** 2 / expected).sum() < 210  # 144 degrees of freedom, probability 0.0003


@compiled(lambda dtype: types.void(types.int64[::1], *[types.int64] * 5))
def with_replacement(order, population, seed, epoch, first, last):
    _philox.draw_with_replacement(pointer(order), population, seed, epoch, first, last)


@compiled(lambda dtype: types.void(types.int64[::1], *[types.int64] * 4))
def shuffled(order, seed, epoch, first, last):
    _philox.shuffle(pointer(order), order.size, seed, epoch, first, last)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 61, 64])
@pytest.mark.parametrize("part", [4, 8, 28])
def test_an_order_is_the_same_in_whatever_parts_it_is_drawn(n, part):
    permutation, draws, whole = np.full(n, -1), np.full(n, -1), np.full(n, -1)
    for first in range(0, n, part):
        last = min(first + part, n)
        settled = permutation[n - first :].copy()
        shuffled["float64"](permutation, 3, 1, first, last)
        np.testing.assert_array_equal(permutation[n - first :], settled)
        with_replacement["float64"](draws, 9, 3, 1, first, last)
    np.testing.assert_array_equal(permutation, epoch_order(3, 1, n))
    with_replacement["float64"](whole, 9, 3, 1, 0, n)
    np.testing.assert_array_equal(draws, whole)


def test_drawing_with_replacement_is_fair():
    order = np.full(70_001, -1)
    with_replacement["float64"](order, 7, 5, 0, 0, order.size)
    assert order.min() == 0
    assert order.max() == 6
    expected = order.size / 7
    assert ((np.bincount(order) - expected) ** 2 / expected).sum() < 22.5  # 6 degrees of freedom, probability 0.001
    pairs = np.bincount(order[:-1] * 7 + order[1:], minlength=49)
    assert ((pairs - order.size / 49) ** 2 / (order.size / 49)).sum() < 85  # 48 degrees of freedom, probability 0.001
    again = np.full(70_001, -1)
    with_replacement["float64"](again, 7, 5, 1, 0, again.size)
    assert 0.1 < (again == order).mean() < 0.2
    with_replacement["float64"](again[:11], 7, 5, 0, 0, 11)
    np.testing.assert_array_equal(again[:11], order[:11])
