"""Trainers of one network behind one interface: set the first weights, run these steps, give the weights back.

Each library is used as its documentation says, in the fastest of the ways that do the same arithmetic; whether they do is not
taken on trust, see :mod:`fastbp.bench.measure`. Where a library cannot express a workload, `reason_against` says why.

Like :mod:`fastbp.bench.workloads` this file can be loaded by path beside an older installed fastbp.
"""

from __future__ import annotations

import importlib.util
import sys
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastbp.bench.workloads import Data, Workload


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
        left out or steps of 95 % of the length leave more than these limits.
        """
        return {"float32": 5e-3, "float64": 1e-8}[dtype]

    def __init__(self, workload: Workload, dtype: str, threads: int, data: Data | None = None):
        self.workload, self.dtype, self.threads = workload, dtype, threads
        self.data = workload.load(dtype) if data is None else data
        self.gradient: Any = None
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

    @abstractmethod
    def run(self, epochs: int) -> None:
        """Train so many epochs; or compute value and gradient so many times, if the workload has no rule."""

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
        """`arrays` in one float64 vector [W_1, b_1, W_2, b_2, ...]."""
        pairs = zip(*self.arrays(), strict=True)
        return np.concatenate([np.asarray(array, np.float64).ravel() for pair in pairs for array in pair])


class Fastbp(Contestant):
    """`fastbp.Network.fit`."""

    name, module = "fastbp", "fastbp"

    def build(self) -> None:
        import fastbp

        w = self.workload
        loss = fastbp.SquaredError(w.reduction) if w.loss == "squared" else w.loss
        output = None if w.loss == "cross_entropy" else w.output
        self.net = fastbp.Network(w.sizes, list(w.hidden), loss, output=output, dtype=self.dtype, rng=0)
        self.rule = {None: None, "sgd": fastbp.SGD, "adam": fastbp.Adam}[w.rule]

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

    def arrays(self) -> tuple[list[Any], list[Any]]:
        source = self.net if self.rule else self.gradient
        return list(source.weights), list(source.biases)

    def outputs(self, X: Any) -> Any:
        return self.net(X)


def _limit_blas(threads: int) -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")


def _baseline() -> Any:
    """The package `fastbp.baseline` that belongs to this file, not the installed one."""
    name, package = "_fastbp_baseline", Path(__file__).resolve().parents[1] / "baseline"
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
        _limit_blas(self.threads)

    def reset(self) -> None:
        self._copy_first(self.net.weights, self.net.biases)

    def run(self, epochs: int) -> None:
        w, data = self.workload, self.data
        if w.rule is None:
            for _ in range(epochs):
                _, *self.gradient = self.net.value_and_grad(data.X, data.y)
            return
        self.net.fit(data.X, data.y, epochs=epochs, batch_size=w.batch_size, optimizer=self.rule, order=data.order)

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
        from sklearn import neural_network

        _limit_blas(self.threads)
        w = self.workload
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
        self.targets = self.data.y if classes or w.sizes[-1] > 1 else self.data.y[:, 0]
        if classes and w.sizes[-1] == 2:
            # two classes would make it a network with one output; indicator rows and softmax keep both
            self.targets = np.eye(2, dtype=np.int64)[self.data.y]
        first = slice(0, w.batch_size)
        options = {"classes": np.arange(w.sizes[-1])} if classes else {}
        self.net.partial_fit(self.data.X[first], self.targets[first], **options)
        if classes:
            self.net.out_activation_ = "softmax"

    def reset(self) -> None:
        self._copy_first([weight.T for weight in self.net.coefs_], self.net.intercepts_)
        vars(self.net).pop("_optimizer", None)

    def run(self, epochs: int) -> None:
        data = self.data
        for _ in range(epochs):
            if data.order is None:
                self.net.partial_fit(data.X, self.targets)
            else:
                self.net.partial_fit(data.X[data.order], self.targets[data.order])

    def arrays(self) -> tuple[list[Any], list[Any]]:
        return [weight.T for weight in self.net.coefs_], self.net.intercepts_

    def outputs(self, X: Any) -> Any:
        return self.net.predict_proba(X) if self.workload.loss == "cross_entropy" else self.net.predict(X)


class PyTorch(Contestant):
    """A plain training loop with torch.nn and the fused optimisers of torch.optim."""

    name, module = "pytorch", "torch"

    def build(self) -> None:
        torch: Any = import_module("torch")
        torch.set_num_threads(self.threads)
        nn, w, data = torch.nn, self.workload, self.data
        kinds = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "identity": nn.Identity}
        pairs = zip(w.sizes, w.sizes[1:], strict=False)
        self.linear = [nn.Linear(n_in, n_out, dtype=getattr(torch, self.dtype)) for n_in, n_out in pairs]
        activations = [kinds[name]() for name in (*w.hidden, w.output)]
        self.net = nn.Sequential(*(module for pair in zip(self.linear, activations, strict=True) for module in pair))
        self.X, self.y = torch.from_numpy(data.X), torch.from_numpy(data.y)
        self.order = None if data.order is None else torch.from_numpy(data.order)
        # nn.MSELoss is the mean over samples and outputs
        factor = w.sizes[-1] * {"half_sum": 0.5, "sum": 1.0}[w.reduction]
        mse = nn.MSELoss()
        self.criterion = nn.CrossEntropyLoss() if w.loss == "cross_entropy" else lambda out, y: factor * mse(out, y)
        self.torch = torch

    def reset(self) -> None:
        torch, w = self.torch, self.workload
        with torch.no_grad():
            for layer, weight, bias in zip(self.linear, self.data.weights, self.data.biases, strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
        rule = {None: None, "sgd": torch.optim.SGD, "adam": torch.optim.Adam}[w.rule]
        self.optimizer = None if rule is None else rule(self.net.parameters(), lr=w.learning_rate, fused=True)

    def run(self, epochs: int) -> None:
        X, y, optimizer = self.X, self.y, self.optimizer
        if optimizer is None:
            for _ in range(epochs):
                self.net.zero_grad()
                self.criterion(self.net(X), y).backward()
            return
        for _ in range(epochs):
            for start in range(0, len(X), self.workload.batch_size):
                part = slice(start, start + self.workload.batch_size)
                rows = part if self.order is None else self.order[part]
                optimizer.zero_grad()
                self.criterion(self.net(X[rows]), y[rows]).backward()
                optimizer.step()

    def arrays(self) -> tuple[list[Any], list[Any]]:
        pairs = [(layer.weight, layer.bias) for layer in self.linear]
        if self.workload.rule is None:
            pairs = [(weight.grad, bias.grad) for weight, bias in pairs]
        return [weight.detach().numpy() for weight, _ in pairs], [bias.detach().numpy() for _, bias in pairs]

    def outputs(self, X: Any) -> Any:
        with self.torch.no_grad():
            out = self.net(self.torch.from_numpy(X))
            return (out.softmax(1) if self.workload.loss == "cross_entropy" else out).numpy()


class JAX(Contestant):
    """All epochs in one jitted call: `lax.scan` over the mini-batches of an epoch inside a loop over epochs."""

    name, module = "jax", "jax"

    def build(self) -> None:
        jax: Any = import_module("jax")
        jax.config.update("jax_enable_x64", self.dtype == "float64")
        self.jax, w, data = jax, self.workload, self.data
        np_, nn, lax = jax.numpy, jax.nn, jax.lax
        kinds = {"relu": nn.relu, "sigmoid": nn.sigmoid, "tanh": np_.tanh, "identity": lambda z: z}
        activations = [kinds[name] for name in (*w.hidden, w.output)]
        rate, reduction = w.learning_rate, {"half_sum": 0.5, "sum": 1.0}[w.reduction]

        def forward(params: Any, X: Any) -> Any:
            for (weight, bias), activation in zip(params, activations, strict=True):
                X = activation(X @ weight.T + bias)
            return X

        def cost(params: Any, X: Any, y: Any) -> Any:
            out = forward(params, X)
            if w.loss == "cross_entropy":
                return -(nn.one_hot(y, w.sizes[-1], dtype=out.dtype) * nn.log_softmax(out)).sum(1).mean()
            return reduction * ((out - y) ** 2).sum(1).mean()

        def sgd(params: Any, m: Any, v: Any, t: Any, grads: Any) -> Any:
            return jax.tree.map(lambda p, g: p - rate * g, params, grads), m, v, t

        def adam(params: Any, m: Any, v: Any, t: Any, grads: Any) -> Any:
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + (1 - 0.9) * g, m, grads)
            v = jax.tree.map(lambda v, g: 0.999 * v + (1 - 0.999) * g * g, v, grads)
            first, second = 1 - 0.9**t, 1 - 0.999**t
            params = jax.tree.map(lambda p, m, v: p - rate * (m / first) / (np_.sqrt(v / second) + 1e-8), params, m, v)
            return params, m, v, t

        rule: Any = adam if w.rule == "adam" else sgd
        full = w.n_samples // w.batch_size * w.batch_size

        def train(state: Any, X: Any, y: Any, order: Any, epochs: Any) -> Any:
            def step(state: Any, rows: Any) -> Any:
                return rule(*state, jax.grad(cost)(state[0], X[rows], y[rows])), None

            def epoch(_: Any, state: Any) -> Any:
                if order is None:
                    return rule(*state, jax.grad(cost)(state[0], X, y))
                state, _ = lax.scan(step, state, order[:full].reshape(-1, w.batch_size))
                return state if full == w.n_samples else step(state, order[full:])[0]

            return lax.fori_loop(0, epochs, epoch, state)

        self._train = jax.jit(train, donate_argnums=0)
        self._gradient = jax.jit(jax.value_and_grad(cost))
        self._forward = jax.jit(
            lambda params, X: nn.softmax(forward(params, X)) if w.loss == "cross_entropy" else forward(params, X)
        )
        self.X, self.y = np_.asarray(data.X), np_.asarray(data.y)
        self.order = None if data.order is None else np_.asarray(data.order)

    def reset(self) -> None:
        np_ = self.jax.numpy
        pairs = zip(self.data.weights, self.data.biases, strict=True)
        params = [(np_.array(weight), np_.array(bias)) for weight, bias in pairs]
        m, v = (self.jax.tree.map(np_.zeros_like, params) if self.workload.rule == "adam" else None for _ in range(2))
        self.state = params, m, v, np_.zeros((), self.dtype)

    def run(self, epochs: int) -> None:
        if self.workload.rule is None:
            for _ in range(epochs):
                self.gradient = self._gradient(self.state[0], self.X, self.y)
            self.jax.block_until_ready(self.gradient)
            return
        self.state = self.jax.block_until_ready(self._train(self.state, self.X, self.y, self.order, epochs))

    def arrays(self) -> tuple[list[Any], list[Any]]:
        pairs = self.state[0] if self.workload.rule else self.gradient[1]
        return [weight for weight, _ in pairs], [bias for _, bias in pairs]

    def outputs(self, X: Any) -> Any:
        return np.asarray(self._forward(self.state[0], X))


CONTESTANTS: dict[str, type[Contestant]] = {cls.name: cls for cls in (Fastbp, NumPy, ScikitLearn, PyTorch, JAX)}
