"""What ends a command from outside: Ctrl-C, and SIGTERM, which does the same."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any


@contextmanager
def interrupts() -> Iterator[Callable[..., None]]:
    """SIGTERM does what Ctrl-C does; gives a callback of the training that raises what was lost of either.

    What is raised in a finaliser, or in a function that C calls, Python reports and forgets; what is raised while a library is
    imported may become an error of that import. In another thread than the main one,
    which alone may handle signals, nothing is changed.
    """
    came: list[int] = []

    def interrupt(number: int, frame: Any) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def heed(*_: Any) -> None:
        if came:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM) if current_thread() is main_thread() else ()
    # what is ignored, as Ctrl-C in the background of a shell, stays so
    before = {number: signal.signal(number, interrupt) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield heed
    except Exception:
        heed()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
