"""Ctrl-C comes soon, and what it leaves is whole: how soon, `tests/reliability/interrupts.py` measures."""

import numpy as np
import pytest
from conftest import make_net, make_samples, make_targets, same_state
from scipy.sparse import random_array

from fastbp import Adam, DivergenceError, Network, epoch_order
from fastbp.engine import session, supervisor, threads
from fastbp.kernels.tuning import DRAWN, NARROW_PIECE

LONG = {  # mini-batches of several pieces: what the plan makes of them
    "blocks": ((40, 300, 3), 1500),
    "areas": ((4, 20, 3), 12000),
    "lanes": ((4, 7, 3), 2 * NARROW_PIECE + 100),
}


@pytest.fixture
def one_piece(monkeypatch):
    """Calls of one piece of work each, counted."""
    calls = []
    by_all = session.Session._by_all
    monkeypatch.setattr(session.Session, "pieces_in", lambda self, seconds: 1)
    monkeypatch.setattr(supervisor, "MOST_CHANGE", 1)
    monkeypatch.setattr(session.Session, "_by_all", lambda *arguments: (calls.append(arguments[1]), by_all(*arguments))[1])
    return calls


def problem(kind, dtype="float64"):
    sizes, n = LONG[kind]
    X, y = make_samples(n, sizes[0], dtype), make_targets("squared", n, sizes[-1], dtype)
    return make_net(sizes, dtype=dtype), X, y


def compute(net, X, y, **options):
    """Everything that takes a mini-batch of all samples."""
    weights = np.linspace(0.5, 2, len(y))
    found = [net.loss(X, y, weights), *net.value_and_grad(X, y, weights)[:1], net.value_and_grad(X, y)[1].params, net(X)]
    for chosen in ({}, {"l2": 0.5}, {"clip_norm": 0.1}, {"dropout": 0.2}, {"max_norm": 0.5, "l1": 0.1}):
        other = net.copy()
        history = other.fit(
            X, y, epochs=2, batch_size=len(y), optimizer=Adam(0.01), sample_weight=weights, rng=0, **chosen, **options
        )
        trainer = other.trainer(batch_size=len(y), optimizer=Adam(0.01), rng=0, **chosen, **options)
        found += [history.loss, trainer.step(X, y), trainer.step(X, y, weights), other.params]
    return found


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("kind", LONG)
def test_a_mini_batch_in_parts_is_the_whole(kind, n_threads, one_piece, teams, monkeypatch):
    net, X, y = problem(kind)
    found = compute(net, X, y, n_threads=n_threads)
    pieces = len(one_piece)
    monkeypatch.undo()
    monkeypatch.setattr(threads, "usable_threads", lambda: 1)
    for one, other in zip(found, compute(net, X, y), strict=True):
        np.testing.assert_array_equal(one, other)
    assert pieces > 60


def test_sparse_samples_in_parts_are_the_whole(one_piece, monkeypatch):
    X = random_array((3000, 400), density=0.05, rng=np.random.default_rng(0)).tocsr()
    net, y = make_net((400, 100, 3)), make_targets("squared", 3000, 3)
    found = compute(net, X, y)
    assert len(one_piece) > 60
    monkeypatch.undo()
    for one, other in zip(found, compute(net, X, y), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_order_that_several_calls_draw_is_the_same():
    """That of `epoch_order` is drawn in one."""
    n = DRAWN + 6
    X = np.linspace(-1, 1, n)[:, None]
    net = Network([1, 1], dtype="float64", rng=0)
    options = {"epochs": 2, "batch_size": n // 3, "rng": 5}
    drawn = net.copy()
    drawn.fit(X, X**2, **options)
    seed = int(np.random.default_rng(5).integers(1 << 63))
    net.fit(X, X**2, order=np.array([epoch_order(seed, epoch, n) for epoch in range(2)]), **options)
    np.testing.assert_array_equal(net.params, drawn.params)


def interrupt_in_call(monkeypatch, number):
    """Raise after so many calls of the kernel."""
    left, by_all = [number], session.Session._by_all

    def interrupted(*arguments):
        loss = by_all(*arguments)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return loss

    monkeypatch.setattr(session.Session, "_by_all", interrupted)


@pytest.mark.parametrize("number", [1, 3, 5, 8])
@pytest.mark.parametrize("kind", LONG)
def test_a_run_that_is_interrupted_leaves_what_its_whole_steps_have_made(kind, number, one_piece, monkeypatch):
    net, X, y = problem(kind)
    options = {"batch_size": len(y) * 2 // 3, "optimizer": Adam(0.01), "shuffle": False}
    stepped = net.copy().trainer(**options)
    trainer = net.trainer(**options)
    with monkeypatch.context() as context:
        interrupt_in_call(context, number)
        with pytest.raises(KeyboardInterrupt) as caught:
            trainer.run(X, y, 4)
    done, size = trainer.state(), options["batch_size"]
    for step in range(8):
        if (stepped.state()["params"] == done["params"]).all():
            break
        rows = slice(size) if step % 2 == 0 else slice(size, None)
        stepped.step(X[rows], y[rows])
    for name in ("params", "hyper", "slots"):
        np.testing.assert_array_equal(stepped.state()[name], done[name])
    assert len(caught.value.history.loss) in (trainer.epochs, trainer.epochs - 1)
    assert caught.value.history.stopped_by == "interrupt"


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("kind", LONG)
def test_a_step_that_is_interrupted_changes_nothing(kind, number, one_piece, monkeypatch):
    net, X, y = problem(kind)
    trainer = net.trainer(batch_size=len(y), optimizer=Adam(0.01), l2=0.1)
    expected = [trainer.step(X[:9], y[:9])]
    before = trainer.state()
    with monkeypatch.context() as context:
        interrupt_in_call(context, min(number, 2) if kind == "lanes" else number)
        with pytest.raises(KeyboardInterrupt):
            trainer.step(X, y)
        same_state(trainer.state(), before)
        for call in (net.loss, net.value_and_grad):
            interrupt_in_call(context, 1)
            with pytest.raises(KeyboardInterrupt):
                call(X, y)
    other = make_net(LONG[kind][0]).trainer(batch_size=len(y), optimizer=Adam(0.01), l2=0.1)
    assert [other.step(X[:9], y[:9])] == expected
    assert trainer.step(X, y) == other.step(X, y)
    same_state(trainer.state(), other.state())
    assert net.loss(X, y) == other.net.loss(X, y)


def test_a_step_that_is_interrupted_before_it_begins_changes_nothing(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    net, other = make_net((4, 6, 3)), make_net((4, 6, 3))
    X, y = make_samples(9, 4), make_targets("squared", 9, 3)
    trainer, expected = (each.trainer(batch_size=9, optimizer=Adam(0.01), rng=0) for each in (net, other))
    assert trainer.step(X, y) == expected.step(X, y)
    with monkeypatch.context() as context:
        context.setattr(session.Session, "compute", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trainer.step(X, y)
    same_state(trainer.state(), expected.state())
    assert trainer.step(X, y) == expected.step(X, y)
    same_state(trainer.state(), expected.state())


@pytest.mark.parametrize("kind", LONG)
def test_a_long_mini_batch_that_diverges_leaves_the_weights_before_it(kind, one_piece):
    net, X, y = problem(kind)
    before = net.params.copy()
    y = y.copy()
    y[-1] = 1e308
    with pytest.raises(DivergenceError):
        net.fit(X, y, batch_size=len(y), epochs=3, shuffle=False, optimizer=Adam(0.1))
    np.testing.assert_array_equal(net.params, before)


# --- what an exception carries -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"record_norms": True}, {"record_score": True}, {"validation_fraction": 0.2, "patience": 9}]
)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_in_a_callback_carries_the_history(options, error):
    net, X, y = make_net((4, 20, 3)), make_samples(50, 4), make_targets("squared", 50, 3)
    expected = net.copy().fit(X, y, epochs=3, rng=0, **options).to_dict()

    def callback(epoch, net, history):
        if epoch == 2:
            raise error

    with pytest.raises(error) as caught:
        net.fit(X, y, epochs=10, callbacks=[callback], rng=0, **options)
    found = caught.value.history.to_dict()
    assert found.pop("stopped_by") == ("interrupt" if error is KeyboardInterrupt else None)
    for each in (found, expected):
        each.pop("time")
    expected.pop("stopped_by")
    np.testing.assert_equal(found, expected)


def test_ctrl_c_where_no_rule_looks_at_epochs_carries_all_that_are_complete(monkeypatch):
    net, X, y = make_net((4, 20, 3)), make_samples(50, 4), make_targets("squared", 50, 3)
    expected = net.copy().fit(X, y, epochs=7, rng=0, record_norms=True)
    train = supervisor.TrainingSession.train

    def interrupted(self, until, pieces):
        train(self, 7, pieces)
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor.TrainingSession, "train", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        net.fit(X, y, epochs=100, rng=0, record_norms=True)
    assert caught.value.history.loss == expected.loss
    assert caught.value.history.gradient_norms == expected.gradient_norms
    assert len(caught.value.history.time) == 7


def test_with_patience_an_interrupted_run_has_the_best_parameters():
    X, y = make_samples(50, 4), make_targets("squared", 50, 3)
    net = make_net((4, 20, 3))
    kept = []

    def callback(epoch, net, history):
        kept.append(net.params.copy())
        if epoch == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        net.fit(X, y, epochs=50, validation_fraction=0.3, patience=40, callbacks=[callback], optimizer=Adam(2.0), rng=0)
    best = int(np.argmin(caught.value.history.validation_loss))
    assert best < 8
    np.testing.assert_array_equal(net.params, kept[best])
