"""NaN, infinities, denormal and largest numbers, and -0, in every operand: nothing is swallowed, nothing comes from old buffers.

Samples, targets and sample weights that are not finite are refused by name, before anything is changed, and parameters by training.
From parameters they go to the results that depend on them, and to no others, as in NumPy. Results of finite numbers, however large
or small, are within the error bound of sums in a wider type; what is not finite is there only where such a sum is above the largest
number. Work buffers full of bytes 0xFF give the same bits. The controls take the checks away, and fill what must begin with zeros.
"""

import argparse
import sys
from itertools import product as combinations
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from problems import make_net, make_samples, make_targets, oracle
from products import gamma

import fastbp
from fastbp.engine import validation
from fastbp.engine.session import Session

DTYPES = "float32", "float64"
SIZES = [(5, 3), (40, 33), (4, 6, 3), (33, 20, 17, 2)]
ROWS = 1, 7, 37
OPTIONS = [{}, {"optimizer": "adam", "l2": 0.1}, {"optimizer": "momentum", "clip_norm": 1.0, "max_norm": 2.0}]
NOT_FINITE = np.nan, np.inf, -np.inf
WIDER = np.longdouble


def finite_specials(dtype):
    """Numbers by name, and by which sums are divided so that they can be told apart from the others."""
    info = np.finfo(dtype)
    return {"denormal": info.smallest_subnormal * 3, "-0": -0.0, "largest": info.max, "-largest": -info.max}


def problem(sizes, n, dtype):
    net = make_net(sizes, "tanh", dtype=dtype)
    return net, make_samples(n, sizes[0], dtype), make_targets("squared", n, sizes[-1], dtype), np.linspace(0.5, 2, n)


def doors(net, X, y, weights):
    """What can be called with these operands, by name."""
    yield "predict", lambda: net(X)
    yield "loss", lambda: net.loss(X, y, weights)
    yield "gradient", lambda: net.value_and_grad(X, y, weights)
    yield "step", lambda: net.trainer(batch_size=len(X)).step(X, y, weights)
    for options in OPTIONS:
        yield f"fit {options}", lambda options=options: net.fit(X, y, epochs=2, batch_size=4, sample_weight=weights, **options)


def is_refused(call, name):
    try:
        call()
    except ValueError as error:
        return name in str(error) and not isinstance(error, fastbp.DivergenceError)
    return False


def not_refused(sizes, n, dtype):
    """What is not finite, in data: calls that take it, or change anything."""
    for value, name, place in combinations(NOT_FINITE, ("X", "y", "sample_weight"), (0, -1)):
        net, X, y, weights = problem(sizes, n, dtype)
        {"X": X, "y": y, "sample_weight": weights}[name].reshape(-1)[place] = value
        before = net.params.tobytes()
        for door, call in doors(net, X, y, weights):
            if door != "predict" or name == "X":
                is_kept = is_refused(call, name) and net.params.tobytes() == before
                yield f"{value} in {name}, {door}" if not is_kept else None


def swallowed(sizes, n, dtype):
    """What is not finite, in parameters: results that are finite where NumPy's are not, or the other way round."""
    for value, place in combinations(NOT_FINITE, (0, sizes[0] // 2, -1)):
        net, X, y, weights = problem(sizes, n, dtype)
        net.params[place] = value
        exact = oracle(net)
        with np.errstate(all="ignore"):
            outputs, (loss, *gradient) = exact(X), exact.value_and_grad(X, y, weights)
            expected = {"outputs": outputs, "loss": loss, "weights": gradient[0], "biases": gradient[1]}
            found_loss, found = net.value_and_grad(X, y, weights)
            results = {"outputs": net(X), "loss": found_loss, "weights": found.weights, "biases": found.biases}
        for name, result in results.items():
            pairs = zip(result, expected[name], strict=True) if name in ("weights", "biases") else [(result, expected[name])]
            is_alike = all(np.array_equal(np.isfinite(one), np.isfinite(other)) for one, other in pairs)
            yield f"{value} in params[{place}], {name}" if not is_alike else None
        for door, call in doors(net, X, y, weights):
            if door.startswith("fit"):
                yield f"{value} in params[{place}], {door}" if not is_refused(call, "params") else None


def bounded(sizes, n, dtype):
    """Outputs x W^T + b of finite numbers of any size: those that are not as near to the sum in a wider type as they must be."""
    if np.finfo(WIDER).max <= np.finfo(dtype).max:
        return
    n_in, n_out = sizes[0], sizes[-1]
    for (name, value), place, operand in combinations(finite_specials(dtype).items(), (0, -1), ("x", "w", "b")):
        x, w, b = make_samples(n, n_in, dtype), make_samples(n_out, n_in, dtype, 1), make_samples(1, n_out, dtype, 2)[0]
        {"x": x, "w": w, "b": b}[operand].reshape(-1)[place] = value
        result = fastbp.Network([n_in, n_out], weights=[w], biases=[b], dtype=dtype)(x)
        wide = [each.astype(WIDER) for each in (x, w, b)]
        exact, absolute = wide[0] @ wide[1].T + wide[2], np.abs(wide[0]) @ np.abs(wide[1].T) + np.abs(wide[2])
        info = np.finfo(dtype)
        bound = 2 * gamma(n_in + 1, np.dtype(dtype)) * absolute + (n_in + 1) * WIDER(info.smallest_subnormal)
        with np.errstate(invalid="ignore"):
            is_near, may_overflow = np.abs(result - exact) <= bound, absolute + bound >= info.max
        yield f"{name} in {operand}" if not np.where(np.isfinite(result), is_near, may_overflow).all() else None


def trained(sizes, n, dtype):
    """Fits on finite numbers of any size: the parameters stay finite, or the fit says that it diverged."""
    for (name, value), operand, options in combinations(finite_specials(dtype).items(), ("X", "y", "params"), OPTIONS):
        net, X, y, weights = problem(sizes, n, dtype)
        {"X": X, "y": y, "params": net.params}[operand].reshape(-1)[-1] = value
        before = net.params.copy()
        try:
            history = net.fit(X, y, epochs=2, batch_size=4, sample_weight=weights, **options)
            is_sound = bool(np.isfinite(history.loss).all())
        except fastbp.DivergenceError:
            is_sound = not name.startswith(("denormal", "-0"))
        is_sound &= bool(np.isfinite(net.params).all())
        if name == "-0" and operand == "X":
            other, positive = problem(sizes, n, dtype)[0], X + 0.0
            other.fit(positive, y, epochs=2, batch_size=4, sample_weight=weights, rng=0, **options)
            net.params = before
            net.fit(X, y, epochs=2, batch_size=4, sample_weight=weights, rng=0, **options)
            is_sound &= np.array_equal(other.params, net.params)
        yield f"{name} in {operand}, fit {options}" if not is_sound else None


class Filled:
    """Sessions begin with a work buffer of bytes 0xFF but for what a plan says is theirs from call to call."""

    def __init__(self, spare_slots=True):
        self.spare_slots, self.begun = spare_slots, Session.__init__

    def __call__(self, session, net, batch, **options):
        self.begun(session, net, batch, **options)
        plan, rule = session.plan, options.get("optimizer")
        kept = np.zeros(session.work.size, bool)
        kept[plan.layers["alpha"]] = True
        if rule and self.spare_slots:
            kept[plan.slot_1 : plan.slot_1 + rule.slots * plan.n_packed] = True
        session.work.view(f"u{session.work.itemsize}")[~kept] = np.iinfo(f"u{session.work.itemsize}").max


def bits(sizes, n, dtype):
    """Bits of what every call gives and leaves."""
    net, X, y, weights = problem(sizes, n, dtype)
    found = [net(X).tobytes(), np.float64(net.loss(X, y, weights)).tobytes(), net.value_and_grad(X, y, weights)[1].params.tobytes()]
    for options in OPTIONS:
        net, X, y, weights = problem(sizes, n, dtype)
        history = net.fit(X, y, epochs=2, batch_size=4, sample_weight=weights, record_norms=True, rng=0, **options)
        found += [net.params.tobytes(), np.array(history.loss).tobytes(), np.array(history.gradient_norms).tobytes()]
    return found


def leaked(sizes, n, dtype, *, spare_slots=True):
    """Calls that give other bits when buffers held something before."""
    clean, filled = bits(sizes, n, dtype), Filled(spare_slots)
    with patch.object(Session, "__init__", lambda session, *given, **options: filled(session, *given, **options)):
        try:
            spoilt = bits(sizes, n, dtype)
        except fastbp.DivergenceError:
            spoilt = [None] * len(clean)
    for number, (one, other) in enumerate(zip(clean, spoilt, strict=True)):
        yield f"old contents reach result {number}" if one != other else None


def faults(check, quick, **options):
    """(faults, how many cases)."""
    cases = list(combinations(SIZES[:: 2 if quick else 1], ROWS[1:2] if quick else ROWS, DTYPES))
    found = [(case, fault) for case in cases for fault in check(*case, **options)]
    return [f"{case}: {fault}" for case, fault in found if fault], len(found)


def slowness(dtype, repeats):
    """How many times as long a fit and a prediction take on denormal samples as on others: the least of some times."""
    net, X, y, _ = problem((64, 64, 8), 2000, dtype)
    times = np.full((2, repeats), np.inf)
    for repeat, (number, samples) in combinations(range(repeats), enumerate((X, (X * np.finfo(dtype).tiny / 8).astype(dtype)))):
        copy, start = net.copy(), perf_counter()
        copy.fit(samples, y, epochs=2, n_threads=1, rng=0)
        copy(samples, n_threads=1)
        times[number, repeat] = perf_counter() - start
    return times[1].min() / times[0].min()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half of the networks, and one number of samples")
    quick = parser.parse_args().quick
    found, count = [], 0
    for check in (not_refused, swallowed, bounded, trained, leaked):
        more, cases = faults(check, quick)
        found, count = found + more, count + cases
    with patch.object(validation, "is_plain", lambda array: True):
        unchecked = faults(not_refused, True)[0]
    controls = bool(unchecked), bool(faults(leaked, True, spare_slots=False)[0])
    times = ", ".join(f"{slowness(dtype, 3 if quick else 9):.2f} in {dtype}" for dtype in DTYPES)
    print(*found, sep="\n", end="\n" * bool(found))
    of_controls = f"{sum(controls)} of {len(controls)} controls found"
    print(f"{len(found)} faults in {count} cases of special values; {of_controls}; time with denormal numbers by without: {times}")
    return 0 if not found and all(controls) else 1


if __name__ == "__main__":
    raise SystemExit(main())
