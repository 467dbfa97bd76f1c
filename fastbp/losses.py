"""Losses: one class each, with its formula, its derivative and the link it owns.

A loss with a link acts on the raw outputs z of the last layer and names the activation that turns them into predictions: softmax
and cross-entropy, sigmoid and binary cross-entropy cannot be paired wrongly, and the loss is computed without ever forming a
probability close to 0. A loss without a link acts on the activations a of the last layer.

``value_and_grad(x, y, d, count, stride, scale)`` takes W samples side by side in the lanes: x the outputs (z or a) and y the
targets, `count` rows each, `stride` numbers apart; it writes d = dl/dx and returns l of the W samples. ``scale`` is the loss's
one hyper-parameter. The law the tests check: d is the derivative of l.
"""

from fastbp.arguments import positive, real
from fastbp.compiler import Described, Registry
from fastbp.simd.register import absolute, fma, like, load, maximum, minimum, select, store
from fastbp.simd.vmath import exp, log, sigmoid, softplus, tanh

__all__ = [
    "AbsoluteError",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Gamma",
    "Huber",
    "LogCosh",
    "Poisson",
    "Quantile",
    "SquaredError",
]

LOSSES = Registry("loss", "value_and_grad")


class Loss(Described):
    """Base of the losses.

    Attributes
    ----------
    link : str or None
        Name of the output activation that the loss owns.
    task : str
        "regression", with "not_negative" or "positive" where targets must be so; "labels" (one class of several); "binary"
        (each output 0 or 1).
    zero_if_met : bool
        Whether l is a sum of terms of one output each, which are 0, and have no slope, where output and target are equal. Then
        registers of outputs do as well as registers of samples, and lanes past the last output cost nothing.
    """

    registry = LOSSES
    link: str | None = None
    task = "regression"
    zero_if_met = False

    def scale(self, n_out: int) -> float:
        """The number given to ``value_and_grad`` as `scale`."""
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
    zero_if_met = True
    common = True

    def __init__(self, reduction: str = "half_sum"):
        if reduction not in ("half_sum", "sum", "mean"):
            raise ValueError(f"reduction must be 'half_sum', 'sum' or 'mean', got {reduction!r}")
        self.reduction = reduction

    def scale(self, n_out: int) -> float:
        """s of the class docstring."""
        return {"half_sum": 0.5, "sum": 1.0, "mean": 1.0 / n_out}[self.reduction]

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(count):
            error = load(x, k * stride) - load(y, k * stride)
            total = fma(error, error, total)
            store(d, k * stride, 2.0 * scale * error)
        return scale * total


@LOSSES.register
class CrossEntropy(Loss):
    """l = -sum_k y_k log softmax(z)_k = (sum_k y_k) log sum_k exp(z_k) - sum_k y_k z_k; dl/dz = (sum_k y_k) softmax(z) - y.

    Parameters
    ----------
    smoothing : float, default 0
        s in [0, 1): (1 - s) y_k + s / n_out takes the place of y_k (Szegedy et al., 2016).
    """

    name = "cross_entropy"
    common = True
    link = "softmax"
    task = "labels"

    def __init__(self, smoothing: float = 0.0):
        self.smoothing = real("smoothing", smoothing, below=1.0)

    def scale(self, n_out: int) -> float:
        """s."""
        return self.smoothing

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        keep, rest = 1.0 - scale, scale * (1.0 / count)
        highest = load(x, 0)
        for k in range(1, count):
            highest = maximum(highest, load(x, k * stride))
        # exp(z - max): the largest term is 1, so nothing overflows and the sum is at least 1
        total, mass, match = like(scale, 0.0), like(scale, 0.0), like(scale, 0.0)
        for k in range(count):
            shifted = load(x, k * stride) - highest
            target = fma(keep, load(y, k * stride), rest)
            term = exp(shifted)
            store(d, k * stride, term)
            total = total + term
            mass = mass + target
            match = fma(target, shifted, match)
        norm = mass / total
        for k in range(count):
            store(d, k * stride, fma(load(d, k * stride), norm, -fma(keep, load(y, k * stride), rest)))
        return fma(mass, log(total), -match)


@LOSSES.register
class BinaryCrossEntropy(Loss):
    """l = sum_k [log(1 + exp(z_k)) - y_k z_k], each output a yes or no of its own (multi-label); dl/dz = sigmoid(z) - y.

    Parameters
    ----------
    smoothing : float, default 0
        s in [0, 1): (1 - s) y_k + s / 2 takes the place of y_k.
    """

    name = "binary_cross_entropy"
    common = True
    link = "sigmoid"
    task = "binary"

    def __init__(self, smoothing: float = 0.0):
        self.smoothing = real("smoothing", smoothing, below=1.0)

    def scale(self, n_out: int) -> float:
        """s."""
        return self.smoothing

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(count):
            z, target = load(x, k * stride), fma(1.0 - scale, load(y, k * stride), 0.5 * scale)
            total = total + fma(-target, z, softplus(z))
            store(d, k * stride, sigmoid(z) - target)
        return total


@LOSSES.register
class Poisson(Loss):
    """l = sum_k [mu_k - y_k log mu_k + y_k log y_k - y_k] with mu = exp(z): half the deviance; dl/dz = mu - y."""

    name = "poisson"
    common = True
    link = "exp"
    task = "not_negative"

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(count):
            z, target = load(x, k * stride), load(y, k * stride)
            mean = exp(z)
            # y log y is 0 at 0
            saturated = select(target > 0.0, target * log(target), like(target, 0.0)) - target
            total = total + fma(-target, z, mean + saturated)
            store(d, k * stride, mean - target)
        return total


@LOSSES.register
class Gamma(Loss):
    """l = sum_k [log(mu_k / y_k) + y_k / mu_k - 1] with mu = exp(z): half the deviance; dl/dz = 1 - y / mu."""

    name = "gamma"
    link = "exp"
    task = "positive"

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(count):
            z, target = load(x, k * stride), load(y, k * stride)
            ratio = target * exp(-z)
            total = total + (z - log(target) + (ratio - 1.0))
            store(d, k * stride, 1.0 - ratio)
        return total


@LOSSES.register
class AbsoluteError(Loss):
    """l = sum_k |a_k - y_k|; dl/da = sign(a - y), 0 where they are equal."""

    name = "absolute"
    zero_if_met = True

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total, one = like(scale, 0.0), like(scale, 1.0)
        for k in range(count):
            error = load(x, k * stride) - load(y, k * stride)
            total = total + absolute(error)
            store(d, k * stride, select(error > 0.0, one, select(error < 0.0, -one, 0.0 * error)))
        return total


@LOSSES.register
class Huber(Loss):
    """l = sum_k e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2), with e = a_k - y_k (Huber, 1964).

    Parameters
    ----------
    delta : float, default 1.0
        > 0.
    """

    name = "huber"
    zero_if_met = True

    def __init__(self, delta: float = 1.0):
        self.delta = positive("delta", delta)

    def scale(self, n_out: int) -> float:
        """delta."""
        return self.delta

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(count):
            error = load(x, k * stride) - load(y, k * stride)
            slope = maximum(minimum(error, scale), -scale)
            # e s - s^2 / 2 is both cases, s being e cut off at delta
            total = fma(slope, fma(like(slope, -0.5), slope, error), total)
            store(d, k * stride, slope)
        return total


@LOSSES.register
class Quantile(Loss):
    """l = sum_k max(q e, (q - 1) e) with e = y_k - a_k, whose minimum is the q-quantile (Koenker & Bassett, 1978).

    Parameters
    ----------
    quantile : float, default 0.5
        q, in (0, 1).
    """

    name = "quantile"
    zero_if_met = True

    def __init__(self, quantile: float = 0.5):
        self.quantile = positive("quantile", quantile, below=1.0)

    def scale(self, n_out: int) -> float:
        """q."""
        return self.quantile

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(count):
            error = load(y, k * stride) - load(x, k * stride)
            total = total + maximum(scale * error, (scale - 1.0) * error)
            store(d, k * stride, select(error > 0.0, -scale, select(error < 0.0, 1.0 - scale, 0.0 * error)))
        return total


@LOSSES.register
class LogCosh(Loss):
    """l = sum_k log cosh(a_k - y_k): a smooth absolute error; dl/da = tanh(a - y)."""

    name = "log_cosh"
    zero_if_met = True

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(count):
            error = load(x, k * stride) - load(y, k * stride)
            # log cosh e = |e| + log(1 + exp(-2 |e|)) - log 2, which does not overflow
            size = absolute(error)
            total = total + (size + (softplus(-2.0 * size) - 0.6931471805599453))
            store(d, k * stride, tanh(error))
        return total


def get(value) -> Loss:
    """The loss meant by a name, class or instance; see `Registry.get`."""
    return LOSSES.get(value)
