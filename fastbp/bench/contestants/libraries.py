"""NumPy and scikit-learn."""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .base import FORGETS, Contestant, limit_blas

if TYPE_CHECKING:
    from fastbp.bench.workloads import Workload


def _baseline() -> Any:
    """The package `fastbp.baseline` that belongs to this file, not the installed one."""
    name, package = "_fastbp_baseline", Path(__file__).resolve().parents[2] / "baseline"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, package / "__init__.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class NumPy(Contestant):
    """`fastbp.baseline`: NumPy with preallocated buffers and BLAS."""

    name, module = "numpy", "numpy"

    def build(self) -> None:
        baseline = _baseline()
        w = self.workload
        loss = SimpleNamespace(name=w.loss, reduction=w.reduction)
        output = None if w.loss == "cross_entropy" else w.output
        self.net = baseline.Network(w.sizes, list(w.hidden), loss, output=output, dtype=self.dtype)
        self.rule = SimpleNamespace(name=w.rule, learning_rate=w.learning_rate)
        limit_blas(self.threads)

    def reset(self) -> None:
        self._copy_first(self.net.weights, self.net.biases)

    def train(self, epochs: int) -> None:
        w, data = self.workload, self.data
        if w.rule is None:
            for _ in range(epochs):
                _, *self.gradient = self.net.value_and_grad(data.X, data.y)
            return
        self.net.fit(data.X, data.y, epochs=epochs, batch_size=w.batch_size, optimizer=self.rule, order=data.order)

    @classmethod
    def reason_against_steps(cls, workload: Workload) -> str | None:
        return None if workload.rule == "sgd" else FORGETS

    def begin_steps(self) -> None:
        """Nothing: a fit of one mini-batch is a step."""

    def step(self, X: Any, y: Any) -> None:
        self.net.fit(X, y, epochs=1, batch_size=len(X), optimizer=self.rule)

    def arrays(self) -> tuple[list[Any], list[Any]]:
        if self.workload.rule is None:
            weights, biases = self.gradient
            return weights, biases
        return self.net.weights, self.net.biases

    def outputs(self, X: Any) -> Any:
        return self.net(X)


class ScikitLearn(Contestant):
    """`partial_fit` of MLPClassifier or MLPRegressor: one call an epoch, which cuts the rows into mini-batches."""

    name, module = "scikit-learn", "sklearn"
    estimators: ClassVar[str] = "sklearn.neural_network"

    @classmethod
    def reason_against(cls, workload: Workload) -> str | None:
        if workload.rule is None:
            return "has no public value and gradient"
        if len(set(workload.hidden)) > 1:
            return "has one activation for all hidden layers"
        if workload.loss == "squared" and workload.output != "identity":
            return "has the squared error with identity output only"
        return None

    @classmethod
    def tolerance(cls, workload: Workload, dtype: str) -> float:
        """Wider for Adam: its epsilon is added before the bias correction, which weights with tiny gradients feel."""
        return 3e-2 if workload.rule == "adam" else super().tolerance(workload, dtype)

    def build(self) -> None:
        limit_blas(self.threads)
        w, neural_network = self.workload, import_module(self.estimators)
        classes = w.loss == "cross_entropy"
        # its squared error steps along that of the half sum over the outputs
        factor = 2.0 if w.loss == "squared" and w.reduction == "sum" else 1.0
        self.net = (neural_network.MLPClassifier if classes else neural_network.MLPRegressor)(
            hidden_layer_sizes=w.sizes[1:-1],
            activation=w.hidden[0],
            solver=w.rule,
            alpha=0.0,
            batch_size=w.batch_size,
            learning_rate_init=w.learning_rate * factor,
            shuffle=False,
            momentum=0.0,
            nesterovs_momentum=False,
            tol=0.0,
        )
        self._targets = self.data.y if classes or w.sizes[-1] > 1 else self.data.y[:, 0]
        if classes and w.sizes[-1] == 2:
            # two classes would make it a network with one output; indicator rows and softmax keep both
            self._targets = np.eye(2, dtype=np.int64)[self.data.y]
        first = slice(0, w.batch_size)
        options = {"classes": np.arange(w.sizes[-1])} if classes else {}
        self.net.partial_fit(self.data.X[first], self.targets[first], **options)
        if classes:
            self.net.out_activation_ = "softmax"

    def reset(self) -> None:
        self._copy_first([weight.T for weight in self.net.coefs_], self.net.intercepts_)
        vars(self.net).pop("_optimizer", None)
        self.net.set_params(batch_size=self.workload.batch_size)

    def train(self, epochs: int) -> None:
        data = self.data
        rows = slice(None) if data.order is None else data.order
        for _ in range(epochs):
            self.net.partial_fit(data.X[rows], self.targets[rows])

    @property
    def targets(self) -> Any:
        return self._targets

    def begin_steps(self) -> None:
        self.net.set_params(batch_size="auto")  # all that comes, up to 200: the last mini-batch may be shorter

    def step(self, X: Any, y: Any) -> None:
        self.net.partial_fit(X, y)

    def arrays(self) -> tuple[list[Any], list[Any]]:
        return [weight.T for weight in self.net.coefs_], self.net.intercepts_

    def outputs(self, X: Any) -> Any:
        return self.net.predict_proba(X) if self.workload.loss == "cross_entropy" else self.net.predict(X)
