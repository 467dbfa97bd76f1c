"""Estimators on collections of Dask, by its threads: against the estimators on arrays, and what they say of data at fault."""

import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

import fastbp
from fastbp import DivergenceError

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")

from partitions import UNEQUAL, classes, params_of, samples, split  # noqa: E402

from fastbp.dask import MLPClassifier, MLPRegressor, _graph, _objective, _part  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def close(model, other, bound):
    """Whether two fits ended at the same parameters, and reported the same."""
    np.testing.assert_allclose(params_of(model), params_of(other), rtol=0, atol=bound)
    assert model.loss_ == pytest.approx(other.loss_, rel=bound)
    assert model.n_iter_ == other.n_iter_


# --- all samples at once -----------------------------------------------------------------------------------------------------

# iterations; conjugate gradients make 1e-10 of rounding in one step, as they do of samples in another order
ALL = [("lbfgs", 12, 1e-8), ("lm", 12, 1e-8), ("gauss-newton-cg", 2, 1e-8)]


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("solver", "max_iter", "bound"), ALL)
def test_regressions_end_where_those_on_arrays_do(solver, max_iter, bound, is_weighted):
    X, y, weights = samples()
    given = {
        "hidden_layer_sizes": (6,),
        "activation": "tanh",
        "solver": solver,
        "max_iter": max_iter,
        "random_state": 0,
        "alpha": 0.3,
    }
    y = np.stack([y, np.sin(y)], axis=1) if solver == "lbfgs" else y
    dX, dy, dw = split(X, y, weights)
    model = MLPRegressor(**given).fit(dX, dy, dw if is_weighted else None)
    other = fastbp.MLPRegressor(**given).fit(X, y, weights if is_weighted else None)
    close(model, other, bound)
    assert model.score(dX, dy, dw) == pytest.approx(other.score(X, y, weights))
    assert not np.allclose(params_of(other), params_of(fastbp.MLPRegressor(**given | {"alpha": 0.0}).fit(X, y)), atol=bound)


@pytest.mark.parametrize("kind", [int, str, bool, "sets"])
def test_classifications_end_where_those_on_arrays_do(kind):
    X, y, weights = classes()
    if kind == "sets":
        y = np.eye(3, dtype=int)[y] | np.eye(3, dtype=int)[(y + 1) % 3] * (X[:, :1] > 0)
    elif kind is bool:
        y = y > 0
    else:
        y = y.astype(kind)
    given = {"hidden_layer_sizes": (6,), "solver": "lbfgs", "max_iter": 12, "random_state": 0}
    dX, dy, dw = split(X, y, weights)
    model, other = MLPClassifier(**given).fit(dX, dy, dw), fastbp.MLPClassifier(**given).fit(X, y, weights)
    close(model, other, 1e-8)
    np.testing.assert_array_equal(model.classes_, other.classes_)
    assert model.out_activation_ == other.out_activation_
    assert model.score(dX, dy) == other.score(X, y)
    np.testing.assert_array_equal(model.predict(dX).compute(), other.predict(X))
    np.testing.assert_allclose(model.predict_proba(dX).compute(), other.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(model.predict_log_proba(dX).compute(), other.predict_log_proba(X), atol=1e-6)


def test_single_precision():
    X, y, _ = samples("float32")
    dX, dy = split(X, y)
    given = {"hidden_layer_sizes": (6,), "activation": "tanh", "max_iter": 5, "random_state": 0}
    for solver in ("lbfgs", "lm"):
        model = MLPRegressor(solver=solver, dtype="float32", **given).fit(dX, dy)
        other = fastbp.MLPRegressor(solver=solver, dtype="float32", **given).fit(X, y)
        assert model.coefs_[0].dtype == other.coefs_[0].dtype
        assert model.loss_ == pytest.approx(other.loss_, rel=1e-3)
        assert model.predict(dX).dtype == other.predict(X).dtype == model.predict(dX).compute().dtype


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 0.0, 2: 5.0}])
def test_weights_of_classes(class_weight):
    X, y, weights = classes()
    X, y, weights = (each[np.argsort(y, kind="stable")] for each in (X, y, weights))  # partitions of one class
    given = {"hidden_layer_sizes": (6,), "solver": "lbfgs", "max_iter": 9, "random_state": 0, "class_weight": class_weight}
    dX, dy, dw = split(X, y, weights, chunks=(60, 60, 60, 60, 60))
    close(MLPClassifier(**given).fit(dX, dy, dw), fastbp.MLPClassifier(**given).fit(X, y, weights), 1e-8)


def test_weights_of_any_size():
    X, y, weights = samples()
    given = {"hidden_layer_sizes": (6,), "solver": "lbfgs", "max_iter": 9, "random_state": 0, "alpha": 0.0}
    weights[:70] = 0
    dX, dy, dw = split(X, y, weights)
    expected = fastbp.MLPRegressor(**given).fit(X, y, weights)
    for factor in (1.0, 1e-200, 1e200):
        close(MLPRegressor(**given).fit(dX, dy, dw * factor), expected, 1e-8)


def test_sums_are_of_neighbours_two_by_two():
    parts = [(0.1 * k, np.full(2, 0.7 / (k + 1))) for k in range(7)]
    (a, b, c, d, e, f, g), _ = zip(*parts, strict=True)
    found = _graph.total([_graph.task(lambda part: part, part) for part in parts])
    assert found[0] == ((a + b) + (c + d)) + ((e + f) + g)
    assert found[1][0] != sum(part[1][0] for part in parts)  # an order that can be told from others


def test_settings_of_dask_are_as_they_were_after_fits_side_by_side():
    pytest.importorskip("distributed")
    name, (first, second, done) = "distributed.admin.large-graph-warning-threshold", (Event() for _ in range(3))
    before, seen = dask.config.get(name), []

    def begin():
        first.set()
        assert second.wait(60)

    def end():
        second.set()
        assert done.wait(60)
        seen.append(dask.config.get(name))

    with dask.config.set(scheduler="synchronous"), ThreadPoolExecutor(2) as pool:
        earlier = pool.submit(_graph.results, [_graph.task(begin)])
        assert first.wait(60)
        later = pool.submit(_graph.results, [_graph.task(end)])
        earlier.result(60)
        done.set()
        later.result(60)
    assert seen == [_graph.LARGE]
    assert dask.config.get(name) == before != _graph.LARGE


def test_the_bits_depend_on_the_partitions_and_on_nothing_else():
    X, y, _ = samples()
    given = {"hidden_layer_sizes": (6,), "solver": "lbfgs", "max_iter": 9, "random_state": 0}
    found = []
    for scheduler, n_threads in (("threads", None), ("synchronous", None), ("threads", 2)):
        with dask.config.set(scheduler=scheduler):
            found.append(params_of(MLPRegressor(n_threads=n_threads, **given).fit(*split(X, y))).tobytes())
    assert len(set(found)) == 1
    assert params_of(MLPRegressor(**given).fit(*split(X, y, chunks=(150, 150)))).tobytes() != found[0]


def test_a_penalty_is_part_of_what_is_followed():
    """Value and gradient agree by finite differences."""
    X, y, _ = samples()
    net, made = fastbp.Network([5, 4, 1], dtype="float64", rng=0), []
    for rows in (slice(0, 100), slice(100, 300)):
        data = fastbp.estimators._training_data.TrainingData.make(net, X[rows], y[rows, None], None)
        made.append(_part.Part(data, net, 1))
    problem = _objective.Partitioned(net, [_graph.shared(part) for part in made], [100.0, 200.0])
    problem.set_penalty(0.7)
    theta = net.params.copy()
    _, gradient = problem(theta)
    for k in range(0, theta.size, 5):
        step = np.zeros(theta.size)
        step[k] = 1e-6
        assert gradient[k] == pytest.approx((problem(theta + step)[0] - problem(theta - step)[0]) / 2e-6, rel=1e-5, abs=1e-7)


# --- mini-batches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.0, 1e-200])
@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop", "adamw"])
def test_one_partition_is_an_array(solver, factor):
    X, y, weights = classes()
    weights *= factor
    given = {"hidden_layer_sizes": (6,), "solver": solver, "max_iter": 4, "random_state": 0, "shuffle": False, "batch_size": 100}
    given["alpha"] = 0.1 * (1.0 if solver == "adamw" else factor)
    other = fastbp.MLPClassifier(**given).fit(X, y, weights)
    for updates in ("local", "synchronous"):
        model = MLPClassifier(**given, updates=updates).fit(*split(X, y, weights, chunks=(300,)))
        np.testing.assert_allclose(params_of(model), params_of(other), rtol=0, atol=1e-13)
        np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-13)
        assert params_of(model).tobytes() == params_of(other).tobytes() or updates == "synchronous"
        assert (model.n_iter_, model.t_) == (other.n_iter_, other.t_)


@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop", "adamw", "momentum"])
def test_steps_of_all_samples_are_those_on_arrays(solver):
    X, y, weights = classes()
    given = {"hidden_layer_sizes": (6,), "solver": solver, "max_iter": 5, "random_state": 0, "batch_size": 300, "alpha": 0.3}
    model = MLPClassifier(**given, updates="synchronous").fit(*split(X, y, weights))
    other = fastbp.MLPClassifier(**given).fit(X, y, weights)
    np.testing.assert_allclose(params_of(model), params_of(other), rtol=0, atol=1e-9)
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-9)


def test_local_epochs_are_averaged_by_the_rows():
    X, y, _ = samples()
    given = {"hidden_layer_sizes": (6,), "solver": "sgd", "momentum": 0.0, "random_state": 0, "shuffle": False, "batch_size": 50}
    model = MLPRegressor(**given, max_iter=1, local_epochs=3, alpha=0.2).fit(*split(X, y, chunks=(100, 200)))
    each = [fastbp.MLPRegressor(**given, max_iter=3, alpha=0.2).fit(X[rows], y[rows]) for rows in (slice(0, 100), slice(100, 300))]
    np.testing.assert_allclose(params_of(model), (params_of(each[0]) + 2 * params_of(each[1])) / 3, rtol=0, atol=1e-13)
    assert model.loss_ == pytest.approx((np.mean(each[0].loss_curve_) + 2 * np.mean(each[1].loss_curve_)) / 3)


@pytest.mark.parametrize("updates", ["local", "synchronous"])
def test_digits_are_learnt(updates):
    X, y = load_digits(return_X_y=True)
    X, held, y, known = X[:1400] / 16, X[1400:] / 16, y[:1400], y[1400:]
    given = {"hidden_layer_sizes": (40,), "random_state": 0, "learning_rate_init": 0.01, "batch_size": 100, "updates": updates}
    model = MLPClassifier(**given, max_iter=30).fit(*split(X, y, chunks=(300, 500, 600)))
    plain = fastbp.MLPClassifier(**model.local().get_params()).fit(X, y)
    assert model.score(held, known) > plain.score(held, known) - 0.02
    assert model.score(X, y) > 0.99
    with dask.config.set(scheduler="synchronous"):
        again = MLPClassifier(**given, max_iter=30).fit(*split(X, y, chunks=(300, 500, 600)))
    assert params_of(again).tobytes() == params_of(model).tobytes()
    other = MLPClassifier(**given | {"random_state": 1}, max_iter=30).fit(*split(X, y, chunks=(300, 500, 600)))
    assert params_of(other).tobytes() != params_of(model).tobytes()


def test_regularisation_of_common_steps_is_that_on_arrays():
    X, y, weights = classes()
    given = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0, "batch_size": 300, "alpha": 0.3}
    for more in ({"l1": 0.1}, {"clip_norm": 0.05}, {"clip_value": 0.01}, {"max_norm": 1.0}):
        model = MLPClassifier(**given, **more, updates="synchronous").fit(*split(X, y, weights))
        other = fastbp.MLPClassifier(**given, **more).fit(X, y, weights)
        np.testing.assert_allclose(params_of(model), params_of(other), rtol=0, atol=1e-9)
        np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-9)
        assert not np.allclose(params_of(model), params_of(fastbp.MLPClassifier(**given).fit(X, y, weights)), atol=1e-6)


def test_regularisation_is_that_of_the_kernels():
    X, y, _ = samples()
    given = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "shuffle": False, "batch_size": 100}
    more = {"l1": 0.1, "clip_norm": 0.5, "max_norm": 1.0, "learning_rate": "cosine"}
    model = MLPRegressor(**given, **more).fit(*split(X, y, chunks=(300,)))
    plain = params_of(MLPRegressor(**given).fit(*split(X, y, chunks=(300,))))
    for name, value in more.items():
        assert params_of(MLPRegressor(**given, **{name: value}).fit(*split(X, y, chunks=(300,)))).tobytes() != plain.tobytes(), name
    assert np.linalg.norm(model.coefs_[0], axis=0).max() <= 1 + 1e-12
    dropped = MLPRegressor(**given, dropout=0.5).fit(*split(X, y))
    assert params_of(dropped).tobytes() == params_of(MLPRegressor(**given, dropout=0.5).fit(*split(X, y))).tobytes()


def test_training_stops_by_the_loss_and_by_validation_data():
    X, y, _ = classes()
    given = {"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 300, "learning_rate_init": 0.05}
    stopped = MLPClassifier(**given, tol=1e-2, n_iter_no_change=2).fit(*split(X, y))
    assert stopped.n_iter_ < 300
    best = MLPClassifier(**given, early_stopping=True, n_iter_no_change=3).fit(*split(X, y), X_val=X[:100], y_val=y[:100])
    assert best.n_iter_ < 300
    assert best.score(X[:100], y[:100]) == best.best_validation_score_ == max(best.validation_scores_)
    watched = MLPClassifier((6,), solver="lbfgs", max_iter=4, random_state=0).fit(*split(X, y), X_val=X[:100], y_val=y[:100])
    assert len(watched.history_.validation_score) == 4


def test_a_fit_that_diverges_says_so():
    X, y, _ = samples()
    for updates in ("local", "synchronous"):
        model = MLPRegressor(solver="sgd", learning_rate_init=1e9, random_state=0, updates=updates, max_iter=9)
        with pytest.raises(DivergenceError, match="Training diverged"):
            model.fit(*split(X, y))
        assert np.isfinite(params_of(model)).all()


# --- what there is after a fit -----------------------------------------------------------------------------------------------


def test_a_fit_goes_on_and_is_taken_elsewhere():
    X, y, _ = classes()
    model = MLPClassifier((6,), solver="lbfgs", max_iter=3, random_state=0, warm_start=True).fit(*split(X, y))
    first = model.loss_
    assert model.fit(*split(X, y)).loss_ < first
    plain, same = model.local(), pickle.loads(pickle.dumps(model))
    assert type(plain) is fastbp.MLPClassifier
    np.testing.assert_array_equal(plain.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(same.predict_proba(X), model.predict_proba(X))
    plain.coefs_[0][:] = 0
    assert model.coefs_[0].any()
    assert clone(model).get_params() == model.get_params()
    assert {"updates", "local_epochs"} == model.get_params().keys() - plain.get_params().keys()
    begun = MLPClassifier((6,), solver="lbfgs", max_iter=1).fit(
        *split(X, y), coefs_init=model.coefs_, intercepts_init=model.intercepts_
    )
    assert begun.loss_ <= model.loss_
    on = MLPClassifier((6,), random_state=0, max_iter=2).fit(*split(X, y)).local()
    assert on.partial_fit(X, y).n_iter_ == 1
    assert on._optimizer.kept(on._net())[0][5] < 0.9**3  # Adam's powers go on where the averages are


def test_predictions_wait_until_they_are_asked_for():
    X, y, _ = classes(kind=str)
    model = MLPClassifier((6,), solver="lbfgs", max_iter=3, random_state=0).fit(*split(X, y))
    seen = []

    def look(block):
        seen.append(len(block))
        return block

    watched = split(X)[0].map_blocks(look, meta=np.empty((0, 0)))
    labels, probabilities = model.predict(watched), model.predict_proba(watched)
    assert not seen
    assert (labels.chunks, probabilities.chunks) == ((UNEQUAL,), (UNEQUAL, (3,)))
    assert (labels.dtype, probabilities.dtype) == (model.classes_.dtype, np.float64)
    np.testing.assert_array_equal(labels.compute(), model.local().predict(X))
    assert sorted(seen) == sorted(UNEQUAL)
    assert (labels._meta.dtype, labels._meta.ndim, probabilities._meta.ndim) == (labels.dtype, 1, 2)
    columns = watched.rechunk({1: 2})
    np.testing.assert_array_equal(model.predict(columns).compute(), model.predict(X))
    none = da.concatenate([split(X)[0][:70], split(X)[0][:0], split(X)[0][70:]])
    np.testing.assert_array_equal(model.predict(none[X[:, 0] > 9]).compute(), [])


def frame(X, y, n=4):
    table = pd.DataFrame(X, columns=list("abcde")).assign(label=y)
    table.index = np.arange(len(X)) * 3
    return dd.from_pandas(table, npartitions=n), table


@pytest.mark.parametrize("kind", [int, str])
def test_data_frames(kind):
    X, y, _ = classes(kind=kind)
    frames, table = frame(X, y)
    frames = frames[frames.a > -1]  # partitions of unknown lengths
    table = table[table.a > -1]
    model = MLPClassifier((6,), solver="lbfgs", max_iter=9, random_state=0).fit(frames[list("abcde")], frames.label)
    other = fastbp.MLPClassifier((6,), solver="lbfgs", max_iter=9, random_state=0).fit(table[list("abcde")], table.label)
    close(model, other, 1e-7)
    assert model.feature_names_in_.tolist() == list("abcde")
    found, probabilities = model.predict(frames[list("abcde")]), model.predict_proba(frames[list("abcde")])
    assert isinstance(found, dd.Series)
    assert isinstance(probabilities, dd.DataFrame)
    assert found.dtype == found.compute().dtype
    np.testing.assert_array_equal(found.compute(), other.predict(table[list("abcde")]))
    assert found.compute().index.equals(table.index)
    assert probabilities.columns.tolist() == model.classes_.tolist() == probabilities.compute().columns.tolist()
    assert model.score(frames[list("abcde")], frames.label) == other.score(table[list("abcde")], table.label)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frames[list("abced")])


def test_several_outputs_of_frames():
    X, y, _ = samples()
    frames, table = frame(X, y)
    frames["twice"] = 2 * frames.label
    model = MLPRegressor(hidden_layer_sizes=(6,), solver="lbfgs", max_iter=9, random_state=0)
    model.fit(frames[list("abcde")], frames[["label", "twice"]])
    assert model.predict(frames[list("abcde")]).compute().shape == (300, 2)
    pairs = np.stack([table.label, 2 * table.label], axis=1)
    assert model.score(frames[list("abcde")], frames[["label", "twice"]]) == pytest.approx(model.score(table[list("abcde")], pairs))


def test_partitions_without_rows_are_left_out():
    X, y, _ = classes()
    dX, dy = split(X, y, chunks=(100, 0, 200, 0))
    given = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0}
    for more in ({"solver": "lbfgs"}, {"updates": "local"}, {"updates": "synchronous"}):
        model = MLPClassifier(**given, **more).fit(dX, dy)
        same = MLPClassifier(**given, **more).fit(*split(X, y, chunks=(100, 200)))
        assert params_of(model).tobytes() == params_of(same).tobytes()
        assert model.score(dX, dy) == same.score(X, y)


# --- what is refused ---------------------------------------------------------------------------------------------------------


def with_block(collection, k, function):
    """A collection of which partition k is something else."""
    blocks = list(collection.to_delayed().ravel())
    blocks[k] = dask.delayed(function)(blocks[k])
    shape = (np.nan, *collection.shape[1:])
    return da.concatenate([da.from_delayed(each, shape, dtype=collection.dtype) for each in blocks])


def to_nan(block):
    block = block.copy()
    block[3, 1] = np.nan
    return block


PLACES = [re.escape(f"partition {k} (rows {rows})") for k, rows in enumerate(("0 to 69", "70 to 70", "71 to 200", "201 to 299"))]
AT_FAULT = {
    "width": (
        lambda X, y, w: (with_block(X, 2, lambda x: x[:, :4]), y),
        r"{2} has 4 columns of X, but.* 5",
    ),
    "dtype": (
        lambda X, y, w: (with_block(X, 1, lambda x: x.astype("f4")), y),
        r"{1} .*float32, but.*float64",
    ),
    "NaN": (lambda X, y, w: (with_block(X, 3, to_nan), y), r"{3} .*X contains NaN"),
    "rows": (lambda X, y, w: (X, with_block(y, 2, lambda y: y[:-1])), r"{2} .*130 of X, 129 of y"),
    "chunks": (lambda X, y, w: (X, y.rechunk((100, 200))), r"4 of X, 3 of y"),
    "boundaries": (lambda X, y, w: (X, y.rechunk(((71, 1, 129, 99),))), r"{0} .*70 of X, 71 of y"),
    "empty": (lambda X, y, w: (X[:0], y[:0]), r"X has no rows: all of its 1 partitions are empty"),
    "words": (
        lambda X, y, w: (X, with_block(y, 2, lambda y: y.astype(str))),
        r"{2} has labels as \['0'",
    ),
    "missing": (
        lambda X, y, w: (X, with_block(y.astype(object), 1, lambda y: np.array([None]))),
        r"{1}.*missing labels",
    ),
    "weights": (lambda X, y, w: (X, y, with_block(w, 0, lambda w: -w)), r"{0}.*sample_weight must not be negative"),
    "no weight": (lambda X, y, w: (X, y, 0 * w), r"sample_weight must not be all zero"),
    "large": (lambda X, y, w: (with_block(X, 2, lambda x: x * 1e300), y), r"{2}.*whose square is not a finite"),
    "array": (
        lambda X, y, w: (np.asarray(X), y),
        r"X must be an array or DataFrame of Dask, got numpy.ndarray: .*fastbp.MLPClassifier",
    ),
    "stream": (lambda X, y, w: (fastbp.stream(np.asarray(X), np.asarray(y)), None), r"X must be an array or.* got fastbp\.\w+"),
    "array y": (lambda X, y, w: (X, np.asarray(y)), r"y must be an array or DataFrame of Dask, got numpy.ndarray"),
    "no y": (lambda X, y, w: (X, None), r"y must be an array or DataFrame of Dask, got builtins.NoneType"),
    "later": (lambda X, y, w: (dask.delayed(np.asarray(X)), y), r"X must be an array or DataFrame of Dask, got dask.Delayed"),
    "sparse": (lambda X, y, w: (with_block(X, 2, csr_array), y), r"partition 2 holds a sparse matrix of X: make it dense"),
    "numbers": (lambda X, y, w: (X, y + 0.5), r"{0} .*y holds 0.5, which is a number and no class: take MLPRegressor"),
    "sets": (lambda X, y, w: (X, da.stack([y, y], axis=1).rechunk({1: -1})), r"{0} .*y of several columns must hold 0 and 1"),
    "one dimension": (lambda X, y, w: (y, y), r"X must have two dimensions, got 1"),
}


@pytest.mark.parametrize("name", AT_FAULT)
def test_data_at_fault_are_named_and_nothing_changes(name):
    make, message = AT_FAULT[name]
    message = message.format(*PLACES)
    X, y, weights = classes()
    model = MLPClassifier((6,), solver="lbfgs", max_iter=3, random_state=0)
    for _ in range(2):  # before the first fit, and after one
        before = vars(model).copy()
        with pytest.raises((ValueError, TypeError), match=message):
            model.fit(*make(*split(X, y, weights)))
        assert vars(model) | {"_turn": None} == before | {"_turn": None}
        model.fit(*split(X, y))


def test_classes_that_are_given():
    X, y, _ = classes()
    model = MLPClassifier((6,), solver="lbfgs", max_iter=3, random_state=0).fit(*split(X, y), classes=[0, 1, 2, 7])
    assert model.classes_.tolist() == [0, 1, 2, 7]
    assert model.predict_proba(split(X)[0]).shape == (300, 4)
    dX, dy = split(X, np.where(np.arange(300) == 80, 9, y))
    with pytest.raises(
        ValueError, match=re.escape("partition 2 (rows 71 to 200) has labels [9] in y that are not among classes=[0, 1, 2]")
    ):
        model.fit(dX, dy, classes=[0, 1, 2])
    assert model.classes_.tolist() == [0, 1, 2, 7]


def test_columns_of_a_frame_that_are_no_numbers():
    X, y, _ = classes()
    frames, _ = frame(X, y)
    frames["a"] = "word"
    frames["c"] = frames.c.gt(0).astype(str).astype("category")
    frames["d"] = frames.d.gt(0).astype(int).astype("category")  # which are
    message = r"partition 0 \(rows 0 to \d+\) .*X has columns that are no numbers: 'a' \(\w+\), 'c' \(category\); encode them"
    with pytest.raises(ValueError, match=message):
        MLPClassifier(solver="lbfgs").fit(frames[list("abcde")], frames.label)
    twice = frames[list("bbe")]
    with pytest.raises(ValueError, match=r"partition 0 \(rows 0 to \d+\) .*unique column names"):
        MLPClassifier(solver="lbfgs").fit(twice, frames.label)


def test_targets_out_of_the_range_of_the_loss():
    X, y, _ = samples()
    dX, dy = split(X, np.where(np.arange(300) == 250, -1.0, np.abs(y)))
    with pytest.raises(ValueError, match=rf"{PLACES[3]} .*out of the valid range of the loss 'poisson'"):
        MLPRegressor("poisson", solver="lbfgs").fit(dX, dy)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_networks": 3}, "n_networks must be 1"),
        ({"early_stopping": True}, "early_stopping=True needs X_val"),
        ({"updates": "other"}, "'updates' parameter"),
        ({"local_epochs": 0}, "'local_epochs' parameter"),
        ({"updates": "synchronous", "local_epochs": 2}, "local_epochs=2 needs updates='local'"),
        ({"updates": "synchronous", "dropout": 0.5}, "dropout=0.5 needs updates='local'"),
        ({"solver": "lm", "l1": 0.5}, "l1=0.5 needs a solver"),
    ],
)
def test_parameters_at_fault(given, message):
    X, y, _ = samples()
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**given).fit(*split(X, y))


def test_before_a_fit():
    X, y, _ = samples()
    for call in (lambda m: m.predict(split(X)[0]), lambda m: m.local(), lambda m: m.score(*split(X, y))):
        with pytest.raises(NotFittedError):
            call(MLPRegressor())
    model = MLPRegressor(solver="lbfgs", max_iter=1).fit(*split(X, y))
    with pytest.raises(ValueError, match="X has 4 features, but MLPRegressor is expecting 5"):
        model.predict(split(X)[0][:, :4])
    with pytest.raises(AttributeError, match="partial_fit"):
        MLPClassifier().partial_fit  # noqa: B018
