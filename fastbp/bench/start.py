"""Seconds from the start of a process: to the end of ``import fastbp``, and to the end of a first fit, cold and warm."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from time import perf_counter
from typing import Any

import numpy as np

from fastbp.bench.measure import interleave
from fastbp.bench.worker import PACKAGE

FIRST_FIT = """
import numpy as np, fastbp
rng = np.random.default_rng(0)
X, y = rng.random((1797, 64), np.float32), rng.integers(10, size=1797)
fastbp.Network([64, 100, 10], loss="cross_entropy", rng=0).fit(X, y, epochs=1, batch_size=200, optimizer="adam")
"""


def seconds(code: str, cache: str | None = None) -> float:
    """Wall clock of a fresh interpreter that runs some code, with a kernel cache of its own if one is given."""
    env = os.environ | {"PYTHONPATH": str(PACKAGE.parent)} | ({"FASTBP_CACHE_DIR": cache, "FASTBP_CACHE": "1"} if cache else {})
    start = perf_counter()
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    return perf_counter() - start


def measure_start(rounds: int) -> dict[str, float]:
    """Seconds; medians over rounds, but for the one compilation."""
    with tempfile.TemporaryDirectory() as cache:
        cold = seconds(FIRST_FIT, cache)
        turns: dict[str, Any] = {
            "python": lambda: seconds("pass"),
            "numpy": lambda: seconds("import numpy"),
            "fastbp": lambda: seconds("import numpy, fastbp"),
            "warm": lambda: seconds(FIRST_FIT, cache),
        }
        times = {name: np.array(values) for name, values in interleave(turns, rounds).items()}
    return {
        "import_numpy": float(np.median(times["numpy"] - times["python"])),
        "import_fastbp": float(np.median(times["fastbp"] - times["numpy"])),
        "first_fit_cold": cold,
        "first_fit_warm": float(np.median(times["warm"])),
    }
