"""Data for the command line: scikit-learn's bundled sets, the user's own files, and the preprocessing saved with a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.files.tables import SUFFIXES, TRUTH, Table, is_number, truth

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer

NAMES = ("digits", "breast-cancer", "wine", "iris", "diabetes", "moons", "circles", "blobs")
TASKS = ("classification", "regression")
MAX_INTEGER_CLASSES = 20
MAX_CATEGORIES = 1000
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Dataset:
    """Features and a target, as numbers and categories, not yet standardised.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        float64; or object where some columns are categorical: these hold strings, the others floats.
    y : ndarray of shape (n_samples,)
        Class numbers (int64) for classification, targets (float64) for regression.
    task : {"classification", "regression"}
        What the target asks for.
    feature_names : list of str
        One per column of `X`.
    target_names : list of str
        The classes in the order of their numbers, as they are written in the file; for regression the name of the target.
    kinds : list of str
        For each column of `X`, how it was read: "number", "boolean" or "text".
    same_unit : bool
        Whether the features are measurements of one kind, such as pixels, which are then scaled alike.
    """

    X: NDArray[Any]
    y: NDArray[Any]
    task: str
    feature_names: list[str]
    target_names: list[str]
    kinds: list[str]
    same_unit: bool = False


def open_source(source: str, target: str | None, task: str | None) -> Dataset:
    """A dataset by name, or a file; see `load` and `read`."""
    if source not in NAMES:
        return read(source, target, task)
    if target is not None or task is not None:
        raise ValueError(f"--target and --task are for files; {source} has its own")
    return load(source)


def load(name: str) -> Dataset:
    """Load a dataset by its name; the synthetic ones are the same at every call.

    Parameters
    ----------
    name : str
        "digits", "breast-cancer", "wine", "iris" or "diabetes", which come with scikit-learn, or "moons", "circles" or
        "blobs": 1000 points in the plane.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If there is no such dataset.
    """
    from sklearn import datasets

    if name not in NAMES:
        raise ValueError(f"unknown dataset {name!r}; choose one of {', '.join(NAMES)}, or give a {', '.join(SUFFIXES)} file")
    if name in ("moons", "circles", "blobs"):
        X, y = {
            "moons": lambda: datasets.make_moons(1000, noise=0.2, random_state=0),
            "circles": lambda: datasets.make_circles(1000, noise=0.1, factor=0.5, random_state=0),
            "blobs": lambda: datasets.make_blobs(1000, centers=4, cluster_std=1.0, random_state=0)[:2],
        }[name]()
        classes = [str(label) for label in np.unique(y)]
        return Dataset(X, y.astype(np.int64), "classification", ["x0", "x1"], classes, ["number"] * 2)
    bunch = getattr(datasets, f"load_{name.replace('-', '_')}")()
    X, features = bunch.data.astype(np.float64), [str(feature) for feature in bunch.feature_names]
    kinds = ["number"] * len(features)
    if name == "diabetes":
        return Dataset(X, bunch.target.astype(np.float64), "regression", features, ["progression"], kinds)
    classes = [str(label) for label in bunch.target_names]
    return Dataset(X, bunch.target.astype(np.int64), "classification", features, classes, kinds, same_unit=name == "digits")


def read(path: str | Path, target: str | None = None, task: str | None = None) -> Dataset:
    """Read features and a target from a file.

    Parameters
    ----------
    path : str or path
        A ``.csv`` with a header line, a ``.parquet``, or a ``.npz`` with either a matrix ``X`` (its columns are then called x0,
        x1, ...) and a vector ``y``, or one vector per column. Columns of text are categorical, those of numbers or booleans
        numeric; `fastbp.files.tables` says how they are told apart.
    target : str, optional
        The column to predict; "y" by default.
    task : {"classification", "regression"}, optional
        By default classification if the target holds text, booleans, categories, or at most 20 different whole numbers.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If the file, a column or the target cannot be used; the message names it.
    ImportError
        If a ``.csv`` or ``.parquet`` is given and the extra ``data`` is not installed.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} is neither a dataset ({', '.join(NAMES)}) nor a {', '.join(SUFFIXES)} file")
    target = "y" if target is None else target.strip()
    table = Table(path, {target}, codes=True)
    if target not in table:
        raise ValueError(f"target: {path} has no column {target!r}; say which to predict: {table}")
    y, task, target_names = target_of(table, target, task)
    names = [name for name in table.columns if name != target]
    kinds = [table.kind(name) for name in names]
    X = _matrix(table, names, kinds, [()] * len(names), len(y))
    for name, column, kind in zip(names, X.T, kinds, strict=True):
        if kind == "text" and (count := len(set(column))) > MAX_CATEGORIES:
            many = f"{count} different texts, more than {MAX_CATEGORIES}"
            raise ValueError(f"column {name!r} of {path} has {many}: {table.why_text(name)}drop it")
    return Dataset(X, y, task, names, target_names, kinds)


def read_features(path: str | Path, names: list[str], kinds: list[str], state: dict[str, Any]) -> NDArray[Any]:
    """Read the columns that a model was trained on, in its order and as it read them; other columns are left alone.

    Parameters
    ----------
    path : str or path
        As in `read`. The columns of a matrix ``X`` in a ``.npz`` are taken in their order.
    names, kinds : list of str
        The features, and what they were in training; see `Dataset`.
    state : dict
        The `preprocessor_state` of the model.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        As `Dataset.X`.

    Raises
    ------
    ValueError
        If a column is missing or is not of the kind it had in training; the message names it, and the first such value.
    """
    text = [name for name, kind in zip(names, kinds, strict=True) if kind == "text"]
    categories = dict(zip(state["categorical"], map(set, state["categories"]), strict=True))
    return _matrix(Table(path, text, matrix_names=names), names, kinds, [categories.get(i, ()) for i in range(len(names))])


def unseen_categories(X: NDArray[Any], names: list[str], state: dict[str, Any]) -> list[str]:
    """A sentence for each categorical column that holds categories which its preprocessor was not fitted to."""
    told = [unseen(names[i], X[:, i], c) for i, c in zip(state["categorical"], state["categories"], strict=True)]
    return [sentence for sentence in told if sentence]


def unseen(name: str, values: Collection[str | None], categories: Collection[str]) -> str:
    """A sentence if values of a column are not among its categories, else nothing; None is no value."""
    known = {*categories, None}
    new = [value for value in values if value not in known]
    if not new:
        return ""
    distinct = list(dict.fromkeys(new))
    examples = ", ".join(map(repr, distinct[:MAX_EXAMPLES]))
    more = f" and {len(distinct) - MAX_EXAMPLES} more" if len(distinct) > MAX_EXAMPLES else ""
    return f"column {name!r}: {len(new)} of {len(values)} rows hold what training did not: {examples}{more}"


def read_target(path: str | Path, target: str, task: str, target_names: list[str]) -> NDArray[Any]:
    """Read the target that a model was trained on: its class numbers, or numbers.

    Raises
    ------
    ValueError
        If a class is not among `target_names`, or the column is missing or cannot be used.
    """
    return known_target(Table(path, {target}), target, task, target_names)


def known_target(table: Table, target: str, task: str, target_names: list[str]) -> NDArray[Any]:
    """`read_target` of a table that has been read."""
    if task == "regression":
        return table.read(target, "number")
    numbers = {name: k for k, name in enumerate(target_names)}
    labels = table.read(target, "text", numbers)
    if {truth(name) for name in numbers} == TRUTH.keys():
        spellings = {truth(name): name for name in numbers}
        labels = np.array([spellings.get(truth(label), label) for label in labels], dtype=object)
    for row, label in zip(table.numbers, labels, strict=True):
        if label not in numbers:
            raise ValueError(f"{table.path} has the class {label!r} in row {row}, which the model does not know")
    return np.array([numbers[label] for label in labels])


def preprocessor(X: NDArray[Any], same_unit: bool = False) -> ColumnTransformer:
    """Fit scikit-learn's transformers to a feature matrix: numbers standardised, categories one-hot encoded.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        As `Dataset.X`.
    same_unit : bool, default False
        Divide all numeric features by their common standard deviation: one that hardly varies, such as a pixel at the edge,
        then stays small instead of being blown up.

    Returns
    -------
    ColumnTransformer
        Its output is the numeric columns, then the categories of each categorical one; one not seen here is all zeros.
    """
    categorical = [i for i in range(X.shape[1]) if isinstance(X[0, i], str)]
    transformer = _transformer([i for i in range(X.shape[1]) if i not in categorical], categorical, "auto").fit(X)
    if same_unit:
        scaler = transformer.named_transformers_["numeric"]
        scaler.scale_ = np.full_like(scaler.scale_, scaler.var_.mean() ** 0.5 or 1.0)
        scaler.var_ = scaler.scale_**2
    return transformer


def preprocessor_state(transformer: ColumnTransformer) -> dict[str, Any]:
    """What a fitted `preprocessor` has learnt, as JSON can hold it exactly."""
    state: dict[str, Any] = {"numeric": [], "mean": [], "scale": [], "categorical": [], "categories": []}
    for name, step, columns in transformer.transformers_:
        if name == "numeric":
            state.update(numeric=columns, mean=step.mean_.tolist(), scale=step.scale_.tolist())
        else:
            state.update(categorical=columns, categories=[list(categories) for categories in step.categories_])
    return state


def restore_preprocessor(state: dict[str, Any]) -> ColumnTransformer:
    """Build the fitted transformer that `preprocessor_state` described: its output is the same to the bit."""
    numeric, categorical = state["numeric"], state["categorical"]
    transformer = _transformer(numeric, categorical, [np.array(c, dtype=object) for c in state["categories"]])
    row = np.zeros((1, len(numeric) + len(categorical)), dtype=object if categorical else np.float64)
    for i, categories in zip(categorical, state["categories"], strict=True):
        row[0, i] = categories[0]
    transformer.fit(row)
    if numeric:
        scaler = transformer.named_transformers_["numeric"]
        scaler.mean_, scaler.scale_ = np.array(state["mean"]), np.array(state["scale"])
        scaler.var_ = scaler.scale_**2
    return transformer


def _transformer(numeric: list[int], categorical: list[int], categories: Any) -> ColumnTransformer:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encoder = OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False)
    steps = [("numeric", StandardScaler(), numeric), ("categorical", encoder, categorical)]
    return ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0.0)


def _matrix(
    table: Table, names: list[str], kinds: list[str], known: Sequence[Collection[str]], n_samples: int | None = None
) -> NDArray[Any]:
    """One matrix of columns: float64, or object where some are text."""
    if not names:
        raise ValueError(f"{table.path} has no columns besides the target")
    columns = [table.read(*column) for column in zip(names, kinds, known, strict=True)]
    n_samples = len(columns[0]) if n_samples is None else n_samples
    for name, values in zip(names, columns, strict=True):
        if len(values) != n_samples:
            raise ValueError(f"column {name!r} of {table.path} has {len(values)} rows, unlike the others")
    X = np.empty((n_samples, len(names)), dtype=object if "text" in kinds else np.float64)
    for i, values in enumerate(columns):
        X[:, i] = values
    return X


def target_of(table: Table, name: str, task: str | None) -> tuple[NDArray[Any], str, list[str]]:
    """Class numbers or targets of a column without missing values, the task, and the names of the classes or of the target."""
    if task not in (None, *TASKS):
        raise ValueError(f"task must be one of {', '.join(TASKS)}, not {task!r}")
    labels = table.read(name, "text")  # as they are written, and nothing is missing
    kind = table.kind(name)
    if kind == "boolean":
        spellings: dict[str, str] = {}
        labels = np.array([spellings.setdefault(truth(label), label.strip()) for label in labels], dtype=object)
    classes = list(dict.fromkeys(labels))
    numeric = kind != "text"
    numbers = table.read(name, kind) if numeric else np.zeros(0)
    whole = bool((numbers == np.floor(numbers)).all())
    if task is None:
        few = kind != "number" or (whole and len(classes) <= MAX_INTEGER_CLASSES)
        task = "classification" if few else "regression"
    if task == "regression":
        if not numeric:
            advice = f"{table.why_text(name)}drop that row" if table.why_text(name) else "which regression cannot predict"
            raise ValueError(f"target: column {name!r} holds strings, {advice}")
        return numbers, task, [name]
    if not whole:
        raise ValueError(f"target: column {name!r} holds fractions, which are no classes; use task='regression'")
    if kind == "boolean":
        classes.sort(key=truth)
    else:
        classes.sort(key=(lambda label: (float(label), label)) if all(map(is_number, classes)) else None)
    if len(classes) < 2:
        raise ValueError(f"target: column {name!r} holds one class only, {classes[0]}")
    order = {label: k for k, label in enumerate(classes)}
    return np.array([order[label] for label in labels], np.int64), task, classes
