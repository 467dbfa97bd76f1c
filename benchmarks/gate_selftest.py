"""Does the gate see a planted regression, and does it keep quiet without one?

    python benchmarks/gate_selftest.py --runs 20 --unchanged 50

Builds versions of HEAD: as it is, and for each door of `PLANTS` with that one about 3 % slower. A plant is a constant of the
package that is there for this: what is done once more. Then runs ``fastbp bench --against HEAD --quick`` on a workload that shows
the door, a number of times from each, and prints how often it exited with 1 and named the door that is slower. Exit status 1 if a
planted regression was missed in more than 1 of 20 runs, or if there was more than 1 false alarm in 50.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


class Plant(NamedTuple):
    """What makes one door slower: a constant of the package, 0 there, and the workload by which that is seen."""

    workload: str
    constant: str
    value: int


# of the workload that shows the door; products on panels only: the fits of narrow networks (`tuning.NARROW_LIMIT`) have others
PLANTS = {
    "fit": Plant("mnist", "AGAIN_IN_FIT", 80),
    "predict": Plant("mnist", "AGAIN_IN_PREDICT", 32),
    "step": Plant("small", "AGAIN_IN_STEP", 2),
    "partial_fit": Plant("small", "AGAIN_IN_PARTIAL_FIT", 2),
    "row": Plant("small", "AGAIN_IN_ROW", 2),
}
FILE = "kernels/tuning.py"


def plant(package, door, value=None):
    """Make a door of the sources in a directory slower.

    Raises
    ------
    ValueError
        If they have no such constant.
    """
    _, constant, usual = PLANTS[door]
    path = package / FILE
    text, count = re.subn(rf"^{constant} = 0\b", f"{constant} = {usual if value is None else value}", path.read_text(), flags=re.M)
    if count != 1:
        raise ValueError(f"{constant} = 0, by which {door} is made slower, must be in {FILE} once, and is there {count} times")
    path.write_text(text)


def build(gate, door=None):
    """HEAD, with one door slower: a `gate.Side`, and its commit."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        commit = gate.export(ROOT, "HEAD", source)
        if door is None:
            return gate.build(source, "HEAD", commit), commit
        plant(source / "fastbp", door)
        return gate.build(source, f"HEAD with a slower {door}", f"{commit} {PLANTS[door]}"), commit


def run_gate(side, commit, workload, arguments):
    """One run of the command with a version, against a commit: exit status, what it named, ratios of the doors, seconds."""
    # -P and no PYTHONPATH: the version to run is the installed one, not the one in this directory
    command = [side.python, "-P", "-m", "fastbp", "bench", "--against", commit, "--quick", "--json"]
    command += ["--workload", workload]
    if arguments.tolerance is not None:
        command += ["--tolerance", str(arguments.tolerance)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"the gate ended with status {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)
    doors = {name: value for name, value in found["workloads"][0].items() if isinstance(value, dict)}
    if any(value["verdict"] == "wrong" for value in doors.values()):
        sys.exit(f"what was planted changes the results: {found}")
    return (
        done.returncode,
        found["failed"],
        {name: value["ratio"]["estimate"] for name, value in doors.items()},
        time.perf_counter() - start,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="with a planted regression, the doors in turns (default: 20)")
    parser.add_argument("--unchanged", type=int, help="without (default: 5 for every 2 of --runs)")
    parser.add_argument("--tolerance", type=float, help="of the gate, in percent (default: its own)")
    arguments = parser.parse_args()
    # here, because asv imports this module beside versions of the package that lack it
    from fastbp.bench import gate

    unchanged = -(-5 * arguments.runs // 2) if arguments.unchanged is None else arguments.unchanged
    doors = [list(PLANTS)[i % len(PLANTS)] for i in range(arguments.runs)]
    same, commit = build(gate)
    sides = {door: build(gate, door)[0] for door in dict.fromkeys(doors)}

    caught, alarms, ratios, longest = 0, 0, {}, 0.0
    for i, door in enumerate([*doors, *[None] * unchanged]):
        title = f"slower {door}" if door else "unchanged"
        workload = PLANTS[door or list(PLANTS)[i % len(PLANTS)]].workload
        status, named, estimates, seconds = run_gate(sides.get(door, same), commit, workload, arguments)
        caught += door is not None and status == 1 and f"{workload} {door}" in named
        alarms += door is None and status == 1
        for name, ratio in estimates.items():
            ratios.setdefault((f"{workload}, {title}", name), []).append(ratio)
        longest = max(longest, seconds)
        shown = ", ".join(f"{name} {ratio:.3f}" for name, ratio in estimates.items())
        print(f"{i + 1:3d} {title}: exit {status}, {shown}, slower: {', '.join(named) or 'nothing'}, {seconds:.0f} s", flush=True)
    for (title, name), values in ratios.items():
        print(f"{title}: {name} {np.mean(values):.4f}, from {min(values):.4f} to {max(values):.4f}, deviation {np.std(values):.4f}")
    print(f"reported, with the door, in {caught} of {len(doors)} runs; {alarms} false alarms in {unchanged} runs")
    print(f"a run took at most {longest:.0f} s")
    return int(len(doors) - caught > len(doors) // 20 or alarms > unchanged // 50)


if __name__ == "__main__":
    sys.exit(main())
