"""Supervises a fit: epochs, stopping, callbacks, History. The arithmetic is in the kernels."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from fastbp import layout, optimizers, schedules
from fastbp.arguments import boolean, is_boolean
from fastbp.engine import memory, regularization, sparsity, validation
from fastbp.engine.runner import DivergenceError as DivergenceError
from fastbp.engine.runner import Runner, open_session
from fastbp.engine.runner import flop_of_sample as flop_of_sample


@dataclass
class History:
    """What happened in a fit; one entry an epoch in each list that was asked for.

    Attributes
    ----------
    loss : list of float
        Mean over the epoch's samples of the loss each mini-batch had before its step, penalty included.
    validation_loss, validation_score : list of float
        After the epoch, on the validation data.
    score : list of float
        After the epoch, on the training data, with ``record_score=True``.
    learning_rate : list of float
        At the beginning of the epoch.
    time : list of float
        Seconds since the fit began.
    weight_norms, gradient_norms : list of list of float
        Euclidean norm of each layer's weights after the epoch and of their gradient, as clipped, at its last step, with
        ``record_norms=True``.
    stopped_by : str or None
        "tol", "gradient_tol", "patience", "callback", or None if all epochs were run.
    """

    loss: list = field(default_factory=list)
    validation_loss: list = field(default_factory=list)
    score: list = field(default_factory=list)
    validation_score: list = field(default_factory=list)
    learning_rate: list = field(default_factory=list)
    time: list = field(default_factory=list)
    weight_norms: list = field(default_factory=list)
    gradient_norms: list = field(default_factory=list)
    stopped_by: str | None = None

    def to_dict(self) -> dict:
        """The lists that were filled, and why the fit stopped."""
        return {name: value for name, value in vars(self).items() if value != []}

    def save(self, path) -> None:
        """Write `to_dict` as JSON to `path`."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")


def epoch_order(seed: int, epoch: int, n_samples: int) -> np.ndarray:
    """The order in which `fit` visits `n_samples` rows in an epoch (from 0) when it shuffles with this seed."""
    from fastbp.kernels.train import draw_order

    order = np.empty(n_samples, np.int64)
    draw_order["float32"](order, seed, epoch)
    return order


def fit(
    net,
    X,
    y,
    *,
    epochs=10,
    batch_size=32,
    optimizer="sgd",
    shuffle=True,
    order=None,
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
    validation_fraction=0.0,
    tol=None,
    n_iter_no_change=10,
    gradient_tol=None,
    patience=None,
    record_norms=False,
    record_score=False,
    callbacks=(),
    progress=False,
    n_threads=None,
    rng=None,
) -> History:
    """Train a network by mini-batch gradient descent, from its present parameters.

    Other threads may predict meanwhile, by parameters of any moment of the training.

    Parameters
    ----------
    X : array_like or sparse matrix (n_samples, n_inputs)
        Where most of it is zero, the zeros are left out of the first layer; the result is the same.
    y : array_like
        Targets; see `Network.loss`.
    epochs : int, default 10
    batch_size : int, default 32
        At most n_samples is used. A last, shorter mini-batch is used too, and divided by its own size.
    optimizer : str or Optimizer, default "sgd"
        What it keeps from step to step (velocities, moving averages, the count of steps) begins at zero with every fit.
    shuffle : bool or "replacement", default True
        Visit the rows in a new order every epoch; False keeps theirs; "replacement" draws each row anew.
    order : array_like of int, (epochs, m) or (m,), optional
        Visit these rows instead.
    sample_weight : array_like (n_samples,), optional
        The loss of a mini-batch is its weighted mean: what counts is the ratio of weights, of whatever size. One whose weights are
        less than 1e-300 of the largest there is weighs nothing.
    l2 : float, default 0
        The textbook's lambda: l2 / (2 n_samples) sum W^2 over all weights, not biases, is added to the loss.
    l1 : float, default 0
        l1 / n_samples sum |W| over all weights, not biases, is added to the loss; its derivative at 0 is taken to be 0.
    clip_norm : float, optional
        A gradient (of the loss with its penalties, by all parameters) whose Euclidean norm is above this is scaled down to it
        (Pascanu et al., 2013).
    clip_value : float, optional
        Components of the gradient are cut off at this size; before `clip_norm`.
    max_norm : float, optional
        After every step the incoming weights of every unit, outputs included, are scaled down to at most this Euclidean norm
        (Srivastava et al., 2014).
    dropout : float or list of float, default 0
        Probability, in [0, 1), that the activation of a hidden unit is replaced by 0 in a step, where it is else divided by
        1 - dropout (inverted dropout; Srivastava et al., 2014); one for all hidden layers, or one each. Which units those are is
        told by `fastbp.engine.regularization.dropout_mask`. Outputs, `loss` and validation never drop.
    input_dropout : float, default 0
        The same of the network's inputs.
    schedule : str or Schedule, default "constant"
        How the learning rate changes; see :mod:`fastbp.schedules`.
    validation_data : (X, y), optional
    validation_fraction : float, default 0
        Without `validation_data`, keep this part of the rows, drawn at random, for validation.
    tol : float, optional
        Stop when the loss has not improved on its best by more than `tol` for `n_iter_no_change` epochs running.
    n_iter_no_change : int, default 10
    gradient_tol : float, optional
        Stop after an epoch in whose last step the norms of all weight and bias gradients add up to at most this.
    patience : int, optional
        Stop after so many epochs without a better validation loss, and restore the parameters of the best.
    record_norms, record_score : bool, default False
        Fill the lists of the same names in the history.
    callbacks : iterable of callable
        ``callback(epoch, net, history)`` after every epoch (from 0); one that returns True stops the fit.
    progress : bool, default False
        Show a tqdm bar.
    n_threads : int, optional
        The most threads to use; by default as many as the work of a mini-batch repays. Never more than the least of the limits
        set when the fit begins: cores and quota of the process, ``OMP_NUM_THREADS``, ``NUMBA_NUM_THREADS``, `threadpoolctl`,
        joblib's share (`fastbp.engine.threads`). The result does not depend on it.
    rng : None, int or numpy.random.Generator, optional
        Source of the seed of shuffling and dropout; default the network's.

    Returns
    -------
    History

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault, before anything is changed.
    DivergenceError
        When the loss or a parameter is no longer finite; the network then has the last finite parameters: those after the
        epoch before, or, where an epoch takes several calls of the kernel, after the call before. Where a callback or another
        thread wrote what is not finite, they are those from before the last call of the kernel.
    RuntimeError
        While the network is being trained already, by another thread or around a callback.
    """
    epochs = validation.integer("epochs", epochs)
    batch_size = validation.integer("batch_size", batch_size)
    rule = optimizers.get(optimizer)
    l2 = validation.real("l2", l2)
    extra = regularization.checked(len(net.hidden), l1, clip_norm, clip_value, max_norm, dropout, input_dropout)
    schedule = schedules.get(schedule)
    rows = validation.samples("X", X, net.sizes[0], net.dtype)
    task, n_out = net.loss_function.task, net.sizes[-1]
    values, labels = validation.targets("y", y, len(rows), n_out, task, net.dtype)
    weights = validation.weights_of_samples(sample_weight, len(rows))
    rng = net.rng if rng is None else validation.generator(rng)
    held_out = _validation_data(net, validation_data)
    held_count = 0 if held_out is not None else _held_out_count(validation_fraction, len(rows))
    if patience is not None:
        patience = validation.integer("patience", patience)
        if held_out is None and held_count == 0:
            raise ValueError("patience needs validation_data or validation_fraction")
    n_iter_no_change = validation.integer("n_iter_no_change", n_iter_no_change)
    tol = None if tol is None else validation.real("tol", tol)
    gradient_tol = None if gradient_tol is None else validation.real("gradient_tol", gradient_tol)
    if shuffle != "replacement" if isinstance(shuffle, str) else not is_boolean(shuffle):
        raise ValueError(f"shuffle must be True, False or 'replacement', got {shuffle!r}")
    given = None if order is None else validation.row_order(order, epochs, len(rows) - held_count)
    n_threads = None if n_threads is None else validation.integer("n_threads", n_threads)
    callbacks = validation.functions("callbacks", callbacks)
    record_norms = boolean("record_norms", record_norms)
    record_score = boolean("record_score", record_score)
    progress = boolean("progress", progress)
    steps = -(-(len(rows) - held_count if given is None else given.shape[1]) // batch_size)
    memory.check_room(f"epochs={epochs}", 8 * epochs * (4 * len(net.sizes) - 3 + (steps if schedule.per_step else 1)))
    validation.finite_parameters("params", net.params)

    with net._turn:
        if held_count:
            rows, values, labels, weights, held_out = _split(rng, rows, values, labels, weights, held_count)
        batch_size = min(batch_size, len(rows) if given is None else given.shape[1])
        separate = record_norms or gradient_tol is not None
        extra = replace(extra, l1=extra.l1 / len(rows))
        if regularization.drops_inputs(extra):
            rows, entries = sparsity.dense(rows), None
        else:
            entries = sparsity.entries(rows, net.sizes[1])
        plain = not separate and l2 == 0
        session = open_session(net, batch_size, rule, n_threads, plain=plain, extra=extra, entries=entries)
        plan = session.plan
        session.set_data(rows, values, labels, weights, given)
        session.set_penalty(l2 / len(rows))
        plan[layout.SEPARATE] |= separate
        if given is not None:
            plan[layout.ORDER], plan[layout.ORDER_STRIDE] = layout.GIVEN, given.shape[1] if len(given) > 1 else 0
        else:
            plan[layout.ORDER] = {True: layout.SHUFFLED, False: layout.GIVEN, "replacement": layout.WITH_REPLACEMENT}[shuffle]
        if (shuffle and given is None) or extra.dropout:
            plan[layout.SEED] = rng.integers(1 << 63)
        session.set_rates(schedule.rates(rule.learning_rate, epochs, -(-int(plan[layout.ROWS]) // batch_size)))
        session.record = np.full((epochs, 1 + 4 * (len(net.sizes) - 1)), np.nan).reshape(-1)

        watch = _Watch(net, rows, values, labels, weights, held_out, tol, n_iter_no_change, gradient_tol, patience)
        watch.record_norms, watch.record_score, watch.callbacks = record_norms, record_score, callbacks
        bar = _bar(epochs, progress)
        try:
            _run(session, watch, epochs, bar)
        finally:
            session.close()
            if bar is not None:
                bar.close()
        return watch.history


def _run(session, watch, epochs, bar):
    """Run all epochs, or until the watch says stop."""
    plan, begin = session.plan, perf_counter()
    runner = Runner(session)
    for first, last, start, seconds in runner.run(epochs, each=watch.is_needed_every_epoch()):
        for epoch in range(first, last):
            elapsed = start - begin + seconds * (epoch + 1 - first) / (last - first)
            if watch.after(epoch, session, elapsed):
                plan[layout.EPOCH] = epochs
        if bar is not None and last > first:
            bar.set_postfix(watch.summary(), refresh=False)
            bar.update(last - first)
    if watch.best is not None:
        session.net.params[:] = watch.best
    runner.require_finite(len(watch.history.loss))


class _Watch:
    """Looks at each epoch: fills the history and decides whether to stop."""

    def __init__(self, net, rows, values, labels, weights, held_out, tol, n_iter_no_change, gradient_tol, patience):
        self.net, self.history = net, History()
        self.training = rows, labels if labels.size else values
        self.held_out, self.tol, self.n_iter_no_change = held_out, tol, n_iter_no_change
        self.gradient_tol, self.patience = gradient_tol, patience
        self.record_norms = self.record_score = False
        self.callbacks: tuple = ()
        self.best = None
        self.best_loss = self.best_validation_loss = float("inf")
        self.without_progress = self.without_better = 0

    def is_needed_every_epoch(self) -> bool:
        """Whether anything has to be looked at, or may stop the fit, between two epochs."""
        return bool(
            self.held_out is not None
            or self.tol is not None
            or self.gradient_tol is not None
            or self.record_score
            or self.callbacks
        )

    def after(self, epoch, session, elapsed) -> bool:
        """Record an epoch; True to stop."""
        history, n_layers = self.history, len(self.net.sizes) - 1
        loss, *norms = session.record.reshape(-1, 1 + 4 * n_layers)[epoch].tolist()
        history.loss.append(loss)
        history.learning_rate.append(session.rate(epoch))
        history.time.append(elapsed)
        if self.record_norms:
            history.weight_norms.append(norms[: 2 * n_layers : 2])
            history.gradient_norms.append(norms[2 * n_layers :: 2])
        if self.record_score:
            history.score.append(self.net.score(*self.training))
        if self.held_out is not None:
            history.validation_loss.append(self.net.loss(*self.held_out))
            history.validation_score.append(self.net.score(*self.held_out))
        history.stopped_by = self._reason(loss, sum(norms[2 * n_layers :]))
        for callback in self.callbacks:
            if callback(epoch, self.net, history) is True and history.stopped_by is None:
                history.stopped_by = "callback"
        return history.stopped_by is not None

    def _reason(self, loss, gradient_norm):
        if self.gradient_tol is not None and gradient_norm <= self.gradient_tol:
            return "gradient_tol"
        if self.tol is not None:
            self.without_progress = 0 if loss < self.best_loss - self.tol else self.without_progress + 1
            self.best_loss = min(loss, self.best_loss)
            if self.without_progress >= self.n_iter_no_change:
                return "tol"
        if self.patience is not None:
            validation_loss = self.history.validation_loss[-1]
            if validation_loss < self.best_validation_loss:
                self.best_validation_loss, self.best, self.without_better = validation_loss, self.net.params.copy(), 0
            else:
                self.without_better += 1
            if self.without_better >= self.patience:
                return "patience"
        return None

    def summary(self) -> dict:
        """What the progress bar shows."""
        shown = {"loss": self.history.loss[-1]}
        if self.record_score:
            shown["score"] = self.history.score[-1]
        if self.held_out is not None:
            shown["validation loss"] = self.history.validation_loss[-1]
            shown["validation score"] = self.history.validation_score[-1]
        return {name: f"{value:.4g}" for name, value in shown.items()}


def _validation_data(net, data):
    if data is None:
        return None
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError("validation_data must be a pair (X, y)")
    rows = validation.samples("validation_data[0]", data[0], net.sizes[0], net.dtype)
    values, labels = validation.targets("validation_data[1]", data[1], len(rows), net.sizes[-1], net.loss_function.task, net.dtype)
    return rows, labels if labels.size else values


def _held_out_count(fraction, n_samples) -> int:
    fraction = validation.real("validation_fraction", fraction)
    count = round(fraction * n_samples)
    if fraction > 0 and not 0 < count < n_samples:
        raise ValueError(f"validation_fraction must leave rows on both sides, got {fraction:g} of {n_samples} rows")
    return count


def _split(rng, rows, values, labels, weights, count):
    mixed = rng.permutation(len(rows))
    kept, held = mixed[count:], mixed[:count]
    part = [array[kept] if len(array) else array for array in (rows, values, labels, weights)]
    return *part, (rows[held], labels[held] if labels.size else values[held])


def _bar(epochs, progress):
    if not progress:
        return None
    from tqdm.auto import tqdm

    return tqdm(total=epochs, unit="epoch")
