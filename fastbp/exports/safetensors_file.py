"""Networks in the format of safetensors, with their settings in its metadata.

The key `KEY` of the metadata has JSON: "version", "settings" as `fastbp.files.model_file.describe` says them, perhaps "scaling",
which tells programs what is done before and after the network, and "sha256" of these texts and all tensors. The format itself has
no checksum, and accepts most files in which a bit has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import IO, Any

import numpy as np

from fastbp import storage
from fastbp.exports import parts
from fastbp.exports.parts import Array, Scaling
from fastbp.extras import require
from fastbp.files import model_file
from fastbp.files.model_file import ModelFormatError

KEY, VERSION = "fastbp", 1
METADATA = "__metadata__"
LONGEST_HEADER = 100_000_000  # that the library reads
AT_ONCE = 1 << 24  # bytes, so that no more memory is taken than there is content, whatever a file says of its length
DTYPES = {"F32": "float32", "F64": "float64"}


def write(net: Any, path: Any, scaling: Scaling | None = None) -> None:
    """Write a network; see `Network.save_safetensors`."""
    path = parts.checked_path(path)
    parts.refuse_more_than_layers(net, "save_safetensors")
    library = require("safetensors.numpy", "save_safetensors")
    settings = json.dumps(model_file.describe(net._settings()), allow_nan=False, sort_keys=True)
    arrays = [array for pair in zip(net.weights, net.biases, strict=True) for array in pair]
    tensors = dict(zip(names(len(net.weights)), arrays, strict=True))
    note: dict[str, Any] = {"version": VERSION, "settings": settings}
    if scaling is not None:
        note["scaling"] = json.dumps({name: np.asarray(value).tolist() for name, value in vars(scaling).items()}, allow_nan=False)
    note["sha256"] = _digest(note, arrays)
    storage.replace(path, library.save(tensors, {KEY: json.dumps(note)}))


def names(n_layers: int) -> list[str]:
    """What tensors are called, in order: as in a ``torch.nn.Sequential`` in which an activation follows each layer."""
    return [f"{2 * layer}.{kind}" for layer in range(n_layers) for kind in ("weight", "bias")]


def _digest(note: Mapping[str, Any], arrays: Iterable[Array]) -> str:
    digest = hashlib.sha256(note["settings"].encode() + note.get("scaling", "").encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def arguments(path: Any, hidden: Any, loss: Any, output: Any) -> tuple[dict[str, Any], list[Array], list[Array]]:
    """Settings, weights and biases of the network in a file; see `fastbp.load_safetensors`."""
    path = parts.checked_path(path)
    tensors, metadata = _read(require("safetensors.numpy", "load_safetensors"), path)
    if KEY in metadata:
        for name, value in (("hidden", hidden), ("loss", loss), ("output", output)):
            if value is not None:
                raise ValueError(f"{name} must be left out: {path} says it itself")
        return _own(path, tensors, metadata[KEY])
    if hidden is None:
        raise ModelFormatError(
            f"{path} has no settings of fastbp, only tensors: say what else there is to the network, as in "
            "load_safetensors(path, hidden='relu', loss='cross_entropy')"
        )
    weights, biases = _layers(path, tensors)
    settings = {
        "sizes": [weights[0].shape[1], *(len(each) for each in weights)],
        "hidden": hidden,
        "loss": "squared" if loss is None else loss,
        "output": output,
        "dtype": weights[0].dtype,
    }
    return settings, weights, biases


def _read(library: Any, path: Any) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors and metadata of a file, as the library reads them."""
    with open(path, "rb") as file:
        first = file.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or not 2 <= length <= LONGEST_HEADER:
            raise ModelFormatError(f"{path} is no safetensors file: its header cannot have {length} bytes")
        content = first + _bytes_of(file, length)
        try:
            header = json.loads(content[8:])
            metadata = header.pop(METADATA, None) or {}  # which may be null
            end = max((each["data_offsets"][1] for each in header.values()), default=0)
            content += _bytes_of(file, end + 1)  # and one more, of which there must be none
            for name, each in header.items():
                if each["dtype"] not in DTYPES:
                    raise ModelFormatError(f"{path} cannot be read as a network: tensor {name!r} is of {each['dtype']}")
            return library.load(content), metadata
        except ModelFormatError:
            raise
        except (
            require("safetensors", "load_safetensors").SafetensorError,
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            RecursionError,
        ) as error:
            raise ModelFormatError(f"{path} is damaged, or no safetensors file: {error}") from error


def _bytes_of(file: IO[bytes], count: int) -> bytes:
    content = bytearray()
    while len(content) < count and (some := file.read(min(count - len(content), AT_ONCE))):
        content += some
    return bytes(content)


def _own(path: Any, tensors: Mapping[str, Array], text: Any) -> tuple[dict[str, Any], list[Array], list[Array]]:
    try:
        note = json.loads(text)
        version, described = note["version"], note["settings"]
        if type(version) is int and version > VERSION:
            raise ModelFormatError(
                f"{path} has settings of version {version}, but this fastbp reads up to {VERSION}: upgrade fastbp"
            )
        if type(version) is not int or version < 1:
            raise ModelFormatError(f"{path} is damaged: its version is {version!r}")
        header = json.loads(described)
        settings = model_file.settings_from(path, header)
        expected = dict(zip(names(len(settings["sizes"]) - 1), _shapes(settings["sizes"]), strict=True))
        found = {name: array.shape for name, array in tensors.items()}
        if found != expected or {array.dtype for array in tensors.values()} != {np.dtype(settings["dtype"])}:
            raise ModelFormatError(f"{path} is damaged: its tensors do not fit its sizes {settings['sizes']}")
        arrays = [tensors[name] for name in expected]
        if _digest(note, arrays) != note["sha256"]:
            raise ModelFormatError(f"{path} is damaged: its checksum does not match")
    except ModelFormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelFormatError(f"{path} is damaged: its settings cannot be read: {error}") from error
    return settings, arrays[::2], arrays[1::2]


def _shapes(sizes: list[int]) -> list[tuple[int, ...]]:
    return [shape for n_in, n_out in pairwise(sizes) for shape in ((n_out, n_in), (n_out,))]


def _layers(path: Any, tensors: Mapping[str, Array]) -> tuple[list[Array], list[Array]]:
    """Weights and biases of a file of another library: layers are in the order of the numbers in their names."""

    def refusal(why: str) -> ModelFormatError:
        return ModelFormatError(f"{path} cannot be read as a network: {why}")

    found: dict[int, dict[str, Array]] = {}
    prefixes = set()
    for name, array in tensors.items():
        place = re.fullmatch(r"(.*?)([0-9]{1,9})\.(weight|bias)", name)
        if place is None:
            raise refusal(f"tensor {name!r} is no weight or bias of a numbered layer, as '0.weight' and '0.bias' are")
        prefixes.add(place[1])
        found.setdefault(int(place[2]), {})[place[3]] = array
    if len(prefixes) != 1 or len(tensors) != sum(map(len, found.values())):
        raise refusal(f"its tensors are not those of one chain of layers: {', '.join(sorted(tensors)[:4])} ...")
    weights: list[Array] = []
    biases: list[Array] = []
    for number, layer in sorted(found.items()):
        w = layer.get("weight")
        if w is None or w.ndim != 2 or not w.size or (weights and (w.shape[1] != len(weights[-1]) or w.dtype != weights[-1].dtype)):
            raise refusal(f"the weights of layer {number} do not fit to what is before them")
        b = layer.get("bias", np.zeros(len(w), w.dtype))
        if b.shape != (len(w),) or b.dtype != w.dtype:
            raise refusal(f"the biases of layer {number} do not fit to its weights")
        weights.append(w)
        biases.append(b)
    return weights, biases
