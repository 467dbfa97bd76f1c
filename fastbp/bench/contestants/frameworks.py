"""PyTorch, JAX and ONNX Runtime."""

from __future__ import annotations

import importlib.util
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Contestant

if TYPE_CHECKING:
    from fastbp.bench.workloads import Workload


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
        self.optimizer: Any = None if rule is None else rule(self.net.parameters(), lr=w.learning_rate, fused=True)

    def train(self, epochs: int) -> None:
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
                self._step(X[rows], y[rows])

    def _step(self, X: Any, y: Any) -> None:
        self.optimizer.zero_grad()
        self.criterion(self.net(X), y).backward()
        self.optimizer.step()

    def begin_steps(self) -> None:
        """Nothing: the optimiser goes on from step to step."""

    def step(self, X: Any, y: Any) -> None:
        self._step(self.torch.from_numpy(X), self.torch.from_numpy(y))

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
    """All epochs in one jitted call: `lax.scan` over the mini-batches of an epoch, or the steps of a simulation."""

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
            def batch(state: Any, part: Any) -> Any:
                return rule(*state, jax.grad(cost)(state[0], *part)), None

            def step(state: Any, rows: Any) -> Any:
                return batch(state, (X[rows], y[rows]))

            def epoch(_: Any, state: Any) -> Any:
                if w.loop:
                    return lax.scan(
                        batch, state, (X.reshape(-1, w.batch_size, w.sizes[0]), y.reshape(-1, w.batch_size, w.sizes[-1]))
                    )[0]
                if order is None:
                    return rule(*state, jax.grad(cost)(state[0], X, y))
                state, _ = lax.scan(step, state, order[:full].reshape(-1, w.batch_size))
                return state if full == w.n_samples else step(state, order[full:])[0]

            return lax.fori_loop(0, epochs, epoch, state)

        def simulate(params: Any, X: Any) -> Any:
            n_out = w.sizes[-1]

            def step(out: Any, row: Any) -> Any:
                # not `row.at[:n_out].add(out)` and not `forward`, which take about three times as long
                x = np_.concatenate([row[:n_out] + out, row[n_out:]])
                for (weight, bias), activation in zip(params, activations, strict=True):
                    x = activation(weight @ x + bias)
                return x, x

            unroll = 1 if len(w.hidden) == 1 else 4  # of 1, 2, 4, 8 and 16 among the fastest
            return lax.scan(step, np_.zeros(n_out, self.dtype), X, unroll=unroll)[1]

        self._simulate = jax.jit(simulate)
        self._train = jax.jit(train, donate_argnums=0)
        self._step = jax.jit(lambda state, X, y: rule(*state, jax.grad(cost)(state[0], X, y)), donate_argnums=0)
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

    def train(self, epochs: int) -> None:
        if self.workload.rule is None:
            for _ in range(epochs):
                self.gradient = self._gradient(self.state[0], self.X, self.y)
            self.jax.block_until_ready(self.gradient)
            return
        self.state = self.jax.block_until_ready(self._train(self.state, self.X, self.y, self.order, epochs))

    def begin_steps(self) -> None:
        """Nothing: the state is at hand."""

    def step(self, X: Any, y: Any) -> None:
        self.state = self.jax.block_until_ready(self._step(self.state, X, y))

    def simulate(self) -> Any:
        return self.jax.block_until_ready(self._simulate(self.state[0], self.X))

    def arrays(self) -> tuple[list[Any], list[Any]]:
        pairs = self.state[0] if self.workload.rule else self.gradient[1]
        return [weight for weight, _ in pairs], [bias for _, bias in pairs]

    def outputs(self, X: Any) -> Any:
        return np.asarray(self._forward(self.state[0], X))


class OnnxRuntime(Contestant):
    """Predictions of the network's graph by ONNX Runtime."""

    name, module = "onnxruntime", "onnxruntime"

    @classmethod
    def reason_against(cls, workload: Workload) -> str | None:
        if workload.loop == "training":
            return "does not train"
        return None if importlib.util.find_spec("onnx") is not None else "needs onnx, too, to make the graph"

    def build(self) -> None:
        from onnx import TensorProto, helper, numpy_helper

        ort: Any = import_module("onnxruntime")
        w, names = self.workload, {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "identity": "Identity"}
        kinds = [*w.hidden, w.output] if w.loss != "cross_entropy" else [*w.hidden, "softmax"]
        kind = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[self.dtype]
        nodes, constants, below = [], [], "x"
        for layer, (weight, bias, activation) in enumerate(zip(self.data.weights, self.data.biases, kinds, strict=True)):
            constants += [numpy_helper.from_array(weight, f"w{layer}"), numpy_helper.from_array(bias, f"b{layer}")]
            nodes.append(helper.make_node("Gemm", [below, f"w{layer}", f"b{layer}"], [f"z{layer}"], transB=1))
            operator = "Softmax" if activation == "softmax" else names[activation]
            nodes.append(helper.make_node(operator, [f"z{layer}"], [f"a{layer}"]))
            below = f"a{layer}"
        ends = [helper.make_tensor_value_info(name, kind, [None, size]) for name, size in (("x", w.sizes[0]), (below, w.sizes[-1]))]
        graph = helper.make_graph(nodes, w.name, ends[:1], ends[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = self.threads
        self.session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def reset(self) -> None:
        """Nothing: the weights are the first."""

    def train(self, epochs: int) -> None:
        raise NotImplementedError

    def arrays(self) -> tuple[list[Any], list[Any]]:
        return list(self.data.weights), list(self.data.biases)

    def outputs(self, X: Any) -> Any:
        return self.session.run(None, {"x": X})[0]
