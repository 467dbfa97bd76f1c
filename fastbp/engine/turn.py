"""That no two train the same at the same time."""

import os
from threading import Lock

_forks = 0  # between the first process and this one


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(after_in_child=_count_fork)


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

    def __enter__(self) -> None:
        if self._made_after != _forks:  # whoever trained in the parent does not exist here
            self._lock, self._made_after = Lock(), _forks
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f"this {self._what} is being trained already, by another thread or by the call that this callback is for: wait for"
                " the end of that, or train a copy"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()
