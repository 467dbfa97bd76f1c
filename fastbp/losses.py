"""Losses: one class each, with its formula, its derivative and the link it owns.

A loss with a link acts on the raw outputs z of the last layer and names the activation that turns them into predictions: softmax
and cross-entropy, sigmoid and binary cross-entropy cannot be paired wrongly, and the loss is computed without ever forming a
probability close to 0. A loss without a link acts on the activations a of the last layer.

``block(x, y, d, count, stride, scale)`` takes W samples side by side in the lanes: x the outputs (z or a) and y the targets,
`count` rows each, `stride` numbers apart; it writes d = dl/dx and returns l of the W samples. ``scale`` is the loss's one
hyper-parameter. The law the tests check: d is the derivative of l.
"""

from fastbp._jit import kernel, switch
from fastbp._registry import Described, Registry
from fastbp.kernels.simd import fma, like, load, maximum, store, width
from fastbp.kernels.vmath import exp, log, sigmoid, softplus

LOSSES = Registry("loss")


class Loss(Described):
    """Base of the losses.

    Attributes
    ----------
    link : str or None
        Name of the output activation that the loss owns.
    task : str
        "regression", "labels" (one class of several) or "binary" (each output 0 or 1).
    """

    link: str | None = None
    task = "regression"

    def scale(self, n_out: int) -> float:
        """The number given to ``block`` as `scale`."""
        return 1.0


@LOSSES.register
class SquaredError(Loss):
    """l = s sum_k (a_k - y_k)^2.

    Parameters
    ----------
    reduction : {"half_sum", "sum", "mean"}, default "half_sum"
        s = 1/2, 1 or 1/n_out.
    """

    name = "squared"

    def __init__(self, reduction: str = "half_sum"):
        if reduction not in ("half_sum", "sum", "mean"):
            raise ValueError(f"reduction must be 'half_sum', 'sum' or 'mean', got {reduction!r}")
        self.reduction = reduction

    def scale(self, n_out: int) -> float:
        """s of the class docstring."""
        return {"half_sum": 0.5, "sum": 1.0, "mean": 1.0 / n_out}[self.reduction]

    @staticmethod
    def block(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(0, count * stride, stride):
            error = load(x, k) - load(y, k)
            total = fma(error, error, total)
            store(d, k, 2.0 * scale * error)
        return scale * total


@LOSSES.register
class CrossEntropy(Loss):
    """l = -sum_k y_k log softmax(z)_k = (sum_k y_k) log sum_k exp(z_k) - sum_k y_k z_k; dl/dz = (sum_k y_k) softmax(z) - y."""

    name = "cross_entropy"
    link = "softmax"
    task = "labels"

    @staticmethod
    def block(x, y, d, count, stride, scale):
        end = count * stride
        highest = load(x, 0)
        for k in range(stride, end, stride):
            highest = maximum(highest, load(x, k))
        # exp(z - max): the largest term is 1, so nothing overflows and the sum is at least 1
        total, mass, match = like(scale, 0.0), like(scale, 0.0), like(scale, 0.0)
        for k in range(0, end, stride):
            shifted = load(x, k) - highest
            target = load(y, k)
            term = exp(shifted)
            store(d, k, term)
            total = total + term
            mass = mass + target
            match = fma(target, shifted, match)
        norm = mass / total
        for k in range(0, end, stride):
            store(d, k, fma(load(d, k), norm, -load(y, k)))
        return fma(mass, log(total), -match)


@LOSSES.register
class BinaryCrossEntropy(Loss):
    """l = sum_k [log(1 + exp(z_k)) - y_k z_k], each output a yes or no of its own (multi-label); dl/dz = sigmoid(z) - y."""

    name = "binary_cross_entropy"
    link = "sigmoid"
    task = "binary"

    @staticmethod
    def block(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(0, count * stride, stride):
            z, target = load(x, k), load(y, k)
            total = total + fma(-target, z, softplus(z))
            store(d, k, sigmoid(z) - target)
        return total


def get(value) -> Loss:
    """The loss meant by a name, class or instance; see `Registry.get`."""
    return LOSSES.get(value)


_choose = switch([kernel(cls.block) for cls in LOSSES.classes])


@kernel
def loss_block(code, x, y, d, count, stride, scale):
    """l of W samples, and d = dl/dx, for the loss of a code; see the module's docstring."""
    return _choose(code, x, y, d, count, stride, like(load(x, 0), scale))


@kernel
def softmax_block(x, count):
    """x = softmax(x) over the outputs of W samples, in place."""
    end = count * width(x)
    highest = load(x, 0)
    for k in range(width(x), end, width(x)):
        highest = maximum(highest, load(x, k))
    total = like(highest, 0.0)
    for k in range(0, end, width(x)):
        term = exp(load(x, k) - highest)
        store(x, k, term)
        total = total + term
    for k in range(0, end, width(x)):
        store(x, k, load(x, k) / total)
