"""asv: seconds to a loss by minimisers, on the problems of `fastbp bench --to-accuracy`."""

import importlib.util
from time import process_time

from .common import problems

MOST = 100_000  # iterations


class ToAccuracy:
    params = (["sin-product", "friedman", "moons"], ["lm", "lbfgs"])
    param_names = ("problem", "optimizer")
    timeout = 120

    def setup(self, name, optimizer):
        if importlib.util.find_spec("fastbp.minimizers") is None:
            raise NotImplementedError("this version has no minimisers")
        problem = problems.get(name)
        if optimizer == "lm" and not problem.is_squared:
            raise NotImplementedError("needs a sum of squares")
        import fastbp

        loss = fastbp.SquaredError("mean") if problem.is_squared else problem.loss
        self.problem, self.data = problem, problem.load()
        self.net = fastbp.Network(problem.sizes, "tanh", loss, dtype="float64", rng=0)
        self.optimizer = fastbp.LBFGS(gradient_tol=0.0, loss_tol=0.0) if optimizer == "lbfgs" else optimizer
        self.seconds(0, epochs=2)  # compiled

    def seconds(self, start, epochs=MOST):
        for layer, (weight, bias) in enumerate(zip(*self.problem.first(start), strict=True)):
            self.net.weights[layer], self.net.biases[layer] = weight, bias
        aim = self.problem.aims[0].value
        begin = process_time()
        self.net.fit(
            *self.data[:2],
            epochs=epochs,
            optimizer=self.optimizer,
            callbacks=[lambda epoch, net, history: history.loss[-1] <= aim],
            n_threads=1,
        )
        return process_time() - begin

    def track_seconds(self, name, optimizer):
        return sorted(self.seconds(start) for start in range(5))[2]

    track_seconds.unit = "s"
