"""
Nielsen's chapter 3: better ways to learn
=========================================

Chapter 3 of Nielsen's "Neural Networks and Deep Learning" improves how a network learns: a cost without slow starts, penalties
against overfitting, weights that are drawn less wide, and rules for the numbers that are left to choose. This page draws its
pictures again, by the book's network2. The single neuron is the book's and gives the book's numbers; the images are the 1797
digits of 8 x 8 that scikit-learn brings, in the place of MNIST, which would have to be downloaded.
"""

import random
from contextlib import redirect_stdout
from io import StringIO

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastbp.textbook import network2  # in the book: import network2

# %%
# A neuron that learns slowly when it is very wrong
# -------------------------------------------------
# One neuron is to learn to say 0 when it is given 1. From the weight 0.6 and the bias 0.9 it learns at once; from 2 and 2, where
# it is much more wrong, it does not stir for a hundred steps. The book prints where outputs begin, 0.82 and 0.98, and where they
# are after 300 steps at a learning rate of 0.15: 0.09 and 0.20.

STEPS = 300
toy = [(np.array([[1.0]]), np.array([[0.0]]))]


def learn(cost, weight, bias, eta):
    """Costs and outputs of the neuron before the first step and after each."""
    net = network2.Network([1, 1], cost=cost)
    net.weights, net.biases = [np.array([[weight]])], [np.array([[bias]])]
    costs, outputs = [], []
    for step in range(STEPS + 1):
        costs.append(net.total_cost(toy, 0.0))
        outputs.append(net.feedforward(toy[0][0])[0, 0])
        if step < STEPS:
            net.update_mini_batch(toy, eta, 0.0, 1)
    return costs, outputs


def draw(cost, eta):
    """Costs and outputs from both beginnings."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for (weight, bias), colour in (((0.6, 0.9), "C0"), ((2.0, 2.0), "C1")):
        costs, outputs = learn(cost, weight, bias, eta)
        left.plot(costs, color=colour, label=f"w = {weight}, b = {bias}")
        right.plot(outputs, color=colour, label=f"w = {weight}, b = {bias}")
        print(f"{cost.__name__}, w = {weight}, b = {bias}: output {outputs[0]:.2f} at first, {outputs[-1]:.2f} after {STEPS} steps")
    left.set(xlabel="step", ylabel="cost", title=f"{cost.__name__}, $\\eta$ = {eta}")
    right.set(xlabel="step", ylabel="output", ylim=(0, 1), title="0 is wanted")
    left.legend()
    plt.show()


draw(network2.QuadraticCost, 0.15)

# %%
# The gradient of the quadratic cost has the slope of the sigmoid as a factor, and where the output is near 1 that is near 0.
# The cross-entropy is made so that this factor cancels: the error of the output is a - y, and who is very wrong learns fast.

draw(network2.CrossEntropyCost, 0.15)

# %%
# Both costs on digits
# --------------------
# A network of 100 hidden neurons with weights from N(0, 1), as in chapter 1: many an output begins at 0 or 1 by chance, and is
# wrong. The learning rates are those that the book has for each cost.

X, labels = load_digits(return_X_y=True)
shuffled = np.random.default_rng(0).permutation(len(X))
columns = [x.reshape(64, 1) / 16 for x in X[shuffled]]
labels = [int(n) for n in labels[shuffled]]
training_data = [(x, network2.vectorized_result(n)) for x, n in zip(columns[:1000], labels, strict=False)]
validation_data = list(zip(columns[1000:1400], labels[1000:1400], strict=True))
test_data = list(zip(columns[1400:], labels[1400:], strict=True))


def train(sizes, *, cost=network2.CrossEntropyCost, large=True, n=1000, epochs=30, eta=0.5, watched=test_data, **options):
    """The four lists of the book's SGD for a new network, on the first n images, with all monitors; accuracies as fractions."""
    np.random.seed(2)
    random.seed(2)
    net = network2.Network(sizes, cost=cost)
    if large:
        net.large_weight_initializer()
    monitors = {f"monitor_{data}_{what}": True for data in ("training", "evaluation") for what in ("cost", "accuracy")}
    with redirect_stdout(StringIO()):
        lists = net.SGD(training_data[:n], epochs, 10, eta, evaluation_data=watched, **monitors, **options)
    return [np.array(lists[0]), np.array(lists[1]) / len(watched), np.array(lists[2]), np.array(lists[3]) / n]


def epochs_of(values):
    """1, 2, ..., one for each epoch."""
    return np.arange(1, len(values) + 1)


fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for cost, eta in ((network2.QuadraticCost, 3.0), (network2.CrossEntropyCost, 0.5)):
    accuracy = train([64, 100, 10], cost=cost, eta=eta)[1]
    ax.plot(epochs_of(accuracy), accuracy, label=f"{cost.__name__}, $\\eta$ = {eta}")
    print(f"{cost.__name__}: accuracy {accuracy[-1]:.3f} after {len(accuracy)} epochs")
ax.set(xlabel="epoch", ylabel="accuracy on the test data", ylim=(0, 1.02), title="64-100-10")
ax.legend(loc="lower right")
plt.show()

# %%
# Overfitting
# -----------
# Now only 50 images to learn from, and 400 epochs. All of them are soon recognised, and the cost on them falls and falls; but the
# accuracy on the test data hardly moves any more, and the cost there rises.

LONG = {"sizes": [64, 30, 10], "n": 50, "epochs": 400, "eta": 2.0}
plain = train(**LONG)


def four_panels(runs):
    """What SGD returned: costs above, accuracies below."""
    _, axes = plt.subplots(2, 2, figsize=(11, 6.4), layout="constrained", sharex=True)
    panels = ((axes[0, 0], 2, "cost"), (axes[0, 1], 0, "cost"), (axes[1, 0], 3, "accuracy"), (axes[1, 1], 1, "accuracy"))
    for ax, index, what in panels:
        for name, lists in runs.items():
            ax.plot(epochs_of(lists[index]), lists[index], label=name)
        ax.set(ylabel=what, ylim=(0, None if what == "cost" else 1.02), title="training data" if index > 1 else "test data")
        ax.legend(loc="upper right" if what == "cost" else "lower right")
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    plt.show()


four_panels({"no penalty": plain})
least = plain[0].argmin()
print(f"cost on the test data: {plain[0][least]:.2f} after {least + 1} epochs, {plain[0][-1]:.2f} after {len(plain[0])}")

# %%
# More data are the best remedy: with all 1000 images the gap between both accuracies is a tenth of what it is with 50.

numbers = (50, 100, 200, 500, 1000)
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ends = np.array([[lists[3][-1], lists[1][-1]] for lists in (train([64, 30, 10], n=n, epochs=60) for n in numbers)])
ax.semilogx(numbers, ends, "o-", label=["training data", "test data"])
ax.set(xlabel="images to train on", ylabel="accuracy after 60 epochs", xticks=numbers, xticklabels=numbers)
ax.minorticks_off()
ax.legend(loc="center right")
plt.show()
for n, (of_training, of_test) in zip(numbers, ends, strict=True):
    print(f"{n:4} images: accuracies {of_training - of_test:.3f} apart")

# %%
# L2 regularisation
# -----------------
# A penalty of :math:`\frac{\lambda}{2n} \sum w^2` keeps weights small. The same 50 images, the same 400 epochs, and
# :math:`\lambda = 0.1`; the costs have the penalty in them, on test data as in the book divided by the number of test samples.

penalised = train(**LONG, lmbda=0.1)
four_panels({"no penalty": plain, r"$\lambda$ = 0.1": penalised})
print(f"50 images, 400 epochs: accuracy {plain[1][-1]:.3f}, with a penalty {penalised[1][-1]:.3f}")

# %%
# Weights that are drawn less wide
# --------------------------------
# A hidden neuron with many inputs and weights from N(0, 1) has a z that is far from 0 for most images: its sigmoid is flat, and it
# learns slowly. Drawn from N(0, 1/n_in) it begins where the sigmoid is steep.

images = np.hstack(columns[:1000])
np.random.seed(2)
wide = network2.Network([64, 100, 10])
wide.large_weight_initializer()
narrow = network2.Network([64, 100, 10])

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for net, name in ((wide, "N(0, 1)"), (narrow, "N(0, 1/n_in)")):
    z = net.weights[0] @ images + net.biases[0]
    left.hist(z.ravel(), bins=80, range=(-15, 15), density=True, alpha=0.6, label=f"weights from {name}")
left.set(xlabel="z of hidden neurons, all images", ylabel="density", ylim=(0, 0.45), title="Before training")
left.legend(loc="upper right")
for cost, eta, style in ((network2.QuadraticCost, 1.0, "-"), (network2.CrossEntropyCost, 0.1, "--")):
    for large, colour, name in ((True, "C0", "N(0, 1)"), (False, "C1", "N(0, 1/n_in)")):
        accuracy = train([64, 100, 10], cost=cost, large=large, eta=eta)[1]
        right.plot(epochs_of(accuracy), accuracy, color=colour, linestyle=style, label=f"{cost.__name__}, {name}")
        print(f"{cost.__name__}, weights from {name}: accuracy {accuracy[9]:.3f} after 10 epochs, {accuracy[-1]:.3f} after 30")
right.set(xlabel="epoch", ylabel="accuracy on the test data", ylim=(0, 1.02), title="64-100-10")
right.legend(loc="lower right", fontsize=9)
plt.show()

# %%
# With the quadratic cost it is a matter of learning or not. The cross-entropy gets going from either; images as small as these, of
# 64 pixels, do not do it much harm that weights are wide, and for the first few epochs those are even ahead.
#
# The learning rate, by the monitor of the training cost
# ------------------------------------------------------
# The book chooses the learning rate by the cost on the training data: the largest at which it still falls from the beginning.

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for eta in (0.025, 0.25, 2.5, 25.0):
    costs = train([64, 30, 10], large=False, eta=eta)[2]
    ax.semilogy(epochs_of(costs), costs, label=f"$\\eta$ = {eta:g}")
ax.set(xlabel="epoch", ylabel="cost on the training data", ylim=(None, 2000), title="64-30-10, cross-entropy")
ax.legend(loc="upper center", ncols=4)
plt.show()

# %%
# Early stopping
# --------------
# How many epochs? Until the accuracy on *validation* data has not been better for n epochs in a row: `early_stopping_n`. The test
# data are kept for the one who has not chosen anything by them.

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
settings = {"sizes": [64, 30, 10], "large": False, "eta": 0.5, "lmbda": 0.1, "watched": validation_data}
accuracy = train(epochs=120, **settings)[1]
ax.plot(epochs_of(accuracy), accuracy, color="grey", label="120 epochs")
for number, patience in enumerate((3, 10, 20)):
    stopped = train(epochs=120, early_stopping_n=patience, **settings)[1]
    assert np.array_equal(stopped, accuracy[: len(stopped)])
    ax.axvline(len(stopped), color=f"C{number}", linestyle="--", label=f"early_stopping_n = {patience}")
    print(f"no better for {patience:2} epochs: stopped after {len(stopped):3}, best accuracy {stopped.max():.4f}")
ax.set(xlabel="epoch", ylabel="accuracy on the validation data", ylim=(0.85, 1.0), title="64-30-10")
ax.legend(loc="lower right")
plt.show()
