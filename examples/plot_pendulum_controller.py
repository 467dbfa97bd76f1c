"""
A controller that is trained inside a compiled simulation
=========================================================

A pendulum stands on its pivot and would fall; a motor can hold it, if it starts in time, but is too weak to lift it from the side.
A network reads angle and speed, and gives the torque. It is trained by simulation: forward in time, then backward with the
derivatives of the cost, as in backpropagation through time. The network is asked 150 times in each direction for each of its 400
steps, and all of that is one function of ``numba.njit``, in which the network and its trainer are values like any other.

The angle t is measured from upright, v is its speed, and u the torque:

.. math:: \\dot v = g \\sin t - b v + u, \\quad \\dot t = v, \\quad |u| \\le U.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

import fastbp

GRAVITY, FRICTION, TORQUE, DT, STEPS, COUNT = 9.81, 0.2, 6.0, 0.02, 150, 64

# %%
# The network
# -----------
# Its output is the torque as a part of what the motor can do, hence tanh.

net = fastbp.Network([3, 32, 32, 1], "tanh", output="tanh", dtype="float64", rng=0)
trainer = net.trainer(batch_size=STEPS * COUNT, optimizer=fastbp.Adam(3e-3), clip_norm=1.0)


# %%
# Forward: one step of all pendulums
# ----------------------------------
# ``net.predict_into`` writes the outputs for a row of features of each pendulum.


@njit
def features_of(angle, speed, features):
    """Rows that the network reads: the angle as a point of the circle, and the speed."""
    for i in range(angle.size):
        features[i, 0], features[i, 1], features[i, 2] = np.sin(angle[i]), np.cos(angle[i]), speed[i] / 8.0


@njit
def simulate(net, angles, speeds, features, actions):
    """Fill angles, speeds (STEPS + 1, COUNT), features (STEPS, COUNT, 3) and actions (STEPS, COUNT, 1) from the first row on."""
    for k in range(len(actions)):
        angle, speed, action = angles[k], speeds[k], actions[k]
        features_of(angle, speed, features[k])
        net.predict_into(features[k], action)
        for i in range(angle.size):
            force = GRAVITY * np.sin(angle[i]) - FRICTION * speed[i] + TORQUE * action[i, 0]
            speeds[k + 1, i] = speed[i] + DT * force
            angles[k + 1, i] = angle[i] + DT * speeds[k + 1, i]


# %%
# Backward: derivatives of the cost
# ---------------------------------
# The cost of a step is 1 - cos t + v^2 / 20 + a^2 / 100, averaged over steps and pendulums. Going backward in time, its derivative
# with respect to an action is first that of the action itself, then that of all that follows; ``net.vjp_into`` carries it on to the
# features that the action was taken for.
#
# The network learns from a squared error, whose derivative is output - target: with targets that are the outputs less these
# derivatives, a step of the trainer is one down the gradient of the cost.


@njit
def derivatives(net, angles, speeds, features, actions, wanted):
    """Cost, and in `wanted` the derivatives of it with respect to the actions, (STEPS, COUNT, 1)."""
    steps, count = actions.shape[:2]
    by_angle, by_speed, by_features = np.zeros(count), np.zeros(count), np.empty((count, 3))
    cost = 0.0
    for k in range(steps - 1, -1, -1):
        for i in range(count):
            angle, speed, action = angles[k + 1, i], speeds[k + 1, i], actions[k, i, 0]
            cost += 1.0 - np.cos(angle) + 0.05 * speed**2 + 0.01 * action**2
            by_angle[i] += np.sin(angle)
            by_speed[i] += 0.1 * speed + DT * by_angle[i]
            wanted[k, i, 0] = 0.02 * action + DT * TORQUE * by_speed[i]
        net.vjp_into(features[k], wanted[k], by_features)
        for i in range(count):
            sine, cosine = features[k, i, 0], features[k, i, 1]
            by_angle[i] += DT * GRAVITY * cosine * by_speed[i] + by_features[i, 0] * cosine - by_features[i, 1] * sine
            by_speed[i] = (1.0 - DT * FRICTION) * by_speed[i] + by_features[i, 2] / 8.0
    return cost / (steps * count)


@njit
def train(net, trainer, starts, costs):
    """A step of training for each of the `costs`, from pendulums with angles and speeds `starts` (steps, 2, COUNT)."""
    angles, speeds = np.zeros((STEPS + 1, COUNT)), np.zeros((STEPS + 1, COUNT))
    features, actions, wanted = np.empty((STEPS, COUNT, 3)), np.empty((STEPS, COUNT, 1)), np.empty((STEPS, COUNT, 1))
    for n in range(costs.size):
        angles[0], speeds[0] = starts[n]
        simulate(net, angles, speeds, features, actions)
        costs[n] = derivatives(net, angles, speeds, features, actions, wanted)
        for k in range(STEPS):
            for i in range(COUNT):
                wanted[k, i, 0] = actions[k, i, 0] - wanted[k, i, 0]
        trainer.step(features.reshape(-1, 3), wanted.reshape(-1, 1))


# %%
# The derivatives are right
# -------------------------
# Before anything is trained: one weight is moved a little, and the cost with it.


def simulated(seed):
    """Arrays of a simulation from random angles, and the cost and its derivatives."""
    start = np.random.default_rng(seed).uniform(-0.5, 0.5, COUNT)
    angles, speeds = np.zeros((STEPS + 1, COUNT)), np.zeros((STEPS + 1, COUNT))
    features, actions, wanted = np.empty((STEPS, COUNT, 3)), np.empty((STEPS, COUNT, 1)), np.empty((STEPS, COUNT, 1))
    angles[0] = start
    simulate(net, angles, speeds, features, actions)
    return derivatives(net, angles, speeds, features, actions, wanted), features, actions, wanted


_, features, actions, wanted = simulated(1)
_, gradient = net.value_and_grad(features.reshape(-1, 3), (actions - wanted).reshape(-1, 1))
place, step = (4, 1), 1e-6
net.weights[0][place] += step
above = simulated(1)[0]
net.weights[0][place] -= 2 * step
below = simulated(1)[0]
net.weights[0][place] += step
print(f"derivative of the cost: {gradient.weights[0][place]:.8f}, by central differences {(above - below) / (2 * step):.8f}")

# %%
# Training
# --------

costs = np.empty(400)
starts = np.random.default_rng(0).uniform(-1.0, 1.0, (costs.size, 2, COUNT)) * [[0.5], [1.0]]
train(net, trainer, starts, costs[:1])  # compiled here
begun = time.perf_counter()
train(net, trainer, starts, costs)
print(f"{costs.size} steps, each of {STEPS} x {COUNT} decisions and as many derivatives, in {time.perf_counter() - begun:.1f} s")
print(f"cost {costs[0]:.3f} at first, {costs[-1]:.4f} at the end")

fig, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
ax.semilogy(costs)
ax.set(xlabel="step of training", ylabel="cost", title="A controller learns to balance")
plt.show()

# %%
# What it has learned
# -------------------
# Pendulums from both sides. Beyond some angle the motor is too weak: whatever the controller does, they fall.

leaning = np.linspace(-0.9, 0.9, 19)
angles, speeds = np.zeros((4 * STEPS + 1, leaning.size)), np.zeros((4 * STEPS + 1, leaning.size))
angles[0] = leaning
features, actions = np.empty((4 * STEPS, leaning.size, 3)), np.empty((4 * STEPS, leaning.size, 1))
simulate(net, angles, speeds, features, actions)
stands = np.abs(angles[-1]) < 0.1
print(f"{stands.sum()} of {leaning.size} pendulums stand after {4 * STEPS * DT:.0f} s")

grid = np.stack(np.meshgrid(np.linspace(-1.5, 1.5, 201), np.linspace(-4, 4, 201)), axis=-1).reshape(-1, 2)
rows = np.stack([np.sin(grid[:, 0]), np.cos(grid[:, 0]), grid[:, 1] / 8], axis=1)
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
times = DT * np.arange(4 * STEPS + 1)
for i, stays in enumerate(stands):
    left.plot(times, angles[:, i], color="C0" if stays else "C3", linewidth=1)
left.set(xlabel="time, s", ylabel="angle from upright, rad", ylim=(-2, 2), title="Blue: those that stand")
torque = right.imshow(
    TORQUE * net(rows).reshape(201, 201),
    extent=(-1.5, 1.5, -4, 4),
    origin="lower",
    aspect="auto",
    cmap="RdBu",
    vmin=-TORQUE,
    vmax=TORQUE,
)
for i in np.flatnonzero(stands):
    right.plot(angles[:, i], speeds[:, i], color="black", linewidth=0.7)
right.set(xlabel="angle, rad", ylabel="speed, rad / s", xlim=(-1.5, 1.5), ylim=(-4, 4), title="Torque, and those that stand")
fig.colorbar(torque, ax=right, label="torque")
plt.show()
