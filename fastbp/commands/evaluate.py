"""``fastbp evaluate``: metrics of a saved model on the rows of a file, with intervals."""

from __future__ import annotations

import argparse

from fastbp.commands import metrics
from fastbp.commands.saved import open_model
from fastbp.commands.table import print_columns
from fastbp.engine import validation


def evaluate(arguments: argparse.Namespace) -> None:
    """Print a table of metrics, each with its percentile interval over resampled rows."""
    validation.integer("--seed", arguments.seed, least=0)
    model = open_model(arguments.model)
    names = metrics.names_for(model.task, arguments.metric)
    y, predictions = model.judged(arguments.file, arguments.command)
    resamples = metrics.resamples_for(len(y))
    scores = metrics.scores(names, y, predictions, resamples, arguments.seed)
    head = "metric", "value", f"{100 * metrics.LEVEL:.0f} % interval"
    print_columns(head, [(score.label, metrics.shown(score.value), metrics.interval(score)) for score in scores])
    print(f"on {len(y)} rows of {arguments.file}; intervals by {resamples} resamples of them")
