"""Model files: what makes a network, and its parameters, readable without running anything that is in the file.

Layout, all numbers little-endian: `MAGIC`, format version (u32), length of the header (u32), length of the data (u64), header
(JSON, UTF-8), data (the flat parameter vector), SHA-256 of everything before it. The header holds exactly `HEADER_KEYS`.

A file appears under its name complete or not at all (`fastbp.storage`).
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import activations, losses, storage
from fastbp.engine.parameters import parameter_offsets

MAGIC = b"\x89fastbp\n"
VERSION = 2  # 1 had no input_scale, which was 1
HEADER_KEYS = {"sizes", "dtype", "input_scale", "hidden", "output", "loss", "extra"}
MAX_LAYERS = 1000
_LENGTHS = struct.Struct("<8sIIQ")
_DIGEST_BYTES = 32


class ModelFormatError(ValueError):
    """A model file that is damaged, is of a newer format, or is no model file."""


def write(path: str | Path, settings: Mapping[str, Any], params: NDArray[Any], extra: dict[str, Any] | None = None) -> None:
    """Write a model file, replacing it in one step; see `Network.save`.

    Parameters
    ----------
    path : str or path
    settings : mapping
        Arguments of a network: sizes, dtype, input_scale, hidden (a list), loss, and output or None.
    params : ndarray (n_params,)
    extra : dict, optional
        More to keep: anything JSON can hold exactly.
    """
    header = {
        "sizes": [int(size) for size in settings["sizes"]],
        "dtype": np.dtype(settings["dtype"]).name,
        "input_scale": float(settings["input_scale"]),
        "hidden": [_describe(activation) for activation in settings["hidden"]],
        "output": None if settings["output"] is None else _describe(settings["output"]),
        "loss": _describe(settings["loss"]),
        "extra": {} if extra is None else extra,
    }
    text = json.dumps(header, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    data = np.ascontiguousarray(params, dtype=np.dtype(header["dtype"]).newbyteorder("<"))
    storage.replace(path, *_sealed(text, data.view(np.uint8).data))


def read(path: str | Path) -> tuple[dict[str, Any], NDArray[Any]]:
    """The `settings` and `params` of a model file as `write` was given them; see `fastbp.load`.

    Raises
    ------
    ModelFormatError
        If the file is damaged in any way, is of a newer format, or is no model file.
    OSError
        If the file cannot be read.
    """
    header, data = _read(path)
    sizes = header["sizes"]
    if not (isinstance(sizes, list) and 2 <= len(sizes) <= MAX_LAYERS and all(type(n) is int and n > 0 for n in sizes)):
        raise ModelFormatError(f"{path} is damaged: its sizes are no list of layer sizes")
    if header["dtype"] not in ("float32", "float64"):
        raise ModelFormatError(f"{path} is damaged: its dtype is {header['dtype']!r}")
    dtype = np.dtype(header["dtype"]).newbyteorder("<")
    if len(data) != dtype.itemsize * parameter_offsets(sizes)[-1][-1]:
        raise ModelFormatError(f"{path} is damaged: its data do not fit its sizes {sizes}")
    try:
        settings = {
            "sizes": sizes,
            "dtype": header["dtype"],
            "input_scale": header["input_scale"],
            "hidden": [_build(activations, description) for description in header["hidden"]],
            "output": None if header["output"] is None else _build(activations, header["output"]),
            "loss": _build(losses, header["loss"]),
        }
    except (ValueError, TypeError, KeyError) as error:
        raise cannot_be_built(path, error) from error
    return settings, np.frombuffer(data, dtype)


def cannot_be_built(path: str | Path, error: Exception) -> ModelFormatError:
    """What to raise where the parts that a file names are not known, or do not fit together."""
    return ModelFormatError(f"{path} describes a network that cannot be built: {error}")


def read_header(path: str | Path) -> dict[str, Any]:
    """Read what a model file says about its network, and the ``extra`` it was saved with; raises as `read` does."""
    return _read(path)[0]


def _describe(part: Any) -> dict[str, Any]:
    return {"name": part.name, "parameters": part.parameters()}


def _build(registry: Any, description: Any) -> Any:
    """An activation or loss from its description: the name is only ever looked up in the registry."""
    part = registry.get(str(description["name"]))
    return type(part)(**description["parameters"])


def _sealed(header: bytes, data: memoryview) -> tuple[bytes | memoryview, ...]:
    """The parts of a file, which together are never one copy."""
    parts = _LENGTHS.pack(MAGIC, VERSION, len(header), len(data)), header, data
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return *parts, digest.digest()


def _read(path: str | Path) -> tuple[dict[str, Any], memoryview]:
    """Header and data of a file, after every check that does not need the network."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(_LENGTHS.size)
        if start[: len(MAGIC)] != MAGIC:
            raise ModelFormatError(f"{path} is no fastbp model file")
        if len(start) < _LENGTHS.size:
            raise ModelFormatError(f"{path} is damaged: it is cut short")
        _, version, n_header, n_data = _LENGTHS.unpack(start)
        if version > VERSION:
            raise ModelFormatError(
                f"{path} has format {version}, but this fastbp reads up to {VERSION}: upgrade fastbp (or the file is damaged)"
            )
        if version < 1 or size != _LENGTHS.size + n_header + n_data + _DIGEST_BYTES:
            raise ModelFormatError(f"{path} is damaged: its length is not what it says")
        content = memoryview(start + file.read())
    if len(content) != size or hashlib.sha256(content[:-_DIGEST_BYTES]).digest() != content[-_DIGEST_BYTES:]:
        raise ModelFormatError(f"{path} is damaged: its checksum does not match")
    end = _LENGTHS.size + n_header
    try:
        header = json.loads(bytes(content[_LENGTHS.size : end]))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path} is damaged: its header is no JSON") from error
    if version == 1 and isinstance(header, dict):
        header = {"input_scale": 1.0} | header
    if not (isinstance(header, dict) and set(header) == HEADER_KEYS and isinstance(header["extra"], dict)):
        raise ModelFormatError(f"{path} is damaged: its header lacks what describes a network")
    return header, content[end:-_DIGEST_BYTES]
