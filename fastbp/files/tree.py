"""Nested dicts and lists of numbers, strings, None and arrays, as JSON and a list of the arrays."""

from collections.abc import Iterator
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAY, NUMBER = "\x00array", "\x00number"  # keys of what JSON does not know: which array, its dtype and shape; a number by its name
DTYPES = {dtype.str: dtype for dtype in map(np.dtype, ("<f4", "<f8", "<i4", "<i8", "|u1", "<u4", "<u8"))}
LARGEST = 1 << 48


def without_arrays(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """`value` as JSON can hold it; arrays in it are appended to `arrays`.

    Raises
    ------
    TypeError
        If something in it is none of these.
    """
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder("<").str
        if dtype not in DTYPES:
            raise TypeError(f"an array of {value.dtype} cannot be kept")
        arrays.append(value)
        return {ARRAY: len(arrays) - 1, "dtype": dtype, "shape": list(value.shape)}
    if isinstance(value, dict):
        return {str(name): without_arrays(each, arrays) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_arrays(each, arrays) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not isfinite(value):
        return {NUMBER: repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} cannot be kept")


def with_arrays(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """What `without_arrays` was given: arrays are copies."""
    if isinstance(value, dict) and ARRAY in value:
        return native(arrays[value[ARRAY]])
    if isinstance(value, dict) and NUMBER in value:
        return float(value[NUMBER])
    if isinstance(value, dict):
        return {name: with_arrays(each, arrays) for name, each in value.items()}
    return [with_arrays(each, arrays) for each in value] if isinstance(value, list) else value


def native(array: NDArray[Any]) -> NDArray[Any]:
    """A copy in the order of bytes of this machine."""
    return array.astype(array.dtype.newbyteorder("="))


def kinds(value: Any) -> list[tuple[Any, tuple[int, ...]]]:
    """The dtype and shape of each array that there must be, from number 1 on.

    Raises
    ------
    ValueError, KeyError
        If what is said of them cannot be.
    """
    found = sorted(_arrays_of(value), key=lambda each: int(each[ARRAY]))
    if [each[ARRAY] for each in found] != list(range(1, len(found) + 1)):
        raise ValueError("its arrays are not numbered")
    for each in found:
        if not isinstance(each["shape"], list) or not all(type(n) is int and 0 <= n < LARGEST for n in each["shape"]):
            raise ValueError(f"no array has the shape {each['shape']}")
    return [(DTYPES[each["dtype"]], tuple(each["shape"])) for each in found]


def _arrays_of(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and ARRAY in value:
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _arrays_of(each)
