"""Signals while something is compiled, or loaded."""

import _thread
import signal
import sys
from threading import Timer, current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any

from fastbp.compiler.modules import add_this_module

add_this_module()

FINALISERS = {"__del__", "on_disposal", "_on_type_disposal"}  # the latter two are Numba's, called where weak references end
AGAIN = 0.05  # seconds until what could not be raised, or was raised and not heard, is tried again: unwinding takes less


class Heeded:
    """A context in which what a handler of a signal raises, as that of Ctrl-C, is raised where it is heard and does no harm.

    LLVM calls functions of Python, and its wrappers have finalisers: what is raised in one of these Python prints and forgets,
    and LLVM goes on with what it asked for and did not get, to a crash. Handlers are called as soon as ever; what they raise
    waits until nothing of llvmlite and no finaliser is being called, or for the end. What is lost all the same is raised again.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._bottom: FrameType | None = None  # what calls this one is no concern of ours
        self._error: BaseException | None = None
        self._timer: Timer | None = None
        self._is_called_again = self._is_over = self._is_starting = False

    def __enter__(self) -> None:
        if current_thread() is not main_thread():  # which alone handles signals
            return
        self._bottom = sys._getframe(1)
        handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
        for number in self._handlers:
            signal.signal(number, self._handle)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._is_over = True
        self._forget_timer()
        try:
            self._restore()
        except BaseException:  # of a handler that is back already
            self._restore()
            raise
        if self._error is not None and error is not self._error:
            raise self._error

    def _restore(self) -> None:
        self._bottom = None
        while self._handlers:
            number, handler = next(iter(self._handlers.items()))
            signal.signal(number, handler)
            del self._handlers[number]

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_called_again:
            self._is_called_again = False
        else:
            try:
                self._handlers[number](number, frame)
            except BaseException as error:
                self._error = error
        if self._error is None or self._is_over or self._is_starting:
            return
        self._is_starting = True  # another signal must not come between: threads are started under a lock
        self._forget_timer()
        self._timer = Timer(AGAIN, self._call_again, (number,))
        self._timer.daemon = True
        self._timer.start()
        self._is_starting = False
        if self._may_raise(frame):
            raise self._error

    def _call_again(self, number: int) -> None:
        self._is_called_again = True
        _thread.interrupt_main(signal.Signals(number))

    def _may_raise(self, frame: FrameType | None) -> bool:
        while frame is not None and frame is not self._bottom:
            if frame.f_code.co_name in FINALISERS or frame.f_globals.get("__name__", "").startswith("llvmlite"):
                return False
            frame = frame.f_back
        return True
