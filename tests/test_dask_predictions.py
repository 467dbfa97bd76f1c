"""Predictions and scores of collections of Dask: their dtypes, and what they say of data at fault, beside those of arrays."""

import re

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import UndefinedMetricWarning

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")

from partitions import classes, samples, split  # noqa: E402

from fastbp.dask import MLPClassifier, MLPRegressor, _blocks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

GIVEN = {"hidden_layer_sizes": (6,), "solver": "lbfgs", "max_iter": 3, "random_state": 0}


def regressor(y=None):
    X, target, _ = samples()
    return MLPRegressor(**GIVEN).fit(*split(X, target if y is None else y))


def classifier(y=None):
    X, labels, _ = classes()
    return MLPClassifier(**GIVEN).fit(*split(X, labels if y is None else y))


# --- dtypes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Int64", "Float32", "boolean", "double[pyarrow]", "category", "float32", "bool"])
def test_predictions_of_columns_that_pandas_has_types_of_its_own_for(kind):
    if "pyarrow" in kind:
        pytest.importorskip("pyarrow")
    X, y, _ = classes()
    whole = (X > 0) if kind in ("boolean", "bool") else np.round(X)
    table = pd.DataFrame(whole, columns=list("abcde")).astype({"a": "float32", "b": kind, "e": kind})
    frames = dd.from_pandas(table, npartitions=3)
    labels = dd.from_pandas(pd.Series(y), npartitions=3)
    model = MLPClassifier((6,), max_iter=2, random_state=0).fit(frames, labels)
    found, expected = model.predict_proba(frames), model.local().predict_proba(table)
    np.testing.assert_array_equal(found.compute(), expected)
    assert set(found.dtypes) == set(found.compute().dtypes) == {expected.dtype}
    assert model.score(frames, labels) == model.local().score(table, y)


def test_predictions_of_objects_are_numbers():
    X, _, _ = samples()
    found = regressor().predict(split(X.astype(object))[0])
    assert found.dtype == found.compute().dtype == np.float64


def test_predictions_of_sparse_blocks_and_of_blocks_of_unknown_width():
    X, _, _ = samples()
    model = regressor()
    expected = model.local().predict(X)
    np.testing.assert_allclose(model.predict(split(X)[0].map_blocks(csr_array)).compute(), expected)
    unknown = da.from_delayed(dask.delayed(X), (np.nan, np.nan), dtype=X.dtype)
    np.testing.assert_array_equal(model.predict(unknown).compute(), expected)
    with pytest.raises(ValueError, match="X has 4 features"):
        model.predict(da.from_delayed(dask.delayed(X[:, :4]), (np.nan, np.nan), dtype=X.dtype)).compute()


@pytest.mark.parametrize("method", ["predict", "score"])
def test_what_is_no_table_is_said_to_be_none(method):
    X, y, _ = samples()
    model, more = regressor(), () if method == "predict" else split(y)
    for value, kind in ((dask.delayed(X), TypeError), (split(y)[0], ValueError), (da.zeros((4, 5, 2)), ValueError)):
        with pytest.raises(kind, match="X must "):
            getattr(model, method)(value, *more)


def test_columns_that_are_in_another_order_than_dask_says():
    X, y, _ = samples()
    table = pd.DataFrame(X, columns=list("becda")).assign(y=y, x=-y)
    frames = dd.from_pandas(table, npartitions=3)
    inputs = frames[list("becda")] - frames[list("becda")].mean()
    inner = list(inputs.to_delayed(optimize_graph=False)[0].compute().columns)
    if inner == list(inputs.columns):
        pytest.skip("this Dask says how they are")
    model, means = MLPRegressor(**GIVEN), table[list("becda")].mean()
    for targets in (frames.y, frames[["y", "x"]] - frames[["y", "x"]].mean()):
        model.fit(inputs, targets)
        assert model.feature_names_in_.tolist() == list(inputs.columns) == list("abcde")
        expected = model.local().predict((table[list("becda")] - means)[list("abcde")])
        np.testing.assert_allclose(model.predict(inputs).compute(), expected)
        wanted = targets.compute()
        wanted = wanted[list(targets.columns)] if targets.ndim == 2 else wanted
        assert model.score(inputs, targets) == pytest.approx(model.local().score(inputs.compute()[list("abcde")], wanted))


# --- scores ------------------------------------------------------------------------------------------------------------------


def where(value, y, kind=object):
    """y with a value that is in partition 3."""
    y = y.astype(kind)
    y[250] = value
    return y


REGRESSIONS = {
    "NaN": (lambda y, w: (where(np.nan, y, float), w), "partition 3 .*y contains NaN"),
    "words": (lambda y, w: (y.astype(str), w), "partition [0-3] .*y must hold numbers, got strings"),
    "complex": (lambda y, w: (y.astype(complex), w), "partition [0-3] .*Complex data"),
    "masked": (lambda y, w: (np.ma.masked_array(y, y > 2), w), "partition [0-3] .*y is a masked array"),
    "columns": (lambda y, w: (np.stack([y, y], axis=1), w), "partition [0-3] .*y has 2 columns, but predictions have 1"),
    "weights of NaN": (lambda y, w: (y, where(np.nan, w, float)), "partition 3 .*sample_weight holds NaN"),
    "negative weights": (lambda y, w: (y, where(-1, w, float)), "partition 3 .*sample_weight must not be negative"),
    "no weights": (lambda y, w: (y, 0 * w), "sample_weight must not be all zero"),
}
CLASSIFICATIONS = {
    "None": (lambda y, w: (where(None, y), w), "partition 3 .*y holds missing labels"),
    "NaN": (lambda y, w: (where(np.nan, y, float), w), "partition 3 .*y contains NaN"),
    "words": (lambda y, w: (y.astype(str), w), "partition [0-3] .*Mix of label input types|partition [0-3] .*y_true"),
    "numbers": (lambda y, w: (y + 0.5, w), "partition [0-3] .*mix of continuous and"),
    "dates": (lambda y, w: (y.astype("M8[D]"), w), "partition [0-3] .*y must hold numbers"),
    "sets": (lambda y, w: (np.eye(3, dtype=int)[y], w), "partition [0-3] .*y has 3 columns, but predictions have 1"),
    "weights of NaN": (lambda y, w: (y, where(np.nan, w, float)), "partition 3 .*sample_weight holds NaN"),
    "no weights": (lambda y, w: (y, 0 * w), "sample_weight must not be all zero"),
}


CASES = [
    *(pytest.param(regressor, samples, *case, id=name) for name, case in REGRESSIONS.items()),
    *(pytest.param(classifier, classes, *case, id=f"classes: {name}") for name, case in CLASSIFICATIONS.items()),
]


@pytest.mark.parametrize(("fitted", "data", "make", "message"), CASES)
def test_scores_of_data_at_fault_are_errors_that_name_the_partition(fitted, data, make, message):
    X, y, weights = data()
    y, weights = make(y, weights)
    model = fitted()
    with pytest.raises((ValueError, TypeError)), np.errstate(invalid="ignore"):
        model.local().score(X, y, weights) if not (weights < 0).any() else model.local().fit(X, y, weights)
    with pytest.raises((ValueError, TypeError), match=message):
        model.score(*split(X, y, weights))


def test_scores_take_what_those_of_arrays_take():
    X, y, weights = samples()
    model = regressor()
    weights[:70] = 0  # a partition of no weight
    for targets in (y[:, None], y.astype(object), y > 0, y.astype("f4")):
        expected = model.local().score(X, targets, weights)
        assert model.score(*split(X, targets, weights)) == pytest.approx(expected)
    X, labels, _ = classes()
    model = classifier()
    for targets in (labels[:, None], labels.astype(float), labels + 5):
        assert model.score(*split(X, targets, weights)) == pytest.approx(model.local().score(X, targets, weights))


def test_scores_of_one_row_and_of_none():
    X, y, _ = samples()
    dX, dy = split(X, y)
    with pytest.warns(UndefinedMetricWarning, match="less than two samples"):
        assert np.isnan(regressor().score(dX[70:71], dy[70:71]))
    for model in (regressor(), classifier()):
        with pytest.raises(ValueError, match="X has no rows: all of its partitions are empty"):
            model.score(dX[:0], dy[:0])


# --- partitions of the same rows ---------------------------------------------------------------------------------------------


def shuffled_within(series):
    return series.map_partitions(lambda part: part.sample(frac=1, random_state=0))


def test_rows_in_another_order_by_their_index_are_refused():
    X, y, weights = samples()
    frames = dd.from_pandas(pd.DataFrame(X, columns=list("abcde")).assign(y=y, w=weights), npartitions=4)
    inputs, model = frames[list("abcde")], MLPRegressor(**GIVEN)
    message = r"partition 0 \(rows 0 to \d+\) .*{} has the rows of X, by their index, in another order"
    with pytest.raises(ValueError, match=message.format("y")):
        model.fit(inputs, shuffled_within(frames.y))
    with pytest.raises(ValueError, match=message.format("sample_weight")):
        model.fit(inputs, frames.y, shuffled_within(frames.w))
    model.fit(inputs, frames.y, frames.w)
    with pytest.raises(ValueError, match=r"partition \d .*y has the rows of X, by their index, in another order"):
        model.score(inputs, shuffled_within(frames.y))
    model.fit(inputs, shuffled_within(frames.y).to_dask_array())  # as they stand
    model.fit(inputs, frames.y.map_partitions(lambda part: part.reset_index(drop=True)))  # another index says nothing


def test_any_two_indexes_can_be_compared():
    pairs = pd.MultiIndex.from_product([[0, 1], list("ab")])
    days = pd.date_range("2020", periods=4)
    others = [pd.RangeIndex(4), pd.Index(list("abcd")), pd.interval_range(0, 4), days.tz_localize("UTC")]
    for own in (pairs, days):
        X = pd.DataFrame({"a": range(4)}, own)
        for index in (own, *others):
            _blocks.refuse_other_order({"X": X, "y": pd.Series(range(4), index)})
        with pytest.raises(ValueError, match="in another order"):
            _blocks.refuse_other_order({"X": X, "y": pd.Series(range(4), own[::-1])})


def of_arrays():
    X, y, _ = samples(n=600)
    draw = dask.delayed(lambda: np.random.default_rng().permutation(np.column_stack([X, y])))
    blocks = [da.from_delayed(draw(), (600, 6), dtype=float) for _ in range(2)]
    both = da.concatenate(blocks)
    return both[:, :5], both[:, 5]


def of_frames():
    X, y, _ = samples(n=1200)
    both = dd.from_pandas(pd.DataFrame(X, columns=list("abcde")).assign(y=y), npartitions=2)
    both = both.map_partitions(lambda part: part.sample(frac=0.5))
    return both[list("abcde")], both.y


@pytest.mark.parametrize("make", [of_arrays, of_frames])
def test_what_gives_both_X_and_y_is_computed_once(make):
    """Else rows that are drawn anew each time would be those of others: no fit of them is any good."""
    model = MLPRegressor(**GIVEN | {"max_iter": 100}).fit(*make())
    assert model.score(*make()) > 0.9


# --- parameters --------------------------------------------------------------------------------------------------------------


def test_weights_of_classes_that_there_are_not():
    X, y, _ = classes()
    model = MLPClassifier(**GIVEN, class_weight={"a": 2.0})
    with pytest.raises(ValueError, match=re.escape("The classes, [0, 1, 2], are not in class_weight")):
        model.fit(*split(X, y))
    with pytest.raises(ValueError, match="sample_weight, times class_weight, must not be all zero"):
        model.set_params(class_weight={0: 0.0, 1: 0.0, 2: 0.0}).fit(*split(X, y))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, "classes must be a list of all labels, got 5"),
        ({0, 1, 2}, "classes must be a list of all labels, got {0, 1, 2}"),
        ([[0, 1, 2]], "classes must be a list of all labels"),
        ([0, 1, 2, np.nan], "classes contains NaN"),
        ([0, 1, 2, None], "classes holds missing labels"),
    ],
)
def test_classes_at_fault(given, message):
    X, y, _ = classes()
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**GIVEN).fit(*split(X, y), classes=given)


@pytest.mark.parametrize("given", [{"local_epochs": 2}, {"dropout": 0.5}])
def test_parameters_are_looked_at_before_the_partitions(given):
    X, y, _ = samples()
    seen = []

    def look(block):
        seen.append(len(block))
        return block

    watched = split(X)[0].map_blocks(look, meta=np.empty((0, 0)))
    with pytest.raises(ValueError, match="needs updates='local'"):
        MLPRegressor(updates="synchronous", **given).fit(watched, split(y)[0])
    assert not seen
    MLPRegressor(max_iter=1).fit(watched, split(y)[0])
    assert seen
