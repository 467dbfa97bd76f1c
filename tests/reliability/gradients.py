"""Gradients of random networks: float64 against central differences, float32 against the oracle; wrong ones are told apart.

Networks of one to five layers, one of them of up to 67 units, every activation and loss, 1 to 40 samples. A gradient in float32 may
be as far from the oracle as SAFETY times what roundings drawn at random do to the oracle itself (`reference.Rounded`).
"""

import argparse
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from problems import ACTIVATIONS, LOSSES, flat, make_net, make_samples, make_targets
from random_fits import SAFETY
from reference import Rounded

import fastbp
from fastbp.engine.parameters import Gradients

NETWORKS, WIDEST = 500, 67
MOST = 1e-5  # relative error of a gradient in float64 against differences
RUNS = 8  # of the oracle with other roundings
LEAST = 1e-3  # of its largest component that a component of a gradient must have for a fault in it to count


def problem(number, dtype):
    rng = np.random.default_rng(number)
    sizes = rng.integers(1, 9, rng.integers(2, 7)).tolist()
    sizes[rng.integers(len(sizes))] = int(rng.integers(1, WIDEST + 1))  # differences take as many evaluations as there are weights
    hidden = [ACTIVATIONS[i] for i in rng.integers(len(ACTIVATIONS), size=len(sizes) - 2)]
    loss, n = LOSSES[number % len(LOSSES)], int(rng.integers(1, 40))
    net = make_net(sizes, hidden, loss, dtype=dtype, seed=number)
    net.params *= 0.7  # exp of exp must stay finite
    X, y = make_samples(n, sizes[0], dtype, number), make_targets(loss, n, sizes[-1], dtype, number)
    return net, X, y, rng.uniform(0.1, 3, n) if number % 2 else None


def is_single_near(number):
    """Whether a gradient in float32 is as near to the oracle as it must be; None where rounding may do anything to it."""
    net, X, y, weights = problem(number, "float32")
    settings = {"output": net.output, "dtype": "float64", "weights": net.weights, "biases": net.biases}
    network = net.sizes, net.hidden, net.loss_function
    longest = max(*net.sizes, len(X))
    delta = (4 + 2 * longest**0.5) * float(np.finfo("float32").eps)

    def gradient(oracle):
        with np.errstate(all="ignore"):
            return flat(*oracle.value_and_grad(X.astype(float), y.astype(float), weights)[1:])

    exact = gradient(fastbp.baseline.Network(*network, **settings))
    others = [gradient(Rounded(delta, np.random.default_rng([number, run]), *network, **settings)) for run in range(RUNS)]
    spread, scale = max(np.abs(other - exact).max() for other in others), np.abs(exact).max()
    if not spread < 0.1 * scale:
        return None
    with np.errstate(all="ignore"):
        found = net.value_and_grad(X, y, weights)[1].params
    return bool(np.abs(found - exact).max() <= SAFETY * (spread + delta * scale))


def error_of(number):
    """Relative error of a gradient in float64 against central differences; NaN where every sample is on a kink."""
    net, X, y, _ = problem(number, "float64")
    return net.check_gradients(X, y).max_error


def is_fault_found(number):
    """Whether a component that is off by a thousandth is noticed; None where it is 0, or of no size."""
    net, X, y, _ = problem(number, "float64")
    loss, gradients = net.value_and_grad(X, y)
    sizes = np.abs(gradients.params)
    wrong, place = gradients.params.copy(), np.random.default_rng(number).choice(np.flatnonzero(sizes >= LEAST * sizes.max()))
    wrong[place] *= 1.001
    if not sizes[place]:
        return None
    with patch.object(type(net), "value_and_grad", lambda *_: (loss, Gradients(wrong, net.sizes))):
        return not net.check_gradients(X, y).passed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 networks")
    numbers = range(20 if parser.parse_args().quick else NETWORKS)
    errors = {number: error_of(number) for number in numbers}
    known = {number: error for number, error in errors.items() if not np.isnan(error)}
    off = [number for number, error in known.items() if error > MOST]
    near = {number: is_single_near(number) for number in numbers}
    far = [number for number, is_near in near.items() if is_near is False]
    found = [is_fault_found(number) for number in list(known)[:20]]
    faults = [f"network {number}, {problem(number, 'float64')[0]}: {errors[number]:.2g} in float64" for number in off]
    faults += [f"network {number}, {problem(number, 'float32')[0]}: float32" for number in far]
    print(*faults, sep="\n", end="\n" * bool(faults))
    compared = sum(is_near is not None for is_near in near.values())
    of_double = f"{len(off)} of {len(known)} gradients in float64 off by more than {MOST:g} (the most {max(known.values()):.2g})"
    of_single = f"{len(far)} of {compared} in float32 outside their bound"
    print(f"{of_double}, {of_single}; {found.count(True)} of {len(found) - found.count(None)} faults found")
    return 1 if off or far or False in found or len(known) < 0.9 * len(errors) or compared < 0.9 * len(errors) else 0


if __name__ == "__main__":
    raise SystemExit(main())
