"""An update rule in use: what it keeps from step to step, and the session that it keeps it in."""

from typing import Any

import numpy as np

from fastbp.engine import threads
from fastbp.engine.regularization import NOTHING
from fastbp.engine.training_session import TrainingSession, full_hyper
from fastbp.kernels.tuning import NARROW_LIMIT

FLOP_OF_STEP = 20  # per parameter, by the time it takes
SPARE_BYTES = 1 << 24  # of the work buffer that a network keeps for the next training


class Place:
    """Where a training is: `epochs` that are complete, and the samples that steps have taken since, `first`."""

    def __init__(self, epochs=0, first=0):
        self.epochs, self.first = epochs, first


class RunningRule:
    """A rule that goes on, whatever mini-batches and samples come.

    Parameters
    ----------
    rule : Optimizer

    Attributes
    ----------
    learning_rate : float
        Of the next epoch.
    place : Place
        Where it is; or, where compiled code takes steps, a record of the same fields that it reads and writes.
    session : Session or None
        The last one.
    state : tuple or None
        `TrainingSession.rule_state`, where there is no session.
    """

    def __init__(self, rule):
        self.rule = rule
        self.learning_rate = float(rule.learning_rate)
        self.place: Any = Place()
        self.session: TrainingSession | None = None
        self.state = None

    def open(self, net, batch, rows, entries, n_threads, *, plain=True, extra=NOTHING) -> TrainingSession:
        """A session for mini-batches of so many of these rows, of the kind that is the fastest: the last one where that will do.

        `entries`: what there is in a sample, if zeros of the rows are left out. `plain`: without L2 penalty and norms.
        """
        narrow = max(net.sizes) <= NARROW_LIMIT and plain and extra == NOTHING and not (self.rule.decays or net.encoder)
        session = self.session
        # of sparse samples so little is left that the step itself counts
        flop = batch * threads.flop_of_sample(net.sizes, entries) + (FLOP_OF_STEP * net._vector.size if entries else 0)
        members = 1 if narrow else threads.members_for(flop, n_threads)
        kind = batch, self.rule, members, narrow, extra
        if session is not None and session.net is net and session.serves(*kind) and session.takes(rows):
            return session
        self.close()
        self.session = session = _spare(net, kind, rows) or TrainingSession(
            net, batch, self.rule, narrow=narrow, members=members, extra=extra, entries=entries
        )
        if self.state is not None:
            session.set_rule_state(self.state)
            self.state = None
        return session

    def kept(self, net):
        """What the rule keeps from step to step, as `TrainingSession.rule_state` gives it."""
        if self.session is not None:
            return self.session.rule_state()
        if self.state is not None:
            hyper, slots = self.state
            return hyper.copy(), slots.copy()
        return full_hyper(self.rule), np.zeros((self.rule.slots, net._vector.size), net.dtype)

    def load(self, state):
        """Go on with what `kept` gave."""
        if self.session is None:
            self.state = state
        else:
            self.session.set_rule_state(state)

    def close(self):
        """Keep no more than that."""
        if self.session is not None:
            self.state = self.session.rule_state()
            self.session.close()
            self.session = None

    def retire(self):
        """Leave the session to the next training of the network, if it is small."""
        session, self.session = self.session, None
        if session is None:
            return
        is_small = session.members == 1 and session.entries is None and session.work.nbytes <= SPARE_BYTES
        # classes that are not the package's may have changed when they are next used, which is noticed where a session is made
        if is_small and not session.has_own_classes and not session.net._trained:
            session.release_data()
            session.net._trained.append(session)
        else:
            session.close()

    def __getstate__(self):
        state = self.state if self.session is None else self.session.rule_state()
        return self.__dict__ | {"session": None, "state": state, "place": Place(self.place.epochs, self.place.first)}


def _spare(net, kind, rows):
    """The session that the last training of a network has left, made as new for this one; None if it does not serve."""
    try:
        session = net._trained.pop()
    except IndexError:
        return None
    if not session.serves(*kind) or not session.takes(rows):
        return None
    session.restart(kind[1])
    return session
