"""A team of threads that do one piece of work together and meet at a barrier.

Work is divided by output, never inside a sum, so that the number of members does not change a bit of the result, and may change
from piece to piece (:mod:`fastbp.kernels.roll_call`). The barrier spins, for a meeting costs 0.1 us where waking a thread costs 10;
it gives way to the operating system when the others take long.

Legend: meeting the integers that the team shares; T = members threads.
"""

from typing import Any, NamedTuple

from fastbp.compiler import clock, fetch_add, give_way, inline, kernel, load_shared, relax
from fastbp.kernels.tuning import SPINS

LINE = 8  # integers of a line of the cache: what different threads write lies on different lines
ARRIVALS = 0  # place in `meeting` of the count of all arrivals at a barrier, which only ever grows
SEATS = 5 * LINE  # where the lines of the members begin
WAITED_SINCE, WAITED = 0, 1  # on the line of a member: what `begun` was when it last waited long, and for how long since, ns


class Team(NamedTuple):
    """The threads that do a piece of work together, as one of them sees it."""

    member: int  # its number, from 0
    members: int
    meeting: Any  # pointer to the shared integers
    begun: int  # arrivals before this piece of work


@inline
def part(count, number, parts):
    """[start, stop) of part `number` of `count` things that are divided as equally as can be."""
    return count * number // parts, count * (number + 1) // parts


@inline
def share(count, team):
    """The part [start, stop) of `count` equal pieces of work that falls to this member of a team."""
    return part(count, team.member, team.members)


@inline
def alone(meeting):
    """A team of one, which never meets."""
    return Team(0, 1, meeting, 0)


@inline
def spin(spins):
    """One turn of waiting; how many there have been now."""
    if spins < SPINS:
        relax()
    else:
        give_way()
    return spins + 1


@kernel
def barrier(team):
    """Wait until all members are here."""
    if team.members == 1:
        return
    arrivals, members = team.meeting + ARRIVALS, team.members
    target = team.begun + ((fetch_add(arrivals, 1) - team.begun) // members + 1) * members
    spins = start = before = 0
    while load_shared(arrivals) < target:
        spins = spin(spins)
        if spins > SPINS:
            seat = team.meeting + SEATS + LINE * team.member
            if start == 0:
                start, before = clock(), seat[WAITED] if seat[WAITED_SINCE] == team.begun else 0
            seat[WAITED_SINCE], seat[WAITED] = team.begun, before + clock() - start
