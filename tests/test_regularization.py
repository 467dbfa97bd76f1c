"""L1, clipping, max-norm, dropout and schedules of the learning rate: kernels against the oracle, and what each promises."""

import math

import numpy as np
import pytest
from conftest import (
    ACTIVATIONS,
    DTYPES,
    RULES,
    count_calls,
    error,
    label,
    make_net,
    make_samples,
    make_targets,
    oracle,
    problem,
)

import fastbp
from fastbp import SGD, Adam, schedules
from fastbp.compiler.choice import Level
from fastbp.engine import orders, planner, supervisor
from fastbp.engine.regularization import NOTHING, Regularization, checked, dropout_mask
from fastbp.engine.training_session import TrainingSession
from fastbp.kernels.modes import TRAIN
from fastbp.schedules import Constant, Cosine, CosLog, Exponential, FlatCosine, OneCycle, Step, WarmUp

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
SHAPES = [(5, 20, 3), (33, 17, 20, 1), (3, 2), (70, 40, 33, 9)]


def seed_of(rng):
    """The seed that a fit draws from this generator."""
    return int(np.random.default_rng(rng).integers(1 << 63))


def masks_of(net, seed, n, dropout, input_dropout=0.0):
    """The masks that the oracle needs to drop what the kernels drop."""
    each = [input_dropout, *(dropout if isinstance(dropout, list) else [dropout] * len(net.hidden))]
    return lambda epoch, layer: dropout_mask(seed, epoch, layer, n, net.sizes[layer], each[layer])


def fit_both(net, X, y, *, rng=0, **options):
    """(parameters of kernels and oracle), (losses of both) after the same fit in the order of the rows, the last batch short."""
    exact, given = oracle(net), dict(options)
    dropout = given.pop("dropout", 0.0), given.pop("input_dropout", 0.0)
    if any(np.any(value) for value in dropout):
        given["masks"] = masks_of(net, seed_of(rng), len(X), *dropout)
    if "schedule" in given:
        given["rates"] = expected_rates(given.pop("schedule"), 0.1, options["epochs"], -(-len(X) // options["batch_size"]))
    losses = exact.fit(X.astype(float), y.astype(float), **given)
    history = net.fit(X, y, shuffle=False, rng=rng, **options)
    return (net.params, exact.params), (history.loss, losses)


EXTRAS = [
    {"l1": 0.6},
    {"l1": 0.6, "l2": 0.9},
    {"clip_value": 0.02},
    {"clip_norm": 0.1},
    {"clip_norm": 0.1, "clip_value": 0.03, "l1": 0.3, "l2": 0.2},
    {"max_norm": 0.3},
    {"dropout": 0.5},
    {"dropout": 0.2, "input_dropout": 0.4},
    {"input_dropout": 0.1, "max_norm": 0.6, "l1": 0.2, "clip_norm": 0.5},
]


@pytest.mark.parametrize("extra", EXTRAS, ids=str)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_extras_equal_the_oracle(sizes, extra):
    if len(sizes) == 2:
        extra = {name: value for name, value in extra.items() if name != "dropout"}
    for rule in (SGD(0.1), fastbp.Nesterov(0.05), fastbp.AdamW(0.01, weight_decay=0.1)):
        for weighted in (False, True):
            net, X = make_net(sizes, "tanh"), make_samples(40, sizes[0])
            y, w = make_targets("squared", 40, sizes[-1]), np.random.default_rng(3).uniform(0.1, 2, 40) if weighted else None
            options = {"epochs": 3, "batch_size": 9, "optimizer": rule, "sample_weight": w, **extra}
            params, losses = fit_both(net, X, y, **options)
            assert error(*params) < 2e-12, (rule, weighted)
            assert error(*losses) < 1e-12, (rule, weighted)
            plain = make_net(sizes, "tanh")
            plain.fit(X, y, shuffle=False, epochs=3, batch_size=9, optimizer=rule, sample_weight=w)
            if extra:
                assert error(plain.params, net.params) > 1e-4, (rule, weighted)  # they matter


@pytest.mark.parametrize("rule", RULES, ids=label)
def test_extras_with_every_rule(rule):
    for dtype, tolerance in (("float64", 2e-12), ("float32", 2e-4)):
        net, X, y = problem((5, 20, 17, 3), dtype=dtype)
        options = {"dropout": [0.3, 0.0], "input_dropout": 0.1, "l1": 0.1, "clip_norm": 0.3, "max_norm": 1.1}
        params, losses = fit_both(net, X, y, epochs=3, batch_size=16, optimizer=rule, **options)
        assert error(*params) < tolerance
        assert error(*losses) < tolerance


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=label)
def test_dropout_with_every_activation(activation):
    """The slope is that of the activation itself, not of what the mask has left of it."""
    net, X, y = problem((4, 19, 7, 3), hidden=activation, n=20)
    net.params *= 0.3  # exp of exp is steep
    params, losses = fit_both(net, X, y, epochs=2, batch_size=8, optimizer=SGD(0.01), dropout=[0.6, 0.3], input_dropout=0.2)
    assert error(*params) < 1e-12
    assert error(*losses) < 1e-12


def test_a_long_mini_batch_in_parts(monkeypatch):
    """A mini-batch that is worked on in parts drops, completes and clips as if it were whole."""
    for extra in ({"dropout": 0.5, "input_dropout": 0.1}, {"l1": 3.0, "clip_value": 0.01}, {"clip_norm": 0.01, "max_norm": 0.5}):
        results = []
        for rows in (96, 256):
            monkeypatch.setattr(planner, "block_rows", lambda batch, sizes, itemsize, rows=rows: min(batch, rows))
            net, X, y = problem((9, 30, 3), n=256)
            params, losses = fit_both(net, X, y, epochs=2, batch_size=256, optimizer=SGD(0.1), **extra)
            assert error(*params) < 1e-12
            assert error(*losses) < 1e-12
            results.append(net.params)
        assert error(*results) < 1e-13


# --- penalties and limits ----------------------------------------------------------------------------------------------------


def test_l1_moves_weights_towards_0_by_a_constant_and_spares_biases():
    net = make_net((4, 3))
    net.biases[0][:] = 2.0
    net.weights[0][0] = [0.5, -0.5, 0.0, 1e-3]
    before = net.weights[0].copy()
    net.fit(np.zeros((10, 4)), np.full((10, 3), 2.0), epochs=1, batch_size=10, l1=4.0, optimizer=SGD(0.5))
    np.testing.assert_array_equal(net.biases[0], 2.0)
    np.testing.assert_allclose(net.weights[0], before - 0.5 * 4.0 / 10 * np.sign(before), rtol=1e-14, atol=1e-16)
    assert net.weights[0][0, 2] == 0  # the derivative at 0 is 0


def test_l1_leaves_few_weights_where_few_inputs_matter():
    X = make_samples(200, 20)
    y = X[:, 3] - 2 * X[:, 7]
    sizes = []
    for l1 in (0.0, 20.0):
        net = make_net((20, 1))
        net.fit(X, y, epochs=300, batch_size=200, optimizer=SGD(0.1), l1=l1)
        net.fit(X, y, epochs=300, batch_size=200, optimizer=SGD(0.001), l1=l1)
        sizes.append(np.abs(np.delete(net.weights[0][0], [3, 7])).max())
        assert net.score(X, y) > 0.95
    assert sizes[1] < 1e-3 < 1


def test_the_loss_includes_the_l1_penalty():
    net, X, y = problem((4, 20, 3))
    penalty = 2.0 / 40 * sum(np.abs(w).sum() for w in net.weights)
    history = net.fit(X, y, epochs=1, batch_size=8, l1=2.0, optimizer=SGD(1e-12))
    assert history.loss[0] == pytest.approx(net.loss(X, y) + penalty, rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_l1_per_mini_batch_is_divided_by_its_weight(weighted):
    net, X, y = problem((4, 20, 3), 12)
    w = np.r_[np.full(6, 0.5), np.zeros(6)] if weighted else np.ones(12)
    plain = net.copy()
    plain.fit(X, y, epochs=1, batch_size=12, sample_weight=w, optimizer=SGD(0.1))
    session = TrainingSession(net, 12, SGD(0.1), extra=Regularization(l1=0.6))
    before = [weight.copy() for weight in net.weights]
    session.set_data(X, y, None, w)
    session.set_penalty(0.0, 0.6, per_batch=True)
    session.rates, session.record = np.array([0.1]), np.zeros(9)
    session.plan.epochs = 1
    session.call(fastbp.kernels.train.TRAIN)
    for weight, other, start in zip(net.weights, plain.weights, before, strict=True):
        np.testing.assert_allclose(weight, other - 0.1 * 0.6 / w.sum() * np.sign(start), rtol=1e-12, atol=1e-14)
    penalty = 0.6 / w.sum() * sum(np.abs(start).sum() for start in before)
    at_first = make_net((4, 20, 3))
    assert session.record[0] == pytest.approx(at_first.loss(X, y, w) + penalty, rel=1e-12)


@every_dtype
def test_clipping_bounds_the_step(dtype):
    net, X, y = problem((5, 20, 3), dtype=dtype)
    gradient = net.value_and_grad(X, y)[1].params.astype(float)
    for limit in (0.01, 1e-4 * np.linalg.norm(gradient), 10 * np.linalg.norm(gradient)):
        clipped, cut = net.copy(), net.copy()
        clipped.fit(X, y, epochs=1, batch_size=40, optimizer=SGD(1.0), clip_norm=limit)
        expected = -gradient * min(1, limit / np.linalg.norm(gradient))
        tolerance = 40 * np.finfo(dtype).eps
        np.testing.assert_allclose(clipped.params - net.params, expected, atol=tolerance)
        cut.fit(X, y, epochs=1, batch_size=40, optimizer=SGD(1.0), clip_value=limit)
        np.testing.assert_allclose(cut.params - net.params, -np.clip(gradient, -limit, limit), atol=tolerance)


def test_limits_that_are_not_reached_change_nothing():
    net, X, y = problem((5, 20, 3))
    options = {"epochs": 3, "batch_size": 9, "optimizer": "adam", "rng": 0}
    plain = net.copy()
    plain.fit(X, y, record_norms=True, **options)
    for extra in ({"clip_norm": 1e9}, {"max_norm": 1e9, "clip_norm": 1e9}):
        other = net.copy()
        other.fit(X, y, **extra, **options)
        np.testing.assert_array_equal(other.params, plain.params)


def test_norms_in_the_history_are_those_of_the_clipped_gradient():
    net, X, y = problem((5, 20, 3))
    history = net.fit(X, y, epochs=2, batch_size=40, optimizer=SGD(0.01), clip_norm=0.01, record_norms=True)
    biases = 0.01**2 - np.sum(np.square(history.gradient_norms), axis=1)
    assert (biases > 0).all()
    assert (biases < 0.01**2).all()


def test_max_norm_bounds_the_weights_of_every_unit():
    net, X, y = problem((7, 33, 20, 3))
    start = net.biases[0].copy()
    net.fit(X, y, epochs=1, batch_size=7, optimizer=SGD(1e-300), max_norm=0.8)
    np.testing.assert_array_equal(net.biases[0], start)
    for weight, before in zip(net.weights, make_net((7, 33, 20, 3)).weights, strict=True):
        norms = np.linalg.norm(before, axis=1, keepdims=True)
        assert norms.min() < 0.8 < norms.max()
        np.testing.assert_allclose(weight, before * np.minimum(1, 0.8 / norms), rtol=1e-14)
    net.fit(X, y, epochs=20, batch_size=7, optimizer=Adam(0.1), max_norm=0.8)
    norms = np.concatenate([np.linalg.norm(weight, axis=1) for weight in net.weights])
    assert norms.max() <= 0.8 * (1 + 1e-14)
    assert np.isclose(norms, 0.8).mean() > 0.2


# --- dropout -----------------------------------------------------------------------------------------------------------------


def test_masks_are_fair_and_independent():
    for p in (0.1, 0.5, 0.9):
        mask = dropout_mask(3, 0, 1, 300, 401, p)
        assert mask.shape == (300, 401)
        values = np.unique(mask)
        np.testing.assert_allclose(values, [0, 1 / (1 - p)], rtol=1e-8)
        deviation = (p * (1 - p)) ** 0.5
        dropped = mask == 0
        assert abs(dropped.mean() - p) < 4 * deviation / dropped.size**0.5
        for axis in (0, 1):  # units, and rows, are as likely as each other
            counts = dropped.sum(axis=axis)
            chi_square = ((counts - p * dropped.shape[axis]) ** 2).sum() / (deviation**2 * dropped.shape[axis])
            assert abs(chi_square - counts.size) < 4 * (2 * counts.size) ** 0.5
        others = [
            dropout_mask(4, 0, 1, 300, 401, p),
            dropout_mask(3 + (1 << 32), 0, 1, 300, 401, p),
            dropout_mask(3, 1, 1, 300, 401, p),
            dropout_mask(3, 0, 2, 300, 401, p),
            np.roll(mask, 1, axis=0),
            np.roll(mask, 1, axis=1),
            np.roll(mask, 4, axis=1),
            np.roll(mask, 16, axis=1),
        ]
        for other in others:
            together = (dropped & (other == 0)).mean()
            assert abs(together - p * p) < 5 * p * deviation / dropped.size**0.5


def test_masks_do_not_depend_on_how_many_are_drawn():
    mask = dropout_mask(9, 4, 2, 50, 37, 0.3)
    np.testing.assert_array_equal(dropout_mask(9, 4, 2, 20, 37, 0.3), mask[:20])
    np.testing.assert_array_equal(dropout_mask(9, 4, 2, 50, 11, 0.3), mask[:, :11])
    assert ((dropout_mask(9, 4, 2, 50, 37, 0.6) == 0) >= (mask == 0)).all()  # more is dropped, and the same first
    assert (dropout_mask(9, 4, 2, 50, 37, 0.0) == 1).all()
    assert (dropout_mask(9, 4, 2, 2000, 37, 1e-12) == 1).all()
    assert np.isfinite(dropout_mask(9, 4, 2, 50, 37, 1 - 1e-16)).all()


@pytest.mark.parametrize(
    "extra",
    [
        {"dropout": 0.4, "input_dropout": 0.2},
        {"clip_norm": 0.05, "l1": 0.1},
        {"clip_value": 0.01, "max_norm": 0.9},
        {"dropout": 0.5, "clip_norm": 0.1, "max_norm": 1.0, "l1": 0.2, "l2": 0.1, "schedule": "one_cycle"},
    ],
    ids=str,
)
@pytest.mark.parametrize("block", [60, 5], ids=["one block", "blocks"])
@every_dtype
def test_neither_threads_nor_calls_of_the_kernel_change_a_bit(extra, dtype, block, teams, monkeypatch):
    monkeypatch.setattr(planner, "block_rows", lambda batch, sizes, itemsize: min(batch, block))
    net, X, y = problem((20, 33, 40, 5), 60, dtype=dtype)
    options = {"epochs": 3, "batch_size": 17, "optimizer": "adam", "rng": 1, **extra}
    results, losses = set(), set()
    for n_threads in (1, 2, 3):
        for seconds in (1e9, 0.0):  # all epochs in one call, and one step in each
            monkeypatch.setattr(supervisor, "seconds_of_call", lambda net, copies, seconds=seconds: seconds)
            again = net.copy()
            losses.add(tuple(again.fit(X, y, n_threads=n_threads, **options).loss))
            results.add(again.params.tobytes())
    assert set(teams) == {1, 2, 3}
    assert len(results) == len(losses) == 1


def test_seed_of_dropout():
    net, X, y = problem((5, 20, 3))
    results = []
    for rng, shuffle in ((0, False), (0, False), (1, False), (0, True)):
        again = net.copy()
        again.fit(X, y, epochs=2, dropout=0.5, rng=rng, shuffle=shuffle)
        results.append(again.params)
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()
    assert (results[0] != results[3]).any()


def test_dropout_of_shuffled_rows_is_that_of_their_places():
    net, X, y = problem((5, 20, 3))
    exact, seed = oracle(net), seed_of(7)
    order = [orders.epoch_order(seed, epoch, 40) for epoch in range(3)]
    exact.fit(X, y, epochs=3, batch_size=9, order=order, masks=masks_of(net, seed, 40, 0.4))
    net.fit(X, y, epochs=3, batch_size=9, dropout=0.4, rng=7)
    assert error(net.params, exact.params) < 1e-12


def test_outputs_losses_and_validation_never_drop():
    net, X, y = problem((5, 20, 3))
    seen = []
    options = {"validation_data": (X, y), "record_score": True, "dropout": 0.9, "input_dropout": 0.5}
    history = net.fit(X, y, epochs=3, callbacks=[lambda e, net, h: seen.append((net.loss(X, y), net.score(X, y)))], **options)
    assert list(zip(history.validation_loss, history.validation_score, strict=True)) == seen
    assert net.loss(X, y) == pytest.approx(oracle(net).loss(X, y), rel=1e-13) == seen[-1][0]
    assert min(history.loss) > max(history.validation_loss)  # what was dropped shows in the loss of the training


def test_dropout_keeps_the_mean_of_what_a_layer_passes_on():
    net = make_net((6, 500, 2), "sigmoid")
    X, y = make_samples(200, 6), np.zeros((200, 2))
    history = net.fit(X, y, epochs=400, batch_size=200, optimizer=SGD(1e-12), dropout=0.5)
    # E l = l + var / 2 for the squared error of outputs whose mean is that without dropout
    a = 1 / (1 + np.exp(-(X @ net.weights[0].T + net.biases[0])))
    variance = (a**2 @ (net.weights[1] ** 2).T).sum(axis=1).mean()
    assert np.mean(history.loss) == pytest.approx(net.loss(X, y) + variance / 2, rel=0.015)  # 4 standard errors


# --- common entries ----------------------------------------------------------------------------------------------------------


def test_only_extras_need_the_extended_entries(monkeypatch):
    made = []
    init = TrainingSession.__init__
    monkeypatch.setattr(TrainingSession, "__init__", lambda self, *args, **kw: (init(self, *args, **kw), made.append(self))[0])
    net, X, y = problem((5, 20, 3))
    neutral = {"l1": 0, "clip_norm": None, "dropout": [0.0], "input_dropout": 0.0, "schedule": "cosine"}
    net.fit(X, y, epochs=1, **neutral)
    common = made[-1]._run
    assert common is fastbp.kernels.train.run["float64"]
    for extra in ({"l1": 0.1}, {"clip_norm": 1}, {"clip_value": 1}, {"max_norm": 1}, {"dropout": 0.1}, {"input_dropout": 0.1}):
        net.fit(X, y, epochs=1, **extra)
        assert made[-1]._run is fastbp.kernels.train.run.over((), "float64", Level.EXTENDED)
    narrow, X, y = problem((2, 3, 1))
    narrow.fit(X, y, epochs=1, schedule="one_cycle")
    assert made[-1]._run is fastbp.kernels.train.run_narrow["float64"]
    narrow.fit(X, y, epochs=1, dropout=0.1)
    assert made[-1]._run is fastbp.kernels.train.run.over((), "float64", Level.EXTENDED)


def test_divergence_with_extras():
    net, X, y = problem((4, 20, 3), hidden="relu")
    seen = []
    keep = [lambda epoch, net, history: seen.append(net.params.copy())]
    with pytest.raises(supervisor.DivergenceError):
        net.fit(X, y, epochs=1000, optimizer=SGD(5.0), dropout=0.2, l1=0.1, callbacks=keep)
    np.testing.assert_array_equal(net.params, seen[-1])


def test_clipping_keeps_from_diverging():
    net, X, y = problem((4, 20, 3), hidden="relu")
    X = X * 100
    with pytest.raises(supervisor.DivergenceError):
        net.copy().fit(X, y, epochs=100, optimizer=SGD(0.01))
    assert np.isfinite(net.fit(X, y, epochs=100, optimizer=SGD(0.01), clip_norm=1.0).loss).all()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("l1", (-1, np.nan, np.inf, "a", None, True)),
        ("clip_norm", (0, -1, np.nan, np.inf, "a", False)),
        ("clip_value", (0, -1, np.nan, np.inf, "a", False)),
        ("max_norm", (0, -1, np.nan, np.inf, "a", False)),
        ("dropout", (-0.1, 1, 1.5, np.nan, "a", None, [0.1], [0.1, 0.2, 0.3], [0.1, 1.0], [0.1, "a"], {})),
        ("input_dropout", (-0.1, 1, np.nan, "a", None, [0.1])),
        ("schedule", ("linear", 5, None, SGD, Adam())),
    ],
)
def test_bad_options(name, values):
    net, X, y = problem((4, 6, 5, 3))
    before = net.params.copy(), repr(net.rng.bit_generator.state)
    for value in values:
        with pytest.raises((ValueError, TypeError), match=name):
            net.fit(X, y, **{name: value})
    assert (before[0] == net.params).all()
    assert before[1] == repr(net.rng.bit_generator.state)


def test_dropout_without_a_hidden_layer():
    net, X, y = problem((4, 3))
    with pytest.raises(ValueError, match="input_dropout"):
        net.fit(X, y, dropout=0.5)
    net.fit(X, y, dropout=[], input_dropout=0.5)
    assert checked(0, 0.0, None, None, None, 0.0, 0.0) == NOTHING


# --- schedules ---------------------------------------------------------------------------------------------------------------


def cosine(start, end, part):
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def one_cycle(t, epochs):
    part = t / epochs
    return cosine(0.04, 1, part / 0.3) if part < 0.3 else cosine(1, 4e-6, (part - 0.3) / 0.7)


# schedule: its factor at time t of so many epochs, by the formula of its docstring, and whether it changes within an epoch
FORMULAS = [
    (Constant(), lambda t, epochs: 1.0, False),
    (Step(3, 0.5), lambda t, epochs: 0.5 ** (t // 3), False),
    (Step(1.5, 0.5), lambda t, epochs: 0.5 ** (t // 1.5), False),
    (Exponential(0.8), lambda t, epochs: 0.8**t, False),
    (Cosine(), lambda t, epochs: cosine(1, 0, t / epochs), True),
    (Cosine(0.1), lambda t, epochs: cosine(1, 0.1, t / epochs), True),
    (OneCycle(), one_cycle, True),
    (CosLog(), lambda t, epochs: (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t / epochs))) / 2, True),
    (CosLog(1), lambda t, epochs: (1 - math.cos(2 * math.pi * math.log2(1 + t / epochs))) / 2, True),
    (FlatCosine(), lambda t, epochs: 1 if t < epochs / 2 else cosine(1, 0, t / epochs * 2 - 1), True),
    (FlatCosine(0.2), lambda t, epochs: 1 if t < epochs / 5 else cosine(1, 0, (t / epochs - 0.2) / 0.8), True),
    (WarmUp(2), lambda t, epochs: min(t / 2, 1), True),
    (WarmUp(2.5, Cosine(), 0.1), lambda t, n: 0.1 + 0.9 * t / 2.5 if t < 2.5 else cosine(1, 0, (t - 2.5) / (n - 2.5)), True),
    (WarmUp(1, Step(2, 0.5)), lambda t, epochs: t if t < 1 else 0.5 ** ((t - 1) // 2), True),
]
every_schedule = pytest.mark.parametrize("case", FORMULAS, ids=lambda case: repr(case[0]))


def expected_rates(schedule, learning_rate, epochs, steps):
    """Rates (epochs, steps) by the formulas above."""
    formula, changes = next(case[1:] for case in FORMULAS if case[0] == schedules.get(schedule))
    times = [[epoch + (step / steps if changes else 0) for step in range(steps)] for epoch in range(epochs)]
    return learning_rate * np.array([[formula(t, epochs) for t in row] for row in times])


@every_schedule
def test_rates_of_a_schedule(case):
    for epochs, steps in ((7, 5), (1, 4), (12, 1), (3, 100)):
        rates = case[0].rates(0.1, epochs, steps)
        assert rates.shape == (epochs, steps if case[2] else 1)
        np.testing.assert_allclose(np.broadcast_to(rates, (epochs, steps)), expected_rates(case[0], 0.1, epochs, steps), rtol=1e-12)
        assert (rates >= 0).all()
        assert rates.max() <= 0.1 * (1 + 1e-15)


@pytest.mark.parametrize("sizes", [(4, 6, 3), (4, 20, 3)], ids=str)
@every_schedule
def test_a_fit_with_a_schedule_equals_the_oracle(case, sizes):
    net, X, y = problem(sizes)
    for batch_size in (9, 40):
        params, losses = fit_both(net, X, y, epochs=6, batch_size=batch_size, optimizer=fastbp.Momentum(0.1), schedule=case[0])
        assert error(*params) < 1e-12
        assert error(*losses) < 1e-12


@pytest.mark.parametrize("n_threads", [1, 2])
def test_where_a_call_ends_does_not_change_the_rates(monkeypatch, teams, n_threads):
    net, X, y = problem((4, 20, 3))
    other = net.copy()
    options = {"epochs": 4, "batch_size": 9, "optimizer": "adam", "schedule": "one_cycle", "rng": 0}
    history = net.fit(X, y, **options)
    monkeypatch.setattr(supervisor, "seconds_of_call", lambda net, copies: 0.0)
    calls = count_calls(monkeypatch)
    assert other.fit(X, y, n_threads=n_threads, **options).loss == history.loss
    assert len(calls) == 4 * 5
    np.testing.assert_array_equal(net.params, other.params)


def test_the_history_tells_the_rate_at_the_beginning_of_each_epoch():
    net, X, y = problem()
    history = net.fit(X, y, epochs=6, batch_size=9, optimizer=SGD(0.1), schedule="one_cycle")
    np.testing.assert_allclose(history.learning_rate, expected_rates("one_cycle", 0.1, 6, 5)[:, 0], rtol=1e-12)
    assert net.fit(X, y, epochs=3, optimizer=SGD(0.1), schedule=Exponential(0.5)).learning_rate == [0.1, 0.05, 0.025]


def test_names_of_schedules():
    assert schedules.SCHEDULES.names == [
        "constant",
        "step",
        "exponential",
        "cosine",
        "one_cycle",
        "cos_log",
        "flat_cosine",
        "warm_up",
    ]
    assert {type(case[0]) for case in FORMULAS} == set(schedules.SCHEDULES.classes)
    for cls in schedules.SCHEDULES.classes:
        assert schedules.get(cls.name) == schedules.get(cls) == cls()
    assert WarmUp(3, "cosine") == WarmUp(3, Cosine())


@pytest.mark.parametrize(
    ("cls", "name", "values"),
    [
        (Step, "every", (0, -1, np.nan, "a")),
        (Step, "gamma", (0, -1, np.inf, None)),
        (Exponential, "gamma", (0, -1, np.nan)),
        (Cosine, "final", (-0.1, 1.1, "a")),
        (OneCycle, "peak", (0, 1, -1)),
        (OneCycle, "start", (-0.1, 1.1)),
        (OneCycle, "end", (-0.1, 1.1)),
        (WarmUp, "epochs", (0, -1, np.nan)),
        (WarmUp, "then", ("nothing", 5)),
        (WarmUp, "start", (-0.1, 1.1)),
    ],
)
def test_bad_schedules(cls, name, values):
    for value in values:
        with pytest.raises((ValueError, TypeError), match=name):
            cls(**{name: value})


@every_dtype
def test_gradients_whose_squares_overflow_are_clipped(dtype):
    large = float(np.finfo(dtype).max) ** 0.75  # its square is infinite
    for sizes in ((3, 20, 2), (40, 17, 3)):
        for members in (1, 2):
            net, X = make_net(sizes, "tanh", dtype=dtype), make_samples(12, sizes[0], dtype)
            y = make_targets("squared", 12, sizes[-1], dtype) * np.asarray(large, dtype)
            _, gradient = net.value_and_grad(X, y)
            direction = gradient.params / np.abs(gradient.params).max()
            direction /= np.linalg.norm(direction)
            for limit in (1e-3, 2.0):
                session = TrainingSession(net.copy(), 12, SGD(1.0), members=members, extra=Regularization(clip_norm=limit))
                session.set_data(X, y)
                session.set_report(0.0)  # the loss itself is infinite
                session.rates, session.plan.epochs = np.ones(1), 1
                session.record = np.full(1 + 4 * len(net.weights), np.nan)
                session.call(TRAIN)
                session.close()
                step = (net.params - session.net.params) / limit
                np.testing.assert_allclose(step, direction, atol=1e-3 if dtype == "float32" else 1e-12)
                norms = session.record[1 + 2 * len(net.weights) :]  # of what was clipped
                np.testing.assert_allclose(np.linalg.norm(norms), limit, rtol=1e-5)


@every_dtype
def test_weights_whose_squares_overflow_are_limited(dtype):
    large = float(np.finfo(dtype).max) ** 0.75
    for sizes in ((3, 20), (40, 17)):
        net, X = make_net(sizes, dtype=dtype), make_samples(12, sizes[0], dtype)
        expected = [weight / np.linalg.norm(weight, axis=1, keepdims=True) for weight in net.weights]
        for weight in net.weights:
            weight[::2] *= large
        session = TrainingSession(net, 12, SGD(1e-30), extra=Regularization(max_norm=1.0))
        session.set_data(X, np.zeros((12, sizes[-1]), dtype))
        session.set_report(0.0)
        session.rates, session.record = np.zeros(1), np.full(1 + 4 * len(net.weights), np.nan)
        session.plan.epochs = 1
        session.call(TRAIN)
        for weight, direction in zip(net.weights, expected, strict=True):
            np.testing.assert_allclose(weight[::2], direction[::2], rtol=1e-5)
            assert (np.linalg.norm(weight, axis=1) < 1 + 1e-6).all()


@every_dtype
def test_norms_of_large_numbers_are_recorded(dtype):
    large = float(np.finfo(dtype).max) ** 0.75
    net, X, y = problem((4, 20, 3), dtype=dtype)
    _, gradient = net.value_and_grad(X, np.asarray(large, dtype) * y)
    session = TrainingSession(net, len(X), SGD(1e-30))
    session.plan.separate = 1
    session.set_data(X, np.asarray(large, dtype) * y)
    session.rates, session.record = np.zeros(1), np.full(1 + 4 * len(net.weights), np.nan)
    session.plan.epochs = 1
    session.call(TRAIN)
    expected = [
        np.linalg.norm(part / large) * large for pair in zip(gradient.weights, gradient.biases, strict=True) for part in pair
    ]
    np.testing.assert_allclose(session.record[5:], expected, rtol=1e-5)
