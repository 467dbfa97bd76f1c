"""``fastbp bench``: contestants on the named workloads, and this version against another revision.

`measure` verifies and times, `worker` gives every contestant a process, `machine` says what the hardware can do, `start` times
fresh processes, `report` and `plots` show, `gate` compares revisions; `accuracy` is a contest of its own, for time to a loss.
Nothing is imported before the command runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fastbp.arguments import integer, real
from fastbp.bench import workloads
from fastbp.bench.accuracy.problems import PROBLEMS

LATENCY, START = "latency", "start"
EXTRA = (LATENCY, START)


def add_parser(commands: Any) -> None:
    """Add the subcommand to what `argparse.ArgumentParser.add_subparsers` returned."""
    names = tuple(dict.fromkeys((*workloads.WORKLOADS, *EXTRA, *PROBLEMS)))
    bench = commands.add_parser(
        "bench",
        help="speed against NumPy and other libraries, and against another revision",
        description=f"Workloads: {', '.join(workloads.WORKLOADS)}; latency: one row through the network of digits; start: time "
        "of imports and first fits in fresh processes. Exit status 1 if a contestant computes something else, and "
        f"after a regression. Problems of --to-accuracy: {', '.join(PROBLEMS)}.",
    )
    bench.set_defaults(run=run)
    bench.add_argument("--workload", nargs="+", choices=names, metavar="NAME", help="which (default: all)")
    bench.add_argument("--threads", type=int, default=1, help="of every contestant (default: %(default)s)")
    bench.add_argument("--dtype", choices=("float32", "float64"), help="default: the workload's own")
    bench.add_argument(
        "--rounds", type=int, help="turns of each contestant (default: 15; 7 with --quick; first weights of --to-accuracy: 5; 3)"
    )
    bench.add_argument("--quick", action="store_true", help="short turns and few rounds: wider intervals")
    bench.add_argument("--json", action="store_true", help="print JSON")
    bench.add_argument("--markdown", action="store_true", help="print Markdown tables")
    bench.add_argument(
        "--plot", type=Path, metavar="DIRECTORY", help="write ratios.png and roofline.png, or to-accuracy.png, there"
    )
    bench.add_argument("--against", metavar="REVISION", help="compare with a git revision of this repository instead")
    bench.add_argument(
        "--to-accuracy", action="store_true", help="seconds to stated losses, by the best rules of each library, instead"
    )
    bench.add_argument(
        "--tolerance", type=float, default=2.0, metavar="PERCENT", help="slower by more is a regression (default: %(default)g)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit status.

    Raises
    ------
    ValueError
        Naming the option at fault.
    """
    integer("--threads", arguments.threads)
    if arguments.rounds is not None:
        integer("--rounds", arguments.rounds)
    real("--tolerance", arguments.tolerance)
    if arguments.plot is not None and not arguments.plot.is_dir():
        raise ValueError(f"--plot: there is no directory {arguments.plot}")
    known = PROBLEMS if arguments.to_accuracy else (*workloads.WORKLOADS, *EXTRA)
    if unknown := [name for name in arguments.workload or () if name not in known]:
        raise ValueError(
            f"--workload must be of {', '.join(known)}, got {', '.join(unknown)}: --to-accuracy has problems of its own"
        )
    if arguments.to_accuracy:
        for name in ("against", "dtype"):
            if getattr(arguments, name) is not None:
                raise ValueError(f"--{name} has no meaning for --to-accuracy: leave it out")
        return _to_accuracy(arguments)
    return _against(arguments) if arguments.against is not None else _contest(arguments)


def _to_accuracy(arguments: argparse.Namespace) -> int:
    from fastbp.bench.accuracy import contest, picture, report

    results = contest.run(
        arguments.workload or tuple(PROBLEMS), threads=arguments.threads, starts=arguments.rounds, quick=arguments.quick
    )
    print(json.dumps(results, indent=1) if arguments.json else report.tables(results, markdown=arguments.markdown))
    if arguments.plot is not None:
        picture.save(results, arguments.plot)
    failed = [
        name for result in results["problems"] for name, outcome in result["contestants"].items() if outcome["status"] == "failed"
    ]
    return 1 if any(name.startswith("fastbp ") for name in failed) else 0


def _contest(arguments: argparse.Namespace) -> int:
    from fastbp.bench import contest, measure, report

    results = contest.run(
        arguments.workload or (*workloads.WORKLOADS, *EXTRA),
        threads=arguments.threads,
        dtype=arguments.dtype,
        rounds=arguments.rounds,
        quick=arguments.quick,
    )
    if arguments.json:
        print(json.dumps(results, indent=1))
    else:
        print(report.tables(results, markdown=arguments.markdown))
    if arguments.plot is not None and any(result["name"] != LATENCY for result in results["workloads"]):
        from fastbp.bench import plots

        plots.save(results, arguments.plot)
    return 1 if measure.unsound(results["workloads"]) else 0


def _against(arguments: argparse.Namespace) -> int:
    from fastbp.bench import gate, machine, report

    chosen = [name for name in arguments.workload or workloads.WORKLOADS if name not in EXTRA and workloads.get(name).doors]
    settings, tolerance = gate.QUICK if arguments.quick else gate.Settings(), arguments.tolerance / 100
    old = gate.revision(Path.cwd(), arguments.against)
    results = gate.compare(
        old,
        gate.Side("this version"),
        [workloads.get(name) for name in chosen],
        dtype=arguments.dtype,
        threads=arguments.threads,
        tolerance=tolerance,
        settings=settings,
    )
    comparison = {
        "machine": machine.describe(),
        "settings": {"threads": arguments.threads, "tolerance": tolerance} | settings.__dict__,
        "against": old.label,
        "workloads": results,
        "failed": report.failures(results),
    }
    print(json.dumps(comparison, indent=1) if arguments.json else report.verdicts(comparison, arguments.markdown))
    return 1 if comparison["failed"] else 0
