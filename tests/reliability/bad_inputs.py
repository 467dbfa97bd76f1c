"""Every bad input of the tests in every call that takes it: an error that names the argument, and nothing is changed by it.

The cases are those of `tests/test_validation.py` and `tests/test_bad_input.py`; here they are counted, and given to trainers, too.
In the control nobody looks whether numbers are finite.
"""

import argparse
import os
import sys
import warnings
from functools import partial
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from fastbp.compiler import cache_directory

os.environ["FASTBP_TEST_CACHE_DIR"] = str(getattr(cache_directory(), "parent", ""))  # else the tests begin an empty one

import numpy as np
import test_bad_input as of_estimators
import test_validation as of_networks
from conftest import make_net, same_state
from test_validation import N_IN, N_OUT, N, samples, targets

from fastbp.engine import validation

SIZES = N_IN, 4, N_OUT
NOT_FINITE = "nan", "infinity", "minus infinity"


def bad_values():
    """(argument, name of the case, function that makes the value anew)."""
    shapes = {"X": (N, N_IN), "y": (N, N_OUT), "sample_weight": (N,)}
    without = {"X": of_networks.FINE, "y": set(), "sample_weight": {"too large for float32"}}
    for argument, shape in shapes.items():
        for name in dict(of_networks.bad_arrays(shape)):
            if name not in without[argument]:
                yield argument, name, lambda shape=shape, name=name: dict(of_networks.bad_arrays(shape))[name]


def call(method, net, trainer, given):
    X, y, weight = given["X"], given["y"], given["sample_weight"]
    if method == "Network.fit":
        return net.fit(X, y, epochs=1, sample_weight=weight)
    if method == "Trainer.run":
        return trainer.run(X, y, 1, sample_weight=weight)
    return trainer.step(X, y, weight)


def check_arrays(method, argument, make):
    """That a value is refused by a network or by a trainer, before its first step and after."""
    for has_begun in (False, True):
        given = {"X": samples(), "y": targets(), "sample_weight": np.ones(N)}
        net = make_net(SIZES, dtype="float32")
        trainer = net.trainer(optimizer="adam", dropout=0.1, rng=0)
        if has_begun:
            trainer.step(*given.values())
        given[argument] = make()
        before = trainer.state()
        of_networks.check_refused(net, argument, partial(call, method, net, trainer, given), *given.values())
        same_state(trainer.state(), before)


def checks():
    """(call, name of the bad input, check that raises if it is not refused as it must be)."""
    for argument, name, make in bad_values():
        for method in ("Network.fit", "Trainer.step", "Trainer.run"):
            yield method, f"{argument}: {name}", partial(check_arrays, method, argument, make)
    for number, options in enumerate(of_networks.OPTIONS):
        net = make_net(SIZES, dtype="float32")
        yield "Network.fit", f"{next(iter(options))}, {number}", partial(of_networks.test_options_of_fit, net, options)
    for number, case in enumerate(of_networks.NETWORKS):
        yield "Network", f"{case[0]}, {number}", partial(of_networks.test_networks, *case)
    check = of_estimators.test_an_error_by_name_or_in_the_words_of_scikit_learn
    for cls, argument, name in of_estimators.ARGUMENTS:
        yield cls.__name__, f"{argument}: {name}", partial(check, cls, argument, name)


def faults(chosen):
    """(call, bad input, what was wrong) of those that were not refused as they must be."""
    found = []
    for method, name, check in chosen:
        try:
            check()
        except BaseException as failure:  # pytest's own are no exceptions
            if isinstance(failure, KeyboardInterrupt):
                raise
            found.append((method, name, f"{type(failure).__name__}: {failure}"))
    return found


def control(chosen):
    """The same of numbers that are not finite, in X of networks, where nobody looks."""
    chosen = [case for case in chosen if case[0] == "Network.fit" and case[1] in [f"X: {name}" for name in NOT_FINITE]]
    with mock.patch.object(validation, "is_plain", return_value=True):
        return len(faults(chosen)), len(chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every tenth")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    every = list(checks())
    chosen = every[::10] if quick else every
    found = faults(chosen)
    unseen, tried = control(every)
    for fault in found:
        print(*fault, sep=", ", file=sys.stderr)
    inputs, calls = len({name for _, name, _ in chosen}), ", ".join(sorted({method for method, *_ in chosen}))
    print(
        f"{len(chosen) - len(found)} of {len(chosen)} refused by the argument's name or in the words of scikit-learn, and nothing"
        f" changed: {inputs} bad inputs to {calls}; control: unless NaN and infinity are looked for {tried - unseen} of {tried}"
    )
    return 1 if found or not unseen else 0


if __name__ == "__main__":
    raise SystemExit(main())
