"""The parameters of a network, or a gradient by them: a flat vector, and its parts by layers, set by copying."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine import validation

Array = NDArray[Any]


def parameter_offsets(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """(offset of W, offset of b, end) of each layer in the flat parameter vector."""
    offsets, start = [], 0
    for n_in, n_out in pairwise(sizes):
        biases = start + n_in * n_out
        offsets.append((start, biases, biases + n_out))
        start = biases + n_out
    return offsets


@cache
def places(sizes: tuple[int, ...]) -> tuple[Any, Any]:
    """Where the weights (n_out, n_in), and the biases (n_out,), of each layer are in the flat vector: slices and shapes."""
    shapes = [(n_out, n_in) for n_in, n_out in pairwise(sizes)]
    offsets = list(zip(parameter_offsets(sizes), shapes, strict=True))
    weights = tuple((slice(w, b), shape) for (w, b, _), shape in offsets)
    return weights, tuple((slice(b, end), shape[:1]) for (_, b, end), shape in offsets)


class LayerArrays(Sequence[Array]):
    """Arrays of one kind, one a layer: views of a flat vector.

    To set an item copies an array into its place, after a check: what the kernels read is the vector.

    Parameters
    ----------
    name : str
        What messages call it.
    vector : ndarray (n_params,)
    places : tuple of (slice, shape)
        Where each array lies.
    """

    def __init__(self, name: str, vector: Array, places: tuple[tuple[slice, tuple[int, ...]], ...]):
        self._name, self._vector, self._places = name, vector, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        part, shape = self._places[index]
        return self._vector[part].reshape(shape)

    def __setitem__(self, index: Any, value: Any) -> None:
        layers = range(len(self))[index]
        if isinstance(layers, range):
            self._set(layers, value)
        else:
            self._set([layers], [value])

    def __iter__(self) -> Iterator[Array]:
        return (self._vector[part].reshape(shape) for part, shape in self._places)

    def __add__(self, other: Any) -> list[Array]:
        return [*self, *other]

    def __radd__(self, other: Any) -> list[Array]:
        return [*other, *self]

    def __repr__(self) -> str:
        return repr(list(self))

    def _set(self, layers: Sequence[int], values: Any) -> None:
        """Copy arrays into the places of some layers, once all have been checked."""
        if not hasattr(values, "__len__") or isinstance(values, str) or getattr(values, "ndim", 1) == 0:
            raise TypeError(f"{self._name} must be a list of {len(layers)} arrays, one a layer, got {values!r}")
        if len(values) != len(layers):
            raise ValueError(f"{self._name} must hold {len(layers)} arrays, one a layer, got {len(values)}")
        checked = []
        for layer, value in zip(layers, values, strict=True):
            place = self[layer]
            if not is_there(value, place):
                array = fitting(f"{self._name}[{layer}]", value, place.shape, place.dtype)
                # those that are set later may be views of those that are set first
                checked.append((place, array.copy() if np.may_share_memory(array, self._vector) else array))
        for place, array in checked:
            place[...] = array


class Parameters:
    """A flat vector [W_1, b_1, W_2, b_2, ...], each row-major, and its parts.

    Its memory stays: sessions hold on to it. Assignments copy into it, and every view of it is a new one, so that what is done to
    the shape, the dtype or the flags of a view is done to that one only.
    """

    def __init__(self, vector: Array, sizes: tuple[int, ...]):
        self._vector, self.sizes = vector, sizes

    @property
    def params(self) -> Array:
        """All of them, (n_params,)."""
        return self._vector[:]

    @params.setter
    def params(self, value: Any) -> None:
        vector = self._vector
        if not is_there(value, vector):
            vector[:] = fitting("params", value, vector.shape, vector.dtype)

    @property
    def weights(self) -> LayerArrays:
        """Views (n_out, n_in), one a layer."""
        return LayerArrays("weights", self._vector, places(self.sizes)[0])

    @weights.setter
    def weights(self, value: Any) -> None:
        self.weights[:] = value

    @property
    def biases(self) -> LayerArrays:
        """Views (n_out,), one a layer."""
        return LayerArrays("biases", self._vector, places(self.sizes)[1])

    @biases.setter
    def biases(self, value: Any) -> None:
        self.biases[:] = value


def is_there(value: Any, place: Array) -> bool:
    """Whether an array is what lies at a place already: ``net.weights[0] *= 2`` computes in the view, and then sets it."""
    if type(value) is not np.ndarray or value.dtype != place.dtype or not np.may_share_memory(value, place):
        return False
    return (value.shape, value.strides, value.ctypes.data) == (place.shape, place.strides, place.ctypes.data)


def fitting(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """`value` as an array of that shape and dtype; biases may be a column."""
    array = validation.numbers(name, value, dtype)
    if len(shape) == 1 and array.shape == (*shape, 1):
        array = array[:, 0]
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array


class Gradients(Parameters):
    """Gradient of the mean loss: `params` (n_params,), `weights` and `biases`, laid out like those of the network."""
