"""asv: the parts of a step through the public interface: outputs, loss, value and gradient, and each activation."""

from .common import NAMES, ready


class Parts:
    params = (NAMES,)
    param_names = ("workload",)
    timeout = 120

    def setup(self, name):
        contestant = ready(name)
        self.net, self.X, self.y = contestant.net, contestant.data.X[:2048], contestant.data.y[:2048]
        self.net.value_and_grad(self.X, self.y)

    def time_outputs(self, name):
        self.net(self.X)

    def time_loss(self, name):
        self.net.loss(self.X, self.y)

    def time_value_and_grad(self, name):
        self.net.value_and_grad(self.X, self.y)


class Activations:
    params = (
        ["identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "selu", "softplus", "silu", "gelu", "hard_sigmoid"],
        ["float32", "float64"],
    )
    param_names = ("activation", "dtype")

    def setup(self, name, dtype):
        import numpy as np

        import fastbp

        rng = np.random.default_rng(0)
        self.X, self.y = rng.normal(size=(512, 64)).astype(dtype), rng.normal(size=(512, 1)).astype(dtype)
        self.net = fastbp.Network([64, 64, 1], hidden=name, dtype=dtype, rng=0)
        self.net.value_and_grad(self.X, self.y)

    def time_value_and_grad(self, name, dtype):
        self.net.value_and_grad(self.X, self.y)
