"""What the estimators have beyond scikit-learn's."""

import copy
import pickle
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from sklearn import config_context, datasets, neural_network
from sklearn.base import clone
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.class_weight import compute_sample_weight

import fastbp
from fastbp import MLPClassifier, MLPRegressor, Network, activations, baseline, losses, optimizers, schedules
from fastbp.engine.regularization import dropout_mask
from fastbp.engine.session import Session
from fastbp.estimators import _parameters
from fastbp.estimators._stochastic import EPOCHS_TOGETHER
from fastbp.kernels.modes import TRAIN

X, Y = datasets.load_wine(return_X_y=True)
X = scale(X)
X_VAL, Y_VAL = X[::4], Y[::4]
QUICK = {"hidden_layer_sizes": (9,), "max_iter": 25, "random_state": 0, "learning_rate_init": 0.01}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def slopes_by_differences(predict, rows, step=1e-5):
    columns = np.eye(rows.shape[1]) * step
    return np.stack([(predict(rows + column) - predict(rows - column)) / (2 * step) for column in columns], axis=-1)


# --- what is trained -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0, 2: 0.5}])
def test_class_weight_multiplies_sample_weight(class_weight):
    weights = np.random.default_rng(0).uniform(1, 2, len(X))
    model = MLPClassifier(**QUICK, class_weight=class_weight).fit(X, Y, weights)
    same = MLPClassifier(**QUICK).fit(X, Y, weights * compute_sample_weight(class_weight, Y))
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])
    assert not np.array_equal(model.coefs_[0], MLPClassifier(**QUICK).fit(X, Y, weights).coefs_[0])


def test_class_weight_in_partial_fit():
    model = MLPClassifier(**QUICK, class_weight={0: 3.0}).partial_fit(X, Y, classes=[0, 1, 2])
    same = MLPClassifier(**QUICK).partial_fit(X, Y, np.where(Y == 0, 3.0, 1.0), classes=[0, 1, 2])
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])


@pytest.mark.parametrize("given", ["float32", np.float32, np.dtype("float32")], ids=repr)
def test_dtype(given):
    model = MLPClassifier(**QUICK, dtype=given).fit(X, Y)
    same = MLPClassifier(**QUICK).fit(X.astype(np.float32), Y)
    assert model.coefs_[0].dtype == np.float32
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])
    assert MLPClassifier(**QUICK, dtype="float64").fit(X.astype(np.float32), Y).coefs_[0].dtype == np.float64


def test_one_activation_a_layer():
    model = MLPRegressor(**QUICK | {"hidden_layer_sizes": (7, 5)}, activation=["tanh", fastbp.ELU(alpha=0.5)]).fit(X, Y)
    z = np.tanh(X @ model.coefs_[0] + model.intercepts_[0]) @ model.coefs_[1] + model.intercepts_[1]
    a = np.where(z > 0, z, 0.5 * np.expm1(z))
    np.testing.assert_allclose(model.predict(X), (a @ model.coefs_[2] + model.intercepts_[2])[:, 0], rtol=1e-12)


@pytest.mark.parametrize("name", activations.ACTIVATIONS.names)
def test_every_activation_of_the_package_trains(name):
    model = MLPClassifier(**QUICK, activation=name).fit(X, Y)
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_logistic_is_sigmoid():
    one, two = (MLPClassifier(**QUICK, activation=name).fit(X, Y).coefs_[0] for name in ("logistic", "sigmoid"))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "loss", ["absolute", "huber", "quantile", "log_cosh", "gamma", losses.Huber(0.5), losses.Quantile(0.9)], ids=str
)
def test_every_loss_for_numbers(loss):
    model = MLPRegressor(loss, **QUICK | {"max_iter": 120}).fit(X, Y + 1.0)
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert model.out_activation_ == ("exp" if loss == "gamma" else "identity")
    if loss == losses.Quantile(0.9):
        assert np.mean(model.predict(X) > Y + 1.0) > 0.6


def test_label_smoothing_keeps_probabilities_from_the_ends():
    plain, smooth = (MLPClassifier(**QUICK | {"max_iter": 200}, label_smoothing=s).fit(X, Y) for s in (0.0, 0.3))
    assert smooth.predict_proba(X).max() < 0.93 < plain.predict_proba(X).max()
    assert smooth.score(X, Y) > 0.95


@pytest.mark.parametrize("solver", [name for name in optimizers.OPTIMIZERS.names if name not in ("adam", "sgd")])
def test_solvers_that_scikit_learn_lacks(solver):
    model = MLPClassifier(**QUICK, solver=solver).fit(X, Y)
    assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0]
    for _ in range(3):
        model.partial_fit(X, Y)


MEANT = {
    ("sgd", 0.0, True): fastbp.SGD(0.25),
    ("sgd", 0.5, True): fastbp.Nesterov(0.25, 0.5),
    ("sgd", 0.5, False): fastbp.Momentum(0.25, 0.5),
    ("momentum", 0.5, True): fastbp.Momentum(0.25, 0.5),
    ("nesterov", 0.0, False): fastbp.Nesterov(0.25, 0.0),
    ("adam", 0.5, True): fastbp.Adam(0.25, 0.3, 0.6, 1e-3, epsilon_hat=True),
    ("adamw", 0.5, True): fastbp.AdamW(0.25, 0.3, 0.6, 1e-3, weight_decay=0.7),
    ("rmsprop", 0.5, True): fastbp.RMSprop(0.25, 0.6, 1e-3),
}


@pytest.mark.parametrize("case", MEANT)
def test_parameters_are_arguments_of_the_rule(case):
    solver, momentum, nesterov = case
    given = {"alpha": 0.7, "learning_rate_init": 0.25, "beta_1": 0.3, "beta_2": 0.6, "epsilon": 1e-3}
    model = MLPRegressor(solver=solver, momentum=momentum, nesterovs_momentum=nesterov, **given)
    assert _parameters.update_rule(model) == MEANT[case]


@pytest.mark.slow
@pytest.mark.parametrize("decays", [False, True])
def test_a_rule_that_is_registered_is_a_solver(decays, monkeypatch):
    model = MLPClassifier(**QUICK, solver="descent", alpha=0.5)
    with pytest.raises(ValueError, match="'solver' parameter of MLPClassifier must be"):
        model.fit(X, Y)
    monkeypatch.setattr(optimizers.OPTIMIZERS, "classes", [*optimizers.OPTIMIZERS.classes])
    optimizers.OPTIMIZERS.register(type("Descent", (fastbp.SGD,), {"name": "descent", "common": False, "decays": decays}))
    model.fit(X, Y)
    # what decays by itself has no penalty: its alpha is for the rule
    same = MLPClassifier(**QUICK, solver="sgd", momentum=0, alpha=0.0 if decays else 0.5).fit(X, Y)
    np.testing.assert_allclose(model.coefs_[0], same.coefs_[0], rtol=1e-12)
    assert model.partial_fit(X, Y) is model


def test_adamw_decays_weights_and_adds_no_penalty():
    small, large = (MLPClassifier(**QUICK, solver="adamw", alpha=alpha).fit(X, Y) for alpha in (0.0, 5.0))
    assert np.abs(large.coefs_[0]).sum() < 0.7 * np.abs(small.coefs_[0]).sum()
    assert large.loss_curve_[0] == pytest.approx(small.loss_curve_[0], rel=1e-9)


def test_first_weights_may_be_given():
    source = neural_network.MLPClassifier(**QUICK).fit(X, Y)
    start = {"coefs_init": source.coefs_, "intercepts_init": source.intercepts_}
    model = MLPClassifier(**QUICK | {"max_iter": 1}, shuffle=False, batch_size=len(X)).fit(X, Y, **start)
    theirs = neural_network.MLPClassifier(**QUICK | {"max_iter": 1}, shuffle=False, batch_size=len(X), warm_start=True).fit(X, Y)
    theirs.coefs_, theirs.intercepts_ = [a.copy() for a in source.coefs_], [a.copy() for a in source.intercepts_]
    theirs.fit(X, Y)
    np.testing.assert_allclose(model.coefs_[0], theirs.coefs_[0], rtol=1e-9)


# --- regularization and schedules ----------------------------------------------------------------------------------------------

EPOCHS, BATCH, ROWS = EPOCHS_TOGETHER + 8, 20, X[:160]  # more epochs than one call of the kernel has
TRAINED = {"hidden_layer_sizes": (9, 6), "batch_size": BATCH, "tol": 0, "n_iter_no_change": 1000, "random_state": 0}
TARGETS = scale(X[:, 0] * X[:, 1])[:160]
EXTRAS = [
    {},
    {"l1": 0.5},
    {"l1": 0.5, "alpha": 0.3},
    {"clip_norm": 0.1},
    {"clip_value": 0.02, "alpha": 0.1},
    {"max_norm": 0.7},
    {"dropout": 0.3},
    {"dropout": [0.0, 0.4], "input_dropout": 0.1},
    {"input_dropout": 0.2, "l1": 0.1, "clip_norm": 0.5, "max_norm": 1.0, "learning_rate": "one_cycle"},
    {"learning_rate": "cosine"},
    {"learning_rate": schedules.Step(7, 0.5)},
    {"learning_rate": schedules.WarmUp(3.5, "exponential")},
]


def by_the_oracle(model, targets, epochs=EPOCHS):
    """Parameters and losses of what a call of `fit` for this model should be, by the baseline in NumPy."""
    rng, n, (first, last) = np.random.RandomState(model.random_state), len(ROWS), (X.shape[1], targets.shape[1])
    sizes = [first, *model.hidden_layer_sizes, last]
    weights, biases = [], []
    for n_in, n_out in pairwise(sizes):
        bound = (6 / (n_in + n_out)) ** 0.5
        weights.append(rng.uniform(-bound, bound, (n_in, n_out)).T)
        biases.append(rng.uniform(-bound, bound, n_out))
    hidden = model.dropout if isinstance(model.dropout, list) else [model.dropout] * (len(sizes) - 2)
    dropped, given = [model.input_dropout, *hidden], {}
    if any(dropped):
        seed = int(rng.randint(np.iinfo(np.int64).max, dtype=np.int64))
        given["masks"] = lambda epoch, layer: dropout_mask(
            seed + epoch // EPOCHS_TOGETHER * EPOCHS_TOGETHER * n, epoch % EPOCHS_TOGETHER, layer, n, sizes[layer], dropped[layer]
        )
    rows, order = np.arange(n), []
    for _ in range(epochs):
        rng.shuffle(rows)
        order.append(rows.copy())
    if model.learning_rate != "constant":
        rates = schedules.get(model.learning_rate).rates(model.learning_rate_init, epochs, n // BATCH)
        given["rates"] = np.broadcast_to(rates, (epochs, n // BATCH))
    loss = "cross_entropy" if isinstance(model, MLPClassifier) else "squared"
    net = baseline.Network(sizes, "relu", loss, dtype="float64", weights=weights, biases=biases)
    given |= {name: getattr(model, name) for name in ("clip_norm", "clip_value", "max_norm")}
    given |= {"l1": model.l1 * n / BATCH, "l2": 0 if model.solver == "adamw" else model.alpha * n / BATCH}
    losses_ = net.fit(
        ROWS, targets, epochs=epochs, batch_size=BATCH, optimizer=_parameters.update_rule(model), order=order, **given
    )
    return net, losses_


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw", "rmsprop"])
@pytest.mark.parametrize("extra", EXTRAS, ids=str)
def test_regularization_and_schedules_equal_the_oracle(extra, solver):
    options = TRAINED | {"max_iter": EPOCHS, "learning_rate_init": 0.003, "solver": solver} | extra
    for model, given, targets in (
        (MLPRegressor(**options), TARGETS, TARGETS[:, None]),
        (MLPClassifier(**options), Y[:160], np.eye(3)[Y[:160]]),
    ):
        model.fit(ROWS, given)
        expected, losses_ = by_the_oracle(model, targets)
        np.testing.assert_allclose(model.loss_curve_, losses_, rtol=1e-7)
        for ours, theirs in zip(model.coefs_, expected.weights, strict=True):
            np.testing.assert_allclose(ours, theirs.T, rtol=1e-6, atol=1e-8)
        if extra:
            plain = type(model)(**options | dict.fromkeys(extra) | {name: type(model)().get_params()[name] for name in extra})
            assert np.abs(plain.fit(ROWS, given).coefs_[0] - model.coefs_[0]).max() > 1e-4  # it matters


def test_regularization_equals_that_of_a_network_bit_for_bit():
    options = {"clip_norm": 0.3, "clip_value": 0.2, "max_norm": 0.9}
    model = MLPRegressor(**TRAINED, **options, max_iter=9, l1=0.25, alpha=0.125, learning_rate="cosine", shuffle=False)
    first = MLPRegressor(**TRAINED, max_iter=1, learning_rate_init=1e-300, solver="sgd", alpha=0).fit(ROWS, TARGETS)
    net = Network([13, 9, 6, 1], "relu", weights=[c.T for c in first.coefs_], biases=first.intercepts_, dtype="float64")
    net.fit(
        *(ROWS, TARGETS[:, None]),
        **options | {"epochs": 9, "batch_size": BATCH, "schedule": "cosine", "shuffle": False},
        **{"optimizer": _parameters.update_rule(model), "l1": 0.25 * 160 / BATCH, "l2": 0.125 * 160 / BATCH},
    )
    model.fit(ROWS, TARGETS)
    np.testing.assert_array_equal(model._network.params, net.params)


def test_neutral_values_change_no_bit_and_draw_nothing():
    found = []
    for neutral in ({}, {"l1": 0, "dropout": [0.0], "input_dropout": 0, "learning_rate": schedules.Constant()}):
        rng = np.random.RandomState(3)
        model = MLPClassifier(**QUICK | {"random_state": rng}, **neutral).fit(X, Y)
        found.append((model.coefs_[0], rng.uniform()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_dropout_draws_on_and_does_not_depend_on_where_calls_of_the_kernel_end(monkeypatch):
    monkeypatch.setattr("fastbp.estimators._stochastic.EPOCHS_TOGETHER", 8)
    seeds, call = [], Session.call

    def seen(self, mode):
        if mode == TRAIN:
            seeds.append((self.plan.seed, self.plan.epoch))
        return call(self, mode)

    monkeypatch.setattr(Session, "call", seen)
    watched = MLPClassifier(**QUICK, dropout=0.2).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert len(set(seeds)) == len(seeds) == 25
    assert len({seed for seed, _ in seeds}) == 4
    np.testing.assert_array_equal(MLPClassifier(**QUICK, dropout=0.2).fit(X, Y).coefs_[0], watched.coefs_[0])
    del seeds[:]
    for _ in range(3):
        watched.partial_fit(X, Y)  # with the same int as random_state
    watched.set_params(warm_start=True, max_iter=1).fit(X, Y)
    assert len({seed for seed, _ in seeds}) == 4


def test_random_state_after_a_fit_that_stopped_early_is_where_its_epochs_end():
    stopped, rest = np.random.RandomState(5), np.random.RandomState(5)
    options = QUICK | {"dropout": 0.1, "tol": 1.0, "n_iter_no_change": 3}
    model = MLPClassifier(**options | {"random_state": stopped, "max_iter": 30}).fit(X, Y)
    assert model.n_iter_ < 30
    MLPClassifier(**options | {"random_state": rest, "max_iter": model.n_iter_}).fit(X, Y)
    assert stopped.uniform() == rest.uniform()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_partial_fit_goes_on_with_regularization_and_schedule(name):
    options = QUICK | {"solver": name, "max_iter": 4, "learning_rate": schedules.Cosine(0.1), "batch_size": 60, "shuffle": False}
    whole = MLPRegressor(**options, l1=0.1, max_norm=1.0).fit(X, Y)
    parts = MLPRegressor(**options, l1=0.1, max_norm=1.0)
    for _ in range(4):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X, Y)))
    np.testing.assert_array_equal(parts.coefs_[0], whole.coefs_[0])
    assert parts.history_.learning_rate == whole.history_.learning_rate
    last = options["learning_rate"].rates(0.01, 4, 3)[-1, -1]
    for model in (parts, whole):
        assert model.partial_fit(X, Y).history_.learning_rate[-1] == pytest.approx(last, rel=1e-12)  # beyond the schedule


def test_settings_change_between_calls_of_partial_fit():
    model = MLPRegressor(**QUICK).partial_fit(X, Y)
    for change in ({"dropout": 0.5}, {"max_norm": 0.5}, {"learning_rate": "cosine"}, {"dropout": 0.0, "max_norm": None}):
        other = pickle.loads(pickle.dumps(model)).set_params(**change).partial_fit(X, Y)
        np.testing.assert_array_equal(model.set_params(**change).partial_fit(X, Y).coefs_[0], other.coefs_[0])
    assert np.linalg.norm(model.set_params(max_norm=0.5).partial_fit(X, Y).coefs_[0], axis=0).max() <= 0.5 * (1 + 1e-12)


@pytest.mark.parametrize("travel", [clone, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_dropout_and_schedule_too(travel):
    model = MLPClassifier(**QUICK, dropout=[0.4], input_dropout=0.1, learning_rate=schedules.OneCycle(0.5)).fit(X, Y)
    other = travel(model)
    assert other.get_params() == model.get_params()
    np.testing.assert_array_equal(other.fit(X, Y).coefs_[0], model.coefs_[0])
    np.testing.assert_array_equal(other.partial_fit(X, Y).coefs_[0], model.partial_fit(X, Y).coefs_[0])


@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.usefixtures("teams")
def test_dropout_does_not_depend_on_threads(n_threads):
    one, more = (
        MLPClassifier(**QUICK | {"hidden_layer_sizes": (40,)}, dropout=0.5, l1=0.1, clip_norm=0.5, n_threads=n).fit(X, Y)
        for n in (1, n_threads)
    )
    np.testing.assert_array_equal(one.coefs_[0], more.coefs_[0])


def test_predictions_drop_nothing():
    model = MLPRegressor(**QUICK, activation="tanh", dropout=0.5, input_dropout=0.5).fit(X, Y)
    hidden = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    np.testing.assert_allclose(model.predict(X), (hidden @ model.coefs_[1] + model.intercepts_[1])[:, 0], rtol=1e-12)


FAULTS = {
    "l1": [-1.0, np.inf, "a"],
    "clip_norm": [0, -1.0],
    "clip_value": [0.0],
    "max_norm": [0, "a"],
    "dropout": [1.0, -0.1, [0.1, 0.2], [1.5], ["a"]],
    "input_dropout": [1.0, [0.1]],
    "learning_rate": ["cosin", 0.1, schedules.Cosine],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in FAULTS.items() for value in values], ids=str)
def test_errors_name_the_parameter(name, value):
    model = MLPClassifier(**QUICK, **{name: value})
    with pytest.raises((ValueError, TypeError), match=name):
        model.fit(X, Y)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize(
    "option",
    [
        {"l1": 0.1},
        {"clip_norm": 1.0},
        {"clip_value": 1.0},
        {"max_norm": 1.0},
        {"dropout": [0.1]},
        {"input_dropout": 0.1},
        {"learning_rate": "cosine"},
        {"learning_rate": schedules.Step()},
    ],
    ids=str,
)
def test_lbfgs_refuses_what_needs_mini_batches(option):
    with pytest.raises(ValueError, match=f"^{next(iter(option))}=.* needs a solver that takes mini-batches"):
        MLPRegressor(**QUICK, solver="lbfgs", **option).fit(X, Y)


def test_dropout_needs_a_hidden_layer():
    with pytest.raises(ValueError, match="dropout needs a hidden layer"):
        MLPRegressor(**QUICK | {"hidden_layer_sizes": ()}, dropout=0.1).fit(X, Y)


# --- validation ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_validation_data_are_recorded(solver):
    model = MLPClassifier(**QUICK, solver=solver).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    history = model.history_
    assert len(history.loss) == len(history.validation_loss) == len(history.validation_score) == model.n_iter_
    assert history.validation_score[-1] == model.score(X_VAL, Y_VAL)
    probabilities = model.predict_proba(X_VAL)[np.arange(len(Y_VAL)), Y_VAL]
    assert history.validation_loss[-1] == pytest.approx(-np.log(probabilities).mean(), rel=1e-9)
    same = MLPClassifier(**QUICK, solver=solver).fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])  # looking changes nothing


def test_early_stopping_by_given_data_trains_on_all_samples():
    model = MLPClassifier(**QUICK | {"max_iter": 200}, early_stopping=True).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert model.t_ == model.n_iter_ * len(X)
    assert model.validation_scores_ == model.history_.validation_score
    assert model.best_validation_score_ == max(model.validation_scores_) == model.score(X_VAL, Y_VAL)


def test_validation_losses_of_a_regressor_are_means_over_outputs():
    targets = np.c_[Y, -2.0 * Y]
    model = MLPRegressor(**QUICK).fit(X, targets, X_val=X_VAL, y_val=targets[::4])
    assert model.history_.validation_loss[-1] == pytest.approx(0.5 * np.mean((model.predict(X_VAL) - targets[::4]) ** 2), rel=1e-9)


@pytest.mark.parametrize("scoring", ["f1_macro", "neg_log_loss", make_scorer(f1_score, average="macro")], ids=str)
def test_early_stopping_maximises_any_scorer(scoring):
    from sklearn.metrics import check_scoring

    model = MLPClassifier(**QUICK | {"max_iter": 60}, early_stopping=True, scoring=scoring, n_iter_no_change=5)
    model.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert check_scoring(model, scoring)(model, X_VAL, Y_VAL) == pytest.approx(max(model.validation_scores_), rel=1e-12)


@pytest.mark.parametrize(
    "labels", [np.array(["a", "b", "c"], object)[Y], np.eye(3, dtype=int)[Y], Y == 1], ids=["words", "sets", "two"]
)
def test_a_scorer_sees_the_labels_and_column_names_of_the_user(labels):
    pandas = pytest.importorskip("pandas")
    seen = []

    def scorer(estimator, rows, targets):
        seen.append(np.asarray(targets))
        return estimator.score(rows, targets)

    frame = pandas.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    MLPClassifier(**QUICK, early_stopping=True, scoring=scorer).fit(frame, labels)
    assert {str(value) for value in np.unique(seen[0])} <= {str(value) for value in np.unique(labels)} | {"0", "1"}
    assert seen[0].shape[1:] == labels.shape[1:]


def test_history():
    model = MLPRegressor(**QUICK, solver="sgd", learning_rate="invscaling").fit(X, Y)
    assert model.history_.loss is model.loss_curve_
    rates = [0.01 / (1 + epoch * len(X)) ** 0.5 for epoch in range(25)]
    np.testing.assert_allclose(model.history_.learning_rate, rates, rtol=1e-12)
    assert len(model.history_.time) == 25
    assert sorted(model.history_.time) == model.history_.time
    assert model.history_.validation_loss == []


def test_validation_data_pass_through_pipelines_and_searches():
    with config_context(enable_metadata_routing=True):
        model = MLPClassifier(**QUICK).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        pipeline.fit(X * 7, Y, X_val=X_VAL * 7, y_val=Y_VAL)
        direct = MLPClassifier(**QUICK).fit(
            StandardScaler().fit_transform(X * 7), Y, X_val=pipeline[0].transform(X_VAL * 7), y_val=Y_VAL
        )
        assert pipeline[-1].history_.validation_loss == direct.history_.validation_loss
        search = GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=2).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
        assert len(search.best_estimator_.history_.validation_loss) == 25


# --- looks inside --------------------------------------------------------------------------------------------------------------


def test_transform_gives_the_hidden_layers():
    model = MLPClassifier(**QUICK | {"hidden_layer_sizes": (8, 5)}, activation="tanh").fit(X, Y)
    first = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    second = np.tanh(first @ model.coefs_[1] + model.intercepts_[1])
    np.testing.assert_allclose(model.transform(X, layer=0), first, atol=1e-12)
    np.testing.assert_allclose(model.transform(X), second, atol=1e-12)
    np.testing.assert_array_equal(model.transform(X, layer=-2), model.transform(X, layer=0))
    assert model.get_feature_names_out().tolist() == [f"mlpclassifier{i}" for i in range(5)]
    np.testing.assert_array_equal(model.fit_transform(X, Y), model.transform(X))


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        (partial(MLPRegressor, **QUICK), Y * 1.0),
        (partial(MLPRegressor, **QUICK), np.c_[Y, -Y] * 1.0),
        (partial(MLPRegressor, "poisson", **QUICK), Y),
        (partial(MLPClassifier, **QUICK), Y),
        (partial(MLPClassifier, **QUICK), Y == 0),
        (partial(MLPClassifier, **QUICK), np.eye(3, dtype=int)[Y]),
        (partial(MLPClassifier, **QUICK | {"hidden_layer_sizes": ()}), Y),
        (partial(MLPClassifier, **QUICK | {"hidden_layer_sizes": (6, 5)}, activation=["gelu", "softplus"]), Y),
    ],
)
def test_input_gradient(model, targets, monkeypatch):
    fitted = model(activation="tanh").fit(X, targets) if "activation" not in model.keywords else model().fit(X, targets)
    predict = fitted.predict_proba if hasattr(fitted, "predict_proba") else fitted.predict
    expected = slopes_by_differences(predict, X[:40])
    np.testing.assert_allclose(fitted.input_gradient(X[:40]), expected, atol=1e-8)
    monkeypatch.setattr("fastbp.estimators._inspection.ROWS_TOGETHER", 16)
    np.testing.assert_allclose(fitted.input_gradient(X[:40]), expected, atol=1e-8)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("kind", "targets"), [("MLPClassifier", Y), ("MLPClassifier", Y == 1), ("MLPRegressor", Y * 1.0)])
def test_from_scikit_learn_and_back(kind, targets, solver):
    theirs = getattr(neural_network, kind)(**QUICK, solver=solver).fit(X, targets)
    ours = getattr(fastbp, kind).from_sklearn(theirs)
    back = ours.to_sklearn()
    predict = "predict_proba" if kind == "MLPClassifier" else "predict"
    np.testing.assert_allclose(getattr(ours, predict)(X), getattr(theirs, predict)(X), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(getattr(back, predict)(X), getattr(theirs, predict)(X))
    np.testing.assert_array_equal(ours.predict(X[:5]).shape, back.predict(X[:5]).shape)
    assert back.get_params() == theirs.get_params()
    assert {name for name in vars(theirs) if name.endswith("_")} == {name for name in vars(back) if name.endswith("_")}
    ours.coefs_[0][:] = 0
    assert theirs.coefs_[0].any()
    assert back.coefs_[0].any()
    if solver == "adam":
        ours.partial_fit(X, targets)
        back.partial_fit(X, targets)


def test_conversion_of_what_scikit_learn_lacks():
    assert MLPClassifier(dropout=0.5, learning_rate="cosine").to_sklearn().learning_rate == "constant"
    assert MLPClassifier(activation=["tanh", "tanh"], solver="adamw").to_sklearn().get_params()["activation"] == "tanh"
    with pytest.raises(ValueError, match="scikit-learn has no network with activation='gelu'"):
        MLPClassifier(activation="gelu").to_sklearn()
    with pytest.raises(TypeError, match=r"must be an sklearn\.neural_network\.MLPClassifier, got MLPRegressor"):
        MLPClassifier.from_sklearn(neural_network.MLPRegressor())
    assert not hasattr(MLPRegressor.from_sklearn(neural_network.MLPRegressor(alpha=3)), "coefs_")
    if "loss" in neural_network.MLPRegressor().get_params():
        for loss, theirs in (("huber", "squared_error"), ("gamma", "poisson"), ("poisson", "poisson")):
            assert MLPRegressor(loss=loss).to_sklearn().loss == theirs


def test_glorots_bound_without_hidden_layers():
    assert _parameters.gain([], 0, 0) == _parameters.gain("tanh", 0, 0) == 6.0
    assert _parameters.gain(["tanh", "logistic"], 1, 2) == _parameters.gain("logistic", 0, 1) == 2.0


# --- callbacks -----------------------------------------------------------------------------------------------------------------


class Recorder:
    """A callback that scores the estimator as it is, and stops it."""

    def __init__(self, stop_at=None):
        self.stop_at, self.begun, self.scores, self.set_up = stop_at, 0, [], 0

    def setup(self, estimator, context):
        self.set_up += 1

    def on_fit_task_begin(self, estimator, context):
        self.begun += context.parent is not None

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        if context.parent is not None:
            assert (metadata is None) == (not hasattr(self, "weights"))
            self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) == self.stop_at
        return False

    def teardown(self, estimator, context):
        self.set_up -= 1


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_callbacks_see_every_epoch_and_stop(solver):
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    model = MLPClassifier(**QUICK, solver=solver).set_callbacks(recorder).fit(X, Y)
    assert recorder.begun == len(recorder.scores) == model.n_iter_
    assert recorder.scores[-1] == model.score(X, Y)
    assert recorder.set_up == 0
    same = MLPClassifier(**QUICK, solver=solver).fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])
    stopper = Recorder(stop_at=4)
    assert MLPClassifier(**QUICK, solver=solver).set_callbacks(stopper).fit(X, Y).n_iter_ == 4 == len(stopper.scores)


def test_callbacks_are_told_the_weights():
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    recorder.weights = True
    MLPRegressor(**QUICK, early_stopping=True).set_callbacks(recorder).fit(X, Y, np.ones(len(X)))
    assert recorder.scores


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_progress_bar_of_scikit_learn(solver, capsys):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")  # of the extra `test`
    MLPClassifier(**QUICK, solver=solver).set_callbacks(callback.ProgressBar()).fit(X, Y)
    assert "MLPClassifier - fit" in capsys.readouterr().out
    search = GridSearchCV(MLPClassifier(**QUICK, solver=solver), {"alpha": [0.1, 1.0]}, cv=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, Y)
    assert "GridSearchCV - fit" in capsys.readouterr().out


# --- what others read of them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [Y, Y == 1], ids=["three", "two"])
def test_converters_of_others_find_what_they_read(targets):
    # skl2onnx, for one, reads these attributes, and the arrays' values, of scikit-learn's estimators
    theirs, ours = (kind(**QUICK).fit(X, targets) for kind in (neural_network.MLPClassifier, MLPClassifier))
    for name in ("n_layers_", "n_outputs_", "out_activation_", "activation"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours._label_binarizer.y_type_ == theirs._label_binarizer.y_type_
    np.testing.assert_allclose(np.concatenate([a.ravel() for a in ours.coefs_]), np.concatenate([a.ravel() for a in theirs.coefs_]))
