"""
Backpropagation through five relu layers
========================================

Notebook 7.2 of Prince, "Understanding Deep Learning" (MIT Press, 2023): a network with one input, five hidden layers of six
relu units and one output, whose derivatives are computed by backpropagation and compared with finite differences. Its numbers
come from ``np.random.seed(0)``, so they can all be had again.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp

# %%
# The notebook's network
# ----------------------
# K hidden layers of D units. The draws are in its order: first and last weights, first and last biases, then layer by layer.

K, D = 5, 6
np.random.seed(0)
weights, biases = [None] * (K + 1), [None] * (K + 1)
weights[0], weights[K] = np.random.normal(size=(D, 1)), np.random.normal(size=(1, D))
biases[0], biases[K] = np.random.normal(size=(D, 1)), np.random.normal(size=(1, 1))
for layer in range(1, K):
    weights[layer], biases[layer] = np.random.normal(size=(D, D)), np.random.normal(size=(D, 1))

loss = fastbp.SquaredError(reduction="sum")
net = fastbp.Network([1, *[D] * K, 1], "relu", loss, dtype="float64", weights=weights, biases=biases)

x, y = [[1.2]], [[20.0]]
print(f"output: printed 1.907, fastbp {net(x)[0, 0]:.3f}")
print(f"loss: printed 327.371, fastbp {net.loss(x, y):.3f}")

# %%
# Derivatives
# -----------
# The notebook prints those of all hidden biases, and of the weights up to the point where its printout ends, twice: from
# backpropagation, and from forward differences with a step of 1e-6.

printed_biases = [
    [-4.486, 4.947, 6.812, -3.883, -24.935, 0.0],
    [0.0, -11.297, 0.0, 0.0, -10.722, 0.0],
    [0.0, 0.0, 0.938, 0.0, -9.993, 0.508],
    [0.0, -4.8, -1.661, 0.0, 3.393, 5.391],
    [0.0, 0.0, 0.0, 0.0, -5.212, 0.0],
]
printed_weights = [
    [[-5.383], [5.937], [8.174], [-4.66], [-29.922], [0.0]],
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [-32.511, -6.799, -18.282, -34.148, -42.196, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [-30.856, -6.453, -17.352, -32.409, -40.047, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ],
]
_, gradient = net.value_and_grad(x, y)
report = net.check_gradients(x, y, eps=1e-6, scheme="forward")
difference = net.copy()  # its weights and biases are views of one vector, which here takes the finite differences
difference.params[:] = report.difference

np.set_printoptions(precision=3, suppress=True)
for layer, values in enumerate(printed_biases):
    print(f"bias {layer}")
    print("   printed           ", np.array(values))
    print("   backpropagation   ", gradient.biases[layer] + 0.0)  # + 0.0 turns -0 into 0
    print("   finite differences", difference.biases[layer] + 0.0)
for layer, values in enumerate(printed_weights):
    close = np.abs(gradient.weights[layer] - values).max(), np.abs(difference.weights[layer] - values).max()
    print(f"weight {layer}: largest difference from the printed {close[0]:.4f} (backpropagation), {close[1]:.4f} (differences)")
    print(gradient.weights[layer] + 0.0)

# %%
# The report of the gradient check, layer by layer:

print(report)

# %%
# What backpropagation passes through
# -----------------------------------
# A unit that is off (z < 0) has slope 0: its delta is exactly 0, and so are the derivatives of its weights and bias. In layer 5
# one unit is left, and everything that the first layers learn from this sample goes through it.

trace = net.trace(x, y)
fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for ax, values, title in (
    (axes[0], np.array([z[0] for z in trace.z[:K]]), "z: what comes in"),
    (axes[1], np.array([delta[0] for delta in trace.delta[:K]]), "delta: dC/dz"),
):
    limit = np.abs(values).max()
    image = ax.imshow(values.T, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for layer in range(K):
        for unit in range(D):
            if trace.z[layer][0, unit] < 0:
                colour = "white" if abs(values[layer, unit]) > 0.6 * limit else "black"
                ax.text(layer, unit, "off", ha="center", va="center", fontsize=8, color=colour)
    ax.set(xticks=range(K), xticklabels=range(1, K + 1), xlabel="hidden layer", ylabel="unit", title=title)
    fig.colorbar(image, ax=ax)
plt.show()

# %%
# The loss as a function of one weight
# ------------------------------------
# A relu network is piecewise linear in each parameter, so the loss is piecewise quadratic. The slope at the notebook's point is
# the derivative that backpropagation gives.

layer, index = 1, (1, 4)
centre, here = net.weights[layer][index], net.loss(x, y)
nudges = np.linspace(-10, 10, 401)
losses = []
for nudge in nudges:
    net.weights[layer][index] = centre + nudge
    losses.append(net.loss(x, y))
net.weights[layer][index] = centre

slope = gradient.weights[layer][index]
fig, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
ax.plot(nudges, losses, label="loss")
ax.axline((0.0, here), slope=slope, color="grey", linestyle="--", label=f"slope {slope:.3f}")
ax.plot(0.0, here, "o", color="C0")
ax.set(xlabel=f"nudge of weight {layer} [{index[0]}, {index[1]}]", ylabel="loss", ylim=(0, 1.1 * max(losses)))
ax.legend()
plt.show()
