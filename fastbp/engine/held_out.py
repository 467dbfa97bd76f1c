"""Samples that a fit is judged by, and not trained on."""

from typing import NamedTuple

import numpy as np

from fastbp.engine import validation
from fastbp.engine.sparsity import CompressedRows


class HeldOut(NamedTuple):
    """Samples that have passed validation."""

    rows: np.ndarray | CompressedRows
    targets: np.ndarray  # numbers (n_samples, n_outputs), or class numbers (n_samples,)
    weights: np.ndarray  # (n_samples,), or empty


def given(net, data) -> HeldOut | None:
    """`validation_data` of a fit, checked; None if there is none."""
    if data is None:
        return None
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise TypeError("validation_data must be (X, y) or (X, y, sample_weight)")
    rows = net._samples("validation_data[0]", data[0])
    values, labels = validation.targets("validation_data[1]", data[1], len(rows), net.sizes[-1], net.loss_function.task, net.dtype)
    weights = validation.weights_of_samples(data[2] if len(data) == 3 else None, len(rows), "validation_data[2]")
    return HeldOut(rows, labels if labels.size else values, weights)


def count_of(fraction, n_samples) -> int:
    """Of so many samples, how many are kept for validation."""
    count = round(fraction * n_samples)
    if fraction > 0 and not 0 < count < n_samples:
        raise ValueError(f"validation_fraction must leave rows on both sides, got {fraction:g} of {n_samples} rows")
    return count


def split(rng, n_samples: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the samples to train on, and `count` others, drawn at random, to judge by."""
    mixed = rng.permutation(n_samples).astype(np.int32)
    return mixed[count:], mixed[:count]
