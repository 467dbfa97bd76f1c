"""One try: what has been reached after how many seconds, by the float64 baseline, whose time does not count."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastbp import baseline
from fastbp.bench.accuracy.contestants import CONTESTANTS
from fastbp.bench.accuracy.problems import Problem, get
from fastbp.bench.worker import Process

SPACING = 1.02  # of the seconds of two looks: losses cost time, if not of the contestant's
WARM_UP = 0.05  # seconds


class Judge:
    """What parameters are worth, in float64 and by formulas that no contestant has.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.data = problem.load()
        loss: Any = SimpleNamespace(name="squared", reduction="mean") if problem.is_squared else problem.loss
        self._net = baseline.Network(problem.sizes, "tanh", loss, dtype="float64")
        self._is_squared = problem.is_squared

    def __call__(self, params: Any) -> dict[str, float]:
        """By measure: "loss", of the rows that are trained on, "held-out loss" and, of classes, "held-out accuracy"."""
        net, data = self._net, self.data
        net.params[:] = params
        with np.errstate(all="ignore"):
            values = {"loss": float(net.loss(data.X, data.y))}
            if len(data.held_X):
                values["held-out loss"] = float(net.loss(data.held_X, data.held_y))
                if not self._is_squared:
                    values["held-out accuracy"] = float(np.mean(net.predict(data.held_X) == data.held_y.ravel()))
        return values


class Search:
    """The watch of a try: ``search(params)`` says whether it is over.

    Parameters
    ----------
    judge : Judge
    aims : sequence of Aim
        It is over when each of them has been reached at some time,
    seconds : float
        or after so many.
    clock : callable

    Attributes
    ----------
    trace : list of (float, dict)
        Seconds and values by measure, of each look.
    reached : list of float or None
        Seconds to each aim.
    """

    def __init__(self, judge: Judge, aims: Any, seconds: float, clock: Callable[[], float]) -> None:
        self._judge, self._aims, self._most, self._clock = judge, aims, seconds, clock
        self.trace: list[tuple[float, dict[str, float]]] = []
        self.reached: list[float | None] = [None] * len(aims)
        self._elapsed, self._next = 0.0, 0.0
        self._since = clock()

    def __call__(self, params: Callable[[], Any], last: bool = False) -> bool:
        """Look at the parameters that a function gives, if it is time, or if they are the last."""
        self._elapsed += self._clock() - self._since
        if self._elapsed >= self._next or last:
            self._next = SPACING * self._elapsed
            values = self._judge(params())
            self.trace.append((self._elapsed, values))
            for i, aim in enumerate(self._aims):
                if self.reached[i] is None and aim.is_reached(values):
                    self.reached[i] = self._elapsed
        self._since = self._clock()
        return self._elapsed > self._most or None not in self.reached


class Searches(Process):
    """A contestant in a process, which tries on command."""

    def open(self, problem: str) -> str | None:
        """Prepare a problem, with everything compiled; returns the reason why it cannot be done, or None."""
        kind, chosen = CONTESTANTS[self.name], get(problem)
        reason: str | None = kind.reason_against(chosen)
        if reason is None:
            self._problem, self._judge = chosen, Judge(chosen)
            self._contestant = kind(chosen, self._judge.data, self.threads)
            self.search(0, WARM_UP)
        return reason

    def search(self, start: int, seconds: float) -> dict[str, Any]:
        """Try, from the first weights of this number."""
        self._contestant.begin(*self._problem.first(start), start)
        search = Search(self._judge, self._problem.aims, seconds, self.clock)
        self._contestant.train(search)
        search(self._contestant.parameters, last=True)
        return {
            "reached": search.reached,
            "trace": [(_short(s), {k: _short(v) for k, v in values.items()}) for s, values in search.trace],
        }


def _short(value: float) -> float:
    """For JSON."""
    return float(f"{value:.4g}")
