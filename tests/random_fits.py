"""Random networks, data and options of fits, trained by the kernels and by the reference, and how far the two are apart.

Hypothesis draws them, so that a case that fails is made small before it is shown. The reference is run again with other roundings
(`reference.Rounded`), which tells what rounding may do to this very case. The kernels may differ by SAFETY times that; where
rounding decides on which side of a kink a number falls, or whether the fit stops, some of these runs are on the other side, too. A
fault is off by many orders of magnitude more.
"""

from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from unittest.mock import patch

import hypothesis
import numpy as np
from drawing import Drawing, draw_activation, draw_loss, draw_rule, draw_schedule, draw_targets
from hypothesis import strategies as st
from problems import teams
from reference import RECORDS, Reference, Rounded, Watching, drawn_with_replacement, permuted
from scipy.sparse import csr_array

import fastbp
from fastbp.engine import planner
from fastbp.engine.regularization import dropout_mask

SAFETY = 4.0
FEW, MANY = 1, 40  # runs with other roundings that tell the bound: at first, and before a case is called a mismatch
TERMS = 1e-30, 1.0  # least sizes of the terms that a result is a sum of: of its own size, or differences of numbers of about 1
LEAST = {"params": TERMS[0], "outputs": TERMS[0], "weight_norms": TERMS[0]}  # of all others TERMS[1]
CHAOS = 1e-3  # of the largest number of a result: what rounding alone may have done to it, for a case to prove anything
STEPS, MOST_STEPS = 20, 50  # of a fit, and of an epoch
FAULTS = "mismatch", "diverges alone"
WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47)
NARROW = 11  # of these widths, how many are those of networks that have kernels of their own
LARGE = {"float32": 1e17, "float64": 1e150}  # a number on the way above this may overflow, or its square
KINDS = {"uint8": (0, 256), "int8": (-128, 128), "float16": (-2, 3)}  # of samples: the integers from one to below the other


class Case:
    """One network, its data, the options of a fit, and how the work is divided."""

    def __init__(self, draw):
        self.seed = draw.count(0, (1 << 32) - 1)
        self.rng = np.random.default_rng(self.seed)  # of arrays
        self._draw_network(draw)
        n = self._draw_samples(draw)
        self._draw_held_out(draw, n)
        n = len(self.kept)
        self.batch_size = max(draw.choose((1, 2, 3, 5, 8, 9, 16, 17, n, n + 1)), -(-n // MOST_STEPS))
        self.steps = -(-n // min(self.batch_size, n))
        self.epochs = max(1, STEPS // self.steps)
        self._draw_options(draw, n)
        self._draw_order(draw, n)
        self._draw_rules(draw)
        self.n_threads = 1 + draw.flag(10)
        self.block = draw.maybe(20, draw.choose, (1, 3, 5, 8))
        self.in_areas = draw.flag(50)

    def _draw_network(self, draw):
        self.dtype = draw.choose(("float64", "float64", "float64", "float32"))
        widths = WIDTHS[: len(WIDTHS) if draw.flag(70) else NARROW]
        self.sizes = [draw.choose(widths) for _ in range(draw.count(2, 5))]
        self.is_sparse = draw.flag(20)
        if self.is_sparse:
            self.sizes[0] = draw.count(32, 90)
        loss = draw_loss(draw)
        hidden = [draw_activation(draw) for _ in self.sizes[2:]]
        output = None if loss.link else draw.maybe(50, draw_activation, draw)
        self.kind = draw.maybe(20, draw.choose, tuple(KINDS))
        scale = draw.choose((1.0, 1 / 255, 0.37)) if self.kind or draw.flag(10) else 1.0
        settings = {"output": output, "dtype": self.dtype, "input_scale": scale, "rng": self.rng}
        self.net = fastbp.Network(self.sizes, hidden, loss, **settings)
        self.net.params *= draw.power(-1, 0.3)
        has_biases = draw.flag(50)
        for bias in self.net.biases:
            bias += self.rng.normal(size=bias.shape) * 0.5 * has_biases

    def _draw_samples(self, draw):
        rng, kind = self.rng, self.kind
        n = draw.count(1, 45) if draw.flag(95) else 1500 if draw.flag(20) else draw.count(46, 200)
        shape = n, self.sizes[0]
        self.X = rng.integers(*KINDS[kind], shape).astype(kind) if kind else rng.normal(size=shape).astype(self.dtype)
        if kind == "float16":
            self.X /= np.float16(3)
        if self.is_sparse:
            self.X[rng.uniform(size=shape) < draw.number(0.75, 1)] = 0
        self.as_matrix = self.is_sparse and kind != "float16" and draw.flag(50)  # which SciPy has no matrices of
        dtype, loss = np.dtype(self.dtype).type, self.net.loss_function
        self.scaled = (self.X.astype(dtype) * dtype(self.net.input_scale)).astype(np.float64)
        targets, rows = draw_targets(rng, loss, n, self.sizes[-1], draw.flag(60))
        self.targets = targets if targets.ndim == 1 else targets.astype(dtype)
        self.rows = rows.astype(dtype).astype(np.float64)
        return n

    def _draw_held_out(self, draw, n):
        """Which samples are trained on, and (X, y) of those that are not."""
        self.watched, self.held_out, self.kept = {}, None, np.arange(n)
        self.fit_seed = draw.count(0, 1 << 30)
        rng = np.random.default_rng(self.fit_seed)  # as the fit draws
        kind = draw.choose((None, None, None, "data", "fraction"))
        if kind == "fraction" and n > 1:
            count = draw.count(1, n - 1)
            self.watched["validation_fraction"] = count / n
            mixed = rng.permutation(n)
            self.kept, held = mixed[count:], mixed[:count]
            self.held_out = self.scaled[held], self.rows[held]
        elif kind == "data":
            held = np.arange(draw.count(1, n))
            self.watched["validation_data"] = self.X[held], self.targets[held]
            self.held_out = self.scaled[held], self.rows[held]
        self.drawn = int(rng.integers(1 << 63))

    def _draw_options(self, draw, n):
        options = {}
        if draw.flag(35):
            weights = self.rng.integers(0, 4, len(self.X)) * self.rng.uniform(0.1, 1, len(self.X))
            weights[self.kept[0]] += 1.0  # which every order has
            options["sample_weight"] = weights * 10.0 ** draw.count(-60, 60)
        # most cases have some of everything that is summed over lanes or changes them
        extra = draw.flag(80)
        if extra:
            drawn = {
                "l1": draw.maybe(30, draw.number, 0, 0.5),
                "l2": draw.maybe(40, draw.number, 0, 0.5),
                "clip_norm": draw.maybe(50, draw.power, -3, 0.5),
                "clip_value": draw.maybe(20, draw.power, -3, 0),
                "max_norm": draw.maybe(30, draw.number, 0.2, 3),
            }
            options |= {name: value for name, value in drawn.items() if value is not None}
        self.options = options
        self.dropped = [0.0] * (len(self.sizes) - 1)
        if extra and draw.flag(30):
            self.dropped = [draw.number(0, 0.6) if draw.flag(50) else 0.0 for _ in self.dropped]
        self.masks = None
        if any(self.dropped):
            self.masks = lambda epoch, layer: dropout_mask(
                self.drawn, epoch, layer, self.order.shape[1], self.sizes[layer], self.dropped[layer]
            )
        self.rule, self.schedule = draw_rule(draw), draw_schedule(draw)

    def _draw_order(self, draw, n):
        self.shuffle, self.given = draw.choose((False, False, True, True, "replacement")), None
        epochs = range(self.epochs)
        if self.shuffle:
            visit = permuted if self.shuffle is True else drawn_with_replacement
            self.order = np.array([visit(self.drawn, epoch, n) for epoch in epochs])
        elif draw.flag(40):
            m = draw.count(1, n)
            self.order = self.given = self.rng.integers(0, n, (self.epochs if draw.flag(50) else 1, m))
            if "sample_weight" in self.options:
                self.given[0, 0] = 0  # which weighs something
            self.order = np.repeat(self.given, self.epochs // len(self.given), axis=0)
            self.given = self.given[0] if len(self.given) == 1 and draw.flag(50) else self.order
        else:
            self.order = np.tile(np.arange(n), (self.epochs, 1))
        self.steps = -(-self.order.shape[1] // self.batch_size)
        rates = self.schedule.rates(self.rule.learning_rate, self.epochs, self.steps)
        self.rates = np.broadcast_to(rates, (self.epochs, self.steps))

    def _draw_rules(self, draw):
        """When the fit stops, and what it records."""
        if draw.flag(25):
            self.watched |= {"tol": draw.power(-4, 0), "n_iter_no_change": draw.count(1, 4)}
        if draw.flag(15):
            self.watched["gradient_tol"] = draw.power(-3, 1)
        if self.held_out and draw.flag(50):
            self.watched["patience"] = draw.count(1, 3)
        self.watched |= {name: True for name in ("record_norms", "record_score") if draw.flag(25)}

    @property
    def delta(self):
        """How far a quantity may be off, by rounding, of the terms that it is computed from."""
        longest = max(*self.sizes, min(self.batch_size, len(self.X)))
        return (4 + 2 * longest**0.5) * float(np.finfo(self.dtype).eps)

    @property
    def options_of_fit(self):
        """Arguments of `Network.fit` beside the samples."""
        dropout = {"input_dropout": self.dropped[0], "dropout": self.dropped[1:] or 0.0} if self.masks else {}
        fit = {"epochs": self.epochs, "batch_size": self.batch_size, "optimizer": self.rule, "schedule": self.schedule}
        fit |= {"shuffle": self.shuffle, "order": self.given, "n_threads": self.n_threads, "rng": self.fit_seed}
        return fit | dropout | self.options | self.watched

    @contextmanager
    def _divided(self):
        """Blocks of mini-batches as they are drawn, and whole teams, however little the work."""
        with ExitStack() as changes:
            changes.enter_context(teams())
            if self.block:
                changes.enter_context(patch.object(planner, "block_rows", lambda batch, *_: min(batch, self.block)))
                changes.enter_context(patch.object(planner, "SMALL_GRADIENT", planner.SMALL_GRADIENT if self.in_areas else 0))
            yield

    def by_kernels(self):
        """(results by name, why it stopped); None after a divergence."""
        net = self.net.copy()
        X, weights = csr_array(self.X) if self.as_matrix else self.X, self.options.get("sample_weight")
        with self._divided():
            try:
                history = net.fit(X, self.targets, **self.options_of_fit)
            except fastbp.DivergenceError:
                return None
            loss, gradient = net.value_and_grad(X, self.targets, weights)
        results = {"params": net.params, "outputs": net(X), "loss": loss, "gradient": gradient.params, "losses": history.loss}
        return self._recorded(results, vars(history)), history.stopped_by

    def by_reference(self, number=None):
        """The same in float64 NumPy, or (the `number`-th of) what it might be with other roundings."""
        net = self.net
        settings = {"output": net.output, "dtype": "float64", "weights": net.weights, "biases": net.biases}
        network = net.sizes, net.hidden, net.loss_function
        if number is None:
            exact = Reference(*network, **settings)
        else:
            exact = Rounded(self.delta, np.random.default_rng([self.seed, number]), *network, **settings)
        options, weights = dict(self.options), self.options.get("sample_weight")
        if weights is not None:
            options["sample_weight"] = weights[self.kept]
        rules = {name: self.watched.get(name) for name in ("tol", "n_iter_no_change", "gradient_tol", "patience")}
        scored = self.rows[self.kept] if self.watched.get("record_score") else None
        watching = Watching(net.loss_function.task, **rules, held_out=self.held_out, scored=scored)
        fit = {"epochs": self.epochs, "batch_size": min(self.batch_size, self.order.shape[1]), "optimizer": self.rule}
        with np.errstate(all="ignore"):
            fit |= {"order": self.order, "masks": self.masks, "rates": self.rates}
            history = exact.train(self.scaled[self.kept], self.rows[self.kept], watching, **fit, **options)
            loss, *gradient = exact.value_and_grad(self.scaled, self.rows, weights)
            flat = np.concatenate([each.ravel() for pair in zip(*gradient, strict=True) for each in pair])
            results = {"params": exact.params, "outputs": exact(self.scaled), "loss": loss, "gradient": flat, "losses": history}
            results = self._recorded(results, watching.records)
        if number is None:
            self.largest = max(exact.largest, *(np.abs(result).max() for result in results.values()))
        return results, watching.stopped_by

    def _recorded(self, results, records):
        """The results, and of the records of epochs those that the fit keeps, as arrays."""
        kept = ["score"] * ("record_score" in self.watched) + list(RECORDS[:2]) * ("record_norms" in self.watched)
        kept += RECORDS[3:] if self.held_out else ()
        results |= {name: records[name] for name in kept if name not in self._matters_of_rounding()}
        return {name: np.array(result, np.float64) for name, result in results.items()}

    def _matters_of_rounding(self):
        """Scores of outputs whose targets are all equal: 1 where they are met to the last bit, else 0."""
        targets = [("score", self.rows[self.kept][visited]) for visited in self.order]
        targets += [("validation_score", self.held_out[1])] if self.held_out else []
        is_number = self.net.loss_function.task not in ("labels", "binary")
        return {name for name, rows in targets if is_number and not np.ptp(rows, axis=0).all()}

    def verdict(self):
        """What came of it, and by how much of the bound the two differ at most."""
        found, expected = self.by_kernels(), self.by_reference()
        if not self.largest < LARGE[self.dtype]:
            return "too large", 0.0
        ratio, chaos = self._ratio(found, expected, FEW)
        if ratio > 1:
            ratio, chaos = self._ratio(found, expected, MANY)
        if not chaos <= CHAOS:
            return "ill-conditioned", 0.0
        if found is None:
            return "diverges alone", np.inf
        return ("equal" if ratio <= 1 else "mismatch"), ratio

    def _ratio(self, found, expected, count):
        """Largest difference by its bound, and the largest effect of rounding by the largest number of its result."""
        (results, stopped_by), ratio, chaos = expected, 0.0, 0.0
        if found is None or found[1] != stopped_by or len(found[0]["losses"]) != len(results["losses"]):
            ratio = np.inf
        spread = {name: np.zeros_like(result) for name, result in results.items()}
        for number in range(count):
            others, other_reason = self.by_reference(number)
            if other_reason != stopped_by or len(others["losses"]) != len(results["losses"]):
                return ratio, np.inf
            for name, result in results.items():
                np.maximum(spread[name], np.abs(others[name] - result), out=spread[name])
        for name, result in results.items():
            # few runs tell the size of all differences of a result better than that of each
            scale, each = max(np.abs(result).max(), LEAST.get(name, TERMS[1])), spread[name].max()
            chaos = max(chaos, each / scale) if np.isfinite(each) else np.inf
            if ratio < np.inf:
                difference = np.abs(found[0][name] - result).max()
                ratio = max(ratio, difference / (SAFETY * (each + self.delta * scale))) if np.isfinite(difference) else np.inf
        return ratio, chaos

    def features(self):
        """Names of what the case has."""
        net = self.net
        yield from (part.name for part in (*net.hidden, net.output, net.loss_function, self.rule, self.schedule))
        yield from {**self.options, **self.watched}
        yield self.dtype
        yield f"shuffle={self.shuffle}"
        is_there = {
            "dropout": any(self.dropped[1:]),
            "input_dropout": self.dropped[0] > 0,
            "sparse": self.is_sparse,
            "threads": self.n_threads > 1,
            "blocks": self.block and self.block < self.batch_size,
            "order": self.given is not None,
            "input_scale": net.input_scale < 1,
            self.kind: self.kind,
            "exp beside clipping": "clip_norm" in self.options and any(part.name == "exp" for part in net.hidden),
        }
        yield from (name for name, is_so in is_there.items() if is_so)

    def __repr__(self):
        options = {name: value for name, value in self.options_of_fit.items() if not isinstance(value, np.ndarray | tuple)}
        return (
            f"{self.net!r} output={self.net.output!r} n={len(self.X)} kind={self.kind} sparse={self.is_sparse}"
            f" weighted={'sample_weight' in self.options} block={self.block} areas={self.in_areas} {options} seed={self.seed}"
        )


@st.composite
def cases(draw):
    return Case(Drawing(draw))


class Mismatch(AssertionError):
    """The kernels and the reference are further apart than rounding can bring them."""


class Tally:
    """What came of some cases."""

    def __init__(self):
        self.outcomes, self.seen, self.ratios, self.mismatch = Counter(), Counter(), [], None

    def add(self, case):
        outcome, ratio = case.verdict()
        if self.mismatch is None:
            self.outcomes[outcome] += 1
            self.seen.update(set(case.features()))
            self.ratios += [ratio] if outcome == "equal" else []
        if outcome in FAULTS:
            self.mismatch = f"{outcome}, {ratio:.3g} times the bound: {case!r}"
            raise Mismatch(self.mismatch)


def for_cases(count, seed, function, *, shrink=True):
    """Call a function with so many cases."""
    hypothesis.seed(seed)(
        hypothesis.settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=(hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if shrink else [])),
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
        )(hypothesis.given(cases())(function))
    )()


def run(count, seed=0, *, shrink=True):
    """The `Tally` of so many cases, or of fewer up to the first mismatch, which is then the smallest that is found."""
    tally = Tally()

    def compare(case):
        tally.add(case)

    with suppress(Mismatch, hypothesis.errors.Flaky):  # what comes and goes is a mismatch, too
        for_cases(count, seed, compare, shrink=shrink)
    return tally
