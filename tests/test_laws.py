"""Laws of the registered classes: slopes and deltas are derivatives, gradients equal differences, kernels equal the oracle."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import (
    ACTIVATIONS,
    DTYPES,
    KINKS,
    LOSSES,
    PAIRS,
    RULES,
    compiled,
    error,
    flat,
    label,
    make_net,
    make_samples,
    make_targets,
    oracle,
)
from numba import types

from fastbp import SGD, CrossEntropy, Momentum, Nesterov, activations, baseline, losses
from fastbp.engine.parameters import Gradients
from fastbp.kernels import sweeps
from fastbp.simd.register import pointer, register_bytes, store, width

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=label)
every_loss_of_panels = pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.zero_if_met], ids=label)
every_rule = pytest.mark.parametrize("rule", RULES, ids=label)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


# --- one class at a time -----------------------------------------------------------------------------------------------------


def over_all(entry, dtype):
    """The function of an entry over all classes, so that one compile serves every code."""
    return entry.over(activations.ACTIVATIONS.classes, dtype)


def code(instance):
    """The number by which kernels know a class of the package."""
    return instance.registry.code(type(instance))


def _sweep_signature(dtype):
    vector = dtype[::1]
    return types.void(types.int64, vector, vector, vector, vector)


@compiled(_sweep_signature)
def sweep(code, z, a, d, alpha):
    sweeps.activate(code, pointer(a), a.size, width(pointer(a)), pointer(alpha))
    sweeps.multiply_slope(code, pointer(z), pointer(a), pointer(d), d.size, width(pointer(a)), pointer(alpha))


def value_and_slope(activation, z):
    """f(z) and f'(z) by the kernels' sweeps over memory."""
    a, d = z.copy(), np.ones_like(z)
    read = z if activation.needs_z else np.full_like(z, np.nan)  # others must not read z
    over_all(sweep, z.dtype)(code(activation), read, a, d, np.array([activation.alpha], z.dtype))
    return a, d


def whole_registers(values, dtype="float64"):
    return np.resize(np.asarray(values, dtype), -(-np.size(values) // 64) * 64)


def numbers_off_kinks():
    z = np.concatenate([np.linspace(-12, 12, 1999), make_samples(1000, 1)[:, 0], [-700, -40, 40, 700, 1e-2, -1e-2]])
    return whole_registers(z[np.abs(z[:, None] - KINKS).min(axis=1) > 1e-3])


@every_activation
def test_slope_is_the_derivative_of_value(activation):
    z, h = numbers_off_kinks(), 1e-5
    difference = (value_and_slope(activation, z + h)[0] - value_and_slope(activation, z - h)[0]) / (2 * h)
    # truncation h^2 |f'''| / 6, rounding of two values and of z +- h
    value, slope = value_and_slope(activation, z)
    rounding = 4 * np.finfo(float).eps * (1 + np.abs(z) * np.maximum(1, np.abs(slope)) + np.abs(value))
    bound = 1e-9 * np.maximum(1, np.abs(slope)) + rounding / h
    finite = np.isfinite(difference)
    assert finite[np.abs(z) < 700].all()
    np.testing.assert_array_less(np.abs(slope - difference)[finite], bound[finite])


def alone(activation, alpha):
    """The oracle's network that is one activation."""
    named = SimpleNamespace(name=activation.name, alpha=alpha)
    return baseline.Network([1, 1], output=named, dtype="float64", weights=[[[1]]], biases=[[0]])


@every_dtype
@every_activation
def test_value_equals_the_oracle(activation, dtype):
    z = whole_registers(numbers_off_kinks(), dtype)
    exact = alone(activation, z.dtype.type(activation.alpha))(z[:, None])[:, 0]
    unit = np.finfo(dtype).eps * np.maximum(np.maximum(1, np.abs(z.astype(float))), np.abs(exact))
    value = value_and_slope(activation, z)[0]
    finite = np.isfinite(value)
    assert finite[np.abs(z) < 80].all()
    np.testing.assert_array_less(np.abs(value - exact)[finite], 4 * unit[finite])


@every_activation
def test_slope_in_float32(activation):
    z = whole_registers(numbers_off_kinks(), "float32")
    exact = value_and_slope(activation, z.astype(float))[1]
    unit = np.finfo("float32").eps * np.maximum(np.maximum(1, np.abs(z)), np.abs(exact))
    slope = value_and_slope(activation, z)[1]
    finite = np.isfinite(slope)
    assert finite[np.abs(z) < 80].all()
    np.testing.assert_array_less(np.abs(slope - exact)[finite], 8 * unit[finite])


@every_activation
def test_slope_multiplies_what_was_there(activation):
    z, d = numbers_off_kinks(), np.linspace(-3, 3, numbers_off_kinks().size)
    a, product = value_and_slope(activation, z)[0], d.copy()
    over_all(sweep, "float64")(code(activation), z, z.copy(), product, np.array([activation.alpha]))
    np.testing.assert_array_equal(product, d * value_and_slope(activation, z)[1])
    assert np.isfinite(a).all()


@every_dtype
@pytest.mark.parametrize(
    ("name", "z", "slope"),
    [("relu", 0, 0), ("relu", -0.0, 0), ("leaky_relu", 0, 0.01), ("hard_sigmoid", -3, 0), ("hard_sigmoid", 3, 0)],
)
def test_slope_at_a_kink(name, z, slope, dtype):
    assert value_and_slope(activations.get(name), whole_registers([z], dtype))[1][0] == np.dtype(dtype).type(slope)


@every_dtype
@every_activation
def test_nan_stays_nan(activation, dtype):
    z = whole_registers([np.nan, 1.0], dtype)
    value, _ = value_and_slope(activation, z)
    np.testing.assert_array_equal(np.isnan(value), np.isnan(z))


def _loss_signature(dtype):
    vector = dtype[::1]
    return types.void(types.int64, vector, vector, vector, vector, types.int64, types.int64, types.float64)


@compiled(_loss_signature)
def losses_of_lanes(code, x, y, d, out, count, stride, scale):
    store(pointer(out), 0, sweeps.loss_block(code, pointer(x), pointer(y), pointer(d), count, stride, scale, np.inf))


def loss_and_delta(loss, x, y):
    """l (W,) and dl/dx (n_out, W) of W samples side by side."""
    d, out = np.full_like(x, np.nan), np.full(x.shape[1], np.nan, x.dtype)
    over_all(losses_of_lanes, x.dtype)(code(loss), x.ravel(), y.ravel(), d.reshape(-1), out, *x.shape, loss.scale(len(x)))
    return out, d


def lanes_of(loss, n_out, dtype="float64"):
    lanes = register_bytes() // np.dtype(dtype).itemsize
    x, y = 3 * make_samples(n_out, lanes, dtype), make_targets(loss, lanes, n_out, dtype)
    if loss.task == "labels":
        y *= np.linspace(0.5, 2, lanes, dtype=dtype)[:, None]  # rows that do not sum to 1 show more
    return x, np.ascontiguousarray(y.T)


@pytest.mark.parametrize("n_out", [1, 2, 3, 8, 11])
@every_loss
def test_delta_is_the_derivative_of_the_loss(loss, n_out):
    x, y = lanes_of(loss, n_out)
    value, delta = loss_and_delta(loss, x, y)
    h = 1e-5
    for k in range(n_out):
        step = np.zeros_like(x)
        step[k] = h
        difference = (loss_and_delta(loss, x + step, y)[0] - loss_and_delta(loss, x - step, y)[0]) / (2 * h)
        rounding = 4 * np.finfo(float).eps * value.max() / h
        np.testing.assert_allclose(delta[k], difference, rtol=1e-8, atol=1e-9 + rounding)


@every_dtype
@pytest.mark.parametrize("n_out", [1, 2, 3, 8, 11])
@every_loss
def test_loss_and_delta_equal_the_oracle(loss, n_out, dtype):
    x, y = lanes_of(loss, n_out, dtype)
    values, deltas = loss_and_delta(loss, x, y)
    linear = baseline.Network([n_out, n_out], loss=loss, dtype="float64", weights=[np.eye(n_out)], biases=[np.zeros(n_out)])
    for j in range(x.shape[1]):
        expected, _, (gradient,) = linear.value_and_grad(x[:, j : j + 1].T, y[:, j : j + 1].T)
        tolerance = float(8 * np.finfo(dtype).eps * max((1 + np.abs(x[:, j]).sum()) ** 2, expected))
        assert values[j] == pytest.approx(expected, abs=tolerance)
        np.testing.assert_allclose(deltas[:, j], gradient, rtol=0, atol=tolerance)


@every_dtype
@every_loss_of_panels
def test_a_loss_that_takes_panels_is_zero_where_outputs_meet_targets(loss, dtype):
    x = 3 * make_samples(4, register_bytes() // np.dtype(dtype).itemsize, dtype)
    x[0] = 0
    value, delta = loss_and_delta(loss, x, x)
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(delta, 0)
    assert loss.link is None


@every_dtype
@every_loss_of_panels
def test_losses_in_panels_and_in_lanes_agree(loss, dtype):
    panel = 2 * register_bytes() // np.dtype(dtype).itemsize
    for n_out in (1, 2, panel // 2, panel // 2 + 1, panel, panel + 1, 2 * panel + 3):
        net = make_net((3, n_out), [], loss, dtype=dtype)
        for rows in (1, panel // 2 + 1, 2 * panel - 1, 2 * panel, 2 * panel + 1, 83):
            X, y = make_samples(rows, 3, dtype), make_targets(loss, rows, n_out, dtype)
            value, gradient = net.value_and_grad(X, y)
            other, expected = net.value_and_grad(X, y, sample_weight=np.ones(rows))  # weights are for samples in the lanes
            np.testing.assert_array_equal(gradient.params, expected.params)
            assert value == pytest.approx(other, rel=40 * float(np.finfo(dtype).eps))
            assert net.loss(X, y) == value


@every_dtype
def test_cross_entropies_of_extreme_raw_outputs(dtype):
    lanes = register_bytes() // np.dtype(dtype).itemsize
    for top in (88.0, 89.0, 1e4, 1e30):
        x, y = np.zeros((2, lanes), dtype), np.zeros((2, lanes), dtype)
        x[0], y[1] = top, 1
        value, delta = loss_and_delta(CrossEntropy(), x, y)
        np.testing.assert_allclose(value, top, rtol=1e-6)
        np.testing.assert_allclose(delta, [[1] * lanes, [-1] * lanes], rtol=1e-6)
        binary = losses.get("binary_cross_entropy")
        value, delta = loss_and_delta(binary, x[:1], y[:1])
        np.testing.assert_allclose(value, top, rtol=1e-6)
        value, delta = loss_and_delta(binary, -x[:1], y[:1])
        np.testing.assert_allclose([value, delta[0]], 0, atol=1e-37)


# --- whole networks ----------------------------------------------------------------------------------------------------------


def off_kinks(sizes, hidden, loss, n, *, margin=1e-2, dtype="float64", **settings):
    """A network and samples whose raw outputs are all further than `margin` from every kink, and not huge."""
    for seed in range(200):
        net = make_net(sizes, hidden, loss, dtype=dtype, seed=seed, **settings)
        X = make_samples(n, sizes[0], dtype, seed)
        while np.abs(z := np.concatenate([z.ravel() for z in net.trace(X).z]).astype(float)).max() > 8:
            net.params *= 0.7  # a layer or two of exp grow without bounds
        if np.abs(z[:, None] - KINKS).min() > margin:
            return net, X
    raise AssertionError("no data away from the kinks")


ODD_SHAPES = [((3, 5, 7, 2), 3), ((5, 9, 1), 7)]


@pytest.mark.parametrize(("sizes", "n"), ODD_SHAPES, ids=str)
@every_loss
@every_activation
def test_gradients_equal_central_differences(activation, loss, sizes, n):
    if loss.task == "labels" and sizes[-1] == 1:
        sizes = (*sizes[:-1], 5)  # one class has nothing to learn
    net, X = off_kinks(sizes, activation, loss, n, margin=3e-3)
    y = make_targets(loss, n, sizes[-1])
    report = net.check_gradients(X, y)
    assert report.max_error <= 1e-7
    assert max(report.errors) <= 1e-7
    value, weights, biases = oracle(net).value_and_grad(X, y)
    assert error(report.gradient, flat(weights, biases)) < 1e-13
    assert net.loss(X, y) == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize(("sizes", "n"), ODD_SHAPES, ids=str)
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.link is None], ids=label)
@every_activation
def test_gradients_through_an_output_activation_equal_central_differences(activation, loss, sizes, n):
    net, X = off_kinks(sizes, "sigmoid", loss, n, margin=3e-3, output=activation)
    y = make_targets(loss, n, sizes[-1])
    assert net.check_gradients(X, y).max_error <= 1e-7
    _, weights, biases = oracle(net).value_and_grad(X, y)
    assert error(net.value_and_grad(X, y)[1].params, flat(weights, biases)) < 1e-13


@pytest.mark.parametrize("seed", range(10))
def test_random_networks_equal_the_oracle(seed):
    rng = np.random.default_rng(seed)
    for case in range(30):
        sizes = rng.integers(1, 68, rng.integers(2, 7)).tolist()
        hidden = [ACTIVATIONS[i] for i in rng.integers(len(ACTIVATIONS), size=len(sizes) - 2)]
        loss, n = LOSSES[rng.integers(len(LOSSES))], int(rng.integers(1, 40))
        X, y = make_samples(n, sizes[0], seed=case), make_targets(loss, n, sizes[-1], seed=case)
        w = rng.uniform(0.1, 3, n) if case % 2 else None
        net = make_net(sizes, hidden, loss, seed=case)
        value, weights, biases = oracle(net).value_and_grad(X, y, w)
        result, gradients = net.value_and_grad(X, y, w)
        context = f"{net}, {n} samples"
        assert result == pytest.approx(value, rel=1e-12), context
        assert error(gradients.params, flat(weights, biases)) < 1e-12, context


def gamma(terms, dtype="float32"):
    """k u / (1 - k u): relative error of a sum of k products in any order (Higham, 2002, section 3.1)."""
    unit = np.finfo(dtype).eps / 2
    return terms * unit / (1 - terms * unit)


def curvature(activation, z):
    """Largest |f'| and |f''| around the given z and away from kinks, and f' there, from the oracle's formulas."""
    one = alone(activation, activation.alpha)

    def slope(z):
        h = 1e-6
        return ((one((z + h).reshape(-1, 1)) - one((z - h).reshape(-1, 1))) / (2 * h)).reshape(z.shape)

    grid = np.arange(z.min() - 0.1, z.max() + 0.1, 0.005) + 1e-4
    grid = grid[np.abs(grid[:, None] - KINKS).min(axis=1) > 2e-3]
    second = np.diff(slope(grid)) / np.diff(grid)
    return np.abs(slope(grid)).max(), np.abs(second[np.diff(grid) < 0.006]).max(), slope(z)


def gradient_error_bound(net, X, y):
    """Component-wise bound on the float32 error of the gradient: first-order error analysis of the four equations.

    Each product of depth k errs by gamma_k |A| |B| and passes on the errors of its operands; an activation passes on max|f'| times
    the error of z, a slope max|f''| times it, and each rounds by at most 8 units in the last place of max(1, |z|).
    """
    exact = oracle(net)
    unit, n = 8 * np.finfo("float32").eps / 2, len(X)
    layers = [*net.hidden, activations.get("identity")]
    a, error_a = [X.astype(float)], [np.zeros(X.shape)]
    error_z, slopes = [], []
    for i, (weight, bias) in enumerate(zip(exact.weights, exact.biases, strict=True)):
        z = a[-1] @ weight.T + bias
        products = np.abs(a[-1]) @ np.abs(weight.T) + np.abs(bias)
        error_z.append(gamma(weight.shape[1] + 1) * products + error_a[-1] @ np.abs(weight.T))
        a.append(alone(layers[i], layers[i].alpha)(z.reshape(-1, 1)).reshape(z.shape))
        steepest, bend, slope = curvature(layers[i], z)
        rounding = unit * np.maximum(np.maximum(1, np.abs(z)), np.abs(a[-1]))
        error_a.append(steepest * error_z[-1] + rounding)
        slopes.append((slope, bend * error_z[-1] + rounding))
    # |d^2 l / dz^2| is at most 2, in the norms used here, for every loss but those whose link is exp
    bend = 2 + 2 * np.maximum(np.exp(a[-1]), y * np.exp(-a[-1])) if net.loss_function.link == "exp" else 2
    linear = baseline.Network([y.shape[1]] * 2, loss=net.loss_function, weights=[np.eye(y.shape[1])], biases=[np.zeros(y.shape[1])])
    deltas = np.array([linear.value_and_grad(row[None], target[None])[2][0] for row, target in zip(a[-1], y, strict=True)]) / n
    passed_on = error_a[-1].max(axis=1, keepdims=True) if net.loss_function.link == "softmax" else error_a[-1]
    error_delta = (bend * passed_on + bend * unit * (1 + np.abs(a[-1]) + np.abs(y))) / n
    bound = []
    for i in reversed(range(len(layers))):
        weight = exact.weights[i]
        of_weights = gamma(n) * np.abs(deltas.T) @ np.abs(a[i]) + error_delta.T @ np.abs(a[i]) + np.abs(deltas.T) @ error_a[i]
        bound[:0] = [of_weights.ravel(), (gamma(n) * np.abs(deltas) + error_delta).sum(axis=0)]
        if i:
            back, (slope, error_slope) = deltas @ weight, slopes[i - 1]
            error_back = gamma(weight.shape[0]) * np.abs(deltas) @ np.abs(weight) + error_delta @ np.abs(weight)
            error_delta = error_back * np.abs(slope) + np.abs(back) * error_slope
            deltas = back * slope
    return 1.01 * np.concatenate(bound)  # products of two errors


@every_loss
@every_activation
def test_float32_gradients_are_within_the_error_bound(activation, loss):
    sizes, n = (7, 19, 9, 3), 5
    net, X = off_kinks(sizes, activation, loss, n, margin=3e-4, dtype="float32")
    y = make_targets(loss, n, sizes[-1], "float32")
    _, weights, biases = oracle(net).value_and_grad(X.astype(float), y.astype(float))
    exact, bound = flat(weights, biases), gradient_error_bound(net, X, y)
    assert (np.abs(net.value_and_grad(X, y)[1].params - exact) <= bound).all()
    assert np.linalg.norm(bound) < 1e-2 * np.linalg.norm(exact)  # the bound says something


# --- steps -------------------------------------------------------------------------------------------------------------------


def fit_both(net, X, y, **options):
    """Parameters and epoch losses after the same fit by kernels and oracle; 20 steps, the last batch of each epoch short."""
    exact = oracle(net)
    order = np.array([np.random.default_rng(epoch).permutation(len(X)) for epoch in range(4)])
    expected = exact.fit(X, y, epochs=4, batch_size=9, order=order, **options)
    history = net.fit(X, y, epochs=4, batch_size=9, order=order, **options)
    return (net.params, exact.params), (history.loss, expected)


@pytest.mark.parametrize("options", [{}, {"l2": 0.7}, {"weighted": True}, {"l2": 0.7, "weighted": True}], ids=str)
@pytest.mark.parametrize("sizes", [(5, 7, 3), (33, 17, 20, 1), (2, 1)], ids=str)
@every_rule
def test_twenty_steps_equal_the_oracle(rule, sizes, options):
    net, X, y = make_net(sizes), make_samples(40, sizes[0]), make_targets("squared", 40, sizes[-1])
    options = dict(options)
    if options.pop("weighted", False):
        options["sample_weight"] = np.random.default_rng(3).uniform(0.1, 2, 40)
    params, epoch_losses = fit_both(net, X, y, optimizer=rule, **options)
    assert error(*params) < 2e-12
    assert error(*epoch_losses) < 1e-12


def check_that_hyper_parameters_matter(rule, known):
    changed = type(rule)(0.03, **known)
    net = make_net((5, 7, 3))
    params, _ = fit_both(net, make_samples(40, 5), make_targets("squared", 40, 3), optimizer=changed)
    assert error(*params) < 2e-12, changed
    if known:
        plain = make_net((5, 7, 3))
        fit_both(plain, make_samples(40, 5), make_targets("squared", 40, 3), optimizer=type(rule)(0.03))
        assert error(plain.params, net.params) > 1e-6, changed  # they matter


def test_rules_with_other_hyper_parameters_equal_the_oracle():
    for rule in RULES:
        others = {
            "momentum": 0.5,
            "epsilon_hat": True,
            "rho": 0.6,
            "beta_1": 0.7,
            "beta_2": 0.8,
            "epsilon": 1e-3,
            "weight_decay": 0.3,
        }
        known = {name: others[name] for name in rule.parameters() if name in others}
        check_that_hyper_parameters_matter(rule, known)
    for rule in (Momentum(), Nesterov()):
        check_that_hyper_parameters_matter(rule, {"momentum": 1.0})


@pytest.mark.parametrize(("activation", "loss"), PAIRS, ids=label)
def test_twenty_steps_with_every_activation_and_loss(activation, loss):
    for sizes in ((5, 7, 3), (5, 19, 3)):
        net, X = off_kinks(sizes, activation, loss, 40, margin=1e-6)
        rate = 1e-4 if loss.link == activation.name == "exp" else 0.01  # exp of exp is steep
        params, epoch_losses = fit_both(net, X, make_targets(loss, 40, 3), optimizer=SGD(rate))
        assert error(*params) < 1e-12
        assert error(*epoch_losses) < 1e-12


@every_rule
def test_float32_steps_err_no_more_than_numpy_in_float32(rule):
    errors = []
    for seed in range(5):
        net = make_net((33, 17, 20, 3), dtype="float32", seed=seed)
        X, y = make_samples(40, 33, "float32", seed), make_targets("squared", 40, 3, "float32", seed)
        single = baseline.from_network(net)
        order = np.array([np.random.default_rng(epoch).permutation(len(X)) for epoch in range(4)])
        single.fit(X, y, epochs=4, batch_size=9, order=order, optimizer=rule)
        (params, exact), _ = fit_both(net, X, y, optimizer=rule)
        errors.append((np.linalg.norm(params - exact), np.linalg.norm(single.params - exact)))
    kernels, numpy = np.mean(errors, axis=0)
    assert kernels < 2 * numpy


@every_dtype
@pytest.mark.parametrize("l2", [0.0, 0.7])
@every_rule
def test_separate_step_equals_fused_step(rule, l2, dtype):
    for sizes, batch in (((33, 17, 20, 3), 9), ((5, 40, 2), 300), ((5, 7, 2), 9), ((5, 7, 2), 150)):
        X, y = make_samples(400, sizes[0], dtype), make_targets("squared", 400, sizes[-1], dtype)
        fused, separate = make_net(sizes, dtype=dtype), make_net(sizes, dtype=dtype)
        options = {"epochs": 2, "batch_size": batch, "optimizer": rule, "l2": l2, "shuffle": False}
        losses_fused = fused.fit(X, y, **options).loss
        losses_separate = separate.fit(X, y, record_norms=True, **options).loss
        tolerance = 500 * np.finfo(dtype).eps
        assert error(separate.params, fused.params) < tolerance
        assert error(losses_separate, losses_fused) < tolerance


# --- checking gradients ------------------------------------------------------------------------------------------------------


@pytest.fixture
def checked():
    net = make_net((3, 5, 2))
    return net, make_samples(6, 3), make_targets("squared", 6, 2)


@pytest.mark.parametrize("mutant", range(20))
def test_wrong_gradients_are_noticed(checked, monkeypatch, mutant):
    net, X, y = checked
    loss, gradients = net.value_and_grad(X, y)
    wrong = gradients.params.copy()
    position = np.random.default_rng(mutant).integers(wrong.size)
    changes = [
        lambda: wrong.__setitem__(position, wrong[position] * 1.01 + 1e-4),
        lambda: wrong.__setitem__(position, -wrong[position]),
        lambda: wrong.__setitem__(position, 0.0),
        lambda: wrong.__imul__(1 + 1e-5 * (position + 1)),
    ]
    changes[mutant % len(changes)]()
    monkeypatch.setattr(type(net), "value_and_grad", lambda *args: (loss, Gradients(wrong, net.sizes)))
    report = net.check_gradients(X, y)
    assert report.max_error > 1e-7
    if mutant % len(changes) < 3:
        layer, kind, index, gradient, difference = report.worst
        array = getattr(net, kind)[layer - 1]
        before = sum(w.size + b.size for w, b in zip(net.weights[: layer - 1], net.biases[: layer - 1], strict=True))
        inside = np.ravel_multi_index(index, array.shape) + (net.weights[layer - 1].size if kind == "biases" else 0)
        assert before + inside == position
        assert gradient == wrong[position]
        assert abs(difference - gradients.params[position]) < 1e-8


@pytest.mark.parametrize(
    ("scheme", "dtype", "least", "most"),
    [("central", "float64", 1e-13, 1e-8), ("forward", "float64", 1e-10, 1e-5), ("central", "float32", 1e-9, 1e-5)],
)
def test_schemes_and_dtypes(scheme, dtype, least, most):
    net = make_net((3, 5, 2), dtype=dtype)
    X, y = make_samples(6, 3, dtype), make_targets("squared", 6, 2, dtype)
    before = net.params.copy()
    report = net.check_gradients(X, y, scheme=scheme)
    assert least < report.max_error < most
    assert len(report.errors) == 2
    assert report.gradient.shape == report.difference.shape == net.params.shape
    np.testing.assert_array_equal(net.params, before)
    text = str(report)
    assert f"{report.errors[1]:.3e}" in text
    assert "worst: layer" in text


def test_eps_is_used(checked):
    net, X, y = checked
    coarse = net.check_gradients(X, y, eps=1e-2).max_error
    assert coarse > 100 * net.check_gradients(X, y, eps=1e-4).max_error


@pytest.mark.parametrize(
    ("options", "name"),
    [({"scheme": "backward"}, "scheme"), ({"eps": 0}, "eps"), ({"eps": -1e-5}, "eps"), ({"eps": np.nan}, "eps")],
)
def test_bad_options(checked, options, name):
    net, X, y = checked
    with pytest.raises(ValueError, match=name):
        net.check_gradients(X, y, **options)
