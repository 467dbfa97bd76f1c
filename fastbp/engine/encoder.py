"""What an encoder of tables consists of, and where its parameters are in the flat vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastbp.arguments import boolean, real
from fastbp.kernels.groups import BEYOND_LAYERS, BLENDS, DECAY, PERIODS, SCALES, TABLE
from fastbp.kernels.tuning import EMBEDDED
from fastbp.optimizers import N_HYPER

RATE, EPSILON = 0, 3  # which of the hyper-parameters of a rule they are


@dataclass(frozen=True)
class Encoder:
    """Features of the rows of a table: periodic embeddings of numbers, numbers as they are, and embeddings of codes, all scaled.

    A row has the columns of each kind in this order; a code is the number of a row of the one table of embeddings.

    Parameters
    ----------
    periodic, plain, coded : int
        Columns of each kind.
    table_rows : int
        Rows of the table of embeddings: all categories of all columns of codes.
    frequencies : int
        Of each periodic embedding.
    embedding : int
        Numbers of a row of the table.
    blended : bool
        Whether the activations of the hidden layers that follow are parametric.
    """

    periodic: int
    plain: int
    coded: int
    table_rows: int
    frequencies: int = 16
    embedding: int = 8
    blended: bool = True

    @property
    def n_columns(self) -> int:
        """Numbers of a row of a table."""
        return self.periodic + self.plain + self.coded

    @property
    def n_features(self) -> int:
        """Numbers that the first layer reads."""
        return self.periodic * (1 + EMBEDDED) + self.plain + self.coded * self.embedding

    @property
    def periodic_rows(self) -> int:
        """Rows (one number a column) of the parameters of the periodic embeddings: w, b, V and c."""
        return 2 * self.frequencies + EMBEDDED * (self.frequencies + 1)

    def sizes(self, hidden: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Shapes of its parameters and of the betas of hidden layers, in the order of the flat vector."""
        frequencies, count = self.frequencies, self.periodic
        shapes: dict[str, tuple[int, ...]] = {
            "scales": (self.n_features,),
            "frequencies": (frequencies, count),
            "phases": (frequencies, count),
            "mixing": (EMBEDDED, frequencies, count),
            "offsets": (EMBEDDED, count),
            "table": (self.table_rows, self.embedding),
        }
        return shapes | {f"beta_{number}": (units,) for number, units in enumerate(hidden if self.blended else ())}

    def views(self, vector: np.ndarray, hidden: Sequence[int]) -> dict[str, np.ndarray]:
        """Its parameters and the betas as views of the end of a flat vector."""
        shapes = self.sizes(hidden)
        bounds = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())])
        own = vector[len(vector) - bounds[-1] :]
        parts = zip(pairwise(bounds), shapes.items(), strict=True)
        return {name: own[first:last].reshape(shape) for (first, last), (name, shape) in parts}

    def n_params(self, hidden: Sequence[int]) -> int:
        """Numbers of its parameters and the betas."""
        return sum(int(np.prod(shape)) for shape in self.sizes(hidden).values())


@dataclass(frozen=True)
class Rates:
    """Learning rates of the groups of parameters, as factors of the rule's; `neural_tangent`: as Jacot et al.

    With it the weights of a layer of n inputs are W = V / sqrt(n) of numbers V of order 1 that the rule steps on: for W itself, a
    rate 1 / sqrt(n) times as large, an epsilon and a decay sqrt(n) times.

    Parameters
    ----------
    neural_tangent : bool
    biases, scales, periods, table, blends : float
        Of the biases, which do not decay, the scales of the features, the periodic embeddings, the table of embeddings, and the
        betas of parametric activations.

    Examples
    --------
    >>> from fastbp import TabularClassifier
    >>> from fastbp.tabular import Rates, Recipe
    >>> slow = Recipe(rates=Rates(periods=0.01, table=0.5))
    >>> TabularClassifier(slow).preset.rates.periods
    0.01
    """

    neural_tangent: bool = True
    biases: float = 0.1
    scales: float = 6.0
    periods: float = 0.1
    table: float = 1.0
    blends: float = 0.1

    def __post_init__(self) -> None:
        boolean("neural_tangent", self.neural_tangent)
        for name in ("biases", "scales", "periods", "table", "blends"):
            real(name, getattr(self, name))

    def factors(self, sizes: Sequence[int]) -> np.ndarray:
        """(groups, N_HYPER) factors of the rule's hyper-parameters."""
        count = 2 * (len(sizes) - 1)
        factors = np.ones((count + BEYOND_LAYERS, N_HYPER))
        if self.neural_tangent:
            root = np.sqrt(sizes[:-1])
            factors[0:count:2, RATE], factors[0:count:2, EPSILON], factors[0:count:2, DECAY] = 1 / root, root, root
        factors[1:count:2, RATE], factors[1:count:2, DECAY] = self.biases, 0.0
        for group, rate in ((SCALES, self.scales), (PERIODS, self.periods), (TABLE, self.table), (BLENDS, self.blends)):
            factors[count + group, RATE] = rate
        return factors
