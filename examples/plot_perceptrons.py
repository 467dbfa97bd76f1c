"""
Perceptrons with one and two layers
===================================

Three data sets in the plane, and what it takes to tell their classes apart: a softmax perceptron for blobs, which lines
separate; a hidden layer of relu or tanh units for moons and circles, which they do not. After a course notebook on perceptrons
and backpropagation (2019), with its seeds and its way of training: one sample at a time, drawn with replacement.

The notebook shows pictures and prints no numbers; the same pictures are below.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.model_selection import train_test_split

import fastbp
from fastbp.plotting import decision_boundary

STEPS = 1000

# %%
# One layer
# ---------
# The network starts from the notebook's random numbers (seed 42: biases, weights, then the numbers of the samples to visit).
# ``order`` holds these numbers, one to a row: every epoch of this ``fit`` is a single step, and the history has the loss of
# each sample just before its step. A callback looks at the network after every step.


def draw(n_hidden, n_classes, n_samples):
    """The notebook's starting point and its sample numbers."""
    np.random.seed(42)
    sizes = [2, n_hidden, n_classes] if n_hidden else [2, n_classes]
    weights, biases = [], []
    for n_in, n_out in pairwise(sizes):
        biases.append(np.random.normal(size=(n_out, 1)))
        weights.append(np.random.normal(size=(n_in, n_out)).T)
    return sizes, weights, biases, np.random.randint(n_samples, size=STEPS)


def train(data, learning_rate, n_hidden=0, hidden="relu", look=None):
    """Train as the notebook does; also returns the scores on training and test data after every tenth step."""
    X, X_test, y, y_test = data
    sizes, weights, biases, order = draw(n_hidden, y.max() + 1, len(X))
    net = fastbp.Network(sizes, hidden, "cross_entropy", dtype="float64", weights=weights, biases=biases)
    scores = []

    def score(step, net, history):
        if step % 10 == 0:
            scores.append((net.score(X, y), net.score(X_test, y_test)))

    callbacks = [score] if look is None else [score, look]
    options = {"epochs": STEPS, "order": order.reshape(-1, 1), "batch_size": 1, "callbacks": callbacks}
    history = net.fit(X, y, optimizer=fastbp.SGD(learning_rate), **options)
    return net, history, np.array(scores)


np.random.seed(7)
split = {"random_state": 42, "test_size": 0.4}
blobs = train_test_split(*make_blobs(n_samples=500, n_features=2), **split)

# %%
# Is the gradient right? After each step, the gradient for one sample is compared with finite differences of the loss, by the
# notebook's formula ``norm(a - b) / (norm(a) + norm(b))``: with its forward differences (h = 0.0001), and with central ones.

forward, central = [], []


def compare(step, net, history):
    """Errors of the gradient for one of the training samples."""
    X, y = blobs[0], blobs[2]
    one = slice(step % len(X), step % len(X) + 1)
    central.append(net.check_gradients(X[one], y[one]).max_error)
    if step % 10 == 0:
        forward.append(net.check_gradients(X[one], y[one], eps=1e-4, scheme="forward").max_error)


net, history, scores = train(blobs, 0.01, look=compare)

fig, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ax.semilogy(np.arange(0, STEPS, 10), forward, label="forward differences, h = 1e-4")
ax.semilogy(central, linewidth=0.7, label="central differences, h = 1e-5")
ax.set(xlabel="step", ylabel="relative error", title="Backpropagation against finite differences, one sample a step")
ax.legend()
plt.show()

print(f"median relative error: forward {np.median(forward):.1e}, central {np.median(central):.1e}")

# %%
# Forward differences are wrong by half the second derivative times h, central ones only by the third derivative times
# :math:`h^2/6`, until the rounding of the loss takes over.
#
# Loss and accuracy
# -----------------
# The loss is averaged over ten steps, as in the notebook.


def curves(history, scores, title):
    """Loss and accuracy against steps."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    left.plot(np.arange(0, STEPS, 10), np.reshape(history.loss, (-1, 10)).mean(axis=1))
    left.set(xlabel="step", ylabel="cross-entropy, mean of ten steps", ylim=(0, 3), title=title)
    right.plot(np.arange(0, STEPS, 10), scores, label=["training data", "test data"])
    right.set(xlabel="step", ylabel="accuracy", ylim=(0.2, 1.05), title=title)
    right.legend(loc="lower right")
    plt.show()


curves(history, scores, "Softmax perceptron on blobs")
print(f"blobs: accuracy on test data {scores[-1, 1]:.3f}")

# %%
# What it decides over the plane, with the test data:

decision_boundary(net, blobs[1], blobs[3], plt.subplots(figsize=(6, 5))[1]).set_title("Softmax perceptron on blobs")
plt.show()

# %%
# A line is not enough for moons
# ------------------------------

moons = train_test_split(*make_moons(n_samples=500, noise=0.2), **split)
line, _, line_scores = train(moons, 0.001)
bent, history, scores = train(moons, 0.1, 16)
curves(history, scores, "16 relu units on moons")

fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
decision_boundary(line, moons[1], moons[3], axes[0]).set_title(f"no hidden layer, accuracy {line_scores[-1, 1]:.3f}")
decision_boundary(bent, moons[1], moons[3], axes[1]).set_title(f"16 relu units, accuracy {scores[-1, 1]:.3f}")
plt.show()

# %%
# Circles: relu and tanh
# ----------------------
# The boundary of relu units is made of straight pieces; that of tanh units is smooth.

circles = train_test_split(*make_circles(n_samples=500, noise=0.2, factor=0.4), **split)
fig, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for ax, hidden in zip(axes, ("relu", "tanh"), strict=True):
    net, _, scores = train(circles, 0.1, 16, hidden)
    decision_boundary(net, circles[1], circles[3], ax).set_title(f"16 {hidden} units, accuracy {scores[-1, 1]:.3f}")
    print(f"circles, 16 {hidden} units, {STEPS} steps: accuracy on test data {scores[-1, 1]:.3f}")
plt.show()

# %%
# The number of hidden units
# --------------------------
# Now trained for longer: 200 epochs of 300 steps, each on a sample drawn with replacement (``shuffle="replacement"``). One unit
# gives one line, two give a strip or a wedge; from three on the boundary can close. More units make it follow the data more
# closely.

numbers = (1, 2, 3, 8, 64)
fig, axes = plt.subplots(2, len(numbers), figsize=(15, 6.4), layout="constrained", sharex=True, sharey=True)
X, X_test, y, y_test = circles
print("accuracy on test data")
print("units", *(f"{n:7d}" for n in numbers))
for row, hidden in zip(axes, ("relu", "tanh"), strict=True):
    scores = []
    for ax, n_hidden in zip(row, numbers, strict=True):
        net = fastbp.Network([2, n_hidden, 2], hidden, "cross_entropy", dtype="float64", rng=3)
        net.fit(X, y, epochs=200, batch_size=1, shuffle="replacement", optimizer=fastbp.SGD(0.02))
        scores.append(net.score(X_test, y_test))
        decision_boundary(net, X_test, y_test, ax).set_title(f"{n_hidden} {hidden}, accuracy {scores[-1]:.3f}")
        ax.get_legend().remove()
    print(f"{hidden:5}", *(f"{score:7.3f}" for score in scores))
plt.show()
