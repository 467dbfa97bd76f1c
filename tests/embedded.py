"""Compiled functions that call networks and trainers, for tests and scripts: each is compiled once for a type."""

from numba import njit, prange


@njit
def outputs(net, x):
    return net(x)


@njit
def predict_into(net, x, out):
    net.predict_into(x, out)


@njit
def value_and_grad_into(net, x, y, grad):
    return net.value_and_grad_into(x, y, grad)


@njit
def jacobian_into(net, x, out):
    net.jacobian_into(x, out)


@njit
def input_gradient_into(net, x, out):
    net.input_gradient_into(x, out)


@njit
def vjp_into(net, x, v, out):
    net.vjp_into(x, v, out)


@njit
def jvp_into(net, x, v, out):
    net.jvp_into(x, v, out)


@njit
def step(trainer, x, y):
    return trainer.step(x, y)


@njit
def steps(trainer, x, y, batch, losses):
    for i in range(losses.size):
        first = i * batch % len(x)
        losses[i] = trainer.step(x[first : first + batch], y[first : first + batch])


@njit(nogil=True)
def rows_one_by_one(net, x, out, times):
    for _ in range(times):
        for i in range(len(x)):
            net.predict_into(x[i], out[i])


@njit(parallel=True, nogil=True)
def rows_by_all_threads(net, x, out):
    for i in prange(len(x)):
        net.predict_into(x[i], out[i])


@njit(parallel=True, nogil=True)
def gradients_by_all_threads(net, x, y, grads, losses):
    for i in prange(len(x)):
        losses[i] = net.value_and_grad_into(x[i], y[i], grads[i])
