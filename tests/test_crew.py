"""Threads that help in a call are asked as long as that pays."""

import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from time import perf_counter, sleep

import numpy as np
import pytest

from fastbp import Network
from fastbp.engine import crew, threads
from fastbp.engine.training_session import TrainingSession
from fastbp.kernels.roll_call import MOST, PAUSE, SHORTEST, UNTIL
from fastbp.optimizers import SGD


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """Patience as it is outside of tests, and nothing known of other programs."""
    for name, value in (("FOR_ARRIVAL", 100_000), ("FOR_ANSWER", 10_000), ("TOO_MUCH", 500_000)):
        monkeypatch.setattr(crew, name, value)
    monkeypatch.setattr(crew, "_known", np.zeros_like(crew._known))


def session_of(members, epochs=1, n=1280):
    """A session that trains 10-256-256-10 in mini-batches of 128."""
    rng = np.random.default_rng(0)
    net = Network([10, 256, 256, 10], hidden="relu", loss="cross_entropy", rng=0)
    session = TrainingSession(net, 128, SGD(0.01), members=members)
    session.set_data(rng.normal(size=(n, 10)).astype(np.float32), labels=rng.integers(10, size=n))
    session.set_order(True)
    session.set_rates(np.full(epochs, 0.01))
    session.set_record(epochs)
    return session


def seconds(session, epochs):
    """Of a call that trains so many epochs."""
    session.begin()
    start = perf_counter()
    session.train_to(epochs)
    return perf_counter() - start


def test_threads_that_do_not_come_are_asked_no_more_for_a_while(monkeypatch):
    session, asked, now = session_of(3), [], [0]
    monkeypatch.setattr(crew, "perf_counter_ns", lambda: 0)  # "a while" is not over, however long it all takes
    monkeypatch.setattr(session._crew._threads, "submit", lambda *arguments: (asked.append(arguments[1]), Future())[1])
    expected = session_of(1)
    for each in (session, expected):
        seconds(each, 1)
    np.testing.assert_array_equal(session.net.params, expected.net.params)
    assert asked == [1, 2]
    for _ in range(10):
        seconds(session, 1)
    assert len(asked) < 20
    assert crew._known[0] == 1
    del asked[:]
    seconds(session, 1)
    assert asked == []
    monkeypatch.setattr(crew, "perf_counter_ns", lambda: session._crew.meeting[UNTIL] + now[0])
    session._crew._others.clear()
    seconds(session, 1)
    assert asked == [1, 2]
    assert session._crew.meeting[PAUSE] >= SHORTEST
    session.close()


def test_what_a_session_has_found_another_one_knows():
    session, another = session_of(2), session_of(2)
    crew._known[:] = 1, 1 << 62, SHORTEST, 0
    for each in (session, another):
        seconds(each, 1)
        assert each._crew.meeting[MOST] == 1
        assert each._crew._others == []
        each.close()


def test_threads_that_get_no_time_are_not_asked_again_and_again(monkeypatch):
    session = session_of(2)
    monkeypatch.setattr(crew, "TOO_MUCH", 1 << 60)
    monkeypatch.setattr(session._crew._threads, "submit", lambda *_: Future())
    for _ in range(20):
        seconds(session, 1)
    assert len(session._crew._others) == 4
    session.close()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs to choose cores")
@pytest.mark.parametrize("patience", [False, True])
def test_two_threads_on_one_core_take_hardly_longer_than_one(patience, monkeypatch):
    """That they share it they learn in the midst of a call; if they have no end of patience they take several times as long."""
    if patience:
        for name, value in (("FOR_ANSWER", 10**10), ("TOO_MUCH", 1 << 60)):
            monkeypatch.setattr(crew, name, value)
    everywhere, epochs = os.sched_getaffinity(0), 10
    alone, both = session_of(1, epochs), session_of(2, epochs)
    try:
        for each in (both, alone):
            seconds(each, 1)
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), {min(everywhere)})
        ratios = [seconds(both, epochs) / seconds(alone, epochs) for _ in range(7)]
    finally:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), everywhere)
    both.close()
    np.testing.assert_array_equal(both.net.params, alone.net.params)
    assert (min(ratios) > 1.5) == patience


AT_THE_END = """
import atexit, sys
import numpy as np
from fastbp import Network
from fastbp.engine import threads

X = np.random.default_rng(0).normal(size=(4096, 64)).astype(np.float32)
y = np.arange(4096) % 10
threads.usable_threads = lambda: 2
net = Network([64, 256, 256, 10], hidden="relu", loss="cross_entropy", rng=0)
expected, kept = net.copy(), net.copy().trainer(batch_size=1024)
kept.epoch(X, y)  # its threads have begun
for _ in range(2):
    expected.fit(X, y, epochs=1, batch_size=1024, n_threads=1, rng=0)
outputs = expected(X, n_threads=1)


def late():
    kept.epoch(X, y)
    for _ in range(2):
        net.fit(X, y, epochs=1, batch_size=1024, n_threads=2, rng=0)
    assert np.array_equal(net.params, expected.params)
    assert np.array_equal(net(X, n_threads=2), outputs)
    assert net.loss(X, y) == expected.loss(X, y)
    print("done", threads.members_for(1e12, None))


atexit.register(late)
"""


def test_at_the_end_of_the_interpreter_a_thread_goes_on_alone():
    """No thread can be started then."""
    done = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done 2\n", "")


@pytest.mark.parametrize("members", [1, 2, 3])
def test_work_is_divided_among_threads_that_can_be_had(members, monkeypatch):
    found, here = [], threading.get_ident()

    def work(part):
        sleep(0.01)
        found.append((part, threading.get_ident() == here))

    threads.divide(work, range(9), members)
    assert sorted(part for part, _ in found) == list(range(9))
    assert 9 / members / 2 < sum(is_here for _, is_here in found) <= 9 / members * 2
    del found[:]
    monkeypatch.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
    threads.divide(work, range(4), members)
    assert found == [(part, True) for part in range(4)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, IndexError])
@pytest.mark.parametrize("members", [1, 2])
def test_an_error_ends_the_work_of_all(members, error):
    found = []

    def work(part):
        found.append(part)
        sleep(0.01)
        if part == 3:
            raise error

    with pytest.raises(error):
        threads.divide(work, range(100), members)
    assert len(found) < 10


@pytest.mark.parametrize("error", [ValueError, IndexError])
def test_an_error_of_another_thread_ends_the_work_of_this_one(error):
    found, is_raised = [], threading.Event()

    def work(part):
        found.append(part)
        if threading.current_thread() is threading.main_thread():
            is_raised.wait(60)
            sleep(0.01)
        else:
            is_raised.set()
            raise error

    with pytest.raises(error):
        threads.divide(work, range(100), 2)
    assert is_raised.is_set()
    assert len(found) < 20
