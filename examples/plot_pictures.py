"""
Pictures of a network
=====================

What :mod:`fastbp.plotting` draws, of two networks: one that reads handwritten digits, and one that tells two half-moons apart.
"""

# %%
# Digits
# ------
# 1797 images of 8 x 8 pixels. Norms are recorded, so that the flow of the gradients can be drawn, and so are scores.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits, make_moons
from sklearn.model_selection import train_test_split

import fastbp
from fastbp import plotting

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, random_state=0)
net = fastbp.Network([64, 20, 20, 10], loss="cross_entropy", rng=0)
history = net.fit(X, y, epochs=30, optimizer="adam", validation_data=(X_test, y_test), record_score=True, record_norms=True, rng=0)
print(f"accuracy {net.score(X_test, y_test):.3f}")

# %%
# How training went
# -----------------
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plotting.loss_curve(history, ax=left)
plotting.gradient_flow(history, ax=right)
plt.show()

# %%
# What is in the layers
# ---------------------
# Each image is what a unit of the first hidden layer looks for.
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plotting.weights(net, shape=(8, 8), ax=left)
plotting.weights(net, -1, ax=right)
plt.show()

# %%
# How large activations are, and what the test images are taken for
# -----------------------------------------------------------------
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
plotting.activations(net, X_test, ax=left)
plotting.confusion(net, X_test, y_test, ax=right)
plt.show()

# %%
# Half-moons
# ----------
# A network small enough to draw each of its weights, and what it decides over the plane.
X, y = make_moons(400, noise=0.3, random_state=0)
net = fastbp.Network([2, 6, 4, 2], hidden="tanh", loss="cross_entropy", rng=0)
net.fit(X, y, epochs=200, optimizer=fastbp.Adam(0.01), rng=0)
print(f"half-moons: accuracy {net.score(X, y):.3f}")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plotting.network_diagram(net, ax=left)
plotting.decision_boundary(net, X, y, ax=right)
plt.show()

# %%
# How often other samples are of class 1, against the probability that it says: on the dotted line the two are equal.
X_test, y_test = make_moons(2000, noise=0.3, random_state=1)
plotting.calibration(net, X_test, y_test, ax=plt.subplots(figsize=(5, 4), layout="constrained")[1])
plt.show()

# %%
# In a notebook a network shows itself, without any of these.
net
