"""Update rules: one class each, with its formula and its hyper-parameters.

``step(w, g, c)`` (no slot), ``step(w, g, s, c)`` or ``step(w, g, s, v, c)`` gives the new weight, and the new slots with it, on
registers; c is a tuple of registers, the coefficients of this step. ``prepare(h, c)`` computes them once a step from the
hyper-parameters h, in float64: it may keep running products in h. ``hyper()`` gives h. c[0] is 0 for biases and 1 for weights.

g is the gradient of the mean loss of the mini-batch plus penalties. Slots start at zero.
"""

from math import sqrt

from fastbp.arguments import boolean, positive, real
from fastbp.compiler import Described, Registry
from fastbp.simd import register
from fastbp.simd.register import fma

__all__ = ["SGD", "Adam", "AdamW", "Momentum", "Nesterov", "RMSprop"]

OPTIMIZERS = Registry("optimizer", "prepare", "step")
N_HYPER = 8  # numbers in h; h[0] is the learning rate, set anew every epoch
N_COEFFICIENTS = 8  # numbers in c


class Optimizer(Described):
    """Base of the rules: a learning rate, and how many slots (numbers kept for each parameter) the rule has.

    A rule that treats weights and biases differently sets ``decays``.
    """

    registry = OPTIMIZERS
    slots = 0
    decays = False

    def __init__(self, learning_rate: float = 0.01):
        self.learning_rate = positive("learning_rate", learning_rate)

    def hyper(self) -> tuple:
        """h: at most `N_HYPER` numbers, the learning rate first."""
        return (self.learning_rate,)


@OPTIMIZERS.register
class SGD(Optimizer):
    """w <- w - lr g.

    Parameters
    ----------
    learning_rate : float, default 0.01
    """

    name = "sgd"
    common = True

    @staticmethod
    def prepare(h, c):
        c[1] = -h[0]

    @staticmethod
    def step(w, g, c):
        return fma(c[1], g, w)


class _Momentum(Optimizer):
    slots = 1

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.9):
        super().__init__(learning_rate)
        self.momentum = real("momentum", momentum, most=1.0)

    def hyper(self) -> tuple:
        return self.learning_rate, self.momentum

    @staticmethod
    def prepare(h, c):
        c[1] = -h[0]
        c[2] = h[1]


@OPTIMIZERS.register
class Momentum(_Momentum):
    """v <- mu v - lr g, w <- w + v (Polyak, 1964).

    Parameters
    ----------
    learning_rate : float, default 0.01
    momentum : float, default 0.9
        mu, in [0, 1].
    """

    name = "momentum"
    common = True

    @staticmethod
    def step(w, g, s, c):
        s = fma(c[2], s, c[1] * g)
        return w + s, s


@OPTIMIZERS.register
class Nesterov(_Momentum):
    """v <- mu v - lr g, w <- w + mu v - lr g (Sutskever et al., 2013, in the form of scikit-learn and Keras).

    Parameters
    ----------
    learning_rate : float, default 0.01
    momentum : float, default 0.9
        mu, in [0, 1].
    """

    name = "nesterov"
    common = True

    @staticmethod
    def step(w, g, s, c):
        down = c[1] * g
        s = fma(c[2], s, down)
        return w + fma(c[2], s, down), s


class _Adam(Optimizer):
    slots = 2

    epsilon_hat = False

    def __init__(self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8):
        super().__init__(learning_rate)
        self.beta_1 = real("beta_1", beta_1, below=1.0)
        self.beta_2 = real("beta_2", beta_2, below=1.0)
        self.epsilon = positive("epsilon", epsilon)

    def hyper(self) -> tuple:
        # the last three are beta_1^t, beta_2^t and the form of epsilon
        return self.learning_rate, self.beta_1, self.beta_2, self.epsilon, 0.0, 1.0, 1.0, float(self.epsilon_hat)

    @staticmethod
    def prepare(h, c):
        h[5] *= h[1]
        h[6] *= h[2]
        # m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) = k m / (sqrt(v) + eps sqrt(1 - b2^t)) with one k for all parameters
        root = sqrt(1.0 - h[6])
        c[1] = -h[0] * root / (1.0 - h[5])
        c[2] = h[1]
        c[3] = 1.0 - h[1]
        c[4] = h[2]
        c[5] = 1.0 - h[2]
        c[6] = h[3] if h[7] > 0.0 else h[3] * root
        c[7] = -h[0] * h[4]


@OPTIMIZERS.register
class Adam(_Adam):
    """Algorithm 1 of Kingma & Ba (2015).

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        b1 and b2, in [0, 1).
    epsilon : float, default 1e-8
    epsilon_hat : bool, default False
        Take `epsilon` for the paper's epsilon-hat (end of its section 2), as Keras and scikit-learn do:
        w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon).
    """

    name = "adam"
    common = True

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        epsilon_hat: bool = False,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon)
        self.epsilon_hat = boolean("epsilon_hat", epsilon_hat)

    @staticmethod
    def step(w, g, s, v, c):
        s = fma(c[2], s, c[3] * g)
        v = fma(c[4], v, c[5] * (g * g))
        return w + c[1] * s / (register.sqrt(v) + c[6]), s, v


@OPTIMIZERS.register
class RMSprop(Optimizer):
    """s <- rho s + (1 - rho) g^2, w <- w - lr g / (sqrt(s) + epsilon) (Tieleman & Hinton, 2012).

    Parameters
    ----------
    learning_rate : float, default 0.001
    rho : float, default 0.9
        Decay of the mean square, in [0, 1).
    epsilon : float, default 1e-8
    """

    name = "rmsprop"
    slots = 1

    def __init__(self, learning_rate: float = 0.001, rho: float = 0.9, epsilon: float = 1e-8):
        super().__init__(learning_rate)
        self.rho = real("rho", rho, below=1.0)
        self.epsilon = positive("epsilon", epsilon)

    def hyper(self) -> tuple:
        return self.learning_rate, self.rho, self.epsilon

    @staticmethod
    def prepare(h, c):
        c[1] = -h[0]
        c[2] = h[1]
        c[3] = 1.0 - h[1]
        c[4] = h[2]

    @staticmethod
    def step(w, g, s, c):
        s = fma(c[2], s, c[3] * (g * g))
        return w + c[1] * g / (register.sqrt(s) + c[4]), s


@OPTIMIZERS.register
class AdamW(_Adam):
    """Adam with decoupled weight decay: also w <- w - lr weight_decay w, weights only (Loshchilov & Hutter, 2019).

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
    epsilon : float, default 1e-8
    weight_decay : float, default 0.01
    """

    name = "adamw"
    decays = True

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon)
        self.weight_decay = real("weight_decay", weight_decay)

    def hyper(self) -> tuple:
        return self.learning_rate, self.beta_1, self.beta_2, self.epsilon, self.weight_decay, 1.0, 1.0, 0.0

    @staticmethod
    def step(w, g, s, v, c):
        s = fma(c[2], s, c[3] * g)
        v = fma(c[4], v, c[5] * (g * g))
        return fma(c[0] * c[7], w, w) + c[1] * s / (register.sqrt(v) + c[6]), s, v


def get(value) -> Optimizer:
    """The rule meant by a name, class or instance; see `Registry.get`."""
    return OPTIMIZERS.get(value)
