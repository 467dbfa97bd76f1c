"""Fits on a stream of blocks, which need not fit in memory: what the estimators do where X is made by `fastbp.stream`."""

from contextlib import ExitStack
from copy import deepcopy
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from fastbp.engine import sparsity
from fastbp.engine.evaluation import Evaluation
from fastbp.engine.held_out import naming
from fastbp.engine.regularization import drops_inputs
from fastbp.engine.rule import RunningRule
from fastbp.engine.session import rows_upto
from fastbp.engine.stream_evaluation import StreamEvaluation, by_blocks
from fastbp.engine.stream_reading import NO_TARGETS, Checks, blocks_of, reading, require_names
from fastbp.engine.stream_run import UNKNOWN
from fastbp.estimators import _parameters
from fastbp.estimators._checks import NO_WEIGHT
from fastbp.estimators._classes_of_streams import ChecksOfClasses, find_classes
from fastbp.estimators._held_out import without_names
from fastbp.estimators._orders import draw_orders
from fastbp.estimators._stochastic import EPOCHS_TOGETHER, ORDER_NUMBERS, Fit, clipped_batch_size
from fastbp.estimators._training_data import report_factor
from fastbp.streams.blocks import Epochs, Orders
from fastbp.streams.source import names_of


class Given:
    """A stream that is given to a fit, after a look at its first rows and, of classes, at its targets.

    Parameters
    ----------
    estimator : MultilayerPerceptron
    source : Source
        It is being read.
    y, sample_weight : None
        What a stream has, and is not given besides.
    incremental : bool
        Whether that is a call of `partial_fit`.
    classes : array_like, optional
        All that there are.
    first : bool
        Whether the estimator begins anew.

    Attributes
    ----------
    rows, matrix : ndarray (0, n_features), (0, n_outputs)
        What stands for samples and targets where only their widths and dtypes count.
    """

    def __init__(self, estimator, source, y, sample_weight, incremental, classes, first):
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(f"{name} must be left out for a stream, which has its own: give it to stream.")
        _refuse(estimator, incremental)
        self.estimator, self.source = estimator, source
        seen = source.look()
        X = np.asarray(seen.X)
        if X.ndim != 2 or not X.shape[1]:
            raise ValueError(f"X ({seen.where}) must be two-dimensional, of one column at least, got shape {X.shape}.")
        if seen.y is None:
            raise ValueError(f"{NO_TARGETS.format(seen.where)}.")
        _take_features(estimator, X.shape[1], source.names or names_of(seen.X), first)
        self.rows = np.empty((0, X.shape[1]), estimator._precision() or (np.float32 if X.dtype == np.float32 else np.float64))
        n_outputs = 1 if np.ndim(seen.y) < 2 else np.shape(seen.y)[1]
        if not n_outputs:
            raise ValueError(f"y ({seen.where}) must have one column at least, got shape {np.shape(seen.y)}.")
        self._weights: Any = None  # of the classes
        if is_classifier(estimator):
            n_outputs, self._weights = find_classes(estimator, source, n_outputs, incremental, classes)
        self.matrix = np.empty((0, n_outputs))

    def checks(self, net):
        """What looks at each part, in the thread that reads."""
        return _checks_of(net, self.estimator, self._weights)


def _refuse(estimator, incremental):
    """Raise for what needs all rows at once."""
    if _parameters.takes_all(estimator):
        raise ValueError(
            f"solver={estimator.solver!r} takes all samples at once, and no stream: choose 'adam' or another, or give arrays."
        )
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")


def _take_features(estimator, count, names, first):
    """Note the width of X and the names of its columns, or compare them with those of the fit before."""
    if first or not hasattr(estimator, "n_features_in_"):
        estimator.n_features_in_ = count
        if names is not None:
            estimator.feature_names_in_ = np.asarray(names, object)
        else:
            estimator.__dict__.pop("feature_names_in_", None)
    elif count != estimator.n_features_in_:
        raise ValueError(
            f"X has {count} features, but {type(estimator).__name__} is expecting {estimator.n_features_in_} features as input."
        )
    else:
        _require_names(estimator, names)


def _require_names(estimator, names, what="columns"):
    """Raise where columns have names, and others than those of the fit had, or another order."""
    require_names(getattr(estimator, "feature_names_in_", None), names, what)


class HeldOutStream:
    """A stream that is held out, judged as `HeldOut` is.

    Parameters
    ----------
    estimator : MultilayerPerceptron
    net : Network
    source : Source
        It is being read.
    """

    def __init__(self, estimator, net, source):
        if estimator.scoring is not None:
            raise ValueError("scoring needs arrays: leave it out, or give X_val and y_val that fit in memory.")
        _require_names(estimator, source.names)
        self.evaluation = StreamEvaluation(net, source, estimator.n_threads, _checks_of(net, estimator), report_factor(net))

    def judge(self, estimator, net) -> tuple[float, float]:
        """Loss without penalty, and score, of the estimator as it is now."""
        with naming("X_val"):
            return self.evaluation.measure()

    def close(self):
        """Nothing is left."""


class _Shuffles(Orders):
    """Orders by calls of ``rng.shuffle`` of a copy of a generator, as scikit-learn draws them for arrays."""

    def __init__(self, rng, seed):
        super().__init__(seed)
        self._rng, self._rows = deepcopy(rng), None
        self.states: dict[int, Any] = {}  # of the generator, after the order of an epoch has been drawn

    def over_all(self, count, epoch):
        """The order of an epoch; epochs come one after another."""
        if self._rows is None or len(self._rows) != count:
            self._rows = rows_upto(count)
        order = np.empty((1, count), np.int32)
        draw_orders(self._rng, self._rows, order)
        self.states[epoch] = self._rng.get_state()
        return order[0]


def prepare_stream(estimator, net, given, held_out, rng, tasks, incremental, extra):
    """The function that trains on a stream; its first block has been read and checked."""
    source = given.source
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = RunningRule(_parameters.update_rule(estimator))
    if estimator.early_stopping and held_out is None:
        raise ValueError(
            "early_stopping=True sets samples aside, which a stream does not: give X_val (and y_val, or another stream)."
        )
    schedule = _parameters.schedule(estimator)
    if source.n_rows is None and schedule is not None and schedule.per_step:
        raise ValueError(UNKNOWN.format(f"learning_rate={estimator.learning_rate!r}"))
    batch = clipped_batch_size(estimator.batch_size, source.n_rows)
    state = rng.get_state()
    dropout_seed = int(rng.randint(np.iinfo(np.int64).max, dtype=np.int64)) if extra.dropout else 0
    orders = None
    if estimator.shuffle:
        # single rows need no more than the order of all, and then draw as arrays do
        seed = 0 if source.chunk_rows == 1 else int(rng.randint(np.iinfo(np.int64).max, dtype=np.int64))
        orders = _Shuffles(rng, seed)
    stack, rows = ExitStack(), Epochs(source, given.checks(net), batch, orders)
    try:
        blocks = stack.enter_context(blocks_of(rows, 0, 1 if incremental else estimator.max_iter))
        block = next(blocks)
        n_threads = 1 if incremental and estimator.n_threads is None else estimator.n_threads
        entries = None if drops_inputs(extra) else sparsity.entries_for(net, block.data[0])
        session = estimator._optimizer.open(net, batch, block.data[0], entries, n_threads, plain=False, extra=extra)
        fit = StreamFit(estimator, net, session, given, held_out, rng, tasks, incremental, (rows, blocks, [block]), dropout_seed)
    except BaseException:
        stack.close()
        rng.set_state(state)
        raise
    del block

    def train():
        try:
            with stack:
                fit.run()
        finally:
            session.release_data()
            estimator._optimizer.close()

    return train


class StreamFit(Fit):
    """One call of fit, or of partial_fit, on a stream: one epoch after another."""

    def __init__(self, estimator, net, session, given, held_out, rng, tasks, incremental, blocks, seed):
        self._given, (self._rows_of_epochs, self._blocks, self._first) = given, blocks
        self._shuffles = self._rows_of_epochs.orders
        self._done = 0
        # epochs whose masks are drawn by one seed, as of arrays
        self._grouped = min(EPOCHS_TOGETHER, estimator.max_iter, max(1, ORDER_NUMBERS // (given.source.n_rows or ORDER_NUMBERS)))
        super().__init__(estimator, net, session, held_out, rng, tasks, incremental)
        self.seed, self.together = seed, 1

    def _give_data(self):
        """Nothing: `_epochs` does, for each block."""

    def _steps(self):
        return -(-(self._given.source.n_rows or 1) // self.session.batch)

    def _rooms(self):
        return 2  # see `TrainingSession.set_block`

    def _set_rates(self):
        self._fill_rates(self.session.rates.reshape(2, -1)[1:])

    def _epochs(self, count) -> bool:
        session, epoch = self.session, self._done % self._grouped
        if epoch == 0:
            self._seed_now = (self.seed + int(self.estimator.t_)) % (1 << 63)
        session.begin(self._seed_now, epoch)
        session.plan.origin = epoch - 1
        self.count, self.taken = epoch + 1, epoch
        self._set_rates()
        self.tasks.begin_epoch()
        weighs = False
        try:
            while True:
                block = self._first.pop() if self._first else next(self._blocks)
                session.set_block(block.data, block.order, epoch, block.first, block.is_last)
                weighs |= not len(block.data[3]) or bool(block.data[3].any())
                self.supervisor.run_rows(block.last)
                last = block.last if block.is_last else 0
                del block
                session.release_data()
                if last:
                    break
            if not weighs:
                self.taken = session.epoch  # which is none
                is_by_class = getattr(self.estimator, "class_weight", None) is not None
                raise ValueError(NO_WEIGHT if is_by_class else "sample_weight must not be all zero in an epoch.")
            self.rows_of_epoch = last
            return self._after(epoch, epoch + 1, [perf_counter()])
        finally:
            self._take()
            if self._shuffles is not None and self.taken > epoch and self._done in self._shuffles.states:
                self.rng.set_state(self._shuffles.states.pop(self._done))
            self._done += self.taken - epoch

    def _evaluation(self):
        """Of the first rows, which stand for all; None where they are not to be had a second time."""
        source, net = self._given.source, self.net
        self._blocks.close()
        try:
            part = source.look()
        except ValueError:
            return None
        if source.chunk_rows:
            part = source.read([(0, min(source.n_rows, source.block_of(self._rows_of_epochs.batch, source.row_bytes)))])
        rows, values, labels, weights = self._given.checks(net)(part)
        evaluation = Evaluation(net, rows, values, labels, weights, n_threads=1)
        evaluation.session.set_report(report_factor(net))
        return evaluation


def outputs_of(estimator, source, outputs):
    """What ``outputs(estimator, rows)`` makes of the rows of each block, the estimator looking at them as at arrays."""
    nothing, same = np.empty(0), without_names(estimator)

    def of_block(block):
        try:
            return outputs(same, block.data[0])
        except (ValueError, TypeError) as error:
            if type(error) not in (ValueError, TypeError):
                raise
            raise type(error)(f"rows {block.first} to {block.last - 1} of the stream: {error}") from error

    _require_names(estimator, source.names)

    def check(part):
        _require_names(estimator, names_of(part.X), f"columns of X ({part.where})")
        return np.asarray(part.X), nothing, nothing, nothing

    return by_blocks(source, check, of_block)


def score_of(estimator, source) -> float:
    """Accuracy or R^2 of an estimator on a stream; samples count by their weights."""
    if estimator.n_networks > 1:
        raise ValueError(
            "score needs arrays where n_networks is above 1: give X and y, or compare what predict gives for a stream."
        )
    estimator._require_fitted()
    _require_names(estimator, source.names)
    net = estimator._net()
    with reading(source):
        score = StreamEvaluation(net, source, estimator.n_threads, _checks_of(net, estimator)).measure()[1]
    # where there is one class, that is what is predicted, whatever the network says
    return 1.0 if is_classifier(estimator) and len(estimator.classes_) == 1 else score


def _checks_of(net, estimator, weights=None):
    if is_classifier(estimator):
        return ChecksOfClasses(net, estimator, weights)
    return Checks(net, getattr(estimator, "feature_names_in_", None))
