"""The compiled loops of the workloads that have one: with fastbp, and with everything written by hand.

What is written by hand has one or two hidden layers of one kind, in so many lines, as in a program for that network. Weights are
kept as (n_in, n_out), along whose rows loops over outputs run; products come from outside, `np.dot` or loops. Sums may be
reordered, and divisions are those of the processor: whoever writes such loops for speed says so.
"""

import numpy as np
from numba import njit

# --- with fastbp -------------------------------------------------------------------------------------------------------------


@njit
def simulate(net, X, actions):
    """The closed loop: `actions` (n_steps, n_out) are the outputs for rows of X and the outputs before them."""
    row, out = np.empty(X.shape[1], X.dtype), np.zeros(actions.shape[1], X.dtype)
    for k in range(len(X)):
        row[:] = X[k]
        for i in range(out.size):
            row[i] += out[i]
        net.predict_into(row, out)
        actions[k] = out


@njit
def train(trainer, X, y, batch_size):
    """A step of training for each mini-batch."""
    for start in range(0, len(X), batch_size):
        trainer.step(X[start : start + batch_size], y[start : start + batch_size])


# --- by hand -----------------------------------------------------------------------------------------------------------------

fast = njit(fastmath=True, error_model="numpy")


@fast
def dot(a, b, out):
    """Out = a b, of a vector or matrix a."""
    np.dot(a, b, out)


@fast
def dot_first_transposed(a, b, out):
    """Out = a^T b."""
    np.dot(a.T, b, out)


@fast
def dot_second_transposed(a, b, out):
    """Out = a b^T."""
    np.dot(a, b.T, out)


@fast
def times_vector(a, b, out):
    """Out = a b, of a vector a."""
    out[:] = 0.0
    for k in range(b.shape[0]):
        for j in range(b.shape[1]):
            out[j] += a[k] * b[k, j]


@fast
def times(a, b, out):
    """Out = a b."""
    for i in range(a.shape[0]):
        times_vector(a[i], b, out[i])


@fast
def times_first_transposed(a, b, out):
    """Out = a^T b."""
    out[:] = 0.0
    for n in range(a.shape[0]):
        for i in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[n, i] * b[n, j]


@fast
def times_second_transposed(a, b, out):
    """Out = a b^T."""
    for n in range(a.shape[0]):
        for i in range(b.shape[0]):
            total = a[n, 0] * b[i, 0]
            for j in range(1, b.shape[1]):
                total += a[n, j] * b[i, j]
            out[n, i] = total


@fast
def relu(z):
    """a = max(0, z)."""
    return max(z, z * 0)


@fast
def tanh(z):
    """a = tanh z."""
    return np.tanh(z)


@fast
def layer(product, activation, weight, bias, x, out):
    """Outputs of a hidden layer for one sample."""
    product(x, weight, out)
    for j in range(out.size):
        out[j] = activation(out[j] + bias[j])


@fast
def feed(x, out, row):
    """The next inputs of the closed loop."""
    row[:] = x
    for i in range(out.size):
        row[i] += out[i]


@fast
def simulate_two_layers(product, activation, w1, b1, w2, b2, X, actions):
    """`simulate`, with one hidden layer."""
    row, hidden, out = np.empty(X.shape[1], X.dtype), np.empty(b1.size, X.dtype), np.zeros(b2.size, X.dtype)
    for k in range(len(X)):
        feed(X[k], out, row)
        layer(product, activation, w1, b1, row, hidden)
        product(hidden, w2, out)
        out += b2
        actions[k] = out


@fast
def simulate_three_layers(product, activation, w1, b1, w2, b2, w3, b3, X, actions):
    """`simulate`, with two hidden layers."""
    row, first, second = np.empty(X.shape[1], X.dtype), np.empty(b1.size, X.dtype), np.empty(b2.size, X.dtype)
    out = np.zeros(b3.size, X.dtype)
    for k in range(len(X)):
        feed(X[k], out, row)
        layer(product, activation, w1, b1, row, first)
        layer(product, activation, w2, b2, first, second)
        product(second, w3, out)
        out += b3
        actions[k] = out


@fast
def sum_rows(a, out):
    """Sums of the columns."""
    out[:] = 0.0
    for n in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[j] += a[n, j]


@fast
def adam(params, grad, m, v, rate, root, numbers):
    """A step of Adam (Kingma and Ba, 2015, algorithm 1): `rate` and `root` hold the corrections of its means."""
    beta1, rest1, beta2, rest2, epsilon = numbers
    for i in range(params.size):
        m[i] = beta1 * m[i] + rest1 * grad[i]
        v[i] = beta2 * v[i] + rest2 * grad[i] * grad[i]
        params[i] -= rate * m[i] / (np.sqrt(v[i]) * root + epsilon)


@fast
def train_two_layers(
    product, first_transposed, second_transposed, params, views, grad, grads, m, v, learning_rate, t, numbers, X, y, batch_size
):
    """Steps of Adam for the mean of 1/2 ||out - y||^2, with one hidden layer of tanh; returns the count of steps so far."""
    w1, b1, w2, b2 = views
    g1, h1, g2, h2 = grads
    hidden, delta = np.empty((batch_size, b1.size), X.dtype), np.empty((batch_size, b1.size), X.dtype)
    out, one = np.empty((batch_size, b2.size), X.dtype), X.dtype.type(1.0)
    share = one / X.dtype.type(batch_size)
    for start in range(0, len(X), batch_size):
        x, wanted = X[start : start + batch_size], y[start : start + batch_size]
        product(x, w1, hidden)
        for n in range(batch_size):
            for j in range(b1.size):
                hidden[n, j] = np.tanh(hidden[n, j] + b1[j])
        product(hidden, w2, out)
        for n in range(batch_size):
            for j in range(b2.size):
                out[n, j] = (out[n, j] + b2[j] - wanted[n, j]) * share
        first_transposed(hidden, out, g2)
        sum_rows(out, h2)
        second_transposed(out, w2, delta)
        for n in range(batch_size):
            for j in range(b1.size):
                delta[n, j] *= one - hidden[n, j] * hidden[n, j]
        first_transposed(x, delta, g1)
        sum_rows(delta, h1)
        t += 1
        rate, root = learning_rate / (1.0 - 0.9**t), 1.0 / np.sqrt(1.0 - 0.999**t)
        adam(params, grad, m, v, X.dtype.type(rate), X.dtype.type(root), numbers)
    return t
