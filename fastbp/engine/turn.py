"""That no two train the same at the same time."""

import os
from contextlib import ExitStack
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
    whole : TurnOfAll, optional
        Of what it is a part of: nobody trains that meanwhile, either.
    """

    def __init__(self, what: str, whole: "TurnOfAll | None" = None):
        self._what, self._lock, self._made_after, self._whole = what, Lock(), _forks, whole
        self.word = np.zeros(0, np.int64)

    def __enter__(self) -> None:
        self._take()
        if self._whole is not None and self._whole.is_taken():  # asked after: whoever takes the whole takes it before its parts
            self.__exit__()
            raise RuntimeError(TAKEN.format(self._whole._what))

    def __exit__(self, *_: object) -> None:
        if self.word.size:
            end_turn["float64"](self.word)
        self._lock.release()

    def _take(self) -> None:
        self._renew()
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(TAKEN.format(self._what))
        if self.word.size and not take_turn["float64"](self.word):
            self._lock.release()
            raise RuntimeError(TAKEN.format(self._what))

    def _renew(self) -> None:
        if self._made_after != _forks:  # whoever trained in the parent does not exist here
            self._lock, self._made_after = Lock(), _forks

    def share(self) -> int:
        """Let compiled code ask whose turn it is, too; the address of a word that is 0, or 1 while somebody trains."""
        if not self.word.size:
            with self:  # not in the midst of somebody's turn, who would give back what he has not taken
                self.word = np.ones(1, np.int64)
            _shared.add(self)
        return int(self.word.ctypes.data)


class TurnOfAll(Turn):
    """The turn to train something whole, which is that of each of its parts, too."""

    def __init__(self, what: str):
        super().__init__(what)
        self._parts: WeakSet[Turn] = WeakSet()
        self._adding, self._taken = Lock(), ExitStack()

    def of_part(self, what: str) -> Turn:
        """The turn of another part."""
        turn = Turn(what, self)
        with self._adding:
            self._parts.add(turn)
        return turn

    def is_taken(self) -> bool:
        """Whether somebody trains the whole."""
        self._renew()
        return self._lock.locked()

    def __enter__(self) -> None:
        self._take()
        with ExitStack() as taken:
            taken.callback(super().__exit__)
            with self._adding:
                parts = list(self._parts)
            for part in parts:
                part._take()
                taken.push(part)
            self._taken = taken.pop_all()

    def __exit__(self, *_: object) -> None:
        self._taken.close()
