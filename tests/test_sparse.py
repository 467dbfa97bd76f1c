"""Samples most of whose numbers are zero: the same bits as from the dense products, from sparse matrices and from arrays."""

from itertools import product

import numpy as np
import pytest
import scipy.sparse
from conftest import DTYPES, PAIRS, RULES, label, make_net, make_samples, make_targets, oracle
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from fastbp import SGD, Adam, Network
from fastbp.engine import sparsity
from fastbp.engine.session import Session
from fastbp.engine.training_session import TrainingSession
from fastbp.kernels.products.gemm import ROWS
from fastbp.kernels.tuning import FEW
from fastbp.simd.register import register_bytes

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def samples(n, n_in, dtype="float64", share=0.15, seed=0):
    """(n, n_in) of which about `share` is not zero; the first row and the first column are all zeros."""
    X = make_samples(n, n_in, dtype, seed) * (np.random.default_rng([seed, 3]).random((n, n_in)) < share)
    X[0] = X[:, 0] = 0
    X += 0.0  # no zero is negative
    return X.astype(dtype)


@pytest.fixture
def dense(monkeypatch):
    """A function that calls another with arrays as they are: no zero is left out."""

    def call(function, *args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(sparsity, "entries", lambda rows, n_units: None)
            return function(*args, **options)

    return call


def trained(net, X, y, **options):
    """Parameters and losses after a fit."""
    net = net.copy()
    history = net.fit(X, y, **{"epochs": 3, "batch_size": 7, "rng": 5} | options)
    return net.params.tobytes(), history.loss


def sessions(monkeypatch):
    """A list of the sessions that are made."""
    made, init = [], Session.__init__
    monkeypatch.setattr(Session, "__init__", lambda self, *args, **kw: (init(self, *args, **kw), made.append(self))[0])
    return made


# --- the same bits -----------------------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("n_out", [4, 16, 20, 36, 63, 69, 80, 132])
def test_fits_have_the_bits_of_dense_ones(dense, n_out, dtype):
    panel = 2 * register_bytes() // np.dtype(dtype).itemsize
    n_out += max(0, FEW - (n_out - 1) % panel)  # FEW units of a panel, or fewer, are summed in another order
    for n_in, batch in product((32, 33, 63, 64, 65, 200), (1, ROWS + 1, 40)):
        net = make_net((n_in, n_out, 3), "relu", dtype=dtype)
        X, y = samples(41, n_in, dtype), make_targets("squared", 41, 3, dtype)
        expected = dense(trained, net, X, y, batch_size=batch)
        assert trained(net, X, y, batch_size=batch) == expected
        assert trained(net, csr_array(X), y, batch_size=batch) == expected


@every_dtype
def test_pieces_of_the_columns(dense, teams, dtype):
    for n_in in (500, 784):
        for share in (0.03, 0.1, 0.122, 0.2):
            net = make_net((n_in, 36, 4), "relu", dtype=dtype)
            X, y = samples(20, n_in, dtype, share), make_targets("squared", 20, 4, dtype)
            expected = dense(trained, net, X, y)
            for n_threads in (1, 3):
                assert trained(net, X, y, n_threads=n_threads) == trained(net, csr_array(X), y, n_threads=n_threads) == expected


@every_dtype
@pytest.mark.parametrize("rule", RULES, ids=label)
def test_every_rule(dense, rule, dtype):
    net = make_net((70, 20, 6), "sigmoid", dtype=dtype)
    X, y = samples(30, 70, dtype), make_targets("squared", 30, 6, dtype)
    for options in ({}, {"l2": 0.3}, {"record_norms": True}):
        assert trained(net, csr_array(X), y, optimizer=rule, **options) == dense(trained, net, X, y, optimizer=rule, **options)


@pytest.mark.parametrize(("activation", "loss"), PAIRS, ids=label)
def test_every_activation_and_loss(dense, activation, loss):
    net = make_net((40, 20, 18), activation, loss)
    X, y = samples(23, 40), make_targets(loss, 23, 18)
    assert trained(net, X, y) == dense(trained, net, X, y)


@pytest.mark.parametrize(
    "options",
    [
        {"sample_weight": np.arange(60) % 3},
        {"order": np.arange(90).reshape(3, 30) % 7},
        {"shuffle": "replacement"},
        {"shuffle": False, "batch_size": 60},
        {"l1": 0.2, "max_norm": 1.0, "clip_value": 0.01},
        {"clip_norm": 0.01, "optimizer": "momentum"},
        {"dropout": 0.4},
        {"validation_fraction": 0.3, "patience": 1},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_option_of_a_fit(dense, options):
    net = make_net((80, 37, 20, 5), "tanh")
    X, y = samples(60, 80), make_targets("squared", 60, 5)
    expected = dense(trained, net, X, y, **options)
    assert trained(net, X, y, **options) == expected
    assert trained(net, csr_array(X), y, **options) == expected


@every_dtype
@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01)], ids=label)
def test_long_batches_and_teams(dense, teams, optimizer, dtype):
    net = make_net((100, 90, 40), "relu", dtype=dtype)
    X, y = samples(1500, 100, dtype), make_targets("squared", 1500, 40, dtype)
    for batch in (1500, 1100, 64):
        options = {"epochs": 2, "batch_size": batch, "optimizer": optimizer}
        expected, losses = trained(net, X, y, n_threads=1, **options)
        for n_threads in (1, 2, 3, 4):
            assert trained(net, csr_array(X), y, n_threads=n_threads, **options) == (expected, losses)
            assert trained(net, X, y, n_threads=n_threads, **options) == (expected, losses)
        # of long mini-batches as many rows are taken together as there is room for: other parts, other rounding
        others, other_losses = dense(trained, net, X, y, n_threads=1, **options)
        assert losses == pytest.approx(other_losses, rel=1e-6)
        np.testing.assert_allclose(
            *(np.frombuffer(each, dtype) for each in (expected, others)), atol=1e-3 if dtype == "float32" else 1e-9
        )
    assert set(teams) == {1, 2, 3, 4}


def test_input_dropout_has_the_masks_of_dense_samples():
    net = make_net((80, 20, 5))
    X, y = samples(60, 80), make_targets("squared", 60, 5)
    assert trained(net, csr_array(X), y, input_dropout=0.3) == trained(net, X, y, input_dropout=0.3)


@every_dtype
def test_losses_gradients_and_outputs(dtype):
    for sizes, loss in (((90, 36, 20), "cross_entropy"), ((64, 100), "squared"), ((33, 7, 4), "binary_cross_entropy")):
        net = make_net(sizes, "tanh", loss, dtype=dtype)
        X, y = samples(300, sizes[0], dtype), make_targets(loss, 300, sizes[-1], dtype)
        matrix = csr_array(X)
        assert net.loss(matrix, y) == net.loss(X, y)
        assert net.score(matrix, y) == net.score(X, y)
        values, gradients = zip(*(net.value_and_grad(rows, y, np.arange(300)) for rows in (X, matrix)), strict=True)
        assert values[0] == values[1]
        np.testing.assert_array_equal(gradients[1].params, gradients[0].params)
        outputs = net(X)
        np.testing.assert_array_equal(net(matrix), outputs)
        np.testing.assert_array_equal(net.predict(matrix, n_threads=2), net.predict(X))
        for ours, theirs in zip(net.trace(matrix, y), net.trace(X, y), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
        # a row alone, in any batch and position; rows with more entries than those before
        for rows in ([5], [0], [5, 0, 7], np.argsort(np.diff(matrix.indptr))):
            np.testing.assert_array_equal(net(matrix[rows]), outputs[rows])
        np.testing.assert_array_equal(net(X[:5]), outputs[:5])


def test_against_the_oracle():
    for n_out in (1, 2, 3, 17, 18, 50):  # of few columns dense sums are computed in another order
        for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-13)):
            net = make_net((60, n_out, 2), "sigmoid", dtype=dtype)
            X, y = samples(50, 60, dtype), make_targets("squared", 50, 2, dtype)
            other = oracle(net)
            loss, weights, biases = other.value_and_grad(X, y)
            ours, gradients = net.value_and_grad(csr_array(X), y)
            assert ours == pytest.approx(loss, rel=tolerance)
            for own, expected in zip([*gradients.weights, *gradients.biases], [*weights, *biases], strict=True):
                np.testing.assert_allclose(own, expected, atol=tolerance)
            order = np.random.default_rng(0).permutation(50)
            net.fit(csr_array(X), y, epochs=4, batch_size=8, optimizer=SGD(0.5), order=order)
            other.fit(X, y, epochs=4, batch_size=8, optimizer=SGD(0.5), order=order)
            np.testing.assert_allclose(net.weights[0], other.weights[0], atol=10 * tolerance)


@given(data=st.data(), n=st.integers(1, 40), n_in=st.integers(32, 100), n_out=st.integers(4, 20), dtype=st.sampled_from(DTYPES))
def test_any_pattern_of_zeros(data, n, n_in, n_out, dtype):
    places = data.draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n_in - 1)), max_size=n * n_in // 5))
    X = np.zeros((n, n_in), dtype)
    for i, j in places:
        X[i, j] = (i * n_in + j) % 13 - 6.5
    net, y = make_net((n_in, n_out), dtype=dtype), make_targets("squared", n, n_out, dtype)
    batch = data.draw(st.integers(1, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparsity, "entries", lambda rows, n_units: None)
        expected = trained(net, X, y, batch_size=batch)
    ours = [trained(net, rows, y, batch_size=batch) for rows in (X, csr_array(X))]
    if not 0 < n_out % (2 * register_bytes() // np.dtype(dtype).itemsize) <= FEW:
        assert ours == [expected] * 2
    else:
        assert ours[0] == ours[1]
        np.testing.assert_allclose(*(np.frombuffer(each[0], dtype) for each in (ours[0], expected)), rtol=1e-3, atol=1e-5)


# --- what is left out --------------------------------------------------------------------------------------------------------


def test_zeros_are_left_out_where_there_are_many(monkeypatch):
    made = sessions(monkeypatch)
    y = make_targets("squared", 100, 4)
    for n_in, share, expected in ((100, 0.1, True), (100, 0.4, False), (31, 0.01, False), (32, 0.01, True)):
        for container in (np.asarray, csr_array):
            make_net((n_in, 20, 4)).fit(container(samples(100, n_in, share=share)), y, epochs=1)
            assert (made[-1].entries is not None) == expected
    for n_units, share, expected in ((8, 0.1, True), (4, 0.1, False), (4, 0.05, True)):  # of few units there is less to save
        make_net((100, n_units, 4)).fit(samples(100, 100, share=share), y, epochs=1)
        assert (made[-1].entries is not None) == expected
    made.clear()
    net, X = make_net((100, 20, 4)), samples(100, 100)
    net(X), net.loss(X, y)
    assert all(session.entries is None for session in made)  # to look for zeros takes as long as to multiply them once
    net(csr_array(X)), net.loss(csr_array(X), y)
    assert [session.entries is None for session in made].count(False) == 2


def test_a_session_serves_samples_it_has_room_for(monkeypatch):
    net = make_net((100, 20, 4))
    few, many = csr_array(samples(9, 100, share=0.05)), csr_array(samples(9, 100, share=0.2))
    made = sessions(monkeypatch)
    for rows in (few, few, many, few, many):
        net(rows)
    assert len(made) == 2
    np.testing.assert_array_equal(net(few), net(few.toarray()))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_array_in_a_session_of_sparse_samples_is_checked(monkeypatch, bad):
    net, X = make_net((40, 20, 4)), samples(9, 40)
    X[3] = 1.0  # so that there is room for a row of all numbers
    expected, made = net(X), sessions(monkeypatch)
    net(csr_array(X))
    np.testing.assert_array_equal(net(X), expected)
    X[0, 2] = bad
    for rows in (X, X[0]):
        with pytest.raises(ValueError, match="X holds NaN or infinity"):
            net(rows)
    assert len(made) == 1


def test_no_dense_copy_is_made(monkeypatch):
    X, y = csr_array(samples(200, 300, share=0.02)), make_targets("squared", 200, 4)
    for name in ("toarray", "todense"):
        monkeypatch.setattr(scipy.sparse.csr_array, name, lambda *_, **__: pytest.fail("made dense"))
    net = make_net((300, 20, 4))
    net.fit(X, y, epochs=1, validation_fraction=0.2)
    net.fit(X, y, epochs=1, validation_data=(X, y), record_score=True)
    net.predict(X), net.loss(X, y), net.value_and_grad(X, y)


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "csc_array", "coo_matrix", "lil_array", "dok_array", "bsr_array"])
def test_every_kind_of_sparse_matrix(kind):
    net, X, y = make_net((50, 20, 4)), samples(30, 50), make_targets("squared", 30, 4)
    matrix = getattr(scipy.sparse, kind)(X)
    assert trained(net, matrix, y) == trained(net, X, y)
    assert abs(matrix - csr_array(X)).max() == 0


def test_matrices_in_unusual_form():
    net, X, y = make_net((50, 20, 4)), np.round(samples(30, 50) * 4), make_targets("squared", 30, 4)
    expected = trained(net, X, y)
    matrix = csr_array(X)
    rows, columns = X.nonzero()
    halves = scipy.sparse.coo_array((np.tile(X[rows, columns] / 2, 2), (np.tile(rows, 2), np.tile(columns, 2))), X.shape)
    explicit = csr_array(np.where(X == 0, 1e-300, X))
    explicit.data[explicit.data == 1e-300] = 0
    explicit = explicit[:, :]
    unsorted = csr_array(X)
    unsorted.indices, unsorted.data = unsorted.indices.copy(), unsorted.data.copy()
    for i in range(30):
        part = slice(*unsorted.indptr[i : i + 2])
        unsorted.indices[part], unsorted.data[part] = unsorted.indices[part][::-1].copy(), unsorted.data[part][::-1].copy()
    unsorted.has_sorted_indices = unsorted.has_canonical_format = False
    before = unsorted.indices.copy()
    wide = csr_array(X)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    for each in (halves, halves.tocsr(), explicit, unsorted, wide, matrix.astype(np.int64), matrix.astype(np.float32)):
        assert trained(net, each, y) == expected
    np.testing.assert_array_equal(unsorted.indices, before)


def test_matrices_without_any_number():
    net, y = make_net((50, 20, 4)), make_targets("squared", 30, 4)
    nothing = np.zeros((30, 50))
    assert trained(net, csr_array(nothing), y) == trained(net, nothing, y)
    np.testing.assert_array_equal(net(csr_array(nothing)), net(nothing))
    assert trained(net, csr_array(nothing, dtype=np.int8), y) == trained(net, nothing, y)


def test_inputs_are_not_changed():
    net, y = make_net((50, 20, 4)), make_targets("squared", 30, 4)
    matrix = csr_array(samples(30, 50))
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    trained(net, matrix, y)
    net(matrix)
    net.value_and_grad(matrix, y)


def test_what_is_wrong_is_named():
    net, y = make_net((50, 20, 4), dtype="float32"), make_targets("squared", 30, 4)
    X = csr_array(samples(30, 50))
    nan, huge = X.copy(), X.copy()
    nan.data[3], huge.data[3] = np.nan, 1e300
    for call in (lambda rows: net.fit(rows, y), net, net.predict, lambda rows: net.loss(rows, y)):
        for rows, message in (
            (nan, "X holds NaN"),
            (huge, "X holds a value too large for dtype float32"),
            (X[:, :40], r"X has 40 columns, but the network has 50 inputs"),
            (X[:0], "X is empty"),
        ):
            before = net.params.copy()
            with pytest.raises(ValueError, match=message):
                call(rows)
            np.testing.assert_array_equal(net.params, before)
        with pytest.raises(TypeError, match="real numbers"):
            call(X * 1j)
    with pytest.raises(TypeError, match=r"y is a sparse matrix; pass y.toarray"):
        net.fit(X, csr_array(y))


def test_the_work_buffer_does_not_leak():
    X, y = samples(30, 50), make_targets("squared", 30, 4)
    results = []
    for poison in (False, True):
        net = make_net((50, 20, 4))
        rows = sparsity.CompressedRows.of(csr_array(X))
        session = TrainingSession(net, 9, Adam(0.1), entries=sparsity.entries(rows, 20))
        session.set_data(rows, y)
        session.plan.epochs, session.rates = 2, np.full(2, 0.1)
        session.record = np.zeros(2 * 9)
        if poison:
            slots = slice(session.plan.slot_1, session.plan.slot_1 + 2 * session.plan.n_packed)
            kept = session.work[slots].copy()
            session.work[session.work == 0] = 777.0
            session.work[slots] = kept
        session.call(0)
        results.append(net.params.tobytes())
    assert results[0] == results[1]


def test_text_is_learned():
    """Ten classes told by one word each among 3000."""
    rng = np.random.default_rng(0)
    y = rng.integers(10, size=500)
    words = rng.integers(10, 3000, (500, 30))
    words[:, 0] = y
    X = csr_array((np.ones(words.size), words.ravel(), np.arange(0, words.size + 1, 30)), shape=(500, 3000))
    net = Network([3000, 20, 10], loss="cross_entropy", rng=0)
    net.fit(X, y, epochs=30, optimizer="adam")
    assert net.score(X, y) == 1.0
