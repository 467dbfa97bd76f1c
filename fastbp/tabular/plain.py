"""Tables as they come, as DataFrames of pandas whose columns are numbers, booleans, dates, categories or objects that are text.

What pandas and Polars have beyond these becomes one of them: nullable and Arrow's types, durations (seconds), periods (their
beginnings), decimals, and objects that are numbers or dates throughout. What is none of them is an error that names the column.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.files.tables import MARKERS, TRUTH, category_of, truth

NOTHING = MARKERS | {"", "?", "none", "..."}  # words that mean that a value is missing; skrub takes them for that, too
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
DATES = ("datetime", "datetime64", "date")
DURATIONS = ("timedelta", "timedelta64")


def is_table(X: Any) -> bool:
    """Whether X is a DataFrame, of pandas or Polars, or of a class of its own that is one."""
    return any(cls.__name__ == "DataFrame" for cls in type(X).__mro__) and hasattr(X, "columns") and hasattr(X, "__getitem__")


def as_array(X: Any) -> Any:
    """X that is no table, with the values of lists as they are: NumPy makes strings of numbers next to strings."""
    if type(X).__name__ == "LazyFrame":
        raise TypeError("X is a LazyFrame: pass X.collect()")
    return np.asarray(X, object) if isinstance(X, list | tuple) and np.asarray(X, object).ndim == 2 else X


def plain_table(X: Any) -> Any:
    """A DataFrame, or an array (n_samples, n_features), as a DataFrame of pandas of plain columns.

    Raises
    ------
    TypeError
        If a column holds what is neither numbers, dates nor text.
    """
    from pandas import DataFrame, Series

    if not is_table(X):
        return DataFrame({f"x{i}": _plain(f"x{i}", Series(column)) for i, column in enumerate(X.T)})
    names = [str(name) for name in X.columns]
    return DataFrame({name: _plain(name, _series(name, X, place)) for place, name in enumerate(names)}, index=range(len(X)))


def _series(name: str, X: Any, place: int) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[:, place].reset_index(drop=True)
    try:
        return X.to_series(place).to_pandas()
    except Exception as error:  # Polars', Arrow's
        raise _unusable(name, f"is of type {X.to_series(place).dtype}") from error


def _unusable(name: str, what: str) -> TypeError:
    return TypeError(f"column {name!r} of X {what}: make it numbers, dates or text, or drop it")


def _plain(name: str, column: Any) -> Any:
    import pandas as pd

    if isinstance(column.dtype, pd.SparseDtype):
        column = column.sparse.to_dense()
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    kind = getattr(column.dtype, "kind", "O")
    if kind == "c":
        raise _unusable(name, "holds complex numbers")
    if isinstance(column.dtype, pd.CategoricalDtype | pd.DatetimeTZDtype) or (
        isinstance(column.dtype, np.dtype) and kind in "biufM"
    ):
        return column
    missing = column.isna()
    values = column.astype(object).where(~missing, None)
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found == "empty":
        return pd.Series(np.nan, column.index)
    try:
        if found in NUMBERS:
            return pd.Series([np.nan if value is None else _float(value) for value in values], column.index)
        if found in DATES:
            return pd.to_datetime(values)
        if found in DURATIONS:
            return pd.to_timedelta(values).dt.total_seconds()
        if found == "period":
            return pd.Series(pd.PeriodIndex(values).to_timestamp(), column.index)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"column {name!r} of X cannot be read as {found}: {error}") from error
    if found in ("string", "boolean"):
        return values
    for value in values[~missing]:
        if isinstance(value, complex) or not pd.api.types.is_hashable(value):
            raise _unusable(name, f"holds values of type {type(value).__name__}")
    return values.where(missing, values.map(str)).where(~missing, None)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number that no float holds
        return float("inf") if value > 0 else -float("inf")


def as_in_fit(name: str, kind: str, column: Any) -> Any:
    """A plain column as one of the kind that it was in the fit: "number", "date", or else text, where dates may be text still.

    Raises
    ------
    ValueError
        If it holds what is not of this kind.
    """
    import pandas as pd

    missing, is_date = column.isna(), pd.api.types.is_datetime64_any_dtype(column.dtype)
    if kind not in ("number", "date"):
        values = column.astype(object).where(~missing, None)
        return values.where(missing, values.map(str))
    if missing.all():
        return pd.Series(np.nan if kind == "number" else pd.NaT, column.index)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = _plain(name, column.astype(object))
    is_text = column.dtype.kind == "O"
    if kind == "date":
        if not (is_date or is_text):
            raise ValueError(f"column {name!r} of X held dates in the fit, but holds numbers now")
        return column
    if is_date:
        raise ValueError(f"column {name!r} of X held numbers in the fit, but holds dates now")
    numbers = pd.to_numeric(column, errors="coerce") if is_text else column
    _refuse_words(name, "numbers", column, numbers)
    return numbers.astype(np.float64)


def refuse_unread_dates(name: str, column: Any, dates: Any) -> None:
    """Raise if something in a column is no date that could be read."""
    _refuse_words(name, "dates", column, dates)


def _refuse_words(name: str, what: str, column: Any, read: Any) -> None:
    lost = column[(read.isna() & ~column.isna()).to_numpy()]
    words = [word for word in lost if str(word).strip() not in NOTHING]
    if words:
        raise ValueError(f"column {name!r} of X held {what} in the fit, but holds {words[0]!r} now")


def as_texts(column: Any) -> Any:
    """Categories as strings, and NaN where one is missing."""
    values = column.astype(object)
    return values.map(str).where(~column.isna(), np.nan).to_numpy(object)


def as_known(texts: Any, categories: Any) -> Any:
    """Categories as the fit had them: 1 may be 1.0 now, where a value of the column is missing, and True 1."""
    known = {each for each in categories if isinstance(each, str)}
    is_truth = {truth(each) for each in known} <= TRUTH.keys()
    spellings = {form: each for each in known for form in (truth(each), *("10"[truth(each) == "false"]))} if is_truth else {}

    def known_form(text: Any) -> Any:
        if text in known or not isinstance(text, str):
            return text
        return spellings.get(truth(text).removesuffix(".0"), text) if is_truth else category_of(text, known)

    forms = {text: known_form(text) for text in set(texts[[isinstance(text, str) for text in texts]])}
    return np.array([forms.get(text, text) if isinstance(text, str) else text for text in texts], object)
