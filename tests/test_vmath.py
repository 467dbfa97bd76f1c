"""Elementary functions of the kernels: errors in units of the last place, special values, and what they compile to."""

import platform
import re
from functools import cache
from math import exp as library_exp

import numpy as np
import pytest
from numba import typeof

from fastbp.compiler.plain import OF_ENTRIES
from fastbp.compiler.tier import compiler
from fastbp.simd import vmath
from fastbp.simd.register import load, pointer, register_bytes, store, width

INF, NAN = np.inf, np.nan
DTYPES = [np.float32, np.float64]
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
FUSED = register_bytes() > 16 or platform.machine() in ("aarch64", "arm64")  # the target has an FMA unit


def dispatcher(function):
    """A function that takes arrays of Numba's own, compiled as an entry is when they are given."""
    return compiler.dispatcher(function, {**compiler.options, **OF_ENTRIES})


def sigmoid(x):
    z = np.exp(-np.abs(x))
    return np.where(x < 0, z, 1) / (1 + z)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def erf(x):
    """Kummer's series, 2 / sqrt(pi) e^(-x^2) sum 2^n x^(2n+1) / (2n+1)!!: no term is negative."""
    a = np.minimum(np.abs(x), 7)
    term = total = a
    for n in range(1, 200):
        term = term * (a * a * 2 / (2 * n + 1))
        total = total + term
    value = total * np.exp(-a * a) * 2 / np.sqrt(a.dtype.type("3.14159265358979323846264338327950288"))
    return np.copysign(np.where(a > 6.5, 1, value), x)


def turned(function):
    """A function of an angle, which is followed up to 1024 or 2**20."""
    return lambda x: function(np.clip(x, *([-1024, 1024] if x.dtype == WIDER[np.float32] else [-(2**20), 2**20])))


# name: reference, bound in ULP
FUNCTIONS = {
    "exp": (np.exp, 2),
    "expm1": (np.expm1, 2),
    "log": (np.log, 2),
    "log1p": (np.log1p, 2),
    "tanh": (np.tanh, 4),
    "sigmoid": (sigmoid, 2),
    "softplus": (softplus, 2 if FUSED else 2.5),
    "erf": (erf, 4),
    "sin": (turned(np.sin), 3),
    "cos": (turned(np.cos), 3),
}
FLUSHED_TO_ZERO = ("exp", "sigmoid", "softplus")
every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@cache
def driver(name):
    """Compiled: y = f(x) register by register, z = f(x) number by number."""
    function = getattr(vmath, name)

    @dispatcher
    def apply(x, y, z):
        source, target = pointer(x), pointer(y)
        for i in range(0, x.size, width(source)):
            store(target, i, function(load(source, i)))
        for i in range(z.size):
            z[i] = function(x[i])

    return apply


def apply(name, x):
    assert x.size % 64 == 0  # whole registers of any width
    y = np.empty_like(x)
    driver(name)(x, y, y[:0])
    return y


def whole_registers(x):
    return np.resize(x, -(-x.size // 64) * 64)


def numbers(dtype):
    """Bit patterns all over the dtype, and numbers of both signs where the functions bend."""
    rng = np.random.default_rng(1)
    bits = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    stride = np.iinfo(bits).max // (1 << 17) | 1
    patterns = (np.arange(1 << 17, dtype=bits) * bits(stride)).view(dtype)
    dense = [rng.uniform(-r, r, 1 << 13) for r in (1e-3, 0.1, 0.4, 1, 2, 6, 20, 90, 750)]
    near_1 = 1 + rng.uniform(-0.5, 0.5, 1 << 13)
    magnitudes = 10 ** rng.uniform(-40, 3, 1 << 14) * rng.choice([-1, 1], 1 << 14)
    edges = np.array([0.5, 1, 2, 87.33655, 88.02969, 88.722839, 708.3964185, 709.0895657, 709.7827128933840], dtype)
    edges = np.concatenate([edges, np.nextafter(edges, dtype(INF)), np.nextafter(edges, dtype(-INF))])
    subnormal = np.array([1, 3, 1000, 12345], dtype) * np.finfo(dtype).smallest_subnormal
    parts = (*dense, near_1, magnitudes, edges, -edges, subnormal, -subnormal)
    return whole_registers(np.concatenate([patterns, *(part.astype(dtype) for part in parts)]))


def errors(y, exact):
    """|y - exact| in units in the last place of y's dtype; infinity where only one is finite."""
    info = np.finfo(y.dtype)
    wide = exact.dtype.type
    overflow = np.abs(exact) >= wide(info.max) + np.ldexp(wide(1), info.maxexp - info.nmant - 2)
    exact = np.where(overflow, np.copysign(wide(INF), exact), exact)
    right = (y == exact) | (np.isnan(y) & np.isnan(exact))
    with np.errstate(invalid="ignore"):
        unit = np.ldexp(wide(1), np.maximum(np.frexp(exact)[1] - 1, info.minexp) - info.nmant)
        difference = np.abs(y.astype(wide) - exact) / unit
    return np.where(right, 0, np.where(np.isnan(difference), INF, difference))


@every_dtype
@every_function
def test_error(name, dtype):
    if np.finfo(WIDER[dtype]).nmant < np.finfo(dtype).nmant + 11:
        pytest.skip("long double is no wider than float64 here: nothing to compare with")
    reference, bound = FUNCTIONS[name]
    x = numbers(dtype)
    with np.errstate(all="ignore"):
        y, exact = apply(name, x), reference(x.astype(WIDER[dtype]))
        error = errors(y, exact)
    if name in FLUSHED_TO_ZERO:
        error[(y == 0) & (exact < 0.708 * np.finfo(dtype).smallest_normal)] = 0
    worst = np.argmax(error)
    assert error[worst] <= bound, f"{name}({x[worst]!r}) is off by {error[worst]:.3g} ULP"
    assert error[worst] > 0.5  # the measure sees rounding errors


SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0)],
    "expm1": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -1)],
    "log": [(1, 0), (0, -INF), (-0.0, -INF), (INF, INF), (-1, NAN), (-1e-45, NAN), (-INF, NAN)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -INF), (INF, INF), (-1.5, NAN), (-INF, NAN)],
    "tanh": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (30, 1), (-30, -1)],
    "sigmoid": [(0, 0.5), (-0.0, 0.5), (INF, 1), (-INF, 0), (60, 1), (-1000, 0)],
    "softplus": [(INF, INF), (-INF, 0), (1000, 1000), (-1000, 0)],
    "erf": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (7, 1), (-7, -1)],
    "sin": [(0, 0), (-0.0, -0.0)],
    "cos": [(0, 1), (-0.0, 1)],
}


@every_dtype
@every_function
def test_special_values(name, dtype):
    x, expected = np.array([*SPECIAL[name], (NAN, NAN), (-NAN, NAN)], dtype).T.copy()
    y = apply(name, whole_registers(x))[: x.size]
    np.testing.assert_array_equal(y, expected)
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(y[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize(("dtype", "largest"), [(np.float32, 88.72283), (np.float64, 709.782712893384)])
@pytest.mark.parametrize("name", ["exp", "expm1"])
def test_overflow_is_neither_early_nor_late(name, dtype, largest):
    largest = dtype(largest)
    x = np.array([largest, np.nextafter(largest, dtype(INF))], dtype)
    finite, infinite = apply(name, whole_registers(x))[:2]
    assert finite > 0.999 * np.finfo(dtype).max
    assert np.isfinite(finite)
    assert infinite == INF


@every_dtype
@pytest.mark.parametrize("name", FLUSHED_TO_ZERO)
def test_small_results_keep_their_digits_until_they_are_flushed(name, dtype):
    smallest = np.finfo(dtype).smallest_normal
    x = np.array([np.log(smallest) * 0.99999, np.log(smallest) - 1], dtype)
    kept, flushed = apply(name, whole_registers(x))[:2]
    assert smallest < kept < 1.01 * smallest
    assert flushed == 0


@every_dtype
@every_function
def test_scalars_and_lanes_give_the_same_bits(name, dtype):
    x = numbers(dtype)[::64]
    x = whole_registers(x[~np.isnan(x)])
    y, z = np.empty_like(x), np.empty_like(x)
    driver(name)(x, y, z)
    assert y.tobytes() == z.tobytes()


@every_dtype
@every_function
def test_a_result_does_not_depend_on_its_lane_or_its_neighbours(name, dtype):
    x = whole_registers(numbers(dtype)[::64])
    y = apply(name, x)
    for shift in range(1, register_bytes() // x.itemsize):
        np.testing.assert_array_equal(np.roll(apply(name, np.roll(x, shift)), -shift), y)


@every_dtype
@pytest.mark.parametrize("name", ["tanh", "erf", "sin"])
def test_odd(name, dtype):
    x = whole_registers(numbers(dtype)[::16])
    np.testing.assert_array_equal(apply(name, -x), -apply(name, x))


@pytest.mark.parametrize(("dtype", "first", "last"), [(np.float32, 8, 9), (np.float64, 17, 19)])
def test_tanh_comes_up_to_1_and_no_further(dtype, first, last):
    x = np.linspace(first, last, 1 << 20, dtype=dtype)
    y = apply("tanh", x)
    assert y[0] < 1
    assert y[-1] == 1
    assert y.max() == 1


LIBRARY_CALL = re.compile(r"\b(exp|exp2|expm1|log|log2|log1p|tanh|erf|fma|ldexp|floor|rint)f?\b")
CONVERSION = re.compile(r"\bv?cvt(ss2sd|sd2ss|ps2pd|pd2ps)\b|\bfcvtn?l?\b")


def assembly(function, *arguments):
    function(*arguments)
    return function.inspect_asm(tuple(typeof(argument) for argument in arguments))


@every_dtype
@every_function
def test_machine_code_calls_no_library_and_converts_nothing(name, dtype):
    x = np.zeros(64, dtype)
    code = assembly(driver(name), x, x.copy(), x.copy())
    assert not LIBRARY_CALL.search(code)
    assert not CONVERSION.search(code)


@dispatcher
def calls_the_library(x):
    for i in range(x.size):
        x[i] = library_exp(x[i]) * 0.1


def test_library_calls_and_conversions_would_be_seen():
    code = assembly(calls_the_library, np.zeros(64, np.float32))
    assert LIBRARY_CALL.search(code)
    assert CONVERSION.search(code)
