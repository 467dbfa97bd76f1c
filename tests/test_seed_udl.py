"""Numbers printed in notebook 7.2 of "Understanding Deep Learning": five hidden relu layers of six neurons, squared error.

Prince (2023), "Understanding Deep Learning", MIT Press, notebook 7.2. The printout that is followed here ends after the first
row of weight 2.
"""

# ruff: noqa: NPY002 (the notebook draws from NumPy's global generator)
import numpy as np
import pytest

import fastbp

K, D = 5, 6
X, Y = [[1.2]], [[20.0]]

BIAS_GRADIENTS = [
    [-4.486, 4.947, 6.812, -3.883, -24.935, 0.0],
    [0.0, -11.297, 0.0, 0.0, -10.722, 0.0],
    [0.0, 0.0, 0.938, 0.0, -9.993, 0.508],
    [0.0, -4.8, -1.661, 0.0, 3.393, 5.391],
    [0.0, 0.0, 0.0, 0.0, -5.212, 0.0],
]
WEIGHT_GRADIENTS = [
    [[-5.383], [5.937], [8.174], [-4.66], [-29.922], [0.0]],
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [-32.511, -6.799, -18.282, -34.148, -42.196, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [-30.856, -6.453, -17.352, -32.409, -40.047, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ],
    [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]],
]
WEIGHTS_3 = [
    [0.96939671, -1.17312341, 1.94362119, -0.41361898, -0.74745481, 1.92294203],
    [1.48051479, 1.86755896, 0.90604466, -0.86122569, 1.91006495, -0.26800337],
    [0.8024564, 0.94725197, -0.15501009, 0.61407937, 0.92220667, 0.37642553],
    [-1.09940079, 0.29823817, 1.3263859, -0.69456786, -0.14963454, -0.43515355],
    [1.84926373, 0.67229476, 0.40746184, -0.76991607, 0.53924919, -0.67433266],
    [0.03183056, -0.63584608, 0.67643329, 0.57659082, -0.20829876, 0.39600671],
]
PRINTED = {"rtol": 0, "atol": 5.01e-4}  # three decimals


@pytest.fixture
def net():
    np.random.seed(0)
    weights, biases = [None] * (K + 1), [None] * (K + 1)
    weights[0], weights[K] = np.random.normal(size=(D, 1)), np.random.normal(size=(1, D))
    biases[0], biases[K] = np.random.normal(size=(D, 1)), np.random.normal(size=(1, 1))
    for layer in range(1, K):
        weights[layer], biases[layer] = np.random.normal(size=(D, D)), np.random.normal(size=(D, 1))
    return fastbp.Network(
        [1, *[D] * K, 1], hidden="relu", loss=fastbp.SquaredError("sum"), dtype="float64", weights=weights, biases=biases
    )


def test_printed_weights_output_and_loss(net):
    np.testing.assert_allclose(net.weights[3], WEIGHTS_3, rtol=0, atol=5.01e-9)
    assert f"{net([1.2])[0]:.3f}" == "1.907"
    assert f"{net.loss(X, Y):.3f}" == "327.371"


def check_printed(weights, biases):
    for layer, printed in enumerate(BIAS_GRADIENTS):
        np.testing.assert_allclose(biases[layer], printed, **PRINTED)
    for layer, printed in enumerate(WEIGHT_GRADIENTS):
        np.testing.assert_allclose(weights[layer][: len(printed)], printed, **PRINTED)


def test_printed_derivatives_from_backpropagation(net):
    _, gradient = net.value_and_grad(X, Y)
    check_printed(gradient.weights, gradient.biases)


def test_printed_derivatives_from_finite_differences(net):
    report = net.check_gradients(X, Y, eps=1e-6, scheme="forward")
    difference = fastbp.Network(net.sizes, dtype="float64", rng=0)
    difference.params[:] = report.difference
    check_printed(difference.weights, difference.biases)
    assert max(report.errors) < 1e-4
    assert max(net.check_gradients(X, Y).errors) < 1e-7


def test_derivative_is_exactly_zero_where_a_unit_is_off(net):
    trace = net.trace(X, Y)
    off = trace.z[1][0] < 0
    assert off.tolist() == [True, False, True, True, False, True]
    assert (trace.delta[1][0, off] == 0).all()
