"""Reads ahead: a thread makes the next items of an iterator while one is in use."""

from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
LOOKED_AFTER = 0.1  # seconds, between two looks at whether somebody wants an end
STARTED = 0.5  # seconds, after which a thread that is being started should have begun
WAITED = 5.0  # seconds for what is being read when there is an end
END = object()


class ReadAhead(Generic[Item]):
    """An iterator whose next items are made by a thread, from `start` until `close`.

    Parameters
    ----------
    items : iterator
        An item that is made counts until the one after it is asked for: there are ``1 + ahead`` at most.
    ahead : int
        Items; 0: no thread, they are made when they are asked for.
    release : callable
        Is given an item that is not used any more.
    halt : threading.Event, optional
        Interrupts whoever waits for an item.
    """

    def __init__(self, items: Iterator[Item], ahead: int, release: Callable[[Item], Any], halt: Event | None = None) -> None:
        self._items, self._release, self._halt = items, release, halt
        self._room, self._ready, self._has_begun, self._is_over = Semaphore(1 + ahead), SimpleQueue[Any](), Event(), Event()
        self._used: Item | None = None
        self._thread = Thread(target=self._read, name="fastbp-read-ahead", daemon=True) if ahead else None

    def start(self) -> None:
        """Start the thread; whoever does must see to `close` before, since Ctrl-C may come while it starts."""
        if self._thread is not None:
            self._thread.start()

    def _read(self) -> None:
        """What the thread does."""
        self._has_begun.set()
        try:
            while True:
                self._room.acquire()
                if self._is_over.is_set():
                    return
                item = next(self._items, END)
                self._ready.put((item, None))
                if item is END:
                    return
                item = None  # whoever uses it has it alone
        except BaseException as error:  # for whoever waits
            self._ready.put((END, error))
        finally:
            self._close_items()

    def _close_items(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            close()

    def __iter__(self) -> "ReadAhead[Item]":
        return self

    def __next__(self) -> Item:
        self._let_go()
        item: Any = next(self._items, END) if self._thread is None else self._wait()
        if item is END:
            raise StopIteration
        self._used = item
        made: Item = item
        return made

    def _let_go(self) -> None:
        if self._used is not None:
            self._release(self._used)
            self._used = None
            self._room.release()

    def _wait(self) -> Any:
        while True:
            if self._halt is not None and self._halt.is_set():
                raise KeyboardInterrupt
            try:
                item, error = self._ready.get(timeout=LOOKED_AFTER)
            except Empty:
                continue
            if error is not None:
                raise error
            return item

    def close(self) -> None:
        """End the thread: it finishes what it is reading."""
        self._is_over.set()
        self._used = None
        if self._thread is None:
            self._close_items()
            return
        self._room.release()
        if self._has_begun.wait(STARTED):  # else Ctrl-C came before it was there, or it ends as soon as it is
            self._thread.join(WAITED)
