"""Checking gradients: backpropagation against finite differences of the loss, one parameter at a time.

Three things come between a right gradient and a finite difference of step h, and each has its remedy here:

- rounding: a loss computed to u times its terms gives a difference to u / h times them. Below this floor nothing can be told from
  zero; where a fit is perfect, gradient and difference are nothing but rounding, and agree. Where the terms are large beside the
  gradient, as for targets that are not standardised, the step is longer;
- curvature, h^2 times the third derivative: a difference that is off is taken again with smaller steps;
- kinks: where a sample lies on one (z = 0 under relu, a target met under the absolute error) its loss has no derivative along some
  parameters, and backpropagation gives one of several slopes. Such samples are told by the loss alone: its slopes on both sides of
  a kink stay apart as the step shrinks, those of a curve meet. They are counted, and left out for the
  parameters along which their gradient jumps.

A wrong gradient is none of these: it stays as wrong for every step, and on the samples that are not left out. Where these excuse so
much that it would pass, nothing is said of the layer: its tolerance is nan.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastbp.engine import sparsity, validation
from fastbp.layout import parameter_offsets

SCHEMES = ("central", "forward")
STEPS = {"central": 1e-5, "forward": 1e-7}  # near the best for float64
LONGEST = 5e-3  # that a step is made for rounding
TOLERANCES = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-7}
LIMITS = {np.dtype(np.float32): 0.1, np.dtype(np.float64): 1e-2}  # of the size of a gradient: to tell a sign, or a unit left out
NEGLIGIBLE = 1e-5  # of the scale of the whole gradient: a layer that may be off by so little is told from zero, or is zero
CURVATURE = 100  # times the square of a step: what a third derivative may make of it; h^2 / 6 where it is as large as the first
FINER = (1.0, 1 / 4, 1 / 64)
UNIT = np.finfo(np.float64).eps
NUDGE, N_NUDGES = 2.0**-20, 3
MARGIN = 8  # sums round by a few units, and slopes are differences of four losses


@dataclass
class GradientReport:
    """How far backpropagation and finite differences are apart.

    Attributes
    ----------
    errors : list of float
        For each layer ||difference - gradient|| / (||difference|| + ||gradient|| + ||change|| + floor), over its weights and biases
        together; nan where nothing could be compared. The change is that of the slopes of the loss from one side of the parameters
        to the other. The floor makes an error that is nothing but rounding as large as the tolerance.
    tolerances : list of float
        What each error may be at most: 1e-7, or 1e-4 for a network in float32; more for forward differences, and for steps that are
        too long or too short to tell so little. It is nan where gradient and difference might be apart by more than 1e-2 (0.1 in
        float32) of their size, and 1e-5 (1e-4) of the whole gradient's: such a layer was not compared.
    max_error : float
        The largest of the errors.
    worst : tuple (layer, kind, index, gradient, difference)
        Where the two are furthest apart: layer from 1, "weights" or "biases", position, and both values.
    gradient, difference : ndarray (n_params,)
        What was compared, laid out like ``net.params``: sums over the samples that are not left out, divided by the number of all.
    kinks : int
        Samples that lie on a kink of the loss. Each is left out for the parameters along which it has no derivative.
    left_out : int
        Parameters that are not compared: all samples are left out for them, or the tolerance of their layer is nan.
    """

    errors: list
    tolerances: list
    max_error: float
    worst: tuple
    gradient: np.ndarray
    difference: np.ndarray
    kinks: int = 0
    left_out: int = 0

    @property
    def passed(self) -> bool:
        """Whether all layers are within their tolerances, but for those, not all, of which every sample is left out."""
        errors, within = self._within()
        return bool((within | np.isnan(errors)).all() and within.any())

    def _within(self):
        errors, tolerances = np.array([self.errors, self.tolerances])
        return errors, errors <= tolerances  # not where one is nan

    def __str__(self) -> str:
        layer, kind, index, gradient, difference = self.worst
        place = ", ".join(str(i) for i in index)
        rows = enumerate(zip(self.errors, self.tolerances, strict=True), 1)
        lines = [
            "layer  relative error  tolerance",
            *(f"{layer:5d}  {error:14.3e}  {tolerance:9.1e}" for layer, (error, tolerance) in rows),
            f"worst: layer {layer} {kind}[{place}]: backpropagation {gradient:.9g}, finite difference {difference:.9g}",
        ]
        if self.kinks:
            lines.append(f"samples on a kink of the loss, left out where it has no derivative: {self.kinks}")
        if self.left_out:
            lines.append(f"parameters not compared, for kinks or rounding or the step: {self.left_out} of {self.gradient.size}")
        errors, within = self._within()
        told = ~np.isnan(errors + self.tolerances)
        if not told.any():
            return "\n".join([*lines, "nothing could be compared"])
        if not within[told].all():
            return "\n".join([*lines, "gradients are WRONG"])
        return "\n".join([*lines, "gradients are right" if self.passed else "not all layers could be compared"])


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is an error of the report
def check_gradients(net, X, y, eps=None, scheme="central") -> GradientReport:
    """Compare the kernels' gradient of the mean loss with finite differences.

    The gradient is taken in the network's dtype, the differences in float64 at the same numbers. It passes if in every layer
    ||difference - gradient|| is at most the tolerance (1e-7; for float32 1e-4) times the sum of their norms, plus what both may be
    off by rounding. Where the loss is smooth, a float32 network should agree to about 1e-6, a float64 network to 1e-8 (central).

    Parameters
    ----------
    net : Network
    X : array_like or sparse matrix (n_samples, n_inputs)
    y : array_like
        Targets; see `Network.loss`.
    eps : float, optional
        Step. By default 1e-5 (central) or 1e-7 (forward), longer where these would be lost in the rounding of the loss, and shorter
        ones where a difference is off.
    scheme : {"central", "forward"}

    Returns
    -------
    GradientReport

    Raises
    ------
    ValueError
        If `scheme` or `eps` is not valid, or as `Network.loss`.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be 'central' or 'forward', got {scheme!r}")
    eps = None if eps is None else validation.real("eps", eps, open_end=True)
    _, gradients = net.value_and_grad(X, y)
    X = X.tocsr() if hasattr(X, "tocsr") else validation.samples("X", X, net.sizes[0], net.dtype)
    rows = sparsity.dense(validation.samples("X", X, net.sizes[0], net.dtype)).astype(np.float64)
    values, labels = validation.targets("y", y, len(rows), net.sizes[-1], net.loss_function.task, net.dtype)
    y = labels if labels.size else values.astype(np.float64)
    probe = net.copy("float64")
    gradient = gradients.params.astype(np.float64)
    judge = _Judge(net, probe, rows, y, gradient, eps, scheme)
    steps = [judge.step * factor for factor in FINER] if eps is None else [judge.step]
    difference, bend = _differences(probe, rows, y, gradient, steps, scheme, judge)
    report = judge.report(gradient, difference, bend)
    if report.passed and scheme == "central":  # forward differences are given the change of slope, which may be a kink's
        return report
    kinked = _samples_on_kinks(probe, rows, y, judge)
    if not kinked.any():
        return report
    gradient, difference, bend = (np.zeros(probe.params.size) for _ in range(3))
    count = np.zeros(probe.params.size, np.int64)  # of samples that are compared
    together = [] if kinked.all() else [np.flatnonzero(~kinked)]
    for part in [*together, *np.flatnonzero(kinked)[:, None]]:
        share = len(part) / len(rows)
        slopes = net.value_and_grad(X[part], y[part])[1].params.astype(np.float64)
        along, bends = _differences(probe, rows[part], y[part], slopes, steps, scheme, judge)
        used = ~_kinks(probe, rows[part], y[part], judge) if kinked[part[0]] else np.ones(slopes.size, bool)
        gradient += np.where(used, slopes * share, 0.0)
        difference += np.where(used, along * share, 0.0)
        bend += np.where(used, bends * share, 0.0)
        count += np.where(used, len(part), 0)
    return judge.report(gradient, difference, bend, count > 0, int(kinked.sum()))


class _Judge:
    """What differences of a network's loss can tell at all, and the verdict."""

    def __init__(self, net, probe, X, y, gradient, eps, scheme):
        self.sizes, self.scheme = net.sizes, scheme
        longest = STEPS["central"] * (1024 if net.dtype == np.float32 else 1)  # further than rounding may go past a kink
        self.sides = [longest * factor for factor in FINER]
        self.tolerance, self.limit, self.unit = TOLERANCES[net.dtype], LIMITS[net.dtype], float(np.finfo(net.dtype).eps)
        self.noise = MARGIN * UNIT * _magnitude(probe, X, y)  # of a loss
        condition = _condition(probe, X, y)
        self.rounding = MARGIN * self.unit * condition  # of each number of the gradient
        other = probe.value_and_grad(X, _others(probe, y))[1].params  # where the fit is perfect, its own is nothing
        self.whole = float(sum(map(np.linalg.norm, (condition, gradient, other))))
        self.best = {name: self._best(STEPS[name], order) for name, order in (("central", 3), ("forward", 2))}
        self.step = self.best[scheme] if eps is None else eps

    def _best(self, step, order) -> float:
        """`step`, or a longer one, at which rounding and what is left of the series are as large."""
        relative = self.noise * self.rounding.size**0.5 / (self.whole or 1.0)
        return max(step, min(relative ** (1 / order), LONGEST)) if relative > self.tolerance * step else step

    def slack(self, step) -> np.ndarray:
        """By how much gradient and difference may be apart for rounding alone."""
        return self.noise / step + self.rounding

    def report(self, gradient, difference, bend, compared=None, kinks=0) -> GradientReport:
        """The verdict on what was compared; `bend` is the slope above less that below."""
        compared = np.ones(gradient.size, bool) if compared is None else compared
        offsets = parameter_offsets(self.sizes)
        arrays = [np.where(compared, array, 0.0) for array in (difference, gradient, bend, difference - gradient)]
        whole = float(np.linalg.norm(gradient[compared]) + np.linalg.norm(difference[compared]))
        told = compared.copy()
        errors: list[float] = []
        tolerances: list[float] = []
        for start, _, end in offsets:
            d, g, b, distance = (float(np.linalg.norm(array[start:end])) for array in arrays)
            used = compared[start:end]
            floor, noise = (
                float(np.linalg.norm(self.slack(step)[start:end][used])) + MARGIN * self.unit * whole
                for step in (self.best["central"], self.step)
            )
            # the same floor for every step, so that steps compare
            size = d + g + b
            scale = size + floor / self.tolerance
            excess = max(0.0, CURVATURE * self.step * self.step - self.tolerance) if self.scheme == "central" else 0.0
            extra = excess * size + max(0.0, noise - floor) + (b if self.scheme == "forward" else 0.0)
            tolerance = float(self.tolerance + extra / (scale or 1.0))
            enough = max(self.limit * (d + g), max(self.tolerance, NEGLIGIBLE) * self.whole)
            is_told = np.isfinite([self.whole, whole]).all() and tolerance * scale <= enough
            told[start:end] &= is_told
            tolerances.append(tolerance if is_told else np.nan)
            error = distance / scale if scale else 0.0
            errors.append((error if np.isfinite(error) else np.inf) if used.any() else np.nan)
        max_error = float(np.nanmax(errors)) if compared.any() else np.nan
        worst = _place(self.sizes, offsets, int(np.argmax(np.abs(arrays[-1]))), gradient, difference)
        return GradientReport(errors, tolerances, max_error, worst, gradient, difference, kinks, int((~told).sum()))


def _differences(probe, X, y, gradient, steps, scheme, judge):
    """Numerical gradient (n_params,), and the slope above less the slope below; of several steps the one nearest to `gradient`.

    A shorter step counts only where it is nearer by more than its own rounding, which is larger. Beside it counts what it and the
    one before lead to at step 0, for an error in proportion to the step (where the second derivative jumps) or to its square.
    """
    difference, bend = _slopes(probe, X, y, steps[0], scheme)
    last = difference.copy()
    for longer, step in pairwise(steps):
        distance = np.abs(difference - gradient)
        scale = np.linalg.norm(gradient) + np.linalg.norm(difference)
        off = np.flatnonzero(distance > judge.slack(steps[0]) + 0.1 * judge.tolerance * scale / gradient.size**0.5)
        finer, bends = _slopes(probe, X, y, step, scheme, off)
        ratios = 0.0, step / longer, (step / longer) ** 2
        candidates = np.array([finer + (finer - last) * ratio / (1 - ratio) for ratio in ratios])
        candidate = np.take_along_axis(candidates, np.abs(candidates - gradient).argmin(axis=0)[None], axis=0)[0]
        nearer = off[(np.abs(candidate - gradient) + judge.slack(step) / MARGIN < distance)[off]]
        difference[nearer], bend[nearer] = candidate[nearer], bends[nearer]
        last[off] = finer[off]
    return difference, bend


def _slopes(probe, X, y, step, scheme="central", where=None):
    """Central or forward differences of the loss, and the slopes above less those below, of the parameters `where`."""
    params, centre = probe.params, probe.loss(X, y)
    difference, bend = np.zeros((2, params.size))
    for i in range(params.size) if where is None else where:
        value = params[i]
        width = max(step, 4 * np.spacing(abs(value)))
        params[i] = value + width
        above, high = probe.loss(X, y), params[i]
        params[i] = value - width
        below, low = probe.loss(X, y), params[i]
        params[i] = value
        up, down = (above - centre) / (high - value), (centre - below) / (value - low)
        difference[i], bend[i] = (above - below) / (high - low) if scheme == "central" else up, up - down
    return difference, bend


def _kinks(probe, X, y, judge):
    """Along which parameters a sample that lies on a kink has no derivative: where its gradient jumps.

    The slopes on both sides would not do: relu(t) - relu(-t) has a derivative at 0 and yet is no sum of functions that have one.
    """
    params, before = probe.params, probe.params.copy()
    here = probe.value_and_grad(X, y)[1].params
    jumping = np.zeros(params.size, bool)
    for direction in [sign * direction for direction in _directions(params.size) for sign in (1, -1)]:
        changes, size = [], float(np.linalg.norm(here))
        for step in judge.sides:
            params[:] = before + step * direction
            there = probe.value_and_grad(X, y)[1].params
            changes.append(there - here)
            size = max(size, float(np.linalg.norm(there)))
        jumping |= _is_kink(changes, judge.sides, 1e-3 * judge.tolerance * size)
    params[:] = before
    return jumping


def _samples_on_kinks(probe, X, y, judge):
    """Which samples lie on a kink: their loss has one along lines that change all parameters."""
    params, before, samples = probe.params, probe.params.copy(), [[r] for r in range(len(X))]
    noise = np.array([MARGIN * UNIT * _magnitude(probe, X[r], y[r]) for r in samples])
    found = np.zeros(len(X), bool)
    for direction in _directions(params.size):
        losses = []
        for move in (0.0, *(sign * step for step in judge.sides for sign in (1, -1))):
            params[:] = before + move * direction
            losses.append([probe.loss(X[r], y[r]) for r in samples])
        params[:] = before
        centre, sides = np.array(losses[0]), np.array(losses[1:]).reshape(len(judge.sides), 2, -1)
        bends = [(above - 2 * centre + below) / step for (above, below), step in zip(sides, judge.sides, strict=True)]
        found |= _is_kink(bends, judge.sides, 4 * noise / judge.sides[-1])
    return found


def _is_kink(changes, steps, noise):
    """Whether changes of slope over three steps do not lead to 0 at step 0: lines through the first two and the last two agree."""
    first, last = (
        near - (far - near) * shorter / (longer - shorter)
        for (far, near), (longer, shorter) in zip(pairwise(changes), pairwise(steps), strict=True)
    )
    far, _, near = (np.abs(change) for change in changes)
    left = np.abs(last)
    return (left > noise) & (left > 1e-3 * far) & (left > 0.5 * np.abs(first)) & (near > 0.5 * left)


def _magnitude(probe, X, y) -> float:
    """How large the terms are of which a loss is the sum: its own size, that for other targets, its change with every number."""
    params, before, loss = probe.params, probe.params.copy(), probe.loss(X, y)
    changes = []
    for direction in _directions(params.size):
        params[:] = before * (1 + NUDGE * direction)
        above = probe.loss(X, y)
        params[:] = before * (1 - NUDGE * direction)
        changes.append(abs(above - probe.loss(X, y)) / (2 * NUDGE))
    params[:] = before
    return max(abs(loss), abs(probe.loss(X, _others(probe, y))), *changes)


def _others(probe, y) -> np.ndarray:
    """Targets that a network which meets these does not meet."""
    task = probe.loss_function.task
    if task == "labels":
        return (y + 1) % probe.sizes[-1] if y.ndim == 1 else np.roll(y, 1, axis=1)
    return 1 - y if task == "binary" else 2 * y


def _condition(probe, X, y) -> np.ndarray:
    """How much each number of the gradient changes with all parameters and targets, relative to their change: rounding is one."""
    params, before = probe.params, probe.params.copy()
    targets = y if y.dtype == np.float64 else np.eye(probe.sizes[-1])[y]
    lowered = np.random.default_rng(1).integers(2, size=targets.shape)  # targets may have an upper bound
    changes = []
    for direction in _directions(params.size):
        gradients = []
        for nudge in (NUDGE, 2 * NUDGE):  # on the same side of a kink
            params[:] = before * (1 + nudge * direction)
            gradients.append(probe.value_and_grad(X, targets * (1 - nudge * lowered))[1].params)
        changes.append(np.abs(gradients[1] - gradients[0]) / NUDGE)
    params[:] = before
    return np.median(changes, axis=0)


def _directions(size):
    """The same at every call, and such that no two changes cancel."""
    return np.random.default_rng(0).normal(size=(N_NUDGES, size))


def _place(sizes, offsets, position, gradient, difference):
    for layer, (start, biases, end) in enumerate(offsets, 1):
        if position < end:
            if position >= biases:
                kind, index = "biases", (position - biases,)
            else:
                kind, index = "weights", divmod(position - start, sizes[layer - 1])
            return layer, kind, index, float(gradient[position]), float(difference[position])
    raise AssertionError("position is past the last parameter")
