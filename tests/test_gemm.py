"""Products and packing: component-wise error bounds, exact integers, nothing leaked, nothing touched that is not theirs."""

import os
import subprocess
import sys
from itertools import product as combinations
from pathlib import Path

import numpy as np
import pytest
from conftest import DTYPES, compiled, make_samples
from numba import types

from fastbp import layout
from fastbp.kernels import forward, gemm, packing
from fastbp.kernels.simd import pointer, register_bytes, tile_rows

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
FORWARD, BACKWARD, OUTER, ROUND_TRIP, LANES = range(5)


def _signature(dtype):
    vector, ints = dtype[::1], types.int64[::1]
    return types.void(types.int64, types.int64, types.int64, types.int64, *[vector] * 8, ints, types.int64, types.int64)


@compiled(_signature)
def products(mode, rows, n_in, n_out, x, w, b, packed, transposed, a, c, out, order, stride, finish):
    """The three products of a layer, through packing and back to rows.

    FORWARD: out (rows, O) = x (rows, I) W^T + b. BACKWARD: out (rows, I) = x (rows, O) W. OUTER: w (O, I) = D^T x and b (O,) = the
    sums of the rows of D (rows, O), which is given in `out`.
    """
    x_, w_, b_, packed_, transposed_ = pointer(x), pointer(w), pointer(b), pointer(packed), pointer(transposed)
    a_, c_, out_, order_ = pointer(a), pointer(c), pointer(out), pointer(order)
    panel = gemm.panel_width(x_)
    panels_in, panels_out = gemm.count_panels(n_in, x_), gemm.count_panels(n_out, x_)
    if mode <= BACKWARD:
        depth, width = (n_in, n_out) if mode == FORWARD else (n_out, n_in)
        packing.gather_rows(x_, depth, order_, 0, rows, a_, stride)
        packing.pack_weights(w_, b_, packed_, n_in, n_out, 0, panels_out)
        packing.transpose_weights(packed_, transposed_, n_in, n_out, 0, panels_in)
        m, apart, start = packed_, (n_in + 1) * panel, gemm.BIAS
        if mode == BACKWARD:
            m, apart, start = transposed_, packing.transposed_stride(n_out, x_), gemm.ZERO
        for p in range(gemm.count_panels(width, x_)):
            bias, columns = m + n_in * panel, gemm.panel_columns(p, width, x_)
            forward.product(a_, stride, depth, m, c_ + p * stride, rows, columns, start, bias, finish, c_)
            m = m + apart
        packing.rows_from_panels(c_, stride, rows, width, out_)
    elif mode == OUTER:
        packing.gather_rows(x_, n_in, order_, 0, rows, a_, stride)
        packing.gather_rows(out_, n_out, order_, 0, rows, c_, stride)
        for p in range(panels_out):
            columns = gemm.panel_columns(p, n_out, x_)
            for q in range(panels_in):
                inputs = min(panel, n_in - q * panel)
                g = packed_ + (p * (n_in + 1) + q * panel) * panel
                for part in range(2):  # in two parts, the second going on from the first
                    half = rows // 2
                    skip = part * half * panel
                    depth = rows - half if part == 1 else half
                    if depth > 0:
                        start = gemm.CONTINUE if part == 1 and half > 0 else gemm.ZERO
                        d = c_ + p * stride + skip
                        gemm.outer_product(a_ + q * stride + skip, d, depth, g, inputs, columns, start, gemm.STORE, g)
            gemm.column_sums(c_ + p * stride, rows, packed_ + (p * (n_in + 1) + n_in) * panel, gemm.ZERO)
        packing.unpack_weights(packed_, w_, b_, n_in, n_out)
    elif mode == ROUND_TRIP:
        packing.pack_weights(w_, b_, packed_, n_in, n_out, 0, panels_out)
        packing.unpack_weights(packed_, out_, c_, n_in, n_out)
    elif mode == LANES:
        packing.gather_rows(x_, n_in, order_, 0, rows, a_, stride)
        for first in range(0, rows, panel // 2):
            packing.to_lanes(a_, stride, first, n_in, packed_)
            packing.from_lanes(packed_, n_in, c_, stride, first)
        packing.rows_from_panels(c_, stride, rows, n_in, out_)


MARGIN = 64  # numbers around every operand that must not change
CANARY = 1234.5


class Operand:
    """A vector with a margin on both sides, filled with NaN."""

    def __init__(self, count, dtype):
        self.memory = np.full(count + 2 * MARGIN, CANARY, dtype)
        self.array = self.memory[MARGIN : MARGIN + count]
        self.array[:] = np.nan

    def check(self):
        np.testing.assert_array_equal(self.memory[:MARGIN], CANARY)
        np.testing.assert_array_equal(self.memory[-MARGIN:], CANARY)


def run(mode, x, w, b, *, second=None, n_out=None, order=None, finish=0):
    """Results of one mode: the rows in `out`, and w and b."""
    dtype = x.dtype
    rows = len(x) if order is None else len(order)
    n_out, n_in = w.shape
    lanes = register_bytes() // dtype.itemsize
    panel = 2 * lanes
    round_up = layout.round_up
    stride = round_up(rows, lanes) * panel
    sizes = {
        "x": x.size,
        "w": w.size,
        "b": b.size,
        "packed": round_up(n_out, panel) * (n_in + 1) if mode != LANES else round_up(n_in, panel) * lanes,
        "transposed": round_up(n_in, panel) * round_up(n_out, lanes),
        "a": round_up(max(n_in, n_out), panel) // panel * stride,
        "c": max(round_up(max(n_in, n_out), panel) // panel * stride, n_out),
        "out": {BACKWARD: rows * n_in, ROUND_TRIP: w.size, LANES: rows * n_in}.get(mode, rows * n_out),
    }
    operands = {name: Operand(size, dtype) for name, size in sizes.items()}
    for name, given in (("x", x), ("w", w), ("b", b), ("out", second)):
        if given is not None:
            operands[name].array[:] = given.ravel()
    if mode == LANES:
        operands["a"].array[:] = 0  # rows past the last are zero in a lane block
    order = np.arange(rows) if order is None else np.asarray(order)
    kept = order.copy()
    arrays = [operand.array for operand in operands.values()]
    products[dtype](mode, rows, n_in, n_out, *arrays, order, stride, finish)
    for operand in operands.values():
        operand.check()
    np.testing.assert_array_equal(order, kept)
    for name, given in (("x", x), ("w", w), ("b", b)):
        if name == "x" or mode != OUTER:
            np.testing.assert_array_equal(operands[name].array, given.ravel())
    if mode in (FORWARD, BACKWARD):  # rows of the last panel past the last one
        width = n_out if mode == FORWARD else n_in
        panels = operands["c"].array[: round_up(width, panel) // panel * stride].reshape(-1, stride // panel, panel)
        assert np.isnan(panels[:, rows:]).all()
    result = {name: operand.array for name, operand in operands.items()}
    return result["out"], result["w"].reshape(n_out, n_in), result["b"], result


def gamma(terms, dtype):
    """k u / (1 - k u): relative error of a sum of k products in any order (Higham, 2002, section 3.1)."""
    unit = np.finfo(dtype).eps / 2
    return terms * unit / (1 - terms * unit)


def within(result, exact, absolute, terms, dtype, context):
    bound = gamma(terms, dtype) * absolute
    if dtype == "float64":
        bound = 2 * bound  # the reference is rounded as well
    assert np.isfinite(result).all(), context
    assert (np.abs(result.reshape(exact.shape) - exact) <= bound).all(), context


LANES_OF = {dtype: register_bytes() // np.dtype(dtype).itemsize for dtype in DTYPES}


def edges(*sizes):
    return sorted({size + shift for size in sizes for shift in (-1, 0, 1) if size + shift > 0})


def shapes(dtype):
    """(rows, n_in, n_out): all of {1, 2, 3, 5, 9}^3, and the edges of tiles, panels and blocks in each direction."""
    lanes, tile = LANES_OF[dtype], tile_rows()
    yield from combinations((1, 2, 3, 5, 9), repeat=3)
    for edge in edges(tile, 2 * tile, 4 * tile, lanes, 2 * lanes, 4 * lanes, 48, 64):
        yield from ((edge, 7, 5), (edge, 19, 2 * lanes + 1), (5, edge, 3), (7, 3, edge), (edge, edge, edge))
    for edge in edges(96, 128, 256, 384, 768):
        yield from ((edge, 3, 2), (5, edge, 9), (3, 9, edge))
    for n_in, n_out in combinations(edges(lanes, 2 * lanes), repeat=2):
        yield 6, n_in, n_out


@every_dtype
def test_products_are_within_the_error_bound(dtype):
    count = 0
    for rows, n_in, n_out in shapes(dtype):
        x, w = make_samples(rows, n_in, dtype, seed=count), make_samples(n_out, n_in, dtype, seed=count + 1)
        b, d = make_samples(1, n_out, dtype)[0], make_samples(rows, n_out, dtype, seed=count + 2)
        wide_x, wide_w, wide_b, wide_d = (array.astype(float) for array in (x, w, b, d))
        context = f"{rows} rows, {n_in} inputs, {n_out} outputs"
        out, *_ = run(FORWARD, x, w, b)
        absolute = np.abs(wide_x) @ np.abs(wide_w.T) + np.abs(wide_b)
        within(out, wide_x @ wide_w.T + wide_b, absolute, n_in + 1, dtype, context)
        out, *_ = run(BACKWARD, d, w, b)
        within(out, wide_d @ wide_w, np.abs(wide_d) @ np.abs(wide_w), n_out, dtype, context)
        _, weights, biases, _ = run(OUTER, x, w, b, second=d)
        within(weights, wide_d.T @ wide_x, np.abs(wide_d.T) @ np.abs(wide_x), rows, dtype, context)
        within(biases, wide_d.sum(axis=0), np.abs(wide_d).sum(axis=0), rows, dtype, context)
        count += 1
    assert count >= 250


@every_dtype
def test_products_of_small_integers_are_exact(dtype):
    rng = np.random.default_rng(0)
    for rows, n_in, n_out in shapes(dtype):
        x, w, b, d = (rng.integers(-4, 5, shape) for shape in ((rows, n_in), (n_out, n_in), n_out, (rows, n_out)))
        operands = [array.astype(dtype) for array in (x, w, b)]
        context = f"{rows} rows, {n_in} inputs, {n_out} outputs"
        np.testing.assert_array_equal(run(FORWARD, *operands)[0], (x @ w.T + b).ravel(), context)
        np.testing.assert_array_equal(run(BACKWARD, d.astype(dtype), *operands[1:])[0], (d @ w).ravel(), context)
        _, weights, biases, _ = run(OUTER, *operands, second=d.astype(dtype))
        np.testing.assert_array_equal(weights, d.T @ x, context)
        np.testing.assert_array_equal(biases, d.sum(axis=0), context)


@every_dtype
def test_finishes(dtype):
    for rows, n_in, n_out in combinations((1, 5, 13), (3, 17), (2, 9, 33)):
        x, w, b = make_samples(rows, n_in, dtype), make_samples(n_out, n_in, dtype), make_samples(1, n_out, dtype)[0]
        plain = run(FORWARD, x, w, b)[0]
        np.testing.assert_array_equal(run(FORWARD, x, w, b, finish=gemm.FLOOR)[0], np.maximum(plain, 0))


@every_dtype
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_where_it_must_and_nowhere_else(value, dtype):
    rows, n_in, n_out = 14, 19, 21
    x, w, b = make_samples(rows, n_in, dtype), make_samples(n_out, n_in, dtype), make_samples(1, n_out, dtype)[0]
    d = make_samples(rows, n_out, dtype, seed=3)
    plain = [run(FORWARD, x, w, b)[0], run(BACKWARD, d, w, b)[0], run(OUTER, x, w, b, second=d)[1:3]]
    bad = [array.copy() for array in (x, w, d)]
    bad[0][13, 18] = bad[1][20, 4] = bad[2][0, 16] = value

    def check(result, expected, touched):
        touched = touched.ravel()
        assert not np.isfinite(result[touched]).any()
        np.testing.assert_array_equal(result[~touched], expected[~touched])

    row, column = np.arange(rows)[:, None], np.arange(n_out)
    check(run(FORWARD, bad[0], w, b)[0], plain[0], (row == 13) & (column >= 0))
    check(run(FORWARD, x, bad[1], b)[0], plain[0], (row >= 0) & (column == 20))
    assert not np.isfinite(run(FORWARD, bad[0], w, b, finish=gemm.FLOOR)[0].reshape(rows, n_out)[13]).all() or value == -np.inf
    check(run(BACKWARD, bad[2], w, b)[0], plain[1], (row == 0) & (np.arange(n_in) >= 0))
    check(run(BACKWARD, d, bad[1], b)[0], plain[1], (row >= 0) & (np.arange(n_in) == 4))
    _, weights, biases, _ = run(OUTER, bad[0], w, b, second=d)
    check(weights.ravel(), plain[2][0].ravel(), (column[:, None] >= 0) & (np.arange(n_in) == 18))
    np.testing.assert_array_equal(biases, plain[2][1])
    _, weights, biases, _ = run(OUTER, x, w, b, second=bad[2])
    check(weights.ravel(), plain[2][0].ravel(), (column[:, None] == 16) & (np.arange(n_in) >= 0))
    check(biases, plain[2][1], column == 16)


@every_dtype
def test_packing_and_back(dtype):
    for n_in, n_out in combinations((1, 2, 7, 8, 9, 15, 16, 17, 33), repeat=2):
        w, b = make_samples(n_out, n_in, dtype), make_samples(1, n_out, dtype)[0]
        out, _, _, operands = run(ROUND_TRIP, make_samples(1, n_in, dtype), w, b)
        np.testing.assert_array_equal(out, w.ravel())
        np.testing.assert_array_equal(operands["c"][:n_out], b)
        panel = 2 * LANES_OF[dtype]
        packed = operands["packed"].reshape(-1, n_in + 1, panel).transpose(0, 2, 1).reshape(-1, n_in + 1)
        np.testing.assert_array_equal(packed[:n_out], np.column_stack([w, b]))
        np.testing.assert_array_equal(packed[n_out:], 0)  # padding


@every_dtype
def test_gathering_and_lanes(dtype):
    for rows, n_in in combinations((1, 3, 8, 9, 17), (1, 2, 7, 8, 9, 16, 17, 33)):
        x = make_samples(20, n_in, dtype)
        order = np.random.default_rng(n_in).integers(0, 20, rows)
        b, w = make_samples(1, 1, dtype)[0], make_samples(1, n_in, dtype)
        out, *_, operands = run(LANES, x, w, b, order=order)
        np.testing.assert_array_equal(out, x[order].ravel())
        stride = layout.round_up(rows, LANES_OF[dtype]) * 2 * LANES_OF[dtype]
        panels = operands["a"].reshape(-1, stride // (2 * LANES_OF[dtype]), 2 * LANES_OF[dtype])
        gathered = panels.transpose(1, 0, 2).reshape(panels.shape[1], -1)[:rows]
        np.testing.assert_array_equal(gathered[:, :n_in], x[order])
        np.testing.assert_array_equal(gathered[:, n_in : layout.round_up(n_in, 2 * LANES_OF[dtype])], 0)  # padding


# --- guard pages -------------------------------------------------------------------------------------------------------------

GUARDED = r'''
import ctypes, mmap, os, resource, signal, sys
import numpy as np
from fastbp import Network, layout, optimizers
from fastbp.kernels.train import DIFFERENTIATE, EVALUATE, PREDICT, TRAIN
from fastbp.session import Session

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
libc, PAGE = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


def guarded(array, side):
    """A copy whose first (or last) number touches a page that must not be read or written."""
    pages = -(-array.nbytes // PAGE) or 1
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for start in (address, address + (pages + 1) * PAGE):
        assert libc.mprotect(start, PAGE, 0) == 0, ctypes.get_errno()
    offset = PAGE if side == "left" else (pages + 1) * PAGE - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset)
    copy[:] = array
    return copy


def session_of(net, mode, options, x, y, labels, weights, order, out, side):
    session = Session(net, options["batch"], **options["session"])
    session.set_data(x, None if y is None else y, labels, weights, order)
    session.plan[layout.ORDER_STRIDE] = 0
    session.plan[layout.EPOCHS] = 2
    session.rates, session.record = np.full(2, 0.01), np.full(2 * (1 + 4 * len(net.weights)), np.nan)
    session.out = np.full(out, np.nan, net.dtype)
    if side:
        for name in ("x", "y", "labels", "sample_weight", "order", "out", "rates", "record", "reals", "plan", "work"):
            setattr(session, name, guarded(getattr(session, name), side))
        net.params = guarded(net.params, side)
    return session


def results(net, mode, options, *data, side):
    net = net.copy()
    session = session_of(net, mode, options, *data, side)
    session.call(mode)
    session.close()
    return net.params.tobytes(), session.out.tobytes(), session.record.tobytes(), session.reals.tobytes()


def cases(dtype):
    rng = np.random.default_rng(0)
    widths = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33)
    shapes = [(a, b, c) for a, b, c in zip(widths, widths[5:] + widths[:5], widths[3:] + widths[:3])]
    shapes += [(a, a) for a in widths] + [(4, 65, 3), (400, 3, 2), (3, 400, 33)]
    for number, sizes in enumerate(shapes):
        n = (1, 3, 8, 17, 6, 25)[number % 6]
        loss = ("squared", "cross_entropy", "binary_cross_entropy")[number % 3]
        net = Network(sizes, ("relu", "tanh", "gelu")[number % 3], loss, dtype=dtype, rng=number)
        x = rng.normal(size=(n, sizes[0])).astype(dtype)
        y = rng.uniform(size=(n, sizes[-1])).astype(dtype)
        labels = rng.integers(0, sizes[-1], n)
        weights = rng.uniform(size=n).astype(dtype)
        order = rng.integers(0, n, max(1, n - 1))
        data = [(y, None, weights, None)]
        if loss == "cross_entropy":
            data.append((None, labels, None, None))
        for y_, labels_, weights_, _ in data:
            for rule in ("sgd", "momentum", "adam"):
                options = {"batch": min(5, n), "session": {"optimizer": optimizers.get(rule), "members": 1 + number % 2}}
                yield net, TRAIN, options, x, y_, labels_, weights_, order, 0
            gradient = {"batch": n, "session": {"differentiate": True}}
            yield net, DIFFERENTIATE, gradient, x, y_, labels_, weights_, None, net.params.size
            yield net, EVALUATE, {"batch": n, "session": {}}, x, y_, labels_, weights_, None, 0
        yield net, PREDICT, {"batch": min(4, n), "session": {}}, x, None, None, None, None, n * sizes[-1]


def canary(side):
    """Die as a kernel that reads one row too far (or too early) must."""
    child = os.fork()
    if child == 0:
        net = Network([3, 2], dtype="float64", rng=0)
        order = np.array([0, 5 if side == "right" else -1])
        session = session_of(net, PREDICT, {"batch": 2, "session": {}}, np.ones((5, 3)), None, None, None, order, 4, side)
        session.call(PREDICT)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSEGV, signal.SIGBUS)


count = 0
for dtype in ("float32", "float64"):
    for case in cases(dtype):
        expected = results(*case, side=None)
        for side in ("left", "right"):
            assert results(*case, side=side) == expected, (case[0], case[1], side)
            count += 1
for side in ("left", "right"):
    assert canary(side), f"reading past the {side} end was not noticed"
print(count)
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs mmap, mprotect and fork")
def test_kernels_stay_inside_their_arrays():
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, cwd=Path(layout.__file__).parents[1])
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    assert int(done.stdout) >= 500
