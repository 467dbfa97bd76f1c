"""fastbp, by its rules."""

from __future__ import annotations

from typing import Any

from fastbp.bench.accuracy.contestants.base import Contestant, Search, Stepwise
from fastbp.bench.accuracy.problems import Array

ENDLESS = 10**9  # epochs


class _Fastbp(Contestant):
    module = "fastbp"

    def build(self) -> None:
        import fastbp

        problem = self.problem
        loss: Any = fastbp.SquaredError("mean") if problem.is_squared else problem.loss
        self.net = fastbp.Network(problem.sizes, "tanh", loss, dtype="float64", rng=0)

    def begin(self, weights: list[Array], biases: list[Array], seed: int) -> None:
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            self.net.weights[layer], self.net.biases[layer] = weight, bias

    def parameters(self) -> Any:
        return self.net.params


class _Minimizer(_Fastbp):
    """`Network.fit` by a minimiser, watched by a callback."""

    def minimizer(self) -> Any:
        return self.name.removeprefix("fastbp ")

    def train(self, search: Search) -> None:
        def over(epoch: int, net: Any, history: Any) -> bool:
            return search(self.parameters)

        self.net.fit(*self.data[:2], epochs=ENDLESS, optimizer=self.minimizer(), callbacks=[over], n_threads=self.threads)


class LevenbergMarquardt(_Minimizer):
    """optimizer="lm"."""

    name, squares_only = "fastbp lm", True


class GaussNewtonCG(_Minimizer):
    """optimizer="gauss-newton-cg"."""

    name, squares_only = "fastbp gauss-newton-cg", True


class LBFGS(_Minimizer):
    """optimizer="lbfgs"."""

    name = "fastbp lbfgs"

    def minimizer(self) -> Any:
        import fastbp

        return fastbp.LBFGS(gradient_tol=0.0, loss_tol=0.0)  # it ends where the search does


class Adam(_Fastbp, Stepwise):
    """Runs of a `fastbp.Trainer`."""

    name = "fastbp adam"

    def begin(self, weights: list[Array], biases: list[Array], seed: int) -> None:
        import fastbp

        super().begin(weights, biases, seed)
        problem = self.problem
        self.trainer = self.net.trainer(
            optimizer=fastbp.Adam(problem.learning_rate), batch_size=problem.batch_size, rng=seed, n_threads=self.threads
        )

    def advance(self, count: int) -> None:
        self.trainer.run(*self.data[:2], count)
