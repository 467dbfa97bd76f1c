"""`Opened`: an ONNX file as nodes and constants that can be relied on, or an error that says what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.files.model_file import ModelFormatError

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
LARGEST = 1 << 31  # bytes of a message of protobuf
AT_ONCE = 1 << 24  # bytes that are read
OLDEST = 7  # opset from which shapes are broadcast as NumPy does
OF_CONSTANTS = {"Identity", "Cast", "Transpose"}  # what is computed here of a constant
ATTRIBUTES = {
    "approximate": ("STRING",),
    "perm": ("INTS",),
    "scale": ("FLOATS",),
    "offset": ("FLOATS",),
    "value_floats": ("FLOATS",),
    "value_ints": ("INTS",),
}  # and their types, that are no single numbers
ADVICE = (
    "from_onnx reads one chain of Gemm, or MatMul and Add, and activations of fastbp; of another graph, give the weights to"
    " fastbp.Network"
)


class Opened:
    """A graph whose nodes are in order, each value of one origin.

    Parameters
    ----------
    onnx : module
    path : str, path or bytes
        A file, or what is in one. Nothing else is read.

    Raises
    ------
    ModelFormatError
        If the file is damaged, or keeps a part elsewhere.
    OSError
        If the file cannot be read.
    """

    def __init__(self, onnx: Any, path: Any) -> None:
        self.onnx = onnx
        self.name, content = _content(path)
        try:
            self.model = onnx.load_model_from_string(content)
        except Exception as error:  # of protobuf, whose classes depend on how it was built
            raise ModelFormatError(f"{self.name} is no ONNX file, or is damaged") from error
        self.graph = self.model.graph
        self.opset = self._opset()
        if len(self.model.functions):
            raise self.error("defines functions of its own: inline them first, by onnx.inliner.inline_local_functions")
        self._tensors = {tensor.name: tensor for tensor in self.graph.initializer}
        if len(self._tensors) < len(self.graph.initializer):
            raise self.error("is damaged: two of its constants have one name")
        self._arrays: dict[str, NDArray[Any] | None] = {}
        inputs = [value for value in self.graph.input if value.name not in self._tensors]
        if len(inputs) != 1 or not len(self.graph.output):
            raise self.error(f"has {len(inputs)} inputs and {len(self.graph.output)} outputs; {ADVICE}")
        self.input = inputs[0]
        self.producers = self._producers()

    def error(self, what: str) -> ModelFormatError:
        """What to raise where something is wrong with the file."""
        return ModelFormatError(f"{self.name} {what}")

    def refusal(self, node: Any, why: str) -> ModelFormatError:
        """What to raise where a node is none of a network's."""
        return self.error(f"cannot be read as a network: node {node.name or node.output[0]!r} ({node.op_type}) {why}; {ADVICE}")

    def _opset(self) -> int:
        versions = [each.version for each in self.model.opset_import if each.domain in ("", "ai.onnx")]
        if len(versions) != 1 or versions[0] < OLDEST:
            found = versions[0] if versions else "none"
            raise self.error(f"is no ONNX file that can be read: its opset is {found}, and must be {OLDEST} or later")
        opset: int = versions[0]
        return opset

    def _producers(self) -> dict[str, Any]:
        """The node that computes each value, after a check that each reads what was there before it."""
        known = {"", self.input.name, *self._tensors}
        producers: dict[str, Any] = {}
        self.places: dict[str, int] = {}
        for place, node in enumerate(self.graph.node):
            if not node.output:
                raise self.error(f"is damaged: a node {node.op_type} has no output")
            missing = [name for name in node.input if name not in known]
            if missing:
                raise self.refusal(node, f"reads {missing[0]!r} before it is computed: its nodes are not in order, or in a loop")
            for name in filter(None, node.output):
                if name in known:
                    raise self.refusal(node, f"computes {name!r} a second time")
                known.add(name)
                producers[name] = node
                self.places[name] = place
        return producers

    def producer(self, value: str) -> Any:
        """The node that computes a value, None for the input and constants.

        Raises
        ------
        ModelFormatError
            If it is one of operators that are not ONNX's, what is used is not its first output, or it has no input.
        """
        node = self.producers.get(value)
        if node is None:
            return None
        if node.domain not in DOMAINS:
            raise self.refusal(node, f"is of the domain {node.domain!r}")
        if node.output[0] != value:
            raise self.refusal(node, "gives more than its first output")
        if not len(node.input) and node.op_type != "Constant":
            raise self.refusal(node, "has no input")
        return node

    def attributes(self, node: Any) -> dict[str, Any]:
        """Attributes of a node, after a check that they are what ONNX says: numbers, but for those in `ATTRIBUTES`."""
        kinds = self.onnx.AttributeProto
        if len({each.name for each in node.attribute}) < len(node.attribute) or any(each.ref_attr_name for each in node.attribute):
            raise self.refusal(node, "has an attribute twice, or one of a function around it")
        for each in node.attribute:
            if kinds.AttributeType.Name(each.type) not in ATTRIBUTES.get(each.name, ("INT", "FLOAT")):
                raise self.refusal(node, f"has an attribute {each.name!r} of another type than ONNX's")
        return {each.name: self.onnx.helper.get_attribute_value(each) for each in node.attribute}

    # --- constants -----------------------------------------------------------------------------------------------------------

    def constant(self, value: str) -> NDArray[Any] | None:
        """A value that does not depend on the input, as an array; None for any other."""
        if value not in self._arrays:
            origin, nodes = value, []
            while (node := self.producers.get(origin)) is not None and node.op_type in OF_CONSTANTS and len(node.input):
                nodes.append(self.producer(origin))
                origin = node.input[0]
            if origin in self._tensors:
                array = self.array(self._tensors[origin])
            elif node is not None and node.op_type == "Constant" and node.domain in DOMAINS:
                array = self._of_constant(node)
            else:  # nor is what is on the way: a long way is gone once
                self._arrays.update(dict.fromkeys([value, *(node.output[0] for node in nodes)]))
                return None
            for node in reversed(nodes):
                array = self._computed(node, array)
            self._arrays[value] = array
        return self._arrays[value]

    def _of_constant(self, node: Any) -> NDArray[Any]:
        (attribute,) = node.attribute if len(node.attribute) == 1 else (None,)
        if attribute is not None and attribute.name == "value":
            return self.array(attribute.t)
        if attribute is None or attribute.name not in ("value_float", "value_floats", "value_int", "value_ints"):
            raise self.refusal(node, "is no constant of numbers")
        is_float = "float" in attribute.name
        return np.array(self.attributes(node)[attribute.name], np.float32 if is_float else np.int64)

    def _computed(self, node: Any, array: NDArray[Any]) -> NDArray[Any]:
        attributes = self.attributes(node)
        if node.op_type == "Cast":
            dtype = self._dtype(attributes.get("to", 0))
            if dtype is None:
                raise self.refusal(node, "casts constants to what is no number")
            with np.errstate(all="ignore"):
                return array.astype(dtype)
        if node.op_type == "Transpose":
            axes = list(attributes.get("perm", range(array.ndim)[::-1]))
            if sorted(axes) != list(range(array.ndim)):
                raise self.refusal(node, f"transposes the axes {axes} of shape {array.shape}")
            return array.transpose(axes)
        return array

    def _dtype(self, code: int) -> np.dtype[Any] | None:
        """That of a code of ONNX, if it is one of numbers that NumPy has."""
        names = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "INT64": "int64", "INT32": "int32"}
        found = {getattr(self.onnx.TensorProto, name): np.dtype(dtype) for name, dtype in names.items()}
        return found.get(code)

    def array(self, tensor: Any) -> NDArray[Any]:
        """A tensor as an array, after a check that what it says of its shape is there."""
        named = f"the constant {tensor.name!r}" if tensor.name else "a constant"
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL or len(tensor.external_data):
            raise self.error(
                f"keeps {named} in another file, and none but the one that is named is read: save it as one, by onnx.load and"
                " onnx.save"
            )
        if tensor.HasField("segment"):
            raise self.error(f"cannot be read as a network: {named} is a segment of a larger one")
        dtype = self._dtype(tensor.data_type)
        if dtype is None:
            raise self.error(f"cannot be read as a network: {named} is not of float32, float64 or float16")
        count, own = prod(tensor.dims), {"float32": "float_data", "float64": "double_data", "int64": "int64_data"}
        if tensor.HasField("raw_data"):
            held, rest = divmod(len(tensor.raw_data), dtype.itemsize)
        else:
            held, rest = len(getattr(tensor, own.get(dtype.name, "int32_data"))), 0
        if rest or not held or held != count or any(size < 0 for size in tensor.dims):
            raise self.error(f"is damaged: {named} has {held} numbers, and a shape of {list(tensor.dims)}")
        array: NDArray[Any] = self.onnx.numpy_helper.to_array(tensor)
        return array

    # --- what is computed ------------------------------------------------------------------------------------------------------

    def outputs(self) -> Iterator[str]:
        """The outputs that are numbers; those that are classes follow from them."""
        numbers = {0, *(getattr(self.onnx.TensorProto, name) for name in ("FLOAT", "DOUBLE", "FLOAT16"))}
        for value in self.graph.output:
            node = self.producers.get(value.name)
            if node is not None and node.op_type == "ZipMap" and len(node.input) == 1:
                yield node.input[0]
            elif value.type.WhichOneof("value") not in ("tensor_type", None):
                raise self.error(f"has an output {value.name!r} that is no tensor; {ADVICE}")
            elif value.type.tensor_type.elem_type in numbers:
                yield value.name


def _content(path: Any) -> tuple[str, bytes]:
    """What messages call a file, and what is in it."""
    if isinstance(path, bytes | bytearray | memoryview):
        return "the graph", bytes(path)
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a path, or the bytes of an ONNX file, got {path!r}")
    name = os.fsdecode(path)
    parts: list[bytes] = []
    with open(path, "rb") as file:
        while part := file.read(AT_ONCE):
            parts.append(part)
            if len(parts) * AT_ONCE > LARGEST:
                raise ModelFormatError(f"{name} is no ONNX file, which ends at 2 GiB")
    return name, b"".join(parts)
