# mypy: allow-untyped-calls
"""Initialisers: one class each, with the distribution that the weights of a layer are drawn from.

All draw float64 numbers from a `numpy.random.Generator`, so that a seed gives the same network in float32 up to rounding. n_in
and n_out are the numbers of inputs and of units of the layer. Biases are zero except where a class says otherwise.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.arguments import positive, real
from fastbp.compiler import Described, Registry

INITIALIZERS = Registry("init")


class Initializer(Described):
    """Base of the initialisers."""

    registry = INITIALIZERS

    def weights(self, rng: np.random.Generator, n_out: int, n_in: int) -> NDArray[np.float64]:
        """Weights of a layer, (n_out, n_in), float64."""
        return self._draw(rng, (n_out, n_in))

    def biases(self, rng: np.random.Generator, n_out: int) -> NDArray[np.float64]:
        """Biases of a layer, (n_out,), float64."""
        return np.zeros(n_out)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        raise NotImplementedError


class _Uniform(Initializer):
    """U(-r, r) with r = sqrt(3 variance)."""

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        r = (3.0 * self._variance(*shape)) ** 0.5
        return rng.uniform(-r, r, shape)

    def _variance(self, n_out: int, n_in: int) -> float:
        raise NotImplementedError


class _Normal(Initializer):
    """N(0, variance), not truncated."""

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return rng.normal(0.0, self._variance(*shape) ** 0.5, shape)

    def _variance(self, n_out: int, n_in: int) -> float:
        raise NotImplementedError


class _Plain(Initializer):
    """A distribution that does not depend on the layer; biases are drawn from it too."""

    def biases(self, rng: np.random.Generator, n_out: int) -> NDArray[np.float64]:
        return self._draw(rng, (n_out,))


@INITIALIZERS.register
class GlorotUniform(_Uniform):
    """Weights from U(-r, r), r = sqrt(6 / (n_in + n_out)), of variance 2 / (n_in + n_out).

    Keeps the variance of activations and of deltas about equal from layer to layer where f'(0) = 1 and f is odd (tanh).

    References
    ----------
    Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", AISTATS, eq. 16.
    """

    name = "glorot_uniform"

    def _variance(self, n_out: int, n_in: int) -> float:
        return 2.0 / (n_in + n_out)


@INITIALIZERS.register
class GlorotNormal(_Normal):
    """Weights from N(0, 2 / (n_in + n_out)).

    References
    ----------
    Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", AISTATS, eq. 12.
    """

    name = "glorot_normal"

    def _variance(self, n_out: int, n_in: int) -> float:
        return 2.0 / (n_in + n_out)


@INITIALIZERS.register
class HeUniform(_Uniform):
    """Weights from U(-r, r), r = sqrt(6 / n_in), of variance 2 / n_in.

    Keeps the mean square of activations equal from layer to layer where f is zero on one side (relu).

    References
    ----------
    He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers", ICCV, eq. 10.
    """

    name = "he_uniform"

    def _variance(self, n_out: int, n_in: int) -> float:
        return 2.0 / n_in


@INITIALIZERS.register
class HeNormal(_Normal):
    """Weights from N(0, 2 / n_in).

    References
    ----------
    He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers", ICCV, eq. 10.
    """

    name = "he_normal"

    def _variance(self, n_out: int, n_in: int) -> float:
        return 2.0 / n_in


@INITIALIZERS.register
class LeCunUniform(_Uniform):
    """Weights from U(-r, r), r = sqrt(3 / n_in), of variance 1 / n_in.

    References
    ----------
    LeCun, Bottou, Orr & Mueller (1998), "Efficient BackProp", in Neural Networks: Tricks of the Trade, eq. 16.
    """

    name = "lecun_uniform"

    def _variance(self, n_out: int, n_in: int) -> float:
        return 1.0 / n_in


@INITIALIZERS.register
class LeCunNormal(_Normal):
    """Weights from N(0, 1 / n_in), which selu needs to normalise itself.

    References
    ----------
    LeCun, Bottou, Orr & Mueller (1998), "Efficient BackProp", in Neural Networks: Tricks of the Trade, eq. 16.
    Klambauer, Unterthiner, Mayr & Hochreiter (2017), "Self-normalizing neural networks", NeurIPS.
    """

    name = "lecun_normal"

    def _variance(self, n_out: int, n_in: int) -> float:
        return 1.0 / n_in


@INITIALIZERS.register
class Normal(_Plain):
    """Weights and biases from N(0, std^2), whatever the layer; with std = 1 the initialisation of Nielsen's book.

    Parameters
    ----------
    std : float, default 1.0
        Standard deviation, > 0.

    References
    ----------
    Nielsen (2015), "Neural Networks and Deep Learning", chapter 1, class Network.
    """

    name = "normal"

    def __init__(self, std: float = 1.0):
        self.std = positive("std", std)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return rng.normal(0.0, self.std, shape)


@INITIALIZERS.register
class Uniform(_Plain):
    """Weights and biases from U(low, high), whatever the layer; low=0, high=1 is ``numpy.random.rand``.

    Parameters
    ----------
    low, high : float, default -0.05 and 0.05
        Bounds, low < high. The defaults are those of Keras's RandomUniform.
    """

    name = "uniform"

    def __init__(self, low: float = -0.05, high: float = 0.05):
        self.low, self.high = real("low", low, least=-np.inf), real("high", high, least=-np.inf)
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, got low={low!r}, high={high!r}")

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return rng.uniform(self.low, self.high, shape)


def get(value: Any) -> Initializer:
    """The initialiser meant by a name, class or instance; see `Registry.get`."""
    initializer: Initializer = INITIALIZERS.get(value)
    return initializer
