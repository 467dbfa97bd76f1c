"""Fits while other programs have the cores: `python -m benchmarks.neighbours`.

Each contestant has a process of its own, with the threads that its library takes by default, and they take turns; only fastbp is
there with one thread, too. A ratio is the median over rounds of a contestant's time divided by that of fastbp with one thread in
the same round. Nothing is timed before all have ended with the same weights.
"""

import argparse
import itertools
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, sleep

import numpy as np

from .common import contestants, workloads


def _classes(rng, n_samples, n_in, n_out):
    """Normal numbers, and the largest of random sums of them."""
    X = rng.normal(size=(n_samples, n_in))
    return X, (X @ rng.normal(size=(n_in, n_out))).argmax(axis=1)


NETWORKS = {
    name: workloads.Workload(name, sizes, ("relu",) * (len(sizes) - 2), "cross_entropy", "sgd", 0.02, 128, 12800, _classes)
    for name, sizes in (("10-256-256-10", (10, 256, 256, 10)), ("784-128-10", (784, 128, 10)))
}
PAUSE = 0.1  # seconds before a turn, in which the threads of the one before go to sleep
LATER = 0.02  # seconds after which a limit is set that comes during a fit
LONGEST = 600  # seconds that a neighbour lives, whatever happens to this program
PATIENCE = 20  # seconds for a turn; two threads that spin on one core may take hours
BUSY = "import os, time\nend, parent = time.time() + {}, os.getppid()\nwhile time.time() < end and os.getppid() == parent: pass"
CONTROLLER = Path("/sys/fs/cgroup/cpu")  # of control groups of version 1


def group():
    """Where the control group of the limited fits is: in that of this process."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next(path for _, controllers, path in (line.split(":", 2) for line in lines) if "cpu" in controllers.split(","))
    return CONTROLLER / own.strip("/") / "fastbp-neighbours"


def cores():
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def busy(count):
    """So many other programs that always have something to do."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY.format(LONGEST)]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def threads_of(process):
    """The numbers of all threads of a process."""
    return [int(name) for name in os.listdir(f"/proc/{process}/task")]


@contextmanager
def on_one_core(process):
    """During a fit all threads of a process are put on one core."""
    sleep(LATER)
    everywhere = cores()
    for thread in threads_of(process):
        os.sched_setaffinity(thread, everywhere[:1])
    yield
    for thread in threads_of(process):
        os.sched_setaffinity(thread, everywhere)


@contextmanager
def with_quota(process):
    """During a fit a process gets no more than three quarters of the time of all cores."""
    sleep(LATER)
    (group() / "cgroup.procs").write_text(str(process))
    yield
    (group().parent / "cgroup.procs").write_text(str(process))


@contextmanager
def quota():
    """A control group of one and a half cores of two."""
    limited = group()
    limited.mkdir()
    try:
        (limited / "cpu.cfs_period_us").write_text("100000")
        (limited / "cpu.cfs_quota_us").write_text(str(75000 * len(cores())))
        yield
    finally:
        limited.rmdir()


def nothing():
    """No neighbours."""
    return busy(0)


# name: (what is there during all turns, what comes during each)
CONDITIONS = {
    "idle": (nothing, None),
    "one core busy": (lambda: busy(1), None),
    "all cores busy": (lambda: busy(len(cores())), None),
    "quota of 3/4 from 20 ms on": (quota, with_quota),
    "one core from 20 ms on": (nothing, on_one_core),
}


def serve(pipe, name, network, threads, epochs):
    """A contestant in a process of its own: one turn for each message, until there is an empty one."""
    contestant = contestants.CONTESTANTS[name](NETWORKS[network], "float32", threads)
    contestant.reset()
    first = contestant.parameters().copy()
    contestant.run(1)
    pipe.send((contestant.parameters(), first, contestant.tolerance(contestant.workload, "float32")))
    while pipe.recv():
        contestant.reset()
        start = perf_counter()
        contestant.run(epochs)
        pipe.send(perf_counter() - start)


class Player:
    """A contestant that another process runs."""

    def __init__(self, name, network, threads, epochs):
        self.label = f"{name}, one thread" if threads == 1 else name
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, network, threads, epochs), daemon=True)
        self.process.start()
        theirs.close()
        self.parameters, self.first, self.tolerance = self.pipe.recv()

    def check(self, other):
        """Raise if this one has not ended an epoch where another has."""
        way, distance = other.parameters - other.first, self.parameters - other.parameters
        if not np.linalg.norm(distance) <= self.tolerance * np.linalg.norm(way):
            raise AssertionError(f"{self.label} ends elsewhere than {other.label}")

    def turn(self, during):
        """Seconds of one fit; infinity, from then on, if it takes longer than anybody would wait."""
        sleep(PAUSE)
        if not self.process.is_alive():
            return math.inf
        self.pipe.send(True)
        with during(self.process.pid) if during else nullcontext():
            if self.pipe.poll(PATIENCE):
                return self.pipe.recv()
        self.process.kill()
        self.process.join()
        return math.inf

    def close(self):
        """End the process."""
        if self.process.is_alive():
            self.pipe.send(False)
            self.process.join(timeout=10)
        self.process.kill()


def measure(condition, players, rounds):
    """Rows of a table: label, median, least and most of the seconds, and the ratio to the first player."""
    around, during = CONDITIONS[condition]
    with around():
        for player in players:
            player.turn(during)
        turns = [[player.turn(during) for player in players] for _ in range(rounds)]
    for player, times in zip(players, zip(*turns, strict=True), strict=True):
        ratios = [turn[players.index(player)] / turn[0] for turn in turns]
        yield player.label, statistics.median(times), min(times), max(times), statistics.median(ratios)


def compare(names, networks, conditions, rounds, epochs):
    """Rows of the table: network, condition, contestant and what `measure` tells of it."""
    for network, condition in itertools.product(networks, conditions):
        players = [Player("fastbp", network, 1, epochs), *(Player(name, network, len(cores()), epochs) for name in names)]
        try:
            for player in players:
                player.check(players[0])
            for row in measure(condition, players, rounds):
                yield network, condition, *row
        finally:
            for player in players:
                player.close()


def main():
    installed = [name for name, each in contestants.CONTESTANTS.items() if find_spec(each.module)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--contestant", nargs="*", choices=installed, default=installed)
    parser.add_argument("--network", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--condition", nargs="*", choices=CONDITIONS, default=list(CONDITIONS))
    chosen = parser.parse_args()
    head = ("network", "neighbours", "contestant", "ms", "least", "most", "/ fastbp, one thread")
    print("|", " | ".join(head), "|\n|", " | ".join(["---"] * len(head)), "|")
    for *names, median, least, most, ratio in compare(
        chosen.contestant, chosen.network, chosen.condition, chosen.rounds, chosen.epochs
    ):
        print("|", " | ".join([*names, *(f"{1e3 * each:.0f}" for each in (median, least, most)), f"{ratio:.2f}"]), "|", flush=True)


if __name__ == "__main__":
    main()
