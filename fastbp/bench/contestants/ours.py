"""fastbp, by each of its doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import FORGETS, Contestant
from .libraries import ScikitLearn

if TYPE_CHECKING:
    from fastbp.bench.workloads import Workload


class Fastbp(Contestant):
    """`fastbp.Network.fit`."""

    name, module = "fastbp", "fastbp"

    def build(self) -> None:
        import fastbp

        w = self.workload
        loss = fastbp.SquaredError(w.reduction) if w.loss == "squared" else w.loss
        output = None if w.loss == "cross_entropy" else w.output
        self.net = fastbp.Network(w.sizes, list(w.hidden), loss, output=output, dtype=self.dtype, rng=0)
        self.rule: Any = {None: None, "sgd": fastbp.SGD, "adam": fastbp.Adam}[w.rule]

    def reset(self) -> None:
        self._copy_first(list(self.net.weights), list(self.net.biases))

    def run(self, epochs: int) -> None:
        w, data = self.workload, self.data
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
