"""``fastbp train`` with a preset: a table as it comes, an estimator for tables, what it is worth, and a page about it."""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import storage
from fastbp.commands import metrics, split
from fastbp.commands.cache import has_kernels_for_tables
from fastbp.commands.interrupts import interrupts
from fastbp.commands.saved import TableModel, predictions_of, with_target
from fastbp.commands.table import print_columns, print_table
from fastbp.files import datasets, reading, table_model
from fastbp.files.raw_table import DROPPED, NAMES_ROWS, RawTable

Array = NDArray[Any]

MOST_PRINTED = 40  # columns
LEAST_ROWS = 5
LIBRARIES = ("fastbp", "numpy", "numba", "pandas", "scikit-learn", "skrub")
INTERRUPTED = "interrupted before there was a network; nothing is saved"
SAVED = "interrupted before it was tested; the model is {}"
PARTLY = "interrupted after {} epochs of {} networks; saved what there is as {}"
COMPILING = "compiling the kernels for tables, once on this machine ..."


@dataclass(frozen=True)
class Row:
    """What is told of a column, and why it is left out, if it is."""

    name: str
    kind: str
    missing: int
    distinct: int
    why: str = ""

    def cells(self) -> tuple[Any, ...]:
        """As tables have it."""
        return self.name, self.kind, self.missing, self.distinct, f"left out: {self.why}" if self.why else ""


@dataclass(frozen=True)
class Trained:
    """A training that has ended: the model, what it is to be tested on and by, and what is told of it."""

    model: TableModel
    command: str
    columns: list[Row]
    test: Any
    y_test: Array
    wanted: list[str]
    facts: list[tuple[str, Any]]


@dataclass(frozen=True)
class Training(Trained):
    """A training with its tests."""

    predictions: metrics.Predictions
    scores: list[metrics.Score]


def train(arguments: argparse.Namespace) -> int:
    """Train an estimator for tables, test it, save it, and report on it; the exit status."""
    try:
        table_model.check_installed()
    except ImportError as error:
        raise ImportError(f"{error}; or train a plain network, by --hidden 64") from error
    model = arguments.out or Path(f"{reading.stem(arguments.data)}.fastbp")
    for option, path in (("--out", model), ("--report", arguments.report)):
        if path is not None:
            split.check_writable(option, path)
    split.check_apart({"--out": model, "--report": arguments.report}, [arguments.data, arguments.test])
    told = INTERRUPTED
    with interrupts():
        try:
            trained = _trained(arguments)
            table_model.write(model, trained.model.estimator, trained.model.about)
            told = SAVED.format(model)
            done = _tested(trained)
        except KeyboardInterrupt:
            print(told, file=sys.stderr)
            return 130
    print_columns(("column", "kind", "missing", "distinct", ""), _rows_to_print(done.columns))
    print()
    facts = [*done.facts, ("model", model)]
    if arguments.report is not None:
        from fastbp.commands.report import page

        storage.replace(arguments.report, page(done, arguments.seed).encode())
        facts.append(("report", arguments.report))
    print_table([*((score.label, metrics.shown(score.value)) for score in done.scores), *facts])
    if done.model.estimator.is_interrupted_:
        histories = done.model.estimator.histories_
        print(PARTLY.format(sum(len(each.loss) for each in histories), len(histories), model), file=sys.stderr)
        return 130
    return 0


def _trained(arguments: argparse.Namespace) -> Trained:
    source, target = arguments.data, arguments.target
    if reading.ending(source) not in reading.SUFFIXES and source not in (*datasets.NAMES, reading.STANDARD_INPUT):
        raise ValueError(f"{source} is neither a dataset ({', '.join(datasets.NAMES)}) nor a {', '.join(reading.SUFFIXES)} file")
    if source in datasets.NAMES:
        table, target, task = _of_named(source, target, arguments.task)
    else:
        table, target, task = RawTable(source), ("y" if target is None else target.strip()), arguments.task
    whole, table = table, with_target(table, target, "train")
    if len(table) < LEAST_ROWS and arguments.test is None:
        rows_told = f"{len(table)} row{'s' * (len(table) > 1)}"
        raise ValueError(f"{table.path} has {rows_told} with a target: too few to train on some and test on others")
    y, task, names = datasets.target_of(table, target, task)
    wanted = metrics.names_for(task, arguments.metric)
    classes = names if task == "classification" else []
    metrics.check_computable(wanted, y, classes)
    rows = _rows(whole, target, arguments.drop, arguments.use)
    learnt = [row for row in rows if not row.why]
    if not learnt:
        raise ValueError(
            f"{table.path} has no columns to learn from: each is left out; what only seems to name rows is kept by --use A,B"
        )
    if arguments.test is None:
        kept, held = split.held_out(y, classes, arguments.seed)
        train_table, y_train = table.rows(kept), y[kept]
        test_table, y_test, of = table.rows(held), y[held], "held-out rows"
    else:
        train_table, y_train = table, y
        test_table = with_target(RawTable(arguments.test), target, "train")
        y_test, of = datasets.known_target(test_table, target, task, classes), f"rows of {test_table.path}"
    features = [train_table.feature(row.name, row.kind) for row in learnt]
    frame, test = train_table.frame(features), test_table.frame(features)

    started = perf_counter()
    estimator = _fitted(arguments, task, frame, y_train)
    seconds = perf_counter() - started
    kinds = estimator.columns_.kinds
    features = [each if kinds[each.name] == "category" else replace(each, categories=()) for each in features]
    rows = [replace(row, kind=kinds[row.name]) if row.name in kinds else row for row in rows]
    about = {
        "task": task,
        "target": target,
        "classes": classes,
        "features": [each.as_dict() for each in features],
        "left_out": {row.name: row.why for row in rows if row.why},
        "made_by": _command(arguments),
        "versions": versions(),
    }
    count = len(estimator.networks_)
    facts = [
        ("tested on", f"{len(y_test)} {of}"),
        ("training", f"{len(y_train)} rows, {count} network{'s' * (count > 1)}, {seconds:.1f} s"),
    ]
    return Trained(TableModel(estimator, about), about["made_by"], rows, test, y_test, wanted, facts)


def _tested(trained: Trained) -> Training:
    """What it is worth on the rows to test on."""
    predictions = predictions_of(trained.model.estimator, trained.test)
    scores = metrics.scores(trained.wanted, trained.y_test, predictions)
    return Training(**vars(trained), predictions=predictions, scores=scores)


def _of_named(name: str, target: str | None, task: str | None) -> tuple[RawTable, str, str]:
    """A data set that comes with scikit-learn, as a table."""
    data = datasets.open_source(name, target, task)
    target = "class" if data.task == "classification" else data.target_names[0]
    values = np.array(data.target_names, object)[data.y] if data.task == "classification" else data.y
    columns = dict(zip(data.feature_names, data.X.T, strict=True))
    return RawTable.of(name, {**columns, target: values}), target, data.task


def _rows(table: RawTable, target: str, drop: list[str], use: list[str]) -> list[Row]:
    """What is told of each column; of those that are left out, why."""
    for option, names in (("--drop", drop), ("--use", use)):
        for name in names:
            if name not in table:
                raise ValueError(f"{option}: {table.path} has no column {name!r}; it has {table}")
            if name == target:
                raise ValueError(f"{option}: {name!r} is the target")
    for name in use:
        if name in drop:
            raise ValueError(f"--use: {name!r} is among what --drop leaves out")
    rows = []
    for name in table.columns:
        kind = table.kind(name)
        if name == target:
            continue
        why = DROPPED if name in drop else table.why_useless(name)
        if name in use:
            if why not in ("", NAMES_ROWS):
                raise ValueError(f"--use: nothing can be learnt from {name!r}: it is {why}")
            why = ""
        missing, cells = table.without(name, kind), table.columns[name].values
        distinct = 0 if table.columns[name].problem else len(set(cells[~missing].tolist()))
        rows.append(Row(name, kind, int(missing.sum()), distinct, why))
    return rows


def _fitted(arguments: argparse.Namespace, task: str, frame: Any, y: Array) -> Any:
    from fastbp.tabular import TabularClassifier, TabularRegressor

    cls = TabularClassifier if task == "classification" else TabularRegressor
    if not has_kernels_for_tables():
        print(COMPILING, file=sys.stderr)
    settings = {"epochs": arguments.epochs, "random_state": arguments.seed, "verbose": True}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Training interrupted")  # which is told at the end
        return cls(arguments.preset or "default", **settings).fit(frame, y)


def _rows_to_print(rows: list[Row]) -> list[tuple[Any, ...]]:
    """All of a few columns; of many, those that are left out first."""
    ordered = rows if len(rows) <= MOST_PRINTED else sorted(rows, key=lambda row: not row.why)
    told: list[tuple[Any, ...]] = [row.cells() for row in ordered[:MOST_PRINTED]]
    rest = len(rows) - len(told)
    return [*told, (f"and {rest} more", "", "", "", "")] if rest else told


def _command(arguments: argparse.Namespace) -> str:
    """The command that made a model."""
    return shlex.join(["fastbp", *arguments.argv])


def versions() -> dict[str, str]:
    """Of what a model is made by."""
    from fastbp.bench.machine import installed_version

    found = {name: installed_version(name) for name in LIBRARIES}
    return {name: version for name, version in found.items() if version is not None}
