"""Ctrl-C while something is compiled."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from fastbp.compiler.modules import add_this_module

add_this_module()


@contextmanager
def heeded() -> Iterator[None]:
    """Let what a handler of Ctrl-C raises inside be raised at the end, if it was lost.

    The wrappers of LLVM's objects have finalisers and callbacks, and what is raised in one of these Python reports and forgets.
    """
    handler = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or not callable(handler):
        yield
        return
    raised: list[BaseException] = []

    def note(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if raised:
        raise raised[0]
