"""`fit` by minimisers: Levenberg-Marquardt against NumPy, the others by where they end; what they refuse."""

from contextlib import contextmanager, nullcontext
from threading import Event, Thread

import numpy as np
import pytest
from conftest import error, make_samples, make_targets
from least_squares import levenberg_marquardt
from scipy.optimize import least_squares
from scipy.sparse import csr_array

import fastbp
from fastbp import GaussNewtonCG, LevenbergMarquardt, MLPClassifier, MLPRegressor, Network
from fastbp.engine import held_out, threads
from fastbp.engine.minimize import normal_system, product_system, run
from fastbp.engine.minimize.damped import Damping
from fastbp.engine.minimize.objective import Objective

NAMES = ["lm", "gauss-newton-cg", "lbfgs"]


def sin_product(n=300, seed=0):
    X = np.random.default_rng(seed).uniform(-2, 2, (n, 2))
    return X, (np.sin(2 * X[:, 0]) * np.cos(X[:, 1]))[:, None]


def net_of(sizes=(2, 8, 8, 1), dtype="float64", seed=0, **settings):
    return Network(sizes, "tanh", "squared", dtype=dtype, rng=seed, **settings)


# --- the rule ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acceleration", [0.0, 0.75])
@pytest.mark.parametrize(("sizes", "l2"), [((2, 8, 8, 1), 0.0), ((3, 6, 2), 0.5), ((4, 5, 3), 0.0)])
def test_ten_steps_are_those_of_numpy(sizes, l2, acceleration):
    net = net_of(sizes)
    X, y, weights = make_samples(120, sizes[0]), make_targets("squared", 120, sizes[-1]), np.linspace(0.5, 2, 120)
    other = net.copy()
    history = net.fit(X, y, epochs=10, optimizer=LevenbergMarquardt(1e-3, acceleration), l2=l2, sample_weight=weights)
    decay = run.decay_of(net, l2 / 120)
    losses = levenberg_marquardt(other, X, y, 10, most=acceleration, decay=decay, weights=weights)
    # from rounding, by the condition of the damped matrices, some 1e5
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    assert error(net.params, other.params) < 1e-7
    assert history.learning_rate == []
    assert len(history.time) == 10


def test_after_a_step_that_was_in_vain_the_next_begins_where_it_did():
    net, (X, y) = net_of(), sin_product()
    other, trials = net.copy(), []
    losses = levenberg_marquardt(other, X, y, 20, mu=1e-5, trials=trials)
    assert len(trials) > 24
    history = net.fit(X, y, epochs=20, optimizer=LevenbergMarquardt(1e-5))
    np.testing.assert_allclose(history.loss, losses, rtol=1e-6)


def test_damping_that_has_become_very_small_grows_again():
    damping = Damping(1e-300)
    for _ in range(100):
        damping.shrink(1.0)
    n_grown = 0
    while not damping.is_over() and n_grown < 100:
        damping.grow()
        n_grown += 1
    assert 10 < n_grown < 100


@pytest.mark.parametrize("name", ["lm", "gauss-newton-cg"])
def test_where_no_step_lowers_the_loss_it_has_converged(name, monkeypatch):
    net, (X, y) = net_of((2, 3, 1)), sin_product()
    before, loss, mus = net.params.copy(), net.loss(X, y), []
    monkeypatch.setattr(Objective, "loss", lambda self: loss)
    for system in (normal_system.NormalSystem, product_system.ProductSystem):
        solve = system.solve
        monkeypatch.setattr(system, "solve", lambda self, mu, solve=solve: (mus.append(mu), solve(self, mu))[1])
    history = net.fit(X, y, epochs=5, optimizer=name)
    assert (history.stopped_by, history.loss) == ("converged", [])
    assert mus == sorted(set(mus))
    assert 10 < len(mus) < 30
    np.testing.assert_array_equal(net.params, before)


def test_a_matrix_that_is_not_positive_definite_is_damped_until_it_is():
    net, (X, y) = net_of((2, 3, 1)), sin_product()
    found, solve = [], normal_system.NormalSystem.solve

    def of_other_signs(system, mu):
        kept = system._diagonal
        if len(found) < 3:
            system._diagonal = kept - 10 * system.scale
        h, system._diagonal = solve(system, mu), kept
        found.append(h is None)
        return h

    with pytest.MonkeyPatch.context() as context:
        context.setattr(normal_system.NormalSystem, "solve", of_other_signs)
        history = net.fit(X, y, epochs=1, optimizer=LevenbergMarquardt(1e-3))
    other = net_of((2, 3, 1))
    assert found == [True] * 3 + [False]
    assert history.loss == other.fit(X, y, epochs=1, optimizer=LevenbergMarquardt(1e-3 * 2 * 4 * 8)).loss
    np.testing.assert_array_equal(net.params, other.params)


def test_it_ends_where_scipy_does():
    net, (X, _) = net_of((2, 3, 1), seed=0), sin_product()  # from other starts the two may end in two minima
    y = net_of((2, 3, 1), seed=5)(X) + np.random.default_rng(3).normal(size=(300, 1)) / 100
    other, start = net.copy(), net.params.copy()
    history = net.fit(X, y, epochs=300, optimizer="lm")
    assert history.stopped_by == "converged"

    def errors(theta):
        other.params[:] = theta
        return (other(X) - y).ravel()

    found = least_squares(errors, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, method="lm")
    assert found.cost / 300 == pytest.approx(history.loss[-1], rel=1e-9)
    assert np.abs(net.value_and_grad(X, y)[1].params).max() < 1e-9


def test_the_sin_product_is_learnt():
    X, y = sin_product(1000)
    net = net_of((2, 16, 16, 1))
    history = net.fit(X, y, epochs=200, optimizer="lm", callbacks=[lambda epoch, net, history: 2 * history.loss[-1] < 1e-7])
    assert history.stopped_by == "callback"
    assert np.mean((net(X) - y) ** 2) == pytest.approx(2 * history.loss[-1])
    assert history.loss == sorted(history.loss, reverse=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_lower_the_loss_to_what_is_reported(name, dtype):
    net, (X, y) = net_of(dtype=dtype), sin_product()
    before = net.loss(X, y)
    history = net.fit(X, y, epochs=40, optimizer=name)
    assert history.loss[-1] < before / 20
    assert net.loss(X, y) == pytest.approx(history.loss[-1], rel=1e-4 if dtype == "float32" else 1e-12)


def test_exact_conjugate_gradients_take_the_steps_of_cholesky():
    net, (X, y) = net_of((2, 4, 1)), sin_product()
    other = net.copy()
    by_cg = net.fit(X, y, epochs=3, optimizer=GaussNewtonCG(1e-2, 1e-12, 400), l2=0.1)
    system = normal_system.NormalSystem

    class Identity(system):
        def linearize(self):
            super().linearize()
            A = np.tril(self._matrix) + np.tril(self._matrix, -1).T + np.diag(self.decay)
            if not hasattr(self, "size"):
                self.size = self.gradient @ A @ self.gradient / (self.gradient @ self.gradient)
            self.scale = self.size

    with pytest.MonkeyPatch.context() as context:
        context.setattr(run, "NormalSystem", Identity)
        by_cholesky = other.fit(X, y, epochs=3, optimizer=LevenbergMarquardt(1e-2, 0.0), l2=0.1)
    np.testing.assert_allclose(by_cg.loss, by_cholesky.loss, rtol=1e-8)


def test_the_result_does_not_depend_on_the_threads(teams):
    found = []
    for n_threads in (1, 2, 3):
        net, (X, y) = net_of(), sin_product(1000)
        net.fit(X, y, epochs=5, optimizer="lm", n_threads=n_threads)
        found.append(net.params.tobytes())
    assert len(set(found)) == 1
    assert set(teams) == {1, 2, 3}


# --- what surrounds it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_validation_stops_it_and_the_best_parameters_stay(name):
    X, y = sin_product(60)
    y = y + np.random.default_rng(0).normal(size=y.shape) / 3
    net = net_of((2, 16, 16, 1))
    history = net.fit(X, y, epochs=300, optimizer=name, validation_fraction=0.4, patience=4, record_score=True, record_norms=True)
    best = min(history.validation_loss)
    assert history.stopped_by == "patience"
    assert history.validation_loss[-5] == best
    assert {len(each) for each in (history.loss, history.score, history.validation_score, history.weight_norms)} == {
        len(history.loss)
    }


@pytest.mark.parametrize("name", NAMES)
def test_other_rules_of_stopping(name):
    X, y = sin_product()
    assert net_of().fit(X, y, epochs=50, optimizer=name, tol=1e3, n_iter_no_change=3).stopped_by == "tol"
    assert net_of().fit(X, y, epochs=50, optimizer=name, gradient_tol=1e3).stopped_by == "gradient_tol"
    history = net_of().fit(X, y, epochs=50, optimizer=name, callbacks=[lambda epoch, net, history: epoch == 1])
    assert (history.stopped_by, len(history.loss)) == ("callback", 2)


@pytest.mark.parametrize("name", NAMES)
def test_ctrl_c_leaves_the_parameters_after_the_last_step(name, monkeypatch):
    net, (X, y) = net_of(), sin_product()
    expected = net_of()
    expected.fit(X, y, epochs=3, optimizer=name)
    calls, loss = [0], fastbp.engine.minimize.objective.Session.call

    def call(self, mode):
        if calls[0] == 3:
            raise KeyboardInterrupt
        return loss(self, mode)

    monkeypatch.setattr(fastbp.engine.minimize.objective.Session, "call", call)
    with pytest.raises(KeyboardInterrupt) as caught:
        net.fit(X, y, epochs=9, optimizer=name, callbacks=[lambda epoch, net, history: calls.__setitem__(0, epoch + 1)])
    assert np.array_equal(net.params, expected.params)
    assert caught.value.history.stopped_by == "interrupt"
    assert len(caught.value.history.loss) == 3
    with net._turn:  # nobody trains any more
        pass


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_a_callback_writes_are_gone_on_from(name):
    net, (X, y) = net_of(), sin_product()

    def restart(epoch, net, history):
        if epoch == 0:
            net.params[:] = first

    first = net.params.copy() / 2
    other = net_of()
    other.params[:] = first
    history = net.fit(X, y, epochs=2, optimizer=name, callbacks=[restart])
    assert history.loss[1] < other.loss(X, y)
    other.fit(X, y, epochs=1, optimizer=name)
    assert name != "lbfgs" or np.array_equal(net.params, other.params)  # the others go on with their damping


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_is_not_taken_from_a_callback(name):
    net, (X, y) = net_of(), sin_product()

    def spoil(epoch, net, history):
        if epoch == 1:
            kept[:] = net.params
            net.params[3] = np.nan

    kept = np.zeros_like(net.params)
    with pytest.raises(fastbp.DivergenceError, match=r"NaN or infinity was written .* after epoch 2, not by training") as caught:
        net.fit(X, y, epochs=5, optimizer=name, callbacks=[spoil])
    np.testing.assert_array_equal(net.params, kept)
    assert len(caught.value.history.loss) == 2


def test_sparse_samples_and_repeated_units():
    X = np.random.default_rng(0).normal(size=(200, 5)) * (np.random.default_rng(1).uniform(size=(200, 5)) < 0.2)
    y = X[:, :1] ** 2
    dense, sparse = net_of((5, 6, 1)), net_of((5, 6, 1))
    for net, rows in ((dense, X), (sparse, csr_array(X))):
        net.fit(rows, y, epochs=4, optimizer="lm")
    assert np.array_equal(dense.params, sparse.params)
    dead = Network((5, 6, 1), "relu", "squared", dtype="float64", rng=0)
    dead.biases[0][:3] = -100  # no parameter before these units has any part in the outputs
    before = dead.weights[0][:3].copy()
    dead.fit(X, y, epochs=5, optimizer="lm")
    assert np.array_equal(dead.weights[0][:3], before)


# --- what is refused ---------------------------------------------------------------------------------------------------------

REFUSED = {
    "batch_size": 7,
    "order": [0, 1],
    "l1": 0.1,
    "clip_norm": 1.0,
    "clip_value": 1.0,
    "max_norm": 1.0,
    "dropout": 0.5,
    "input_dropout": 0.5,
    "schedule": "cosine",
    "resume": "x.run",
    "shuffle": "replacement",
    "callbacks": [fastbp.Checkpoint("x.run")],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("argument", REFUSED)
def test_what_needs_mini_batches_is_refused_by_name(argument, name):
    net, (X, y) = net_of(), sin_product()
    before = net.params.copy()
    with pytest.raises(ValueError, match=f"^{argument} .*optimizer='{name}'"):
        net.fit(X, y, optimizer=name, **{argument: REFUSED[argument]})
    assert np.array_equal(net.params, before)


BAD = {
    "X": (lambda net, X, y: net.fit(np.where(X > 1.9, np.nan, X), y, optimizer="lm"), "^X "),
    "y": (lambda net, X, y: net.fit(X, np.where(y > 0.9, np.inf, y), optimizer="lm"), "^y "),
    "shape": (lambda net, X, y: net.fit(X, y[:5], optimizer="lm"), "^y must have shape"),
    "weights": (lambda net, X, y: net.fit(X, y, optimizer="lm", sample_weight=-np.ones(len(X))), "^sample_weight "),
    "epochs": (lambda net, X, y: net.fit(X, y, optimizer="lm", epochs=0), "^epochs "),
    "l2": (lambda net, X, y: net.fit(X, y, optimizer="lm", l2=-1.0), "^l2 "),
    "patience": (lambda net, X, y: net.fit(X, y, optimizer="lm", patience=3), "^patience needs"),
    "damping": (lambda net, X, y: LevenbergMarquardt(0.0), "^damping "),
    "large damping": (lambda net, X, y: GaussNewtonCG(1e16), "^damping must be .* < 1e\\+16"),
    "acceleration": (lambda net, X, y: LevenbergMarquardt(acceleration=-1), "^acceleration "),
    "rtol": (lambda net, X, y: GaussNewtonCG(rtol=1.0), "^rtol "),
    "name": (lambda net, X, y: net.fit(X, y, optimizer="levenberg"), "choose from.* lm, .*lbfgs"),
    "trainer": (lambda net, X, y: net.trainer(optimizer="lm"), "^optimizer='lm' takes all samples"),
    "size": (lambda net, X, y: net_of((2, 80, 80, 1)).fit(X, y, optimizer="lm"), "'gauss-newton-cg' or 'lbfgs'"),
    "loss": (lambda net, X, y: Network((2, 3, 1), "tanh", "huber").fit(X, y, optimizer="lm"), "'squared', not 'huber'"),
    "classes": (
        lambda net, X, y: Network((2, 3, 2), "tanh", "cross_entropy").fit(X, y[:, 0] > 0, optimizer="gauss-newton-cg"),
        "needs a loss that is a sum of squares",
    ),
    "classifier": (lambda net, X, y: MLPClassifier(solver="lm").fit(X, y[:, 0] > 0), "^solver='lm' needs a loss"),
    "regressor": (lambda net, X, y: MLPRegressor("huber", solver="lm").fit(X, y[:, 0]), "^solver='lm' needs a loss"),
    "early": (lambda net, X, y: MLPRegressor(solver="lm", early_stopping=True).fit(X, y[:, 0]), "^early_stopping=True needs"),
    "option": (lambda net, X, y: MLPRegressor(solver="lm", dropout=0.1).fit(X, y[:, 0]), "^dropout=0.1 needs a solver"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_any_work(case, monkeypatch):
    net, (X, y) = net_of(), sin_product()
    before = net.params.copy()
    monkeypatch.setattr(fastbp.engine.minimize.objective.Session, "call", None)
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call(net, X, y)
    assert np.array_equal(net.params, before)


def test_weights_that_are_zero_for_all_rows_that_are_left_are_refused():
    net, (X, y) = net_of(), sin_product()
    before, weights = net.params.copy(), np.zeros(len(X))
    weights[held_out.split(np.random.default_rng(0), len(X), 60)[1]] = 1.0
    net._rng = np.random.default_rng(0)
    state = net._rng.bit_generator.state
    for _ in range(2):  # the same rows are drawn again
        with pytest.raises(ValueError, match="sample_weight must not be all zero for the rows that are trained on"):
            net.fit(X, y, optimizer="lm", validation_fraction=0.2, sample_weight=weights)
        assert net._rng.bit_generator.state == state
    np.testing.assert_array_equal(net.params, before)


def test_a_loss_that_is_not_finite_is_told():
    net, (X, y) = Network((2, 3, 1), "exp", "squared", dtype="float64", rng=0), sin_product()
    net.params[:] = 1000
    with pytest.raises(fastbp.DivergenceError, match="loss of these samples is not finite"):
        net.fit(X, y, optimizer="lm")
    assert (net.params == 1000).all()


# --- the estimators ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["lm", "gauss-newton-cg"])
def test_the_regressor_takes_them(solver):
    X, y = sin_product()
    options = {"hidden_layer_sizes": (16, 16), "activation": "tanh", "alpha": 1e-4, "random_state": 0, "max_iter": 40, "tol": 0.0}
    with pytest.warns(fastbp.estimators._minimizers.ConvergenceWarning):
        model = MLPRegressor(**options, solver=solver).fit(X.astype(np.float32), np.c_[y, y**2])
    assert model.score(X, np.c_[y, y**2]) > 0.95
    assert model.n_iter_ == 40 == len(model.history_.loss)
    assert model.coefs_[0].dtype == np.float64
    # scikit-learn's loss: the mean over the outputs
    net, penalty = model._net(), 1e-4 / 600 * sum((each**2).sum() for each in model.coefs_)
    predicted = net(X.astype(np.float32))
    assert model.loss_ == pytest.approx(((predicted - np.c_[y, y**2]) ** 2).mean() / 2 + penalty)
    with pytest.raises(AttributeError, match="partial_fit"):
        _ = model.partial_fit


def test_the_regressor_stops_at_a_small_gradient():
    X, y = sin_product()
    options = {"hidden_layer_sizes": (8,), "activation": "tanh", "random_state": 0, "solver": "lm"}
    early, late = (MLPRegressor(**options, tol=tol).fit(X, y[:, 0]) for tol in (1e-2, 1e-4))
    assert early.n_iter_ < late.n_iter_ < 200


@pytest.mark.parametrize("solver", ["lm", "gauss-newton-cg"])
def test_the_regressor_prints_its_losses_and_is_stopped_by_callbacks(solver, capsys):
    pytest.importorskip("sklearn.callback")
    X, y = sin_product()
    model = MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", random_state=0, solver=solver, tol=0.0, verbose=True)

    class Third:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, **of_it):
            return context.parent is not None and estimator.n_iter_ == 3

        def teardown(self, estimator, context):
            pass

    model.set_callbacks(Third()).fit(X, y[:, 0])
    assert model.n_iter_ == 3 == len(model.history_.loss)
    lines = [f"Iteration {k + 1}, loss = {loss:.8f}" for k, loss in enumerate(model.history_.loss)]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("solver", ["lm", "gauss-newton-cg"])
def test_ctrl_c_leaves_the_regressor_with_whole_steps(solver, monkeypatch):
    X, y = sin_product()
    options = {"hidden_layer_sizes": (8,), "activation": "tanh", "random_state": 0, "solver": solver, "tol": 0.0}
    with pytest.warns(fastbp.estimators._minimizers.ConvergenceWarning):
        expected = MLPRegressor(**options, max_iter=3).fit(X, y[:, 0])
    after = fastbp.estimators._minimizers._Watch.after

    def interrupted(watch, params, loss):
        after(watch, params, loss)
        if watch.estimator.n_iter_ == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(fastbp.estimators._minimizers._Watch, "after", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = MLPRegressor(**options).fit(X, y[:, 0])
    assert model.history_.stopped_by == "interrupt"
    assert (model.n_iter_, model.loss_) == (3, expected.loss_)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


class Pool:
    """What `threadpoolctl` 3.5 does with a pool of two threads: whoever sets a limit restores what was there."""

    size = 2

    def select(self, user_api):
        return self

    @contextmanager
    def limit(self, limits):
        before, self.size = self.size, limits
        yield
        self.size = before


def test_fits_at_the_same_time_leave_the_pools_of_blas_as_they_were(monkeypatch):
    def size_after_two_limits():
        pool, is_in, may_leave = Pool(), Event(), Event()
        monkeypatch.setattr(threads, "_controller", lambda modules: pool)

        def second():
            with threads.blas.of_one_thread():
                is_in.set()
                may_leave.wait()

        other = Thread(target=second)
        with threads.blas.of_one_thread():
            other.start()
            is_in.wait(0.5)
        may_leave.set()
        other.join()
        return pool.size

    assert size_after_two_limits() == 2
    monkeypatch.setattr(threads.blas, "lock", nullcontext())
    assert size_after_two_limits() == 1
