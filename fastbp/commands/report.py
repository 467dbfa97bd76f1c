"""A page about a training: one file that needs nothing else, for wide and narrow, light and dark screens."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp import display
from fastbp.commands import metrics, pictures
from fastbp.commands.metrics import Predictions
from fastbp.plotting._classes import draw_calibration, draw_confusion

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastbp.commands.train_table import Training

Array = NDArray[Any]

MOST_IMPORTANCE_ROWS, REPEATS, MOST_SHUFFLES = 1000, 5, 500
CSS = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; background: #fff; color: #1c1f23; }
h1 { font-size: 1.6rem; margin: .5rem 0; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 1.5rem 0 .5rem; }
p { margin: .4rem 0; max-width: 60ch; } .note { opacity: .75; font-size: .875rem; }
pre { background: var(--soft); border-radius: .4rem; padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { overflow-wrap: anywhere; min-width: 5rem; } 
td + td { overflow-wrap: normal; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 0 2rem; align-items: start; }
section { min-width: 0; } svg { display: block; width: 100%; height: auto; max-width: 34rem; }
@media (prefers-color-scheme: dark) { body { background: #15181c; color: #e6e8eb; } }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<h1>{title}</h1>
<p>{facts}</p>
<div class="grid">
{sections}
</div>
</body>
</html>
"""


def page(training: Training, seed: int) -> str:
    """The page as HTML, with all of its pictures."""
    model, estimator = training.model, training.model.estimator
    y, predictions = training.y_test, training.predictions
    names = [score.name for score in training.scores]
    resamples = metrics.resamples_for(len(y))
    scores = metrics.scores(names, y, predictions, resamples, seed)
    rows = [(each.label, metrics.shown(each.value), metrics.interval(each)) for each in scores]
    interval = f"{100 * metrics.LEVEL:.0f} % interval"
    parts = [
        _section(
            "Metrics",
            _table(("metric", "value", interval), rows, numbers=(1,)),
            f"On {len(y)} rows that were not trained on; intervals by {resamples} resamples of them.",
        ),
        _section(
            "Learning curves",
            pictures.drawn("learning-curves", pictures.learning_curves(estimator.histories_, estimator.best_epochs_)),
            "Of each network, on the rows it was trained on and on those held out from it; the point is the epoch that is kept.",
        ),
        *(_of_classes(y, predictions, model.classes) if model.classes else _of_numbers(y, predictions.values, model.target)),
        _importance(training, seed),
    ]
    columns = [
        (row.name, f"{row.kind}, left out: {row.why}" if row.why else row.kind, row.missing, row.distinct)
        for row in training.columns
    ]
    versions = ", ".join(f"{name} {version}" for name, version in model.about["versions"].items())
    parts += [
        _section("Columns", _table(("column", "kind", "missing", "distinct"), columns, numbers=(2, 3))),
        _section("Made by", f"<pre>{escape(training.command)}</pre>", versions),
    ]
    facts = ", ".join(f"{name} {value}" for name, value in training.facts)
    title = f"{model.target}: a model of {'classes' if model.classes else 'numbers'}"
    return PAGE.format(title=escape(title), css=CSS, facts=escape(facts), sections="\n".join(parts))


def _section(title: str, content: str, note: str = "") -> str:
    told = f'\n<p class="note">{escape(note)}</p>' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}{told}\n</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[int] = ()) -> str:
    return f'<div class="wide">{display.table(head, rows, numbers)}</div>'


def _of_classes(y: Array, predictions: metrics.Predictions, classes: list[str]) -> list[str]:
    """Confusion matrix, ROC and calibration."""
    from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

    parts = []
    counts = confusion_matrix(y, predictions.values, labels=np.arange(len(classes)))
    names = [pictures.short(name) for name in classes]
    if len(classes) <= pictures.MOST_CLASSES:
        size = (4.8, 1.6 + 0.33 * len(classes))
        parts.append(
            _section(
                "Confusion matrix", pictures.drawn("confusion-matrix", partial(draw_confusion, counts=counts, names=names), size)
            )
        )
    else:
        wrong = counts - np.diag(np.diag(counts))
        order = np.argsort(wrong, axis=None)[::-1][: pictures.MOST_CLASSES]
        pairs = [(classes[i], classes[j], wrong[i, j]) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)]
        table = _table(("true", "predicted", "rows"), [pair for pair in pairs if pair[2]], numbers=(2,))
        parts.append(_section("Most frequent confusions", table))
    common = np.argsort(np.bincount(y, minlength=len(classes)), kind="stable")[::-1][: pictures.MOST_CLASSES // 2]
    curves, calibrations = [], []
    for k in [1] if len(classes) == 2 else common.tolist():
        of, probability = y == k, predictions.probabilities[:, k]  # type: ignore[index]
        if of.all() or not of.any():
            continue
        false, true, _ = roc_curve(of, probability)
        curves.append((f"{names[k]} ({roc_auc_score(of, probability):.3f})", false, true))
        calibrations.append((names[k], of, probability))
    if curves:
        parts.append(_section("ROC", pictures.drawn("roc", pictures.roc(curves)), "In brackets the area under the curve."))
        note = "How often a class is true, of rows with about the same probability of it; right on the dotted line."
        parts.append(
            _section(
                "Calibration",
                pictures.drawn("calibration", partial(draw_calibration, curves=calibrations, n_bins=pictures.BINS)),
                note,
            )
        )
    return parts


def _of_numbers(y: Array, predicted: Array, name: str) -> list[str]:
    """Predictions against true numbers, and the means of both."""
    groups = np.array_split(np.argsort(predicted, kind="stable"), min(pictures.BINS, len(y)))
    said, true = (np.array([values[group].mean() for group in groups]) for values in (predicted, y))
    note = "Means of rows with about the same prediction; right on the dotted line."
    return [
        _section("Predicted against true", pictures.drawn("predicted-against-true", pictures.against(y, predicted, name))),
        _section("Calibration", pictures.drawn("calibration", pictures.means(said, true, name)), note),
    ]


def _importance(training: Training, seed: int) -> str:
    """What the first metric loses when a column of the raw table is shuffled."""
    from fastbp.tabular.importance import losses

    score, estimator = training.scores[0], training.model.estimator
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(training.y_test))[:MOST_IMPORTANCE_ROWS]
    frame, y, count = training.test.iloc[rows].reset_index(drop=True), training.y_test[rows], len(rows)
    repeats = max(1, min(REPEATS, MOST_SHUFFLES // frame.shape[1]))
    sign = -1.0 if score.name.startswith(metrics.NEGATED) else 1.0

    def score_of(predicted: Array) -> float:
        given = Predictions(predicted.argmax(axis=1), predicted) if training.model.classes else Predictions(predicted)
        return sign * metrics.scores([score.name], y, given)[0].value

    names, found = losses(estimator, frame, score_of, repeats, rng)
    if np.isnan(found).any():
        return _section("Importance of columns", f"<p>Not computed: {escape(score.label)} is not defined on {count} rows</p>")
    order = np.argsort(found.mean(axis=1))[::-1][: pictures.MOST_BARS]
    names, values, deviations = [names[i] for i in order], found.mean(axis=1)[order], found.std(axis=1)[order]
    size = (4.8, 1.0 + 0.24 * len(names))
    picture = pictures.drawn("importance", pictures.importances(names, values, deviations, score.label), size)
    shown = "" if len(order) == frame.shape[1] else f" The {len(order)} largest of {frame.shape[1]}."
    note = f"What {score.label} loses on {count} rows when a column is shuffled, mean and deviation of {repeats} times.{shown}"
    return _section("Importance of columns", picture, note)
