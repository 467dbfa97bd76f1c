"""Workspaces: all that a call of :func:`fastbp.kernels.train.run` needs beside its samples.

A thread takes one of a pool for as long as a call lasts, so that any number of threads may call at once, without an allocation; if
there are more threads than workspaces some wait. The kernels are those that Python calls, found by their address: the same machine
code, and so the same bits.

Legend: N rows; I inputs and O outputs of the network.
"""

from numba import types

from fastbp.compiler import (
    calls,
    exchange,
    give_way,
    inline,
    kernel,
    load_pointer,
    load_shared,
    loads,
    relax,
    stack_address,
    store_shared,
)
from fastbp.kernels.embedded.records import (
    DIFFERENTIATING,
    DONE,
    FLOP,
    LOOK,
    LOOK_AFTER,
    MEETING,
    OF_CALL,
    ORDER,
    PARAMS,
    PLAN,
    RATES,
    REALS,
    RECORD,
    RUN,
    WORK,
    pool_at,
)
from fastbp.kernels.plan import plan_at
from fastbp.kernels.train import run
from fastbp.simd.record import numbers_of

_run, integers_at, numbers_at, rows_at = calls(run.signature), loads(types.int64), loads(types.float64), loads(types.int32)


@kernel
def take(pool):
    """A workspace that no other thread is in, taken; each thread looks first where it was the last time."""
    count, spins = pool.count, 0
    i = ((stack_address() >> 20) * 0x9E3779B1 & 0x7FFFFFFF) * count >> 31
    while True:
        space = pool.workspaces[i]
        word = numbers_of(space)
        if load_shared(word) == 0 and exchange(word, 1) == 0:
            return space
        i = i + 1 if i + 1 < count else 0
        spins += 1
        if spins < 64 * count:
            relax()
        else:
            give_way()


@inline
def note_time(handle, space, rows, passes):
    """Add up what calls have taken, of so many passes over the weights; LOOK when that is so much that Ctrl-C may be waiting."""
    spent = space.spent + OF_CALL + 2 * passes * rows * handle.n_params // FLOP
    space.spent = 0 if spent > LOOK_AFTER else spent
    return LOOK if spent > LOOK_AFTER else DONE


@inline
def leave(handle, space, rows, passes):
    """Let other threads have a workspace; `note_time`."""
    look = note_time(handle, space, rows, passes)
    store_shared(numbers_of(space), 0)
    return look


@inline
def plan_of(space):
    """The plan of a workspace."""
    return plan_at(integers_at(numbers_of(space) + PLAN))


@inline
def call(space, mode, x, y, labels, out):
    """`run` on a workspace, whose plan says all else, by this thread alone."""
    word = numbers_of(space)
    plan, reals = integers_at(word + PLAN), numbers_at(word + REALS)
    rates, record = numbers_at(word + RATES), numbers_at(word + RECORD)
    work, params = load_pointer(word + WORK, x), load_pointer(word + PARAMS, x)
    order, meeting = rows_at(word + ORDER), integers_at(word + MEETING)
    samples = x, order, word, y, labels, reals, out  # what is not needed is anything of its kind
    return _run(word + RUN, x, (plan, work, params, reals, rates, record, order, meeting, mode, 0, 0, *samples))


@inline
def differentiating(handle):
    return pool_at(integers_at(numbers_of(handle) + DIFFERENTIATING))
