"""The machine: its FMA peak and memory bandwidth, measured where and when the contestants are, and its description."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

DEPTH = 256  # of the peak's panels: both fit into a first-level cache of 32 KiB
TRIAD_BYTES = 1 << 26  # of each array of the triad: together well beyond the last-level cache of a core
PACKAGES = {
    "numpy": "numpy",
    "scikit-learn": "scikit-learn",
    "pytorch": "torch",
    "jax": "jax",
    "onnxruntime": "onnxruntime",
    "numba": "numba",
}


class Machine:
    """Kernels that do nothing but saturate one resource, run by a number of threads.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    threads : int
    """

    def __init__(self, dtype: str, threads: int):
        from fastbp.kernels import peak
        from fastbp.simd.register import register_bytes

        self.dtype, self.threads = np.dtype(dtype), threads
        self.panel = 2 * register_bytes() // self.dtype.itemsize
        self.rows = peak.ROWS
        self._multiply_add, self._triad = peak.multiply_add[dtype], peak.triad[dtype]
        self._pool = ThreadPoolExecutor(threads)
        shapes = (DEPTH * self.rows, DEPTH * self.panel, self.rows * self.panel)
        self._tiles = [[np.full(count, 1e-3, dtype) for count in shapes] for _ in range(threads)]

    def _together(self, work: Callable[[int], Any]) -> float:
        clock = process_time if self.threads == 1 else perf_counter
        start = clock()
        list(self._pool.map(work, range(self.threads)))
        return clock() - start

    def flops(self, seconds: float = 0.02) -> float:
        """Fused multiply-adds per second, counted as two operations, of all threads together over about `seconds`."""
        flop = 2 * self.rows * self.panel * DEPTH
        repeats = max(1, int(seconds * 50e9 / flop))
        taken = self._together(lambda thread: self._multiply_add(*self._tiles[thread], DEPTH, repeats))
        return self.threads * repeats * flop / taken

    def bandwidth(self, passes: int = 3) -> float:
        """Bytes per second that the triad reads and writes, best of some passes; a written line is counted once."""
        count = TRIAD_BYTES // self.dtype.itemsize
        arrays = [np.full(count, 1.0, self.dtype) for _ in range(3)]
        share = count // self.threads // self.panel * self.panel
        best = min(self._together(lambda thread: self._triad(*arrays, thread * share, (thread + 1) * share)) for _ in range(passes))
        return 3 * share * self.threads * self.dtype.itemsize / best


def describe() -> dict[str, Any]:
    """CPU, cores, versions and date: what every published figure has to carry."""
    from fastbp import __version__
    from fastbp.simd.register import register_bytes

    return {
        "cpu": cpu(),
        "cores": len(cores()),
        "vector_bits": 8 * register_bytes(),
        "platform": platform.platform(),
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), "fastbp": __version__}
        | {name: installed_version(distribution) for name, distribution in PACKAGES.items()},
    }


def cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def cpu() -> str:
    """Model name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
