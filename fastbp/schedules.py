"""Schedules of the learning rate: one class each, with its formula.

``factor(t, epochs)`` is what the learning rate of the optimiser is multiplied by at time t, a vector of times in epochs from 0 to
`epochs`. A class with ``per_step`` is asked for the beginning of every mini-batch, the others for the beginning of every epoch.
"""

from typing import Any

import numpy as np

from fastbp.arguments import integer, positive, real
from fastbp.compiler import Described, Registry

SCHEDULES = Registry("schedule")


class Schedule(Described):
    """Base of the schedules."""

    registry = SCHEDULES
    per_step = False
    needs_end = True  # whether rates depend on the epochs of the fit

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """Factors (n,) of the learning rate at the times t (n,)."""
        raise NotImplementedError

    def rates(self, learning_rate: float, epochs: int, steps: int, first: int = 0, last: int | None = None) -> np.ndarray:
        """Learning rates of a fit.

        Parameters
        ----------
        learning_rate : float
            Of the optimiser.
        epochs, steps : int
            Epochs of the fit, and mini-batches of an epoch.
        first, last : int, optional
            Of the epochs range(first, last) alone, by default of all; what comes after the fit has its last rate.

        Returns
        -------
        ndarray (last - first, 1) or (last - first, steps)
            Of every epoch, or of every mini-batch.
        """
        count, last = steps if self.per_step else 1, epochs if last is None else last
        t = np.minimum(np.arange(first * count, last * count), epochs * count - 1) / count
        return learning_rate * np.asarray(self.factor(t, float(epochs)), np.float64).reshape(last - first, count)


@SCHEDULES.register
class Constant(Schedule):
    """rate = lr."""

    name = "constant"
    needs_end = False

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """1."""
        return np.ones_like(t)

    def rates(self, learning_rate: float, epochs: int, steps: int, first: int = 0, last: int | None = None) -> np.ndarray:
        """The learning rate."""
        return np.full(((epochs if last is None else last) - first, 1), learning_rate)


@SCHEDULES.register
class Step(Schedule):
    """rate = lr gamma^floor(t / every): a constant for `every` epochs, then gamma times that.

    Parameters
    ----------
    every : float, default 10
        Epochs, > 0.
    gamma : float, default 0.1
        > 0.
    """

    name = "step"
    needs_end = False

    def __init__(self, every: float = 10, gamma: float = 0.1):
        self.every, self.gamma = positive("every", every), positive("gamma", gamma)

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """gamma^floor(t / every)."""
        return self.gamma ** np.floor(t / self.every)


@SCHEDULES.register
class Exponential(Schedule):
    """rate = lr gamma^t, a new rate every epoch.

    Parameters
    ----------
    gamma : float, default 0.95
        > 0.
    """

    name = "exponential"
    needs_end = False

    def __init__(self, gamma: float = 0.95):
        self.gamma = positive("gamma", gamma)

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """gamma^t."""
        return self.gamma**t


def _cosine(start: float, end: float, part: np.ndarray) -> np.ndarray:
    """From `start` (part 0) to `end` (part 1) along half a cosine."""
    return end + (start - end) * (1 + np.cos(np.pi * part)) / 2


@SCHEDULES.register
class Cosine(Schedule):
    """rate = lr (final + (1 - final) (1 + cos(pi t / T)) / 2), T the epochs of the fit; a new rate every mini-batch.

    Equation 5 of Loshchilov & Hutter (2017), SGDR: stochastic gradient descent with warm restarts, without restarts.

    Parameters
    ----------
    final : float, default 0
        In [0, 1].
    """

    name = "cosine"
    per_step = True

    def __init__(self, final: float = 0.0):
        self.final = real("final", final, most=1.0)

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """The formula of the class."""
        return _cosine(1.0, self.final, t / epochs)


@SCHEDULES.register
class OneCycle(Schedule):
    """rate = lr times half a cosine from start to 1 while t < peak T, then one from 1 to end, T the epochs of the fit.

    A new rate every mini-batch. Smith & Topin (2018), Super-convergence, with cosines as in PyTorch's OneCycleLR; the momentum is
    not changed. The learning rate of the optimiser is the highest of the cycle.

    Parameters
    ----------
    peak : float, default 0.3
        Part of the fit in which the rate rises, in (0, 1).
    start, end : float, default 1/25 and 4e-6
        First and last factor, in [0, 1].
    """

    name = "one_cycle"
    per_step = True

    def __init__(self, peak: float = 0.3, start: float = 0.04, end: float = 4e-6):
        self.peak = positive("peak", peak, below=1.0)
        self.start = real("start", start, most=1.0)
        self.end = real("end", end, most=1.0)

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """The formula of the class."""
        part = t / epochs
        rise, fall = _cosine(self.start, 1.0, part / self.peak), _cosine(1.0, self.end, (part - self.peak) / (1 - self.peak))
        return np.where(part < self.peak, rise, fall)


@SCHEDULES.register
class CosLog(Schedule):
    """rate = lr (1 - cos(2 pi log2(1 + (2^cycles - 1) t / T))) / 2: cycles of which each is twice as long as the one before.

    "coslog4" of Holzmueller, Grinsztajn & Steinwart (2024), Better by Default. A new rate every mini-batch.

    Parameters
    ----------
    cycles : int, default 4
    """

    name = "cos_log"
    per_step = True

    def __init__(self, cycles: int = 4):
        self.cycles = integer("cycles", cycles)

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """The formula of the class."""
        found: np.ndarray = (1 - np.cos(2 * np.pi * np.log2(1 + (2**self.cycles - 1) * t / epochs))) / 2
        return found


@SCHEDULES.register
class FlatCosine(Schedule):
    """rate = lr while t < flat T, then along half a cosine to 0. A new rate every mini-batch.

    Parameters
    ----------
    flat : float, default 0.5
        Part of the fit, in [0, 1).
    """

    name = "flat_cosine"
    per_step = True

    def __init__(self, flat: float = 0.5):
        self.flat = real("flat", flat, below=1.0)

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """The formula of the class."""
        return _cosine(1.0, 0.0, np.maximum(t / epochs - self.flat, 0) / (1 - self.flat))


@SCHEDULES.register
class WarmUp(Schedule):
    """rate = lr (start + (1 - start) t / epochs) while t < epochs; then the schedule `then`, whose time starts there.

    A new rate every mini-batch, also in a `then` that has one every epoch. Goyal et al. (2017), section 2.2.

    Parameters
    ----------
    epochs : float, default 5
        > 0; it need not be whole.
    then : str or Schedule, default "constant"
    start : float, default 0
        In [0, 1].
    """

    name = "warm_up"
    per_step = True

    def __init__(self, epochs: float = 5, then: "str | Schedule" = "constant", start: float = 0.0):
        self.epochs, self.then = positive("epochs", epochs), get(then, "then")
        self.start = real("start", start, most=1.0)

    @property
    def needs_end(self) -> bool:  # type: ignore[override]
        """As of the schedule that comes after."""
        return self.then.needs_end

    def factor(self, t: np.ndarray, epochs: float) -> np.ndarray:
        """The formula of the class."""
        rise = self.start + (1 - self.start) * t / self.epochs
        after = np.maximum(t - self.epochs, 0.0)
        rest = self.then.factor(after if self.then.per_step else np.floor(after), max(epochs - self.epochs, 1e-9))
        return np.where(t < self.epochs, rise, rest)


def get(value: Any, argument: str = "schedule") -> Schedule:
    """The schedule meant by a name, class or instance; see `Registry.get`."""
    found: Schedule = SCHEDULES.get(value, argument)
    return found
