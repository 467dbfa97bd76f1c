"""Does the gate see a planted regression, and does it keep quiet without one?

    python benchmarks/gate_selftest.py --runs 20 --unchanged 50

Builds two versions of HEAD: as it is, and with one kernel, the forward product, about 10 % slower: it computes an eighth of the
rows of every layer once more, which costs less than an eighth because they are in the cache. Then runs
``fastbp bench --against HEAD --quick`` on one workload, a number of times from each, and prints how often it exited with 1 and
named the workload. Exit status 1 if a planted regression was missed in more than 1 of 20 runs, or if there was more than 1 false
alarm in 50.
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

ROOT = Path(__file__).resolve().parents[1]
CALL = re.compile(r"^( *)forward\(plan, layer, work, rows, (.*)\)$", re.MULTILINE)
AGAIN = r"\1forward(plan, layer, work, rows // 8, \2)\n\g<0>"


def plant(source):
    """Let training and prediction compute an eighth of the rows of every layer twice."""
    planted = 0
    for path in sorted((source / "fastbp" / "kernels").glob("*.py")):
        text, count = CALL.subn(AGAIN, path.read_text())
        path.write_text(text)
        planted += count
    if planted != 2:
        raise SystemExit(f"forward is not called by training and by prediction, once each, but in {planted} places")


def run_gate(side, commit, workload, tolerance):
    """One run of the command with a version, against a commit: exit status, what it named, ratios, seconds."""
    # -P and no PYTHONPATH: the version to run is the installed one, not the one in this directory
    command = [side.python, "-P", "-m", "fastbp", "bench", "--against", commit, "--quick", "--json"]
    command += ["--workload", workload, "--tolerance", str(tolerance)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"the gate ended with status {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)
    ratios = {kind: found["workloads"][0][kind]["ratio"]["estimate"] for kind in ("fit", "predict")}
    return done.returncode, found["failed"], ratios, time.perf_counter() - start


def repeat(title, side, commit, arguments, count):
    """Run the gate some times; returns how often it raised the alarm and named the workload."""
    alarms = 0
    for i in range(count):
        status, named, ratios, seconds = run_gate(side, commit, arguments.workload, arguments.tolerance)
        alarms += status == 1 and any(name.startswith(arguments.workload) for name in named)
        shown = ", ".join(f"{kind} {ratio:.3f}" for kind, ratio in ratios.items())
        print(f"{title} {i + 1:3d}: exit {status}, {shown}, slower: {', '.join(named) or 'nothing'}, {seconds:.0f} s", flush=True)
    return alarms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="with the planted regression (default: 20)")
    parser.add_argument("--unchanged", type=int, help="without (default: 5 for every 2 of --runs)")
    parser.add_argument("--workload", default="mnist", help="default: mnist")
    parser.add_argument("--tolerance", type=float, default=5.0, help="of the gate, in percent (default: 5)")
    arguments = parser.parse_args()
    # here, because asv imports this module beside versions of the package that lack it
    from fastbp.bench import gate

    unchanged = -(-5 * arguments.runs // 2) if arguments.unchanged is None else arguments.unchanged

    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        commit = gate.export(ROOT, "HEAD", source)
        same = gate.build(source, "HEAD", commit)
        plant(source)
        slower = gate.build(source, "HEAD with a slower forward product", f"{commit} planted {CALL.pattern} {AGAIN}")
    detected = repeat("planted", slower, commit, arguments, arguments.runs)
    false = repeat("unchanged", same, commit, arguments, unchanged)
    print(f"planted regression reported and named in {detected} of {arguments.runs} runs; {false} false alarms in {unchanged} runs")
    missed = arguments.runs - detected
    return int(missed > arguments.runs // 20 or false > unchanged // 50)


if __name__ == "__main__":
    sys.exit(main())
