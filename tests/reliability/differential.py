"""Random networks, data and options, trained by the kernels and by the reference in NumPy: no case in which they differ.

``python tests/reliability/differential.py --cases 20000`` takes ten minutes. See `random_fits.py` for what is drawn and what is
compared. The controls are faults of the reference, each of which must be found.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import random_fits
from reference import Reference

from fastbp.baseline import network
from fastbp.baseline.formulas import RULES

TOGETHER = 50  # cases that Hypothesis draws in one go: of many, later ones resemble earlier ones
WITHIN = 400  # cases in which each fault must be found


def _late(step):
    def changed(w, g, slots, h):
        h.t += 1
        step(w, g, slots, h)
        h.t -= 1

    return changed


def _norms_of_columns(weights, most):
    for weight in weights:
        norms = np.linalg.norm(weight, axis=0, keepdims=True)
        weight *= np.where(norms > most, most / np.maximum(norms, most), 1)


def _unscaled(fit):
    def changed(self, *data, masks=None, **options):
        as_drawn = masks and (lambda epoch, layer: np.sign(masks(epoch, layer)))
        return fit(self, *data, masks=as_drawn, **options)

    return changed


def _unweighted(backpropagate):
    def changed(self, x, y, w, *rest):
        return backpropagate(self, x, y, None, *rest)

    return changed


CONTROLS = {
    "the steps of Adam are counted from 2": lambda: patch.dict(RULES, adam=RULES["adam"]._replace(step=_late(RULES["adam"].step))),
    "norms are those of columns": lambda: patch.object(network, "_limit_norms", _norms_of_columns),
    "what dropout keeps is not scaled": lambda: patch.object(Reference, "fit", _unscaled(Reference.fit)),
    "sample weights are left out": lambda: patch.object(Reference, "_backpropagate", _unweighted(Reference._backpropagate)),
}


def is_found(control, seed=0):
    """Whether this fault is found in time."""
    with CONTROLS[control]():
        return any(random_fits.run(TOGETHER, seed + part, shrink=False).mismatch for part in range(WITHIN // TOGETHER))


def compared(cases, seed=0):
    """(outcomes, mismatches, differences by their bounds, what the cases had) of so many cases."""
    outcomes, mismatches, ratios, seen = Counter(), [], [], Counter()
    for first in range(0, cases, TOGETHER):
        tally = random_fits.run(min(TOGETHER, cases - first), seed + first)
        outcomes += tally.outcomes
        seen += tally.seen
        ratios += tally.ratios
        mismatches += [tally.mismatch] if tally.mismatch else []
    return outcomes, mismatches, ratios, seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="40 cases and one control")
    arguments = parser.parse_args()
    controls = list(CONTROLS)[: 1 if arguments.quick else None]
    outcomes, mismatches, ratios, _ = compared(40 if arguments.quick else arguments.cases, arguments.seed)
    missed = [control for control in controls if not is_found(control)]
    print(*mismatches, *(f"not found: {control}" for control in missed), sep="\n", end="\n" * bool(mismatches or missed))
    counts = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
    most = ", ".join(f"{q:g} % <= {np.quantile(ratios, q / 100):.2g}" for q in (50, 99, 100))
    found = f"{len(controls) - len(missed)} of {len(controls)} faults of the reference found"
    print(f"{len(mismatches)} mismatches in {outcomes.total()} cases ({counts}; difference by bound: {most}); {found}")
    return 1 if mismatches or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
