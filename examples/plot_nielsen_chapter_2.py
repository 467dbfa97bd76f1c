"""
Nielsen's chapter 2: what backpropagation computes
==================================================

Chapter 2 of Nielsen's "Neural Networks and Deep Learning" has four equations, a demon, and a question: in what sense is
backpropagation fast? This page looks at the demon's errors in a network for digits, checks gradients with finite differences of
every size, and takes the times. The equations one by one are in ``plot_walkthrough_nudges``, gradient checks all along a training
in ``plot_hidden_representation``. The digits are the 8 x 8 ones of scikit-learn, not MNIST, which would have to be downloaded.
"""

import random
from contextlib import redirect_stdout
from io import StringIO
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastbp import textbook as network

# %%
# A network in the middle of its training
# ---------------------------------------

X, labels = load_digits(return_X_y=True)
pairs = [(x.reshape(64, 1) / 16, np.eye(10)[:, [n]]) for x, n in zip(X, labels, strict=True)]
np.random.seed(0)
random.seed(0)
net = network.Network([64, 30, 10])
with redirect_stdout(StringIO()):
    net.SGD(list(pairs), 2, 10, 3.0)
x, y = pairs[5]


def cost(net):
    """The quadratic cost of one image."""
    return float(0.5 * np.sum((net.feedforward(x) - y) ** 2))


print(f"image of a {labels[5]}: cost {cost(net):.4f}")

# %%
# The demon
# ---------
# A demon sits at a neuron and adds a little to its z. The cost changes by that little times the *error* of the neuron,
# :math:`\delta = \partial C / \partial z`. To add to z is to add to the bias, so :math:`\delta` is the derivative by the bias
# (BP3), which `backprop` returns first. A large error means that the demon can do something; one near 0, that the neuron is near
# its best already, or that its sigmoid is flat.

errors, _ = net.backprop(x, y)
shifts = np.linspace(-4, 4, 81)
fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
for layer, (ax, name) in enumerate(zip(axes, ("hidden layer", "output layer"), strict=True)):
    largest = np.argsort(-np.abs(errors[layer].ravel()))[[0, 1, 2, -1]]
    for colour, j in enumerate(largest):
        bias, costs = net.biases[layer][j, 0], []
        for shift in shifts:
            net.biases[layer][j, 0] = bias + shift
            costs.append(cost(net))
        net.biases[layer][j, 0] = bias
        error = errors[layer][j, 0]
        ax.plot(shifts, costs, color=f"C{colour}", label=f"neuron {j}, $\\delta$ = {error:.4f}")
        near = np.abs(shifts) <= 1.5
        ax.plot(shifts[near], cost(net) + error * shifts[near], color=f"C{colour}", linestyle="--", linewidth=1)
    ax.set(xlabel="what the demon adds to z", title=name)
    ax.legend(loc="upper left", fontsize=9)
axes[0].set_ylabel("cost")
plt.show()

# %%
# Errors go backwards
# -------------------
# BP1 gives the errors of the output layer, BP2 those of the layer before from those of the layer after. Here are those of 40
# images, a column each, with the matrices of the book: all images at once, and the four equations as they are printed.

images, targets = (np.hstack(columns) for columns in zip(*pairs[:40], strict=True))
(w1, w2), (b1, b2) = net.weights, net.biases
z1 = w1 @ images + b1
z2 = w2 @ network.sigmoid(z1) + b2
delta2 = (network.sigmoid(z2) - targets) * network.sigmoid_prime(z2)
delta1 = w2.T @ delta2 * network.sigmoid_prime(z1)

single = [net.backprop(*pair) for pair in pairs[:40]]
apart = [np.abs(np.hstack([nabla_b[layer] for nabla_b, _ in single]) - d).max() for layer, d in enumerate((delta1, delta2))]
print(f"BP1 and BP2 against backprop: hidden layer {apart[0]:.0e}, output layer {apart[1]:.0e}")
nabla_w = delta1 @ images.T, delta2 @ network.sigmoid(z1).T
apart = [np.abs(sum(nabla[layer] for _, nabla in single) - g).max() for layer, g in enumerate(nabla_w)]
print(f"BP4, the sum over images as one product: hidden layer {apart[0]:.0e}, output layer {apart[1]:.0e}")

fig, axes = plt.subplots(2, 1, figsize=(10, 6.4), layout="constrained", height_ratios=(10, 30), sharex=True)
for ax, delta, name in zip(axes, (delta2, delta1), ("output", "hidden"), strict=True):
    largest = np.abs(delta).max()
    picture = ax.imshow(delta, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
    ax.set(ylabel=f"{name} neuron")
    fig.colorbar(picture, ax=ax, label=r"$\delta$")
axes[1].set(xlabel="image", xticks=range(40))
axes[1].set_xticklabels([str(n) for n in labels[:40]], fontsize=8)
axes[1].set_xlabel("digit of the image")
plt.show()

# %%
# Errors are few: most images are recognised already. Where an output is wrong the hidden layer hears of it, but for neurons whose
# sigmoid is flat for these images: their rows are white.
#
# Finite differences of every size
# --------------------------------
# The obvious way to a derivative is to change one weight by :math:`\epsilon` and look at the cost. How well that agrees with
# backpropagation depends on :math:`\epsilon`: the differences are wrong by a multiple of :math:`\epsilon` (one-sided) or of
# :math:`\epsilon^2` (central) where it is large, and by the rounding of the cost, divided by :math:`\epsilon`, where it is
# small. Backpropagation has neither.

_, nabla_w = net.backprop(x, y)
chosen = np.random.default_rng(0).integers((30, 64), size=(200, 2))
chosen = [(j, k) for j, k in chosen if x[k, 0] > 0][:30]
sizes = np.logspace(-12, 0, 37)


def change(j, k, step):
    """The cost with the weight from pixel k to hidden neuron j changed by this step."""
    weight = net.weights[0][j, k]
    net.weights[0][j, k] = weight + step
    changed = cost(net)
    net.weights[0][j, k] = weight
    return changed


here, scale = cost(net), np.abs(nabla_w[0]).max()
one_sided, central = (np.empty((len(sizes), len(chosen))) for _ in range(2))
for row, epsilon in enumerate(sizes):
    for column, (j, k) in enumerate(chosen):
        up, down = change(j, k, epsilon), change(j, k, -epsilon)
        one_sided[row, column] = (up - here) / epsilon - nabla_w[0][j, k]
        central[row, column] = (up - down) / (2 * epsilon) - nabla_w[0][j, k]

fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
for differences, name in ((one_sided, "one-sided"), (central, "central")):
    error = np.linalg.norm(differences, axis=1) / (scale * len(chosen) ** 0.5)
    ax.loglog(sizes, error, "o-", markersize=3, label=name)
    best = error.argmin()
    print(f"{name} differences: best with epsilon = {sizes[best]:.0e}, relative error {error[best]:.0e}")
ax.set(xlabel=r"$\epsilon$", ylabel="relative error of the derivatives", title="Finite differences against backpropagation")
ax.legend()
plt.show()

# %%
# In what sense is it fast?
# -------------------------
# With finite differences each weight asks for a forward pass of its own; backpropagation has all derivatives after one pass
# forward and one back. Here is the time of both, for wider and wider networks.

widths = (10, 30, 100, 300)
counts, forward, backward = [], [], []
for width in widths:
    wide = network.Network([64, width, 10])
    counts.append(sum(array.size for array in (*wide.weights, *wide.biases)))
    forward.append(min(repeat(lambda wide=wide: wide.feedforward(x), number=20, repeat=5)) / 20)
    backward.append(min(repeat(lambda wide=wide: wide.backprop(x, y), number=20, repeat=5)) / 20)

by_differences = [time * (count + 1) for time, count in zip(forward, counts, strict=True)]
print("weights  a forward pass  backpropagation  finite differences")
for row in zip(counts, forward, backward, by_differences, strict=True):
    print(f"{row[0]:7}  {row[1] * 1e6:11.0f} us  {row[2] * 1e6:12.0f} us  {row[3]:15.3f} s")
fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.loglog(counts, by_differences, "o-", label="finite differences: a forward pass for each weight")
ax.loglog(counts, backward, "o-", label="backpropagation")
ax.loglog(counts, forward, "o--", label="one forward pass")
ax.set(xlabel="weights and biases", ylabel="seconds for all derivatives of one image", title="64-n-10, n from 10 to 300")
ax.legend()
plt.show()

# %%
# A mini-batch as matrices
# ------------------------
# The book's program takes the images of a mini-batch one after the other, and leaves it as an exercise to take them as columns of
# a matrix, with the equations as they were written above. `update_mini_batch` does that. The steps are the same; from a handful
# of images on they are sooner done. (What a call costs however few the images are is in `SGD` paid once for an epoch.)

batches = [1, 2, 5, 10, 20, 50, 100, 200]
together, one_by_one = [], []
for size in batches:
    batch = pairs[:size]
    twins = [network.Network([64, 30, 10], weights=list(net.weights), biases=list(net.biases)) for _ in range(2)]

    def loop(net=twins[0], batch=batch):
        """A step by the gradients of single images."""
        nabla_b, nabla_w = zip(*(net.backprop(*pair) for pair in batch), strict=True)
        rate = 3.0 / len(batch)
        net.weights = [w - rate * sum(g) for w, g in zip(net.weights, zip(*nabla_w, strict=True), strict=True)]
        net.biases = [b - rate * sum(g) for b, g in zip(net.biases, zip(*nabla_b, strict=True), strict=True)]

    def whole(net=twins[1], batch=batch):
        """The same step at once."""
        net.update_mini_batch(batch, 3.0)

    loop(), whole()
    assert all(np.allclose(a, b, rtol=1e-10, atol=1e-14) for a, b in zip(twins[0].weights, twins[1].weights, strict=True))
    one_by_one.append(min(repeat(loop, number=3, repeat=3)) / 3 / size)
    together.append(min(repeat(whole, number=3, repeat=3)) / 3 / size)

print("the steps are the same: True")
fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.loglog(batches, np.multiply(one_by_one, 1e6), "o-", label="one image after the other")
ax.loglog(batches, np.multiply(together, 1e6), "o-", label="as matrices")
ax.set(xlabel="images in the mini-batch", ylabel="microseconds an image", title="A step of 64-30-10")
ax.legend()
plt.show()
