"""Model files: what makes a network, and its parameters, readable without running anything that is in the file.

Layout, all numbers little-endian: `MAGIC`, format version (u32), length of the header (u32), length of the data (u64), header
(JSON, UTF-8), data (the flat parameter vector, and the arrays of a run to go on with), SHA-256 of everything before it. The header
holds exactly `HEADER_KEYS`; its "run" is null, or a `fastbp.files.tree` whose arrays are in the data.

A file appears under its name complete or not at all (`fastbp.storage`).
"""

import hashlib
import io
import json
import os
import struct
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from math import isfinite, prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastbp import activations, losses, storage
from fastbp.engine.parameters import parameter_offsets
from fastbp.files import tree

MAGIC = b"\x89fastbp\n"
VERSION = 3
HEADER_KEYS = {"sizes", "dtype", "input_scale", "hidden", "output", "loss", "extra", "run"}
BEFORE: dict[int, dict[str, Any]] = {
    1: {"input_scale": 1.0, "run": None},
    2: {"run": None},
}  # what is so in files of earlier versions, which do not say it
MAX_LAYERS = 1000
_LENGTHS = struct.Struct("<8sIIQ")
_DIGEST_BYTES = 32
_AT_ONCE = 1 << 24  # bytes, so that no more memory is taken than there is content, whatever a file says of its length

File = str | os.PathLike[str] | IO[bytes]


class ModelFormatError(ValueError):
    """A model file that is damaged, is of a newer format, or is no model file.

    Examples
    --------
    >>> import io
    >>> import fastbp
    >>> try:
    ...     fastbp.load(io.BytesIO(b"something else"))
    ... except fastbp.ModelFormatError as error:
    ...     print(type(error).__name__)
    ModelFormatError
    """


def write(
    path: File,
    settings: Mapping[str, Any],
    params: NDArray[Any],
    extra: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
) -> None:
    """Write a model file, replacing it in one step; see `Network.save`.

    Parameters
    ----------
    path : str, path or binary file
    settings : mapping
        Arguments of a network: sizes, dtype, input_scale, hidden (a list), loss, and output or None.
    params : ndarray (n_params,)
    extra : dict, optional
        More to keep: anything JSON can hold exactly.
    run : dict, optional
        What a run goes on from: numbers, strings, None, lists, arrays, and dicts of these.
    """
    is_file = _is_file(path, "write")
    arrays: list[NDArray[Any]] = [params]
    header = describe(settings) | {"extra": {} if extra is None else extra, "run": tree.without_arrays(run, arrays)}
    text = json.dumps(header, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    parts = _sealed(
        text, [np.ascontiguousarray(each, each.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data for each in arrays]
    )
    if is_file:
        _write_to(path, parts)
    else:
        storage.replace(path, *parts)  # type: ignore[arg-type]


def describe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a header says of the settings of a network."""
    return {
        "sizes": [int(size) for size in settings["sizes"]],
        "dtype": np.dtype(settings["dtype"]).name,
        "input_scale": float(settings["input_scale"]),
        "hidden": [_describe(activation) for activation in settings["hidden"]],
        "output": None if settings["output"] is None else _describe(settings["output"]),
        "loss": _describe(settings["loss"]),
    }


def read(path: File) -> tuple[dict[str, Any], NDArray[Any], NDArray[Any] | None]:
    """The `settings` and `params` of a model file as `write` was given them, and the parameters of all networks, if it has many.

    Raises
    ------
    ModelFormatError
        If the file is damaged in any way, is of a newer format, or is no model file.
    OSError
        If the file cannot be read.
    """
    header, data = _read(path)
    settings, name = settings_from(path, header), _name(path)
    arrays = _arrays(name, header, data)
    run = header["run"]
    if not (isinstance(run, dict) and "networks" in run):
        return settings, arrays[0], None
    many = arrays[1:]
    if len(many) != 1 or many[0].ndim != 2 or not len(many[0]) or many[0].shape[1:] != arrays[0].shape:
        raise ModelFormatError(f"{name} is damaged: its networks do not fit its sizes {header['sizes']}")
    return settings, arrays[0], many[0]


def read_run(path: File) -> tuple[dict[str, Any], NDArray[Any], Any]:
    """What a model file says about its network, as `describe` does, its parameters, and the `run` it was given.

    Raises
    ------
    ModelFormatError, OSError
        As `read` does.
    """
    header, data = _read(path)
    settings = settings_from(path, header)
    arrays = _arrays(_name(path), header, data)
    try:
        run = tree.with_arrays(header["run"], arrays)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelFormatError(f"{_name(path)} is damaged: its run cannot be read: {error}") from error
    return describe(settings), tree.native(arrays[0]), run


def _arrays(name: str, header: dict[str, Any], data: memoryview) -> list[NDArray[Any]]:
    """The parameters, and the arrays of the run."""
    dtype = np.dtype(header["dtype"]).newbyteorder("<")
    try:
        kinds = [(dtype, (parameter_offsets(header["sizes"])[-1][-1],)), *tree.kinds(header["run"])]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelFormatError(f"{name} is damaged: its run cannot be read: {error}") from error
    lengths = [kind.itemsize * prod(shape) for kind, shape in kinds]
    if len(data) != sum(lengths):
        raise ModelFormatError(f"{name} is damaged: its data do not fit its sizes {header['sizes']}")
    ends = list(accumulate(lengths, initial=0))
    return [
        np.frombuffer(data[begin:end], kind).reshape(shape)
        for (kind, shape), (begin, end) in zip(kinds, pairwise(ends), strict=True)
    ]


def settings_from(path: File, header: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the network that a header describes, as `describe` does; messages name the file.

    Raises
    ------
    ModelFormatError
        If there is no such network.
    """
    name, sizes = _name(path), header["sizes"]
    if not (isinstance(sizes, list) and 2 <= len(sizes) <= MAX_LAYERS and all(type(n) is int and n > 0 for n in sizes)):
        raise ModelFormatError(f"{name} is damaged: its sizes are no list of layer sizes")
    if header["dtype"] not in ("float32", "float64"):
        raise ModelFormatError(f"{name} is damaged: its dtype is {header['dtype']!r}")
    try:
        return {
            "sizes": sizes,
            "dtype": header["dtype"],
            "input_scale": header["input_scale"],
            "hidden": [_build(activations, description) for description in header["hidden"]],
            "output": None if header["output"] is None else _build(activations, header["output"]),
            "loss": _build(losses, header["loss"]),
        }
    except (ValueError, TypeError, KeyError) as error:
        raise cannot_be_built(path, error) from error


def cannot_be_built(path: File, error: Exception) -> ModelFormatError:
    """What to raise where the parts that a file names are not known, or do not fit together."""
    return ModelFormatError(f"{_name(path)} describes a network that cannot be built: {error}")


def read_header(path: File) -> dict[str, Any]:
    """Read what a model file says about its network, and the ``extra`` it was saved with; raises as `read` does."""
    return _read(path)[0]


def _describe(part: Any) -> dict[str, Any]:
    return {"name": part.name, "parameters": part.parameters()}


def _build(registry: Any, description: Any) -> Any:
    """An activation or loss from its description: the name is only ever looked up in the registry."""
    part = registry.get(str(description["name"]))
    return type(part)(**description["parameters"])


def _sealed(header: bytes, data: list[Any]) -> tuple[bytes | memoryview, ...]:
    """The parts of a file, which together are never one copy."""
    parts = _LENGTHS.pack(MAGIC, VERSION, len(header), sum(map(len, data))), header, *data
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return *parts, digest.digest()


def _is_file(value: Any, method: str) -> bool:
    """Whether `value` is a file that is open, and no path; anything else is refused, descriptors (which would be closed) too."""
    if isinstance(value, str | bytes | os.PathLike):
        return False
    if not callable(getattr(value, method, None)):
        raise TypeError(f"path must be a path, or a file that is open in binary mode and has '{method}', got {value!r}")
    if hasattr(value, "encoding"):
        raise TypeError(f"path must be a file that is open in binary mode, as by open(name, '{method[0]}b'), got {value!r}")
    return True


def _name(path: File) -> str:
    """What messages call it."""
    name = path if isinstance(path, str | bytes | os.PathLike) else getattr(path, "name", None)
    return str(name) if isinstance(name, str | os.PathLike) else repr(path)


def _write_to(file: Any, parts: Iterable[bytes | memoryview]) -> None:
    # what is not buffered may write a part of what it is given
    buffered = io.BufferedWriter(file) if isinstance(file, io.RawIOBase) else file
    try:
        for part in parts:
            buffered.write(part)
    finally:
        if buffered is not file:
            buffered.detach()


def _read(path: Any) -> tuple[dict[str, Any], memoryview]:
    """Header and data of a file, after every check that does not need the network."""
    if _is_file(path, "read"):
        return _contents(path, _name(path))
    with open(path, "rb") as file:
        contents = _contents(file, _name(path))
        if file.read(1):
            raise ModelFormatError(f"{_name(path)} is damaged: its length is not what it says")
    return contents


def _contents(file: IO[bytes], name: str) -> tuple[dict[str, Any], memoryview]:
    """Header and data of what a file holds from where it is read next; what follows is not read."""
    content = _bytes_of(file, _LENGTHS.size)
    if content[: len(MAGIC)] != MAGIC:
        raise ModelFormatError(f"{name} is no fastbp model file")
    if len(content) < _LENGTHS.size:
        raise ModelFormatError(f"{name} is damaged: it is cut short")
    _, version, n_header, n_data = _LENGTHS.unpack(content)
    if version > VERSION:
        raise ModelFormatError(
            f"{name} has format {version}, but this fastbp reads up to {VERSION}: upgrade fastbp (or the file is damaged)"
        )
    rest = n_header + n_data + _DIGEST_BYTES
    content += _bytes_of(file, rest)
    if version < 1 or len(content) != _LENGTHS.size + rest:
        raise ModelFormatError(f"{name} is damaged: its length is not what it says")
    view = memoryview(content)
    if hashlib.sha256(view[:-_DIGEST_BYTES]).digest() != view[-_DIGEST_BYTES:]:
        raise ModelFormatError(f"{name} is damaged: its checksum does not match")
    end = _LENGTHS.size + n_header
    try:
        header = json.loads(bytes(view[_LENGTHS.size : end]), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{name} is damaged: its header is no JSON") from error
    if version in BEFORE and isinstance(header, dict):
        header = BEFORE[version] | header
    if not (isinstance(header, dict) and set(header) == HEADER_KEYS and isinstance(header["extra"], dict)):
        raise ModelFormatError(f"{name} is damaged: its header lacks what describes a network")
    return header, view[end:-_DIGEST_BYTES]


def _finite(word: str) -> float:
    value = float(word)
    if not isfinite(value):
        raise ValueError(f"{word} is a number that cannot be written")
    return value


def _bytes_of(file: IO[bytes], count: int) -> bytearray:
    """The next `count` bytes of a file, or all that there are."""
    content = bytearray()
    while len(content) < count and (some := file.read(min(count - len(content), _AT_ONCE))):
        content += some
    return content
