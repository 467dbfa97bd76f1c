"""Products and packing: component-wise error bounds, exact integers, nothing leaked, nothing touched that is not theirs.

`products.py` takes the products from networks; `reliability/shapes.py` goes over more shapes, and over layouts of the operands.
"""

import os
import subprocess
import sys
from itertools import product as combinations
from pathlib import Path

import numpy as np
import pytest
from conftest import DTYPES, compiled, make_net, make_samples, make_targets
from numba import types
from products import Products

import fastbp
from fastbp import LeakyReLU, Network
from fastbp.engine import planner
from fastbp.engine.session import Session
from fastbp.kernels import packing
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE, PREDICT, TRAIN
from fastbp.kernels.products import gemm
from fastbp.kernels.products.few import product_shallow
from fastbp.kernels.products.ways import is_shallow
from fastbp.optimizers import SGD
from fastbp.simd import transpose
from fastbp.simd.register import pointer, register_bytes, tile_rows
from fastbp.simd.tile import STORE, WHERE_ABOVE, ZERO, Tile

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
LANES_OF = {dtype: register_bytes() // np.dtype(dtype).itemsize for dtype in DTYPES}


# --- products ----------------------------------------------------------------------------------------------------------------


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
    for few in (1, 2, 3):  # columns, alone or past whole panels
        yield from ((17, 29, few), (40, 24, 2 * lanes + few), (9, 23, few), (3, 449, few), (24, 448, few), (7, 1100, few))


@every_dtype
def test_products_are_within_the_error_bound(dtype):
    count = 0
    for rows, n_in, n_out in shapes(dtype):
        x, w = make_samples(rows, n_in, dtype, seed=count), make_samples(n_out, n_in, dtype, seed=count + 1)
        b, y = make_samples(1, n_out, dtype)[0], make_samples(rows, n_out, dtype, seed=count + 2)
        assert Products(x, w, b, y).outside() == [], f"{rows} rows, {n_in} inputs, {n_out} outputs"
        count += 1
    assert count >= 250


@every_dtype
def test_products_of_small_integers_are_exact(dtype):
    rng = np.random.default_rng(0)
    for rows, n_in, n_out in shapes(dtype):
        integers = [rng.integers(-4, 5, shape) for shape in ((rows, n_in), (n_out, n_in), n_out, (rows, n_out))]
        given = [array.astype(dtype) for array in integers]
        assert Products(*given).inexact() == [], f"{rows} rows, {n_in} inputs, {n_out} outputs"
        for array, before in zip(given, integers, strict=True):
            np.testing.assert_array_equal(array, before)


@every_dtype
def test_rectifiers_of_products(dtype):
    """The product that is cut off at zero, and the one that is masked, are the plain ones, cut off and masked."""
    for rows, n_in, n_out in combinations((1, 5, 13), (3, 17, 400), (2, 9, 33)):
        x, y = make_samples(rows, n_in, dtype), make_targets("squared", rows, 3, dtype)
        nets = [make_net((n_in, n_out, 3), hidden, dtype=dtype) for hidden in ("identity", "relu")]
        plain, cut = (net.trace(x, y) for net in nets)
        np.testing.assert_array_equal(cut.z[0], plain.z[0])
        np.testing.assert_array_equal(cut.a[1], np.maximum(plain.a[1], 0))
        back = Network([3, n_out], weights=[nets[1].weights[1].T], biases=[np.zeros(n_out)], dtype=dtype)(cut.delta[1])
        np.testing.assert_allclose(cut.delta[0], np.where(cut.z[0] > 0, back, 0), rtol=1e-5, atol=1e-7)
        assert (cut.delta[0][cut.z[0] <= 0] == 0).all()


@every_dtype
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_where_it_must_and_nowhere_else(value, dtype):
    n_in, n_out = 19, 21
    x, y = make_samples(14, n_in, dtype), make_targets("squared", 14, n_out, dtype)
    for layer_sizes in ((n_in, n_out), (n_in, 5, n_out)):
        net = make_net(layer_sizes, "identity", dtype=dtype)
        outputs, deltas = net(x), net.trace(x, y).delta
        net.weights[-1][20, 4] = value
        touched = net(x)
        assert not np.isfinite(touched[:, 20]).any()
        np.testing.assert_array_equal(touched[:, :20], outputs[:, :20])
        gradients = net.value_and_grad(x, y)[1]
        assert not np.isfinite(gradients.weights[-1][20]).any()
        assert np.isfinite(gradients.weights[-1][:20]).all()
        assert not np.isfinite(gradients.biases[-1][20])
        assert np.isfinite(gradients.biases[-1][:20]).all()
        if len(deltas) == 2:
            assert not np.isfinite(gradients.weights[0]).any()  # the delta of output 20 reaches every hidden unit


@every_dtype
@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam"])
def test_gradients_by_way_of_the_transpose_have_the_same_bits(rule, dtype):
    """Steps of few outputs and many samples equal those from gradients in memory, which are never transposed."""
    lanes = LANES_OF[dtype]
    before = max(4 * lanes, 16)  # outputs in whole panels, too many for the kernels of narrow layers
    for n_in, n_out, rows in combinations((1, 2 * lanes - 1, 2 * lanes, 37), range(1, 2 * lanes + 1), (63, 64, 65, 256, 259)):
        net = make_net((n_in, before + n_out), dtype=dtype)
        X, y = make_samples(rows, n_in, dtype), make_samples(rows, before + n_out, dtype)
        other = net.copy()
        options = {"epochs": 2, "batch_size": rows, "optimizer": rule, "shuffle": False}
        net.fit(X, y, **options)
        other.fit(X, y, record_norms=True, **options)
        np.testing.assert_array_equal(net.params, other.params, f"{n_in} inputs, {n_out} outputs, {rows} samples")


@every_dtype
@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("n_out", [1, 2])
def test_deltas_beside_the_gradient_of_few_outputs_have_the_same_bits(n_out, rule, dtype):
    """A leaky rectifier that leaks nothing is a rectifier, whose deltas are computed by themselves."""
    lanes, tight = LANES_OF[dtype], LeakyReLU()
    vars(tight)["alpha"] = 0.0  # which it does not take
    for n_hidden, rows in combinations((1, lanes + 1, 2 * lanes, 37), (1, 2, 5, 64, 255, 256, 257, 300)):
        X, y = make_samples(rows, 3, dtype), make_samples(rows, n_out, dtype)
        found = []
        for hidden in ("relu", tight):
            net = make_net((3, 20, n_hidden, n_out), hidden, dtype=dtype)
            gradient = net.value_and_grad(X, y)[1]
            net.fit(X, y, epochs=2, batch_size=256, optimizer=rule, shuffle=False)
            found.append(np.concatenate([net.params, *(each.ravel() for each in gradient.weights), *gradient.biases]))
        np.testing.assert_array_equal(*found, f"{n_hidden} hidden units, {rows} samples")


# --- what memory held before -------------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("loss", ["squared", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5, 2), (9, 17, 33, 1), (33, 7, 9)], ids=str)
def test_old_contents_of_the_work_buffer_and_the_outputs_do_not_leak(sizes, loss, dtype):
    for n in (1, 6, 17, 70):  # from 64 on some gradients are computed by way of their transposes
        net = make_net(sizes, ["leaky_relu", "elu"][: len(sizes) - 2], loss, dtype=dtype)
        X, y = make_samples(n, sizes[0], dtype), make_targets(loss, n, sizes[-1], dtype)
        for mode, options, count in (
            (PREDICT, {}, n * sizes[-1]),
            (EVALUATE, {}, 0),
            (DIFFERENTIATE, {"differentiate": True}, net.params.size),
            (TRAIN, {"optimizer": SGD(0.1)}, 0),
            (TRAIN, {"optimizer": SGD(0.1), "narrow": True}, 0),
        ):
            results = []
            for poison in (False, True):
                trained = net.copy()
                session = Session(trained, min(n, 5) if mode == TRAIN and n < 64 else n, **options)
                session.set_data(X, y)
                session.plan.epochs = 2
                session.plan.order_stride = 0
                session.rates, session.record = np.full(2, 0.1), np.zeros(2 * (1 + 4 * len(net.weights)))
                session.out = np.zeros(count, dtype)
                if poison:
                    session.work[session.work == 0] = 777.0  # all but the shape parameters
                    session.out[:] = session.record[:] = np.nan
                mean = session.call(mode)
                losses = session.record[:: 1 + 4 * len(net.weights)] if mode == TRAIN else np.array(mean)
                results.append((trained.params.tobytes(), session.out.tobytes(), losses.tobytes()))
            assert results[0] == results[1], (mode, options, n)
            assert np.isfinite(trained.params).all()


# --- packing -----------------------------------------------------------------------------------------------------------------


def _signature(dtype):
    vector, ints = dtype[::1], types.int64[::1]
    return types.void(types.int64, types.int64, types.int64, types.int64, *[vector] * 7, ints, types.int64)


PACK, LANES = range(2)


@compiled(_signature)
def move(mode, rows, n_in, n_out, x, w, b, packed, transposed, panels, out, order, stride):
    """PACK: w, b to packed, transposed, and back to `out`. LANES: rows of x to panels, to lanes, to panels, to rows in `out`."""
    x_, w_, b_, packed_, transposed_ = pointer(x), pointer(w), pointer(b), pointer(packed), pointer(transposed)
    panels_, out_, order_ = pointer(panels), pointer(out), pointer(order)
    if mode == PACK:
        packing.pack_weights(w_, b_, packed_, n_in, n_out, 0, gemm.count_panels(n_out, x_))
        packing.transpose_weights(packed_, transposed_, n_in, n_out, 0, gemm.count_panels(n_in, x_))
        packing.unpack_weights(packed_, out_, out_ + n_in * n_out, n_in, n_out)
    else:
        packing.gather_as_they_are(x_, n_in, order_, 0, rows, panels_, stride)
        for first in range(0, rows, gemm.panel_width(x_) // 2):
            packing.to_lanes(panels_, stride, first, n_in, packed_)
            packing.from_lanes(packed_, n_in, panels_, stride, first)
        packing.rows_from_panels(panels_, stride, order_ + rows, rows, n_in, out_)


MARGIN, CANARY = 64, 1234.5  # numbers around every operand that must not change


def moved(mode, x, w, b, order):
    """The operands after a move, by name; their margins and the inputs are checked."""
    dtype = x.dtype
    rows, (n_out, n_in), lanes = len(order), w.shape, LANES_OF[dtype.name]
    panel, round_up = 2 * lanes, planner.round_up
    stride = round_up(rows, lanes) * panel
    sizes = {
        "x": x.size,
        "w": w.size,
        "b": b.size,
        "packed": round_up(n_out, panel) * (n_in + 1) if mode == PACK else round_up(n_in, panel) * lanes,
        "transposed": round_up(n_in, panel) * round_up(n_out, lanes),
        "panels": round_up(n_in, panel) // panel * stride,
        "out": w.size + b.size if mode == PACK else rows * n_in,
    }
    memory = {name: np.full(size + 2 * MARGIN, CANARY, dtype) for name, size in sizes.items()}
    operands = {name: array[MARGIN:-MARGIN] for name, array in memory.items()}
    for array in operands.values():
        array[:] = np.nan
    if mode == LANES:
        operands["packed"][:] = 0  # rows of a lane block past the last are zero
    for name, given in (("x", x), ("w", w), ("b", b)):
        operands[name][:] = given.ravel()
    places = np.arange(rows)[::-1]  # of the rows that come back
    move[dtype](mode, rows, n_in, n_out, *operands.values(), np.concatenate([order, places]), stride)
    for name, array in memory.items():
        assert (array[:MARGIN] == CANARY).all(), name
        assert (array[-MARGIN:] == CANARY).all(), name
    for name, given in (("x", x), ("w", w), ("b", b)):
        np.testing.assert_array_equal(operands[name], given.ravel())
    return operands


@compiled(lambda dtype: types.void(*[types.int64] * 4, *[dtype[::1]] * 5))
def shallow_both(depth, rows, columns, finish, a, m, aux, tile, shallow):
    """A product of small depth by the tiles of every product, and by its own."""
    a_, m_, aux_ = pointer(a), pointer(m), pointer(aux)
    gemm.panel_product(gemm.Panels(a_, 0), depth, m_, pointer(tile), rows, columns, gemm.Ends(ZERO, m_, finish, aux_), 0)
    product_shallow(a_, depth, m_, pointer(shallow), rows, columns, finish, aux_)


@every_dtype
def test_products_of_small_depth_have_the_bits_of_the_others(dtype):
    panel = 2 * LANES_OF[dtype]
    for depth, rows, columns, finish in combinations((1, 2, 3), (4, 5, 8, 11), (1, 2, -1), (STORE, WHERE_ABOVE)):
        assert is_shallow.py_func(depth, rows)
        a, m, aux = (make_samples(count, panel, dtype).ravel() for count in (rows, depth, rows))
        tile, shallow = np.full((2, rows + 2, panel), CANARY, dtype)
        shallow_both[dtype](depth, rows, columns, finish, a, m, aux, tile, shallow)
        np.testing.assert_array_equal(shallow, tile)


@every_dtype
def test_packing_and_back(dtype):
    lanes = LANES_OF[dtype]
    for n_in, n_out in combinations((1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33), repeat=2):
        w, b = make_samples(n_out, n_in, dtype), make_samples(1, n_out, dtype)[0]
        operands = moved(PACK, make_samples(1, n_in, dtype), w, b, np.zeros(1, np.int64))
        np.testing.assert_array_equal(operands["out"], np.concatenate([w.ravel(), b]))
        packed = operands["packed"].reshape(-1, n_in + 1, 2 * lanes).transpose(0, 2, 1).reshape(-1, n_in + 1)
        np.testing.assert_array_equal(packed[:n_out], np.column_stack([w, b]))
        np.testing.assert_array_equal(packed[n_out:], 0)  # padding
        rows = planner.round_up(n_out, lanes)
        transposed = operands["transposed"].reshape(-1, rows, 2 * lanes).transpose(1, 0, 2).reshape(rows, -1)
        np.testing.assert_array_equal(transposed[:n_out, :n_in], w)
        np.testing.assert_array_equal(transposed[:n_out, n_in:], 0)  # padding


@every_dtype
def test_gathering_and_lanes(dtype):
    lanes = LANES_OF[dtype]
    for rows, n_in in combinations((1, 3, 7, 8, 9, 17), (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33)):
        x = make_samples(20, n_in, dtype)
        order = np.random.default_rng(n_in).integers(0, 20, rows)
        operands = moved(LANES, x, make_samples(1, n_in, dtype), make_samples(1, 1, dtype)[0], order)
        np.testing.assert_array_equal(operands["out"], x[order][::-1].ravel())
        capacity = planner.round_up(rows, lanes)
        panels = operands["panels"].reshape(-1, capacity, 2 * lanes).transpose(1, 0, 2).reshape(capacity, -1)
        np.testing.assert_array_equal(panels[:rows, :n_in], x[order])
        np.testing.assert_array_equal(panels[:rows, n_in:], 0)  # padding


@pytest.mark.parametrize("register_bits", [128, 256, 512, 1024])
@every_dtype
def test_squares_of_registers_of_any_width_are_transposed(dtype, register_bits, monkeypatch):
    class Builder:  # of shuffles of lists
        @staticmethod
        def shuffle_vector(low, high, index):
            return [[*low, *high][i.constant] for i in index.constant]

    number = getattr(types, dtype)
    count = register_bits // number.bitwidth
    tile = Tile(number, count, count, 1)
    rows = [[(row, column) for column in range(count)] for row in range(count)]
    expected = [list(column) for column in zip(*rows, strict=True)]
    assert transpose._emit_transpose(Builder, tile, rows, count // 2) == expected
    monkeypatch.setattr(transpose, "emit_load", lambda builder, row, start, vector, bits: row[start : start + vector.count])
    assert transpose._emit_load_transposed(Builder, tile, rows) == expected


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs mmap, mprotect and fork")
def test_kernels_stay_inside_their_arrays():
    script = Path(__file__).with_name("reliability") / "guard_pages.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=Path(fastbp.__file__).parents[1])
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    assert int(done.stdout.split()[0]) >= 500
