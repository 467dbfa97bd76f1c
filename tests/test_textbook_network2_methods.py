"""network2 as a program uses it: its methods, those of subclasses, its files, and what is said of what it cannot take."""

# ruff: noqa: NPY002 (the book draws from NumPy's global generator)
import json
import random

import numpy as np
import pytest
from chapter_3 import ALL, COSTS, EVALUATION, SIZES, TRAINING, Quartic, assert_equal, both, numbers, vectors
from scipy.special import expit

from fastbp.files.model_file import ModelFormatError
from fastbp.textbook import network2

# --- what the methods take ---------------------------------------------------------------------------------------------------


def test_both_ways_to_say_what_is_wanted():
    reference, net = both()
    cost, right = reference.look(*EVALUATION, 5.0)
    assert net.total_cost(vectors(*EVALUATION), 5.0) == pytest.approx(cost, rel=1e-12)
    assert net.total_cost(iter(numbers(*EVALUATION)), 5.0, convert=True) == pytest.approx(cost, rel=1e-12)
    assert net.accuracy(numbers(*EVALUATION)) == net.accuracy(vectors(*EVALUATION), convert=True) == right
    assert net.accuracy([]) == 0


def test_one_step():
    reference, net = both()
    net.update_mini_batch(vectors(*TRAINING)[:8], 0.7, 5.0, 60)
    reference.step(TRAINING[0][:, :8], TRAINING[1][:, :8], 0.7, 5.0, 60)
    assert_equal(net, reference)


def test_methods_of_a_subclass_are_used(capsys):
    class Doubled(network2.Network):
        def backprop(self, x, y):
            return [[2 * g for g in part] for part in super().backprop(x, y)]

    class Counted(network2.Network):
        seen = ()

        def update_mini_batch(self, mini_batch, eta, lmbda, n):
            self.seen += ((len(mini_batch), n),)
            super().update_mini_batch(mini_batch, eta, lmbda, n)

        def total_cost(self, data, lmbda, convert=False):
            return 10.0 * len(data) + convert

        def accuracy(self, data, convert=False):
            return 100 + convert

    for cls, factor in ((Doubled, 2.0), (Counted, 1.0)):
        reference, _ = both()
        np.random.seed(7)
        net = cls(SIZES)
        random.seed(3)
        reference.train(TRAINING, 2, 25, 0.3 * factor, 3.0 / factor, EVALUATION)
        random.seed(3)
        lists = net.SGD(vectors(*TRAINING), 2, 25, 0.3, 3.0, numbers(*EVALUATION), **ALL)
        assert_equal(net, reference)
    assert net.seen == ((25, 60), (25, 60), (10, 60)) * 2
    assert lists == ([231.0] * 2, [100] * 2, [600.0] * 2, [101] * 2)


@pytest.mark.parametrize("cost", [*COSTS.values(), Quartic])
def test_the_feedforward_of_a_subclass_is_asked(cost, capsys):
    class Turned(network2.Network):
        def feedforward(self, a):
            return super().feedforward(a)[::-1]

    np.random.seed(7)
    net = Turned(SIZES, cost=cost)
    plain = network2.Network(SIZES, cost=cost)
    plain.weights, plain.biases = net.weights, net.biases
    turned = [(x, y[::-1]) for x, y in vectors(*EVALUATION)]
    assert net.total_cost(turned, 1.0) == pytest.approx(plain.total_cost(vectors(*EVALUATION), 1.0), rel=1e-12)
    assert net.accuracy([(x, 3 - n) for x, n in numbers(*EVALUATION)]) == plain.accuracy(numbers(*EVALUATION))


def test_an_initialiser_of_a_subclass_is_used():
    class Zeros(network2.Network):
        def default_weight_initializer(self):
            self.large_weight_initializer()
            self.biases = [0 * b for b in self.biases]

    assert not any(b.any() for b in Zeros(SIZES).biases)


def test_parameters_are_edited_and_old_arrays_are_left_alone():
    reference, net = both()
    for each in (net, reference):
        each.weights[0][1, 1] += 2.0
        each.biases[1] = np.full((4, 1), 0.25)
    np.testing.assert_allclose(net.feedforward(EVALUATION[0]), reference.activations(EVALUATION[0])[-1], rtol=1e-13)
    before = net.weights[0]
    kept = before.copy()
    net.update_mini_batch(vectors(*TRAINING), 1.0, 0.0, 60)
    np.testing.assert_array_equal(before, kept)
    assert net.weights[0] is not before


def test_the_functions_of_the_module():
    assert network2.vectorized_result(3).ravel().tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert network2.vectorized_result(1, 2).shape == (2, 1)
    z = np.array([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(network2.sigmoid(z), expit(z), rtol=1e-14)
    np.testing.assert_allclose(network2.sigmoid_prime(z), expit(z) * expit(-z), rtol=1e-14)


# --- files -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", COSTS.values())
def test_a_file_gives_the_same_network(cost, tmp_path):
    np.random.seed(0)
    net = network2.Network(np.array(SIZES), cost=cost)
    net.save(tmp_path / "net.json")
    other = network2.load(str(tmp_path / "net.json"))
    assert_equal(other, net, 0)
    assert other.cost is cost
    assert other.sizes == SIZES
    content = json.loads((tmp_path / "net.json").read_text())
    assert content.keys() == {"sizes", "weights", "biases", "cost"}
    assert content["cost"] == cost.__name__
    assert np.shape(content["biases"][0]) == (9, 1)


BOOK = {"sizes": [2, 1], "weights": [[[0.5, -1.0]]], "biases": [[[0.25]]], "cost": "QuadraticCost"}


def test_a_file_of_the_book_is_read(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(BOOK))
    net = network2.load(path)
    assert net.feedforward([[1.0], [1.0]]) == pytest.approx(expit(-0.25))
    assert net.cost is network2.QuadraticCost
    net.cost = Quartic
    net.save(path)
    with pytest.raises(ValueError, match=r"cost must be given, as load\(filename, cost=...\): .*net.json names 'Quartic'"):
        network2.load(path)
    assert network2.load(path, cost=Quartic).cost is Quartic


DAMAGES = {
    "a cost that is no name": '{"sizes": [2, 1], "weights": [[[1, 2]]], "biases": [[[0]]], "cost": []}',
    "no JSON": "{",
    "no dict": "[1]",
    "a missing key": json.dumps({name: BOOK[name] for name in ("sizes", "weights", "cost")}),
    "no size": json.dumps(BOOK | {"sizes": [2, 0]}),
    "huge sizes": json.dumps(BOOK | {"sizes": [2, 10**9]}),
    "another shape": json.dumps(BOOK | {"weights": [[[0.5]]]}),
    "a layer more": json.dumps(BOOK | {"biases": [[[0.25]], [[0.25]]]}),
    "ragged": json.dumps(BOOK | {"weights": [[[0.5, 1.0], [1.0]]]}),
    "a word": json.dumps(BOOK | {"biases": [[["a"]]]}),
    "NaN": json.dumps(BOOK | {"biases": [[[float("nan")]]]}),
    "infinity": json.dumps(BOOK).replace("0.25", "1e999"),
    "depth": "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_one_error(damage, tmp_path):
    (tmp_path / "net.json").write_text(DAMAGES[damage])
    state = np.random.get_state()[1].copy()
    with pytest.raises(ModelFormatError, match=r"net\.json is no file of network2, or is damaged"):
        network2.load(tmp_path / "net.json")
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_nothing_is_written_of_a_network_that_is_none(tmp_path):
    net = network2.Network(SIZES)
    net.save(tmp_path / "net.json")
    before = (tmp_path / "net.json").read_bytes()
    net.weights = net.weights[:1]
    with pytest.raises(ValueError, match="weights must hold 2 arrays"):
        net.save(tmp_path / "net.json")
    assert (tmp_path / "net.json").read_bytes() == before
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        network2.load(tmp_path / "none.json")


# --- errors ------------------------------------------------------------------------------------------------------------------

PAIRS = vectors(*TRAINING)
CALLS = {
    "no data": (lambda net: net.SGD([], 1, 2, 0.1), ValueError, "training_data is empty"),
    "no evaluation data": (
        lambda net: net.SGD(PAIRS, 1, 2, 0.1, **ALL),
        ValueError,
        "evaluation_data must hold samples, because of monitor_evaluation_cost and monitor_evaluation_accuracy",
    ),
    "nothing to stop by": (
        lambda net: net.SGD(PAIRS, 1, 2, 0.1, early_stopping_n=2, evaluation_data=[], monitor_training_accuracy=True),
        ValueError,
        "evaluation_data must hold samples, because of early_stopping_n",
    ),
    "vectors": (
        lambda net: net.SGD(PAIRS, 1, 2, 0.1, 0.0, PAIRS, monitor_evaluation_accuracy=True),
        TypeError,
        r"y of sample 0 .* int\(np.argmax\(y\)\)",
    ),
    "no such output": (
        lambda net: net.SGD(PAIRS, 1, 2, 0.1, 0.0, [(PAIRS[0][0], 4)], monitor_evaluation_cost=True),
        ValueError,
        "y of sample 0 must be the number of an output, 0 to 3, got 4",
    ),
    "evaluation data of another size": (
        lambda net: net.SGD(PAIRS, 1, 2, 0.1, 0.0, [(PAIRS[0][1], 3)], early_stopping_n=1),
        ValueError,
        r"x of sample 0 must be a column \(6, 1\), got shape \(4, 1\)",
    ),
    "numbers in training": (
        lambda net: net.SGD(numbers(*TRAINING), 1, 2, 0.1),
        ValueError,
        r"y of sample 0 must be a column \(4, 1\)",
    ),
    "NaN": (
        lambda net: net.SGD([PAIRS[0], (np.full((6, 1), np.nan), PAIRS[1][1])], 1, 2, 0.1),
        ValueError,
        "x of sample 1 holds NaN",
    ),
    "targets that are no probabilities": (
        lambda net: net.SGD([(x, 2 * y) for x, y in PAIRS], 1, 2, 0.1),
        ValueError,
        "y of training_data must be between 0 and 1",
    ),
    "lmbda": (lambda net: net.SGD(PAIRS, 1, 2, 0.1, -1.0), ValueError, "lmbda must be finite and >= 0, got -1"),
    "eta": (lambda net: net.SGD(PAIRS, 1, 2, 0), ValueError, "eta must be finite and > 0"),
    "epochs": (lambda net: net.SGD(PAIRS, 1.5, 2, 0.1), TypeError, "epochs must be an integer"),
    "no mini-batch": (lambda net: net.SGD(PAIRS, 1, 0, 0.1), ValueError, "mini_batch_size must be at least 1"),
    "patience": (lambda net: net.SGD(PAIRS, 1, 2, 0.1, early_stopping_n=-1), ValueError, "early_stopping_n must be at least 0"),
    "n": (lambda net: net.update_mini_batch(PAIRS, 0.1, 1.0, 0), ValueError, "n must be at least 1"),
    "an empty mini-batch": (lambda net: net.update_mini_batch([], 0.1, 1.0, 1), ValueError, "mini_batch is empty"),
    "no samples": (lambda net: net.total_cost([], 0.0), ValueError, "data is empty"),
    "a flat sample": (lambda net: net.accuracy(TRAINING), TypeError, "data must be a list of pairs"),
    "no place": (lambda net: network2.vectorized_result(10), IndexError, "an output 10 is asked for, but there are 10"),
    "a size": (lambda net: network2.Network(5), TypeError, "sizes must be a sequence of integers"),
    "no cost": (lambda net: network2.Network(SIZES, cost=None), TypeError, r"cost must be a class .* @LOSSES\.register.* got None"),
    "half a cost": (
        lambda net: network2.Network(SIZES, cost=type("Half", (), {"fn": Quartic.fn})),
        TypeError,
        r"cost must be a class with the functions fn\(a, y\) and delta\(z, a, y\)",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_bad_arguments_are_named_before_any_work(case, capsys):
    call, error, message = CALLS[case]
    net = network2.Network(SIZES)
    before = [array.copy() for array in (*net.weights, *net.biases)]
    states = random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(error, match=message):
        call(net)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    for array, now in zip(before, (*net.weights, *net.biases), strict=True):
        np.testing.assert_array_equal(array, now)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("delta", "message"),
    [
        (lambda z, a, y: np.zeros((3, 1)), r"delta of the cost must return a column \(4, 1\), got shape \(3, 1\)"),
        (lambda z, a, y: np.full((4, 1), np.nan), "what delta of the cost returns holds NaN"),
    ],
)
def test_errors_of_a_cost_of_ones_own_are_named(delta, message):
    cost = type("Cost", (), {"fn": Quartic.fn, "delta": staticmethod(delta)})
    with pytest.raises(ValueError, match=message):
        network2.Network(SIZES, cost=cost).backprop(*PAIRS[0])


def test_a_script_written_for_the_book_runs_by_changing_the_import(capsys):
    from sklearn.datasets import load_digits

    X, labels = load_digits(return_X_y=True)
    script = """
from fastbp.textbook import network2

training_data = zip(inputs[:1300], map(network2.vectorized_result, labels[:1300]))
validation_data = zip(inputs[1300:], labels[1300:])
net = network2.Network([64, 30, 10], cost=network2.CrossEntropyCost)
net.large_weight_initializer()
net.SGD(training_data, 15, 10, 0.5, lmbda=1.0, evaluation_data=validation_data, monitor_evaluation_accuracy=True)
"""
    np.random.seed(0)
    random.seed(0)
    exec(script, {"inputs": [np.reshape(x, (64, 1)) / 16 for x in X], "labels": labels})
    last = capsys.readouterr().out.splitlines()[-2].split()
    assert last[:4] == ["Accuracy", "on", "evaluation", "data:"]
    assert int(last[4]) >= 0.9 * 497
