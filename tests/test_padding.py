"""Lanes past the last unit, rows past the last sample, buffers before they are written: whatever is in them reaches no result."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ACTIVATIONS, LOSSES, RULES, label, make_net, make_samples, make_targets, oracle
from scipy.sparse import csr_array

from fastbp import SGD, Network
from fastbp.engine.regularization import Regularization
from fastbp.engine.session import Session
from fastbp.engine.sparsity import CompressedRows, entries
from fastbp.engine.training_session import TrainingSession
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE, PREDICT

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
ALL = Regularization(l1=1e-3, clip_norm=0.5, clip_value=0.2, max_norm=1.5, dropout=(0.2, 0.4, 0.0))
# panels with one, two and three columns, up to a register, past one, and full, in either precision
SIZES = [(5, 3, 1), (3, 17, 2), (7, 4, 9), (40, 25, 3), (26, 33, 5), (9, 20, 12)]


def poison(session):
    """NaN wherever the kernels keep what is not theirs from call to call: all but slots and shape parameters."""
    plan = session.plan
    kept = np.zeros(session.work.size, bool)
    kept[plan.layers["alpha"]] = True
    if isinstance(session, TrainingSession):
        kept[plan.slot_1 : plan.slot_1 + session.rule.slots * plan.n_packed] = True
    session.work[~kept] = np.nan


def train(net, X, y, *, spoilt, batch=9, epochs=2, **options):
    """Parameters, losses and norms after each step of a training, every step in a call of its own."""
    rule, weights = options.pop("rule", SGD(0.05)), options.pop("weights", None)
    session = TrainingSession(net, batch, rule, **options)
    session.set_data(entries_of(X) if options.get("entries") else X, y, None, weights)
    session.plan.separate |= not options.get("narrow", False)
    session.set_penalty(0.0 if options.get("narrow") else 1e-3, options["extra"].l1 if "extra" in options else 0.0)
    session.rates = np.full(epochs, 0.01)
    session.record = np.full(epochs * (1 + 4 * len(net.weights)), 0.0)
    results = []
    while session.plan.epoch < epochs:
        if spoilt:
            poison(session)
        session.train(epochs, -(-batch // session._piece))
        results += [net.params.copy(), session.record.copy()]
    session.close()
    return np.concatenate(results)


def entries_of(X):
    return CompressedRows.of(csr_array(X))


def assert_same_bits(net, X, y, **options):
    clean = train(net.copy(), X, y, spoilt=False, **options)
    np.testing.assert_array_equal(train(net.copy(), X, y, spoilt=True, **options), clean)
    assert np.isfinite(clean).all()


def problem(sizes, hidden, loss, dtype, n=23, output=None):
    # small outputs: exp of exp must stay finite
    net = make_net(sizes, hidden, loss, dtype=dtype, output=output)
    net.params *= 0.3
    return net, make_samples(n, sizes[0], dtype), make_targets(loss, n, sizes[-1], dtype)


@DTYPES
@pytest.mark.parametrize("hidden", ACTIVATIONS, ids=label)
def test_training_reads_nothing_that_is_not_its_own(hidden, dtype):
    for sizes in SIZES:
        net, X, y = problem(sizes, hidden, "squared", dtype, output=hidden)
        assert_same_bits(net, X, y)
        assert_same_bits(net, X, y, members=2)
        assert_same_bits(net, X, y, extra=Regularization(l1=1e-3, clip_norm=0.5, max_norm=1.5))
        if sizes[0] >= 26:
            X[np.random.default_rng(0).uniform(size=X.shape) < 0.8] = 0
            assert_same_bits(net, X, y, entries=entries(entries_of(X), sizes[1]))


@DTYPES
@pytest.mark.parametrize("rule", RULES, ids=label)
def test_training_with_everything_reads_nothing_that_is_not_its_own(rule, dtype):
    for sizes in SIZES:
        net, X, y = problem((*sizes[:-1], 6, sizes[-1]), "exp", "squared", dtype)
        weights = np.random.default_rng(1).uniform(0, 2, len(X))
        for members in (1, 2):
            assert_same_bits(net, X, y, rule=rule, extra=ALL, members=members, weights=weights)


@DTYPES
@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_losses_read_nothing_that_is_not_theirs(loss, dtype):
    for sizes in SIZES:
        net, X, y = problem(sizes, "softplus", loss, dtype)
        assert_same_bits(net, X, y)
        assert_same_bits(net, X, y, extra=Regularization(clip_norm=0.5))


@DTYPES
@pytest.mark.parametrize("hidden", ACTIVATIONS, ids=label)
def test_narrow_networks_read_nothing_that_is_not_their_own(hidden, dtype):
    for sizes in [(2, 3, 3, 1), (5, 12, 7), (1, 1, 1)]:
        for batch in (1, 3, 8, 23):
            net, X, y = problem(sizes, hidden, "squared", dtype, output=hidden)
            assert_same_bits(net, X, y, narrow=True, batch=batch)


@DTYPES
@pytest.mark.parametrize("hidden", ACTIVATIONS, ids=label)
def test_losses_gradients_and_predictions_read_nothing_that_is_not_theirs(hidden, dtype):
    for sizes in SIZES:
        net, X, y = problem(sizes, hidden, "squared", dtype, output=hidden)
        for mode, count in [(DIFFERENTIATE, 23), (EVALUATE, 23), (PREDICT, 23), (PREDICT, 1)]:
            outputs = []
            for spoilt in (False, True):
                session = Session(net, 23, differentiate=mode == DIFFERENTIATE)
                session.out = np.zeros(net.params.size if mode == DIFFERENTIATE else count * sizes[-1], dtype)
                session.set_data(X[:count], y[:count])
                for _ in range(6):  # what is left of one call is what the next begins with
                    if spoilt:
                        poison(session)
                    loss = session.call(mode)
                outputs.append(np.append(session.out, loss))
            np.testing.assert_array_equal(*outputs)


def test_blocks_of_members_read_nothing_that_is_not_theirs():
    net, X, y = problem((4, 9, 3), "exp", "squared", "float32", n=3000)
    for members in (1, 2):
        assert_same_bits(net, X, y, batch=3000, members=members, extra=Regularization(clip_norm=0.01, l1=1e-4))


def test_steps_are_clipped_beside_exp():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(19, 5)), rng.normal(size=(19, 1))
    for hidden, output in [("tanh", "exp"), ("exp", None), ("exp", "exp"), ("sigmoid", "sigmoid"), ("softplus", "softplus")]:
        net = Network([5, 8, 1], hidden, output=output, dtype="float64", rng=0)
        exact, steps = oracle(net), []
        for _ in range(8):
            before = net.params.copy()
            options = {"epochs": 1, "batch_size": 19, "optimizer": SGD(0.1), "clip_norm": 0.027, "shuffle": False}
            net.fit(X, y, **options)
            exact.fit(X, y, **options)
            steps.append(np.linalg.norm(net.params - before))
        np.testing.assert_allclose(net.params, exact.params, rtol=1e-12)
        np.testing.assert_allclose(steps, 0.0027, rtol=1e-6)


OWN = """
import numpy as np
import fastbp
from fastbp import baseline
from fastbp.baseline import formulas
from fastbp.activations import ACTIVATIONS, Activation
from fastbp.optimizers import OPTIMIZERS, Optimizer


@ACTIVATIONS.register
class Reciprocal(Activation):
    '''f(z) = 1 / z: infinite, and of infinite slope, where z is 0.'''

    name = "reciprocal"

    @staticmethod
    def value(z, alpha):
        return 1.0 / z

    @staticmethod
    def slope(z, a, alpha):
        return -a * a


@OPTIMIZERS.register
class Drift(Optimizer):
    '''w <- w - lr (g + 1): what has no gradient moves all the same.'''

    name = "drift"

    @staticmethod
    def prepare(h, c):
        c[1] = -h[0]

    @staticmethod
    def step(w, g, c):
        return w + c[1] * (g + 1.0)


def drift(w, g, slots, h):
    w -= h.learning_rate * (g + 1)


formulas.ACTIVATIONS["reciprocal"] = formulas._Activation(
    {}, lambda z, a, s, h: np.divide(1, z, a), lambda z, a, s, h: np.multiply(-a, a, s)
)
formulas.RULES["drift"] = formulas._Rule({"learning_rate": 0.01}, drift, 0)
rng = np.random.default_rng(0)
for sizes in [(3, 17, 2), (30, 26, 3), (26, 33, 5), (5, 3, 1)]:
    X, y = rng.uniform(1, 2, size=(19, sizes[0])), rng.normal(size=(19, sizes[-1]))
    for options in ({}, {"clip_norm": 0.05}, {"l2": 0.1, "l1": 0.01, "max_norm": 1.0}):
        for rule in ("drift", "sgd"):  # one entry serves both
            net = fastbp.Network(sizes, "reciprocal", output="reciprocal", dtype="float64", rng=0)
            net.params[:] = rng.uniform(0.5, 1.0, net.params.size)
            exact = baseline.from_network(net)
            loss = net.fit(X, y, epochs=3, batch_size=6, shuffle=False, optimizer=rule, **options).loss
            expected = exact.fit(X, y, epochs=3, batch_size=6, optimizer=rule, **options)
            np.testing.assert_allclose(net.params, exact.params, rtol=1e-9)
            np.testing.assert_allclose(loss, expected, rtol=1e-9)
            np.testing.assert_allclose(net(X), exact(X), rtol=1e-9)
            np.testing.assert_allclose(net(X[0]), exact(X[0]), rtol=1e-9)
"""


def run(program, **environment):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.slow
def test_classes_of_a_user_that_make_something_of_zeros():
    outcome = run(OWN)
    assert outcome.returncode == 0, outcome.stderr


CONTROL = """
import fastbp.compiler

kernel = fastbp.compiler.kernel
nothing = lambda x, rows, columns: None
fastbp.compiler.kernel = lambda function: kernel(nothing if function.__name__ == "clear_past" else function)
"""


@pytest.mark.slow
def test_without_the_stated_value_these_tests_fail():
    outcome = run(CONTROL + OWN, FASTBP_CACHE="0")
    assert outcome.returncode == 1, outcome.stderr
    assert "AssertionError" in outcome.stderr or "DivergenceError" in outcome.stderr
