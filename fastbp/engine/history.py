"""`History`: what happened in a fit of a network."""

import json
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbp import display
from fastbp.arguments import position
from fastbp.extras import require

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass
class History:
    """What happened in a fit; one item an epoch in each list that was asked for.

    Attributes
    ----------
    loss : list of float
        Mean over the epoch's samples of the loss each mini-batch had before its step, penalty included; of a minimiser
        (`fastbp.minimizers`), the loss of all samples after its step.
    validation_loss, validation_score : list of float
        After the epoch, on the validation data.
    score : list of float
        On the training data during the epoch, with ``record_score=True``: of the outputs that each sample had when its mini-batch
        came, before the step. `Network.score` gives the score of parameters that stay.
    learning_rate : list of float
        At the beginning of the epoch.
    time : list of float
        Seconds since the fit began.
    weight_norms, gradient_norms : list of list of float
        Euclidean norm of each layer's weights after the epoch and of their gradient, as clipped, at its last step, with
        ``record_norms=True``.
    stopped_by : str or None
        "tol", "gradient_tol", "patience", "callback", "interrupt" (Ctrl-C), "converged" (a minimiser finds no step that lowers the
        loss), or None if all epochs were run.

    Examples
    --------
    >>> import fastbp
    >>> history = fastbp.Network([1, 1], rng=0).fit([[0.0], [1.0]], [1.0, 2.0], epochs=3, batch_size=2)
    >>> len(history.loss), history.learning_rate, history.stopped_by
    (3, [0.01, 0.01, 0.01], None)
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    time: list[float] = field(default_factory=list)
    weight_norms: list[list[float]] = field(default_factory=list)
    gradient_norms: list[list[float]] = field(default_factory=list)
    stopped_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The lists that were filled, and why the fit stopped."""
        return {name: value for name, value in vars(self).items() if value != []}

    def even(self) -> None:
        """Cut the lists to the epochs that all of them have, where filling them was interrupted."""
        lists = [value for value in vars(self).values() if isinstance(value, list) and value]
        for each in lists:
            del each[min(map(len, lists)) :]

    def at(self, epoch: int) -> dict[str, float]:
        """What was recorded of an epoch; norms by layers, as "weight_norm_1" and so on.

        Parameters
        ----------
        epoch : int
            From 0; -1 is the last.

        Returns
        -------
        dict of float
        """
        k = position("epoch", epoch, len(self.loss))
        found: dict[str, float] = {}
        for name, values in vars(self).items():
            if not isinstance(values, list) or k >= len(values):
                continue
            if isinstance(values[k], list):
                found |= {f"{name[:-1]}_{layer}": value for layer, value in enumerate(values[k], start=1)}
            else:
                found[name] = values[k]
        return found

    def to_pandas(self) -> "DataFrame":
        """A table: a row for each epoch, from 0, and a column for each item of `at`.

        Raises
        ------
        ImportError
            Without pandas.
        """
        pandas = require("pandas", "to_pandas")
        rows = [self.at(epoch) for epoch in range(len(self.loss))]
        table: DataFrame = pandas.DataFrame(rows, index=pandas.RangeIndex(len(rows), name="epoch"))
        return table

    _repr_html_ = display.of_history

    def save(self, path: str | PathLike[str]) -> None:
        """Write `to_dict` as JSON to `path`."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
