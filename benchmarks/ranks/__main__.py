"""``python -m benchmarks.ranks``: steps with 1, 2 and 4 ranks here, the costs that follow, and what they say of more."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.ranks.simulate import Cluster, Cost, best_ranks, least_batch, simulated
from fastbp.bench import workloads

NAMES = ("tabular", "mnist", "mnist-deep", "wide")
RANKS = (1, 2, 4)
FAR = (16, 64, 1024)
SHARES = (2, 4)  # of the workload's mini-batch, of one rank
LOOK = 1.6e-4  # seconds between two looks of a rank that waits, where ranks are more than cores: a pause, and how late it ends
SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def launch(ranks, name, rows, seconds):
    """What rank 0 of a measurement found; of several programs that are `alone` the first."""
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = [mpiexec, "-n", str(ranks), sys.executable, "-m", "benchmarks.ranks.worker", name, str(rows), str(seconds)]
    done = subprocess.run(command, env=os.environ | SETTINGS, capture_output=True, text=True)
    lines = [line.partition("RESULT ")[2] for line in done.stdout.splitlines() if "RESULT " in line]
    if not lines:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(lines[0])


def measure(name, seconds, rounds):
    """Steps of one workload, in seconds: medians of rounds, in which all kinds of run take turns."""
    batch = workloads.get(name).batch_size
    kinds = {f"gradient {batch // share}": (1, batch // share) for share in SHARES}
    kinds |= {f"ranks {ranks}": (ranks, 0) for ranks in RANKS} | {"alone": (1, "alone")}
    found = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (ranks, rows) in kinds.items():
            found[kind].append(launch(ranks, name, rows, seconds))
    parts = ("step", "gradient", "sum", "update")
    return {kind: {part: [value for run in runs for value in run[part]] for part in parts} for kind, runs in found.items()}


def cost_of(name, found):
    """The costs of a workload, from what was measured with one rank and, of the sums, with two."""
    workload = workloads.get(name)
    rows = [workload.batch_size // share for share in (1, *SHARES)]
    gradients = np.array(found["ranks 1"]["gradient"])
    times = [np.median(gradients), *(median(found[f"gradient {b}"]["gradient"]) for b in rows[1:])]
    c1, c0 = np.polyfit(rows, times, 1)
    update, alone = median(found["ranks 1"]["update"]), median(found["ranks 1"]["sum"])
    other = median(found["ranks 1"]["step"]) - times[0] - update - alone
    size = sum((n_in + 1) * n_out for n_in, n_out in zip(workload.sizes, workload.sizes[1:], strict=False)) * 4
    of_two = median(found["ranks 2"]["sum"])
    return Cost(
        workload.sizes,
        float(max(c0, 0.0)),
        float(c1),
        update,
        max(float(other), 0.0),
        max(alone, 1e-6),
        2 * size / max(of_two - alone, 1e-6),
        gradients / np.median(gradients),
    )


def row(*cells):
    """Print a row of a table."""
    print("| " + " | ".join(map(str, cells)) + " |")


def head(*cells):
    """Print the first two."""
    row(*cells)
    row(*["---"] * len(cells))


def here(found):
    """Print what was measured, milliseconds of a step, and what the simulation makes of it."""
    head(
        "workload",
        "B",
        "ordinary fit",
        *("1 rank" if ranks == 1 else f"{ranks} ranks" for ranks in RANKS),
        "2 ranks : 1",
        "simulated",
        "off by at most",
    )
    cores = os.cpu_count() or 1
    for name, runs in found.items():
        cost, batch = cost_of(name, runs), workloads.get(name).batch_size
        steps = [median(runs[f"ranks {ranks}"]["step"]) for ranks in RANKS]
        made = [simulated_here(cost, batch, ranks, cores) for ranks in RANKS]
        off = max(abs(ours / theirs - 1) for ours, theirs in zip(made, steps, strict=True))
        ordinary = median(runs["alone"]["step"])
        times = [f"{1e3 * seconds:.3f}" for seconds in (ordinary, *steps)]
        row(f"`{name}`", batch, *times, f"{steps[0] / steps[1]:.2f}", ", ".join(f"{1e3 * each:.3f}" for each in made), f"{off:.0%}")


def far(found, cluster):
    """Print what the simulation says of a cluster: how many times faster a step is, and what repays."""
    print(f"\n{cluster}\n")
    speeds, batches = [f"{ranks} ranks" for ranks in FAR], [f"B for {ranks}" for ranks in FAR]
    head("workload", "B", *speeds, "most ranks", *batches)
    for name, runs in found.items():
        cost, batch = cost_of(name, runs), workloads.get(name).batch_size
        one = simulated(cost, batch, 1, cluster)
        times = [f"{one / simulated(cost, batch, ranks, cluster):.1f}" if ranks <= batch else "" for ranks in FAR]
        row(f"`{name}`", batch, *times, best_ranks(cost, batch, cluster), *(least_batch(cost, ranks, cluster) for ranks in FAR))


def simulated_here(cost, batch, ranks, cores):
    """A step on this machine, where ranks may be more than cores: each core then does the work of several, one after the other."""
    turns = -(-ranks // cores)
    slower = {name: getattr(cost, name) * turns for name in ("c0", "c1", "update", "other", "s0")}
    step = simulated(replace(cost, **slower, shared=cost.shared / turns), batch, ranks, Cluster(cores=max(ranks, cores)))
    return step + (2 * LOOK if turns > 1 else 0.0)  # for the gradients of the others, and for their sums


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="in which all kinds of run take turns")
    parser.add_argument("--save", type=Path, help="a file of JSON for what is measured")
    parser.add_argument("--load", type=Path, help="such a file, instead of measuring")
    parser.add_argument("--cores", type=int, default=16, help="of a node of the cluster")
    parser.add_argument("--latency", type=float, default=2e-6, help="seconds of a message between nodes")
    parser.add_argument("--bandwidth", type=float, default=12.5e9, help="bytes per second of a node")
    given = parser.parse_args()
    if given.load:
        found = json.loads(given.load.read_text())
    else:
        found = {name: measure(name, given.seconds, given.rounds) for name in given.workload}
    if given.save:
        given.save.write_text(json.dumps(found))
    here(found)
    far(found, Cluster(given.cores, given.latency, given.bandwidth))
