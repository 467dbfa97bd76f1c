"""What a network says of a stream, block by block, and how well: its outputs, and their loss and score."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine import metrics
from fastbp.engine.evaluation import Evaluation
from fastbp.engine.stream_reading import Checks, ChecksOfInputs, blocks_of, reading
from fastbp.streams import Source
from fastbp.streams.blocks import Block, Check, Epochs


class StreamEvaluation:
    """Loss and score of a network on a stream that is being read, in one pass, as often as its parameters change.

    Parameters
    ----------
    net : Network
    source : Source
    n_threads : int, optional
        Threads at most.
    checks : Checks, optional
        Others than those of the network.
    factor : float, default 1
        Of the loss that is reported.
    """

    def __init__(
        self, net: Any, source: Source, n_threads: int | None = None, checks: Check | None = None, factor: float = 1.0
    ) -> None:
        self._net, self._n_threads, self._factor = net, n_threads, factor
        self._rows = Epochs(source, checks or Checks(net), 1, None)
        self._passes = 0
        self._rows.check(source.look())

    def measure(self) -> tuple[float, float]:
        """Mean loss of the samples, and their score, now."""
        tally, sum_of_losses, session = metrics.Tally(self._net.loss_function.task), 0.0, _Blocks(self._net, self._n_threads)
        self._passes += 1
        try:
            with blocks_of(self._rows, self._passes - 1, self._passes) as blocks:
                for block in blocks:
                    values, labels, weights = block.data[1:]  # no name for the rows, which would keep them while the next come
                    loss, outputs = session.loss(block, self._factor)
                    weight = tally.add(outputs, labels if len(labels) else values, weights if len(weights) else None)
                    sum_of_losses += weight * loss if weight else 0.0
                    del block, values, labels, weights
        finally:
            session.close()
        score = tally.value()
        return sum_of_losses / tally.weight, score

    def close(self) -> None:
        """Nothing is left between two passes."""


class _Blocks:
    """Evaluations of blocks of one size, and of a last one that is shorter."""

    def __init__(self, net: Any, n_threads: int | None) -> None:
        self._net, self._n_threads = net, n_threads
        self._evaluation: Evaluation | None = None

    def loss(self, block: Block, factor: float) -> tuple[float, np.ndarray]:
        rows, values, labels, weights = block.data
        found = self._evaluation
        if found is None or found.session.batch != len(rows):
            self.close()
            found = self._evaluation = Evaluation(self._net, rows, values, labels, weights, self._n_threads)
            found.session.set_report(factor)
        else:
            found.session.set_data(rows, values, labels, weights)
            found.session.set_outputs(found.outputs)
        loss = found.loss()
        found.session.release_data()
        return loss, found.outputs

    def close(self) -> None:
        if self._evaluation is not None:
            self._evaluation.close()
            self._evaluation = None


def outputs_of(net: Any, source: Source, n_threads: int | None) -> np.ndarray:
    """Outputs (n_samples, n_outputs) of a network for the inputs of a stream; nothing else of it is looked at."""
    if net.encoder:
        raise TypeError("X must be arrays: a TabularNetwork takes no stream")
    return by_blocks(source, ChecksOfInputs(net), lambda block: net._outputs(block.data[0], n_threads))


def by_blocks(source: Source, check: Check, outputs: Callable[[Block], np.ndarray]) -> np.ndarray:
    """What a function makes of each block, an array with a row for each of it, one after another."""
    whole, parts, done = None, [], 0
    with reading(source), blocks_of(Epochs(source, check, 1, None), 0, 1) as blocks:
        for block in blocks:
            part = outputs(block)
            del block
            if source.n_rows is None:
                parts.append(part)
                continue
            if whole is None:
                whole = np.empty((source.n_rows, *part.shape[1:]), part.dtype)
            whole[done : done + len(part)] = part
            done += len(part)
    return np.concatenate(parts) if whole is None else whole


def measured(net: Any, source: Source) -> tuple[float, float]:
    """Loss and score of a network on a stream."""
    if net.encoder:
        raise TypeError("X must be arrays: a TabularNetwork takes no stream")
    with reading(source):
        return StreamEvaluation(net, source).measure()
