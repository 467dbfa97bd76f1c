"""Trainings that diverge, by learning rates to 1e6 and samples to 1e300: each stops by an error, with the last finite weights.

Every loss and every rule is tried in float32 and float64. A case counts where NumPy diverges, too, and then stops at most one epoch
after it. The control leaves out the look at what is finite: the loss becomes NaN, and nobody says so.
"""

import argparse
import re
import sys
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

import fastbp
from fastbp import baseline, losses, optimizers
from fastbp.engine.training_session import TrainingSession

SIZES, N, EPOCHS, BATCH = [4, 6, 3], 40, 20, 8
SCALES = {"float32": (1.0, 1e3, 1e30), "float64": (1.0, 1e150, 1e300)}
RATES = 1e-2, 1e3, 1e6
LEAST = 30  # cases that count


def problem(loss, rule, rate, dtype, scale):
    """A network, its samples and targets, and its rule."""
    rng = np.random.default_rng(0)
    net = fastbp.Network(SIZES, "relu", loss(), dtype=dtype, rng=0)
    X = (rng.normal(size=(N, SIZES[0])) * scale).astype(dtype)
    y = rng.dirichlet(np.ones(SIZES[-1]), N).astype(dtype)
    return net, X, y, rule(rate)


def cases(quick):
    pairs = [(loss, optimizers.SGD) for loss in losses.LOSSES.classes]
    pairs += [(losses.SquaredError, rule) for rule in optimizers.OPTIMIZERS.classes]
    found = [(*pair, rate, dtype, scale) for pair in pairs for dtype in SCALES for rate in RATES for scale in SCALES[dtype]]
    return found[::4] if quick else found


def diverges_at(net, X, y, rule):
    """The epoch, from 0, in which the same training in NumPy and float64 leaves what the dtype holds, or None."""
    settings = {"output": net.output, "dtype": "float64", "weights": net.weights, "biases": net.biases}
    exact = baseline.Network(net.sizes, net.hidden, net.loss_function, **settings)
    with np.errstate(all="ignore"):
        values = exact.fit(X.astype(float), y.astype(float), epochs=EPOCHS, batch_size=BATCH, optimizer=rule, shuffle=False)
    limit = float(np.finfo(net.dtype).max)
    return next((epoch for epoch, loss in enumerate(values) if not abs(loss) < limit), None)


def fault_of(case, at, each):
    """What is wrong with a case that diverges in NumPy `at` that epoch (each: somebody watches every epoch), None if nothing is."""
    net, X, y, rule = problem(*case)
    kept = [net.params.copy()]
    watch = [lambda epoch, net, history: kept.append(net.params.copy())] if each else []
    try:
        history = net.fit(X, y, epochs=EPOCHS, batch_size=BATCH, optimizer=rule, shuffle=False, callbacks=watch)
    except fastbp.DivergenceError as failure:
        if at is not None and failure.epoch > at + 1:
            return "late"
        if not re.search(rf"training diverged in epoch {failure.epoch + 1}: .*learning rate \(now .*scale X", str(failure)):
            return "unclear"
        if not np.isfinite(net.params).all() or (each and not np.array_equal(net.params, kept[-1])):
            return "not restored"
        net.params[:] = 0.01
        history = net.fit(X / np.abs(X).max(), y, epochs=2, optimizer=fastbp.SGD(1e-3))
        return None if np.isfinite(history.loss).all() else "unusable"
    if not np.isfinite(history.loss).all() or not np.isfinite(net.params).all():
        return "silent"
    return "missed" if at is not None else None


def silent_cases(chosen):
    """How many become NaN without a word if nobody looks, of so many."""
    count = 0
    names = "is_finite", "has_finite_parameters"
    with mock.patch.multiple(TrainingSession, **dict.fromkeys(names, lambda self: True)):
        for case in chosen:
            net, X, y, rule = problem(*case)
            count += not np.isfinite(net.fit(X, y, epochs=1, batch_size=BATCH, optimizer=rule, shuffle=False).loss).all()
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every fourth case")
    chosen = cases(parser.parse_args().quick)
    epochs = {case: diverges_at(*problem(*case)) for case in chosen}
    counting = [case for case, at in epochs.items() if at is not None]
    faults = [(fault, case) for case, at in epochs.items() for each in (False, True) if (fault := fault_of(case, at, each))]
    silent = silent_cases(counting[:LEAST])
    for fault, (loss, rule, rate, dtype, scale) in faults:
        print(f"{fault}: {loss.name}, {rule.name}, {dtype}, learning rate {rate:g}, X to {scale:g}", file=sys.stderr)
    print(
        f"{len(faults)} faults in {len(chosen)} trainings, {len(counting)} of which diverge and are stopped with their last finite"
        f" weights; control: of {LEAST} that nobody looks at, {silent} become NaN in silence"
    )
    return 1 if faults or len(counting) < LEAST or not silent else 0


if __name__ == "__main__":
    raise SystemExit(main())
