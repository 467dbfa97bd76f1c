"""`Ranks`: the processes that train together, what they agree on, and how none of them waits for ever."""

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter, sleep
from typing import Any, TypeVar

import numpy as np

from fastbp.arguments import integer, positive
from fastbp.extras import require

SPINS, YIELDS = 200, 200  # looks at what is to come, some 0.3 ms, and some more between which others may have the core
PAUSE = 1e-4  # seconds between all others: who waits so long has no core to itself, or waits for one that has none; and between
# all where ranks of a node are more than its cores
STOPPED, WAITING = 1, 2  # tags of messages
ROLL_CALL = 1.0  # seconds in which those who wait, too, say so
GRACE = 2.0  # seconds in which the others can tell what they have heard, before all are ended
Result = TypeVar("Result")


class RankError(RuntimeError):
    """Another rank has stopped, or does not answer; the network has its parameters from the beginning of the epoch.

    Examples
    --------
    >>> import fastbp
    >>> issubclass(fastbp.mpi.RankError, RuntimeError)
    True
    """


class Ranks:
    """What `comm` of `Network.fit` may be, where an MPI communicator alone does not say enough.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The processes that train together.
    parts : int, optional
        Sum gradients in so many parts, in a fixed order: the result is the same, to the bit, for every number of ranks that divides
        `parts` so that each has 1, 2, 4, 8 ... of them (or for one rank). Without it there is one part for each rank, and sums
        between nodes are left to ``MPI_SUM``: the same bits in every run on as many ranks laid out in the same way, at most.
    timeout : float, default 60
        Seconds that a rank waits for the others before it gives up.
    memory : mpi4py.MPI.Intracomm, optional
        Those of `comm` that share memory with this rank, in the same order; by default as MPI finds them.

    Attributes
    ----------
    rank, size : int
        Of this process, and of all.

    Raises
    ------
    ImportError
        If mpi4py is missing.

    Examples
    --------
    A program of one process is a program of one rank:

    >>> import numpy as np, fastbp
    >>> from mpi4py import MPI  # doctest: +SKIP
    >>> net = fastbp.Network([4, 8, 1], rng=0)
    >>> X, y = np.ones((64, 4), np.float32), np.zeros(64, np.float32)
    >>> history = net.fit(X, y, comm=fastbp.mpi.Ranks(MPI.COMM_WORLD, parts=4))  # doctest: +SKIP
    """

    def __init__(self, comm: Any, *, parts: Any = None, timeout: Any = 60.0, memory: Any = None) -> None:
        MPI = require("mpi4py.MPI", "comm")
        for name, value in {"comm": comm, "memory": memory}.items():
            if not isinstance(value, MPI.Intracomm) and (name == "comm" or value is not None):
                raise TypeError(f"{name} must be an mpi4py.MPI.Intracomm, as MPI.COMM_WORLD, not {type(value).__name__}")
        self.rank, self.size = comm.rank, comm.size
        self.parts = None if parts is None else integer("parts", parts)
        self.timeout = positive("timeout", timeout)
        self._given, self._memory = comm, memory
        self._own: list[Any] = []  # communicators, while a fit lasts
        self._have_cores = True  # one each
        self._agreed: BaseException | None = None  # an error that all know of
        self._control: Any = None  # the one of messages from those that stop
        if self.parts is not None:
            of_each, rest = divmod(self.parts, self.size)
            if rest or (of_each & (of_each - 1) and self.size > 1):
                raise ValueError(
                    f"parts must be {self.size} (the ranks) times 1, 2, 4, 8 ..., got {parts}: give it {self.size * 4}, or as many"
                    " ranks as divide it so"
                )

    @property
    def own_parts(self) -> int:
        """Parts of the gradient that this rank has."""
        return 1 if self.parts is None else self.parts // self.size

    @property
    def is_lost(self) -> bool:
        """Whether there is a rank that will never answer: what all would have to do together can no longer be done."""
        return bool(_lost)

    # --- the beginning and the end ---------------------------------------------------------------------------------------

    def begin(self, report: Callable[[], dict[str, Any]]) -> None:
        """Meet the others; raise on all ranks if one has found something wrong, or differs in what must be alike.

        Parameters
        ----------
        report : callable
            Checks what this rank has, and returns what must be the same on all. What it raises, all others raise as `RankError`.
        """
        self._begin_communication()
        reports = self.gather_from(report)
        for name in reports[0]:
            self.require_alike(name, [each[name] for each in reports])
        self._find_nodes()

    def require_free(self) -> None:
        """Raise where they have begun already."""
        if self._own:
            raise RuntimeError("this Ranks is used by the fit that this call is for: make another one")

    def require_alike(self, name: str, values: list[Any]) -> None:
        """Raise on all ranks where what they have is not the same."""
        other = next((rank for rank, value in enumerate(values) if value != values[0]), None)
        if other is not None:
            here = f"{values[0]} on rank 0, and {values[other]} on rank {other}"
            self.raise_on_all(ValueError(f"{name} must be alike on all ranks, but it is {here}"))

    def _begin_communication(self) -> None:
        """Communicators of its own, so that nothing of the program's can be taken for ours."""
        for _ in range(2):
            copy, request = self._given.Idup()
            self._wait_for(request)
            self._own.append(copy)
        self._all, self._control = self._own

    def _find_nodes(self) -> None:
        from mpi4py import MPI

        every = self._all
        node = every.Split_type(MPI.COMM_TYPE_SHARED, key=self.rank) if self._memory is None else self._memory.Dup()
        layouts = self.gather((node.size, node.rank, every.rank - node.rank))
        size = node.size
        # sums of a node are terms of the sum of all where it has as many ranks as all others, one after the other, and 2^k of them
        is_even = all(n == size and rank % n == member for rank, (n, member, _) in enumerate(layouts))
        is_aligned = size == self.size or size & (size - 1) == 0
        if not is_even or (self.parts is not None and not is_aligned):
            node.Free()
            node = every.Split(self.rank)
        self.node = node
        self._have_cores = node.size <= (os.cpu_count() or 1)
        self.across = every.Split(node.rank, self.rank)
        self._own += [self.node, self.across]

    def end(self) -> None:
        """Leave, where all do."""
        if not self.is_lost:
            for each in reversed(self._own):
                each.Free()
        self._own, self._control = [], None

    # --- agreement -------------------------------------------------------------------------------------------------------

    def gather(self, value: Any) -> list[Any]:
        """What every rank gives here, in their order: numbers, strings, None, and lists and dicts of these."""
        own = np.frombuffer(json.dumps(value).encode(), np.uint8)
        sizes = np.empty(self.size, np.int64)
        self._wait_for(self._all.Iallgather(np.array([own.size], np.int64), sizes))
        every = np.empty(sizes.sum(), np.uint8)
        begins = np.concatenate([[0], np.cumsum(sizes)])
        self._wait_for(self._all.Iallgatherv(own, [every, (sizes, begins[:-1])]))
        return [json.loads(every[first:last].tobytes()) for first, last in pairwise(begins)]

    def gather_from(self, function: Callable[[], Any]) -> list[Any]:
        """`gather` what a function returns; but where it raises on one rank all raise: that one its own, others a `RankError`."""
        value, error = None, None
        try:
            value = function()
        except BaseException as raised:
            error = raised
        found = self.gather((None if error is None else told(error), value))
        if error is not None:
            self._agreed = error
            raise error
        for rank, (message, _) in enumerate(found):
            if message is not None:
                raise RankError(f"rank {rank} of {self.size} has stopped: {message}")
        return [given for _, given in found]

    def all_do(self, function: Callable[[], Result]) -> Result:
        """What a function returns on this rank, if it raises on none; see `gather_from`."""
        kept: list[Result] = []
        self.gather_from(lambda: kept.append(function()))
        return kept[0]

    def raise_on_all(self, error: BaseException) -> None:
        """Raise what all raise at this place."""
        self._agreed = error
        raise error

    def first_gives(self, value: Any) -> Any:
        """What rank 0 has."""
        return self.gather(value if self.rank == 0 else None)[0]

    def take_from_first(self, array: np.ndarray) -> None:
        """Overwrite an array by that of rank 0."""
        self._wait_for(self._all.Ibcast(array))

    # --- waiting ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is raised in here, and not by all at one place, is told to the others, who would wait in vain."""
        try:
            yield
        except BaseException as error:
            if not (error is self._agreed or isinstance(error, RankError) or self.is_lost):
                self._tell(error)
            raise

    def _tell(self, error: BaseException) -> None:
        if self.size == 1 or self._control is None:
            return
        _lose()
        for other in range(self.size):
            if other != self.rank:
                self._control.isend(told(error), other, STOPPED)

    def _wait_for(self, request: Any) -> None:
        self.wait(request.Test)

    def wait(self, has_come: Callable[[], bool]) -> None:
        """Wait until something has come from the others.

        Raises
        ------
        RankError
            If one of them has stopped, or if it does not come in time.
        """
        looks, deadline = 0 if self._have_cores else SPINS + YIELDS, 0.0
        while not has_come():
            looks += 1
            if looks < SPINS:
                continue
            if looks < SPINS + YIELDS:
                sleep(0)
                continue
            sleep(PAUSE)
            deadline = deadline or perf_counter() + self.timeout
            self._hear()
            if perf_counter() > deadline:
                self._give_up()

    def _hear(self) -> None:
        """Raise if somebody has told that it has stopped."""
        if self._control is None:
            return
        from mpi4py import MPI

        status = MPI.Status()
        if self._control.Iprobe(MPI.ANY_SOURCE, STOPPED, status):
            rank = status.Get_source()
            message = self._control.recv(source=rank, tag=STOPPED)
            _lose()
            raise RankError(f"rank {rank} of {self.size} has stopped: {message}")

    def _give_up(self) -> None:
        """Raise, and say who has not even given up."""
        _lose()
        silent = set(range(self.size)) - {self.rank}
        if self._control is not None:
            from mpi4py import MPI

            status = MPI.Status()
            for other in silent:
                self._control.isend(None, other, WAITING)
            deadline = perf_counter() + min(ROLL_CALL, self.timeout)
            while perf_counter() < deadline and silent:
                if self._control.Iprobe(MPI.ANY_SOURCE, WAITING, status):
                    self._control.recv(source=status.Get_source(), tag=WAITING)
                    silent.discard(status.Get_source())
                sleep(0.001)
        if silent:
            who = f"rank {', '.join(map(str, sorted(silent)))} of {self.size} has not answered"
        else:
            who = "something that the ranks wait for has not come"
        raise RankError(f"{who} for {self.timeout:g} s: if it is only slow, give Ranks a longer timeout")


def told(error: BaseException) -> str:
    """What the others hear of an error."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


_lost: list[bool] = []


def _lose() -> None:
    """A message is under way that will never be received: MPI cannot end in order, which would wait for it."""
    if not _lost:
        _lost.append(True)
        atexit.register(_abort)


def _abort() -> None:
    from mpi4py import MPI

    sys.stdout.flush()
    sys.stderr.flush()
    sleep(GRACE)
    MPI.COMM_WORLD.Abort(1)
