"""A network's buffers for one kind of call, and the call itself, alone or by a team of threads."""

from functools import partial

import numpy as np

from fastbp.activations import Identity
from fastbp.compiler import Level, choose
from fastbp.engine import memory, panels, planner, threads, validation
from fastbp.engine.crew import Crew
from fastbp.engine.regularization import NOTHING
from fastbp.engine.sparsity import CompressedRows
from fastbp.engine.validation import NO_WEIGHTS
from fastbp.kernels.modes import PREDICT, STEP, TRAIN
from fastbp.kernels.plan import (
    MAX_PIECES,
    NO_RULE,
    NOT_PENALISED,
    PER_BATCH,
    PER_POPULATION,
    SOFTMAX,
    UNKNOWN_CODE,
    Reals,
)
from fastbp.kernels.train import run, run_narrow
from fastbp.kernels.tuning import NARROW_PIECE
from fastbp.optimizers import N_HYPER, Optimizer
from fastbp.simd import register

NO_COLUMNS, NO_STARTS, NO_ORDER = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int32)
CALL_SECONDS = 0.05  # aim of one kernel call, so that Ctrl-C is honoured soon
CALL_BYTES = 1 << 24  # copied and packed for a call: of larger networks it takes longer, for these not to be much of it
FIRST_RATE = 4e10  # flop/s assumed
MOST_ROWS = (1 << 31) - 1  # that an int32 can number


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
    derives : bool
        Whether derivatives with respect to the inputs are computed.
    narrow : bool
        Train with lanes over samples, for networks of narrow layers; by one thread, no penalty, no norms.
    members : int
        Threads, at most.
    extra : Regularization
        L1, clipping, max-norm and dropout; not with `narrow`.
    entries : Entries, optional
        The first layer leaves out the zeros of the samples, which have this many other numbers; not with `narrow`, nor with
        dropout of the inputs.
    kernel : Entry, default run
        What is called; not with `narrow`.
    """

    def __init__(
        self,
        net,
        batch: int,
        *,
        optimizer: Optimizer | None = None,
        differentiate=False,
        keep_all=False,
        derives=False,
        narrow=False,
        members=1,
        extra=NOTHING,
        entries=None,
        kernel=run,
    ):
        self.entries, self.batch = entries, batch
        self.net, self.members, self.differentiate = net, members, differentiate
        self.narrow, self.extra = narrow, extra
        self.dtype = net.dtype
        encoder = net.encoder
        loss = net.loss_function
        training = [*net.hidden, Identity() if loss.link else net.output]
        kept = [_Kept()] * len(training) if keep_all else [*training[:-1], _Kept()] if derives else training
        itemsize = self.dtype.itemsize
        lanes = register.register_bytes() // itemsize
        self._panel = 1 if narrow else 2 * lanes  # columns
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
                panel=self._panel,
                batch=batch,
                rows_together=rows,
                slots=slots,
                members=members,
                itemsize=itemsize,
                dropout=extra.dropout,
                entries=entries,
                derives=derives,
                encoder=encoder,
            )
        self.work = memory.zeros(length, self.dtype)
        self.plan.batch = batch
        level = Level.TABULAR if encoder else Level.EXTENDED if extra != NOTHING else Level.SPARSE if entries else Level.COMMON
        choice = name_classes(self.plan, self.work, net, training, optimizer, level)
        # samples between two looks at how much has been done
        self._piece = NARROW_PIECE if narrow else self.plan.block * (members if self.plan.area else 1)
        self._is_long = batch > self._piece
        self.plan.budget = self.pieces_in(CALL_SECONDS) if self._is_long else MAX_PIECES
        factors = net.rates.factors(net.sizes).ravel() if encoder else np.zeros(0)
        self.reals = Reals.view.of(np.concatenate([np.zeros(Reals.size), factors, np.zeros(N_HYPER if encoder else 0)]))
        self.plan.factors = Reals.size
        self.reals.unit = self.reals.decay = 1.0
        self.reals.input_scale = net.input_scale
        self.reals.loss_scale = loss.scale(net.sizes[-1])
        self.set_report()
        self._regularize(extra)
        self.plan.separate = self._separate = optimizer is None or self.plan.area > 0 or extra.clip_norm < np.inf
        self.plan.rates = 1
        self.rates = self.record = np.zeros(1)
        self._crew = Crew(members)
        self.x = self.y = self.out = np.zeros(0, self.dtype)
        self.sample_weight = NO_WEIGHTS
        self.labels = self.starts = NO_STARTS
        self.columns, self.order = NO_COLUMNS, NO_ORDER
        self._rows = NO_ORDER  # 0, 1, 2, ...
        self._params = net._vector  # which stays where it is
        self._given: tuple[int, ...] = ()  # numbers of samples, labels and weights in the last `compute`
        self._count = 0  # of samples in the last `compute` or `predict`
        self._kernel = run_narrow if narrow else kernel
        self._run = self._kernel.compiled(choice, self.dtype)

    @property
    def machine_code(self) -> int:
        """Address of what its kernel is compiled to."""
        return self._kernel.address(self._run)

    def places(self, order) -> list[int]:
        """Addresses of plan, work, params, reals, rates, record, this `order` and meeting, which stay where they are."""
        arrays = self.plan.numbers, self.work, self._params, self.reals.numbers, self.rates, self.record, order, self._crew.meeting
        return [each.ctypes.data for each in arrays]

    def _regularize(self, extra):
        self.reals.clip_value, self.reals.clip_norm, self.reals.max_norm = extra.clip_value, extra.clip_norm, extra.max_norm
        self.plan.completed = extra.l1 > 0 or min(extra.clip_value, extra.clip_norm) < np.inf
        self.set_penalty(0.0, extra.l1)

    def pieces_in(self, seconds: float) -> int:
        """How many mini-batches, or parts of long ones, a call may be given, to take about so long."""
        flop = min(self._piece, self.batch) * threads.flop_of_sample(self.net.sizes, self.entries)
        return max(1, int(seconds * FIRST_RATE / (flop + 5000)))

    def set_data(self, x, y=None, labels=None, sample_weight=None, order=None, chosen=None):
        """Give the data of the following calls: arrays that have passed validation.

        x (N, n_in), of the network's dtype or one of those `validation.KEPT`, or `CompressedRows`; y (N, n_out) or empty; labels
        (N,) or empty; sample_weight, float64, (N,) or empty; order, int32, (m,) or (epochs, m), or `chosen`, int32, the rows that
        are to be ordered, by default all.
        """
        self.x = self._numbers_of(x)
        self.y = validation.NOTHING[self.dtype] if y is None else y.reshape(-1)
        self.labels = self.labels[:0] if labels is None else labels
        weights = NO_WEIGHTS if sample_weight is None else sample_weight
        self.sample_weight, self.reals.unit = validation.with_finite_sums(weights)
        self.plan.chosen = chosen is not None
        if order is None:
            order = rows_upto(len(x)) if chosen is None else np.concatenate([chosen, chosen])
        self.order = order.reshape(-1)
        self.plan.n_rows = order.shape[-1] if chosen is None else len(chosen)
        self.plan.population = len(x) if chosen is None else len(chosen)
        self.plan.labelled = self.labels.size > 0
        self.plan.weighted = self.sample_weight.size > 0
        self._given = ()

    def release_data(self):
        """Let go of the arrays of `set_data`."""
        self.x = self.y = validation.NOTHING[self.dtype]
        self.labels = self.starts = NO_STARTS
        self.columns, self.order, self.sample_weight = NO_COLUMNS, NO_ORDER, NO_WEIGHTS
        self.set_outputs(None)

    def set_outputs(self, outputs):
        """Write outputs of the samples, those that a loss is computed from, into their rows of an array (N, n_out), if any."""
        self.plan.outputs = outputs is not None
        self.out = validation.NOTHING[self.dtype] if outputs is None else outputs

    def computes(self, count: int, differentiate: bool, members: int) -> bool:
        """Whether a session that is made for so many samples would be like this one, or could do less."""
        return self.batch == count and self.members == members and self.differentiate >= differentiate

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
        """EVALUATE or DIFFERENTIATE `count` samples, into `out`, or make a STEP by them; returns the mean loss.

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
        # a call of Python less for what is small
        by = self._to_end if self._is_long else self._by_all
        return by(mode, (x, self.columns, self.starts, y, labels, sample_weight, out))

    def predict(self, count: int, x, out) -> bool:
        """The network's outputs for `count` samples into `out`; returns whether x is finite, if all its numbers are given."""
        if count != self._count:
            self._take(count)
        if self.entries:
            x = self._numbers_of(x)
        data = x, self.columns, self.starts, self.y, self.labels, self.sample_weight, out
        if self._bound(PREDICT, 0, 0, *data) == 0.0:
            return True
        self._check_codes()
        return False

    def derive(self, mode: int, count: int, x, v, out):
        """VJP, JVP or JACOBIAN of `count` samples into `out`; x and v, empty for JACOBIAN, have passed validation."""
        if count != self._count:
            self._take(count)
        self._bound(mode, 0, 0, x, self.columns, self.starts, v, self.labels, self.sample_weight, out)
        self._check_codes()

    def _check_codes(self):
        """Raise if a call gave NaN because the kernel does not know a code of the plan: nothing was computed then."""
        if self.plan.status == UNKNOWN_CODE:
            raise RuntimeError("nothing was computed: the plan has the code of an activation, loss or rule that its kernel lacks")

    def _take(self, count):
        """Let the following calls be for so many samples, one after another."""
        self.plan.n_rows = self._count = count
        self._given = ()
        if count > self._rows.size:
            self._rows = rows_upto(count)
        self.order = self._rows
        self._bind()

    def _bind(self):
        """Give the kernel the arrays of the session, as they are now: those of its data are left for each call."""
        own = self.plan.numbers, self.work, self._params, self.reals.numbers, self.rates, self.record, self.order
        self._bound = partial(self._run, *own, self._crew.meeting)

    def set_penalty(self, l2: float, l1: float, *, per_batch=False):
        """Add l2/2 sum W^2 + l1 sum |W| over all weights to the loss, divided by the weight of a mini-batch if `per_batch`."""
        self.reals.l2, self.reals.l1 = l2, l1
        code = PER_BATCH if per_batch else PER_POPULATION
        self.plan.penalised = code if l2 > 0 or l1 > 0 else NOT_PENALISED

    def set_report(self, factor=1.0, cap=float("inf")):
        """Report `factor` times the loss (penalties excepted), a sample's being `cap` at most; its gradient stays what it is."""
        self.reals.report, self.reals.cap = factor, cap
        # lanes past the last output are 0 there, as their targets are, unless an activation makes something else of 0
        is_met = self.net.loss_function.zero_if_met and self.net.output == Identity()
        self.plan.panel_loss = is_met and cap == float("inf")

    def call(self, mode: int) -> float:
        """Run the kernel, by the members that have a core, on the data of `set_data`; returns the mean loss, of TRAIN 0.

        TRAIN may end before it has come to its end; then the next call goes on.
        """
        self._bind()
        data = self.x, self.columns, self.starts, self.y, self.labels, self.sample_weight, self.out
        return self._by_all(mode, data) if mode == TRAIN else self._to_end(mode, data)

    def _to_end(self, mode, data):
        """`_by_all` for a whole mini-batch: a long one takes several calls, between which Ctrl-C counts."""
        if not self._is_long:
            return self._by_all(mode, data)
        try:
            while True:
                loss = self._by_all(mode, data)
                if self.plan.top == 0:
                    return loss
        except BaseException:
            if mode != STEP:  # which has more to forget
                self.forget_part()
            raise

    def forget_part(self):
        """Let the next call begin a mini-batch, whatever was done of one."""
        self.plan.top = self.plan.below = 0
        self.reals.part = self.reals.loss_sum = self.reals.loss_rows = 0.0

    def _by_all(self, mode, data):
        """What the kernel gives to the leader, whoever helps."""
        loss = self._bound(mode, 0, 0, *data) if self.members == 1 else self._crew.run(partial(self._bound, mode), data)
        if loss != loss:
            self._check_codes()
        return loss

    def matrix(self, layer: int, region: str) -> np.ndarray:
        """Rows (N, n) of a place of a layer, "input", "activation", "raw" or "delta", copied out of its panels."""
        return panels.matrix(self.plan, self.work, layer, region, self._panel)

    def close(self):
        """Let the threads go."""
        self._crew.close()


def name_classes(plan, work, net, training, optimizer, level=Level.COMMON):
    """Let a plan name the classes of a network, `training` those of its layers, and of a rule, if any; the choice of its kernel."""
    loss = net.loss_function
    choice = choose((type(loss), type(net.output), *map(type, net.hidden), *([type(optimizer)] if optimizer else [])), level)
    work[plan.layers["alpha"]] = [activation.alpha for activation in training]
    plan.layers["code"] = [choice.code(type(activation)) for activation in training]
    plan.loss = choice.code(type(loss))
    plan.rule = choice.code(type(optimizer)) if optimizer else NO_RULE
    output = type(net.output) if loss.link else Identity  # without a link, the last layer applies it as all others do
    plan.output = SOFTMAX if loss.link == "softmax" else choice.code(output)
    return choice


def seconds_of_call(net, copies: int) -> float:
    """Aim of a call of the kernel before which all parameters are read or written so many times."""
    return CALL_SECONDS * (1 + copies * net._vector.nbytes / CALL_BYTES)


def rows_upto(count: int) -> np.ndarray:
    """Row numbers 0, 1, 2, ... as the kernels read them."""
    if count > MOST_ROWS:
        raise ValueError(f"X has {count} samples, but a call takes {MOST_ROWS} at most: give it in parts")
    return np.arange(count, dtype=np.int32)


class _Kept:
    """An activation whose z is kept beside a, whether or not its slope needs it."""

    needs_z = True
