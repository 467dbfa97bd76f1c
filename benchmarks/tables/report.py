"""Results as Markdown."""

import numpy as np

from benchmarks.tables import scores
from benchmarks.tables.data_sets import BY_NAME, HALVES, load
from fastbp.bench.report import table

KINDS = {"classification": ("binary", "multiclass"), "regression": ("regression",)}
HEAD = "mean rank", "normalised score", "mean score", "CPU s to fit", "geometric mean", "CPU s to predict"


def tables(runs, names):
    """For each half and task: the contestants; then the scores on each data set, the seconds before the clock, and who failed."""
    names = [name for name in names if any(run["contestant"] == name for run in runs)]
    parts = []
    for half in HALVES:
        for kind in (*KINDS, "both"):
            tried, data_sets, values = summary(runs, names, half, kind)
            if len(data_sets):
                parts.append(f"**{half}, {kind}** (data sets: {len(data_sets)}, splits: {len(tried)})")
                parts.append(table(["contestant", *HEAD], list(rows(tried, names, values)), markdown=True))
    for half in HALVES:
        tried, data_sets, values = summary(runs, names, half, "both")
        if len(data_sets):
            parts.append(f"**{half}**: area under the curve (two classes), accuracy (several) or R^2")
            found = [score_row(*each) for each in zip(data_sets, values, strict=True)]
            parts.append(table(["data set", *names], found, markdown=True))
    return "\n\n".join([*parts, *remarks(runs, names)]) if parts else "No split has been done by all contestants."


def summary(runs, names, half, kind):
    """Splits that all have done, names of the data sets, and the mean scores: (data sets, contestants)."""
    tasks = KINDS.get(kind, sum(KINDS.values(), ()))
    chosen = [run for run in runs if BY_NAME[run["data_set"]].half == half and BY_NAME[run["data_set"]].task in tasks]
    tried = scores.complete(chosen, names)
    main = {name: scores.MAIN[each.task] for name, each in BY_NAME.items()}
    return tried, *scores.means(tried, names, main)


def rows(tried, names, values):
    """A row of each contestant."""
    of = np.mean(scores.ranks(values), axis=0), np.mean(scores.normalised(values), axis=0), np.nanmean(values, axis=0)
    for name, rank, normalised, mean in zip(names, *of, strict=True):
        fit = scores.seconds(tried, name, "fit_seconds")
        costs = ["-"] * 3
        if len(fit):
            each = fit.mean(), np.exp(np.log(fit).mean()), scores.seconds(tried, name, "predict_seconds").mean()
            costs = [f"{value:.3g}" for value in each]
        yield [name, f"{rank:.2f}", f"{normalised:.3f}", f"{mean:.4f}", *costs]


def score_row(name, values):
    """The best in bold."""
    best = np.nanmax(values)
    return [name, *("failed" if np.isnan(v) else f"**{v:.4f}**" if v == best else f"{v:.4f}" for v in values)]


def remarks(runs, names):
    """What was before the clock, and errors."""
    first = {
        name: max((run["first_seconds"] for run in runs if run["contestant"] == name and "first_seconds" in run), default=0)
        for name in names
    }
    yield "CPU seconds of a first fit and prediction in a process, not in those above, at most: " + (
        ", ".join(f"{name} {value:.1f}" for name, value in first.items()) + "."
    )
    for run in runs:
        if "error" in run and run["contestant"] in names:
            yield f"{run['contestant']} failed on {run['data_set']}, split {run['split']}: {run['error']}"


def declarations(names):
    """The data sets: where from, how big, what is left out."""
    found = []
    for each in map(BY_NAME.get, names):
        X, y = load(each.name)
        words = [column for column in X if X[column].dtype.kind not in "iufb"]
        found.append(
            [
                each.name,
                f"{each.source} {each.item}",
                each.half,
                each.task if each.task != "multiclass" else f"{y.max() + 1} classes",
                str(len(X)),
                str(X.shape[1]),
                str(len(words)),
                str(max((X[column].nunique() for column in words), default=0)),
                f"{100 * X.isna().to_numpy().mean():.1f} %",
            ]
        )
    head = ["data set", "from", "half", "task", "rows", "columns", "of strings", "most different", "missing"]
    return table(head, found, markdown=True)
