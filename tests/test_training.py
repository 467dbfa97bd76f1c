"""`fit`: which rows it visits, when it stops, what it records, and that nothing but the seed decides the bits."""

import json
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    DTYPES,
    LOSSES,
    RULES,
    count_calls,
    error,
    flat,
    label,
    make_net,
    make_samples,
    make_targets,
    oracle,
    problem,
)

import fastbp
from fastbp import SGD, Adam, History, Network
from fastbp.engine import supervisor
from fastbp.engine.orders import epoch_order
from fastbp.engine.supervisor import DivergenceError
from fastbp.engine.threads import flop_of_sample
from fastbp.kernels.tuning import NARROW_LIMIT


@pytest.fixture
def one_call(monkeypatch):
    """No call is cut short because the machine is busy."""
    monkeypatch.setattr(supervisor, "seconds_of_call", lambda net, copies: 1e9)


every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_rule = pytest.mark.parametrize("rule", RULES, ids=label)


def counting_net(n):
    """A network and data whose weights count the visits: with one-hot rows and a tiny rate, w_i is rate times visits of row i."""
    return Network([n, 1], weights=[np.zeros((1, n))], biases=[[0.0]], dtype="float64", rng=0), np.eye(n), np.ones(n)


def visits(net, rate=1e-9):
    counts = net.weights[0][0] / rate
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    return np.rint(counts).astype(int)


# --- rows --------------------------------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("sizes", [(1, 1), (2, 3, 1), (12, 12, 12), (5, 12, 7, 3), (13, 12, 3), (3, 13)], ids=str)
def test_networks_around_the_limit_of_the_narrow_ones(sizes, dtype):
    for batch in (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 200):
        for loss in ("squared", "cross_entropy"):
            net, X, y = problem(sizes, 203, dtype=dtype, loss=loss)
            w = np.random.default_rng(0).uniform(0.1, 2, 203) if batch % 2 else None
            exact = oracle(net)
            options = {"epochs": 2, "batch_size": batch, "optimizer": fastbp.Momentum(1e-3), "sample_weight": w}
            losses = exact.fit(X.astype(float), y.astype(float), **options)
            history = net.fit(X, y, shuffle=False, **options)
            assert error(history.loss, losses) < (1e-12 if dtype == "float64" else 2e-5), (batch, loss)
            assert error(net.params, exact.params) < (1e-12 if dtype == "float64" else 2e-5), (batch, loss)


@every_dtype
@pytest.mark.parametrize(("n", "batch"), [(10, 4), (10, 3), (7, 7), (7, 100), (5, 1), (33, 32), (1, 1)])
def test_a_short_last_batch_is_used_and_divided_by_its_own_size(n, batch, dtype):
    net, X, y = problem(n=n, dtype=dtype)
    exact = oracle(net)
    losses = exact.fit(X.astype(float), y.astype(float), epochs=3, batch_size=batch, optimizer=SGD(0.3))
    history = net.fit(X, y, epochs=3, batch_size=batch, optimizer=SGD(0.3), shuffle=False)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert error(history.loss, losses) < tolerance
    assert error(net.params, exact.params) < tolerance


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_once_an_epoch(shuffle, batch):
    net, X, y = counting_net(8)
    for epochs in (1, 2, 3):
        net.fit(X, y, epochs=1, batch_size=batch, shuffle=shuffle, optimizer=SGD(1e-9 * batch), rng=epochs)
        if batch != 3:  # the last batch of 3 is shorter, its rows count more
            np.testing.assert_array_equal(visits(net), epochs)


def test_drawing_with_replacement():
    net, X, y = counting_net(40)
    drawn = []
    for seed in range(50):
        net.params[:] = 0
        net.fit(X, y, epochs=1, batch_size=1, shuffle="replacement", optimizer=SGD(1e-9), rng=seed)
        drawn.append(visits(net))
        assert drawn[-1].sum() == 40
    drawn = np.array(drawn)
    assert 0.3 < (drawn == 0).mean() < 0.44  # (1 - 1/40)^40 = 0.363
    assert (drawn.sum(axis=0) > 20).all()  # 50 expected, deviation 7
    assert (drawn.sum(axis=0) < 80).all()
    assert len({each.tobytes() for each in drawn}) == 50
    net.params[:] = 0
    net.fit(X, y, epochs=2, batch_size=1, shuffle="replacement", optimizer=SGD(1e-9), rng=0)
    assert (visits(net) != 2 * drawn[0]).any()  # the second epoch draws other rows


def test_shuffled_rows_are_those_of_epoch_order():
    net, X, y = problem(n=23)
    other = net.copy()
    net.fit(X, y, epochs=5, batch_size=4, optimizer="adam", rng=7)
    seed = int(np.random.default_rng(7).integers(1 << 63))
    order = [epoch_order(seed, epoch, 23) for epoch in range(5)]
    other.fit(X, y, epochs=5, batch_size=4, optimizer="adam", order=order)
    np.testing.assert_array_equal(net.params, other.params)
    assert len({tuple(rows) for rows in order}) == 5
    for rows in order:
        np.testing.assert_array_equal(np.sort(rows), np.arange(23))


@pytest.mark.parametrize("order", [[2, 0, 2, 5], [[2, 0, 2, 5], [1, 1, 1, 1], [7, 6, 5, 4]], [3]], ids=str)
def test_explicit_order(order):
    net, X, y = counting_net(8)
    net.fit(X, y, epochs=3, batch_size=1, optimizer=SGD(1e-9), order=order)
    expected = np.bincount(np.broadcast_to(order, (3, np.shape(order)[-1])).ravel(), minlength=8)
    np.testing.assert_array_equal(visits(net), expected)

    net, X, y = problem(n=8)
    exact = oracle(net)
    losses = exact.fit(X, y, epochs=3, batch_size=3, order=order, optimizer="momentum")
    history = net.fit(X, y, epochs=3, batch_size=3, order=np.array(order, np.int32), optimizer="momentum")
    assert error(history.loss, losses) < 1e-12
    assert error(net.params, exact.params) < 1e-12


def test_a_mini_batch_may_be_longer_than_the_data_where_the_order_is():
    net, X, y = problem(n=4)
    exact, order = oracle(net), np.arange(12) % 4
    losses = exact.fit(X, y, epochs=2, batch_size=6, order=order)
    history = net.fit(X, y, epochs=2, batch_size=6, order=order)
    assert error(history.loss, losses) < 1e-12
    assert error(net.params, exact.params) < 1e-12


def test_given_order_is_not_changed():
    net, X, y = problem(n=8)
    order = np.arange(8)[::-1].copy()
    net.fit(X, y, epochs=2, order=order)
    np.testing.assert_array_equal(order, np.arange(8)[::-1])


@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_sample_weights(loss):
    net, X, y = problem(loss=loss, n=22)
    w = np.random.default_rng(0).uniform(0, 2, 22)
    w[4:12] = 0  # the second batch of 4 weighs nothing, the third a little
    w[11] = 1e-3
    exact = oracle(net)
    losses = exact.fit(X, y, epochs=3, batch_size=4, sample_weight=w, optimizer="sgd")
    history = net.fit(X, y, epochs=3, batch_size=4, sample_weight=w, optimizer="sgd", shuffle=False)
    assert error(history.loss, losses) < 1e-12
    assert error(net.params, exact.params) < 1e-12


def test_a_sample_of_weight_zero_counts_for_nothing_even_if_its_loss_overflows():
    net = make_net((1, 1))
    X, y, w = np.array([[1.0], [1e200]]), np.zeros(2), [1.0, 0.0]
    assert net.loss(X, y, w) == net.loss(X[:1], y[:1])
    np.testing.assert_array_equal(net.value_and_grad(X, y, w)[1].params, net.value_and_grad(X[:1], y[:1])[1].params)


@pytest.mark.parametrize("sizes", [(4, 6, 3), (4, NARROW_LIMIT + 1, 3)])
def test_an_epoch_whose_rows_weigh_nothing_has_no_loss_and_is_no_divergence(sizes):
    net, X, y = problem(sizes, n=9)
    exact, order = oracle(net), [[0, 2, 4], [1, 2, 3]]  # as rows that are drawn may be
    losses = exact.fit(X, y, epochs=2, batch_size=2, sample_weight=np.arange(9) % 2, order=order)
    history = net.fit(X, y, epochs=2, batch_size=2, sample_weight=np.arange(9) % 2, order=order)
    assert history.loss[0] == losses[0] == 0.0
    assert history.loss[1] == pytest.approx(losses[1], rel=1e-12)
    assert error(net.params, exact.params) < 1e-12


# --- the same bits -----------------------------------------------------------------------------------------------------------


def test_same_seed_same_bits_a_hundred_times():
    net, X, y = problem((3, 5, 2), 17, dtype="float32")
    results = set()
    for _ in range(100):
        again = net.copy()
        again.fit(X, y, epochs=3, batch_size=4, optimizer="adam", rng=5)
        results.add(again.params.tobytes())
    assert len(results) == 1
    net.fit(X, y, epochs=3, batch_size=4, optimizer="adam", rng=6)
    assert net.params.tobytes() not in results


def test_sources_of_the_seed():
    net, X, y = problem(n=30)
    by_seed, by_generator = net.copy(), net.copy()
    by_seed.fit(X, y, epochs=2, rng=5)
    by_generator.fit(X, y, epochs=2, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(by_seed.params, by_generator.params)
    first, second = (Network([4, 6, 3], rng=9, dtype="float64") for _ in range(2))
    first.fit(X, y, epochs=2)
    second.fit(X, y, epochs=2)
    np.testing.assert_array_equal(first.params, second.params)
    before = first.params.copy()
    changes = []
    for _ in range(2):  # the network's generator goes on
        first.params[:] = before
        first.fit(X, y, epochs=1, batch_size=2, optimizer=SGD(0.05))
        changes.append(first.params.copy())
    assert (changes[0] != changes[1]).any()


THREADED = [
    ((2, 3, 1), 20, 1, {}),
    ((2, 3, 1), 20, 1, {"l2": 0.1}),
    ((2, 3, 3, 1), 20, 4, {"shuffle": "replacement", "record_norms": True}),
    ((20, 33, 17, 5), 100, 37, {"l2": 0.1}),
    ((64, 100, 10), 300, 128, {"weighted": True}),
    ((7, 200, 3), 61, 61, {"record_norms": True}),
    ((130, 20, 65), 90, 48, {}),
    ((20, 64, 3), 2500, 2500, {}),  # blocks of one member each
    ((20, 64, 3), 2500, 1100, {"l2": 0.1, "weighted": True, "record_norms": True}),
    ((200, 260, 5), 1200, 1100, {"l2": 0.1}),  # blocks of all members
]


@every_dtype
@pytest.mark.parametrize(("sizes", "n", "batch", "options"), THREADED, ids=str)
def test_the_number_of_threads_changes_no_bit(sizes, n, batch, options, dtype, teams):
    options = dict(options)
    net, X, y = problem(sizes, n, loss="cross_entropy" if sizes[-1] > 1 else "squared", dtype=dtype)
    if options.pop("weighted", False):
        options["sample_weight"] = np.random.default_rng(0).uniform(0.1, 2, n)
    for rule in ("sgd", "nesterov", "adamw"):
        results, losses, norms = set(), set(), set()
        for n_threads in (1, 2, 3, 4, None):
            again = net.copy()
            history = again.fit(X, y, epochs=3, batch_size=batch, optimizer=rule, rng=1, n_threads=n_threads, **options)
            results.add(again.params.tobytes())
            losses.add(tuple(history.loss))
            norms.add(tuple(map(tuple, history.gradient_norms)))
        assert set(teams) == {1, 2, 3, 4} or max(sizes) <= NARROW_LIMIT
        assert len(results) == len(losses) == len(norms) == 1, rule


@every_rule
def test_the_number_of_threads_changes_no_bit_of_any_rule(rule, teams):
    net, X, y = problem((9, 40, 33, 3), 50)
    results = set()
    for n_threads in (1, 2, 3, 4):
        again = net.copy()
        again.fit(X, y, epochs=2, batch_size=16, optimizer=rule, rng=1, n_threads=n_threads)
        results.add(again.params.tobytes())
    assert set(teams) == {1, 2, 3, 4}
    assert len(results) == 1


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("shuffle", [True, "replacement", False])
@pytest.mark.parametrize("sizes", [(4, 6, 3), (4, 20, 3)], ids=str)
def test_where_a_call_of_the_kernel_ends_changes_no_bit(monkeypatch, teams, sizes, shuffle, n_threads):
    net, X, y = problem(sizes, n=30)
    other = net.copy()
    options = {"epochs": 4, "batch_size": 7, "optimizer": "adam", "shuffle": shuffle, "rng": 3}
    history = net.fit(X, y, **options)
    calls = count_calls(monkeypatch)
    monkeypatch.setattr(supervisor, "seconds_of_call", lambda net, copies: 0.0)
    cut = other.fit(X, y, n_threads=n_threads, **options)
    assert len(calls) == 4 * 5  # one step each
    np.testing.assert_array_equal(net.params, other.params)
    assert history.loss == cut.loss


def test_watching_changes_no_bit():
    net, X, y = problem(n=30)
    quiet, watched = net.copy(), net.copy()
    options = {"epochs": 4, "batch_size": 7, "optimizer": "adam", "rng": 3}
    quiet.fit(X, y, **options)
    watched.fit(X, y, record_score=True, callbacks=[lambda *_: None], validation_data=(X[:5], y[:5]), tol=0.0, **options)
    np.testing.assert_array_equal(quiet.params, watched.params)


# --- stopping ----------------------------------------------------------------------------------------------------------------


def test_slots_start_anew_and_parameters_go_on():
    net, X, y = problem()
    exact = oracle(net)
    for _ in range(2):
        exact.fit(X, y, epochs=3, batch_size=8, optimizer="adam")
        net.fit(X, y, epochs=3, batch_size=8, optimizer="adam", shuffle=False)
    assert error(net.params, exact.params) < 1e-12
    at_once = oracle(problem()[0])
    at_once.fit(X, y, epochs=6, batch_size=8, optimizer="adam")
    assert error(at_once.params, exact.params) > 1e-6


def test_patience_restores_the_best():
    net, X, y = problem((4, 30, 3), 12)
    Xv, yv = make_samples(30, 4, seed=8), make_targets("squared", 30, 3, seed=8)  # nothing to do with X, y
    seen = []
    history = net.fit(
        X,
        y,
        epochs=500,
        batch_size=4,
        optimizer=Adam(0.02),
        validation_data=(Xv, yv),
        patience=5,
        rng=0,
        callbacks=[lambda epoch, net, history: seen.append(net.params.copy())],
    )
    best = int(np.argmin(history.validation_loss))
    assert history.stopped_by == "patience"
    assert best > 0
    assert len(history.loss) == len(seen) == best + 1 + 5
    np.testing.assert_array_equal(net.params, seen[best])
    assert net.loss(Xv, yv) == history.validation_loss[best]


def test_patience_restores_the_best_also_if_all_epochs_were_run():
    net, X, y = problem((4, 30, 3), 12)
    Xv, yv = make_samples(30, 4, seed=8), make_targets("squared", 30, 3, seed=8)
    history = net.fit(X, y, epochs=60, optimizer=Adam(0.02), validation_data=(Xv, yv), patience=1000, rng=0)
    assert history.stopped_by is None
    assert len(history.loss) == 60
    assert net.loss(Xv, yv) == min(history.validation_loss) < history.validation_loss[-1]


@pytest.mark.parametrize("n_iter_no_change", [1, 4])
def test_tol(n_iter_no_change):
    net, X, y = problem()
    history = net.fit(X, y, epochs=100, optimizer=SGD(1e-12), tol=1e-6, n_iter_no_change=n_iter_no_change)
    assert history.stopped_by == "tol"
    assert len(history.loss) == 1 + n_iter_no_change  # the first epoch improves on nothing

    net, X, y = problem()
    tol = 1e-4
    history = net.fit(X, y, epochs=5000, batch_size=40, optimizer=SGD(0.2), tol=tol, n_iter_no_change=n_iter_no_change)
    gains = -np.diff(history.loss)
    assert history.stopped_by == "tol"
    assert len(gains) > 10 + n_iter_no_change
    assert (gains[:-n_iter_no_change] > tol).all()  # the loss falls ever more slowly here
    assert (gains[-n_iter_no_change:] <= tol).all()


def test_tol_of_zero_needs_some_improvement():
    net, X, y = problem()
    history = net.fit(X, y, epochs=50, batch_size=40, optimizer=SGD(0.05), tol=0.0, n_iter_no_change=2)
    assert history.stopped_by is None
    assert len(history.loss) == 50
    history = net.fit(X, y, epochs=50, batch_size=40, optimizer=SGD(1e-300), tol=0.0, n_iter_no_change=2)
    assert len(set(history.loss)) == 1
    assert (history.stopped_by, len(history.loss)) == ("tol", 3)


def stopped(history, tol, n_iter_no_change, patience):
    """Epochs until the rules of the docstring end a fit with this history, why they do, and the epoch of the best parameters."""
    lowest = best = float("inf")
    waited = waited_for_better = chosen = 0
    for epoch, loss in enumerate(history.loss):
        waited = 0 if loss < lowest - tol else waited + 1
        lowest = min(lowest, loss)
        if waited >= n_iter_no_change:
            return epoch + 1, "tol", chosen
        if patience is not None:
            waited_for_better += 1
            if history.validation_loss[epoch] < best:
                best, chosen, waited_for_better = history.validation_loss[epoch], epoch, 0
            if waited_for_better >= patience:
                return epoch + 1, "patience", chosen
    return len(history.loss), None, chosen


@pytest.mark.parametrize("patience", [None, 4])
@pytest.mark.parametrize("sizes", [(4, 6, 3), (4, 20, 3)], ids=str)
def test_the_kernel_stops_where_a_loop_of_one_epoch_each_does(sizes, patience, monkeypatch, one_call):
    net, X, y = problem(sizes, 12)
    options = {"epochs": 80, "batch_size": 5, "optimizer": Adam(0.02), "rng": 3}
    options |= {"validation_data": (make_samples(30, 4, seed=8), make_targets("squared", 30, 3, seed=8))} if patience else {}
    seen, calls, reasons = [], count_calls(monkeypatch), set()
    whole = net.copy().fit(X, y, callbacks=[lambda epoch, net, history: seen.append(net.params.copy())], **options)
    for tol in (0.0, 1e-4, 1e-3, 1e-2, 0.1):
        for n_iter_no_change in (1, 3, 7):
            again = net.copy()
            del calls[:]
            history = again.fit(X, y, tol=tol, n_iter_no_change=n_iter_no_change, patience=patience, **options)
            epochs, reason, chosen = stopped(whole, tol, n_iter_no_change, patience)
            assert (history.stopped_by, history.loss) == (reason, whole.loss[:epochs])
            assert history.validation_loss == whole.validation_loss[:epochs]
            assert len(history.time) == len(history.learning_rate) == epochs
            assert len(calls) == (epochs if patience else 1)
            np.testing.assert_array_equal(again.params, seen[chosen if patience else epochs - 1])
            reasons.add((reason, 2 < epochs < 80))
    assert ("tol", True) in reasons
    assert patience is None or ("patience", True) in reasons


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_rule_of_the_kernel_goes_on_where_an_epoch_takes_several_calls(monkeypatch, teams, n_threads):
    net, X, y = problem((4, 20, 3))
    options = {"epochs": 300, "batch_size": 7, "optimizer": SGD(0.2), "tol": 1e-3, "n_iter_no_change": 3, "rng": 0}
    options["n_threads"] = n_threads
    other = net.copy()
    history = net.fit(X, y, **options)
    assert history.stopped_by == "tol"
    monkeypatch.setattr(supervisor, "seconds_of_call", lambda net, copies: 0.0)
    calls = count_calls(monkeypatch)
    cut = other.fit(X, y, **options)
    assert len(calls) == 6 * len(history.loss)
    assert (cut.loss, cut.stopped_by) == (history.loss, "tol")
    np.testing.assert_array_equal(net.params, other.params)


def test_gradient_tol():
    net, X, y = problem()
    exact, sums = oracle(net), []
    for _ in range(400):
        _, weights, biases = exact.value_and_grad(X, y)
        sums.append(sum(np.linalg.norm(g) for g in (*weights, *biases)))
        exact.fit(X, y, epochs=1, batch_size=40, optimizer=SGD(0.2))
    tolerance = (sums[150] + sums[151]) / 2
    first = next(epoch for epoch, value in enumerate(sums) if value <= tolerance)
    history = net.fit(X, y, epochs=400, batch_size=40, optimizer=SGD(0.2), gradient_tol=tolerance)
    assert history.stopped_by == "gradient_tol"
    assert len(history.loss) == first + 1
    assert history.gradient_norms == []  # not asked for


def test_callbacks():
    net, X, y = problem()
    seen = []

    def callback(epoch, network, history):
        seen.append((epoch, network, len(history.loss), network.loss(X, y)))
        return epoch == 3

    history = net.fit(X, y, epochs=10, callbacks=[lambda *_: 1, callback])  # 1 is not True
    assert [(epoch, count) for epoch, _, count, _ in seen] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert all(network is net for _, network, _, _ in seen)
    assert len({loss for *_, loss in seen}) == 4
    assert history.stopped_by == "callback"
    assert len(history.loss) == 4
    assert seen[-1][3] == net.loss(X, y)


def test_a_callback_may_change_the_parameters():
    net, X, y = problem()
    net.fit(X, y, epochs=3, callbacks=[lambda epoch, net, history: net.params.fill(0.0)])
    np.testing.assert_array_equal(net.params, 0)


@pytest.mark.parametrize("exception", [KeyboardInterrupt, RuntimeError])
def test_an_exception_in_a_callback_leaves_a_usable_network(exception, teams):
    net, X, y = problem((4, 20, 3), n=64)
    seen = []

    def callback(epoch, net, history):
        seen.append(net.params.copy())
        if epoch == 2:
            raise exception("stop")

    running = threading.active_count()
    with pytest.raises(exception, match="stop"):
        net.fit(X, y, epochs=10, callbacks=[callback], n_threads=2)
    assert threading.active_count() == running
    assert set(teams) == {2}
    np.testing.assert_array_equal(net.params, seen[2])
    assert error(net(X), oracle(net)(X)) < 1e-12
    before = net.loss(X, y)
    assert len(net.fit(X, y, epochs=5, optimizer=SGD(0.1)).loss) == 5
    assert net.loss(X, y) < before


@pytest.fixture
def ctrl_c():
    """Ctrl-C is an exception, which in a background job of a shell it is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("teams", "ctrl_c")
@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_is_heard_during_a_long_fit(n_threads):
    net, X, y = problem((64, 128, 3), 4000, dtype="float32")
    before = net.params.copy()

    def interrupt():
        while (net.params == before).all():  # until the first call of the kernel is over
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=20_000, n_threads=n_threads)  # minutes, if it is not heard
    assert np.isfinite(net.params).all()
    assert (net.params != before).any()
    assert np.isfinite(net.fit(X, y, epochs=1).loss).all()


# --- validation data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=label)
def test_validation_data(loss):
    net, X, y = problem(loss=loss)
    Xv, yv = make_samples(9, 4, seed=5), make_targets(loss, 9, 3, seed=5)
    seen = []
    history = net.fit(
        X, y, epochs=3, validation_data=(Xv, yv), callbacks=[lambda e, net, h: seen.append((net.loss(Xv, yv), net.score(Xv, yv)))]
    )
    assert list(zip(history.validation_loss, history.validation_score, strict=True)) == seen
    assert len(set(seen)) > 1


def test_validation_fraction_is_kept_out_of_training():
    net, X, y = counting_net(20)
    history = net.fit(X, y, epochs=2, batch_size=1, validation_fraction=0.25, optimizer=SGD(1e-9))
    counts = visits(net)
    assert sorted(counts) == [0] * 5 + [2] * 15
    held = counts == 0
    assert history.validation_loss[-1] == pytest.approx(net.loss(X[held], y[held]), rel=1e-12)
    other, X, y = counting_net(20)
    other.fit(X, y, epochs=2, batch_size=1, validation_fraction=0.25, optimizer=SGD(1e-9), rng=1)
    assert ((visits(other) == 0) != held).any()  # drawn at random


def test_validation_fraction_splits_labels_and_weights_too():
    labels = np.arange(40) % 3
    net = make_net((3, 3), loss="cross_entropy")
    X, w = np.eye(3)[labels], 1.0 + labels
    history = net.fit(X, labels, epochs=300, sample_weight=w, validation_fraction=0.5, optimizer=SGD(0.5))
    assert history.validation_score[-1] == 1  # rows and labels still belong together
    assert net.score(X, labels) == 1


def test_the_penalty_is_divided_by_the_training_rows():
    net, X, y = problem(n=40)
    penalty = sum((w**2).sum() for w in net.weights) * 3.0 / (2 * 30)
    seed = 11
    kept = np.random.default_rng(seed).permutation(40)[10:]
    history = net.fit(X, y, epochs=1, batch_size=30, l2=3.0, validation_fraction=0.25, optimizer=SGD(1e-12), rng=seed)
    assert history.loss[0] == pytest.approx(net.loss(X[kept], y[kept]) + penalty, rel=1e-9)
    assert history.validation_loss[0] == pytest.approx(net.loss(np.delete(X, kept, 0), np.delete(y, kept, 0)), rel=1e-12)


# --- history -----------------------------------------------------------------------------------------------------------------


def test_history(tmp_path):
    net, X, y = problem()
    history = net.fit(X, y, epochs=4, optimizer=SGD(0.05))
    assert isinstance(history, History)
    assert set(history.to_dict()) == {"loss", "learning_rate", "time", "stopped_by"}
    assert history.learning_rate == [0.05] * 4
    assert np.all(np.diff([0, *history.time]) >= 0)
    assert len(history.loss) == len(history.time) == 4
    assert all(type(value) is float for value in (*history.loss, *history.time))

    full = net.fit(
        X, y, epochs=3, validation_data=(X, y), record_norms=True, record_score=True, callbacks=[lambda epoch, *_: epoch == 1]
    )
    assert set(full.to_dict()) == set(vars(full))
    lengths = {name: len(value) for name, value in full.to_dict().items() if name != "stopped_by"}
    assert set(lengths.values()) == {2}
    assert full.validation_score[-1] == net.score(X, y)
    assert full.validation_loss[-1] == net.loss(X, y)
    full.save(tmp_path / "history.json")
    assert json.loads((tmp_path / "history.json").read_text()) == full.to_dict()


@every_dtype
@pytest.mark.parametrize("rule", [SGD(0.1), Adam(0.01)], ids=label)
def test_norms_equal_those_of_numpy(rule, dtype):
    net, X, y = problem((5, 9, 7, 3), 20, dtype=dtype)
    start, seen = net.copy(), []
    history = net.fit(
        X,
        y,
        epochs=3,
        batch_size=20,
        optimizer=rule,
        shuffle=False,
        record_norms=True,
        callbacks=[lambda epoch, net, history: seen.append(net.copy())],
    )
    for epoch, after in enumerate(seen):
        before = start if epoch == 0 else seen[epoch - 1]
        gradients = before.value_and_grad(X, y)[1].weights
        np.testing.assert_allclose(history.gradient_norms[epoch], [np.linalg.norm(g) for g in gradients], rtol=1e-5)
        np.testing.assert_allclose(history.weight_norms[epoch], [np.linalg.norm(w) for w in after.weights], rtol=1e-6)


def test_gradient_norms_are_those_of_the_last_step():
    net, X, y = problem(n=10)
    before = net.copy()
    before.fit(X, y, epochs=1, batch_size=4, order=np.arange(8))
    gradients = before.value_and_grad(X[8:], y[8:])[1].weights
    history = net.fit(X, y, epochs=1, batch_size=4, shuffle=False, record_norms=True)
    np.testing.assert_allclose(history.gradient_norms[0], [np.linalg.norm(g) for g in gradients], rtol=1e-12)


def test_the_loss_includes_the_penalty():
    net, X, y = problem()
    penalty = sum((w**2).sum() for w in net.weights) * 5.0 / (2 * 40)
    history = net.fit(X, y, epochs=1, batch_size=8, l2=5.0, optimizer=SGD(1e-12))
    assert history.loss[0] == pytest.approx(net.loss(X, y) + penalty, rel=1e-9)


def test_the_penalty_shrinks_weights_not_biases():
    zeros = np.zeros((10, 4))
    net = make_net((4, 3))
    net.biases[0][:] = 2.0
    weights = net.weights[0].copy()
    net.fit(zeros, np.full((10, 3), 2.0), epochs=1, batch_size=10, l2=4.0, optimizer=SGD(0.5))
    np.testing.assert_array_equal(net.biases[0], 2.0)
    np.testing.assert_allclose(net.weights[0], weights * (1 - 0.5 * 4.0 / 10), rtol=1e-14)


def test_weight_decay_spares_biases():
    zeros = np.zeros((10, 4))
    net = make_net((4, 3))
    net.biases[0][:] = 2.0
    weights = net.weights[0].copy()
    net.fit(zeros, np.full((10, 3), 2.0), epochs=1, batch_size=10, optimizer=fastbp.AdamW(0.1, weight_decay=0.5))
    np.testing.assert_array_equal(net.biases[0], 2.0)
    np.testing.assert_allclose(net.weights[0], weights * (1 - 0.1 * 0.5), rtol=1e-14)


def test_progress_bar(capsys):
    net, X, y = problem()
    history = net.fit(X, y, epochs=5, progress=True, validation_data=(X, y))
    shown = capsys.readouterr().err
    assert "5/5" in shown
    assert f"loss={history.loss[-1]:.4g}" in shown
    assert "validation loss" in shown
    net.fit(X, y, epochs=5)
    assert capsys.readouterr().err == ""


def test_floating_point_operations_of_a_step():
    assert flop_of_sample((2, 3, 4)) == 4 * 6 + 6 * 12


# --- divergence --------------------------------------------------------------------------------------------------------------

GROWING = ("identity", "relu", "leaky_relu", "elu", "selu", "softplus", "silu", "gelu", "mish")
DIVERGENT = [
    *(
        (hidden, dtype, rate, 1.0)
        for hidden in ("identity", "relu", "leaky_relu", "gelu")
        for dtype in DTYPES
        for rate in (1e3, 1e6)
    ),
    *((hidden, "float64", 1e-2, 1e200) for hidden in GROWING),
    *((hidden, "float32", 1e-2, 1e25) for hidden in ("identity", "relu", "leaky_relu")),
    *((hidden, "float32", 1e6, 1e3) for hidden in ("tanh", "sigmoid", "hard_sigmoid")),
]


def check_finite_after_divergence(net, X, y, **options):
    before = net.params.copy()
    with pytest.raises(DivergenceError, match="training diverged in epoch") as caught:
        net.fit(X, y, **options)
    assert isinstance(caught.value, ValueError)
    assert np.isfinite(net.params).all()
    return before, str(caught.value)


@pytest.mark.parametrize(("hidden", "dtype", "rate", "scale"), DIVERGENT, ids=str)
def test_divergence_is_an_error_and_finite_weights_are_restored(hidden, dtype, rate, scale):
    net, X, y = problem(hidden=hidden, dtype=dtype)
    exact = oracle(net)
    options = {"batch_size": 8, "optimizer": SGD(rate), "l2": 0.0}
    if hidden in ("tanh", "sigmoid", "hard_sigmoid"):
        options["l2"] = 1.0  # the weights grow by 1 - rate l2 / n a step
    _, message = check_finite_after_divergence(net, X * scale, y, epochs=100, **options)
    assert f"{rate:g}" in message
    assert "learning rate" in message
    with np.errstate(all="ignore"):
        limit = np.finfo(dtype).max
        losses = exact.fit(X.astype(float) * scale, y, epochs=100, shuffle=False, **options)
        first = next((epoch for epoch, loss in enumerate(losses) if not abs(loss) < limit), 100)
    assert int(message.split("in epoch ")[1].split(":")[0]) <= first + 2
    net.params[:] = 0.1
    assert np.isfinite(net.fit(X, y, epochs=2, optimizer=SGD(0.01)).loss).all()


def test_there_are_thirty_divergent_configurations():
    assert len(DIVERGENT) >= 30


def test_divergence_in_the_first_epoch_restores_the_parameters():
    net, X, y = problem(hidden="relu")
    before, message = check_finite_after_divergence(net, X * 1e200, y)
    np.testing.assert_array_equal(net.params, before)
    assert "epoch 1:" in message


def test_divergence_restores_the_parameters_of_the_epoch_before():
    net, X, y = problem(hidden="relu")
    seen = []
    check_finite_after_divergence(
        net, X, y, epochs=1000, optimizer=SGD(2.0), callbacks=[lambda epoch, net, history: seen.append(net.params.copy())]
    )
    assert len(seen) > 1
    assert all(np.isfinite(params).all() for params in seen)
    np.testing.assert_array_equal(net.params, seen[-1])


def test_divergence_with_threads(teams):
    net, X, y = problem((4, 40, 3), hidden="relu")
    running = threading.active_count()
    check_finite_after_divergence(net, X, y, epochs=100, optimizer=SGD(1e6), n_threads=3)
    assert threading.active_count() == running
    assert set(teams) == {3}


@pytest.mark.parametrize("rule", ["rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_huge_rates_end_in_an_error_or_in_finite_numbers(loss, rule):
    for rate in (1.0, 1e6, 1e30):
        net, X, y = problem(loss=loss, dtype="float32")
        try:
            history = net.fit(X, y, epochs=20, optimizer=type(fastbp.optimizers.get(rule))(rate))
        except DivergenceError:
            pass
        else:
            assert np.isfinite(history.loss).all()
        assert np.isfinite(net.params).all()


# --- what Python does during a fit -------------------------------------------------------------------------------------------


def test_epochs_that_nobody_watches_share_calls(monkeypatch):
    net, X, y = problem((2, 3, 1), 8)
    calls = count_calls(monkeypatch)
    history = net.fit(X, y, epochs=3000, batch_size=4)
    assert len(history.loss) == 3000
    assert len(calls) <= 60


def test_one_call_an_epoch_where_somebody_watches(monkeypatch):
    net, X, y = problem((2, 3, 1), 8)
    calls = count_calls(monkeypatch)
    net.fit(X, y, epochs=50, batch_size=1, callbacks=[lambda *_: None])
    assert 50 <= len(calls) <= 60
    del calls[:]
    net.fit(X, y, epochs=50, batch_size=1, validation_data=(X, y))
    assert 50 <= len(calls) <= 60


def python_calls(net, X, y, **options):
    """How many Python functions of the package run during a fit."""
    package, count = str(Path(fastbp.__file__).parent), 0

    def profile(frame, event, argument):
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(package)

    sys.setprofile(profile)
    try:
        net.fit(X, y, **options)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 20, 1)], ids=str)
def test_python_runs_once_an_epoch_that_somebody_watches_and_never_for_others(one_call, sizes):
    net, X, y = problem(sizes, 1000)
    net.fit(X, y, epochs=1)  # what is done once a process
    by_kernel = {"tol": 0.0, "n_iter_no_change": 1000}
    for options, least, most in (({}, 0, 0), (by_kernel, 0, 0), ({"callbacks": [lambda *_: None]}, 5, 20)):
        few, many = (python_calls(net.copy(), X, y, epochs=20, batch_size=batch, **options) for batch in (1000, 1))
        assert many == few
        twice = python_calls(net.copy(), X, y, epochs=40, batch_size=1000, **options)
        assert 20 * least <= twice - few <= 20 * most


def test_gradients_of_the_fitted_network_vanish():
    """The whole thing works: a network that can fit the data does."""
    net, X, _ = problem((3, 16, 2), 60)
    y = make_net((3, 4, 2), seed=9)(X)
    history = net.fit(X, y, epochs=2000, batch_size=60, optimizer=Adam(0.01))
    assert history.loss[-1] < 1e-3 * history.loss[0]
    _, gradients = net.value_and_grad(X, y)
    assert np.abs(flat(gradients.weights, gradients.biases)).max() < 1e-2
