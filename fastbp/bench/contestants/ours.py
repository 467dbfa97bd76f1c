"""fastbp, by each of its doors."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import FORGETS, Contestant
from .libraries import ScikitLearn

if TYPE_CHECKING:
    from fastbp.bench.workloads import Workload


class Fastbp(Contestant):
    """`fastbp.Network.fit`; in loops, the network and its trainer in a compiled function."""

    name, module = "fastbp", "fastbp"

    @classmethod
    def reason_against(cls, workload: Workload) -> str | None:
        if workload.loop and importlib.util.find_spec("fastbp.embed") is None:
            return "of this version has no networks in compiled code"
        return None

    def build(self) -> None:
        import fastbp

        w = self.workload
        loss = fastbp.SquaredError(w.reduction) if w.loss == "squared" else w.loss
        output = None if w.loss == "cross_entropy" else w.output
        self.net = fastbp.Network(w.sizes, list(w.hidden), loss, output=output, dtype=self.dtype, rng=0)
        self.rule: Any = {None: None, "sgd": fastbp.SGD, "adam": fastbp.Adam}[w.rule]

    def reset(self) -> None:
        self._copy_first(list(self.net.weights), list(self.net.biases))
        if self.workload.loop == "training":
            self.begin_steps()
            self._train_in_loop(0)  # what compiled code has of a trainer is made when it first sees it

    def _train_in_loop(self, rows: int) -> None:
        from .loops import train

        train(self.trainer, self.data.X[:rows], self.data.y[:rows], self.workload.batch_size)

    def simulate(self) -> Any:
        from .loops import simulate

        X, actions = self.data.X, np.empty((len(self.data.X), self.workload.sizes[-1]), self.dtype)
        simulate(self.net, X, actions)
        return actions

    def train(self, epochs: int) -> None:
        w, data = self.workload, self.data
        if w.loop:
            for _ in range(epochs):
                self._train_in_loop(len(data.X))
            return
        if self.rule is None:
            for _ in range(epochs):
                _, self.gradient = self.net.value_and_grad(data.X, data.y)
            return
        self.net.fit(
            data.X,
            data.y,
            epochs=epochs,
            batch_size=w.batch_size,
            optimizer=self.rule(w.learning_rate),
            shuffle=False,
            order=data.order,
            n_threads=self.threads,
        )

    def begin_steps(self) -> None:
        w = self.workload
        self.trainer = self.net.trainer(optimizer=self.rule(w.learning_rate), batch_size=w.batch_size, n_threads=self.threads)

    def step(self, X: Any, y: Any) -> None:
        self.trainer.step(X, y)

    @classmethod
    def reason_against_steps(cls, workload: Workload) -> str | None:
        import fastbp

        return super().reason_against_steps(workload) if hasattr(fastbp.Network, "trainer") else "of this version has no Trainer"

    def arrays(self) -> tuple[list[Any], list[Any]]:
        source = self.net if self.rule else self.gradient
        return list(source.weights), list(source.biases)

    def outputs(self, X: Any) -> Any:
        return self.net(X)


class Calls(Fastbp):
    """`fastbp.Network` and `fastbp.Trainer`, called once a step from Python."""

    name, simulate = "fastbp call", Contestant.simulate

    def _train_in_loop(self, rows: int) -> None:
        X, y, size = self.data.X, self.data.y, self.workload.batch_size
        for start in range(0, rows, size):
            self.trainer.step(X[start : start + size], y[start : start + size])


class Fits(Fastbp):
    """`fastbp.Network.fit` of every mini-batch alone: the optimiser begins anew each time."""

    name = "fastbp fit"

    @classmethod
    def reason_against(cls, workload: Workload) -> str | None:
        return None if workload.rule == "sgd" else FORGETS

    @classmethod
    def reason_against_steps(cls, workload: Workload) -> str | None:
        return cls.reason_against(workload)

    def begin_steps(self) -> None:
        self.optimizer = self.rule(self.workload.learning_rate)

    def step(self, X: Any, y: Any) -> None:
        self.net.fit(X, y, epochs=1, batch_size=len(X), optimizer=self.optimizer, shuffle=False, n_threads=self.threads)


class Estimators(ScikitLearn):
    """`partial_fit` of `fastbp.MLPClassifier` and `fastbp.MLPRegressor`."""

    name, module, estimators = "fastbp partial_fit", "fastbp", "fastbp"

    @classmethod
    def reason_against(cls, workload: Workload) -> str | None:
        if workload.loss == "cross_entropy" and workload.sizes[-1] == 2:
            return "has one output for two classes"
        return super().reason_against(workload)
