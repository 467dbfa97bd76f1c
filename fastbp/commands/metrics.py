"""What predictions are worth: scikit-learn's scorers, and their intervals over resampled rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LABELS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "neg_log_loss": "log loss",
    "roc_auc_ovr": "ROC AUC",
    "f1_macro": "F1, mean of classes",
    "r2": "R^2",
    "neg_root_mean_squared_error": "RMSE",
    "neg_mean_absolute_error": "mean absolute error",
    "neg_median_absolute_error": "median absolute error",
}
DEFAULTS = {
    "classification": ("accuracy", "balanced_accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro"),
    "regression": ("r2", "neg_root_mean_squared_error", "neg_mean_absolute_error", "neg_median_absolute_error"),
}
NEGATED = "neg_"
FEWEST_RESAMPLES, MOST_RESAMPLES = 100, 250
RESAMPLED_ROWS = 2_000_000  # in all, about so many
LEVEL = 0.95


class Predictions(NamedTuple):
    """Of some rows: class numbers, and probabilities (n_samples, n_classes), or numbers and None."""

    values: Array
    probabilities: Array | None = None


class Score(NamedTuple):
    """One metric, and its interval; not a number where it is not defined."""

    name: str
    value: float
    low: float = np.nan
    high: float = np.nan

    @property
    def label(self) -> str:
        """What a reader calls it."""
        return LABELS.get(self.name, self.name.removeprefix(NEGATED))


def names_for(task: str, wanted: Sequence[str] | None) -> list[str]:
    """The metrics that are asked for, or those of the task.

    Raises
    ------
    ValueError
        If scikit-learn has no scorer of such a name, or it is for another task.
    """
    from sklearn.metrics import get_scorer, get_scorer_names

    if not wanted:
        return list(DEFAULTS[task])
    known = get_scorer_names()
    for name in wanted:
        if name not in known:
            raise ValueError(f"--metric: scikit-learn has no {name!r}; for {task} there are {', '.join(DEFAULTS[task])} and others")
        other = "regression" if task == "classification" else "classification"
        is_of_numbers = get_scorer(name)._score_func.__module__.endswith("_regression")
        if is_of_numbers != (task == "regression"):
            raise ValueError(f"--metric: {name} is for {other}; for {task} there are {', '.join(DEFAULTS[task])} and others")
    return list(wanted)


def check_computable(names: Sequence[str], y: Array, classes: Sequence[str]) -> None:
    """Whether metrics can be computed of predictions that are right, so that it is not found out after a training.

    Raises
    ------
    ValueError
        If one cannot, as one of two classes where there are more.
    """
    right = Predictions(y)
    if classes:
        right = Predictions(y, 0.9 * np.eye(len(classes))[y] + 0.1 / len(classes))
    scores(names, y, right)


def scores(names: Sequence[str], y: Array, predictions: Predictions, resamples: int = 0, seed: int = 0) -> list[Score]:
    """Metrics of predictions, with percentile intervals if there are resamples of the rows.

    Raises
    ------
    ValueError
        If a metric cannot be computed of such predictions.
    """
    from sklearn.metrics import get_scorer, log_loss, make_scorer

    from fastbp.commands.given import GivenClassifier, GivenRegressor

    count = None if predictions.probabilities is None else predictions.probabilities.shape[1]
    given = (GivenRegressor if count is None else GivenClassifier)(predictions)
    scorers = {name: get_scorer(name) for name in names}
    if count is not None:  # which of them are in the rows is chance
        whole = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False, labels=np.arange(count))
        scorers = {name: whole if name == "neg_log_loss" else scorer for name, scorer in scorers.items()}
    rng, found = np.random.default_rng(seed), []
    drawn = [rng.integers(len(y), size=len(y)) for _ in range(resamples)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not defined, where a class or all but one are not in the rows
        for name, scorer in scorers.items():
            sign = -1.0 if name.startswith(NEGATED) else 1.0

            def score(rows: Array, scorer: Any = scorer, sign: float = sign) -> float:
                return sign * float(scorer(given, rows, y[rows]))

            try:
                value = score(np.arange(len(y)))
            except (ValueError, TypeError, AttributeError) as error:
                if name in LABELS:
                    found.append(Score(name, np.nan))
                    continue
                raise ValueError(f"--metric: {name} cannot be computed of these predictions: {error}") from error
            again = np.array([_or_nan(score, rows) for rows in drawn])
            if np.isnan(value) or not (~np.isnan(again)).any():
                found.append(Score(name, value))
            else:
                tail = (1 - LEVEL) / 2
                found.append(Score(name, value, *map(float, np.nanquantile(again, [tail, 1 - tail]))))
    return found


def resamples_for(count: int) -> int:
    """Resamples of so many rows: fewer of many, whose intervals are narrow."""
    return min(MOST_RESAMPLES, max(FEWEST_RESAMPLES, RESAMPLED_ROWS // count))


def _or_nan(score: Any, rows: Array) -> float:
    try:
        return float(score(rows))
    except ValueError:
        return float("nan")


def shown(value: float) -> str:
    """A score as tables print it."""
    return "not defined" if np.isnan(value) else f"{value:.4g}" if abs(value) >= 10 else f"{value:.4f}"


def interval(score: Score) -> str:
    """The interval of a score as tables print it."""
    return "" if np.isnan(score.low) else f"{shown(score.low)} to {shown(score.high)}"
