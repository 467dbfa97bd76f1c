"""The NumPy oracle against what shares no code with it: Python's `math`, central differences, steps by hand, scikit-learn."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_expit, log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.neural_network import MLPClassifier

from fastbp import activations, baseline, losses, optimizers
from fastbp.baseline import formulas

SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772


def logistic(z):
    return 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))


def softplus(z):
    return max(z, 0) + math.log1p(math.exp(-abs(z)))


def elu(z, alpha):
    return z if z > 0 else alpha * math.expm1(z)


def normal_density(z):
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def normal_cdf(z):
    return math.erfc(-z / math.sqrt(2)) / 2


# name: value and slope of one number, where the slope jumps, and the slopes expected there
ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: 1.0, {}),
    "sigmoid": (logistic, lambda z: logistic(z) * logistic(-z), {}),
    "tanh": (math.tanh, lambda z: 1 / math.cosh(z) ** 2, {}),
    "relu": (lambda z: max(z, 0.0), lambda z: float(z > 0), {0.0: 0.0}),
    "exp": (math.exp, math.exp, {}),
    "leaky_relu": (lambda z: z if z > 0 else 0.01 * z, lambda z: 1.0 if z > 0 else 0.01, {0.0: 0.01}),
    "elu": (lambda z: elu(z, 1.0), lambda z: math.exp(min(z, 0)), {}),
    "selu": (
        lambda z: SCALE * elu(z, ALPHA),
        lambda z: SCALE * (1.0 if z > 0 else ALPHA * math.exp(z)),
        {0.0: SCALE * ALPHA},
    ),
    "softplus": (softplus, logistic, {}),
    "silu": (lambda z: z * logistic(z), lambda z: logistic(z) * (1 + z * logistic(-z)), {}),
    "gelu": (lambda z: z * normal_cdf(z), lambda z: normal_cdf(z) + z * normal_density(z), {}),
    "mish": (
        lambda z: z * math.tanh(softplus(z)),
        lambda z: math.tanh(softplus(z)) + z * logistic(z) / math.cosh(softplus(z)) ** 2,
        {},
    ),
    "hard_sigmoid": (
        lambda z: min(max(z / 6 + 0.5, 0.0), 1.0),
        lambda z: 1 / 6 if abs(z) < 3 else 0.0,
        {-3.0: 0.0, 3.0: 0.0},
    ),
}
REDUCTIONS = {"half_sum": lambda n: 0.5, "sum": lambda n: 1.0, "mean": lambda n: 1 / n}
# name: the loss of one output and its target, with the loss's hyper-parameter, for losses that are sums over the outputs
SUMS = {
    "binary_cross_entropy": lambda z, y, s: softplus(z) - ((1 - s) * y + s / 2) * z,
    "poisson": lambda z, y, _: math.exp(z) - y * z + (y * math.log(y) - y if y else 0.0),
    "gamma": lambda z, y, _: z - math.log(y) + y / math.exp(z) - 1,
    "absolute": lambda a, y, _: abs(a - y),
    "huber": lambda a, y, d: (a - y) ** 2 / 2 if abs(a - y) <= d else d * (abs(a - y) - d / 2),
    "quantile": lambda a, y, q: q * (y - a) if y > a else (1 - q) * (a - y),
    "log_cosh": lambda a, y, _: math.log(math.cosh(a - y)),
}
OPTIONS = {  # hyper-parameters: the default and another value
    "cross_entropy": ("smoothing", 0.0, 0.2),
    "binary_cross_entropy": ("smoothing", 0.0, 0.3),
    "huber": ("delta", 1.0, 0.4),
    "quantile": ("quantile", 0.5, 0.8),
}
LOSSES = [
    *(SimpleNamespace(name="squared", reduction=reduction) for reduction in REDUCTIONS),
    *("squared", "cross_entropy", *SUMS),
    *(SimpleNamespace(name=name, **{option: other}) for name, (option, _, other) in OPTIONS.items()),
]


def label(spec):
    return spec if isinstance(spec, str) else "-".join(str(value) for value in vars(spec).values())


def name_of(spec):
    return getattr(spec, "name", spec)


def make(sizes=(3, 4, 2), hidden="tanh", loss="squared", seed=0, dtype="float64", **settings):
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(sizes))
    weights = [rng.normal(size=(n_out, n_in)) / n_in**0.5 for n_in, n_out in pairs]
    biases = [rng.normal(size=n_out) / 2 for _, n_out in pairs]
    return baseline.Network(sizes, hidden, loss, dtype=dtype, weights=weights, biases=biases, **settings)


def unit(output, dtype="float64"):
    """A network that is one activation."""
    return baseline.Network([1, 1], output=output, dtype=dtype, weights=[[[1]]], biases=[[0]])


def linear(n_out, loss, dtype="float64"):
    """A network whose raw outputs are its inputs."""
    return baseline.Network([n_out, n_out], loss=loss, dtype=dtype, weights=[np.eye(n_out)], biases=[np.zeros(n_out)])


def option_of(loss):
    option, default, _ = OPTIONS.get(name_of(loss), ("", 0.0, 0.0))
    return getattr(loss, option, default)


def make_targets(rng, loss, n, n_out):
    if name_of(loss) == "poisson":
        return rng.poisson(1.5, (n, n_out)).astype(float)
    if name_of(loss) == "gamma":
        return rng.gamma(2.0, size=(n, n_out))
    if name_of(loss) == "cross_entropy":
        return rng.uniform(size=(n, n_out))  # rows that do not sum to 1 show more
    if name_of(loss) == "binary_cross_entropy":
        return rng.integers(0, 2, (n, n_out)).astype(float)
    return rng.normal(size=(n, n_out))


def raw_outputs(net, row, activations):
    """Raw outputs of all layers for one row, by loops over units."""
    a, raw = list(row), []
    for weight, bias, name in zip(net.weights, net.biases, activations, strict=True):
        z = [math.fsum(w * x for w, x in zip(row_w, a, strict=True)) + b for row_w, b in zip(weight, bias, strict=True)]
        raw.append(z)
        a = [ACTIVATIONS[name][0](value) for value in z]
    return raw


def row_loss(loss, z, y):
    if name_of(loss) == "cross_entropy":
        smooth = option_of(loss)
        top = max(z)
        log_sum = top + math.log(math.fsum(math.exp(value - top) for value in z))
        return math.fsum(((1 - smooth) * target + smooth / len(z)) * (log_sum - value) for value, target in zip(z, y, strict=True))
    if name_of(loss) in SUMS:
        return math.fsum(SUMS[name_of(loss)](value, target, option_of(loss)) for value, target in zip(z, y, strict=True))
    factor = REDUCTIONS[getattr(loss, "reduction", "half_sum")](len(z))
    return factor * math.fsum((value - target) ** 2 for value, target in zip(z, y, strict=True))


# --- activations -------------------------------------------------------------------------------------------------------------


def test_tables_hold_the_names_and_hyper_parameters_of_the_public_classes():
    tables = formulas.ACTIVATIONS, formulas.LOSSES, formulas.RULES
    for table, registry in zip(tables, (activations.ACTIVATIONS, losses.LOSSES, optimizers.OPTIMIZERS), strict=True):
        assert sorted(table) == sorted(registry.names)
        for cls in registry.classes:
            assert cls().parameters().items() <= table[cls.name].options.items(), cls
    # what is here is a third look at a formula; the kernels and the oracle are two, whatever the class
    assert len(ACTIVATIONS) >= 12
    assert len(SUMS) >= 7
    assert len(RULES) >= 6


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 2e-6)])
def test_activation_and_slope_of_single_numbers(name, dtype, tolerance):
    value, slope, jumps = ACTIVATIONS[name]
    z = np.array([*np.linspace(-6, 6, 49), -30.0, 30.0, -1e-9, 1e-9], dtype)
    z = z[~np.isin(z, list(jumps)) & (np.abs(z) < (10 if name == "exp" else 100))]
    net = unit(name, dtype)
    expected = [value(float(each)) for each in z]
    # relative, also in the tails, where a rounding of z is amplified by z f' / f: z^2 for gelu
    assert_allclose(net(z[:, None])[:, 0], expected, rtol=tolerance * (30 if name == "gelu" else 1), atol=1e-40)
    slopes = [net.value_and_grad([[each]], [[net([each])[0] - 1]])[2][0][0] for each in z]
    assert_allclose(slopes, [slope(float(each)) for each in z], rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize(("name", "z"), [(name, z) for name in ACTIVATIONS for z in ACTIVATIONS[name][2]])
def test_slope_at_a_kink(name, z):
    net = unit(name)
    _, _, (gradient,) = net.value_and_grad([[z]], [net([z])[0] - 1])
    assert gradient[0] == pytest.approx(ACTIVATIONS[name][2][z], rel=1e-15)


@pytest.mark.parametrize("alpha", [0.3, 2.5])
@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
def test_alpha_of_an_instance(name, alpha):
    net = unit(SimpleNamespace(name=name, alpha=alpha))
    value = {"leaky_relu": lambda z: alpha * z, "elu": lambda z: alpha * math.expm1(z)}[name]
    slope = {"leaky_relu": lambda z: alpha, "elu": lambda z: alpha * math.exp(z)}[name]
    for z in (-2.0, -0.5):
        assert net([z])[0] == pytest.approx(value(z), rel=1e-15)
        assert net.value_and_grad([[z]], [value(z) - 1])[2][0][0] == pytest.approx(slope(z), rel=1e-14)
    assert net([0.7])[0] == 0.7
    assert net.value_and_grad([[0.7]], [0.7 - 1])[2][0][0] == pytest.approx(1, rel=1e-15)


def test_extreme_raw_outputs_do_not_warn():
    z = np.array([[-1000.0], [1000.0]])
    limits = {"sigmoid": (0, 1), "tanh": (-1, 1), "elu": (-1, 1000)} | dict.fromkeys(
        ("softplus", "silu", "gelu", "mish"), (0, 1000)
    )
    for name, expected in limits.items():
        for dtype in ("float32", "float64"):
            net = unit(name, dtype)
            assert_array_equal(net(z)[:, 0], expected)
            assert np.isfinite(net.value_and_grad(z, [0, 0])[2][0]).all()


# --- losses ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_loss_row_by_row(loss, weighted):
    rng = np.random.default_rng(1)
    net = make((3, 4, 5, 2), ["relu", "gelu"], loss)
    X, y = rng.normal(size=(7, 3)), make_targets(rng, loss, 7, 2)
    w = rng.uniform(0.1, 3, 7) if weighted else np.ones(7)
    raw = [raw_outputs(net, row, ["relu", "gelu", "identity"])[-1] for row in X]
    losses = [row_loss(loss, z, target) for z, target in zip(raw, y, strict=True)]
    expected = math.fsum(w * losses) / math.fsum(w)
    assert net.loss(X, y, w if weighted else None) == pytest.approx(expected, rel=1e-14)


def test_cross_entropy_equals_scipy_and_sklearn():
    rng = np.random.default_rng(2)
    z, labels = rng.normal(size=(20, 4)) * 3, np.arange(20) % 4
    net = linear(4, "cross_entropy")
    assert_allclose(net(z), np.exp(log_softmax(z, axis=1)), rtol=1e-14)
    assert net.loss(z, labels) == pytest.approx(log_loss(labels, np.exp(log_softmax(z, axis=1))), rel=1e-13)
    targets = rng.uniform(size=(20, 4))  # rows need not sum to 1
    assert net.loss(z, targets) == pytest.approx(-(targets * log_softmax(z, axis=1)).sum() / 20, rel=1e-14)


def test_binary_cross_entropy_equals_scipy_and_sklearn():
    rng = np.random.default_rng(3)
    z, y = rng.normal(size=(20, 1)) * 3, np.arange(20) % 2
    net = linear(1, "binary_cross_entropy")
    assert_allclose(net(z), np.exp(log_expit(z)), rtol=1e-14)
    assert net.loss(z, y) == pytest.approx(log_loss(y, np.exp(log_expit(z[:, 0]))), rel=1e-13)


def test_squared_error_equals_sklearn():
    rng = np.random.default_rng(4)
    z, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    net = linear(3, SimpleNamespace(name="squared", reduction="mean"))
    assert net.loss(z, y) == pytest.approx(mean_squared_error(y, z), rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropies_of_extreme_raw_outputs(dtype):
    pair, one = linear(2, "cross_entropy", dtype), linear(1, "binary_cross_entropy", dtype)
    assert pair.loss([[1000.0, 0.0]], [1]) == 1000
    assert pair.loss([[1000.0, 0.0]], [0]) == 0
    assert one.loss([[1000.0]], [0]) == 1000
    assert one.loss([[-1000.0]], [1]) == 1000
    assert one.loss([[1000.0]], [1]) == 0
    assert one.loss([[-50.0]], [0]) == pytest.approx(math.exp(-50), rel=1e-5 if dtype == "float32" else 1e-14)
    assert_array_equal(pair.value_and_grad([[1000.0, 0.0]], [1])[2][0], [1, -1])
    assert_array_equal(one.value_and_grad([[-1000.0]], [1])[2][0], [-1])


# --- gradients ---------------------------------------------------------------------------------------------------------------


def central_differences(net, objective, step=1e-5):
    gradient = np.empty_like(net.params)
    for i, value in enumerate(net.params.copy()):
        net.params[i] = value + step
        above = objective()
        net.params[i] = value - step
        gradient[i] = (above - objective()) / (2 * step)
        net.params[i] = value
    return gradient


def flat(weights, biases):
    return np.concatenate([part.ravel() for pair in zip(weights, biases, strict=True) for part in pair])


def assert_gradient_is_the_derivative(net, X, y, activations, w=None, l2=0.0, n_train=None):
    """Compare value_and_grad with central differences on the rows that no step takes across a kink."""
    kinks = {name: list(ACTIVATIONS[name][2]) for name in activations}
    smooth = [
        all(abs(z - kink) > 1e-3 for layer, name in zip(raw, activations, strict=True) for z in layer for kink in kinks[name])
        for raw in (raw_outputs(net, row, activations) for row in X)
    ]
    assert sum(smooth) > len(X) / 2
    X, y = X[smooth], y[smooth]
    w = None if w is None else w[smooth]
    loss, weights, biases = net.value_and_grad(X, y, w, l2, n_train)
    numeric = central_differences(net, lambda: net.value_and_grad(X, y, w, l2, n_train)[0])
    assert np.abs(flat(weights, biases) - numeric).max() < 1e-8 * max(1, np.abs(numeric).max())
    penalty = sum((weight**2).sum() for weight in net.weights) * l2 / 2 / (n_train or len(X))
    assert loss == pytest.approx(net.loss(X, y, w) + penalty, rel=1e-14)


@pytest.mark.parametrize(
    ("name", "loss"),
    [(name, loss) for name in ACTIVATIONS for loss in LOSSES if name in ("gelu", "exp") or loss in ("squared", "cross_entropy")],
    ids=label,
)
def test_gradient_of_hidden_layers(name, loss):
    rng = np.random.default_rng(5)
    net = make((5, 7, 3, 4), name, loss)
    net.params *= 0.3 if name == "exp" else 1.0  # exp of exp of exp is steep
    X, y, w = rng.normal(size=(13, 5)), make_targets(rng, loss, 13, 4), rng.uniform(0.1, 2, 13)
    assert_gradient_is_the_derivative(net, X, y, [name, name, "identity"], w, 0.7, 19)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient_of_an_output_activation(name):
    rng = np.random.default_rng(6)
    net = make((3, 5, 1), "tanh", "squared", output=name)
    assert_gradient_is_the_derivative(net, rng.normal(size=(9, 3)), rng.normal(size=(9, 1)), ["tanh", name])


@pytest.mark.parametrize("sizes", [(1, 1), (4, 3), (1, 6, 6, 1), (2, 1, 3, 1, 2)], ids=str)
def test_gradient_at_odd_shapes(sizes):
    rng = np.random.default_rng(7)
    net = make(sizes, ["sigmoid", "silu", "softplus"][: len(sizes) - 2], "squared")
    names = [*["sigmoid", "silu", "softplus"][: len(sizes) - 2], "identity"]
    for n in (1, 2, 5):
        X, y = rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))
        assert_gradient_is_the_derivative(net, X, y, names, l2=0.3)


def test_gradients_returned_are_not_overwritten():
    rng = np.random.default_rng(8)
    net, X, y = make(), rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    _, weights, biases = net.value_and_grad(X, y)
    kept = flat(weights, biases).copy()
    net.value_and_grad(X + 1, y)
    net.fit(X, y, epochs=1)
    assert_array_equal(flat(weights, biases), kept)


# --- update rules ------------------------------------------------------------------------------------------------------------


def sgd(w, g, state, t, matrix):
    return w - 0.1 * g


def momentum(w, g, state, t, matrix):
    state["v"] = 0.8 * state.get("v", 0) - 0.1 * g
    return w + state["v"]


def nesterov(w, g, state, t, matrix):
    state["v"] = 0.8 * state.get("v", 0) - 0.1 * g
    return w + 0.8 * state["v"] - 0.1 * g


def rmsprop(w, g, state, t, matrix):
    state["s"] = 0.7 * state.get("s", 0) + 0.3 * g**2
    return w - 0.1 * g / (np.sqrt(state["s"]) + 0.01)


def adam(w, g, state, t, matrix):
    state["m"] = 0.6 * state.get("m", 0) + 0.4 * g
    state["v"] = 0.7 * state.get("v", 0) + 0.3 * g**2
    return w - 0.1 * (state["m"] / (1 - 0.6**t)) / (np.sqrt(state["v"] / (1 - 0.7**t)) + 0.01)


def adamw(w, g, state, t, matrix):
    return adam(w, g, state, t, matrix) - 0.1 * 0.2 * w * matrix


BETAS = {"beta_1": 0.6, "beta_2": 0.7, "epsilon": 0.01}
RULES = {
    "sgd": (sgd, {}),
    "momentum": (momentum, {"momentum": 0.8}),
    "nesterov": (nesterov, {"momentum": 0.8}),
    "rmsprop": (rmsprop, {"rho": 0.7, "epsilon": 0.01}),
    "adam": (adam, BETAS),
    "adamw": (adamw, {**BETAS, "weight_decay": 0.2}),
}


def adam_with_epsilon_hat(w, g, state, t, matrix):
    """The line at the end of section 2 of Kingma & Ba (2015)."""
    state["m"] = 0.6 * state.get("m", 0) + 0.4 * g
    state["v"] = 0.7 * state.get("v", 0) + 0.3 * g**2
    return w - 0.1 * np.sqrt(1 - 0.7**t) / (1 - 0.6**t) * state["m"] / (np.sqrt(state["v"]) + 0.01)


def momentum_of_one(w, g, state, t, matrix):
    state["v"] = state.get("v", 0) - 0.1 * g
    return w + state["v"]


@pytest.mark.parametrize(
    ("name", "rule", "settings"),
    [
        *((name, *case) for name, case in RULES.items()),
        ("adam", adam_with_epsilon_hat, {**BETAS, "epsilon_hat": True}),
        ("momentum", momentum_of_one, {"momentum": 1.0}),
    ],
)
def test_three_steps_of_a_rule_on_least_squares(name, rule, settings):
    rng = np.random.default_rng(9)
    X, y = rng.normal(size=(6, 3)), rng.normal(size=6)
    A = np.column_stack([X, np.ones(6)])  # one linear unit: its parameters are the weights, then the bias
    net = make((3, 1))
    w, state, matrix = net.params.copy(), {}, np.array([1, 1, 1, 0])
    for t in (1, 2, 3):
        g = (A.T @ (A @ w - y) + 0.5 * matrix * w) / 6
        w = rule(w, g, state, t, matrix)
    net.fit(X, y, epochs=3, batch_size=6, optimizer=SimpleNamespace(name=name, learning_rate=0.1, **settings), l2=0.5)
    assert_allclose(net.params, w, rtol=1e-14)


DEFAULTS = {
    "sgd": {"learning_rate": 0.01},
    "momentum": {"learning_rate": 0.01, "momentum": 0.9},
    "nesterov": {"learning_rate": 0.01, "momentum": 0.9},
    "rmsprop": {"learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-8},
    "adam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
    "adamw": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01},
}


@pytest.mark.parametrize("name", RULES)
def test_a_name_means_the_default_hyper_parameters(name):
    rng = np.random.default_rng(10)
    X, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    named, given = make(), make()
    named.fit(X, y, epochs=3, batch_size=4, optimizer=name)
    given.fit(X, y, epochs=3, batch_size=4, optimizer=SimpleNamespace(name=name, **DEFAULTS[name]))
    assert_array_equal(named.params, given.params)


def test_state_of_the_optimiser_lasts_one_fit():
    rng = np.random.default_rng(11)
    X, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    once, twice, restarted = make(), make(), make()
    once.fit(X, y, epochs=2, optimizer="momentum")
    twice.fit(X, y, epochs=1, optimizer="momentum")
    restarted.params[:] = twice.params
    twice.fit(X, y, epochs=1, optimizer="momentum")
    restarted.fit(X, y, epochs=1, optimizer="sgd")  # the first step from no velocity is a step of SGD
    assert_allclose(twice.params, restarted.params, rtol=1e-15)
    assert np.abs(twice.params - once.params).max() > 1e-4


# --- epochs and mini-batches -------------------------------------------------------------------------------------------------


def steps_by_hand(net, X, y, batches, w=None, l2=0.0, learning_rate=0.01):
    """SGD on the given lists of rows, from value_and_grad; returns the mean over the rows of the losses before each step."""
    losses = []
    for rows in batches:
        part = None if w is None else w[rows]
        loss, grad_w, grad_b = net.value_and_grad(X[rows], y[rows], part, l2, len(X))
        net.params -= learning_rate * flat(grad_w, grad_b)
        losses.extend([loss] * len(rows))
    return np.mean(losses)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 10, 100])
def test_an_epoch_is_slices_and_a_short_last_one(batch_size, weighted):
    rng = np.random.default_rng(12)
    X, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    w = rng.uniform(0.1, 2, 10) if weighted else None
    net, by_hand = make(), make()
    losses = net.fit(X, y, epochs=2, batch_size=batch_size, sample_weight=w, l2=0.4)
    batches = [np.arange(10)[start : start + batch_size] for start in range(0, 10, batch_size)]
    expected = [steps_by_hand(by_hand, X, y, batches, w, 0.4) for _ in range(2)]
    assert_allclose(losses, expected, rtol=1e-14)
    assert_allclose(net.params, by_hand.params, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_order_is_the_rows_visited(loss):
    rng = np.random.default_rng(13)
    X, order = rng.normal(size=(10, 3)), rng.integers(10, size=(3, 7))
    y = rng.integers(2, size=10) if loss == "cross_entropy" else rng.normal(size=(10, 2))
    w = rng.uniform(0.1, 2, 10)
    net, by_hand, same = make(loss=loss), make(loss=loss), make(loss=loss)
    losses = net.fit(X, y, epochs=3, batch_size=3, order=order, sample_weight=w, l2=0.2)
    expected = [steps_by_hand(by_hand, X, y, [rows[:3], rows[3:6], rows[6:]], w, 0.2) for rows in order]
    assert_allclose(losses, expected, rtol=1e-14)
    assert_allclose(net.params, by_hand.params, rtol=1e-13, atol=1e-15)
    net.fit(X, y, epochs=3, batch_size=3, order=order[0])
    same.params[:] = by_hand.params
    same.fit(X, y, epochs=3, batch_size=3, order=np.tile(order[0], (3, 1)))
    assert_allclose(net.params, same.params, rtol=1e-12)


def test_shuffle_visits_the_permutations_of_the_generator():
    rng = np.random.default_rng(14)
    X, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    draw = np.random.default_rng(0)
    for shuffle, order in (
        (True, np.array([draw.permutation(10) for _ in range(3)])),
        ("replacement", np.random.default_rng(0).integers(10, size=(3, 10))),
    ):
        net, ordered = make(), make()
        losses = net.fit(X, y, epochs=3, batch_size=4, shuffle=shuffle, rng=0)
        assert losses == ordered.fit(X, y, epochs=3, batch_size=4, order=order)
        assert_array_equal(net.params, ordered.params)


def test_weight_two_is_a_row_twice_and_weight_zero_is_no_row():
    rng = np.random.default_rng(15)
    X, y = rng.normal(size=(6, 3)), rng.integers(2, size=6)
    w, rows = np.array([1.0, 2, 1, 0, 3, 1]), [0, 1, 1, 2, 4, 4, 4, 5]
    weighted, repeated = make(loss="cross_entropy"), make(loss="cross_entropy")
    assert weighted.loss(X, y, w) == pytest.approx(repeated.loss(X[rows], y[rows]), rel=1e-14)
    a, b = weighted.value_and_grad(X, y, w), repeated.value_and_grad(X[rows], y[rows])
    assert_allclose(flat(*a[1:]), flat(*b[1:]), rtol=1e-13, atol=1e-16)
    losses = weighted.fit(X, y, epochs=4, batch_size=6, sample_weight=w, optimizer="adam")
    assert_allclose(losses, repeated.fit(X[rows], y[rows], epochs=4, batch_size=8, optimizer="adam"), rtol=1e-12)
    assert_allclose(weighted.params, repeated.params, rtol=1e-10)


def test_a_batch_without_weight_gives_no_step():
    rng = np.random.default_rng(16)
    X, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    net, half = make(), make()
    losses = net.fit(X, y, epochs=1, batch_size=2, sample_weight=[1, 1, 0, 0])
    assert losses == pytest.approx(half.fit(X[:2], y[:2], epochs=1, batch_size=2), rel=1e-15)
    assert_allclose(net.params, half.params, rtol=1e-14)


def test_l2_is_divided_by_the_training_set_and_spares_biases():
    rng = np.random.default_rng(17)
    net, X, y = make(), rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    _, plain_w, plain_b = net.value_and_grad(X, y)
    for n_train, n in ((None, 8), (50, 50)):
        _, weights, biases = net.value_and_grad(X, y, l2=3.0, n_train=n_train)
        for weight, with_l2, without in zip(net.weights, weights, plain_w, strict=True):
            assert_allclose(with_l2 - without, 3 / n * weight, rtol=1e-12, atol=1e-15)
        assert_array_equal(flat(biases, biases), flat(plain_b, plain_b))


def test_training_learns_and_leaves_its_arguments_alone():
    rng = np.random.default_rng(18)
    X = rng.normal(size=(60, 3)).astype("float32")
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    kept_X, kept_y = X.copy(), y.copy()
    net = baseline.Network([3, 16, 2], "silu", "cross_entropy", rng=0)
    optimizer = SimpleNamespace(name="adam", learning_rate=0.01)
    losses = net.fit(X, y, epochs=60, batch_size=7, optimizer=optimizer, shuffle=True, rng=0)
    assert losses[-1] < losses[0] / 3
    assert (net.predict(X) == y).mean() > 0.95
    assert net.params.dtype == np.float32
    assert_array_equal(X, kept_X)
    assert_array_equal(y, kept_y)


def test_memory_layout_and_type_of_the_data_do_not_matter():
    rng = np.random.default_rng(19)
    X, y = rng.integers(-3, 4, (12, 3)), rng.integers(0, 3, (12, 2))
    reference = make()
    expected = reference.fit(X.astype(float), y.astype(float), epochs=2, batch_size=5, shuffle=True, rng=1)
    for data in (X, np.asfortranarray(X, float), X.tolist(), np.repeat(X, 2, axis=1)[:, ::2], X.astype("float32")):
        net = make()
        assert net.fit(data, y, epochs=2, batch_size=5, shuffle=True, rng=1) == expected
        assert_array_equal(net.params, reference.params)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_float32_follows_float64(loss, rule):
    rng = np.random.default_rng(20)
    X, y = rng.normal(size=(30, 3)), make_targets(rng, loss, 30, 2)
    single, double = make(loss=loss, dtype="float32"), make(loss=loss)
    assert_allclose(single.loss(X, y), double.loss(X, y), rtol=1e-5)
    single.fit(X, y, epochs=5, batch_size=7, optimizer=rule)
    double.fit(X, y, epochs=5, batch_size=7, optimizer=rule)
    assert single.params.dtype == np.float32
    assert_allclose(single.params, double.params, rtol=1e-4, atol=1e-5)


# --- scikit-learn ------------------------------------------------------------------------------------------------------------


SKLEARN = {
    "sgd": {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False},
    "momentum": {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True},
    "adam": {"solver": "adam", "epsilon": 1e-30},  # scikit-learn adds epsilon elsewhere; this small it does not matter
}


@pytest.mark.parametrize("rule", SKLEARN)
@pytest.mark.parametrize(("classes", "activation"), [(3, "relu"), (2, "tanh")])
def test_trajectory_of_sklearn(classes, activation, rule):
    rng = np.random.default_rng(21)
    X, y = rng.normal(size=(50, 4)), np.arange(50) % classes
    model = MLPClassifier(
        hidden_layer_sizes=(6,),
        activation=activation,
        alpha=0.0,
        batch_size=8,
        learning_rate_init=0.05,
        shuffle=False,
        max_iter=1,
        tol=0.0,
        n_iter_no_change=100,
        warm_start=True,
        random_state=0,
        **SKLEARN[rule],
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)  # draws the coefficients; a warm start then goes on from them with a new optimiser
    weights, biases = [coef.T.copy() for coef in model.coefs_], [bias.copy() for bias in model.intercepts_]
    model.set_params(max_iter=6)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)

    sizes, loss = ([4, 6, 3], "cross_entropy") if classes == 3 else ([4, 6, 1], "binary_cross_entropy")
    net = baseline.Network(sizes, activation, loss, dtype="float64", weights=weights, biases=biases)
    optimizer = SimpleNamespace(name=rule, learning_rate=0.05, momentum=0.9, beta_1=0.9, beta_2=0.999, epsilon=1e-30)
    losses = net.fit(X, y, epochs=6, batch_size=8, optimizer=optimizer)
    assert_allclose(losses, model.loss_curve_[1:], rtol=1e-10)
    for weight, bias, coef, intercept in zip(net.weights, net.biases, model.coefs_, model.intercepts_, strict=True):
        assert_allclose(weight, coef.T, rtol=1e-8, atol=1e-10)
        assert_allclose(bias, intercept, rtol=1e-8, atol=1e-10)
    assert_allclose(net(X)[:, -1], model.predict_proba(X)[:, -1], rtol=1e-8)


# --- the rest ----------------------------------------------------------------------------------------------------------------


def test_outputs_and_predictions():
    X = np.array([[2.0, -1.0], [-3.0, 0.5]])
    pair, two, values = linear(2, "cross_entropy"), linear(2, "binary_cross_entropy"), linear(2, "squared")
    one = baseline.Network([2, 1], loss="binary_cross_entropy", dtype="float64", weights=[[[1, 0]]], biases=[[[0]]])
    assert_allclose(pair(X).sum(axis=1), 1, rtol=1e-15)
    assert_array_equal(pair.predict(X), [0, 1])
    assert_array_equal(two.predict(X), [[1, 0], [0, 1]])
    assert_array_equal(one.predict(X), [1, 0])
    assert_array_equal(values.predict(X), X)
    assert_array_equal(make((2, 1)).predict(X), make((2, 1))(X)[:, 0])
    assert pair(X[0]).shape == (2,)
    assert_allclose(pair(X[0]), pair(X)[0], rtol=1e-15)
    for net in (pair, two, values):
        first = net(X)
        kept = first.copy()
        net(X + 1)
        assert_array_equal(first, kept)


def test_parameters_are_views_of_one_vector():
    net = baseline.Network([3, 4, 2], rng=0)
    assert [weight.shape for weight in net.weights] == [(4, 3), (2, 4)]
    assert [bias.shape for bias in net.biases] == [(4,), (2,)]
    assert_array_equal(net.params, flat(net.weights, net.biases))
    net.weights[1][0, 0] = 7
    net.biases[1][1] = 8
    assert net.params[16] == 7
    assert net.params[-1] == 8
    assert_array_equal(baseline.Network([3, 4, 2], rng=0).weights[0], net.weights[0])


def test_from_network_copies_settings_and_parameters():
    rng = np.random.default_rng(22)
    source = SimpleNamespace(
        sizes=[3, 4, 5, 2],
        hidden=[SimpleNamespace(name="leaky_relu", alpha=0.2), SimpleNamespace(name="gelu", alpha=0.0)],
        output=SimpleNamespace(name="sigmoid"),
        loss_function=SimpleNamespace(name="squared", reduction="sum"),
        dtype=np.dtype("float64"),
        weights=[rng.normal(size=shape) for shape in ((4, 3), (5, 4), (2, 5))],
        biases=[rng.normal(size=size) for size in (4, 5, 2)],
    )
    net = baseline.from_network(source)
    other = baseline.Network(
        source.sizes,
        source.hidden,
        source.loss_function,
        output="sigmoid",
        dtype="float64",
        weights=source.weights,
        biases=source.biases,
    )
    X, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    assert net.value_and_grad(X, y)[0] == other.value_and_grad(X, y)[0]
    before = flat(source.weights, source.biases)
    net.fit(X, y, epochs=1)
    assert_array_equal(flat(source.weights, source.biases), before)
    assert not np.array_equal(net.params, before)
    source.loss_function, source.output = SimpleNamespace(name="cross_entropy"), SimpleNamespace(name="softmax")
    assert_allclose(baseline.from_network(source)(X).sum(axis=1), 1, rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (([3],), {}, "two positive widths"),
        (([3, 0, 1],), {}, "two positive widths"),
        (([3, 4, 1], ["relu", "relu"]), {}, "one for each hidden layer"),
        (([3, 4, 1], "cube"), {}, "activation 'cube' is not known; choose from identity"),
        (([3, 4, 1], "softmax"), {}, "activation 'softmax' is not known"),
        (([3, 1], "relu", "hinge"), {}, "loss 'hinge' is not known; choose from squared"),
        (([3, 2], "relu", "cross_entropy"), {"output": "sigmoid"}, "output must be 'softmax'"),
        (([3, 2],), {"weights": [np.zeros((2, 4))]}, "cannot reshape"),
        (([3, 2],), {"weights": []}, "shorter"),
    ],
)
def test_settings_that_do_not_fit(arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        baseline.Network(*arguments, **settings)


@pytest.mark.parametrize(
    ("loss", "X", "y", "settings", "message"),
    [
        ("squared", np.zeros((4, 2)), np.zeros((4, 2)), {}, "X must have shape"),
        ("squared", np.zeros((4, 3)), np.zeros(4), {}, "y must have shape"),
        ("squared", np.zeros((4, 3)), np.zeros((4, 2)), {"sample_weight": np.ones(3)}, "sample_weight must have shape"),
        ("cross_entropy", np.zeros((4, 3)), [0, 1, 2, 0], {}, "integer labels in"),
        ("cross_entropy", np.zeros((4, 3)), [0, 1, -1, 0], {}, "integer labels in"),
        ("cross_entropy", np.zeros((4, 3)), np.zeros(4), {}, "integer labels in"),
        ("squared", np.zeros((4, 3)), np.zeros((4, 2)), {"order": [0, 4]}, "order must hold row numbers"),
        ("squared", np.zeros((4, 3)), np.zeros((4, 2)), {"order": [[0], [1]], "epochs": 3}, "broadcast"),
        ("squared", np.zeros((4, 3)), np.zeros((4, 2)), {"optimizer": "lion"}, "optimizer 'lion' is not known"),
    ],
)
def test_data_that_does_not_fit(loss, X, y, settings, message):
    net = make(loss=loss)
    before = net.params.copy()
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, **settings)
    assert_array_equal(net.params, before)
