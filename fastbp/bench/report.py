"""Results as text, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbp.bench.measure import OURS
from fastbp.bench.worker import DOORS

Row = Sequence[str]
FAILURES = "slower", "wrong"  # of the comparison of two revisions


def tables(results: dict[str, Any], markdown: bool) -> str:
    """Everything that `fastbp bench` found: machine, one row a workload, start, remarks."""
    parts = [_facts(results)]
    if results["workloads"]:
        parts.append(table(*_ratios(results), markdown=markdown))
    if results["start"]:
        rows = [(label, f"{round(results['start'][key], 2) + 0.0:.2f} s") for key, label in START.items()]  # no -0.00
        parts.append(table(("start of a process", "seconds"), rows, markdown=markdown))
    if remarks := _remarks(results):
        parts.append(("\n\n" if markdown else "\n").join(remarks))
    return "\n\n".join(parts)


START = {
    "import_fastbp": "import fastbp, above NumPy's own import",
    "import_numpy": "import numpy",
    "first_fit_warm": "first fit, kernels in the cache, start of the process included",
    "first_fit_cold": "first fit, kernels compiled, start of the process included",
}


def table(head: Row, rows: Sequence[Row], markdown: bool = False) -> str:
    """Columns of text, all but the first to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: Row, fill: str = " ") -> str:
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1], fill), *(cell.rjust(width, fill) for cell, width in others)]
        return f"| {' | '.join(cells)} |" if markdown else "  ".join(cells).rstrip()

    rule = [line(["-", *("-:" for _ in head[1:])], "-")] if markdown else []
    return "\n".join([line(head), *rule, *map(line, rows)])


def _facts(results: dict[str, Any]) -> str:
    machine, settings = results["machine"], results["settings"]
    lines = [_machine(machine), f"{_threads(settings)} for each contestant, {settings['rounds']} interleaved rounds."]
    if "peak_gflops" in machine:
        peaks = ", ".join(f"{peak:.0f} GFLOP/s in {dtype}" for dtype, peak in machine["peak_gflops"].items())
        lines[1] += f" FMA peak {peaks}; memory {machine['bandwidth_gbs']:.0f} GB/s."
    return "\n".join(lines)


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['vector_bits']} bit vectors; {machine['date']}; {versions}."


def _threads(settings: dict[str, Any]) -> str:
    return f"{settings['threads']} thread{'s' if settings['threads'] > 1 else ''}"


def _ratios(results: dict[str, Any]) -> tuple[Row, list[Row]]:
    taking_part = {name for result in results["workloads"] for name in result["contestants"]}
    others = [name for name in results["settings"]["contestants"] if name != OURS and name in taking_part]
    head = ["workload", OURS, "GFLOP/s", "of peak", *(f"{name} / {OURS}" for name in others)]
    return head, [_row(result, others) for result in results["workloads"]]


def _row(result: dict[str, Any], others: Sequence[str]) -> Row:
    ours = result["contestants"][OURS]
    name = result["name"] if result["dtype"] == "float32" else f"{result['name']} ({result['dtype']})"
    if ours["status"] != "ok":
        return [name, cell(ours), "", "", *("" for _ in others)]
    row = [name, _time(ours["microseconds"]["estimate"])]
    row += [number(ours["gflops"]), f"{number(100 * ours['peak_fraction']['estimate'])} %"] if "gflops" in ours else ["", ""]
    return row + [cell(result["contestants"].get(other)) for other in others]


def cell(outcome: dict[str, Any] | None) -> str:
    """Ratio of a contestant's time to ours, with its interval; or why there is none."""
    if outcome is None or outcome["status"] == "unable":
        return "-"
    if outcome["status"] != "ok":
        return str(outcome["status"])
    ratio = outcome["ratio"]
    return f"{number(ratio['estimate'])} ({number(ratio['low'])} to {number(ratio['high'])})"


def number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def _time(microseconds: float) -> str:
    unit, factor = ("ns", 1000) if microseconds < 1 else ("us", 1) if microseconds < 1000 else ("ms", 1 / 1000)
    return f"{number(factor * microseconds)} {unit}"


def _remarks(results: dict[str, Any]) -> list[str]:
    lines = [f"{name}: left out, {reason}." for name, reason in results["left_out"].items()]
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in results["workloads"]:
        for name, outcome in result["contestants"].items():
            if outcome["status"] == "unable":
                reasons.setdefault((name, outcome["reason"]), []).append(result["name"])
            if outcome["status"] == "wrong":
                lines.append(
                    f"{name} is wrong on {result['name']}: it ends {outcome['difference']:.1e} from the float64 baseline,"
                    f" {outcome['tolerance']:.0e} is tolerated. It was not timed."
                )
            if outcome["status"] == "failed":
                lines.append(f"{name} failed on {result['name']}: {outcome['reason']}")
    lines += [f"{name} {reason}: not in {', '.join(where)}." for (name, reason), where in reasons.items()]
    if results["workloads"]:
        lines.append(
            "Times are of one training step (latency, closed loops: of one row); ratios are medians over rounds, with 95 %"
            " intervals. All that were timed start from the same weights and end with those of the float64 baseline."
        )
    return lines


def verdicts(comparison: dict[str, Any], markdown: bool) -> str:
    """What the comparison of two revisions found, and one line that says it all."""
    settings, against, bad = comparison["settings"], comparison["against"], comparison["failed"]
    rows = []
    for result in comparison["workloads"]:
        for door in _doors(result):
            ratio, word = result[door]["ratio"], result[door]["verdict"]
            if ratio is None:
                ends = " and ".join(f"{difference:.0e}" for difference in result["differences"])
                rows.append([result["name"], door, "", "", f"wrong: old and new end {ends} from the baseline"])
                continue
            interval = f"{ratio['low']:.3f} to {ratio['high']:.3f}"
            rows.append([result["name"], door, f"{ratio['estimate']:.3f}", interval, word])
    head = ("workload", "", "time, new / old", "95 % interval", "verdict")
    facts = f"{_machine(comparison['machine'])}\n{_threads(settings)}, {settings['sessions']} sessions of interleaved rounds."
    last = f"Regression against {against}: {', '.join(bad)}." if bad else f"No regression against {against}."
    last += f" Differences below {100 * settings['tolerance']:g} % are not called."
    return "\n\n".join([facts, table(head, rows, markdown), last])


def _doors(result: dict[str, Any]) -> list[str]:
    """By which two versions were compared."""
    return [door for door in DOORS if door in result]


def failures(results: Sequence[dict[str, Any]]) -> list[str]:
    """What is slower or wrong, as "workload door"."""
    return [f"{result['name']} {door}" for result in results for door in _doors(result) if result[door]["verdict"] in FAILURES]
