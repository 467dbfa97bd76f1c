"""`run_together`: some epochs of a trainer whose samples are divided among processes. What `run.py` does for one process.

A mini-batch of B samples consists of P parts of B / P samples; each process has as many of the parts as all others, and each part
has samples of its own, which are visited in an order of its own. Its gradient is the sum over the parts.
"""

from contextlib import ExitStack
from copy import deepcopy
from typing import Any
from zlib import crc32

import numpy as np

from fastbp.arguments import integer
from fastbp.engine import held_out, memory, run_state, sparsity, threads, validation
from fastbp.engine.data_parallel_session import DataParallelSession
from fastbp.engine.held_out import arrays_of
from fastbp.engine.history import History
from fastbp.engine.orders import epoch_order
from fastbp.engine.run import progress_of, set_best, watch_of, watching
from fastbp.engine.supervisor import DivergenceError
from fastbp.engine.watch import takes_moment
from fastbp.kernels.samples import LEAST_WEIGHT
from fastbp.mpi.pairs import RunningSum, sum_in_pairs
from fastbp.mpi.ranks import Ranks
from fastbp.mpi.sums import Sums

# options of a trainer that its result depends on, or when it ends
ALIKE = (
    *("_batch_size", "_shuffle", "_l2", "_extra", "_schedule", "_schedule_epochs", "_patience", "_tol", "_n_iter_no_change"),
    *("_gradient_tol", "_norms"),
)


def run_together(
    trainer: Any, X: Any, y: Any, epochs: Any, given: dict[str, Any], validation_data: Any, resume: Any, comm: Any
) -> History:
    """See `Trainer.run`; `given` are arguments that one process alone has a use for."""
    ranks = comm if isinstance(comm, Ranks) else Ranks(comm)
    ranks.require_free()
    job = _Job(trainer, ranks)
    try:
        with ranks.together(), ExitStack() as stack:
            ranks.begin(lambda: job.check(X, y, epochs, given, validation_data, resume))
            told = job.resumed()
            ranks.all_do(lambda: stack.enter_context(trainer.net._turn))
            return job.run(told)
    finally:
        ranks.end()


class _Job:
    """A run, from the checks on."""

    def __init__(self, trainer: Any, ranks: Ranks) -> None:
        self.trainer, self.ranks, self.net = trainer, ranks, trainer.net
        self.options: dict[str, str] = {}

    # --- before anything is changed --------------------------------------------------------------------------------------

    def check(self, X: Any, y: Any, epochs: Any, given: dict[str, Any], validation_data: Any, resume: Any) -> dict[str, Any]:
        """Check what this process has; what must be the same in all."""
        trainer, net, ranks = self.trainer, self.net, self.ranks
        self.epochs = integer("epochs", epochs)
        self._refuse(given)
        self.rows, values, labels, self.weights = trainer._checked(X, y, None)
        self.targets = labels if labels.size else values
        count, parts = len(self.rows), ranks.parts or ranks.size
        if given["sample_weight"] is not None:  # all of which may be zero here
            self.weights = validation.some_weights(given["sample_weight"], count, "sample_weight")
        self.of_part, rest = divmod(count, ranks.own_parts)
        if rest:
            raise ValueError(f"X has {count} samples, which must be a multiple of the {ranks.own_parts} parts of a rank")
        self.batch, rest = divmod(min(trainer._batch_size, count * ranks.size), parts)
        if rest:
            least = parts * max(1, trainer._batch_size // parts)
            raise ValueError(
                f"batch_size must be a multiple of {parts}, the parts of the gradient, got {trainer._batch_size}: take {least}"
            )
        self.judged = held_out.given(net, validation_data)
        if trainer._patience is not None and self.judged is None:
            raise ValueError("patience needs validation_data")
        validation.finite_parameters("params", net._vector)
        self.parts, self.steps = parts, -(-self.of_part // self.batch)
        self.rates_of_epoch = self.steps if trainer._schedule.per_step else 1
        memory.check_room(f"epochs={epochs}", 8 * self.epochs * (4 * len(net.sizes) - 3 + self.rates_of_epoch))
        self.state = resume
        self.keeps = resume is not None or any(map(takes_moment, trainer._callbacks))
        if self.keeps:
            self.own_data = self._fingerprint()
        hyper, slots = trainer._running.kept(net)
        alike = {name[1:]: repr(getattr(trainer, name)) for name in ALIKE}
        return alike | {
            "the network": repr(net),
            "epochs": self.epochs,
            "parts": ranks.parts,
            "n_samples of X": count,
            "validation_data": run_state.fingerprint(arrays_of(self.judged) if self.judged else []),
            "whether sample_weight is given": bool(self.weights.size),
            "whether classes are given": bool(labels.size),
            "optimizer": repr(trainer._running.rule),
            "what the optimiser keeps": crc32(slots.tobytes(), crc32(hyper.tobytes())),
            "learning_rate": trainer.learning_rate,
            "epochs that are complete": trainer.epochs,
            "samples of the next epoch that steps have taken": trainer._running.place.first,
            "whether it is resumed": resume is not None,
        }

    def _refuse(self, given: dict[str, Any]) -> None:
        trainer = self.trainer
        if given["order"] is not None:
            raise ValueError("order must be left out with comm")
        if self.net.encoder:
            raise TypeError("comm is not for a TabularNetwork")
        if trainer._shuffle == "replacement":
            raise ValueError("shuffle must be True or False with comm: the rows of a part are visited once each")
        if trainer._validation_fraction:
            raise ValueError("validation_fraction must be left out with comm: give validation_data, the same on all ranks")
        if trainer._record_score:
            raise ValueError("record_score must be left out with comm: give validation_data, or score the network after the fit")

    def _fingerprint(self) -> list[str]:
        """Of the data of each part, which does not tell how many processes have them."""
        found = []
        for part in range(self.ranks.own_parts):
            own = slice(part * self.of_part, (part + 1) * self.of_part)
            each = [self.rows[own], self.targets[own], self.weights[own]]
            found.append(run_state.fingerprint([*arrays_of(each[0]), *each[1:]]))
        return found

    # --- training --------------------------------------------------------------------------------------------------------

    def run(self, told: Any) -> History:
        """All epochs, or until a rule of stopping or a callback ends it; `told` of those before, if any."""
        trainer, net, ranks, running = self.trainer, self.net, self.ranks, self.trainer._running
        self._compare_weights()
        if trainer._shuffle or trainer._extra.dropout:
            trainer._seed = ranks.first_gives(trainer._drawn_seed())  # all draw, that their generators remain alike
        ranks.take_from_first(net._vector)
        first = running.place.epochs + (running.place.first > 0)
        begun = told["begun"] if told else first
        last = begun + self.epochs
        history = History(**told["history"]) if told else History()
        if told and (first >= last or history.stopped_by is not None):
            set_best(net, told["best"])
            return history
        session = ranks.all_do(lambda: self._opened(first, last))
        sums = Sums(ranks, session.plan.n_packed, net.dtype, session.regions)
        try:
            session.put_gradient(sums.gradient)
            own = {"begun": begun, "options": self.options, "data": self.data, "split": None}

            def state(watch: Any) -> dict[str, Any]:
                kept = own | watch.rules() | {"history": deepcopy(watch.history.to_dict())}
                return {"trainer": trainer.state(), "run": kept}

            bar = progress_of(trainer, self.epochs, first - begun) if ranks.rank == 0 else None
            watch = watch_of(trainer, session, self.judged, told, None, bar, last, state, history)
            running.place.epochs, running.place.first = first, 0
            with ranks.together(), watching(trainer, session, watch):
                self._epochs(session, sums, watch, last)
                watch.restore_best()
        finally:
            running.close()
            sums.close()
        return history

    def resumed(self) -> Any:
        """What is told of the epochs before, if any; then the trainer is where they ended."""
        trainer, ranks = self.trainer, self.ranks
        self.data = ""
        if any(ranks.gather(self.keeps)):
            every = ranks.gather(self.own_data if self.keeps else self._fingerprint())
            self.data = " ".join(part for each in every for part in each)
            self.options = trainer._described(self.epochs) | {"parts": repr(self.parts)}

        def load() -> Any:
            if self.state is None:
                return None
            told = run_state.checked(self.state, self.options, self.data, self.net._vector.size, trainer._rng)
            trainer.load_state(self.state.get("trainer"))
            return told

        told = ranks.all_do(load)
        if told:
            ranks.require_alike("what resume goes on from", ranks.gather(_told_apart(told, trainer)))
        return told

    def _opened(self, first: int, last: int) -> DataParallelSession:
        """A session that is set for the epochs from `first` to before `last`."""
        trainer, net, ranks, running = self.trainer, self.net, self.ranks, self.trainer._running
        self.rows = trainer._seen(self.rows)
        entries = None if trainer._drops_inputs else sparsity.entries_for(net, self.rows)
        flop = self.batch * threads.flop_of_sample(net.sizes, entries)
        wanted = trainer._n_threads
        if wanted is None:  # the ranks of a node share its cores
            wanted = max(1, threads.usable_threads() // ranks.node.size)
        trainer._leave_steps()
        running.close()
        members = threads.members_for(flop, wanted)
        session = DataParallelSession(net, self.batch, running.rule, members=members, extra=trainer._extra, entries=entries)
        if running.state is not None:
            session.set_rule_state(running.state)
            running.state = None
        running.session = session
        values, labels = (None, self.targets) if self.targets.ndim == 1 else (self.targets, None)
        session.set_data(self.rows, values, labels, self.weights)
        session.sample_weight, session.reals.unit = self.weights, 1.0  # in the unit of all ranks, and not in one of its own
        trainer._penalise(session, self.of_part * self.parts)
        session.set_order(False)
        ends = trainer._schedule_epochs or last
        session.set_rates(trainer._schedule.rates(running.learning_rate, ends, self.rates_of_epoch, first, last))
        session.set_record(last - first, norms=trainer._norms)
        session.begin(trainer._seed or 0, first)
        return session

    def _compare_weights(self) -> None:
        """Let weights of the samples be in one unit on all ranks, so that sums of them are finite."""
        if not self.weights.size:
            return
        largest = max(self.ranks.gather(float(self.weights.max())))
        if largest == 0:
            self.ranks.raise_on_all(ValueError("sample_weight must not be all zero"))
        if not 1e-100 < largest < 1e100:
            self.weights = np.ldexp(self.weights, -int(np.frexp(largest)[1]))

    def _epochs(self, session: DataParallelSession, sums: Sums, watch: Any, last: int) -> None:
        ranks, place = self.ranks, self.trainer._running.place
        while (epoch := session.epoch) < last:
            snapshot = session.snapshot()
            try:
                session.end_epoch(self._one_epoch(session, sums, epoch))
            except BaseException:
                session.restore(snapshot)
                raise

            def look(epoch: int = epoch, snapshot: Any = snapshot) -> tuple[bool, str | None, list[int]]:
                if not session.is_finite():
                    rate = session.rate(epoch)
                    session.restore(snapshot)
                    raise DivergenceError(epoch, rate)
                place.epochs = epoch + 1  # callbacks may ask for the state
                stops = watch.after(epoch, epoch + 1, [watch.now()])
                return stops, watch.history.stopped_by, _checksum(self.net._vector)

            found = ranks.gather_from(look)
            if any(each[2] != found[0][2] for each in found):
                message = (
                    "the parameters of the ranks are no longer the same: a callback or another thread has changed them on some"
                )
                ranks.raise_on_all(RuntimeError(message))
            reasons = [reason for stops, reason, _ in found if stops]
            if reasons:
                watch.history.stopped_by = reasons[0]
                return

    def _one_epoch(self, session: DataParallelSession, sums: Sums, epoch: int) -> float:
        """All steps of an epoch; the sum of its losses, each times its samples, penalties included."""
        ranks, of_part, batch = self.ranks, self.of_part, self.batch
        own = range(ranks.own_parts)
        orders = [self._order(epoch, part) for part in own]
        inverses = self._inverses(session, orders)
        running_sum, losses, penalties = RunningSum(sums.gradient), [0.0 for _ in own], 0.0
        session.pack()
        for step in range(self.steps):
            begin, end = step * batch, min((step + 1) * batch, of_part)
            count, inverse = (end - begin) * self.parts, inverses[step]
            place = begin * self.parts
            sums.begin()
            running_sum.begin()
            for part in own:
                in_epoch = place + (ranks.rank * len(own) + part) * (end - begin)
                for layer in session.gradient(orders[part][begin:end], in_epoch, inverse):
                    if part == own[-1]:
                        running_sum.add_to(session.regions[layer])
                        sums.ready(layer)
                if part < own[-1]:
                    running_sum.keep()
                losses[part] += session.take_loss() * count
            sums.finish()
            penalties += session.update(count, place, inverse, step)
        total: float = sum_in_pairs(loss for each in ranks.gather(losses) for loss in each)
        return total + penalties

    def _order(self, epoch: int, part: int) -> np.ndarray:
        """Rows of a part of this rank, in the order of an epoch."""
        number = self.ranks.rank * self.ranks.own_parts + part
        if self.trainer._shuffle:
            rows = epoch_order((self.trainer._seed + number) % (1 << 63), epoch, self.of_part)
        else:
            rows = np.arange(self.of_part, dtype=np.int32)
        rows += part * self.of_part
        return rows

    def _inverses(self, session: DataParallelSession, orders: list[np.ndarray]) -> list[float]:
        """1 over the weight of each mini-batch of an epoch, 0 of one that weighs nothing."""
        begins = range(0, self.of_part, self.batch)
        if not self.weights.size:
            return [1.0 / (self.parts * (min(begin + self.batch, self.of_part) - begin)) for begin in begins]
        weights = session.sample_weight
        own = [np.add.reduceat(weights[order], list(begins)).tolist() for order in orders]
        totals = sum_in_pairs(np.array(part) for each in self.ranks.gather(own) for part in each)
        return [0.0 if total < LEAST_WEIGHT else 1.0 / total for total in totals.tolist()]


def _checksum(numbers: np.ndarray) -> list[int]:
    """Of the bits: enough to see that parameters are not the same, in a tenth of the time of a cyclic redundancy check."""
    words = numbers.view(f"u{numbers.itemsize}")
    return [int(np.bitwise_xor.reduce(words)), int(words.sum(dtype=np.uint64))]


def _told_apart(told: dict[str, Any], trainer: Any) -> str:
    """What tells a run that is gone on with, and the state of its trainer, from others."""
    state = trainer.state()
    numbers = [told[name] for name in ("begun", "stop", "patience")] + [state[name] for name in ("learning_rate", "epochs", "seed")]
    text = np.frombuffer(repr([numbers, told["history"]]).encode(), np.uint8)
    return run_state.fingerprint([text, told["best"], state["params"], state["hyper"], state["slots"]])
