"""Threads, processes and pools around fits and inside them, 25 times each: no abort, no hang, and the bits of a fit that is alone.

The control lets two threads train one network at once: other bits, where that is an error else.
"""

import argparse
import multiprocessing
import os
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from forked import ended, start

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ["PYTHONWARNINGS"] = "ignore"  # of processes that are begun

import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV

import fastbp
from fastbp.engine import threads

warnings.simplefilter("ignore")  # searches stop early
threads.members_for = lambda flop, limit, *start: 1 if start else limit or 1  # teams, however little the work
SIZES = [12, 32, 16, 3]
RUNS = 25
CONTROLS = 3
LONG = 500  # epochs that take a while
X = np.random.default_rng(0).normal(size=(400, SIZES[0])).astype(np.float32)
Y = X[:, :3].argmax(axis=1)


def network(seed):
    return fastbp.Network(SIZES, "tanh", "cross_entropy", rng=seed)


def train(net, n_threads=2, epochs=20):
    net.fit(X, Y, epochs=epochs, batch_size=50, optimizer="adam", dropout=0.1, rng=0, n_threads=n_threads)


def fit(seed, n_threads=2):
    """The bits of a network of its own."""
    net = network(seed)
    train(net, n_threads)
    return net.params.tobytes()


def fits_in_threads(seeds):
    """Of a process that has a pool of its own."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(fit, seeds))


def search(n_jobs):
    model = fastbp.MLPClassifier((8,), max_iter=3, tol=0, random_state=0)
    found = GridSearchCV(model, {"alpha": [1e-4, 1.0], "solver": ["adam", "sgd"]}, cv=2, n_jobs=n_jobs).fit(X, Y)
    return found.cv_results_["mean_test_score"].tobytes() + b"".join(each.tobytes() for each in found.best_estimator_.coefs_)


SEEDS = range(8)


def same(found):
    """Raise unless these are the bits of fits with the first seeds."""
    found = list(found)
    if found != EXPECTED[: len(found)]:
        raise AssertionError("other bits")


def fitting_threads(run):
    count = 2 + run % 7
    with ThreadPoolExecutor(count) as pool:
        same(pool.map(partial(fit, n_threads=1 + run % 3), SEEDS[:count]))


def predicting_threads(run):
    net, other = network(0), network(1)
    expected, is_over = other(X), False

    def predict():
        while not is_over:
            if not np.isfinite(net(X)).all() or not (other(X) == expected).all():
                raise AssertionError("wrong outputs")

    with ThreadPoolExecutor(3) as pool:
        begun = [pool.submit(predict) for _ in range(3)]
        train(net)
        is_over = True
        for each in begun:
            each.result()
    same([net.params.tobytes()])


def processes(method, run):
    """Of the parent and of the children: fits of two threads each, those of the parent before and after."""
    same([fit(0)])
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        same(pool.map(fit, SEEDS[:3]))
    same([fit(0)])


def with_joblib(backend, run):
    same([fit(0)])
    same(joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(fit)(seed) for seed in SEEDS[:4]))
    same([fit(0)])
    end_loky()


def grid_search(run):
    if search(2) != SEARCHED:
        raise AssertionError("another result of the search")
    end_loky()


def nested(run):
    same([fit(0)])
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        for found in pool.map(fits_in_threads, [SEEDS[:2]] * 2):
            same(found)
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(fits_in_threads, [SEEDS[:2]] * 2):
            same(found)


def end_loky():
    with suppress(ImportError):
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)


SCENARIOS = {
    "2 to 8 threads": fitting_threads,
    "predictions meanwhile": predicting_threads,
    "fork": partial(processes, "fork"),
    "spawn": partial(processes, "spawn"),
    "forkserver": partial(processes, "forkserver"),
    "loky": partial(with_joblib, "loky"),
    "threads of joblib": partial(with_joblib, "threading"),
    "grid search": grid_search,
    "nested pools": nested,
}
QUICK = "2 to 8 threads", "predictions meanwhile", "fork", "threads of joblib", "nested pools"


def one_network(run):
    """Two threads train one network: one of them is refused, and the other has the bits of one that is alone."""
    net, alone, refused = network(0), network(0), []
    ready = threading.Barrier(2)

    def attempt(_):
        ready.wait()
        try:
            train(net, 1, LONG)
        except RuntimeError:
            refused.append(1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(attempt, range(2)))
    for _ in range(2 - len(refused)):  # one after the other, if none was
        train(alone, 1, LONG)
    if net.params.tobytes() != alone.params.tobytes():
        raise AssertionError("other bits than of fits one after the other")


class Nobody:
    """Whose turn is never refused."""

    def __init__(self, what):
        pass

    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


def without_turns(run):
    fastbp.network.Turn = Nobody
    one_network(run)


def faults(scenario, count):
    """(runs that went wrong, by an exception or a signal, and runs that hung), each in a process of its own."""
    statuses = [ended(start(scenario, run)) for run in range(count)]
    hung = sum(status == -14 for status in statuses)
    return sum(status != 0 for status in statuses) - hung, hung


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 runs of those that start no interpreter")
    quick = parser.parse_args().quick
    if not hasattr(os, "fork"):
        print("threads and processes: needs fork")
        return 0
    count = 2 if quick else RUNS
    scenarios = {name: SCENARIOS[name] for name in QUICK} if quick else SCENARIOS
    found = {name: faults(scenario, count) for name, scenario in (scenarios | {"one network": one_network}).items()}
    wrong, hung = (sum(column) for column in zip(*found.values(), strict=True))
    control = sum(faults(without_turns, CONTROLS))
    at_fault = ", ".join(name for name, each in found.items() if any(each))
    print(
        f"{wrong} aborts or other bits and {hung} hangs in {count} runs of each of {len(found)} scenarios"
        f"{at_fault and f' ({at_fault})'}; control: without turns {control} of {CONTROLS} fits of one network have others"
    )
    return 1 if wrong or hung or not control else 0


if __name__ == "__main__":
    EXPECTED, SEARCHED = [fit(seed, 1) for seed in SEEDS], search(1)
    raise SystemExit(main())
