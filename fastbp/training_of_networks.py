"""`fit` of many networks: what its options are, and which way they are trained."""

import warnings
from dataclasses import dataclass
from threading import Event

import numpy as np

from fastbp import minimizers, optimizers, schedules
from fastbp.arguments import boolean, positive
from fastbp.engine import held_out, memory, regularization, sparsity, threads, validation
from fastbp.engine.abreast import Crowd, is_abreast, samples_of
from fastbp.engine.histories import Histories
from fastbp.engine.regularization import NOTHING
from fastbp.engine.supervisor import DivergenceError
from fastbp.engine.trainer import Trainer, drawn_seed
from fastbp.engine.watch import bar_of, wants_bar
from fastbp.kernels.plan import DIVERGED, GIVEN, SHUFFLED, STOPPED, WITH_REPLACEMENT

ORDERS = {True: SHUFFLED, False: GIVEN, "replacement": WITH_REPLACEMENT}


def fit(
    nets,
    X,
    y,
    *,
    epochs=10,
    batch_size=32,
    optimizer="sgd",
    learning_rate=None,
    shuffle=True,
    order=None,
    rows=None,
    own_targets=False,
    sample_weight=None,
    l1=0.0,
    l2=0.0,
    clip_norm=None,
    clip_value=None,
    max_norm=None,
    dropout=0.0,
    input_dropout=0.0,
    schedule="constant",
    validation_data=None,
    tol=None,
    n_iter_no_change=10,
    patience=None,
    progress=False,
    n_threads=None,
    rng=None,
) -> Histories:
    """Train all networks, each from its present parameters, on the same data or on rows, weights or targets of its own.

    What a network becomes depends on nothing but itself: neither on the others, nor on how many there are, nor on `n_threads`. It
    is what `Network.fit` makes of ``nets[k]``, to rounding; to the bit where networks are trained one after another, since their
    layers are large or options ask for it.

    Parameters
    ----------
    X : array_like or sparse matrix (n_samples, n_inputs)
    y : array_like
        Targets; see `Network.loss`. With `own_targets`, those of each network: one more dimension, of `count`, before the others.
    epochs : int, default 10
        As are all options that nothing is said of here, those of `Network.fit`.
    batch_size : int, default 32
    optimizer : str or Optimizer, default "sgd"
    learning_rate : float or array_like (count,), optional
        In the place of the optimiser's.
    shuffle : bool or "replacement", default True
    order : array_like of int, (epochs, m) or (m,), or a list of `count` of these, optional
        Visit these rows instead. A list of `count` lists or arrays is taken as one for each network.
    rows : list of array_like of int, or array_like (count, m), optional
        Numbers of the rows that each network is trained on, as of a fold or a bootstrap sample; by default all.
    own_targets : bool, default False
        Whether y has targets for each network.
    sample_weight : array_like (n_samples,) or (count, n_samples), optional
    l1, l2 : float or array_like (count,), default 0
        `n_samples` in the penalties are those of X, with `rows` the rows of a network.
    clip_norm, clip_value, max_norm : float, optional
    dropout : float or array_like (count,), default 0
        One number for all hidden layers of a network.
    input_dropout : float, default 0
    schedule : str or Schedule, default "constant"
    validation_data : (X, y) or (X, y, sample_weight), optional
    tol : float, optional
    n_iter_no_change : int, default 10
    patience : int, optional
        A network that has stopped takes no more time.
    progress : bool, default False
    n_threads : int, optional
    rng : None, int, numpy.random.Generator or a sequence of `count` of these, optional
        As of `Networks`: sources of the seeds of shuffling and dropout; default the networks'.

    Returns
    -------
    Histories

    Warns
    -----
    RuntimeWarning
        Naming the networks of which the loss or a parameter is no longer finite; the others go on.

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault, before anything is changed.
    KeyboardInterrupt
        After Ctrl-C, with the `Histories` so far as its attribute ``history``; every network has the parameters after an epoch,
        or, where networks are trained one after another, after its last complete step.
    RuntimeError
        While the networks are being trained already.
    """
    one, count = nets._one, len(nets)
    plain = {"batch_size": batch_size, "shuffle": shuffle, "clip_norm": clip_norm, "clip_value": clip_value, "max_norm": max_norm}
    plain |= {"input_dropout": input_dropout, "schedule": schedule, "tol": tol, "n_iter_no_change": n_iter_no_change}
    plain |= {"patience": patience, "n_threads": n_threads}
    epochs, progress = validation.integer("epochs", epochs), wants_bar(progress)
    if minimizers.is_one(optimizer):
        raise ValueError(
            f"optimizer={optimizer!r} takes all samples of one network at once: call fit of each, nets[k].fit(X, y, optimizer=...)"
        )
    rules = [optimizers.get(optimizer)] * count
    if learning_rate is not None:
        rules = [with_rate(optimizer, rate) for rate in of_each("learning_rate", learning_rate, count)]
    l2s, l1s, dropouts = (of_each(name, value, count) for name, value in (("l2", l2), ("l1", l1), ("dropout", dropout)))
    options = [
        plain | {"optimizer": rule, "l2": l2, "l1": l1, "dropout": drop, "rng": source}
        for rule, l2, l1, drop, source in zip(rules, l2s, l1s, dropouts, sources(nets, rng), strict=True)
    ]
    for each in {repr(each | {"rng": None}): each for each in options}.values():  # whatever is at fault is told here
        Trainer(one, **each)
    data = _Data.checked(nets, X, y, own_targets, sample_weight, rows, order, epochs, validation_data)
    if patience is not None and data.held is None:
        raise ValueError("patience needs validation_data")
    memory.check_room(f"epochs={epochs}", 24 * epochs * count)
    validation.finite_parameters("params", nets.params)
    of_all = regularization.checked(len(one.hidden), 0.0, clip_norm, clip_value, max_norm, 0.0, input_dropout)
    can_be = of_all == NOTHING and not schedules.get(schedule).per_step and is_abreast(one, len(data.X))
    # each by itself: what becomes of one must not depend on the options of another
    together = np.array([can_be and l1 == 0 and drop == 0 for l1, drop in zip(l1s, dropouts, strict=True)])
    histories = Histories.of(count, epochs, is_judged=data.held is not None)
    with nets._turn:
        try:
            for way, chosen in ((_fit_abreast, together), (_fit_each, ~together)):
                if chosen.any():
                    way(nets, data, histories, options, progress, np.flatnonzero(chosen))
        except BaseException as error:
            error.history = histories  # type: ignore[attr-defined]
            if isinstance(error, KeyboardInterrupt):
                histories.interrupt()
            raise
    diverged = [k for k, why in enumerate(histories.stopped_by) if why == "divergence"]
    if diverged:
        named = ", ".join(map(str, diverged[:10])) + (", ..." if len(diverged) > 10 else "")
        warnings.warn(
            f"training of {len(diverged)} of {count} networks diverged ({named}): each has its parameters after the last epoch"
            " whose loss was finite. Lower their learning rate, or scale X to mean 0 and deviation 1",
            RuntimeWarning,
            stacklevel=2,
        )
    return histories


@dataclass
class _Data:
    """What a fit is given, checked."""

    X: np.ndarray
    values: np.ndarray  # (N, O), (K, N, O) or empty
    labels: np.ndarray  # (N,), (K, N) or empty
    weights: np.ndarray  # (N,), (K, N) or empty
    rows: list | None  # of each network
    orders: list | None  # (epochs or 1, m) of each network
    held: held_out.HeldOut | None

    @classmethod
    def checked(cls, nets, X, y, own_targets, sample_weight, rows, order, epochs, validation_data):
        one, count = nets._one, len(nets)
        X = validation.dense_samples("X", X, one.sizes[0], one.dtype)
        n_samples = len(X)
        kind = n_samples, one.sizes[-1], one.loss_function.task, one.dtype
        if boolean("own_targets", own_targets):
            if not hasattr(y, "__len__") or len(y) != count:
                raise ValueError(f"y must hold the targets of each of the {count} networks, with own_targets=True")
            found = [validation.targets(f"y[{k}]", each, *kind) for k, each in enumerate(y)]
            if len({labels.size for _, labels in found}) > 1:
                raise ValueError("y must hold class numbers for all networks, or rows of probabilities for all")
            values, labels = (np.stack(each) for each in zip(*found, strict=True))
        else:
            values, labels = validation.targets("y", y, *kind)
        weights = validation.NO_WEIGHTS if sample_weight is None else validation.numbers("sample_weight", sample_weight, np.float64)
        if weights.ndim == 2:
            if len(weights) != count:
                raise ValueError(f"sample_weight must have shape ({n_samples},) or ({count}, {n_samples}), got {weights.shape}")
            own = [validation.weights_of_samples(each, n_samples, f"sample_weight[{k}]") for k, each in enumerate(weights)]
            weights = np.stack(own)
        elif sample_weight is not None:
            weights = validation.weights_of_samples(weights, n_samples)
        if rows is not None and order is not None:
            raise ValueError("rows and order cannot both be given: order already tells which rows are visited")
        chosen = orders = None
        if rows is not None:
            chosen = _lists("rows", rows, count, lambda name, each: validation.row_order(each, 1, n_samples, name)[0])
        elif isinstance(order, list | tuple) and len(order) == count and hasattr(order[0], "__len__"):
            orders = _lists("order", order, count, lambda name, each: validation.row_order(each, epochs, n_samples, name))
        elif order is not None:
            orders = [validation.row_order(order, epochs, n_samples)] * count
        if len(weights) and (chosen or orders):
            for k, each in enumerate(chosen or orders or []):
                if not (weights[k] if weights.ndim == 2 else weights)[each].any():
                    raise ValueError(f"sample_weight must not be all zero for the rows that network {k} is trained on")
        held = held_out.given(one, validation_data)
        return cls(X, values, labels, weights, chosen, orders, held)

    def count_of_rows(self, count) -> np.ndarray:
        """Rows (K,) that each network visits in an epoch."""
        if self.orders is not None:
            return np.array([each.shape[1] for each in self.orders])
        return np.full(count, len(self.X)) if self.rows is None else np.array([len(each) for each in self.rows])

    def of(self, k):
        """X, y and sample_weight of network k."""
        of_all = self.labels if self.labels.size else self.values
        own = of_all[k] if of_all.ndim == (2 if self.labels.size else 3) else of_all
        weight = None if not self.weights.size else self.weights[k] if self.weights.ndim == 2 else self.weights
        if self.rows is None:
            return self.X, own, weight
        chosen = self.rows[k]
        return self.X[chosen], own[chosen], None if weight is None else weight[chosen]


def _lists(name, value, count, check):
    """A checked item for each network; those that are one object are checked once."""
    if not hasattr(value, "__len__") or len(value) != count:
        raise ValueError(f"{name} must hold one list of row numbers for each of the {count} networks")
    items, found = list(value), {}  # of an array, each look at a row is another object
    for k, each in enumerate(items):
        if id(each) not in found:
            found[id(each)] = check(f"{name}[{k}]", each)
    return [found[id(each)] for each in items]


def of_each(name: str, value, count: int):
    """A number for each network."""
    array = np.asarray(value, object)
    if array.shape not in ((), (count,)):
        raise ValueError(f"{name} must be one number, or one for each of the {count} networks, got shape {array.shape}")
    return np.broadcast_to(array, count).tolist()


def with_rate(optimizer, rate):
    """An optimiser of the same kind with another learning rate."""
    rule = optimizers.get(optimizer)
    if "learning_rate" not in rule.parameters():
        raise ValueError(f"learning_rate cannot be given: {type(rule).__name__} has none of this name; pass an optimizer with it")
    return type(rule)(**(rule.parameters() | {"learning_rate": positive("learning_rate", rate)}))


def sources(nets, rng):
    """The generator that draws each network's seed."""
    return validation.generators(nets.rngs if rng is None else rng, len(nets))


def _fit_abreast(nets, data, histories, options, progress, chosen) -> None:
    """These networks at once, one in each lane."""
    one, first, epochs = nets._one, options[0], histories.loss.shape[1]
    trainer, n_rows = Trainer(one, **first), data.count_of_rows(len(nets))
    crowd = Crowd(one, nets.params, samples_of(one, data.X, data.values, data.labels, data.weights))
    crowd.choose(chosen)
    crowd.set_rule([each["optimizer"] for each in options], min(trainer._batch_size, int(n_rows.max())), n_rows)
    crowd.set_penalty(np.array([each["l2"] for each in options]) / (n_rows if data.orders is None else len(data.X)))
    crowd.set_given(data.rows if data.orders is None else data.orders)
    order = ORDERS[first["shuffle"]] if data.orders is None else GIVEN
    if order != GIVEN:
        crowd.set_seeds(chosen, [drawn_seed(options[k]["rng"]) for k in chosen])
    if data.held is not None:
        held = data.held
        labels = held.targets if held.targets.ndim == 1 else validation.NO_LABELS
        values = held.targets if held.targets.ndim == 2 else validation.NOTHING[one.dtype]
        crowd.set_held(samples_of(one, sparsity.dense(held.rows), values, labels, held.weights), trainer._patience or 0)
    crowd.settings |= {"order": order, "limit": 0 if trainer._tol is None else trainer._n_iter_no_change}
    crowd.set_reals(tolerance=trainer._tol or 0.0, strict=1.0)
    factor = trainer._schedule.rates(1.0, epochs, 1)[:, 0]
    crowd.begin(np.array([each["optimizer"].learning_rate for each in options])[:, None] * factor)
    bar, done = bar_of(epochs, 0) if progress else None, [0]

    def after(epoch):
        if bar is not None:
            bar.update(epoch - done[0])
            done[0] = epoch

    work = float(n_rows[chosen].sum()) * threads.flop_of_sample(one.sizes) * epochs
    may_stop = trainer._tol is not None or trainer._patience is not None
    try:
        crowd.train(epochs, threads.members_for(work, trainer._n_threads, threads.FLOP_PER_START), may_stop, after)
    finally:
        crowd.take_best()
        for k in chosen:
            ended_by = {DIVERGED: "divergence", STOPPED: crowd.rule_of_stopping(k)}
            found = crowd.losses[k], crowd.held_losses[k], crowd.rates[k]
            histories.record(k, *found, ended_by.get(int(crowd.status[k])))
        if bar is not None:
            bar.close()


def _fit_each(nets, data, histories, options, progress, chosen) -> None:
    """These networks one after another, each thread another; each as `Network.fit` does it."""
    epochs, halt = histories.loss.shape[1], Event()
    judged = None if data.held is None else (*data.held[:2], data.held.weights if data.held.weights.size else None)
    bar = bar_of(len(chosen), 0) if progress else None

    def record(k, history, stopped_by=None):
        found = history.loss, history.validation_loss, history.learning_rate
        histories.record(k, *found, stopped_by or history.stopped_by)

    def train(k):
        X, y, weight = data.of(k)
        order = None if data.orders is None else data.orders[k]
        if order is not None and len(order) == 1:
            order = order[0]
        trainer = Trainer(nets._alone(k), **(options[k] | {"n_threads": 1}))
        trainer.halt = halt
        try:
            record(k, trainer.run(X, y, epochs, order=order, sample_weight=weight, validation_data=judged))
        except DivergenceError as error:
            record(k, error.history, "divergence")  # type: ignore[attr-defined]
        except BaseException as error:
            if hasattr(error, "history"):
                record(k, error.history)
            raise
        finally:
            trainer.leave_buffers()
        if bar is not None:
            bar.update(1)

    work = float(data.count_of_rows(len(nets))[chosen].sum()) * threads.flop_of_sample(nets._one.sizes) * epochs
    members = threads.members_for(work, options[0]["n_threads"], threads.FLOP_PER_START)
    try:
        threads.divide(train, chosen.tolist(), min(len(chosen), members), halt)
    finally:
        if bar is not None:
            bar.close()
