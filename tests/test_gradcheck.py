"""Checking gradients: right ones pass where rounding and kinks come between, wrong ones never do."""

import numpy as np
import pytest
from conftest import ACTIVATIONS, DTYPES, LOSSES, label, make_net, make_samples, make_targets

import fastbp
from fastbp import gradcheck
from fastbp.engine.parameters import parameter_offsets

LIMIT = {"float64": 1e-7, "float32": 1e-4}


def with_zero_rows(hidden, loss="squared", dtype="float64", n=20, **settings):
    """A network as it is made, biases zero, and samples of which two are zero: every z of theirs is exactly 0."""
    X = make_samples(n, 4, dtype)
    X[[3, 7]] = 0
    return fastbp.Network([4, 8, 8, 2], hidden, loss, dtype=dtype, rng=0, **settings), X


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
def test_rows_of_zeros(activation, dtype):
    net, X = with_zero_rows(activation, dtype=dtype)
    report = net.check_gradients(X, make_targets("squared", 20, 2, dtype))
    assert report.passed
    assert report.max_error < LIMIT[dtype]
    assert report.left_out == 0
    # where the slope itself jumps at 0; that of ELU(1.0) and the second derivative of others may, too
    jumps = activation.name in ("relu", "leaky_relu", "selu") or activation == fastbp.ELU(0.37)
    assert report.kinks in ((2,) if dtype == "float64" else (2, 3)) if jumps else report.kinks == 0


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "selu", "elu"])
def test_a_row_of_zeros_alone(activation):
    net, X = with_zero_rows(activation)
    report = net.check_gradients(X[3:4], [[0.3, -0.7]])
    assert report.passed
    assert report.max_error < 1e-7
    assert np.abs(report.gradient).max() > 0, "the output's biases are compared"
    if activation != "elu":
        assert report.kinks == 1
        assert report.left_out == 16, "the biases of both hidden layers"
        assert "16 of 130" in str(report)
        assert "kink of the loss, left out where it has no derivative: 1" in str(report)


def test_kinks_at_which_two_slopes_cancel():
    """relu(t) - relu(-t) = t has a derivative where backpropagation gives 0, but z of both units is on a kink."""
    net = make_net((2, 2, 1), "relu")
    net.params[:] = 0
    net.weights[0][:] = [[1, -1], [-1, 1]]
    net.weights[1][:] = [[1, -1]]
    X = np.array([[1.0, 1.0], [2.0, 1.0], [-1.0, 3.0]])
    report = net.check_gradients(X, [1.0, -1.0, 0.5])
    assert report.passed
    assert report.kinks == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.name not in ("absolute", "quantile")], ids=label)
@pytest.mark.parametrize("hidden", ["relu", "tanh"])
def test_perfect_fits(hidden, loss, dtype):
    net = fastbp.Network([4, 8, 8, 3], hidden, loss, dtype=dtype, rng=0)
    X = make_samples(20, 4, dtype)
    report = net.check_gradients(X, net(X))
    assert report.passed
    assert report.max_error < LIMIT[dtype]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "selu", "elu"])
def test_perfect_fits_of_rows_of_zeros(activation):
    net, X = with_zero_rows(activation)
    assert net.check_gradients(X, net(X)).max_error < 1e-7


def saturated():
    """A network, samples, and labels that it is sure of."""
    net, X = make_net((3, 6, 4), "tanh", "cross_entropy"), make_samples(9, 3)
    net.weights[1][:] *= 1e4
    net.biases[1][:] *= 1e4
    return net, X, net.predict(X)


def test_a_saturated_fit():
    net, X, labels = saturated()
    assert net.loss(X, labels) == 0
    assert net.check_gradients(X, labels).max_error < 1e-7


@pytest.mark.parametrize("loss", ["absolute", "quantile", "huber"])
def test_losses_at_their_kinks(loss):
    net, X, y = make_net((4, 6, 3), loss=loss), make_samples(12, 4), make_targets("squared", 12, 3)
    y[0] = net(X)[0]
    y[1, 2] = net(X)[1, 2] + (1.0 if loss == "huber" else 0.0)
    report = net.check_gradients(X, y)
    assert report.max_error < 1e-7
    assert report.left_out == 0


def test_nothing_can_be_compared_where_every_sample_is_on_a_kink():
    net, X = make_net((4, 3), loss=fastbp.Quantile(0.3)), make_samples(5, 4)
    report = net.check_gradients(X, net(X))
    assert np.isnan(report.max_error)
    assert not report.passed
    assert report.left_out == 15
    assert str(report).endswith("nothing could be compared")


def test_raw_inputs_of_any_size():
    net = make_net((4, 6, 2), "tanh")
    X = make_samples(10, 4) * 1000
    net.weights[0][:] /= 1000
    assert net.check_gradients(X, make_targets("squared", 10, 2)).max_error < 1e-7


def test_kinks_that_are_not_told_apart_are_errors(monkeypatch):
    net, X = with_zero_rows("relu")
    y = make_targets("squared", 20, 2)
    assert net.check_gradients(X, y).passed
    monkeypatch.setattr(gradcheck, "_is_kink", lambda changes, *_: np.zeros(changes[0].shape, bool))
    report = net.check_gradients(X, y)
    assert not report.passed
    assert report.max_error > 1e-3


def test_rounding_without_a_floor_is_an_error(monkeypatch):
    net, X, labels = saturated()
    assert net.check_gradients(X, labels).passed
    monkeypatch.setattr(gradcheck, "_magnitudes", lambda net, *_: (0.0, *np.zeros((2, net.params.size))))
    assert not net.check_gradients(X, labels).passed


# --- wrong gradients ---------------------------------------------------------------------------------------------------------


def scaled(gradient, layer, offsets, sizes):
    gradient *= 1.001


def layer_scaled(gradient, layer, offsets, sizes):
    gradient[offsets[layer][0] : offsets[layer][2]] *= 1.001


def transposed(gradient, layer, offsets, sizes):
    start, end, _ = offsets[layer]
    gradient[start:end] = gradient[start:end].reshape(sizes[layer + 1], sizes[layer]).T.reshape(-1)


def without_biases(gradient, layer, offsets, sizes):
    gradient[offsets[layer][1] : offsets[layer][2]] = 0


def one_zeroed(gradient, layer, offsets, sizes):
    gradient[offsets[layer][0] + 5] = 0


def one_negated(gradient, layer, offsets, sizes):
    gradient[offsets[layer][0] + 5] *= -1


def from_other_weights(gradient, layer, offsets, sizes):
    start, end, _ = offsets[layer]
    gradient[start:end] = np.roll(gradient[start:end], 1)


MUTANTS = [(change, layer) for change in (layer_scaled, transposed, without_biases, one_zeroed, one_negated, from_other_weights)
           for layer in range(3)] + [(scaled, 0), (scaled, None)]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", ["relu", "tanh", "leaky_relu"])
@pytest.mark.parametrize(("change", "layer"), MUTANTS)
def test_wrong_gradients_are_noticed_beside_kinks(change, layer, hidden, dtype, monkeypatch):
    net, X = with_zero_rows(hidden, dtype=dtype, n=12)
    y = make_targets("squared", 12, 2, dtype)
    if layer is None:
        y = net(X) + y / (1000 if dtype == "float64" else 20)  # near a minimum
    right = type(net).value_and_grad

    def wrong(self, *arguments):
        loss, gradient = right(self, *arguments)
        if self is net:
            change(gradient.params, layer, parameter_offsets(net.sizes), net.sizes)
        return loss, gradient

    assert net.check_gradients(X, y).passed
    monkeypatch.setattr(type(net), "value_and_grad", wrong)
    report = net.check_gradients(X, y)
    assert not report.passed
    assert report.max_error > LIMIT[dtype]
    assert str(report).endswith("WRONG")


def test_wrong_gradients_are_noticed_by_forward_differences(monkeypatch):
    """What they may be off by is curvature: a kink among the samples excuses nothing."""
    net, X = with_zero_rows("relu")
    y = make_targets("squared", 20, 2)
    report = net.check_gradients(X, y, scheme="forward")
    assert report.passed
    assert report.kinks == 2
    assert max(report.tolerances) < 1e-5
    right = type(net).value_and_grad

    def wrong(self, *arguments):
        loss, gradient = right(self, *arguments)
        gradient.params *= 1.001 if self is net else 1
        return loss, gradient

    monkeypatch.setattr(type(net), "value_and_grad", wrong)
    assert not net.check_gradients(X, y, scheme="forward").passed


def test_a_loss_that_overflows_beside_the_parameters_is_no_proof():
    net = make_net((2, 1), loss="poisson")
    net.params[:] = 0
    X = np.array([[1e8, 1.0], [0.5, 2.0]])
    report = net.check_gradients(X, [1.0, 2.0])
    assert not report.passed


# --- options -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("eps", "scheme"), [(1e-3, "central"), (1e-7, "central"), (1e-9, "central"), (1e-5, "forward"), (None, "forward")]
)
def test_steps_have_tolerances_of_their_own(eps, scheme):
    net, X, y = make_net((3, 5, 2)), make_samples(6, 3), make_targets("squared", 6, 2)
    report = net.check_gradients(X, y, eps=eps, scheme=scheme)
    assert report.passed
    assert all(1e-7 <= tolerance < 1e-2 for tolerance in report.tolerances)
    assert f"{report.tolerances[0]:.1e}" in str(report)


def test_samples_are_those_of_the_network():
    """A float32 network rounds its samples: differences at the unrounded ones would not be at the same place."""
    net = make_net((3, 5, 2), dtype="float32")
    X = make_samples(6, 3) + 1000.0
    net.weights[0][:] /= 1000
    rounded = net.check_gradients(X.astype(np.float32), make_targets("squared", 6, 2))
    given = net.check_gradients(X, make_targets("squared", 6, 2))
    np.testing.assert_array_equal(given.difference, rounded.difference)


@pytest.mark.parametrize("kind", ["csr_matrix", "coo_array"])
def test_sparse_samples(kind):
    import scipy.sparse

    net, X = with_zero_rows("relu")
    X[np.abs(X) < 1] = 0
    y = make_targets("squared", 20, 2)
    report = net.check_gradients(getattr(scipy.sparse, kind)(X), y)
    assert report.passed
    np.testing.assert_allclose(report.difference, net.check_gradients(X, y).difference, atol=1e-9)


# --- what cannot be told -----------------------------------------------------------------------------------------------------


def with_wrong_gradient(net, factor, monkeypatch):
    """`net`, whose gradients are multiplied by a factor; those of the network that differences are taken of are not used."""
    right = type(net).value_and_grad

    def wrong(self, *arguments):
        loss, gradient = right(self, *arguments)
        gradient.params *= factor if self is net else 1
        return loss, gradient

    monkeypatch.setattr(type(net), "value_and_grad", wrong)
    return net


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scheme", ["central", "forward"])
@pytest.mark.parametrize("eps", [1e-15, 1e-13, 1.0, 10.0, 100.0, 1e6, 1e160])
def test_steps_that_tell_nothing_are_no_proof(eps, scheme, dtype, monkeypatch):
    """The tolerance would be as large as any error."""
    net, X = make_net((4, 6, 2), "tanh", dtype=dtype), make_samples(8, 4)
    y = make_targets("squared", 8, 2)
    for factor in (1, -1):
        report = with_wrong_gradient(net, factor, monkeypatch).check_gradients(X, y, eps=eps, scheme=scheme)
        monkeypatch.undo()
        assert not report.passed
        assert all(np.isnan(tolerance) or tolerance < 1 for tolerance in report.tolerances)
        assert not str(report).endswith("right")
        assert report.left_out or str(report).endswith("WRONG")


@pytest.mark.parametrize("scheme", ["central", "forward"])
@pytest.mark.parametrize("scale", [1e3, 1e5, 1e7, 1e9])
@pytest.mark.parametrize("hidden", ["relu", "sigmoid"])
def test_targets_that_are_not_standardised(hidden, scale, scheme, monkeypatch):
    net, X, y = make_net((4, 6, 2), hidden), make_samples(8, 4), make_targets("squared", 8, 2) * scale
    report = net.check_gradients(X, y, scheme=scheme)
    assert report.passed or scale == 1e9
    assert not str(report).endswith("WRONG")
    for factor in (-1, 0, 0.5, 1.1):
        assert str(with_wrong_gradient(net, factor, monkeypatch).check_gradients(X, y, scheme=scheme)).endswith("WRONG")
        monkeypatch.undo()


@pytest.mark.parametrize("scale", [1e12, 1e85, 1e150])
def test_targets_in_whose_loss_differences_are_lost(scale, monkeypatch):
    net, X, y = make_net((4, 6, 2), "relu"), make_samples(8, 4), make_targets("squared", 8, 2) * scale
    for factor in (1, -1):
        report = with_wrong_gradient(net, factor, monkeypatch).check_gradients(X, y)
        monkeypatch.undo()
        assert not report.passed
        assert report.left_out == net.params.size
        assert str(report).endswith("nothing could be compared")


def test_an_overflow_is_no_proof():
    net, X = make_net((4, 6, 2), "exp"), make_samples(8, 4) * 1e3
    report = net.check_gradients(X, make_targets("squared", 8, 2))
    assert not report.passed
    assert str(report).endswith("nothing could be compared")


def test_what_is_not_a_number_does_not_pass():
    for error, tolerance in ((np.inf, np.nan), (0.0, np.nan), (np.nan, 1e-7), (np.nan, np.nan), (1e-6, 1e-7)):
        report = fastbp.GradientReport(
            [error, 0.0], [tolerance, np.nan], error, (1, "weights", (0, 0), 0.0, 0.0), *np.zeros((2, 4))
        )
        assert not report.passed
    assert str(report).endswith("WRONG"), "whatever another layer is"
    report.errors, report.tolerances = [0.0, 0.0], [1e-7, np.nan]
    assert not report.passed
    assert str(report).endswith("not all layers could be compared")


def test_schemes_are_named():
    net, X, y = make_net((2, 3, 1)), make_samples(4, 2), make_targets("squared", 4, 1)
    with pytest.raises(ValueError, match=r"scheme must be 'central' or 'forward', got 'backward'"):
        net.check_gradients(X, y, scheme="backward")
