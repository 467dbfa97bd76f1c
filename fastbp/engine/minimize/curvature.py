"""J^T J of a loss that is a sum of squares, J being d outputs / d parameters: buffers and calls of the kernels for it."""

from typing import Any

import numpy as np

from fastbp.engine import memory, threads
from fastbp.engine.session import CALL_SECONDS, FIRST_RATE, Session
from fastbp.kernels.curvature.call import curve
from fastbp.kernels.modes import NORMAL_EQUATIONS
from fastbp.kernels.tuning import ROWS_OF_JACOBIAN


class NormalEquations(Session):
    """The curvature of the mean squared error of samples that stay, as often as the parameters change.

    Parameters
    ----------
    net : Network
    rows, values, sample_weight : arrays
        As for `Session.set_data`: arrays that have passed validation, rows with their zeros.
    n_threads : int, optional
        Threads at most; the result does not depend on it.
    """

    def __init__(self, net: Any, rows: Any, values: Any, sample_weight: Any = None, n_threads: int | None = None) -> None:
        count, n_out = net._vector.size, net.sizes[-1]
        flop_of_row = n_out * float(count) ** 2  # of one triangle
        members = threads.members_for(flop_of_row * len(rows), n_threads)
        super().__init__(net, min(len(rows), ROWS_OF_JACOBIAN), differentiate=True, members=members, kernel=curve)
        self.set_data(rows, values, None, sample_weight)
        self.plan.budget = max(1, int(CALL_SECONDS * FIRST_RATE / (flop_of_row * self.plan.block)))
        self._is_long = True  # a call ends where its budget does
        panel = self._panel
        self.panels = -(-(count + 1) // panel)
        self._triangle = self.panels * (self.panels + 1) // 2 * panel**2
        size = self._triangle + self.panels * self.plan.panel_stride + members * (self.panels + 1) * panel
        self.out = memory.zeros(size, net.dtype)
        self._full = np.zeros((self.panels * panel, self.panels * panel))

    def compute(self) -> np.ndarray:
        """J^T J of the mean loss, (P, P), in column P J^T e, and e^T e below; only the upper triangle is filled, of more columns.

        The next call overwrites it.
        """
        self.call(NORMAL_EQUATIONS)
        factor = 2.0 * self.reals.loss_scale * (1.0 if self.plan.weighted else 1.0 / self.plan.n_rows)
        panel, begin = self._panel, 0
        for q in range(self.panels):
            rows = (q + 1) * panel
            part = self.out[begin : begin + rows * panel].reshape(rows, panel)
            np.multiply(part, factor, out=self._full[:rows, q * panel : rows])
            begin += rows * panel
        return self._full
