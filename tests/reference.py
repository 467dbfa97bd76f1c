"""What fits are compared with: the oracle, which records and stops as a fit does, and the same with roundings drawn at random.

How far a result may be off is told by the oracle itself (Parker's Monte Carlo arithmetic, 1997): a sum of k numbers computed in any
order is exact for terms that are off by about sqrt(k) eps each (Higham & Mary, 2019), an elementary function by a few eps.
`Rounded` therefore multiplies every weight, raw output, activation, sample weight and gradient by 1 +- delta, the signs drawn anew
at every use; and what is the difference of terms of size 1 is off by +- delta: the slopes of smooth activations, GELU by that times
z, probabilities and means less targets.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, softmax

from fastbp import baseline
from fastbp.baseline.formulas import ACTIVATIONS as FORMULAS

ERRORS = 1 << 18  # that are drawn at once
SMOOTH = ("sigmoid", "tanh", "elu", "selu", "silu", "gelu", "mish")  # whose slopes are differences
LINKS = {"softmax": lambda z: softmax(z, axis=1), "sigmoid": expit, "exp": np.exp}


def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 in Python's integers (Salmon et al., 2011)."""
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def _words(block, epoch, seed):
    return philox(block, 0, epoch, 0, seed & 0xFFFFFFFF, seed >> 32)


def drawn_with_replacement(seed, epoch, count):
    """`count` rows of as many, in blocks of four: words, scaled down."""
    words = [word for block in range(0, count, 4) for word in _words(block, epoch, seed)]
    return [word * count >> 32 for word in words[:count]]


def permuted(seed, epoch, count):
    """Fisher-Yates from the last row down, in blocks of four."""
    order = list(range(count))
    for last in range(count - 1, 0, -4):
        for i, word in zip(range(last, max(last - 4, 0), -1), _words(last, epoch, seed), strict=False):
            j = word * (i + 1) >> 32
            order[i], order[j] = order[j], order[i]
    return order


def score(task, outputs, targets):
    """Share of rows all of whose classes are right, or the mean over outputs of R^2, of a constant one 1 or 0."""
    if not len(outputs):
        return np.nan
    if task == "labels":
        return float((outputs.argmax(axis=1) == targets.argmax(axis=1)).mean())
    if task == "binary":
        return float(((outputs > 0.5) == (targets > 0.5)).all(axis=1).mean())
    residual, total = ((targets - outputs) ** 2).sum(axis=0), ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return float(np.mean([1 - r / t if t > 0 else float(r == 0) for r, t in zip(residual, total, strict=True)]))


@dataclass
class Watching:
    """What a fit looks at between two epochs, and when it stops; as in `Network.fit`."""

    task: str
    tol: float | None = None
    n_iter_no_change: int = 10
    gradient_tol: float | None = None
    patience: int | None = None
    held_out: tuple | None = None
    scored: np.ndarray | None = None
    records: dict = field(default_factory=lambda: {name: [] for name in RECORDS})
    stopped_by: str | None = None


RECORDS = "weight_norms", "gradient_norms", "score", "validation_loss", "validation_score"


def has_stalled(losses, tol, limit):
    """Whether none of the last `limit` losses was less than the best before it by more than `tol`."""
    best, waited = np.inf, 0
    for loss in losses:
        waited = 0 if loss < best - tol else waited + 1
        best = min(best, loss)
    return waited >= limit


class Reference(baseline.Network):
    """The oracle, the largest number on its way, and what a fit records."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.largest = 0.0
        self._layers = [(self._changed(layer), options) for layer, options in self._layers]
        self._outputs = []  # of the mini-batches of an epoch

    def _watch(self, array):
        self.largest = max(self.largest, np.abs(array).max())
        if not np.isfinite(array).all():
            self.largest = np.inf

    def _changed(self, layer):
        def forward(z, a, s, h):
            self._watch(z)
            layer.forward(z, a, s, h)
            self._watch(a)

        return layer._replace(forward=forward)

    def _forward(self, *arguments):
        out = super()._forward(*arguments)
        self._outputs.append(LINKS.get(self._loss.link, np.copy)(out))
        return out

    def _backpropagate(self, *arguments):
        outcome = super()._backpropagate(*arguments)
        self._watch(self._gradient)
        return outcome

    def train(self, X, y, watching, *, order, **options):
        """`fit` with what a `Watching` says; the losses of the epochs."""
        records, best = watching.records, (np.inf, None)

        def watch(epoch, losses, norms):
            nonlocal best
            records["weight_norms"].append([np.linalg.norm(weight) for weight in self.weights])
            records["gradient_norms"].append(norms[::2])
            if watching.scored is not None:
                outputs = np.full((len(X), self.sizes[-1]), np.nan)
                outputs[order[epoch]] = np.concatenate(self._outputs)
                visited = ~np.isnan(outputs[:, 0])
                records["score"].append(score(watching.task, outputs[visited], watching.scored[visited]))
            if watching.held_out is not None:
                held, targets = watching.held_out
                records["validation_loss"].append(self.loss(held, targets))
                records["validation_score"].append(score(watching.task, self(held), targets))
                if watching.patience is not None and records["validation_loss"][-1] < best[0]:
                    best = records["validation_loss"][-1], self.params.copy()
            self._outputs.clear()
            watching.stopped_by = self._reason(watching, losses, norms)
            return watching.stopped_by is not None

        self._outputs.clear()
        losses = self.fit(X, y, order=order, watch=watch, **options)
        if best[1] is not None:
            self.params[:] = best[1]
        return losses

    @staticmethod
    def _reason(watching, losses, norms):
        if watching.gradient_tol is not None and sum(norms) <= watching.gradient_tol:
            return "gradient_tol"
        if watching.tol is not None and has_stalled(losses, watching.tol, watching.n_iter_no_change):
            return "tol"
        judged = watching.records["validation_loss"]
        if watching.patience is not None and has_stalled(judged, 0.0, watching.patience):
            return "patience"
        return None


class Rounded(Reference):
    """The reference in an arithmetic that rounds at random: every quantity is multiplied by 1 + delta or 1 - delta."""

    def __init__(self, delta, rng, *arguments, **settings):
        self._errors, self._used = delta * rng.choice((-1.0, 1.0), ERRORS), 0
        super().__init__(*arguments, **settings)

    def _error(self, shape):
        count = int(np.prod(shape))
        if self._used + count > ERRORS:
            self._used %= 97  # not where they began the last time
        self._used += count
        return self._errors[self._used - count : self._used].reshape(shape)

    def _round(self, array):
        array *= 1 + self._error(array.shape)

    def _changed(self, layer):
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
        if self._loss.link:  # a probability, or a mean, less a target
            errors = self._error(at.d[-1].shape) / (total or 1.0) * (1 + np.abs(y) if self._loss.link == "exp" else 1)
            at.d[-1] += errors if w is None else w[:, None] * errors
        return loss, total

    def _backpropagate(self, x, y, w, at, *rest):
        w = np.ones(len(x)) if w is None else w.copy()
        self._round(w)
        self._round(self.params)
        outcome = super()._backpropagate(x, y, w, at, *rest)
        self._round(self._gradient)
        return outcome
