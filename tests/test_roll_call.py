"""The meeting of threads, by the functions of the kernels themselves, run as Python: in many of the orders that there are.

Every access to a shared integer is a place where another thread may go on, for a short time or a long one.
"""

import inspect
import random
import textwrap
import threading
from types import FunctionType, SimpleNamespace

import numpy as np
import pytest

from fastbp.kernels import roll_call, team
from fastbp.kernels.samples import Batch

BATCH = Batch(0, 7, 3, 21, 0.5)
MOST_STEPS = 20000


class Pointer:
    """A place in shared integers."""

    def __init__(self, numbers, place=0):
        self.numbers, self.place = numbers, place

    def __add__(self, places):
        return Pointer(self.numbers, self.place + int(places))

    def __getitem__(self, i):
        return int(self.numbers[self.place + int(i)])

    def __setitem__(self, i, value):
        self.numbers[self.place + int(i)] = value


class Wrong(AssertionError):
    """What must not happen has happened."""


class Threads:
    """Threads of which one runs at a time, in an order that is drawn: each of them until it is put off, at some shared access."""

    def __init__(self, seed):
        self.rng, self.steps, self.time = random.Random(seed), 0, 0
        self.turn = threading.Condition()
        self.running, self.ready, self.failure = None, [], None
        self.often = self.rng.choice([0.02, 0.1, 0.5])  # how often threads are put off
        self.frozen = {}  # threads that have lost their core, until when

    def run(self, functions):
        """Run all of them to their ends."""
        started = [threading.Thread(target=self._run, args=(i, each), daemon=True) for i, each in enumerate(functions)]
        with self.turn:
            self.ready = list(range(len(functions)))
            self.frozen = {i: self.rng.choice([0, 300, MOST_STEPS]) for i in self.ready[1:]}  # the last: when all others are done
            self.running = self.rng.choice(self.ready)
        for each in started:
            each.start()
        for each in started:
            each.join(timeout=60)
        if self.failure is not None:
            raise self.failure

    def _run(self, i, function):
        with self.turn:
            self.turn.wait_for(lambda: self.running == i or self.failure)
        try:
            if self.failure is None:
                function()
        except BaseException as error:
            self.failure = self.failure or error
        with self.turn:
            self.ready.remove(i)
            self.frozen.pop(i, None)
            self._choose()
            self.turn.notify_all()

    def _choose(self):
        awake = [i for i in self.ready if self.frozen.get(i, 0) <= self.steps]
        self.running = self.rng.choice(awake or self.ready) if self.ready else None
        self.frozen.pop(self.running, None)

    def step(self, is_waiting=False):
        """Perhaps another thread goes on now."""
        if self.failure is not None:
            raise Wrong("another thread has failed")
        self.steps, self.time = self.steps + 1, self.time + 100
        if self.steps > MOST_STEPS:
            raise Wrong("they wait for ever")
        with self.turn:
            own = self.running
            if is_waiting or self.rng.random() < self.often:
                if not is_waiting and self.rng.random() < 0.2:
                    self.frozen[own] = self.steps + self.rng.choice([50, 300])
                self._choose()
                if self.running != own:
                    self.turn.notify_all()
                    self.turn.wait_for(lambda: self.running == own or self.failure)


def functions(threads, changed=()):
    """The functions of the kernels, as Python that runs by turns; `changed` are (name, old text, new text) of faults planted."""

    def access(work):
        def stepping(pointer, *value):
            threads.step()
            return work(pointer, *value)

        return stepping

    def add(pointer, value):
        before = pointer[0]
        pointer[0] = before + value
        return before

    names = {
        "load_shared": access(lambda pointer: pointer[0]),
        "store_shared": access(lambda pointer, value: pointer.__setitem__(0, value)),
        "fetch_add": access(add),
        "relax": lambda: threads.step(is_waiting=True),
        "give_way": lambda: threads.step(is_waiting=True),
        "clock": lambda: threads.time,
    }
    found = {}
    for module in (team, roll_call):
        for name, value in vars(module).items():
            if name in names or name.startswith("__"):
                continue
            found.setdefault(name, value)
    found |= names
    for name, value in list(found.items()):
        if hasattr(value, "py_func"):
            function = value.py_func
            faults = [(old, new) for each, old, new in changed if each == name]
            if faults:
                text = textwrap.dedent(inspect.getsource(function))
                text = text[text.index("def ") :]
                for old, new in faults:
                    assert old in text, (name, old)
                    text = text.replace(old, new)
                exec(compile(text, name, "exec"), found)
            else:
                found[name] = FunctionType(function.__code__, found, name, function.__defaults__)
    return SimpleNamespace(**found)


def play(seed, changed=()):
    """Two calls of some pieces of work each by up to three threads, of which those of the first call may come late for it."""
    threads = Threads(seed)
    kernels = functions(threads, changed)
    rng, members = random.Random(seed + 1), random.Random(seed).choice([2, 3])
    numbers, reals = np.zeros(team.SEATS + team.LINE * members, np.int64), SimpleNamespace(inverse=0.0)
    meeting = Pointer(numbers)
    meeting[roll_call.ASKED], meeting[roll_call.ARRIVAL] = members - 1, rng.choice([0, 3000])
    meeting[roll_call.ANSWER], meeting[roll_call.LIMIT] = rng.choice([0, 1000, 5000]), rng.choice([1000, 500_000, 1 << 60])
    meeting[roll_call.NUMBER] = rng.choice([0, roll_call.ALONE // 2 - 2])
    state = SimpleNamespace(open=None, done={}, call=0, pieces=0, helped=0, early=0)

    def piece(call, member, ranked, top):
        """A member's part of the work: in two halves, between which all meet."""
        for half in range(2):
            if state.open is None or state.open != (call, top):
                raise Wrong(f"thread {member} of call {call} works on {top}, when the work is {state.open}")
            key = (call, top, half, ranked.member)
            if key in state.done:
                raise Wrong("two threads do the same part")
            state.done[key] = member
            if half and sum(each[:3] == (call, top, 0) for each in state.done) != ranked.members:
                raise Wrong("a member goes on before the others are there")
            kernels.barrier(ranked)

    def lead():
        for call in (1, 2):
            crew = kernels.Crew(meeting, call)
            state.call = call
            kernels.await_arrival(crew)
            for top in range(rng.choice([2, 5])):
                formed = kernels.form_team(crew, reals, BATCH, top)
                state.open = call, top
                piece(call, 0, formed, top)
                if sum(each[:3] == (call, top, 1) for each in state.done) != formed.members:
                    raise Wrong("the work is not complete")
                state.open = None
                kernels.settle(crew, formed, roll_call.BLOCKS, 7)
                state.pieces += 1
                state.helped += formed.members > 1
            kernels.end_call(crew)

    def helper(call, member):
        def run():
            if call == 2:
                while state.call < 2:
                    threads.step(is_waiting=True)
            crew = kernels.Crew(meeting, call)
            number, ranked = kernels.next_work(crew, member, kernels.come(crew, member))
            while number > 0:
                if ranked.members > 0:
                    batch, top = kernels.batch_of_work(SimpleNamespace(origin=1, order_stride=100), meeting, 0, reals)
                    if batch != Batch(2 * 100 + 21, 7, 3, 21, 0.5):
                        raise Wrong("another mini-batch")
                    while state.open is None:  # the leader has published the work, and notes it
                        threads.step(is_waiting=True)
                    piece(call, member, ranked, top)
                number, ranked = kernels.next_work(crew, member, number)
            state.early += numbers[roll_call.OVER] < call

        return run

    threads.run([lead, *(helper(call, member) for call in (1, 2) for member in range(1, members))])
    assert state.pieces >= 4
    return state


def test_all_goes_well_in_many_orders():
    played = [play(seed) for seed in range(300)]
    helped = [each.helped for each in played]
    assert sum(helped) > 200
    assert helped.count(0) > 10
    assert sum(each.early for each in played) > 5  # sent home before the end


FAULTS = {
    "an answer to an old roll call counts": ("next_work", "rank // RANKS != number", "rank == 0"),
    "a call that is over is noticed too late": (
        "next_work",
        "load_shared(meeting + OVER) >= crew.call or",
        "(number == before and load_shared(meeting + OVER) >= crew.call) or",
    ),
    "the last roll call of the call before is answered": ("come", "return before", "return 0"),
    "who has not answered takes part": ("form_team", "if becomes(seat + ANSWERED, number, meeting[ANSWER]):", "if True:"),
    "the work is published before the ranks": (
        "form_team",
        "    for member in range(1, meeting[ASKED] + 1):",
        "    store_shared(meeting + JOB, number)\n    for member in range(1, meeting[ASKED] + 1):",
    ),
    "arrivals are counted from the first": ("barrier", "team.begun", "0"),
    "the end of a call is not told": ("end_call", "crew.call > 0", "crew.call > 9"),
    "an answer is waited for without end": ("becomes", "clock() > deadline", "False"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name):
    def many():
        for seed in range(400):
            play(seed, [FAULTS[name]])

    with pytest.raises(AssertionError):
        many()


# how long each of three has waited for the others, in ms, the leader first; who is sent home then
WAITS = {"one": ((5, 5, 0), [2]), "both": ((9, 1, 2), [1, 2]), "the leader": ((0, 4, 4), [2]), "nobody": ((0, 0, 0), [2])}


@pytest.mark.parametrize("name", WAITS)
def test_who_held_up_the_others_is_sent_home(name):
    waits, expected = WAITS[name]
    numbers = np.zeros(team.SEATS + team.LINE * 3, np.int64)
    meeting, kernels = Pointer(numbers), functions(Threads(0))
    numbers[[roll_call.ASKED, roll_call.NUMBER, roll_call.LOST]] = 2, 17, 1_000_000
    for rank, wait in enumerate(waits):
        seat = team.SEATS + team.LINE * rank
        numbers[seat + team.WAITED_SINCE], numbers[seat + team.WAITED] = 40, wait * 1_000_000
        numbers[seat + roll_call.HERE], numbers[seat + roll_call.RANK] = 6, 17 * roll_call.RANKS + rank
    kernels.send_home(kernels.Crew(meeting, 6), kernels.Team(0, 3, meeting, 40))
    assert [i for i in (1, 2) if numbers[team.SEATS + team.LINE * i + roll_call.OUT] == 6] == expected
    assert numbers[roll_call.MOST] == 3 - len(expected)
    assert numbers[roll_call.PAUSE] == roll_call.SHORTEST
    kernels.send_home(kernels.Crew(meeting, 7), kernels.Team(0, 1, meeting, 40))
    assert numbers[roll_call.PAUSE] == 2 * roll_call.SHORTEST
