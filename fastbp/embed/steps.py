"""What compiled code has of a trainer: its session, the rates of its schedule, and where it is."""

from typing import Any

import numpy as np

from fastbp.embed.handles import Described, Workspaces
from fastbp.engine.training_session import full_hyper
from fastbp.kernels.embedded.functions import call_trainer
from fastbp.kernels.embedded.records import Settings
from fastbp.schedules import Constant


class TrainerHandle(Described):
    """A `Handle` of a trainer: compiled code may have it as long as the trainer lives, so what changes of it changes in turn."""

    def __init__(self, trainer: Any) -> None:
        net, place = trainer.net, trainer._running.place
        super().__init__(net)
        self._reals, self._rates = np.zeros(Settings.size), np.zeros(0)
        self._known: tuple[Any, ...] = ()  # what the rates were looked up for
        handle, self.settings = self.handle, Settings.view.of(self._reals)
        handle.call, handle.turn, handle.settings = call_trainer[net.dtype], net._turn.share(), self._reals.ctypes.data
        handle.n_samples, handle.is_left = trainer._n_samples or 0, 1
        handle.epochs, handle.first = place.epochs, place.first
        self.settings.l2, self.settings.l1 = trainer._l2, trainer._extra.l1
        self._batch, self._session = trainer._batch_size, None

    def enter(self, session: Any) -> None:
        """Let steps be those of a session that is set for them."""
        handle = self.handle
        if session is self._session and not handle.is_left:
            return
        self._session, self._workspace = session, Workspaces([session], self._batch)
        handle.differentiating = self._workspace.address
        handle.slots, handle.n_slots = session._slots.ctypes.data, session._slots.size
        self.settings.begun[:] = full_hyper(session.rule)
        handle.is_left = 0

    def leave(self) -> None:
        """Let steps of compiled code be errors from now on: the session is set for something else."""
        self.handle.is_left = 1

    def set_rates(self, trainer: Any) -> None:
        """Look up the learning rates of the steps to come."""
        running, schedule, handle = trainer._running, trainer._schedule, self.handle
        self.settings.rate = running.learning_rate
        if type(schedule) is Constant:
            return
        epochs = trainer._schedule_epochs
        if trainer._n_samples is None or epochs is None:
            raise ValueError(
                f"schedule={schedule!r} needs n_samples=... and schedule_epochs=... of the trainer for steps in compiled code, for"
                " which its rates are looked up before"
            )
        first = min(running.place.epochs, epochs)
        if self._known != (running.learning_rate, first):
            steps = -(-trainer._n_samples // trainer._batch_size)
            # with one epoch more, for those after the last
            rates = np.array(schedule.rates(running.learning_rate, epochs, steps, first, epochs + 1), np.float64, order="C")
            self._rates, self._known = rates, (running.learning_rate, first)
            handle.n_rates, handle.n_steps, handle.origin = len(rates), rates.shape[1], first
            handle.rates = rates.ctypes.data


def handle_of_trainer(trainer: Any) -> TrainerHandle:
    """The handle of a trainer, which is set for steps if it is not yet."""
    net = trainer.net
    net._turn.share()
    with net._turn:
        session = trainer._stepping
        if session is None or session.entries is not None:
            session = trainer._begin_steps(np.ones((1, net.sizes[0]), net.dtype))
        found: TrainerHandle | None = trainer._handle
        if found is None:
            found = trainer._handle = TrainerHandle(trainer)
            trainer._running.place = found.handle
        found.enter(session)
        found.set_rates(trainer)
    return found
