"""
An integrator for dynamics that a network has learned
=====================================================

The right-hand side of a differential equation is learned from samples of it, and given to SciPy's ``solve_ivp``: as a compiled
function for an explicit method, and with ``net.jacobian`` for an implicit one. The equation is van der Pol's oscillator,

.. math:: \\dot x = v, \\quad \\dot v = m (1 - x^2) v - x, \\quad m = 3,

whose solutions all end on one loop.
"""

import matplotlib.pyplot as plt
import numpy as np
from numba import njit
from scipy.integrate import solve_ivp

import fastbp

STIFFNESS = 3.0


def oscillator(state):
    """Derivatives (n, 2) at states (n, 2)."""
    x, v = state.T
    return np.stack([v, STIFFNESS * (1 - x**2) * v - x], axis=1)


# %%
# Samples
# -------
# States from the region that the loop is in, and the derivatives there; both are scaled to numbers of about 1.

rng = np.random.default_rng(0)
size = np.array([2.5, 6.0])
states = rng.uniform(-1, 1, (20_000, 2))
scale = oscillator(states * size).std(axis=0)
slopes = oscillator(states * size) / scale

net = fastbp.Network([2, 64, 64, 2], "tanh", dtype="float64", rng=0)
history = net.fit(states, slopes, epochs=150, batch_size=100, optimizer=fastbp.Adam(3e-3), schedule="cosine", rng=0)
print(f"mean squared error of the learned derivatives: {2 * history.loss[-1]:.1e}")

# %%
# An explicit method
# ------------------
# The right-hand side is a compiled function, which could as well be called from an integrator that is compiled itself.


@njit
def learned(net, state, size, scale):
    """Derivatives (2,) at a state (2,)."""
    return net(state / size) * scale


start, span = np.array([0.1, 0.0]), (0.0, 25.0)
times = np.linspace(*span, 2001)
true = solve_ivp(lambda t, state: oscillator(state[None])[0], span, start, t_eval=times, rtol=1e-8, atol=1e-8)
explicit = solve_ivp(lambda t, state: learned(net, state, size, scale), span, start, t_eval=times, rtol=1e-6, atol=1e-6)
print(f"RK45: {explicit.nfev} evaluations")

# %%
# An implicit method
# ------------------
# It asks for the Jacobian, too. ``net.jacobian`` gives it exactly; the chain rule puts the scales around it.


def jacobian(_, state):
    """Derivatives (2, 2) of the derivatives with respect to the state."""
    return scale[:, None] * net.jacobian(state / size) / size


implicit = solve_ivp(
    lambda t, state: learned(net, state, size, scale),
    span,
    start,
    method="BDF",
    jac=jacobian,
    t_eval=times,
    rtol=1e-6,
    atol=1e-6,
)
print(f"BDF: {implicit.nfev} evaluations, {implicit.njev} Jacobians")
print(f"largest difference between the two methods: {np.abs(implicit.y - explicit.y).max():.1e}")

# %%
# The same loop
# -------------
# A small error of the derivatives is a small error of the loop; of its phase it is one that grows with time.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
left.plot(times, true.y[0], label="true")
left.plot(times, explicit.y[0], "--", label="learned, RK45")
left.plot(times, implicit.y[0], ":", label="learned, BDF")
left.set(xlabel="time", ylabel="x", title="A solution from near the origin")
left.legend()
right.plot(*true.y, label="true")
right.plot(*explicit.y, "--", label="learned")
right.set(xlabel="x", ylabel="v", title="It ends on the loop")
right.legend()
plt.show()

# %%
# How fast two solutions part, or meet
# ------------------------------------
# The divergence of the flow, the trace of the Jacobian, says how areas of states grow. Where the true one changes its sign is where
# energy is no longer given to the oscillator, but taken: at \|x\| = 1.

grid = np.linspace(-2.5, 2.5, 301)
along = np.stack([grid, np.zeros_like(grid)], axis=1)
jacobians = scale[:, None] * net.jacobian(along / size) / size
fig, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
ax.plot(grid, STIFFNESS * (1 - grid**2), label="true")
ax.plot(grid, np.trace(jacobians, axis1=1, axis2=2), "--", label="learned")
ax.axhline(0, color="grey", linewidth=0.8)
ax.set(xlabel="x, at v = 0", ylabel="divergence of the flow", title="Derivatives that nobody has shown to the network")
ax.legend()
plt.show()
