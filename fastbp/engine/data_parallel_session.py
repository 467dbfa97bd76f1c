"""A session whose gradients are summed with those of other processes before its steps."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp.engine import panels
from fastbp.engine.training_session import TrainingSession
from fastbp.kernels.data_parallel import train_together
from fastbp.kernels.modes import END_EPOCH, GRADIENT, PACK, UPDATE


class DataParallelSession(TrainingSession):
    """A `TrainingSession` that gives gradients layer by layer, and takes its steps by what is made of them.

    Parameters
    ----------
    net, batch, optimizer, **options
        As of `TrainingSession`; `batch` is of a part of a mini-batch.

    Attributes
    ----------
    regions : list of slice
        Of each layer in the gradient, which is packed as the parameters are.
    """

    def __init__(self, net: Any, batch: int, optimizer: Any, **options: Any) -> None:
        super().__init__(net, batch, optimizer, kernel=train_together, **options)
        self.plan.separate = self._separate = 1
        begins = [*self.plan.layers["pack"].tolist(), int(self.plan.n_packed)]
        self.regions = [slice(first, last) for first, last in pairwise(begins)]

    def serves(self, *kind: Any) -> bool:
        """Never: what it was made for is over."""
        return False

    def put_gradient(self, gradient: np.ndarray) -> None:
        """Let the gradient be in an array (n_packed,), for as long as the session is used."""
        self.plan.gradient = (gradient.ctypes.data - self.work.ctypes.data) // self.dtype.itemsize

    def pack(self) -> None:
        """Take over the parameters of the network."""
        self._go(PACK, self.order, self.rates, self.record)
        self._check_codes()

    def gradient(self, rows: np.ndarray, first: int, inverse: float) -> Iterator[int]:
        """The gradient of some rows, layer by layer: yields each of them when it is complete, the last first.

        Parameters
        ----------
        rows : ndarray of int32
            Numbers of the samples, at most a part of a mini-batch.
        first : int
            Place of the first among all rows of the epoch; dropout asks for that.
        inverse : float
            1 over the weight of the whole mini-batch.
        """
        plan = self.plan
        plan.n_rows, plan.first, self.reals.inverse = len(rows), first, inverse
        above = plan.n_layers
        while above > 0:
            self._go(GRADIENT, rows, self.rates, self.record)
            left = plan.below if plan.top or plan.below else 0
            if left or not plan.top:
                yield from range(above - 1, left - 1, -1)
                above = left

    def take_loss(self) -> float:
        """The sum of the losses of what has been differentiated since the last time, over the weight of the mini-batch."""
        loss, self.reals.loss_sum = float(self.reals.loss_sum), 0.0
        return loss

    def update(self, count: int, first: int, inverse: float, step: int) -> float:
        """The step of the epoch by the gradient as it is, of `count` samples in all; returns their penalty, times `count`."""
        plan = self.plan
        plan.n_rows, plan.first, self.reals.inverse = count, first, inverse
        place = (plan.epoch - plan.origin) * plan.rates + min(step, plan.rates - 1)
        self._go(UPDATE, self.order, self.rates[place : place + 1], self.record)
        return self.take_loss()

    def step_by(self, gradient: np.ndarray, count: int, inverse: float) -> float:
        """`update` by a gradient like `params`, made elsewhere; the network has the parameters then."""
        begin = int(self.plan.gradient)
        panels.pack(self.plan, gradient, self.work[begin : begin + int(self.plan.n_packed)], self._panel)
        self.pack()
        penalty = self.update(count, 0, inverse, 0)
        self.end_epoch(0.0)
        return penalty

    def end_epoch(self, loss: float) -> None:
        """Record an epoch, with the sum of its losses, each times its samples, and give the network its parameters."""
        self.reals.loss_sum = loss
        place = (self.plan.epoch - self.plan.origin) * self._width
        self._go(END_EPOCH, self.order, self.rates, self.record[place : place + self._width])
        self.plan.epoch, self.plan.first = self.plan.epoch + 1, 0

    def _go(self, mode: int, order: np.ndarray, rates: np.ndarray, record: np.ndarray) -> None:
        own = self.plan.numbers, self.work, self._params, self.reals.numbers, rates, record, order
        self._bound = partial(self._run, *own, self._crew.meeting)
        data = self.x, self.columns, self.starts, self.y, self.labels, self.sample_weight, self.out
        if mode in (GRADIENT, UPDATE):
            self._by_all(mode, data)
        else:
            self._bound(mode, 0, 0, *data)
