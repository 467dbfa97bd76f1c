"""Sessions: penalties per mini-batch, the stopping rule inside the kernel, reported losses, rules that go on elsewhere."""

from itertools import pairwise

import numpy as np
import pytest
from conftest import RULES, error, flat, label, make_net, make_samples, make_targets, oracle

from fastbp import SGD, HardSigmoid, Network
from fastbp.activations import ACTIVATIONS
from fastbp.compiler import choice as choice_
from fastbp.engine import planner
from fastbp.engine import session as session_
from fastbp.engine.session import Session
from fastbp.engine.supervisor import Stopping
from fastbp.engine.training_session import TrainingSession
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE, TRAIN
from fastbp.kernels.plan import RUNNING, STOPPED, Layer, Plan
from fastbp.kernels.train import run, run_narrow

KINDS = pytest.mark.parametrize("kind", ["narrow", "one thread", "two threads"])


def start(net, X, y, epochs, *, batch, rule=None, kind="one thread", weights=None, order=None):
    """A session that is ready to train on the rows in their order."""
    rule = rule or SGD(0.01)
    session = TrainingSession(net, batch, rule, narrow=kind == "narrow", members=2 if kind == "two threads" else 1)
    session.set_data(X, y, None, weights, order)
    session.plan.order_stride = 0 if order is None else order.shape[1]
    session.rates = np.full(epochs, rule.learning_rate)
    session.record = np.full(epochs * (1 + 4 * len(net.weights)), np.nan)
    session.plan.epochs = epochs
    return session


def train(session):
    """Run the session and let its threads go; the losses of all its epochs."""
    session.call(TRAIN)
    session.close()
    return session.record.reshape(session.rates.size, -1)[:, 0]


def problem(sizes=(4, 20, 3), n=23):
    return make_net(sizes), make_samples(n, sizes[0]), make_targets("squared", n, sizes[-1])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["one thread", "two threads"])
def test_a_penalty_per_mini_batch_is_divided_by_the_weight_of_each(kind, weighted):
    net, X, y = problem()
    w = np.random.default_rng(0).uniform(0.1, 2, 23) if weighted else None
    if weighted:
        w[9:18] = 0  # the second batch has no weight, and no penalty
    exact, expected = oracle(net), []
    session = start(net, X, y, 3, batch=9, rule=SGD(0.1), kind=kind, weights=w)
    session.set_penalty(0.8, 0.0, per_batch=True)
    for _ in range(3):
        total = rows = 0.0
        for part in (slice(0, 9), slice(9, 18), slice(18, 23)):
            weight = len(X[part]) if w is None else w[part].sum()
            if weight > 0:
                # l2 / n_train of the oracle is 0.8 / weight here
                loss, weights, biases = exact.value_and_grad(X[part], y[part], None if w is None else w[part], 0.8, weight)
                exact.params -= 0.1 * flat(weights, biases)
                total, rows = total + loss * len(X[part]), rows + len(X[part])
        expected.append(total / rows)
    assert error(train(session), expected) < 1e-12
    assert error(net.params, exact.params) < 1e-12


@pytest.mark.parametrize("per_batch", [False, True])
@pytest.mark.parametrize("block", [23, 5], ids=["one block", "blocks"])
@pytest.mark.parametrize("members", [1, 2])
def test_the_gradient_of_a_penalised_loss_holds_that_of_the_penalty(members, block, per_batch, monkeypatch):
    monkeypatch.setattr(planner, "block_rows", lambda batch, sizes, itemsize: min(batch, block))
    net, X, y = problem((4, 40, 3))
    w = np.random.default_rng(0).uniform(0.1, 2, 23)
    session = Session(net, 23, differentiate=True, members=members)
    session.set_data(X, y, None, w)
    session.set_penalty(0.8, 0.0, per_batch=per_batch)
    session.out = np.empty(net.params.size)
    found = session.call(DIFFERENTIATE)
    loss, weights, biases = oracle(net).value_and_grad(X, y, w, 0.8, w.sum() if per_batch else 1)
    assert found == pytest.approx(loss, rel=1e-13)
    assert error(session.out, flat(weights, biases)) < 1e-13
    session.set_data(X, y, None, np.zeros(23))
    session.call(DIFFERENTIATE)
    session.close()
    assert not session.out.any()  # samples without weight have no penalty


@KINDS
def test_the_reported_loss_is_scaled_and_its_gradient_is_not(kind):
    net, X, y = problem((4, 6, 3))
    other = net.copy()
    before = net.params.copy()
    sessions = [start(each, X, y, 3, batch=9, rule=SGD(1e-9), kind=kind) for each in (net, other)]
    sessions[1].set_report(0.25)
    if kind != "narrow":
        for session in sessions:
            session.set_penalty(0.3, 0.0)
    penalty = 0.15 * sum((w**2).sum() for w in net.weights) if kind != "narrow" else 0.0
    plain, scaled = (train(session) for session in sessions)
    np.testing.assert_array_equal(net.params, other.params)
    assert (net.params != before).all()
    np.testing.assert_allclose(scaled, 0.25 * (plain - penalty) + penalty, rtol=1e-7)


@KINDS
def test_the_reported_loss_of_a_sample_is_capped_and_its_gradient_is_not(kind):
    net, X, y = problem((4, 6, 3))
    other = net.copy()
    losses = np.sum((net(X) - y) ** 2, axis=1) / 2
    cap = float(np.median(losses))
    sessions = [start(each, X, y, 1, batch=23, kind=kind) for each in (net, other)]
    sessions[1].set_report(2.0, cap)
    plain, capped = (train(session)[0] for session in sessions)
    np.testing.assert_array_equal(net.params, other.params)
    assert plain == pytest.approx(losses.mean(), rel=1e-13)
    assert capped == pytest.approx(2 * np.minimum(losses, cap).mean(), rel=1e-13)


# --- stopping ----------------------------------------------------------------------------------------------------------------


def python_rule(losses, tol, limit, best=float("inf"), waited=0, *, strict=False):
    """Epochs until the stop (all, without one), whether it stopped, and the state then."""
    for epoch, loss in enumerate(losses, 1):
        waited = waited + 1 if loss > best - tol or (strict and loss == best - tol) else 0
        best = min(best, loss)
        if waited >= limit:
            return epoch, True, best, waited
    return len(losses), False, best, waited


def session_of_losses(losses, kind):
    """A session whose epochs have these losses: epoch e visits row e alone, and nothing is learned."""
    sizes = [1, 1] if kind == "narrow" else [1, 20, 1]
    weights = [np.zeros((n_out, n_in)) for n_in, n_out in pairwise(sizes)]
    net = Network(sizes, "tanh", dtype="float64", weights=weights)
    y = np.sqrt(2 * np.asarray(losses))[:, None]
    order = np.arange(len(y), dtype=np.int32)[:, None]
    session = start(net, np.ones((len(y), 1)), y, len(y), batch=1, kind=kind, order=order)
    session.rates[:] = 0.0
    return session, 0.5 * y[:, 0] ** 2


@KINDS
@pytest.mark.parametrize("strict", [False, True])
def test_stopping_is_the_rule_in_python(kind, strict):
    stops = ties = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        count, limit, tol = rng.integers(1, 30), int(rng.integers(1, 6)), float(rng.choice([0.0, 0.375, 0.5, -0.125]))
        # few different values, whose differences are exact: many ties
        given = rng.integers(1, 6, count) ** 2 / 8 + (0.0 if seed % 2 else np.linspace(3, 0, count))
        session, losses = session_of_losses(given, kind)
        rule, by_hand = (Stopping(tol, limit, strict=strict) for _ in range(2))
        session.set_stop(rule)
        recorded = train(session)
        epochs, stopped, best, waited = python_rule(losses, tol, limit, strict=strict)
        assert session.plan.epoch == epochs
        assert session.plan.status == (STOPPED if stopped else RUNNING)
        assert session.stop_state() == (best, waited)
        lowest = [by_hand.follow(loss) for loss in losses[:epochs]]
        assert lowest == [loss < min(losses[:epoch], default=np.inf) for epoch, loss in enumerate(losses[:epochs])]
        assert (by_hand.best, by_hand.waited, by_hand.is_over()) == (best, waited, stopped)
        ties += python_rule(losses, tol, limit, strict=not strict) != (epochs, stopped, best, waited)
        np.testing.assert_array_equal(recorded[:epochs], losses[:epochs])
        assert np.isnan(recorded[epochs:]).all()
        stops += stopped and epochs < count
    assert stops > 15
    assert ties > 2


def test_a_rule_without_a_limit_and_losses_that_are_no_numbers():
    session, _ = session_of_losses([0.5] * 50, "one thread")
    rule = Stopping(0.0, float("inf"))
    session.set_stop(rule)
    train(session)
    assert (session.epoch, session.stop_state()) == (50, (0.5, 49))
    by_score = Stopping(0.25, 2, strict=False)
    for score, waited in ((float("nan"), 1), (0.5, 0), (0.75, 0), (float("nan"), 1), (0.99, 2)):
        assert by_score.follow(-score) == (score in (0.5, 0.75, 0.99))
        assert by_score.waited == waited
    assert by_score.is_over()


def test_stopping_goes_on_from_a_state():
    given = [3, 2, 2, 1, 1, 1, 1, 1]
    first, _ = session_of_losses(given[:5], "one thread")
    first.set_stop(Stopping(0.0, 3))
    train(first)
    assert first.plan.status == RUNNING
    second, losses = session_of_losses(given[5:], "one thread")
    second.set_stop(Stopping(0.5, 3, *first.stop_state()))
    train(second)
    epochs, stopped, best, waited = python_rule(losses, 0.5, 3, *first.stop_state())
    assert stopped
    assert (second.plan.epoch, second.stop_state()) == (epochs, (best, waited))


def test_stopping_of_a_real_fit_whatever_the_threads():
    stops = []
    for kind in ("one thread", "two threads"):
        net, X, y = problem()
        untouched = net.copy()
        session = start(net, X, y, 300, batch=6, rule=SGD(0.2), kind=kind)
        session.set_stop(Stopping(1e-4, 4))
        losses = train(session)
        epochs = session.plan.epoch
        assert session.plan.status == STOPPED
        assert python_rule(losses[:epochs], 1e-4, 4)[:2] == (epochs, True)
        without = start(untouched, X, y, epochs, batch=6, rule=SGD(0.2))
        np.testing.assert_array_equal(train(without), losses[:epochs])
        np.testing.assert_array_equal(net.params, untouched.params)
        stops.append(epochs)
    assert stops[0] == stops[1] < 300


# --- rules that go on --------------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("rule", RULES, ids=label)
def test_a_fit_goes_on_in_a_new_session_with_other_mini_batches(rule, kind):
    net, X, y = problem((4, 6, 3) if kind == "narrow" else (4, 20, 3))
    if kind == "narrow" and rule.decays:
        return  # the narrow kernels leave such rules to the others
    once, twice = net, net.copy()
    first = start(twice, X, y, 2, batch=16, rule=rule, kind=kind)
    train(first)
    second = start(twice, X, y, 3, batch=5, rule=rule, kind=kind)
    second.set_rule_state(first.rule_state())

    whole = start(once, X, y, 5, batch=16, rule=rule, kind=kind)
    whole.plan.epochs = 2
    whole.call(TRAIN)
    whole.plan.batch, whole.plan.epochs = 5, 5  # the same session with shorter mini-batches
    losses = train(whole)
    np.testing.assert_array_equal(train(second), losses[2:])
    np.testing.assert_array_equal(twice.params, once.params)
    for mine, other in zip(second.rule_state(), whole.rule_state(), strict=True):
        np.testing.assert_array_equal(mine, other)

    anew = start(net.copy(), X, y, 1, batch=5, rule=rule, kind=kind)
    train(anew)
    on = start(net.copy(), X, y, 1, batch=5, rule=rule, kind=kind)
    on.set_rule_state(whole.rule_state())
    train(on)
    assert (anew.net.params != on.net.params).any() == (rule.slots > 0)  # the state matters


@pytest.mark.parametrize("mode", [TRAIN, DIFFERENTIATE])
def test_nobody_waits_for_a_member_that_never_comes(mode, monkeypatch):
    net, X, y = problem()
    session = TrainingSession(net, len(X), SGD(0.01), members=3)
    session.set_data(X, y)
    session.out, begun, submit = np.empty_like(net.params), [], session._crew._threads.submit

    def interrupted(*arguments):
        begun.append(submit(*arguments))
        raise KeyboardInterrupt  # as Ctrl-C may do when the thread has been started

    monkeypatch.setattr(session._crew._threads, "submit", interrupted)
    before = net.params.copy()
    with pytest.raises(KeyboardInterrupt):
        session.call(mode)
    assert begun[0].result(timeout=60) == 0.0
    session.close()
    np.testing.assert_array_equal(net.params, before)


CODES = {
    "loss": (Plan, 0),
    "rule": (Plan, 0),
    "output": (Plan, 0),
    "first layer": (Layer, 0),
    "last layer": (Layer, 1),
}


def place_of(name):
    """Where the number of a plan is that tells which loss, rule or activation it is."""
    record, layer = CODES[name]
    return record.places[name] if record is Plan else Plan.length(layer) + record.places["code"]


@pytest.fixture
def no_more_than_asked(monkeypatch):
    """Entries of the level that is asked for, though one that can do more is at hand."""
    choice = choice_.choose([], choice_.Level.COMMON)
    monkeypatch.setattr(choice, "enough", [choice])
    for entry in (run, run_narrow):
        monkeypatch.setattr(entry, "_compiled", {})


@pytest.mark.usefixtures("no_more_than_asked")
@pytest.mark.parametrize("code", [-7, ACTIVATIONS.code(HardSigmoid), 99, 1 << 40])
@pytest.mark.parametrize("place", CODES)
@KINDS
def test_a_code_that_the_kernel_lacks_is_an_error(kind, place, code):
    net, X, y = problem()
    session = start(net, X, y, 2, batch=9, kind=kind)
    before, good = net.params.copy(), int(session.plan.numbers[place_of(place)])
    session.plan.numbers[place_of(place)] = code
    with pytest.raises(RuntimeError, match="nothing was computed"):
        session.call(TRAIN)
    np.testing.assert_array_equal(net.params, before)
    session.plan.numbers[place_of(place)], session.plan.status = good, RUNNING
    assert np.isfinite(train(session)).all()
    assert (net.params != before).any()


@pytest.mark.parametrize("place", CODES)
def test_a_code_that_the_kernel_lacks_is_an_error_of_predictions_and_gradients(place):
    net, X, y = problem()
    session = Session(net, len(X), differentiate=True)
    empty, out = session.labels, np.empty_like(net.params)
    session.plan.numbers[place_of(place)] = 99
    for mode in (EVALUATE, DIFFERENTIATE):
        with pytest.raises(RuntimeError, match="nothing was computed"):
            session.compute(mode, len(X), X, y, empty, session.sample_weight, out)
    net(X)
    net._idle[0].plan.numbers[place_of(place)] = 99
    for rows in (X, X[0]):
        with pytest.raises(RuntimeError, match="nothing was computed"):
            net(rows)
    net._idle.clear()
    assert np.isfinite(net(X)).all()


@pytest.mark.usefixtures("no_more_than_asked")
def test_a_class_of_another_level_is_a_code_that_the_kernel_lacks():
    """The position of a class in its registry is its code at every level, so that no level can take one for another."""
    net, X, y = problem()
    common, gelu = start(net, X, y, 1, batch=9), start(make_net((4, 20, 3), "gelu"), X, y, 1, batch=9)
    common.plan.numbers[place_of("first layer")] = gelu.plan.numbers[place_of("first layer")]
    with pytest.raises(RuntimeError, match="nothing was computed"):
        common.call(TRAIN)


def test_rows_are_numbered_by_int32():
    assert session_.rows_upto(3).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=f"X has {2**31} samples, but a call takes {2**31 - 1} at most"):
        session_.rows_upto(2**31)
