"""Tables of `TabularClassifier` and `TabularRegressor`: whatever pandas, Polars and NumPy hold, and how it may change."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
from mixed_table import QUICK, table
from sklearn.datasets import load_wine

from fastbp import TabularClassifier, TabularRegressor
from fastbp.tabular.columns import Columns


def forms_of(base):
    """Columns of other types that hold the same as a column of plain ones; None where that is missing."""
    numbers = [None if missing else float(value) for value, missing in zip(base, base.isna(), strict=True)]
    whole = [None if value is None else int(value) for value in numbers]
    days = [None if value is None else datetime.datetime(2020, 1, 1) + datetime.timedelta(days=value) for value in whole]
    of_arrow = {
        each: pd.array(whole, dtype=pd.ArrowDtype(each)) for each in (pa.int64(), pa.float64(), pa.decimal128(9, 2), pa.int8())
    }
    return {
        "number": [
            pd.array(whole, "Int64"),
            pd.array(numbers, "Float64"),
            pd.Series(numbers, dtype=object),
            pd.Series(whole, dtype=object),
            pd.Series([value if value is None else decimal.Decimal(value) for value in whole], dtype=object),
            pd.to_timedelta(numbers, unit="s"),
            pd.Series([value if value is None else datetime.timedelta(seconds=value) for value in whole], dtype=object),
            pd.arrays.SparseArray(base.to_numpy()),
            *of_arrow.values(),
            polars.Series(whole, dtype=polars.Int16),
            polars.Series([value if value is None else datetime.timedelta(seconds=value) for value in whole]),
            polars.Series([value if value is None else decimal.Decimal(value) for value in whole]),
        ],
        "date": [
            pd.to_datetime(pd.Series(days)),
            pd.Series(days, dtype=object),
            pd.Series([day if day is None else day.date() for day in days], dtype=object),
            pd.PeriodIndex(pd.to_datetime(pd.Series(days)), freq="D"),
            pd.array(days, dtype=pd.ArrowDtype(pa.timestamp("us"))),
            pd.array([day if day is None else day.date() for day in days], dtype=pd.ArrowDtype(pa.date32())),
            pd.Series([None if day is None else day.strftime("%Y-%m-%d") for day in days]),
            polars.Series(days),
            polars.Series([day if day is None else day.date() for day in days]),
        ],
        "category": [
            pd.Series([None if value is None else f"{value % 5}x" for value in whole], dtype=kind)
            for kind in (object, "string", "string[pyarrow]", "str", "category")
        ]
        + [
            polars.Series([None if value is None else f"{value % 5}x" for value in whole], dtype=kind)
            for kind in (polars.String, polars.Categorical, polars.Enum([f"{k}x" for k in range(7)]))
        ],
        "truth": [
            pd.Series([None if value is None else value % 2 == 0 for value in whole], dtype=kind)
            for kind in (object, "boolean", "bool[pyarrow]")
        ]
        + [polars.Series([None if value is None else value % 2 == 0 for value in whole])],
    }


@pytest.mark.parametrize("kind", ["number", "date", "category", "truth"])
@pytest.mark.parametrize("some_missing", [True, False])
def test_columns_of_any_type_are_what_they_hold(kind, some_missing):
    base = pd.Series(np.arange(60.0)).where(np.arange(60) % (7 if some_missing else 100) != 3)
    other = np.random.default_rng(0).normal(size=60)
    found = []
    for column in forms_of(base)[kind]:
        frame = (polars if isinstance(column, polars.Series) else pd).DataFrame({"x": column, "other": other})
        columns = Columns(True, True, 0)
        found.append(columns.fit_transform(frame))
        assert columns.kinds["x"] == ("category" if kind == "truth" else kind), column.dtype
        assert columns.transform(frame).tobytes() == found[-1].tobytes(), column.dtype
        assert found[-1].tobytes() == found[0].tobytes(), column.dtype


@pytest.mark.parametrize(
    "values",
    [[[1, 2]] * 30, [{"a": 1}] * 30, [{1}] * 30, [np.arange(2)] * 30, np.arange(30) + 1j, [1j, "a"] * 15],
    ids=lambda values: type(values[0]).__name__,
)
def test_what_is_no_single_value_is_refused_by_the_name_of_its_column(values):
    frame = pd.DataFrame({"x": np.arange(30.0)}).assign(odd=pd.Series(list(values)))
    with pytest.raises(TypeError, match=r"column 'odd' of X holds .*: make it numbers, dates or text, or drop it"):
        TabularClassifier(QUICK).fit(frame, np.arange(30) % 2)


def test_lists_are_read_as_what_they_hold():
    model = TabularClassifier(QUICK, random_state=0).fit([[1.5, "a"], [2.5, "b"], [3.5, None]] * 20, [0, 1, 1] * 20)
    assert list(model.columns_.kinds.values()) == ["number", "category"]


def test_masked_values_are_not_learnt_from_in_silence():
    X, y = load_wine(return_X_y=True)
    with pytest.raises(ValueError, match="X is a masked array"):
        TabularClassifier(QUICK).fit(np.ma.masked_less(X, 1), y)
    for kind in (TabularClassifier, TabularRegressor):
        with pytest.raises(ValueError, match="y is a masked array"):
            kind(QUICK).fit(X, np.ma.masked_equal(y, 1))


def test_a_table_to_predict_may_come_in_other_types():
    frame, classes, _ = table()
    frame = frame[["size", "count", "town", "paid", "day"]].assign(code=pd.Categorical(np.arange(240) % 6))
    model = TabularClassifier(QUICK, random_state=0).fit(frame, classes)
    expected = model.predict_proba(frame).tobytes()
    for changed in (
        {"size": frame["size"].astype(object), "count": frame["count"].astype(str)},
        {"paid": frame["paid"].astype(int)},
        {"paid": frame["paid"].astype(float)},
        {"paid": frame["paid"].astype(str).str.lower()},
        {"code": frame["code"].astype(float)},
        {"code": frame["code"].astype(str)},
        {"town": frame["town"].astype("category"), "day": frame["day"].astype(str)},
    ):
        assert model.predict_proba(frame.assign(**changed)).tobytes() == expected, list(changed)
    assert model.predict_proba(polars.from_pandas(frame.astype({"code": str}))).tobytes() == expected
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert model.predict_proba(frame.to_numpy()).tobytes() == expected
    for nothing in (np.nan, None, pd.NA, pd.NaT):
        assert np.isfinite(model.predict_proba(pd.DataFrame(nothing, frame.index, frame.columns))).all()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", "large", "column 'size' of X held numbers in the fit, but holds 'large' now"),
        ("size", pd.Timestamp("2020-01-01"), "column 'size' of X held numbers in the fit, but holds dates now"),
        ("day", "someday", "column 'day' of X held dates in the fit, but holds 'someday' now"),
        ("day", 3, "column 'day' of X held dates in the fit, but holds numbers now"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_what_is_of_another_kind_than_in_the_fit_is_refused(name, value, message, as_text):
    frame, classes, _ = table()
    frame = frame[["size", "day"]]
    model = TabularClassifier(QUICK, random_state=0).fit(frame.assign(day=frame["day"].astype(str)) if as_text else frame, classes)
    with pytest.raises(ValueError, match=message):
        model.predict(frame.assign(**{name: value}))


def test_text_that_is_missing_or_numbers_in_a_table_to_predict():
    frame = pd.DataFrame({"said": [f"some words, number {i}" for i in range(300)], "x": np.arange(300.0)})
    model = TabularClassifier(QUICK, random_state=0).fit(frame, np.arange(300) % 2)
    assert model.columns_.kinds["said"] == "text"
    for value in (np.nan, None, 3, 1.5, ""):
        assert np.isfinite(model.predict_proba(frame.assign(said=value))).all()


def test_tables_of_classes_of_their_own_keep_their_names():
    class Mine(pd.DataFrame):
        pass

    frame, classes, _ = table()
    assert set(TabularClassifier(QUICK).fit(Mine(frame), classes).columns_.kinds) == {*frame.columns}
    with pytest.raises(TypeError, match=r"X is a LazyFrame: pass X\.collect\(\)"):
        TabularClassifier(QUICK).fit(polars.LazyFrame({"a": [1.0, 2.0]}), [0, 1])


def test_names_that_are_no_strings_are_left_out_as_strings():
    frame = pd.DataFrame({2020: np.arange(30.0), 2021: 1.0})
    assert TabularClassifier(QUICK).fit(frame, np.arange(30) % 2).columns_.kinds == {"2020": "number", "2021": "left out"}


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
def test_classes_that_are_missing_or_of_several_types_are_told(nothing):
    X = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match="y holds NaN or nothing in 10 rows"):
        TabularClassifier(QUICK).fit(X, np.array(["a", "b", nothing] * 10, object))
    with pytest.raises(TypeError, match="y holds classes of several types, int, str"):
        TabularClassifier(QUICK).fit(X, np.array(["a", 1] * 15, object))
