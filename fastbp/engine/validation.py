"""Checks of what users pass in: every message names the argument and what to do, and nothing is changed before all have passed."""

from collections.abc import Sequence

import numpy as np

from fastbp.arguments import integer as integer
from fastbp.arguments import real as real
from fastbp.engine import sparsity
from fastbp.kernels.check import all_below, all_finite
from fastbp.kernels.tuning import AGAIN_IN_STEP
from fastbp.simd.kinds import OTHERS
from fastbp.streams import Source

NOTHING = {np.dtype(dtype): np.empty(0, dtype) for dtype in (np.float32, np.float64)}
NO_LABELS, NO_WEIGHTS = np.empty(0, np.int64), np.empty(0, np.float64)
KEPT = tuple(np.dtype(str(each)) for each in OTHERS)  # in which samples are taken as they are
PART_BYTES = 1 << 28  # that are looked at in one call: some 30 ms
TOGETHER = 1 << 16  # numbers of float16 that are looked at in one go, and stay in the cache meanwhile
SIZE_OF_HALF, INFINITE_HALF = np.uint16(0x7FFF), np.uint16(0x7C00)  # bits: all but the sign, and those of infinity
NOT_FINITE = "{} holds NaN or infinity; drop or impute these samples"
SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-100, 1e100  # that the largest weight of a sample may be as it is


def again(function, times: int):
    """`function`, and so many calls of it more, all alike, before the one that counts; see `tuning.py`."""
    if times == 0:
        return function

    def slowed(*arguments):
        for _ in range(times):
            function(*arguments)
        return function(*arguments)

    return slowed


def layer_sizes(sizes) -> tuple[int, ...]:
    """Sizes of input, hidden and output layers as a tuple of ints."""
    if isinstance(sizes, str) or not isinstance(sizes, Sequence | np.ndarray) or getattr(sizes, "ndim", 1) == 0:
        raise TypeError(f"sizes must be a sequence of integers, got {sizes!r}")
    if len(sizes) < 2:
        raise ValueError(f"sizes must name at least an input and an output layer, got {list(sizes)}")
    return tuple(integer(f"sizes[{i}]", size) for i, size in enumerate(sizes))


def precision(value) -> np.dtype:
    """The dtype, float32 or float64, that is meant by a name, a type or a dtype."""
    if value is None:
        raise TypeError("dtype must be 'float32' or 'float64', got None")
    try:
        dtype = np.dtype(value)
    except TypeError as error:
        raise TypeError(f"dtype must be 'float32' or 'float64', got {value!r}") from error
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype.name!r}")
    return dtype


def scale_of_inputs(value, dtype: np.dtype) -> float:
    """`input_scale` of a network, as its dtype holds it: not so small that nothing is left, nor so large that inputs overflow."""
    return float(dtype.type(real("input_scale", value, least=float(np.finfo(dtype).tiny), most=1.0)))


def is_plain(array: np.ndarray) -> bool:
    """Whether an array of float32 or float64 is as the kernels take it: C-contiguous, and all its numbers are finite."""
    try:
        if array.nbytes > PART_BYTES and array.flags.c_contiguous:
            parts = array.reshape(-1)
            count = PART_BYTES // array.itemsize
            return all(all_finite[array.dtype](parts[start : start + count]) for start in range(0, parts.size, count))
        return all_finite[array.dtype](array)
    except TypeError:
        return False


def refuse_masked(name: str, value) -> None:
    """Raise for a masked array, or a list with one, in which there is a masked value."""
    parts = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        own = name.partition(" (")[0]  # without the rows that those of streams name
        raise ValueError(f"{name} is a masked array, whose mask would be ignored; fill it first, e.g. with {own}.filled()")


def refuse_stream(name: str, value) -> None:
    """Raise for a stream, where all samples are needed at once."""
    if isinstance(value, Source):
        raise TypeError(f"{name} is a stream, which is not taken here: give arrays")


def numbers(name: str, value, dtype, kept=()) -> np.ndarray:
    """`value` as a C-contiguous array of finite numbers of a dtype, or its own if that is `kept`; not copied where it is one."""
    if type(value) is np.ndarray and value.dtype == dtype and value.size and is_plain(value):
        return value  # what nearly all calls pass, told in a quarter of a microsecond
    refuse_masked(name, value)
    refuse_stream(name, value)
    if hasattr(value, "toarray"):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray()")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from error
    if array.dtype.kind in "cmMV":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.dtype.kind in "SUT" or (array.dtype == object and any(isinstance(each, str | bytes) for each in array.flat)):
        raise ValueError(f"{name} must hold numbers, got strings; convert them first")
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except OverflowError as error:
            raise ValueError(f"{name} holds a value too large for dtype {np.dtype(dtype).name}") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}: {error}") from error
    if array.size == 0:
        raise ValueError(f"{name} is empty: shape {array.shape}")
    if array.dtype in kept:
        array = np.ascontiguousarray(array).reshape(array.shape)
        if array.dtype == np.float16 and not _are_finite_halves(array):
            raise ValueError(NOT_FINITE.format(name))
        return array
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype)
    if not is_plain(converted):  # without an array of truths, which would take a quarter of X
        if array.dtype.kind in "biu" or np.isfinite(array).all():
            raise ValueError(f"{name} holds a value too large for dtype {np.dtype(dtype).name}")
        raise ValueError(NOT_FINITE.format(name))
    return converted.reshape(array.shape)


def _are_finite_halves(array) -> bool:
    """Whether all numbers of float16 are finite: by their bits, which is five times as fast as NumPy's own look at each."""
    bits = array.reshape(-1).view(np.uint16)
    parts = (bits[start : start + TOGETHER] for start in range(0, bits.size, TOGETHER))
    return all((part & SIZE_OF_HALF).max() < INFINITE_HALF for part in parts)


def samples(name: str, value, n_features: int, dtype):
    """`value` as a (n_samples, n_features) matrix, of dtype or of one of those `KEPT`, or as `CompressedRows` if it is sparse."""
    if type(value) is sparsity.CompressedRows:
        return value
    if type(value) is not np.ndarray and hasattr(value, "tocsr"):
        return compressed(name, value, n_features, dtype)
    return matrix(name, numbers(name, value, dtype, KEPT), n_features)


def dense_samples(name: str, value, n_features: int, dtype) -> np.ndarray:
    """`samples` with their zeros."""
    return sparsity.dense(samples(name, value, n_features, dtype))


def compressed(name: str, value, n_features: int, dtype):
    """A sparse matrix (n_samples, n_features) as `CompressedRows`, or as an array if too few of its numbers are zero."""
    if value.shape[0] == 0:
        raise ValueError(f"{name} is empty: shape {value.shape}")
    return sparsity.rows_of(name, matrix(name, value, n_features), lambda array: numbers(name, array, dtype))


def matrix(name: str, array, n_features: int):
    """An array (or sparse matrix) after checking that it is (n_samples, n_features)."""
    if array.ndim != 2:
        own = name.partition(" (")[0]
        hint = f"; reshape it with {own}.reshape(-1, 1) or {own}.reshape(1, -1)" if array.ndim == 1 else ""
        raise ValueError(f"{name} must be two-dimensional (n_samples, {n_features}), got shape {array.shape}{hint}")
    if array.shape[1] != n_features:
        raise ValueError(f"{name} has {array.shape[1]} columns, but the network has {n_features} inputs")
    return array


def class_numbers(name: str, value, n_samples: int, n_classes: int) -> np.ndarray:
    """`value` as int64 class numbers in [0, n_classes)."""
    array = numbers(name, value, np.float64)
    if array.shape != (n_samples,):
        raise ValueError(f"{name} must have one label a sample: shape ({n_samples},), got {array.shape}")
    if (np.floor(array) != array).any():
        raise ValueError(f"{name} must hold whole class numbers")
    if array.min() < 0 or array.max() >= n_classes:
        span = f"{array.min():g} to {array.max():g}"
        raise ValueError(f"{name} holds labels from {span}, but the network has classes 0 to {n_classes - 1}")
    return array.astype(np.int64)


def targets(name: str, value, n_samples: int, n_outputs: int, task: str, dtype) -> tuple[np.ndarray, np.ndarray]:
    """(rows, labels): targets as a (n_samples, n_outputs) matrix, or as class numbers; the other of the two is empty.

    Class numbers are taken where `task` is "labels" and `value` has one dimension.
    """
    if task == "labels" and n_outputs > 1:
        is_array = type(value) is np.ndarray and value.dtype == np.int64 and value.flags.c_contiguous
        if is_array and value.shape == (n_samples,) and n_samples and all_below["float64"](value, n_outputs):
            return NOTHING[dtype], value
        array = numbers(name, value, np.float64)
        if array.shape == (n_samples, 1):
            raise ValueError(f"{name} must have one dimension for class numbers, got shape {array.shape}: pass {name}.ravel()")
        if array.ndim == 1:
            return NOTHING[dtype], class_numbers(name, array, n_samples, n_outputs)
    array = numbers(name, value, dtype)
    if array.ndim == 1 and n_outputs == 1:
        array = array.reshape(-1, 1)
    if array.shape != (n_samples, n_outputs):
        raise ValueError(f"{name} must have shape ({n_samples}, {n_outputs}), got {array.shape}")
    if task == "regression":
        return array, NO_LABELS
    if task == "labels" and (array.min() < 0 or not np.allclose(array.sum(axis=1), 1, atol=1e-3)):
        raise ValueError(f"{name} must hold class numbers, or rows of probabilities that are >= 0 and add up to 1")
    if task == "not_negative" and array.min() < 0:
        raise ValueError(f"{name} must not be negative for this loss, got {array.min():g}")
    if task == "positive" and array.min() <= 0:
        raise ValueError(f"{name} must be positive for this loss, got {array.min():g}")
    if task == "binary" and (array.min() < 0 or array.max() > 1):
        raise ValueError(f"{name} must be between 0 and 1 for binary cross-entropy, got {array.min():g} to {array.max():g}")
    return array, NO_LABELS


def weights_of_samples(value, n_samples: int, name: str = "sample_weight") -> np.ndarray:
    """Sample weights (n_samples,), float64, none negative and not all zero; empty if not given."""
    if value is None:
        return NO_WEIGHTS
    array = some_weights(value, n_samples, name)
    if not array.any():
        raise ValueError(f"{name} must not be all zero")
    return array


def some_weights(value, n_samples: int, name: str) -> np.ndarray:
    """The same of samples that are not all there are, and may all weigh nothing."""
    array = numbers(name, value, np.float64)
    if array.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), got {array.shape}")
    if array.min() < 0:
        raise ValueError(f"{name} must not be negative, got {array.min():g}")
    return array


weights_of_samples = again(weights_of_samples, AGAIN_IN_STEP)


def with_finite_sums(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights divided by a power of two, and it, so that their sums and the inverses of these are finite, too."""
    if not weights.size or SMALLEST_WEIGHT < weights.max() < LARGEST_WEIGHT:
        return weights, 1.0
    exponent = int(np.frexp(weights.max())[1]) - 1
    return np.ldexp(weights, -exponent), 2.0**exponent


def row_order(value, epochs: int, n_samples: int, name: str = "order") -> np.ndarray:
    """Row numbers (epochs or 1, m) of an explicit order."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of integers: {error}") from error
    if array.size and array.dtype.kind not in "iu":
        hint = f"; the rows of a mask are np.flatnonzero({name})" if array.dtype == bool else ""
        raise TypeError(f"{name} must hold integers, got dtype {array.dtype}{hint}")
    if array.ndim not in (1, 2) or array.size == 0 or (array.ndim == 2 and array.shape[0] != epochs):
        raise ValueError(f"{name} must have shape (m,) or ({epochs}, m) with m >= 1, got {array.shape}")
    if array.min() < 0 or array.max() >= n_samples:
        raise ValueError(f"{name} holds rows from {array.min()} to {array.max()}, but there are rows 0 to {n_samples - 1}")
    return np.array(array.reshape(-1, array.shape[-1]), np.int32, order="C")


def finite_parameters(name: str, vector: np.ndarray) -> None:
    """Raise if a training would begin with parameters that are not finite, and has none to go back to."""
    if not is_plain(vector):
        raise ValueError(f"{name} must be finite before training begins, but NaN or infinity is among them: set others")


def generator(value) -> np.random.Generator:
    """The generator meant by None, a seed or a generator."""
    try:
        return np.random.default_rng(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rng must be None, an integer >= 0 or a numpy.random.Generator, got {value!r}") from error


def generators(rng, count: int) -> list[np.random.Generator]:
    """A generator for each of `count` networks."""
    if isinstance(rng, list | tuple | np.ndarray) and np.ndim(rng) > 0:
        if len(rng) != count:
            raise ValueError(f"rng must be one seed or generator, or one for each of the {count} networks, got {len(rng)}")
        return [generator(each) for each in rng]
    return generator(rng).spawn(count)


def functions(name: str, value) -> tuple:
    """`value`, an iterable of callables, as a tuple."""
    try:
        items = tuple(value)
    except TypeError as error:
        raise TypeError(f"{name} must be a list of functions, got {value!r}") from error
    for item in items:
        if not callable(item):
            raise TypeError(f"{name} must hold functions, got {item!r}")
    return items
