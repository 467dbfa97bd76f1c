"""`fastbp.Networks`: many networks in one call are the networks one by one."""

import tracemalloc
from threading import Event

import numpy as np
import pytest
from conftest import ACTIVATIONS, LOSSES, RULES
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import fastbp
from fastbp import Network, Networks
from fastbp.engine.abreast import Lanes, is_abreast
from fastbp.engine.sparsity import CompressedRows
from fastbp.engine.training_session import TrainingSession
from fastbp.kernels.plan import Plan

SMALL, LARGE = [3, 5, 2], [3, 400, 2]
N = 23
GENERATOR = 2000  # bytes, with the options of a network


def samples(loss="squared", sizes=SMALL, dtype="float32", n=N, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, sizes[0])).astype(dtype)
    task = fastbp.losses.get(loss).task
    if task == "labels":
        return X, rng.integers(0, sizes[-1], n)
    y = rng.random((n, sizes[-1])).astype(dtype) + (task == "positive")
    return X, y


def close(dtype):
    return {"rtol": 2e-4, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}


def alone(nets, X, y, **options):
    """Histories and networks of fits one by one, with what each network has of every option that is a list."""
    found = []
    for k, net in enumerate(nets):
        net = net.copy()
        own = {name: value[k] if isinstance(value, list) else value for name, value in options.items()}
        found.append((net.fit(X, y, **own), net))
    return found


def compare(nets, X, y, own=None, **options):
    """`Networks.fit`, and `Network.fit` of each with the options that are its own."""
    before = alone(nets, X, y, **(options if own is None else own))
    histories = nets.fit(X, y, **options)
    tolerance = close(nets.params.dtype.name)
    for k, (history, net) in enumerate(before):
        np.testing.assert_allclose(nets.params[k], net.params, **tolerance)
        np.testing.assert_allclose(histories[k].loss, history.loss, **tolerance)
        np.testing.assert_allclose(histories[k].validation_loss, history.validation_loss, **tolerance)
        np.testing.assert_allclose(histories[k].learning_rate, history.learning_rate, rtol=1e-12)
        assert histories[k].stopped_by == history.stopped_by
    return histories


def test_the_two_shapes_are_trained_in_different_ways():
    assert is_abreast(Network(SMALL), N)
    assert not is_abreast(Network(LARGE), N)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [SMALL, LARGE, [1, 1, 1], [2, 17, 16, 1], [7, 2], [15, 3, 16]])
@pytest.mark.parametrize("count", [1, 19])
def test_networks_are_those_trained_alone(count, sizes, dtype):
    nets = Networks(count, sizes, "tanh", dtype=dtype, rng=1)
    compare(nets, *samples(sizes=sizes, dtype=dtype), epochs=3, batch_size=5, optimizer="momentum")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, dtype):
    nets = Networks(3, [3, 5, 4, 2], activation, output=activation, dtype=dtype, rng=2)
    nets.params *= 0.1  # else `exp` of `exp` of `exp` is not finite
    compare(nets, *samples(dtype=dtype), epochs=2, batch_size=7)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss):
    is_free = fastbp.losses.get(loss).task == "positive" and fastbp.losses.get(loss).link is None
    output = "softplus" if is_free else None
    nets = Networks(3, SMALL, "tanh", loss, output=output, rng=3, dtype="float64")
    compare(nets, *samples(loss, dtype="float64"), epochs=2, batch_size=7)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_with_penalty_and_rates_of_each(rule):
    nets = Networks(3, SMALL, "tanh", rng=4, dtype="float64")
    rates, l2 = [0.01, 0.001, 0.02], [0.0, 0.3, 2.0]
    rules = [type(rule)(**(rule.parameters() | {"learning_rate": rate})) for rate in rates]
    own = {"epochs": 3, "batch_size": 6, "optimizer": rules, "l2": l2}
    compare(nets, *samples(dtype="float64"), own=own, epochs=3, batch_size=6, optimizer=rule, learning_rate=rates, l2=l2)


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
@pytest.mark.parametrize(
    "options", [{"shuffle": False}, {"shuffle": "replacement"}, {"schedule": "cosine"}, {"batch_size": 100}], ids=str
)
def test_options(options, sizes):
    nets = Networks(3, sizes, rng=5, dtype="float64")
    compare(nets, *samples(dtype="float64"), epochs=3, **options)


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_rows_weights_and_targets_of_each(sizes):
    nets, (X, y) = Networks(4, sizes, rng=6, dtype="float64"), samples(dtype="float64")
    rng = np.random.default_rng(1)
    rows = [rng.permutation(N)[:m] for m in (9, 12, 9, 5)]
    ys, weights = rng.random((4, *y.shape)), rng.random((4, N))
    before = [net.copy() for net in nets]
    histories = nets.fit(X, ys, own_targets=True, rows=rows, sample_weight=weights, epochs=3, batch_size=4, l2=0.5)
    for k, net in enumerate(before):
        history = net.fit(X[rows[k]], ys[k][rows[k]], sample_weight=weights[k][rows[k]], epochs=3, batch_size=4, l2=0.5)
        np.testing.assert_allclose(nets.params[k], net.params, **close("float64"))
        np.testing.assert_allclose(histories[k].loss, history.loss, **close("float64"))


@pytest.mark.parametrize("sizes", [[40, 5, 2], [40, 400, 2]])
def test_sparse_samples(sizes):
    X, y = samples(sizes=sizes)
    X *= np.arange(X.size).reshape(X.shape) % 29 == 0
    assert type(Network(sizes)._samples("X", csr_array(X))) is CompressedRows
    found = []
    for rows in (X, csr_array(X)):
        nets = Networks(3, sizes, rng=6)
        histories = nets.fit(rows, y, epochs=4, validation_data=(rows, y))
        found.append((nets.params, histories.validation_loss))
    np.testing.assert_allclose(found[1][0], found[0][0], **close("float32"))
    np.testing.assert_allclose(found[1][1], found[0][1], **close("float32"))
    assert np.isfinite(found[1][1]).all()


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_order(sizes):
    nets, (X, y) = Networks(3, sizes, rng=7, dtype="float64"), samples(dtype="float64")
    orders = [np.random.default_rng(k).integers(0, N, (4, 11)) for k in range(3)]
    compare(nets, X, y, epochs=4, batch_size=4, order=orders)
    compare(nets, X, y, own={"epochs": 4, "order": orders[0]}, epochs=4, order=orders[0])
    compare(nets, X, y, epochs=4, order=[each[0] for each in orders])


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_more_and_fewer_rows_than_samples(sizes):
    nets, (X, y) = Networks(3, sizes, rng=7, dtype="float64"), samples(dtype="float64")
    for m in (5 * N, 4):
        orders = [np.random.default_rng(k).integers(0, N, m) for k in range(3)]
        compare(nets, X, y, epochs=2, batch_size=2 * N, l2=2.0, order=orders)
        before = [net.copy() for net in nets]
        nets.fit(X, y, epochs=2, batch_size=2 * N, l2=2.0, rows=np.array(orders))  # each look at a row of an array is another
        for net, params, rows in zip(before, nets.params, orders, strict=True):
            net.fit(X[rows], y[rows], epochs=2, batch_size=2 * N, l2=2.0)
            np.testing.assert_allclose(params, net.params, **close("float64"))


def test_weights_of_one_network_do_not_drown_those_of_another():
    nets, (X, y) = Networks(3, SMALL, rng=7, dtype="float64"), samples(dtype="float64")
    weights = np.random.default_rng(0).random((3, N)) * [[1e-200], [1.0], [1e200]]
    compare(nets, X, y, own={"epochs": 3, "sample_weight": list(weights)}, epochs=3, sample_weight=weights)


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping(sizes, weighted):
    X, y = samples(dtype="float64")
    held = samples(dtype="float64", seed=9, n=11)
    if weighted:
        held = (*held, np.arange(11.0))
    nets = Networks(18, sizes, rng=8, dtype="float64")
    rates = np.geomspace(0.001, 0.3, 18).tolist()
    own = {"epochs": 60, "optimizer": [fastbp.SGD(rate) for rate in rates], "validation_data": held, "patience": 3}
    histories = compare(nets, X, y, own=own, epochs=60, learning_rate=rates, validation_data=held, patience=3)
    assert "patience" in histories.stopped_by
    assert None in histories.stopped_by
    nets = Networks(18, sizes, rng=8, dtype="float64")
    own = {"epochs": 60, "optimizer": [fastbp.SGD(rate) for rate in rates], "tol": 1e-3, "n_iter_no_change": 2}
    histories = compare(nets, X, y, own=own, epochs=60, learning_rate=rates, tol=1e-3, n_iter_no_change=2)
    assert len(set(histories.n_epochs)) > 3
    nets = Networks(18, sizes, rng=8, dtype="float64")
    both = {"epochs": 60, "validation_data": (X, -9 * y), "patience": 1, "tol": 1e3, "n_iter_no_change": 1}  # in one epoch
    histories = compare(nets, X, y, own={"optimizer": own["optimizer"]} | both, learning_rate=rates, **both)
    assert set(histories.stopped_by) == {"tol"}


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_the_bits_of_a_network_depend_on_nothing_else(sizes):
    X, y = samples()
    held = samples(seed=3)
    options = {"epochs": 5, "batch_size": 4, "optimizer": "adam", "validation_data": held}
    many, few = Networks(40, sizes, rng=9), Networks(3, sizes, rng=9)
    np.testing.assert_array_equal(many.params[:3], few.params)
    with pytest.warns(RuntimeWarning, match=r"1 of 40 networks diverged \(3\)"):
        many.fit(X, y, learning_rate=[0.01] * 3 + [1e30, 0.3] + [0.001] * 35, **options)
    few.fit(X, y, learning_rate=0.01, n_threads=1, **options)
    np.testing.assert_array_equal(many.params[:3], few.params)


def test_nor_on_what_the_others_are_given():
    X, y = samples()
    rows = [np.arange(N)] * 4 + [np.arange(3)]
    found = []
    for others in ({"l1": 0.0, "dropout": 0.0}, {"l1": [0.0, 0.1, 0.0, 0.0, 0.0], "dropout": [0.0, 0.0, 0.3, 0.0, 0.0]}):
        nets = Networks(5, SMALL, "tanh", rng=9)
        histories = nets.fit(X, y, epochs=5, rows=rows, **others)
        found.append((nets.params, histories.loss))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one[[0, 3, 4]], other[[0, 3, 4]])
        assert (one[[1, 2]] != other[[1, 2]]).any(axis=1).all()
    few = Networks(5, SMALL, "tanh", rng=9)
    few.fit(X, y, epochs=5, rows=[each[:3] for each in rows])
    np.testing.assert_array_equal(few.params[4], found[0][0][4])


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_threads_do_not_change_bits(sizes, monkeypatch):
    monkeypatch.setattr(fastbp.engine.threads, "usable_threads", lambda: 4)
    monkeypatch.setattr(fastbp.engine.threads, "FLOP_PER_START", 1.0)
    X, y = samples()
    found = []
    for n_threads in (1, 2, 4):
        nets = Networks(70, sizes, rng=10)
        nets.fit(X, y, epochs=6, batch_size=4, optimizer="adam", n_threads=n_threads)
        found.append(nets.params.copy())
        np.testing.assert_array_equal(nets(X, n_threads=n_threads), nets(X, n_threads=1))
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_divergence_leaves_the_last_finite_parameters_and_the_others(sizes):
    X, y = samples()
    nets = Networks(20, sizes, rng=11)
    twin = nets[4].copy()
    with pytest.warns(RuntimeWarning, match=r"1 of 20 networks diverged \(4\)"):
        histories = nets.fit(X, y, epochs=30, learning_rate=[0.01] * 4 + [30.0] + [0.01] * 15)
    with pytest.raises(fastbp.DivergenceError):
        twin.fit(X, y, epochs=30, optimizer=fastbp.SGD(30.0))
    assert np.isfinite(nets.params).all()
    np.testing.assert_allclose(nets.params[4], twin.params, rtol=1e-3)
    assert histories.stopped_by == [None] * 4 + ["divergence"] + [None] * 15
    assert histories.n_epochs.tolist() == [30] * 4 + [len(histories[4].loss)] + [30] * 15


# --- what is computed of all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("sizes", [SMALL, LARGE, [2, 9, 5, 3]])
def test_outputs_losses_and_gradients(sizes, loss, dtype):
    nets = Networks(21, sizes, "tanh", loss, dtype=dtype, rng=12)
    X, y = samples(loss, sizes, dtype)
    weights = np.random.default_rng(0).random(N)
    np.testing.assert_array_equal(nets(X), [net(X) for net in nets])
    np.testing.assert_array_equal(nets.predict(X), [net.predict(X) for net in nets])
    np.testing.assert_allclose(nets.loss(X, y, weights), [net.loss(X, y, weights) for net in nets], **close(dtype))
    np.testing.assert_array_equal(nets.score(X, y), [net.score(X, y) for net in nets])
    values, grads = nets.value_and_grad(X, y, weights)
    for k, net in enumerate(nets):
        value, gradient = net.value_and_grad(X, y, weights)
        np.testing.assert_allclose(values[k], value, **close(dtype))
        np.testing.assert_allclose(grads[k], gradient.params, **close(dtype))


def test_a_network_of_many_shares_their_memory():
    nets = Networks(5, SMALL, rng=0)
    assert len(nets) == 5
    assert len(list(nets)) == 5
    nets[2].weights[0][:] = 7
    assert (nets.params[2][:15] == 7).all()
    nets.params[2] = 0
    assert not nets[2](np.ones((1, 3))).any()
    assert nets[-1] is nets[4]
    nets[1].fit(*samples(), epochs=1)
    with pytest.raises(IndexError):
        nets[5]
    with pytest.raises(TypeError, match="by its number"):
        nets[1:3]


def test_first_weights_are_those_of_a_network_with_the_same_seed():
    nets = Networks(4, SMALL, "tanh", rng=[3, 1, 4, 1])
    for k, seed in enumerate([3, 1, 4, 1]):
        net = Network(SMALL, "tanh", rng=seed)
        np.testing.assert_array_equal(nets.params[k], net.params)


@pytest.mark.parametrize("count", [1, 7])
def test_files(count, tmp_path):
    nets = Networks(count, SMALL, "elu", "cross_entropy", dtype="float64", rng=1)
    nets.save(tmp_path / "nets.fastbp")
    loaded = fastbp.load(tmp_path / "nets.fastbp")
    assert isinstance(loaded, Networks)
    assert repr(loaded) == repr(nets)
    np.testing.assert_array_equal(loaded.params, nets.params)


# --- errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": [0.1, 0.2]}, "learning_rate must be one number, or one for each of the 3 networks"),
        ({"learning_rate": [0.1, 0.2, -1.0]}, "learning_rate must be"),
        ({"l2": [0.1, 0.2, -1.0]}, "l2 must be"),
        ({"l2": [0.1] * 4}, "l2 must be one number"),
        ({"dropout": [0.1, 0.2]}, "dropout must be one number"),
        ({"rows": [[1, 2], [3]]}, "rows must hold one list of row numbers for each of the 3 networks"),
        ({"rows": [[1, 2], [3], [N]]}, r"rows\[2\] holds rows from 23"),
        ({"rows": [[1, 2], [3], []]}, r"rows\[2\] must have shape"),
        ({"rows": np.ones((3, N), bool)}, r"flatnonzero\(rows\[0\]\)"),
        ({"order": []}, "order must have shape"),
        ({"order": [[[1], [1, 2]], [1], [1]]}, r"order\[0\] must be a rectangular array"),
        ({"l1": None}, "l1 must be a number"),
        ({"l2": None}, "l2 must be a number"),
        ({"dropout": None}, "dropout must be a number"),
        ({"sample_weight": [[1.0] * N, [1.0], [1.0]]}, "sample_weight must be a rectangular array"),
        ({"optimizer": "lm"}, r"call fit of each, nets\[k\]\.fit"),
        ({"rng": np.array("a")}, "rng must be"),
        ({"rows": [[0]] * 3, "order": [0]}, "rows and order cannot both be given"),
        ({"own_targets": True}, "y must hold the targets of each of the 3 networks"),
        ({"sample_weight": np.ones((2, N))}, "sample_weight must have shape"),
        ({"sample_weight": np.ones(N - 1)}, "sample_weight must have shape"),
        (
            {"sample_weight": np.eye(1, N)[0], "rows": [[0], [0], [1]]},
            "must not be all zero for the rows that network 2 is trained on",
        ),
        ({"patience": 3}, "patience needs validation_data"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"optimizer": "none"}, "optimizer"),
        ({"rng": [1, 2]}, "rng must be one seed or generator, or one for each of the 3 networks"),
        ({"n_threads": 0}, "n_threads"),
        ({"schedule": "none"}, "schedule"),
    ],
    ids=str,
)
def test_bad_options_change_nothing(options, message):
    nets, (X, y) = Networks(3, SMALL, rng=0), samples()
    before, states = nets.params.copy(), [rng.bit_generator.state for rng in nets.rngs]
    with pytest.raises((ValueError, TypeError), match=message):
        nets.fit(X, y, **options)
    np.testing.assert_array_equal(nets.params, before)
    assert [rng.bit_generator.state for rng in nets.rngs] == states


def test_targets_of_two_kinds():
    nets, (X, labels) = Networks(2, SMALL, loss="cross_entropy", rng=0), samples("cross_entropy")
    before = nets.params.copy()
    with pytest.raises(ValueError, match="y must hold class numbers for all networks, or rows of probabilities for all"):
        nets.fit(X, [labels, np.eye(2)[labels]], own_targets=True)
    np.testing.assert_array_equal(nets.params, before)


def test_a_rule_without_the_learning_rate_that_is_given(monkeypatch):
    rules = fastbp.optimizers.OPTIMIZERS
    monkeypatch.setattr(rules, "classes", [*rules.classes])

    @rules.register
    class Steps(fastbp.optimizers.Optimizer):
        name = "steps"

        def __init__(self, length=0.1):
            self.length = length

        def hyper(self):
            return (self.length,)

        @staticmethod
        def prepare(h, c):
            c[1] = h[0]

        @staticmethod
        def step(w, g, c):
            return w - c[1] * g

    with pytest.raises(ValueError, match="learning_rate cannot be given: Steps has none of this name; pass an optimizer with it"):
        Networks(2, SMALL).fit(*samples(), optimizer=Steps(), learning_rate=0.1)


@pytest.mark.parametrize("name", ["loss", "rule"])
def test_a_code_that_the_kernel_lacks_is_an_error(name, monkeypatch):
    nets, (X, y) = Networks(3, SMALL, rng=0), samples()
    before, call = nets.params.copy(), Lanes.call

    def with_other_code(lanes, *arguments):
        lanes.plan.numbers[Plan.places[name]] = 99
        return call(lanes, *arguments)

    monkeypatch.setattr(Lanes, "call", with_other_code)
    with pytest.raises(RuntimeError, match="nothing was computed"):
        nets.fit(X, y)
    np.testing.assert_array_equal(nets.params, before)


@pytest.mark.parametrize("k", [True, 1.0, slice(1, 3), None, 3, -4])
def test_bad_numbers_of_networks(k):
    nets = Networks(3, SMALL, rng=0)
    for of in (nets, nets.fit(*samples(), epochs=1)):
        with pytest.raises((TypeError, IndexError), match="asked for"):
            of[k]


@pytest.mark.parametrize("count", [0, -1, 1.5, "3", 10**12])
def test_bad_counts(count):
    with pytest.raises((ValueError, TypeError), match="count"):
        Networks(count, SMALL)


@pytest.mark.parametrize(
    ("X", "y"), [(np.full((N, 3), np.nan), samples()[1]), (samples()[0][:, :2], samples()[1]), (samples()[0], samples()[1][:5])]
)
def test_bad_samples(X, y):
    nets = Networks(3, SMALL, rng=0)
    for call in (nets.fit, nets.loss, nets.value_and_grad, nets.score):
        with pytest.raises(ValueError, match=r"[Xy] (holds|has|must)"):
            call(X, y)


def test_ctrl_c_keeps_whole_epochs(monkeypatch):
    X, y = samples()
    nets, before = Networks(40, SMALL, rng=0), Networks(40, SMALL, rng=0)

    def interrupted(crowd, mode, networks, out=None, _call=fastbp.engine.abreast.Crowd._call, **settings):
        if settings["first"] > 0 and networks[0] >= 16:
            raise KeyboardInterrupt
        return _call(crowd, mode, networks, out, **settings)

    monkeypatch.setattr("fastbp.engine.abreast.Crowd._call", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        nets.fit(X, y, epochs=50, n_threads=1)
    monkeypatch.undo()
    histories = caught.value.history
    assert set(histories.stopped_by) == {"interrupt"}
    counts = histories.n_epochs
    assert len(set(counts)) == 2
    for k in (0, 39):
        before[k].fit(X, y, epochs=int(counts[k]))
        np.testing.assert_allclose(nets.params[k], before[k].params, **close("float32"))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_ends_one_of_several_ends_all_after_whole_steps(error, n_threads, monkeypatch):
    monkeypatch.setattr(fastbp.engine.threads, "usable_threads", lambda: 2)
    monkeypatch.setattr(fastbp.engine.threads, "FLOP_PER_START", 1.0)
    monkeypatch.setattr(fastbp.engine.supervisor, "seconds_of_call", lambda net, copies: 1e-9)  # calls of one step
    X, y = samples()
    nets, before = Networks(5, LARGE, rng=0), Networks(5, LARGE, rng=0)
    train = TrainingSession.train

    def ended(session, until, pieces):
        of = next(k for k in range(5) if np.shares_memory(session.net.params, nets.params[k]))
        if of == 1 and session.epoch == 2:
            is_far.wait(30)
            raise error
        if of == 0 and session.epoch == 5:
            is_far.set()
            if n_threads == 2:
                is_ended.wait(30)  # the other network
        is_all = train(session, until, pieces)
        left[of] = session.net.params.copy()
        return is_all

    is_ended, is_far, left = Event(), Event(), list(nets.params.copy())
    monkeypatch.setattr("fastbp.training_of_networks.Event", lambda: is_ended)
    monkeypatch.setattr(TrainingSession, "train", ended)
    with pytest.raises(error) as caught:
        nets.fit(X, y, epochs=9, batch_size=4, n_threads=n_threads)
    monkeypatch.undo()
    histories = caught.value.history
    first = 9 if n_threads == 1 else 5
    assert histories.n_epochs.tolist() == [first, 2, 0, 0, 0]
    assert histories.stopped_by[2:] == ["interrupt" if error is KeyboardInterrupt else None] * 3
    assert repr(histories) == f"Histories of 5 networks, of 0 to {first} epochs"
    np.testing.assert_array_equal(nets.params, left)
    for k in (1,) if n_threads == 2 else (0, 1):  # the other thread has ended within an epoch
        before[k].fit(X, y, epochs=int(histories.n_epochs[k]), batch_size=4)
        np.testing.assert_array_equal(nets.params[k], before[k].params)
    nets.fit(X, y, epochs=1)  # nobody trains any more


@pytest.mark.parametrize(("sizes", "shown"), [(SMALL, "7/7"), (LARGE, "3/3")])
def test_progress(sizes, shown, capsys):
    """Of all in epochs, and of one after another in networks."""
    nets, (X, y) = Networks(3, sizes, rng=0), samples()
    nets.fit(X, y, epochs=7)
    assert capsys.readouterr().err == ""
    nets.fit(X, y, epochs=7, progress=True)
    assert shown in capsys.readouterr().err


def test_thousands_take_the_memory_that_is_stated():
    X, y = samples(sizes=[2, 3, 3, 1])
    count, epochs = 1000, 40
    Networks(2, [2, 3, 3, 1], rng=0).fit(X, y, epochs=1, optimizer="adam")  # compiled
    tracemalloc.start()
    nets = Networks(count, [2, 3, 3, 1], rng=0)
    nets.fit(X, y, epochs=epochs, optimizer="adam")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * (3 * nets.params[0].nbytes + 24 * epochs + GENERATOR) + 2e5


# --- anything ----------------------------------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_options(data):
    draw = data.draw
    sizes = draw(st.lists(st.integers(1, 18), min_size=2, max_size=4))
    loss = draw(st.sampled_from(["squared", "huber", "log_cosh", "cross_entropy", "binary_cross_entropy"]))
    nets = Networks(draw(st.integers(1, 20)), sizes, draw(st.sampled_from(["tanh", "relu", "gelu"])), loss, dtype="float64", rng=1)
    n, count = draw(st.integers(1, 40)), len(nets)
    X, y = samples(loss, sizes, "float64", n)
    if fastbp.losses.get(loss).task == "labels" and sizes[-1] == 1:
        y = np.ones((n, 1))
    numbers = st.lists(st.floats(0.0, 0.1), min_size=count, max_size=count)
    own = {"l2": draw(numbers), "rng": draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))}
    options = {
        "epochs": draw(st.integers(1, 4)),
        "batch_size": draw(st.integers(1, 50)),
        "optimizer": draw(st.sampled_from(["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop"])),
        "shuffle": draw(st.sampled_from([True, False, "replacement"])),
        "schedule": draw(st.sampled_from(["constant", "cosine"])),
        "sample_weight": draw(st.sampled_from([None, np.linspace(0.1, 2.0, n)])),
    }
    compare(nets, X, y, own=options | own, **options, **own)
