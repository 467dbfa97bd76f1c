"""L1, clipping, max-norm and dropout of a fit: their checks, and the masks that dropout draws.

Their kernels (:mod:`fastbp.kernels.regularize`) are in the extended entries, which are compiled when one of them is first used.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.engine import validation
from fastbp.engine.planner import kept_of_words, round_up
from fastbp.kernels.regularize import draw_mask


@dataclass(frozen=True)
class Regularization:
    """What is done to a fit beyond its loss, its L2 penalty and its rule.

    Attributes
    ----------
    l1 : float
        Factor of the sum of the sizes of all weights, divided by the weight of a mini-batch where the penalty is.
    clip_norm, clip_value : float
        The most that the Euclidean norm, and the components, of a gradient (with its penalties) may be.
    max_norm : float
        The most that the norm of the weights of a unit may be; 0 for any.
    dropout : tuple of float
        Probability that an input of each layer is dropped; empty for none.
    """

    l1: float = 0.0
    clip_norm: float = float("inf")
    clip_value: float = float("inf")
    max_norm: float = 0.0
    dropout: tuple[float, ...] = ()


NOTHING = Regularization()


def drops_inputs(extra: Regularization) -> bool:
    """Whether inputs of the network are dropped: their masks are matrices, and leave no use for sparse samples."""
    return bool(extra.dropout) and extra.dropout[0] > 0


def checked(
    n_hidden: int, l1: Any, clip_norm: Any, clip_value: Any, max_norm: Any, dropout: Any, input_dropout: Any
) -> Regularization:
    """The options of these names of `Network.fit`; an error names the one at fault."""
    limits = {"clip_norm": clip_norm, "clip_value": clip_value, "max_norm": max_norm}
    given = {name: validation.real(name, value, above=0.0) for name, value in limits.items() if value is not None}
    l1, dropped = validation.real("l1", l1), _of_layers(dropout, input_dropout, n_hidden)
    return Regularization(l1=l1, dropout=dropped, **given) if l1 or dropped or given else NOTHING


def _of_layers(hidden: Any, inputs: Any, n_hidden: int) -> tuple[float, ...]:
    """Probabilities for the inputs of the first layer and of the `n_hidden` after it; empty if all are 0."""
    if isinstance(hidden, list | tuple) or (isinstance(hidden, np.ndarray) and hidden.ndim):
        if len(hidden) != n_hidden:
            raise ValueError(f"dropout must be a number, or one for each of the {n_hidden} hidden layers, got {hidden!r}")
        each = [validation.real(f"dropout[{i}]", value, below=1.0) for i, value in enumerate(hidden)]
    else:
        each = [validation.real("dropout", hidden, below=1.0)] * n_hidden
        if n_hidden == 0 and hidden != 0:
            raise ValueError(f"dropout needs a hidden layer, got {hidden!r}; input_dropout drops inputs")
    dropped = (validation.real("input_dropout", inputs, below=1.0), *each)
    return dropped if any(dropped) else ()


def dropout_mask(seed: int, epoch: int, layer: int, n_rows: int, n_units: int, dropout: float) -> np.ndarray:
    """What a fit multiplies activations by in an epoch (from 0) when it drops them with this probability and seed.

    Row i is for the i-th row that the epoch visits. `layer` is 0 for the network's inputs, 1 for the first hidden layer.

    Returns
    -------
    ndarray (n_rows, n_units)
        0, or 1 / (1 - dropout) with the probability rounded to a multiple of 2^-32; a function of the arguments, whatever the
        mini-batches and threads.

    Examples
    --------
    >>> from fastbp import dropout_mask
    >>> mask = dropout_mask(seed=0, epoch=0, layer=1, n_rows=1000, n_units=10, dropout=0.5)
    >>> mask.shape, sorted(set(mask.ravel().tolist())), bool(abs(mask.mean() - 1) < 0.05)
    ((1000, 10), [0.0, 2.0], True)
    """
    if dropout == 0:
        return np.ones((n_rows, n_units))
    width = round_up(n_units, 16)
    mask = np.empty(n_rows * width)
    draw_mask["float64"](mask, width, seed, epoch, layer, kept_of_words(dropout))
    return np.ascontiguousarray(mask.reshape(n_rows, width)[:, :n_units])
