"""`Histories`: what happened in a fit of many networks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.arguments import position
from fastbp.engine.history import History


@dataclass(repr=False)
class Histories:
    """What happened in a fit of many networks: ``histories[k]`` is the `History` of network k.

    Attributes
    ----------
    loss, validation_loss : ndarray (count, epochs)
        As in `History`; NaN after the last epoch of a network that has stopped. The latter is (count, 0) without validation data.
    learning_rate : ndarray (count, epochs)
        At the beginning of the epoch.
    stopped_by : list of str or None
        Of each network: as in `History`, or "divergence": it has the parameters after its last epoch whose loss was finite.

    Examples
    --------
    >>> import fastbp
    >>> nets = fastbp.Networks(4, [1, 3, 1], rng=0)
    >>> histories = nets.fit([[0.0], [1.0]], [1.0, 2.0], epochs=5)
    >>> histories.loss.shape, len(histories[2].loss)
    ((4, 5), 5)
    """

    loss: np.ndarray
    validation_loss: np.ndarray
    learning_rate: np.ndarray
    stopped_by: list[str | None]

    @classmethod
    def of(cls, count: int, epochs: int, *, is_judged: bool) -> "Histories":
        """Those of networks that have not been trained yet, for at most so many epochs."""
        loss, validation_loss, rates = (np.full((count, width), np.nan) for width in (epochs, epochs if is_judged else 0, epochs))
        return cls(loss, validation_loss, rates, [None] * count)

    def record(self, k: int, loss: Any, validation_loss: Any, learning_rate: Any, stopped_by: str | None) -> None:
        """Keep `loss`, `validation_loss` and `learning_rate` of the epochs of network `k`, and what it was `stopped_by`."""
        records = (self.loss, loss), (self.validation_loss, validation_loss), (self.learning_rate, learning_rate)
        for record, found in records:
            record[k, : len(found)] = found
        self.stopped_by[k] = stopped_by

    def interrupt(self) -> None:
        """Say so of the networks that have not come to their end."""
        for k in np.flatnonzero(self.n_epochs < self.loss.shape[1]):
            self.stopped_by[k] = self.stopped_by[k] or "interrupt"

    @property
    def n_epochs(self) -> np.ndarray:
        """Epochs (count,) that each network has run."""
        found: np.ndarray = np.isfinite(self.loss).sum(axis=1)
        return found

    def __len__(self) -> int:
        return len(self.loss)

    def __getitem__(self, k: int) -> History:
        k = position("history", k, len(self))
        n_epochs = int(np.isfinite(self.loss[k]).sum())
        recorded = (self.loss, self.validation_loss, self.learning_rate)
        loss, validation_loss, learning_rate = (each[k][:n_epochs].tolist() for each in recorded)
        return History(loss=loss, validation_loss=validation_loss, learning_rate=learning_rate, stopped_by=self.stopped_by[k])

    def __repr__(self) -> str:
        return f"Histories of {len(self)} networks, of {self.n_epochs.min()} to {self.n_epochs.max()} epochs"
