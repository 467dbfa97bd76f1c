"""What every contestant does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastbp.bench.workloads import Data, Workload


FORGETS = "forgets from fit to fit what the optimiser keeps"


class Contestant(ABC):
    """One library on one workload.

    Parameters
    ----------
    workload : Workload
    dtype : {"float32", "float64"}
    threads : int
        How many it may use. What can only be said in the environment, before the library is imported, is up to the caller.
    data : Data, optional
        What ``workload.load(dtype)`` gives.
    """

    name: ClassVar[str]
    module: ClassVar[str]  # whose absence means: not installed

    @classmethod
    def tolerance(cls, workload: Workload, dtype: str) -> float:
        """How far the weights may end from the float64 baseline's, as a fraction of the way these have gone.

        Correct contestants end within 1e-4 in float32 (1e-3 after thousands of steps of Adam) and 1e-13 in float64; a mini-batch
        left out or steps of 95 % of the length leave more than these limits. In loops of the user, which are a thousand steps and
        more, a mini-batch is less of the way, and correct contestants end within 1e-5.
        """
        return {"float32": 1e-4 if workload.loop else 5e-3, "float64": 1e-8}[dtype]

    def __init__(self, workload: Workload, dtype: str, threads: int, data: Data | None = None):
        self.workload, self.dtype, self.threads = workload, dtype, threads
        self.data = workload.load(dtype) if data is None else data
        self.gradient: Any = None
        self.actions: Any = None  # outputs of the last simulation
        self.build()

    @classmethod
    def reason_against(cls, workload: Workload) -> str | None:
        """Why the library cannot do this workload, if it cannot."""
        return None

    @abstractmethod
    def build(self) -> None:
        """Make whatever does not depend on the weights."""

    @abstractmethod
    def reset(self) -> None:
        """Go back to the workload's first weights and forget the rule's state."""

    def run(self, epochs: int) -> None:
        """Train so many epochs; or compute value and gradient, or simulate, so many times, if the workload has no rule."""
        if not self.workload.simulates:
            self.train(epochs)
            return
        for _ in range(epochs):
            self.actions = self.simulate()

    @abstractmethod
    def train(self, epochs: int) -> None:
        """`run`, but for simulations."""

    def simulate(self) -> Any:
        """Outputs of all steps of the closed loop, by a call of `outputs` a step."""
        inputs, count = self.data.X.copy(), self.workload.sizes[-1]
        actions = np.empty((len(inputs), count), inputs.dtype)
        out: Any = 0.0
        for k in range(len(inputs)):
            row = inputs[k : k + 1]
            row[:, :count] += out
            actions[k] = out = self.outputs(row)
        return actions

    def begin_steps(self) -> None:
        """Get ready for `step`, from the weights there are."""
        raise NotImplementedError

    def step(self, X: Any, y: Any) -> None:
        """Train by one mini-batch that comes as arrays of NumPy."""
        raise NotImplementedError

    @classmethod
    def reason_against_steps(cls, workload: Workload) -> str | None:
        """Why it cannot be given single mini-batches of this workload, if it cannot."""
        return "has no way in for single mini-batches" if cls.step is Contestant.step else cls.reason_against(workload)

    @property
    def targets(self) -> Any:
        """Of all samples, as `step` is given those of some."""
        return self.data.y

    def mini_batches(self) -> list[tuple[Any, Any]]:
        """Those of an epoch: arrays of their own."""
        order = range(self.workload.n_samples) if self.data.order is None else self.data.order
        size = self.workload.batch_size
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        return [(self.data.X[rows], self.targets[rows]) for rows in map(np.asarray, parts)]

    @abstractmethod
    def arrays(self) -> tuple[list[Any], list[Any]]:
        """Weights (n_out, n_in) and biases of each layer, or the last gradient by them, if the workload has no rule."""

    @abstractmethod
    def outputs(self, X: Any) -> Any:
        """The network's outputs, (n_samples, n_out)."""

    def _copy_first(self, weights: list[Any], biases: list[Any]) -> None:
        for own, first in zip([*weights, *biases], [*self.data.weights, *self.data.biases], strict=True):
            own[:] = first

    def parameters(self) -> NDArray[np.float64]:
        """`arrays` in one float64 vector [W_1, b_1, W_2, b_2, ...], or all outputs of a simulation."""
        if self.workload.simulates:
            return np.asarray(self.actions, np.float64).ravel()
        pairs = zip(*self.arrays(), strict=True)
        return np.concatenate([np.asarray(array, np.float64).ravel() for pair in pairs for array in pair])


def limit_blas(threads: int) -> None:
    """Threads of the products of NumPy and SciPy."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")
