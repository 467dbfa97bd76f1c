"""Checking gradients: backpropagation against finite differences of the loss, one parameter at a time.

The design: a difference and a gradient are compared layer by layer, and what may come between them although both are right is
measured first, by the loss of a copy of the network in float64 at the same numbers. There are three such things:

- rounding: a loss computed to u times its terms gives a difference of step h to u / h times them. Below this floor nothing can be
  told from zero; where a fit is perfect, gradient and difference are nothing but rounding, and agree. Where the terms are large
  beside the gradient, as for targets that are not standardised, the step is longer;
- curvature, h^2 times the third derivative: a difference that is off is taken again with smaller steps;
- kinks: where a sample lies on one (z = 0 under relu, a target met under the absolute error) its loss has no derivative along some
  parameters, and backpropagation gives one of several slopes. Such samples are told by the loss alone: its slopes on both sides of
  a kink stay apart as the step shrinks, those of a curve meet. They are counted, and left out for the
  parameters along which their gradient jumps.

A wrong gradient is none of these: it stays as wrong for every step, and on the samples that are not left out. Where these excuse so
much that it would pass, nothing is said of the layer: its tolerance is nan.

What is checked has the methods and attributes of `fastbp.Network` that are used here; this module knows no network.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastbp.engine import sparsity, validation
from fastbp.engine.parameters import parameter_offsets

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

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 3, 1], "tanh", dtype="float64", rng=0)
    >>> report = net.check_gradients([[0.5, -1.0], [2.0, 0.1]], [1.0, 0.0])
    >>> report.passed, report.max_error < 1e-7
    (True, True)
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
    X : array_like or sparse matrix (n_samples, n_inputs)
    y : array_like
        Targets; see `Network.loss`.
    eps : float, optional
        Step. By default 1e-5 (central) or 1e-7 (forward), longer where these would be lost in the rounding of the loss, and shorter
        ones where a difference is off.
    scheme : {"central", "forward"}, default "central"

    Returns
    -------
    GradientReport

    Raises
    ------
    ValueError
        If `scheme` or `eps` is not valid, or as `Network.loss`.
    """
    if scheme not in STEPS:
        raise ValueError(f"scheme must be 'central' or 'forward', got {scheme!r}")
    eps = None if eps is None else validation.real("eps", eps, above=0.0)
    gradient = net.value_and_grad(X, y)[1].params.astype(np.float64)
    X = X.tocsr() if hasattr(X, "tocsr") else validation.samples("X", X, net.sizes[0], net.dtype)
    rows = sparsity.dense(net._samples("X", X))
    rows = (rows.astype(net.dtype) * net.dtype.type(net.input_scale)).astype(np.float64)  # as the kernels see them
    values, labels = validation.targets("y", y, len(rows), net.sizes[-1], net.loss_function.task, net.dtype)
    y = labels if labels.size else values.astype(np.float64)
    check = _Check(net, rows, y, gradient, eps, scheme)
    report = check.report(gradient, *check.differences(rows, y, gradient))
    if report.passed and scheme == "central":  # forward differences are given the change of slope, which may be a kink's
        return report
    left_out = {r: along for r in range(len(rows)) if (along := check.kinks(rows[[r]], y[[r]])) is not None}
    if not left_out:
        return report
    together = [r for r in range(len(rows)) if r not in left_out]
    sums, compared = np.zeros((3, gradient.size)), np.zeros(gradient.size, bool)
    for part in [together] * bool(together) + [[r] for r in left_out]:
        used = ~left_out.get(part[0], np.zeros(gradient.size, bool))
        slopes = net.value_and_grad(X[part], y[part])[1].params.astype(np.float64)
        parts = np.array([slopes, *check.differences(rows[part], y[part], slopes)])
        sums += np.where(used, parts * (len(part) / len(rows)), 0.0)
        compared |= used
    gradient, difference, bend = sums
    return check.report(gradient, difference, bend, compared, len(left_out))


class _Check:
    """Finite differences of a network's loss, what they can tell at all, and the verdict."""

    def __init__(self, net, X, y, gradient, eps, scheme):
        settings = net._settings() | {"dtype": "float64", "input_scale": 1.0}
        self.net, self.scheme = type(net)(**settings, weights=net.weights, biases=net.biases), scheme
        longest = STEPS["central"] * (1024 if net.dtype == np.float32 else 1)  # further than rounding may go past a kink
        self.sides = [longest * factor for factor in FINER]
        self.tolerance, self.limit, self.unit = TOLERANCES[net.dtype], LIMITS[net.dtype], float(np.finfo(net.dtype).eps)
        self.noise, condition, elsewhere = _magnitudes(self.net, X, y)
        self.rounding = MARGIN * self.unit * condition  # of each number of the gradient
        self.whole = float(sum(map(np.linalg.norm, (condition, gradient, elsewhere))))
        self.best = {name: self._best(step, 3 if name == "central" else 2) for name, step in STEPS.items()}
        self.steps = [self.best[scheme] * factor for factor in FINER] if eps is None else [eps]

    def _best(self, step, order) -> float:
        """`step`, or a longer one, at which rounding and what is left of the series are as large."""
        relative = self.noise * self.rounding.size**0.5 / (self.whole or 1.0)
        return max(step, min(relative ** (1 / order), LONGEST)) if relative > self.tolerance * step else step

    def slack(self, step) -> np.ndarray:
        """By how much each number of gradient and difference may be apart for rounding alone."""
        return self.noise / step + self.rounding

    def differences(self, X, y, gradient):
        """Numerical gradient (n_params,), and the slope above less the slope below; of several steps the one nearest to `gradient`.

        A shorter step counts only where it is nearer by more than its own rounding, which is larger. Beside it counts what it and
        the one before lead to at step 0, for an error in proportion to the step (where the second derivative jumps) or its square.
        """
        difference, bend = self._slopes(X, y, self.steps[0], range(gradient.size))
        distance, scale = np.abs(difference - gradient), np.linalg.norm(gradient) + np.linalg.norm(difference)
        off = np.flatnonzero(distance > self.slack(self.steps[0]) + 0.1 * self.tolerance * scale / gradient.size**0.5)
        least, last = distance[off], difference[off]
        for longer, step in pairwise(self.steps):
            finer, bends = self._slopes(X, y, step, off)
            for ratio in (0.0, step / longer, (step / longer) ** 2):
                candidate = finer + (finer - last) * ratio / (1 - ratio)
                distance = np.abs(candidate - gradient[off])
                nearer = distance + self.slack(step)[off] / MARGIN < least
                difference[off[nearer]], bend[off[nearer]], least[nearer] = candidate[nearer], bends[nearer], distance[nearer]
            last = finer
        return difference, bend

    def _slopes(self, X, y, step, where):
        """Differences of the loss, and the slopes above less those below, of the parameters `where`."""
        params, centre, slopes = self.net.params, self.net.loss(X, y), np.empty((len(where), 2))
        for pair, i in zip(slopes, where, strict=True):
            value = params[i]
            width = max(step, 4 * np.spacing(abs(value)))
            for side, place in enumerate((value + width, value - width)):
                params[i] = place
                pair[side] = (self.net.loss(X, y) - centre) / (params[i] - value)
            params[i] = value
        up, down = slopes.T
        return (up + down) / 2 if self.scheme == "central" else up.copy(), up - down

    def kinks(self, X, y):
        """Along which parameters (n_params,) a sample has no derivative, because it lies on a kink of its loss; None if on none.

        That it does is told by its loss alone, along lines that change all parameters. Along which parameters is told by where its
        gradient jumps: relu(t) - relu(-t) has a derivative at 0 and yet is no sum of functions that have one.
        """
        centre, here = self.net.value_and_grad(X, y)
        noise = 4 * _magnitudes(self.net, X, y)[0] / self.sides[-1]
        on_kink, jumping = False, np.zeros(here.params.size, bool)
        for direction in _directions(here.params.size):
            moves = [[_moved(self.net, sign * step * direction, X, y) for step in self.sides] for sign in (1, -1)]
            losses, gradients = (np.array([[move[i] for move in side] for side in moves]) for i in (0, 1))
            on_kink |= bool(_is_kink((losses.sum(axis=0) - 2 * centre) / self.sides, self.sides, noise))
            for side in gradients - here.params:
                size = np.linalg.norm(side + here.params, axis=1).max()
                jumping |= _is_kink(side, self.sides, 1e-3 * self.tolerance * size)
        return jumping if on_kink else None

    def report(self, gradient, difference, bend, compared=None, kinks=0) -> GradientReport:
        """The verdict on what was compared; `bend` is the slope above less that below."""
        told = np.ones(gradient.size, bool) if compared is None else compared.copy()
        arrays = [np.where(told, array, 0.0) for array in (difference, gradient, bend, difference - gradient)]
        worst = int(np.argmax(np.abs(arrays[-1])))
        whole = float(np.linalg.norm(arrays[0]) + np.linalg.norm(arrays[1]))
        # the same floor for every step, so that errors of different steps compare
        slacks = [np.where(told, self.slack(step), 0.0) for step in (self.best["central"], self.steps[0])]
        step = self.steps[0]
        factor = max(self.tolerance, CURVATURE * step * step) if self.scheme == "central" else self.tolerance
        errors, tolerances = [], []
        for start, _, end in parameter_offsets(self.net.sizes):
            d, g, b, distance, floor, noise = (float(np.linalg.norm(array[start:end])) for array in [*arrays, *slacks])
            floor, noise = (each + MARGIN * self.unit * whole for each in (floor, noise))
            scale = d + g + b + floor / self.tolerance
            allowed = factor * (d + g + b) + max(floor, noise) + (b if self.scheme == "forward" else 0.0)
            enough = max(self.limit * (d + g), max(self.tolerance, NEGLIGIBLE) * self.whole)
            error, tolerance = distance / (scale or 1.0), max(self.tolerance, allowed / (scale or 1.0))
            is_told = np.isfinite(self.whole + whole) and allowed <= enough
            errors.append((error if np.isfinite(error) else np.inf) if told[start:end].any() else np.nan)
            tolerances.append(tolerance if is_told else np.nan)
            told[start:end] &= is_told
        place = *_place(self.net.sizes, worst), float(gradient[worst]), float(difference[worst])
        max_error = np.nan if np.isnan(errors).all() else float(np.nanmax(errors))
        return GradientReport(errors, tolerances, max_error, place, gradient, difference, kinks, int((~told).sum()))


def _is_kink(changes, steps, noise):
    """Whether changes of slope over three steps do not lead to 0 at step 0: lines through the first two and the last two agree."""
    first, last = (
        near - (far - near) * shorter / (longer - shorter)
        for (far, near), (longer, shorter) in zip(pairwise(changes), pairwise(steps), strict=True)
    )
    left = np.abs(last)
    return (left > noise) & (left > 1e-3 * np.abs(changes[0])) & (left > 0.5 * np.abs(first))


def _magnitudes(net, X, y):
    """Rounding of the loss, what that of each number of the gradient is in proportion to, and the gradient for targets not met.

    A sum is rounded in proportion to its terms: to its own size, to that for other targets where these cancel, and to how much it
    changes with all parameters and targets, relative to their change.
    """
    other, elsewhere = net.value_and_grad(X, _others(net, y))
    targets = y if y.dtype == np.float64 else np.eye(net.sizes[-1])[y]
    lowered = np.random.default_rng(1).integers(2, size=targets.shape)  # targets may have an upper bound
    sizes, changes = [abs(net.loss(X, y)), abs(other)], []
    for direction in _directions(net.params.size):
        (near, slopes), (far, others) = (  # on the same side of a kink
            _moved(net, nudge * direction * net.params, X, targets * (1 - nudge * lowered)) for nudge in (NUDGE, 2 * NUDGE)
        )
        sizes.append(abs(far - near) / NUDGE)
        changes.append(np.abs(others - slopes) / NUDGE)
    return MARGIN * UNIT * max(sizes), np.median(changes, axis=0), elsewhere.params


def _moved(net, change, X, y):
    """Loss and gradient where the parameters are changed by so much."""
    before = net.params.copy()
    net.params[:] = before + change
    loss, gradient = net.value_and_grad(X, y)
    net.params[:] = before
    return loss, gradient.params


def _others(net, y) -> np.ndarray:
    """Targets that a network which meets these does not meet."""
    task = net.loss_function.task
    if task == "labels":
        return (y + 1) % net.sizes[-1] if y.ndim == 1 else np.roll(y, 1, axis=1)
    return 1 - y if task == "binary" else 2 * y


def _directions(size):
    """The same at every call, and such that no two changes cancel."""
    return np.random.default_rng(0).normal(size=(N_NUDGES, size))


def _place(sizes, position):
    """Layer, kind and index of a parameter."""
    offsets = parameter_offsets(sizes)
    layer = next(layer for layer, (_, _, end) in enumerate(offsets) if position < end)
    start, biases, _ = offsets[layer]
    if position < biases:
        return layer + 1, "weights", divmod(position - start, sizes[layer])
    return layer + 1, "biases", (position - biases,)
