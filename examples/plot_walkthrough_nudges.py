"""
What a nudge to a weight does
=============================

The first half of a walk through forward and backward propagation, from a chain of single neurons (1-1-1-1) to a network with
layers (1-3-2-1): what the network computes, two ways of writing it that come to the same, how a nudge to a weight travels to
the cost, and the four equations of backpropagation, read off a network.

The walk follows a notebook that leans on Nielsen's "Neural Networks and Deep Learning", chapter 2. Its random numbers are not
seeded; where it prints something that does not depend on them, it is printed below too.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp.initializers import Uniform

X = np.linspace(-5, 5, 1000).reshape(-1, 1)
y = np.where(X > 0, 1.0, -1.0)


def sigmoid_network(sizes, **options):
    """Sigmoid neurons everywhere, the cost (a - y)^2; weights and biases from the standard normal distribution."""
    settings = {"hidden": "sigmoid", "output": "sigmoid", "init": "normal", "rng": 2, "dtype": "float64"}
    return fastbp.Network(sizes, loss=fastbp.SquaredError("sum"), **settings | options)


# %%
# A chain of neurons
# ------------------
# One input, two hidden neurons one after the other, one output. Each neuron computes z = w a + b from the activation before
# it, and its own activation from z. The notebook draws all six numbers from ``np.random.rand`` and prints, for the first
# sample,
#
# ``for input: [-5.] with label: [-1], this network calculated: [0.76936505], giving us a cost of: 3.1306526667222374``

chain = sigmoid_network([1, 1, 1, 1], init=Uniform(0.0, 1.0))
output, cost = chain(X[0]), chain.loss(X[:1], y[:1])
print(f"for input: {X[0]} with label: {y[0]}, this network calculated: {output}, giving us a cost of: {cost}")
print(f"mean cost over all samples: {chain.loss(X, y)}")

# %%
# The notebook's own output gives the notebook's cost:

fixed = fastbp.Network([1, 1], loss=fastbp.SquaredError("mean"), dtype="float64", weights=[[[0.0]]], biases=[[0.76936505]])
print(f"cost of the output 0.76936505: printed 3.1306526667222374, fastbp {fixed.loss(X[:1], y[:1]):.13f}")

# %%
# Layers
# ------
# With more neurons in a layer the weights are a matrix with a row for each neuron, W (n_out, n_in), and all samples go through
# at once. The notebook keeps samples in columns and prints ``(3, 1000) (2, 1000) (1, 1000)`` for z and ``(1, 1000) (3, 1000)
# (2, 1000) (1, 1000)`` for a. Rows are samples here, so the shapes are turned round.

net = sigmoid_network([1, 3, 2, 1])
trace = net.trace(X, y)
print("weights:", *(w.shape for w in net.weights))
print("z:", *(z.shape for z in trace.z))
print("a:", *(a.shape for a in trace.a))

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
left.plot(X, y, ".", markersize=2)
left.set(xlabel="x", ylabel="y", title="The data")
for seed in range(8):
    right.plot(X, sigmoid_network([1, 3, 2, 1], rng=seed)(X))
right.set(xlabel="x", ylabel="output", title="1-3-2-1 networks before any training", ylim=(0, 1))
plt.show()

# %%
# Biases as a column of weights
# -----------------------------
# A bias is the weight of an input that is always 1. Give the data a column of ones and each hidden layer a neuron that always
# says 1 (sigmoid(40) is 1 in float64), append the biases to the weights as a column, and no bias is left. The notebook
# compares the two with ``np.equal`` and gets ``False``; they differ by rounding only.

merged_weights = [np.column_stack([w, b]) for w, b in zip(net.weights, net.biases, strict=True)]
for layer, w in enumerate(merged_weights[:-1]):
    always_one = np.zeros(w.shape[1])
    always_one[-1] = 40.0
    merged_weights[layer] = np.vstack([w, always_one])
merged = sigmoid_network([2, 4, 3, 1], weights=merged_weights)
difference = np.abs(merged(np.column_stack([X, np.ones(1000)])) - net(X)).max()
print(f"largest difference between the two ways to write biases: {difference:.1e}")

# %%
# Linear layers collapse
# ----------------------
# With the identity for activation, W3 (W2 (W1 x + b1) + b2) + b3 is a single linear layer, however many there are. With a
# sigmoid at the end only, it is logistic regression.

linear = sigmoid_network([1, 3, 2, 1], hidden="identity", output="identity")
(w1, w2, w3), (b1, b2, b3) = linear.weights, linear.biases
one_layer = {"weights": [w3 @ w2 @ w1], "biases": [w3 @ w2 @ b1 + w3 @ b2 + b3]}
collapsed = sigmoid_network([1, 1], output="identity", **one_layer)
print(f"linear layers and one layer differ by {np.abs(collapsed(X) - linear(X)).max():.1e}")

final = sigmoid_network([1, 3, 2, 1], hidden="identity", weights=linear.weights, biases=linear.biases)
logistic = sigmoid_network([1, 1], **one_layer)
print(f"with a final sigmoid: {np.abs(logistic(X) - final(X)).max():.1e}")

fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharex=True)
for ax, deep, flat, title in (
    (axes[0], linear, collapsed, "linear activations"),
    (axes[1], final, logistic, "linear activations and a final sigmoid"),
):
    ax.plot(X, deep(X), linewidth=6, alpha=0.4, label="1-3-2-1")
    ax.plot(X, flat(X), color="black", linewidth=1, label="1-1")
    ax.set(xlabel="x", ylabel="output", title=title)
    ax.legend()
plt.show()

# %%
# Nudging a weight
# ----------------
# Now the chain once more, with the last weight 1, and one sample. What happens to z, to the output and to the cost when a
# weight is nudged? The curves come from running the network with each nudged weight; the dashed slopes from one pass of
# backpropagation.

chain = sigmoid_network([1, 1, 1, 1], rng=7)
chain.weights[2][:] = 1.0
x, target = X[:1], y[:1]
nudges = np.linspace(-5, 5, 51)


def nudge(layer):
    """z of the nudged layer, output and cost for each nudge of its weight."""
    weight = chain.weights[layer][0, 0]
    seen = []
    for step in nudges:
        chain.weights[layer][0, 0] = weight + step
        now = chain.trace(x)
        seen.append((now.z[layer][0, 0], now.a[-1][0, 0], chain.loss(x, target)))
    chain.weights[layer][0, 0] = weight
    return np.transpose(seen)


trace = chain.trace(x, target)
_, gradient = chain.value_and_grad(x, target)
fig, axes = plt.subplots(2, 3, figsize=(13, 7), layout="constrained")
for row, layer in zip(axes, (2, 0), strict=True):
    weight, here = chain.weights[layer][0, 0], (trace.z[layer][0, 0], trace.a[-1][0, 0], chain.loss(x, target))
    dc_dw = gradient.weights[layer][0, 0]
    dc_da = 2 * (trace.a[-1] - target)[0, 0]
    slopes = trace.a[layer][0, 0], dc_dw / dc_da, dc_dw
    quantities = f"z_{layer + 1}", "a_3", "C"
    for ax, values, now, slope, name, colour in zip(row, nudge(layer), here, slopes, quantities, ("C1", "C2", "C3"), strict=True):
        ax.plot(weight + nudges, values, color=colour)
        ax.plot(weight, now, "o", color=colour, markersize=9)
        ax.axline((weight, now), slope=slope, color="grey", linestyle="--", label=f"slope {slope:.2g}")
        span = np.ptp(values) or 1.0
        ax.set(xlabel=f"w_{layer + 1}", ylabel=name, ylim=(values.min() - 0.1 * span, values.max() + 0.1 * span))
        ax.set_title(f"How a nudge in w_{layer + 1} affects {name}")
        ax.legend()
plt.show()

# %%
# The same slope, as the notebook's product of three rates: how w changes z, how z changes a, how a changes the cost.

a_before, a_last = trace.a[2][0, 0], trace.a[3][0, 0]
rates = a_before, a_last * (1 - a_last), 2 * (a_last - target[0, 0])
print(f"dz/dw = {rates[0]:.6f}, da/dz = {rates[1]:.6f}, dC/da = {rates[2]:.6f}, product {np.prod(rates):.12f}")
print(f"from backpropagation: {gradient.weights[2][0, 0]:.12f}")

# %%
# The four equations
# ------------------
# What they are about can be read from any network: ``trace`` holds a, z and delta = dC/dz of every layer. The delta is that of
# the mean cost over the samples, so the gradients of the mean cost are plain sums.

trace = net.trace(X, y)
_, gradient = net.value_and_grad(X, y)
print("layer   z            a            delta        |delta|")
for layer in range(3):
    z, a, delta = trace.z[layer], trace.a[layer + 1], trace.delta[layer]
    print(f"{layer + 1:5}   {z.shape!s:12} {a.shape!s:12} {delta.shape!s:12} {np.linalg.norm(delta):.3e}")

slope = [a * (1 - a) for a in trace.a[1:]]
bp1 = 2 * (trace.a[3] - y) / len(X) * slope[2] - trace.delta[2]
bp2 = [(trace.delta[k + 1] @ net.weights[k + 1]) * slope[k] - trace.delta[k] for k in (0, 1)]
bp3 = [trace.delta[k].sum(axis=0) - gradient.biases[k] for k in range(3)]
bp4 = [trace.delta[k].T @ trace.a[k] - gradient.weights[k] for k in range(3)]
print(f"BP1, the error of the last layer,              holds to {np.abs(bp1).max():.0e}")
print(f"BP2, the error from that of the next layer,    holds to {max(np.abs(d).max() for d in bp2):.0e}")
print(f"BP3, the gradient of the biases,               holds to {max(np.abs(d).max() for d in bp3):.0e}")
print(f"BP4, the gradient of the weights,              holds to {max(np.abs(d).max() for d in bp4):.0e}")
print(net.check_gradients(X, y))
