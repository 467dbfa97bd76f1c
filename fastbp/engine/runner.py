"""Runs the epochs of a session: short kernel calls, and back to the last finite weights when training diverges."""

from itertools import pairwise
from time import perf_counter

from fastbp.engine import threads
from fastbp.engine.regularization import NOTHING
from fastbp.engine.session import Session
from fastbp.kernels.plan import MAX_STEPS
from fastbp.kernels.train import TRAIN
from fastbp.kernels.tuning import NARROW_LIMIT

CALL_SECONDS = 0.05  # aim of one kernel call, so that Ctrl-C is honoured soon
CALL_BYTES = 1 << 24  # copied and packed for a call: of larger networks it takes longer, for these not to be much of it
FLOP_OF_STEP = 20  # per parameter, by the time it takes
FIRST_RATE = 4e10  # flop/s assumed for the first call
MOST_CHANGE = 8  # of the steps from one call to the next
OVERWRITTEN = (
    "NaN or infinity was written into the parameters {where}, not by training, but by a callback or another thread. The parameters"
    " are again those from {which}"
)


class DivergenceError(ValueError):
    """The loss or a parameter is no longer finite; the network has the last finite parameters.

    Parameters
    ----------
    epoch : int
        The one at fault, from 0.
    learning_rate : float
        Its learning rate.
    message : str, optional
        Another text than the default.
    """

    def __init__(self, epoch, learning_rate, message=None):
        self.epoch, self.learning_rate = epoch, learning_rate
        super().__init__(
            message
            or f"training diverged in epoch {epoch + 1}: the loss or a weight is not finite. The last finite weights were"
            f" restored. Lower the learning rate (now {learning_rate:g}), or scale X to mean 0 and deviation 1"
        )

    def __reduce__(self):
        return type(self), (self.epoch, self.learning_rate, str(self))


class OverwrittenError(DivergenceError):
    """Somebody else than the kernels has written numbers into the parameters that are not finite; they are earlier ones again."""


def flop_of_sample(sizes, entries=None) -> int:
    """Floating-point operations of one step on one sample: 6 P - 2 P_1.

    P weights take 2 P forward, 2 P in the gradient and 2 P in the delta recursion, which the first layer's P_1 do not need; of
    these only those of the `entries` of a sample, if its zeros are left out.
    """
    weights = [a * b for a, b in pairwise(sizes)]
    first = weights[0] if entries is None else round(entries.average * sizes[1])
    return 6 * sum(weights[1:]) + 4 * first


def open_session(net, batch_size, rule, n_threads=None, *, plain=True, extra=NOTHING, entries=None) -> Session:
    """A session that trains by mini-batches, of the kind that is the fastest; `plain` without L2 penalty and norms."""
    narrow = max(net.sizes) <= NARROW_LIMIT and plain and extra == NOTHING and not rule.decays
    # of sparse samples so little is left that the step itself counts
    step = FLOP_OF_STEP * net._vector.size if entries else 0
    members = 1 if narrow else threads.members_for(batch_size * flop_of_sample(net.sizes, entries) + step, n_threads)
    return Session(net, batch_size, optimizer=rule, narrow=narrow, members=members, extra=extra, entries=entries)


class Runner:
    """Runs epochs of a session in kernel calls that are short enough for Ctrl-C, and undoes a call in which training diverged.

    Parameters
    ----------
    session : Session
        Its data, rates and record have been set. Epoch e is the one with ``session.rate(e)``; the cursor is ``plan[EPOCH]``.
    """

    def __init__(self, session):
        self.session = session
        flop = session.plan.batch * flop_of_sample(session.net.sizes, session.entries)
        copies = 4 + session.slots  # packed and unpacked, kept with the slots, and looked at
        self.seconds = CALL_SECONDS * (1 + copies * session.net._vector.nbytes / CALL_BYTES)
        self.steps = max(1, int(self.seconds * FIRST_RATE / (flop + 5000)))
        self.snapshot = None  # before the last call

    def run(self, epochs, *, each=False):
        """Go on from the cursor to `epochs`; yields after every call.

        Parameters
        ----------
        epochs : int
            Where to stop. Whoever iterates stops earlier by moving the cursor there.
        each : bool
            End calls with an epoch, so that something can be done after each.

        Yields
        ------
        first, last : int
            The epochs that the call completed: range(first, last), empty where an epoch takes several calls.
        start, seconds : float
            When the call began, and how long it took.

        Raises
        ------
        DivergenceError
            Its ``epoch`` is the one at fault; the session is as it was at the end of the epoch before (or, where an epoch takes
            several calls, of the call before).
        """
        session, plan = self.session, self.session.plan
        while plan.epoch < epochs:
            before = plan.epoch
            self.require_finite(before)
            snapshot = self.snapshot = session.snapshot()
            plan.epochs = before + 1 if each else epochs
            plan.steps = self.steps
            start = perf_counter()
            session.call(TRAIN)
            seconds = perf_counter() - start
            if not session.is_finite():
                raise DivergenceError(_restore_last_finite(session, snapshot, before), session.rate(before))
            if not self.seconds / 2 <= seconds <= self.seconds * 2:
                change = min(max(self.seconds / max(seconds, 1e-9), 1 / MOST_CHANGE), MOST_CHANGE)
                self.steps = min(max(1, int(self.steps * change)), MAX_STEPS)
            yield before, plan.epoch, start, seconds

    def require_finite(self, epoch):
        """Raise if somebody else, as a callback, has written numbers into the parameters that are not finite, before that epoch."""
        if self.session.has_finite_parameters():
            return
        learning_rate = self.session.rate(max(0, epoch - 1))
        if self.snapshot is None:
            raise OverwrittenError(epoch, learning_rate, "another thread has written NaN or infinity into the parameters")
        self.session.restore(self.snapshot)
        self.session.plan.epoch = epoch
        where = f"after epoch {epoch}" if epoch else "before the first epoch"
        message = OVERWRITTEN.format(where=where, which="before the last call of the kernel")
        raise OverwrittenError(epoch, learning_rate, message)


def _restore_last_finite(session, snapshot, before) -> int:
    """Give the network the weights after the last good epoch of a call, by running it again so far; the next epoch."""
    plan = session.plan
    last = plan.epoch - 1 if plan.first == 0 else plan.epoch
    while True:
        session.restore(snapshot)
        if last <= before:
            return before
        plan.epochs, plan.steps = last, MAX_STEPS
        session.call(TRAIN)
        if session.is_finite():
            return last
        last -= 1
