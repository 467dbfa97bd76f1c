"""Compiled functions in other processes: cached, forked, called by C."""

import ctypes
import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap

import embedded
import numpy as np
import pytest
from conftest import make_net, make_samples
from scipy import LowLevelCallable, integrate

from fastbp import embed

CACHED = """
import sys
import numpy as np
import fastbp
from numba import njit

@njit(cache=True, nogil=True)
def outputs(net, x):
    return net(x)

@njit(cache=True)
def steps(trainer, x, y):
    loss = 0.0
    for _ in range(10):
        loss = trainer.step(x, y)
    return loss

net = fastbp.Network([4, int(sys.argv[1]), 2], sys.argv[2], dtype="float64", rng=0)
x, y = np.random.default_rng(0).normal(size=(5, 4)), np.ones((5, 2))
assert (outputs(net, x) == net(x)).all()
other = net.copy().trainer(batch_size=5, optimizer="adam")
trainer = net.trainer(batch_size=5, optimizer="adam")
expected = [other.step(x, y) for _ in range(10)][-1]
assert steps(trainer, x, y) == expected
print(sum(outputs.stats.cache_hits.values()), sum(steps.stats.cache_hits.values()))
"""


def test_cached_functions_serve_all_networks_of_a_dtype_in_other_processes(tmp_path):
    script = tmp_path / "cached.py"
    script.write_text(CACHED)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    def run(*arguments):
        command = [sys.executable, "-W", "error", str(script), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()

    assert run("32", "tanh") == ["0", "0"]
    assert run("7", "relu") == ["1", "1"]


def _forked(net, X, queue):
    queue.put(embedded.outputs(net, X))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_a_copy():
    net, X = make_net((4, 32, 2)), make_samples(9, 4)
    expected = embedded.outputs(net, X)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_forked, args=(net, X, queue))
    child.start()
    np.testing.assert_array_equal(queue.get(), expected)
    child.join(60)
    assert child.exitcode == 0
    np.testing.assert_array_equal(embedded.outputs(net, X), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_c_function_gives_what_the_network_does(dtype):
    net, X = make_net((4, 32, 2), dtype=dtype), make_samples(9, 4, dtype)
    function, out = net.cfunc, np.empty((9, 2), dtype)
    own = ctypes.POINTER(np.ctypeslib.as_ctypes_type(np.dtype(dtype)))
    assert function.ctypes(function.network, 9, X.ctypes.data_as(own), out.ctypes.data_as(own)) == 0
    np.testing.assert_array_equal(out, net(X))
    X[3, 2] = np.nan
    assert function.ctypes(function.network, 9, X.ctypes.data_as(own), out.ctypes.data_as(own)) == 1
    assert hex(function.address) in repr(function)


def test_scipy_integrates_a_network():
    net = make_net((1, 16, 1))
    function = net.cfunc
    found, _ = integrate.quad(LowLevelCallable(function.integrand, function.user_data), -1.0, 2.0)
    expected, _ = integrate.quad(lambda x: net(np.array([x]))[0], -1.0, 2.0)
    assert found == expected
    plane = make_net((2, 16, 1)).cfunc
    found, _ = integrate.nquad(LowLevelCallable(plane.integrand, plane.user_data), [(0.0, 1.0), (0.0, 1.0)])
    assert np.isfinite(found)


def test_an_integrand_of_another_number_of_inputs_is_not_a_number():
    function = make_net((2, 16, 1)).cfunc
    x = (ctypes.c_double * 3)(1.0, 2.0, 3.0)
    assert np.isnan(function.integrand(3, x, function.network))
    assert np.isfinite(function.integrand(2, x, function.network))
    x[0] = np.inf
    assert np.isnan(function.integrand(2, x, function.network))


@pytest.mark.parametrize(("sizes", "dtype"), [((2, 16, 2), "float64"), ((2, 16, 1), "float32")])
def test_what_is_no_scalar_integrand_says_so(sizes, dtype):
    with pytest.raises(TypeError, match="integrand is for a network of float64 with one output"):
        _ = make_net(sizes, dtype=dtype).cfunc.integrand


PROGRAM = """
    #include "fastbp.h"

    double sum(fastbp_predict_double predict, const void *network, const double *x, int64_t rows)
    {
        double out[2], total = 0.0;
        for (int64_t i = 0; i < rows; i++) {
            if (predict(network, 1, x + 4 * i, out) != 0)
                return -1.0;
            total += out[0] + out[1];
        }
        return total;
    }
"""


def test_the_header_compiles_and_c_calls(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source, library = tmp_path / "sum.c", tmp_path / "sum.so"
    source.write_text(textwrap.dedent(PROGRAM))
    include = embed.CFunction.include
    subprocess.run([compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-I", include, "-o", library, source], check=True)
    total = ctypes.CDLL(str(library)).sum
    total.restype, total.argtypes = ctypes.c_double, [ctypes.c_void_p] * 3 + [ctypes.c_int64]
    net, X = make_net((4, 32, 2)), make_samples(9, 4)
    function = net.cfunc
    expected = 0.0
    for row in net(X):
        expected += row[0] + row[1]
    assert total(function.address, function.network, X.ctypes.data, 9) == expected
