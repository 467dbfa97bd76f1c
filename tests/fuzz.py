"""Random networks, data and options, trained by the kernels and by the oracle: ``python tests/fuzz.py 50000`` finds no mismatch.

The bound comes from the oracle itself (Parker's Monte Carlo arithmetic, 1997): a sum of k numbers computed in any order is exact
for terms that are off by about sqrt(k) eps each (Higham & Mary, 2019), an elementary function by a few eps. The oracle is
therefore run again with every weight, raw output, activation, sample weight and gradient multiplied by 1 +- DELTA, the signs
drawn anew at every use, where DELTA is so much; and what is the difference of terms of size 1 is off by +- DELTA: the slopes of
smooth activations, GELU by that times z, probabilities less targets. The kernels may differ from the oracle by SAFETY times what
these runs do; where rounding decides on which side of a kink a number falls, some of them fall on the other side, too. A fault
is off by many orders of magnitude more.
"""

import argparse
from collections import Counter

import numpy as np
from scipy.sparse import csr_array

import fastbp
from fastbp import activations, baseline, losses, optimizers, schedules
from fastbp.baseline.formulas import ACTIVATIONS as FORMULAS
from fastbp.engine import orders, threads
from fastbp.engine.regularization import dropout_mask

SAFETY = 4.0
FEW, MANY = 1, 40  # runs of the oracle that tell the bound: at first, and before a case is called a mismatch
ERRORS = 1 << 18  # that are drawn at once
SMOOTH = ("sigmoid", "tanh", "elu", "selu", "silu", "gelu")  # whose slopes are differences
LEAST = 1e-30, 1.0, 1e-30, 1.0  # sizes of results that are sums of no larger terms: a loss of 0 is a difference
CHAOS = 1e-3  # of the largest number of a result: what rounding alone may have done to it, for a case to prove anything
STEPS = 20
FAULTS = "mismatch", "diverges alone"
WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47)
LARGE = {"float32": 1e17, "float64": 1e150}  # a number on the way above this may overflow, or its square


class Watched(baseline.Network):
    """The oracle, and the largest number on its way."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.largest = 0.0
        self._layers = [(layer._replace(forward=self._watching(layer.forward)), options) for layer, options in self._layers]

    def _watch(self, array):
        self.largest = max(self.largest, np.abs(array).max())
        if not np.isfinite(array).all():
            self.largest = np.inf

    def _watching(self, forward):
        def watched(z, a, s, h):
            self._watch(z)
            forward(z, a, s, h)
            self._watch(a)

        return watched

    def _backpropagate(self, *arguments):
        outcome = super()._backpropagate(*arguments)
        self._watch(self._gradient)
        return outcome


class Rounded(baseline.Network):
    """The oracle in an arithmetic that rounds at random: every quantity is multiplied by 1 + delta or 1 - delta."""

    def __init__(self, delta, rng, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self._errors, self._used = delta * rng.choice((-1.0, 1.0), ERRORS), 0
        self._layers = [(self._rounding(layer), options) for layer, options in self._layers]

    def _error(self, shape):
        count = int(np.prod(shape))
        if self._used + count > ERRORS:
            self._used %= 97  # not where they began the last time
        self._used += count
        return self._errors[self._used - count : self._used].reshape(shape)

    def _round(self, array):
        array *= 1 + self._error(array.shape)

    def _rounding(self, layer):
        is_gelu, is_smooth = layer is FORMULAS["gelu"], any(layer is FORMULAS[name] for name in SMOOTH)

        def forward(z, a, s, h):
            self._round(z)
            layer.forward(z, a, s, h)
            self._round(a)
            if is_gelu:
                a += z * self._error(z.shape)

        def slope(z, a, s, h):
            layer.slope(z, a, s, h)
            if is_smooth:
                s += self._error(s.shape)

        return layer._replace(forward=forward, slope=layer.slope and slope)

    def _cost(self, x, y, w, at, masks=None):
        loss, total = super()._cost(x, y, w, at, masks)
        if self._loss.link in ("softmax", "sigmoid"):  # a probability less a target
            errors = self._error(at.d[-1].shape) / (total or 1.0)
            at.d[-1] += errors if w is None else w[:, None] * errors
        return loss, total

    def _backpropagate(self, x, y, w, at, *rest):
        w = np.ones(len(x)) if w is None else w.copy()
        self._round(w)
        self._round(self.params)
        outcome = super()._backpropagate(x, y, w, at, *rest)
        self._round(self._gradient)
        return outcome


def choose(rng, table):
    """One of several, or the one of a registry's classes with its parameters drawn."""
    return table[rng.integers(len(table))]


def draw_activation(rng):
    cls = choose(rng, activations.ACTIVATIONS.classes)
    return cls(float(rng.uniform(0.05, 1.5))) if cls.name in ("leaky_relu", "elu") and rng.random() < 0.5 else cls()


def draw_loss(rng):
    cls = choose(rng, losses.LOSSES.classes)
    parameter = {
        "squared": choose(rng, ("half_sum", "sum", "mean")),
        "cross_entropy": choose(rng, (0.0, 0.1)),
        "binary_cross_entropy": choose(rng, (0.0, 0.1)),
        "huber": float(rng.uniform(0.1, 2)),
        "quantile": float(rng.uniform(0.1, 0.9)),
    }
    return cls(parameter[cls.name]) if cls.name in parameter else cls()


def draw_rule(rng):
    cls, rate = choose(rng, optimizers.OPTIMIZERS.classes), float(10 ** rng.uniform(-3, -1))
    return cls(rate, epsilon_hat=True) if cls.name == "adam" and rng.random() < 0.3 else cls(rate)


def draw_targets(rng, loss, n, n_out):
    """(what the kernels are given, rows for the oracle)."""
    if loss.task == "labels":
        if n_out > 1 and rng.random() < 0.6:
            labels = rng.integers(0, n_out, n)
            return labels, np.eye(n_out)[labels]
        rows = rng.dirichlet(np.ones(n_out), n)
    elif loss.task in ("not_negative", "positive"):
        rows = rng.poisson(1.5, (n, n_out)) + (loss.task == "positive") * rng.uniform(0.1, 1, (n, n_out))
    elif loss.task == "binary":
        rows = rng.integers(0, 2, (n, n_out)) if rng.random() < 0.5 else rng.uniform(size=(n, n_out))
    else:
        rows = rng.normal(size=(n, n_out))
    return rows, rows


def maybe(rng, probability, value):
    return value if rng.random() < probability else None


class Case:
    """One network, its data and the options of a fit, all a function of two integers."""

    def __init__(self, seed, number):
        self.name, rng = (seed, number), np.random.default_rng([seed, number])
        self.rng = rng
        self.dtype = "float32" if rng.random() < 0.25 else "float64"
        widest = len(WIDTHS) if rng.random() < 0.7 else 11
        self.sizes = [int(choose(rng, WIDTHS[:widest])) for _ in range(rng.integers(2, 6))]
        self.is_sparse = rng.random() < 0.2
        if self.is_sparse:
            self.sizes[0] = int(rng.integers(32, 90))
        n = int(rng.integers(1, 45)) if rng.random() < 0.99 else 1500
        self.batch_size = int(choose(rng, (1, 2, 3, 5, 8, 9, 16, 17, n, n)))
        steps = -(-n // min(self.batch_size, n))
        self.epochs = max(1, STEPS // steps)
        loss = draw_loss(rng)
        hidden = [draw_activation(rng) for _ in self.sizes[2:]]
        output = None if loss.link else maybe(rng, 0.5, draw_activation(rng))
        self.net = fastbp.Network(self.sizes, hidden, loss, output=output, dtype=self.dtype, rng=int(rng.integers(1 << 30)))
        self.net.params *= 10 ** rng.uniform(-1, 0.3)
        for bias in self.net.biases:
            bias += rng.normal(size=bias.shape) * rng.choice([0.0, 0.5])
        self.X = rng.normal(size=(n, self.sizes[0])).astype(self.dtype)
        if self.is_sparse:
            self.X[rng.uniform(size=self.X.shape) < rng.uniform(0.75, 1)] = 0
        targets, rows = draw_targets(rng, loss, n, self.sizes[-1])
        is_labels = targets.ndim == 1
        self.targets = targets if is_labels else targets.astype(self.dtype)
        self.rows = rows.astype(self.dtype)
        self._draw_options(rng, n, steps)

    def _draw_options(self, rng, n, steps):
        net, hidden = self.net, len(self.net.hidden)
        # most cases have some of everything that is summed over lanes or changes them
        options = {
            "sample_weight": maybe(rng, 0.35, rng.integers(0, 4, n) * rng.uniform(0.1, 1, n) * 10.0 ** rng.integers(-60, 60)),
            "l1": maybe(rng, 0.3, float(rng.uniform(0, 0.5))),
            "l2": maybe(rng, 0.4, float(rng.uniform(0, 0.5))),
            "clip_norm": maybe(rng, 0.5, float(10 ** rng.uniform(-3, 0.5))),
            "clip_value": maybe(rng, 0.2, float(10 ** rng.uniform(-3, 0))),
            "max_norm": maybe(rng, 0.3, float(rng.uniform(0.2, 3))),
        }
        if options["sample_weight"] is not None and not options["sample_weight"].any():
            del options["sample_weight"]
        extra = rng.random() < 0.8  # else the common entries, and the kernels of narrow networks
        penalties = ("l1", "l2", "clip_norm", "clip_value", "max_norm")
        self.options = {name: v for name, v in options.items() if v is not None and (extra or name not in penalties)}
        self.dropped = [0.0] * (hidden + 1)
        if extra and rng.random() < 0.3:
            self.dropped = [float(p) for p in rng.uniform(0, 0.6, hidden + 1) * rng.integers(0, 2, hidden + 1)]
        self.rule = draw_rule(rng)
        self.schedule = schedules.Exponential(0.9) if rng.random() < 0.3 else schedules.Constant()
        self.rates = self.schedule.rates(self.rule.learning_rate, self.epochs, steps)
        if self.rates.shape[1] == 1:
            self.rates = np.repeat(self.rates, steps, axis=1)
        self.seed = int(rng.integers(1 << 30))
        drawn = int(np.random.default_rng(self.seed).integers(1 << 63))
        self.shuffle = rng.random() < 0.4
        self.order = rng.integers(0, n, (self.epochs, n)) if not self.shuffle and rng.random() < 0.3 else None
        self.visits = self.order
        if self.shuffle:
            self.visits = np.array([orders.epoch_order(drawn, epoch, n) for epoch in range(self.epochs)])
        self.masks = None
        if any(self.dropped):
            self.masks = lambda epoch, layer: dropout_mask(drawn, epoch, layer, n, net.sizes[layer], self.dropped[layer])
        self.n_threads = 2 if rng.random() < 0.1 else 1

    @property
    def delta(self):
        """How far a quantity may be off, by rounding, of the terms that it is computed from."""
        longest = max(*self.sizes, min(self.batch_size, len(self.X)))
        return (4 + 2 * longest**0.5) * float(np.finfo(self.dtype).eps)

    def by_kernels(self):
        """Parameters, losses of epochs, outputs, loss; None after a divergence."""
        net = self.net.copy()
        X = csr_array(self.X) if self.is_sparse and self.rng.random() < 0.5 else self.X
        dropout = {"dropout": self.dropped[1:], "input_dropout": self.dropped[0]} if any(self.dropped) else {}
        if not self.dropped[1:]:
            dropout.pop("dropout", None)
        fit = {"epochs": self.epochs, "batch_size": self.batch_size, "optimizer": self.rule, "schedule": self.schedule}
        try:
            history = net.fit(
                X,
                self.targets,
                **fit,
                **dropout,
                **self.options,
                shuffle=self.shuffle,
                order=self.order,
                n_threads=self.n_threads,
                rng=self.seed,
            )
        except fastbp.DivergenceError:
            return None
        loss = net.loss(X, self.targets, self.options.get("sample_weight"))
        return [net.params, np.array(history.loss), net(X).ravel(), np.array([loss])]

    def by_oracle(self, number=None):
        """The same in float64 NumPy, or (the `number`-th of) what it might be with other roundings."""
        net = self.net
        settings = {"output": net.output, "dtype": "float64", "weights": net.weights, "biases": net.biases}
        network = net.sizes, net.hidden, net.loss_function
        if number is None:
            exact = Watched(*network, **settings)
        else:
            exact = Rounded(self.delta, np.random.default_rng([*self.name, number]), *network, **settings)
        X, weights = self.X.astype(np.float64), self.options.get("sample_weight")
        with np.errstate(all="ignore"):
            history = exact.fit(
                X,
                self.rows,
                epochs=self.epochs,
                batch_size=min(self.batch_size, len(X)),
                optimizer=self.rule,
                order=np.arange(len(X)) if self.visits is None else self.visits,
                masks=self.masks,
                rates=self.rates,
                **self.options,
            )
            results = [exact.params, np.array(history), exact(X).ravel(), np.array([exact.loss(X, self.rows, weights)])]
        if number is None:
            self.largest = max(exact.largest, *(np.abs(result).max() for result in results))
        return [np.array(result) for result in results]

    def verdict(self):
        """What came of it, and by how much of the bound the two differ at most."""
        found, expected = self.by_kernels(), self.by_oracle()
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
        spread = [np.zeros_like(result) for result in expected]
        for number in range(count):
            for each, other, result in zip(spread, self.by_oracle(number), expected, strict=True):
                np.maximum(each, np.abs(other - result), out=each)
        ratio, chaos = 0.0 if found else np.inf, 0.0
        for result, other, each, least in zip(found or expected, expected, spread, LEAST, strict=True):
            # few runs tell the size of all differences of a result better than that of each
            scale = max(np.abs(other).max(), least)
            bound = SAFETY * (each.max() + self.delta * scale)
            difference = np.abs(result - other).max()
            ratio = max(ratio, difference / bound) if np.isfinite(difference) else np.inf
            chaos = max(chaos, each.max() / scale) if np.isfinite(each).all() else np.inf
        return ratio, chaos

    def __str__(self):
        options = {name: value for name, value in self.options.items() if name != "sample_weight"}
        return (
            f"Case{self.name}: {self.net!r} output={self.net.output!r} {self.rule!r} {self.schedule!r} n={len(self.X)}"
            f" batch_size={self.batch_size} epochs={self.epochs} weighted={'sample_weight' in self.options} {options}"
            f" dropped={self.dropped} sparse={self.is_sparse} shuffle={self.shuffle} threads={self.n_threads}"
        )


def verdicts(cases, seed=0, first=0):
    """(case, outcome, ratio) of so many cases, one after the other."""
    members_for = threads.members_for
    threads.members_for = lambda flop, limit, *start: 1 if start else limit or 1  # teams, however little the work
    try:
        for number in range(first, first + cases):
            case = Case(seed, number)
            yield case, *case.verdict()
    finally:
        threads.members_for = members_for


def run(cases, seed=0, first=0):
    """(outcomes and how many there are, mismatches as text, ratios of those that are equal) of so many cases."""
    outcomes, mismatches, ratios = Counter(), [], []
    for case, outcome, ratio in verdicts(cases, seed, first):
        outcomes[outcome] += 1
        if outcome == "equal":
            ratios.append(ratio)
        elif outcome in FAULTS:
            mismatches.append(f"{outcome}, {ratio:.3g} times the bound: {case}")
    return outcomes, mismatches, np.array(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    arguments = parser.parse_args()
    outcomes, mismatches, ratios = run(arguments.cases, arguments.seed, arguments.first)
    print(*mismatches, sep="\n")
    counts = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
    print(f"{arguments.cases} cases: {counts}; {len(mismatches)} mismatches")
    print("difference by bound: " + ", ".join(f"{q:g} % <= {np.quantile(ratios, q / 100):.2g}" for q in (50, 99, 99.9, 100)))
    return 1 if mismatches else 0


if __name__ == "__main__":
    raise SystemExit(main())
