"""The records that calls from compiled code are about, and what such a call gives back.

Legend: N rows; I inputs and O outputs of the network.
"""

import numpy as np

from fastbp.compiler import add_this_module
from fastbp.optimizers import N_HYPER
from fastbp.simd.record import Record

add_this_module()

# what a call gives back
DONE, NOT_FINITE, NO_ROWS, TOO_MANY_ROWS, NO_SUCH_CLASS, WRONG_TARGETS, BUSY, LEFT, LOSS_DIVERGED, STEP_DIVERGED = range(10)
LOOK = 64  # added to that: it is time to look whether there is a signal, such as that of Ctrl-C
LOOK_AFTER, OF_CALL, FLOP = 50_000_000, 200, 40  # nanoseconds, about: of calls, of one less its arithmetic, and flop of each
# what targets must be, beside finite
ANY, PROBABILITIES, NOT_NEGATIVE, POSITIVE, SHARES = range(5)
ROUNDING = 1e-3  # by which the sum of shares may differ from 1

Workspace = Record(
    "Workspace",
    taken="1: a thread is in it",
    run="address of the machine code of `run` or `run_narrow`",
    plan="address, as all that follow: of a Plan",
    work="see `run`",
    params="the same",
    reals="the same",
    rates="the same",
    record="the same",
    order="row numbers 0, 1, 2, ...",
    meeting="see `run`",
    spent="nanoseconds, about, that calls have taken since somebody looked for signals",
    room=(5, "so that no two of them share a line of the cache"),
)

Pool = Record(
    "Pool",
    count="of the workspaces",
    rows="that one call of `run` is given at most",
    room=(14, "as in a Workspace"),
    workspaces=(Workspace, "count"),
)

Handle = Record(
    "Handle",
    call="address of `call_network` or `call_trainer`",
    predicting="address of a Pool, for PREDICT",
    differentiating="address of a Pool, for all else",
    n_in="I",
    n_out="O",
    n_params="numbers of params",
    main_thread="the thread that signals are for",
    targets="what they must be: ANY, PROBABILITIES, NOT_NEGATIVE, POSITIVE or SHARES",
    # of a trainer, whose only workspace is the first of `differentiating`
    turn="address of the word that says whether somebody trains the network",
    is_left="1: the trainer has begun something else, and left the workspace",
    epochs="that are complete",
    first="samples that steps have taken since",
    n_samples="of an epoch, 0: it never ends",
    slots="address of the slots of the rule",
    n_slots="numbers of them",
    settings="address of `Settings`",
    rates="address of the learning rates that a schedule gives",
    n_rates="epochs that they are of; later ones have those of the last",
    n_steps="mini-batches of an epoch that have rates of their own; 0: there is no schedule, the rate is constant",
    origin="epoch of the first of them",
)

Settings = Record(
    "Settings",
    np.float64,
    rate="learning rate, where it is constant",
    l2="lambda of the penalty, not yet divided by the samples",
    l1="the same of sum |W|",
    begun=(N_HYPER, "hyper-parameters of the rule, as it begins"),
    before=(N_HYPER, "the same before the step at hand; overwritten"),
)

# places of addresses
RUN, PLAN, WORK, PARAMS, REALS, RATES, RECORD, ORDER, MEETING = range(1, 10)  # in a Workspace
PREDICTING, DIFFERENTIATING = (Handle.places[field] for field in ("predicting", "differentiating"))
TURN, SLOTS, SETTINGS, SCHEDULED = (Handle.places[field] for field in ("turn", "slots", "settings", "rates"))

pool_at, handle_at, settings_at = Pool.at, Handle.at, Settings.at
