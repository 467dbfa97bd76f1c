"""How good are estimators on tables as they come, and what do they cost? `python -m benchmarks.tabular`.

Every contestant fits every data set in the same splits, with one thread, and is timed by the CPU time of its process, in which
it has fitted before: a small table, or where it compiles the same one. Each run is recorded when it ends and is not done again.
"""

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.tables import contest, report
from benchmarks.tables.contestants import CONTESTANTS
from benchmarks.tables.data_sets import BY_NAME, DATA_SETS, HALVES
from fastbp.bench.worker import environment


def main(arguments=None):
    """Do what is not recorded yet, then print a table of everything that is."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir(), "tabular-results.jsonl")
    parser.add_argument("--results", type=Path, default=default, help=f"file of the runs, which is appended to ({default.name})")
    parser.add_argument("--only", nargs="+", choices=BY_NAME, metavar="NAME", help="data sets")
    parser.add_argument("--half", choices=HALVES, help="of the data sets; both by default")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS], metavar="NAME")
    parser.add_argument("--again", nargs="+", choices=CONTESTANTS, default=[], metavar="NAME", help="whose runs are done again")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1, help="so many runs at the same time")
    parser.add_argument("--summary", action="store_true", help="of what is recorded, without a run")
    parser.add_argument("--data-sets", action="store_true", help="print a table of the data sets, and end")
    parser.add_argument("--plot", type=Path, metavar="DIRECTORY", help="save tabular.png there")
    options = parser.parse_args(arguments)
    os.environ.update(environment(1))  # for the processes that are started
    names = [each.name for each in DATA_SETS if each.half in (options.half or HALVES) and each.name in (options.only or BY_NAME)]
    if options.data_sets:
        print(report.declarations(names))
        return
    if not options.summary:
        run_missing(options, names)
    runs = [run for run in contest.read(options.results).values() if run["data_set"] in names and run["split"] < options.splits]
    print(report.tables(runs, options.contestants))
    if options.plot:
        from benchmarks.tables import picture

        picture.save(runs, options.contestants, options.plot)


def run_missing(options, names):
    """All runs of those who can take part that are not recorded."""
    taking_part = []
    for name in options.contestants:
        if reason := CONTESTANTS[name].reason_against():
            print(f"{name} is left out: {reason}.", flush=True)
        else:
            taking_part.append(name)
    jobs = contest.missing_runs(contest.read(options.results), taking_part, names, options.splits, options.again)
    contest.run(jobs, options.results, options.processes)


if __name__ == "__main__":
    main()
