"""Damped Gauss-Newton steps: (J^T J + mu d I) h = -g, with mu by the gain of the last step (Levenberg-Marquardt)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine.minimize.objective import Problem
from fastbp.minimizers import MOST_DAMPING

LEAST_DAMPING = np.finfo(np.float64).tiny  # 0 would never grow again


class Damping:
    """mu by Nielsen's rule (Madsen, Nielsen and Tingleff, 2004, algorithm 3.16).

    Parameters
    ----------
    mu : float
        The first.
    """

    def __init__(self, mu: float) -> None:
        self.mu, self.growth = mu, 2.0

    def shrink(self, gain: float) -> None:
        """After a step that has lowered the loss by `gain` times what the model promised."""
        self.mu = max(LEAST_DAMPING, self.mu * max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3))
        self.growth = 2.0

    def grow(self) -> None:
        """After a step that has not."""
        self.mu *= self.growth
        self.growth *= 2.0

    def is_over(self) -> bool:
        """Whether there is nothing more to gain by damping."""
        return self.mu > MOST_DAMPING


def search(objective: Problem, system: Any, mu: float, epochs: int, after: Callable[[float, Any], bool]) -> str | None:
    """Iterations of damped Gauss-Newton steps; see `fastbp.engine.minimize.run`.

    Parameters
    ----------
    objective : Problem
    system : NormalSystem or ProductSystem
        ``linearize()`` takes the curvature where the network is, ``gradient`` is that of the loss, ``scale`` is d, ``solve(mu)``
        gives h, or None where that fails, and ``corrected(h, mu)`` the step; the network is where it was at each of these calls.
    mu : float
        The first damping.
    epochs : int
    after : callable
    """
    net, eps = objective.net, np.finfo(objective.net.dtype).eps
    params = net._vector
    best, loss = params.copy(), objective.loss()
    damping = Damping(mu)
    try:
        for _ in range(epochs):
            system.linearize()
            while True:
                h = system.solve(damping.mu)
                if h is not None:
                    if np.linalg.norm(h) <= eps * (np.linalg.norm(best) + eps):
                        return "converged"
                    params[:] = best + system.corrected(h, damping.mu)
                    lower = objective.loss()
                    # h^T J^T J h = -h^T g - mu d h^T h
                    promised = 0.5 * float(h @ (damping.mu * system.scale * h - system.gradient))
                    if loss - lower > 0 and promised > 0:
                        break
                params[:] = best  # where the next step begins
                damping.grow()
                if damping.is_over():
                    return "converged"
            damping.shrink((loss - lower) / promised)
            best[:], loss = params, lower
            if after(loss, system.gradient):
                return None
            if not np.array_equal(params, best):  # a callback has written others
                best[:], loss = params, objective.loss()
    finally:
        params[:] = best
    return None
