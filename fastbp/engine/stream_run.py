"""`run_stream`: some epochs of a trainer on blocks that are read meanwhile. What `run.py` does with arrays that stay."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

from fastbp.arguments import integer
from fastbp.engine import held_out, run_state, validation
from fastbp.engine.history import History
from fastbp.engine.run import progress_of, set_best, watch_of, watching
from fastbp.engine.run_state import Moment
from fastbp.engine.stream_reading import Checks, blocks_of, reading
from fastbp.engine.supervisor import Supervisor
from fastbp.engine.watch import Watch, takes_moment
from fastbp.streams import Source, stream
from fastbp.streams.ahead import ReadAhead
from fastbp.streams.blocks import Block, Epochs, Orders

UNKNOWN = "{} needs the number of rows, which this stream tells after its first epoch only: give stream(..., n_rows=...)"


def source_of(X: Any, y: Any) -> Source | None:
    """The source that is given in the place of X, or what `stream` makes of an X without y; None: there are arrays."""
    if isinstance(X, Source):
        if y is not None:
            raise ValueError("y must be left out: a stream has its targets, give them to fastbp.stream")
        return X
    if y is None and hasattr(X, "shape"):
        raise ValueError("y must be given with X: only samples, parts and tables have targets of their own")
    return stream(X) if y is None else None


def run_stream(trainer: Any, source: Source, epochs: Any, given: dict[str, Any], validation_data: Any, resume: Any) -> History:
    """See `Trainer.run`; `given` are the arguments that only arrays go with."""
    net, epochs = trainer.net, integer("epochs", epochs)
    judged = held_out.given_or_stream(net, validation_data)
    _refuse(trainer, source, given, judged)
    validation.finite_parameters("params", net._vector)
    told, options, data = None, {}, ""
    if resume is not None or any(map(takes_moment, trainer._callbacks)):
        options = trainer._described(epochs)
        data = f"{source.describe()} {held_out.fingerprint_of([], judged)}"
    if resume is not None:
        told = run_state.checked(resume, options, data, net._vector.size, trainer._rng)
        trainer.load_state(resume.get("trainer"))
    with net._turn:
        place, part = trainer._running.place, told and told.get("part")
        done = place.first if part else 0
        first = place.epochs + (place.first > 0 and not part)
        begun = told["begun"] if told else first
        last = begun + epochs
        history = History(**told["history"]) if told else History()
        if told and (first >= last or history.stopped_by is not None):
            set_best(net, told["best"])
            return history
        with reading(judged), _opened(trainer, source, first, last, done) as (run, blocks):
            own = {"begun": begun, "options": options, "data": data, "split": None}
            state: Callable[[Watch], dict[str, Any]] = partial(_state, trainer, run, own)
            bar = progress_of(trainer, epochs, first - begun)
            watch = watch_of(trainer, run.session, judged, told, None, bar, last, state, history)
            place.epochs, place.first = first, done
            with watching(trainer, run.session, watch):
                run.train(blocks, watch, part, done)
                watch.restore_best()
                run.supervisor.require_finite(begun + len(history.loss))
    return history


@contextmanager
def _opened(trainer: Any, source: Source, first: int, last: int, done: int) -> Iterator[tuple["_Run", ReadAhead[Block]]]:
    """Blocks of a source, the first of which has been read and checked; before that, nothing of the trainer is changed."""
    seed, drawn = trainer._seed, trainer._rng.bit_generator.state
    with reading(source):
        batch = trainer._batch_size if source.n_rows is None else min(trainer._batch_size, source.n_rows)
        rows = Epochs(source, Checks(trainer.net), batch, Orders(trainer._drawn_seed()) if trainer._shuffle else None)
        with blocks_of(rows, first, last, done, trainer.halt) as blocks:
            try:
                block = next(blocks)
            except BaseException:
                trainer._seed, trainer._rng.bit_generator.state = seed, drawn
                raise
            run = _Run(trainer, source, rows, last, block)
            del block  # which the run lets go of
            yield run, blocks


class _Run:
    """Epochs of blocks: those of a stream, one after another."""

    def __init__(self, trainer: Any, source: Source, rows: Epochs, last: int, block: Block) -> None:
        self.trainer, self.source, self.rows, self.last = trainer, source, rows, last
        self.blocks_done, self.first_block = 0, [block]
        self.weighs = False  # whether any sample of the epoch does
        session = self.session = trainer._open(trainer._seen(block.data[0]), rows.batch, trainer._n_threads)
        # penalties are divided by the rows of an epoch, which `_refuse` has made sure of where there are any
        trainer._penalise(session, source.n_rows or 1)
        session.set_record(2, norms=trainer._norms)
        self.supervisor = Supervisor(session, trainer.halt)
        self._begin_epoch(block.epoch)

    def train(self, blocks: ReadAhead[Block], watch: Watch, part: Any, done: int) -> None:
        """All blocks, or until a rule of stopping or a callback ends it."""
        session, place = self.session, self.trainer._running.place
        if part:
            session.go_on_with_part(part, done)
        block = self.first_block.pop()
        while True:
            session.set_block(block.data, block.order, block.epoch, block.first, block.is_last)
            self.weighs |= not len(block.data[3]) or bool(block.data[3].any())
            self.supervisor.run_rows(block.last)
            self.blocks_done += 1
            if block.is_last:
                if not self.weighs:
                    raise ValueError("sample_weight must not be all zero in an epoch")
                place.epochs, place.first = block.epoch + 1, 0  # callbacks may ask for the state
                if watch.after(block.epoch, block.epoch + 1, [watch.now()]) or block.epoch + 1 >= self.last:
                    return
                self._begin_epoch(block.epoch + 1)
            else:
                place.first = block.last
                self._between(watch)
            del block  # neither of these holds it while the next one is waited for
            session.release_data()
            block = next(blocks)

    def _begin_epoch(self, epoch: int) -> None:
        session, trainer = self.session, self.trainer
        rates = self._rates(epoch)
        rates = rates.repeat(2, axis=0)  # see `set_block`
        session.set_rates(rates)
        session.begin(trainer._drawn_seed() if trainer._shuffle or trainer._extra.dropout else 0, epoch)
        session.plan.origin = epoch - 1
        self.weighs = False

    def _rates(self, epoch: int) -> Any:
        trainer, n_rows = self.trainer, self.source.n_rows
        steps = 1 if n_rows is None else -(-n_rows // self.rows.batch)
        ends = trainer._schedule_epochs or self.last
        return trainer._schedule.rates(trainer._running.learning_rate, ends, steps, epoch, epoch + 1)

    def _between(self, watch: Watch) -> None:
        """Let callbacks that keep states do so within an epoch, too."""
        for callback in watch.callbacks:
            within = getattr(callback, "after_block", None) if takes_moment(callback) else None
            if within is not None:
                within(self.blocks_done, self.trainer.net, watch.history, Moment(partial(watch.state, watch), False))


def _state(trainer: Any, run: _Run, own: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """What the run goes on from; within an epoch, with the sums of its part."""
    part = run.session.part if trainer._running.place.first else None
    kept = own | watch.rules() | {"history": deepcopy(watch.history.to_dict()), "part": part}
    return {"trainer": trainer.state(), "run": kept}


def _refuse(trainer: Any, source: Source, given: dict[str, Any], judged: Any) -> None:
    """Raise for what needs all rows at once, or their number where that is not known."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} must be left out for a stream" + (": give it to stream" if name == "sample_weight" else ""))
    if trainer.net.encoder:
        raise TypeError("X must be arrays: a TabularNetwork takes no stream")
    names, others = source.names, judged.names if isinstance(judged, Source) else None
    if names is not None and others is not None and list(names) != list(others):
        raise ValueError(f"columns of validation_data must be those of X, {names[:20]}, got {others[:20]}")
    if trainer._shuffle == "replacement":
        raise ValueError("shuffle='replacement' needs arrays: a stream is read from one end to the other, shuffled or not")
    if trainer._record_score:
        raise ValueError("record_score=True needs arrays: give validation_data, or score the network after the fit")
    if trainer._validation_fraction:
        raise ValueError("validation_fraction needs arrays: give validation_data=(X, y), or another stream")
    if trainer._patience is not None and judged is None:
        raise ValueError("patience needs validation_data")
    if source.n_rows is None:
        if trainer._is_penalised:
            raise ValueError(UNKNOWN.format("l2 or l1"))
        if trainer._schedule.per_step:
            raise ValueError(UNKNOWN.format(f"schedule={trainer._schedule!r}"))
