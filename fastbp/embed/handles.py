"""What compiled code has of a network or a trainer: a `Handle` in memory, with workspaces, that lives as long as they do."""

import os
from threading import Lock, main_thread
from typing import Any
from weakref import WeakSet

import numpy as np
from numba import config

from fastbp.arguments import integer
from fastbp.engine import memory
from fastbp.engine.session import Session, rows_upto
from fastbp.kernels.embedded.functions import call_network
from fastbp.kernels.embedded.records import (
    ANY,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITIES,
    SHARES,
    Handle,
    Pool,
    Workspace,
)
from fastbp.kernels.tuning import LONG_BATCH

ROWS = 256  # that a call differentiates by default
MOST_THREADS = 4096  # of which each has workspaces of its own
TARGETS = {"regression": ANY, "labels": SHARES, "binary": PROBABILITIES, "not_negative": NOT_NEGATIVE, "positive": POSITIVE}
ADDRESSES = ("plan", "work", "params", "reals", "rates", "record", "order", "meeting")  # of a Workspace

_making = Lock()
_pools: "WeakSet[Workspaces]" = WeakSet()
_described: "WeakSet[Described]" = WeakSet()


class Workspaces:
    """A `Pool` in memory, and the sessions whose arrays it points to."""

    def __init__(self, sessions: list[Session], rows: int) -> None:
        self._sessions, self._order = sessions, rows_upto(rows)
        # on a line of the cache of its own, as the records in it
        self.pool = aligned(Pool.length(len(sessions)))
        head = Pool.view.of(self.pool)
        head.count, head.rows = len(sessions), rows
        for number, session in enumerate(sessions):
            space = self.pool[Pool.size + number * Workspace.size :][: Workspace.size]
            space[Workspace.places["run"]] = session.machine_code
            for field, place in zip(ADDRESSES, session.places(self._order), strict=True):
                space[Workspace.places[field]] = place
        _pools.add(self)

    @property
    def address(self) -> int:
        """Of the `Pool`."""
        return int(self.pool.ctypes.data)

    def release(self) -> None:
        """Let all workspaces be taken: in a process that was forked while another thread was in one."""
        self.pool[Pool.size :: Workspace.size] = 0


class Described:
    """A `Handle` that tells what there is to know of a network.

    Attributes
    ----------
    handle : Handle
    address : int
        Of it.
    """

    def __init__(self, net: Any) -> None:
        self._numbers = aligned(Handle.size)
        self.handle, self.address = Handle.view.of(self._numbers), int(self._numbers.ctypes.data)
        self.handle.n_in, self.handle.n_out, self.handle.n_params = net.sizes[0], net.sizes[-1], net._vector.size
        self.handle.targets, self.handle.main_thread = TARGETS[net.loss_function.task], main_thread().ident
        _described.add(self)


class NetworkHandle(Described):
    """A `Handle` of a network: workspaces for so many threads, and so many rows of a call that differentiates."""

    def __init__(self, net: Any, rows: int, threads: int) -> None:
        super().__init__(net)
        together = net._together
        self._predicting = Workspaces([Session(net, together) for _ in range(threads)], together)
        self._differentiating = Workspaces([Session(net, rows, differentiate=True, derives=True) for _ in range(threads)], rows)
        self.handle.call = call_network[net.dtype]
        self.handle.predicting, self.handle.differentiating = self._predicting.address, self._differentiating.address
        self.rows, self.threads = rows, threads


def aligned(count: int) -> np.ndarray:
    """Zeros (count,), int64, that begin with a line of the cache of their own, and end with one."""
    unit = memory.ALIGNMENT // 8
    return memory.zeros(-(-count // unit) * unit, np.int64)[:count]


def handle_of(net: Any) -> NetworkHandle:
    """The handle of a network, made when compiled code first sees it."""
    found: NetworkHandle | None = net.__dict__.get("_handle")
    return prepare(net) if found is None else found


def prepare(net: Any, rows: int = ROWS, threads: int | None = None) -> NetworkHandle:
    """Make workspaces for calls from compiled code, for other numbers than the default.

    Parameters
    ----------
    net : Network
    rows : int, default 256
        Rows of x, at most, in ``net.value_and_grad_into``; at most 1024. Other calls take any number.
    threads : int, optional
        Calls that may be under way at the same time, at most 4096; others wait for them. By default as many as Numba has threads,
        or the machine cores if these are more.

    Returns
    -------
    NetworkHandle
        With attributes ``address``, ``rows`` and ``threads``. The network keeps it, and those before: compiled code may be in one.

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([3, 4, 1], rng=0)
    >>> handle = fastbp.embed.prepare(net, rows=512, threads=4)
    >>> handle.rows, handle.threads
    (512, 4)
    """
    rows = integer("rows", rows)
    if rows > LONG_BATCH:  # up to which a gradient is computed in one block, here as in Python
        raise ValueError(f"rows must be at most {LONG_BATCH}, got {rows}: give more of them in several calls")
    if threads is None:
        threads = min(MOST_THREADS, max(int(vars(config)["NUMBA_NUM_THREADS"]), os.cpu_count() or 1))
    threads = integer("threads", threads)
    if threads > MOST_THREADS:
        raise ValueError(f"threads must be at most {MOST_THREADS}, got {threads}: others wait for one that is free")
    if not hasattr(net, "_together"):
        raise TypeError(f"net must be a fastbp.Network, got {type(net).__name__}")
    with _making:
        found = net.__dict__.get("_handle")
        made = NetworkHandle(net, rows, threads)
        net.__dict__["_handle"] = made
        net.__dict__.setdefault("_former_handles", []).extend([] if found is None else [found])
    return made


def _after_fork() -> None:
    global _making
    _making = Lock()  # whoever held it in the parent does not exist here
    for pool in list(_pools):
        pool.release()
    for each in list(_described):
        each.handle.main_thread = main_thread().ident


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(after_in_child=_after_fork)
