"""Fifty runs that are killed at random times and begun again with `resume`, four times each: the bits of one that never was.

The control goes on from the parameters alone, as a saved network has them: other bits.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from forked import ended, start

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

import fastbp

EPOCHS = 30
OPTIONS = {
    "adam": {"optimizer": "adam"},
    "momentum, dropout, cosine": {"optimizer": "momentum", "dropout": 0.2, "schedule": "cosine", "l2": 0.1},
    "held-out rows and patience": {"validation_fraction": 0.3, "patience": 30, "optimizer": "adam", "record_score": True},
    "tol, with replacement": {"tol": 1e-9, "n_iter_no_change": 25, "shuffle": "replacement", "record_norms": True},
}
X = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
Y = (X[:, :1] * X[:, 1:2] > 0).astype(np.float32)


def network():
    return fastbp.Network([8, 64, 64, 1], "tanh", "binary_cross_entropy", rng=0)


def train(path, options):
    """Go on, or begin; the history and the network at the end."""
    net, every = network(), random.choice([1, 1, 3])
    history = net.fit(X, Y, epochs=EPOCHS, rng=0, callbacks=[fastbp.Checkpoint(path, every=every)], resume=path, **options)
    return history, net


def bits(history, net):
    told = history.to_dict()
    del told["time"]
    return net.params.tobytes(), repr(told)


def restart(path, options):
    """What goes on from the parameters alone."""
    net = network()
    if path.exists():
        net = fastbp.load(path)
    net.fit(X, Y, epochs=EPOCHS // 2, callbacks=[fastbp.Checkpoint(path)], rng=0, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 runs")
    quick = parser.parse_args().quick
    if not hasattr(os, "fork"):
        print("runs that are killed: needs fork")
        return 0
    random.seed(0)
    expected, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in OPTIONS.items():
            begin = time.perf_counter()
            expected[name] = bits(*train(Path(folder, f"whole {name}"), options))
            seconds[name] = time.perf_counter() - begin
        kills = other = left = 0
        for number in range(4 if quick else 50):
            name = list(OPTIONS)[number % len(OPTIONS)]
            path = Path(folder, str(number))
            for _ in range(4):
                child = start(train, path, OPTIONS[name])
                time.sleep(random.uniform(0.0, seconds[name] / 2))
                os.kill(child, signal.SIGKILL)
                kills += ended(child) == -signal.SIGKILL
            other += bits(*train(path, OPTIONS[name])) != expected[name]
            left += sum(each.name.startswith(f".{number}.") for each in Path(folder).iterdir())
        path = Path(folder, "control")
        restart(path, OPTIONS["adam"])
        restart(path, OPTIONS["adam"])
        control = fastbp.load(path).params.tobytes() != expected["adam"][0]
    print(
        f"{other} of {number + 1} runs ended with other bits after {kills} kills, {left} temporary files left;"
        f" control: parameters alone {'give others' if control else 'GIVE THE SAME'}"
    )
    return 1 if other or left or kills < number or not control else 0


if __name__ == "__main__":
    raise SystemExit(main())
