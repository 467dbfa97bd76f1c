"""How networks for tables are made and trained: a `Recipe`, and presets of it.

The pieces are those of RealMLP (Holzmueller, Grinsztajn & Steinwart, 2024, Better by Default: Strong Pre-Tuned MLPs and Boosted
Trees on Tabular Data, NeurIPS); each can be left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from fastbp.arguments import boolean, integer, real
from fastbp.engine.encoder import Rates


@dataclass(frozen=True)
class Recipe:
    """Settings of a network for tables, and of its training.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
        Units of each hidden layer.
    activation : str or Activation
        Of the hidden layers.
    parametric_activation : bool
        a = z + beta (f(z) - z) with a trained beta for each unit.
    periodic_embeddings : bool
        Numbers x also as V cos(2 pi w x + b) + c, with trained w, b, V and c of each column.
    rates : Rates
        Learning rates of groups of parameters, as factors of `learning_rate`, and the parametrisation of the weights.
    data_dependent_init : bool
        First weights and biases by what samples give; else those of `fastbp.Network`.
    learning_rate, beta_2, weight_decay : float
        Of AdamW.
    dropout : float
        Of what the layers after the first read.
    label_smoothing : float
        Part of each target that is spread over all classes, where there are more than two: of two it costs the order of the rows.
    epochs : int
        At most; the best one by the loss of held-out rows is kept.
    batch_size : int, optional
        By default 64, and 128 of more than 4000 rows.
    schedule, decay_schedule, dropout_schedule : str or Schedule
        Of the learning rate, the weight decay and the dropout.
    patience : int, optional
        Epochs without a lower loss of held-out rows that end a training.
    folds : int
        One of so many parts of the rows is held out, of each network another.
    n_networks : int
        Of which the mean is taken.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import TabularClassifier
    >>> from fastbp.tabular import Recipe
    >>> X, y = load_iris(return_X_y=True)
    >>> small = Recipe(hidden_layer_sizes=(32,), n_networks=2, epochs=20)
    >>> TabularClassifier(small, random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    hidden_layer_sizes: tuple[int, ...] = (128, 128, 128)
    activation: Any = "selu"
    parametric_activation: bool = True
    periodic_embeddings: bool = True
    rates: Rates = field(default_factory=lambda: Rates(periods=1.0))
    data_dependent_init: bool = True
    learning_rate: float = 0.04
    beta_2: float = 0.95
    weight_decay: float = 0.02
    dropout: float = 0.15
    label_smoothing: float = 0.1
    epochs: int = 32
    batch_size: int | None = None
    schedule: Any = "cos_log"
    decay_schedule: Any = "flat_cosine"
    dropout_schedule: Any = "flat_cosine"
    patience: int | None = None
    folds: int = 5
    n_networks: int = 4

    def __post_init__(self) -> None:
        """Check what nothing else does before the training."""
        for name, least in (("epochs", 1), ("folds", 2), ("n_networks", 1)):
            integer(name, getattr(self, name), least=least)
        for name in ("batch_size", "patience"):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name))
        for name in ("parametric_activation", "periodic_embeddings", "data_dependent_init"):
            boolean(name, getattr(self, name))
        real("label_smoothing", self.label_smoothing, below=1.0)
        if not isinstance(self.hidden_layer_sizes, tuple | list):
            raise TypeError(f"hidden_layer_sizes must be a tuple of integers, got {self.hidden_layer_sizes!r}")
        for size in self.hidden_layer_sizes:
            integer("hidden_layer_sizes", size)
        if not isinstance(self.rates, Rates):
            raise TypeError(f"rates must be a fastbp.tabular.Rates, got {self.rates!r}")


def _presets(recipe: Recipe) -> dict[str, Recipe]:
    return {
        "fast": replace(recipe, n_networks=1),
        "default": recipe,
        "best": replace(recipe, n_networks=8, epochs=2 * recipe.epochs),
    }


CLASSIFIERS = _presets(Recipe())
REGRESSORS = _presets(Recipe(activation="mish", learning_rate=0.2, dropout=0.05, epochs=96))


def get(value: Any, presets: dict[str, Recipe]) -> Recipe:
    """The recipe that is meant by the name of a preset, or an instance."""
    if isinstance(value, Recipe):
        return value
    if not isinstance(value, str) or value not in presets:
        raise ValueError(f"preset must be {', '.join(map(repr, presets))} or a fastbp.tabular.Recipe, got {value!r}")
    return presets[value]
