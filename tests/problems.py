"""Networks, samples and targets for tests and scripts, and cases enumerated from the registries."""

import inspect
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from unittest.mock import patch

import numpy as np

from fastbp import activations, baseline, losses, optimizers
from fastbp.engine import crew, threads
from fastbp.network import Network

DTYPES = ("float32", "float64")
# around the widths of registers, panels and tiles, and primes
WIDTHS = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65)


def _takes(cls, name):
    return name in inspect.signature(cls).parameters


# every activation, and those with a shape parameter once more with another one
ACTIVATIONS = [cls() for cls in activations.ACTIVATIONS.classes]
ACTIVATIONS += [cls(alpha=0.37) for cls in activations.ACTIVATIONS.classes if _takes(cls, "alpha")]
LOSSES = [cls() for cls in losses.LOSSES.classes] + [losses.SquaredError(reduction) for reduction in ("sum", "mean")]
LOSSES += [cls(0.3) for cls in losses.LOSSES.classes if any(type(value) is float for value in cls().parameters().values())]
RULES = [cls(0.01) for cls in optimizers.OPTIMIZERS.classes] + [optimizers.Adam(0.01, epsilon=1e-3, epsilon_hat=True)]
# every activation with a loss that has a link and one that has not, every loss with one activation: for what goes wrong in either
PAIRS = [(activation, loss) for activation in ACTIVATIONS for loss in (losses.SquaredError(), losses.CrossEntropy())]
PAIRS += [(activations.Tanh(), loss) for loss in LOSSES if loss not in (losses.SquaredError(), losses.CrossEntropy())]
KINKS = (-3.0, 0.0, 3.0)  # where the slope of some activation jumps


def label(case):
    """Name of a case in a test's id."""
    return "-".join([case.name, *(str(value) for value in case.parameters().values())])


def make_net(sizes, hidden="tanh", loss="squared", *, dtype="float64", seed=0, **settings):
    """A network with random weights and biases, raw outputs of about 1."""
    rng = np.random.default_rng(seed)
    shapes = [(n_out, n_in) for n_in, n_out in pairwise(sizes)]
    weights = [rng.normal(size=shape) / shape[1] ** 0.5 for shape in shapes]
    biases = [rng.normal(size=n_out) / 2 for n_out, _ in shapes]
    return Network(sizes, hidden, loss, dtype=dtype, weights=weights, biases=biases, rng=seed, **settings)


def make_samples(n, n_in, dtype="float64", seed=0):
    """(n, n_in) standard normal."""
    return np.random.default_rng([seed, 1]).normal(size=(n, n_in)).astype(dtype)


def make_targets(loss, n, n_out, dtype="float64", seed=0):
    """Rows of targets (n, n_out) that suit a loss: any, positive, probabilities, or from 0 to 1."""
    rng, task = np.random.default_rng([seed, 2]), losses.get(loss).task
    if task == "labels":
        return rng.dirichlet(np.ones(n_out), n).astype(dtype)
    if task in ("not_negative", "positive"):
        counts = rng.poisson(1.5, size=(n, n_out)) if task == "not_negative" else rng.gamma(2.0, size=(n, n_out))
        return counts.astype(dtype)
    return (rng.uniform(size=(n, n_out)) if task == "binary" else rng.normal(size=(n, n_out))).astype(dtype)


def problem(sizes=(4, 6, 3), n=40, *, loss="squared", dtype="float64", hidden="tanh", seed=0):
    """A network, samples and targets."""
    net = make_net(sizes, hidden, loss, dtype=dtype, seed=seed)
    return net, make_samples(n, sizes[0], dtype, seed), make_targets(loss, n, sizes[-1], dtype, seed)


def same_state(one, other):
    """Two states of trainers are equal to the bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_equal(other[name], value, err_msg=name)


def oracle(net):
    """The same network in NumPy and float64."""
    settings = {"output": net.output, "dtype": "float64", "weights": net.weights, "biases": net.biases}
    return baseline.Network(net.sizes, net.hidden, net.loss_function, **settings)


def flat(weights, biases):
    """[W0, b0, W1, b1, ...] as one vector."""
    return np.concatenate([np.ravel(array) for pair in zip(weights, biases, strict=True) for array in pair])


def error(result, expected):
    """Largest difference in units of the largest number expected."""
    result, expected = np.asarray(result, np.float64), np.asarray(expected, np.float64)
    assert result.shape == expected.shape
    scale = np.abs(expected).max()
    difference = np.abs(result - expected).max()
    return float(difference / scale) if scale > 0 else float(difference)


PATIENCE = {"FOR_ARRIVAL": 10**10, "FOR_ANSWER": 10**10, "TOO_MUCH": 1 << 60}  # of a crew that waits for all of its members


@contextmanager
def teams(whole=True):
    """As many threads as a call may have, however little the work, and those who come late waited for, or as it is."""
    with ExitStack() as changes:
        changes.enter_context(patch.object(threads, "members_for", lambda flop, limit, *start: 1 if start else limit or 1))
        changes.enter_context(patch.object(crew, "_known", np.zeros_like(crew._known)))  # nobody is to stay at home
        for name, value in PATIENCE.items() if whole else ():
            changes.enter_context(patch.object(crew, name, value))
        yield
