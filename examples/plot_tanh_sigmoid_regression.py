"""
Backpropagation by hand for a tanh-sigmoid-linear network
=========================================================

A notebook derives the gradients of a 2-3-4-1 regression network step by step,

.. math:: g_3 = \\tanh(w_1 S + b_1), \\quad g_6 = \\sigma(w_2 g_3 + b_2), \\quad g_8 = w_3 g_6 + b_3,

and prints its random numbers together with everything that follows from them: the layers, the gradients, and finite differences
of the cost. Here its printed parameters are put into a network, and the same quantities read off.

Samples are columns in the notebook (S is 2 x 2: two samples of two numbers) and rows here, hence the transposes.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp

S = np.array([[-0.68424688, 0.1226127], [0.85043664, 0.46881203]])
y = np.array([[-0.56611036, 0.36550861]])
w1 = [[1.14205375, -0.17839548], [0.9174844, -0.14132818], [-1.10637701, 0.0749737]]
w2 = [
    [1.35164888, -0.52904082, -1.10840109],
    [-2.02972089, 0.94565733, 1.16814785],
    [0.89546794, 2.15418749, 2.41812263],
    [0.45734434, -0.4099463, 0.63345622],
]
w3 = [[-1.1047429, -0.39768368, -0.17999112, -1.16220417]]
b1, b2, b3 = [0.78941267, 0.76236111, -0.05389374], [0.11596932, -0.62191183, -0.18579458, 0.13295161], [-0.50117255]

# %%
# Two conventions for the cost
# ----------------------------
# The notebook defines the quadratic cost twice: as the mean over samples of the sum over outputs, and as the mean over both.
# They are ``reduction="sum"`` and ``reduction="mean"``; with a single output they are the same.


def network(reduction):
    """The notebook's network."""
    loss = fastbp.SquaredError(reduction)
    return fastbp.Network([2, 3, 4, 1], ["tanh", "sigmoid"], loss, dtype="float64", weights=[w1, w2, w3], biases=[b1, b2, b3])


net = network("sum")
print("cost:", net.loss(S.T, y.T), "and", network("mean").loss(S.T, y.T))

# %%
# The layers and the errors
# -------------------------
# ``trace`` gives the notebook's g2, g5, g8 as ``z``, its g3 and g6 as ``a``, and its grad_g2, grad_g5, grad_g8 as ``delta``.

printed = {
    "g2": [[-0.1437481, 0.84580902], [0.01438461, 0.80860001], [0.76690166, -0.15440105]],
    "grad_g8": [[-1.37513586, -2.46291905]],
    "grad_g5": [[0.32500674, 0.5677703], [0.13044648, 0.13994107], [0.04219543, 0.06605813], [0.37823316, 0.71454985]],
    "grad_g2": [[0.3774394, 0.45679373], [-0.11271925, -0.17611969], [0.07809738, 0.14308896]],
}
trace = net.trace(S.T, y.T)
ours = {"g2": trace.z[0].T, "grad_g8": trace.delta[2].T, "grad_g5": trace.delta[1].T, "grad_g2": trace.delta[0].T}

np.set_printoptions(precision=8, suppress=True)
for name, value in printed.items():
    print(f"{name}: largest difference {np.abs(ours[name] - value).max():.0e}")
    print("   printed", np.ravel(value))
    print("   fastbp ", ours[name].ravel())

# %%
# The gradients
# -------------

printed |= {
    "w3": [[-2.15858721, -1.2601697, -3.08948689, -2.12509017]],
    "w2": [
        [0.34472206, 0.38440933, 0.12269544],
        [0.07777838, 0.09547129, 0.06271722],
        [0.03948163, 0.04478774, 0.01710213],
        [0.4382357, 0.48334361, 0.13454856],
    ],
    "w1": [[-0.20225301, 0.53513869], [0.05553329, -0.17842761], [-0.03589336, 0.1334987]],
    "b1": [0.83423313, -0.28883895, 0.22118634],
    "b2": [0.89277703, 0.27038755, 0.10825356, 1.09278301],
    "b3": [-3.83805491],
}
_, gradient = net.value_and_grad(S.T, y.T)
for layer in range(3):
    ours |= {f"w{layer + 1}": gradient.weights[layer], f"b{layer + 1}": gradient.biases[layer]}
for name in ("w3", "w2", "w1", "b1", "b2", "b3"):
    print(f"gradient of {name}: largest difference {np.abs(ours[name] - printed[name]).max():.0e}")
    print("   printed", np.ravel(printed[name]))
    print("   fastbp ", ours[name].ravel())

# %%
# The notebook prints its parameters with eight decimals, and so the results agree to eight decimals.
#
# Finite differences
# ------------------
# The notebook moves seven parameters by 0.00001 (w3 by -0.00001) and divides the change of the cost by it. Done here with
# ``net.loss`` on the same parameters.

checks = {
    "w1[0, 0]": (net.weights[0], (0, 0), 1e-5, -0.2022524668632286),
    "w1[0, 1]": (net.weights[0], (0, 1), 1e-5, 0.5351389250396466),
    "b1[0]": (net.biases[0], (0,), 1e-5, 0.8342313023490532),
    "w2[0, 1]": (net.weights[1], (0, 1), 1e-5, 0.38440893344038324),
    "b2[1]": (net.biases[1], (1,), 1e-5, 0.2703879304899459),
    "w3[0, 0]": (net.weights[2], (0, 0), -1e-5, -2.158590163592322),
    "b3[0]": (net.biases[2], (0,), 1e-5, -3.8380449126407252),
}
cost = net.loss(S.T, y.T)
print(f"{'parameter':<10}{'printed':>14}{'fastbp':>14}{'gradient':>14}")
for name, (array, index, step, value) in checks.items():
    before = array[index]
    array[index] += step
    difference = (net.loss(S.T, y.T) - cost) / step
    array[index] = before
    print(f"{name:<10}{value:14.8f}{difference:14.8f}{ours[name[:2]][index]:14.8f}")

# %%
# All parameters at once, by central differences, which are closer:

report = net.check_gradients(S.T, y.T)
print(report)

# %%
# How large the step should be
# ----------------------------
# A finite difference is wrong by its truncation, which falls with the step, and by the rounding of the cost, which grows as one
# over it. Forward differences are best near 1e-7, central ones near 1e-5: there they confirm the gradient to ten digits.

steps = np.logspace(-11, -1, 41)
fig, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
for scheme in ("forward", "central"):
    errors = [net.check_gradients(S.T, y.T, eps=step, scheme=scheme).max_error for step in steps]
    ax.loglog(steps, errors, label=f"{scheme} differences")
ax.axvline(1e-5, color="grey", linestyle="--", label="the notebook's step")
ax.set(xlabel="step", ylabel="relative error of the gradient", title="Finite differences against backpropagation")
ax.legend()
plt.show()

# %%
# Printed and computed, all in one picture
# ----------------------------------------

theirs = np.concatenate([np.ravel(value) for value in printed.values()])
mine = np.concatenate([np.ravel(ours[name]) for name in printed])
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
left.plot(theirs, mine, "o", mfc="none")
left.axline((0, 0), slope=1, color="grey", linewidth=0.8)
left.set(xlabel="printed in the notebook", ylabel="fastbp", title=f"{theirs.size} printed numbers")
right.semilogy(np.sort(np.abs(mine - theirs))[::-1], "o", mfc="none")
right.axhline(1e-8, color="grey", linestyle="--", label="last printed decimal")
right.set(xlabel="number, sorted", ylabel="absolute difference", title="The same up to rounding")
right.legend()
plt.show()
