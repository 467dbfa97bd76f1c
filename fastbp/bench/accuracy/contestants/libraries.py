"""SciPy, PyTorch and scikit-learn."""

from __future__ import annotations

import warnings
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp.bench.accuracy.contestants.base import Contestant, Over, Search, Stepwise, packed
from fastbp.bench.accuracy.problems import Array
from fastbp.bench.contestants.base import limit_blas


class LeastSquares(Contestant):
    """`scipy.optimize.least_squares` with a Jacobian in NumPy.

    Of its methods, "trf" with steps by LSMR is the first at 1e-5, and the lowest on `matrix-exp`. By singular values it takes fewer
    iterations, and with ``x_scale="jac"`` as long to 1e-7 on the sin product; "lm" takes longer.
    """

    name, module, squares_only = "scipy least_squares", "scipy", True

    def build(self) -> None:
        limit_blas(self.threads)
        shapes = list(zip(self.problem.sizes[1:], self.problem.sizes, strict=False))
        self.count = sum(n_out * (n_in + 1) for n_out, n_in in shapes)
        self.jacobian = np.empty((self.data.y.size, self.count))
        self.shapes, self.at = shapes, np.empty(0)

    def begin(self, weights: list[Array], biases: list[Array], seed: int) -> None:
        self.theta = packed(weights, biases)

    def layers(self, theta: Array) -> list[tuple[Array, Array, int]]:
        """Weight and bias of each layer, and where they begin."""
        found, begin = [], 0
        for n_out, n_in in self.shapes:
            middle = begin + n_out * n_in
            found.append((theta[begin:middle].reshape(n_out, n_in), theta[middle : middle + n_out], begin))
            begin = middle + n_out
        return found

    def errors(self, theta: Array) -> Array:
        """Of all outputs of all samples; what the Jacobian needs is kept."""
        self.at, self.kept, a = theta.copy(), [self.data.X], self.data.X
        for weight, bias, _ in self.layers(theta):
            a = a @ weight.T + bias
            if len(self.kept) < len(self.shapes):
                self.kept.append(np.tanh(a, out=a))
        errors: Array = (a - self.data.y).ravel()
        return errors

    def derivatives(self, theta: Array) -> Array:
        """Of the errors, by the delta recursion for each output."""
        if not np.array_equal(theta, self.at):
            self.errors(theta)
        n_samples, n_out = self.data.y.shape
        rows = self.jacobian.reshape(n_samples, n_out, -1)
        for k in range(n_out):
            delta = np.zeros((n_samples, n_out))
            delta[:, k] = 1.0
            for a, (weight, bias, begin) in zip(self.kept[::-1], self.layers(theta)[::-1], strict=True):
                middle = begin + weight.size
                rows[:, k, begin:middle] = (delta[:, :, None] * a[:, None, :]).reshape(n_samples, -1)
                rows[:, k, middle : middle + bias.size] = delta
                if begin:
                    delta = (delta @ weight) * (1.0 - a * a)
        return self.jacobian

    def train(self, search: Search) -> None:
        from scipy.optimize import least_squares

        def derivatives(theta: Array) -> Array:
            self.theta = theta.copy()  # of which it is asked for where a step has been taken
            if search(self.parameters):
                raise Over
            return self.derivatives(theta)

        tolerances = dict.fromkeys(("xtol", "ftol", "gtol"), np.finfo(float).eps)
        with suppress(Over):
            self.theta = least_squares(
                self.errors, self.theta, derivatives, method="trf", tr_solver="lsmr", max_nfev=10**9, **tolerances
            ).x

    def parameters(self) -> Any:
        return self.theta


class PyTorch(Stepwise):
    """`torch.optim.LBFGS`, searching by the strong Wolfe conditions, on torch.nn."""

    name, module = "pytorch lbfgs", "torch"

    def build(self) -> None:
        torch: Any = import_module("torch")
        torch.set_num_threads(self.threads)
        self.torch, nn, sizes = torch, torch.nn, self.problem.sizes
        self.linear = [nn.Linear(n_in, n_out, dtype=torch.float64) for n_in, n_out in pairwise(sizes)]
        modules = [module for layer in self.linear for module in (layer, nn.Tanh())]
        self.net = nn.Sequential(*modules[:-1])
        losses = {"squared": nn.MSELoss, "cross_entropy": nn.CrossEntropyLoss, "binary_cross_entropy": nn.BCEWithLogitsLoss}
        self.criterion = losses[self.problem.loss]()
        self.X, self.y = torch.from_numpy(self.data.X), torch.from_numpy(self.data.y)

    def begin(self, weights: list[Array], biases: list[Array], seed: int) -> None:
        torch = self.torch
        with torch.no_grad():
            for layer, weight, bias in zip(self.linear, weights, biases, strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
        self.optimizer = torch.optim.LBFGS(
            self.net.parameters(), history_size=10, line_search_fn="strong_wolfe", tolerance_grad=0.0, tolerance_change=0.0
        )

    def _closure(self) -> Any:
        self.optimizer.zero_grad()
        loss = self.criterion(self.net(self.X), self.y)
        loss.backward()
        return loss

    def advance(self, count: int) -> None:
        # its state stays from call to call, and a call costs one evaluation more than its iterations
        self.optimizer.param_groups[0].update(max_iter=count, max_eval=10 * count)
        self.optimizer.step(self._closure)

    def parameters(self) -> Any:
        return packed([layer.weight.detach() for layer in self.linear], [layer.bias.detach() for layer in self.linear])


class ScikitLearn(Contestant):
    """MLPClassifier or MLPRegressor with solver="lbfgs", as often as it ends by a tolerance that cannot be set."""

    name, module = "scikit-learn lbfgs", "sklearn"

    def build(self) -> None:
        limit_blas(self.threads)
        neural_network = import_module("sklearn.neural_network")
        kind = neural_network.MLPRegressor if self.problem.is_squared else neural_network.MLPClassifier
        outer = self

        class Watched(kind):  # type: ignore[misc, valid-type]
            """The search is told here, because there is no callback."""

            def _loss_grad_lbfgs(self, *arguments: Any) -> Any:
                result = super()._loss_grad_lbfgs(*arguments)
                if outer.search(outer.parameters):
                    raise Over
                return result

        y = self.data.y
        self.targets = y if y.ndim == 1 or y.shape[1] > 1 else y[:, 0]
        self.net = Watched(
            hidden_layer_sizes=self.problem.sizes[1:-1],
            activation="tanh",
            solver="lbfgs",
            alpha=0.0,
            tol=0.0,
            max_iter=1,
            warm_start=True,
        )
        self.search: Search = lambda parameters: False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the one iteration, which makes its arrays
            self.net.fit(self.data.X, self.targets)
        self.net.set_params(max_iter=10**9, max_fun=10**9)

    def begin(self, weights: list[Array], biases: list[Array], seed: int) -> None:
        self.net.coefs_ = [weight.T.copy() for weight in weights]
        self.net.intercepts_ = [bias.copy() for bias in biases]

    def train(self, search: Search) -> None:
        self.search = search
        with suppress(Over), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where a line search fails
            while True:
                before = self.parameters()
                self.net.fit(self.data.X, self.targets)
                if np.array_equal(before, self.parameters()):
                    return

    def parameters(self) -> Any:
        return packed([weight.T for weight in self.net.coefs_], self.net.intercepts_)
