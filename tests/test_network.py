"""`Network` against the NumPy oracle on every awkward shape, and what it promises about inputs, views and copies."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise

import joblib
import numpy as np
import pytest
from conftest import ACTIVATIONS, DTYPES, LOSSES, PAIRS, WIDTHS, error, flat, label, make_net, make_samples, make_targets, oracle
from scipy.sparse import csr_matrix
from sklearn.metrics import accuracy_score, r2_score

from fastbp import SGD, Adam, BinaryCrossEntropy, CrossEntropy, Network, Sigmoid, SquaredError, Tanh, evaluating
from fastbp.engine import metrics, threads

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=label)
every_pair = pytest.mark.parametrize(("activation", "loss"), PAIRS, ids=label)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
BATCHES = (1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65)


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# --- shapes ------------------------------------------------------------------------------------------------------------------


def check_against_oracle(net, X, y, sample_weight=None):
    tolerance = TOLERANCE[net.dtype.name]
    exact = oracle(net)
    inputs = [None if array is None else np.asarray(array, float) for array in (X, y, sample_weight)]
    value, weights, biases = exact.value_and_grad(*inputs)
    result, gradients = net.value_and_grad(X, y, sample_weight)
    context = f"{net}, {len(X)} samples"
    assert error(net(X), exact(inputs[0])) < tolerance, context
    assert result == pytest.approx(value, rel=tolerance), context
    assert net.loss(X, y, sample_weight) == result, context
    assert error(gradients.params, flat(weights, biases)) < tolerance, context


@every_dtype
@pytest.mark.parametrize("width", WIDTHS)
def test_widths(width, dtype):
    for n in (1, 3, 8, 19):
        for sizes in ((width, 5, 3), (4, width, 3), (4, 5, width), (width, width), (3, width, width, 2)):
            net = make_net(sizes, "tanh", "squared", dtype=dtype, seed=n)
            check_against_oracle(net, make_samples(n, sizes[0], dtype), make_targets("squared", n, sizes[-1], dtype))


@every_dtype
@pytest.mark.parametrize("n", BATCHES)
def test_batches(n, dtype):
    for sizes in ((3, 2), (7, 17, 3), (20, 33, 9, 1)):
        for loss in ("squared", "binary_cross_entropy"):
            net = make_net(sizes, "relu", loss, dtype=dtype)
            check_against_oracle(net, make_samples(n, sizes[0], dtype), make_targets(loss, n, sizes[-1], dtype))


@every_dtype
@pytest.mark.parametrize("n_out", WIDTHS)
@every_loss
def test_losses_at_every_width(loss, n_out, dtype):
    for n in (1, 7, 16, 17):
        net = make_net((3, n_out), loss=loss, dtype=dtype)
        X, y = 2 * make_samples(n, 3, dtype), make_targets(loss, n, n_out, dtype)
        check_against_oracle(net, X, y)


@every_dtype
@pytest.mark.parametrize("depth", [383, 384, 385, 500, 769])
def test_deep_sums(depth, dtype):
    for sizes in ((depth, 9, 2), (4, depth, 17), (4, 9, depth)):
        net = make_net(sizes, "tanh", dtype=dtype)
        check_against_oracle(net, make_samples(14, sizes[0], dtype), make_targets("squared", 14, sizes[-1], dtype))


@pytest.mark.parametrize("layers", [1, 2, 3, 5, 12])
def test_depths(layers):
    sizes = [5, *[7 + i for i in range(layers - 1)], 3]
    net = make_net(sizes, [ACTIVATIONS[i % len(ACTIVATIONS)] for i in range(layers - 1)])
    check_against_oracle(net, make_samples(9, 5), make_targets("squared", 9, 3))


@every_dtype
@pytest.mark.parametrize("n", [1023, 1024, 1025, 5000])
def test_many_samples_are_processed_in_blocks(n, dtype):
    for loss in ("squared", "cross_entropy"):
        net = make_net((20, 64, 30, 3), "tanh", loss, dtype=dtype)
        X, y = make_samples(n, 20, dtype), make_targets(loss, n, 3, dtype)
        check_against_oracle(net, X, y, make_samples(n, 1, dtype)[:, 0] ** 2)


@every_dtype
@pytest.mark.parametrize("rule", [SGD(0.5), Adam(0.01)], ids=label)
def test_big_mini_batches_are_one_step(rule, dtype):
    net = make_net((20, 64, 30, 3), "tanh", dtype=dtype)
    X, y = make_samples(5000, 20, dtype), make_targets("squared", 5000, 3, dtype)
    exact = oracle(net)
    losses = exact.fit(X.astype(float), y.astype(float), epochs=3, batch_size=5000, optimizer=rule)
    history = net.fit(X, y, epochs=3, batch_size=5000, optimizer=rule, shuffle=False)
    assert error(history.loss, losses) < TOLERANCE[dtype]
    assert error(net.params, exact.params) < (1e-10 if dtype == "float64" else 1e-4)


# --- outputs -----------------------------------------------------------------------------------------------------------------


@every_dtype
@every_loss
def test_call(loss, dtype):
    net = make_net((4, 6, 3), "tanh", loss, dtype=dtype)
    X = make_samples(10, 4, dtype)
    out = net(X)
    assert out.shape == (10, 3)
    assert out.dtype == dtype
    assert error(out, oracle(net)(X)) < TOLERANCE[dtype]
    if loss.link == "softmax":
        np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-6)
    one = net(X[2])
    assert one.shape == (3,)
    assert same_bits(one, out[2])
    assert same_bits(net(X[2].tolist()), one)


@every_dtype
@every_activation
def test_output_activations(activation, dtype):
    net = make_net((4, 6, 3), "sigmoid", dtype=dtype, output=activation)
    X, y = make_samples(10, 4, dtype), make_targets("squared", 10, 3, dtype)
    check_against_oracle(net, X, y)
    assert same_bits(net.trace(X).a[-1], net(X))
    assert error(net.predict(X), oracle(net).predict(X)) < TOLERANCE[dtype]


def test_results_of_one_call_survive_the_next():
    net = make_net((4, 6, 3))
    X = make_samples(10, 4)
    first, row = net(X), net(X[0])
    kept, kept_row = first.copy(), row.copy()
    net(-X)
    net(-X[0])
    assert same_bits(first, kept)
    assert same_bits(row, kept_row)
    _, gradients = net.value_and_grad(X, first)
    before = gradients.params.copy()
    net.value_and_grad(-X, first + 1)
    assert same_bits(gradients.params, before)


@pytest.mark.parametrize("n_out", [1, 3])
@every_loss
def test_predict(loss, n_out):
    net = make_net((4, 6, n_out), "tanh", loss)
    X = make_samples(50, 4)
    out, predicted = net(X), net.predict(X)
    if loss.task == "labels":
        expected = out.argmax(axis=1)
    else:
        expected = (out > 0.5).astype(int) if loss.task == "binary" else out
        expected = expected[:, 0] if n_out == 1 else expected
    np.testing.assert_array_equal(predicted, expected, strict=True)
    assert loss.task != "binary" or 0 < predicted.mean() < 1


def test_score():
    X = make_samples(60, 4)
    labels = np.random.default_rng(0).integers(0, 3, 60)
    net = make_net((4, 6, 3), loss="cross_entropy")
    assert net.score(X, labels) == accuracy_score(labels, net.predict(X))
    assert net.score(X, np.eye(3)[labels]) == net.score(X, labels)

    yes = np.random.default_rng(0).integers(0, 2, (60, 3))
    net = make_net((4, 6, 3), loss="binary_cross_entropy")
    assert net.score(X, yes) == accuracy_score(yes, net.predict(X))
    net = make_net((4, 6, 1), loss="binary_cross_entropy")
    assert net.score(X, yes[:, 0]) == accuracy_score(yes[:, 0], net.predict(X)) == net.score(X, yes[:, :1])

    y = make_targets("squared", 60, 3)
    net = make_net((4, 6, 3))
    assert net.score(X, y) == pytest.approx(r2_score(y, net.predict(X)), rel=1e-12)
    assert net.score(X, net(X)) == 1
    y[:, 1] = 2.0
    assert net.score(X, y) == pytest.approx(r2_score(y, net.predict(X)), rel=1e-12)
    constant = Network([4, 1], weights=[np.zeros((1, 4))], biases=[[2.0]], dtype="float64")
    assert constant.score(X, np.full(60, 2.0)) == 1
    assert constant.score(X, np.full(60, 3.0)) == 0


def test_weighted_scores():
    rng = np.random.default_rng(0)
    outputs, labels, w = rng.random((60, 3)), rng.integers(0, 3, 60), rng.uniform(0.1, 2, 60)
    yes = rng.integers(0, 2, (60, 3))
    yes[:20] = outputs[:20] > 0.5
    assert metrics.accuracy(outputs, labels, w) == pytest.approx(
        accuracy_score(labels, outputs.argmax(axis=1), sample_weight=w), rel=1e-14
    )
    expected = accuracy_score(yes, outputs > 0.5, sample_weight=w)
    assert metrics.accuracy(outputs, yes, w) == pytest.approx(expected, rel=1e-14)
    assert 0.3 < expected < 0.5
    assert metrics.r2(outputs, yes, w) == pytest.approx(r2_score(yes, outputs, sample_weight=w), rel=1e-13)
    yes[:, 1] = 1
    assert metrics.r2(outputs, yes, w) == pytest.approx(r2_score(yes, outputs, sample_weight=w), rel=1e-13)
    outputs[3, 1] = np.inf
    assert np.isnan(metrics.r2(outputs, yes))


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_many_rows_are_divided_among_threads(cores, monkeypatch):
    parts, plain = [], Network._fill
    monkeypatch.setattr(threads, "usable_threads", lambda: cores)
    monkeypatch.setattr(threads, "FLOP_PER_START", 1000.0)
    monkeypatch.setattr(Network, "_fill", lambda net, rows, *args: (parts.append(len(rows)), plain(net, rows, *args))[1])
    net, X = make_net((4, 20, 3), loss="cross_entropy"), make_samples(700, 4)
    expected = net(X, n_threads=1)
    assert parts == [700]
    assert same_bits(net(X), expected)
    assert len(parts[1:]) == cores
    assert sum(parts[1:]) == 700
    assert len(net._idle) == 1
    parts.clear()
    np.testing.assert_array_equal(net.predict(X, n_threads=2), expected.argmax(axis=1))
    assert len(parts) == min(cores, 2)
    parts.clear()
    assert same_bits(net(X[:3]), expected[:3])
    assert parts == [3]
    with pytest.raises(ValueError, match="n_threads must be at least 1"):
        net(X, n_threads=0)


def test_more_threads_than_rows(monkeypatch):
    monkeypatch.setattr(threads, "usable_threads", lambda: 3)
    net, X = make_net((4, 20, 3)), make_samples(2, 4)
    expected = net(X)
    monkeypatch.setattr(threads, "FLOP_PER_START", 10.0)  # one row is work for all
    for rows in (X.tolist(), X[:1].tolist()):
        assert same_bits(net(rows), expected[: len(rows)])
        assert same_bits(net.predict(rows), expected[: len(rows)])
    assert same_bits(net(X[0].tolist()), expected[0])


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, "all", True])
@pytest.mark.parametrize(
    "convert",
    [lambda X: X, lambda X: X[0], lambda X: X.tolist(), lambda X: X[0].tolist(), lambda X: csr_matrix(X)],
    ids=["rows", "a row", "lists", "a list", "sparse"],
)
def test_a_number_of_threads_that_is_none_is_refused_for_any_rows(convert, n_threads):
    net, X = make_net((4, 3)), make_samples(2, 4)
    with pytest.raises((TypeError, ValueError), match=r"^n_threads must be"):
        net(convert(X), n_threads=n_threads)


def test_one_dimensional_targets_of_one_output():
    X, y = make_samples(9, 4), make_targets("binary_cross_entropy", 9, 1)
    for loss in ("squared", "binary_cross_entropy"):
        net = make_net((4, 6, 1), loss=loss)
        assert net.loss(X, y[:, 0]) == net.loss(X, y)
        assert same_bits(net.value_and_grad(X, y[:, 0])[1].params, net.value_and_grad(X, y)[1].params)


@every_dtype
def test_labels_and_one_hot_rows_give_the_same_bits(dtype):
    labels = np.arange(23) % 5
    net = make_net((4, 6, 5), loss="cross_entropy", dtype=dtype)
    X, rows = make_samples(23, 4, dtype), np.eye(5)[labels]
    assert net.loss(X, labels) == net.loss(X, rows)
    assert same_bits(net.value_and_grad(X, labels)[1].params, net.value_and_grad(X, rows)[1].params)
    other = net.copy()
    net.fit(X, labels, epochs=3, batch_size=7, rng=0)
    other.fit(X, rows, epochs=3, batch_size=7, rng=0)
    assert same_bits(net.params, other.params)


@pytest.mark.parametrize("labels", [[0, 2, 1], (0, 2, 1), np.array([0, 2, 1], np.uint8), np.array([0.0, 2.0, 1.0])], ids=repr)
def test_labels_of_any_integer_kind(labels):
    net = make_net((4, 3), loss="cross_entropy")
    X = make_samples(3, 4)
    assert net.loss(X, labels) == net.loss(X, np.eye(3)[[0, 2, 1]])


# --- the four equations ------------------------------------------------------------------------------------------------------


@every_dtype
@every_pair
def test_trace(activation, loss, dtype):
    net = make_net((5, 7, 9, 3), [activation, "sigmoid"], loss, dtype=dtype)
    X, y = make_samples(11, 5, dtype), make_targets(loss, 11, 3, dtype)
    trace, tolerance = net.trace(X, y), 100 * np.finfo(dtype).eps
    assert [a.shape for a in trace.a] == [(11, 5), (11, 7), (11, 9), (11, 3)]
    assert [z.shape for z in trace.z] == [d.shape for d in trace.delta] == [(11, 7), (11, 9), (11, 3)]
    np.testing.assert_array_equal(trace.a[0], X)
    assert same_bits(trace.a[-1], net(X))
    gradients = net.value_and_grad(X, y)[1]
    for layer, (weights, biases) in enumerate(zip(net.weights, net.biases, strict=True)):
        assert error(trace.z[layer], trace.a[layer] @ weights.T + biases) < tolerance
        assert error(trace.delta[layer].T @ trace.a[layer], gradients.weights[layer]) < tolerance
        assert error(trace.delta[layer].sum(axis=0), gradients.biases[layer]) < tolerance
    a = trace.a[2].astype(float)
    assert error(trace.delta[1], trace.delta[2] @ net.weights[2] * a * (1 - a)) < tolerance
    without = net.trace(X)
    assert without.delta is None
    assert all(map(same_bits, [*without.a, *without.z], [*trace.a, *trace.z]))


@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_delta_of_the_last_layer(loss):
    net = make_net((5, 4), loss=loss, output=None if loss.link else "tanh")
    X, y = make_samples(6, 5), make_targets(loss, 6, 4)
    trace, h = net.trace(X, y), 1e-6
    for row, column in np.ndindex(6, 4):
        moved = [net.copy() for _ in range(2)]
        for each, sign in zip(moved, (1, -1), strict=True):
            each.biases[0][column] += sign * h
        difference = (moved[0].loss(X[[row]], y[[row]]) - moved[1].loss(X[[row]], y[[row]])) / (2 * h)
        assert trace.delta[0][row, column] == pytest.approx(difference / 6, rel=1e-6, abs=1e-9)


# --- sample weights ----------------------------------------------------------------------------------------------------------


@every_dtype
@every_loss
def test_sample_weights(loss, dtype):
    net = make_net((4, 9, 3), "tanh", loss, dtype=dtype)
    X, y = make_samples(21, 4, dtype), make_targets(loss, 21, 3, dtype)
    w = np.random.default_rng(0).integers(0, 4, 21)
    assert (w == 0).any()
    check_against_oracle(net, X, y, w)
    (loss_weighted, weighted), (loss_repeated, repeated) = (
        net.value_and_grad(X, y, w),
        net.value_and_grad(np.repeat(X, w, axis=0), np.repeat(y, w, axis=0)),
    )
    assert loss_weighted == pytest.approx(loss_repeated, rel=TOLERANCE[dtype])
    assert error(weighted.params, repeated.params) < TOLERANCE[dtype]
    scaled = net.value_and_grad(X, y, 4.0 * w)  # a power of two rounds nothing
    assert scaled[0] == loss_weighted
    assert same_bits(scaled[1].params, weighted.params)
    ones = net.value_and_grad(X, y, np.ones(21))
    # either sum of the 3 terms of a sample is rounded twice, by half an epsilon each time
    assert ones[0] == pytest.approx(net.loss(X, y), rel=max(1e-2 * TOLERANCE[dtype], 2 * float(np.finfo(dtype).eps)))
    assert same_bits(ones[1].params, net.value_and_grad(X, y)[1].params)


# --- a row does not depend on the others -------------------------------------------------------------------------------------


@every_dtype
@every_pair
def test_a_row_in_any_batch_and_position(activation, loss, dtype):
    net = make_net((9, 18, 5), activation, loss, dtype=dtype)
    X = make_samples(300, 9, dtype)
    rows = net(X)
    for i in (0, 1, 7, 255, 256, 299):
        assert same_bits(net(X[i]), rows[i])
        assert same_bits(net(X[i : i + 1])[0], rows[i])
    for count in (2, 3, 5, 6, 7, 11, 13, 17, 64, 255, 257):
        first = 300 - count
        assert same_bits(net(X[first:]), rows[first:])
    mixed = np.random.default_rng(0).permutation(300)
    assert same_bits(net(X[mixed]), rows[mixed])


@every_dtype
@pytest.mark.parametrize("n_in", [1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 40])
def test_one_row_has_the_bits_of_many_for_all_widths(n_in, dtype):
    """One row is computed from the parameters themselves, many from packed ones: also just after a change, and in turns."""
    for n_out in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33):
        net = make_net((n_in, n_out, n_in, n_out), "tanh", dtype=dtype)
        X = make_samples(6, n_in, dtype)
        for _ in range(2):
            one = net(X[4])
            rows = net(X)
            assert same_bits(one, rows[4])
            assert same_bits(net(X[:1]), rows[:1])
            net.params[:] *= -1.5
            assert not same_bits(net(X[4]), one)


@every_dtype
def test_one_row_of_a_net_with_negative_zeros_and_infinities(dtype):
    net = make_net((9, 5, 3), "relu", dtype=dtype)
    X = np.zeros((3, 9), dtype)
    X[1:] = -0.0
    for value in (0.0, -0.0, np.inf):
        net.params[::3] = value
        with np.errstate(all="ignore"):
            rows = net(X)
        assert all(same_bits(net(X[i]), rows[i]) for i in range(3))


@every_dtype
def test_a_row_of_wide_layers_in_any_batch(dtype):
    net = make_net((400, 130, 70, 33), "relu", "cross_entropy", dtype=dtype)
    X = make_samples(200, 400, dtype)
    rows, trace = net(X), net.trace(X)
    for count in (1, 5, 7, 64, 150):
        assert same_bits(net(X[:count]), rows[:count])
        assert all(same_bits(z, whole[:count]) for z, whole in zip(net.trace(X[:count]).z, trace.z, strict=True))


def test_calls_of_any_length_one_after_the_other():
    X = make_samples(1000, 4)
    net = make_net((4, 6, 3))
    expected = net.copy()(X)
    for n in (1, 300, 2, 256, 257, 1000, 1, 255):
        assert same_bits(net(X[:n]), expected[:n])


def test_threads_may_share_a_network():
    net, X = make_net((60, 300, 100, 5), loss="cross_entropy"), make_samples(250, 60)
    expected = net(X)

    def work(seed):
        rng = np.random.default_rng(seed)
        picks = [np.sort(rng.choice(250, rng.integers(150, 250), replace=False)) for _ in range(15)]
        return all(same_bits(net(X[rows]), expected[rows]) for rows in picks)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


# --- memory layout of inputs -------------------------------------------------------------------------------------------------


def layouts(X, path):
    """The numbers of X in every way that memory can hold them."""
    wide = np.full((2 * len(X) + 1, 3 * X.shape[1] + 2), np.nan, X.dtype)
    wide[1::2, 1:-1:3] = X
    reversed_ = np.ascontiguousarray(X[::-1, ::-1])
    read_only = X.copy()
    read_only.flags.writeable = False
    np.save(path, X)
    yield "Fortran", np.asfortranarray(X)
    yield "strided", wide[1::2, 1:-1:3]
    yield "negative strides", reversed_[::-1, ::-1]
    yield "read-only", read_only
    yield "memory map", np.load(path, mmap_mode="r")
    yield "big-endian", X.astype(X.dtype.newbyteorder(">"))
    yield "list", X.tolist()
    yield "tuple of rows", tuple(X)
    yield "object", X.astype(object)
    yield "subclass", X.view(type("Subclass", (np.ndarray,), {}))
    if X.dtype == np.float32:
        yield "wider", X.astype(np.float64)
    for offset in (1, 3, 7, 15, X.itemsize * 64):
        memory = np.zeros(X.nbytes + 2048, np.uint8)
        shifted = memory[offset : offset + X.nbytes].view(X.dtype).reshape(X.shape)
        shifted[:] = X
        yield f"{offset} bytes off", shifted


@every_dtype
def test_memory_layouts_give_the_same_bits(tmp_path, dtype):
    X, y = make_samples(37, 5, dtype), make_targets("squared", 37, 3, dtype)
    w = np.abs(make_samples(37, 1, dtype))
    net = make_net((5, 9, 3), dtype=dtype)
    expected = net(X), net.value_and_grad(X, y, w[:, 0]), net.trace(X, y).delta[0]
    fitted = net.copy()
    fitted.fit(X, y, epochs=2, batch_size=8, sample_weight=w[:, 0], optimizer="adam", rng=0)
    names = []
    for (name, other), (_, targets), (_, weights) in zip(
        *(layouts(each, tmp_path / f"{i}.npy") for i, each in enumerate((X, y, w))), strict=True
    ):
        names.append(name)
        weights = np.asarray(weights)[:, 0]
        assert same_bits(net(other), expected[0]), name
        loss, gradients = net.value_and_grad(other, targets, weights)
        assert loss == expected[1][0], name
        assert same_bits(gradients.params, expected[1][1].params), name
        assert same_bits(net.trace(other, targets).delta[0], expected[2]), name
        again = net.copy()
        again.fit(other, targets, epochs=2, batch_size=8, sample_weight=weights, optimizer="adam", rng=0)
        assert same_bits(again.params, fitted.params), name
    assert len(names) >= 15


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint32, bool, np.float16])
def test_other_numbers_are_converted(kind):
    X = (make_samples(9, 4) * 3).astype(kind)
    net = make_net((4, 6, 3))
    assert same_bits(net(X), net(X.astype(np.float64)))


# --- parameters --------------------------------------------------------------------------------------------------------------


@every_dtype
def test_views_are_writable_and_effective(dtype):
    net = make_net((4, 6, 3), dtype=dtype)
    X, y = make_samples(9, 4, dtype), make_targets("squared", 9, 3, dtype)
    net(X)
    for target in (net.weights[0], net.biases[1], net.params[:5]):
        assert np.shares_memory(target, net.params)
        before = net(X)
        target += 0.25
        assert error(net(X), before) > 1e-4
        assert error(net(X), oracle(net)(X)) < TOLERANCE[dtype]
        assert net.loss(X, y) == pytest.approx(oracle(net).loss(X, y), rel=TOLERANCE[dtype])
    np.testing.assert_array_equal(net.params, flat(net.weights, net.biases))
    net.fit(X, y, epochs=2)
    np.testing.assert_array_equal(net.params, flat(net.weights, net.biases))


@every_dtype
def test_the_smallest_change_of_a_parameter_is_seen(dtype):
    """Predictions pack the parameters anew only when they have changed."""
    net = Network([3, 1], weights=[[[0.0, 0.0, 1.0]]], biases=[[0.0]], dtype=dtype)
    x = np.eye(3, dtype=dtype)[2]
    for array, value in (
        (net.weights[0][0], np.nextafter(np.ones(1, dtype), 2)[0]),
        (net.biases[0], -1.0),
        (net.weights[0][0], np.nan),
    ):
        before = net(x)
        old, array[-1] = array[-1], value
        assert net(x) != before
        assert np.isnan(net(x)[0]) == np.isnan(value)
        array[-1] = old
        assert net(x) == before
    for index in range(net.params.size):
        before = net([1.0, 1.0, 1.0])
        net.params[index] += 0.5
        assert net([1.0, 1.0, 1.0]) == before + 0.5


def test_gradients_are_views_of_one_vector():
    net = make_net((4, 6, 3))
    _, gradients = net.value_and_grad(make_samples(9, 4), make_targets("squared", 9, 3))
    np.testing.assert_array_equal(gradients.params, flat(gradients.weights, gradients.biases))
    assert [g.shape for g in gradients.weights] == [w.shape for w in net.weights]
    assert [g.shape for g in gradients.biases] == [b.shape for b in net.biases]
    assert all(np.shares_memory(g, gradients.params) for g in (*gradients.weights, *gradients.biases))
    assert gradients.params.dtype == net.dtype


def test_a_loss_has_the_same_bits_before_and_after_a_gradient():
    X, y = make_samples(9, 4), make_targets("squared", 9, 3)
    net = make_net((4, 6, 3), "gelu")
    before = net.loss(X, y)
    value, _ = net.value_and_grad(X, y)
    assert net.loss(X, y) == before == value
    assert len(net._spare) == 1


def test_a_large_session_is_not_kept(monkeypatch):
    X, y = make_samples(9, 4), make_targets("squared", 9, 3)
    net = make_net((4, 6, 3))
    before = net.loss(X, y)
    net._spare.clear()
    monkeypatch.setattr(evaluating, "SPARE_BYTES", 0)
    assert net.loss(X, y) == before
    assert net._spare == []


def test_given_biases_stay_where_weights_are_drawn():
    biases = [np.array([1.0, 2.0, 3.0]), np.array([4.0])]
    net, drawn = (Network([2, 3, 1], dtype="float64", rng=0, **given) for given in ({"biases": biases}, {}))
    np.testing.assert_array_equal(np.concatenate(net.biases), [1, 2, 3, 4])
    np.testing.assert_array_equal(net.weights[0], drawn.weights[0])


def test_given_parameters_are_copied():
    weights, biases = [np.ones((3, 2)), np.ones((1, 3))], [np.zeros(3), np.zeros((1, 1))]
    net = Network([2, 3, 1], "relu", weights=weights, biases=biases, dtype="float64")
    weights[0][:] = 7
    np.testing.assert_array_equal(net.weights[0], np.ones((3, 2)))
    assert net([1.0, 2.0])[0] == 9
    columns = Network([2, 3, 1], weights=[np.ones((3, 2)), np.ones((1, 3))], biases=[np.ones((3, 1)), [[2.0]]])
    np.testing.assert_array_equal(columns.biases[0], [1, 1, 1])
    np.testing.assert_array_equal(columns.biases[1], [2])


@every_dtype
def test_copy(dtype):
    net = make_net((4, 6, 3), [Tanh()], "squared", dtype=dtype, output="sigmoid")
    other = net.copy()
    assert (other.sizes, other.hidden, other.output, other.loss_function, other.dtype) == (
        net.sizes,
        net.hidden,
        net.output,
        net.loss_function,
        net.dtype,
    )
    assert same_bits(other.params, net.params)
    assert not np.shares_memory(other.params, net.params)
    before = net.params.copy()
    other.fit(make_samples(9, 4, dtype), np.abs(make_targets("squared", 9, 3, dtype)), epochs=1)
    assert same_bits(net.params, before)
    assert not same_bits(other.params, net.params)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["deepcopy", "pickle"])
@every_dtype
def test_pickle(dtype, clone):
    net = make_net((4, 6, 3), "gelu", SquaredError("mean"), dtype=dtype)
    X, y = make_samples(30, 4, dtype), make_targets("squared", 30, 3, dtype)
    net(X)
    other = clone(net)
    assert same_bits(other.params, net.params)
    assert same_bits(other(X), net(X))
    assert other.loss_function == net.loss_function
    assert other.hidden == net.hidden
    other.weights[0][0, 0] += 1
    assert not same_bits(other(X), net(X))
    other.weights[0][:] = net.weights[0]
    assert same_bits(other.params, net.params)
    net.fit(X, y, epochs=2, batch_size=7)
    other.fit(X, y, epochs=2, batch_size=7)  # the state of the random numbers was taken along
    assert same_bits(other.params, net.params)


def test_a_network_that_joblib_maps_read_only_is_as_good(tmp_path):
    net, X, y = make_net((4, 6, 3)), make_samples(30, 4), make_targets("squared", 30, 3)
    joblib.dump(net, tmp_path / "net")
    other = joblib.load(tmp_path / "net", mmap_mode="r")
    assert same_bits(other(X), net(X))
    net.fit(X, y)
    other.fit(X, y)
    assert same_bits(other.params, net.params)


def test_settings():
    net = Network([2, 3, 4, 1])
    assert net.dtype == np.float32
    assert net.sizes == (2, 3, 4, 1)
    assert [activation.name for activation in net.hidden] == ["relu", "relu"]
    assert (net.output.name, net.loss_function) == ("identity", SquaredError())
    net = Network((2, 3, 4, 1), ["tanh", Sigmoid()], BinaryCrossEntropy(), dtype=np.float64)
    assert [activation.name for activation in net.hidden] == ["tanh", "sigmoid"]
    assert net.output.name == "sigmoid"
    assert Network(np.array([2, 3]), loss=CrossEntropy, output="softmax").output.name == "softmax"
    assert Network([2, 3], loss="binary_cross_entropy", output=Sigmoid()).output.name == "sigmoid"
    assert Network([2, 3], output=Tanh).output.name == "tanh"
    text = repr(Network([2, 3, 1], "elu", "cross_entropy"))
    assert all(part in text for part in ("[2, 3, 1]", "elu", "CrossEntropy", "float32"))


def test_random_initial_parameters():
    same = [Network([20, 30, 5], rng=seed).params for seed in (3, 3, np.random.default_rng(3))]
    assert same_bits(same[0], same[1])
    assert same_bits(same[0], same[2])
    assert not same_bits(same[0], Network([20, 30, 5], rng=4).params)
    assert not same_bits(Network([20, 30, 5]).params, Network([20, 30, 5]).params)
    assert abs(Network([200, 300, 5], rng=0).weights[0].std() - (2 / 200) ** 0.5) < 0.005  # He, for relu
    assert abs(Network([200, 300, 5], "tanh", rng=0).weights[0].std() - (2 / 500) ** 0.5) < 0.005  # Glorot
    wide = Network([200, 300, 5], init="lecun_normal", rng=0)
    assert abs(wide.weights[0].std() - (1 / 200) ** 0.5) < 0.005
    np.testing.assert_array_equal(wide.biases[0], 0)


# --- numbers that are not finite ---------------------------------------------------------------------------------------------


@every_dtype
@every_pair
def test_nan_and_infinity_in_a_parameter_reach_the_result(activation, loss, dtype):
    X, y = make_samples(19, 4, dtype), make_targets(loss, 19, 3, dtype)
    for value in (np.nan, np.inf):
        net = make_net((4, 6, 3), activation, loss, dtype=dtype)
        net.weights[1][1, 2] = value
        outputs = net(X)
        assert not np.isfinite(net.loss(X, y))
        assert np.isnan(outputs[:, 1]).all() or value == np.inf
        if loss.link != "softmax":  # the other outputs are not touched
            whole = make_net((4, 6, 3), activation, loss, dtype=dtype)(X)
            assert same_bits(np.ascontiguousarray(outputs[:, [0, 2]]), np.ascontiguousarray(whole[:, [0, 2]]))
        first = make_net((4, 6, 3), activation, loss, dtype=dtype)
        first.biases[0][3] = np.nan
        assert np.isnan(first(X)).all()
        assert np.isnan(first.value_and_grad(X, y)[0])


@every_dtype
def test_the_largest_and_the_smallest_numbers(dtype):
    info = np.finfo(dtype)
    values = np.array([info.max, -info.max, info.tiny, info.smallest_subnormal, -info.smallest_subnormal, -0.0, 1], dtype)
    net = Network([1, 1], weights=[[[1.0]]], biases=[[0.0]], dtype=dtype)
    np.testing.assert_array_equal(net(values[:, None])[:, 0], values)
    half = Network([1, 1], weights=[[[0.5]]], biases=[[0.0]], dtype=dtype)
    np.testing.assert_array_equal(half(values[:, None])[:, 0], values * np.dtype(dtype).type(0.5))


@every_dtype
def test_sums_of_integers_are_exact(dtype):
    rng = np.random.default_rng(0)
    for sizes, n in (((9, 17, 5), 13), ((65, 33, 9), 31), ((400, 3), 7)):
        weights = [rng.integers(-2, 3, (o, i)) for i, o in pairwise(sizes)]
        biases = [rng.integers(-2, 3, o) for o in sizes[1:]]
        net = Network(sizes, "relu", weights=weights, biases=biases, dtype=dtype)
        X, y = rng.integers(-3, 4, (n, sizes[0])), rng.integers(-3, 4, (n, sizes[-1]))
        a, slopes = [X], []
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            z = a[-1] @ w.T + b
            slopes.append(z > 0)
            a.append(np.maximum(z, 0) if layer < len(weights) - 1 else z)
        np.testing.assert_array_equal(net(X), a[-1])
        # weights that add up to a power of two make the mean exact too
        w = np.ones(n)
        w[0] = 64 - (n - 1)
        assert net.loss(X, y, w) == float(Fraction(int((w * ((a[-1] - y) ** 2).sum(axis=1)).sum()), 128))
        delta = (a[-1] - y) * w[:, None] / 64
        gradients = net.value_and_grad(X, y, w)[1]
        for layer in reversed(range(len(weights))):
            np.testing.assert_array_equal(gradients.weights[layer], delta.T @ a[layer])
            np.testing.assert_array_equal(gradients.biases[layer], delta.sum(axis=0))
            if layer:
                delta = delta @ weights[layer] * slopes[layer - 1]
