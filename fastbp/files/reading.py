"""Tables as they come, from bytes to columns: compression, encoding, separator and decimal comma are found."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.files.tables import MARKERS, Column, check_names, column_of_series, columns_of_npz, is_number

DELIMITED = (".csv", ".tsv", ".txt")
SUFFIXES = (*DELIMITED, ".parquet", ".feather", ".jsonl", ".xlsx", ".npz")
COMPRESSIONS = {".gz": (b"\x1f\x8b", "gzip"), ".bz2": (b"BZh", "bz2"), ".zst": (b"\x28\xb5\x2f\xfd", "zstd")}
BEGINNINGS = {b"PAR1": ".parquet", b"ARROW1": ".feather", b"{": ".jsonl"}  # of what comes without a name
STANDARD_INPUT = "-"
UNKNOWN = "?"  # a missing number, in many collections of data
SEPARATORS = ",;\t|"
SAMPLE = 1 << 16  # characters by which a separator is told
DECIMAL_COMMA = re.compile(r"\s*[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?\s*", re.ASCII)
THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\s*", re.ASCII)


def ending(source: str | Path) -> str:
    """The suffix that tells the format of a file, whatever it is compressed by; nothing of standard input."""
    suffixes = [suffix.lower() for suffix in Path(source).suffixes]
    return ([suffix for suffix in suffixes if suffix not in COMPRESSIONS] or [""])[-1]


def stem(source: str | Path) -> str:
    """The name of a file without its suffixes, by which what is made of it is called."""
    if str(source) == STANDARD_INPUT:
        return "table"
    path = Path(source)
    while path.suffix.lower() in (*COMPRESSIONS, *SUFFIXES):
        path = path.with_suffix("")
    return path.name


def read(source: str | Path) -> tuple[dict[str, Column], bool]:
    """The columns of a file, and whether they have types; those of text are as it is written.

    Raises
    ------
    ValueError
        If it cannot be read.
    ImportError
        If a library for this format is not installed.
    """
    name, suffix = str(source), ending(source)
    is_named = name != STANDARD_INPUT
    if is_named and suffix not in SUFFIXES:
        raise ValueError(f"{source} is no {', '.join(SUFFIXES)} file, nor one of these compressed ({', '.join(COMPRESSIONS)})")
    if is_named and (not Path(source).exists() or Path(source).is_dir()):  # pipes are files, too
        raise ValueError(f"there is no file {source}")
    if not is_named and sys.stdin is None:
        raise ValueError("standard input is closed")
    try:
        content = _decompressed(Path(source).read_bytes() if is_named else sys.stdin.buffer.read())
        if not content:
            raise ValueError("it is empty")
        if not is_named:
            suffix = next((of for begin, of in BEGINNINGS.items() if content.startswith(begin)), ".csv")
        if suffix in DELIMITED:
            return _of_text(_decoded(content), "\t" if suffix == ".tsv" else None), False
        if suffix == ".npz":
            return columns_of_npz(io.BytesIO(content)), True
        return _of_frame(_frame(content, suffix)), True
    except ImportError as error:
        needed = "openpyxl" if suffix == ".xlsx" else "pandas and pyarrow"
        raise ImportError(f"{suffix} files need {needed}: python -m pip install 'fastbp[tables]'") from error
    except (ValueError, EOFError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"cannot read {source if is_named else 'standard input'}: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("zipfile", "xml", "openpyxl", "pyarrow"):
            raise
        raise ValueError(f"cannot read {source}: it is damaged, or no {suffix} file: {error}") from error


def _decompressed(content: bytes) -> bytes:
    for magic, name in COMPRESSIONS.values():
        if content.startswith(magic):
            import pyarrow

            found: bytes = pyarrow.CompressedInputStream(io.BytesIO(content), name).read()
            return found
    return content


def _decoded(content: bytes) -> str:
    """Text in UTF-8 or, with a byte-order mark, UTF-16; or else in what old programs write in the west of Europe."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16")
        if "\0" in text:  # UTF-32, or nothing that is known
            raise ValueError("it is no text in UTF-8, UTF-16 or Latin-1")
        return text
    if b"\0" in content:
        raise ValueError("it is no text")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _separator(text: str) -> str:
    """That by which most rows have as many cells as the first; `csv.Sniffer` would not ask the names of the columns."""
    lines = text[:SAMPLE]
    if len(lines) < len(text):
        lines = lines[: lines.rfind("\n") + 1] or lines

    def fit(separator: str) -> tuple[float, int]:
        try:
            counts = [len(row) for row in csv.reader(io.StringIO(lines, newline=""), delimiter=separator) if row]
        except csv.Error:
            return 0.0, 0
        return (counts.count(counts[0]) / len(counts), counts[0]) if counts and counts[0] > 1 else (0.0, 0)

    return max(SEPARATORS, key=fit)


def _of_text(text: str, separator: str | None) -> dict[str, Column]:
    import pandas as pd

    if not text.strip():
        raise ValueError("it is empty")
    separator = separator or _separator(text)
    options: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "skipinitialspace": separator != "\t"}
    head = pd.read_csv(io.StringIO(text), header=None, nrows=1, **options).to_numpy()[0]
    names = check_names([name.strip() or f"Unnamed: {i}" for i, name in enumerate(head)])
    table = pd.read_csv(io.StringIO(text), header=0, names=names, **options)
    if not table.index.equals(pd.RangeIndex(len(table))):  # names of rows, for which the first line has no name
        raise ValueError("rows have more cells than the first line has names")
    columns = {name: table[name].fillna("").to_numpy(object) for name in names}
    mended = {name: _mended(cells, separator) for name, cells in columns.items()}
    if separator != "," and any(
        mended[name] is not cells and any("," in cell for cell in cells) for name, cells in columns.items()
    ):
        mended = {name: _mended(cells, separator, points_group=True) for name, cells in columns.items()}
    nothing = np.zeros(len(table), bool)
    return {name: Column(cells, nothing) for name, cells in mended.items()}


def _mended(cells: Any, separator: str, points_group: bool = False) -> Any:
    """Cells of a column, with numbers as this language writes them, if all of it are numbers.

    Where another column of the file has decimal commas, points set thousands apart.
    """
    words = set(cells)
    rest = {word for word in words if word.strip()} - MARKERS - {UNKNOWN}
    new = {UNKNOWN: ""} if UNKNOWN in words else {}
    if any("," in word for word in rest) or (points_group and all(DECIMAL_COMMA.fullmatch(word) for word in rest)):
        pattern, grouping = (THOUSANDS, ",") if separator == "," else (DECIMAL_COMMA, ".")
        if separator == "," and not all(pattern.fullmatch(word) for word in rest if "," in word):
            pattern, grouping = DECIMAL_COMMA, "."
        new |= {word: word.replace(grouping, "").replace(",", ".") for word in rest if pattern.fullmatch(word)}
    if not new or not rest or not all(is_number(new.get(word, word)) for word in rest):
        return cells
    return np.array([new.get(cell, cell) for cell in cells], dtype=object)


def _frame(content: bytes, suffix: str) -> Any:
    import pandas as pd

    file = io.BytesIO(content)
    if suffix == ".parquet":
        return pd.read_parquet(file)
    if suffix == ".feather":
        return pd.read_feather(file)
    if suffix == ".xlsx":
        return pd.read_excel(file, dtype=object, keep_default_na=False, na_values=[""])
    records = [json.loads(line) for line in _decoded(content).split("\n") if line.strip()]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("each line must be an object of JSON")
    return pd.DataFrame(records)


def _of_frame(frame: Any) -> dict[str, Column]:
    names = check_names(list(frame.columns))
    return {name: _of_series(frame.iloc[:, i]) for i, name in enumerate(names)}


def _of_series(column: Any) -> Column:
    """A column of pandas: also dates, durations in seconds, and mixtures of numbers and text, which are text."""
    import pandas as pd

    kind, missing = pd.api.types.infer_dtype(column, skipna=True), column.isna().to_numpy(bool)
    if kind in ("datetime", "datetime64", "date"):
        times = pd.to_datetime(column, utc=True).dt.tz_convert(None)
        return Column(times.to_numpy("datetime64[us]"), missing)
    if kind in ("timedelta", "timedelta64"):
        return Column(pd.to_timedelta(column).dt.total_seconds().to_numpy(), missing)
    if kind in ("mixed-integer", "mixed") and all(isinstance(value, str | int | float) for value in column[~missing]):
        return Column(np.array(["" if no else str(value) for value, no in zip(column, missing, strict=True)], object), missing)
    return column_of_series(column)
