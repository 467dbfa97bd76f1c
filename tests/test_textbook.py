"""The textbook class does what the book's program does: same draws, same order, same weights, same lines printed."""

# ruff: noqa: NPY002 (the book draws from NumPy's global generator)
import random
from itertools import pairwise

import numpy as np
import pytest

from fastbp import textbook

SIZES = [2, 3, 3, 1]


class Reference:
    """Backpropagation for one column at a time, straight from the four equations."""

    def __init__(self, sizes):
        self.sizes = sizes
        self.biases = [np.random.randn(n, 1) for n in sizes[1:]]
        self.weights = [np.random.randn(n, m) for m, n in pairwise(sizes)]

    def activations(self, x):
        a = [x]
        for w, b in zip(self.weights, self.biases, strict=True):
            a.append(1 / (1 + np.exp(-(w @ a[-1] + b))))
        return a

    def gradient(self, x, y, slope=lambda a, y: a - y):
        a = self.activations(x)
        delta = slope(a[-1], y) * a[-1] * (1 - a[-1])
        deltas = [delta]
        for layer in range(len(self.weights) - 1, 0, -1):
            delta = self.weights[layer].T @ delta * a[layer] * (1 - a[layer])
            deltas.insert(0, delta)
        return deltas, [d @ below.T for d, below in zip(deltas, a, strict=False)]

    def train(self, pairs, epochs, size, eta, slope=lambda a, y: a - y):
        for _ in range(epochs):
            random.shuffle(pairs)
            for k in range(0, len(pairs), size):
                batch = [self.gradient(x, y, slope) for x, y in pairs[k : k + size]]
                self.biases = [b - eta / len(batch) * sum(g[0][i] for g in batch) for i, b in enumerate(self.biases)]
                self.weights = [w - eta / len(batch) * sum(g[1][i] for g in batch) for i, w in enumerate(self.weights)]


def pairs(n=53, n_in=2, n_out=1, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(n_in, 1)), rng.integers(0, 2, size=(n_out, 1)).astype(float)) for _ in range(n)]


def both(sizes=SIZES, seed=7):
    np.random.seed(seed)
    reference = Reference(sizes)
    np.random.seed(seed)
    return reference, textbook.Network(sizes)


def assert_equal(net, reference, tolerance=1e-12):
    for name in ("weights", "biases"):
        for ours, theirs in zip(getattr(net, name), getattr(reference, name), strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_attributes_and_draws_are_those_of_the_book():
    reference, net = both()
    assert net.num_layers == 4
    assert net.sizes == SIZES
    for name in ("weights", "biases"):
        for ours, theirs in zip(getattr(net, name), getattr(reference, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("sizes", "size", "eta"), [(SIZES, 50, 0.01), (SIZES, 10, 3.0), ([5, 4], 1, 0.5), ([3, 17, 9, 4], 100, 3.0)]
)
def test_ten_epochs_equal_the_reference(sizes, size, eta):
    reference, net = both(sizes)
    ours, theirs = pairs(53, sizes[0], sizes[-1]), pairs(53, sizes[0], sizes[-1])
    random.seed(3)
    reference.train(theirs, 10, size, eta)
    random.seed(3)
    net.SGD(ours, 10, size, eta)
    assert_equal(net, reference)
    assert [x.tolist() for x, _ in ours] == [x.tolist() for x, _ in theirs], "the list is shuffled in place"


def test_takes_iterators_and_prints_the_lines_of_the_book(capsys):
    reference, net = both([2, 4, 3])
    data = [(x, np.eye(3)[:, [i % 3]]) for i, (x, _) in enumerate(pairs())]
    tests = [(x, i % 3) for i, (x, _) in enumerate(pairs(seed=1))]
    right = []
    random.seed(3)
    for _ in range(2):
        reference.train(data, 1, 10, 3.0)
        right.append(sum(int(np.argmax(reference.activations(x)[-1]) == n) for x, n in tests))
    data = [(x, np.eye(3)[:, [i % 3]]) for i, (x, _) in enumerate(pairs())]
    random.seed(3)
    net.SGD(zip(*zip(*data, strict=True), strict=True), 2, 10, 3.0, test_data=iter(tests))
    assert_equal(net, reference)
    assert capsys.readouterr().out == f"Epoch 0: {right[0]} / 53\nEpoch 1: {right[1]} / 53\n"
    assert net.evaluate(tests) == right[1]
    assert net.evaluate([]) == 0
    net.SGD(data, 1, 10, 3.0)
    assert capsys.readouterr().out == "Epoch 0 complete\n"


def test_feedforward_takes_columns():
    reference, net = both()
    X = np.random.default_rng(0).normal(size=(2, 6))
    np.testing.assert_allclose(net.feedforward(X), reference.activations(X)[-1], rtol=1e-14)
    assert net.feedforward(X[:, :1]).shape == (1, 1)
    with pytest.raises(ValueError, match=r"a must hold columns: shape \(2, m\), got \(2,\)"):
        net.feedforward(X[:, 0])


def test_backprop_and_one_step():
    reference, net = both([4, 5, 3])
    (x, y), *rest = pairs(7, 4, 3)
    for ours, theirs in zip(net.backprop(x, y), reference.gradient(x, y), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    net.update_mini_batch([(x, y), *rest], 0.7)
    random.seed(0)
    reference.train([(x, y), *rest], 1, 7, 0.7)
    assert_equal(net, reference)
    np.testing.assert_array_equal(net.cost_derivative(np.array([[0.75]]), np.array([[0.5]])), [[0.25]])


def test_parameters_may_be_edited_and_assigned():
    reference, net = both()
    x = np.array([[0.5], [-1.0]])
    for each in (net, reference):
        each.weights[0][1, 1] += 2.0
        each.biases[1] = np.full((3, 1), 0.25)
        each.weights = [w * 0.5 for w in each.weights]
    np.testing.assert_allclose(net.feedforward(x), reference.activations(x)[-1], rtol=1e-14)


def test_given_parameters_are_used_and_left_alone():
    weights, biases = [np.ones((3, 2)), np.ones((1, 3))], [np.zeros((3, 1)), np.zeros((1, 1))]
    np.random.seed(0)
    net = textbook.Network([2, 3, 1], weights=weights, biases=biases)
    assert np.random.randn() == np.random.RandomState(0).randn(), "nothing was drawn"
    assert net.weights is weights
    assert net.biases is biases
    before = net.weights[0]
    net.update_mini_batch(pairs(3), 1.0)
    assert net.weights[0] is not before
    assert (weights[0] == 1).all()
    assert (biases[0] == 0).all()


def cross_entropy_slope(a, y):
    return (a - y) / (a * (1 - a))


class CrossEntropy(textbook.Network):
    def cost_derivative(self, output_activations, y):
        assert output_activations.shape == y.shape == (self.sizes[-1], 1)
        return cross_entropy_slope(output_activations, y)


def assigned_to_object(monkeypatch):
    net = textbook.Network(SIZES)
    net.cost_derivative = cross_entropy_slope
    return net


def assigned_to_class(monkeypatch):
    monkeypatch.setattr(textbook.Network, "cost_derivative", lambda self, a, y: cross_entropy_slope(a, y))
    return textbook.Network(SIZES)


@pytest.mark.parametrize(
    "make", [lambda _: CrossEntropy(SIZES), assigned_to_object, assigned_to_class], ids=["subclass", "object", "class"]
)
def test_another_cost_derivative_is_used(make, monkeypatch):
    reference, _ = both()
    np.random.seed(7)
    net = make(monkeypatch)
    x, y = pairs()[0]
    np.testing.assert_allclose(net.backprop(x, y)[1][0], reference.gradient(x, y, cross_entropy_slope)[1][0], rtol=1e-10)
    random.seed(3)
    reference.train(pairs(), 3, 10, 0.5, cross_entropy_slope)
    random.seed(3)
    net.SGD(pairs(), 3, 10, 0.5)
    assert_equal(net, reference)


def test_other_methods_of_a_subclass_are_used(capsys):
    class Clipped(textbook.Network):
        def backprop(self, x, y):
            nabla_b, nabla_w = super().backprop(x, y)
            return [2 * g for g in nabla_b], [2 * g for g in nabla_w]

        def evaluate(self, test_data):
            return f"{len(test_data)} seen"

    class Counted(textbook.Network):
        sizes_seen = ()

        def update_mini_batch(self, mini_batch, eta):
            self.sizes_seen += (len(mini_batch),)
            super().update_mini_batch(mini_batch, eta)

    for cls, factor in ((Clipped, 2.0), (Counted, 1.0)):
        reference, _ = both()
        np.random.seed(7)
        net = cls(SIZES)
        random.seed(3)
        reference.train(pairs(), 2, 20, 0.5 * factor)
        random.seed(3)
        net.SGD(pairs(), 2, 20, 0.5, test_data=[(None, None)] if cls is Clipped else None)
        assert_equal(net, reference)
    assert net.sizes_seen == (20, 20, 13) * 2
    assert capsys.readouterr().out.startswith("Epoch 0: 1 seen / 1\n")


def test_evaluate_asks_the_feedforward_of_a_subclass():
    class Backwards(textbook.Network):
        def feedforward(self, a):
            return -super().feedforward(a)

    _, plain = both([2, 4, 3])
    net = Backwards([2, 4, 3])
    net.weights, net.biases = plain.weights, plain.biases
    tests = [(x, int(np.argmin(plain.feedforward(x)))) for x, _ in pairs()]
    assert net.evaluate(tests) == len(tests)
    assert plain.evaluate(tests) == 0


def test_errors_name_what_is_wrong():
    net = textbook.Network([2, 3, 1])
    with pytest.raises(ValueError, match=r"x of sample 1 must be a column \(2, 1\), got shape \(3, 1\)"):
        net.SGD([(np.zeros((2, 1)), np.zeros((1, 1))), (np.zeros((3, 1)), np.zeros((1, 1)))], 1, 1, 0.1)
    with pytest.raises(ValueError, match=r"y of sample 0 must be a column \(1, 1\), got shape \(2,\)"):
        net.backprop(np.zeros((2, 1)), np.zeros(2))
    with pytest.raises(ValueError, match=r"weights\[0\] must have shape \(3, 2\), got \(2, 3\)"):
        textbook.Network([2, 3, 1], weights=[np.zeros((2, 3)), np.zeros((1, 3))])
    net.biases = net.biases[:1]
    with pytest.raises(ValueError, match="biases must hold 2 arrays, one a layer, got 1"):
        net.feedforward(np.zeros((2, 1)))


X, LABELS = np.zeros((10, 2)), np.zeros(10, int)
COLUMN, TARGET = np.zeros((2, 1)), np.zeros((3, 1))
PAIRS = [(COLUMN, TARGET)] * 4
CALLS = {
    "flat data": (
        lambda net: net.SGD((X, np.zeros((10, 3))), 1, 2, 0.1),
        TypeError,
        r"training_data .* sample 0 is an array of .*zip",
    ),
    "inputs alone": (lambda net: net.SGD(X, 1, 2, 0.1), TypeError, r"training_data .* sample 0 is an array of shape \(2,\)"),
    "numbers alone": (lambda net: net.SGD([1.0, 2.0], 1, 2, 0.1), TypeError, "training_data must be a list of pairs, .* a float"),
    "a part of load_data": (lambda net: net.SGD((X, LABELS), 1, 2, 0.1), TypeError, "training_data must be a list of pairs"),
    "all of load_data": (lambda net: net.SGD(((X, LABELS),) * 3, 1, 2, 0.1), ValueError, "a pair for each of the 10 samples"),
    "all of load_data_wrapper": (lambda net: net.SGD((PAIRS,) * 3, 1, 2, 0.1), TypeError, "sample 0 is a list of 4"),
    "no list": (lambda net: net.SGD(None, 1, 2, 0.1), TypeError, "training_data must be a list of pairs, got NoneType"),
    "no pairs": (lambda net: net.SGD([], 1, 2, 0.1), ValueError, "training_data is empty"),
    "numbers of classes": (lambda net: net.SGD([(COLUMN, 1)], 1, 2, 0.1), ValueError, r"y of sample 0 must be a column \(3, 1\)"),
    "strings": (lambda net: net.SGD([([["a"], ["b"]], TARGET)], 1, 2, 0.1), ValueError, "x of sample 0 must hold numbers"),
    "complex": (lambda net: net.SGD([(COLUMN * 1j, TARGET)], 1, 2, 0.1), TypeError, "x of sample 0 must hold real numbers"),
    "ragged": (lambda net: net.SGD([([[1], [2, 3]], TARGET)], 1, 2, 0.1), ValueError, "x of sample 0 must be a rectangular"),
    "half an epoch": (lambda net: net.SGD(list(PAIRS), 1.5, 2, 0.1), TypeError, "epochs must be an integer"),
    "less than no epochs": (lambda net: net.SGD(list(PAIRS), -1, 2, 0.1), ValueError, "epochs must be at least 0"),
    "no mini-batch": (lambda net: net.SGD(list(PAIRS), 1, 0, 0.1), ValueError, "mini_batch_size must be at least 1"),
    "eta": (lambda net: net.SGD(list(PAIRS), 1, 2, "x"), TypeError, "eta must be a number"),
    "one-hot tests": (
        lambda net: net.SGD(list(PAIRS), 1, 2, 0.1, PAIRS),
        TypeError,
        r"n of test sample 0 .* int\(np.argmax\(y\)\)",
    ),
    "flat one-hot tests": (lambda net: net.evaluate([(COLUMN, [0, 1, 0])]), TypeError, r"n of test sample 0 .* int\(np.argmax"),
    "a test of another size": (lambda net: net.evaluate([(TARGET, 1)]), ValueError, r"x of sample 0 must be a column \(2, 1\)"),
    "no such output": (lambda net: net.evaluate([(COLUMN, 3)]), ValueError, "n of test sample 0 .* 0 to 2, got 3"),
    "a word": (lambda net: net.evaluate([(COLUMN, "1")]), TypeError, "n of test sample 0 must be the number of an output, got '1'"),
    "no answer": (lambda net: net.evaluate([(COLUMN, None)]), TypeError, "n of test sample 0 .* got None"),
    "flat tests": (lambda net: net.evaluate((X, LABELS)), TypeError, "test_data must be a list of pairs"),
    "no tests": (lambda net: net.evaluate(5), TypeError, "test_data must be a list of pairs, got int"),
    "an empty mini-batch": (lambda net: net.update_mini_batch([], 0.1), ValueError, "mini_batch is empty"),
    "a flat mini-batch": (lambda net: net.update_mini_batch((X, LABELS), 0.1), TypeError, "mini_batch must be a list of pairs"),
    "eta of a mini-batch": (lambda net: net.update_mini_batch(PAIRS, -1), ValueError, "eta must be finite and > 0"),
    "other columns": (lambda net: net.feedforward(TARGET), ValueError, r"a must hold columns: shape \(2, m\), got \(3, 1\)"),
    "a word as columns": (lambda net: net.feedforward("a"), ValueError, "a must hold numbers"),
    "a size": (lambda net: type(net)(5), TypeError, "sizes must be a sequence of integers, got 5"),
    "no sizes": (lambda net: type(net)(None), TypeError, "sizes must be a sequence of integers, got None"),
    "a weight": (lambda net: type(net)([2, 3], weights=5), TypeError, "weights must be a list of arrays, one a layer, got int"),
    "weights of words": (lambda net: type(net)([2, 1], weights=[[["a", "b"]]]), ValueError, r"weights\[0\] must hold numbers"),
    "ragged weights": (lambda net: type(net)([2, 2], weights=[[[1, 2], [3]]]), ValueError, r"weights\[0\] must be a rectangular"),
    "ragged numbers for sigmoid": (lambda net: textbook.sigmoid([[1], [2, 3]]), ValueError, "z must be a rectangular array"),
    "a word for sigmoid": (lambda net: textbook.sigmoid("a"), TypeError, "z must hold real numbers"),
}


@pytest.mark.parametrize("case", CALLS)
def test_bad_arguments_are_named_before_any_work(case, capsys):
    call, error, message = CALLS[case]
    net = textbook.Network([2, 4, 3])
    before = [array.copy() for array in (*net.weights, *net.biases)]
    state = random.getstate()
    with pytest.raises(error, match=message):
        call(net)
    assert random.getstate() == state
    for array, now in zip(before, (*net.weights, *net.biases), strict=True):
        np.testing.assert_array_equal(array, now)
    assert capsys.readouterr().out == ""


def test_what_the_book_takes_is_taken(capsys):
    net = textbook.Network([2, 4, 3])
    tests = [(COLUMN, np.int64(1)), (COLUMN, np.array(2)), (COLUMN.ravel(), 0.0), (COLUMN.tolist(), np.array([1]))]
    assert 0 <= net.evaluate(zip(*zip(*tests, strict=True), strict=True)) <= 4
    net.update_mini_batch(iter(PAIRS), 0.1)
    net.SGD(list(PAIRS), 1, 2, 0.1, test_data=[])
    assert capsys.readouterr().out == "Epoch 0 complete\n"
    assert textbook.Network([2, 1]).evaluate([(COLUMN, 1)]) == 0
    assert net.evaluate([]) == 0


def test_a_script_written_for_the_book_runs_by_changing_the_import(capsys):
    from sklearn.datasets import load_digits

    X, labels = load_digits(return_X_y=True)
    inputs = [np.reshape(x, (64, 1)) / 16 for x in X]
    targets = [np.eye(10)[:, [n]] for n in labels]
    script = """
from fastbp import textbook as network

training_data = zip(inputs[:1300], targets[:1300])
test_data = list(zip(inputs[1300:], labels[1300:]))
net = network.Network([64, 30, 10])
net.SGD(training_data, 15, 10, 3.0, test_data=test_data)
"""
    np.random.seed(0)
    random.seed(0)
    exec(script, {"inputs": inputs, "targets": targets, "labels": labels})
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:2] == ["Epoch", "14:"]
    assert int(last[2]) >= 0.88 * 497
    assert last[3:] == ["/", "497"]


def test_the_functions_of_the_module():
    z = np.array([[-800.0, -1.0, 0.0, 2.0, 800.0]])
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(textbook.sigmoid(z), expected, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(textbook.sigmoid_prime(z), expected * (1 - expected), rtol=1e-14, atol=1e-16)
