"""The estimators follow scikit-learn's step by step: equal weights, losses, counts, random draws, warnings and printed lines."""

import re
import warnings

import numpy as np
import pytest
import sklearn
from packaging.version import Version
from sklearn import datasets, neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

import fastbp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
IS_OLD = Version(sklearn.__version__) < Version("1.9")
DOUBLE, SINGLE, LBFGS = 1e-9, 5e-4, 1e-6


def _classification():
    digits = datasets.load_digits(return_X_y=True)
    cancer, wine = datasets.load_breast_cancer(return_X_y=True), datasets.load_wine(return_X_y=True)
    iris = datasets.load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    return {
        "digits": (scale(digits[0][:500]), digits[1][:500]),
        "breast-cancer": (scale(cancer[0]), cancer[1]),
        "wine": (scale(wine[0]), np.array(["red", "white", "rose"], object)[wine[1]]),
        "iris": (iris[0], iris[1]),
        "moons": datasets.make_moons(200, noise=0.2, random_state=0),
        "circles": datasets.make_circles(200, noise=0.1, factor=0.5, random_state=0),
        "blobs": datasets.make_blobs(200, centers=4, random_state=0),
        "informative": datasets.make_classification(300, 20, n_informative=8, n_classes=5, random_state=0),
        "labels": datasets.make_multilabel_classification(120, 10, n_classes=4, random_state=0),
        "one class": (rng.normal(size=(30, 3)), np.ones(30)),
        "one row": (rng.normal(size=(1, 3)), np.array([1])),
    }


def _regression():
    X, y = datasets.load_diabetes(return_X_y=True)
    friedman = datasets.make_friedman1(150, random_state=0)
    rng = np.random.default_rng(1)
    return {
        "diabetes": (scale(X), scale(y)),
        "friedman": (friedman[0], scale(friedman[1])),
        "three outputs": datasets.make_regression(150, 6, n_targets=3, random_state=0),
        "column": (rng.normal(size=(60, 2)), rng.normal(size=60)),
        "counts": (rng.normal(size=(150, 4)), rng.poisson(2.0, 150).astype(float)),
    }


CLASSES, NUMBERS = _classification(), _regression()
DATA = CLASSES | NUMBERS
KINDS = dict.fromkeys(CLASSES, "MLPClassifier") | dict.fromkeys(NUMBERS, "MLPRegressor")


def both(kind, **parameters):
    """scikit-learn's estimator and ours."""
    parameters = {"random_state": 3, "max_iter": 20} | parameters
    return getattr(neural_network, kind)(**parameters), getattr(fastbp, kind)(**parameters)


def assert_equal_weights(ours, theirs, tolerance):
    for own, expected in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert own.shape == expected.shape
        assert own.dtype == expected.dtype
        assert np.abs(own - expected).max() <= tolerance * np.abs(expected).max()


def assert_equal(ours, theirs, X, tolerance=DOUBLE):
    """The same fitted attributes and predictions."""
    assert_equal_weights(ours, theirs, tolerance)
    names = {name for name in vars(theirs) if name.endswith("_") and not name.startswith("_")}
    assert names - vars(ours).keys() == set()
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in names & {"loss_", "best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_"}:
        own, expected = getattr(ours, name), getattr(theirs, name)
        if expected is None:
            assert own is None
        else:
            # theirs may be a number of NumPy, whose type depends on NumPy's version and on that of X
            assert type(own) is (float if isinstance(expected, np.floating) else type(expected))
            np.testing.assert_allclose(own, expected, rtol=tolerance, atol=tolerance)
    if hasattr(theirs, "classes_"):
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        assert ours.predict(X).dtype == theirs.predict(X).dtype
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=10 * tolerance)
    else:
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=tolerance, atol=10 * tolerance)
        assert ours.predict(X).dtype == theirs.predict(X).dtype


def check(name, tolerance=DOUBLE, X=None, fit=None, **parameters):
    data = DATA[name]
    X = data[0] if X is None else X
    theirs, ours = both(KINDS[name], **parameters)
    for model in (theirs, ours):
        model.fit(X, data[1], **(fit or {}))
    assert_equal(ours, theirs, X, tolerance)
    return theirs, ours


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("name", DATA)
def test_every_data_set(name, solver):
    check(name, LBFGS if solver == "lbfgs" else DOUBLE, solver=solver, hidden_layer_sizes=(24,))


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_every_activation_in_two_layers(name, activation, solver):
    tolerance = LBFGS if solver == "lbfgs" else DOUBLE
    check(name, tolerance, solver=solver, activation=activation, hidden_layer_sizes=(17, 9))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("name", ["wine", "breast-cancer", "diabetes"])
def test_single_precision(name, activation, solver):
    X = DATA[name][0].astype(np.float32)
    _, ours = check(name, SINGLE, X, solver=solver, activation=activation, hidden_layer_sizes=(30,))
    assert ours.coefs_[0].dtype == np.float32


def test_lbfgs_ends_in_double_precision_whatever_X_is():
    _, ours = check("wine", SINGLE, DATA["wine"][0].astype(np.float32), solver="lbfgs")
    assert ours.coefs_[0].dtype == np.float64


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("name", ["counts", "three outputs"])
def test_poisson(name, solver):
    X, y = DATA[name]
    theirs, ours = both("MLPRegressor", loss="poisson", solver=solver, hidden_layer_sizes=(11,))
    for model in (theirs, ours):
        model.fit(X, np.round(np.abs(y) % 5))
    assert_equal(ours, theirs, X, LBFGS if solver == "lbfgs" else DOUBLE)
    assert ours.out_activation_ == "exp"


SGD = [
    {"learning_rate": "invscaling", "learning_rate_init": 0.1},
    {"learning_rate": "invscaling", "power_t": 0.2, "max_iter": 50},
    {"learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 1e-2, "max_iter": 300, "n_iter_no_change": 2},
    {"learning_rate": "adaptive", "early_stopping": True, "tol": 1e-2, "max_iter": 100, "n_iter_no_change": 2},
    {"momentum": 0},
    {"momentum": 1.0, "learning_rate_init": 1e-4},
    {"momentum": 0.5, "nesterovs_momentum": False},
    {"shuffle": False},
    {"alpha": 0},
    {"alpha": 3.0},
    {"batch_size": 7},
    {"batch_size": 1, "max_iter": 2},
    {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 100},
    {"tol": 1.0, "max_iter": 100},
    {"n_iter_no_change": np.inf, "tol": 10.0, "max_iter": 40},
    {"learning_rate_init": 1e-300, "shuffle": False, "tol": 0.0, "n_iter_no_change": 2},  # a loss that stays is progress
]
ADAM = [
    {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    {"beta_1": 0.0, "beta_2": 0.0},
    {"early_stopping": True, "max_iter": 100},
    {"early_stopping": True, "tol": 0.1, "n_iter_no_change": 3, "max_iter": 100},
    {"learning_rate_init": 0.05, "max_iter": 150},
    {"shuffle": False, "batch_size": 50},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": 5},
    {"hidden_layer_sizes": np.array([8, 4, 3])},
]


@pytest.mark.parametrize("name", ["iris", "diabetes"])
@pytest.mark.parametrize("options", [{"solver": "sgd"} | options for options in SGD] + ADAM, ids=str)
def test_every_option(name, options):
    theirs, ours = check(name, **{"hidden_layer_sizes": (15,)} | options)
    if options.get("learning_rate") == "adaptive" and not options.get("early_stopping"):
        assert theirs._optimizer.learning_rate < 1e-6  # the rate was divided often
    if "learning_rate" in options:
        assert ours._optimizer.learning_rate == theirs._optimizer.learning_rate


@pytest.mark.parametrize("name", DATA)
def test_whole_default_fits(name):
    X, y = DATA[name]
    theirs, ours = both(KINDS[name], max_iter=200)
    for model in (theirs, ours):
        model.fit(X, y)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("name", ["wine", "labels", "three outputs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_sample_weights(name, solver, early_stopping):
    weights = np.random.default_rng(0).integers(1, 5, len(DATA[name][0])) / 2
    if IS_OLD and early_stopping and name == "wine":
        pytest.skip("scikit-learn before 1.9 does not weigh the score of classes that are words")
    tolerance = LBFGS if solver == "lbfgs" else DOUBLE
    check(name, tolerance, fit={"sample_weight": weights}, solver=solver, early_stopping=early_stopping, batch_size=32)


@pytest.mark.parametrize("container", ["csr_matrix", "csc_array"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_matrices(container, solver):
    import scipy.sparse

    X, y = DATA["informative"]
    X = getattr(scipy.sparse, container)(np.where(X > 0, X, 0))
    theirs, ours = both("MLPClassifier", solver=solver)
    for model in (theirs, ours):
        model.fit(X, y)
    assert_equal(ours, theirs, X, LBFGS if solver == "lbfgs" else DOUBLE)


def words(n=150, n_words=700):
    """Counts of words, of which few occur in a sample, and three classes of samples."""
    import scipy.sparse

    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n)
    places = np.minimum(rng.geometric(0.01, (n, 25)) + 5 * y[:, None], n_words - 1)
    ones = np.ones(places.size), (np.repeat(np.arange(n), 25), places.ravel())
    return scipy.sparse.coo_array(ones, shape=(n, n_words)).tocsr(), y


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_words(kind, solver, dtype):
    X, y = words()
    X = X.astype(dtype)
    tolerance = SINGLE if dtype == np.float32 else LBFGS if solver == "lbfgs" else DOUBLE
    for parameters in ({}, {"early_stopping": True, "batch_size": 13}, {"hidden_layer_sizes": (40, 20), "alpha": 0.1}):
        theirs, ours = both(kind, solver=solver, **parameters)
        for model in (theirs, ours):
            model.fit(X, y)
        assert_equal_weights(ours, theirs, tolerance)
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-3, atol=1e-3 if dtype == np.float32 else 1e-5)
        assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-4)


def test_words_in_chunks_of_any_kind():
    X, y = words()
    theirs, ours = both("MLPClassifier", hidden_layer_sizes=(20,))
    for rows, container in ((slice(0, 60), None), (slice(60, 90), np.array), (slice(90, 91), None), (slice(0, 140), None)):
        part = X[rows] if container is None else X[rows].toarray()
        for model in (theirs, ours):
            model.partial_fit(part, y[rows], classes=[0, 1, 2])
    assert_equal_weights(ours, theirs, DOUBLE)


@pytest.mark.parametrize("name", ["wine", "three outputs"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_with_chunks_of_any_size(name, solver):
    X, y = DATA[name]
    theirs, ours = both(KINDS[name], solver=solver, learning_rate="invscaling")
    for model in (theirs, ours):
        classes = {"classes": np.unique(y)} if name == "wine" else {}
        for rows in (slice(0, 60), slice(60, 100), slice(100, 101), slice(0, 60)):
            model.partial_fit(X[rows], y[rows], **classes)
            classes = {}
        model.partial_fit(X[:50], y[:50], sample_weight=np.linspace(1, 2, 50))
    assert_equal(ours, theirs, X)
    assert len(ours.loss_curve_) == 5


def test_partial_fit_goes_on_with_the_rule_of_a_fit():
    X, y = DATA["wine"]
    theirs, ours = both("MLPClassifier")
    for model in (theirs, ours):
        model.fit(X, y).partial_fit(X[:40], y[:40]).partial_fit(X, y)
    assert_equal(ours, theirs, X)


def test_parameters_changed_between_calls_of_partial_fit():
    X, y = DATA["moons"]
    theirs, ours = both("MLPClassifier", alpha=0, hidden_layer_sizes=(5,))
    for model in (theirs, ours):
        model.partial_fit(X, y, classes=[0, 1]).set_params(alpha=2.0).partial_fit(X, y).set_params(batch_size=11, shuffle=False)
        model.partial_fit(X, y).set_params(alpha=0).partial_fit(X, y).fit(X, y).set_params(alpha=1.0).partial_fit(X, y)
    assert_equal(ours, theirs, X)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_warm_start(solver):
    X, y = DATA["wine"]
    theirs, ours = both("MLPClassifier", solver=solver, warm_start=True, max_iter=7)
    for model in (theirs, ours):
        model.fit(X, y).fit(X, y).set_params(max_iter=9).fit(X, y)
    assert_equal(ours, theirs, X, LBFGS if solver == "lbfgs" else DOUBLE)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"tol": 0.5}], ids=str)
def test_a_generator_is_left_where_scikit_learn_leaves_it(options):
    X, y = DATA["iris"]
    states = []
    for kind in (neural_network.MLPClassifier, fastbp.MLPClassifier):
        rng = np.random.RandomState(5)
        kind(random_state=rng, max_iter=45, **options).fit(X, y).set_params(max_iter=3).fit(X, y)
        states.append(rng.random_sample(3))
    np.testing.assert_array_equal(*states)


def test_the_global_generator():
    X, y = DATA["iris"]
    found = []
    for kind in (neural_network.MLPClassifier, fastbp.MLPClassifier):
        np.random.seed(7)  # noqa: NPY002 - what random_state=None means in scikit-learn
        found.append((kind(max_iter=5).fit(X, y).loss_, np.random.random_sample()))  # noqa: NPY002
    np.testing.assert_allclose(*found, rtol=DOUBLE)


@pytest.mark.parametrize(
    "options",
    [
        {"max_iter": 3},
        {"early_stopping": True, "max_iter": 30, "tol": 0.1},
        {"tol": 1.0, "max_iter": 50},
        {"learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1, "max_iter": 50},
    ],
    ids=str,
)
def test_printed_lines(options, capsys):
    X, y = DATA["iris"]
    for model in both("MLPClassifier", solver="sgd", verbose=True, **options):
        model.fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]
    assert len(lines) > 2


def caught(work):
    """(category, message) of the warnings, and the error, of a call."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        error = None
        try:
            work()
        except Exception as raised:
            # names of choices are printed in the order of a set
            error = type(raised), re.sub(r"\{[^}]*\}", lambda found: str(sorted(found[0][1:-1].split(", "))), str(raised))
    return {(item.category, str(item.message)) for item in found if item.category is not RuntimeWarning}, error


X, Y = DATA["iris"]
HOLED = np.where(np.arange(4) == 2, np.nan, X)
SAID = {
    "not converged": lambda model: model(max_iter=2).fit(X, Y),
    "lbfgs not converged": lambda model: model(max_iter=2, solver="lbfgs").fit(X, Y),
    "batch_size clipped": lambda model: model(batch_size=1000, max_iter=2).fit(X, Y),
    "column y": lambda model: model(max_iter=2).fit(X, Y[:, None]),
    "nan": lambda model: model().fit(HOLED, Y),
    "infinite": lambda model: model().fit(np.full_like(X, np.inf), Y),
    "lengths": lambda model: model().fit(X, Y[:-1]),
    "one dimension": lambda model: model().fit(X[:, 0], Y),
    "no rows": lambda model: model().fit(X[:0], Y[:0]),
    "no y": lambda model: model().fit(X, None),
    "strings": lambda model: model().fit(np.full(X.shape, "a"), Y),
    "complex": lambda model: model().fit(X + 1j, Y),
    "not fitted": lambda model: model().predict(X),
    "columns": lambda model: model(max_iter=2).fit(X, Y).predict(X[:, :2]),
    "predict nan": lambda model: model(max_iter=2).fit(X, Y).predict(HOLED),
    "predict nothing": lambda model: model(max_iter=2).fit(X, Y).predict(X[:0]),
    "predict one dimension": lambda model: model(max_iter=2).fit(X, Y).predict(X[0]),
    "layer of 0": lambda model: model(hidden_layer_sizes=(3, 0)).fit(X, Y),
    "layer of -1": lambda model: model(hidden_layer_sizes=-1).fit(X, Y),
    "learning_rate_init": lambda model: model(learning_rate_init=0).fit(X, Y),
    "shuffle": lambda model: model(shuffle="well").fit(X, Y),
    "momentum": lambda model: model(momentum=1.1).fit(X, Y),
    "max_iter": lambda model: model(max_iter=0).fit(X, Y),
    "tol": lambda model: model(tol=-1).fit(X, Y),
    "random_state": lambda model: model(random_state="a").fit(X, Y),
    "zero weights": lambda model: model(max_iter=2).fit(X, Y, sample_weight=np.zeros(len(X))),
    "weights of another length": lambda model: model().fit(X, Y, sample_weight=np.ones(3)),
    "partial_fit and early stopping": lambda model: model(early_stopping=True, max_iter=2).fit(X, Y).partial_fit(X, Y),
    "validation set too small": lambda model: model(early_stopping=True).fit(X[:1].repeat(3, 0), np.zeros(3)),
    "feature names": lambda model: _with_names(model),
}
SAID_BY_CLASSIFIERS = {
    "held out without weight": lambda model: model(early_stopping=True, random_state=0, max_iter=2).fit(X, Y, np.eye(len(X))[0]),
    "partial_fit of lbfgs": lambda model: model(solver="lbfgs").partial_fit,
    "continuous y": lambda model: model().fit(X, Y + 0.5),
    "warm start with other classes": lambda model: model(warm_start=True, max_iter=2).fit(X, Y).fit(X, Y + 1),
    "no classes": lambda model: model().partial_fit(X, Y),
    "unknown class": lambda model: model().partial_fit(X, Y, classes=[0, 1]),
    "other classes": lambda model: model().partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y, classes=[0, 1]),
    "rare class": lambda model: model(early_stopping=True).fit(X[:4], [0, 0, 0, 1]),
    "so many classes": lambda model: model(max_iter=2).fit(X[:30], np.arange(30)),
    "several columns of classes": lambda model: model().fit(X, np.c_[Y, Y]),
}


def _with_names(model):
    import pandas

    frame = pandas.DataFrame(X, columns=list("abcd"))
    fitted = model(max_iter=2, early_stopping=True).fit(frame, Y)
    assert fitted.feature_names_in_.tolist() == list("abcd")
    fitted.predict(frame)
    fitted.predict(X)
    fitted.predict(frame[["b", "a", "c", "d"]])


@pytest.mark.parametrize(
    ("kind", "case"),
    [(kind, case) for kind in ("MLPClassifier", "MLPRegressor") for case in SAID]
    + [("MLPClassifier", case) for case in SAID_BY_CLASSIFIERS],
)
def test_warnings_and_errors_are_worded_as_scikit_learn_words_them(kind, case):
    if IS_OLD and case in ("zero weights", "held out without weight"):
        pytest.skip("scikit-learn before 1.9 divides by zero")
    work = (SAID | SAID_BY_CLASSIFIERS)[case]
    theirs, ours = caught(lambda: work(getattr(neural_network, kind))), caught(lambda: work(getattr(fastbp, kind)))
    assert ours == theirs
    assert theirs[0] or theirs[1]


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("row", range(0, 150, 7))
def test_one_weight_is_not_enough_for_both_sides_of_a_split(kind, row):
    model = getattr(fastbp, kind)(early_stopping=True, random_state=0, max_iter=2)
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero number"):
        model.fit(X, Y, np.eye(len(X))[row])


def test_a_keyboard_interrupt_keeps_the_model(monkeypatch):
    from fastbp.engine.session import Session

    calls, original = [], Session.call

    def interrupted(self, *arguments):
        original(self, *arguments)
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Session, "call", interrupted)
    model = fastbp.MLPClassifier(max_iter=200, verbose=False, random_state=0)
    with pytest.warns(UserWarning, match=r"^Training interrupted by user\.$"):
        model.fit(X, Y)
    assert 0 < model.n_iter_ == len(model.loss_curve_) < 200
    assert model.t_ == model.n_iter_ * len(X)
    assert np.isfinite(model.predict_proba(X)).all()
    # what was trained is what an uninterrupted fit of so many epochs trains
    same = fastbp.MLPClassifier(max_iter=model.n_iter_, random_state=0).fit(X, Y)
    assert_equal_weights(model, same, 0)


def test_convergence_warning_category():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached and the optimization hasn't converged yet\."):
        fastbp.MLPRegressor(max_iter=2).fit(X, Y)
