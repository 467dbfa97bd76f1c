"""Estimators on streams: the bits of fits on arrays, and what a stream cannot do told in one sentence."""

import pickle
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stream_data import BATCH, CLASSES, WIDTH, N, Samples, Sliced, mapped, parts, rows, table

import fastbp
from fastbp import MLPClassifier, MLPRegressor, stream

KEPT = ("loss_curve_", "n_iter_", "t_", "best_loss_", "_no_improvement_count", "loss_")


@pytest.fixture(autouse=True)
def _quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
    assert [thread for thread in threading.enumerate() if thread.name == "fastbp-read-ahead"] == []


def make(kind=MLPClassifier, **options):
    return kind(**{"hidden_layer_sizes": (20,), "max_iter": 4, "random_state": 0, "batch_size": 16} | options)


def bits(estimator):
    return estimator._net().params


def assert_same(one, other):
    assert (bits(one) == bits(other)).all()
    for name in KEPT:
        assert getattr(one, name) == getattr(other, name), name
    assert one.history_.learning_rate == other.history_.learning_rate


OPTIONS = [
    {},
    {"shuffle": False},
    {"batch_size": "auto"},
    {"dropout": 0.2, "input_dropout": 0.1},
    {"solver": "sgd", "learning_rate": "invscaling"},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1, "max_iter": 9},
    {"learning_rate": "cosine", "l1": 0.01, "clip_norm": 1.0, "max_norm": 2.0},
    {"tol": 0.5, "n_iter_no_change": 2, "max_iter": 20},
]


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_bits_are_those_of_arrays_where_single_rows_are_drawn(tmp_path, options, kind):
    X, y = rows()
    y = y if kind is MLPClassifier else X[:, :2].astype("float64")
    expected = make(kind, **options).fit(X, y)
    for source in (stream(mapped(tmp_path, X), y, chunk_rows=1, block_rows=50), stream(Samples(X, y), block_rows=64, read_ahead=0)):
        assert_same(make(kind, **options).fit(source), expected)
    chunked = make(kind, **options).fit(stream(Sliced(X), y, block_rows=64, chunk_rows=5))
    assert (bits(chunked) == bits(expected)).all() == (options.get("shuffle") is False)
    assert chunked.n_features_in_ == WIDTH


def test_streams_of_every_kind(tmp_path):
    X, y = rows()
    expected = make(shuffle=False, dtype="float32").fit(X, y)
    columns = table(tmp_path, X, y)
    for source in (stream(parts(X, y)), stream([(X, y)]), stream(columns, target="y"), stream(Sliced(X), Sliced(y), block_rows=33)):
        found = make(shuffle=False, dtype="float32").fit(source)
        assert_same(found, expected)
        assert (found.classes_ == np.arange(CLASSES)).all()
        assert (found.predict(source) == expected.predict(X)).all()
        assert (found.predict_proba(source) == expected.predict_proba(X)).all()
        assert found.score(source) == expected.score(X, y)
    assert found.history_.loss is found.loss_curve_
    again = pickle.loads(pickle.dumps(found))
    assert (again.predict(X) == found.predict(X)).all()


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
def test_numbers_of_files_are_those_of_arrays(tmp_path, dtype):
    X, y = rows("uint8" if dtype == "uint8" else "float32")
    X = X.astype(dtype)
    for precision in (None, "float32"):
        expected = make(dtype=precision).fit(X, y)
        found = make(dtype=precision).fit(stream(mapped(tmp_path, X), y, chunk_rows=1, block_rows=50))
        assert_same(found, expected)
        assert (found.predict(stream(X, block_rows=50)) == expected.predict(X)).all()


LABELS = {
    "words": lambda y: np.array(["cat", "dog", "eel"])[y],
    "objects": lambda y: np.array(["cat", "dog", "eel"], object)[y],
    "two": lambda y: y == 1,
    "numbers far apart": lambda y: np.array([-5, 3, 900])[y],
    "floats": lambda y: y.astype(float),
    "one column": lambda y: y[:, None],
    "sets": lambda y: np.eye(3, dtype=int)[y],
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_any_kind(name):
    X, y = rows()
    y = LABELS[name](y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one column
        expected = make().fit(X, y)
    found = make().fit(stream(X, y, block_rows=50))
    assert_same(found, expected)
    assert (found.classes_ == expected.classes_).all()
    predicted = found.predict(stream(X, block_rows=50))
    assert (predicted == expected.predict(X)).all()
    assert predicted.dtype == expected.predict(X).dtype
    assert found.score(stream(X, y)) == expected.score(X, y)


def test_words_in_tables_and_names_of_columns(tmp_path):
    import pandas

    X, y = rows()
    words = np.array(["cat", "dog", "eel"])[y]
    folder = table(tmp_path, X, words)
    found = make(shuffle=False).fit(stream(folder, target="y"))
    assert found.classes_.tolist() == ["cat", "dog", "eel"]
    frame = pandas.DataFrame(X, columns=[f"x{k}" for k in range(WIDTH)])
    expected = make(shuffle=False).fit(frame, words)
    assert_same(found, expected)
    assert (found.feature_names_in_ == expected.feature_names_in_).all()
    assert (found.predict(frame) == expected.predict(frame)).all()
    inputs = stream(folder, columns=list(frame.columns))
    assert (found.predict(inputs) == expected.predict(frame)).all()
    with pytest.raises(ValueError, match="columns must be those of the fit"):
        found.predict(stream(folder, columns=list(frame.columns)[::-1]))
    with pytest.raises(ValueError, match=r"y \(rows .*parquet\) must hold numbers, got strings"):
        fastbp.Network([WIDTH, 3, 3], loss="cross_entropy").fit(stream(folder, target="y"), epochs=1)
    frame["y"] = pandas.Categorical(words)
    frame.to_parquet(tmp_path / "categories.parquet")
    again = make(shuffle=False).fit(stream(tmp_path / "categories.parquet", target="y"))
    assert_same(again, expected)


def test_weights_of_samples_and_classes():
    X, y = rows()
    w = np.random.default_rng(1).uniform(0.1, 2, N)
    y[y == 2] *= np.random.default_rng(2).integers(0, 2, (y == 2).sum())  # classes of several sizes
    for options in ({}, {"class_weight": "balanced"}, {"class_weight": {1: 3.0}}):
        expected = make(**options).fit(X, y, w)
        assert_same(make(**options).fit(stream(X, y, w, block_rows=50)), expected)
        assert (bits(make(**options).fit(X, y)) != bits(expected)).any()
    expected = make(class_weight="balanced").fit(X, y == 1)
    assert_same(make(class_weight="balanced").fit(stream(X, y == 1, block_rows=50)), expected)
    assert make().fit(stream(X, y, w)).score(stream(X, y, w)) == pytest.approx(
        expected.__class__.score(make().fit(X, y, w), X, y, w)
    )


def test_going_on(tmp_path):
    X, y = rows()
    source = stream(X, y, block_rows=50)
    one, other = make(warm_start=True), make(warm_start=True)
    for _ in range(2):
        one.fit(X, y)
        other.fit(source)
        assert_same(one, other)
    one, other, third = make(), make(), make(random_state=np.random.RandomState(3))
    for _ in range(3):
        one.partial_fit(X, y, classes=[0, 1, 2])
        other.partial_fit(source, classes=[0, 1, 2])
        third.partial_fit(source, classes=[0, 1, 2])
    assert_same(one, other)
    fourth = make(random_state=np.random.RandomState(3))
    for _ in range(3):
        fourth.partial_fit(X, y, classes=[0, 1, 2])
    assert_same(third, fourth)  # and the generator is where it would be
    assert third.random_state.randint(1 << 30) == fourth.random_state.randint(1 << 30)
    assert_same(make(MLPRegressor).partial_fit(stream(X, X[:, 0], block_rows=50)), make(MLPRegressor).partial_fit(X, X[:, 0]))
    found = make(max_iter=1).fit(stream(iter([(X, y)])), classes=[0, 1, 2])  # what is there once only
    assert found.n_iter_ == 1
    scaler = StandardScaler().fit(X)
    scaled = make(shuffle=False).fit(stream(lambda: ((scaler.transform(a), b) for a, b in parts(X, y)())))
    assert_same(scaled, make(shuffle=False).fit(scaler.transform(X), y))


def test_a_generator_is_where_the_epochs_that_are_complete_have_left_it():
    X, y = rows()
    one, other = np.random.RandomState(5), np.random.RandomState(5)
    options = {"tol": 10.0, "n_iter_no_change": 1, "max_iter": 50}
    make(random_state=one, **options).fit(X, y)
    make(random_state=other, **options).fit(stream(X, y, block_rows=50, read_ahead=3))
    assert one.randint(1 << 30) == other.randint(1 << 30)
    before = other.get_state()[1].copy()
    bad = X.copy()
    bad[3, 3] = np.nan
    with pytest.raises(ValueError, match="holds NaN"):
        make(random_state=other).fit(stream(bad, y))
    assert (other.get_state()[1] == before).all()


def test_early_stopping_by_arrays_and_by_streams(tmp_path):
    X, y = rows()
    held = X[:90], y[50:140]
    options = {"early_stopping": True, "n_iter_no_change": 1, "max_iter": 12, "learning_rate_init": 0.05}
    for kind, targets, of_held in ((MLPClassifier, y, held[1]), (MLPRegressor, X[:, :2], X[50:140, :2])):
        expected = make(kind, **options).fit(X, targets, X_val=held[0], y_val=of_held)
        for X_val, y_val in ((held[0], of_held), (stream(Sliced(held[0]), of_held, block_rows=40), None)):
            found = make(kind, **options).fit(stream(X, targets, block_rows=50), X_val=X_val, y_val=y_val)
            assert (bits(found) == bits(expected)).all()
            assert found.n_iter_ == expected.n_iter_ < 12
            assert found.validation_scores_ == pytest.approx(expected.validation_scores_, rel=1e-12)
            assert found.history_.validation_loss == pytest.approx(expected.history_.validation_loss, rel=N * 2.0**-23)
    of_array = make(**options).fit(X, y, X_val=stream(held[0], held[1]))
    assert (bits(of_array) == bits(make(**options).fit(X, y, X_val=held[0], y_val=held[1]))).all()


def test_memory_is_that_of_blocks(tmp_path):
    X, y = rows(n=40_000)
    path = mapped(tmp_path, X)

    def peak(block_rows):
        source = stream(path, y, block_rows=block_rows)
        tracemalloc.start()
        try:
            make(max_iter=2, hidden_layer_sizes=(4,)).fit(source).predict(source)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    block, rest = 4000 * (X[0].nbytes + 8), peak(400)
    rest = peak(400)  # now that everything is compiled
    assert peak(4000) < 3 * block + rest
    assert peak(40_000) > 3 * block + rest


def test_ensembles_predict_streams():
    X, y = rows()
    found = make(n_networks=3).fit(X, y)
    source = stream(Sliced(X), block_rows=50)
    assert (found.predict_proba(source) == found.predict_proba(X)).all()
    several = make(MLPRegressor, n_networks=3).fit(X, X[:, 0])
    assert (several.predict_std(source) == several.predict_std(X)).all()


# --- what is at fault --------------------------------------------------------------------------------------------------------

X, Y = rows()


@pytest.mark.parametrize(
    ("options", "given", "error", "message"),
    [
        ({"solver": "lbfgs"}, {}, ValueError, "solver='lbfgs' takes all samples at once, and no stream"),
        ({"n_networks": 2}, {}, ValueError, "n_networks above 1 needs arrays"),
        ({"early_stopping": True}, {}, ValueError, "early_stopping=True sets samples aside, which a stream does not: give X_val"),
        ({}, {"y": Y}, ValueError, "y must be left out for a stream"),
        ({}, {"sample_weight": np.ones(N)}, ValueError, "sample_weight must be left out for a stream"),
        ({"scoring": "accuracy"}, {"X_val": stream(X, Y)}, ValueError, "scoring needs arrays: leave it out"),
        ({}, {"X_val": stream(X, Y), "y_val": Y}, ValueError, "y_val must be left out: X_val is a stream"),
        ({}, {"X_val": stream(X, Y + 5)}, ValueError, r"X_val: y \(row 0 of X\) has classes not in `classes_`, \[0 1 2\]: \[\d\]"),
        ({}, {"classes": [0, 1]}, ValueError, r"y \(rows? .* of X\) has classes not in `classes_`, \[0 1\]: \[2\]"),
        ({"class_weight": "balanced"}, {"classes": [0, 1]}, ValueError, "`y` has classes not in"),
        ({"class_weight": {5: 2.0}}, {}, ValueError, r"The classes, \[0, 1, 2\], are not in class_weight"),
        ({"class_weight": {5: 2.0}}, {"classes": [0, 1, 2]}, ValueError, r"The classes, \[0, 1, 2\], are not in class_weight"),
        ({"class_weight": [{0: 2.0}]}, {}, ValueError, "The 'class_weight' parameter|are not in class_weight"),
        ({}, {"classes": [0, None]}, ValueError, "classes holds missing labels"),
        ({}, {"classes": [0, "a"]}, ValueError, "classes holds labels of several types"),
        ({}, {"classes": "012"}, ValueError, "classes holds what cannot be used: Expected array-like"),
        ({}, {"classes": [[0, 1, 2]]}, ValueError, "classes holds what cannot be used: Unknown label type"),
        ({}, {"classes": stream(X, Y)}, TypeError, "classes is a stream"),
        ({}, {"X_val": stream(X)}, ValueError, r"X_val: y must be given with X \(row 0 of X\)"),
    ],
)
def test_what_a_stream_does_not_do_is_told_before_anything_is_changed(options, given, error, message):
    model = make(**options)
    before = set(vars(model))
    with pytest.raises(error, match=message):
        model.fit(stream(X, Y), **given)
    assert set(vars(model)) - before <= {"_turn"}
    make().fit(stream(X, Y))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(np.arange(N) == 70, np.nan, Y), r"y \(rows 0 to 202 of y\) holds NaN or infinity"),
        (np.linspace(0, 1, N), "Unknown label type: continuous"),
        (np.where(np.arange(N) == 70, None, Y.astype(object)), r"y \(rows 0 to 202 of y\) holds missing labels"),
        (np.array(["2001-01-01"] * N, "datetime64[D]"), r"y \(rows 0 to 202 of y\) must hold numbers, got dtype datetime64"),
        (np.where(np.arange(N)[:, None] == 70, 0.5, np.eye(3)[Y]), r"of several columns must hold 0 and 1"),
        (np.column_stack([Y, Y]), r"y \(row.* of X\) of several columns must hold 0 and 1"),
        (Y.astype("S1"), r"y \(rows 0 to 202 of y\) must hold words or numbers, and not objects of type bytes_: .* dataset.asstr"),
        (Y.astype("S1").astype(object), r"y \(rows 0 to 202 of y\) must hold words or numbers, and not objects of type bytes:"),
        (Y.astype(object), r"y \(rows 0 to 202 of y\) must hold words or numbers, and not objects of type int:"),
        (Y + 0j, r"y \(rows 0 to 202 of y\) must hold words or numbers, and not objects of type complex128"),
        (np.empty((N, 0)), r"y \(row 0 of X\) must have one column at least, got shape \(1, 0\)"),
    ],
)
def test_labels_that_are_none(y, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        model.fit(stream(X, y))
    assert not hasattr(model, "classes_")


def test_parts_that_do_not_fit_leave_the_last_finite_weights():
    late = [(X[:100], Y[:100]), (X[100:], np.where(np.arange(103) == 9, 7, Y[100:]))]
    model = make()
    with pytest.raises(ValueError, match=r"y \(part 1 of list\) has classes not in `classes_`, \[0 1 2\]: \[7\]"):
        model.fit(stream(late, block_rows=32), classes=[0, 1, 2])
    assert np.isfinite(bits(model)).all()
    other = make().fit(X, Y)
    before = bits(other).copy()
    for bad, message in (
        ([(X[:, :39], Y)], "X has 39 features, but MLPClassifier is expecting 40"),
        ([(X, Y[:50])], r"y \(part 0 of list\) must have one label a sample"),
    ):
        with pytest.raises(ValueError, match=message):
            other.partial_fit(stream(bad))
    assert (bits(other) == before).all()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        make().partial_fit(stream(X, Y))
    once = stream(iter([(X, Y)]))
    with pytest.raises(ValueError, match=r"X is an iterator \(list_.*\), .* classes are not looked for in it: give classes="):
        make().fit(once)
    assert make(max_iter=1).fit(once, classes=[0, 1, 2]).n_iter_ == 1  # nothing of it was lost
    with pytest.raises(ValueError, match=r"X is an iterator \(list_iterator\), which is at its end after one epoch: give a list"):
        make().fit(stream(iter([(X, Y)])), classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"X \(row 0 of X\) must be two-dimensional, of one column at least, got shape \(1, 0\)"):
        make().fit(stream(X[:, :0], Y))
    with pytest.raises(ValueError, match=r"y must be given with X \(row 0 of X\)"):
        other.score(stream(X))
    sets = stream(X, np.eye(3, dtype=int)[Y])
    with pytest.raises(ValueError, match="classes of sets of labels are the numbers of their columns, 0 to 2"):
        make().partial_fit(sets, classes=[0, 1, 2, 3])
    assert (make().partial_fit(sets, classes=[0, 1, 2]).classes_ == np.arange(3)).all()
    with pytest.raises(ValueError, match="classes must be left out: those of arrays are found in y"):
        make().fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"learning_rate='cosine' needs the number of rows"):
        make(learning_rate="cosine").fit(stream(parts(X, Y)))
    with pytest.raises(ValueError, match=r"words in some of its parts and numbers in others"):
        make().fit(stream([(X, Y), (X, Y.astype(str))]))
    with pytest.raises(ValueError, match="y must be given with X"):
        make().fit(stream(X))
    with pytest.raises(ValueError, match=r"rows 0 to 202 of the stream: X has 39 features"):
        other.predict(stream(X[:, :39]))
    with pytest.raises(ValueError, match="y and sample_weight must be left out"):
        other.score(stream(X, Y), Y)
    with pytest.raises(TypeError, match="X is a stream, which is not taken here"):
        fastbp.TabularClassifier().fit(stream(X, Y), Y)


def test_weights_that_are_all_zero_are_told_as_such():
    for kind, y in ((MLPClassifier, Y), (MLPRegressor, X[:, 0])):
        model = make(kind)
        with pytest.raises(ValueError, match="sample_weight must not be all zero in an epoch"):
            model.fit(stream(X, y, np.zeros(N), block_rows=50))
        assert (model.n_iter_, model.t_, model.loss_curve_) == (0, 0, [])
        assert np.isfinite(bits(model)).all()


@pytest.mark.parametrize(("class_weight", "weights"), [("balanced", np.arange(N) > 100), ({0: 0.0}, np.ones(N))])
def test_blocks_in_which_nothing_weighs(class_weight, weights):
    order = np.argsort(Y, kind="stable")  # whole blocks are of one class
    X_sorted, y_sorted = X[order], Y[order]
    options = {"class_weight": class_weight, "shuffle": False}
    expected = make(**options).fit(X_sorted, y_sorted, weights * 1.0)
    assert_same(make(**options).fit(stream(X_sorted, y_sorted, weights * 1.0, block_rows=16)), expected)
    with pytest.raises(ValueError, match="class_weight and sample_weight leave no sample a weight"):
        make(class_weight={0: 0.0, 1: 0.0, 2: 0.0}).fit(stream(X, Y, block_rows=16))


def test_one_class_is_always_predicted():
    for label in ("only", 3, True):
        y = np.full(N, label)
        model = make(max_iter=1).fit(stream(X, y))
        model.intercepts_[-1][:] = 9  # the output is not 0
        assert (model.predict(stream(X)) == y).all()
        assert model.score(stream(X, y)) == model.score(X, y) == 1


def test_classes_that_are_given_count_beside_balanced_weights():
    model = make(class_weight="balanced")
    model.fit(stream(X, Y), classes=[0, 1, 2, 7])
    assert model.classes_.tolist() == [0, 1, 2, 7]
    assert model.predict_proba(X).shape == (N, 4)


def test_columns_of_another_order_are_told_wherever_a_stream_is_given(tmp_path):
    folder, names = table(tmp_path, X, Y), [f"x{k}" for k in range(WIDTH)]
    backwards = {"columns": names[::-1], "target": "y"}
    model = make().fit(stream(folder, target="y"))
    for call in (
        lambda: model.predict(stream(folder, **backwards)),
        lambda: model.score(stream(folder, **backwards)),
        lambda: model.partial_fit(stream(folder, **backwards)),
        lambda: make().fit(stream(folder, target="y"), X_val=stream(folder, **backwards)),
    ):
        with pytest.raises(ValueError, match=r"columns must be those of the fit.*'x0', 'x1', .* got \['x39', 'x38'"):
            call()
    import pandas

    frame = pandas.DataFrame(X, columns=names)
    assert make().fit(stream(frame, Y)).score(stream(folder, target="y")) == make().fit(frame, Y).score(frame, Y)
    with pytest.raises(ValueError, match="columns must be those of the fit"):
        make().fit(frame, Y).score(stream(folder, **backwards))
    in_parts, other = [(frame, Y)], [(frame[names[::-1]], Y)]
    for kind, y in ((MLPClassifier, Y), (MLPRegressor, X[:, 0])):
        model = make(kind).fit(stream([(frame, y)]))
        assert model.feature_names_in_.tolist() == names
        assert (model.predict(stream(in_parts)) == model.predict(frame)).all()
        for call in (
            model.predict,
            model.score,
            model.partial_fit,
            lambda data, kind=kind, y=y: make(kind).fit(frame, y, X_val=data),
        ):
            with pytest.raises(ValueError, match=r"columns (of X \(part 0 of list\) )?must be those of the fit, .* got \['x39'"):
                call(stream(other))


def test_a_stream_is_no_array_for_who_takes_arrays_only():
    for call in (
        lambda: make_pipeline(StandardScaler(), make()).fit(stream(X, Y), Y),
        lambda: GridSearchCV(make(), {"alpha": [0, 1]}).fit(stream(X, Y), Y),
        lambda: stream(X, stream(X, Y)),
    ):
        with pytest.raises(TypeError, match="a stream is no array: give X and y themselves"):
            call()


def test_divergence_ends_a_fit_as_on_arrays():
    for options in ({"learning_rate_init": 1e30}, {"learning_rate_init": 1e5, "activation": "identity"}):
        for data in ((X * 100, Y), (stream(X * 100, Y, block_rows=50),)):
            model = make(solver="sgd", momentum=0, **options)
            with pytest.raises(fastbp.DivergenceError, match=r"(?i)training diverged"):
                model.fit(*data)
            assert np.isfinite(bits(model)).all()


def test_a_divergence_is_judged_by_the_rows_of_a_mini_batch_at_least():
    options = {"solver": "sgd", "momentum": 0, "learning_rate_init": 10.0, "activation": "identity", "max_iter": 1}
    told = []
    for block_rows in (BATCH, 1):  # the first row alone says little of the others
        with pytest.raises(fastbp.DivergenceError, match=r"the loss was .* at first and is") as caught:
            make(**options).fit(stream(X, Y, block_rows=block_rows))
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_what_is_there_once_is_not_looked_at_again_after_a_fit():
    options = {"solver": "sgd", "momentum": 0, "learning_rate_init": 10.0, "activation": "identity", "max_iter": 1}
    with pytest.raises(fastbp.DivergenceError, match=r"the loss was .* at first and is"):
        make(**options).fit(stream([(X, Y)]))
    model = make(**options).fit(stream(iter([(X, Y)])), classes=[0, 1, 2])
    assert model.loss_ > 1e6
    assert np.isfinite(bits(model)).all()


def test_ctrl_c_leaves_whole_steps_and_a_warning():
    import _thread

    def loader():
        yield X, Y
        begun.append(0)
        if len(begun) == 3:  # the classes are found by the first pass
            _thread.interrupt_main()
            threading.Event().wait(0.3)

    begun, model = [], make(max_iter=9)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(stream(loader, block_rows=50, read_ahead=0))
    assert model.history_.stopped_by == "interrupt"
    assert model.n_iter_ == 1
    assert np.isfinite(bits(model)).all()
