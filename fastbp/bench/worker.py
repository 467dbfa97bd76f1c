"""A contestant in a process of its own, which does turns on command over a pipe.

Libraries fix their thread counts when they are imported and keep idle threads spinning after a parallel region: in one process
they would slow each other down. So every contestant has a process, with the thread counts in its environment, and only one of
them works at a time; with one thread, all on the same core, with more, after a pause. The other revision of ``fastbp bench
--against`` is one more such process, with another interpreter.

The file is run by path and loads the workloads and contestants beside it, whatever version of fastbp is installed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import traceback
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PACKAGE = Path(__file__).resolve().parents[1]
# what users call, and the method of `Turns` that does so a number of times and returns the seconds: `gate` watches each
DOORS = {"fit": "turn", "step": "steps", "partial_fit": "partial_fits", "predict": "predict", "row": "rows"}
PAUSE = 0.1  # seconds before a turn of several threads, after which those of the contestant before no longer spin


def environment(threads: int) -> dict[str, str]:
    """Variables that limit the libraries to so many threads."""
    pools = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMBA", "NUMEXPR")
    flags = "" if threads > 1 else " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    xla = os.environ.get("XLA_FLAGS", "") + flags
    return {f"{pool}_NUM_THREADS": str(threads) for pool in pools} | {
        "NPROC": str(threads),  # the size of XLA's thread pool
        "XLA_FLAGS": xla.strip(),
        "JAX_PLATFORMS": "cpu",
    }


def _sibling(name: str) -> ModuleType:
    """A module beside this file, which need not be the one installed."""
    own = f"_fastbp_{name}"
    if own not in sys.modules:
        path = Path(__file__).with_name(name)
        spec = spec_from_file_location(own, path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[own] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[own])
    return sys.modules[own]


class Process:
    """What can be asked of any contestant, by a method call here, or through a `Worker` in another process.

    Parameters
    ----------
    name : str
        Of the contestant.
    threads : int
    """

    def __init__(self, name: str, threads: int):
        self.name, self.threads = name, threads
        # what one thread takes from its process is not lengthened by a busy neighbour on the same core
        self.clock = time.process_time if threads == 1 else time.perf_counter

    def pin(self, core: int) -> None:
        """Use this core only, from now on, where the operating system allows that."""
        if hasattr(os, "sched_setaffinity"):  # pragma: no branch - of Linux
            os.sched_setaffinity(0, {core})


class Turns(Process):
    """What can be asked of a contestant that does a given number of steps.

    Parameters
    ----------
    name : str
        Of the contestant, or "machine".
    threads : int
    contestant : class, optional
        Instead of the one of that name.
    """

    def __init__(self, name: str, threads: int, contestant: Any = None):
        super().__init__(name, threads)
        self.contestant: Any = contestant
        self.opened: tuple[Any, ...] = ()
        self.estimator: Any = None
        self.machine: Any = None
        self.current: Any = None

    def open(self, workload: str, dtype: str, data: tuple[Any, ...] | None = None) -> tuple[str | None, float]:
        """Prepare a workload, whose data may be given; returns the reason why it cannot be done, or None, and the tolerance."""
        if self.contestant is None:
            self.contestant = _sibling("contestants").CONTESTANTS[self.name]
        workloads = _sibling("workloads")
        self.opened, self.estimator = (workload, dtype, data), None
        chosen = workloads.get(workload)
        self.current = None
        reason = self.contestant.reason_against(chosen)
        if reason is None:
            self.current = self.contestant(chosen, dtype, self.threads, workloads.Data(*data) if data else None)
        return reason, self.contestant.tolerance(chosen, dtype)

    def reason_against_steps(self) -> str | None:
        """Why the contestant cannot be given single mini-batches of what is open, if it cannot."""
        reason: str | None = self.contestant.reason_against_steps(self.current.workload)
        return reason

    def doors(self) -> list[str]:
        """Which of `DOORS` the contestant, of whatever version, has for the workload that is open."""
        return [door for door in self.current.workload.doors if door != "step" or self.reason_against_steps() is None]

    def reset(self) -> None:
        """Go back to the first weights."""
        self.current.reset()

    def turn(self, epochs: int) -> float:
        """Train from the first weights; seconds, without the way back to them."""
        self.reset()
        if self.threads > 1:
            time.sleep(PAUSE)
        start = self.clock()
        self.current.run(epochs)
        return self.clock() - start

    def steps(self, epochs: int) -> float:
        """Train from the first weights by single mini-batches, each of which comes as arrays of its own; seconds."""
        self.reset()
        self.current.begin_steps()
        batches = self.current.mini_batches()
        start = self.clock()
        for _ in range(epochs):
            for X, y in batches:
                self.current.step(X, y)
        return self.clock() - start

    def partial_fits(self, epochs: int) -> float:
        """`steps` of the estimators of fastbp."""
        if self.estimator is None:
            self.estimator = Turns("fastbp partial_fit", self.threads)
            self.estimator.open(*self.opened)
        seconds: float = self.estimator.steps(epochs)
        return seconds

    def rows(self, repeats: int) -> float:
        """Outputs for single samples, so many times ten; seconds."""
        return 10 * repeats * self.latency(10 * repeats)

    def predict(self, repeats: int) -> float:
        """Outputs for all samples, several times; seconds."""
        start = self.clock()
        for _ in range(repeats):
            self.current.outputs(self.current.data.X)
        return self.clock() - start

    def latency(self, calls: int) -> float:
        """Outputs for one sample, seconds a call."""
        X = self.current.data.X
        rows = [X[i % len(X)][None] for i in range(calls)]
        start = self.clock()
        for row in rows:
            self.current.outputs(row)
        return (self.clock() - start) / calls

    def parameters(self) -> Any:
        """Weights and biases after the last turn, or gradient or outputs, if the workload has no rule: one float64 vector."""
        return self.current.parameters()

    def outputs(self, rows: int) -> Any:
        """Outputs for the first rows, in float64."""
        return np.asarray(self.current.outputs(self.current.data.X[:rows]), np.float64).reshape(rows, -1)

    def first(self) -> Any:
        """Where a turn starts: weights and biases, or zero, if the workload has no rule."""
        if self.current.workload.rule is None:
            return np.zeros(1)
        pairs = zip(self.current.data.weights, self.current.data.biases, strict=True)
        return np.concatenate([np.asarray(array, np.float64).ravel() for pair in pairs for array in pair])

    def flops(self, dtype: str, seconds: float) -> float:
        """FMA peak of the machine; see `fastbp.bench.machine.Machine`."""
        return float(self._machine(dtype).flops(seconds))

    def bandwidth(self, dtype: str) -> float:
        """Memory bandwidth of the machine."""
        return float(self._machine(dtype).bandwidth())

    def _machine(self, dtype: str) -> Any:
        from fastbp.bench.machine import Machine

        if self.machine is None or self.machine.dtype != dtype:
            self.machine = Machine(dtype, self.threads)
        return self.machine


class WorkerError(RuntimeError):
    """An exception in a worker, with its traceback."""


class Worker:
    """`Turns`, or another `Process`, in another process.

    Parameters
    ----------
    name, threads
        As for `Turns`.
    python : str, optional
        Interpreter that has fastbp and its dependencies; by default this one, with this fastbp.
    kind : str, optional
        "module:class" of the `Process`.
    """

    def __init__(self, name: str, threads: int, python: str | None = None, kind: str = ""):
        env = os.environ | environment(threads)
        env.pop("PYTHONPATH", None)
        if python is None:
            env["PYTHONPATH"] = str(PACKAGE.parent)
        # -P: without it this directory's modules would hide others of their names
        command = [python or sys.executable, "-P", __file__, name, str(threads), kind]
        self.name = name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

    def __getattr__(self, method: str) -> Any:
        """A method of the `Process`, done by the other process."""

        def call(*arguments: Any) -> Any:
            self.send(method, *arguments)
            return self.receive()

        return call

    def send(self, method: str, *arguments: Any) -> None:
        """Ask for a method, without waiting."""
        assert self._process.stdin is not None
        pickle.dump((method, arguments), self._process.stdin)
        self._process.stdin.flush()

    def receive(self) -> Any:
        """The result of the oldest call of `send` that has not been received."""
        assert self._process.stdout is not None
        try:
            succeeded, result = pickle.load(self._process.stdout)
        except EOFError:
            raise WorkerError(f"the process of {self.name} ended with status {self._process.wait()}") from None
        if not succeeded:
            raise WorkerError(f"{self.name}: {result}")
        return result

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def main() -> None:
    """Serve calls from standard input until it ends."""
    # libraries may print: what they print goes to standard error, the answers to a copy of standard output
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _, name, threads, kind = sys.argv
    module, _, cls = kind.partition(":")
    turns = (getattr(import_module(module), cls) if kind else Turns)(name, int(threads))
    while True:
        try:
            method, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = True, getattr(turns, method)(*arguments)
        except Exception:
            answer = False, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
