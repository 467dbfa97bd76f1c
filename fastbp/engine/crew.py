"""The threads of a session: how many are asked to help in a call of the kernel, and for how long fewer where they were in the way.

The kernel itself tells who takes part in which piece of work, and when that does not pay (:mod:`fastbp.kernels.roll_call`). What it
has found is kept here for all calls of the process: another program that has a core is in the way of every fit.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter_ns
from typing import Any

import numpy as np

from fastbp.engine import memory
from fastbp.kernels.roll_call import ANSWER, ARRIVAL, ASKED, LIMIT, LOST, MOST, OVER, UNTIL
from fastbp.kernels.team import LINE, SEATS

# nanoseconds
FOR_ARRIVAL = 100_000  # a sleeping thread takes half of that to come, if there is a core for it
FOR_ANSWER = 10_000  # one that waits for work takes 0.2 us to answer
TOO_MUCH = 500_000  # lost by a team against one thread: what makes it smaller

_known = np.zeros(LOST + 1 - MOST, np.int64)  # what a call leaves for the next one, of whatever session


class Crew:
    """A leader, which is the thread that calls, and others that may help it.

    Parameters
    ----------
    members : int
        All of them together, at most.
    """

    def __init__(self, members: int) -> None:
        self.members = members
        self.meeting = memory.zeros(SEATS + LINE * members, np.int64)
        self.meeting[[ARRIVAL, ANSWER, LIMIT]] = FOR_ARRIVAL, FOR_ANSWER, TOO_MUCH
        self._number = 0  # of the last call
        self._threads = ThreadPoolExecutor(members - 1) if members > 1 else None
        self._others: list[Future[float]] = []  # that have not come home yet

    def run(self, kernel: Callable[..., float], data: tuple[Any, ...]) -> float:
        """Call ``kernel(member, number of the call, *data)`` in this thread as the leader, and in others; the leader's result.

        The others need not have come home then, but they have no part any more in anything.
        """
        assert self._threads is not None  # a session of one thread has nobody to ask
        meeting, known = self.meeting, self.meeting[MOST : LOST + 1]
        known[:] = _known
        if perf_counter_ns() >= meeting[UNTIL]:
            meeting[MOST] = self.members
        self._number += 1
        meeting[ASKED] = min(self.members, meeting[MOST]) - 1
        self._others = [other for other in self._others if not other.done()]
        try:
            if len(self._others) < 2 * self.members:  # threads that get no time at all would be asked more and more often
                with suppress(RuntimeError):  # no thread to be had, as at the end of the interpreter: nobody comes
                    for member in range(1, meeting[ASKED] + 1):
                        self._others.append(self._threads.submit(kernel, member, self._number, *data))
            result = kernel(0, self._number, *data)
        except BaseException:  # Ctrl-C
            meeting[OVER] = self._number
            raise
        _known[:] = known
        return result

    def close(self) -> None:
        """Let the others go."""
        if self._threads is not None:
            self._threads.shutdown()
