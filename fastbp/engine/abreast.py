"""Many networks of one shape in calls of one kernel, which has a network in each lane: see :mod:`fastbp.kernels.abreast`.

Legend: K networks; P parameters of one; W lanes; N samples; m rows that a network visits in an epoch; E epochs.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from fastbp.activations import Identity
from fastbp.engine import memory, planner, threads, validation
from fastbp.engine.session import CALL_SECONDS, name_classes
from fastbp.engine.training_session import full_hyper
from fastbp.engine.validation import NO_WEIGHTS
from fastbp.kernels.abreast.lanes import Group, Lane
from fastbp.kernels.abreast.train import run_abreast
from fastbp.kernels.modes import TRAIN
from fastbp.kernels.plan import GIVEN, NOT_PENALISED, PER_BATCH, PER_POPULATION, RUNNING, STOPPED, Reals
from fastbp.optimizers import N_HYPER
from fastbp.simd import register
from fastbp.simd.philox import SEEDS

NO_ROWS = np.zeros(0, np.int32)
MOST_BYTES = 1 << 17  # of the parameters of networks side by side, one in each lane
MOST_FLOP = 4e9  # of an epoch of a group: a fifth of a second
ROUNDS = 20  # in which epochs are divided where networks may stop before: lanes of those that have are given to others


def columns_of(count: int, itemsize: int) -> int:
    """Columns of a matrix that kernels take as many as are 128 bits together."""
    return planner.round_up(count, 16 // itemsize)


def inputs(rows: np.ndarray) -> np.ndarray:
    """(N, I') of samples (N, I): a column of ones after the last, and zeros to a multiple of what is taken together."""
    found = np.zeros((len(rows), columns_of(rows.shape[1] + 1, rows.itemsize)), rows.dtype)
    found[:, : rows.shape[1]] = rows
    found[:, rows.shape[1]] = 1
    return found


def targets(values: np.ndarray) -> np.ndarray:
    """(..., N, O') of targets (..., N, O)."""
    found = np.zeros((*values.shape[:-1], columns_of(values.shape[-1], values.itemsize)), values.dtype)
    found[..., : values.shape[-1]] = values
    return found


class Lanes:
    """Plan, buffers and machine code with which one thread calls the kernel on one group of networks after another.

    Parameters
    ----------
    net : Network
        One like all.
    batch : int
        Samples in a mini-batch, or in a block where no step is taken.
    rows : int
        The most rows that are numbered in a call: m, or a block.
    optimizer : Optimizer, optional
    own_targets : bool
        Whether networks have targets of their own.
    """

    def __init__(self, net, batch: int, rows: int, optimizer=None, *, own_targets=False):
        loss, self.dtype = net.loss_function, net.dtype
        training = [*net.hidden, Identity() if loss.link else net.output]
        itemsize = self.dtype.itemsize
        self.width = register.register_bytes() // itemsize
        slots = optimizer.slots if optimizer else 0
        self.plan, length = planner.make_abreast_plan(
            net.sizes, training, lanes=self.width, batch=batch, slots=slots, itemsize=itemsize
        )
        self.work = memory.zeros(length, self.dtype)
        self.plan.batch = batch
        choice = name_classes(self.plan, self.work, net, training, optimizer)
        self.group = Group.view.of(np.zeros(Group.size, np.int64))
        self.group.slots = slots
        self.members = np.zeros((self.width, Lane.size), np.int64)
        self.reals = np.zeros((self.width, Reals.size))
        self.words = np.zeros(5 * SEEDS, np.int64)
        self.group.row_stride = stride = max(rows, self.plan.block)
        self.rows = memory.zeros(stride * self.width, np.int32)
        self.rows_of_y = memory.zeros(self.rows.size, np.int32) if own_targets else self.rows
        self._run = run_abreast.compiled(choice, self.dtype)

    def call(self, mode: int, crowd, networks, out=None) -> int:
        """One call on these networks of a `Crowd`, W at most; with `out` as in `run_abreast`."""
        count, group, lanes, reals = len(networks), self.group, crowd.lanes, crowd.reals
        group.members = count
        self.members[:count], self.members[count:] = lanes[networks], lanes[networks[0]]
        self.reals[:count], self.reals[count:] = reals[networks], reals[networks[0]]
        self.members[count:, STATUS] = STOPPED
        nothing = validation.NOTHING[self.dtype]
        own = self.plan.numbers, self.work, group.numbers, self.members.reshape(-1)
        vectors = crowd.params.reshape(-1), crowd.slots.reshape(-1), crowd.best.reshape(-1)
        records = crowd.rates.reshape(-1), crowd.losses.reshape(-1), crowd.held_losses.reshape(-1)
        samples = [each for part in (crowd.samples, crowd.held) for each in part.arrays()]
        data = *samples, self.words, self.rows, self.rows_of_y, nothing if out is None else out.reshape(-1)
        result = self._run(mode, *own, *vectors, self.reals.reshape(-1), *records, crowd.given, *data)
        if result < 0:
            raise RuntimeError("nothing was computed: the plan has the code of an activation, loss or rule that its kernel lacks")
        lanes[networks], reals[networks] = self.members[:count], self.reals[:count]
        return result


STATUS = Lane.places["status"]


@dataclass
class Samples:
    """Samples as the kernel takes them."""

    x: np.ndarray  # (N, I')
    y: np.ndarray  # (N, O'), or (K, N, O')
    weights: np.ndarray  # float64, (N,), (K, N) or empty

    @property
    def targets_of_each(self) -> int:
        """N where networks have targets of their own, else 0."""
        return len(self.x) if self.y.ndim == 3 else 0

    @property
    def weights_of_each(self) -> int:
        """The same of weights."""
        return len(self.x) if self.weights.ndim == 2 else 0

    def arrays(self):
        """One-dimensional."""
        return self.x.reshape(-1), self.y.reshape(-1), self.weights.reshape(-1)


def samples_of(net, rows, values, labels, weights) -> Samples:
    """Samples of a network's kind, which have passed validation; `values` or `labels` (..., N) may be those of each network."""
    x = rows.astype(net.dtype) * net.dtype.type(net.input_scale) if rows.dtype != net.dtype or net.input_scale != 1.0 else rows
    if labels.size:
        values = (labels[..., None] == np.arange(net.sizes[-1])).astype(net.dtype)
    own = weights if weights.ndim == 2 else weights[None]  # those of a network do not depend on those of the others
    weights = np.stack([validation.with_finite_sums(each)[0] for each in own]).reshape(weights.shape)
    return Samples(inputs(x), targets(values), weights)


def no_samples(dtype) -> Samples:
    """None."""
    nothing = validation.NOTHING[np.dtype(dtype)].reshape(0, 1)
    return Samples(nothing, nothing, NO_WEIGHTS)


def is_abreast(net, rows: int) -> bool:
    """Whether networks of a shape are trained side by side on so many rows.

    So small that the parameters of all lanes stay in the cache, and an epoch is short, after which at the earliest Ctrl-C counts.
    """
    width = register.register_bytes() // net.dtype.itemsize
    return net.params.nbytes * width <= MOST_BYTES and rows * threads.flop_of_sample(net.sizes) * width <= MOST_FLOP


class Crowd:
    """K networks of one shape with all that a training of them keeps from call to call.

    Parameters
    ----------
    net : Network
        One like all.
    params : ndarray (K, P)
        Overwritten by training.
    samples : Samples
    """

    def __init__(self, net, params, samples):
        count, self.net, self.params, self.samples = len(params), net, params, samples
        self.lanes = np.zeros((count, Lane.size), np.int64)
        self.reals = np.zeros((count, Reals.size))
        self.set_lanes(network=np.arange(count), status=RUNNING, order=-1)
        loss = net.loss_function
        self.set_reals(loss_scale=loss.scale(net.sizes[-1]), report=1.0, cap=np.inf, best=np.inf, best_held=np.inf, input_scale=1.0)
        self.held = no_samples(net.dtype)
        self.given, self.batch = NO_ROWS, 0
        self.rule: Any = None
        self.slots = self.best = params[:0]
        self.rates = self.losses = self.held_losses = np.zeros((count, 0))
        self._idle: list[Lanes] = []
        self.settings: dict[str, int] = {}
        self.n_rows = np.full(count, len(samples.x))
        self.penalised = NOT_PENALISED

    def set_lanes(self, **values):
        """Fields of `Lane`, of all or (K,)."""
        for name, value in values.items():
            self.lanes[:, Lane.places[name]] = value

    def set_reals(self, **values):
        """Fields of `Reals`, of all or (K,)."""
        for name, value in values.items():
            self.reals[:, Reals.places[name]] = value

    @property
    def status(self) -> np.ndarray:
        """(K,): RUNNING, STOPPED or DIVERGED."""
        return self.lanes[:, STATUS]

    def choose(self, networks):
        """Train none but these."""
        self.set_lanes(status=STOPPED)
        self.lanes[networks, STATUS] = RUNNING

    def set_seeds(self, networks, seeds):
        """The seed of the orders of each of these."""
        self.lanes[networks, Lane.places["seed"]] = seeds

    def set_rule(self, rules, batch: int, n_rows):
        """Train by these rules, of one class, with mini-batches of so many of a network's rows (K,)."""
        self.rule, self.batch, self.n_rows = rules[0], batch, n_rows
        place = Reals.places["hyper"]
        self.reals[:, place : place + N_HYPER] = [full_hyper(rule) for rule in rules]
        self.slots = np.zeros((len(rules), self.rule.slots, self.params.shape[1]), self.net.dtype)
        self.settings["slots"] = self.rule.slots

    def set_penalty(self, l2, *, unit=None):
        """Add l2 / 2 sum W^2 over all weights to the losses; l2 (K,).

        With `unit`, that of the weights of samples, l2 is divided by the weight of a mini-batch.
        """
        self.set_reals(l2=l2, unit=1.0 if unit is None else unit)
        if (l2 > 0).any() or self.rule.decays:
            self.penalised = PER_POPULATION if unit is None else PER_BATCH

    def set_given(self, rows):
        """Rows (m,) of each network, or their order (epochs or 1, m), if any; those that are one array are kept once."""
        if rows is None:
            return
        places, parts, total = {}, [], 0
        for each in rows:
            if id(each) not in places:
                places[id(each)] = total
                parts.append(each.reshape(-1))
                total += each.size
        self.given = np.concatenate(parts).astype(np.int32, copy=False)
        strides = [each.shape[1] if each.ndim == 2 and len(each) > 1 else 0 for each in rows]
        self.set_lanes(order=[places[id(each)] for each in rows], order_stride=strides)
        self.settings["changes"] = any(strides)

    def set_held(self, samples, patience: int):
        """Judge the networks by these samples after every epoch, and keep what they were after the best, with patience."""
        self.held = samples
        self.settings["patience"] = patience
        for each, other in ((self.samples, samples), (samples, self.samples)):
            if other.weights.size and not each.weights.size:
                each.weights = np.ones(len(each.x))
        if patience:
            self.best = self.params.copy()

    def begin(self, rates):
        """Make room for the records of so many epochs as there are `rates` (K, E)."""
        if self.settings["order"] != GIVEN or len(self.held.x):
            self.settings["changes"] = True
        self.rates = np.ascontiguousarray(rates)
        self.losses = np.full(rates.shape, np.nan)
        self.held_losses = np.full((len(rates), rates.shape[1] if len(self.held.x) else 0), np.nan)

    def rule_of_stopping(self, k: int) -> str:
        """That which has ended the training of network k; of both in one epoch the first, as in `Watch`."""
        limit = self.settings["limit"]
        return "tol" if limit and self.reals[k, Reals.places["waited"]] >= limit else "patience"

    def take_best(self):
        """Give the networks the parameters that were the best by samples that are held out, where any were."""
        if self.settings.get("patience", 0):
            judged = np.isfinite(self.reals[:, Reals.places["best_held"]])
            self.params[judged] = self.best[judged]

    def _lanes(self) -> Lanes:
        """Buffers for this thread."""
        try:
            return self._idle.pop()
        except IndexError:
            batch = self.batch or len(self.samples.x)
            rows = int(self.n_rows.max()) if self.rule else batch
            found = Lanes(self.net, batch, rows, self.rule, own_targets=self.samples.y.ndim == 3)
            found.plan.weighted = self.samples.weights.size > 0
            found.plan.penalised = self.penalised
            return found

    def _call(self, mode, networks, out=None, **settings):
        lanes = self._lanes()
        try:
            group, samples = lanes.group, self.samples
            group.columns, group.target_columns = samples.x.shape[-1], samples.y.shape[-1]
            group.samples, group.targets_of_each, group.weights_of_each = (
                len(samples.x),
                samples.targets_of_each,
                samples.weights_of_each,
            )
            group.rows, group.held, group.epochs = self.n_rows[networks[0]], len(self.held.x), self.rates.shape[1]
            for name, value in (self.settings | settings).items():
                setattr(group, name, value)
            lanes.call(mode, self, networks, out)
        finally:
            self._idle.append(lanes)

    def groups(self, networks):
        """These networks in groups of at most W, each of as many rows."""
        width = register.register_bytes() // self.net.dtype.itemsize
        for count in np.unique(self.n_rows[networks]):
            alike = networks[self.n_rows[networks] == count]
            yield from (alike[start : start + width] for start in range(0, len(alike), width))

    def compute(self, mode, members, out=None):
        """PREDICT, EVALUATE or DIFFERENTIATE, for all; losses (K,)."""
        count = len(self.params)
        self.losses = losses = np.zeros((count, 1))
        threads.divide(lambda networks: self._call(mode, networks, out), self.groups(np.arange(count)), members)
        return losses[:, 0]

    def train(self, epochs, members, may_stop, after):
        """Train all that are RUNNING up to `epochs`; ``after(epoch)`` is called when they have come to an epoch."""
        epoch, length = 0, 1
        while epoch < epochs and (self.status == RUNNING).any():
            until = min(epochs, epoch + length)
            slowest = [0.0]

            def advance(networks, epoch=epoch, until=until, slowest=slowest):
                start = perf_counter()
                self._call(TRAIN, networks, first=epoch, last=until)
                slowest.append(perf_counter() - start)

            threads.divide(advance, self.groups(np.flatnonzero(self.status == RUNNING)), members)
            epoch = until
            after(epoch)
            most = max(1, epochs // ROUNDS) if may_stop else epochs
            length = int(min(most, max(1.0, length * min(8.0, CALL_SECONDS / max(max(slowest), 1e-6)))))
