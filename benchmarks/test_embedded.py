"""pytest-benchmark: calls from compiled code, each beside what it gives in Python; and the loops beside those written by hand."""

import numpy as np

from .bench_embedded import CALLS, Embedded
from .common import ready

METHODS = {
    "predict_into": lambda calls: (calls.out, calls.net(calls.X)),
    "value_and_grad_into": lambda calls: (calls.grads[-1], calls.net.value_and_grad(calls.X[-1:], calls.y[-1:])[1].params),
    "jacobian_into": lambda calls: (calls.jacobians, calls.net.jacobian(calls.X)),
    "vjp_into": lambda calls: (calls.rows, calls.net.vjp(calls.X, calls.v)),
    "jvp_into": lambda calls: (calls.out, calls.net.jvp(calls.X, calls.X)),
}

CASES = {
    "test_calls": ("method", ("closed-loop", "closed-loop-deep"), (*METHODS, "trainer_step")),
    "test_loops": ("contestant", ("closed-loop", "closed-loop-deep", "training-loop"), ("fastbp", "numba dot", "numba loops")),
}


def pytest_generate_tests(metafunc):
    # not by decorators: asv imports this module where pytest is not installed
    what, names, values = CASES[metafunc.function.__name__]
    metafunc.parametrize("name", names)
    metafunc.parametrize(what, values)


def test_calls(benchmark, name, method):
    calls = Embedded()
    calls.setup(name, "float32")
    benchmark.group = f"{CALLS} calls: {name}"
    benchmark.pedantic(getattr(calls, f"time_{method}"), args=(name, "float32"), rounds=10, warmup_rounds=1)
    if method in METHODS:
        np.testing.assert_allclose(*METHODS[method](calls), rtol=1e-5, atol=1e-6)
    else:
        assert calls.trainer.net.loss(calls.X, calls.y) < calls.net.loss(calls.X, calls.y)


def test_loops(benchmark, name, contestant):
    benchmark.group = f"loop: {name}"
    loop, plain = ready(name, contestant), ready(name, "numpy", "float64")
    benchmark.pedantic(loop.run, args=(1,), setup=loop.reset, rounds=10, warmup_rounds=1)
    plain.run(1)
    np.testing.assert_allclose(loop.parameters(), plain.parameters(), atol=1e-4)
