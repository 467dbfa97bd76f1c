"""The normal equations of a damped step, solved by Cholesky's method, and the correction of the step for the curve of its path."""

import numpy as np

from fastbp.engine import threads
from fastbp.engine.minimize.objective import Problem

PART = 0.1  # of the step, by which the outputs are told how they curve; as in GSL


class NormalSystem:
    """(J^T J + mu d I) h = -g, of the mean loss and its L2 penalty.

    The correction is the geodesic acceleration of Transtrum and Sethna ("Improvements to the Levenberg-Marquardt algorithm for
    nonlinear least-squares minimization", arXiv:1201.5885, 2012): h + a / 2 with (J^T J + mu d I) a = -J^T r'', r'' the second
    derivative of the outputs along h, by a finite difference.

    Parameters
    ----------
    problem : Problem
    decay : ndarray (P,)
        Second derivatives of the penalty: l2 / n of weights, 0 of biases.
    most : float
        Of 2 |a| / |h|, at which the correction is made; 0: never.

    Attributes
    ----------
    gradient : ndarray of float64 (P,)
    scale : float
        d, the largest element of the diagonal of J^T J so far.
    """

    def __init__(self, problem: Problem, decay: np.ndarray, most: float) -> None:
        from scipy.linalg.lapack import dpotrf, dpotrs

        self._decompose, self._substitute = dpotrf, dpotrs
        self.net, self.decay, self.most = problem.net, decay, most
        self.gradient, self.scale = np.zeros(decay.size), 0.0
        self._damped = np.zeros((decay.size, decay.size), order="F")
        self._equations = problem.equations()
        self._pull = problem.pulls() if most else None

    def linearize(self) -> None:
        """Take curvature and gradient where the network is."""
        count = self.net._vector.size
        full = self._equations.whole()
        self._matrix = full[:count, :count].T  # of which the lower triangle is filled, column by column
        self._diagonal = self._matrix.diagonal() + self.decay
        self._slope = full[:count, count].copy()
        self.gradient = self._slope + self.decay * self.net._vector
        self.scale = max(self.scale, float(self._diagonal.max()))
        if self._pull is not None:
            self._pull.linearize()

    def solve(self, mu: float) -> np.ndarray | None:
        """h; None where the matrix is not positive definite to rounding, or not finite."""
        self._damped[:] = self._matrix
        np.fill_diagonal(self._damped, self._diagonal + mu * self.scale)
        with threads.blas.of_one_thread():
            self._factor, failed = self._decompose(self._damped, lower=True, overwrite_a=True, clean=False)
            if failed:
                return None
            h = self._solution(-self.gradient)
        return h if np.isfinite(h).all() else None

    def _solution(self, b: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._substitute(self._factor, b, lower=True)[0]
        return found

    def corrected(self, h: np.ndarray, mu: float) -> np.ndarray:
        """The step with its correction, if that is small enough to be trusted; `h` and `mu` as of the last `solve`."""
        if self._pull is None:
            return h
        pulled = self._pull(self.net._vector + PART * h)
        # J^T J h = -g - mu d h, less the part of the penalty
        product = -self.gradient - (mu * self.scale + self.decay) * h
        curve = 2.0 / PART * ((pulled - self._slope) / PART - product)
        with threads.blas.of_one_thread():
            a = self._solution(-curve)
        is_small = 2.0 * np.linalg.norm(a) <= self.most * np.linalg.norm(h)  # no NaN is
        return h + 0.5 * a if is_small else h

    def close(self) -> None:
        """Let the threads go."""
        self._equations.close()
        if self._pull is not None:
            self._pull.close()
