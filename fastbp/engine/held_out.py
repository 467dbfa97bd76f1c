"""Samples that a fit is judged by, and not trained on."""

from fastbp.engine import validation


def given(net, data):
    """`validation_data` of a fit, checked: rows, and targets or labels; None if there is none."""
    if data is None:
        return None
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError("validation_data must be a pair (X, y)")
    rows = validation.samples("validation_data[0]", data[0], net.sizes[0], net.dtype)
    values, labels = validation.targets("validation_data[1]", data[1], len(rows), net.sizes[-1], net.loss_function.task, net.dtype)
    return rows, labels if labels.size else values


def count_of(fraction, n_samples) -> int:
    """Of so many samples, how many are kept for validation."""
    count = round(fraction * n_samples)
    if fraction > 0 and not 0 < count < n_samples:
        raise ValueError(f"validation_fraction must leave rows on both sides, got {fraction:g} of {n_samples} rows")
    return count


def split(rng, rows, values, labels, weights, count):
    """The samples to train on, and `count` others, drawn at random, to judge by."""
    before = rng.bit_generator.state
    mixed = rng.permutation(len(rows))
    kept, held = mixed[count:], mixed[:count]
    if len(weights) and not weights[kept].any():
        rng.bit_generator.state = before
        raise ValueError("sample_weight must not be all zero for the rows that validation_fraction leaves for training")
    part = [array[kept] if len(array) else array for array in (rows, values, labels, weights)]
    return *part, (rows[held], labels[held] if labels.size else values[held])
