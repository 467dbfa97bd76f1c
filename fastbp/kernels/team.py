"""A team of threads that run one kernel together and meet at a barrier.

Each member calls the same compiled function with its number. Work is divided by output, never inside a sum, so that the number of
members does not change a bit of the result. The barrier spins, for a meeting costs 0.1 us where waking a thread costs 10; it
gives way to the operating system when the others take long.

Legend: meeting the counter that the team shares, and whether the call is off; T = members threads.
"""

from typing import Any, NamedTuple

from fastbp.compiler import fetch_add, give_way, inline, kernel, load_shared, relax
from fastbp.kernels.tuning import SPINS

CALLED_OFF = 1  # place in `meeting` of what is not 0 once a member will never come, because Ctrl-C was heard before it set out


class Team(NamedTuple):
    """The threads that run a call together, as one of them sees it."""

    member: int  # its number, from 0
    members: int
    meeting: Any  # pointer to the counter


@inline
def part(count, number, parts):
    """[start, stop) of part `number` of `count` things that are divided as equally as can be."""
    return count * number // parts, count * (number + 1) // parts


@inline
def share(count, team):
    """The part [start, stop) of `count` equal pieces of work that falls to this member of a team."""
    return part(count, team.member, team.members)


@kernel
def barrier(team):
    """Wait until all members are here, or the call is off.

    The counter only ever grows, and is 0 before the first meeting.
    """
    if team.members == 1:
        return
    meeting, members = team.meeting, team.members
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
def all_are_here(team):
    """The first `barrier` of a call; whether the call is on."""
    barrier(team)
    return load_shared(team.meeting + CALLED_OFF) == 0
