"""Results as text or Markdown."""

from __future__ import annotations

from typing import Any

from fastbp.bench.report import _machine, _threads, number, table


def tables(results: dict[str, Any], markdown: bool) -> str:
    """Machine, a table for each problem, remarks."""
    settings = results["settings"]
    facts = (
        f"{_machine(results['machine'])}\n{_threads(settings)} for each contestant, {settings['starts']} first weights,"
        f" {settings['seconds']:g} s at most."
    )
    parts = [facts]
    for result in results["problems"]:
        head = [result["name"], *(f"s to {aim}" for aim in result["aims"]), "lowest loss"]
        rows = [[name, *_cells(outcome)] for name, outcome in result["contestants"].items() if outcome["status"] == "ok"]
        parts.append("\n\n".join([table(head, rows, markdown), *_remarks(result)]))
    left_out = [f"{name}: left out, {reason}." for name, reason in results["left_out"].items()]
    last = (
        "Seconds are medians over the first weights, with their range; -: not reached from half of them. Losses are those of the"
        " float64 baseline."
    )
    return "\n\n".join([*parts, "\n".join([*left_out, last])])


def _cells(outcome: dict[str, Any]) -> list[str]:
    return [*(_seconds(spread, len(outcome["tries"])) for spread in outcome["seconds"]), f"{outcome['lowest']:.1e}"]


def _seconds(spread: dict[str, Any], starts: int) -> str:
    if spread["count"] == 0:
        return "-"
    low, median, high = ("-" if spread[key] is None else number(spread[key]) for key in ("low", "estimate", "high"))
    return f"{median} ({low} to {high})" + (f", {spread['count']} of {starts}" if spread["count"] < starts else "")


def _remarks(result: dict[str, Any]) -> list[str]:
    lines = []
    for aim, best in zip(result["aims"], result["best"], strict=True):
        if best["ratio"] is not None:
            lines.append(f"{aim}: {best['others']} takes {number(best['ratio'])} times as long as {best['ours']}.")
    lines += [
        f"{name} failed: {outcome['reason']}" for name, outcome in result["contestants"].items() if outcome["status"] == "failed"
    ]
    return ["\n".join(lines)] if lines else []
