"""Verify the contestants, then time them in turns.

A turn starts from the workload's first weights and runs a number of epochs chosen for the contestant, so that every turn, timed or
not, must end with the same weights. Before the first timed turn and after the last they are compared with those of the NumPy
baseline in float64 after as many epochs. A contestant that ends elsewhere is wrong, and its times are not reported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.bench import workloads
from fastbp.bench.statistics import Interval, median_interval, ratio_interval
from fastbp.bench.worker import Turns, WorkerError
from fastbp.bench.workloads import Workload

OURS = "fastbp"
LATENCY_WORKLOAD, LATENCY_CALLS, LATENCY_TOLERANCE = "digits", 200, 1e-4


@dataclass(frozen=True)
class Settings:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Each contestant has one turn in a round.
    seconds : float
        Aim of a turn.
    steps : int
        The most mini-batches in a turn, unless an epoch has more or there is no rule: the baseline has to follow in float64.
    """

    rounds: int = 15
    seconds: float = 0.1
    steps: int = 10_000


QUICK = Settings(rounds=7, seconds=0.02, steps=2_000)


def say(text: str) -> None:
    """Tell what is going on, on standard error."""
    print(text, file=sys.stderr, flush=True)


def choose_count(turn: Callable[[int], float], most: int, aim: float) -> int:
    """How often to do what has been compiled, and takes `turn(count)` seconds, to fill about a turn's time."""
    count = 1
    turn(count)
    while True:
        seconds = turn(count)
        if seconds > aim / 4 or count == most:
            return max(1, min(most, int(count * aim / seconds)))
        count = min(most, count * 4)


class Reference:
    """Weights that a turn must end with, and outputs at its beginning: the NumPy baseline's, in float64."""

    def __init__(self, workload: Workload):
        self.baseline = Turns("numpy", threads=1)
        self.baseline.open(workload.name, "float64", tuple(workload.load("float64")))
        self.baseline.reset()
        self.first = self.baseline.first()
        self._trains = workload.rule is not None
        self._ends: dict[int, Any] = {}

    def difference(self, contestant: Any, epochs: int) -> float:
        """Distance of the contestant's weights after a turn from where they should be, divided by the length of the way."""
        epochs = epochs if self._trains else 1  # each time the same comes out
        if epochs not in self._ends:
            self.baseline.turn(epochs)
            self._ends[epochs] = self.baseline.parameters()
        end, found = self._ends[epochs], contestant.parameters()
        if found.shape != end.shape:
            return float("inf")
        return float(np.linalg.norm(found - end) / np.linalg.norm(end - self.first))


def interleave(turns: Mapping[str, Any], rounds: int) -> dict[str, list[Any]]:
    """Results of callables by name, called in turns, every other round in reverse order."""
    results: dict[str, list[Any]] = {name: [] for name in turns}
    for i in range(rounds):
        for name in list(turns)[:: -1 if i % 2 else 1]:
            results[name].append(turns[name]())
    return results


def measure(workload: Workload, dtype: str, contestants: Mapping[str, Any], machine: Any, settings: Settings) -> dict[str, Any]:
    """Verify and time contestants on one workload.

    Parameters
    ----------
    workload : Workload
    dtype : {"float32", "float64"}
    contestants : mapping of str to Turns or Worker
    machine : Turns or Worker
        For the FMA peak of every round.
    settings : Settings

    Returns
    -------
    dict
        Ready for JSON. Under "contestants", for each its "status": "ok", "wrong", "failed" or "unable".
    """
    reference, data, method = Reference(workload), tuple(workload.load(dtype)), "steps" if workload.by_steps else "turn"
    outcomes: dict[str, dict[str, Any]] = {}
    for name, contestant in contestants.items():
        outcomes[name] = outcome = _open(contestant, workload, dtype, data, method)
        if "status" in outcome:
            continue
        most = settings.steps if workload.rule is None else max(1, settings.steps // workload.steps_per_epoch)
        outcome["epochs"] = choose_count(getattr(contestant, method), most, settings.seconds)
        getattr(contestant, method)(outcome["epochs"])
        _verify(outcome, reference, contestant)

    timed = [name for name, outcome in outcomes.items() if outcome["status"] == "ok"]
    turns = {name: lambda name=name: getattr(contestants[name], method)(outcomes[name]["epochs"]) for name in timed}
    # right before or after ours, which come first: a peak of another moment is that of another machine
    times = interleave({"machine": lambda: machine.flops(dtype, settings.seconds / 2)} | turns, settings.rounds)
    peaks = np.array(times.pop("machine"))
    for name in timed:
        _verify(outcomes[name], reference, contestants[name])
    per_step = {
        name: np.array(times[name]) / (outcomes[name]["epochs"] * workload.steps_per_epoch)
        for name in timed
        if outcomes[name]["status"] == "ok"
    }
    flop = workload.flop_per_epoch / workload.steps_per_epoch
    for name, seconds in per_step.items():
        outcomes[name] |= {
            "microseconds": _rounded(median_interval(1e6 * seconds)),
            "gflops": float(np.median(flop / seconds / 1e9)),
            "peak_fraction": _rounded(median_interval(flop / seconds / peaks)),
        }
        if OURS in per_step and name != OURS:
            outcomes[name]["ratio"] = _rounded(ratio_interval(seconds, per_step[OURS]))
    return {
        "name": workload.name,
        "sizes": list(workload.sizes),
        "rule": workload.rule,
        "batch_size": workload.batch_size,
        "dtype": dtype,
        "intensity": workload.flop_per_epoch / workload.bytes_per_epoch,
        "peak_gflops": float(np.median(peaks)) / 1e9,
        "contestants": outcomes,
    }


def _open(contestant: Any, workload: Workload, dtype: str, data: tuple[Any, ...], method: str) -> dict[str, Any]:
    """Let a contestant prepare a workload; its outcome, which has a "status" if that is not possible."""
    try:
        reason, tolerance = contestant.open(workload.name, dtype, data)
        if reason is None and method == "steps":
            reason = contestant.reason_against_steps()
        if reason is not None:
            return {"status": "unable", "reason": reason}
        contestant.reset()
        getattr(contestant, method)(1)
    except WorkerError as error:
        say(str(error))
        return {"status": "failed", "reason": str(error).strip().splitlines()[-1]}
    return {"tolerance": tolerance}


def _verify(outcome: dict[str, Any], reference: Reference, contestant: Any) -> None:
    outcome["difference"] = reference.difference(contestant, outcome["epochs"])
    outcome["status"] = "ok" if outcome["difference"] <= outcome["tolerance"] else "wrong"


def latency(dtype: str, contestants: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Verify and time the outputs for one sample at a time; the result is like that of `measure`."""
    workload = workloads.get(LATENCY_WORKLOAD)
    expected, data = Reference(workload).baseline.outputs(5), tuple(workload.load(dtype))
    outcomes: dict[str, dict[str, Any]] = {}
    for name, contestant in contestants.items():
        outcomes[name] = outcome = _open(contestant, workload, dtype, data, "latency")
        if "status" in outcome:
            continue
        contestant.latency(5)
        error = float(np.abs(contestant.outputs(5) - expected).max())
        outcome |= {"difference": error, "tolerance": LATENCY_TOLERANCE, "status": "ok" if error <= LATENCY_TOLERANCE else "wrong"}
    timed = [name for name, outcome in outcomes.items() if outcome["status"] == "ok"]
    calls = max(10, int(LATENCY_CALLS * settings.seconds / Settings.seconds))
    times = interleave({name: lambda name=name: contestants[name].latency(calls) for name in timed}, settings.rounds)
    for name in timed:
        outcomes[name]["microseconds"] = _rounded(median_interval(1e6 * np.array(times[name])))
        if OURS in timed and name != OURS:
            outcomes[name]["ratio"] = _rounded(ratio_interval(times[name], times[OURS]))
    return {"name": "latency", "sizes": list(workload.sizes), "dtype": dtype, "contestants": outcomes}


def _rounded(interval: Interval) -> dict[str, float]:
    """An interval for JSON."""
    return {key: float(f"{value:.4g}") for key, value in interval._asdict().items()}


def unsound(results: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(contestant, workload) of all that ended elsewhere; and of fastbp, if it failed."""
    return [
        (name, result["name"])
        for result in results
        for name, outcome in result["contestants"].items()
        if outcome["status"] == "wrong" or (name == OURS and outcome["status"] == "failed")
    ]
