"""`Chain`: the layers of a graph, from its output back to its input."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp import activations
from fastbp.exports.onnx import functions
from fastbp.exports.onnx.graph import IR_VERSION
from fastbp.exports.onnx.opened import ADVICE, Opened
from fastbp.exports.onnx.rows import Rows
from fastbp.files.model_file import MAX_LAYERS

Array = NDArray[Any]

PRODUCTS = ("MatMul", "Gemm")
SCALINGS = ("BatchNormalization", "Scaler")
ARITHMETIC = ("Add", "Sub", "Mul", "Div")
MOST_NODES = 300  # of an activation


ONE, ZERO = np.ones(()), np.zeros(())


class Affine(NamedTuple):
    """v = s x + t, number by number, or column by column; of all rows the same."""

    s: Array = ONE
    t: Array = ZERO

    @property
    def is_scalar(self) -> bool:
        """Whether it is the same of all columns."""
        return self.s.ndim == self.t.ndim == 0

    def of(self, inner: Affine) -> Affine:
        """What is, of the values of another, the values of both."""
        s = inner.s if self.s is ONE else self.s if inner.s is ONE else np.asarray(self.s * inner.s)
        shift = inner.t if inner.t is ZERO or self.s is ONE else np.asarray(self.s * inner.t)
        return Affine(s, shift if self.t is ZERO else self.t if shift is ZERO else np.asarray(shift + self.t))


class Chain:
    """What makes a network, read off a graph.

    Parameters
    ----------
    opened : Opened

    Attributes
    ----------
    weights, biases : list of ndarray
    functions : list of Activation
        Of each layer; the last may be softmax.
    input_scale : float
    is_double : bool
        Whether there are weights of float64.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.weights: list[Array] = []
        self.biases: list[Array] = []
        self.functions: list[Any] = []
        self.input_scale = 1.0
        self.is_double = False
        self.rows = Rows(opened)
        value = self._output()
        while True:
            value = self._before_function(value)
            value = self._before_product(value)
            value, after = self._before_scaling(value)
            self._fold_into_first(after, is_front := value == opened.input.name)
            if is_front:
                break
            if len(self.weights) == MAX_LAYERS:
                raise opened.error(f"has more than {MAX_LAYERS} layers")
        self.rows.check_input(self.weights[0].shape[1])
        if not all(np.isfinite(array).all() for array in (*self.weights, *self.biases)):
            raise opened.error(
                "cannot be read as a network: folded into weights or biases, what scales columns makes them infinite"
            )

    # --- what is no layer -------------------------------------------------------------------------------------------------------

    def _output(self) -> str:
        """The one value that the network computes: of a classifier of two classes, whose output is 1 - p beside p, p."""
        opened = self.opened
        found = list(dict.fromkeys(self.rows.source(name) for name in opened.outputs()))
        if len(found) != 1:
            names = [value.name for value in opened.graph.output]
            raise opened.error(f"cannot be read as a network: of its outputs {names} there are {len(found)} of numbers; {ADVICE}")
        value = found[0]
        node = opened.producer(value)
        if node is not None and node.op_type == "Concat" and len(node.input) == 2:
            other = opened.producer(self.rows.source(node.input[0]))
            if other is not None and other.op_type == "Sub" and len(other.input) == 2:
                one, p = opened.constant(other.input[0]), self.rows.source(node.input[1])
                if one is not None and one.size == 1 and one.item() == 1 and self.rows.source(other.input[1]) == p:
                    return p
        return value

    # --- activations ------------------------------------------------------------------------------------------------------------

    def _before_function(self, value: str) -> str:
        """Read the activation whose result a value is, and return what it is of."""
        opened = self.opened
        value = self.rows.source(value)
        node = opened.producer(value)
        if node is not None and node.op_type == "Softmax" and not self.functions:
            if opened.attributes(node).get("axis", 1 if opened.opset < 13 else -1) not in (1, -1):
                raise opened.refusal(node, "is not over the columns")
            self.functions.append(activations.Softmax())
            return self.rows.source(node.input[0])
        nodes, root = self._segment(value)
        self.functions.insert(0, self._function(nodes, root, value) if nodes else activations.Identity())
        return root

    def _segment(self, value: str) -> tuple[list[Any], str]:
        """The nodes between a value and the one value of a layer, or the input, that it is an elementwise function of."""
        opened = self.opened
        found: dict[str, Any] = {}
        roots: dict[str, None] = {}
        waiting = [value]
        while waiting:
            name = self.rows.source(waiting.pop())
            if name in found or name in roots:
                continue
            node = opened.producer(name)
            if node is None or self._is_of_layer(node):
                roots[name] = None
            elif node.op_type not in functions.ELEMENTWISE or len(found) == MOST_NODES:
                raise opened.refusal(node, "is no part of a layer that is known")
            else:
                found[name] = node
                for each in filter(None, node.input):
                    array = opened.constant(each)
                    if array is None:
                        waiting.append(each)
                    elif array.size != 1:
                        raise opened.refusal(
                            node, f"has a constant of {array.size} numbers, which is no part of a layer that is known"
                        )
        if len(roots) != 1 or opened.constant(value) is not None:
            raise opened.error(f"cannot be read as a network: {value!r} depends on {len(roots)} values, not on one layer; {ADVICE}")
        return [found[name] for name in sorted(found, key=opened.places.__getitem__)], next(iter(roots))

    def _is_of_layer(self, node: Any) -> bool:
        """Whether a node computes raw outputs: a product, or what is added to it, or scales columns."""
        if node.op_type in PRODUCTS + SCALINGS:
            return True
        found = self._operands(node)
        return found is not None and (found[1].size > 1 or self._is_of_biases(node))

    def _is_of_biases(self, node: Any) -> bool:
        """Whether a node adds biases to a product that has none."""
        found = self._operands(node)
        if found is None or node.op_type not in ("Add", "Sub"):
            return False
        of = self.opened.producer(self.rows.source(found[0]))
        return of is not None and of.op_type in PRODUCTS and len(of.input) == 2

    def _operands(self, node: Any) -> tuple[str, Array, bool] | None:
        """(value, constant, whether the constant is first) of arithmetic with a constant."""
        if node.op_type not in ARITHMETIC or len(node.input) != 2:
            return None
        constants = [self.opened.constant(name) for name in node.input]
        for place, constant in enumerate(constants):
            if constant is not None and constants[1 - place] is None:
                return node.input[1 - place], constant, place == 0
        return None

    def _function(self, nodes: list[Any], root: str, value: str) -> Any:
        """The activation that some nodes compute of the value `root`."""
        opened, onnx = self.opened, self.opened.onnx
        names, numbers, copies = {root: "z"}, {}, []  # the names are the same in all layers, by which a function is known again
        for node in nodes:
            opened.attributes(node)  # are plain
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.ClearField("name")
            copy.ClearField("doc_string")
            for place, name in enumerate(node.input):
                source = self.rows.source(name) if name else ""
                array = opened.constant(name) if name else None
                if array is not None:
                    number = (array.astype(np.float64) if array.dtype.kind == "f" else array).reshape(())
                    numbers[names.setdefault(source, f"v{len(names)}")] = number
                copy.input[place] = names[source] if source else ""
            copy.output[:] = [names.setdefault(node.output[0], f"v{len(names)}")]
            copies.append(copy)
        graph = onnx.helper.make_graph(
            copies,
            "activation",
            *([onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, [None])] for name in ("z", names[value])),
            [onnx.numpy_helper.from_array(number, name) for name, number in numbers.items()],
        )
        model = onnx.helper.make_model(graph, opset_imports=list(opened.model.opset_import), ir_version=IR_VERSION)
        last = nodes[-1]
        try:
            found, nearest = functions.recognised(model.SerializeToString(deterministic=True), len(nodes) == 1)
        except functions.NotComputed as error:
            raise opened.refusal(last, f"is the last of an activation that cannot be evaluated: {error}") from error
        if found is None:
            raise opened.refusal(last, f"is the last of an activation that fastbp does not have{nearest}")
        return found

    # --- layers -----------------------------------------------------------------------------------------------------------------

    def _before_product(self, value: str) -> str:
        """Read weights and biases of the layer whose raw outputs a value is, and return what it is of."""
        opened, after = self.opened, Affine()
        while (node := opened.producer(value)) is not None and node.op_type not in PRODUCTS:
            step = self._affine(node)
            if step is None:
                raise opened.refusal(node, "is no part of a layer that is known")
            after, value = self._both(after, step[1], node), self.rows.source(step[0])
        if node is None:
            raise opened.error(f"cannot be read as a network: an activation of {value!r} is before all Gemm and MatMul; {ADVICE}")
        weights, biases = self._product(node)
        n_out = len(weights)
        if weights.size == 0 or not _fits(after, n_out) or biases.size not in (1, n_out):
            raise opened.refusal(node, f"has weights of shape {weights.shape}, which what is added or multiplied does not fit")
        self.rows.check_width(n_out)
        if self.weights and self.weights[0].shape[1] != n_out:
            raise opened.refusal(node, f"gives {n_out} columns, and the next layer takes {self.weights[0].shape[1]}")
        with np.errstate(all="ignore"):
            if after.s is not ONE:
                weights, biases = weights * np.reshape(after.s, (-1, 1)), biases * after.s
            if after.t is not ZERO:  # which alone would change the sign of a zero
                biases = np.asarray(biases + after.t if biases.any() else after.t)
        self.weights.insert(0, weights)
        self.biases.insert(0, np.broadcast_to(biases, n_out))
        return self.rows.source(node.input[0])

    def _product(self, node: Any) -> tuple[Array, Array]:
        """Weights (n_out, n_in) and biases, one or n_out, of a product alone."""
        opened, is_gemm = self.opened, node.op_type == "Gemm"
        attributes = opened.attributes(node) if is_gemm else {}
        x, matrix, *rest = [opened.constant(name) if name else None for name in (*node.input, "", "")[: 3 if is_gemm else 2]]
        if matrix is None or matrix.ndim != 2 or matrix.dtype.kind != "f":
            raise opened.refusal(node, "is no product with a matrix of constants on its right")
        if x is not None or attributes.get("transA", 0):
            raise opened.refusal(node, "is no product of rows")
        self.is_double |= matrix.dtype == np.float64
        weights = matrix if attributes.get("transB", 0) else matrix.T
        biases = np.zeros(1, matrix.dtype)
        if rest and len(node.input) > 2 and node.input[2]:
            if rest[0] is None or rest[0].dtype.kind != "f":
                raise opened.refusal(node, "adds what are no biases")
            biases = self._row(node, rest[0])
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            raise opened.refusal(node, "has NaN or infinity among its weights or biases")
        alpha, beta = (attributes.get(name, 1.0) for name in ("alpha", "beta"))
        return weights if alpha == 1.0 else weights * alpha, biases if beta == 1.0 else biases * beta

    def _row(self, node: Any, array: Array) -> Array:
        """A constant that is one row, in one dimension."""
        if array.ndim and array.shape[-1] != array.size:
            raise self.opened.refusal(node, f"has a constant of shape {array.shape}, which is no row")
        return array.reshape(-1)

    def _affine(self, node: Any) -> tuple[str, Affine] | None:
        """What a node scales and shifts by constants, and those; None for any other."""
        opened, op = self.opened, node.op_type
        with np.errstate(all="ignore"):
            if op == "BatchNormalization":
                return self._normalization(node)
            if op == "Scaler":
                attributes = opened.attributes(node)
                s, offset = (np.array(attributes.get(name, [0.0])) for name in ("scale", "offset"))
                return node.input[0], self._both(Affine(s), Affine(t=-offset), node)
            found = self._operands(node)
            if found is None or found[1].dtype.kind != "f":
                return None
            value, array, is_first = found
            c = (self._row(node, array) if array.size > 1 else array.reshape(())).astype(np.float64)
            if op == "Add":
                return value, Affine(t=c)
            if op == "Sub":
                return value, Affine(-ONE, c) if is_first else Affine(t=-c)
            if op == "Div":
                return None if is_first else (value, Affine(np.asarray(1.0 / c)))
            return value, Affine(c)

    def _both(self, outer: Affine, inner: Affine, node: Any) -> Affine:
        """The one of the other, after a check that they are of as many columns."""
        widths = {each.size for each in (*outer, *inner)} - {1}
        if len(widths) > 1:
            raise self.opened.refusal(node, f"is of other columns than what follows it: {sorted(widths)}")
        return outer.of(inner)

    def _normalization(self, node: Any) -> tuple[str, Affine]:
        opened = self.opened
        attributes = opened.attributes(node)
        arrays = [opened.constant(name) for name in node.input[1:5]]
        if len(arrays) != 4 or attributes.get("training_mode", 0) or len(node.output) > 1:
            raise opened.refusal(node, "computes means and deviations: export the network in the mode of inference")
        rows = []
        for array in arrays:
            if array is None or array.ndim != 1 or array.dtype.kind != "f":
                raise opened.refusal(node, "has other parameters than four constant rows")
            rows.append(array.astype(np.float64))
        gain, shift, mean, variance = rows
        if len({len(row) for row in rows}) != 1:
            raise opened.refusal(node, "has parameters of different lengths")
        s = gain / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        return node.input[0], Affine(s, shift - mean * s)

    def _before_scaling(self, value: str) -> tuple[str, Affine]:
        """What the inputs of a layer are scaled and shifted by, columns each by its own, or at the front of the graph."""
        opened, front = self.opened, self.opened.input.name
        value, after = self.rows.source(value), Affine()
        columns_only = value, after
        are_columns = True
        while (node := opened.producer(value)) is not None and not self._is_of_biases(node) and (step := self._affine(node)):
            after, value = self._both(after, step[1], node), self.rows.source(step[0])
            are_columns = are_columns and not step[1].is_scalar
            if are_columns:
                columns_only = value, after
        return (value, after) if value == front else columns_only

    def _fold_into_first(self, inner: Affine, is_front: bool) -> None:
        """Let the first layer so far take x instead of s x + t; a single scale of the inputs is kept as it is."""
        weights, biases = self.weights[0], self.biases[0]
        n_in = weights.shape[1]
        if not _fits(inner, n_in):
            raise self.opened.error(
                f"cannot be read as a network: what scales the inputs of a layer does not fit its {n_in} columns"
            )
        if is_front and inner.is_scalar and inner.t == 0.0 and 0.0 < inner.s <= 1.0:
            self.input_scale = float(inner.s)
        elif inner.s is not ONE or inner.t is not ZERO:
            with np.errstate(all="ignore"):
                self.biases[0] = biases + weights.astype(np.float64) @ np.broadcast_to(inner.t, n_in)
                self.weights[0] = weights * inner.s


def _fits(affine: Affine, width: int) -> bool:
    return affine.s.size in (1, width) and affine.t.size in (1, width)
