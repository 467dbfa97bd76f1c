"""Samples of uint8, int8 and float16: the bits of their copies as floats, times the scale of the network, without the copies."""

import pickle
import tracemalloc

import numpy as np
import pytest
from conftest import DTYPES
from scipy.sparse import csr_array

import fastbp
from fastbp import Adam, Network

KINDS = ["uint8", "int8", "float16"]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_kind = pytest.mark.parametrize("kind", KINDS)
N = 45  # the last mini-batches of 1, 8 and 45 are whole, short and whole


def samples(kind, n_in, n=N, zeros=0.0):
    """(n, n_in) of a kind, over most of its range; this part of them is zero."""
    rng = np.random.default_rng(n_in)
    if kind == "float16":
        X = (rng.normal(size=(n, n_in)) * 10.0 ** rng.integers(-6, 3, (n, n_in))).astype(np.float16)
    else:
        span = np.iinfo(kind)
        X = rng.integers(span.min, span.max, (n, n_in), endpoint=True).astype(kind)
    X[rng.random(X.shape) < zeros] = 0
    return X


def pair(sizes, dtype, scale, **settings):
    """Two networks of equal parameters, the first of which multiplies its inputs by the scale."""
    options = {"loss": "cross_entropy", "hidden": "tanh", "dtype": dtype, "rng": 0} | settings
    return Network(sizes, input_scale=scale, **options), Network(sizes, **options)


def as_floats(X, dtype, scale):
    return X.astype(dtype) * np.dtype(dtype).type(scale)


def assert_same(one, other):
    assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


# narrow; of one, two and three panels with and without a rest; deep; with 9 of 10 inputs zero
SIZES = {
    "narrow": ([7, 5, 3], 0.0),
    "one input": ([1, 40, 3], 0.0),
    "rest": ([13, 20, 3], 0.0),
    "whole": ([64, 20, 3], 0.0),
    "long": ([77, 30, 20, 3], 0.0),
    "zeros": ([40, 33, 3], 0.9),
}
every_size = pytest.mark.parametrize(("sizes", "zeros"), SIZES.values(), ids=SIZES)


@every_dtype
@every_kind
@every_size
@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_all_that_is_computed_is_that_of_floats(sizes, zeros, kind, dtype, scale):
    X, y = samples(kind, sizes[0], zeros=zeros), np.arange(N) % 3
    net, plain = pair(sizes, dtype, scale)
    F = as_floats(X, dtype, scale)
    assert_same(net(X), plain(F))
    assert_same(net(X, n_threads=2), plain(F))
    for row in (0, N - 1):
        assert_same(net(X[row]), plain(F[row]))
        assert_same(net(X[row : row + 1]), plain(F[row : row + 1]))
    assert_same(net.predict(X), plain.predict(F))
    assert net.score(X, y) == plain.score(F, y)
    assert net.loss(X, y) == plain.loss(F, y)
    assert_same(net.value_and_grad(X, y)[1].params, plain.value_and_grad(F, y)[1].params)
    for one, other in zip(net.trace(X, y), plain.trace(F, y), strict=True):
        for matrix, expected in zip(one, other, strict=True):
            assert_same(matrix, expected)


@every_dtype
@every_kind
@every_size
@pytest.mark.parametrize("threads", [1, 2])
def test_fits_are_those_of_floats(sizes, zeros, kind, dtype, threads, teams):
    X, y = samples(kind, sizes[0], zeros=zeros), np.arange(N) % 3
    net, plain = pair(sizes, dtype, 1 / 255)
    F = as_floats(X, dtype, 1 / 255)
    held, sets = samples(kind, sizes[0], 9), [(net, X), (plain, F)]
    judged = {id(net): (held, y[:9]), id(plain): (as_floats(held, dtype, 1 / 255), y[:9])}
    for options in (
        {"batch_size": 1},
        {"batch_size": 8, "optimizer": "adam", "shuffle": "replacement"},
        {"batch_size": N, "sample_weight": np.linspace(0, 1, N)},
        {"batch_size": 8, "l2": 0.1, "record_norms": True, "record_score": True},
        {"batch_size": 8, "input_dropout": 0.5, "validation_fraction": 0.2},
    ):
        histories = []
        for each, data in sets:
            given = {} if "validation_fraction" in options else {"validation_data": judged[id(each)]}
            histories.append(each.fit(data, y, epochs=2, rng=1, n_threads=threads, **given, **options))
        first, second = histories
        assert first.loss == second.loss
        assert first.validation_loss == second.validation_loss
        assert_same(net.params, plain.params)
    assert max(sizes) < 13 or threads in teams


@every_dtype
@every_kind
@every_size
def test_steps_and_runs_are_those_of_floats(sizes, zeros, kind, dtype):
    X, y = samples(kind, sizes[0], zeros=zeros), np.arange(N) % 3
    F = as_floats(X, dtype, 0.25)
    nets = pair(sizes, dtype, 0.25)
    losses = []
    for net, data in zip(nets, (X, F), strict=True):
        trainer = net.trainer(batch_size=8, optimizer=Adam(0.01), rng=3)
        own = [trainer.step(data[:8], y[:8]), trainer.step(data[8:10], y[8:10]), trainer.epoch(data, y)]
        own += trainer.run(data, y, 2).loss
        # one kind after the other, in the same buffers
        own += [trainer.step(F[:8] * dtype_scale(net), y[:8]), trainer.step(data[:8], y[:8])]
        losses.append(own)
    assert losses[0] == losses[1]
    assert_same(nets[0].params, nets[1].params)


def dtype_scale(net):
    """What makes floats that are scaled already the same for either network."""
    return net.dtype.type(1 / net.input_scale)


@every_dtype
def test_floats_and_sparse_matrices_are_scaled_too(dtype):
    sizes, scale = [40, 20, 3], 0.1
    X, y = samples("float16", 40, zeros=0.9).astype(dtype), np.arange(N) % 3
    F = as_floats(X, dtype, scale)
    net, plain = pair(sizes, dtype, scale)
    for given, expected in ((X, F), (csr_array(X), csr_array(F)), (X.tolist(), F), (np.asfortranarray(X), F)):
        assert_same(net(given), plain(expected))
        assert net.loss(given, y) == plain.loss(expected, y)
        net.fit(given, y, epochs=1, rng=0)
        plain.fit(expected, y, epochs=1, rng=0)
        assert_same(net.params, plain.params)


@every_dtype
@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_every_number_there_is(dtype, scale):
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    for numbers in (np.arange(256, dtype=np.uint8), np.arange(-128, 128).astype(np.int8), halves[np.isfinite(halves)]):
        for width in (2, 32):  # lanes over samples and panels see them one by one and by registers
            X = np.resize(numbers, (-(-len(numbers) // width), width))
            net = Network([width, 1], dtype=dtype, input_scale=scale, rng=0)
            assert_same(net.trace(X).a[0], as_floats(X, dtype, scale))
            for column in range(0, width, 31):
                net.weights[0] = np.eye(width)[column : column + 1]
                assert np.array_equal(net(X)[:, 0], as_floats(X, dtype, scale)[:, column])


@every_kind
def test_any_layout_is_taken(kind):
    X = samples(kind, 20)
    net = Network([20, 30, 2], rng=0)
    expected = net(X.astype(np.float32))
    locked = X.copy()
    locked.flags.writeable = False
    wide = np.repeat(X, 2, axis=1)
    for each in (np.asfortranarray(X), wide[:, ::2], locked, X[::-1][::-1], X.astype(X.dtype.newbyteorder("S")), X.tolist()):
        assert_same(net(each), expected)
    assert_same(net(np.ma.masked_array(X)), expected)
    with pytest.raises(ValueError, match="masked array"):
        net(np.ma.masked_array(X, mask=np.eye(N, 20)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_halves_that_are_not_finite_are_refused(wrong):
    net = Network([20, 30, 2], rng=0)
    before = net.params.copy()
    X, y = samples("float16", 20), np.zeros((N, 2))
    X[-1, -1] = wrong
    trainer = net.trainer(batch_size=N)
    for call in (net, net.predict, net.trace):
        with pytest.raises(ValueError, match="X holds NaN or infinity"):
            call(X)
    for call in (net.score, net.loss, net.value_and_grad, net.fit, trainer.step, trainer.epoch, net.check_gradients):
        with pytest.raises(ValueError, match="X holds NaN or infinity"):
            call(X, y)
    with pytest.raises(ValueError, match=r"validation_data\[0\] holds NaN or infinity"):
        net.fit(X[:-1], y[:-1], validation_data=(X, y))
    with pytest.raises(ValueError, match="X holds NaN or infinity"):
        net(X[-1])
    assert_same(net.params, before)


@every_kind
def test_what_does_not_fit_is_refused_as_floats_are(kind):
    net, X = Network([20, 30, 2], rng=0), samples(kind, 20)
    with pytest.raises(ValueError, match="X has 19 columns, but the network has 20 inputs"):
        net(X[:, :19])
    with pytest.raises(ValueError, match="X is empty"):
        net(X[:0])
    with pytest.raises(ValueError, match="y must have shape"):
        net.loss(X, X[:, :1])
    assert net.loss(X, X[:, :2]) == net.loss(X.astype(np.float32), X[:, :2].astype(np.float32))  # targets are converted


@every_kind
def test_no_copy_is_made(kind):
    n = 40_000
    X, y = samples(kind, 100, 100)[np.arange(n) % 100], np.zeros(n, np.int64)
    net = Network([100, 8, 2], loss="cross_entropy", rng=0)

    def peak(X):
        tracemalloc.start()
        net.fit(X, y, epochs=1, batch_size=500)
        net.predict(X)
        net.loss(X[:3000], y[:3000])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    copied = n * 100 * 4
    assert peak(X) < copied / 4
    assert peak(X.astype(np.int16)) > copied  # which is one that is converted, and seen


@every_dtype
@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, np.nan, np.inf, 1e-320])
def test_a_scale_is_more_than_0_and_at_most_1(value, dtype):
    with pytest.raises(ValueError, match="input_scale must be"):
        Network([3, 2], dtype=dtype, input_scale=value)


def test_the_scale_stays_with_the_network(tmp_path):
    net = Network([30, 20, 2], input_scale=1 / 255, rng=0)
    X = samples("uint8", 30)
    assert net.input_scale == float(np.float32(1 / 255))
    assert "input_scale=0.00392157" in repr(net)
    assert "input_scale" not in repr(Network([3, 2]))
    net.save(tmp_path / "net.fastbp")
    for other in (net.copy(), pickle.loads(pickle.dumps(net)), fastbp.load(tmp_path / "net.fastbp")):
        assert other.input_scale == net.input_scale
        assert_same(other(X), net(X))
    assert net.copy("float64").input_scale == net.input_scale
    with pytest.raises(AttributeError, match="input_scale of a network is fixed"):
        net.input_scale = 1.0


@every_dtype
@every_kind
def test_gradients_are_those_of_differences(kind, dtype):
    net = Network([12, 15, 3], "tanh", "cross_entropy", dtype=dtype, input_scale=1 / 255, rng=0)
    X = np.clip(samples(kind, 12).astype(np.float64), -200, 200).astype(kind)
    assert net.check_gradients(X, np.arange(N) % 3).passed
