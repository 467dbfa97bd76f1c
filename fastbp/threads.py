"""How many threads a fit uses."""

import os
from pathlib import Path

SURE_FLOP = 2e7  # a member's part of one mini-batch, about 0.2 ms: so much repays the meetings of the team on any machine
LEAST_FLOP = 1e6  # so much does where the other cores are idle; with less a second thread is not tried
CALLS_BETWEEN_TRIALS = 32


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


def members_for(flop: float, limit: int | None, part: float = LEAST_FLOP) -> int:
    """Threads that have `part` of so much work each: never more than the cores, nor than `limit` if it is given."""
    most = usable_cores() if limit is None else min(limit, usable_cores())
    return max(1, min(most, int(flop / part)))


class TeamSize:
    """How many members of a team run the next call: where the work does not tell, two sizes are tried in turns.

    Another program on one of the cores makes a team slower than one thread, and nobody is told: only time shows it.

    Parameters
    ----------
    members : int
        The most there are.
    flop : float
        Work of one mini-batch.
    """

    def __init__(self, members: int, flop: float):
        self.speeds: dict[int, float] = {}
        self.sizes = sorted({members_for(flop, members, SURE_FLOP), members})
        self.calls = 0

    def choose(self) -> int:
        """The faster size; at first, and then now and again, the other one."""
        for size in self.sizes:
            if size not in self.speeds:
                return size
        self.calls += 1
        fastest = max(self.sizes, key=self.speeds.__getitem__)
        if self.calls % CALLS_BETWEEN_TRIALS == 0:
            return self.sizes[0] + self.sizes[-1] - fastest
        return fastest

    def note(self, size: int, speed: float) -> None:
        """Take in the speed of a call."""
        self.speeds[size] = speed
