"""`fit`: a trainer that is used once; what its options are."""

from inspect import signature

from fastbp import minimizers
from fastbp.engine import validation
from fastbp.engine.history import History
from fastbp.engine.minimize.run import check, fit_all
from fastbp.engine.trainer import Trainer
from fastbp.files import checkpoint
from fastbp.streams import Source


def fit(
    net,
    X,
    y=None,
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
    resume=None,
    comm=None,
) -> History:
    """Train a network from its present parameters: by mini-batches and an update rule, or by all samples and a minimiser.

    Ctrl-C ends it soon. Whatever exception ends it has the history so far as its attribute ``history``; after Ctrl-C the network
    has the parameters after its last complete step, or, with `patience`, the best. Other threads may predict meanwhile, by
    parameters of any moment of the training.

    Parameters
    ----------
    X : array_like or sparse matrix (n_samples, n_inputs)
        Arrays of the network's dtype, and of uint8, int8 and float16, are not copied; see `input_scale` of `Network`. Where most of
        it is zero, the zeros are left out of the first layer; the result is the same. In its place, and without `y`, a `stream` of
        data that need not fit in memory, or what `stream` makes one of.
    y : array_like, optional
        Targets; see `Network.loss`.
    epochs : int, default 10
    batch_size : int, default 32
        At most n_samples is used. A last, shorter mini-batch is used too, and divided by its own size.
    optimizer : str, Optimizer or Minimizer, default "sgd"
        What it keeps from step to step (velocities, moving averages, the count of steps) begins at zero with every fit. "lm"
        (Levenberg-Marquardt) and "gauss-newton-cg", for squared errors, and "lbfgs" (`fastbp.minimizers`) take all samples at once:
        an epoch is a step that lowers the loss, there is no rate, and `batch_size`, `order`, `l1`, clipping, `max_norm`, dropout,
        `schedule` and `resume` are errors. Their `loss` in the history is that after the step, and they end the fit as "converged"
        where no step lowers the loss any more. "lm" takes networks of at most 3500 parameters. float64 is recommended.
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
    validation_data : (X, y) or (X, y, sample_weight), optional
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
        Fill the lists of these names in the history; the score, as the loss, is of the outputs that training computes anyway.
    callbacks : iterable of callable
        ``callback(epoch, net, history)`` after every epoch (from 0); one that returns True stops the fit.
    progress : bool, default False
        Show a bar, by tqdm (extra ``cli``); in notebooks with ipywidgets a widget.
    n_threads : int, optional
        The most threads to use; by default as many as the work of a mini-batch repays. Never more than the least of the limits
        set when the fit begins: cores and quota of the process, ``OMP_NUM_THREADS``, ``NUMBA_NUM_THREADS``, `threadpoolctl`,
        joblib's share (`fastbp.engine.threads`). The result does not depend on it.
    rng : None, int or numpy.random.Generator, optional
        Source of the seed of shuffling and dropout; default the network's.
    resume : str or path, optional
        A file that a `Checkpoint` wrote in a run with the same options on the same data: go on from there, in the same or another
        process, to the same bits, up to `epochs` in all. Where it is not there yet, and one of the `callbacks` is to write it,
        training begins.
    comm : mpi4py.MPI.Intracomm or Ranks, optional
        The MPI processes that train together (extra ``mpi``): X and y are the part of this one, of as many samples as all others
        have, and `batch_size` counts the samples of all of them. Parameters and seed are those of rank 0. `validation_data` are the
        same on all ranks; `order`, `validation_fraction`, `record_score` and ``shuffle="replacement"`` are errors. See
        `fastbp.mpi`.

    Returns
    -------
    History

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault, before anything is changed.
    OSError
        If the file of `resume` cannot be read.
    DivergenceError
        When the loss or a parameter is no longer finite; the network then has the last finite parameters: those after the
        epoch before, or, where an epoch takes several calls of the kernel, after the call before. Where a callback or another
        thread wrote what is not finite, they are those from before the last call of the kernel.
    RuntimeError
        While the network is being trained already, by another thread or around a callback.
    """
    given, minimizer = dict(locals()), None
    callbacks = given["callbacks"] = validation.functions("callbacks", callbacks)
    if isinstance(optimizer, str):
        minimizers.require_known(optimizer)
    if minimizers.is_one(optimizer):
        minimizer, optimizer = minimizers.get(optimizer), "sgd"
        if y is None or isinstance(X, Source):
            raise ValueError(f"optimizer={minimizer!r} takes all samples at once, and no stream: give it X and y")
        check(net, minimizer, given, {name: each.default for name, each in signature(fit).parameters.items()})
    state = None if resume is None else checkpoint.read_run(resume, net._settings(), callbacks)
    trainer = Trainer(
        net,
        batch_size=batch_size,
        optimizer=optimizer,
        shuffle=shuffle,
        l1=l1,
        l2=l2,
        clip_norm=clip_norm,
        clip_value=clip_value,
        max_norm=max_norm,
        dropout=dropout,
        input_dropout=input_dropout,
        schedule=schedule,
        validation_fraction=validation_fraction,
        tol=tol,
        n_iter_no_change=n_iter_no_change,
        gradient_tol=gradient_tol,
        patience=patience,
        record_norms=record_norms,
        record_score=record_score,
        callbacks=callbacks,
        progress=progress,
        n_threads=n_threads,
        rng=rng,
    )
    if minimizer is not None:
        return fit_all(trainer, minimizer, X, y, epochs, sample_weight, validation_data)
    try:
        data = {"sample_weight": sample_weight, "validation_data": validation_data}
        return trainer.run(X, y, epochs, order=order, **data, resume=state, comm=comm)
    finally:
        trainer.leave_buffers()
