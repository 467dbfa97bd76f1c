"""Estimators of several networks: each member is what an estimator of its own becomes, and what is predicted is the mean."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import estimator_checks_generator

import fastbp
from fastbp import MLPClassifier, MLPRegressor, Networks
from fastbp.engine.abreast import Crowd
from fastbp.engine.minimize import damped
from fastbp.engine.supervisor import Supervisor
from fastbp.estimators import _ensemble, _minimizers, _together

X, Y = datasets.load_iris(return_X_y=True)
X = scale(X)
Z = np.sin(X[:, 0]) + X[:, 1] ** 2
QUICK = {"hidden_layer_sizes": (7,), "max_iter": 12, "random_state": 5, "learning_rate_init": 0.01}
CLOSE = {"rtol": 1e-9, "atol": 1e-11}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CHECKED = [
    MLPClassifier((6,), learning_rate_init=0.02, max_iter=40, n_networks=3),
    MLPRegressor(hidden_layer_sizes=(6,), learning_rate_init=0.02, max_iter=40, n_networks=3),
]
CHECKS = [pair for estimator in CHECKED for pair in estimator_checks_generator(estimator)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "check"),
    CHECKS,
    ids=[f"{type(each).__name__}-{i}-{check.func.__name__}" for i, (each, check) in enumerate(CHECKS)],
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def targets(cls):
    return Y if cls is MLPClassifier else Z


def alone(model, X, y, **fit):
    """The estimators with the seeds of its members."""
    seeds = np.random.RandomState(model.random_state).randint(2**31 - 1, size=model.n_networks)
    return [clone(model).set_params(n_networks=1, random_state=int(seed)).fit(X, y, **fit) for seed in seeds]


def together(monkeypatch):
    """How many networks were trained together, asked after the fit."""
    counts = []

    class Counted(_together._Group):
        def train(self):
            counts.append(len(self.fits))
            super().train()

    monkeypatch.setattr(_together, "_Group", Counted)
    return counts


OPTIONS = [
    {},
    {"solver": "sgd", "learning_rate": "invscaling"},
    {"solver": "sgd", "momentum": 0.0, "alpha": 0.3, "batch_size": 32},
    {"solver": "sgd", "nesterovs_momentum": False, "shuffle": False},
    {"solver": "adamw", "alpha": 0.1, "learning_rate": "exponential"},
    {"solver": "rmsprop", "activation": "tanh", "batch_size": 40, "alpha": 2.0},
    {"tol": 0.05, "n_iter_no_change": 2, "max_iter": 90, "batch_size": 50},
    {"hidden_layer_sizes": (5, 4), "activation": ["tanh", "gelu"], "max_iter": 70},
]
APART = [
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2, "max_iter": 40},
    {"dropout": 0.2},
    {"solver": "lbfgs"},
    {"early_stopping": False, "verbose": True, "max_iter": 2},
    {"learning_rate": "one_cycle"},
    {"hidden_layer_sizes": (3000,), "max_iter": 2},
    {"l1": 0.1, "clip_norm": 0.5},
]


@pytest.mark.parametrize("options", OPTIONS + APART, ids=str)
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_members_are_estimators_with_their_seeds(cls, options, monkeypatch):
    counts = together(monkeypatch)
    model = cls(**(QUICK | options), n_networks=3)
    y = targets(cls)
    members = alone(model, X, y)
    model.fit(X, y)
    assert counts == ([3] if options in OPTIONS else [])
    assert isinstance(model.networks_, Networks)
    for net, history, member in zip(model.networks_, model.histories_, members, strict=True):
        np.testing.assert_allclose(net.params, member._net().params, **CLOSE)
        np.testing.assert_allclose(history.loss, member.history_.loss, **CLOSE)
        np.testing.assert_allclose(history.learning_rate, member.history_.learning_rate, rtol=1e-12)
    assert model.n_iter_ == max(member.n_iter_ for member in members)
    np.testing.assert_allclose(model.loss_, np.mean([member.loss_ for member in members]), **CLOSE)


def test_levenberg_marquardt():
    model = MLPRegressor(**(QUICK | {"solver": "lm", "activation": "tanh"}), n_networks=3)
    members = alone(model, X, Z)
    model.fit(X, Z)
    for net, member in zip(model.networks_, members, strict=True):
        np.testing.assert_allclose(net.params, member._net().params, **CLOSE)


def test_several_outputs_float32_and_weights():
    weights = np.random.default_rng(0).uniform(0, 2, len(X))
    weights[:70] = 0
    y = np.stack([Z, Z**2, -Z], 1)
    model = MLPRegressor(**(QUICK | {"batch_size": 30, "shuffle": False}), n_networks=3)
    members = alone(model, X, y, sample_weight=weights)
    model.fit(X, y, sample_weight=weights)
    for net, history, member in zip(model.networks_, model.histories_, members, strict=True):
        np.testing.assert_allclose(net.params, member._net().params, **CLOSE)
        np.testing.assert_allclose(history.loss, member.history_.loss, **CLOSE)
    model = MLPClassifier(**QUICK, dtype="float32", class_weight="balanced", n_networks=3).fit(X[:120], Y[:120])
    for net, member in zip(model.networks_, alone(model, X[:120], Y[:120]), strict=True):
        assert net.dtype == np.float32
        np.testing.assert_allclose(net.params, member._net().params, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("labels", ["two", "three", "sets"])
def test_probabilities_are_the_mean_of_those_of_the_members(labels):
    y = {"two": np.array(["no", "yes"])[(Y > 0).astype(int)], "three": Y, "sets": np.stack([Y > 0, Y == 1], 1).astype(int)}[labels]
    model = MLPClassifier(**QUICK, n_networks=4)
    mean = np.mean([member.predict_proba(X) for member in alone(model, X, y)], axis=0)
    model.fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), mean, **CLOSE)
    expected = (mean > 0.5).astype(int) if labels == "sets" else model.classes_[mean.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(X), expected)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(mean), rtol=1e-9)


def test_spread():
    model = MLPRegressor(**QUICK, n_networks=5)
    members = np.stack([member.predict(X) for member in alone(model, X, Z)])
    model.fit(X, Z)
    np.testing.assert_allclose(model.predict(X), members.mean(axis=0), **CLOSE)
    np.testing.assert_allclose(model.predict_std(X), members.std(axis=0), rtol=1e-8)
    np.testing.assert_allclose(model.predict_quantiles(X, [0.1, 0.8]), np.quantile(members, [0.1, 0.8], axis=0).T, **CLOSE)
    np.testing.assert_allclose(model.predict_quantiles(X, 0.5), np.median(members, axis=0), **CLOSE)
    assert model.predict_quantiles(X).shape == (len(X), 3)
    model.fit(X, np.stack([Z, Z], 1))
    assert model.predict_std(X).shape == (len(X), 2)
    assert model.predict_quantiles(X, [0.1, 0.5, 0.9, 1.0]).shape == (len(X), 2, 4)
    assert model.predict_quantiles(X, 0.1).shape == (len(X), 2)
    for q in (1.5, [], "much", [[0.1]], np.nan):
        with pytest.raises(ValueError, match="q must be a number from 0 to 1, or a list of them"):
            model.predict_quantiles(X, q)


def test_spread_grows_away_from_the_samples():
    x = np.linspace(-1, 1, 200)[:, None]
    model = MLPRegressor(hidden_layer_sizes=(20,), max_iter=300, n_networks=10, random_state=0).fit(x, np.sin(3 * x[:, 0]))
    spread = model.predict_std([[0.0], [3.0], [6.0]])
    assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_early_stopping_judges_all_by_the_same_samples(cls):
    y = targets(cls)
    model = cls(**(QUICK | {"max_iter": 60, "early_stopping": True, "n_iter_no_change": 3}), n_networks=3)
    model.fit(X, y)
    rng = np.random.RandomState(model.random_state)
    parts = fastbp.estimators._base.train_test_split(np.arange(len(X)), random_state=rng, test_size=0.1)
    seeds = rng.randint(2**31 - 1, size=3)
    rows, held = parts
    for net, history, seed in zip(model.networks_, model.histories_, seeds, strict=True):
        one = clone(model).set_params(n_networks=1, random_state=int(seed))
        one.fit(X[rows], y[rows], X_val=X[held], y_val=y[held])
        np.testing.assert_allclose(net.params, one._net().params, **CLOSE)
        assert history.validation_score == pytest.approx(one.validation_scores_)
    given = clone(model).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert all(len(history.validation_loss) == len(history.loss) for history in given.histories_)


def test_a_member_does_not_depend_on_how_many_there_are():
    few, many = (MLPClassifier(**QUICK, n_networks=count).fit(X, Y) for count in (2, 9))
    np.testing.assert_array_equal(many.networks_.params[:2], few.networks_.params)
    assert np.ptp(many.networks_.params[:, 0]) > 0.01


def test_a_row_does_not_depend_on_the_others(monkeypatch):
    model = MLPRegressor(**QUICK, n_networks=11).fit(X, Z)
    whole = model.predict(X)
    np.testing.assert_array_equal(np.concatenate([model.predict(row[None]) for row in X]), whole)
    monkeypatch.setattr(_ensemble, "MOST_OUTPUTS", 7 * 11)
    np.testing.assert_array_equal(model.predict(X), whole)
    np.testing.assert_allclose(model.predict(sparse.csr_array(X)), whole, **CLOSE)


def test_random_states():
    one, two = (MLPClassifier(**(QUICK | {"random_state": np.random.RandomState(5)}), n_networks=2) for _ in range(2))
    np.testing.assert_array_equal(one.fit(X, Y).networks_.params, two.fit(X, Y).networks_.params)
    first = one.networks_.params.copy()
    assert (one.fit(X, Y).networks_.params != first).any()
    np.testing.assert_array_equal(MLPClassifier(**QUICK, n_networks=2).fit(X, Y).networks_.params, first)
    free = MLPClassifier(**(QUICK | {"random_state": None}), n_networks=2)
    assert (free.fit(X, Y).networks_.params != free.fit(X, Y).networks_.params).any()


def test_copies():
    model = MLPClassifier(**QUICK, n_networks=3).fit(X, Y)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
        other.networks_.params[:] = 0
    assert model.networks_.params.all()
    assert not hasattr(clone(model), "networks_")
    assert clone(model).n_networks == 3
    assert cross_val_score(clone(model).set_params(max_iter=90), X, Y).min() > 0.5


def test_from_one_to_many_and_back():
    model = MLPRegressor(**QUICK).fit(X, Z)
    one = model.predict(X)
    model.set_params(n_networks=3)
    np.testing.assert_array_equal(model.predict(X), one)
    model.fit(X, Z)
    for name in ("coefs_", "intercepts_", "loss_curve_", "history_", "best_loss_", "t_"):
        assert not hasattr(model, name)
    model.set_params(n_networks=1).fit(X, Z)
    assert not hasattr(model, "networks_")
    np.testing.assert_array_equal(model.predict(X), one)


def test_looks_into_it():
    model = MLPClassifier(**QUICK, n_networks=3)
    members = alone(model, X, Y)
    model.fit(X, Y)
    np.testing.assert_allclose(model.transform(X), np.hstack([each.transform(X) for each in members]), **CLOSE)
    assert len(model.get_feature_names_out()) == 21
    slopes = np.mean([each.input_gradient(X) for each in members], axis=0)
    np.testing.assert_allclose(model.input_gradient(X), slopes, **CLOSE)


def test_a_warning_for_all():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(12\) reached") as caught:
        MLPClassifier(**QUICK, n_networks=5).fit(X, Y)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_divergence_is_an_error_and_leaves_the_estimator_as_it_was():
    model = MLPRegressor(**QUICK, n_networks=3).fit(X, Z)
    before = model.predict(X)
    model.set_params(solver="sgd", learning_rate_init=1e9)
    with pytest.raises(fastbp.DivergenceError, match="Training diverged"):
        model.fit(X, Z)
    np.testing.assert_array_equal(model.predict(X), before)


@pytest.mark.filterwarnings("ignore:Training interrupted by user")
@pytest.mark.parametrize("options", [{}, {"dropout": 0.1}, {"solver": "lm"}, {"solver": "lbfgs"}], ids=str)
def test_ctrl_c_ends_all_and_leaves_the_estimator_as_it_was(options, monkeypatch):
    model = MLPRegressor(**QUICK, n_networks=3).fit(X, Z)
    before, calls = model.predict(X), []

    def interrupt(*_, **__):
        calls.append(None)
        raise KeyboardInterrupt

    for owner, name in ((Crowd, "train"), (Supervisor, "run"), (damped, "search"), (_minimizers, "minimize_lbfgs")):
        monkeypatch.setattr(owner, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(**options).fit(X, Z)
    assert len(calls) == 1
    np.testing.assert_array_equal(model.predict(X), before)


@pytest.mark.parametrize(
    ("options", "fit", "message"),
    [
        ({"n_networks": 0}, {}, "'n_networks' parameter"),
        ({"n_networks": 2.5}, {}, "'n_networks' parameter"),
        ({"n_networks": 10**12}, {}, "n_networks=1000000000000 needs"),
        ({"warm_start": True}, {}, "warm_start=True needs n_networks=1"),
        ({}, {"coefs_init": [np.zeros((4, 7))]}, "coefs_init and intercepts_init need n_networks=1"),
        ({"hidden_layer_sizes": (0,)}, {}, "hidden_layer_sizes must be > 0"),
        ({}, {"sample_weight": -np.ones(len(X))}, "Negative values in data passed to `sample_weight`"),
    ],
    ids=str,
)
def test_bad_input(options, fit, message):
    model = MLPClassifier(**(QUICK | {"n_networks": 2} | options))
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, **fit)
    assert not hasattr(model, "networks_")


def test_callbacks_are_refused():
    callback = pytest.importorskip("sklearn.callback")
    model = MLPRegressor(**QUICK, n_networks=2).set_callbacks(callback.ProgressBar())
    with pytest.raises(ValueError, match="Callbacks need n_networks=1"):
        model.fit(X, Z)
    assert not hasattr(model, "networks_")


def test_what_ensembles_do_not_have():
    model = MLPRegressor(**QUICK, n_networks=2)
    with pytest.raises(NotFittedError):
        model.predict_std(X)
    with pytest.raises(AttributeError, match="partial_fit") as caught:
        model.partial_fit(X, Z)
    assert "n_networks=1" in str(caught.value.__cause__)
    with pytest.raises(AttributeError, match="predict_std") as caught:
        MLPRegressor(**QUICK).fit(X, Z).predict_std(X)
    assert "set n_networks" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match="n_networks=1 has a counterpart there"):
        model.fit(X, Z).to_sklearn()
