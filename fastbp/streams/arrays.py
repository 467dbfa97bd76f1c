"""Arrays as a source: in memory, of files, or whatever has a shape, a dtype and slices.

The files of maps are read, and not looked at through the map: pages of a map count as memory of the process, and a file that is
cut while it is mapped ends the process instead of raising an error.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.streams.source import BLOCK_BYTES, CHANGED, CHUNKS, Part, Source, Span, names_of, state_of, where

MOST_ADVISED = 64  # spans of which the system is told before they are read


class Field:
    """Rows of anything that has a shape, a dtype and slices."""

    def __init__(self, argument: str, array: Any) -> None:
        self.array, self.shape, self.dtype = array, tuple(array.shape or ()), np.dtype(array.dtype)
        if not self.shape:
            raise ValueError(f"{argument} must have rows, got shape {array.shape}")
        if any(size != size for size in self.shape):
            raise ValueError(f"{argument} has an unknown number of rows, shape {self.shape}: compute its chunk sizes first")
        self.name = _name_of(argument, array)
        self._watched, self._is_read_only = _file_of(array)
        self._state = state_of(self._watched)
        self.own_chunk = _chunk_of(array)

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        size: int = prod(self.shape[1:]) * self.dtype.itemsize
        return size

    def begin(self) -> None:
        """Look at the array for the first time."""

    def end(self) -> None:
        """For the last time."""

    def _require_unchanged(self) -> None:
        """Raise if the array has another shape than at first, or its file another size or time, or none is there any more.

        Of such, HDF5 and Zarr give zeros.
        """
        try:
            shape = tuple(self.array.shape)
        except Exception as error:
            raise ValueError(f"{self.name} cannot be read: {error}") from error
        if shape != self.shape:
            raise ValueError(f"{self.name} has changed: its shape was {self.shape} and is {shape}; make the stream anew")
        state = state_of(self._watched)
        if state != self._state and (self._is_read_only or state is None):
            raise ValueError(CHANGED.format(self.name))

    def read(self, spans: list[Span]) -> np.ndarray:
        """Rows of spans, one after another."""
        self._require_unchanged()
        if len(spans) == 1:
            return self._slice(*spans[0])
        rows, done = np.empty((sum(last - first for first, last in spans), *self.shape[1:]), self.dtype), 0
        for first, last in spans:  # one after another, for the block to be there once
            rows[done : done + last - first] = self._slice(first, last)
            done += last - first
        return rows

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Single rows."""
        if isinstance(self.array, np.ndarray):
            self._require_unchanged()
            taken: np.ndarray = self.array[rows]
            return taken
        # of Zarr and Dask, for which each slice is a pass through all of their layers
        by_numbers = getattr(self.array, "oindex", self.array if hasattr(self.array, "dask") else None)
        if by_numbers is not None:
            self._require_unchanged()
            return self._found(lambda: by_numbers[rows], int(rows.min()), int(rows.max()) + 1, len(rows))
        return self.read([(row, row + 1) for row in rows.tolist()])

    def give_back(self, array: Any) -> None:
        """Nobody needs rows any more that were read."""

    def _slice(self, first: int, last: int) -> np.ndarray:
        return self._found(lambda: self.array[first:last], first, last, last - first)

    def _found(self, look: Callable[[], Any], first: int, last: int, count: int) -> np.ndarray:
        try:
            found = np.asarray(look())
        except Exception as error:  # of libraries, each of which has its own for what is damaged, closed or not there
            raise ValueError(f"{where(self.name, first, last)} cannot be read: {error}") from error
        wanted = (count, *self.shape[1:])
        if found.shape != wanted:
            raise ValueError(f"{where(self.name, first, last)} must have shape {wanted}, got {found.shape}: it was changed or cut")
        return found


class MappedField(Field):
    """Rows of a file that NumPy has mapped, read from the file itself."""

    def __init__(self, argument: str, array: np.ndarray, path: Path, offset: int, mode: str) -> None:
        super().__init__(argument, array)
        self.name, self._path, self._offset = path.name, path, offset
        self._file: Any = None
        self._made, self._is_still = state_of(path), mode == "r"  # others may be written to between two fits
        self._spare: list[np.ndarray] = []

    def begin(self) -> None:
        """Open the file, and note its size and when it was changed."""
        self.end()
        self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115 - `end` closes it
        self._state = state_of(self._file.fileno())
        if self._state != self._made and (self._is_still or (self._state or (0,))[0] != (self._made or (0,))[0]):
            self.end()
            raise ValueError(f"{self.name} has changed since the stream was made: make it anew")

    def end(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._spare = []

    def read(self, spans: list[Span]) -> np.ndarray:
        """Rows of spans, into memory that was given back, if there is some."""
        if any(state_of(file) != self._state for file in (self._file.fileno(), self._path)):  # another may have its name now
            raise ValueError(CHANGED.format(self.name))
        count = sum(last - first for first, last in spans)
        rows = self._room(count)
        if hasattr(os, "posix_fadvise"):  # so that the disk has all of it to do at once
            for first, last in spans[:MOST_ADVISED]:
                place, size = self._offset + first * self.row_bytes, (last - first) * self.row_bytes
                os.posix_fadvise(self._file.fileno(), place, size, os.POSIX_FADV_WILLNEED)
        bytes_of_rows, done = rows.reshape(-1).view(np.uint8).data, 0
        for first, last in spans:
            size = (last - first) * self.row_bytes
            self._fill(bytes_of_rows[done : done + size], first, last)
            done += size
        return rows

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Single rows, each at the place that it has among `rows`."""
        return self.read([(row, row + 1) for row in rows.tolist()])

    def _fill(self, target: memoryview, first: int, last: int) -> None:
        self._file.seek(self._offset + first * self.row_bytes)
        done = 0
        while done < len(target):
            count = self._file.readinto(target[done:])
            if not count:
                row = first + done // self.row_bytes
                raise ValueError(f"{self.name} ends in row {row}: {where(self.name, first, last)} cannot be read, the file was cut")
            done += count

    def _room(self, count: int) -> np.ndarray:
        while self._spare:
            array = self._spare.pop()
            if len(array) >= count:
                return array[:count]
        return np.empty((count, *self.shape[1:]), self.dtype)

    def give_back(self, array: Any) -> None:
        """Read the next rows into the memory of these."""
        whole = array if array.base is None or not isinstance(array.base, np.ndarray) else array.base
        if self._file is not None and whole.dtype == self.dtype and whole.shape[1:] == self.shape[1:]:
            self._spare.append(whole)


class Arrays(Source):
    """`X`, `y` and weights by rows."""

    def __init__(self, X: Any, y: Any, sample_weight: Any, chunk_rows: int | None) -> None:
        self._x, self._y = _field("X", X), None if y is None else _field("y", y)
        self._weights = None if sample_weight is None else _field("sample_weight", sample_weight)
        self._fields = [field for field in (self._x, self._y, self._weights) if field is not None]
        self.n_rows = self._x.shape[0]
        if self.n_rows == 0:
            raise ValueError(f"X is empty: shape {self._x.shape}")
        for name, field in (("y", self._y), ("sample_weight", self._weights)):
            if field is not None and field.shape[0] != self.n_rows:
                raise ValueError(f"{name} has {field.shape[0]} rows, but X has {self.n_rows}")
        self.row_bytes = self._x.row_bytes
        self.names = names_of(X)
        self._is_in_memory = isinstance(self._x.array, np.ndarray) and not _is_of_map(self._x.array)
        self._chunk_rows = chunk_rows

    @property
    def chunk_rows(self) -> int:  # type: ignore[override]
        """As asked for, or by the kind of `X` and the size of a block."""
        if self._chunk_rows is not None:
            return self._chunk_rows
        if self._is_in_memory:
            return 1
        own = self._x.own_chunk
        wanted = (self.block_rows or max(1, BLOCK_BYTES // max(1, self._x.row_bytes))) // CHUNKS
        return max(own, wanted // own * own, 1)

    def begin(self) -> None:
        """Open the files."""
        for field in self._fields:
            field.begin()

    def end(self) -> None:
        """Close them."""
        for field in self._fields:
            field.end()

    def read(self, spans: list[Span]) -> Part:
        """Rows of spans."""
        last = max(last for _, last in spans)
        first = min(first for first, _ in spans)
        return self._part([field.read(spans) for field in self._fields], where(self._x.name, first, last))

    def take(self, rows: np.ndarray) -> Part:
        """Single rows."""
        name = where(self._x.name, int(rows.min()), int(rows.max()) + 1)
        return self._part([field.take(rows) for field in self._fields], name)

    def _part(self, arrays: list[np.ndarray], name: str) -> Part:
        X, y, weights, *_ = *arrays, None, None
        return Part(X, y, weights, name)

    def targets(self) -> Iterator[tuple[Any, str]]:
        """Of `y` alone."""
        size, field = max(1, BLOCK_BYTES // 64), self._y
        for first in range(0, self._x.shape[0], size):
            last = min(first + size, self._x.shape[0])
            found = None if field is None else field.read([(first, last)])
            yield found, where("y" if field is None else field.name, first, last)
            if field is not None:
                field.give_back(found)

    def give_back(self, part: Part) -> None:
        """Let files be read into its memory."""
        for field, array in zip(self._fields, part[:3], strict=False):
            if array is not None:
                field.give_back(array)

    def describe(self) -> str:
        """With shapes and dtypes."""
        return " ".join([super().describe(), *(f"{field.shape}{field.dtype.str}" for field in self._fields)])


def _field(argument: str, value: Any) -> Field:
    """The rows of an argument."""
    if isinstance(value, str | PathLike):
        if not str(value).endswith(".npy"):
            raise ValueError(
                f"{argument} must be the path of an .npy file, of a Parquet file or of a folder of these, got {value!s}"
            )
        try:
            value = np.load(value, mmap_mode="r")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{argument}: there is no file {value!s}") from error
        except (ValueError, EOFError) as error:
            raise ValueError(
                f"{argument}: {value!s} is no file of one array of numbers, as numpy.save makes it: {error}"
            ) from error
    if hasattr(value, "tocsr") or type(value).__module__.partition(".")[0] == "scipy":
        raise TypeError(
            f"{argument} is a sparse matrix, which a stream does not take: give it to fit as X, or {argument}.toarray()"
        )
    if type(value).__module__.startswith("dask") and not hasattr(value, "chunks"):
        raise TypeError(f"{argument} is a table of Dask, which would all be computed: give {argument}.to_dask_array(lengths=True)")
    is_array_like = all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__"))
    if is_array_like and type(value).__module__.partition(".")[0] not in ("pandas", "polars", "torch"):
        placed = _place_in_file(value) if isinstance(value, np.ndarray) else None
        return Field(argument, value) if placed is None else MappedField(argument, value, *placed)
    if hasattr(value, "keys") and not hasattr(value, "shape"):  # a group of HDF5 or Zarr, a dict
        raise TypeError(f"{argument} must be one array, got several: choose that of one name, of {', '.join(list(value)[:20])}")
    try:
        return Field(argument, np.asarray(value))
    except (ValueError, TypeError, RuntimeError) as error:  # the latter of PyTorch
        raise (ValueError if isinstance(error, ValueError) else TypeError)(f"{argument} must be an array: {error}") from error


def _place_in_file(array: np.ndarray) -> tuple[Path, int, str] | None:
    """The file of a map, where in it the array begins, and its mode, if its rows follow each other there as they do in memory."""
    root = _root_of(array)
    is_whole = isinstance(root, np.memmap) and _is_of_map(root) and array.flags.c_contiguous and array.size > 0
    # a map that is written to in memory only ("c") is not what its file holds
    if not is_whole or root.mode == "c" or root.filename is None or array.dtype.hasobject:
        return None
    path = Path(root.filename)
    return (path, root.offset + array.ctypes.data - root.ctypes.data, root.mode) if path.is_file() else None


def _is_of_map(array: np.ndarray) -> bool:
    """Whether an array is in a file: one of columns, too, which is looked at through its map."""
    base: Any = _root_of(array).base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


def _root_of(array: np.ndarray) -> Any:
    """The array that has the memory of another, which is a view of it."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _chunk_of(array: Any) -> int:
    """Rows that are stored together, if the array says that; else 1."""
    chunks = getattr(array, "chunks", None)
    try:
        return max(1, int(chunks[0])) if chunks else 1
    except (TypeError, ValueError):  # of a Dask array, a tuple for each axis
        return max(1, int(chunks[0][0])) if chunks else 1


def _name_of(argument: str, array: Any) -> str:
    """What errors call an array: the file and what it is named there, if that is known."""
    own = getattr(array, "name", None)
    own = own if isinstance(own, str) and own.startswith("/") else ""  # of HDF5 and Zarr
    whole = getattr(getattr(array, "file", None), "filename", None) or getattr(array, "store_path", None)
    inside = own if whole is None or not str(whole).endswith(own) else ""
    return f"{Path(str(whole)).name}{inside if inside != '/' else ''}" if whole is not None else own or argument


def _file_of(array: Any) -> tuple[str | None, bool]:
    """The path of a file by which one sees that an array has changed, and whether nobody is to write to it meanwhile."""
    if isinstance(array, np.ndarray):  # columns of a map, as one: pages of a file that is cut would end the process
        root = _root_of(array)
        name = root.filename if isinstance(root, np.memmap) and _is_of_map(root) and root.mode != "r+" else None
        return (str(name) if name is not None and Path(name).is_file() else None), True
    place = getattr(array, "store_path", None)
    if place is not None:  # of Zarr, where it says what the array is
        root = getattr(place.store, "root", None)
        files = [] if root is None else [Path(root) / place.path / name for name in ("zarr.json", ".zarray")]
        return next((str(file) for file in files if file.is_file()), None), bool(getattr(array, "read_only", False))
    file = getattr(array, "file", None)  # of HDF5
    is_still = getattr(file, "mode", None) == "r" and not getattr(file, "swmr_mode", False)
    path = getattr(file, "filename", None) if is_still else None
    return (path if isinstance(path, str) and Path(path).is_file() else None), is_still
