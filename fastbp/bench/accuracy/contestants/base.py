"""What every contestant does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.bench.accuracy.problems import Array, Data, Problem

Search = Callable[[Callable[[], Any]], bool]  # told of parameters, it says whether to end; see `fastbp.bench.accuracy.search`
LOOKS = 32  # in each doubling of the iterations


class Over(Exception):
    """Raised through a library that has no other way to end."""


class Contestant(ABC):
    """One rule of one library on one problem.

    Parameters
    ----------
    problem : Problem
    data : Data
    threads : int
        How many it may use; what can only be said in the environment is up to the caller.
    """

    name: ClassVar[str]
    module: ClassVar[str]  # whose absence means: not installed
    squares_only: ClassVar[bool] = False

    def __init__(self, problem: Problem, data: Data, threads: int) -> None:
        self.problem, self.data, self.threads = problem, data, threads
        self.build()

    @classmethod
    def reason_against(cls, problem: Problem) -> str | None:
        """Why it cannot do this problem, if it cannot."""
        return "needs a sum of squares" if cls.squares_only and not problem.is_squared else None

    @abstractmethod
    def build(self) -> None:
        """Make whatever does not depend on the weights."""

    @abstractmethod
    def begin(self, weights: list[Array], biases: list[Array], seed: int) -> None:
        """Go to these weights and forget the rule's state; the seed is for the order of the rows."""

    @abstractmethod
    def train(self, search: Search) -> None:
        """Train until `search` says that it is over, or nothing is gained any more."""

    @abstractmethod
    def parameters(self) -> Any:
        """[W_1, b_1, W_2, b_2, ...] in one vector."""


class Stepwise(Contestant):
    """One that goes on from call to call."""

    def train(self, search: Search) -> None:
        done = 0
        while not search(self.parameters):
            count = max(1, done // LOOKS)
            self.advance(count)
            done += count

    @abstractmethod
    def advance(self, count: int) -> None:
        """So many iterations."""


def packed(weights: Any, biases: Any) -> NDArray[np.float64]:
    """What `Contestant.parameters` gives."""
    return np.concatenate([np.asarray(array, np.float64).ravel() for pair in zip(weights, biases, strict=True) for array in pair])
