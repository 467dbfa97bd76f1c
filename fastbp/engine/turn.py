"""That no two train the same at the same time."""

import os
from threading import Lock
from weakref import WeakSet

import numpy as np

from fastbp.kernels.embedded.functions import end_turn, take_turn

_forks = 0  # between the first process and this one
_shared: "WeakSet[Turn]" = WeakSet()


def _count_fork() -> None:
    global _forks
    _forks += 1
    for turn in list(_shared):
        turn.word[0] = 0


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(after_in_child=_count_fork)


TAKEN = (
    "this {} is being trained already, by another thread or by the call that this callback is for: wait for the end of that, or"
    " train a copy"
)


class Turn:
    """Whose turn it is to train something, by ``with``: an error for whoever comes meanwhile, as the results would be a mixture.

    Predictions do not ask. A callback that fits the network whose fit has called it is an error, too.

    Parameters
    ----------
    what : str
        What is trained, for the message.
    """

    def __init__(self, what: str):
        self._what, self._lock, self._made_after = what, Lock(), _forks
        self.word = np.zeros(0, np.int64)

    def __enter__(self) -> None:
        if self._made_after != _forks:  # whoever trained in the parent does not exist here
            self._lock, self._made_after = Lock(), _forks
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(TAKEN.format(self._what))
        if self.word.size and not take_turn["float64"](self.word):
            self._lock.release()
            raise RuntimeError(TAKEN.format(self._what))

    def __exit__(self, *_: object) -> None:
        if self.word.size:
            end_turn["float64"](self.word)
        self._lock.release()

    def share(self) -> int:
        """Let compiled code ask whose turn it is, too; the address of a word that is 0, or 1 while somebody trains."""
        if not self.word.size:
            with self:  # not in the midst of somebody's turn, who would give back what he has not taken
                self.word = np.ones(1, np.int64)
            _shared.add(self)
        return int(self.word.ctypes.data)
