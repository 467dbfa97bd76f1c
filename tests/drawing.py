"""Parts of random fits, as Hypothesis draws them: activations, losses, rules, schedules, targets."""

import numpy as np
from hypothesis import strategies as st

from fastbp import activations, losses, optimizers, schedules

RULES = {
    "momentum": {"momentum": (0, 1)},
    "nesterov": {"momentum": (0, 1)},
    "rmsprop": {"rho": (0, 0.99)},
    "adam": {"beta_1": (0, 0.95), "beta_2": (0, 0.999)},
    "adamw": {"beta_1": (0, 0.95), "beta_2": (0, 0.999), "weight_decay": (0, 2)},
}  # hyper-parameters from the one to the other


class Drawing:
    """What Hypothesis draws; what comes of it when it is made small is the simplest."""

    def __init__(self, draw):
        self._draw = draw

    def choose(self, items):
        return items[self.count(0, len(items) - 1)]

    def count(self, least, most):
        return self._draw(st.integers(least, most))

    def flag(self, percent):
        return self.count(0, 99) >= 100 - percent

    def number(self, least, most):
        """A multiple of a thousandth of the span."""
        return least + (most - least) * self.count(0, 1000) / 1000

    def power(self, least, most):
        return 10.0 ** self.number(least, most)

    def maybe(self, percent, draw, *arguments):
        return draw(*arguments) if self.flag(percent) else None


def draw_activation(draw):
    cls = draw.choose(activations.ACTIVATIONS.classes)
    return cls(draw.number(0.05, 1.5)) if cls.name in ("leaky_relu", "elu") and draw.flag(50) else cls()


def draw_loss(draw):
    cls = draw.choose(losses.LOSSES.classes)
    parameters = {
        "squared": lambda: draw.choose(("half_sum", "sum", "mean")),
        "cross_entropy": lambda: draw.choose((0.0, 0.1)),
        "binary_cross_entropy": lambda: draw.choose((0.0, 0.1)),
        "huber": lambda: draw.number(0.1, 2),
        "quantile": lambda: draw.number(0.1, 0.9),
    }
    return cls(parameters[cls.name]()) if cls.name in parameters else cls()


def draw_rule(draw):
    cls, rate = draw.choose(optimizers.OPTIMIZERS.classes), draw.power(-3, -1)
    hyper = {}
    if draw.flag(50):
        hyper = {name: draw.number(*span) for name, span in RULES.get(cls.name, {}).items()}
        hyper |= {"epsilon": draw.power(-8, -1)} if cls.name in ("rmsprop", "adam", "adamw") else {}
        hyper |= {"epsilon_hat": draw.flag(50)} if cls.name == "adam" else {}
    return cls(rate, **hyper)


def draw_schedule(draw):
    cls = draw.choose((schedules.Constant, *schedules.SCHEDULES.classes))
    return cls(3) if cls in (schedules.Step, schedules.WarmUp) else cls()


def draw_targets(rng, loss, n, n_out, as_labels):
    """(what the kernels are given, rows for the reference)."""
    if loss.task == "labels":
        if as_labels and n_out > 1:
            labels = rng.integers(0, n_out, n)
            return labels, np.eye(n_out)[labels]
        rows = rng.dirichlet(np.ones(n_out), n)
    elif loss.task in ("not_negative", "positive"):
        rows = rng.poisson(1.5, (n, n_out)) + (loss.task == "positive") * rng.uniform(0.1, 1, (n, n_out))
    elif loss.task == "binary":
        rows = rng.integers(0, 2, (n, n_out)) if as_labels else rng.uniform(size=(n, n_out))
    else:
        rows = rng.normal(size=(n, n_out))
    return rows, rows
