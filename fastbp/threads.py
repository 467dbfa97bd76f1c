"""How many threads a fit uses, and that no other trains the same at the same time."""

import os
import threading
from pathlib import Path

FLOP_PER_MEMBER = 2e7  # of one mini-batch (about 0.2 ms): less does not repay the meetings of the team
FLOP_PER_START = 2e8  # of work that is done once: less does not repay the start of a thread


class Turn:
    """Whose turn it is to train something, by ``with``: an error for whoever comes meanwhile, as the results would be a mixture.

    Predictions do not ask. A callback that fits the network whose fit has called it is an error, too.

    Parameters
    ----------
    what : str
        What is trained, for the message.
    """

    def __init__(self, what: str):
        self._what, self._lock = what, threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f"this {self._what} is being trained already, by another thread or by the call that this callback is for: wait for"
                " the end of that, or train a copy"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def usable_cores() -> int:
    """Cores this process may use: its affinity, and the quota of its control group (Linux)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return cores


def members_for(flop: float, limit: int | None, least: float = FLOP_PER_MEMBER) -> int:
    """Threads for mini-batches of so much work, `least` each: never more than the cores, nor than `limit` if it is given.

    Sizes of the team that were tried in turns during a fit gained nothing: where another program has the other core, as it does on
    shared machines, a trial alone costs more than the team saves later.
    """
    if limit == 1 or flop < 2 * least:
        return 1  # without asking the system for its cores, which takes longer than a small network
    most = usable_cores() if limit is None else min(limit, usable_cores())
    return max(1, min(most, int(flop / least)))
