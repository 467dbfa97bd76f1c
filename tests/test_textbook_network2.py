"""network2 does what the book's program of chapter 3 does: same draws, order, costs, accuracies, weights and lines printed."""

# ruff: noqa: NPY002 (the book draws from NumPy's global generator)
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chapter_3 import (
    ALL,
    COSTS,
    EVALUATION,
    FORMULAS,
    MONITORS,
    SIZES,
    TRAINING,
    Quartic,
    assert_equal,
    both,
    numbers,
    train,
    vectors,
)
from scipy.special import expit

import fastbp
from fastbp.textbook import network2

# --- the same numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
def test_draws_are_those_of_the_book(large):
    reference, net = both(large=large)
    for name in ("weights", "biases"):
        for ours, theirs in zip(getattr(net, name), getattr(reference, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert net.cost is network2.CrossEntropyCost
    assert (net.num_layers, net.sizes) == (3, SIZES)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("lmbda", [0.0, 3.0])
@pytest.mark.parametrize("cost", COSTS)
def test_costs_accuracies_and_weights_equal_the_reference(cost, lmbda, large, capsys):
    reference, net = both(cost, large=large)
    theirs, ours = train(reference, net, lmbda=lmbda)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10)
    assert len(ours[0]) == 4
    assert_equal(net, reference)
    lines = [
        f"Epoch {epoch} training complete\n"
        f"Cost on training data: {ours[2][epoch]}\nAccuracy on training data: {ours[3][epoch]} / 60\n"
        f"Cost on evaluation data: {ours[0][epoch]}\nAccuracy on evaluation data: {ours[1][epoch]} / 23\n\n"
        for epoch in range(4)
    ]
    assert capsys.readouterr().out == "".join(lines)


@pytest.mark.parametrize("sizes", [[6, 4], [6, 17, 9, 4]])
def test_other_depths(sizes):
    reference, net = both(sizes=sizes)
    theirs, ours = train(reference, net, lmbda=1.0)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    assert_equal(net, reference)


@pytest.mark.parametrize("name", MONITORS)
def test_what_is_not_monitored_is_not_listed(name, capsys):
    theirs, ours = train(*both(), **ALL | {f"monitor_{other}": other == name for other in MONITORS})
    for other, mine, expected in zip(MONITORS, ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected if other == name else [], rtol=1e-10)
    kind, what = name.split("_")
    out = capsys.readouterr().out
    assert out.count(f"{what.title()} on {kind} data: ") == out.count(" data: ") == 4
    assert out.count("\n") == 12


def test_iterators_are_taken():
    reference, net = both()
    theirs, ours = train(reference, net, evaluation_data=iter(numbers(*EVALUATION)))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    np.random.seed(7)
    other = network2.Network(SIZES)
    random.seed(3)
    lists = other.SGD(zip(*zip(*vectors(*TRAINING), strict=True), strict=True), 4, 7, 0.8)
    assert lists == ([], [], [], [])
    assert_equal(other, net, 0)


def test_a_list_is_shuffled_in_place():
    pairs = vectors(*TRAINING)
    expected = list(pairs)
    random.seed(5)
    both()[1].SGD(pairs, 2, 7, 0.8)
    random.seed(5)
    for _ in range(2):
        random.shuffle(expected)
    # of the order before each epoch, not of a fresh one: the list is what the book shuffles
    assert {id(x) for x, _ in pairs} == {id(x) for x, _ in expected}
    assert [id(x) for x, _ in pairs] == [id(x) for x, _ in expected]


# --- early stopping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("monitors", [ALL, {}, {"monitor_training_accuracy": True}])
def test_early_stopping_looks_at_the_evaluation_data_whatever_is_monitored(monitors, capsys):
    off = dict.fromkeys(ALL, False)
    reference, net = both("quadratic", large=True)
    theirs, ours = train(reference, net, epochs=60, eta=2.0, patience=4, **off | monitors)
    accuracies = theirs[1]
    assert 5 < len(accuracies) < 60
    assert max(accuracies[:-4]) >= max(accuracies[-4:])
    assert capsys.readouterr().out.count("training complete\n") == len(accuracies)
    assert_equal(net, reference)
    if "monitor_training_accuracy" in monitors:
        assert len(ours[3]) == len(accuracies)
        # which would have ended the training elsewhere
        best = np.maximum.accumulate(ours[3])
        assert best[-1] > best[-5]


def test_without_early_stopping_all_epochs_are_run(capsys):
    theirs, ours = train(*both("quadratic", large=True), epochs=60, eta=2.0)
    assert len(theirs[1]) == len(ours[1]) == 60


# --- costs -------------------------------------------------------------------------------------------------------------------


def test_a_cost_of_ones_own_is_used():
    reference, net = both("quartic", ours=Quartic)
    gradient = net.backprop(*vectors(*TRAINING)[0])[1]
    former = [w.copy() for w in reference.weights]
    reference.step(TRAINING[0][:, :1], TRAINING[1][:, :1], 1.0, 0.0, 60)
    for mine, before, after in zip(gradient, former, reference.weights, strict=True):
        np.testing.assert_allclose(mine, before - after, rtol=1e-10, atol=1e-14)
    reference, _ = both("quartic", ours=Quartic)
    theirs, ours = train(reference, net, lmbda=0.5)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10)
    assert_equal(net, reference)


class Slower(network2.CrossEntropyCost):
    """Of which only the errors are other ones."""

    @staticmethod
    def delta(z, a, y):
        return 0.5 * (a - y)


def halved(monkeypatch):
    monkeypatch.setattr(network2.CrossEntropyCost, "delta", Slower.delta)
    return network2.CrossEntropyCost


@pytest.mark.parametrize("make", [lambda _: Slower, halved, lambda _: Slower()], ids=["subclass", "class", "object"])
def test_half_the_error_is_half_the_learning_rate(make, monkeypatch):
    reference, net = both(ours=make(monkeypatch))
    train(both()[0], net, eta=0.8)
    random.seed(3)
    reference.train(TRAINING, 4, 7, 0.4, 0.0, EVALUATION)
    assert_equal(net, reference)
    with pytest.raises(AssertionError):
        assert_equal(both()[1], reference)


def test_another_cost_may_be_assigned():
    reference, net = both()
    x, y = vectors(*TRAINING)[0]
    for name in ("quadratic", "cross-entropy", "quadratic"):
        net.cost, reference.cost = COSTS[name], name
        np.testing.assert_allclose(net.total_cost([(x, y)], 2.0), reference.look(x, y, 2.0)[0], rtol=1e-12)
    net.cost = Quartic
    np.testing.assert_allclose(net.total_cost([(x, y)], 0.0), Quartic.fn(reference.activations(x)[-1], y), rtol=1e-12)
    net.cost = network2.QuadraticCost
    theirs, ours = train(reference, pickle.loads(pickle.dumps(net)))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)


def softmax(z):
    powers = np.exp(z - z.max(axis=0))
    return powers / powers.sum(axis=0)


def test_a_loss_is_compiled_also_the_softmax_layer_of_the_book(monkeypatch):
    reference, net = both("log-likelihood", ours=fastbp.CrossEntropy, output=softmax)
    monkeypatch.setattr(network2.Network, "_step", None)  # by which single steps would be taken
    theirs, ours = train(reference, net, lmbda=0.5)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10)
    assert_equal(net, reference)
    np.testing.assert_allclose(net.feedforward(EVALUATION[0]).sum(axis=0), 1.0)
    reference, net = both("quadratic", ours=fastbp.SquaredError("half_sum"))
    train(reference, net)
    assert_equal(net, reference)


REGISTERED = '''
import random
import numpy as np
from fastbp.losses import LOSSES, Loss
from fastbp.simd.register import fma, like, load, store
from fastbp.textbook import network2


class Python:
    """(a - y)^4 / 4 as the book would write it."""

    @staticmethod
    def fn(a, y):
        return np.sum((a - y) ** 4) / 4

    @staticmethod
    def delta(z, a, y):
        return (a - y) ** 3 * network2.sigmoid_prime(z)


@LOSSES.register
class Quartic(Loss):
    """l = sum_k (a_k - y_k)^4 / 4."""

    name = "quartic"

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(count):
            error = load(x, k * stride) - load(y, k * stride)
            total = fma(error * error, error * error, total)
            store(d, k * stride, error * error * error)
        return 0.25 * total


rng = np.random.default_rng(0)
data = [(rng.normal(size=(6, 1)), np.eye(4)[:, [i % 4]]) for i in range(60)]
networks = []
for cost in (Python, Quartic):
    np.random.seed(0)
    random.seed(0)
    networks.append(network2.Network([6, 9, 4], cost=cost))
    costs = networks[-1].SGD(list(data), 3, 7, 0.8, 0.5, monitor_training_cost=True)[2]
    print(*(f"{each:.10f}" for each in costs), networks[-1]._loss is cost)
for ours, theirs in zip(networks[0].weights, networks[1].weights):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
'''


@pytest.mark.slow
def test_a_cost_of_ones_own_that_is_registered_as_a_loss_is_compiled(tmp_path):
    (tmp_path / "program.py").write_text(REGISTERED)
    environment = os.environ | {"PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    in_python, compiled = [line for line in run.stdout.splitlines() if line[:1].isdigit()]
    assert in_python.replace("False", "True") == compiled
    assert in_python.endswith("False")


def test_the_functions_of_the_costs():
    z = np.random.default_rng(0).normal(size=(4, 1))
    a, y = expit(z), np.eye(4)[:, [2]]
    for name, cost in COSTS.items():
        value, error = FORMULAS[name]
        np.testing.assert_allclose(cost.fn(a, y), value(a, y)[0], rtol=1e-13)
        np.testing.assert_allclose(cost.delta(z, a, y), error(a, y), rtol=1e-13)
        # which is the derivative of the cost
        slopes = [(cost.fn(expit(z + step), y) - cost.fn(expit(z - step), y)) / 2e-6 for step in 1e-6 * np.eye(4)[:, :, None]]
        np.testing.assert_allclose(np.reshape(slopes, (4, 1)), cost.delta(z, a, y), rtol=1e-7)
    assert network2.CrossEntropyCost.fn(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0.0
    assert network2.CrossEntropyCost.fn(np.array([0.0]), np.array([1.0])) == np.inf


def test_the_cross_entropy_of_saturated_outputs_is_that_of_z():
    net = network2.Network([1, 2])
    net.weights, net.biases = [np.array([[800.0], [-800.0]])], [np.zeros((2, 1))]
    x, y = np.ones((1, 1)), np.array([[0.0], [1.0]])
    assert net.total_cost([(x, y)], 0.0) == 1600.0
    # by the outputs, which are rounded to 1 and 0, it is infinite, or whatever takes the place of that
    assert network2.CrossEntropyCost.fn(net.feedforward(x), y) > 1e300
    x = np.full((1, 1), 0.05)
    assert net.total_cost([(x, y)], 0.0) == pytest.approx(80.0, rel=1e-14)
