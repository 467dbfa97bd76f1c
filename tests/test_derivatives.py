"""`Network.jacobian`, `vjp` and `jvp` against central differences, against each other, and for all that X may be."""

import numpy as np
import pytest
from conftest import ACTIVATIONS, DTYPES, KINKS, LOSSES, label, make_net, make_samples
from scipy.sparse import csr_array

from fastbp import Network
from fastbp.engine import derivatives, threads

SHAPES = [(1, 1), (3, 1), (2, 3, 2), (4, 32, 2), (7, 40, 33, 1), (20, 17, 50, 11), (33, 16, 5)]
LINKS = sorted({loss.name for loss in LOSSES if loss.link})


def differences(net, X, h=1e-4):
    """The Jacobian by central differences of fourth order."""

    def of(step):
        return (8 * (net(X + step) - net(X - step)) - (net(X + 2 * step) - net(X - 2 * step))) / (12 * h)

    return np.stack([of(step) for step in h * np.eye(X.shape[1])], axis=2)


def off_kinks(net, X):
    """Rows at which no unit is near a corner of an activation."""
    distances = [np.abs(z[:, :, None] - KINKS).min(axis=(1, 2)) for z in net.trace(X).z]
    return X[np.min(distances, axis=0) > 2e-3]


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
def test_jacobian_is_what_central_differences_give(activation, sizes):
    net = make_net(sizes, hidden=activation, dtype="float64")
    X = off_kinks(net, make_samples(60, sizes[0]))
    assert len(X) > 10
    np.testing.assert_allclose(net.jacobian(X), differences(net, X), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("sizes", [(3, 1), (2, 3, 2), (5, 20, 19)])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
def test_so_it_is_where_the_last_layer_has_an_activation(activation, sizes):
    net = Network(sizes, "tanh", output=activation, dtype="float64", rng=3)
    X = off_kinks(net, make_samples(40, sizes[0]))
    np.testing.assert_allclose(net.jacobian(X), differences(net, X), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("sizes", [(3, 2), (4, 9, 3), (5, 20, 19), (6, 40, 1)])
@pytest.mark.parametrize("loss", LINKS)
def test_so_it_is_where_the_loss_has_a_link(loss, sizes):
    net = Network(sizes, "tanh", loss, dtype="float64", rng=3)
    X = make_samples(130, sizes[0])
    np.testing.assert_allclose(net.jacobian(X), differences(net, X), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("loss", ["squared", *LINKS])
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_those_with_the_jacobian(dtype, loss, sizes):
    net = Network(sizes, "gelu", loss, dtype=dtype, rng=4)
    rng = np.random.default_rng(0)
    X, V, U = (rng.normal(size=(130, n)).astype(dtype) for n in (sizes[0], sizes[-1], sizes[0]))
    J = net.jacobian(X).astype("float64")
    bound = 2e-5 if dtype == "float32" else 1e-13
    scale = max(1.0, np.abs(J).sum(axis=(1, 2)).max())
    np.testing.assert_allclose(net.vjp(X, V), np.einsum("nk,nki->ni", V, J), atol=bound * scale)
    np.testing.assert_allclose(net.jvp(X, U), np.einsum("nki,ni->nk", J, U), atol=bound * scale)


@pytest.mark.parametrize("sizes", SHAPES)
def test_float32_is_float64_to_rounding(sizes):
    net = make_net(sizes, hidden="softplus", dtype="float64")
    X = make_samples(9, sizes[0])
    exact = net.jacobian(X)
    np.testing.assert_allclose(net.copy("float32").jacobian(X), exact, atol=1e-5 * max(1.0, np.abs(exact).max()))


def test_a_row_and_a_matrix_of_it_are_the_same_to_the_bit():
    net, X = make_net((5, 33, 3)), make_samples(7, 5).astype("float32")
    V, U = make_samples(7, 3).astype("float32"), make_samples(7, 5).astype("float32")
    for whole, each in [
        (net.jacobian(X), lambda i: net.jacobian(X[i])),
        (net.vjp(X, V), lambda i: net.vjp(X[i], V[i])),
        (net.jvp(X, U), lambda i: net.jvp(X[i], U[i])),
    ]:
        np.testing.assert_array_equal(whole, [each(i) for i in range(7)])


@pytest.mark.parametrize("kind", ["uint8", "int8", "float16"])
def test_inputs_that_are_converted_and_scaled(kind):
    X = np.random.default_rng(0).integers(0, 100, (6, 4)).astype(kind)
    net = Network((4, 20, 2), "tanh", dtype="float64", input_scale=1 / 128, rng=0)
    plain = Network((4, 20, 2), "tanh", dtype="float64", weights=net.weights, biases=net.biases)
    expected = plain.jacobian(X / 128) / 128
    np.testing.assert_allclose(net.jacobian(X), expected, rtol=1e-12)
    V, U = np.ones((6, 2)), np.ones((6, 4))
    np.testing.assert_allclose(net.vjp(X, V), expected.sum(axis=1), atol=1e-14)
    np.testing.assert_allclose(net.jvp(X, U), expected.sum(axis=2), atol=1e-14)


def test_sparse_rows_are_rows_with_their_zeros():
    net, X = make_net((30, 20, 2)), make_samples(7, 30) * (make_samples(7, 30, seed=1) > 1.0)
    np.testing.assert_array_equal(net.jacobian(csr_array(X)), net.jacobian(X))


def test_threads_and_parts_give_the_same_bits(monkeypatch):
    net, X = make_net((17, 40, 3)), make_samples(501, 17).astype("float32")
    expected = net.jacobian(X, n_threads=1)
    monkeypatch.setattr(threads, "members_for", lambda flop, limit, *start: limit or 1)
    monkeypatch.setattr(derivatives, "seconds_of_call", lambda net, copies: 1e-6)
    for n_threads in (1, 2, 3):
        np.testing.assert_array_equal(net.jacobian(X, n_threads=n_threads), expected)


def test_nothing_of_the_network_or_the_arguments_changes():
    net, X, V = make_net((5, 33, 3)), make_samples(7, 5), make_samples(7, 3)
    before = net.params.copy(), X.copy(), V.copy()
    net.vjp(X, V)
    for now, then in zip((net.params, X, V), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_parameters_of_the_moment_count():
    net, X = make_net((5, 33, 3)), make_samples(7, 5)
    first = net.jacobian(X)
    net.params *= 2
    assert not np.array_equal(net.jacobian(X), first)
    np.testing.assert_array_equal(net.jacobian(X), net.copy().jacobian(X))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net, X: net.jacobian(X[:, :3]), ValueError, "X has 3 columns, but the network has 5 inputs"),
        (lambda net, X: net.jacobian(X[0, :3]), ValueError, "X has 3 columns"),
        (lambda net, X: net.jacobian(X * np.nan), ValueError, "X holds NaN"),
        (lambda net, X: net.jacobian(X[:0]), ValueError, "X is empty"),
        (lambda net, X: net.jacobian(X, n_threads=0), ValueError, "n_threads must be at least 1"),
        (lambda net, X: net.vjp(X, X), ValueError, r"V must have shape \(7, 3\), a vector for each sample, got \(7, 5\)"),
        (lambda net, X: net.vjp(X[0], X[:, :3]), ValueError, r"V must have shape \(3,\)"),
        (lambda net, X: net.vjp(X, X[:, :3] * np.inf), ValueError, "V holds NaN"),
        (lambda net, X: net.jvp(X, X[:4]), ValueError, r"V must have shape \(7, 5\)"),
        (lambda net, X: net.jvp(X, "x"), ValueError, "V must hold numbers"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(make_net((5, 33, 3)), make_samples(7, 5))


def test_jax_agrees_to_rounding():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        net, X = Network((6, 24, 5), "tanh", "cross_entropy", dtype="float64", rng=0), make_samples(9, 6)

        def outputs(x):
            hidden = jax.numpy.tanh(net.weights[0] @ x + net.biases[0])
            return jax.nn.softmax(net.weights[1] @ hidden + net.biases[1])

        np.testing.assert_allclose(net.jacobian(X), jax.vmap(jax.jacrev(outputs))(X), rtol=1e-12, atol=1e-14)
