"""Two hundred fits, failing fits, trainers, saves and loads each after a warm-up: 1 MB of memory more at most, no file, no thread.

The control is a list that keeps the networks, and one that keeps open files.
"""

import argparse
import ctypes
import gc
import io
import os
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

import fastbp
from fastbp.engine import threads

threads.members_for = lambda flop, limit, *start: 1 if start else limit or 1  # teams, however little the work
SIZES = [20, 64, 32, 3]
LIMIT = 1 << 20  # bytes
X = np.random.default_rng(0).normal(size=(300, SIZES[0])).astype(np.float32)
Y = X[:, :3].argmax(axis=1)
BAD = np.where(np.arange(len(X))[:, None] == 7, np.nan, X).astype(np.float32)


def network():
    return fastbp.Network(SIZES, "relu", "cross_entropy", rng=0)


def fit(number):
    net = network()
    net.fit(X, Y, epochs=2, optimizer="adam", n_threads=1 + number % 2, validation_fraction=0.2, patience=2)
    net.predict(X), net.value_and_grad(X, Y)
    return net


def interrupt(epoch, net, history):
    raise KeyboardInterrupt


FAILURES = [
    lambda net: net.fit(BAD, Y),
    lambda net: net.fit(X, Y, epochs=0),
    lambda net: net.fit(X, Y[:-1]),
    lambda net: net.fit(X, Y, epochs=50, optimizer=fastbp.SGD(1e30), n_threads=2),
    lambda net: net.fit(X, Y, callbacks=[interrupt], n_threads=2),
    lambda net: net.fit(X, Y, resume=os.devnull),
    lambda net: net.trainer(batch_size=400, optimizer="adam").step(BAD, Y),
    lambda net: fastbp.load(io.BytesIO(b"no model")),
]


def fail(number):
    net = network()
    try:
        FAILURES[number % len(FAILURES)](net)
    except (ValueError, TypeError, KeyboardInterrupt):
        return net
    raise AssertionError(f"failure {number % len(FAILURES)} did not fail")


def train(number):
    net = network()
    trainer = net.trainer(optimizer="adam", batch_size=100, dropout=0.1, n_threads=1 + number % 2)
    trainer.step(X[:100], Y[:100])
    trainer.run(X, Y, 2)
    trainer.load_state(trainer.state())
    return trainer


def save(number):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.fastbp")
        network().save(path)
        return fastbp.load(path)


WORK = {"fits": fit, "failing fits": fail, "trainers": train, "saves and loads": save}


def held():
    """(bytes of memory, open files, threads) of this process."""
    gc.collect()
    with suppress(OSError, AttributeError):  # of the C library of GNU: free memory goes back to the system
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), threading.active_count()


def growth(work, count):
    """What has come to what is held in so many calls, after a third as many."""
    for number in range(count // 3):
        work(number)
    before = held()
    for number in range(count):
        work(number)
    return [after - each for after, each in zip(held(), before, strict=True)]


def is_clean(grown):
    return grown[0] <= LIMIT and grown[1] <= 0 and grown[2] <= 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="60 of each")
    count = 60 if parser.parse_args().quick else 200
    if not Path("/proc/self/statm").exists():
        print("memory: needs /proc")
        return 0
    found = {name: growth(work, count) for name, work in WORK.items()}
    networks, files = [], []
    kept = growth(lambda number: networks.append(fit(number)), 200)
    opened = growth(lambda number: files.append(open(os.devnull)), 10)  # noqa: SIM115
    told = ", ".join(
        f"{name} {grown[0] / 1024:+.0f} kB, {grown[1]:+d} files, {grown[2]:+d} threads" for name, grown in found.items()
    )
    print(f"{count} each: {told}; controls: kept networks {kept[0] / 1024:+.0f} kB, open files {opened[1]:+d}")
    return 0 if all(map(is_clean, found.values())) and not is_clean(kept) and not is_clean(opened) else 1


if __name__ == "__main__":
    raise SystemExit(main())
