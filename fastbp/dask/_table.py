"""Collections of Dask as one table of partitions: what they have in common, and errors that name the one at fault."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp.dask import _blocks
from fastbp.dask._graph import has_failed, is_collection, kept, results, shared, task

HOW = "make a collection of it, as by dask.array.from_array({name}, chunks=...), or take fastbp.{kind}, which trains on arrays"


@dataclass
class Shape:
    """Of targets that are on workers."""

    shape: tuple[int, int]


def check_collection(name: str, value: Any, kind: str) -> None:
    """Raise for what is no array and no DataFrame of Dask."""
    if not is_collection(value) or not isinstance(getattr(value, "ndim", None), int):
        found = type(value).__module__.partition(".")[0] + "." + type(value).__name__
        raise TypeError(f"{name} must be an array or DataFrame of Dask, got {found}: {HOW.format(name=name, kind=kind)}")


def partitions_of(name: str, value: Any, kind: str) -> list[Any]:
    """The partitions of an array or DataFrame of Dask, as tasks; those of an array have all of its columns."""
    check_collection(name, value, kind)
    if value.ndim not in ((2,) if name == "X" else (1, 2) if name == "y" else (1,)):
        needed = {"X": "two dimensions", "y": "one or two dimensions"}.get(name, "one dimension")
        raise ValueError(f"{name} must have {needed}, got {value.ndim}")
    # not optimised each by itself: tasks that give both X and y are the same then, and computed once
    delayed = in_one_order(with_all_columns(value)).to_delayed(optimize_graph=False)
    return list(delayed.ravel() if hasattr(delayed, "ravel") else delayed)


def with_all_columns(value: Any) -> Any:
    """A collection whose partitions have all of its columns."""
    return value.rechunk({1: -1}) if getattr(value, "numblocks", (1, 1))[1:] not in ((), (1,)) else value


def in_one_order(value: Any) -> Any:
    """A collection; of a DataFrame the columns of all partitions are as it lists them, which Dask does not see to in sums."""
    if not hasattr(value, "columns") or value.ndim != 2:
        return value
    return value.map_partitions(_blocks.in_order, list(value.columns), meta=value._meta, enforce_metadata=False)


def aligned(given: dict[str, Any], kind: str) -> list[tuple[Any, ...]]:
    """The partitions of several collections side by side, as tasks; None for those of None."""
    lists = {name: partitions_of(name, value, kind) for name, value in given.items() if value is not None or name == "y"}
    counts = {name: len(each) for name, each in lists.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ValueError(f"{', '.join(counts)} must have partitions of the same rows, but there are {listed}")
    none = [None] * counts["X"]
    return list(zip(*(lists.get(name, none) for name in given), strict=True))


class Table:
    """Partitions of X, y and weights, which stay in memory where they are.

    Parameters
    ----------
    model : MLPClassifier or MLPRegressor
        Of `fastbp.estimators`, with the parameters of the fit.
    X, y, weights : collections of Dask

    Attributes
    ----------
    shape : (int, int)
        Of X.
    dtype : dtype
        Of X, as networks take it.
    blocks, facts : lists
        Of partitions that are not empty.
    """

    def __init__(self, model: Any, X: Any, y: Any, weights: Any) -> None:
        kind = type(model).__name__
        known, triples = shared(model), aligned({"X": X, "y": y, "sample_weight": weights}, kind)
        self.blocks = kept([task(_blocks.load, known, *triple) for triple in triples])
        try:
            facts = results([task(_blocks.facts_of, block) for block in self.blocks])
        except Exception as error:
            for k in [k for k, block in enumerate(self.blocks) if has_failed(block)]:
                error.add_note(f"This was while partition {k} was computed, before it came here.")
            raise
        self.places = _places(facts)
        self._check(facts)
        full = [k for k, each in enumerate(facts) if not each.is_empty]
        self.blocks, self.places = ([items[k] for k in full] for items in (self.blocks, self.places))
        self.facts = [facts[k] for k in full]
        first = self.facts[0]
        self.shape = sum(each.lengths["X"] for each in self.facts), len(first.columns)
        self.dtype = np.dtype(np.float32 if set(first.dtypes) == {"float32"} else np.float64)
        self.columns, self.n_targets = first.columns, first.n_targets
        self.is_frame = hasattr(X, "columns")

    def _check(self, facts: list[Any]) -> None:
        """Raise for the first partition that is at fault by itself, or is other than the first with rows."""
        first = None
        for place, each in zip(self.places, facts, strict=True):
            if each.error:
                raise ValueError(f"{place} {each.error}")
            if len(set(each.lengths.values())) > 1:
                listed = ", ".join(f"{count} of {name}" for name, count in each.lengths.items())
                raise ValueError(f"{place} has other rows of X than of the others: {listed}. Give all of them the chunks of X")
            if each.is_empty:
                continue
            first = first or (place, each)
            for what in ("columns", "dtypes", "n_targets"):
                mine, others = getattr(each, what), getattr(first[1], what)
                if mine != others:
                    raise ValueError(f"{place} has {_difference(what, mine, others)} in {first[0]}")
        if first is None:
            raise ValueError(f"X has no rows: all of its {len(facts)} partitions are empty")

    def prepare(self, model: Any, net: Any, n_threads: int) -> tuple[list[Any], list[float], float]:
        """The parts, as tasks whose results stay where they are, their weights, and the unit of these."""
        known, given = shared(model), shared(net)
        made = kept([task(_blocks.prepared, block, known, given, n_threads) for block in self.blocks])
        told = results([task(_blocks.weight_of, each) for each in made])
        for place, (_, error) in zip(self.places, told, strict=True):
            if error:
                raise ValueError(f"{place} {error}")
        unit = max(unit for (weight, unit), _ in told if weight > 0) if any(weight > 0 for (weight, _), _ in told) else 0.0
        if unit == 0.0:
            factor = "" if getattr(model, "class_weight", None) is None else ", times class_weight,"
            raise ValueError(f"sample_weight{factor} must not be all zero")
        weights = [weight * (own / unit) for (weight, own), _ in told]
        used = [k for k, weight in enumerate(weights) if weight > 0]
        parts = kept([task(_blocks.part_of, made[k]) for k in used])
        return parts, [weights[k] for k in used], unit


def _places(facts: list[Any]) -> list[str]:
    """How an error calls each partition: its number, and its rows."""
    ends = np.cumsum([0, *(each.lengths.get("X", 0) for each in facts)]).tolist()
    return [
        f"partition {k}" + (f" (rows {first} to {last - 1})" if last > first else "")
        for k, (first, last) in enumerate(pairwise(ends))
    ]


def _difference(what: str, mine: Any, others: Any) -> str:
    if what == "n_targets":
        return f"{mine or 1} columns of y, but there are {others or 1}"
    if len(mine) != len(others):
        return f"{len(mine)} columns of X, but there are {len(others)}"
    k = next(k for k, (a, b) in enumerate(zip(mine, others, strict=True)) if a != b)
    if what == "columns":
        return f"column {mine[k]!r} of X where there is {others[k]!r}"
    return f"numbers of X of {mine[k]}, but they are {others[k]}"
