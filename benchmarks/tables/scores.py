"""The scores of a prediction, and what many of them say of the contestants."""

from collections import defaultdict

import numpy as np

MAIN = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}  # by which contestants are compared


def scores(task, y, predicted):
    """Scores by name, of probabilities of the classes or of predicted numbers; the higher the better, none below 0."""
    from sklearn.metrics import r2_score, roc_auc_score

    if not np.isfinite(predicted).all():
        raise ValueError("predictions that are not finite")
    if task == "regression":
        return {"r2": max(0.0, float(r2_score(y, predicted)))}
    accuracy = float(np.mean(predicted.argmax(axis=1) == y))
    predicted = predicted.astype(np.float64)
    likely = predicted[:, 1] if task == "binary" else predicted / predicted.sum(axis=1, keepdims=True)  # 1 to the last digit
    return {"auc": float(roc_auc_score(y, likely, multi_class="ovr", average="macro")), "accuracy": accuracy}


def complete(runs, names):
    """Of the last runs of each (contestant, data set, split) those of splits that all of `names` have tried."""
    found = defaultdict(dict)
    for run in runs:
        if run["contestant"] in names:
            found[run["data_set"], run["split"]][run["contestant"]] = run
    return {key: tried for key, tried in found.items() if len(tried) == len(names)}


def means(tried, names, main):
    """(data sets, contestants): the main score, the mean over the splits; NaN of who failed in one."""
    data_sets = sorted({name for name, _ in tried})
    table = [
        [
            np.mean([run[name].get("scores", {}).get(main[each], np.nan) for (at, _), run in tried.items() if at == each])
            for name in names
        ]
        for each in data_sets
    ]
    return data_sets, np.array(table).reshape(len(data_sets), len(names))


def normalised(table):
    """Each row from 0, for the worst and for who failed, to 1, for the best; equal scores are all best."""
    low, high = np.nanmin(table, axis=1, keepdims=True), np.nanmax(table, axis=1, keepdims=True)
    return np.nan_to_num(np.where(high > low, (table - low) / np.where(high > low, high - low, 1.0), 1.0 + 0 * table))


def ranks(table):
    """Of each row, 1 for the best; equal ones have the mean of their ranks, who failed the last."""
    from scipy.stats import rankdata

    return rankdata(-np.nan_to_num(table, nan=-np.inf), axis=1)


def seconds(tried, name, key):
    """CPU seconds of the runs of a contestant that ended."""
    return np.array([run[name][key] for run in tried.values() if key in run[name]])
