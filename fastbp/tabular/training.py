"""Networks of a recipe, each trained on its own part of the rows, and stopped at its best epoch by the rest."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastbp.engine import threads
from fastbp.engine.encoder import Encoder
from fastbp.engine.history import History
from fastbp.engine.supervisor import DivergenceError
from fastbp.optimizers import AdamW
from fastbp.tabular.recipe import Recipe
from fastbp.tabular_network import TabularNetwork

Array = NDArray[Any]

FEW_ROWS, FEW_BATCH, MANY_BATCH = 4000, 64, 128  # twice as large mini-batches take half of the time where rows are many


@dataclass(frozen=True)
class Task:
    """What networks are to learn: rows and targets, and the loss.

    `targets` are trained on, `judged` are what held-out rows are judged by; they differ where labels are smoothed.
    """

    encoder: Encoder
    rows: Array
    targets: Array
    judged: Array
    weights: Array | None
    loss: str
    n_outputs: int


@dataclass(frozen=True)
class Trained:
    """A network, with the parameters of its best epoch, and how it came to them."""

    net: TabularNetwork
    history: History
    best_epoch: int
    is_whole: bool  # not interrupted


class Best:
    """A callback: the parameters of the epoch with the lowest loss of the held-out rows; the end, `patience` epochs after it."""

    def __init__(self, patience: int | None, told: Callable[[], None] | None) -> None:
        self.patience, self.told = patience, told
        self.loss, self.epoch, self.params = np.inf, -1, None

    def __call__(self, epoch: int, net: Any, history: History) -> bool:
        """Follow an epoch; whether to stop."""
        if self.told is not None:
            self.told()
        if history.validation_loss[-1] <= self.loss:
            self.loss, self.epoch, self.params = history.validation_loss[-1], epoch, net.params.copy()
        return self.patience is not None and epoch - self.epoch >= self.patience


def batch_size_of(recipe: Recipe, count: int) -> int:
    """Rows of a mini-batch, of so many rows."""
    if recipe.batch_size is not None:
        return recipe.batch_size
    return FEW_BATCH if count <= FEW_ROWS else MANY_BATCH


def train(recipe: Recipe, task: Task, held: Array | None, seed: Any, n_threads: int | None, halt: Event, told: Any) -> Trained:
    """One network; `held` are the rows that it is judged by, if any.

    Interrupted, it is what it was at its best epoch so far, if one is complete; and so it is, with a warning, where it diverges.
    """
    rng = np.random.default_rng(seed)
    net = TabularNetwork(
        task.encoder,
        recipe.hidden_layer_sizes,
        task.n_outputs,
        recipe.activation,
        task.loss,
        rates=recipe.rates,
        decay_schedule=recipe.decay_schedule,
        dropout_schedule=recipe.dropout_schedule,
        rng=rng,
    )
    kept = np.ones(len(task.rows), bool)
    if held is not None:
        kept[held] = False
    rows = task.rows[kept]
    if recipe.data_dependent_init:
        net.begin_at(rows)
    best = Best(recipe.patience, told)
    trainer = net.trainer(
        batch_size=min(batch_size_of(recipe, len(rows)), len(rows)),
        optimizer=AdamW(recipe.learning_rate, beta_2=recipe.beta_2, weight_decay=recipe.weight_decay),
        schedule=recipe.schedule,
        dropout=recipe.dropout,
        callbacks=[] if held is None else [best],
        n_threads=n_threads,
    )
    trainer.halt = halt
    weights = None if task.weights is None else task.weights[kept]
    judged = None
    if held is not None:
        judged = task.rows[held], task.judged[held], *(() if task.weights is None else (task.weights[held],))
    is_whole = True
    try:
        history = trainer.run(rows, task.targets[kept], recipe.epochs, sample_weight=weights, validation_data=judged)
    except (KeyboardInterrupt, DivergenceError) as error:
        history, is_whole = getattr(error, "history", History()), not isinstance(error, KeyboardInterrupt)
        if not history.loss or (is_whole and best.params is None):
            raise
        if is_whole:
            warnings.warn(f"a network is that of its epoch {best.epoch + 1}: {error}", ConvergenceWarning, stacklevel=2)
    if best.params is not None:
        net.params = best.params
    return Trained(net, history, best.epoch if held is not None else len(history.loss) - 1, is_whole)


def train_all(
    recipe: Recipe, task: Task, parts: list[Array | None], seeds: list[Any], n_threads: int | None, told: Any
) -> list[Trained]:
    """What `train` gives for each part that is held out, by threads that each train another network.

    Interrupted, those that have begun; it is an interrupt if there are none.
    """
    members = min(len(parts), n_threads or threads.usable_threads())
    done: list[Trained | None] = [None] * len(parts)
    halt = Event()

    def train_one(number: int) -> None:
        if not halt.is_set():
            done[number] = found = train(recipe, task, parts[number], seeds[number], n_threads if members == 1 else 1, halt, told)
            if not found.is_whole:
                halt.set()

    try:
        threads.divide(train_one, range(len(parts)), members, halt)
    except KeyboardInterrupt:
        if not any(done):
            raise
    return [each for each in done if each is not None]
