"""What training on partitions of Dask costs, and how far it goes in an epoch; `python -m benchmarks.partitions`.

Digits, three quarters of them in five partitions, once in a random order and once sorted by class: loss and accuracy on the last
quarter after some epochs, by arrays, by common steps, and by local epochs and averages. Then the time of a round, an iteration and
a step on two workers.
"""

import argparse
import os
import warnings
from time import perf_counter

import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import fastbp
from fastbp.dask import MLPClassifier, _rounds

PARTITIONS = 5
WAYS = {
    "arrays": {},
    "synchronous": {"updates": "synchronous"},
    "local": {"updates": "local"},
    "local, 5 epochs": {"updates": "local", "local_epochs": 5},
}


def partitioned(X, y, count):
    """The rows in so many partitions, all but the last of one length."""
    rows = -(-len(X) // count)
    return da.from_array(X, chunks=(rows, -1)), da.from_array(y, chunks=rows)


def converge(epochs, settings):
    """A row of the table for each way, and each order of the rows."""
    X, y = load_digits(return_X_y=True)
    X, held, y, known = train_test_split(X / 16, y, test_size=0.25, random_state=0, stratify=y)
    by_class = np.argsort(y, kind="stable")
    print(f"{'epochs':>32}" + "".join(f"{n:>18}" for n in epochs))
    for order, told in ((np.arange(len(y)), ""), (by_class, ", rows sorted by class")):
        for way, more in WAYS.items():
            found = []
            for n in epochs if more or not told else ():
                if more:
                    model = MLPClassifier(**settings, **more, max_iter=max(1, n // more.get("local_epochs", 1)))
                    model.fit(*partitioned(X[order], y[order], PARTITIONS))
                else:
                    model = fastbp.MLPClassifier(**settings, max_iter=n).fit(X[order], y[order])
                found.append(f"{log_loss(known, model.predict_proba(held)):.3f}, {100 * model.score(held, known):.1f} %")
            if found:
                print(f"{way + told:>32}" + "".join(f"{each:>18}" for each in found), flush=True)


def cost(rounds, settings):
    """Milliseconds of what goes between client and workers once."""
    X, y = load_digits(return_X_y=True)
    kinds = [("round of local epochs", {"updates": "local"}, 1), ("iteration of lbfgs", {"solver": "lbfgs"}, 1)]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        data = [each.persist() for each in partitioned(X / 16, y, PARTITIONS)]
        together, steps = _rounds.STEPS_TOGETHER, -(-len(X) // settings["batch_size"])
        kinds += [(f"step, {count} of a graph", {"updates": "synchronous"}, steps) for count in (1, together)]
        for name, more, each in kinds:
            _rounds.STEPS_TOGETHER = 1 if name.startswith("step, 1 ") else together
            seconds = []
            for n in (1, 1 + rounds, 1, 1 + rounds):  # the first two are to warm up
                start = perf_counter()
                MLPClassifier(**settings, **more, max_iter=n).fit(*data)
                seconds.append(perf_counter() - start)
            print(f"{name:>32}{1e3 * (seconds[3] - seconds[2]) / rounds / each:>18.1f} ms", flush=True)
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few epochs, to see that it runs")
    is_quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    settings = {"hidden_layer_sizes": (64,), "random_state": 0, "batch_size": 50, "learning_rate_init": 0.003}
    settings["n_iter_no_change"] = np.inf
    converge((1, 2) if is_quick else (5, 10, 20, 50), settings)
    cost(1 if is_quick else 5, settings)


if __name__ == "__main__":
    main()
