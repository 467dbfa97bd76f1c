"""
One sample, three layers, learning rate 1
=========================================

Exercise 4.12 of Dixon, Halperin and Bilokon, "Machine Learning in Finance" (Springer, 2020): a 3-2-2-3 network with a relu, a
sigmoid and a softmax layer is trained on a single sample by gradient descent on the cross-entropy

.. math:: L = -\\sum_k Y_k \\log \\hat Y_k .

The exercise starts from given weights, so every number can be compared: with the losses it prints in full, and with what Keras
printed after 200 steps.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp

# %%
# The network of the exercise
# ---------------------------
# ``weights[l]`` has a row for each unit, as in the exercise. The softmax belongs to the loss: it is not asked for.

W = [[[0.1, 0.3, 0.7], [0.9, 0.4, 0.4]], [[0.4, 0.3], [0.7, 0.2]], [[0.5, 0.6], [0.6, 0.7], [0.3, 0.2]]]
b = [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0, 1.0]]
X = np.array([[0.1, 0.7, 0.3]])
Y = np.array([[1.0, 0.0, 0.0]])

net = fastbp.Network([3, 2, 2, 3], ["relu", "sigmoid"], "cross_entropy", dtype="float64", weights=W, biases=b)

# %%
# What backpropagation computes
# -----------------------------
# The derivation in the exercise ends in two lines: the error of the output layer is :math:`\hat Y - Y`, and each layer passes
# :math:`W^T\delta` down, times its slope. ``trace`` shows these quantities, and finite differences confirm the gradients.

trace = net.trace(X, Y)
print("prediction - target", (trace.a[-1] - Y)[0])
print("delta of layer 3   ", trace.delta[-1][0])
print("delta of layer 2   ", trace.delta[-2][0])
print("delta of layer 1   ", trace.delta[-3][0])
print(net.check_gradients(X, Y))

# %%
# Training, with the stopping rule of the exercise
# ------------------------------------------------
# At most 200 steps; before that, stop when the norms of all gradients add up to at most 0.001.

history = net.fit(X, Y, epochs=200, batch_size=1, optimizer=fastbp.SGD(learning_rate=1.0), gradient_tol=0.001)
print(f"{len(history.loss)} steps, stopped by {history.stopped_by}")

# %%
# The losses that the exercise prints
# -----------------------------------

printed = """
1.0220603290496275 0.12835236020870527 0.08090078793434305 0.05953583479959617 0.04721118634517901 0.03915120608280936
0.03345605316228914 0.029213117563831773 0.025927552828981213 0.02330712020071898 0.021167867391973044 0.01938811367291565
0.017884103003570954 0.016596270340631637 0.015481081906068636 0.014505974042139025 0.013646097998312075 0.012882160242001632
0.012198950566520442 0.011584315088619651 0.011028424641181308
"""
printed = np.array([float(word) for word in printed.split()])

print(f"{'step':>4}  {'exercise':<22}{'fastbp':<22}relative difference")
for step, (theirs, ours) in enumerate(zip(printed, history.loss, strict=False), 1):
    print(f"{step:4}  {theirs:<22.17g}{ours:<22.17g}{abs(ours - theirs) / theirs:.1e}")

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
steps = np.arange(1, 201)
left.loglog(steps, history.loss, label="fastbp, float64")
left.loglog(steps[: len(printed)], printed, "o", mfc="none", label="printed in the exercise")
left.set(xlabel="step", ylabel="cross-entropy", title="The same losses")
left.legend()
right.semilogy(steps[: len(printed)], np.abs(history.loss[: len(printed)] - printed) / printed, "o")
right.axhline(np.finfo(float).eps, color="grey", linestyle="--", label="float64 spacing at 1")
right.set(xlabel="step", ylabel="relative difference", title="to the last digits", ylim=(1e-17, 1e-11))
right.legend()
plt.show()

# %%
# What Keras printed
# ------------------
# Keras works in float32. Its prediction agrees in all digits that float32 has. Its weights differ from those of the exercise's
# own program (and from these) by up to 1.5e-4, more than rounding: they are those of gradient descent in which three of the 400
# reads of the upper weights came after the update of the same step (TensorFlow updated variables in place, in no set order).
# With those three, the 21 printed numbers come out to 4e-6; ``tests/test_seed_dixon.py`` does it.

keras = {
    "prediction": [9.9887174e-01, 5.7524466e-04, 5.5298163e-04],
    "weights 1": [[0.11551907, 0.40863392, 0.74655724], [0.9084813, 0.4593696, 0.42544398]],
    "biases 1": [1.155191, 1.0848131],
    "weights 2": [[0.6016261, 0.50208974], [0.87797874, 0.37863797]],
    "biases 2": [1.1303287, 1.1153796],
    "weights 3": [[2.0983126, 2.2364147], [-0.3175866, -0.23999722], [-0.38072622, -0.49641728]],
    "biases 3": [2.766754, -0.01685131, 0.25009623],
}
ours = {"prediction": net(X)[0]}
for layer in range(3):
    ours |= {f"weights {layer + 1}": net.weights[layer], f"biases {layer + 1}": net.biases[layer]}

np.set_printoptions(precision=8, suppress=True)
for name, value in keras.items():
    print(f"{name}: largest difference {np.abs(ours[name] - value).max():.1e}")
    print("   Keras ", np.ravel(value))
    print("   fastbp", np.ravel(ours[name]))

# %%
# Where the weights went
# ----------------------
# The output layer moves most: its units are pushed straight by :math:`\hat Y - Y`.

fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
for layer, ax in enumerate(axes):
    before, after = np.ravel(W[layer]), net.weights[layer].ravel()
    places = np.arange(before.size)
    ax.bar(places - 0.2, before, 0.4, label="given")
    ax.bar(places + 0.2, after, 0.4, label="after 200 steps")
    ax.plot(places + 0.2, np.ravel(keras[f"weights {layer + 1}"]), "k_", markersize=14, label="Keras")
    ax.set(title=f"weights {layer + 1}", xlabel="row by row")
    ax.axhline(0.0, color="black", linewidth=0.6)
axes[2].legend()
plt.show()
