"""The partitions of a fit, in the place of samples in memory."""

from typing import Any

from fastbp.dask._objective import Partitioned
from fastbp.dask._table import Table
from fastbp.estimators._training_data import report


class Partitions:
    """What `fastbp.estimators._training_data.TrainingData` is for arrays.

    Parameters
    ----------
    table : Table
    prepared : (list of tasks, list of float, float)
        Parts, their weights and the unit of these.
    """

    def __init__(self, table: Table, prepared: tuple[list[Any], list[float], float]) -> None:
        self.parts, self.weights, self.unit = prepared
        self._count = table.shape[0]
        table.blocks = []  # which are in memory no longer than the parts

    def __len__(self) -> int:
        return self._count

    def fill_zeros(self) -> None:
        """Rows have their zeros."""

    def by_weight(self, alpha: float) -> float:
        """`alpha` by the weight of all samples."""
        return alpha / sum(self.weights) / self.unit

    def objective(self, net: Any, n_threads: int | None) -> Partitioned:
        """What solvers for all samples at once minimise."""
        return Partitioned(net, self.parts, self.weights)

    def evaluation(self, net: Any) -> Partitioned:
        """What the loss of a network on them is asked of, without penalty."""
        found = self.objective(net, None)
        found.set_report(*report(net))
        return found
