"""What is asked of Dask: tasks, their results, and sums of them by a tree."""

import sys
from contextlib import ExitStack
from threading import Lock
from typing import Any

from fastbp.extras import require
from fastbp.mpi.pairs import sum_in_pairs

LARGE = 1 << 40  # bytes of a graph that Dask would warn of: parameters travel in it, so that they are there when a worker is lost


def library() -> Any:
    """Dask, or an error that says how it is installed."""
    return require("dask", "An estimator on partitions")


def is_collection(value: Any) -> bool:
    """Whether `value` is a collection of Dask."""
    return "dask" in sys.modules and bool(library().is_dask_collection(value))


def task(function: Any, *arguments: Any) -> Any:
    """`function` of arguments, some of which are tasks, when it is asked for."""
    return library().delayed(function, pure=False, traverse=False)(*arguments)


def shared(value: Any) -> Any:
    """A value that several tasks are given, and each worker once."""
    return library().delayed(value, pure=False, traverse=False)


class _OfAnySize:
    """A context in which Dask does not warn of large graphs.

    Its settings are those of all threads: the first that comes changes them, and the last that goes sets them back.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._settings = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and "distributed" in sys.modules:  # before, there are no settings of it to change
                self._settings.enter_context(library().config.set({"distributed.admin.large-graph-warning-threshold": LARGE}))

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._settings.close()


_of_any_size = _OfAnySize()


def results(tasks: list[Any]) -> list[Any]:
    """What the tasks give, once all are done: by the client there is, or else by threads of this process."""
    with _of_any_size:
        return list(library().compute(*tasks))


def kept(tasks: list[Any]) -> list[Any]:
    """Tasks whose results stay where they are computed; those of a worker that is lost are computed again elsewhere."""
    with _of_any_size:
        return list(library().persist(*tasks))


def has_failed(task: Any) -> bool:
    """Whether what is kept of it is an error, on workers."""
    return "distributed" in sys.modules and any(each.status == "error" for each in sys.modules["distributed"].futures_of(task))


def _added(first: tuple[Any, ...], second: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def tree(tasks: list[Any]) -> Any:
    """The sum of tuples that tasks give, of neighbours two by two, then of these sums: an order that only their number says."""
    return sum_in_pairs(tasks, lambda first, second: task(_added, first, second))


def total(tasks: list[Any]) -> tuple[Any, ...]:
    """That sum, now."""
    found: tuple[Any, ...] = results([tree(tasks)])[0]
    return found
