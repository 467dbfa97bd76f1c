"""
How a hidden representation evolves
===================================

The second half of a walk through backpropagation: a 2-3-3-1 sigmoid network on two rings of points. Its gradients are checked
at every step of the training; it is compared with the class of Nielsen's book; and in the end an animation shows how the three
neurons of the last hidden layer pull the rings apart until a plane separates them.

The notebook that is followed does not seed its random numbers. What it prints are equalities, and they are printed below too.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import PillowWriter
from sklearn.datasets import make_circles

import fastbp
from fastbp import textbook
from fastbp.initializers import Uniform
from fastbp.plotting import decision_boundary

# %%
# The data
# --------

X, labels = make_circles(n_samples=1000, shuffle=False, factor=0.3, noise=0.1, random_state=0)
y = labels.reshape(-1, 1).astype(float)
print("shape of X:", X.shape, " shape of y:", y.shape)

fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
ax.plot(*X[labels == 0].T, "r*", alpha=0.75, label="class 0")
ax.plot(*X[labels == 1].T, "bo", alpha=0.75, label="class 1", markersize=4)
ax.set(xlabel="$x_1$", ylabel="$x_2$", title="Two rings")
ax.legend(loc="upper right")
plt.show()

# %%
# Gradient checks at every step
# -----------------------------
# Ten epochs of 20 mini-batches of 50 consecutive samples, learning rate 0.01. ``order`` has a row for each mini-batch, so that
# an "epoch" of this ``fit`` is a single step, after which a callback compares the gradient of the mini-batch with central
# differences, step 1e-7. The notebook demands that ``norm(a - b) / (norm(a) + norm(b))`` over all parameters is below 1e-7,
# and prints ``True``.

EPOCHS, BATCH, ETA = 10, 50, 1e-2
start = fastbp.Network([2, 3, 3, 1], "sigmoid", output="sigmoid", dtype="float64", init=Uniform(0.0, 1.0), rng=0)
batches = np.tile(np.arange(1000).reshape(-1, BATCH), (EPOCHS, 1))
errors = []


def check(step, net, history):
    """Relative error of the gradient for the mini-batch of this step."""
    rows = batches[step]
    errors.append(net.check_gradients(X[rows], y[rows], eps=1e-7).max_error)


net = start.copy()
settings = {"batch_size": BATCH, "optimizer": fastbp.SGD(ETA)}
history = net.fit(X, y, epochs=len(batches), order=batches, record_norms=True, callbacks=[check], **settings)
print(f"{len(errors)} checks, largest error {max(errors):.1e}; all below 1e-7: {max(errors) < 1e-7}")

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
left.semilogy(errors)
left.axhline(1e-7, color="grey", linestyle="--", label="1e-7")
left.set(xlabel="step", ylabel="relative error", title="Gradient checks")
left.legend()
middle.semilogy(history.gradient_norms, label=["layer 1", "layer 2", "layer 3"])
middle.set(xlabel="step", ylabel="norm", title="Gradients of the weights", ylim=(1e-5, 1))
middle.legend(loc="lower center", ncols=3)
right.plot(history.weight_norms, label=["layer 1", "layer 2", "layer 3"])
right.set(xlabel="step", ylabel="norm", title="Weights", ylim=(0, 2.2))
right.legend(loc="lower center", ncols=3)
plt.show()

# %%
# The first ten mini-batches of an epoch hold one ring only, the other ten the other: the data are not shuffled, and the
# gradients swing. The layers nearer to the input have the smaller gradients.
#
# The class of Nielsen's book
# ---------------------------
# ``fastbp.textbook.Network`` has the interface of the class in the book: columns, lists of pairs, ``update_mini_batch``. From
# the same weights and on the same mini-batches the notebook gets equal weights after ten epochs.

book = textbook.Network([2, 3, 3, 1], weights=start.weights, biases=[b.reshape(-1, 1) for b in start.biases])
pairs = [(row.reshape(-1, 1), target.reshape(-1, 1)) for row, target in zip(X, y, strict=True)]
for rows in batches:
    book.update_mini_batch([pairs[i] for i in rows], ETA)

for layer in range(3):
    apart = np.abs(book.weights[layer] - net.weights[layer]).max(), np.abs(book.biases[layer].T - net.biases[layer]).max()
    print(f"layer {layer + 1}: largest difference after ten epochs {max(apart):.1e}")

# %%
# One sample at a time, or all at once
# ------------------------------------
# The notebook first adds up the gradients of single samples, then computes them for the whole mini-batch in one go.

nabla_b, nabla_w = zip(*(book.backprop(x, target) for x, target in pairs[:BATCH]), strict=True)
_, whole = net.value_and_grad(X[:BATCH], y[:BATCH])
for layer in range(3):
    single = np.mean([nabla[layer] for nabla in nabla_w], axis=0), np.mean([nabla[layer].T for nabla in nabla_b], axis=0)
    apart = np.abs(single[0] - whole.weights[layer]).max(), np.abs(single[1] - whole.biases[layer]).max()
    print(f"layer {layer + 1}: mean of 50 gradients and gradient of the batch differ by {max(apart):.1e}")

# %%
# Training until the rings are apart
# ----------------------------------
# Ten epochs at this learning rate change little. With Adam, and the rows shuffled, the network gets there. A copy of it is
# kept now and then.

kept = {0: start.copy()}
epochs = np.unique(np.geomspace(1, 400, 22).astype(int))


def keep(epoch, net, history):
    """Copies for the animation, close together at first."""
    if epoch + 1 in epochs:
        kept[epoch + 1] = net.copy()


net = start.copy()
history = net.fit(X, y, epochs=400, batch_size=BATCH, optimizer=fastbp.Adam(0.01), callbacks=[keep], rng=0)
accuracy = np.mean((net(X) > 0.5) == y)
print(f"after {len(history.loss)} epochs: loss {history.loss[-1]:.5f}, accuracy {accuracy:.3f}")

# %%
# The animation
# -------------
# Left, what the network decides in the plane of its inputs. Right, where the samples are in the space of the three neurons of
# the last hidden layer, and the plane on which the output is 1/2. The file is ``hidden_representation.gif`` in the current
# directory.

fig = plt.figure(figsize=(10, 4.6))
plane, cube = fig.add_subplot(1, 2, 1), fig.add_subplot(1, 2, 2, projection="3d")
corners = np.linspace(0.0, 1.0, 12)


def draw(epoch):
    """One frame: the network as it was after this epoch."""
    network = kept[epoch]
    plane.clear()
    decision_boundary(network, X[::4], labels[::4], plane).set_title(f"after {epoch} epochs")
    cube.clear()
    hidden = network.trace(X[::4]).a[2]
    for value, colour in ((0, "C0"), (1, "C1")):
        cube.scatter(*hidden[labels[::4] == value].T, s=6, color=colour, depthshade=False)
    (weights,), (bias,) = network.weights[2], network.biases[2]
    across, along = np.meshgrid(corners, corners)
    height = -(bias + weights[0] * across + weights[1] * along) / weights[2]
    height[(height < 0) | (height > 1)] = np.nan
    if np.isfinite(height).any():
        cube.plot_wireframe(across, along, height, color="black", linewidth=0.4)
    cube.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1), xlabel="neuron 1", ylabel="neuron 2", zlabel="neuron 3")
    cube.set_title("last hidden layer")
    cube.view_init(elev=20, azim=-60 + 60 * list(kept).index(epoch) / len(kept))


path = Path("hidden_representation.gif")
writer = PillowWriter(fps=6)
with writer.saving(fig, path, dpi=70):
    for epoch in [*kept, *[max(kept)] * 2]:
        draw(epoch)
        writer.grab_frame()
print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")
plt.show()
