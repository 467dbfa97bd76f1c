"""JAX, and Optimistix on top of it."""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from typing import Any

import numpy as np

from fastbp.bench.accuracy.contestants.base import Stepwise, packed
from fastbp.bench.accuracy.problems import Array


class _JAX(Stepwise):
    """Iterations in one jitted call, from a state that it gives back."""

    first: Any
    run: Any

    def build(self) -> None:
        jax: Any = import_module("jax")
        jax.config.update("jax_enable_x64", True)
        self.jax, np_, problem = jax, jax.numpy, self.problem
        self.X, self.y = np_.asarray(self.data.X), np_.asarray(self.data.y)
        shapes = list(zip(problem.sizes[1:], problem.sizes, strict=False))

        def forward(theta: Any, X: Any) -> Any:
            begin = 0
            for n_out, n_in in shapes:
                middle = begin + n_out * n_in
                X = X @ theta[begin:middle].reshape(n_out, n_in).T + theta[middle : middle + n_out]
                begin = middle + n_out
                if begin < theta.size:
                    X = np_.tanh(X)
            return X

        def cost(theta: Any, X: Any, y: Any) -> Any:
            z = forward(theta, X)
            if problem.loss == "cross_entropy":
                return -np_.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()
            if problem.loss == "binary_cross_entropy":
                return (jax.nn.softplus(z) - y * z).mean()
            return ((z - y) ** 2).mean()

        self.forward, self.cost = forward, cost
        self.compile()

    @abstractmethod
    def compile(self) -> None:
        """Make `first`, of a state from parameters and a seed, and `run`, of the state after a number of iterations."""

    def begin(self, weights: list[Array], biases: list[Array], seed: int) -> None:
        self.state = self.first(self.jax.numpy.asarray(packed(weights, biases)), seed)

    def advance(self, count: int) -> None:
        self.state = self.jax.block_until_ready(self.run(self.state, count))

    def parameters(self) -> Any:
        return np.asarray(self.state[0])


class JAXAdam(_JAX):
    """Kingma and Ba's algorithm, a `lax.scan` over the mini-batches of an epoch."""

    name, module = "jax adam", "jax"

    def compile(self) -> None:
        jax, np_, lax = self.jax, self.jax.numpy, self.jax.lax
        size, rate = self.problem.batch_size, self.problem.learning_rate
        full = len(self.X) // size * size

        def step(state: Any, rows: Any) -> Any:
            theta, m, v, t = state
            grad = jax.grad(self.cost)(theta, self.X[rows], self.y[rows])
            t, m, v = t + 1, 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad * grad
            return (theta - rate * (m / (1 - 0.9**t)) / (np_.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v, t), None

        def epoch(_: Any, state: Any) -> Any:
            *inner, key = state
            key, chosen = jax.random.split(key)
            order = jax.random.permutation(chosen, len(self.X))
            inner, _ = lax.scan(step, tuple(inner), order[:full].reshape(-1, size))
            if full < len(self.X):
                inner, _ = step(inner, order[full:])
            return (*inner, key)

        self.first = lambda theta, seed: (theta, 0.0 * theta, 0.0 * theta, np_.zeros(()), jax.random.key(seed))
        self.run = jax.jit(lambda state, count: lax.fori_loop(0, count, epoch, state))


class _Optimistix(_JAX):
    """`solver.step` in a loop, as `optimistix.iterative_solve` has it, but for its end."""

    module = "optimistix"

    def function(self, theta: Any, _: Any) -> Any:
        """What the solver minimises, and nothing else."""
        return self.cost(theta, self.X, self.y), None

    @abstractmethod
    def solver(self, optimistix: Any) -> Any:
        """With tolerances of 0."""

    def compile(self) -> None:
        jax, eqx = self.jax, import_module("equinox")
        solver, example = self.solver(import_module("optimistix")), jax.numpy.zeros(packed(*self.problem.first(0)).size)
        function = eqx.filter_closure_convert(self.function, example, None)
        struct, aux = function.out_struct
        # parts of the state that are no arrays are the same for every start and after every step
        opened = solver.init(function, example, None, {}, struct, aux, frozenset())
        static = eqx.filter(opened, eqx.is_array, inverse=True)

        def first(theta: Any) -> Any:
            state = solver.init(function, theta, None, {}, struct, aux, frozenset())
            return theta, eqx.filter(state, eqx.is_array)

        def step(_: Any, carry: Any) -> Any:
            theta, dynamic = carry
            theta, state, _ = solver.step(function, theta, None, {}, eqx.combine(static, dynamic), frozenset())
            return theta, eqx.filter(state, eqx.is_array)

        self.first = lambda theta, seed: first(theta)
        self.run = jax.jit(lambda carry, count: jax.lax.fori_loop(0, count, step, carry))


class OptimistixLM(_Optimistix):
    """Levenberg-Marquardt; its steps take as long by Cholesky's method, and as long as its Jacobian does."""

    name, squares_only = "optimistix lm", True

    def function(self, theta: Any, _: Any) -> Any:
        return (self.forward(theta, self.X) - self.y).ravel(), None

    def solver(self, optimistix: Any) -> Any:
        return optimistix.LevenbergMarquardt(0.0, 0.0)


class OptimistixBFGS(_Optimistix):
    """BFGS with the inverse of the Hessian, as is its default."""

    name = "optimistix bfgs"

    def solver(self, optimistix: Any) -> Any:
        return optimistix.BFGS(0.0, 0.0)
