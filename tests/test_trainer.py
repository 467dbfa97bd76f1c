"""`Trainer`: steps, epochs and runs are one training; what is at fault changes nothing."""

import sys

import numpy as np
import pytest
from conftest import DTYPES, RULES, make_net, make_samples, make_targets, same_state
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import fastbp
from fastbp import SGD, Adam, DivergenceError, Momentum, Network, Trainer
from fastbp.engine import metrics, planner, threads, validation
from fastbp.engine.sparsity import CompressedRows
from fastbp.kernels.tuning import NARROW_LIMIT

N, BATCH = 23, 5  # the last mini-batch is short
WIDE, NARROW = (4, 20, 3), (4, 7, 3)
assert max(NARROW) <= NARROW_LIMIT < max(WIDE)


def problem(sizes=WIDE, loss="squared", dtype="float64", n=N):
    X, y = make_samples(n, sizes[0]), make_targets(loss, n, sizes[-1])
    return make_net(sizes, loss=loss, dtype=dtype), X.astype(dtype), y if y.ndim == 1 else y.astype(dtype)


def take_steps(trainer, X, y, order, weights=None):
    losses = []
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        losses.append(trainer.step(X[rows], y[rows], None if weights is None else weights[rows]))
    return losses


# --- steps are a fit ---------------------------------------------------------------------------------------------------------

EXTRAS = {
    "plain": {},
    "l2": {"l2": 0.3},
    "l1": {"l1": 0.2},
    "clip_norm": {"clip_norm": 0.1},
    "clip_value": {"clip_value": 0.01},
    "max_norm": {"max_norm": 0.5},
    "dropout": {"dropout": 0.4},
    "input_dropout": {"input_dropout": 0.3, "l2": 0.1},
    "record_norms": {"record_norms": True},
    "cosine": {"schedule": "cosine"},
    "step": {"schedule": fastbp.schedules.Step(1, 0.5)},
}


def compare(net, X, y, epochs=3, weights=None, **options):
    """Parameters after a fit over given orders, after steps over them, and losses of both by epochs."""
    rng = np.random.default_rng(1)
    order = np.array([rng.permutation(N) for _ in range(epochs)])
    whole, stepped = net.copy(), net.copy()
    history = whole.fit(X, y, epochs=epochs, batch_size=BATCH, order=order, sample_weight=weights, **options)
    trainer = stepped.trainer(batch_size=BATCH, n_samples=N, schedule_epochs=epochs, **options)
    counts = np.diff([*range(0, N, BATCH), N])
    losses = [np.dot(take_steps(trainer, X, y, each, weights), counts) / N for each in order]
    assert trainer.epochs == epochs
    return whole.params, stepped.params, history.loss, losses


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [WIDE, NARROW, (4, 3)])
@pytest.mark.parametrize("rule", RULES)
def test_steps_over_an_order_are_a_fit_over_it(rule, sizes, dtype):
    net, X, y = problem(sizes, dtype=dtype)
    whole, stepped, expected, losses = compare(net, X, y, optimizer=fastbp.optimizers.get(rule))
    np.testing.assert_array_equal(stepped, whole)
    np.testing.assert_allclose(losses, expected, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_steps_with_every_option_are_a_fit_with_it(name, weighted, sizes):
    net, X, y = problem(sizes, "cross_entropy")
    weights = np.random.default_rng(0).uniform(0.1, 2, N) if weighted else None
    whole, stepped, *_ = compare(net, X, y, weights=weights, optimizer=Adam(0.01), **EXTRAS[name])
    np.testing.assert_array_equal(stepped, whole)


def test_steps_by_sparse_rows_are_a_fit_by_them():
    net = make_net((200, 20, 3))
    X = make_samples(N, 200) * (np.random.default_rng(0).random((N, 200)) < 0.05)
    assert type(validation.samples("X", csr_array(X), 200, "float64")) is CompressedRows
    y = make_targets("squared", N, 3)
    whole, stepped, *_ = compare(net, csr_array(X), y, optimizer=Momentum(0.05))
    np.testing.assert_array_equal(stepped, whole)
    np.testing.assert_array_equal(compare(net, X, y, optimizer=Momentum(0.05))[1], whole)
    whole, stepped, *_ = compare(net, csr_array(X), y, optimizer=Momentum(0.05), input_dropout=0.3)
    np.testing.assert_array_equal(stepped, whole)


def test_steps_of_a_team_are_a_fit(teams):
    net, X, y = problem()
    whole, stepped, *_ = compare(net, X, y, optimizer=Adam(0.01), n_threads=2)
    assert set(teams) == {2}
    np.testing.assert_array_equal(stepped, whole)


def test_a_step_reports_the_loss_before_it_with_its_penalty():
    net, X, y = problem()
    first = net.copy()
    loss = net.trainer(l2=0.4, l1=0.2, n_samples=50, batch_size=N).step(X, y)
    squares = sum((w**2).sum() for w in first.weights)
    sizes = sum(np.abs(w).sum() for w in first.weights)
    assert loss == pytest.approx(first.loss(X, y) + 0.4 / 100 * squares + 0.2 / 50 * sizes, rel=1e-12)
    # without n_samples, they are those of the step
    assert first.copy().trainer(l2=0.4).step(X, y) == pytest.approx(first.loss(X, y) + 0.4 / (2 * N) * squares, rel=1e-12)


def test_the_learning_rate_may_be_set():
    net, X, y = problem()
    other = net.copy()
    trainer = net.trainer(optimizer=SGD(0.5))
    assert trainer.learning_rate == 0.5
    trainer.learning_rate = 0.01
    assert trainer.learning_rate == 0.01
    trainer.step(X, y)
    other.trainer(optimizer=SGD(0.01)).step(X, y)
    np.testing.assert_array_equal(net.params, other.params)
    trainer.learning_rate = 0.05
    trainer.step(X, y)
    other.fit(X, y, epochs=1, batch_size=N, optimizer=SGD(0.05), shuffle=False)
    np.testing.assert_array_equal(net.params, other.params)
    with pytest.raises(ValueError, match="learning_rate must be finite and > 0"):
        trainer.learning_rate = 0


# --- epochs and runs are a fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}, {"shuffle": "replacement"}, {"l2": 1.0}, {"shuffle": False}])
@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_epochs_and_runs_one_after_the_other_are_one_fit(sizes, options):
    net, X, y = problem(sizes)
    whole, by_epochs, by_runs = net.copy(), net.copy(), net.copy()
    history = whole.fit(X, y, epochs=5, optimizer=Adam(0.01), batch_size=BATCH, rng=3, **options)
    trainer = by_epochs.trainer(optimizer=Adam(0.01), batch_size=BATCH, rng=3, **options)
    assert [trainer.epoch(X, y) for _ in range(5)] == history.loss
    np.testing.assert_array_equal(by_epochs.params, whole.params)
    trainer = by_runs.trainer(optimizer=Adam(0.01), batch_size=BATCH, rng=3, **options)
    assert trainer.run(X, y, 2).loss + trainer.run(X, y, 3).loss == history.loss
    np.testing.assert_array_equal(by_runs.params, whole.params)


def test_a_schedule_of_a_known_length_goes_on_from_run_to_run():
    net, X, y = problem()
    whole, parts = net.copy(), net.copy()
    history = whole.fit(X, y, epochs=5, batch_size=BATCH, schedule="one_cycle", rng=0)
    trainer = parts.trainer(batch_size=BATCH, schedule="one_cycle", schedule_epochs=5, rng=0)
    rates = [rate for epochs in (2, 3) for rate in trainer.run(X, y, epochs).learning_rate]
    assert rates == history.learning_rate
    np.testing.assert_array_equal(parts.params, whole.params)


def test_callbacks_and_errors_count_the_epochs_of_the_trainer():
    net, X, y = problem()
    seen = []
    trainer = net.trainer(callbacks=[lambda epoch, *_: seen.append(epoch)])
    trainer.run(X, y, 2)
    trainer.epoch(X, y)
    assert seen == [0, 1, 2]
    trainer.learning_rate = 1e6
    with pytest.raises(DivergenceError) as caught:
        trainer.run(X, y, 50)
    assert caught.value.epoch == trainer.epochs >= 3


def test_a_run_after_steps_begins_a_new_epoch():
    net, X, y = problem()
    trainer = net.trainer(batch_size=BATCH, n_samples=N)
    trainer.step(X[:BATCH], y[:BATCH])
    assert trainer.epochs == 0
    trainer.run(X, y, 1)
    assert trainer.epochs == 2


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_was_trained_before_leaves_no_trace(data):
    """Buffers that a training has left serve the next one as new ones would."""
    sizes = data.draw(st.sampled_from([WIDE, NARROW]))
    net, X, y = problem(sizes)
    start = net.params.copy()
    for _ in range(data.draw(st.integers(1, 4))):
        options = dict(
            data.draw(st.sampled_from(list(EXTRAS.values()))),
            optimizer=fastbp.optimizers.get(data.draw(st.sampled_from(RULES))),
            batch_size=data.draw(st.sampled_from([1, 5, 23])),
            tol=data.draw(st.sampled_from([None, 0.0, 10.0])),
            n_iter_no_change=1,
            shuffle=data.draw(st.sampled_from([True, False])),
            sample_weight=data.draw(st.sampled_from([None, np.linspace(0.1, 3, N)])),
            epochs=data.draw(st.integers(1, 4)),
            rng=0,
        )
        net.params = start
        history = net.fit(X, y, **options)
        fresh = make_net(sizes)
        fresh.params = start
        assert fresh.fit(X, y, **options).loss == history.loss
        np.testing.assert_array_equal(net.params, fresh.params)
        steps = {name: options[name] for name in ("optimizer", "batch_size", "tol") if name in options}
        expected = fresh.loss(X[:1], y[:1])
        found = [each.trainer(**steps).step(X[:1], y[:1]) for each in (net, fresh)]
        assert found[0] == found[1] == pytest.approx(expected, rel=1e-12)
        np.testing.assert_array_equal(net.params, fresh.params)


# --- scores during an epoch --------------------------------------------------------------------------------------------------

SCORED = ["cross_entropy", "class numbers", "binary_cross_entropy", "squared", "poisson", "huber"]


def scored_problem(kind, sizes):
    loss = "cross_entropy" if kind == "class numbers" else kind
    net, X, y = problem(sizes, loss)
    return net, X, y.argmax(axis=1) if kind == "class numbers" else y


def score_during(net, X, y, order, trainer):
    """Of the outputs of each sample of an epoch before the step of its mini-batch."""
    outputs = np.empty((N, net.sizes[-1]))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        outputs[rows] = net(X[rows])
        trainer.step(X[rows], y[rows])
    visited = np.unique(order)
    return metrics.score(net.loss_function.task, outputs[visited], y[visited])


@pytest.mark.parametrize("kind", SCORED)
@pytest.mark.parametrize("sizes", [WIDE, NARROW, (4, 6, 1), (4, 40, 37)])
@pytest.mark.parametrize("batch", [BATCH, 1])
def test_the_score_is_that_of_outputs_during_the_epoch(kind, sizes, batch, monkeypatch):
    if sizes[-1] == 1 and kind in ("cross_entropy", "class numbers"):
        sizes = (4, 6, 2)
    monkeypatch.setattr(sys.modules[__name__], "BATCH", batch)
    net, X, y = scored_problem(kind, sizes)
    other, rng = net.copy(), np.random.default_rng(5)
    order = np.array([rng.permutation(N)[: N - 4 * epoch] for epoch in range(1)])
    history = net.fit(X, y, epochs=1, batch_size=batch, optimizer=SGD(0.005), order=order, record_score=True)
    expected = score_during(other, X, y, order[0], other.trainer(optimizer=SGD(0.005), batch_size=batch))
    assert history.score == [pytest.approx(expected, rel=1e-9)]
    np.testing.assert_allclose(other.params, net.params, rtol=1e-12)


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_the_score_is_of_the_samples_that_were_visited(sizes):
    net, X, y = scored_problem("class numbers", sizes)
    other = net.copy()
    order = np.array([[0, 5, 7, 7, 3, 1], [20, 21, 22, 3, 4, 9]])
    history = net.fit(X, y, epochs=2, batch_size=BATCH, optimizer=SGD(0.5), order=order, record_score=True)
    trainer = other.trainer(optimizer=SGD(0.5), batch_size=BATCH)
    assert history.score == [score_during(other, X, y, each, trainer) for each in order]


def test_scores_change_no_bits_and_are_those_of_any_team(teams):
    net, X, y = scored_problem("class numbers", WIDE)
    fits = [net.copy() for _ in range(3)]
    histories = [
        each.fit(X, y, epochs=3, batch_size=9, n_threads=n, rng=0, record_score=record)
        for each, n, record in zip(fits, (1, 1, 2), (False, True, True), strict=True)
    ]
    assert set(teams) == {1, 2}
    assert histories[1].score == histories[2].score
    assert histories[0].score == []
    for each in fits[1:]:
        np.testing.assert_array_equal(each.params, fits[0].params)


def test_scores_of_blocks_of_a_long_mini_batch(teams, monkeypatch):
    monkeypatch.setattr(planner, "block_rows", lambda batch, sizes, itemsize: min(batch, 5))
    net, X, y = scored_problem("class numbers", WIDE)
    for n_threads in (1, 2):
        each = net.copy()
        history = each.fit(X, y, epochs=1, batch_size=N, n_threads=n_threads, record_score=True)
        assert history.score == [net.score(X, y)]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("kind", SCORED)
def test_validation_is_loss_and_score_of_the_network_after_the_epoch(kind, n_threads, teams):
    net, X, y = scored_problem(kind, WIDE)
    seen = []
    watch = [lambda epoch, net, history: seen.append((net.loss(X, y), net.score(X, y)))]
    history = net.fit(X, y, epochs=3, validation_data=(X, y), callbacks=watch, n_threads=n_threads)
    assert list(zip(history.validation_loss, history.validation_score, strict=True)) == seen


# --- what is at fault --------------------------------------------------------------------------------------------------------

X0, Y0 = make_samples(6, 4), make_targets("squared", 6, 3)


def with_nan(array):
    array = array.copy()
    array[2, 1] = np.nan
    return array


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X0[:, :3], Y0), "X has 3 columns, but the network has 4 inputs"),
        ((X0[0], Y0[:1]), "X must be two-dimensional"),
        ((with_nan(X0), Y0), "X holds NaN or infinity"),
        ((X0[:0], Y0[:0]), "X is empty"),
        ((X0, Y0[:5]), r"y must have shape \(6, 3\)"),
        ((X0, with_nan(Y0)), "y holds NaN or infinity"),
        ((X0, Y0, np.ones(5)), "sample_weight must have shape"),
        ((X0, Y0, np.zeros(6)), "sample_weight must not be all zero"),
        ((X0, Y0, -np.ones(6)), "sample_weight must not be negative"),
        ((np.repeat(X0, 9, axis=0), np.repeat(Y0, 9, axis=0)), "X has 54 samples, but batch_size of this trainer is 32"),
        ((csr_array(X0[:, :3]), Y0), "X has 3 columns"),
        (("abc", Y0), "X must"),
    ],
)
def test_bad_input_to_a_step_changes_nothing(arguments, message):
    net = make_net(WIDE)
    trainer = net.trainer(optimizer=Adam(0.01), dropout=0.1, rng=0)
    for _ in range(2):  # before the first step, and after it
        before = trainer.state()
        with pytest.raises((ValueError, TypeError), match=message):
            trainer.step(*arguments)
        same_state(trainer.state(), before)
        trainer.step(X0, Y0)


@pytest.mark.parametrize("call", ["step", "run", "epoch"])
@pytest.mark.parametrize("labels", [[[0], [1], [2], [0], [1], [2]], [0, 1, 3, 0, 0, 0], [0, 1, -1, 0, 0, 0], [0.5, 1, 1, 0, 0, 0]])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float64])
def test_class_numbers_at_fault(call, labels, dtype):
    net = make_net(WIDE, loss="cross_entropy")
    trainer = net.trainer()
    y = np.array(labels, dtype)
    if (y == np.array([0, 1, 1, 0, 0, 0])).all():
        y[0] = 7
    column = r"y must have one dimension for class numbers, got shape \(6, 1\): pass y.ravel\(\)"
    with pytest.raises(ValueError, match=column if y.ndim == 2 else "y holds labels from|y must hold whole class numbers"):
        getattr(trainer, call)(X0, y)
    for wrong in (net.loss, net.fit, net.score):
        with pytest.raises(ValueError, match=column if y.ndim == 2 else "y holds labels from|y must hold whole class numbers"):
            wrong(X0, y)


@pytest.fixture(params=["one block", "blocks", "two threads", "areas"])
def way(request, monkeypatch):
    """Options of a trainer whose mini-batches are computed in one of the ways there are."""
    if request.param in ("blocks", "areas"):
        monkeypatch.setattr(planner, "block_rows", lambda batch, sizes, itemsize: min(batch, 6))
    if request.param == "blocks":
        monkeypatch.setattr(planner, "SMALL_GRADIENT", 0)
    if request.param in ("two threads", "areas"):
        monkeypatch.setattr(threads, "members_for", lambda flop, limit, *start: 1 if start else limit or 1)
        return {"n_threads": 2}
    return {}


def twins(sizes, rule, way):
    net, X, y = problem(sizes)
    twin = net.copy()
    trainers = [each.trainer(optimizer=rule, batch_size=N, n_samples=100, l2=0.1, **way) for each in (net, twin)]
    for each in trainers:
        each.step(X, y)
    return *trainers, X, y


@pytest.mark.parametrize("options", [{}, {"clip_norm": 1.0}], ids=str)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("row", [0, N - 1])
@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_a_step_whose_loss_is_not_finite_changes_nothing(sizes, row, rule, options, way):
    trainer, other, X, y = twins(sizes, fastbp.optimizers.get(rule), way | options)
    before, bad = trainer.state(), y.copy()
    bad[row] = 1e200
    with pytest.raises(DivergenceError, match=r"the loss of these samples is not finite\. The weights are as before"):
        trainer.step(X, bad)
    same_state(trainer.state(), before)
    for each in (trainer, other):
        each.step(X, y)
    same_state(trainer.state(), other.state())


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_a_step_to_weights_that_are_not_finite_leaves_the_weights(sizes, way):
    trainer, other, X, y = twins(sizes, Momentum(0.01), way)
    before = trainer.state()
    trainer.learning_rate = 1e308
    with pytest.raises(DivergenceError, match=r"a weight after the step is not finite\. .*, and the optimiser begins anew"):
        trainer.step(X, y * 1e3)
    after = trainer.state()
    assert not after["slots"].any()
    assert (after["hyper"] == Momentum(0.01).hyper() + (0.0,) * 6).all()
    same_state(after | {"slots": before["slots"], "hyper": before["hyper"], "learning_rate": 0.01}, before)
    anew = other.net.copy().trainer(optimizer=Momentum(0.01), batch_size=N, n_samples=100, l2=0.1, **way)
    trainer.learning_rate = 0.01
    for each in (trainer, anew):
        each.step(X, y)
    np.testing.assert_array_equal(trainer.net.params, anew.net.params)


def test_a_schedule_needs_to_know_where_steps_are():
    net, X, y = problem()
    with pytest.raises(ValueError, match=r"needs n_samples=... of the trainer for steps.*, and schedule_epochs=..."):
        net.trainer(schedule="cosine").step(X, y)
    with pytest.raises(ValueError, match=r"schedule_epochs"):
        net.trainer(schedule=fastbp.schedules.WarmUp(2, "cosine"), n_samples=N).step(X, y)
    with pytest.raises(ValueError, match=r"needs n_samples=... of the trainer for steps, to know where an epoch ends$"):
        net.trainer(schedule="exponential").step(X, y)
    net.trainer(schedule=fastbp.schedules.WarmUp(2), n_samples=N).step(X, y)


@pytest.mark.parametrize(("name", "value"), [("n_samples", 0), ("schedule_epochs", 1.5), ("batch_size", 0), ("optimiser", "sgd")])
def test_bad_options(name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        make_net(WIDE).trainer(**{name: value})


def test_a_step_while_the_network_is_being_trained_is_an_error():
    net, X, y = problem()
    trainer = net.trainer()
    with pytest.raises(RuntimeError, match="this network is being trained already"):
        net.fit(X, y, epochs=1, callbacks=[lambda *_: trainer.step(X, y)])
    trainer.step(X, y)


# --- the network in between --------------------------------------------------------------------------------------------------


def test_parameters_that_are_set_between_steps_count():
    net, X, y = problem()
    other = net.copy()
    trainer = net.trainer(optimizer=SGD(0.1))
    trainer.step(X, y)
    net.weights[0][:] = 0.5
    other.params = net.params
    trainer.step(X, y)
    other.trainer(optimizer=SGD(0.1)).step(X, y)
    np.testing.assert_array_equal(net.params, other.params)


def test_steps_keep_nothing():
    net, X, y = problem(dtype="float32")
    trainer = net.trainer(optimizer=Adam(0.01))

    def blocks():
        for _ in range(50):
            trainer.step(X, y)
        return sys.getallocatedblocks()

    blocks()
    assert abs(blocks() - blocks()) < 20


def test_the_class_is_public():
    assert isinstance(Network([2, 1]).trainer(), Trainer)
    assert "optimizer" in str(__import__("inspect").signature(Network([2, 1]).trainer))


# --- rules of stopping and scores beside each other ----------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [{"tol": 0.5, "n_iter_no_change": 3}, {"gradient_tol": 0.5}])
def test_the_best_epoch_is_restored_also_where_another_rule_ends_the_run_there(rule):
    X = np.linspace(-1, 1, 40)[:, None]
    net = Network([1, 8, 1], "tanh", dtype="float64", rng=0)
    options = {"epochs": 50, "batch_size": 8, "optimizer": SGD(0.01), "rng": 0, "validation_data": (X, X**2)}
    history = net.fit(X, X**2, patience=5, **rule, **options)
    assert history.stopped_by == next(iter(rule))
    assert history.validation_loss[-1] == min(history.validation_loss)
    assert net.loss(X, X**2) == pytest.approx(history.validation_loss[-1], rel=1e-12)


def test_scores_of_samples_that_are_twice_in_a_mini_batch_do_not_depend_on_threads(teams):
    """Each time a sample has another mask: its output of the last place counts."""
    X = np.random.default_rng(0).normal(size=(64, 6))
    found = set()
    for n_threads in [1, *[2] * 30]:
        net = Network([6, 20, 1], "tanh", dtype="float64", rng=0)
        options = {"epochs": 3, "batch_size": 64, "dropout": 0.5, "shuffle": "replacement", "record_score": True, "rng": 0}
        found.add(tuple(net.fit(X, X[:, 0], n_threads=n_threads, **options).score))
    assert len(found) == 1
    # with a row once in each mini-batch, threads are used
    net.fit(X, X[:, 0], dropout=0.5, record_score=True, batch_size=64, n_threads=2, epochs=1)
    assert 2 in teams
