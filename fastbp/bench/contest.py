"""All contestants that are installed, each in its process, through the chosen workloads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from importlib.util import find_spec
from typing import Any

import numpy as np

from fastbp.bench import LATENCY, START, workloads
from fastbp.bench.contestants import CONTESTANTS, LOOPERS, PREDICTORS, STEPPERS, TRAINERS, Contestant
from fastbp.bench.machine import cores, describe
from fastbp.bench.measure import QUICK, Settings, latency, measure, say
from fastbp.bench.start import measure_start
from fastbp.bench.worker import Worker

START_ROUNDS = 5


def run(names: Sequence[str], *, threads: int, dtype: str | None, rounds: int | None, quick: bool) -> dict[str, Any]:
    """Measure workloads by name, "latency" and "start"; returns everything, ready for JSON."""
    settings = QUICK if quick else Settings()
    if rounds is not None:
        settings = Settings(rounds, settings.seconds, settings.steps)
    missing = {name for name, contestant in CONTESTANTS.items() if find_spec(contestant.module) is None}
    installed = [name for name in CONTESTANTS if name not in missing]
    results: dict[str, Any] = {
        "machine": describe(),
        "settings": {"threads": threads, "contestants": installed} | settings.__dict__,
        "left_out": {name: "not installed" for name in CONTESTANTS if name in missing},
        "workloads": [],
        "start": {},
    }
    if contests := [name for name in names if name != START]:
        with ExitStack() as stack:

            def worker(name: str) -> Any:
                started = stack.enter_context(closing(Worker(name, threads)))
                if threads == 1:
                    started.pin(cores()[-1])
                return started

            machine = worker("machine")
            contestants = {name: worker(name) for name in installed}

            def of(kinds: Sequence[type[Contestant]]) -> dict[str, Any]:
                return {cls.name: contestants[cls.name] for cls in kinds if cls.name in contestants}

            bandwidths = []
            for name in contests:
                say(f"{name} ...")
                if name == LATENCY:
                    results["workloads"].append(latency(dtype or "float32", of(PREDICTORS), settings))
                    continue
                workload = workloads.get(name)
                chosen = dtype or workload.dtype
                bandwidths.append(machine.bandwidth(chosen))
                taking_part = of(LOOPERS if workload.loop else STEPPERS if workload.by_steps else TRAINERS)
                results["workloads"].append(measure(workload, chosen, taking_part, machine, settings))
        if bandwidths:
            results["machine"] |= {"peak_gflops": _peaks(results["workloads"]), "bandwidth_gbs": float(np.median(bandwidths)) / 1e9}
    if START in names:
        say("start ...")
        results["start"] = measure_start(START_ROUNDS)
    return results


def _peaks(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median over the workloads of the FMA peak, for each dtype."""
    timed = [result for result in results if "peak_gflops" in result]
    return {
        dtype: float(np.median([result["peak_gflops"] for result in timed if result["dtype"] == dtype]))
        for dtype in sorted({result["dtype"] for result in timed})
    }
