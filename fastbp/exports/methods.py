"""`Exports`: the methods of a network that write it for others to read."""

from __future__ import annotations

from typing import Any

from fastbp.exports import numpy_source, safetensors_file, torch_module
from fastbp.exports.c import source as c_source


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

    def save_safetensors(self, path: Any) -> None:
        """Write the network in the format of safetensors; needs ``pip install 'fastbp[exports]'``.

        Tensors have the names and shapes that they have in a ``torch.nn.Sequential`` of layers and activations in turns: "0.weight"
        (n_out, n_in), "0.bias" (n_out,), "2.weight", and so on. So ``load_state_dict`` of such a module, as `to_torch` makes one,
        takes what ``safetensors.torch.load_file`` reads. Sizes, activations, loss, dtype and input scale are in the metadata, with
        a checksum of all; `fastbp.load_safetensors` makes the network of them again, to the same bits.

        Parameters
        ----------
        path : str or path
            Of the file, which is replaced in one step.

        Raises
        ------
        ImportError
            If safetensors is not installed.
        TypeError
            If the network computes more than its layers: one for tables, or of a class with a ``__call__`` of its own.
        OSError
            If the file cannot be written; a file that was there before is still there.
        """
        safetensors_file.write(self, path)

    def to_c(self, path: Any, *, training: bool = False, name: str | None = None) -> None:
        """Write the network as a C program of one file, which needs the standard header math.h and nothing else.

        Nothing is allocated, and parameters are constants in hexadecimal digits, which are exact. The file compiles as C99 and as
        C++17 without a warning. With T the C type of the dtype, it has ::

            void NAME_predict(const T *x, T *y);                 /* a sample, its outputs */
            void NAME_predict_rows(const T *x, T *y, size_t n);  /* n samples, row-major */

        A sum begins at the bias, and terms are added in the order of the inputs. Sums of n terms agree with those of the kernels
        within n units in the last place of the sum of the sizes of their terms, activations within 8 of theirs.

        Parameters
        ----------
        path : str or path
            Of the file, which is replaced in one step: 17 bytes a parameter of float32, 23 of float64.
        training : bool, default False
            Add ``T NAME_step(const T *x, const T *y, size_t n, T rate)``: one step of gradient descent with the mean gradient of n
            samples x and targets y, rows of n_outputs numbers (of classes: 1 at the class, else 0). It gives their mean loss before
            the step. It is `Trainer.step` with `SGD`, for each loss that fastbp has, and changes ``T NAME_parameters[]``: of each
            layer the weights, a row for each input, and then the biases.
        name : str, optional
            What names in the file begin with; by default the name of the file.

        Raises
        ------
        ValueError
            If `name` is no name in C, an activation (or the loss, to train) is your own, a parameter is not finite, or there
            are more than 4,194,304 parameters.
        TypeError
            If the network computes more than its layers: one for tables, or of a class with a ``__call__`` of its own.
        OSError
            If the file cannot be written; a file that was there before is still there.
        """
        c_source.write(self, path, training, name)

    def to_numpy(self, path: Any = None) -> str:
        """The network as a Python program that needs NumPy alone: a function ``predict(x)`` that is to be read.

        It has the dtype of the network; x is as for the network, and is not checked. Up to 1000 parameters are numbers in the text,
        more are bytes in base 64: both are exact, and nothing else than the program is needed.

        Parameters
        ----------
        path : str or path, optional
            Of a file to write the program to, which is replaced in one step.

        Returns
        -------
        str
            The text of the program.

        Raises
        ------
        ValueError
            If an activation is your own, or a parameter is not finite.
        TypeError
            If the network computes more than its layers: one for tables, or of a class with a ``__call__`` of its own.
        OSError
            If the file cannot be written; a file that was there before is still there.
        """
        return numpy_source.write(self, path)

    def to_torch(self, *, link: bool = True) -> Any:
        """The network as a ``torch.nn.Sequential`` of layers and activations in turns; needs PyTorch.

        Its parameters are copies, of the dtype of the network and on the CPU, and have the names of `save_safetensors`: "0.weight",
        "0.bias", "2.weight", and so on. Where inputs are scaled, a module "scale" is in front. `fastbp.from_torch` reads it back,
        to the same bits.

        Parameters
        ----------
        link : bool, default True
            End with the activation that the loss owns (softmax, sigmoid, exp), so that the module gives what ``net(X)`` is. Without
            it the module gives raw outputs, which ``CrossEntropyLoss``, ``BCEWithLogitsLoss`` and ``PoissonNLLLoss`` take.

        Returns
        -------
        torch.nn.Sequential

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        ValueError
            If an activation is your own.
        TypeError
            If `link` is no bool, or the network computes more than its layers: one for tables, or of a class with a ``__call__`` of
            its own.
        """
        return torch_module.module(self, link)
