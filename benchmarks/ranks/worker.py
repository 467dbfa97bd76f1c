"""One rank of a measurement: ``mpiexec -n 2 python -m benchmarks.ranks.worker WORKLOAD ROWS SECONDS``; rank 0 prints JSON.

ROWS are the samples of each rank in a mini-batch, 0: the workload's mini-batch is divided; ``alone``: an ordinary fit, without MPI.
"""

import json
import sys
from time import perf_counter

import numpy as np

import fastbp
from fastbp.bench import workloads
from fastbp.engine.data_parallel_session import DataParallelSession
from fastbp.kernels.modes import GRADIENT, UPDATE
from fastbp.mpi.sums import Sums

SKIPPED = 2  # epochs at the beginning


class Clock:
    """Seconds of the parts of each step: what its gradient, the sums of it and the update take."""

    def __init__(self):
        self.steps, self._now = [], {}

    def watch(self):
        """From now on."""
        modes = {GRADIENT: "gradient", UPDATE: "update"}
        self._around(DataParallelSession, "_go", lambda mode, *_: modes.get(mode))
        for method in ("ready", "finish"):
            self._around(Sums, method, lambda *_: "sum")

    def _around(self, cls, method, name_of):
        call = getattr(cls, method)

        def timed(self_, *arguments):
            start = perf_counter()
            result = call(self_, *arguments)
            name = name_of(*arguments)
            self._now[name] = self._now.get(name, 0.0) + perf_counter() - start
            if name == "update":
                self.steps.append(self._now)
                self._now = {}
            return result

        setattr(cls, method, timed)


def network(workload):
    """Of a workload."""
    return fastbp.Network(list(workload.sizes), hidden=list(workload.hidden), loss=workload.loss, dtype=workload.dtype, rng=0)


def run(workload, rows, seconds, comm):
    """Seconds of each step, and what they consist of; of an ordinary fit only the former."""
    size = 1 if comm is None else comm.size
    batch = size * rows if rows else workload.batch_size
    data, clock, marks = workload.load(), Clock(), []
    count = max(batch, workload.n_samples // batch * batch)
    X, y = (np.resize(each, (count, *each.shape[1:])) for each in (data.X, data.y))
    settings = {"batch_size": batch, "optimizer": fastbp.SGD(workload.learning_rate), "n_threads": 1}
    if comm is not None:
        clock.watch()
        own = slice(comm.rank * count // size, (comm.rank + 1) * count // size)
        X, y, settings["comm"] = X[own], y[own], comm
    begun = perf_counter()

    def callback(epoch, net, history):
        marks.append(perf_counter())
        if epoch == SKIPPED:
            clock.steps.clear()
        return marks[-1] - begun > seconds and epoch > 2 * SKIPPED

    network(workload).fit(X, y, epochs=100_000, callbacks=[callback], **settings)
    of_epochs = np.diff(marks[SKIPPED:]) / (count // batch)
    parts = {name: [step[name] for step in clock.steps] for name in ("gradient", "sum", "update")}
    return {"step": of_epochs.tolist(), "batch": batch, "ranks": size} | parts


if __name__ == "__main__":
    name, rows, seconds = sys.argv[1:4]
    if rows == "alone":
        found, rank = run(workloads.get(name), 0, float(seconds), None), 0
    else:
        from mpi4py import MPI

        found, rank = run(workloads.get(name), int(rows), float(seconds), MPI.COMM_WORLD), MPI.COMM_WORLD.rank
    if rank == 0:
        print("RESULT", json.dumps(found), flush=True)
