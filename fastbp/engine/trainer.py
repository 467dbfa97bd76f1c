"""`Trainer`: what a training is, as an object that lasts from one call to the next."""

from copy import deepcopy
from math import isfinite, isnan
from typing import Any

import numpy as np

from fastbp import minimizers, optimizers, schedules
from fastbp.arguments import boolean, integer, is_boolean, positive, real
from fastbp.engine import regularization, sparsity, states, validation
from fastbp.engine.data_parallel_run import run_together
from fastbp.engine.history import History
from fastbp.engine.rule import RunningRule
from fastbp.engine.run import run
from fastbp.engine.step_rates import StepRates
from fastbp.engine.stream_run import run_stream, source_of
from fastbp.engine.supervisor import DivergenceError
from fastbp.engine.watch import wants_bar

DIVERGED = (
    "training diverged: {} is not finite. The weights are as before the step, {}. Lower the learning rate (now {:g}), or scale X to"
    " mean 0 and deviation 1"
)
OF_LOSS = "the loss of these samples", "and so is the optimiser"
OF_STEP = "a weight after the step", "and the optimiser begins anew"


class Trainer:
    """Trains a network, for as long as you like: by mini-batches of your own, by epochs, or by whole runs, in any order.

    Between calls it keeps what the optimiser keeps (velocities, moving averages, the count of steps), where the random orders and
    masks are, and its buffers. `Network.fit` is a trainer that is used once. The network may be used otherwise, and its parameters
    be set, between two calls.

    Parameters
    ----------
    net : Network
    n_samples : int, optional
        Samples of the data set, for `step`, which does not see it: `l1` and `l2` are divided by it, and an epoch is over after so
        many. By default penalties are divided by the samples of the step, and the epoch never ends. A `run` counts its own.
    schedule_epochs : int, optional
        Epochs that `schedule` is laid out for; by default up to the end of the `run` at hand.
    batch_size : int, default 32
    optimizer : str or Optimizer, default "sgd"
    shuffle : bool or "replacement", default True
    l1 : float, default 0
    l2 : float, default 0
    clip_norm : float, optional
    clip_value : float, optional
    max_norm : float, optional
    dropout : float or list of float, default 0
    input_dropout : float, default 0
    schedule : str or Schedule, default "constant"
    validation_fraction : float, default 0
    tol : float, optional
    n_iter_no_change : int, default 10
    gradient_tol : float, optional
    patience : int, optional
    record_norms : bool, default False
    record_score : bool, default False
    callbacks : iterable of callable
    progress : bool, default False
    n_threads : int, optional
    rng : None, int or numpy.random.Generator, optional
        As for `Network.fit`. With every run rules of stopping begin anew, and `validation_fraction` draws anew which rows are kept.

    Attributes
    ----------
    net : Network
    epochs : int
        That are complete.
    learning_rate : float
        What `schedule` multiplies, at first that of the optimiser; may be set.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network([2, 8, 1], rng=0)
    >>> trainer = net.trainer(optimizer=fastbp.Adam(1e-3), batch_size=32)
    >>> X, y = np.zeros((32, 2), np.float32), np.ones((32, 1), np.float32)
    >>> trainer.step(X, y)
    0.5
    """

    def __init__(
        self,
        net: Any,
        *,
        n_samples: Any = None,
        schedule_epochs: Any = None,
        batch_size: Any = 32,
        optimizer: Any = "sgd",
        shuffle: Any = True,
        l1: Any = 0.0,
        l2: Any = 0.0,
        clip_norm: Any = None,
        clip_value: Any = None,
        max_norm: Any = None,
        dropout: Any = 0.0,
        input_dropout: Any = 0.0,
        schedule: Any = "constant",
        validation_fraction: Any = 0.0,
        tol: Any = None,
        n_iter_no_change: Any = 10,
        gradient_tol: Any = None,
        patience: Any = None,
        record_norms: Any = False,
        record_score: Any = False,
        callbacks: Any = (),
        progress: Any = False,
        n_threads: Any = None,
        rng: Any = None,
    ) -> None:
        self.net = net
        self._n_samples = None if n_samples is None else integer("n_samples", n_samples)
        self._schedule_epochs = None if schedule_epochs is None else integer("schedule_epochs", schedule_epochs)
        self._batch_size = integer("batch_size", batch_size)
        if minimizers.is_one(optimizer):
            raise ValueError(f"optimizer={optimizer!r} takes all samples at once, and no steps: give it to Network.fit")
        self._running = RunningRule(optimizers.get(optimizer))
        self._l2 = real("l2", l2)
        self._extra = regularization.checked(len(net.hidden), l1, clip_norm, clip_value, max_norm, dropout, input_dropout)
        if net.encoder:
            of_gradients = {"clip_norm": clip_norm, "clip_value": clip_value, "gradient_tol": gradient_tol}
            for name, value in (of_gradients | {"record_norms": record_norms or None}).items():
                if value is not None:
                    raise ValueError(f"{name} must be left out: of a TabularNetwork, gradients of the encoder are not kept")
        self._drops_inputs = regularization.drops_inputs(self._extra)
        self._schedule = schedules.get(schedule)
        self._rng = net.rng if rng is None else validation.generator(rng)
        self._validation_fraction = real("validation_fraction", validation_fraction)
        self._patience = None if patience is None else integer("patience", patience)
        self._n_iter_no_change = integer("n_iter_no_change", n_iter_no_change)
        self._tol = None if tol is None else real("tol", tol)
        self._gradient_tol = None if gradient_tol is None else real("gradient_tol", gradient_tol)
        if shuffle != "replacement" if isinstance(shuffle, str) else not is_boolean(shuffle):
            raise ValueError(f"shuffle must be True, False or 'replacement', got {shuffle!r}")
        self._shuffle = shuffle
        self._n_threads = None if n_threads is None else integer("n_threads", n_threads)
        self._callbacks = validation.functions("callbacks", callbacks)
        self._record_norms = boolean("record_norms", record_norms)
        self._record_score = boolean("record_score", record_score)
        self._progress = wants_bar(progress)
        self._norms = self._record_norms or gradient_tol is not None
        self._seed: int | None = None  # of orders and masks, drawn when it is first needed
        self._stepping: Any = None  # the session, where it is set for steps
        self._handle: Any = None  # what compiled code has of this trainer (`fastbp.embed`)
        self._is_penalised = self._l2 > 0 or self._extra.l1 > 0
        self.halt: Any = None  # an event that interrupts a run, set by another thread
        self._rate = np.zeros(1)  # of the next step
        self._step_rates = StepRates(self._schedule, self._n_samples, self._batch_size, self._schedule_epochs)

    @property
    def epochs(self) -> int:
        """Epochs that are complete."""
        return int(self._running.place.epochs)

    @property
    def learning_rate(self) -> float:
        """What the schedule multiplies."""
        return self._running.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._running.learning_rate = positive("learning_rate", value)

    def step(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Train by one mini-batch: all samples given.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_inputs)
            At most `batch_size` samples.
        y : array_like
            Targets; see `Network.loss`.
        sample_weight : array_like (n_samples,), optional
            As for `Network.fit`.

        Returns
        -------
        float
            Mean loss of the samples before the step, penalties included.

        Raises
        ------
        ValueError, TypeError
            Naming the argument at fault, before anything is changed.
        DivergenceError
            Where the loss is not finite: everything is as it was before the call. Where a parameter would not be after the step:
            the parameters are as they were, and the optimiser begins anew.
        RuntimeError
            While the network is being trained already.
        """
        net = self.net
        rows, values, labels, weights = self._checked(X, y, sample_weight)
        rows, count = self._seen(rows), len(rows)
        if count > self._batch_size:
            raise ValueError(f"X has {count} samples, but batch_size of this trainer is {self._batch_size}: give no more in a step")
        place = self._running.place
        rate = self._step_rates.at(self._running.learning_rate, place.epochs, place.first)
        with net._turn:
            session = self._stepping
            if session is None or not session.takes(rows):
                session = self._begin_steps(rows)
            if self._is_penalised:
                self._penalise(session, self._n_samples or count)
            session.set_place(place.epochs, place.first)
            self._rate[0] = rate
            loss = session.step(count, rows, values, labels, weights)
            if not isfinite(loss):
                raise DivergenceError(self.epochs, rate, DIVERGED.format(*(OF_LOSS if isnan(loss) else OF_STEP), rate))
            place.first += count
            if self._n_samples is not None and place.first >= self._n_samples:
                place.epochs, place.first = place.epochs + 1, 0
        return loss

    def epoch(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """`run` for one epoch.

        Parameters
        ----------
        X
            As for `Network.fit`: an array, or a `stream` without `y`.
        y : optional
            As for `Network.fit`.
        sample_weight : array_like (n_samples,), optional

        Returns
        -------
        float
            Mean loss of the samples, each before the step of its mini-batch.
        """
        return self.run(X, y, 1, sample_weight=sample_weight).loss[0]

    def run(
        self,
        X: Any,
        y: Any = None,
        epochs: Any = 10,
        *,
        order: Any = None,
        sample_weight: Any = None,
        validation_data: Any = None,
        resume: Any = None,
        comm: Any = None,
    ) -> History:
        """Train for some epochs, or until a rule of stopping or a callback ends it.

        Where steps have begun an epoch, that one is over. Two runs of some epochs end where one of all of them does, if no rule
        stops them, and the schedule has one rate or is laid out by `schedule_epochs`.

        Parameters
        ----------
        X
            As for `Network.fit`: an array, or a `stream` without `y`.
        y : optional
            As for `Network.fit`.
        epochs : int, default 10
        order, sample_weight, validation_data : optional
            As for `Network.fit`.
        resume : dict, optional
            Of an earlier run with the same options on the same data, a state that a callback took (`fastbp.Checkpoint`): train on
            from there, up to `epochs` in all.
        comm : mpi4py.MPI.Intracomm or Ranks, optional
            As for `Network.fit`.

        Returns
        -------
        History
            Of these epochs, and of those before where the run is resumed.

        Raises
        ------
        ValueError, TypeError, DivergenceError, RuntimeError
            As `Network.fit`.
        """
        source, given = source_of(X, y), {"order": order, "sample_weight": sample_weight}
        if comm is not None:
            if source is not None:
                raise TypeError("X must be arrays with comm, which takes no stream: give each rank its rows")
            return run_together(self, X, y, epochs, given, validation_data, resume, comm)
        if source is not None:
            return run_stream(self, source, epochs, given, validation_data, resume)
        history: History = run(self, X, y, epochs, order, sample_weight, validation_data, resume)
        return history

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on: `load_state` of a trainer with the same options continues to the same bits.

        Returns
        -------
        dict
            "params" (n_params,), and like it each of the "slots" (n_slots, n_params); "hyper" (8,), of the optimiser;
            "optimizer", its name; "learning_rate", "epochs", "first" (samples of the next epoch that steps have taken) and "seed"
            (None before the first draw), numbers; "rng", the state of the generator's `bit_generator`. Arrays are copies.
        """
        running, net = self._running, self.net
        hyper, slots = running.kept(net)
        return {
            "params": net._vector.copy(),
            "hyper": hyper,
            "slots": slots,
            "optimizer": running.rule.name,
            "learning_rate": running.learning_rate,
            "epochs": running.place.epochs,
            "first": running.place.first,
            "seed": self._seed,
            "rng": self._rng.bit_generator.state,
        }

    def load_state(self, state: Any) -> None:
        """Go on from a `state`; the network gets its parameters, the generator its state.

        Raises
        ------
        ValueError, TypeError
            Naming the item at fault; nothing is changed then.
        """
        found = states.checked(state, self.state(), self._rng)
        net, running = self.net, self._running
        with net._turn:
            net._vector[:] = found["params"]
            running.load((found["hyper"], found["slots"]))
            running.learning_rate, running.place.epochs, running.place.first = (
                found[name] for name in ("learning_rate", "epochs", "first")
            )
            self._seed, self._rng.bit_generator.state = found["seed"], found["rng"]
            self._leave_steps()

    def leave_buffers(self) -> None:
        """Let the next training of the network have the buffers; this one, if it goes on, has forgotten what the optimiser kept."""
        self._leave_steps()
        self._running.retire()

    def _leave_steps(self) -> None:
        """Let the session be set for something else, which steps of compiled code must not find in its place."""
        self._stepping = None
        if self._handle is not None:
            self._handle.leave()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_stepping": None, "_handle": None}

    def __copy__(self) -> "Trainer":
        return deepcopy(self)  # else two trainers would go on with one state of the optimiser

    def _checked(self, X, y, sample_weight):
        """Rows, targets (those of the two kinds that are not given are empty) and weights."""
        net = self.net
        rows = net._samples("X", X)
        values, labels = validation.targets("y", y, len(rows), net.sizes[-1], net.loss_function.task, net.dtype)
        return rows, values, labels, validation.weights_of_samples(sample_weight, len(rows))

    def _seen(self, rows):
        """Rows as the kernel takes them: masks of dropped inputs are for rows with their zeros."""
        return sparsity.dense(rows) if self._drops_inputs else rows

    def _open(self, rows, batch, n_threads):
        self._leave_steps()
        entries = None if self._drops_inputs else sparsity.entries_for(self.net, rows)
        plain = not self._norms and self._l2 == 0
        return self._running.open(self.net, batch, rows, entries, n_threads, plain=plain, extra=self._extra)

    def _begin_steps(self, rows):
        session = self._stepping = self._open(rows, self._batch_size, self._n_threads)
        session.set_rates(self._rate)
        session.set_record(1, norms=self._norms)
        session.begin(self._drawn_seed() if self._extra.dropout else 0, self._running.place.epochs, steps=True)
        return session

    def _penalise(self, session, n_samples):
        session.set_penalty(self._l2 / n_samples, self._extra.l1 / n_samples)

    def _described(self, epochs: int) -> dict[str, str]:
        """The options that a run's result depends on."""
        names = "batch_size shuffle l2 validation_fraction tol n_iter_no_change gradient_tol patience record_norms record_score"
        found = {name: repr(getattr(self, f"_{name}")) for name in names.split()}
        found |= {"optimizer": repr(self._running.rule), "schedule": repr(self._schedule), "regularization": repr(self._extra)}
        return found | ({"epochs": repr(self._schedule_epochs or epochs)} if self._schedule.needs_end else {})

    def _drawn_seed(self) -> int:
        if self._seed is None:
            self._seed = drawn_seed(self._rng)
        return self._seed


def drawn_seed(rng: np.random.Generator) -> int:
    """The seed of orders and masks of a training."""
    return int(rng.integers(1 << 63))
