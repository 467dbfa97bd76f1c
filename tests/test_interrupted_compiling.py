"""Signals while something is compiled or loaded: what their handlers raise is heard, once, where it does no harm."""

import signal
import subprocess
import sys
import threading
import time
from types import FunctionType

import pytest
from conftest import compiled

from fastbp.compiler import entries, interrupts
from fastbp.compiler.interrupts import AGAIN, Heeded

SIGNALS = [signal.SIGINT, signal.SIGTERM]
LONG = 20 * AGAIN


class Heard(Exception):
    pass


@pytest.fixture(params=SIGNALS, ids=lambda number: number.name)
def number(request):
    """A signal, whose handler raises; and afterwards is what it was, and is not called any more."""
    called = []

    def handler(number, frame):
        called.append(number)
        raise Heard

    before = {each: signal.signal(each, handler) for each in SIGNALS}
    try:
        yield request.param
        time.sleep(2 * AGAIN)
        assert [signal.getsignal(each) for each in SIGNALS] == [handler] * 2
        assert called == [request.param]
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def go_on(seconds=LONG):
    begin = time.perf_counter()
    while time.perf_counter() < begin + seconds:
        pass
    return "the end"


class Finalised:
    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


def of_llvmlite(function):
    return FunctionType(function.__code__, {**function.__globals__, "__name__": "llvmlite.binding.made_up"})


def compiling(*steps):
    with Heeded():
        for step in steps:
            step()


def seconds_of(*steps):
    begin = time.perf_counter()
    with pytest.raises(Heard):
        compiling(*steps)
    return time.perf_counter() - begin


def test_it_is_raised_at_once_where_nothing_is_in_the_way(number):
    assert seconds_of(lambda: signal.raise_signal(number), go_on) < LONG / 2


def test_it_is_raised_after_a_finaliser(number, monkeypatch):
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    assert seconds_of(lambda: Finalised(number), go_on) < LONG / 2
    assert not lost


def test_what_calls_the_compiler_may_be_a_finaliser(number):
    found = []

    class Compiles:
        def __del__(self):
            found.append(seconds_of(lambda: signal.raise_signal(number), go_on))

    Compiles()
    assert found[0] < LONG / 2


def test_functions_of_llvmlite_come_to_their_end(number):
    done = []

    @of_llvmlite
    def callback(number, done, go_on):
        signal.raise_signal(number)
        done.append(go_on())

    seconds_of(lambda: callback(number, done, go_on), go_on, lambda: done.append("too late"))
    assert done == ["the end"]


def test_it_is_raised_at_the_end_if_there_was_no_time_before(number):
    callback = of_llvmlite(lambda number: signal.raise_signal(number))
    assert seconds_of(lambda: callback(number)) < LONG / 2


def test_what_was_lost_is_raised_again(number, monkeypatch):
    """In a callback that nothing is known of."""
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: lost.append(each.exc_type))
    monkeypatch.setattr(interrupts, "FINALISERS", set())
    assert seconds_of(lambda: Finalised(number), go_on) < LONG / 2
    assert lost == [Heard]


def test_it_is_raised_in_the_place_of_an_error_that_it_became(number):
    def compile_badly():
        try:
            signal.raise_signal(number)
        except Heard:
            raise ValueError("made of it") from None

    seconds_of(compile_badly)


def test_one_context_in_another(number):
    callback = of_llvmlite(lambda number: signal.raise_signal(number))
    assert seconds_of(lambda: compiling(lambda: callback(number), go_on), go_on) < LONG / 2


def test_signals_may_come_while_one_is_handled(monkeypatch):
    called = []

    def handler(number, frame):
        called.append(number)
        raise Heard

    forget = Heeded._forget_timer
    monkeypatch.setattr(Heeded, "_forget_timer", lambda self: (signal.raise_signal(signal.SIGINT), forget(self)))
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert seconds_of(lambda: signal.raise_signal(signal.SIGINT), go_on) < LONG / 2
        assert called == [signal.SIGINT] * 3  # the last one at the end
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_that_raise_nothing_are_called_and_that_is_all():
    called = []
    before = signal.signal(signal.SIGINT, lambda *arguments: called.append(arguments[0]))
    try:
        with Heeded():
            Finalised(signal.SIGINT)
            assert called == [signal.SIGINT]
            assert go_on(3 * AGAIN) == "the end"
        assert called == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_change_no_handler():
    before, seen = signal.getsignal(signal.SIGINT), []

    def other():
        with Heeded():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [before]


def test_an_entry_is_compiled_again_after_an_interrupt(number, monkeypatch):
    compile_entry = entries.compiler.entry

    def interrupted(*arguments, **options):
        Finalised(number)
        return compile_entry(*arguments, **options)

    twice = compiled(lambda dtype: dtype(dtype))(lambda x: 2.0 * x)
    monkeypatch.setattr(entries.compiler, "entry", interrupted)
    with pytest.raises(Heard):
        twice["float64"]
    monkeypatch.undo()
    assert twice["float64"](2.0) == 4.0


FIT = """
import signal
from contextlib import nullcontext
import numpy as np
from llvmlite.binding import ExecutionEngine
import fastbp
from fastbp.compiler import entries

find = ExecutionEngine._find_module_ptr  # LLVM's callbacks begin by it

def interrupted(*arguments):
    ExecutionEngine._find_module_ptr = find
    signal.raise_signal(signal.SIGINT)
    return find(*arguments)

signal.signal(signal.SIGINT, signal.default_int_handler)
ExecutionEngine._find_module_ptr = interrupted
{change}
try:
    fastbp.Network([3, 4, 2], loss="cross_entropy").fit(np.ones((6, 3), np.float32), np.zeros(6, int), epochs=2)
except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize("protected", [True, False])
def test_ctrl_c_in_a_callback_of_llvm_ends_the_fit(protected):
    program = FIT.format(change="" if protected else "entries.Heeded = nullcontext")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "heard\n" * protected
    assert ("Exception ignored on calling ctypes callback" in done.stderr) is not protected
