"""Saved models as the command line uses them: of ``--hidden`` or of a preset, they predict from files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.commands.metrics import Predictions
from fastbp.files import datasets, model_file, table_model
from fastbp.files.raw_table import NAMES_ROWS, Feature, RawTable

if TYPE_CHECKING:
    from fastbp.network import Network

Array = NDArray[Any]


class PlainModel:
    """A network that ``fastbp train --hidden`` saved.

    Attributes
    ----------
    net : Network
    extra : dict
        What was saved with it.
    task, target : str
    classes : list of str
        Empty for regression.
    """

    id_columns: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        from fastbp.loading import load

        self.extra = extra = model_file.read_header(path)["extra"]
        if "preprocessor" not in extra:
            raise ValueError(
                f"{path} was not saved by 'fastbp train', so how to prepare the data is not known; use fastbp.load in Python"
            )
        if "feature_kinds" not in extra:
            raise ValueError(f"{path} does not say which of its columns are numbers and which are text; train it again")
        net: Any = load(path)
        self.net: Network = net
        self.task, self.target = extra["task"], extra["target"] or "y"
        self.classes: list[str] = extra["target_names"] if self.task == "classification" else []
        self.title = extra["target"] or "class" if self.classes else extra["target_names"][0]

    def features(self, source: str | Path, command: str) -> Array:
        """Features of a file as the network was trained on them; what it never saw is said."""
        state, names = self.extra["preprocessor"], self.extra["feature_names"]
        X = datasets.read_features(source, names, self.extra["feature_kinds"], state)
        for sentence in datasets.unseen_categories(X, names, state):
            print(f"fastbp {command}: {sentence}", file=sys.stderr)
        features: Array = datasets.restore_preprocessor(state).transform(X)
        return features

    def predict(self, source: str, command: str) -> Predictions:
        """Of every row of a file."""
        X = self.features(source, command)
        if self.classes:
            return Predictions(self.net.predict(X), self.net(X).astype(np.float64))
        scaling = self.extra["target_scaling"]
        return Predictions(self.net.predict(X).astype(np.float64).reshape(len(X)) * scaling["scale"] + scaling["mean"])

    def judged(self, source: str, command: str) -> tuple[Array, Predictions]:
        """Targets of a file, and predictions."""
        y = datasets.read_target(source, self.target, self.task, self.extra["target_names"])
        return y, self.predict(source, command)


class TableModel:
    """An estimator that ``fastbp train --preset`` saved; attributes as of `PlainModel`.

    Parameters
    ----------
    estimator : TabularClassifier or TabularRegressor
        Of class numbers, if it is of classes.
    about : dict
        What `fastbp.files.table_model` keeps with it.
    path : Path, optional
        The file that it is of.
    """

    def __init__(self, estimator: Any, about: dict[str, Any], path: Path | None = None) -> None:
        self.estimator, self.about, self.path = estimator, about, path
        self.task, self.target, self.classes = about["task"], about["target"], about["classes"]
        self.title = self.target
        self.features = [Feature(each["name"], each["kind"], tuple(each["categories"])) for each in about["features"]]
        self.id_columns = tuple(name for name, why in about["left_out"].items() if why == NAMES_ROWS)

    @classmethod
    def open(cls, path: Path) -> TableModel:
        """Read it; its networks are made anew, so that nothing is computed that the settings in a file do not allow."""
        estimator, about = table_model.read(path)
        try:
            if hasattr(estimator, "predict_proba") != bool(about["classes"]):
                raise ValueError("it predicts other things than it says")
            estimator.networks_ = [_rebuilt(net) for net in estimator.networks_]
            outputs = len(about["classes"]) or 1
            if not estimator.networks_ or any(net.sizes[-1] != outputs for net in estimator.networks_):
                raise ValueError(f"its networks do not have {outputs} outputs")
            estimator.n_threads = None
            return cls(estimator, about, path)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise model_file.cannot_be_built(path, error) from error

    def of_table(self, table: RawTable, command: str) -> Predictions:
        """Predictions for the rows of a table; what training never saw is said."""
        frame = table.frame(self.features)
        for feature in self.features:
            sentence = (
                datasets.unseen(feature.name, table.series(feature).tolist(), feature.categories) if feature.categories else ""
            )
            if sentence:
                print(f"fastbp {command}: {sentence}", file=sys.stderr)
        try:
            return predictions_of(self.estimator, frame)
        except (AttributeError, IndexError, KeyError, TypeError) as error:  # of a table that is right
            if self.path is None:
                raise
            raise model_file.ModelFormatError(f"{self.path} is damaged: it cannot predict: {error}") from error

    def predict(self, source: str, command: str) -> Predictions:
        """Of every row of a file."""
        return self.of_table(RawTable(source), command)

    def judged(self, source: str, command: str) -> tuple[Array, Predictions]:
        """Targets of the rows of a file that have one, and predictions."""
        table, y = self.targets(source, command)
        return y, self.of_table(table, command)

    def targets(self, source: str, command: str) -> tuple[RawTable, Array]:
        """The rows of a file that have a target, and these; how many have none is said."""
        table = with_target(RawTable(source), self.target, command)
        return table, datasets.known_target(table, self.target, self.task, self.classes)


def predictions_of(estimator: Any, frame: Any) -> Predictions:
    """What an estimator for tables predicts."""
    if not hasattr(estimator, "predict_proba"):
        return Predictions(np.asarray(estimator.predict(frame), np.float64))
    probabilities = estimator.predict_proba(frame)
    return Predictions(probabilities.argmax(axis=1), probabilities)


def with_target(table: RawTable, target: str, command: str) -> RawTable:
    """The rows that have a target.

    Raises
    ------
    ValueError
        If there is no such column, or no such row.
    """
    if target not in table:
        raise ValueError(f"target: {table.path} has no column {target!r}; say which to predict: {table}")
    missing = table.without(target, table.kind(target))
    if missing.all():
        raise ValueError(f"target: column {target!r} of {table.path} is empty")
    if missing.any():
        print(f"fastbp {command}: {missing.sum()} of {len(table)} rows have no {target} and are left out", file=sys.stderr)
        return table.rows(~missing)
    return table


def open_model(path: Path) -> PlainModel | TableModel:
    """A model of either kind.

    Raises
    ------
    ModelFormatError, ValueError
        If it is damaged, or is none that the command line made.
    OSError
        If it cannot be read.
    """
    return TableModel.open(path) if table_model.is_table_model(path) else PlainModel(path)


def _rebuilt(net: Any) -> Any:
    from fastbp.arguments import integer
    from fastbp.engine.encoder import Encoder
    from fastbp.tabular_network import TabularNetwork

    counts = {name: integer(name, getattr(net.encoder, name), least=0) for name in ("periodic", "plain", "coded", "table_rows")}
    sizes = {name: integer(name, getattr(net.encoder, name)) for name in ("frequencies", "embedding")}
    other = TabularNetwork(
        Encoder(**counts, **sizes, blended=bool(net.encoder.blended)),
        net.sizes[1:-1],
        net.sizes[-1],
        [type(each)(**each.parameters()) for each in net.hidden],
        type(net.loss_function)(**net.loss_function.parameters()),
        rates=net.rates,
        decay_schedule=net.decay_schedule,
        dropout_schedule=net.dropout_schedule,
        dtype=net.dtype,
        rng=0,
    )
    other.params = net.params
    return other
