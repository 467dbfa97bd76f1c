"""Data sets of pyarrow as a source: Parquet files and folders of them, row group by row group."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.extras import require
from fastbp.streams.source import BLOCK_BYTES, CHANGED, Part, Source, state_of


def dataset_of(value: Any) -> Any:
    """The data set of pyarrow that a value is, or that is at a path; None if it is something else."""
    if isinstance(value, str | PathLike):
        path, library = Path(value), require("pyarrow.dataset", "a stream of tables")
        if not path.exists():
            raise FileNotFoundError(f"X: there is no file or folder {path}")
        try:
            found = library.dataset(path, format="parquet")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"X: {path} is no Parquet file, or no folder of these alone (arrays of HDF5 and Zarr are given open, and by no"
                f" path): {error}"
            ) from error
        if not found.files:
            raise ValueError(f"X: there is no Parquet file in {path}")
        return found
    kind = type(value)
    if kind.__module__.startswith("pyarrow.") and kind.__name__ == "Table":
        return require("pyarrow.dataset", "a stream of tables").dataset(value)
    is_one = kind.__module__.startswith("pyarrow._dataset") and hasattr(value, "get_fragments")
    return value if is_one else None


class Parquet(Source):
    """Columns of a data set; if `is_strict`, one whose schema is that of its first file, and no decision of the user."""

    def __init__(self, dataset: Any, columns: Any, target: Any, weight: Any, *, is_strict: bool) -> None:
        names = dataset.schema.names
        if target is None and (columns is None or weight is not None):  # with columns, it is to be predicted
            raise ValueError(f"target must name the column, or columns, of targets; there are {', '.join(names[:20])}")
        self._target = _names("target", target)
        self._is_flat, self._weight = isinstance(target, str), weight
        own = [*self._target, *([weight] if weight is not None else [])]
        self.names = self._columns = [name for name in names if name not in own] if columns is None else _names("columns", columns)
        for argument, wanted in (("columns", self._columns), ("target", self._target), ("weight", own[len(self._target) :])):
            for name in wanted:
                if name not in names:
                    raise ValueError(f"{argument}: there is no column {name!r}; there are {', '.join(names[:20])}")
        if not self._columns:
            raise ValueError("columns must name at least one column")
        for name in self._columns:
            if name in own:
                raise ValueError(f"columns must not name {name!r}, which is a target or a weight")
        self._dataset, self._is_strict, self._takes_all = dataset, is_strict, columns is None
        types = require("pyarrow", "a stream of tables").types
        for name in [*self._columns, *own]:
            kind = dataset.schema.field(name).type
            is_label = name in self._target and (types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind))
            if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or is_label):
                raise ValueError(f"column {name!r} must hold numbers, got {kind}: encode it first, or leave it out of columns")
        self._dtype = np.result_type(*{np.dtype(dataset.schema.field(name).type.to_pandas_dtype()) for name in self._columns})
        self._groups: list[Any] = []
        try:
            self.n_rows = int(dataset.count_rows())
            dataset.get_fragments()  # which a filtered one does not have
        except (OSError, ValueError) as error:
            raise ValueError(f"X: the data set cannot be read by row groups: {error}") from error
        if self.n_rows == 0:
            raise ValueError("X is empty: the data set has no rows")
        self.row_bytes = self._row_bytes = len(self._columns) * int(self._dtype.itemsize)

    def begin(self) -> None:
        """Look up the row groups, and whether all files are alike."""
        self._groups, self._states = [], {}
        for fragment in self._dataset.get_fragments():
            split, path = getattr(fragment, "split_by_row_group", None), getattr(fragment, "path", None)
            self._states[path] = state_of(path)
            try:
                if self._is_strict:
                    self._require_alike(fragment.physical_schema, Path(str(path)).name)
                groups = [fragment] if split is None else split()
            except OSError as error:
                raise ValueError(f"{Path(str(path)).name} cannot be read: {error}") from error
            self._groups += [(part, k) for k, part in enumerate(groups)]

    def _require_alike(self, schema: Any, name: str) -> None:
        """Raise if a file lacks a column, has more of them, or others."""
        for column in [*self._columns, *self._target, *([self._weight] if self._weight else [])]:
            if column not in schema.names:
                raise ValueError(f"{name} has no column {column!r}, as the files before")
            kind, wanted = schema.field(column).type, self._dataset.schema.field(column).type
            if kind != wanted:
                raise ValueError(
                    f"{name}: column {column!r} is of type {kind}, but {wanted} in the files before: write all alike, or give"
                    " pyarrow.dataset.dataset(..., schema=...)"
                )
        more = [column for column in schema.names if column not in self._dataset.schema.names]
        if more and self._takes_all:
            raise ValueError(
                f"{name} has a column {more[0]!r} that the files before do not have: give columns=, or write all alike"
            )

    def parts(self, epoch: int, order: Any) -> Iterator[Part]:
        """Row groups, in their order or in one that is drawn."""
        count = len(self._groups)
        needed = list(dict.fromkeys([*self._columns, *self._target, *([self._weight] if self._weight else [])]))
        for number in range(count) if order is None else order(count).tolist():
            for batch, name in self._batches(number, needed):
                yield self._part(batch, name)

    def targets(self) -> Iterator[tuple[Any, str]]:
        """Of their columns alone."""
        for number in range(len(self._groups)):
            for batch, name in self._batches(number, self._target):
                yield self._targets(batch, name), name

    def _batches(self, number: int, columns: list[str]) -> Iterator[tuple[Any, str]]:
        """A row group in parts, and what errors call them."""
        fragment, group = self._groups[number]
        name = f"row group {group} of {Path(str(fragment.path)).name}" if getattr(fragment, "path", "") else f"fragment {number}"
        if state_of(getattr(fragment, "path", None)) != self._states[getattr(fragment, "path", None)]:
            raise ValueError(CHANGED.format(name))
        rows, first = max(1, (self.block_rows or BLOCK_BYTES // self._row_bytes) // 4), 0
        try:
            batches = fragment.to_batches(
                schema=self._dataset.schema, columns=columns, batch_size=rows, use_threads=False, batch_readahead=1
            )
            for batch in batches:
                if batch.num_rows:
                    yield batch, f"rows {first} to {first + batch.num_rows - 1} of {name}"
                    first += batch.num_rows
        except (OSError, ValueError) as error:  # of pyarrow
            raise ValueError(f"{name} cannot be read: {error}") from error

    def _part(self, batch: Any, name: str) -> Part:
        X = np.empty((batch.num_rows, len(self._columns)), self._dtype)
        for k, column in enumerate(self._columns):
            X[:, k] = _numbers(batch, column, name)
        weights = None if self._weight is None else _numbers(batch, self._weight, name)
        return Part(X, self._targets(batch, name) if self._target else None, weights, name)

    def _targets(self, batch: Any, name: str) -> np.ndarray:
        y = np.column_stack([_numbers(batch, column, name) for column in self._target])
        return y[:, 0] if self._is_flat else y

    def describe(self) -> str:
        """With the columns."""
        return f"{super().describe()} {self._columns} {self._target} {self._weight} {self._dtype.str}"


def _names(argument: str, value: Any) -> list[str]:
    """Names of columns, each once; one alone may be given as it is."""
    names = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument} must be a name of a column, or a list of these, got {value!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"{argument} names a column twice: {names}")
    return list(names)


def _numbers(batch: Any, column: str, name: str) -> np.ndarray:
    values = batch.column(batch.schema.get_field_index(column))
    if values.null_count:
        raise ValueError(f"{name}: column {column!r} holds {values.null_count} nulls, or the file lacks it; drop or fill them")
    found: np.ndarray = values.to_numpy(zero_copy_only=False)
    return found
