"""J^T J of a loss that is a sum of squares, J being d outputs / d parameters: buffers and calls of the kernels for it."""

from typing import Any

import numpy as np

from fastbp.engine import memory, threads
from fastbp.engine.planner import round_up
from fastbp.engine.session import CALL_SECONDS, FIRST_RATE, Session
from fastbp.kernels.curvature.call import curve
from fastbp.kernels.modes import NORMAL_EQUATIONS, PRODUCT
from fastbp.kernels.tuning import ROWS_OF_JACOBIAN

LONGEST = 4  # times the aim of a call that a block may take: Ctrl-C waits for its end
LEAST_ROWS = 16  # samples of a block, however many outputs and parameters there are


class _Curvature(Session):
    """Passes over samples that stay, by as many threads as that repays.

    Parameters
    ----------
    net : Network
    rows, values, weights : arrays
        As for `Session.set_data`: arrays that have passed validation, rows with their zeros.
    n_threads : int or None
        Threads at most; the result does not depend on it.
    flop : float
        Of a sample.
    """

    def __init__(self, net: Any, rows: Any, values: Any, weights: Any, n_threads: int | None, flop: float) -> None:
        members = threads.members_for(flop * len(rows), n_threads)
        most = max(LEAST_ROWS, int(LONGEST * CALL_SECONDS * FIRST_RATE / flop))
        super().__init__(net, min(len(rows), ROWS_OF_JACOBIAN, most), differentiate=True, members=members, kernel=curve)
        self.set_data(rows, values, None, weights)
        self.plan.budget = max(1, int(CALL_SECONDS * FIRST_RATE / (flop * self.plan.block)))
        self._is_long = True  # a call ends where its budget does

    def factor(self) -> float:
        """Of J^T J, for that of the mean loss."""
        return 2.0 * float(self.reals.loss_scale) * (1.0 if self.plan.weighted else 1.0 / self.plan.n_rows)


class NormalEquations(_Curvature):
    """The curvature of the mean squared error, whole, as often as the parameters change; arguments of `_Curvature` but `flop`."""

    def __init__(self, net: Any, rows: Any, values: Any, weights: Any = None, n_threads: int | None = None) -> None:
        count = net._vector.size
        super().__init__(net, rows, values, weights, n_threads, net.sizes[-1] * float(count) ** 2)  # of one triangle
        panel = self._panel
        self.panels = -(-(count + 1) // panel)
        triangle = self.panels * (self.panels + 1) // 2 * panel**2
        # see `fastbp.kernels.curvature.normal.places_of`
        size = triangle + self.panels * self.plan.panel_stride + self.members * (self.panels + 1) * panel
        self.out = memory.zeros(size, net.dtype)
        self._full = np.zeros((self.panels * panel, self.panels * panel))

    def whole(self) -> np.ndarray:
        """J^T J of the mean loss, (P, P), in column P J^T e, and e^T e below; only the upper triangle is filled, of more columns.

        The next call overwrites it.
        """
        self.call(NORMAL_EQUATIONS)
        factor, panel, begin = self.factor(), self._panel, 0
        for q in range(self.panels):
            rows = (q + 1) * panel
            part = self.out[begin : begin + rows * panel].reshape(rows, panel)
            np.multiply(part, factor, out=self._full[:rows, q * panel : rows])
            begin += rows * panel
        return self._full


class Products(_Curvature):
    """The curvature of the mean squared error times vectors, where the network is; arguments of `_Curvature` but `flop`."""

    def __init__(self, net: Any, rows: Any, values: Any, weights: Any = None, n_threads: int | None = None) -> None:
        super().__init__(net, rows, values, weights, n_threads, 2.0 * threads.flop_of_sample(net.sizes))
        count = net._vector.size
        # see `fastbp.kernels.curvature.direction.direction_of`
        self.out = memory.zeros(round_up(count, self._panel // 2) + self.plan.n_packed, net.dtype)
        self._vector = self.out[:count]

    def times(self, v: np.ndarray) -> np.ndarray:
        """J^T J v, float64 (P,), of the mean loss."""
        self._vector[:] = v
        self.call(PRODUCT)
        return self.factor() * self._vector.astype(np.float64)
