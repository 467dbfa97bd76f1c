"""`Exports`: the methods of a network that write it for others to read."""

from typing import Any


class Exports:
    """Base of `fastbp.Network`: each method is that of one format, which a module of its own beside this one writes."""

    def to_onnx(self, path: Any, *, input_dtype: Any = None) -> None:
        """Write the network as an ONNX graph, which ONNX Runtime and others run; needs ``pip install 'fastbp[exports]'``.

        The graph is of opset 13 and IR version 7, which runtimes read since 2021. It has one input "X" (N, n_inputs) and one output
        "Y" (N, n_outputs), which is what ``net(X)`` is: for cross-entropy probabilities. N, the number of rows, is any. Computation
        is in the dtype of the network; `input_scale` is part of the graph. `fastbp.from_onnx` reads it back, to the same bits.

        Parameters
        ----------
        path : str or path
            Replaced in one step.
        input_dtype : {"float32", "float64", "uint8", "int8", "float16"}, optional
            What X is given as, by default the dtype of the network. With "uint8" a network of images takes their bytes.

        Raises
        ------
        ImportError
            If onnx is not installed.
        ValueError
            For an activation of your own, and for more parameters than one file holds (2 GiB).
        TypeError
            For a network that computes more than its layers: one for tables, or of a class with a ``__call__`` of its own.
        OSError
            If the file cannot be written; a file that was there before is still there.
        """
        from fastbp.exports.onnx import writing

        writing.write(self, path, input_dtype)
