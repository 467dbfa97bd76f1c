"""A team of threads that run one kernel together and meet at a barrier.

Each member calls the same compiled function with its number. Work is divided by output, never inside a sum, so that the number of
members does not change a bit of the result. The barrier spins, for a meeting costs 0.1 us where waking a thread costs 10; it
gives way to the operating system when the others take long.

Legend: meeting the counter that the team shares, and whether the call is off; T = members threads.
"""

from fastbp.compiler import fetch_add, give_way, kernel, load_shared, relax

SPINS = 4096  # about 20 us of spinning before the first yield
CALLED_OFF = 1  # place in `meeting` of what is not 0 once a member will never come, because Ctrl-C was heard before it set out


@kernel
def barrier(meeting, members):
    """Wait until all members are here, or the call is off.

    `meeting` points to a shared counter that only ever grows, 0 before the first meeting.
    """
    if members == 1:
        return
    arrived = fetch_add(meeting, 1)
    target = (arrived // members + 1) * members
    spins = 0
    while load_shared(meeting) < target and load_shared(meeting + CALLED_OFF) == 0:
        spins += 1
        if spins < SPINS:
            relax()
        else:
            give_way()


@kernel
def all_are_here(meeting, members):
    """The first `barrier` of a call; whether the call is on."""
    barrier(meeting, members)
    return load_shared(meeting + CALLED_OFF) == 0
