"""A network's buffers for one kind of call, and the call itself, alone or by a team of threads."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import isnan, nan

import numpy as np

from fastbp.activations import Identity
from fastbp.compiler import Level, choose
from fastbp.engine import memory, planner, threads, validation
from fastbp.engine.regularization import NOTHING
from fastbp.engine.sparsity import CompressedRows
from fastbp.engine.validation import NO_WEIGHTS
from fastbp.kernels.check import all_finite
from fastbp.kernels.plan import (
    DIVERGED,
    GIVEN,
    MAX_STEPS,
    NO_RULE,
    NOT_PENALISED,
    PER_BATCH,
    PER_POPULATION,
    RUNNING,
    SHUFFLED,
    SOFTMAX,
    UNKNOWN_CODE,
    WITH_REPLACEMENT,
    Reals,
)
from fastbp.kernels.team import CALLED_OFF
from fastbp.kernels.train import PREDICT, TRAIN, run, run_narrow
from fastbp.kernels.tuning import NARROW_LIMIT
from fastbp.optimizers import N_HYPER, Optimizer
from fastbp.simd import register

NO_COLUMNS, NO_STARTS = np.zeros(0, np.int32), np.zeros(0, np.int64)
FLOP_OF_STEP = 20  # per parameter, by the time it takes


class Session:
    """Plan, work buffer and data of a sequence of kernel calls on one network.

    Parameters
    ----------
    net : Network
    batch : int
        Samples in a mini-batch (or all samples, where there are none).
    optimizer : Optimizer, optional
        Without one no step is taken.
    differentiate : bool
        Whether gradients are needed at all.
    keep_all : bool
        Keep z of every layer, and all samples at once, so that they can be read afterwards.
    narrow : bool
        Train with lanes over samples, for networks of narrow layers; by one thread, no penalty, no norms.
    members : int
        Threads.
    extra : Regularization
        L1, clipping, max-norm and dropout; not with `narrow`.
    entries : Entries, optional
        The first layer leaves out the zeros of the samples, which have this many other numbers; not with `narrow`, nor with
        dropout of the inputs.
    """

    def __init__(
        self,
        net,
        batch: int,
        *,
        optimizer: Optimizer | None = None,
        differentiate=False,
        keep_all=False,
        narrow=False,
        members=1,
        extra=NOTHING,
        entries=None,
    ):
        self.entries = entries
        self.net, self.members, self.differentiate = net, members, differentiate
        self.dtype = net.dtype
        loss = net.loss_function
        training = [*net.hidden, Identity() if loss.link else net.output]
        kept = [_Kept()] * len(training) if keep_all else training
        itemsize = self.dtype.itemsize
        lanes = register.register_bytes() // itemsize
        slots = optimizer.slots if optimizer else 0 if differentiate else -1
        if narrow:
            self.plan, length = planner.make_narrow_plan(
                net.sizes, training, lanes=lanes, batch=batch, slots=slots, itemsize=itemsize
            )
        else:
            rows = batch if keep_all else planner.block_rows(batch, net.sizes[1:] if entries else net.sizes, itemsize)
            self.plan, length = planner.make_plan(
                net.sizes,
                kept,
                panel=2 * lanes,
                batch=batch,
                rows_together=rows,
                slots=slots,
                members=members,
                itemsize=itemsize,
                dropout=extra.dropout,
                entries=entries,
            )
        self.work = memory.zeros(length, self.dtype)
        self.work[self.plan.layers["alpha"]] = [activation.alpha for activation in training]
        self.plan.batch = batch
        classes = (type(loss), type(net.output), *map(type, net.hidden), *([type(optimizer)] if optimizer else []))
        choice = choose(classes, Level.EXTENDED if extra != NOTHING else Level.SPARSE if entries else Level.COMMON)
        self.plan.layers["code"] = [choice.code(type(activation)) for activation in training]
        self.plan.loss = choice.code(type(loss))
        self.plan.rule = choice.code(type(optimizer)) if optimizer else NO_RULE
        self.plan.separate = optimizer is None or self.plan.area > 0
        output = type(net.output) if loss.link else Identity  # without a link, the last layer applies it as all others do
        self.plan.output = SOFTMAX if loss.link == "softmax" else choice.code(output)
        self.plan.steps = MAX_STEPS
        self.reals = Reals.view.of(np.zeros(Reals.size))
        self.reals.unit = 1.0
        if optimizer:
            hyper = optimizer.hyper()
            if not 1 <= len(hyper) <= N_HYPER:
                cls = type(optimizer).__qualname__
                raise ValueError(f"hyper() of {cls} must give 1 to {N_HYPER} numbers, the learning rate first, got {len(hyper)}")
            self.reals.hyper[: len(hyper)] = hyper
        self.reals.loss_scale = loss.scale(net.sizes[-1])
        self.set_report()
        self._regularize(extra)
        self.plan.rates = 1
        self.rates = self.record = np.zeros(1)
        self.meeting = np.zeros(8, np.int64)
        self.x = self.y = self.out = np.zeros(0, self.dtype)
        self.sample_weight = NO_WEIGHTS
        self.labels = self.order = self.starts = NO_STARTS
        self.columns = NO_COLUMNS
        self.batch, self.slots = batch, max(slots, 0)
        self._params = net._vector  # which stays where it is
        self._kept: list[np.ndarray] = []  # the last snapshot
        self._given: tuple[int, ...] = ()  # numbers of samples, labels and weights in the last `compute`
        self._count = 0  # of samples in the last `compute` or `predict`
        self._run = (run_narrow if narrow else run).compiled(choice, self.dtype)
        self._threads = ThreadPoolExecutor(members - 1) if members > 1 else None

    def _regularize(self, extra):
        self.reals.l1, self.reals.clip_value = extra.l1, extra.clip_value
        self.reals.clip_norm, self.reals.max_norm = extra.clip_norm, extra.max_norm
        self.plan.penalised = PER_POPULATION if extra.l1 > 0 else NOT_PENALISED
        self.plan.completed = extra.l1 > 0 or min(extra.clip_value, extra.clip_norm) < np.inf
        if extra.clip_norm < np.inf:
            self.plan.separate = 1

    def set_data(self, x, y=None, labels=None, sample_weight=None, order=None):
        """Give the data of the following calls: arrays that have passed validation.

        x (N, n_in), or `CompressedRows`; y (N, n_out) or empty; labels (N,) or empty; sample_weight, float64, (N,) or empty; order
        (m,), by default all rows.
        """
        self.x = self._numbers_of(x)
        self.y = self.x[:0] if y is None else y.reshape(-1)
        self.labels = self.labels[:0] if labels is None else labels
        weights = NO_WEIGHTS if sample_weight is None else sample_weight
        self.sample_weight, self.reals.unit = validation.with_finite_sums(weights)
        self.order = np.arange(len(x)) if order is None else order.reshape(-1)
        self.plan.population = len(x)
        self.plan.n_rows = len(self.order) if order is None else order.shape[-1]
        self.plan.labelled = self.labels.size > 0
        self.plan.weighted = self.sample_weight.size > 0

    def takes(self, rows) -> bool:
        """Whether there is room for the numbers other than zero of a sample, if they are to be told from the others."""
        if self.entries is None:
            return type(rows) is not CompressedRows
        return self.entries.most >= (rows.most if type(rows) is CompressedRows else rows.shape[-1])

    def _numbers_of(self, x):
        """The numbers of the samples, after setting where they are, if some are left out."""
        self.plan.compressed = is_compressed = type(x) is CompressedRows
        self.columns, self.starts = (x.columns, x.starts) if is_compressed else (NO_COLUMNS, NO_STARTS)
        return x.values if is_compressed else x.reshape(-1)

    def compute(self, mode: int, count: int, x, y, labels, sample_weight, out) -> float:
        """EVALUATE or DIFFERENTIATE `count` samples, into `out`; returns the mean loss.

        Data as for `set_data`, arrays of any shape that have passed validation. At most a mini-batch.
        """
        given = count, len(labels), len(sample_weight)
        if given != self._given:
            self.plan.labelled, self.plan.weighted = len(labels) > 0, len(sample_weight) > 0
            self._take(count)
            self._given = given
        if self.entries:
            x = self._numbers_of(x)
        if len(sample_weight):
            sample_weight, _ = validation.with_finite_sums(sample_weight)
        loss = self._bound(mode, 0, 1, x, self.columns, self.starts, y, labels, sample_weight, out)
        self._check_codes(loss)
        return loss

    def predict(self, count: int, x, out) -> bool:
        """The network's outputs for `count` samples into `out`; returns whether x is finite, if all its numbers are given."""
        if count != self._count:
            self._take(count)
        if self.entries:
            x = self._numbers_of(x)
        data = x, self.columns, self.starts, self.y, self.labels, self.sample_weight, out
        if self._bound(PREDICT, 0, 1, *data) == 0.0:
            return True
        self._check_codes(nan)
        return False

    def _check_codes(self, result):
        """Raise if a call gave NaN because the kernel does not know a code of the plan: nothing was computed then."""
        if isnan(result) and self.plan.status == UNKNOWN_CODE:
            raise RuntimeError("nothing was computed: the plan has the code of an activation, loss or rule that its kernel lacks")

    def _take(self, count):
        """Let the following calls be for so many samples, one after another."""
        self.plan.n_rows = self._count = count
        self._given = ()
        if count > self.order.size:
            self.order = np.arange(count)
        self._bind()

    def _bind(self):
        """Give the kernel the arrays of the session, as they are now: those of its data are left for each call."""
        own = self.plan.numbers, self.work, self._params, self.reals.numbers, self.rates, self.record, self.order, self.meeting
        self._bound = partial(self._run, *own)

    def set_penalty(self, factor: float, *, per_batch=False):
        """Add factor/2 times the sum of the squared weights to the loss, divided by the weight of a mini-batch if `per_batch`."""
        self.reals.l2 = factor
        code = PER_BATCH if per_batch else PER_POPULATION
        self.plan.penalised = code if factor > 0 or self.reals.l1 > 0 else NOT_PENALISED

    def set_rates(self, rates):
        """Learning rates (epochs,) or (epochs, 1) of the epochs, or (epochs, steps) of their mini-batches."""
        self.plan.rates = rates.size // len(rates)
        self.rates = rates.reshape(-1)

    def rate(self, epoch: int) -> float:
        """The learning rate at the beginning of an epoch."""
        return float(self.rates[epoch * self.plan.rates])

    def set_report(self, factor=1.0, cap=float("inf")):
        """Report `factor` times the loss (penalties excepted), a sample's being `cap` at most; its gradient stays what it is."""
        self.reals.report, self.reals.cap = factor, cap
        # lanes past the last output are 0 there, as their targets are, unless an activation makes something else of 0
        is_met = self.net.loss_function.zero_if_met and self.net.output == Identity()
        self.plan.panel_loss = is_met and cap == float("inf")

    def set_stop(self, rule):
        """End a call, with the status STOPPED, when a rule (`fastbp.engine.trainer.Stopping`) is over, which follows the losses."""
        self.plan.limit, self.plan.status = min(rule.limit, MAX_STEPS), RUNNING
        reals = self.reals
        reals.tolerance, reals.best, reals.waited, reals.strict = rule.tol, rule.best, rule.waited, rule.strict

    def stop_state(self) -> tuple[float, int]:
        """Of the rule of `set_stop`, now: the lowest loss of an epoch, and how many epochs running have made no progress."""
        return self.reals.best, int(self.reals.waited)

    def call(self, mode: int) -> float:
        """Run the kernel once, by all members, on the data of `set_data`; returns the mean loss, of TRAIN 0."""
        self._bind()
        data = self.x, self.columns, self.starts, self.y, self.labels, self.sample_weight, self.out
        if self._threads is None:
            loss = self._bound(mode, 0, 1, *data)
            self._check_codes(loss)
            return loss
        self.meeting[:] = 0
        try:
            others = [self._threads.submit(self._bound, mode, member, self.members, *data) for member in range(1, self.members)]
            loss = self._bound(mode, 0, self.members, *data)
        except BaseException:  # Ctrl-C, or no thread to be had: those that are there would wait for ever
            self.meeting[CALLED_OFF] = 1
            raise
        for other in others:
            other.result()
        self._check_codes(loss)
        return loss

    def _slots(self):
        first = self.plan.slot_1
        return self.work[first : first + self.slots * self.plan.n_packed]

    def rule_state(self) -> tuple:
        """What the rule keeps from step to step: its hyper-parameters with their running products, and its slots; copied."""
        return self.reals.hyper.copy(), self._slots().copy()

    def set_rule_state(self, state):
        """Go on with the `rule_state` of a session on the same network and rule, whatever its mini-batches."""
        self.reals.hyper[:], self._slots()[:] = state

    def snapshot(self):
        """All that training changes, copied; the next snapshot overwrites this one."""
        is_drawn = self.plan.first > 0 and self.plan.order != GIVEN
        order = self.order.copy() if is_drawn else self.order[:0]
        arrays = self.plan.numbers, self._params, self.reals.numbers, self._slots()
        if not self._kept:
            # new pages for every copy of a large network would take longer than the copy
            self._kept = [memory.zeros(array.size, array.dtype) for array in arrays]
        for kept, array in zip(self._kept, arrays, strict=True):
            kept[:] = array
        return self._kept, order

    def restore(self, snapshot):
        """Go back to a snapshot."""
        (plan, params, reals, slots), order = snapshot
        self.plan.numbers[:], self._params[:], self.reals.numbers[:], self._slots()[:] = plan, params, reals, slots
        self.order[: order.size] = order

    def is_finite(self) -> bool:
        """Whether the loss and all parameters are finite after a call."""
        return bool(self.plan.status != DIVERGED and self.has_finite_parameters())

    def has_finite_parameters(self) -> bool:
        """Whether all parameters of the network are finite, whoever wrote them."""
        return bool(all_finite[self.dtype](self._params))

    def matrix(self, layer: int, region: str) -> np.ndarray:
        """Rows (N, n) of a place of a layer, "activation", "raw" or "delta", copied out of its panels."""
        row = self.plan.layers[layer]
        stride, panel = self.plan.panel_stride, 2 * register.register_bytes() // self.dtype.itemsize
        count, start = int(row["n_out"]), int(row[region])
        panels = -(-count // panel)
        block = self.work[start : start + panels * stride].reshape(panels, -1, panel)[:, : self.plan.n_rows]
        return np.ascontiguousarray(block.transpose(1, 0, 2).reshape(-1, panels * panel)[:, :count])

    def close(self):
        """Let the threads go."""
        if self._threads is not None:
            self._threads.shutdown()

    # --- what a training sets and reads ------------------------------------------------------------------------------------

    @classmethod
    def open(cls, net, batch, rule, n_threads=None, *, plain=True, extra=NOTHING, entries=None) -> "Session":
        """One that trains by mini-batches, of the kind that is the fastest; `plain` without L2 penalty and norms."""
        narrow = max(net.sizes) <= NARROW_LIMIT and plain and extra == NOTHING and not rule.decays
        # of sparse samples so little is left that the step itself counts
        step = FLOP_OF_STEP * net._vector.size if entries else 0
        members = 1 if narrow else threads.members_for(batch * threads.flop_of_sample(net.sizes, entries) + step, n_threads)
        return cls(net, batch, optimizer=rule, narrow=narrow, members=members, extra=extra, entries=entries)

    def set_order(self, shuffle, stride=0):
        """What `shuffle` of a fit says; without, those of `set_data`, of each epoch `stride` numbers after those of the last."""
        orders = {True: SHUFFLED, False: GIVEN, "replacement": WITH_REPLACEMENT}
        self.plan.order, self.plan.order_stride = orders[shuffle], stride

    def set_record(self, epochs: int, *, norms=False):
        """Make room for what the kernel records of so many epochs: losses and, if they are needed, `norms`."""
        self._width = 4 * len(self.net.sizes) - 3
        self.record = np.full(epochs * self._width, nan)
        self.plan.separate |= norms

    def begin(self, seed=0):
        """Let training go on with the first epoch of orders, rates and record; `seed` is of all that the kernel draws."""
        self.plan.epoch = self.plan.first = 0
        self.plan.status, self.plan.seed = RUNNING, seed

    def train(self, until: int, steps=MAX_STEPS):
        """Go on up to that epoch, so many mini-batches at most, or until the rule of `set_stop` ends it."""
        self.plan.epochs, self.plan.steps = until, steps
        self.call(TRAIN)

    @property
    def epoch(self) -> int:
        """The epoch that training goes on with: so many are complete since `begin`."""
        return self.plan.epoch

    @property
    def is_between_epochs(self) -> bool:
        """Whether training goes on at the beginning of an epoch."""
        return self.plan.first == 0

    def losses_and_rates(self, first: int, last: int) -> tuple[list[float], list[float]]:
        """Losses and learning rates of range(first, last)."""
        width, steps = self._width, self.plan.rates
        return self.record[first * width : last * width : width].tolist(), self.rates[first * steps : last * steps : steps].tolist()

    def norms(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Norms of weights and biases of each layer after range(first, last), and those of their gradients: (last - first, 2 L)."""
        record = self.record.reshape(-1, self._width)[first:last]
        return record[:, 1 : self._width // 2 + 1], record[:, self._width // 2 + 1 :]


class _Kept:
    """An activation whose z is kept beside a, whether or not its slope needs it."""

    needs_z = True
