"""The estimators keep scikit-learn's contract: its own checks and tests, its tools, and clear errors where it is silent."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context, datasets, neural_network
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import estimator_checks_generator

import fastbp
from fastbp import MLPClassifier, MLPRegressor
from fastbp.engine import threads

X, Y = datasets.load_iris(return_X_y=True)
X = scale(X)
SOLVERS = ("adam", "sgd", "lbfgs", "adamw", "rmsprop")
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 15, "random_state": 0, "learning_rate_init": 0.01}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# --- scikit-learn's checks and tests -------------------------------------------------------------------------------------------


@pytest.fixture
def teams(monkeypatch):
    """Threads even for the least fit."""
    monkeypatch.setattr(threads, "members_for", lambda flop, limit, *start: 1 if start else min(limit or 2, 2))


# scikit-learn runs them with max_iter=100 too: after more, lbfgs is surer of its classes than one of the checks allows
TWO = {
    "adam": {"learning_rate_init": 0.01, "max_iter": 25},
    "sgd": {"max_iter": 100},
    "lbfgs": {"max_iter": 25},
}


CHECKED = [cls(solver=solver, max_iter=100, n_threads=1) for cls in (MLPClassifier, MLPRegressor) for solver in TWO]
CHECKED += [cls(solver=solver, n_threads=2, **options) for cls in (MLPClassifier, MLPRegressor) for solver, options in TWO.items()]
CHECKS = [
    pytest.param(
        estimator,
        check,
        # some versions of scikit-learn have a check twice
        id=f"{type(estimator).__name__}-{estimator.solver}-{estimator.n_threads}-{i}-{check.func.__name__}",
        marks=[pytest.mark.slow] if estimator.n_threads == 2 and estimator.solver != "adam" else [],
    )
    for i, (estimator, check) in enumerate(pair for estimator in CHECKED for pair in estimator_checks_generator(estimator))
]


@pytest.mark.usefixtures("teams")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_more_checks_apply_than_to_scikit_learns_estimators():
    for cls in (MLPClassifier, MLPRegressor):
        theirs = getattr(neural_network, cls.__name__)
        assert len(list(estimator_checks_generator(cls()))) > len(list(estimator_checks_generator(theirs())))


def test_the_tests_of_scikit_learn(tmp_path):
    # test_gradient calls a private method; check_gradients of the network stands for it, see below
    arguments = ["-p", "sklearn_mlp_plugin", "-c", "/dev/null", "-q", "--deselect", "::test_gradient", "-p", "no:cacheprovider"]
    tests = Path(neural_network.__file__).parent / "tests" / "test_mlp.py"
    code = "import sys, pytest; sys.path[:0] = sys.argv[1:3]; sys.exit(pytest.main(sys.argv[3:]))"
    paths = [str(Path(__file__).parent), str(Path(fastbp.__file__).parents[1])]
    command = [sys.executable, "-c", code, *paths, *arguments, "--pyargs", "sklearn.neural_network.tests.test_mlp"]
    assert tests.exists()
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert int(result.stdout.rpartition(" passed")[0].split()[-1]) >= 50


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_gradient(activation, n_classes):
    samples = np.random.RandomState(42).rand(5, 10)
    model = MLPClassifier(10, activation, solver="lbfgs", alpha=1e-5, max_iter=1, random_state=1)
    model.fit(samples, np.arange(5) % n_classes)
    net = model._network
    targets = np.arange(5) % n_classes
    assert net.check_gradients(samples, targets if n_classes > 2 else targets[:, None]).max_error < 1e-7


# --- scikit-learn's tools ------------------------------------------------------------------------------------------------------


def test_tools_of_scikit_learn():
    model = MLPClassifier(**QUICK)
    search = GridSearchCV(make_pipeline(StandardScaler(), model), {"mlpclassifier__alpha": [1e-4, 1e-2]}, n_jobs=2, cv=3)
    assert search.fit(X, Y).best_score_ > 0.5
    assert cross_val_predict(model, X, Y, method="predict_proba", cv=3).shape == (150, 3)
    assert CalibratedClassifierCV(model, cv=3).fit(X, Y).predict_proba(X).shape == (150, 3)
    for ensemble in (BaggingClassifier(model, 3), AdaBoostClassifier(model, n_estimators=3), VotingClassifier([("a", model)])):
        assert ensemble.fit(X, Y).score(X, Y) > 0.4
    assert MultiOutputRegressor(MLPRegressor(**QUICK)).fit(X, np.c_[Y, -Y]).predict(X).shape == (150, 2)
    assert make_pipeline(model, LogisticRegression()).fit(X, Y).score(X, Y) > 0.5


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("travel", ["clone", "copy", "pickle", "joblib"])
def test_a_copy_is_as_good(solver, travel, tmp_path):
    model = MLPClassifier(**QUICK, solver=solver).fit(X, Y)
    if travel == "clone":
        other = clone(model).fit(X, Y)
    elif travel == "copy":
        other = copy.deepcopy(model)
    elif travel == "pickle":
        other = pickle.loads(pickle.dumps(model))
    else:
        joblib.dump(model, tmp_path / "model")
        other = joblib.load(tmp_path / "model", mmap_mode="r")
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    if solver != "lbfgs":
        other.partial_fit(X[:40], Y[:40])
        np.testing.assert_array_equal(other.coefs_[0], model.partial_fit(X[:40], Y[:40]).coefs_[0])
    other.coefs_[0][:] = 0
    assert model.coefs_[0].any()


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("solver", SOLVERS)
def test_threads_change_no_bit(solver):
    found = [MLPClassifier(**QUICK | {"hidden_layer_sizes": (40, 20)}, solver=solver, n_threads=n).fit(X, Y) for n in (1, 2)]
    for one, two in zip(found[0].coefs_, found[1].coefs_, strict=True):
        np.testing.assert_array_equal(one, two)


def test_parameters_begin_with_those_of_scikit_learn():
    for cls in (MLPClassifier, MLPRegressor):
        theirs = getattr(neural_network, cls.__name__)().get_params()
        assert {name: cls().get_params()[name] for name in theirs} == theirs
        assert cls.__init__.__code__.co_varnames[: len(theirs) + 1][1:] == tuple(
            getattr(neural_network, cls.__name__).__init__.__code__.co_varnames[1 : len(theirs) + 1]
        )


# --- weights that users change -------------------------------------------------------------------------------------------------


def test_edits_of_the_weights_act():
    model = MLPRegressor(**QUICK).fit(X, Y)
    for array in model.coefs_ + model.intercepts_:
        array[:] = 0
    model.intercepts_[-1][:] = 7
    np.testing.assert_array_equal(model.predict(X[:3]), [7, 7, 7])


def test_weights_put_in_their_place_act_and_are_trained_on():
    theirs, ours = (kind(**QUICK).fit(X, Y) for kind in (neural_network.MLPRegressor, MLPRegressor))
    for model in (theirs, ours):
        model.coefs_ = [array * 0.5 for array in model.coefs_]
        model.intercepts_[0] = model.intercepts_[0] + 1
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    kept = ours.coefs_[0]
    kept *= 2
    theirs.coefs_[0] *= 2
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    for model in (theirs, ours):
        model.partial_fit(X, Y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-9)


def test_a_second_fit_leaves_the_arrays_of_the_first():
    model = MLPRegressor(**QUICK).fit(X, Y)
    first, values = model.coefs_[0], model.coefs_[0].copy()
    model.fit(X, Y * 2)
    np.testing.assert_array_equal(first, values)


def test_another_activation_acts_on_predictions():
    theirs, ours = (kind(**QUICK).fit(X, Y).set_params(activation="tanh") for kind in (neural_network.MLPRegressor, MLPRegressor))
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


def test_networks_of_another_shape_act():
    ours = MLPRegressor(**QUICK).fit(X, Y)
    ours.coefs_, ours.intercepts_ = [np.ones((4, 1))], [np.zeros(1)]
    np.testing.assert_allclose(ours.predict(X), X.sum(axis=1), rtol=1e-12)


# --- predictions ---------------------------------------------------------------------------------------------------------------

KINDS_OF_X = {
    "row": lambda x: x[:1],
    "float32": lambda x: x.astype(np.float32),
    "integers": lambda x: (x * 3).astype(int),
    "booleans": lambda x: x > 0,
    "lists": lambda x: x.tolist(),
    "objects": lambda x: x.astype(object),
    "columns first": np.asfortranarray,
    "backwards": lambda x: x[::-1, ::-1],
    "every other": lambda x: np.repeat(x, 2, axis=0)[::2],
    "big-endian": lambda x: x.astype(">f8"),
    "half": lambda x: x.astype(np.float16),
}


@pytest.mark.parametrize("kind", KINDS_OF_X)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_for_every_kind_of_array(kind, dtype):
    rows = KINDS_OF_X[kind](X)
    theirs, ours = (fit(**QUICK).fit(X.astype(dtype), Y) for fit in (neural_network.MLPRegressor, MLPRegressor))
    expected, found = theirs.predict(rows), ours.predict(rows)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == np.float32 else 1e-9, atol=1e-5)


def test_a_rows_prediction_does_not_depend_on_the_others():
    model = MLPClassifier(**QUICK).fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), np.vstack([model.predict_proba(row[None]) for row in X]))


@pytest.mark.parametrize("solver", SOLVERS)
def test_sparse_rows_are_not_made_dense(solver, monkeypatch):
    rng = np.random.default_rng(0)
    X = sparse.random_array((90, 400), density=0.03, format="csr", rng=rng)
    y = rng.integers(3, size=90)
    dense = MLPClassifier(**QUICK, solver=solver, early_stopping=solver != "lbfgs").fit(X.toarray(), y)
    expected = dense.predict_proba(X.toarray())
    with monkeypatch.context() as patch:
        for kind in (sparse.csr_array, sparse.csc_array):
            toarray = kind.toarray
            # scorers make labels dense
            patch.setattr(
                kind, "toarray", lambda self, f=toarray, **kw: pytest.fail("dense") if self.shape[1] == 400 else f(self, **kw)
            )
        model = MLPClassifier(**QUICK, solver=solver, early_stopping=solver != "lbfgs")
        model.fit(X.tocsc(), y, X_val=X[:20], y_val=y[:20]).fit(X, y)
        outputs = model.predict_proba(X)
        single = np.vstack([model.predict_proba(X[i : i + 1]) for i in range(90)])
        scored = MLPClassifier(**QUICK, solver=solver, scoring="roc_auc_ovr")
        scored.fit(X, y, X_val=X[:20], y_val=y[:20])
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_array_equal(single, outputs)
    np.testing.assert_array_equal(model.transform(X), model.transform(X.toarray()))
    np.testing.assert_array_equal(model.input_gradient(X[:5]), model.input_gradient(X[:5].toarray()))
    if solver != "lbfgs":
        dropped = [MLPClassifier(**QUICK, solver=solver, input_dropout=0.2).fit(rows, y) for rows in (X, X.toarray())]
        np.testing.assert_array_equal(dropped[0].coefs_[0], dropped[1].coefs_[0])


@pytest.mark.parametrize("dtype", [int, np.uint8, bool, float, str])
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_labels_of_every_type_are_encoded_as_by_scikit_learn(dtype, n_classes):
    labels = (np.arange(len(X)) % n_classes).astype(dtype)
    theirs, ours = (kind(**QUICK).fit(X, labels) for kind in (neural_network.MLPClassifier, MLPClassifier))
    for model in (theirs, ours):
        model.partial_fit(X[:30], labels[:30])
    assert ours.classes_.dtype == theirs.classes_.dtype
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    own, expected = vars(ours._label_binarizer), vars(theirs._label_binarizer)
    assert own.keys() == expected.keys()
    assert own["y_type_"] == expected["y_type_"]


# --- what scikit-learn is silent about -----------------------------------------------------------------------------------------

MASKED, DAY = np.ma.masked_array(X, X > 2), np.datetime64("2020-01-01")
BAD = {
    "masked X": (lambda cls: cls().fit(MASKED, Y), "X is a masked array"),
    "masked X to predict": (lambda cls: cls(**QUICK).fit(X, Y).predict(MASKED), "X is a masked array"),
    "masked y": (lambda cls: cls().fit(X, np.ma.masked_array(Y, Y > 1)), "y is a masked array"),
    "masked weights": (lambda cls: cls().fit(X, Y, np.ma.masked_array(Y, Y > 1)), "sample_weight is a masked array"),
    "dates": (
        lambda cls: cls().fit(np.full((3, 1), DAY), Y[:3]),
        "X must hold numbers, got dtype datetime64",
    ),
    "durations": (
        lambda cls: cls(**QUICK).fit(X, Y).predict(np.full((3, 4), DAY - DAY)),
        "X must hold numbers, got dtype timed",
    ),
    "negative weights": (lambda cls: cls().fit(X, Y, -np.ones(len(X))), "Negative values in data passed to `sample_weight`"),
    "1e300": (lambda cls: cls().fit(X * 1e300, Y), "may contain large values and need to be preprocessed"),
    "1e300 by lbfgs": (lambda cls: cls(solver="lbfgs").fit(X * 1e300, Y), "may contain large values and need to be preprocessed"),
    "1e200 later": (lambda cls: cls(**QUICK).fit(X, Y).partial_fit(X * 1e200, Y), "may contain large values"),
    "divergence": (lambda cls: cls(solver="sgd", learning_rate_init=1e6).fit(X, Y), "diverged.*learning.rate"),
    "divergence without penalty": (lambda cls: cls(solver="sgd", learning_rate_init=1e9, alpha=0).fit(X, Y), "diverged"),
    "half a unit": (lambda cls: cls(hidden_layer_sizes=(3.5,)).fit(X, Y), r"hidden_layer_sizes must hold integers, got \[3.5\]"),
    "too large for float32": (lambda cls: cls(dtype="float32").fit(X * 1e39, Y), "too large for dtype\\('float32'\\)"),
    "too large for float32 later": (
        lambda cls: cls(**QUICK, dtype="float32").fit(X, Y).predict(X * 1e39),
        "too large for dtype\\('float32'\\)",
    ),
    "precision": (lambda cls: cls(dtype=np.int32).fit(X, Y), "dtype must be None, 'float32' or 'float64'"),
    "activations": (lambda cls: cls(activation=["relu", "tanh"]).fit(X, Y), "one function for each of the 1 hidden layers, got 2"),
    "X_val alone": (lambda cls: cls().fit(X, Y, X_val=X), "X_val and y_val go together"),
    "columns of X_val": (lambda cls: cls().fit(X, Y, X_val=X[:, :2], y_val=Y), "X has 2 features, but .* is expecting 4"),
    "masked X_val": (lambda cls: cls().fit(X, Y, X_val=MASKED, y_val=Y), "X_val is a masked array"),
    "coefs_init": (lambda cls: cls().fit(X, Y, coefs_init=[np.ones((2, 3))]), "coefs_init must hold arrays of shapes"),
    "layer": (lambda cls: cls(**QUICK).fit(X, Y).transform(X, layer=1), "one of the 1 hidden layers, got 1"),
    "no layer": (lambda cls: cls(**QUICK | {"hidden_layer_sizes": ()}).fit(X, Y).transform(X), "the 0 hidden"),
    "scoring": (lambda cls: cls(scoring="fine").fit(X, Y), "scoring"),
}


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_clear_error(cls, case):
    work, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        work(cls)


def test_bad_targets_are_clear_errors():
    for loss, least in (("poisson", -1.0), ("gamma", 0.0)):
        with pytest.raises(ValueError, match=f"out of the valid range of the loss '{loss}'"):
            MLPRegressor(loss=loss).fit(X, np.full(len(X), least))
    with pytest.raises(ValueError, match="y has 1 outputs, but the network to go on with has 2"):
        MLPRegressor(**QUICK).fit(X, np.c_[Y, Y]).partial_fit(X, Y)
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
        MLPRegressor(solver="lbfgs").partial_fit(X, Y)
    with pytest.raises(ValueError, match="class_weight='balanced' is not known to partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


def test_masked_arrays_without_masked_values_are_arrays():
    expected = MLPClassifier(**QUICK).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(
        MLPClassifier(**QUICK).fit(np.ma.masked_array(X), Y).predict_proba(np.ma.masked_array(X)), expected
    )


def test_divergence_says_when_and_keeps_finite_weights():
    model = MLPRegressor(solver="sgd", learning_rate_init=1.0, random_state=0)
    with pytest.raises(fastbp.DivergenceError, match="Solver produced non-finite parameter weights") as caught:
        model.fit(X * 100, Y)
    assert np.isfinite(model.coefs_[0]).all()
    assert len(model.loss_curve_) == caught.value.epoch
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), fastbp.DivergenceError)


def test_divergence_in_early_stopping_keeps_the_best_weights():
    model = MLPRegressor(activation="identity", solver="sgd", learning_rate_init=1.0, early_stopping=True, random_state=0)
    with pytest.warns(UserWarning, match=r"Training diverged in epoch \d+: .*The weights of the best epoch are kept"):
        model.fit(X * 3, Y)
    assert np.isnan(model.validation_scores_[-1])
    assert len(model.validation_scores_) == model.n_iter_ == len(model.loss_curve_)
    assert np.isfinite(model.predict(X)).all()


def test_failures_leave_the_generator_and_the_model_usable():
    model = MLPClassifier(**QUICK).fit(X, Y)
    expected = model.predict_proba(X)
    for bad in (lambda: model.partial_fit(MASKED, Y), lambda: model.partial_fit(X, Y + 7), lambda: model.partial_fit(X[:, :2], Y)):
        with pytest.raises(ValueError, match=r"masked|classes not in|features"):
            bad()
    np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_without_the_check_for_finite_numbers_a_row_spoils_itself_only():
    model = MLPClassifier(**QUICK).fit(X, Y)
    expected, spoilt = model.predict_proba(X), X.copy()
    spoilt[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.predict_proba(spoilt)
    with config_context(assume_finite=True):
        for count in (1, len(X)):  # one row has a kernel of its own
            outputs = model.predict_proba(spoilt[3 : 3 + count] if count == 1 else spoilt)
            at = 0 if count == 1 else 3
            assert np.isnan(outputs[at]).all()
            np.testing.assert_array_equal(np.delete(outputs, at, axis=0), np.delete(expected, 3, axis=0)[: len(outputs) - 1])


def test_a_nan_is_not_taken_for_a_zero():
    rows, labels = np.eye(40), np.arange(40) % 2
    rows[3, 1] = np.nan
    with config_context(assume_finite=True), pytest.raises(fastbp.DivergenceError):
        MLPClassifier((40,), max_iter=2, random_state=0).fit(rows, labels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("batch_size", [10, 40])
def test_a_weight_that_is_not_finite_is_not_taken_for_zero(batch_size, solver, bad):
    rows, weights = np.random.default_rng(0).normal(size=(40, 3)), np.ones(40)
    weights[3] = bad
    with config_context(assume_finite=True), pytest.raises(ValueError, match="non-finite"):
        MLPClassifier((4,), solver=solver, batch_size=batch_size, max_iter=2).fit(rows, rows[:, 0] > 0, weights)


@pytest.mark.parametrize("line", range(6))
def test_threads_may_predict_by_a_model_that_has_just_been_loaded(line):
    fitted = MLPClassifier(**QUICK).fit(X, Y)
    model, expected, outputs, events = pickle.loads(pickle.dumps(fitted)), fitted.predict_proba(X), [], []

    def meanwhile(frame, event, _):
        """Another thread predicts before one of the lines by which the network is made again."""
        if frame.f_code.co_name != "_link":
            return None
        events.append(event)
        if len(events) == line + 1:
            with ThreadPoolExecutor(1) as pool:
                outputs.append(pool.submit(model.predict_proba, X).result())
        return meanwhile

    tracing = sys.gettrace()
    sys.settrace(meanwhile)
    try:
        outputs.append(model.predict_proba(X))
    finally:
        sys.settrace(tracing)
    for each in outputs:
        np.testing.assert_array_equal(each, expected)
    model.coefs_[0][:] = 0  # the network's own, whichever thread made it
    assert (model.predict_proba(X) != expected).any()


def test_samples_are_not_kept(monkeypatch):
    import gc
    import weakref

    class Kept(np.ndarray):
        pass

    for work in ("fit", "partial_fit"):
        rows = np.array(X).view(Kept)
        there = weakref.ref(rows)
        model = MLPRegressor(**QUICK)
        getattr(model, work)(rows, Y)
        del rows
        gc.collect()
        assert there() is None, work


def test_import_of_the_package_does_not_import_scikit_learn():
    code = "import sys, fastbp; assert 'sklearn' not in sys.modules; fastbp.MLPClassifier; assert 'sklearn' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- calls of partial_fit that scikit-learn's checks are spared ---------------------------------------------------------------


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"dropout": 0.2}, {"dtype": "float32"}, {"random_state": 5}], ids=str)
def test_partial_fit_by_arrays_is_partial_fit_by_lists(cls, solver, options):
    settings = {"hidden_layer_sizes": (9,), "solver": solver, "batch_size": 7, "random_state": 0, **options}
    by_arrays, by_lists = cls(**settings), cls(**settings)
    classes = {"classes": [0, 1, 2]} if cls is MLPClassifier else {}
    for start in range(3):
        rows, targets = X[start::6], Y[start::6]
        by_arrays.partial_fit(rows, targets, **classes)
        by_lists.partial_fit(rows.tolist(), targets.tolist(), **classes)
    for one, other in zip(by_arrays.coefs_, by_lists.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert by_arrays.loss_curve_ == by_lists.loss_curve_


def test_partial_fit_draws_from_a_generator_as_scikit_learn_does():
    ours, theirs = (
        cls((9,), batch_size=7, random_state=np.random.RandomState(3)) for cls in (MLPClassifier, neural_network.MLPClassifier)
    )
    for _ in range(3):
        for model in (ours, theirs):
            model.partial_fit(X[::6], Y[::6], classes=[0, 1, 2])
    assert (ours.random_state.get_state()[1] == theirs.random_state.get_state()[1]).all()


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_pickled_estimator_goes_on_to_the_same_bits(solver):
    model = MLPClassifier((9,), solver=solver, random_state=0).partial_fit(X[::6], Y[::6], classes=[0, 1, 2])
    other = pickle.loads(pickle.dumps(model))
    slots = model._optimizer.session.rule_state()[1]
    assert slots.any()
    np.testing.assert_array_equal(other._optimizer.state[1], slots)  # laid out as parameters are, not as this processor packs them
    for each in (model, other):
        each.partial_fit(X[1::6], Y[1::6])
    for one, another in zip(model.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize(
    ("rows", "targets", "message"),
    [
        (lambda: np.where(np.arange(4) == 1, np.nan, X[::6]), lambda: Y[::6], "contains NaN"),
        (lambda: X[::6], lambda: Y[:24], "inconsistent numbers of samples"),
        (lambda: X[::6, :3], lambda: Y[::6], "X has 3 features"),
        (lambda: X[::6], lambda: np.where(np.arange(25) == 3, 9, Y[::6]), "classes not in `self.classes_`"),
        (lambda: X[:0], lambda: Y[:0], "0 sample"),
        (lambda: X[::6], lambda: Y[::6] - 1, "has classes not in `self.classes_`"),
    ],
)
def test_partial_fit_still_looks_at_what_it_is_given(rows, targets, message):
    model = MLPClassifier((9,), random_state=0).partial_fit(X[::6], Y[::6], classes=[0, 1, 2])
    before = [array.copy() for array in model.coefs_]
    with pytest.raises(ValueError, match=message):
        model.partial_fit(rows(), targets())
    for one, other in zip(model.coefs_, before, strict=True):
        np.testing.assert_array_equal(one, other)
