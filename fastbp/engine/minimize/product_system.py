"""The equations of a damped step, solved by conjugate gradients: the matrix is known by its products with vectors."""

from typing import Any

import numpy as np

from fastbp.engine.minimize.objective import Problem


class ProductSystem:
    """(J^T J + mu I) h = -g, of the mean loss and its L2 penalty.

    Parameters
    ----------
    problem : Problem
        Of this loss, with its penalty.
    decay : ndarray (P,)
        Second derivatives of the penalty: l2 / n of weights, 0 of biases.
    settings : GaussNewtonCG

    Attributes
    ----------
    gradient : ndarray of float64 (P,)
    scale : float
        What I is multiplied by: the curvature along the first gradient, so that mu is a number without a unit.
    """

    def __init__(self, problem: Problem, decay: np.ndarray, settings: Any) -> None:
        self._problem, self._decay, self._settings = problem, decay, settings
        self._directions = problem.directions()
        self.gradient, self.scale = np.zeros(decay.size), 0.0

    def _times(self, v: np.ndarray) -> np.ndarray:
        product: np.ndarray = self._directions.times(v) + self._decay * v
        return product

    def linearize(self) -> None:
        """Take the gradient where the network is; products are computed there until the next call."""
        _, gradient = self._problem(self._problem.net._vector)
        self.gradient = gradient.astype(np.float64)
        if self.scale == 0.0:
            square = float(self.gradient @ self.gradient)
            self.scale = float(self.gradient @ self._times(self.gradient)) / square if square > 0 else 1.0

    def solve(self, mu: float) -> np.ndarray | None:
        """h, as far as the settings say; None where it is not finite."""
        from scipy.sparse.linalg import LinearOperator, cg

        size = self.gradient.size
        damped = LinearOperator((size, size), matvec=lambda v: self._times(v) + mu * self.scale * v, dtype=np.float64)
        h: np.ndarray = cg(damped, -self.gradient, rtol=self._settings.rtol, maxiter=self._settings.cg_iterations)[0]
        return h if np.isfinite(h).all() else None

    def corrected(self, h: np.ndarray, mu: float) -> np.ndarray:
        """The step."""
        return h

    def close(self) -> None:
        """Let the threads go."""
        self._directions.close()
