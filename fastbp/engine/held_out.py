"""Samples that a fit is judged by, and not trained on."""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from fastbp.engine import metrics, validation
from fastbp.engine.evaluation import Evaluation
from fastbp.engine.run_state import fingerprint
from fastbp.engine.sparsity import CompressedRows
from fastbp.engine.stream_evaluation import StreamEvaluation
from fastbp.engine.stream_reading import reading
from fastbp.streams import Source


class HeldOut(NamedTuple):
    """Samples that have passed validation."""

    rows: np.ndarray | CompressedRows
    targets: np.ndarray  # numbers (n_samples, n_outputs), or class numbers (n_samples,)
    weights: np.ndarray  # (n_samples,), or empty


class Judge:
    """Loss and score of a network on samples that are held out, as often as its parameters change.

    Parameters
    ----------
    net : Network
    held_out : HeldOut or Source
        A source that is being read.
    n_threads : int, optional
        Threads at most.
    """

    def __init__(self, net, held_out, n_threads):
        self._task, self._held_out = net.loss_function.task, held_out
        self._evaluation: Evaluation | StreamEvaluation
        if isinstance(held_out, Source):
            with naming():
                self._evaluation = StreamEvaluation(net, held_out, n_threads)
            return
        rows, targets, weights = held_out
        values, labels = (None, targets) if targets.ndim == 1 else (targets, None)
        self._evaluation = Evaluation(net, rows, values, labels, weights, n_threads=n_threads)

    def measure(self) -> tuple[float, float]:
        """Loss and score now."""
        if isinstance(self._evaluation, StreamEvaluation):
            with naming():
                return self._evaluation.measure()
        _, targets, weights = self._held_out
        loss = self._evaluation.loss()
        return loss, metrics.score(self._task, self._evaluation.outputs, targets, weights if weights.size else None)

    def close(self):
        """Let the threads of evaluations go."""
        self._evaluation.close()


@contextmanager
def naming(name: str = "validation_data"):
    """Let errors of a stream say which one it is."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if type(error) not in (ValueError, TypeError):
            raise
        raise type(error)(f"{name}: {error}") from error


def given_or_stream(net, data) -> HeldOut | Source | None:
    """`validation_data` of a fit, checked, where it may be a stream, too."""
    if not isinstance(data, Source):
        return given(net, data)
    if net.encoder:
        raise TypeError("validation_data must be arrays: a TabularNetwork takes no stream")
    if data.chunk_rows or data.names is not None:  # what comes from an iterator is looked at where it is kept
        with naming(), reading(data):
            StreamEvaluation(net, data)  # which looks at a row
    return data


def fingerprint_of(arrays, judged) -> str:
    """What tells data and those that are held out from others; of a stream, its shapes."""
    if isinstance(judged, Source):
        return f"{fingerprint(arrays)} {judged.describe()}"
    return fingerprint([*arrays, *arrays_of(judged)])


def arrays_of(rows):
    """What rows, or samples that are held out, consist of."""
    if isinstance(rows, HeldOut):
        return [*arrays_of(rows.rows), rows.targets, rows.weights]
    return [rows.values, rows.columns, rows.starts] if hasattr(rows, "columns") else [rows]


def given(net, data) -> HeldOut | None:
    """`validation_data` of a fit, checked; None if there is none."""
    if data is None:
        return None
    if isinstance(data, Source):
        raise TypeError("validation_data is a stream, which only a Network that is trained by mini-batches takes: give (X, y)")
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
