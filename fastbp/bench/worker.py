"""A contestant in a process of its own, which does turns on command over a pipe.

Libraries fix their thread counts when they are imported and keep idle threads spinning after a parallel region: in one process
they would slow each other down. So every contestant has a process, with the thread counts in its environment, and only one of
them works at a time. The other revision of ``fastbp bench --against`` is one more such process, with another interpreter.

The file is run by path and loads the workloads and contestants beside it, whatever version of fastbp is installed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PACKAGE = Path(__file__).resolve().parents[1]


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
    """A module of the package this file belongs to, which need not be the one installed."""
    own = f"_fastbp_{name}"
    if own not in sys.modules:
        spec = spec_from_file_location(own, PACKAGE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[own] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[own])
    return sys.modules[own]


class Turns:
    """What can be asked of a contestant: by a method call here, or through a `Worker` in another process.

    Parameters
    ----------
    name : str
        Of the contestant, or "machine".
    threads : int
    contestant : class, optional
        Instead of the one of that name.
    """

    def __init__(self, name: str, threads: int, contestant: Any = None):
        self.name, self.threads = name, threads
        self.contestant: Any = contestant
        self.machine: Any = None
        self.current: Any = None

    def open(self, workload: str, dtype: str) -> tuple[str | None, float]:
        """Prepare a workload; returns the reason why it cannot be done, or None, and the tolerance."""
        if self.contestant is None:
            self.contestant = _sibling("contestants").CONTESTANTS[self.name]
        chosen = _sibling("workloads").get(workload)
        self.current = None
        reason = self.contestant.reason_against(chosen)
        if reason is None:
            self.current = self.contestant(chosen, dtype, self.threads)
        return reason, self.contestant.tolerance(chosen, dtype)

    def reset(self) -> None:
        """Go back to the first weights."""
        self.current.reset()

    def turn(self, epochs: int) -> tuple[float, float]:
        """Train from the first weights; seconds of wall clock and of CPU, without the way back to them."""
        self.reset()
        return _timed(lambda: self.current.run(epochs))

    def predict(self, repeats: int) -> tuple[float, float]:
        """Outputs for all samples, several times; seconds of wall clock and of CPU."""
        return _timed(lambda: [self.current.outputs(self.current.data.X) for _ in range(repeats)])

    def latency(self, calls: int) -> float:
        """Seconds for the outputs of one sample, median over calls on different samples."""
        X, times = self.current.data.X, []
        for i in range(calls):
            row = X[i % len(X)][None]
            times.append(_timed(lambda row=row: self.current.outputs(row))[0])
        return float(np.median(times))

    def parameters(self) -> Any:
        """Weights and biases after the last turn, or the gradient, if the workload has no rule: one float64 vector."""
        return self.current.parameters()

    def outputs(self, rows: int) -> Any:
        """Outputs for the first rows, in float64."""
        return np.asarray(self.current.outputs(self.current.data.X[:rows]), np.float64).reshape(rows, -1)

    def first(self) -> Any:
        """Where a turn starts: weights and biases, or zeros, if what counts is the gradient."""
        pairs = zip(self.current.data.weights, self.current.data.biases, strict=True)
        start = np.concatenate([np.asarray(array, np.float64).ravel() for pair in pairs for array in pair])
        return start if self.current.workload.rule else 0 * start

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


def _timed(work: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


class WorkerError(RuntimeError):
    """An exception in a worker, with its traceback."""


class Worker:
    """`Turns` in another process.

    Parameters
    ----------
    name, threads
        As for `Turns`.
    python : str, optional
        Interpreter that has fastbp and its dependencies; by default this one, with this fastbp.
    variables : dict, optional
        Environment besides the thread counts.
    """

    def __init__(self, name: str, threads: int, python: str | None = None, variables: dict[str, str] | None = None):
        env = os.environ | environment(threads) | (variables or {})
        env.pop("PYTHONPATH", None)
        if python is None:
            env["PYTHONPATH"] = str(PACKAGE.parent)
        # -P: without it this directory's modules would hide others of their names
        command = [python or sys.executable, "-P", __file__, name, str(threads)]
        self.name = name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

    def __getattr__(self, method: str) -> Any:
        """A method of `Turns`, done by the other process."""

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
    turns = Turns(sys.argv[1], int(sys.argv[2]))
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
