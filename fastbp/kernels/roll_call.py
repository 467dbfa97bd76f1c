"""Who does the next piece of work: the leader of a call, and of the other threads those that show that they are running now.

A thread that has lost its core to another program holds up a team for as long as the operating system lets that run, some
milliseconds, and the team does no more than one thread then. So for every piece of work (a mini-batch, or a block of a long one)
the leader calls the roll: the threads that wait for work answer, and who does not answer at once is left out. In the midst of the
work a thread may lose its core still. So the leader counts what teams lose against one thread, and when that is more than they have
gained, sends those home for whom the others waited: they return from the kernel and sleep, which alone leaves their cores to
others. :mod:`fastbp.engine.crew` asks them again after a while.

A member is in the team of a piece of work if, and only if, its seat has its rank beside the number of that piece. Both are written
before the number is published, and only for members whose answer has that number: one that comes late, or from a call that is over,
finds another number there, and never begins.

Legend: meeting the integers that the threads share, see `team`; n the number of a piece of work, which only ever grows.
"""

from typing import Any, NamedTuple

from fastbp.compiler import clock, inline, kernel, load_shared, store_shared
from fastbp.kernels.samples import Batch
from fastbp.kernels.team import ARRIVALS, LINE, SEATS, WAITED, WAITED_SINCE, Team, alone, spin

# places in `meeting`: what members wait for, n of the last roll call and of the last work, and the last call that is over
ROLL, JOB, OVER = range(LINE, LINE + 3)
# the piece of work, written by the leader before `JOB`
EPOCH, FIRST, COUNT, TOP, SIZE, BEGUN = range(2 * LINE, 2 * LINE + 6)
# set before a call: how many others were asked to come, how long they are waited for at first and in each roll call, and what loss
# is too much, all in nanoseconds
ASKED, ARRIVAL, ANSWER, LIMIT = range(3 * LINE, 3 * LINE + 4)
# what is known of the whole process: how many may be in a team until when, how long that is, and what teams have lost, less what
# they have gained
MOST, UNTIL, PAUSE, LOST = range(3 * LINE + 4, 3 * LINE + 8)
# the leader's own: n, when the work began, how many did not answer, and what a thousand pieces of each kind take one thread
NUMBER, BEGAN, MISSING, COSTS = range(4 * LINE, 4 * LINE + 4)
BLOCKS, FINISH, FORWARD = range(3)  # kinds of work; what is counted is samples, or 1
# on the line of a member: the call that it has come for, the last roll call that it answered, n and rank, and the call it was sent
# home from
HERE, ANSWERED, RANK, OUT = 2, 3, 4, 5

RANKS = 1 << 16  # what n is multiplied by beside a rank
ALONE = 256  # of so many pieces of work the leader does one alone, to know what that takes
# nanoseconds
CREDIT = 10_000_000  # of what teams have gained, that they may lose again: a moment's disturbance is no reason to do without them
SHORTEST, LONGEST = 50_000_000, 2_000_000_000  # for which a team is smaller
REPAID = 16  # times the loss, at least, for which it is; work without one who does not answer counts as lost by the same part


class Crew(NamedTuple):
    """The threads of a call, as the leader sees them."""

    meeting: Any
    call: int  # its number, 0: by one thread


@inline
def seat_of(meeting, member):
    """The line of a member."""
    return meeting + SEATS + LINE * member


@inline
def is_waiting(crew, member):
    """Whether a member has come for this call, and has not been sent home."""
    seat = seat_of(crew.meeting, member)
    return load_shared(seat + HERE) == crew.call and seat[OUT] != crew.call


@kernel
def becomes(word, value, patience):
    """Wait so many nanoseconds at most until a shared integer has a value; whether it has."""
    if load_shared(word) == value:
        return True
    deadline, spins = clock() + patience, 0
    while load_shared(word) != value:
        if clock() > deadline:
            return False
        spins = spin(spins)
    return True


# --- the leader --------------------------------------------------------------------------------------------------------------


@kernel
def await_arrival(crew):
    """Give the others the time in which a thread comes that has a core."""
    meeting, call = crew.meeting, crew.call
    if call == 0:
        return
    deadline, member = clock() + meeting[ARRIVAL], 1
    while member <= meeting[ASKED]:
        if not becomes(seat_of(meeting, member) + HERE, call, max(deadline - clock(), 0)):
            meeting[LOST] += meeting[ARRIVAL]
            return
        member += 1


@kernel
def form_team(crew, reals, batch, top):
    """The team of the next piece of work on a mini-batch: its samples from `top` on, or the step if `top` is their number."""
    meeting, call, size = crew.meeting, crew.call, 1
    if call == 0:
        return alone(meeting)
    number = meeting[NUMBER] = meeting[NUMBER] + 1
    meeting[BEGAN], meeting[MISSING] = clock(), 0
    if number % ALONE == ALONE // 2:
        return alone(meeting)
    for member in range(1, meeting[ASKED] + 1):
        if is_waiting(crew, member):
            store_shared(meeting + ROLL, number)
            seat = seat_of(meeting, member)
            if becomes(seat + ANSWERED, number, meeting[ANSWER]):
                store_shared(seat + RANK, number * RANKS + size)
                size += 1
            else:
                meeting[MISSING] += 1
    begun = load_shared(meeting + ARRIVALS)
    meeting[EPOCH], meeting[FIRST], meeting[COUNT] = batch.epoch, batch.first, batch.count
    meeting[TOP], meeting[SIZE], meeting[BEGUN] = top, size, begun
    reals.inverse = batch.inverse
    store_shared(meeting + JOB, number)
    return Team(0, size, meeting, begun)


@kernel
def settle(crew, team, kind, count):
    """Tell from the time that a piece of work took what the team loses against one thread; make it smaller if that is too much."""
    meeting = crew.meeting
    if crew.call == 0:
        return
    took, costs = clock() - meeting[BEGAN], meeting + COSTS + kind
    cost = took * team.members * 1000 // count  # of one thread: it may be less, but not more
    known = cost if costs[0] == 0 else costs[0]
    if team.members == 1:
        costs[0] = min(cost, known + known // 4)
    else:
        costs[0] = min(cost, known)
        meeting[LOST] += took - known * count // 1000
        if meeting[LOST] < -CREDIT:
            meeting[LOST], meeting[PAUSE] = -CREDIT, 0
    if meeting[MISSING] > 0:
        meeting[LOST] += took // REPAID
    if meeting[LOST] > meeting[LIMIT]:
        send_home(crew, team)


@inline
def time_waited(team, rank):
    """How long one of the team has waited in this piece of work; nothing if that was short."""
    seat = seat_of(team.meeting, rank)
    return seat[WAITED] if seat[WAITED_SINCE] == team.begun else 0


@kernel
def send_home(crew, team):
    """Those who did not answer, or for whom the others waited in the last piece of work; if it is nobody, the last one."""
    meeting, call, longest, left, last = crew.meeting, crew.call, 0, 0, 0
    for rank in range(team.members):
        longest = max(longest, time_waited(team, rank))
    for member in range(1, meeting[ASKED] + 1):
        if is_waiting(crew, member):
            seat = seat_of(meeting, member)
            rank = seat[RANK] % RANKS if seat[RANK] // RANKS == meeting[NUMBER] else 0
            if rank == 0 or time_waited(team, rank) < longest // 2:
                store_shared(seat + OUT, call)
            else:
                left, last = left + 1, member
    if left == meeting[ASKED] and left > 0:
        store_shared(seat_of(meeting, last) + OUT, call)
        left -= 1
    # twice as long as the last time, if no team has earned its credit since
    pause = max(SHORTEST, REPAID * meeting[LOST], 2 * meeting[PAUSE])
    meeting[MOST], meeting[PAUSE], meeting[LOST] = left + 1, min(pause, LONGEST), 0
    meeting[UNTIL] = clock() + meeting[PAUSE]


@kernel
def end_call(crew):
    """Let the others go."""
    if crew.call > 0:
        store_shared(crew.meeting + OVER, crew.call)


# --- the others --------------------------------------------------------------------------------------------------------------


@kernel
def come(crew, member):
    """Take a seat in the call; the number of the last roll call before."""
    before = load_shared(crew.meeting + ROLL)
    if load_shared(crew.meeting + OVER) < crew.call:
        store_shared(seat_of(crew.meeting, member) + HERE, crew.call)
    return before


@kernel
def next_work(crew, member, before):
    """Wait for a roll call after that of `before`, and answer it; its number and the team, of no members if this is none of them.

    The number is 0 if there is nothing more to wait for.
    """
    meeting, seat, spins = crew.meeting, seat_of(crew.meeting, member), 0
    number = before
    while number == before:
        spins = spin(spins)
        number = load_shared(meeting + ROLL)
        # asked after the number is read, so that it is one of this call
        if load_shared(meeting + OVER) >= crew.call or load_shared(seat + OUT) == crew.call:
            return 0, Team(0, 0, meeting, 0)
    store_shared(seat + ANSWERED, number)
    spins = 0
    while load_shared(meeting + JOB) < number:
        spins = spin(spins)
    rank = load_shared(seat + RANK)
    if rank // RANKS != number:
        return number, Team(0, 0, meeting, 0)
    return number, Team(rank % RANKS, meeting[SIZE], meeting, meeting[BEGUN])


@kernel
def batch_of_work(plan, meeting, order, reals):
    """The mini-batch that the work is a piece of, and from which of its samples on."""
    epoch, first = meeting[EPOCH], meeting[FIRST]
    samples = order + (epoch - plan.origin) * plan.order_stride + first
    return Batch(samples, meeting[COUNT], epoch, first, reals.inverse), meeting[TOP]
