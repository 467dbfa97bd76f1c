"""Many fits whose networks have one shape, trained together: those of a search, or the members of an ensemble.

Each network begins with the weights that its estimator draws, and visits the samples in the orders that it draws, so that it
becomes what a fit of the estimator alone makes of it, to rounding.
"""

from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from fastbp import optimizers
from fastbp.engine import threads
from fastbp.engine.abreast import Crowd, is_abreast, samples_of
from fastbp.engine.regularization import NOTHING
from fastbp.engine.session import rows_upto
from fastbp.engine.validation import NO_LABELS, NO_WEIGHTS, with_finite_sums
from fastbp.estimators._base import COUNTED, PENDING
from fastbp.estimators._callbacks import Unwatched
from fastbp.estimators._orders import draw_orders
from fastbp.estimators._parameters import hidden_sizes, regularization_of, schedule, update_rule
from fastbp.estimators._stochastic import EPOCHS_TOGETHER, HOPELESS, LARGE
from fastbp.estimators._training_data import TrainingData, report
from fastbp.kernels.plan import DIVERGED, GIVEN, RUNNING, Reals

OWN = ("alpha", "learning_rate_init", "random_state", "hidden_layer_sizes")  # what networks on the same samples may differ in
ORDER_NUMBERS = 1 << 24  # of all orders that are drawn at a time, at most
WAITED = Reals.places["waited"]


def may_be_together(estimator) -> bool:
    """Whether the estimator asks for nothing that each network has to be trained alone for."""
    if estimator.solver not in optimizers.OPTIMIZERS.names or estimator.early_stopping or estimator.verbose:
        return False
    given = schedule(estimator)
    return not (estimator.learning_rate == "adaptive" if given is None and estimator.solver == "sgd" else given and given.per_step)


class Samples:
    """What estimators that differ in `OWN` only are trained on, checked once.

    Parameters
    ----------
    estimator : MultilayerPerceptron
        One of them, which then has all that a fit sets but what training does.
    X, y, sample_weight, held_out
        As of its ``_fit``.
    """

    data: TrainingData
    validation: Any

    def __init__(self, estimator, X, y, sample_weight=None, held_out=(None, None)):
        self.estimator = estimator = _like(estimator, {"random_state": 0})  # a generator is not drawn from
        # that weights are drawn in: lbfgs has another
        self.dtype = estimator._precision() or np.dtype(np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64)
        self._starts: dict[tuple, Start] = {}
        estimator._fit(X, y, sample_weight, held_out, later=self._take)

    def _take(self, net, data, validation):
        self.net, self.data, self.validation = net, data, validation

    def fit_of(self, own) -> "Fit":
        """The fit of the estimator with these parameters, among them `random_state`."""
        estimator = _like(self.estimator, own)
        hidden, seed = hidden_sizes(estimator.hidden_layer_sizes), estimator.random_state
        if seed is None:
            return Fit(estimator, Start(self, estimator, hidden))
        key = (
            *hidden,
            seed if isinstance(seed, int | np.integer) else str(seed.get_state()[1:]) + seed.get_state()[1].tobytes().hex(),
        )
        if key not in self._starts:
            self._starts[key] = Start(self, estimator, hidden)
        return Fit(estimator, self._starts[key])


def _like(estimator, parameters):
    """An estimator with the same attributes but those of training, and these parameters."""
    same = object.__new__(type(estimator))
    left = {*PENDING, *COUNTED, "coefs_", "intercepts_", "_optimizer"}
    same.__dict__.update((name, value) for name, value in vars(estimator).items() if name not in left)
    same.__dict__.update(parameters)
    return same


class Start:
    """First weights, and orders of the samples, of all fits with one shape and one random state.

    Parameters
    ----------
    samples : Samples
    estimator : MultilayerPerceptron
        One of the fits'.
    hidden : list of int
    """

    def __init__(self, samples, estimator, hidden):
        self.samples = samples
        # a generator of its own: with None, fits alone would draw from one after the other
        seed = estimator.random_state
        self.rng = np.random.RandomState(check_random_state(None).randint(1 << 31 - 1)) if seed is None else _generator(seed)
        drawn = _like(estimator, {})
        drawn._initialize([samples.net.sizes[0], *hidden, samples.net.sizes[-1]], samples.dtype, self.rng)
        self.net = drawn._net()
        self.fitted = {name: getattr(drawn, name) for name in ("n_outputs_", "n_layers_", "out_activation_")}
        self.state = self.rng.get_state()
        self.rows = rows_upto(len(samples.data))

    @cached_property
    def kind(self) -> tuple | None:
        """What fits that can be trained together have in common; None if this is trained alone."""
        estimator, data, net = self.samples.estimator, self.samples.data, self.net
        if not may_be_together(estimator) or self.samples.validation is not None:
            return None
        if not isinstance(estimator.batch_size, str) and estimator.batch_size > len(data):  # of which a warning tells
            return None
        is_dense = type(data.X) is np.ndarray and data.entries(net) is None
        if not is_dense or regularization_of(estimator, len(net.sizes) - 2) != NOTHING or not is_abreast(net, len(data)):
            return None
        settings = ("max_iter", "shuffle", "n_iter_no_change", "n_threads")
        own = [(type(each), repr(each)) for each in (net.loss_function, net.output, *net.hidden)]
        batch_size = self.batch_size if self.batch_size < len(self.rows) else 0  # whole epochs, though they differ in length
        asked = (getattr(estimator, name) for name in settings)
        return repr(net), type(update_rule(estimator)), *own, batch_size, *asked, data.weights is None

    @property
    def batch_size(self) -> int:
        """Samples in a mini-batch."""
        count, value = len(self.rows), self.samples.estimator.batch_size
        return min(200 if isinstance(value, str) else int(value), count)

    def orders(self, count, offset) -> np.ndarray:
        """The rows of so many more epochs (count, m), or of all (1, m), `offset` being the first there is."""
        if not self.samples.estimator.shuffle:
            return self.rows[None] + offset
        found = np.empty((count, len(self.rows)), np.int32)
        draw_orders(self.rng, self.rows, found)
        found += offset
        return found


def _generator(seed) -> np.random.RandomState:
    """A generator as `seed` is now; a generator stays as it is."""
    if not isinstance(seed, np.random.RandomState):
        return check_random_state(seed)
    rng = np.random.RandomState()
    rng.set_state(seed.get_state())
    return rng


@dataclass
class Fit:
    """One fit: an estimator with the first weights.

    Attributes
    ----------
    is_done : bool
        Whether it is trained. Else, as after divergence, `alone` does that, and says what there is to say.
    is_told : bool
        Whether there is nothing to say about its end, or it has been said.
    seconds : float
        Its share of the time.
    """

    estimator: Any
    start: Start
    net: Any = field(init=False)
    is_done: bool = False
    is_told: bool = False
    seconds: float = 0.0

    def __post_init__(self):
        self._begin()

    def _begin(self):
        start, estimator = self.start, self.estimator
        self.net = start.net._beside(start.net.params.copy(), None)
        estimator.n_iter_ = estimator.t_ = 0
        estimator.__dict__.update(start.fitted)
        estimator._link(self.net)
        estimator._count_on()

    def alone(self):
        """Train by the estimator's own means."""
        start, estimator, samples = self.start, self.estimator, self.start.samples
        for name in COUNTED:
            estimator.__dict__.pop(name, None)
        self._begin()
        rng = np.random.RandomState()
        rng.set_state(start.state)
        extra = regularization_of(estimator, len(self.net.sizes) - 2)
        estimator._training(self.net, samples.data, samples.validation, rng, Unwatched(), False, extra)()
        self.is_done = self.is_told = True


def train(fits):
    """Train those of the fits that can be trained together, in groups of their kinds."""
    groups: dict[tuple, list[Fit]] = {}
    for each in fits:
        if each.start.kind is not None:
            groups.setdefault(each.start.kind, []).append(each)
    for group in groups.values():
        _Group(group).train()


class _Group:
    """Fits of one kind.

    Parameters
    ----------
    fits : list of Fit
    """

    def __init__(self, fits):
        self.begun = perf_counter()
        self.fits, first = fits, fits[0]
        self.estimators = [each.estimator for each in fits]
        sets = {id(each.start.samples): each.start.samples.data for each in fits}
        self.offsets = dict(zip(sets, np.cumsum([0, *map(len, sets.values())]).tolist(), strict=False))
        self.params = np.stack([each.net.params for each in fits])
        samples, units = _joined(first.net, list(sets.values()))
        units_of = dict(zip(sets, units, strict=True))
        self.crowd = crowd = Crowd(first.net, self.params, samples)
        self.rules = [update_rule(each) for each in self.estimators]
        self.n_rows = np.array([len(each.start.rows) for each in fits])
        crowd.set_rule(self.rules, max(each.start.batch_size for each in fits), self.n_rows)
        # rules that decay weights, as AdamW, take alpha for that
        alphas = [0.0 if self.rules[0].decays else float(each.alpha) for each in self.estimators]
        crowd.set_penalty(np.array(alphas), unit=[units_of[id(each.start.samples)] for each in fits])
        factor, cap = report(first.net)
        crowd.set_reals(report=factor, cap=cap, tolerance=[float(each.tol) for each in self.estimators], strict=0.0)
        self.epochs = first.estimator.max_iter
        self.may_stop = first.estimator.n_iter_no_change < self.epochs
        crowd.settings |= {"order": GIVEN, "limit": int(first.estimator.n_iter_no_change) + 1 if self.may_stop else self.epochs + 1}

    def train(self):
        """All epochs, or until each has stopped; the estimators have what their fits would give them."""
        crowd, epoch, losses, rates = self.crowd, 0, [], []
        work = float(self.n_rows.sum()) * threads.flop_of_sample(self.fits[0].net.sizes) * self.epochs
        members = threads.members_for(work, self.estimators[0].n_threads, threads.FLOP_PER_START)
        numbers = sum(len(start.rows) for start in {id(each.start): each.start for each in self.fits}.values())
        together = min(EPOCHS_TOGETHER, max(1, ORDER_NUMBERS // numbers))
        while epoch < self.epochs and (crowd.status == RUNNING).any():
            count = min(together, self.epochs - epoch)
            crowd.set_given(self._orders(count))
            crowd.begin(np.stack([self._rates(k, epoch, count) for k in range(len(self.fits))]))
            crowd.train(count, members, self.may_stop, lambda _: None)
            losses.append(crowd.losses)
            rates.append(crowd.rates)
            epoch += count
        self._give(np.hstack(losses), np.hstack(rates))

    def _orders(self, count):
        """Rows of the epochs to come, of each; none are drawn for starts of which all have stopped."""
        running = {id(each.start) for each, status in zip(self.fits, self.crowd.status, strict=True) if status == RUNNING}
        found: dict[int, np.ndarray] = {}
        for start in {id(each.start): each.start for each in self.fits}.values():
            known = id(start) in running
            found[id(start)] = start.orders(count, self.offsets[id(start.samples)]) if known else start.rows[None]
        return [found[id(each.start)] for each in self.fits]

    def _rates(self, k, first, count) -> np.ndarray:
        """Learning rates (count,)."""
        estimator, init = self.estimators[k], float(self.estimators[k].learning_rate_init)
        given = schedule(estimator)
        if given is not None:
            return given.rates(init, estimator.max_iter, 1, first, first + count)[:, 0]
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            with np.errstate(over="ignore"):
                return init / (np.arange(first, first + count) * float(self.n_rows[k]) + 1.0) ** float(estimator.power_t)
        return np.full(count, init)

    def _give(self, losses, rates):
        status, waited = self.crowd.status, self.crowd.reals[:, WAITED].astype(int).tolist()
        n_epochs, largest = np.isfinite(losses).sum(axis=1).tolist(), np.abs(self.params).max(axis=1)
        for k, each in enumerate(self.fits):
            count, estimator = n_epochs[k], each.estimator
            # divergence is told by a fit alone
            each.is_done = bool(status[k] != DIVERGED and losses[k, count - 1] < HOPELESS and largest[k] < LARGE)
            if not each.is_done:
                continue
            each.net.params[:] = self.params[k]
            each.is_told = bool(status[k] != RUNNING)
            estimator.loss_curve_ += losses[k, :count].tolist()
            estimator.history_.learning_rate += rates[k, :count].tolist()
            estimator.loss_, estimator.best_loss_ = estimator.loss_curve_[-1], min(estimator.loss_curve_)
            estimator.n_iter_, estimator.t_ = count, count * int(self.n_rows[k])
            estimator._no_improvement_count = waited[k]
        seconds = perf_counter() - self.begun
        for each, count in zip(self.fits, n_epochs, strict=True):
            each.seconds += seconds / len(self.fits)
            if each.is_done:
                each.estimator.history_.time += (seconds * np.arange(1, count + 1) / self.epochs).tolist()


def _joined(net, sets):
    """All samples, one set after the other, as the kernel takes them, and the unit of the weights of each set."""
    X = np.concatenate([each.X for each in sets])
    nothing = np.zeros((0, net.sizes[-1]), net.dtype)
    values = nothing if sets[0].values is None else np.concatenate([each.values for each in sets])
    labels = NO_LABELS if sets[0].labels is None else np.concatenate([each.labels for each in sets])
    weights, units = NO_WEIGHTS, [1.0] * len(sets)
    if sets[0].weights is not None:
        parts, units = zip(*[with_finite_sums(each.weights) for each in sets], strict=True)
        weights = np.concatenate(parts)
    return samples_of(net, X, values, labels, weights), units
