"""
Nielsen's chapter 1: recognising digits
=======================================

Chapter 1 of Nielsen's "Neural Networks and Deep Learning" trains a network on images of handwritten digits, and looks at what
becomes of it with learning rates that are too low and too high. This page follows it with the book's program, whose import is
all that is changed. The book has the 28 x 28 images of MNIST; here are the 1797 images of 8 x 8 that scikit-learn brings, so
that nothing is downloaded. They are fewer and easier, and the numbers are not those of the book.
"""

import random
from contextlib import redirect_stdout
from io import StringIO

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from fastbp import textbook as network  # in the book: import network

# %%
# The data
# --------
# As in the book, an image is a column of numbers from 0 (white) to 1 (black). In training data the answer is a column, too, with 1
# in the place of the digit; in test data it is the digit.

X, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(X))
X, labels = X[order] / 16, labels[order]
columns = [x.reshape(64, 1) for x in X]
N_TRAINING = 1297
training_data = [(x, np.eye(10)[:, [n]]) for x, n in zip(columns[:N_TRAINING], labels[:N_TRAINING], strict=True)]
test_data = list(zip(columns[N_TRAINING:], labels[N_TRAINING:], strict=True))
print(f"{len(training_data)} images to train on, {len(test_data)} to test on")


def show(ax, x, title):
    """An image."""
    ax.imshow(x.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)


fig, axes = plt.subplots(2, 10, figsize=(10, 2.6), layout="constrained")
for ax, x, n in zip(axes.flat, X, labels, strict=False):
    show(ax, x, n)
plt.show()

# %%
# Sigmoid neurons
# ---------------
# A perceptron jumps from 0 to 1; a sigmoid neuron goes there smoothly, so that a small change of a weight makes a small change of
# the output, which can be told from the slope.

z = np.linspace(-6, 6, 241)
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.plot(z, network.sigmoid(z), label="sigmoid neuron")
ax.plot(z, z > 0, color="grey", linestyle="--", label="perceptron")
ax.set(xlabel="z = w x + b", ylabel="output")
ax.legend()
plt.show()

# %%
# Gradient descent
# ----------------
# The book has a ball roll down a valley. Here is one: the cost of a single neuron over its weight and its bias, for two samples
# that ask for 0.2 and 0.8. Steps go against the gradient; how far is up to the learning rate. Too low a rate does not get there
# in 40 steps; too high a rate jumps out of the valley, to where the ground is flat.

pair = [(np.array([[-1.0]]), np.array([[0.2]])), (np.array([[1.5]]), np.array([[0.8]]))]


net = network.Network([1, 1])


def place(w, b):
    """Give the one neuron this weight and this bias."""
    net.weights, net.biases = [np.array([[w]])], [np.array([[b]])]


def cost():
    """The mean quadratic cost of the two samples."""
    return np.mean([0.5 * (net.feedforward(x) - y) ** 2 for x, y in pair])


def cost_at(w, b):
    """The cost with this weight and this bias."""
    place(w, b)
    return cost()


w, b = np.linspace(-4, 8, 41), np.linspace(-4, 8, 41)
valley = [[cost_at(across, up) for across in w] for up in b]
fig, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
for ax, eta in zip(axes, (0.5, 8.0, 120.0), strict=True):
    place(-3.0, 2.5)
    path = [(-3.0, 2.5)]
    for _ in range(40):
        net.update_mini_batch(pair, eta)
        path.append((net.weights[0][0, 0], net.biases[0][0, 0]))
    surface = ax.contourf(w, b, valley, levels=20, cmap="Blues")
    ax.plot(*np.transpose(path), "o-", color="C1", markersize=3, linewidth=1)
    ax.plot(*path[0], "s", color="C3", label="first")
    ax.plot(*path[-1], "*", color="C3", markersize=12, label=f"after {len(path) - 1} steps")
    ax.set(xlabel="weight", title=f"$\\eta$ = {eta:g}, cost {cost():.4f} in the end", xlim=(w[0], w[-1]), ylim=(b[0], b[-1]))
    ax.legend(loc="upper left")
axes[0].set_ylabel("bias")
fig.colorbar(surface, ax=axes, label="cost")
plt.show()

# %%
# The book's network
# ------------------
# 30 hidden neurons, mini-batches of 10, learning rate 3: the lines are those that the book's program prints, the number of test
# images that are recognised after each epoch.

np.random.seed(1)
random.seed(1)
net = network.Network([64, 30, 10])
net.SGD(list(training_data), 30, 10, 3.0, test_data=test_data)

# %%
# Too slow and too fast
# ---------------------
# The book goes on with a learning rate of 0.001, and one of 100. Which numbers are too low, and which too high, is found by trying.

EPOCHS = 30


def train(sizes, eta):
    """A trained network, and its accuracy on the test data before the first epoch and after each."""
    np.random.seed(1)
    random.seed(1)
    net, data = network.Network(sizes), list(training_data)
    accuracies = [net.evaluate(test_data) / len(test_data)]
    for _ in range(EPOCHS):
        with redirect_stdout(StringIO()):
            net.SGD(data, 1, 10, eta)
        accuracies.append(net.evaluate(test_data) / len(test_data))
    return net, accuracies


fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for eta in (0.001, 0.1, 3.0, 100.0):
    accuracies = train([64, 30, 10], eta)[1]
    ax.plot(accuracies, label=f"$\\eta$ = {eta:g}")
    print(f"learning rate {eta:g}: accuracy {accuracies[-1]:.3f} after {EPOCHS} epochs")
ax.set(xlabel="epoch", ylabel="accuracy on the test data", ylim=(0, 1.02), title="The same first weights, four learning rates")
ax.legend(loc="center right")
plt.show()

# %%
# With a rate that is far too high the first steps throw all neurons of the output far to one side, where the sigmoid is flat and
# the gradient is zero: nothing will move them again.
#
# How many neurons?
# -----------------
# Without a hidden layer each output weighs the pixels by itself. Next to the networks stand two programs that are none: one that
# knows only how dark an image is, as in the book, and a support vector machine.

darkness = X.mean(axis=1)
mean_of_digit = [darkness[:N_TRAINING][labels[:N_TRAINING] == n].mean() for n in range(10)]
guesses = np.abs(darkness[N_TRAINING:, None] - mean_of_digit).argmin(axis=1)
machine = SVC().fit(X[:N_TRAINING], labels[:N_TRAINING])
print(f"average darkness:       accuracy {np.mean(guesses == labels[N_TRAINING:]):.3f}")
print(f"support vector machine: accuracy {machine.score(X[N_TRAINING:], labels[N_TRAINING:]):.3f}")


def silent(net):
    """The digits whose output stays below 1/2 on all training images of them."""
    highest = net.feedforward(X[:N_TRAINING].T)
    return [n for n in range(10) if highest[n, labels[:N_TRAINING] == n].max() < 0.5]


fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for sizes in ([64, 10], [64, 30, 10], [64, 100, 10]):
    trained, accuracies = train(sizes, 3.0)
    print(f"{'-'.join(map(str, sizes)) + ':':23} accuracy {accuracies[-1]:.3f}, silent outputs {silent(trained)}")
    ax.plot(accuracies, label="-".join(map(str, sizes)))
ax.set(xlabel="epoch", ylabel="accuracy on the test data", ylim=(0, 1.02), title="Networks of three sizes")
ax.legend(loc="lower right")
plt.show()

# %%
# More neurons are worse here, but not for their number. Some outputs are silent: with weights from N(0, 1) z is far from 0 where
# many neurons are summed, the sigmoid is flat there, and the quadratic cost moves such an output at a crawl. A footnote of the
# book says that its results with 100 neurons vary, too, and sends the reader to chapter 3.
#
# What the hidden neurons look for
# --------------------------------
# The book supposes that a hidden neuron recognises a part of an image. The weights by which it takes the pixels tell: red
# where ink speaks for it, blue where it speaks against. Some may be read as a stroke; most are mixtures that no one would have
# thought of.

fig, axes = plt.subplots(3, 10, figsize=(10, 3.4), layout="constrained")
largest = np.abs(net.weights[0]).max()
for j, ax in enumerate(axes.flat):
    picture = ax.imshow(net.weights[0][j].reshape(8, 8), cmap="RdBu_r", vmin=-largest, vmax=largest)
    ax.set(xticks=[], yticks=[])
fig.colorbar(picture, ax=axes, label="weight")
fig.suptitle("Weights of the 30 hidden neurons")
plt.show()

# %%
# What it gets wrong
# ------------------
# Each of these with the right digit, and the one that the network takes it for.

answers = net.feedforward(np.hstack([x for x, _ in test_data])).argmax(axis=0)
wrong = [(x, n, answer) for (x, n), answer in zip(test_data, answers, strict=True) if n != answer]
fig, axes = plt.subplots(1, 8, figsize=(10, 1.7), layout="constrained")
for ax in axes:
    ax.axis("off")
for ax, (x, n, answer) in zip(axes, wrong, strict=False):
    ax.axis("on")
    show(ax, x, f"{n}, not {answer}")
print(f"{len(wrong)} of {len(test_data)} are wrong")
plt.show()
