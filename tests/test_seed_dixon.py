"""Numbers printed in M. Dixon's solution of exercise 4.12: relu, sigmoid and softmax layers, one sample, learning rate 1.

Dixon, Halperin & Bilokon (2020), "Machine Learning in Finance", Springer.
"""

import numpy as np
import pytest

import fastbp

WEIGHTS = [[[0.1, 0.3, 0.7], [0.9, 0.4, 0.4]], [[0.4, 0.3], [0.7, 0.2]], [[0.5, 0.6], [0.6, 0.7], [0.3, 0.2]]]
BIASES = [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0, 1.0]]
X, Y = np.array([[0.1, 0.7, 0.3]]), np.array([[1.0, 0.0, 0.0]])

LOSSES = """
    1.0220603290496275   0.12835236020870527  0.08090078793434305  0.05953583479959617  0.04721118634517901
    0.03915120608280936  0.03345605316228914  0.029213117563831773 0.025927552828981213 0.02330712020071898
    0.021167867391973044 0.01938811367291565  0.017884103003570954 0.016596270340631637 0.015481081906068636
    0.014505974042139025 0.013646097998312075 0.012882160242001632 0.012198950566520442 0.011584315088619651
    0.011028424641181308
"""

KERAS_PREDICTION = [9.9887174e-01, 5.7524466e-04, 5.5298163e-04]
KERAS_WEIGHTS = [
    [[0.11551907, 0.9084813], [0.40863392, 0.4593696], [0.74655724, 0.42544398]],
    [[0.6016261, 0.87797874], [0.50208974, 0.37863797]],
    [[2.0983126, -0.3175866, -0.38072622], [2.2364147, -0.23999722, -0.49641728]],
]
KERAS_BIASES = [[1.155191, 1.0848131], [1.1303287, 1.1153796], [2.766754, -0.01685131, 0.25009623]]


def network(dtype="float64"):
    return fastbp.Network(
        [3, 2, 2, 3], hidden=["relu", "sigmoid"], loss="cross_entropy", dtype=dtype, weights=WEIGHTS, biases=BIASES
    )


def train(net, y=Y, **options):
    options = {"epochs": 200, "gradient_tol": 0.001} | options
    return net.fit(X, y, batch_size=1, optimizer=fastbp.SGD(1.0), **options)


def notebook(steps):
    """The exercise's own procedure: parameters after so many steps, and the sum of the gradients' norms in each."""
    (W1, W2, W3), (b1, b2, b3) = ([np.array(p) for p in group] for group in (WEIGHTS, BIASES))
    x, y, changes = X[0], Y[0], []
    for _ in range(steps):
        i1 = W1 @ x + b1
        z1 = np.maximum(i1, 0)
        z2 = 1 / (1 + np.exp(-(W2 @ z1 + b2)))
        e = np.exp(W3 @ z2 + b3)
        d3 = e / e.sum() - y
        d2 = (W3.T @ d3) * z2 * (1 - z2)
        d1 = (W2.T @ d2) * (i1 > 0)
        gradients = [d3, np.outer(d3, z2), d2, np.outer(d2, z1), d1, np.outer(d1, x)]
        for parameter, gradient in zip((b3, W3, b2, W2, b1, W1), gradients, strict=True):
            parameter -= gradient
        changes.append(sum(np.linalg.norm(g) for g in gradients))
    return [W1, W2, W3], [b1, b2, b3], changes


@pytest.mark.parametrize("y", [Y, [0]], ids=["probabilities", "labels"])
def test_printed_losses(y):
    losses = [float(word) for word in LOSSES.split()]
    history = train(network(), y)
    np.testing.assert_allclose(history.loss[: len(losses)], losses, rtol=1e-12, atol=0)


def test_output_delta_is_prediction_minus_target():
    trace = network().trace(X, Y)
    np.testing.assert_allclose(trace.delta[-1], trace.a[-1] - Y, rtol=0, atol=1e-15)


def test_final_parameters_are_those_of_the_exercise():
    net = network()
    train(net)
    weights, biases, _ = notebook(200)
    for ours, theirs in zip(net.weights + net.biases, weights + biases, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_final_prediction_is_that_of_keras(dtype):
    net = network(dtype)
    train(net)
    np.testing.assert_allclose(net(X), [KERAS_PREDICTION], rtol=0, atol=1e-7)


def difference_to_keras(net):
    pairs = [*zip(net.weights, KERAS_WEIGHTS, strict=True), *zip(net.biases, KERAS_BIASES, strict=True)]
    return max(np.abs(ours.T - theirs).max() for ours, theirs in pairs)


def gradient_below(net, delta):
    """Gradients of a network for the delta of its last layer: the squared error has it for the target z - delta."""
    return net.value_and_grad(X, net.trace(X).z[-1] - delta)[1]


def step_with_early_updates(net, early):
    """One step of gradient descent in which the layers in `early` are updated before the layer below reads their weights."""
    new_weights = [w - g for w, g in zip(net.weights, net.value_and_grad(X, Y)[1].weights, strict=True)]
    gradients = net.value_and_grad(X, Y)[1]
    delta = net.trace(X, Y).delta[-1]
    weights, biases = [w.copy() for w in net.weights], [b.copy() for b in net.biases]
    for layer in (2, 1):
        if layer in early:
            weights[layer] = new_weights[layer]
        part = fastbp.Network(
            net.sizes[: layer + 2],
            hidden=["relu", "sigmoid"][:layer],
            dtype="float64",
            weights=weights[: layer + 1],
            biases=biases[: layer + 1],
        )
        lower = gradient_below(part, delta)
        for below in range(layer):
            gradients.weights[below][:], gradients.biases[below][:] = lower.weights[below], lower.biases[below]
            new_weights[below] = net.weights[below] - lower.weights[below]
        delta = part.trace(X, part.trace(X).z[-1] - delta).delta[-2]
    for parameter, gradient in zip(net.weights + net.biases, gradients.weights + gradients.biases, strict=True):
        parameter -= gradient


def test_final_parameters_are_those_of_keras():
    """Keras's printed parameters are not those of gradient descent, from which they differ by 1.5e-4, far more than rounding.

    They are those of gradient descent in which three of the 400 reads of W3 and W2 in backpropagation came after the update of
    the same step: TensorFlow updated variables in place, in no set order.
    """
    plain = network()
    train(plain)
    assert 1e-4 < difference_to_keras(plain) < 1.5e-4
    net = network()
    early = {6: (2, 1), 12: (2,)}
    for step in range(200):
        step_with_early_updates(net, early.get(step, ()))
    assert difference_to_keras(net) < 1e-5


def test_steps_without_early_updates_are_those_of_fit():
    net, plain = network(), network()
    for _ in range(20):
        step_with_early_updates(net, ())
    train(plain, epochs=20)
    np.testing.assert_allclose(net.params, plain.params, rtol=0, atol=1e-13)


def test_stopping_rule():
    assert train(network()).stopped_by is None, "200 iterations come first"
    assert len(train(network()).loss) == 200
    *_, changes = notebook(3000)
    stop = next(k for k, change in enumerate(changes, 1) if change <= 0.001)
    history = train(network(), epochs=3000)
    assert history.stopped_by == "gradient_tol"
    assert len(history.loss) == stop
    assert 200 < stop < 3000
