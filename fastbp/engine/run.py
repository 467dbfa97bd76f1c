"""`run`: some epochs of a trainer on data that stay, until a rule of stopping, a callback or the user ends it."""

from contextlib import contextmanager
from copy import deepcopy

from fastbp.arguments import integer
from fastbp.engine import held_out, memory, run_state, validation
from fastbp.engine.history import History
from fastbp.engine.stream_reading import reading
from fastbp.engine.supervisor import Stopping, Supervisor
from fastbp.engine.validation import NO_WEIGHTS
from fastbp.engine.watch import Watch, bar_of, takes_moment


def run(trainer, X, y, epochs, order, sample_weight, validation_data, resume):
    """See `Trainer.run`. What is at fault is told before anything is changed."""
    net = trainer.net
    epochs = integer("epochs", epochs)
    rows, values, labels, weights = trainer._checked(X, y, sample_weight)
    targets = labels if labels.size else values
    judged = held_out.given_or_stream(net, validation_data)
    held_count = 0 if judged is not None else held_out.count_of(trainer._validation_fraction, len(rows))
    if trainer._patience is not None and judged is None and held_count == 0:
        raise ValueError("patience needs validation_data or validation_fraction")
    given = None if order is None else validation.row_order(order, epochs, len(rows) - held_count)
    count = len(rows) - held_count if given is None else given.shape[1]
    steps = -(-count // trainer._batch_size)
    memory.check_room(f"epochs={epochs}", 8 * epochs * (4 * len(net.sizes) - 3 + (steps if trainer._schedule.per_step else 1)))
    validation.finite_parameters("params", net._vector)
    told, options, data = None, {}, ""
    if resume is not None or any(map(takes_moment, trainer._callbacks)):
        options = trainer._described(epochs)
        data = held_out.fingerprint_of([*held_out.arrays_of(rows), targets, weights, given], judged)
    if resume is not None:
        told = run_state.checked(resume, options, data, net._vector.size, trainer._rng)
        trainer.load_state(resume.get("trainer"))
    with net._turn, reading(judged):
        running = trainer._running
        first = running.place.epochs + (running.place.first > 0)
        begun = told["begun"] if told else first
        last = begun + epochs
        history = History(**told["history"]) if told else History()
        if told and (first >= last or history.stopped_by is not None):
            set_best(net, told["best"])
            return history
        rates = trainer._schedule.rates(running.learning_rate, trainer._schedule_epochs or last, steps, first, last)
        chosen = split = None
        if held_count:
            source = trainer._rng
            if told:
                source = deepcopy(source)
                source.bit_generator.state = told["split"]
            split = source.bit_generator.state
            chosen, held = held_out.split(source, len(rows), held_count)
            judged = held_out.HeldOut(rows[held], targets[held], NO_WEIGHTS)
            given = None if given is None else chosen[given]
        visited = chosen if given is None else given
        if len(weights) and visited is not None and not weights[visited].any():
            if held_count:
                source.bit_generator.state = split
            raise ValueError("sample_weight must not be all zero for the rows that are trained on")
        if given is not None and len(given) > 1:
            given = given[first - begun :]
        rows = trainer._seen(rows)
        # a sample that is twice in a mini-batch has two masks: which of its outputs is scored must not depend on who is faster
        alone = trainer._record_score and trainer._extra.dropout and (given is not None or trainer._shuffle == "replacement")
        session = trainer._open(rows, min(trainer._batch_size, count), 1 if alone else trainer._n_threads)
        session.set_data(rows, values, labels, weights, given, chosen if given is None else None)
        trainer._penalise(session, len(rows) - held_count)
        shuffle = trainer._shuffle if given is None else False
        session.set_order(shuffle, 0 if given is None or len(given) == 1 else count)
        session.set_rates(rates, net._schedules(first, last, trainer._schedule_epochs or last) if net.encoder else None)
        session.set_record(last - first, norms=trainer._norms)
        session.begin(trainer._drawn_seed() if shuffle or trainer._extra.dropout else 0, first)

        def state(watch):  # given, not closed over: in a circle of references, buffers would wait for the collector of those
            own = {"begun": begun, "options": options, "data": data, "split": split}
            return {"trainer": trainer.state(), "run": own | watch.rules() | {"history": deepcopy(watch.history.to_dict())}}

        watch = watch_of(trainer, session, judged, told, targets, progress_of(trainer, epochs, first - begun), last, state, history)
        running.place.epochs, running.place.first = first, 0

        def after(first, last, times):
            running.place.epochs = last  # callbacks may ask for the state
            return watch.after(first, last, times)

        with watching(trainer, session, watch):
            supervisor = Supervisor(session, trainer.halt)
            supervisor.run(last, after, each=watch.is_needed_every_epoch())
            watch.restore_best()
            supervisor.require_finite(begun + len(history.loss))
    return history


def watch_of(trainer, session, judged, told, targets, bar, last, state, history) -> Watch:
    """Who looks at the epochs of a run, by the options of its trainer and by what is `told` of the epochs before, if any."""
    return Watch(
        session,
        _rule(trainer._tol, trainer._n_iter_no_change, told and told["stop"]),
        trainer._gradient_tol,
        judged,
        _rule(None if trainer._patience is None else 0.0, trainer._patience, told and told["patience"]),
        targets if trainer._record_score else None,
        trainer._n_threads,
        trainer._record_norms,
        trainer._callbacks,
        bar,
        last,
        state,
        history,
        told and told["best"],
    )


@contextmanager
def watching(trainer, session, watch):
    """What is left where a run ends, however that is: the history, the best parameters, the place, and no data."""
    try:
        yield
    except BaseException as error:
        watch.end_by(error, session.epoch)
        raise
    finally:
        place = trainer._running.place
        place.epochs, place.first = session.epoch + (not session.is_between_epochs), 0
        session.release_data()
        watch.close()


def progress_of(trainer, epochs, done):
    """The progress bar of a run, if one is asked for."""
    return bar_of(epochs, done) if trainer._progress else None


def _rule(tol, limit, known) -> Stopping | None:
    """A rule of stopping, which may know of epochs before."""
    return None if tol is None else Stopping(tol, limit, *(known or ()))


def set_best(net, best) -> None:
    """Give a network the best parameters of a run that is over, if a rule has looked for them."""
    if best is not None:
        net._vector[:] = best
