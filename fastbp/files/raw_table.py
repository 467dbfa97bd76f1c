"""Tables with whatever is missing in them: what each column is, which are of no use, and all of them as a DataFrame."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.files import reading
from fastbp.files.tables import MARKERS, Column, Table

Array = NDArray[Any]

LEAST_NAMED_ROWS = 10  # with fewer, numbers may be in steps, and strings all different, by chance
MOST_WORDS = 3  # of strings that name rows; longer ones are text, from which there is something to learn
NAME_OF_NAMES = re.compile(r"(?i:.*(?:^|[\W_])(?:id|uuid|guid|index|row|nr|key)|index)$|.*[a-z](?:Id|ID)$")
MOST_CATEGORIES = 1000  # that are remembered, to tell what is new
NAMES_ROWS, CONSTANT, EMPTY, DROPPED = "names rows", "constant", "empty", "dropped"
UNUSABLE = "unusable"


@dataclass(frozen=True)
class Feature:
    """A column that a model reads.

    Attributes
    ----------
    name : str
    kind : {"number", "boolean", "text", "date"}
        As it was in training.
    categories : tuple of str
        Of a text with few of them.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


class RawTable(Table):
    """The columns of a file of any format, or of standard input.

    Parameters
    ----------
    source : str or path
        "-" is standard input.

    Raises
    ------
    ValueError, ImportError
        As `reading.read` does, or if it has no rows.
    """

    def __init__(self, source: str | Path) -> None:
        self.path = Path("standard input" if str(source) == reading.STANDARD_INPUT else source)
        self.columns, self.is_typed = reading.read(source)
        self._check_lengths()

    @classmethod
    def of(cls, name: str, arrays: dict[str, Array]) -> RawTable:
        """A table of arrays: numbers without missing values, and objects that are strings."""
        table = object.__new__(cls)
        table.path, table.is_typed = Path(name), True
        table.columns = {each: Column(values, np.zeros(len(values), bool)) for each, values in arrays.items()}
        return table

    def _check_lengths(self) -> None:
        lengths = {name: len(column.values) for name, column in self.columns.items()}
        if not lengths or 0 in lengths.values():
            raise ValueError(f"{self.path} has no rows")
        for name, length in lengths.items():
            if length != len(self):
                raise ValueError(f"column {name!r} of {self.path} has {length} rows, unlike the others")

    def __len__(self) -> int:
        return len(self.numbers)

    def kind(self, name: str) -> str:
        """What a column is: "number", "boolean", "text", "date" or, if nothing can be learnt from its type, "unusable"."""
        column = self.columns[name]
        if column.problem:
            return UNUSABLE
        return "date" if column.values.dtype.kind == "M" else super().kind(name)

    def rows(self, chosen: Array) -> RawTable:
        """Some of the rows, by a mask or their places; they keep their numbers."""
        other = object.__new__(type(self))
        other.path, other.is_typed = self.path, self.is_typed
        other.columns = {
            name: Column(column.values[chosen], column.missing[chosen], column.problem) for name, column in self.columns.items()
        }
        other.numbers = np.asarray(self.numbers)[chosen].tolist()
        return other

    def without(self, name: str, kind: str) -> Array:
        """Where there is no value of this kind in a column."""
        missing, values = self.missing(name), self.columns[name].values
        if kind in ("number", "boolean") and values.dtype.kind == "O" and not self.is_typed:
            missing = missing | np.array([cell in MARKERS for cell in values])
        return missing

    def series(self, feature: Feature) -> Array:
        """A column as a model takes it: float64 with NaN; strings with None; or dates.

        Raises
        ------
        ValueError
            If there is no such column, or a value is not of its kind.
        """
        name, kind = feature.name, feature.kind
        if name not in self.columns:
            raise ValueError(f"{self.path} has no column {name!r}, which the model was trained on")
        column = self.columns[name]
        if column.values.dtype.kind == "M" and kind in ("date", "text"):
            return column.values
        if kind == "date":
            return self._dates(name)
        missing = self.without(name, kind)
        filled = np.full(len(self), np.nan) if kind == "number" else np.full(len(self), None, object)
        if missing.all():
            return filled
        present = self.rows(~missing).read(name, kind, set(feature.categories))
        filled[~missing] = [("false", "true")[int(value)] for value in present] if kind == "boolean" else present
        return filled

    def _dates(self, name: str) -> Array:
        import pandas as pd

        missing = self.missing(name)
        try:
            cells = pd.Series(self.columns[name].values).where(~missing)
            return pd.to_datetime(cells, utc=True).dt.tz_convert(None).to_numpy("datetime64[us]")  # type: ignore[no-any-return]
        except (ValueError, TypeError) as error:
            raise ValueError(f"column {name!r} of {self.path} must hold dates, as in training: {error}") from error

    def feature(self, name: str, kind: str) -> Feature:
        """What a model that is trained on this table remembers of a column that is of this kind."""
        words = sorted({word for word in self.series(Feature(name, kind)) if word is not None}) if kind == "text" else []
        return Feature(name, kind, tuple(words) if len(words) <= MOST_CATEGORIES else ())

    def frame(self, features: Collection[Feature]) -> Any:
        """The columns that a model reads, as a DataFrame of pandas."""
        import pandas as pd

        return pd.DataFrame({feature.name: self.series(feature) for feature in features})

    def cells(self, name: str) -> list[Any]:
        """A column as it is written; nothing where it is empty."""
        if name not in self.columns:
            raise ValueError(f"{self.path} has no column {name!r}: it has {self}")
        column = self.columns[name]
        return ["" if missing else value for value, missing in zip(column.values.tolist(), self.missing(name), strict=True)]

    def why_useless(self, name: str) -> str:
        """Why nothing can be learnt from a column: it names rows, is constant, or its type; else nothing."""
        kind, column = self.kind(name), self.columns[name]
        if kind == UNUSABLE:
            return column.problem.partition(":")[0]
        missing = self.without(name, kind)
        if missing.all():
            return EMPTY
        values = column.values[~missing] if kind == "date" else self.rows(~missing).read(name, kind)
        distinct = len(set(values.tolist()))
        if distinct == 1 and not missing.any():
            return CONSTANT
        if missing.any() or distinct < max(len(values), LEAST_NAMED_ROWS):
            return ""
        return NAMES_ROWS if _names_rows(name, kind, values) else ""


def _names_rows(name: str, kind: str, values: Array) -> bool:
    """Whether values that are all different are but names."""
    if kind == "number":
        if not (values == np.floor(values)).all():
            return False
        steps = np.diff(np.sort(values))
        return bool((steps == steps[0]).all()) or NAME_OF_NAMES.match(name) is not None
    return kind == "text" and sum(len(text.split()) for text in values) <= MOST_WORDS * len(values) and not _are_dates(values)


def _are_dates(texts: Array) -> bool:
    import pandas as pd
    from skrub import to_datetime

    return bool(pd.api.types.is_datetime64_any_dtype(to_datetime(pd.Series(texts.astype(str)))))
