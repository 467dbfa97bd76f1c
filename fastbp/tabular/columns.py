"""From a table to the rows of numbers and codes that a `TabularNetwork` reads: preprocessing by skrub and scikit-learn.

Numbers are centred by their median, scaled by their quartiles and squashed; where one is missing it is 0, the median, and a column
of its own says so. A category of few is a column each, of two one column of -1 and 1; one of many is a row of a table of
embeddings. Dates become years, months, days, weekdays, hours and seconds; text of which nearly every row has its own becomes
singular vectors of its n-grams.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.encoder import Encoder
from fastbp.extras import require
from fastbp.tabular.plain import as_in_fit, as_known, as_texts, plain_table, refuse_unread_dates

Array = NDArray[Any]

MOST_ONE_HOT = 8  # categories of a column that are columns of their own
LEAST_TEXTS = 200  # categories that may be text
TEXT_FRACTION = 0.3  # of the rows that have a category of their own: it is text
TEXT_COMPONENTS = 16
HUGE = 1e100  # a number; the square of a larger one might not be finite


def skrub() -> Any:
    """The library, or an error that says how to install it."""
    return require("skrub", "a table")


class Columns:
    """What becomes of each column of a table.

    Parameters
    ----------
    periodic : bool
        Whether numbers have periodic embeddings.
    blended : bool
        Whether the network's activations are parametric.
    random_state : int
        Of the singular vectors of text.

    Attributes
    ----------
    kinds : dict of str to str
        Of each column: "number", "date", "category", "text" or "left out", a constant or one without values.
    encoder : Encoder
        What reads the rows.
    """

    def __init__(self, periodic: bool, blended: bool, random_state: int) -> None:
        self.periodic, self.blended, self.random_state = periodic, blended, random_state

    def fit_transform(self, X: Any) -> Array:
        """Learn from a table what its columns are, and give its rows (n_samples, n_columns)."""
        from sklearn.preprocessing import OrdinalEncoder

        library = skrub()
        select = library.selectors
        plain = plain_table(X)
        self._names = list(plain.columns)
        self._cleaner = library.Cleaner(drop_if_constant=True)
        table = self._cleaner.fit_transform(plain)
        self._dates, self._numbers = select.any_date().expand(table), select.numeric().expand(table)
        others = [name for name in table.columns if name not in {*self._dates, *self._numbers}]
        counts = {name: int(table[name].nunique()) for name in others}
        most = max(LEAST_TEXTS, TEXT_FRACTION * len(table))
        self._texts = [name for name in others if counts[name] > most]
        self._categories = [name for name in others if counts[name] <= most]
        self.kinds = {
            name: kind
            for kind, names in (
                ("left out", [name for name in self._names if name not in table.columns]),
                ("number", self._numbers),
                ("date", self._dates),
                ("text", self._texts),
                ("category", self._categories),
            )
            for name in names
        }
        self._date_encoders = {name: library.DatetimeEncoder(add_weekday=True) for name in self._dates}
        self._text_encoders = {
            name: library.StringEncoder(n_components=min(TEXT_COMPONENTS, counts[name]), random_state=self.random_state)
            for name in self._texts
        }
        for name, encoder in (self._date_encoders | self._text_encoders).items():
            encoder.fit(table[name])
        encoders = self._date_encoders | self._text_encoders
        self._made_of = [*self._numbers, *(name for name in encoders for _ in encoders[name].transform(table[name][:1]).columns)]
        numbers = self._read_numbers(table)
        self._scaler = library.SquashingScaler()
        self._missing: Array = np.asarray(np.isnan(numbers).any(axis=0))
        scaled = self._scaler.fit_transform(numbers) if numbers.size else numbers
        self._ordinals = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1, dtype=np.float64
        )
        codes = np.zeros((len(table), 0))
        self._sizes = np.zeros(0, np.int64)
        if self._categories:
            codes = self._ordinals.fit_transform(np.stack([as_texts(table[name]) for name in self._categories], axis=1))
            self._sizes = codes.max(axis=0).astype(np.int64) + 1
        n_plain = int(self._missing.sum()) + sum(1 if size <= 2 else int(size) for size in self._sizes if size <= MOST_ONE_HOT)
        coded = self._sizes[self._sizes > MOST_ONE_HOT]
        n_numbers = scaled.shape[1]
        self.encoder = Encoder(
            periodic=n_numbers if self.periodic else 0,
            plain=n_plain + (0 if self.periodic else n_numbers),
            coded=len(coded),
            table_rows=int((coded + 1).sum()),
            blended=self.blended,
        )
        return self._rows(numbers, scaled, codes)

    def transform(self, X: Any) -> Array:
        """Rows (n_samples, n_columns) of another table of the same columns, in the same order.

        Categories that were not there count as missing.

        Raises
        ------
        ValueError
            If a column is of another kind than it was in the fit.
        """
        from pandas import DataFrame

        plain = plain_table(X)
        columns = zip(self._names, (plain[name] for name in plain.columns), strict=True)
        plain = DataFrame({name: as_in_fit(name, self.kinds[name], column) for name, column in columns})
        table = self._cleaner.transform(plain)
        for name in self._dates:
            refuse_unread_dates(name, plain[name], table[name])
        numbers = self._read_numbers(table)
        scaled = self._scaler.transform(numbers) if numbers.size else numbers
        codes = np.zeros((len(table), 0))
        if self._categories:
            known = zip(self._categories, self._ordinals.categories_, strict=True)
            codes = self._ordinals.transform(np.stack([as_known(as_texts(table[name]), each) for name, each in known], axis=1))
        return self._rows(numbers, scaled, codes)

    def _read_numbers(self, table: Any) -> Array:
        """Numbers, dates and texts as columns of float64, with NaN where they are missing."""
        parts = [_matrix(table, self._numbers)]
        for name, encoder in (self._date_encoders | self._text_encoders).items():
            parts.append(_matrix(encoded := encoder.transform(table[name]), list(encoded.columns)))
        return np.asarray(np.clip(np.concatenate(parts, axis=1), -HUGE, HUGE))

    @property
    def sources(self) -> list[str]:
        """Of each column of the rows, the column of the table that it is made of."""
        missing = [name for name, is_told in zip(self._made_of, self._missing.tolist(), strict=True) if is_told]
        sizes = list(zip(self._categories, self._sizes.tolist(), strict=True))
        few = [name for name, size in sizes if size <= MOST_ONE_HOT for _ in range(size if size > 2 else 1)]
        return [*self._made_of, *missing, *few, *(name for name, size in sizes if size > MOST_ONE_HOT)]

    def _rows(self, numbers: Array, scaled: Array, codes: Array) -> Array:
        """The columns in the order of the encoder: numbers, what is missing, categories of few, codes of many."""
        plain = [np.isnan(numbers[:, self._missing]).astype(np.float32)]
        coded: list[Any] = []
        first = 0
        for column, size in zip(codes.T, self._sizes, strict=True):
            if size <= 2:
                # of the only one there is, what may be missing is all that there is to learn
                plain.append(np.where(column < 0, 0.0, 2.0 * column - 1.0 if size == 2 else 1.0)[:, None])
            elif size <= MOST_ONE_HOT:
                plain.append((column[:, None] == np.arange(size)).astype(np.float32))
            else:
                coded.append((first + 1 + column)[:, None])  # the first row is for what is missing
                first += int(size) + 1
        rows = np.concatenate([np.nan_to_num(scaled), *plain, *coded], axis=1)
        return np.ascontiguousarray(rows, np.float32)


def _matrix(table: Any, names: list[str]) -> Array:
    return table[names].to_numpy(np.float64, na_value=np.nan)  # type: ignore[no-any-return]
