"""`Rows`: the samples on their way through a graph, and the nodes that leave them as they are."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastbp.exports.onnx.opened import Opened

UNCHANGED = ("Identity", "Dropout", "Cast", "Flatten", "Reshape")
OF_SHAPES = ("Identity", "Cast", "Unsqueeze", "Gather", "Slice")  # that take the number of rows from a shape


class Rows:
    """What is known of the shape of rows, read from the output back to the input.

    Parameters
    ----------
    opened : Opened
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        kind = opened.input.type.tensor_type
        self.declared: list[int | None] | None = None
        if kind.HasField("shape"):
            self.declared = [each.dim_value if each.HasField("dim_value") else None for each in kind.shape.dim]
        self._reshaping: list[tuple[Any, list[int]]] = []  # nodes, and the shapes they make, of a width that is not known yet

    def source(self, value: str) -> str:
        """A value before all nodes that do not change it."""
        while (node := self.opened.producer(value)) is not None and self._is_unchanged(node):
            value = node.input[0]
        return value

    def _is_unchanged(self, node: Any) -> bool:
        op, opened = node.op_type, self.opened
        if op not in UNCHANGED or opened.constant(node.output[0]) is not None:
            return False
        attributes = opened.attributes(node)
        if op == "Dropout":
            training = opened.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
            if training is None or training.any():
                raise opened.refusal(node, "drops units: export the network in the mode of inference")
        if op == "Cast":
            return attributes.get("to") in (opened.onnx.TensorProto.FLOAT, opened.onnx.TensorProto.DOUBLE)
        if op == "Flatten":
            if attributes.get("axis", 1) not in (1, -1):
                raise opened.refusal(node, f"has the axis {attributes['axis']}")
            self._reshaping.append((node, [0, -1]))
        if op == "Reshape":
            self._reshaping.append((node, self._shape_made(node, bool(attributes.get("allowzero", 0)))))
        return True

    def _shape_made(self, node: Any, zero_is_kept: bool) -> list[int]:
        """The shape that a node makes, 0 where it keeps the number of rows; or where that is 0, in a node that is told so."""
        opened, shape = self.opened, None
        if len(node.input) == 2:
            shape = opened.constant(node.input[1])
            if zero_is_kept and shape is not None and not shape.all():
                raise opened.refusal(node, "makes rows of nothing")
            if shape is None and self._is_joined(node):
                columns = opened.constant(opened.producer(node.input[1]).input[1])
                shape = None if columns is None else np.concatenate([np.zeros(1, np.int64), np.ravel(columns)])
        if shape is None or shape.shape != (2,) or shape.dtype.kind != "i":
            raise opened.refusal(node, "does not make rows of features")
        return [int(size) for size in shape]

    def _is_joined(self, node: Any) -> bool:
        """Whether a new shape is the number of rows of what is reshaped, and another number: ``x.view(x.shape[0], -1)``."""
        opened = self.opened
        joined = opened.producer(node.input[1])
        if joined is None or joined.op_type != "Concat" or len(joined.input) != 2:
            return False
        of = opened.producer(joined.input[0])
        while of is not None and of.op_type in OF_SHAPES and len(of.input):
            first = opened.constant(of.input[1]) if of.op_type in ("Gather", "Slice") and len(of.input) > 1 else np.zeros(1)
            if first is None or first.any():
                return False
            of = opened.producer(of.input[0])
        return of is not None and of.op_type == "Shape" and not len(of.attribute) and of.input[0] == node.input[0]

    def check_width(self, width: int) -> None:
        """Raise if a node between here and what was read before makes other rows than those of so many columns."""
        batch = next(iter(self.declared or [None]))
        for node, (rows, columns) in self._reshaping:
            if columns not in (width, -1) or rows not in (-1, 0, batch) or rows == columns == -1:
                raise self.opened.refusal(node, f"makes the shape {[rows, columns]} of rows of {width} columns")
        self._reshaping.clear()

    def check_input(self, n_in: int) -> None:
        """Raise if the input has another shape than rows of so many columns, or what is made flat to such."""
        is_flat, declared = not self._reshaping, self.declared
        self.check_width(n_in)
        if declared is None:
            return
        sizes = [each for each in declared[1:] if each is not None]
        fits = len(sizes) < len(declared) - 1 or prod(sizes) == n_in
        if len(declared) < 2 or (len(declared) > 2 and is_flat) or not fits:
            raise self.opened.error(
                f"cannot be read as a network: its input {self.opened.input.name!r} has the shape {declared}, and the first layer"
                f" takes rows of {n_in} numbers"
            )
