"""Numbers printed in a notebook on a 2-3-4-1 regression network with tanh, sigmoid and linear layers, cost in two conventions.

Samples are columns there: S (2, 2), y (1, 2). The cost is the sum over outputs and the mean over samples of (g8 - y)^2; its
other form there, the mean over both, is the same for one output. The parameters are printed with eight decimals, so that what
follows from them is known to about as many.
"""

import numpy as np
import pytest

import fastbp

S = np.array([[-0.68424688, 0.1226127], [0.85043664, 0.46881203]])
Y = np.array([[-0.56611036, 0.36550861]])
WEIGHTS = [
    [[1.14205375, -0.17839548], [0.9174844, -0.14132818], [-1.10637701, 0.0749737]],
    [
        [1.35164888, -0.52904082, -1.10840109],
        [-2.02972089, 0.94565733, 1.16814785],
        [0.89546794, 2.15418749, 2.41812263],
        [0.45734434, -0.4099463, 0.63345622],
    ],
    [[-1.1047429, -0.39768368, -0.17999112, -1.16220417]],
]
BIASES = [[0.78941267, 0.76236111, -0.05389374], [0.11596932, -0.62191183, -0.18579458, 0.13295161], [-0.50117255]]

G2 = [[-0.1437481, 0.84580902], [0.01438461, 0.80860001], [0.76690166, -0.15440105]]
G3_FIRST_ROW = [-0.1427661, 0.68887366]
DELTAS = [
    [[0.3774394, 0.45679373], [-0.11271925, -0.17611969], [0.07809738, 0.14308896]],
    [[0.32500674, 0.5677703], [0.13044648, 0.13994107], [0.04219543, 0.06605813], [0.37823316, 0.71454985]],
    [[-1.37513586, -2.46291905]],
]
WEIGHT_GRADIENTS = [
    [[-0.20225301, 0.53513869], [0.05553329, -0.17842761], [-0.03589336, 0.1334987]],
    [
        [0.34472206, 0.38440933, 0.12269544],
        [0.07777838, 0.09547129, 0.06271722],
        [0.03948163, 0.04478774, 0.01710213],
        [0.4382357, 0.48334361, 0.13454856],
    ],
    [[-2.15858721, -1.2601697, -3.08948689, -2.12509017]],
]
BIAS_GRADIENTS = [[0.83423313, -0.28883895, 0.22118634], [0.89277703, 0.27038755, 0.10825356, 1.09278301], [-3.83805491]]

# layer, kind, index, sign of the step, finite difference printed, partial derivative printed (the last with eight decimals)
FINITE_DIFFERENCES = [
    (1, "weights", (0, 0), 1, -0.2022524668632286, -0.20225301327891795),
    (1, "weights", (0, 1), 1, 0.5351389250396466, 0.5351386886662324),
    (1, "biases", (0,), 1, 0.8342313023490532, 0.8342331267437736),
    (2, "weights", (0, 1), 1, 0.38440893344038324, 0.3844093307700902),
    (2, "biases", (1,), 1, 0.2703879304899459, 0.270387551073182),
    (3, "weights", (0, 0), -1, -2.158590163592322, -2.158587209689129),
    (3, "biases", (0,), 1, -3.8380449126407252, -3.83805491),
]
PRINTED = {"rtol": 0, "atol": 2e-8}  # eight decimals in, eight decimals out


@pytest.fixture(params=["sum", "mean"])
def net(request):
    return fastbp.Network(
        [2, 3, 4, 1],
        hidden=["tanh", "sigmoid"],
        loss=fastbp.SquaredError(request.param),
        dtype="float64",
        weights=WEIGHTS,
        biases=BIASES,
    )


def test_printed_layers_and_loss_terms(net):
    trace = net.trace(S.T, Y.T)
    np.testing.assert_allclose(trace.z[0].T, G2, **PRINTED)
    np.testing.assert_allclose(trace.a[1][:, 0], G3_FIRST_ROW, **PRINTED)
    for ours, printed in zip(trace.delta, DELTAS, strict=True):
        np.testing.assert_allclose(ours.T, printed, **PRINTED)
    terms = np.array(DELTAS[-1])  # 2 (g8 - y) / 2: with two samples the error itself
    np.testing.assert_allclose(net(S.T).T - Y, terms, **PRINTED)
    np.testing.assert_allclose(net.loss(S.T, Y.T), np.mean(terms**2), rtol=0, atol=1e-7)


def test_printed_gradients(net):
    _, gradient = net.value_and_grad(S.T, Y.T)
    for ours, printed in zip(gradient.weights, WEIGHT_GRADIENTS, strict=True):
        np.testing.assert_allclose(ours, printed, **PRINTED)
    for ours, printed in zip(gradient.biases, BIAS_GRADIENTS, strict=True):
        np.testing.assert_allclose(ours, printed, **PRINTED)


@pytest.mark.parametrize(("layer", "kind", "index", "sign", "difference", "derivative"), FINITE_DIFFERENCES)
def test_printed_finite_differences(net, layer, kind, index, sign, difference, derivative):
    _, gradient = net.value_and_grad(S.T, Y.T)
    np.testing.assert_allclose(getattr(gradient, kind)[layer - 1][index], derivative, **PRINTED)
    centre, step = net.loss(S.T, Y.T), sign * 1e-5
    getattr(net, kind)[layer - 1][index] += step
    np.testing.assert_allclose((net.loss(S.T, Y.T) - centre) / step, difference, **PRINTED)


def test_gradient_report_uses_the_same_differences(net):
    report = net.check_gradients(S.T, Y.T, eps=1e-5, scheme="forward")
    np.testing.assert_allclose(report.difference[[0, 1, 6]], [row[4] for row in FINITE_DIFFERENCES[:3]], **PRINTED)
    assert net.check_gradients(S.T, Y.T).max_error < 1e-9


def test_conventions_differ_by_the_number_of_outputs():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(5, 2)), rng.normal(size=(5, 3))
    by_sum, by_mean = (
        fastbp.Network([2, 4, 3], hidden="tanh", loss=fastbp.SquaredError(reduction), dtype="float64", rng=0)
        for reduction in ("sum", "mean")
    )
    error = by_sum(X) - Y
    (total, g_total), (mean, g_mean) = by_sum.value_and_grad(X, Y), by_mean.value_and_grad(X, Y)
    np.testing.assert_allclose(total, (error**2).sum() / 5, rtol=1e-14)
    np.testing.assert_allclose(mean, np.mean(error**2), rtol=1e-14)
    np.testing.assert_allclose(g_total.params, 3 * g_mean.params, rtol=1e-13)
