"""`TabularNetwork`: a network whose first layer reads features that an encoder makes of the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from fastbp import schedules
from fastbp.engine import validation
from fastbp.engine.encoder import Encoder, Rates
from fastbp.engine.parameters import parameter_offsets
from fastbp.engine.session import Session
from fastbp.network import Network

SPREAD = 0.1  # of the first frequencies
ROWS_OF_START = 1000  # that first weights and biases are fitted to
SIMPLEX = 5  # samples whose weighted mean a unit begins to bend at


class TabularNetwork(Network):
    """The network of `fastbp.TabularClassifier` and `TabularRegressor` (Holzmueller, Grinsztajn & Steinwart, 2024).

    z_1 = W_1 (s * e(x)) + b_1 with an `Encoder` e and trained scales s; hidden layers have parametric activations
    a = z + beta (f(z) - z), if the encoder says so.

    Parameters
    ----------
    encoder : Encoder
    hidden_sizes : sequence of int
    n_outputs : int
    hidden : str or Activation
    loss : str or Loss
    rates : Rates
    decay_schedule, dropout_schedule : str or Schedule
        Parts of the weight decay and the dropout that are in force in each epoch.
    dtype : {"float32", "float64"}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    encoder : Encoder
    extra : dict of str to ndarray
        Parameters of the encoder and betas, views of the end of `params`; see `Encoder.sizes`.
    """

    def __init__(
        self,
        encoder: Encoder,
        hidden_sizes: Sequence[int],
        n_outputs: int,
        hidden: Any = "selu",
        loss: Any = "cross_entropy",
        *,
        rates: Rates | None = None,
        decay_schedule: Any = "constant",
        dropout_schedule: Any = "constant",
        dtype: Any = "float32",
        rng: Any = None,
    ) -> None:
        self.encoder = encoder
        self.rates = rates or Rates()
        self.decay_schedule, self.dropout_schedule = schedules.get(decay_schedule), schedules.get(dropout_schedule)
        super().__init__([encoder.n_features, *hidden_sizes, n_outputs], hidden, loss, dtype=dtype, rng=rng)
        self._first_features()

    def _count_parameters(self) -> int:
        count: int = parameter_offsets(self.sizes)[-1][2]
        more: int = self.encoder.n_params(self.sizes[1:-1])
        return count + more

    @property
    def extra(self) -> dict[str, np.ndarray]:
        """Parameters of the encoder, and the betas of the hidden layers."""
        views: dict[str, np.ndarray] = self.encoder.views(self._vector, self.sizes[1:-1])
        return views

    def _first_features(self) -> None:
        own, rng = self.extra, self._rng
        bound = self.encoder.frequencies**-0.5
        own["scales"][:] = 1.0
        own["frequencies"][:] = SPREAD * rng.standard_normal(own["frequencies"].shape)
        own["phases"][:] = rng.uniform(-np.pi, np.pi, own["phases"].shape)
        for name in ("mixing", "offsets"):
            own[name][:] = rng.uniform(-bound, bound, own[name].shape)
        own["table"][:] = rng.standard_normal(own["table"].shape)
        for name, view in own.items():
            if name.startswith("beta"):
                view[:] = 1.0

    def begin_at(self, X: np.ndarray) -> None:
        """First weights and biases by what samples give: outputs of each unit have deviation 1, and it bends among the samples.

        Weights are normal numbers divided by the deviation of what they give; the bias of a unit is minus a weighted mean of what
        five samples give, with weights of a random point of a simplex (Steinwart, 2019; "he+5" of pytabkit).

        Parameters
        ----------
        X : ndarray (n_samples, n_columns)
        """
        rng = self._rng
        rows = self._samples("X", X)
        rows = rows[rng.choice(len(rows), min(len(rows), ROWS_OF_START), replace=False)]
        for number, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            a = self._inputs_of(number, rows).astype(np.float64)
            own = rng.standard_normal(w.shape)
            z = a @ own.T
            deviation = z.std(axis=0)
            deviation[deviation < 1e-12] = 1.0
            w[:] = own / deviation[:, None]
            z /= deviation
            chosen = rng.integers(len(z), size=(SIMPLEX, z.shape[1]))
            weights = rng.exponential(size=chosen.shape)
            b[:] = -(np.take_along_axis(z, chosen, axis=0) * weights / weights.sum(axis=0)).sum(axis=0)

    def _inputs_of(self, number: int, rows: np.ndarray) -> np.ndarray:
        """What a layer reads of samples."""
        session = Session(self, len(rows), keep_all=True)
        session.predict(len(rows), rows, np.empty((len(rows), self.sizes[-1]), self.dtype))
        return session.matrix(number, "input")

    def _samples(self, name: str, X: Any) -> np.ndarray:
        """Rows of a table, after a check; a code is a place that kernels read and write."""
        encoder = self.encoder
        rows: np.ndarray = np.ascontiguousarray(validation.matrix(name, validation.numbers(name, X, self.dtype), encoder.n_columns))
        codes = rows[:, encoder.periodic + encoder.plain :]
        if codes.size and not (codes.min() >= 0 and codes.max() < encoder.table_rows and (codes == np.floor(codes)).all()):
            raise ValueError(f"{name} holds codes that are no rows of the table of embeddings, 0 to {encoder.table_rows - 1}")
        return rows

    def _schedules(self, first: int, last: int, epochs: int) -> np.ndarray:
        """(epochs, 2) parts of the decay and the dropout in force in the epochs range(first, last)."""
        t = np.arange(first, last, dtype=np.float64)
        return np.stack([each.factor(t, float(epochs)) for each in (self.decay_schedule, self.dropout_schedule)], axis=1)

    def __call__(self, X: Any, n_threads: int | None = None) -> np.ndarray:
        """Outputs (n_samples, n_outputs) for rows of a table (n_samples, n_columns)."""
        outputs: np.ndarray = self._outputs(self._samples("X", X), n_threads)
        return outputs

    def _refuse(self, *_: Any, **__: Any) -> Any:
        """What the rows of a table do not allow: derivatives by their columns, files that say how rows are made of them."""
        raise TypeError("a TabularNetwork cannot do this: it reads rows that the columns_ of its estimator make; pickle that")

    save = jacobian = vjp = jvp = check_gradients = _refuse
    cfunc = property(_refuse)

    def copy(self, dtype: Any = None) -> TabularNetwork:
        """A network with equal settings and parameters of its own; of the same dtype."""
        other: Any = self._beside(self._vector.copy(), deepcopy(self._rng))
        found: TabularNetwork = other
        return found
