"""All contestants that are installed, on the chosen problems, from several first weights, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from fastbp.bench.accuracy.contestants import CONTESTANTS, OURS
from fastbp.bench.accuracy.problems import Problem, get
from fastbp.bench.machine import cores, describe, installed_version
from fastbp.bench.measure import interleave, say
from fastbp.bench.worker import Worker, WorkerError

KIND = "fastbp.bench.accuracy.search:Searches"


@dataclass(frozen=True)
class Settings:
    """How long to try.

    Attributes
    ----------
    starts : int
        First weights, for each of which every contestant has one turn.
    seconds : float
        After which a try is given up.
    """

    starts: int = 5
    seconds: float = 3.0


QUICK = Settings(starts=3, seconds=1.0)


def run(names: Sequence[str], *, threads: int, starts: int | None, quick: bool) -> dict[str, Any]:
    """Let all try on problems by name; returns everything, ready for JSON."""
    settings = QUICK if quick else Settings()
    if starts is not None:
        settings = Settings(starts, settings.seconds)
    machine = describe()
    machine["versions"] |= {name: installed_version(name) for name in ("scipy", "optimistix")}
    missing = [name for name, contestant in CONTESTANTS.items() if find_spec(contestant.module) is None]
    with ExitStack() as stack:
        contestants: dict[str, Any] = {}
        for name in CONTESTANTS:
            if name not in missing:
                contestants[name] = worker = stack.enter_context(closing(Worker(name, threads, kind=KIND)))
                if threads == 1:
                    worker.pin(cores()[-1])
        return {
            "machine": machine,
            "settings": {"threads": threads} | settings.__dict__,
            "left_out": dict.fromkeys(missing, "not installed"),
            "problems": [measure(get(name), contestants, settings) for name in names],
        }


def measure(problem: Problem, contestants: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Let contestants try on one problem.

    Parameters
    ----------
    problem : Problem
    contestants : dict of str to Searches or Worker
    settings : Settings

    Returns
    -------
    dict
        Ready for JSON. Under "contestants", for each its "status", "ok", "failed" or "unable", and its "tries".
    """
    say(f"{problem.name} ...")
    outcomes: dict[str, dict[str, Any]] = {}
    for name, contestant in contestants.items():
        try:
            reason = contestant.open(problem.name)
            outcomes[name] = {"status": "ok"} if reason is None else {"status": "unable", "reason": reason}
        except WorkerError as error:
            say(str(error))
            outcomes[name] = {"status": "failed", "reason": str(error).strip().splitlines()[-1]}
    able = [name for name, outcome in outcomes.items() if outcome["status"] == "ok"]
    starts = {name: iter(range(settings.starts)) for name in able}
    turns: dict[str, Any] = {
        name: lambda name=name: contestants[name].search(next(starts[name]), settings.seconds) for name in able
    }
    for name, tries in interleave(turns, settings.starts).items():
        outcomes[name] |= {"tries": tries, "lowest": float(np.median([_lowest(each) for each in tries]))}
        outcomes[name]["seconds"] = [_spread([each["reached"][i] for each in tries]) for i in range(len(problem.aims))]
    return {
        "name": problem.name,
        "sizes": list(problem.sizes),
        "loss": problem.loss,
        "aims": list(map(str, problem.aims)),
        "contestants": outcomes,
        "best": [_best(outcomes, i) for i in range(len(problem.aims))],
    }


def _lowest(attempt: dict[str, Any]) -> float:
    """The lowest loss that was seen."""
    return min([values["loss"] for _, values in attempt["trace"] if values["loss"] == values["loss"]], default=float("inf"))


def _spread(seconds: Sequence[float | None]) -> dict[str, Any]:
    """Median and range of the starts, and how many got there; None: never."""
    ordered = sorted(float("inf") if value is None else value for value in seconds)
    low, median, high = (None if np.isinf(value) else float(value) for value in (ordered[0], np.median(ordered), ordered[-1]))
    return {"estimate": median, "low": low, "high": high, "count": sum(value is not None for value in seconds)}


def _best(outcomes: dict[str, dict[str, Any]], aim: int) -> dict[str, Any]:
    """Who of ours and who of the others had the least median, and the ratio of these."""
    names = {cls.name for cls in OURS}
    medians = {
        name: outcome["seconds"][aim]["estimate"]
        for name, outcome in outcomes.items()
        if "seconds" in outcome and outcome["seconds"][aim]["estimate"] is not None
    }
    ours, others = (
        min((name for name in medians if (name in names) == wanted), key=medians.__getitem__, default=None)
        for wanted in (True, False)
    )
    ratio = None if ours is None or others is None else medians[others] / medians[ours]
    return {"ours": ours, "others": others, "ratio": ratio}
