"""Steps in compiled functions: those of Python to the bit, in turns with them, and refused where they would be somebody else's."""

import embedded
import numpy as np
import pytest
from conftest import DTYPES, RULES, label, make_net, make_samples, make_targets, same_state
from numba import njit, objmode
from test_trainer import EXTRAS

import fastbp
from fastbp import DivergenceError
from fastbp.kernels.embedded.records import Handle

N, BATCH = 24, 5
WIDE, NARROW = (4, 20, 3), (4, 7, 3)


def twins(sizes=WIDE, loss="squared", dtype="float64", **options):
    """Two trainers of equal networks, samples and targets."""
    nets = [make_net(sizes, loss=loss, dtype=dtype) for _ in range(2)]
    options = {"batch_size": BATCH, "n_samples": N, "schedule_epochs": 12, "rng": 3} | options
    return [net.trainer(**options) for net in nets], make_samples(N, sizes[0], dtype), make_targets(loss, N, sizes[-1], dtype)


def parts(count):
    """Where mini-batches begin and end, over and over: the last of an epoch is shorter."""
    for i in range(count):
        first = i % -(-N // BATCH) * BATCH
        yield slice(first, min(N, first + BATCH))


def compare(trainers, X, y, count=13):
    """Steps of one trainer in compiled code, and of the other in Python."""
    compiled, plain = trainers
    for rows in parts(count):
        assert embedded.step(compiled, X[rows], y[rows]) == plain.step(X[rows], y[rows])
    same_state(compiled.state(), plain.state())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [WIDE, NARROW, (4, 3)])
@pytest.mark.parametrize("rule", RULES, ids=label)
def test_steps_have_the_bits_of_those_in_python(rule, sizes, dtype):
    compare(*twins(sizes, dtype=dtype, optimizer=rule))


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
@pytest.mark.parametrize("name", EXTRAS)
def test_so_they_have_with_every_option(name, sizes):
    compare(*twins(sizes, optimizer="adam", **EXTRAS[name]))


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "huber", "poisson"])
def test_so_they_have_with_other_losses(loss):
    compare(*twins(loss=loss))


def test_steps_of_both_kinds_runs_and_states_are_one_training():
    (compiled, plain), X, y = twins(optimizer="adam", schedule="cosine", l2=0.1)
    for turn in range(3):
        for i, rows in enumerate(parts(4)):
            own = embedded.step if i % 2 else lambda trainer, *data: trainer.step(*data)
            assert own(compiled, X[rows], y[rows]) == plain.step(X[rows], y[rows])
        same_state(compiled.state(), plain.state())
        assert compiled.run(X, y, 1).loss == plain.run(X, y, 1).loss
        if turn == 1:
            compiled.load_state(compiled.state())
        compiled.learning_rate = plain.learning_rate = 0.003
    compare([compiled, plain], X, y, 3)
    assert compiled.epochs == plain.epochs > 3


def test_many_steps_in_one_call():
    (compiled, plain), X, y = twins()
    losses = np.empty(40)
    embedded.steps(compiled, X[:20], y[:20], BATCH, losses)
    for i, loss in enumerate(losses):
        rows = slice(i * BATCH % 20, i * BATCH % 20 + BATCH)
        assert loss == plain.step(X[rows], y[rows])
    same_state(compiled.state(), plain.state())


def test_a_row_and_class_numbers():
    (compiled, plain), X, _ = twins(loss="cross_entropy")
    y = np.arange(N) % 3
    for i in range(5):
        assert embedded.step(compiled, X[i], i % 3) == plain.step(X[i : i + 1], y[i : i + 1])
    assert embedded.step(compiled, X[:4], y[:4]) == plain.step(X[:4], y[:4])
    same_state(compiled.state(), plain.state())


def test_a_pickled_trainer_goes_on():
    import pickle

    (compiled, plain), X, y = twins(optimizer="adam")
    embedded.step(compiled, X[:5], y[:5])
    plain.step(X[:5], y[:5])
    compare([pickle.loads(pickle.dumps(compiled)), plain], X, y, 3)


# --- errors ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda X, y: (X[:6], y[:6]), "batch_size of a trainer"),
        (lambda X, y: (X[:5, :3].copy(), y[:5]), "x must have as many columns"),
        (lambda X, y: (X[:5], y[:4]), "y must have a row"),
        (lambda X, y: (X[:5] * np.nan, y[:5]), "NaN or infinity"),
        (lambda X, y: (X[:5], y[:5] * np.inf), "holds NaN"),
        (lambda X, y: (X[:0], y[:0]), "no rows"),
    ],
)
def test_bad_input_changes_nothing(arguments, message):
    (trainer, _), X, y = twins(optimizer="adam")
    embedded.step(trainer, X[:5], y[:5])
    before = trainer.state()
    with pytest.raises(ValueError, match=message):
        embedded.step(trainer, *arguments(X, y))
    same_state(trainer.state(), before)
    trainer.step(X[:5], y[:5])


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_what_diverges_is_as_it_is_in_python(sizes):
    (compiled, plain), X, y = twins(sizes, dtype="float32", optimizer=fastbp.Momentum(1e30))
    huge = np.float32(1e30) * X[:5], y[:5]
    for data in ((X[:5], y[:5]), huge, (X[5:10], y[5:10]), huge):
        results = []
        for take in (lambda *data: embedded.step(compiled, *data), plain.step):
            try:
                results.append(take(*data))
            except DivergenceError as error:
                results.append(str(error).partition(" is not finite")[0])
        assert results[0] == results[1]
        same_state(compiled.state(), plain.state())


@pytest.mark.parametrize("schedule", ["cosine", fastbp.schedules.Step(1, 0.5), "one_cycle"])
def test_after_the_last_epoch_of_a_schedule_its_last_rate_stays(schedule):
    compare(*twins(schedule=schedule, schedule_epochs=2), count=17)


@pytest.mark.parametrize("options", [{"schedule_epochs": None}, {"n_samples": None}])
def test_a_schedule_needs_to_know_its_end(options):
    (trainer, _), X, y = twins(schedule="cosine", **options)
    with pytest.raises(ValueError, match=r"needs n_samples=... and schedule_epochs=... of the trainer for steps in compiled code"):
        embedded.step(trainer, X[:5], y[:5])


def test_of_two_who_train_one_network_one_is_refused():
    (trainer, _), X, y = twins()
    other = trainer.net.trainer(batch_size=BATCH)

    @njit
    def step_meanwhile(trainer, x, y):
        with objmode():
            other.net._turn.word[0] = 1  # as if another thread were in a step
        return trainer.step(x, y)

    before = trainer.state()
    with pytest.raises(RuntimeError, match="is being trained already"):
        step_meanwhile(trainer, X[:5], y[:5])
    with pytest.raises(RuntimeError, match="is being trained already"):
        other.step(X[:5], y[:5])
    trainer.net._turn.word[0] = 0
    same_state(trainer.state(), before)
    with trainer.net._turn, pytest.raises(RuntimeError, match="is being trained already"):
        embedded.step(trainer, X[:5], y[:5])
    embedded.step(trainer, X[:5], y[:5])
    other.step(X[:5], y[:5])


def test_a_trainer_that_is_used_otherwise_meanwhile_is_left():
    (trainer, _), X, y = twins()

    @njit
    def step_and_run(trainer, few, targets):
        trainer.step(few, targets)
        with objmode():
            owner.run(X, y, 1)
        return trainer.step(few, targets)

    owner = trainer
    with pytest.raises(RuntimeError, match="has been used otherwise meanwhile"):
        step_and_run(trainer, X[:5], y[:5])
    assert (trainer.epochs, trainer.state()["first"]) == (2, 0)
    embedded.step(trainer, X[:5], y[:5])


def test_a_trainer_that_compiled_code_has_got_anew_meanwhile_goes_on():
    (trainer, other), X, y = twins(optimizer="adam")

    @njit
    def step_and_begin_anew(trainer, x, y):
        trainer.step(x, y)
        with objmode():
            anew()
        return trainer.step(x, y)

    def anew():
        trainer.run(X, y, 1)
        embedded.step(trainer, X[5:10], y[5:10])
        junk.extend(np.full(length, 1 << 40) for length in range(20, 60) for _ in range(50))  # where the record may have been

    junk = []
    loss = step_and_begin_anew(trainer, X[:5], y[:5])
    other.step(X[:5], y[:5])
    other.run(X, y, 1)
    other.step(X[5:10], y[5:10])
    assert loss == other.step(X[:5], y[:5])
    same_state(trainer.state(), other.state())


def test_a_handle_is_as_long_as_its_fields():
    assert Handle.size == len(Handle.dtype.names)
