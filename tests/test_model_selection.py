"""Searches whose networks are trained together find what scikit-learn's find, fit by fit."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn import config_context, datasets, model_selection
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler, scale
from sklearn.svm import SVC

from fastbp import MLPClassifier, MLPRegressor
from fastbp.activations import ELU, LeakyReLU
from fastbp.estimators import _together
from fastbp.model_selection import GridSearchCV, RandomizedSearchCV

X, Y = datasets.load_wine(return_X_y=True)
XS = scale(X)
Z = XS[:, 0] * XS[:, 1] + XS[:, 2]
QUICK = {"hidden_layer_sizes": (6,), "max_iter": 10, "random_state": 3, "learning_rate_init": 0.01}
GRID = {"alpha": [0.0, 1.0], "learning_rate_init": [0.001, 0.02, 0.1]}
PIPE = {f"mlpclassifier__{name}": values for name, values in GRID.items()}
THEIRS = {cls: getattr(model_selection, cls.__name__) for cls in (GridSearchCV, RandomizedSearchCV)}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite"),
]


@pytest.fixture
def together(monkeypatch):
    """Sizes of the groups that have been trained together."""
    counts = []

    class Counted(_together._Group):
        def train(self):
            counts.append(len(self.fits))
            super().train()

    monkeypatch.setattr(_together, "_Group", Counted)
    return counts


def same(ours, theirs, rtol=1e-9, X=XS):
    """Both have found the same."""
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    for name, values in theirs.cv_results_.items():
        if name == "params" or name.startswith("param_"):
            assert repr(ours.cv_results_[name]) == repr(values)
        elif not name.endswith("_time"):
            np.testing.assert_allclose(ours.cv_results_[name], values, rtol=rtol, atol=1e-12)
        else:
            assert (ours.cv_results_[name] >= 0).all()
    assert vars(ours).keys() == vars(theirs).keys()
    if theirs.refit:
        assert repr(ours.best_params_) == repr(theirs.best_params_)
        assert ours.best_index_ == theirs.best_index_
        assert type(ours.scorer_) is type(theirs.scorer_)
        assert type(ours.best_estimator_) is type(theirs.best_estimator_)
        if hasattr(theirs, "predict"):
            np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def compare(estimator, grid, X, y, cls=GridSearchCV, rtol=1e-9, fit=None, X_new=XS, **options):
    """The search by both; scores of real numbers, so that the least difference would be seen."""
    ours, theirs = (each(estimator, grid, **options) for each in (cls, THEIRS[cls]))
    theirs.fit(X, y, **(fit or {}))
    ours.fit(X, y, **(fit or {}))
    same(ours, theirs, rtol, X_new)
    return ours


def test_classifier(together):
    search = compare(MLPClassifier(**QUICK), GRID, XS, Y, scoring="neg_log_loss", return_train_score=True)
    assert together == [30]
    assert search.cv_results_["mean_fit_time"].min() > 0
    compare(MLPClassifier(**QUICK), GRID, XS, Y)


def test_regressor(together):
    compare(MLPRegressor(**QUICK), GRID, XS, Z, cv=3)
    compare(MLPRegressor(**QUICK, loss="huber"), GRID, XS, np.stack([Z, -Z], 1), cv=3)
    assert together == [18, 18]


def test_shapes_states_and_stopping(together):
    grid = {"hidden_layer_sizes": [(4,), (3, 5)], "random_state": [0, 1], "tol": [1e-4, 0.05], "learning_rate_init": [0.01, 0.1]}
    model = MLPClassifier(max_iter=70, n_iter_no_change=2, batch_size=40)
    compare(model, grid, XS, Y, scoring="neg_log_loss", cv=2)
    assert together == [16, 16]


@pytest.mark.parametrize("options", [{"solver": "sgd"}, {"solver": "rmsprop", "batch_size": 17}, {"activation": "tanh"}], ids=str)
def test_options_of_the_network(options, together):
    compare(MLPClassifier(**QUICK, **options), GRID, XS, Y, scoring="neg_log_loss", cv=2)
    assert together == [12]


def test_float32(together):
    compare(MLPRegressor(**QUICK, dtype="float32", activation="tanh"), GRID, XS, Z, cv=2, rtol=1e-3)
    assert together == [12]


def test_parameters_of_the_rule_and_of_the_data_go_together(together):
    grid = [{"beta_1": [0.5, 0.9], "class_weight": [None, {0: 3.0, 1: 1.0, 2: 1.0}]}, {"alpha": [0.3]}]
    compare(MLPClassifier(**QUICK), grid, XS, Y, scoring="neg_log_loss", cv=2)
    assert sorted(together) == [4, 6]


class Counting(TransformerMixin, BaseEstimator):
    """A transformer that counts its fits."""

    fits = 0

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y=None):
        type(self).fits += 1
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return (X - self.mean_) * self.factor


def test_what_stands_before_is_fitted_once_a_fold(together):
    pipeline = make_pipeline(StandardScaler(), Counting(), MLPClassifier(**QUICK))
    grid = PIPE | {"counting__factor": [1.0, 0.5]}
    search = compare(pipeline, grid, X, Y, scoring="neg_log_loss", cv=3)
    assert together == [36]
    Counting.fits = 0
    search.fit(X, Y)
    assert Counting.fits == 2 * 3 + 1


def test_steps_are_exchanged(together):
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", PCA(5, random_state=0)), ("net", MLPClassifier(**QUICK))])
    grid = {"scale": [StandardScaler(), MinMaxScaler(), "passthrough"], "reduce": ["passthrough", PCA(3)], "net__alpha": [0.1]}
    compare(pipeline, grid, XS, Y, scoring="neg_log_loss", cv=2)
    assert sorted(together) == [6, 6]
    grid = {"net": [MLPClassifier(**QUICK), SVC(), MLPClassifier(**QUICK, solver="lbfgs")]}
    compare(pipeline, grid, XS, Y, cv=2)
    assert together[2:] == [2]


def test_randomized(together):
    drawn = {"alpha": stats.loguniform(1e-4, 1), "learning_rate_init": [0.01, 0.1], "random_state": stats.randint(0, 9)}
    compare(MLPClassifier(**QUICK), drawn, XS, Y, cls=RandomizedSearchCV, scoring="neg_log_loss", n_iter=7, random_state=1, cv=2)
    assert together == [14]


@pytest.mark.parametrize(
    "options",
    [
        {"scoring": ["accuracy", "neg_log_loss"], "refit": "neg_log_loss"},
        {"scoring": lambda estimator, X, y: {"a": estimator.score(X, y), "b": estimator.n_iter_ * 1.0}, "refit": "a"},
        {"refit": lambda results: 2},
        {"refit": False},
        {"cv": KFold(3, shuffle=True, random_state=4)},
        {"cv": ShuffleSplit(2, test_size=0.3, train_size=0.5, random_state=0)},
    ],
    ids=["scores", "scores of a function", "refit of a function", "no refit", "KFold", "ShuffleSplit"],
)
def test_options_of_the_search(options, together):
    search = compare(MLPClassifier(**QUICK), GRID, XS, Y, **options)
    assert together
    assert search.get_params()["cv"] is options.get("cv")


def test_splits_that_are_given_once(together):
    splits = [(np.arange(0, 178, 2), np.arange(1, 178, 2)), (np.arange(1, 178, 3), np.arange(0, 178, 3))]
    ours, theirs = (cls(MLPClassifier(**QUICK), GRID, cv=iter(splits)) for cls in (GridSearchCV, model_selection.GridSearchCV))
    same(ours.fit(XS, Y), theirs.fit(XS, Y))
    assert together == [12]


def test_splits_that_are_masks(together):
    splits = [(np.arange(178) % 3 != k, np.arange(178) % 3 == k) for k in (0, 1)]
    compare(MLPClassifier(**QUICK), GRID, XS, Y, scoring="neg_log_loss", cv=splits)
    assert together == [12]


def test_activations_with_other_settings_are_others(together):
    grid = {"activation": [LeakyReLU(0.01), LeakyReLU(0.9), ELU(0.5), ELU(3.0)]}
    compare(MLPClassifier(**QUICK), grid, XS, Y, scoring="neg_log_loss", cv=2)
    assert together == [2] * 4


def test_class_weights_of_one_candidate_do_not_drown_those_of_another(together):
    grid = {"class_weight": [{0: 1e-200, 1: 2e-200, 2: 1e-200}, {0: 1.0, 1: 1.0, 2: 3.0}, {0: 1e150, 1: 2e150, 2: 1e150}]}
    compare(MLPClassifier(**QUICK, alpha=0), grid, XS, Y, scoring="neg_log_loss", cv=2)
    assert together == [6]


def test_groups(together):
    groups = np.arange(len(Y)) % 7
    compare(MLPClassifier(**QUICK), GRID, XS, Y, scoring="neg_log_loss", cv=GroupKFold(3), fit={"groups": groups})
    assert together == [18]


def test_data_frames(together):
    frame, labels = datasets.load_wine(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), MLPClassifier(**QUICK))
    search = compare(pipeline, PIPE, frame, labels, X_new=frame, scoring="neg_log_loss", cv=2)
    assert together == [12]
    assert search.feature_names_in_.tolist() == list(frame.columns)


def test_random_states_that_are_generators(together):
    model = MLPClassifier(**(QUICK | {"random_state": np.random.RandomState(7)}))
    before = model.random_state.get_state()[1].copy()
    compare(model, GRID, XS, Y, scoring="neg_log_loss", cv=2)
    assert together == [12]
    np.testing.assert_array_equal(model.random_state.get_state()[1], before)
    free = GridSearchCV(MLPClassifier(**(QUICK | {"random_state": None})), GRID, cv=2, refit=False, scoring="neg_log_loss")
    first = free.fit(XS, Y).cv_results_["mean_test_score"]
    assert (free.fit(XS, Y).cv_results_["mean_test_score"] != first).all()


def test_jobs(together):
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**QUICK))
    compare(pipeline, PIPE, X, Y, scoring="neg_log_loss", cv=2, n_jobs=2)
    assert together == [12]


def test_data_that_are_large_are_trained_on_in_turn(together, monkeypatch):
    monkeypatch.setattr("fastbp.model_selection.MOST_NUMBERS", 1500)
    compare(make_pipeline(StandardScaler(), MLPClassifier(**QUICK)), PIPE, X, Y, scoring="neg_log_loss", cv=3)
    assert together == [6, 6, 6]


def test_mini_batches_that_are_too_large(together):
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger than sample size"):
        compare(MLPClassifier(**QUICK, batch_size=500), {"alpha": [0.1, 1.0]}, XS, Y, scoring="neg_log_loss", cv=2)
    assert together == []


def test_nested(together):
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**QUICK))
    scores = [
        model_selection.cross_val_score(cls(pipeline, PIPE, cv=2), X, Y, cv=2) for cls in (GridSearchCV, THEIRS[GridSearchCV])
    ]
    np.testing.assert_allclose(*scores)
    assert together == [12, 12]


def test_bits_do_not_depend_on_the_other_candidates():
    few = GridSearchCV(MLPClassifier(**QUICK), {"alpha": [1.0]}, scoring="neg_log_loss", refit=False).fit(XS, Y)
    many = GridSearchCV(MLPClassifier(**QUICK), {"alpha": [0.1, 1.0, 0.3]}, scoring="neg_log_loss", refit=False).fit(XS, Y)
    for name in (f"split{i}_test_score" for i in range(5)):
        assert many.cv_results_[name][1] == few.cv_results_[name][0]


# --- what is trained one by one -----------------------------------------------------------------------------------------------


ALONE = [
    {"solver": "lbfgs"},
    {"early_stopping": True},
    {"dropout": 0.2},
    {"n_networks": 2},
    {"hidden_layer_sizes": (2000,)},
    {"solver": "sgd", "learning_rate": "adaptive"},
    {"learning_rate": "one_cycle"},
]


@pytest.mark.parametrize("options", ALONE, ids=str)
def test_networks_that_are_trained_alone(options, together, capsys):
    model = MLPClassifier(**(QUICK | {"max_iter": 3} | options))
    compare(model, {"alpha": [0.1, 1.0]}, XS, Y, scoring="neg_log_loss", cv=2)
    assert not (together and "n_networks" not in options)
    capsys.readouterr()
    GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=2, verbose=1, refit=False).fit(XS, Y)
    lines = capsys.readouterr().out.splitlines()
    assert sum("one by one" in line for line in lines) == 1


def test_some_alone_and_some_together(together, capsys):
    grid = {"solver": ["adam", "lbfgs"], "alpha": [0.1, 1.0]}
    compare(MLPClassifier(**QUICK), grid, XS, Y, scoring="neg_log_loss", cv=3, verbose=1)
    assert together == [6]
    assert "6 of 12 fits were trained one by one" in capsys.readouterr().out


def test_other_estimators_and_data(together, capsys):
    compare(SVC(), {"C": [0.1, 1.0]}, XS, Y, verbose=1)
    assert "SVC is neither" in capsys.readouterr().out
    ours, theirs = (cls(MLPClassifier(**QUICK), GRID, cv=2) for cls in (GridSearchCV, model_selection.GridSearchCV))
    both = [each.fit(sparse.csr_array(XS * (XS > 1)), Y).cv_results_["mean_test_score"] for each in (ours, theirs)]
    np.testing.assert_allclose(*both)


def test_a_pipeline_that_tells_its_steps(together, capsys):
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**QUICK), verbose=True)
    compare(pipeline, PIPE, X, Y, scoring="neg_log_loss", cv=2, verbose=1, X_new=X)
    out = capsys.readouterr().out
    assert "the Pipeline has verbose or transform_input" in out
    assert out.count("[Pipeline] ") == 2 * 2 * (12 + 1)
    assert together == []


def test_parameters_of_fit(together, capsys):
    weights = np.random.default_rng(0).uniform(0, 2, len(Y))
    compare(MLPClassifier(**QUICK), GRID, XS, Y, fit={"sample_weight": weights}, cv=2, verbose=1)
    assert "fit has parameters that go to the estimator" in capsys.readouterr().out
    assert together == []


def test_callbacks(together):
    callback = pytest.importorskip("sklearn.callback")
    GridSearchCV(MLPClassifier(**QUICK), GRID, cv=2).set_callbacks(callback.ProgressBar()).fit(XS, Y)
    assert together == []


# --- errors -------------------------------------------------------------------------------------------------------------------


def test_candidates_at_fault_have_the_error_score(together):
    grid = {"alpha": [0.1, -1.0, 0.2]}
    with pytest.warns(FitFailedWarning, match=r"2 fits failed out of a total of 6(.|\n)*'alpha' parameter"):
        ours = GridSearchCV(MLPClassifier(**QUICK), grid, cv=2).fit(XS, Y)
    assert np.isnan(ours.cv_results_["mean_test_score"]).tolist() == [False, True, False]
    assert together == [4]
    with pytest.raises(ValueError, match="'alpha' parameter"):
        GridSearchCV(MLPClassifier(**QUICK), grid, cv=2, error_score="raise").fit(XS, Y)


def test_divergence_is_told_as_alone(together):
    model = MLPRegressor(**(QUICK | {"solver": "sgd"}))
    grid = {"learning_rate_init": [0.01, 1e9]}
    with pytest.warns(FitFailedWarning, match=r"2 fits failed(.|\n)*Training diverged"):
        ours = GridSearchCV(model, grid, cv=2).fit(XS, Z)
    with pytest.warns(FitFailedWarning):
        same(ours, model_selection.GridSearchCV(model, grid, cv=2).fit(XS, Z))
    assert together == [4]


@pytest.mark.parametrize("cv", [5.5, "three", 1])
def test_what_is_no_splitter_is_refused_in_the_words_of_scikit_learn(cv, together):
    told = []
    for cls in (GridSearchCV, model_selection.GridSearchCV):
        with pytest.raises(ValueError, match=r"cv|fold") as caught:
            cls(MLPClassifier(**QUICK), GRID, cv=cv).fit(XS, Y)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert together == []


class Failing(Counting):
    def transform(self, X):
        raise ValueError("not today")


def test_preprocessing_that_fails():
    pipeline = make_pipeline(Failing(), MLPClassifier(**QUICK))
    for cls in (GridSearchCV, model_selection.GridSearchCV):
        with pytest.raises(ValueError, match=r"All the 12 fits failed(.|\n)*not today"):
            cls(pipeline, PIPE, cv=2).fit(X, Y)


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"param_grid": {"alpa": [1]}}, (XS, Y)),
        ({"param_grid": {"alpha": []}}, (XS, Y)),
        ({"param_grid": {"alpha": 3}}, (XS, Y)),
        ({"param_grid": 5}, (XS, Y)),
        ({"cv": 1}, (XS, Y)),
        ({"cv": "five"}, (XS, Y)),
        ({"cv": 1000}, (XS, Y)),
        ({"scoring": "nonsense"}, (XS, Y)),
        ({"scoring": ["accuracy", "f1_macro"]}, (XS, Y)),
        ({"error_score": "none"}, (XS, Y)),
        ({}, (XS, Y[:-1])),
        ({}, (XS, None)),
        ({"error_score": "raise"}, (np.where(XS > 2, np.nan, XS), Y)),
        ({"cv": [(np.arange(100), np.arange(300, 302))]}, (XS, Y)),
    ],
    ids=map(str, range(14)),
)
def test_errors_are_those_of_scikit_learn(options, data):
    found = []
    for cls in (GridSearchCV, model_selection.GridSearchCV):
        search = cls(MLPClassifier(**QUICK), **({"param_grid": GRID} | options))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            search.fit(*data)
        found.append((caught.type, str(caught.value)))
        assert search.estimator.__class__ is MLPClassifier
        assert "_search" not in vars(search)
        assert search.cv is options.get("cv")
    assert found[0] == found[1]


def test_warnings_are_those_of_the_fits(together):
    with pytest.warns(ConvergenceWarning) as ours:
        GridSearchCV(MLPClassifier(**QUICK), GRID, cv=2, refit=False).fit(XS, Y)
    with pytest.warns(ConvergenceWarning) as theirs:
        model_selection.GridSearchCV(MLPClassifier(**QUICK), GRID, cv=2, refit=False).fit(XS, Y)
    assert [str(each.message) for each in ours] == [str(each.message) for each in theirs]
    assert together == [12]


def test_another_order_of_scikit_learn_would_be_seen(monkeypatch):
    search = GridSearchCV(MLPClassifier(**QUICK), GRID, cv=ShuffleSplit(2, test_size=0.3, random_state=0))
    monkeypatch.setattr("fastbp.model_selection._num_samples", lambda X: len(X) + 1)
    with pytest.raises(ValueError, match="in an order that is not known here"):
        search.fit(XS, Y)


def test_copies():
    search = GridSearchCV(make_pipeline(StandardScaler(), MLPClassifier(**QUICK)), PIPE, cv=2).fit(X, Y)
    for other in (pickle.loads(pickle.dumps(search)), copy.deepcopy(search)):
        np.testing.assert_array_equal(other.predict(X), search.predict(X))
        assert other.score(X, Y) == search.score(X, Y)
    again = clone(search)
    assert again.get_params().keys() == search.get_params().keys()
    np.testing.assert_array_equal(again.fit(X, Y).predict(X), search.predict(X))


def test_metadata_routing(together):
    with config_context(enable_metadata_routing=True):
        GridSearchCV(MLPClassifier(**QUICK), GRID, cv=2).fit(XS, Y)
    assert together == [12]


def test_groups_are_routed(together):
    groups = np.arange(len(Y)) % 7
    with config_context(enable_metadata_routing=True):
        compare(MLPClassifier(**QUICK), GRID, XS, Y, scoring="neg_log_loss", cv=GroupKFold(3), fit={"groups": groups})
        compare(MLPClassifier(**QUICK), GRID, XS, Y, scoring="neg_log_loss", cv=2)
    assert together == [18, 12]
