"""`Graph`: nodes and constants of an ONNX graph while it is built."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

OPSET = 13  # of the domain ai.onnx, of December 2020: the first whose Softmax is that of one axis
IR_VERSION = 7  # of the file, of the same release


class Graph:
    """A graph that grows by one node at a time.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the numbers that it computes with.

    Attributes
    ----------
    nodes : list of (op, inputs, output, attributes)
    constants : dict of str to ndarray
    scope : str
        What names of nodes and their outputs begin with.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.scope = ""
        self._counts: dict[str, int] = {}

    @property
    def is_double(self) -> bool:
        """Whether it computes with float64, for which runtimes have fewer operators."""
        return self.dtype == np.float64

    def __call__(self, op: str, *inputs: str | float, output: str | None = None, **attributes: Any) -> str:
        """Add a node; numbers among its inputs become constants.

        Parameters
        ----------
        op : str
            Its operator.
        *inputs : str or float
        output : str, optional
            Name of its result, which is returned; by default one is made from the scope and the operator.
        **attributes : int, float or str
        """
        names = [each if isinstance(each, str) else self.number(each) for each in inputs]
        if output is None:
            stem = self.scope + op
            number = self._counts[stem] = self._counts.get(stem, 0) + 1
            output = stem if number == 1 else f"{stem}_{number}"
        self.nodes.append((op, names, output, attributes))
        return output

    def rename(self, value: str, output: str) -> str:
        """Give what the last node computes another name, which is returned."""
        op, names, last, attributes = self.nodes[-1]
        assert value == last
        self.nodes[-1] = op, names, output, attributes
        return output

    def number(self, value: float) -> str:
        """The name of a constant of no dimension."""
        return self.tensor(f"number {value!r} {self.dtype.name}", np.array(value, self.dtype))

    def tensor(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        self.constants[name] = value
        return name

    def cast(self, value: str, before: DTypeLike, after: DTypeLike, onnx: Any) -> str:
        """A value of one dtype in another."""
        if np.dtype(before) == np.dtype(after):
            return value
        return self("Cast", value, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(after)))

    def model(
        self, onnx: Any, inputs: dict[str, tuple[Any, list[Any]]], outputs: dict[str, tuple[Any, list[Any]]], **facts: Any
    ) -> Any:
        """The graph as a ``ModelProto``.

        Parameters
        ----------
        onnx : module
        inputs, outputs : dict of str to (dtype, shape)
            A dtype is NumPy's, or `str` for strings.
        **facts : str
            What the model says of itself: its fields of these names.
        """
        helper = onnx.helper

        def values(described: dict[str, tuple[Any, list[Any]]]) -> list[Any]:
            return [helper.make_tensor_value_info(name, _code(onnx, dtype), shape) for name, (dtype, shape) in described.items()]

        graph = helper.make_graph(
            [helper.make_node(op, names, [output], output, **attributes) for op, names, output, attributes in self.nodes],
            "fastbp",
            values(inputs),
            values(outputs),
            [_tensor(onnx, name, value) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, **facts)


def _code(onnx: Any, dtype: Any) -> int:
    code: int = onnx.TensorProto.STRING if dtype is str else onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return code


def _tensor(onnx: Any, name: str, value: NDArray[Any]) -> Any:
    if value.dtype.kind in "UO":
        words = [str(each).encode() for each in value]
        return onnx.helper.make_tensor(name, onnx.TensorProto.STRING, value.shape, words)
    return onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
