"""Fits and predictions have the same bits: again, by any number of threads, on busy cores, from any memory, and from a state on.

The control divides the samples of a mini-batch among the threads, where they are divided by its size alone: it must be found.
"""

import argparse
import multiprocessing
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from problems import make_net, make_samples, make_targets, teams

from fastbp.engine import planner
from fastbp.engine.session import Session
from fastbp.kernels.roll_call import RANK
from fastbp.kernels.team import LINE, SEATS

DTYPES = "float32", "float64"
CASES = [  # sizes, samples, mini-batch, options
    ((5, 7, 3), 40, 9, {}),
    ((9, 40, 33, 4), 60, 60, {"optimizer": "adam", "l2": 0.1, "record_norms": True}),
    ((40, 65, 2), 70, 17, {"optimizer": "momentum", "clip_norm": 0.5, "max_norm": 2.0, "dropout": 0.3, "l1": 0.01}),
    ((12, 30, 3), 1500, 1500, {"optimizer": "nesterov"}),
    ((20, 160, 150, 3), 1600, 1600, {"shuffle": "replacement"}),
]
MEMBERS = 1, 2, 4


def data(case, dtype):
    sizes, n, _, _ = case
    return make_samples(n, sizes[0], dtype), make_targets("squared", n, sizes[-1], dtype), np.linspace(0.5, 2, n)


def fitted(case, dtype, n_threads=1, change=lambda X: X):
    """Bits of parameters, losses and norms after a fit, of outputs, loss and gradient."""
    (sizes, _, batch, options), (X, y, weights) = case, data(case, dtype)
    net, X = make_net(sizes, dtype=dtype), change(X)
    history = net.fit(X, y, epochs=3, batch_size=batch, sample_weight=weights, n_threads=n_threads, rng=0, **options)
    rest = history.loss, history.gradient_norms, net.loss(X, y), net.value_and_grad(X, y)[1].params, net(X, n_threads)
    return net.params.tobytes(), *(np.array(each).tobytes() for each in rest)


def moved(offset):
    """A function that copies an array to so many bytes after the beginning of a line of the cache."""

    def change(X):
        memory = np.zeros(X.nbytes + 128, np.uint8)
        start = -memory.ctypes.data % 64 + offset
        copy = memory[start : start + X.nbytes].view(X.dtype).reshape(X.shape)
        copy[...] = X
        return copy

    return change


LAYOUTS = {
    "columns first": np.asfortranarray,
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "every other number": lambda X: np.repeat(np.repeat(X, 2, 0), 2, 1)[::2, ::2],
    "a list": lambda X: X.tolist(),
}


def resumed(case, dtype, n_threads):
    """Epochs of which the last two are by a trainer that takes over the state of the first: `fitted` without its history."""
    (sizes, _, batch, options), (X, y, weights) = case, data(case, dtype)
    net, shared = make_net(sizes, dtype=dtype), {"batch_size": batch, "n_threads": n_threads, **options}
    first = net.trainer(rng=0, **shared)
    first.run(X, y, 1, sample_weight=weights)
    other = make_net(sizes, dtype=dtype, seed=1)
    second = other.trainer(rng=1, **shared)
    second.load_state(first.state())
    second.run(X, y, 2, sample_weight=weights)
    return other.params.tobytes()


def rows_that_depend_on_others(case, dtype):
    """Rows of a prediction that have other bits when they are predicted alone, or with some of the others."""
    net, (X, *_) = make_net(case[0], dtype=dtype), data(case, dtype)
    outputs = net(X)
    for row in range(0, len(X), max(1, len(X) // 40)):
        yield net(X[row]).tobytes() != outputs[row].tobytes()
        for last in (row + 1, row + 2, row + 9):
            yield net(X[row:last])[0].tobytes() != outputs[row].tobytes()


def compared(case, dtype, repeats, offsets):
    """(name, whether the bits differ) of everything that must not change them."""
    with teams():
        expected = fitted(case, dtype)
        for n_threads in MEMBERS:
            yield f"{n_threads} threads", fitted(case, dtype, n_threads) != expected
            yield f"resumed by {n_threads} threads", resumed(case, dtype, n_threads) != expected[0]
        for repeat in range(repeats):
            yield "again", fitted(case, dtype, MEMBERS[repeat % len(MEMBERS)]) != expected
        for offset in offsets:
            yield f"{offset} bytes on", fitted(case, dtype, 1, moved(offset)) != expected
        for name, change in LAYOUTS.items():
            yield name, fitted(case, dtype, 1, change) != expected
        for differs in rows_that_depend_on_others(case, dtype):
            yield "rows", differs


def _burn():
    while True:
        pass


def under_load(fits):
    """Fits that differ, and in how many a second thread had a part, while two other processes keep both cores."""
    taken, call, context = [], Session.call, multiprocessing.get_context("spawn")

    def watched(session, mode):
        loss = call(session, mode)
        if session.members == 2:
            taken[-1] |= bool(session._crew.meeting[SEATS + LINE + RANK])  # the second's, which it has once it is in a team
        return loss

    others = [context.Process(target=_burn, daemon=True) for _ in range(2)]
    for other in others:
        other.start()
    try:
        with patch.object(Session, "call", watched):
            different, expected = 0, fitted(CASES[4], "float32")
            for number in range(fits):
                taken.append(False)
                with teams(whole=number % 2 == 0):  # the others take whom they find, mostly nobody
                    different += fitted(CASES[4], "float32", 2) != expected
    finally:
        for other in others:
            other.kill()
            other.join()
    return different, sum(taken)


def is_control_found():
    """Whether it is noticed that mini-batches are divided into as many blocks as there are threads."""
    make_plan = planner.make_plan

    def divided(*given, rows_together, members, **options):
        return make_plan(*given, rows_together=-(-rows_together // members), members=members, **options)

    with patch.object(planner, "make_plan", divided):
        return any(differs for name, differs in compared(CASES[1], "float64", 0, ()) if name == "2 threads")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    quick = parser.parse_args().quick
    repeats, offsets, fits = (3, (1, 8), 5) if quick else (100, range(64), 200)
    cases = [(case, dtype) for case in (CASES[1:4] if quick else CASES) for dtype in DTYPES]
    results = [(case, dtype, *each) for case, dtype in cases for each in compared(case, dtype, repeats, offsets)]
    different = [f"{case[0]} {dtype}: {name}" for case, dtype, name, differs in results if differs]
    of_load, shared = under_load(fits)
    is_found = is_control_found()
    print(*different, sep="\n", end="\n" * bool(different))
    bits = f"{len(different)} of {len(results)} comparisons with other bits, {of_load} of {fits} fits on busy cores"
    said = "found" if is_found else "NOT found"
    print(f"{bits} ({shared} by two threads); sums that are divided among threads: {said}")
    return 0 if not different and not of_load and shared and is_found else 1


if __name__ == "__main__":
    raise SystemExit(main())
