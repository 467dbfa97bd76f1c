"""What classifier and regressor have in common: tables, held-out parts, and networks whose mean is taken."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.arguments import integer
from fastbp.engine import validation
from fastbp.engine.watch import bar_of, wants_bar
from fastbp.tabular.columns import Columns, skrub
from fastbp.tabular.plain import as_array, is_table, plain_table
from fastbp.tabular.recipe import Recipe, get
from fastbp.tabular.training import train_all

SEEDS = 2**31 - 1
LEAST_ROWS = 20  # of which some are held out; with fewer, the last epoch is the one


class TabularModel(BaseEstimator):
    """A mean of networks for tables."""

    presets: dict[str, Recipe]

    def __init__(
        self,
        preset: Any = "default",
        *,
        n_networks: Any = None,
        epochs: Any = None,
        random_state: Any = None,
        n_threads: Any = None,
        verbose: Any = False,
    ) -> None:
        self.preset = preset
        self.n_networks = n_networks
        self.epochs = epochs
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def _recipe(self) -> Recipe:
        recipe = get(self.preset, self.presets)
        for name in ("n_networks", "epochs"):
            value = getattr(self, name)
            if value is not None:
                changed: dict[str, Any] = {name: integer(name, value)}
                recipe = replace(recipe, **changed)
        if self.n_threads is not None:
            integer("n_threads", self.n_threads)
        wants_bar(self.verbose, "verbose")
        return recipe

    def _table(self, X: Any, *, reset: bool) -> Any:
        """X as a table of plain columns with names, after scikit-learn's checks."""
        skrub()
        if is_table(X):
            validate_data(self, X, skip_check_array=True, reset=reset)
            if len(X) == 0:
                raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required: X has no rows")
            return plain_table(X)
        validation.refuse_stream("X", X)
        validation.refuse_masked("X", X)
        return plain_table(validate_data(self, as_array(X), dtype=None, ensure_all_finite=False, reset=reset))

    def _train(self, X: Any, y: np.ndarray, sample_weight: Any, targets: Any) -> None:
        """Fit columns and networks; `targets` makes a `Task` of the rows and y, and says which classes rows are of, if any.

        Rows without weight are left out at once: nothing is learnt from them, nor judged by them.
        """
        recipe = self._recipe()
        weights = validation.weights_of_samples(sample_weight, len(X))
        if not weights.all():
            kept = weights > 0
            X, y, weights = X[kept].reset_index(drop=True), y[kept], weights[kept]
        if len(X) < 2:
            raise ValueError("X has n_samples=1 with a weight: at least 2 rows are needed, to tell one from another")
        rng = check_random_state(self.random_state)
        seeds = rng.randint(SEEDS, size=recipe.n_networks + 2)
        columns = Columns(recipe.periodic_embeddings, recipe.parametric_activation, int(seeds[-1]))
        rows = columns.fit_transform(X)
        if rows.shape[1] == 0:
            raise ValueError("X has no column to learn from: each is constant, or without values")
        task, classes = targets(columns.encoder, rows, y, weights if weights.size else None, recipe)
        parts = held_out_parts(recipe, len(rows), classes, int(seeds[-2]))
        with _progress(self.verbose, recipe.epochs * len(parts)) as told:
            found = train_all(recipe, task, parts, [int(seed) for seed in seeds[: len(parts)]], self.n_threads, told)
        self.columns_ = columns
        self.networks_ = [each.net for each in found]
        self.histories_ = [each.history for each in found]
        self.best_epochs_ = [each.best_epoch for each in found]
        self.is_interrupted_ = len(found) < len(parts) or not all(each.is_whole for each in found)
        if self.is_interrupted_:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        self.n_iter_ = max(len(history.loss) for history in self.histories_)

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        rows: np.ndarray = self.columns_.transform(self._table(X, reset=False))
        return rows

    def _outputs(self, rows: np.ndarray) -> np.ndarray:
        """Outputs (n_networks, n_samples, n_outputs) of every network for rows that the columns made."""
        return np.stack([net(rows, self.n_threads) for net in self.networks_])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "networks_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.non_deterministic = self.random_state is None
        return tags


def held_out_parts(recipe: Recipe, count: int, classes: Any, seed: int) -> list[Any]:
    """The rows that each network is judged by: of each another fold, as long as there are folds that are not taken."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if count < LEAST_ROWS:
        return [None] * recipe.n_networks
    folds = min(max(recipe.folds, min(recipe.n_networks, count // 2)), count)
    if classes is not None and np.bincount(classes).min() >= folds:
        split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(classes, classes)
    else:
        split = KFold(folds, shuffle=True, random_state=seed).split(np.zeros(count))
    parts = [held for _, held in split]
    return [parts[number % folds] for number in range(recipe.n_networks)]


@contextmanager
def _progress(wanted: bool, epochs: int) -> Iterator[Any]:
    """What is called after every epoch, by any thread: a bar with the time that is left."""
    if not wanted:
        yield None
        return
    lock = Lock()
    with bar_of(epochs, 0) as bar:

        def told() -> None:
            with lock:
                bar.update()

        yield told
