"""Data for the command line: scikit-learn's bundled sets, the user's own files, and the preprocessing saved with a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer

NAMES = ("digits", "breast-cancer", "wine", "iris", "diabetes", "moons", "circles", "blobs")
SUFFIXES = (".csv", ".parquet", ".npz")
TASKS = ("classification", "regression")
MAX_INTEGER_CLASSES = 20
MAX_CATEGORIES = 1000

Table = dict[str, NDArray[Any]]


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
        The classes in the order of their numbers; for regression the name of the target.
    same_unit : bool
        Whether the features are measurements of one kind, such as pixels, which are then scaled alike.
    """

    X: NDArray[Any]
    y: NDArray[Any]
    task: str
    feature_names: list[str]
    target_names: list[str]
    same_unit: bool = False


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
        return Dataset(X, y.astype(np.int64), "classification", ["x0", "x1"], classes)
    bunch = getattr(datasets, f"load_{name.replace('-', '_')}")()
    X, features = bunch.data.astype(np.float64), [str(feature) for feature in bunch.feature_names]
    if name == "diabetes":
        return Dataset(X, bunch.target.astype(np.float64), "regression", features, ["progression"])
    classes = [str(label) for label in bunch.target_names]
    return Dataset(X, bunch.target.astype(np.int64), "classification", features, classes, same_unit=name == "digits")


def read(path: str | Path, target: str | None = None, task: str | None = None) -> Dataset:
    """Read features and a target from a file.

    Parameters
    ----------
    path : str or path
        A ``.csv`` with a header line, a ``.parquet``, or a ``.npz`` with either a matrix ``X`` (its columns are then called x0,
        x1, ...) and a vector ``y``, or one vector per column. Columns of strings or categories are categorical, those of
        numbers or booleans numeric.
    target : str, optional
        The column to predict; "y" by default.
    task : {"classification", "regression"}, optional
        By default classification if the target holds strings, booleans, categories, or at most 20 different whole numbers.

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
    table = _read_table(path)
    target = "y" if target is None else target
    if target not in table:
        raise ValueError(f"target: {path} has no column {target!r}; say which to predict: {_listed(table)}")
    y, task, target_names = _target(table.pop(target), target, task)
    return Dataset(_matrix(table, path, len(y)), y, task, list(table), target_names)


def read_features(path: str | Path, names: list[str], categorical: list[int]) -> NDArray[Any]:
    """Read the columns that a model was trained on, in its order; other columns are left alone.

    Parameters
    ----------
    path : str or path
        As in `read`. The columns of a matrix ``X`` in a ``.npz`` are taken in their order.
    names : list of str
        The features.
    categorical : list of int
        Which of them are categorical.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        As `Dataset.X`.

    Raises
    ------
    ValueError
        If a column is missing or is not of the kind it had in training.
    """
    table = _read_table(path, matrix_names=names)
    for i, name in enumerate(names):
        if name not in table:
            raise ValueError(f"{path} has no column {name!r}, which the model was trained on")
        if i in categorical:
            table[name] = table[name].astype(np.str_)
        elif table[name].dtype.kind == "U":
            raise ValueError(f"column {name!r} of {path} must hold numbers, as in training")
    return _matrix({name: table[name] for name in names}, path)


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

    Raises
    ------
    ValueError
        If a categorical column has more than 1000 categories.
    """
    categorical = [i for i in range(X.shape[1]) if isinstance(X[0, i], str)]
    for i in categorical:
        if (count := len(set(X[:, i]))) > MAX_CATEGORIES:
            raise ValueError(f"feature {i} has {count} different strings, more than {MAX_CATEGORIES} categories: drop it")
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
        elif name == "categorical":
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


def _listed(table: Table) -> str:
    names = [repr(name) for name in table]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if names[8:] else "")


def _read_table(path: str | Path, matrix_names: list[str] | None = None) -> Table:
    """Columns by name: numbers, booleans or strings, nothing missing."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} is neither a dataset ({', '.join(NAMES)}) nor a {', '.join(SUFFIXES)} file")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        table = _read_npz(path, matrix_names) if suffix == ".npz" else _read_frame(path, suffix)
    except ImportError as error:
        raise ImportError(f"{suffix} files need pandas and pyarrow: python -m pip install 'fastbp[data]'") from error
    except (ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    for name, values in table.items():
        if values.dtype.kind not in "biufU":
            raise ValueError(f"column {name!r} of {path} has dtype {values.dtype}: make it numbers or strings")
        if values.ndim != 1:
            raise ValueError(f"column {name!r} of {path} must have one dimension, not shape {values.shape}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"column {name!r} of {path} has missing or infinite values: fill or drop them")
    return table


def _read_npz(path: Path, matrix_names: list[str] | None) -> Table:
    with np.load(path, allow_pickle=False) as file:
        table = {name: file[name] for name in file.files}
    X = table.pop("X", None)
    if X is None:
        return table
    if X.ndim != 2:
        raise ValueError(f"X must be a matrix, not of shape {X.shape}")
    names = [f"x{i}" for i in range(X.shape[1])] if matrix_names is None else matrix_names
    if len(names) != X.shape[1]:
        raise ValueError(f"X has {X.shape[1]} columns, but the model was trained on {len(names)}")
    return dict(zip(names, X.T, strict=True)) | table


def _read_frame(path: Path, suffix: str) -> Table:
    import pandas as pd

    frame = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    table = {}
    for name in frame.columns:
        column = frame[name]
        if column.isna().any():
            raise ValueError(f"column {name!r} has {column.isna().sum()} missing values: fill or drop these rows")
        if pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column) or column.dtype == "category":
            table[str(name)] = column.astype(str).to_numpy(dtype=np.str_)
        else:
            table[str(name)] = column.to_numpy()
    return table


def _matrix(table: Table, path: str | Path, n_samples: int | None = None) -> NDArray[Any]:
    """One matrix of all columns: float64, or object where some are categorical."""
    if not table:
        raise ValueError(f"{path} has no columns besides the target")
    n_samples = len(next(iter(table.values()))) if n_samples is None else n_samples
    for name, values in table.items():
        if len(values) != n_samples:
            raise ValueError(f"column {name!r} of {path} has {len(values)} rows, unlike the others")
    if all(values.dtype.kind != "U" for values in table.values()):
        return np.column_stack([values.astype(np.float64) for values in table.values()])
    X = np.empty((n_samples, len(table)), dtype=object)
    for i, values in enumerate(table.values()):
        X[:, i] = values if values.dtype.kind == "U" else values.astype(np.float64)
    return X


def _target(values: NDArray[Any], name: str, task: str | None) -> tuple[NDArray[Any], str, list[str]]:
    """Class numbers or targets, the task, and the names of the classes or of the target."""
    if task not in (None, *TASKS):
        raise ValueError(f"task must be one of {', '.join(TASKS)}, not {task!r}")
    text = values.dtype.kind == "U"
    whole = values.dtype.kind in "biu" or (not text and bool((values == np.floor(values)).all()))
    if task is None:
        few = text or values.dtype.kind == "b" or (whole and len(np.unique(values)) <= MAX_INTEGER_CLASSES)
        task = "classification" if few else "regression"
    if task == "regression":
        if text:
            raise ValueError(f"target: column {name!r} holds strings, which regression cannot predict")
        return values.astype(np.float64), task, [name]
    if not (text or whole):
        raise ValueError(f"target: column {name!r} holds fractions, which are no classes; use task='regression'")
    if values.dtype.kind == "f":
        values = values.astype(np.int64)
    classes, y = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"target: column {name!r} holds one class only, {classes[0]!s}")
    return y.astype(np.int64), task, [str(label) for label in classes]
