"""Is this version slower than another revision? Both run in one session of rounds, in turns, each in its own environment.

Times of two separate runs say nothing on a machine whose clock wanders. Here turns follow each other within milliseconds. A round
gives one ratio, the mean of two pairs of turns, one in either order, for the turn that comes first is the slower one. A session
is a fresh pair of processes, and there are many, for each has its own placement in memory, which is half a per cent. With one
thread both run on the same core, and a turn is timed by the CPU time of its process, which a busy neighbour on that core does
not lengthen.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.bench.machine import cores
from fastbp.bench.measure import Reference, choose_count, say
from fastbp.bench.statistics import session_interval, verdict
from fastbp.bench.worker import DOORS, Worker
from fastbp.bench.workloads import Workload

LEAST_ROUNDS, MOST_STEPS = 3, 10_000  # of a session; in a turn
MOST_SAMPLES, REAL_SAMPLES = 1280, 2000  # scikit-learn's bundled sets are smaller, and stay as they are


@dataclass(frozen=True)
class Settings:
    """How long to compare.

    Attributes
    ----------
    sessions : int
        Fresh pairs of processes.
    seconds : float
        Of all turns on one workload in one session: with one thread, of the processor, so that a busy neighbour makes the
        comparison longer, not less precise.
    turn : float
        Aim of a turn, in seconds.
    """

    sessions: int = 12
    seconds: float = 2.0
    turn: float = 0.01


QUICK = Settings(sessions=8, seconds=1.0, turn=0.008)


@dataclass(frozen=True)
class Side:
    """One of the two versions: a name to show, and an interpreter that has it (None: this one, with this package)."""

    label: str
    python: str | None = None

    def start(self, threads: int) -> Worker:
        """A process that trains with this version."""
        return Worker("fastbp", threads, self.python)


def git(directory: Path, *arguments: str) -> bytes:
    """Output of a git command.

    Raises
    ------
    ValueError
        With git's message, if it fails.
    """
    done = subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True)
    if done.returncode:
        raise ValueError(f"git {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout


def export(repository: Path, revision: str, target: Path) -> str:
    """Write the files of a revision to a new directory; returns its full hash."""
    commit = git(repository, "rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
    with tarfile.open(fileobj=BytesIO(git(repository, "archive", "--format=tar", commit))) as archive:
        archive.extractall(target, filter="data")
    return commit


def revision(repository: Path, name: str) -> Side:
    """The version of a revision of the repository that a directory is in, built once and then kept beside the kernel cache."""
    # git archive takes the directory it is called in
    repository = Path(git(repository, "rev-parse", "--show-toplevel").decode().strip())
    with tempfile.TemporaryDirectory() as scratch:
        commit = export(repository, name, Path(scratch, "source"))
        label = name if commit.startswith(name) else f"{name} ({commit[:9]})"
        return build(Path(scratch, "source"), label, commit)


def build(source: Path, label: str, key: str) -> Side:
    """Install the sources in a directory into a virtual environment of their own.

    Numba, NumPy and the rest are those of the running interpreter, so that nothing but the package differs. An environment of
    the same key, dependencies and interpreter is used again.

    Raises
    ------
    ValueError
        With pip's last lines, if the installation fails.
    """
    specs = [find_spec(name) for name in ("numpy", "numba")]
    packages = sorted({str(Path(spec.origin).parents[1]) for spec in specs if spec is not None and spec.origin is not None})
    directory = _home() / hashlib.sha256(repr((key, packages, sys.version)).encode()).hexdigest()[:16]
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    side = Side(label, str(python))
    if (directory / "complete").exists():
        return side
    say(f"building {label} ...")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    venv.create(directory, with_pip=True)
    site = next(directory.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"))
    (site / "dependencies.pth").write_text("\n".join(packages) + "\n", encoding="utf-8")
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(directory)
        raise ValueError(f"{label} cannot be installed: {' '.join(done.stderr.split()[-40:])}")
    (directory / "complete").touch()
    return side


def _home() -> Path:
    """Directory of the environments: beside the kernel cache, or a temporary one that is kept."""
    from fastbp.compiler import cache_directory

    kernels = cache_directory()
    return kernels.parent / "revisions" if kernels else Path(tempfile.mkdtemp(prefix="fastbp-revisions-"))


def shortened(workload: Workload) -> Workload:
    """A workload with fewer samples, so that a turn can be short: many short turns see less of a clock that wanders."""
    whole = max(1, MOST_SAMPLES // workload.batch_size) * workload.batch_size
    return replace(workload, n_samples=whole) if workload.n_samples > max(whole, REAL_SAMPLES) else workload


class _Pair:
    """One session: both versions on one workload, in two processes, on one core if it is given."""

    def __init__(self, workers: tuple[Worker, Worker], workload: Workload, dtype: str, settings: Settings, core: int | None):
        self.workers, self.workload, self.settings = workers, workload, settings
        data = workload.load(dtype)
        for worker in self.workers:
            worker.send("open", workload.name, dtype, tuple(data))
        self.tolerance = [worker.receive()[1] for worker in self.workers][1]
        for worker in self.workers if core is not None else ():
            worker.pin(core)
        first, second = (worker.doors() for worker in self.workers)
        self.doors = [door for door in first if door in second]
        self.counts = {door: self._count(door) for door in self.doors}

    def _count(self, door: str) -> int:
        """How often a door is gone through in a turn."""
        # the baseline has to follow the fit
        in_epochs = door in ("fit", "step", "partial_fit")
        most = max(1, MOST_STEPS // self.workload.steps_per_epoch) if in_epochs else MOST_STEPS
        return max(choose_count(getattr(worker, DOORS[door]), most, self.settings.turn) for worker in self.workers)

    def check(self, reference: Reference) -> dict[str, Any]:
        """How far each version ends from the float64 baseline, and whether that is near enough."""
        differences = []
        for worker in self.workers:
            worker.turn(self.counts["fit"])
            differences.append(reference.difference(worker, self.counts["fit"]))
        right = all(difference <= self.tolerance for difference in differences)
        return {"name": self.workload.name, "differences": differences, "right": right}

    def log_ratios(self) -> dict[str, list[float]]:
        """log(second / first) of the rounds' times, for each door."""
        ratios: dict[str, list[float]] = {door: [] for door in self.doors}
        spent = 0.0
        while spent < self.settings.seconds or len(ratios["fit"]) < LEAST_ROUNDS:
            found: dict[str, list[float]] = {door: [] for door in self.doors}
            for order in ((0, 1), (1, 0)):
                for door in self.doors:
                    seconds = {side: getattr(self.workers[side], DOORS[door])(self.counts[door]) for side in order}
                    found[door].append(float(np.log(seconds[1] / seconds[0])))
                    spent += sum(seconds.values())
            for door in self.doors:
                ratios[door].append(sum(found[door]) / 2)
        return ratios


def compare(
    old: Side,
    new: Side,
    workloads: Sequence[Workload],
    *,
    dtype: str | None = None,
    threads: int = 1,
    tolerance: float = 0.02,
    settings: Settings | None = None,
) -> list[dict[str, Any]]:
    """Compare two versions on some workloads.

    Returns
    -------
    list of dict
        For each workload its doors, each with "ratio" (new to old, an `Interval`) and "verdict"; and under "differences" how far
        both end from the float64 baseline. A version that ends too far away gets the verdict "wrong".
    """
    settings = settings or Settings()
    samples: dict[tuple[str, str], list[list[float]]] = {}
    results: dict[str, dict[str, Any]] = {}
    available = cores()
    for session in range(settings.sessions):
        # each role, to be the first in everything, is both versions': it alone makes some thousandths
        sign, sides = (1, (old, new)) if session % 2 == 0 else (-1, (new, old))
        # on different cores one version could have the busier neighbour for a whole session
        core = available[session // 2 % len(available)] if threads == 1 else None
        with closing(sides[0].start(threads)) as first, closing(sides[1].start(threads)) as second:
            for workload in map(shortened, workloads):
                say(f"session {session + 1} of {settings.sessions}: {workload.name}")
                pair = _Pair((first, second), workload, dtype or workload.dtype, settings, core)
                if session == 0:
                    results[workload.name] = pair.check(Reference(workload)) | dict.fromkeys(pair.doors)
                if results[workload.name]["right"]:
                    for door, ratios in pair.log_ratios().items():
                        samples.setdefault((workload.name, door), []).append([sign * ratio for ratio in ratios])
    for name, result in results.items():
        for door in [door for door in DOORS if door in result]:
            result[door] = {"ratio": None, "verdict": "wrong"}
            if result["right"]:
                interval = session_interval(samples[name, door])
                result[door] = {"ratio": interval._asdict(), "verdict": verdict(interval, tolerance)}
    return list(results.values())
