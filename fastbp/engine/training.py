"""`fit`: what its options are, their checks, and a training by them."""

from dataclasses import replace

import numpy as np

from fastbp import optimizers, schedules
from fastbp.arguments import boolean, is_boolean
from fastbp.engine import memory, regularization, sparsity, validation
from fastbp.engine.history import History, Watch
from fastbp.engine.session import Session
from fastbp.engine.trainer import Stopping, Trainer


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
        if extra.l1:
            extra = replace(extra, l1=extra.l1 / len(rows))
        if regularization.drops_inputs(extra):
            rows, entries = sparsity.dense(rows), None
        else:
            entries = sparsity.entries(rows, net.sizes[1])
        norms = record_norms or gradient_tol is not None
        plain = not norms and l2 == 0
        session = Session.open(net, batch_size, rule, n_threads, plain=plain, extra=extra, entries=entries)
        session.set_data(rows, values, labels, weights, given)
        session.set_penalty(l2 / len(rows))
        session.set_order(shuffle if given is None else False, 0 if given is None or len(given) == 1 else given.shape[1])
        session.set_rates(schedule.rates(rule.learning_rate, epochs, steps))
        session.set_record(epochs, norms=norms)
        session.begin(rng.integers(1 << 63) if (shuffle and given is None) or extra.dropout else 0)

        loss_rule = None if tol is None else Stopping(tol, n_iter_no_change)
        held_out_rule = None if patience is None else Stopping(0.0, patience)
        scored = (rows, labels if labels.size else values) if record_score else None
        bar = _bar(epochs, progress)
        watch = Watch(session, loss_rule, gradient_tol, held_out, held_out_rule, scored, record_norms, callbacks, bar)
        try:
            trainer = Trainer(session)
            trainer.run(epochs, watch.after, each=watch.is_needed_every_epoch())
            watch.restore_best()
            trainer.require_finite(len(watch.history.loss))
        finally:
            session.close()
            watch.close()
        return watch.history


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
