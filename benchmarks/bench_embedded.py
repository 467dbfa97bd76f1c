"""asv: calls of networks and trainers from compiled code, a thousand in a loop."""

import importlib.util

import numpy as np
from numba import njit

from .common import ready

CALLS = 1000


@njit
def predict_into(net, X, out):
    for i in range(CALLS):
        net.predict_into(X[i], out[i])


@njit
def value_and_grad_into(net, X, y, out):
    for i in range(CALLS):
        net.value_and_grad_into(X[i], y[i], out[i])


@njit
def jacobian_into(net, X, out):
    for i in range(CALLS):
        net.jacobian_into(X[i], out[i])


@njit
def vjp_into(net, X, v, out):
    for i in range(CALLS):
        net.vjp_into(X[i], v[i], out[i])


@njit
def jvp_into(net, X, v, out):
    for i in range(CALLS):
        net.jvp_into(X[i], v[i], out[i])


@njit
def step(trainer, X, y):
    for i in range(CALLS):
        trainer.step(X[i : i + 1], y[i : i + 1])


class Embedded:
    params = (["closed-loop", "closed-loop-deep"], ["float32", "float64"])
    param_names = ("workload", "dtype")
    timeout = 120

    def setup(self, name, dtype):
        if importlib.util.find_spec("fastbp.embed") is None:
            raise NotImplementedError("this version has no networks in compiled code")
        contestant = ready(name, dtype=dtype)
        self.net, (n_in, *_, n_out) = contestant.net, contestant.workload.sizes
        self.X, self.y = contestant.data.X[:CALLS], contestant.data.y[:CALLS]
        self.v = np.ones_like(self.y)
        self.out, self.grads = np.empty_like(self.y), np.empty((CALLS, self.net.params.size), dtype)
        self.jacobians, self.rows = np.empty((CALLS, n_out, n_in), dtype), np.empty_like(self.X)
        self.trainer = self.net.copy().trainer(batch_size=1)
        for method in (name for name in dir(self) if name.startswith("time_")):
            getattr(self, method)(name, dtype)  # compiled

    def time_predict_into(self, name, dtype):
        predict_into(self.net, self.X, self.out)

    def time_value_and_grad_into(self, name, dtype):
        value_and_grad_into(self.net, self.X, self.y, self.grads)

    def time_jacobian_into(self, name, dtype):
        jacobian_into(self.net, self.X, self.jacobians)

    def time_vjp_into(self, name, dtype):
        vjp_into(self.net, self.X, self.v, self.rows)

    def time_jvp_into(self, name, dtype):
        jvp_into(self.net, self.X, self.X, self.out)

    def time_trainer_step(self, name, dtype):
        step(self.trainer, self.X, self.y)
