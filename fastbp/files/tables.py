"""Columns of ``.csv``, ``.parquet`` and ``.npz`` files, each read as what it is: numbers, booleans or text.

In a ``.parquet`` or ``.npz`` the types of the columns say what they are. In a ``.csv`` all cells are text, and

- a column is numbers if every cell is one that a spreadsheet would write. A number that begins with 0 and another digit is a code
  (0010, 01234): a column that holds one is text;
- it is booleans if every cell is true or false, in letters of any case. As classes they are called what the first cell of each is;
- else it is text, exactly as written: 1.50 is not 1.5, and NA (Namibia), None and null are words like any other. Only where all
  other cells are numbers do they mean that a value is missing. An empty cell is missing in every column.

A model remembers what its columns were, and `Table.read` reads them so in every other file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

SUFFIXES = (".csv", ".parquet", ".npz")
KINDS = ("number", "boolean", "text")
MARKERS = {"NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", "<NA>", "#N/A", "#NA"}  # pandas, to_csv's too
TRUTH = {"true": 1.0, "false": 0.0}
NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?)\s*", re.ASCII | re.IGNORECASE)
CODE = re.compile(r"\s*[+-]?0\d", re.ASCII)
CODE_IN_FILE = re.compile(rb"""0(?:(?<=[\s,"]0)|(?<=[\s,"][+-]0))\d""")  # a literal first is found three times as fast
WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0", re.ASCII)

Array = NDArray[Any]


@dataclass(frozen=True)
class Column:
    """Booleans, numbers, or objects that are strings; where values are missing; why it cannot be used, if it cannot."""

    values: Array
    missing: Array
    problem: str = ""


class Table:
    """The columns of a file.

    Parameters
    ----------
    path : str or path
    text : collection of str
        Columns of a ``.csv`` to be taken as they are written.
    codes : bool
        Whether columns of a ``.csv`` that hold codes, such as 0010, are text.
    matrix_names : list of str, optional
        Names of the columns of a matrix ``X`` in a ``.npz``; by default x0, x1, ...

    Raises
    ------
    ValueError
        If the file cannot be read, has no rows, or two columns of one name.
    ImportError
        If a ``.csv`` or ``.parquet`` is given and the extra ``data`` is not installed.
    """

    def __init__(
        self, path: str | Path, text: Collection[str] = (), *, codes: bool = False, matrix_names: list[str] | None = None
    ) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        self.is_typed = suffix != ".csv"
        if suffix not in SUFFIXES:
            raise ValueError(f"{path} is no {', '.join(SUFFIXES)} file")
        if not self.path.is_file():
            raise ValueError(f"there is no file {path}")
        try:
            if suffix == ".npz":
                self.columns = columns_of_npz(self.path, matrix_names)
            else:
                self.columns = _read_parquet(self.path) if self.is_typed else _read_csv(self.path, text, codes)
        except ImportError as error:
            raise ImportError(f"{suffix} files need pandas and pyarrow: python -m pip install 'fastbp[data]'") from error
        except (ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"cannot read {path}: {error}") from error
        if any(len(column.values) == 0 for column in self.columns.values()):
            raise ValueError(f"{path} has no rows")

    @cached_property
    def numbers(self) -> Sequence[int]:
        """Of the rows, as messages count them."""
        return range(1, 1 + max((len(column.values) for column in self.columns.values()), default=0))

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __str__(self) -> str:
        names = [repr(name) for name in self.columns]
        return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if names[8:] else "")

    def kind(self, name: str) -> str:
        """What a column is: "number", "boolean" or "text"."""
        values = self.columns[name].values
        if values.dtype.kind != "O":
            return "boolean" if values.dtype.kind == "b" else "number"
        if self.is_typed:
            return "text"
        words = {cell for cell, missing in zip(values, self.missing(name), strict=True) if not missing}
        rest = words - MARKERS
        if rest and all(NUMBER.fullmatch(cell) and not CODE.match(cell) for cell in rest):
            return "number"
        return "boolean" if words and all(truth(cell) in TRUTH for cell in words) else "text"

    def read(self, name: str, kind: str, known: Collection[str] = ()) -> Array:
        """A column as what it is said to be: float64 for numbers and booleans, an object array of strings for text.

        Parameters
        ----------
        name : str
        kind : {"number", "boolean", "text"}
        known : collection of str
            Of a text: the categories there are. A whole number is taken for the one written with .0, or the other way round, if
            only that is known: columns of whole numbers are written so once a value is missing.

        Raises
        ------
        ValueError
            If there is no such column, or a value is missing or not of the kind.
        """
        if name not in self.columns:
            raise ValueError(f"{self.path} has no column {name!r}, which the model was trained on")
        column, where = self.columns[name], f"column {name!r} of {self.path}"
        if column.problem:
            raise ValueError(f"{where} {column.problem}")
        missing = self.missing(name)
        if kind != "text" and column.values.dtype.kind == "O" and not self.is_typed:
            missing = missing | np.array([cell in MARKERS for cell in column.values])
        if missing.any():
            first = self.numbers[int(missing.argmax())]
            raise ValueError(f"{where} has {missing.sum()} missing values, the first in row {first}: fill or drop these rows")
        if kind == "text":
            texts: Array = column.values if column.values.dtype.kind == "O" else column.values.astype(np.str_).astype(object)
            return np.array([category_of(text, known) for text in texts], dtype=object) if known else texts
        values, wrong = _floats(column.values, kind)
        if wrong.any():
            row = int(wrong.argmax())
            wanted = "only true and false" if kind == "boolean" else "numbers"
            raise ValueError(
                f"{where} must hold {wanted}, as in training, but row {self.numbers[row]} holds {str(column.values[row])!r}"
            )
        if not np.isfinite(values).all():
            row = self.numbers[int((~np.isfinite(values)).argmax())]
            raise ValueError(f"{where} has infinite values, the first in row {row}: replace them or drop these rows")
        return values

    def why_text(self, name: str) -> str:
        """The cell for which a column of a ``.csv`` is text, and its row, if most cells are numbers; else nothing."""
        values = self.columns[name].values
        if self.is_typed:
            return ""
        other = [row for row, cell in enumerate(values) if cell not in MARKERS and not is_number(cell)]
        if not other or 2 * len(other) > len(values):
            return ""
        return f"it is text because row {self.numbers[other[0]]} holds {values[other[0]]!r}: mend that, or "

    def missing(self, name: str) -> Array:
        """Where a column is empty."""
        column = self.columns[name]
        if column.values.dtype.kind != "O" or self.is_typed:
            return column.missing
        return np.array([not cell.strip() for cell in column.values])


def _floats(values: Array, kind: str) -> tuple[Array, Array]:
    """float64, and where values are not of a kind."""
    if values.dtype.kind != "O":
        numbers = values.astype(np.float64)
        return numbers, (numbers != 0) & (numbers != 1) if kind == "boolean" else np.zeros(len(values), bool)
    numbers, wrong = np.zeros(len(values)), np.zeros(len(values), bool)
    for i, cell in enumerate(values):
        if kind == "boolean" and truth(cell) in TRUTH:
            numbers[i] = TRUTH[truth(cell)]
        elif NUMBER.fullmatch(cell):
            numbers[i] = float(cell)
            wrong[i] = kind == "boolean" and numbers[i] not in (0.0, 1.0)
        else:
            wrong[i] = True
    return numbers, wrong


def is_number(text: str) -> bool:
    """Whether a cell is a number, and no code that begins with 0."""
    return NUMBER.fullmatch(text) is not None and CODE.match(text) is None


def truth(text: str) -> str:
    """Which boolean a cell is in a column of them, for any case of its letters: "true" or "false"."""
    return text.strip().lower()


def category_of(text: str, known: Collection[str]) -> str:
    """The one of known categories that a cell is: of whole numbers, with .0 or without."""
    if text in known:
        return text
    whole = WHOLE.fullmatch(text)
    other = whole[1] if whole else f"{text}.0"
    return other if other in known else text


def _column(values: Array) -> Column:
    """Of an array of NumPy."""
    nothing = np.zeros(len(values) if values.ndim else 0, bool)
    if values.ndim != 1:
        return Column(nothing, nothing, f"must have one dimension, not shape {values.shape}")
    if values.dtype.kind == "U":
        return Column(values.astype(object), nothing)
    if values.dtype.kind not in "biuf":
        return Column(nothing, nothing, f"has dtype {values.dtype}: make it numbers or strings")
    return Column(values, np.isnan(values) if values.dtype.kind == "f" else nothing)


def columns_of_npz(path: Any, matrix_names: list[str] | None = None) -> dict[str, Column]:
    """The vectors of a file, by path or open, and the columns of its matrix ``X``; see `Table`."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    X = arrays.pop("X", None)
    if X is not None:
        if X.ndim != 2:
            raise ValueError(f"X must be a matrix, not of shape {X.shape}")
        names = [f"x{i}" for i in range(X.shape[1])] if matrix_names is None else matrix_names
        if len(names) != X.shape[1]:
            raise ValueError(f"X has {X.shape[1]} columns, but the model was trained on {len(names)}")
        check_names([*names, *(name for name in arrays if matrix_names is None)])
        arrays = arrays | dict(zip(names, X.T, strict=True)) if matrix_names else dict(zip(names, X.T, strict=True)) | arrays
    return {name: _column(array) for name, array in arrays.items()}


def check_names(names: list[str]) -> list[str]:
    """Names without the blanks around them, all different."""
    names = [str(name).strip() for name in names]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise ValueError(f"{count} columns are called {name!r}: rename or drop all but one")
    return names


def _read_csv(path: Path, text: Collection[str], codes: bool) -> dict[str, Column]:
    import pandas as pd

    # no more than is asked for: no rounding of codes, no words that mean nothing, no first column that becomes an index
    options: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "encoding": "utf-8-sig"}
    head = pd.read_csv(path, header=None, nrows=1, dtype=str, **options).fillna("").to_numpy()[0]
    names = check_names([name.strip() or f"Unnamed: {i}" for i, name in enumerate(head)])
    options |= {"header": 0, "names": names, "low_memory": False}
    frame = pd.read_csv(path, dtype={name: str for name in names if name in text}, **options)
    if not frame.index.equals(pd.RangeIndex(len(frame))):  # names of rows, for which the first line has no name
        raise ValueError("rows have more cells than the first line has names")
    if codes and CODE_IN_FILE.search(path.read_bytes()):
        numeric = [name for name in names if frame[name].dtype.kind in "iuf"]
        written = pd.read_csv(path, dtype=str, usecols=numeric, **options) if numeric else frame
        for name in numeric:
            if any(CODE.match(cell) for cell in written[name].dropna()):
                frame[name] = written[name]
    return {name: column_of_series(frame[name]) for name in names}


def _read_parquet(path: Path) -> dict[str, Column]:
    import pandas as pd

    frame = pd.read_parquet(path)
    names = check_names(list(frame.columns))
    return {name: column_of_series(frame.iloc[:, i]) for i, name in enumerate(names)}


def column_of_series(column: Any) -> Column:
    """Of a column of pandas."""
    import pandas as pd

    missing = column.isna().to_numpy(dtype=bool)
    if isinstance(column.dtype, pd.CategoricalDtype):
        # categories of whole numbers stay whole where a value is missing
        names = column.cat.categories.astype(str).to_numpy(dtype=object)
        return Column(np.append(names, "")[column.cat.codes.to_numpy()], missing)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("string", "empty"):
        return Column(column.astype(object).where(~missing, "").to_numpy(dtype=object), missing)
    if kind == "decimal":
        return Column(column.astype(object).where(~missing, 0).to_numpy(dtype=np.float64), missing)
    if kind in ("boolean", "integer", "floating", "mixed-integer-float"):
        present = column[~missing].to_numpy(dtype=np.bool_ if kind == "boolean" else None)
        if present.dtype.kind not in "biuf":
            whole = kind == "integer" and all(-(2**63) <= value < 2**63 for value in present)
            present = present.astype(np.int64 if whole else np.float64)
        values = np.zeros(len(column), present.dtype)
        values[~missing] = present
        return Column(values, missing)
    return Column(np.zeros(len(column), bool), missing, f"has dtype {column.dtype}, {kind}: make it numbers or strings")
