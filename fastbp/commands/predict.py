"""``fastbp predict``: what a saved model says of every row of a file, as CSV."""

from __future__ import annotations

import argparse
import csv
import sys
from contextlib import nullcontext
from typing import Any

from fastbp.commands import split
from fastbp.commands.saved import PlainModel, TableModel, open_model
from fastbp.files.raw_table import RawTable

ID_COLUMNS = ()  # what ``--keep`` means without names


def predict(arguments: argparse.Namespace) -> None:
    """Write predictions, beside probabilities and columns of the file if they are asked for."""
    if arguments.out is not None:
        split.check_writable("--out", arguments.out)
        split.check_apart({"--out": arguments.out}, [arguments.model, arguments.file])
    elif sys.stdout is None:
        raise ValueError("standard output is closed: say where to write, by --out")
    model = open_model(arguments.model)
    if arguments.proba and not model.classes:
        raise ValueError(f"--proba: {arguments.model} predicts numbers, which have no probabilities")
    predictions, kept = _of(model, arguments)
    values = predictions.values.tolist()
    columns = {**kept, model.title: [model.classes[k] for k in values] if model.classes else values}
    if arguments.proba:
        for name, column in zip(model.classes, predictions.probabilities.T, strict=True):
            if f"P({name})" in columns:
                raise ValueError(f"--keep: 'P({name})' is what a probability is called")
            columns[f"P({name})"] = column.tolist()
    with open(arguments.out, "w", newline="", encoding="utf-8") if arguments.out else nullcontext(sys.stdout) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _of(model: PlainModel | TableModel, arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """Predictions, and columns to keep."""
    names = model.id_columns if arguments.keep == ID_COLUMNS else tuple(arguments.keep or ())
    if arguments.keep is not None and not names:
        raise ValueError("--keep: the model left out no columns that name rows: say which to keep, as --keep A,B")
    if model.title in names:
        raise ValueError(f"--keep: {model.title!r} is what is predicted")
    if isinstance(model, PlainModel):
        kept = RawTable(arguments.file) if names else None
        return model.predict(arguments.file, arguments.command), {name: kept.cells(name) for name in names} if kept else {}
    table = RawTable(arguments.file)
    kept_cells = {name: table.cells(name) for name in names}
    return model.of_table(table, arguments.command), kept_cells
