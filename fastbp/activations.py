"""Activations: one class each, with its formula, its slope and its shape parameter.

To add one, here or in a program of your own, write a class with the two static methods below and decorate it with
``ACTIVATIONS.register``; its name, code, kernels, tests and table of the documentation follow.

``value(z, alpha)`` is a = f(z) and ``slope(z, a, alpha)`` is f'(z), on registers of float32 or float64. `slope` may use whichever
of z and a is cheaper; a class that reads z sets ``needs_z``, and z is then kept beside a. The law the tests check over all of
them: slope is the derivative of value.
"""

from fastbp.arguments import positive
from fastbp.compiler import Described, Registry
from fastbp.simd.register import floor_at, fma, like, minimum, select
from fastbp.simd.vmath import erf, exp, expm1, sigmoid, softplus, tanh

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Exp",
    "HardSigmoid",
    "Identity",
    "LeakyReLU",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]

ACTIVATIONS = Registry("activation", "value", "slope")


class Activation(Described):
    """Base: an elementwise function of the raw output z of a layer, with an optional shape parameter ``alpha``.

    Attributes
    ----------
    init : str
        Name of the initialiser of the weights of layers that have this activation, where a network is given none.
    needs_z : bool
        Whether `slope` reads z.
    """

    registry = ACTIVATIONS
    init = "glorot_uniform"
    needs_z = False
    alpha = 0.0


@ACTIVATIONS.register
class Identity(Activation):
    """f(z) = z, f' = 1."""

    name = "identity"
    common = True

    @staticmethod
    def value(z, alpha):
        return z

    @staticmethod
    def slope(z, a, alpha):
        return like(z, 1.0)


@ACTIVATIONS.register
class ReLU(Activation):
    """f(z) = max(z, 0); f' = 1 for z > 0, else 0 (also at 0)."""

    name = "relu"
    init = "he_normal"
    common = True

    @staticmethod
    def value(z, alpha):
        return floor_at(z, like(z, 0.0))

    @staticmethod
    def slope(z, a, alpha):
        return select(a > 0.0, like(z, 1.0), like(z, 0.0))


@ACTIVATIONS.register
class Sigmoid(Activation):
    """f(z) = 1 / (1 + exp(-z)), f' = a (1 - a)."""

    name = "sigmoid"
    common = True

    @staticmethod
    def value(z, alpha):
        return sigmoid(z)

    @staticmethod
    def slope(z, a, alpha):
        return a * (1.0 - a)


@ACTIVATIONS.register
class Tanh(Activation):
    """f(z) = tanh(z), f' = 1 - a^2."""

    name = "tanh"
    common = True

    @staticmethod
    def value(z, alpha):
        return tanh(z)

    @staticmethod
    def slope(z, a, alpha):
        return (1.0 - a) * (1.0 + a)


@ACTIVATIONS.register
class Exp(Activation):
    """f(z) = f' = exp(z)."""

    name = "exp"
    common = True

    @staticmethod
    def value(z, alpha):
        return exp(z)

    @staticmethod
    def slope(z, a, alpha):
        return a


@ACTIVATIONS.register
class LeakyReLU(Activation):
    """f(z) = z for z > 0, else alpha z; f' = 1 or alpha (alpha at 0).

    Parameters
    ----------
    alpha : float, default 0.01
        Slope on the negative side, > 0 (for 0 use ReLU).
    """

    name = "leaky_relu"
    init = "he_normal"

    def __init__(self, alpha: float = 0.01):
        self.alpha = positive("alpha", alpha)

    @staticmethod
    def value(z, alpha):
        return select(z > 0.0, z, alpha * z)

    @staticmethod
    def slope(z, a, alpha):
        return select(a > 0.0, like(z, 1.0), alpha)


@ACTIVATIONS.register
class ELU(Activation):
    """f(z) = z for z > 0, else alpha (exp(z) - 1); f' = 1 or a + alpha (Clevert et al., 2016).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit at -infinity, > 0.
    """

    name = "elu"
    init = "he_normal"

    def __init__(self, alpha: float = 1.0):
        self.alpha = positive("alpha", alpha)

    @staticmethod
    def value(z, alpha):
        return select(z > 0.0, z, alpha * expm1(minimum(z, like(z, 0.0))))

    @staticmethod
    def slope(z, a, alpha):
        return select(a > 0.0, like(z, 1.0), a + alpha)


SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


@ACTIVATIONS.register
class SELU(Activation):
    """f(z) = s z for z > 0, else s alpha (exp(z) - 1), with s = 1.0507... and alpha = 1.6732... (Klambauer et al., 2017)."""

    name = "selu"
    init = "lecun_normal"

    @staticmethod
    def value(z, alpha):
        return SELU_SCALE * select(z > 0.0, z, SELU_ALPHA * expm1(minimum(z, like(z, 0.0))))

    @staticmethod
    def slope(z, a, alpha):
        return select(a > 0.0, like(z, SELU_SCALE), a + SELU_SCALE * SELU_ALPHA)


@ACTIVATIONS.register
class Softplus(Activation):
    """f(z) = log(1 + exp(z)), f' = sigmoid(z) = 1 - exp(-a)."""

    name = "softplus"
    init = "he_normal"
    needs_z = True

    @staticmethod
    def value(z, alpha):
        return softplus(z)

    @staticmethod
    def slope(z, a, alpha):
        return sigmoid(z)


@ACTIVATIONS.register
class SiLU(Activation):
    """f(z) = z sigmoid(z), f' = s + a (1 - s) with s = sigmoid(z) (Elfwing et al., 2018)."""

    name = "silu"
    init = "he_normal"
    needs_z = True

    @staticmethod
    def value(z, alpha):
        return z * sigmoid(z)

    @staticmethod
    def slope(z, a, alpha):
        s = sigmoid(z)
        return fma(a, 1.0 - s, s)


@ACTIVATIONS.register
class GELU(Activation):
    """f(z) = z Phi(z), f' = Phi(z) + z phi(z), Phi and phi of the standard normal distribution (Hendrycks & Gimpel, 2016)."""

    name = "gelu"
    init = "he_normal"
    needs_z = True

    @staticmethod
    def value(z, alpha):
        return z * (0.5 * (1.0 + erf(z * 0.7071067811865476)))

    @staticmethod
    def slope(z, a, alpha):
        cumulative = 0.5 * (1.0 + erf(z * 0.7071067811865476))
        return fma(z, 0.3989422804014327 * exp(-0.5 * (z * z)), cumulative)


@ACTIVATIONS.register
class Mish(Activation):
    """f(z) = z t, f' = t + z (1 - t^2) sigmoid(z) with t = tanh(log(1 + exp(z))) (Misra, 2020)."""

    name = "mish"
    init = "he_normal"
    needs_z = True

    @staticmethod
    def value(z, alpha):
        # tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2); it is 1 from z = 20 on
        e = exp(minimum(z, like(z, 20.0)))
        n = e * (e + 2.0)
        return z * (n / (n + 2.0))

    @staticmethod
    def slope(z, a, alpha):
        e = exp(minimum(z, like(z, 20.0)))
        n = e * (e + 2.0)
        inverse = 1.0 / (n + 2.0)
        t = n * inverse
        # 1 - t = 2 / (n + 2), which loses no digits; sigmoid(z) = e / (1 + e)
        return fma(z * ((1.0 + t) * (2.0 * inverse)), e / (1.0 + e), t)


@ACTIVATIONS.register
class HardSigmoid(Activation):
    """f(z) = min(max(z / 6 + 1/2, 0), 1), f' = 1/6 where 0 < a < 1, else 0."""

    name = "hard_sigmoid"

    @staticmethod
    def value(z, alpha):
        return minimum(floor_at(z * (1.0 / 6.0) + 0.5, like(z, 0.0)), like(z, 1.0))

    @staticmethod
    def slope(z, a, alpha):
        return select((a > 0.0) & (a < 1.0), like(z, 1.0 / 6.0), like(z, 0.0))


class Softmax(Activation):
    """f(z)_k = exp(z_k) / sum_j exp(z_j): the output of a network trained with cross-entropy, which owns it."""

    name = "softmax"
    common = True


def get(value, argument: str = "activation") -> Activation:
    """The activation meant by a name, class or instance; see `Registry.get`."""
    return ACTIVATIONS.get(value, argument)


def of_layers(value, count: int) -> tuple:
    """The activations of so many hidden layers: one for all, or a list with one each.

    Raises
    ------
    ValueError
        If there are not as many as layers, or one is not known.
    """
    if not isinstance(value, list | tuple):
        return (get(value, "hidden"),) * count
    if len(value) != count:
        raise ValueError(f"hidden must name one activation for each of the {count} hidden layers, got {len(value)}")
    return tuple(get(item, f"hidden[{i}]") for i, item in enumerate(value))
