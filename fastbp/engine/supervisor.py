"""Trains a session: epochs in short calls of the kernel, until a rule says stop; back to finite weights where training diverges."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from time import perf_counter
from typing import Any

from fastbp.engine.session import seconds_of_call
from fastbp.engine.training_session import TrainingSession
from fastbp.kernels.plan import MAX_PIECES

MOST_CHANGE = 8  # of the pieces from one call to the next
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

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 4, 1], rng=0)
    >>> try:
    ...     net.fit([[1e3], [2e3]], [1.0, 2.0], optimizer=fastbp.SGD(1e9))
    ... except fastbp.DivergenceError as error:
    ...     print(error.epoch == len(error.history.loss))
    True
    """

    def __init__(self, epoch: int, learning_rate: float, message: str | None = None) -> None:
        self.epoch, self.learning_rate = epoch, learning_rate
        super().__init__(
            message
            or f"training diverged in epoch {epoch + 1}: the loss or a weight is not finite. The last finite weights were"
            f" restored. Lower the learning rate (now {learning_rate:g}), or scale X to mean 0 and deviation 1"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.epoch, self.learning_rate, str(self))


class OverwrittenError(DivergenceError):
    """Somebody else than the kernels has written numbers into the parameters that are not finite; they are earlier ones again."""


@dataclass
class Stopping:
    """The rule that ends a training: so many epochs running without progress of a loss, or of the negative of a score.

    Where that is the training loss the kernel itself follows it (`Session.set_stop`), so that it costs no call an epoch.
    """

    tol: float  # what a loss must gain on the best one to be progress
    limit: float  # epochs without progress that are the end
    best: float = float("inf")  # the lowest loss so far
    waited: int = 0  # epochs without progress so far
    strict: bool = True  # a gain must be more than `tol`; else at least that

    def follow(self, loss: float) -> bool:
        """Count an epoch; whether its loss is the lowest so far."""
        bound = self.best - self.tol
        self.waited = 0 if loss < bound or (loss == bound and not self.strict) else self.waited + 1
        is_lowest = loss < self.best
        self.best = loss if is_lowest else self.best
        return is_lowest

    def is_over(self) -> bool:
        """Whether the training ends here."""
        return self.waited >= self.limit


class Supervisor:
    """Runs epochs of a session in kernel calls that are short enough for Ctrl-C, and undoes a call in which training diverged.

    Parameters
    ----------
    session : TrainingSession
        Its data, rates and record have been set. Epoch e is the one with ``session.rate(e)``, the next one is `session.epoch`.
    halt : threading.Event, optional
        Where it is set, by another thread, this is interrupted.
    """

    def __init__(self, session: TrainingSession, halt: Event | None = None) -> None:
        self.session, self.halt = session, halt
        copies = 4 + session.rule.slots  # packed and unpacked, kept with the slots, and looked at
        self.seconds = seconds_of_call(session.net, copies)
        self.pieces = session.pieces_in(self.seconds)
        self.snapshot: Any = None  # before the last call

    def run(self, epochs: int, after: Callable[[int, int, list[float]], bool], *, each: bool = False) -> bool:
        """Go on to `epochs`, or until `after` says stop; whether it did.

        Parameters
        ----------
        epochs : int
        after : callable
            ``after(first, last, times)`` is called when calls of the kernel have completed the epochs range(first, last), with the
            values of `perf_counter` at the end of each. A rule that the kernel follows has ended the last one if it is over. True
            means stop.
        each : bool
            End calls with an epoch, so that something can be done after each.

        Raises
        ------
        DivergenceError
            Its ``epoch`` is the one at fault; the session is as it was at the end of the epoch before (or, where an epoch takes
            several calls, of the call before, or before the mini-batch that takes several).
        """
        session = self.session
        with self._whole_batches():
            while (first := session.epoch) < epochs:
                start, seconds = self._call(first, first + 1 if each else epochs, self.pieces)
                count = session.epoch - first
                if count and after(first, first + count, [start + seconds * k / count for k in range(1, count + 1)]):
                    return True
        return False

    def run_rows(self, last: int) -> None:
        """Go on to before row `last` of the epoch at hand, whose rows up to there the session has (`TrainingSession.set_block`).

        Raises
        ------
        DivergenceError
            The session is as it was before the call of the kernel that is at fault.
        """
        session, epoch = self.session, self.session.epoch
        with self._whole_batches():
            while session.epoch == epoch and session.rows_done < last:
                # each takes one piece at least
                self._call(epoch, epoch + 1, min(self.pieces, -(-(last - session.rows_done) // session.batch)))

    @contextmanager
    def _whole_batches(self) -> Iterator[None]:
        """Nothing remains of a mini-batch that is not finished."""
        try:
            yield
        except BaseException:
            if not self.session.is_between_batches:
                self.session.restore(self.snapshot)
            raise

    def _call(self, first: int, until: int, pieces: int) -> tuple[float, float]:
        """One call of the kernel, from the epoch at hand on, whose result is finite; when it began, and how long it took."""
        session = self.session
        if self.halt is not None and self.halt.is_set():
            raise KeyboardInterrupt
        if session.is_between_batches:
            self.require_finite(first)
            self.snapshot = session.snapshot()
        start = perf_counter()
        is_all = session.train(until, pieces)
        seconds = perf_counter() - start
        if not session.is_finite():
            raise DivergenceError(self._restore_last_finite(first), session.rate(first))
        is_short = is_all and seconds < self.seconds / 2
        if seconds > self.seconds * 2 or is_short:
            change = min(max(self.seconds / max(seconds, 1e-9), 1 / MOST_CHANGE), MOST_CHANGE)
            wanted = min(max(1, int(pieces * change)), MAX_PIECES)
            self.pieces = max(self.pieces, wanted) if is_short else wanted
        return start, seconds

    def require_finite(self, epoch: int) -> None:
        """Raise if somebody else, as a callback, has written numbers into the parameters that are not finite, before that epoch."""
        session = self.session
        if session.has_finite_parameters():
            return
        learning_rate = session.rate(max(session.plan.origin, epoch - 1))
        if self.snapshot is None:
            raise OverwrittenError(epoch, learning_rate, "another thread has written NaN or infinity into the parameters")
        session.restore(self.snapshot)
        where = f"after epoch {epoch}" if epoch else "before the first epoch"
        message = OVERWRITTEN.format(where=where, which="before the last call of the kernel")
        raise OverwrittenError(epoch, learning_rate, message)

    def _restore_last_finite(self, before: int) -> int:
        """Give the network the weights after the last good epoch of a call, by running it again so far; the next epoch."""
        session = self.session
        last = session.epoch - 1 if session.is_between_epochs else session.epoch
        while True:
            session.restore(self.snapshot)
            if last <= before:
                return before
            session.train_to(last)
            if session.is_finite():
                return last
            last -= 1
