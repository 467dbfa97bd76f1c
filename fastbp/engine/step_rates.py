"""Learning rate of a step that is taken alone."""

from typing import Any

from fastbp.schedules import Constant, Schedule


class StepRates:
    """Looks up what `schedule` says of one step.

    Parameters
    ----------
    schedule : Schedule
    n_samples : int or None
        Samples of an epoch, which a constant rate does not need.
    batch_size : int
    epochs : int or None
        Of the whole training, for a schedule that is laid out to its end.
    """

    def __init__(self, schedule: Schedule, n_samples: int | None, batch_size: int, epochs: int | None) -> None:
        self._schedule, self._epochs = schedule, epochs
        self._batch_size, self._is_constant = batch_size, type(schedule) is Constant
        self._steps = None if n_samples is None else -(-n_samples // batch_size)
        self._found: tuple[Any, ...] = ()  # rates of an epoch: what they depend on, and they

    def at(self, rate: float, epoch: int, first: int) -> float:
        """Rate of the step that begins with sample `first` of `epoch`; `rate` is what the schedule multiplies."""
        if self._is_constant:
            return rate
        schedule = self._schedule
        if self._steps is None or (self._epochs is None and schedule.needs_end):
            raise ValueError(
                f"schedule={schedule!r} needs n_samples=... of the trainer for steps, to know where an epoch ends"
                + (", and schedule_epochs=..., to know where the training does" if schedule.needs_end else "")
            )
        if (rate, epoch) != self._found[:2]:
            self._found = rate, epoch, schedule.rates(rate, self._epochs or epoch + 1, self._steps, epoch, epoch + 1)[0]
        rates = self._found[2]
        return float(rates[min(first // self._batch_size, len(rates) - 1)])
