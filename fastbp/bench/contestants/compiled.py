"""What is written today where a compiled loop needs a network: everything by hand, compiled by Numba."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Contestant, limit_blas

if TYPE_CHECKING:
    from fastbp.bench.workloads import Workload


class ByHand(Contestant):
    """The loops of `loops`, in which only the products differ."""

    module = "numba"

    @classmethod
    def reason_against(cls, workload: Workload) -> str | None:
        return None if workload.loop else "is for loops"

    @abstractmethod
    def products(self) -> tuple[Any, ...]:
        """Of a vector and a matrix; of two matrices, as they are, with the first transposed, with the second transposed."""

    def build(self) -> None:
        from . import loops

        limit_blas(self.threads)
        self.loops: Any = loops
        shapes = [shape for n_in, n_out in pairwise(self.workload.sizes) for shape in ((n_in, n_out), (n_out,))]
        # one vector for the rule, of which weights and biases are views
        self.params, self.grad, self.m, self.v = np.zeros((4, self.workload.n_params), self.dtype)
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        self.views, self.grads = (
            tuple(part.reshape(shape) for part, shape in zip(np.split(vector, ends[:-1]), shapes, strict=True))
            for vector in (self.params, self.grad)
        )
        self.numbers = tuple(np.array([0.9, 1 - 0.9, 0.999, 1 - 0.999, 1e-8], self.dtype))

    def reset(self) -> None:
        self._copy_first([weight.T for weight in self.views[::2]], list(self.views[1::2]))
        self.m[:] = self.v[:] = self.steps = 0

    def train(self, epochs: int) -> None:
        w, data = self.workload, self.data
        state = self.params, self.views, self.grad, self.grads, self.m, self.v
        for _ in range(epochs):
            self.steps = self.loops.train_two_layers(
                *self.products()[1:], *state, w.learning_rate, self.steps, self.numbers, data.X, data.y, w.batch_size
            )

    def simulate(self) -> Any:
        w, X = self.workload, self.data.X
        actions = np.empty((len(X), w.sizes[-1]), X.dtype)
        simulate = self.loops.simulate_two_layers if len(w.hidden) == 1 else self.loops.simulate_three_layers
        simulate(self.products()[0], getattr(self.loops, w.hidden[0]), *self.views, X, actions)
        return actions

    def arrays(self) -> tuple[list[Any], list[Any]]:
        return [weight.T for weight in self.views[::2]], list(self.views[1::2])

    def outputs(self, X: Any) -> Any:
        raise NotImplementedError("it has loops only")


class NumbaDot(ByHand):
    """With `np.dot`, which calls a BLAS."""

    name = "numba dot"

    def products(self) -> tuple[Any, ...]:
        return self.loops.dot, self.loops.dot, self.loops.dot_first_transposed, self.loops.dot_second_transposed


class NumbaLoops(ByHand):
    """With loops."""

    name = "numba loops"

    def products(self) -> tuple[Any, ...]:
        loops = self.loops
        return loops.times_vector, loops.times, loops.times_first_transposed, loops.times_second_transposed
