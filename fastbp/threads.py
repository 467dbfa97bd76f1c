"""How many threads a fit uses."""

import os
from pathlib import Path

FLOP_PER_MEMBER = 2e7  # of one mini-batch (about 0.2 ms): less does not repay the meetings of the team
FLOP_PER_START = 2e8  # of work that is done once: less does not repay the start of a thread


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
