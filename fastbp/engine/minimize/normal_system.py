"""The normal equations of a damped step, solved by Cholesky's method."""

from typing import Any

import numpy as np

from fastbp.engine.minimize.curvature import NormalEquations


class NormalSystem:
    """(J^T J + mu I) h = -g, of the mean loss and its L2 penalty.

    Parameters
    ----------
    net : Network
    equations : NormalEquations
    decay : ndarray (P,)
        Second derivatives of the penalty: l2 / n of weights, 0 of biases.

    Attributes
    ----------
    gradient : ndarray of float64 (P,)
    """

    def __init__(self, net: Any, equations: NormalEquations, decay: np.ndarray) -> None:
        self.net, self.equations, self.decay = net, equations, decay
        from scipy.linalg.lapack import dpotrf, dpotrs
        from threadpoolctl import ThreadpoolController

        self._decompose, self._substitute = dpotrf, dpotrs
        self._blas = ThreadpoolController().select(user_api="blas")  # by one thread: else the last bits tell how many there were
        count = net._vector.size
        self.gradient = np.zeros(count)
        self._damped = np.zeros((count, count), order="F")

    def linearize(self) -> None:
        """Take curvature and gradient where the network is."""
        count = self.net._vector.size
        full = self.equations.compute_curvature()
        self._matrix = full[:count, :count].T  # of which the lower triangle is filled, column by column
        self._diagonal = self._matrix.diagonal() + self.decay
        self.gradient = full[:count, count] + self.decay * self.net._vector

    def size(self) -> float:
        """The largest element of the diagonal."""
        return float(self._diagonal.max())

    def solve(self, mu: float) -> np.ndarray | None:
        """The step h; None where the matrix is not positive definite to rounding, or not finite."""
        self._damped[:] = self._matrix
        np.fill_diagonal(self._damped, self._diagonal + mu)
        with self._blas.limit(limits=1):
            factor, failed = self._decompose(self._damped, lower=True, overwrite_a=True, clean=False)
            if failed:
                return None
            step: np.ndarray = -self._substitute(factor, self.gradient, lower=True)[0]
        return step if np.isfinite(step).all() else None

    def close(self) -> None:
        """Let the threads go."""
        self.equations.close()
