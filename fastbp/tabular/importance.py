"""What predictions of an estimator for tables lose when a column is shuffled (Breiman, 2001)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def losses(
    estimator: Any, X: Any, score: Callable[[NDArray[Any]], float], repeats: int, rng: np.random.Generator
) -> tuple[list[str], NDArray[np.float64]]:
    """Columns that are read, and how much lower a score is (n_columns, repeats) when each of them is shuffled.

    The table is read once, because rows are read one by one: what is made of a column is shuffled in its place.

    Parameters
    ----------
    estimator : TabularClassifier or TabularRegressor
    X : DataFrame
    score : callable
        Of probabilities, or predictions.
    repeats : int
    rng : numpy.random.Generator
    """
    rows = estimator.columns_.transform(X)
    sources = np.array(estimator.columns_.sources, object)
    names = list(dict.fromkeys(sources.tolist()))
    whole, found = score(estimator.predicted(rows)), np.zeros((len(names), repeats))
    for number, name in enumerate(names):
        places = np.flatnonzero(sources == name)
        before = rows[:, places].copy()
        for k in range(repeats):
            rows[:, places] = before[rng.permutation(len(rows))]
            found[number, k] = whole - score(estimator.predicted(rows))
        rows[:, places] = before
    return names, found
