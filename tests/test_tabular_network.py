"""Networks for tables: encoders, parametric activations and rates by groups, against NumPy in float64 and finite differences."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from tables import central_differences, features, groups, half_squares, outputs

import fastbp
from fastbp import AdamW
from fastbp.engine.encoder import Encoder, Rates
from fastbp.kernels.regularize import draw_mask
from fastbp.schedules import FlatCosine
from fastbp.tabular_network import TabularNetwork

SHAPES = [
    (Encoder(3, 2, 2, 9), [7, 5]),
    (Encoder(0, 4, 0, 0), [33]),
    (Encoder(17, 0, 1, 5, frequencies=5), [16, 3]),
    (Encoder(1, 0, 0, 0, frequencies=1), [3]),
    (Encoder(0, 0, 3, 40, embedding=5), [2, 2]),
    (Encoder(16, 3, 3, 30), [31, 32, 33]),
    (Encoder(33, 1, 0, 0, frequencies=3), [4]),
]
every_shape = pytest.mark.parametrize(("encoder", "hidden"), SHAPES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def make(encoder, hidden, activation="mish", seed=0, **options):
    """A network whose parameters are all off their first values, rows of a table, and targets of two outputs."""
    rng = np.random.default_rng(seed)
    net = TabularNetwork(encoder, hidden, 2, activation, "squared", rng=seed, **options)
    for name, view in net.extra.items():
        if name in ("scales", "beta_0", "beta_1", "beta_2"):
            view[:] = rng.uniform(0.5, 1.5, view.shape)
    numbers = rng.normal(size=(37, encoder.periodic + encoder.plain))
    codes = rng.integers(max(encoder.table_rows, 1), size=(37, encoder.coded))
    rows = np.concatenate([numbers, codes], axis=1).astype(net.dtype)
    net.begin_at(rows)
    return net, rows, rng.normal(size=(37, 2)).astype(net.dtype)


@every_dtype
@every_shape
@pytest.mark.parametrize("blended", [True, False])
def test_outputs_equal_numpy(encoder, hidden, blended, dtype):
    for activation in ("mish", "selu", "relu"):
        net, rows, _ = make(replace(encoder, blended=blended), hidden, activation, dtype=dtype)
        exact = outputs(net, rows.astype(np.float64))
        tolerance = 2e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(net(rows), exact, rtol=tolerance, atol=tolerance * np.abs(exact).max())


@every_shape
def test_a_row_does_not_depend_on_the_others(encoder, hidden):
    net, rows, _ = make(encoder, hidden)
    together = net(rows)
    for k in (0, 5, 36):
        assert net(rows[k : k + 1]).tobytes() == together[k : k + 1].tobytes()


@every_shape
@pytest.mark.parametrize("blended", [True, False])
@pytest.mark.parametrize("activation", ["mish", "tanh", "selu"])
def test_gradients_equal_central_differences(encoder, hidden, activation, blended):
    net, rows, y = make(replace(encoder, blended=blended), hidden, activation, dtype="float64")
    loss, gradients = net.value_and_grad(rows, y)
    assert loss == pytest.approx(half_squares(net, rows, y), rel=1e-13)
    exact = central_differences(net, lambda: half_squares(net, rows, y))
    # the slope of selu jumps where its units bend
    tolerance = 1e-3 if activation == "selu" else 1e-7
    np.testing.assert_allclose(gradients.params, exact, rtol=0, atol=tolerance * max(1, np.abs(exact).max()))


@every_shape
@pytest.mark.parametrize("batch", [37, 11])
def test_steps_go_by_the_rates_of_the_groups(encoder, hidden, batch):
    rates = Rates(biases=0.3, scales=3.0, periods=0.2, table=0.7, blends=0.4)
    net, rows, y = make(encoder, hidden, dtype="float64", rates=rates)
    exact, group, factors = net.copy(), groups(net), rates.factors(net.sizes)
    rate, epsilon, decay = (factors[group, k] for k in (0, 3, 4))
    trainer = net.trainer(batch_size=batch, optimizer=AdamW(0.02, 0.8, 0.95, 1e-3, weight_decay=0.3), n_threads=1)
    m, v = np.zeros((2, net.params.size))
    for t, first in enumerate(range(0, 37, batch), 1):
        part = slice(first, first + batch)
        g = exact.value_and_grad(rows[part], y[part])[1].params
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        step = 0.02 * rate * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3 * epsilon)
        exact.params = exact.params * (1 - 0.02 * rate * 0.3 * decay) - step
        trainer.step(rows[part], y[part])
        np.testing.assert_allclose(net.params, exact.params, rtol=1e-10, atol=1e-12)


def test_neural_tangent_steps_are_those_of_the_numbers_behind_the_weights():
    # W = V / sqrt(n): Adam on V, written out
    net, rows, y = make(Encoder(0, 9, 0, 0), [4], dtype="float64", rates=Rates(biases=0, scales=0, periods=0, table=0, blends=0))
    weights, root = net.weights[0].copy(), 3.0
    g = net.value_and_grad(rows, y)[1].weights[0] / root
    behind = weights * root
    behind = behind * (1 - 0.1 * 0.5) - 0.1 * g / (np.abs(g) + 1e-4)
    net.trainer(batch_size=37, optimizer=AdamW(0.1, epsilon=1e-4, weight_decay=0.5)).step(rows, y)
    np.testing.assert_allclose(net.weights[0], behind / root, rtol=1e-12)


@every_shape
def test_dropout_follows_its_schedule(encoder, hidden):
    net, rows, y = make(encoder, hidden, "tanh", dtype="float64", dropout_schedule=FlatCosine(0.0))
    still = Rates(biases=1, scales=1, periods=1, table=1, blends=1, neural_tangent=False)
    net.rates = still
    p, epoch, epochs = 0.4, 1, 4
    trainer = net.trainer(batch_size=37, optimizer="sgd", shuffle=False, dropout=p, schedule_epochs=epochs, rng=3)
    trainer.run(rows, y, 1)
    before = net.params.copy()
    trainer.run(rows, y, 1)
    part = p * (1 + np.cos(np.pi * epoch / epochs)) / 2
    masks = []
    for layer, units in enumerate(hidden, 1):
        whole = -(-units // 16) * 16
        mask = np.empty((37, whole))
        dropped = (1 << 32) - max(1, round((1 - p) * 2**32))
        keep = (1 << 32) - int(dropped * part / p)
        draw_mask["float64"](mask.ravel(), whole, trainer.state()["seed"], epoch, layer, keep)
        masks.append(mask[:, :units])
    assert 0 < np.mean(masks[0] == 0) < 0.6
    after = net.params.copy()
    net.params = before
    gradient = central_differences(net, lambda: half_squares(net, rows, y, masks))
    np.testing.assert_allclose(after, before - 0.01 * gradient, atol=1e-7)


def test_decay_follows_its_schedule():
    net, rows, y = make(Encoder(2, 1, 1, 5), [4], dtype="float64", decay_schedule=FlatCosine(0.0))
    twin = net.copy()
    options = {"batch_size": 37, "shuffle": False, "rng": 0, "schedule_epochs": 3}
    trainer = net.trainer(optimizer=AdamW(0.1, weight_decay=0.5), **options)
    trainer.run(rows, y, 3)
    part = [(1 + np.cos(np.pi * t / 3)) / 2 for t in range(3)]
    twin.decay_schedule = fastbp.schedules.Constant()
    other = twin.trainer(optimizer=AdamW(0.1, weight_decay=0.5), **options)
    for each in part:
        state = other.state()
        state["hyper"][4] = 0.5 * each
        other.load_state(state)
        other.step(rows, y)
    np.testing.assert_allclose(net.params, twin.params, rtol=1e-12)


@every_shape
@pytest.mark.parametrize("blended", [True, False])
def test_a_state_has_all_that_the_rule_keeps(encoder, hidden, blended):
    net, rows, y = make(replace(encoder, blended=blended), hidden)
    options = {"optimizer": "adamw", "batch_size": 11, "dropout": 0.3, "rng": 0}
    trainer = net.trainer(**options)
    trainer.run(rows, y, 3)
    state, other = pickle.loads(pickle.dumps(trainer.state())), net.copy()
    assert np.isfinite(state["slots"]).all()
    assert (state["slots"][1] >= 0).all()
    assert (state["slots"][:, groups(net) == 2 * len(net.weights)] != 0).all()  # of the scales
    again = other.trainer(**(options | {"rng": 7}))
    again.load_state(state)
    for each in (trainer, again):
        each.run(rows, y, 2)
    assert other.params.tobytes() == net.params.tobytes()


def test_steps_after_a_run_drop_as_much_as_is_set():
    found = []
    for schedule in ("constant", FlatCosine(0.0)):
        net, rows, y = make(Encoder(0, 9, 0, 0), [40], dropout_schedule=schedule)
        trainer = net.trainer(batch_size=37, optimizer="sgd", dropout=0.5, rng=0)
        first = net.params.copy()
        trainer.run(rows, y, 3)
        net.params = first
        trainer.step(rows, y)
        found.append(net.params.tobytes())
    assert found[0] == found[1]


@every_dtype
def test_the_same_bits_for_any_number_of_threads(dtype):
    results = []
    for n_threads in (1, 2, 3, 4):
        net, _, _ = make(Encoder(20, 3, 2, 30), [40, 33], dtype=dtype, dropout_schedule="flat_cosine")
        rng = np.random.default_rng(1)
        rows = np.concatenate([rng.normal(size=(3000, 23)), rng.integers(30, size=(3000, 2))], axis=1).astype(dtype)
        y = rng.normal(size=(3000, 2)).astype(dtype)
        net.fit(rows, y, epochs=3, batch_size=1500, optimizer="adamw", dropout=0.2, schedule="cos_log", n_threads=n_threads, rng=0)
        results.append(net.params.tobytes())
    assert len(set(results)) == 1


@every_dtype
def test_long_batches_are_summed_block_by_block(dtype):
    net, _, _ = make(Encoder(5, 3, 2, 30), [40], dtype=dtype)
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(size=(2500, 8)), rng.integers(30, size=(2500, 2))], axis=1).astype(dtype)
    y = rng.normal(size=(2500, 2)).astype(dtype)
    whole = net.value_and_grad(rows, y)[1].params
    parts = [net.value_and_grad(rows[first : first + 500], y[first : first + 500])[1].params for first in range(0, 2500, 500)]
    np.testing.assert_allclose(whole, np.mean(parts, axis=0), atol=1e-6 if dtype == "float32" else 1e-14)
    twin = net.copy()
    net.trainer(batch_size=2500, optimizer=AdamW(1e-2), n_threads=1).step(rows, y)
    twin.params = twin.params * 1.0
    separate = twin.trainer(batch_size=2500, optimizer=AdamW(1e-2), n_threads=2)
    separate.step(rows, y)
    assert net.params.tobytes() == twin.params.tobytes()


def test_other_networks_may_run_by_the_same_machine_code():
    # entries that are compiled for tables serve the others: plans without an encoder must not meet its parts
    from fastbp.compiler import Level, choose
    from fastbp.engine import session

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 30)).astype(np.float32), rng.integers(2, size=200)
    found = []
    for level in (Level.EXTENDED, Level.TABULAR):
        net = fastbp.Network([30, 40, 40, 2], "selu", "cross_entropy", rng=0)
        trainer = net.trainer(batch_size=32, optimizer="adamw", dropout=0.2, rng=0)
        opened = trainer._open(X, 32, 1)
        classes = [type(each) for each in (net.loss_function, *net.hidden, net.output, opened.rule)]
        opened._run = opened._kernel.compiled(choose(classes, level), net.dtype)
        trainer.run(X, y, 2)
        found.append(net.params.tobytes())
    assert found[0] == found[1]
    assert session.Level.TABULAR > Level.EXTENDED


def test_codes_that_are_no_rows_of_the_table_are_refused_before_anything_is_read():
    net, rows, y = make(Encoder(3, 2, 2, 9), [7])
    for wrong in (-1, 9, 0.5, 1e9):
        damaged = rows.copy()
        damaged[3, -1] = wrong
        for attempt in (lambda X: net(X), lambda X: net.fit(X, y), lambda X: net.fit(rows, y, validation_data=(X, y))):
            with pytest.raises(ValueError, match="codes that are no rows"):
                attempt(damaged)
    damaged[3, -1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        net(damaged)
    with pytest.raises(ValueError, match="columns"):
        net(rows[:, 1:])


def test_what_needs_columns_of_numbers_is_refused(tmp_path):
    net, rows, _ = make(Encoder(3, 2, 2, 9), [7])
    attempts = {
        "save": lambda: net.save(tmp_path / "net.fastbp"),
        "jacobian": lambda: net.jacobian(rows),
        "vjp": lambda: net.vjp(rows, np.ones((37, 2))),
        "jvp": lambda: net.jvp(rows, rows),
        "check_gradients": lambda: net.check_gradients(rows, np.ones((37, 2))),
        "cfunc": lambda: net.cfunc,
    }
    for attempt in attempts.values():
        with pytest.raises(TypeError, match="TabularNetwork cannot"):
            attempt()
    assert not (tmp_path / "net.fastbp").exists()


def test_what_would_leave_the_encoder_out_is_refused():
    net, rows, y = make(Encoder(3, 2, 2, 9), [7])
    before = net.params.copy()
    for name, value in {"clip_norm": 1.0, "clip_value": 1.0, "gradient_tol": 0.1, "record_norms": True}.items():
        with pytest.raises(ValueError, match=f"{name} must be left out: of a TabularNetwork"):
            net.fit(rows, y, **{name: value})
    for name in ("lm", "gauss-newton-cg"):
        with pytest.raises(ValueError, match=f"optimizer='{name}' knows no encoder"):
            net.fit(rows, y, optimizer=name)
    assert net.params.tobytes() == before.tobytes()
    tables = net.extra["table"].copy(), net.extra["scales"].copy()
    first, *_, last = net.fit(rows, y, optimizer="lbfgs", epochs=30).loss
    assert last < 0.5 * first
    assert all((net.extra[name] != old).any() for name, old in zip(("table", "scales"), tables, strict=True))


def test_first_weights_give_each_unit_deviation_1_and_a_bend_among_the_samples():
    net, rows, _ = make(Encoder(5, 3, 2, 30), [64, 64])
    rows = np.concatenate([np.random.default_rng(0).normal(size=(900, 8)), np.zeros((900, 2))], axis=1).astype(np.float32)
    net.begin_at(rows)
    z = features(net, rows.astype(float)) @ net.weights[0].T
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-4)
    assert ((z + net.biases[0]).min(axis=0) < 0).all()
    assert ((z + net.biases[0]).max(axis=0) > 0).all()


def test_pickles_and_copies_go_on_alike():
    net, rows, y = make(Encoder(3, 2, 2, 9), [7, 5])
    for other in (net.copy(), pickle.loads(pickle.dumps(net))):
        assert other(rows).tobytes() == net(rows).tobytes()
        other.fit(rows, y, epochs=1)
        assert other(rows).tobytes() != net(rows).tobytes()
    state = net.__getstate__()
    with pytest.raises(ValueError, match="damaged"):
        other.__setstate__(state | {"_vector": state["_vector"][:-1]})
