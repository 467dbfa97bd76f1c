"""A session that trains: by a rule, in steps or in epochs, with what is set before and what can be read afterwards."""

from math import inf, isfinite, nan

import numpy as np

from fastbp.compiler import is_own
from fastbp.engine import memory, panels
from fastbp.engine.session import CALL_SECONDS, Session
from fastbp.kernels.check import all_finite
from fastbp.kernels.modes import STEP, TRAIN
from fastbp.kernels.plan import DIVERGED, GIVEN, MAX_PIECES, RUNNING, SHUFFLED, WITH_REPLACEMENT
from fastbp.optimizers import N_HYPER, Optimizer


class TrainingSession(Session):
    """A `Session` with a rule, whose slots and running products it keeps.

    Parameters
    ----------
    net, batch
        As of `Session`.
    optimizer : Optimizer
    **options
        Of `Session`, too.
    """

    def __init__(self, net, batch: int, optimizer, **options):
        super().__init__(net, batch, optimizer=optimizer, **options)
        self.rule: Optimizer = optimizer
        first = self.plan.slot_1
        self._slots = self.work[first : first + optimizer.slots * self.plan.n_packed]
        self._hyper = self.reals.hyper
        self._kept: list[np.ndarray] = []  # the last snapshot
        self.has_own_classes = any(is_own(type(each)) for each in (optimizer, net.loss_function, net.output, *net.hidden))
        self._set_rule(optimizer)

    # --- the rule --------------------------------------------------------------------------------------------------------

    def _set_rule(self, optimizer):
        self.rule = optimizer
        self._hyper[:] = full_hyper(optimizer)

    def serves(self, batch: int, optimizer, members: int, narrow: bool, extra) -> bool:
        """Whether a session that is made for this would have the same plan."""
        is_alike = self.batch == batch and self.members == members and self.narrow == narrow
        return is_alike and type(self.rule) is type(optimizer) and (self.extra is extra or self.extra == extra)

    def restart(self, optimizer):
        """Be as new, for a rule of the same class."""
        self.begin_rule(optimizer)
        self.set_penalty(0.0, 0.0)
        self.set_report()
        self.set_stop(None)

    def begin_rule(self, optimizer):
        """Forget what the rule has kept."""
        self._set_rule(optimizer)
        self._slots[:] = 0

    def rule_state(self) -> tuple[np.ndarray, np.ndarray]:
        """What the rule keeps from step to step: its hyper-parameters with their running products, and its slots like `params`."""
        slots = np.empty((self.rule.slots, self._params.size), self.dtype)
        for own, packed in zip(slots, self._packed_slots(), strict=True):
            panels.unpack(self.plan, packed, own, self._panel)
        return self._hyper.copy(), slots

    def set_rule_state(self, state):
        """Go on with the `rule_state` of a session on the same network and rule, whatever its plan."""
        hyper, slots = state
        self._hyper[:] = hyper
        for own, packed in zip(slots, self._packed_slots(), strict=True):
            panels.pack(self.plan, own, packed, self._panel)

    def _packed_slots(self):
        return self._slots.reshape(self.rule.slots, self.plan.n_packed)

    # --- what is set before ----------------------------------------------------------------------------------------------

    def set_place(self, epoch: int, first: int):
        """Where the next step is: its epoch, and the samples that steps have taken in it; dropout asks for that."""
        self.plan.epoch, self.plan.first = epoch, first

    def set_rates(self, rates, schedules=None):
        """Learning rates (epochs,) or (epochs, 1) of the epochs, or (epochs, steps) of their mini-batches.

        `schedules` (epochs, 2), with an encoder: parts of the weight decay and the dropout that are in force in each epoch.
        """
        self.plan.rates = rates.size // len(rates)
        self.rates = rates.reshape(-1)
        self.plan.schedules, self.reals.decay = 0, 1.0
        if self.net.encoder:  # whose last schedule may have left others
            layers = self.plan.layers
            layers["keep"] = np.where(layers["dropped"] > 0, (1 << 32) - layers["dropped"], 0)
        if schedules is not None:
            self.plan.schedules = rates.size
            self.rates = np.concatenate([self.rates, schedules.ravel()])

    def rate(self, epoch: int) -> float:
        """The learning rate at the beginning of an epoch."""
        return float(self.rates[(epoch - self.plan.origin) * self.plan.rates])

    def set_stop(self, rule):
        """End a call, with the status STOPPED, when a rule (`fastbp.engine.supervisor.Stopping`), if any, is over."""
        self.plan.limit, self.plan.status = min(rule.limit, MAX_PIECES) if rule else 0, RUNNING
        if rule:
            reals = self.reals
            reals.tolerance, reals.best, reals.waited, reals.strict = rule.tol, rule.best, rule.waited, rule.strict

    def set_order(self, shuffle, stride=0):
        """What `shuffle` of a fit says; without, those of `set_data`, of each epoch `stride` numbers after those of the last."""
        orders = {True: SHUFFLED, False: GIVEN, "replacement": WITH_REPLACEMENT}
        self.plan.order, self.plan.order_stride = orders[shuffle], stride

    def set_block(self, data, order, epoch: int, first: int, is_last: bool):
        """Give the rows of an epoch from `first` on: `data` as for `set_data`, and in which order they are visited.

        Before the first of an epoch comes `begin`, and before that rates and record for two epochs, of which the first is not
        used: the order is found from a row on that is not the first of the epoch, as if it were that of an earlier epoch.
        """
        x, y, labels, sample_weight = data
        self.set_data(x, y, labels, sample_weight, order)
        plan = self.plan
        plan.order, plan.origin, plan.order_stride = GIVEN, epoch - 1, -first
        plan.n_rows = first + len(order) if is_last else MAX_PIECES  # the call ends with the block, and not with the epoch

    @property
    def part(self) -> dict[str, float]:
        """The sums of the epoch at hand, so far."""
        return {"loss_sum": float(self.reals.loss_sum), "loss_rows": float(self.reals.loss_rows)}

    def go_on_with_part(self, part, first: int):
        """After `begin`: go on with the sums of an earlier session, from row `first` of the epoch on."""
        self.reals.loss_sum, self.reals.loss_rows, self.plan.first = part["loss_sum"], part["loss_rows"], first

    def set_record(self, epochs: int, *, norms=False):
        """Make room for what the kernel records of so many epochs: losses and, if they are needed, `norms`."""
        self._width = 4 * len(self.net.sizes) - 3
        self.record = np.full(epochs * self._width, nan)
        self.plan.separate = self._separate or norms

    def begin(self, seed=0, epoch=0, *, steps=False):
        """Let training go on with an epoch, the first of orders, rates and record; `seed` is of all that the kernel draws.

        `steps`: by `step`, else by `train`.
        """
        plan = self.plan
        plan.epoch = plan.origin = epoch
        plan.status, plan.seed, plan.first, plan.drawn, plan.guarded = RUNNING, seed, 0, 0, steps
        self.forget_part()
        plan.budget = self.pieces_in(CALL_SECONDS) if self._is_long else MAX_PIECES
        self._given = ()

    # --- training --------------------------------------------------------------------------------------------------------

    def train(self, until: int, pieces: int) -> bool:
        """Go on up to that epoch, or until the rule of `set_stop` ends it, by one call of the kernel, which may do a part of that.

        It draws a part of an order, or does so many `pieces`: mini-batches, or parts of long ones. Returns whether it did all.
        """
        self.plan.epochs, self.plan.budget = until, pieces
        self.call(TRAIN)
        return bool(self.plan.budget == 0)

    def train_to(self, until: int):
        """Go on up to that epoch, or until the rule of `set_stop` ends it."""
        while self.epoch < until and self.plan.status == RUNNING:
            self.train(until, MAX_PIECES)

    def step(self, count: int, x, y, labels, sample_weight) -> float:
        """One step of the rule by `count` samples, given as for `compute`; the loss before it.

        NaN where that is not finite, and nothing is changed. Infinity where a parameter would not be: the parameters stay as they
        are, and the rule begins anew.
        """
        hyper = self._hyper.copy()
        try:
            loss = self.compute(STEP, count, x, y, labels, sample_weight, self.out)
        except BaseException:
            if self.plan.top:  # as left where the step was not finished
                self._hyper[:] = hyper
                self.forget_part()
            raise
        if self.plan.status != DIVERGED:
            return loss
        self.plan.status = RUNNING
        if isfinite(loss):
            self.begin_rule(self.rule)
            return inf
        self._hyper[:] = hyper
        return nan

    def snapshot(self):
        """All that training changes, copied; the next snapshot overwrites this one."""
        arrays = self.plan.numbers, self._params, self.reals.numbers, self._slots
        if not self._kept:
            # new pages for every copy of a large network would take longer than the copy
            self._kept = [memory.zeros(array.size, array.dtype) for array in arrays]
        for kept, array in zip(self._kept, arrays, strict=True):
            kept[:] = array
        return self._kept

    def restore(self, snapshot):
        """Go back to a snapshot."""
        self.plan.numbers[:], self._params[:], self.reals.numbers[:], self._slots[:] = snapshot
        self.plan.drawn = 0  # the order, a function of seed and epoch, is drawn anew

    def is_finite(self) -> bool:
        """Whether the loss and all parameters are finite after a call."""
        return bool(self.plan.status != DIVERGED and self.has_finite_parameters())

    def has_finite_parameters(self) -> bool:
        """Whether all parameters of the network are finite, whoever wrote them."""
        return bool(all_finite[self.dtype](self._params))

    # --- what is read afterwards -----------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch that training goes on with."""
        return self.plan.epoch

    @property
    def rows_done(self) -> int:
        """Rows of that epoch that are done."""
        return self.plan.first

    @property
    def is_between_epochs(self) -> bool:
        """Whether training goes on at the beginning of an epoch."""
        return self.plan.first == 0

    @property
    def is_between_batches(self) -> bool:
        """Whether no mini-batch has been begun that is not finished."""
        return self.plan.top == 0

    def losses_and_rates(self, first: int, last: int) -> tuple[list[float], list[float]]:
        """Losses and learning rates of range(first, last)."""
        width, steps, origin = self._width, self.plan.rates, self.plan.origin
        first, last = first - origin, last - origin
        return self.record[first * width : last * width : width].tolist(), self.rates[first * steps : last * steps : steps].tolist()

    def norms(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Norms of weights and biases of each layer after range(first, last), and those of their gradients: (last - first, 2 L)."""
        record = self.record.reshape(-1, self._width)[first - self.plan.origin : last - self.plan.origin]
        return record[:, 1 : self._width // 2 + 1], record[:, self._width // 2 + 1 :]

    def stop_state(self) -> tuple[float, int]:
        """Of the rule of `set_stop`, now: the lowest loss of an epoch, and how many epochs running have made no progress."""
        return self.reals.best, int(self.reals.waited)


def full_hyper(optimizer) -> np.ndarray:
    """The hyper-parameters of a rule, with zeros for those that it does not have."""
    hyper, full = optimizer.hyper(), np.zeros(N_HYPER)
    if not 1 <= len(hyper) <= N_HYPER:
        cls = type(optimizer).__qualname__
        raise ValueError(f"hyper() of {cls} must give 1 to {N_HYPER} numbers, the learning rate first, got {len(hyper)}")
    full[: len(hyper)] = hyper
    return full
