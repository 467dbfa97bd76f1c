"""Model files of estimators for tables: what skops keeps of them, and what the command line must know, in one archive.

An archive of zip, all of whose members have checksums, in the format of ``skops.io``; one member more, `MEMBER`, is JSON. Nothing
in it is run by reading it: objects are of the types in `trusted`, or the file is refused.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from fastbp import storage
from fastbp.activations import ACTIVATIONS, Softmax
from fastbp.extras import require
from fastbp.files.model_file import ModelFormatError
from fastbp.files.tables import KINDS
from fastbp.losses import LOSSES
from fastbp.schedules import SCHEDULES

BEGINNING = b"PK\x03\x04"
MEMBER = "fastbp.json"
FORMAT = 1
KEYS = {"format", "task", "target", "classes", "features", "left_out", "made_by", "versions"}
MODELS = ("fastbp.tabular.classifier.TabularClassifier", "fastbp.tabular.regressor.TabularRegressor")
OURS = (
    *MODELS,
    "fastbp.engine.encoder.Encoder",
    "fastbp.engine.encoder.Rates",
    "fastbp.engine.history.History",
    "fastbp.tabular.columns.Columns",
    "fastbp.tabular.recipe.Recipe",
    "fastbp.tabular_network.TabularNetwork",
    "numpy.dtype",
)
SKRUBS = (
    "_apply_to_each_col.ApplyToEachCol",
    "_check_input.CheckInputDataFrame",
    "_clean_categories.CleanCategories",
    "_clean_null_strings.CleanNullStrings",
    "_dataframe._common.is_numeric",
    "_datetime_encoder.DatetimeEncoder",
    "_drop_uninformative.DropUninformative",
    "_squashing_scaler.SquashingScaler",
    "_squashing_scaler._MinMaxScaler",
    "_string_encoder.StringEncoder",
    "_table_vectorizer.Cleaner",
    "_to_datetime.ToDatetime",
    "_to_float.ToFloat",
    "_to_str.ToStr",
    "selectors._base.All",
    "selectors._base.And",
    "selectors._base.Filter",
)


def trusted() -> list[str]:
    """Types that a model may consist of, besides those of NumPy, SciPy and scikit-learn that skops trusts."""
    classes: set[type[Any]] = {Softmax, *ACTIVATIONS.classes, *LOSSES.classes, *SCHEDULES.classes}
    parts = [f"{cls.__module__}.{cls.__name__}" for cls in classes if cls.__module__.partition(".")[0] == "fastbp"]
    return [*OURS, *(f"skrub.{name}" for name in SKRUBS), *sorted(parts)]


def is_table_model(path: Path) -> bool:
    """Whether a file begins as one of these."""
    with open(path, "rb") as file:
        return file.read(len(BEGINNING)) == BEGINNING


def _skops() -> Any:
    return require("skops.io", "a model of a table")


def check_installed() -> None:
    """Raise an error that says how to install what a model is kept by, if it is not."""
    _skops()


def write(path: Path, model: Any, about: dict[str, Any]) -> None:
    """Write a fitted estimator, and what else there is to know (`KEYS` but "format"), as one file, in one step.

    Raises
    ------
    ValueError
        If the estimator has parts that `read` would refuse.
    """
    content = _skops().dumps(model)
    strange = sorted(set(_skops().get_untrusted_types(data=content)) - {*trusted()})
    if strange:
        raise ValueError(f"the model cannot be saved: it has parts that no file is trusted with, {', '.join(strange)}")
    archive = io.BytesIO(content)
    with ZipFile(archive, "a") as file:
        file.writestr(MEMBER, json.dumps({"format": FORMAT} | about, allow_nan=False))
    storage.replace(path, archive.getvalue())


def read(path: Path) -> tuple[Any, dict[str, Any]]:
    """The estimator and what was told of it, as `write` was given them.

    Raises
    ------
    ModelFormatError
        If the file is damaged, holds parts of other types than it should, or is no model file.
    OSError
        If it cannot be read.
    """
    io_of_skops = _skops()
    content = path.read_bytes()
    about = _about(path, content)
    try:
        strange = sorted(set(io_of_skops.get_untrusted_types(data=content)) - {*trusted()})
        if strange:
            raise ModelFormatError(f"{path} is not loaded: it has parts that are not trusted, {', '.join(strange[:5])}")
        model = io_of_skops.loads(content, trusted=trusted())
    except ModelFormatError:
        raise
    except Exception as error:  # of whatever kind: skops follows what the file says
        raise ModelFormatError(f"{path} is damaged: {error}") from error
    if f"{type(model).__module__}.{type(model).__name__}" not in MODELS:
        raise ModelFormatError(f"{path} holds no model of a table")
    return model, about


def _about(path: Path, content: bytes) -> dict[str, Any]:
    try:
        with ZipFile(io.BytesIO(content)) as file:
            if MEMBER not in file.namelist():
                raise ModelFormatError(f"{path} is no fastbp model file")
            bad = file.testzip()
            about = json.loads(file.read(MEMBER))
    except ModelFormatError:
        raise
    except Exception as error:  # zipfile's, zlib's, struct's
        raise ModelFormatError(f"{path} is damaged: {error}") from error
    if bad is not None:
        raise ModelFormatError(f"{path} is damaged: the checksum of {bad} does not match")
    if not (isinstance(about, dict) and type(about.get("format")) is int and about["format"] > 0):
        raise ModelFormatError(f"{path} is damaged: {MEMBER} does not describe a model")
    if about["format"] > FORMAT:
        raise ModelFormatError(f"{path} has format {about['format']}, but this fastbp reads up to {FORMAT}: upgrade fastbp")
    if not _describes_a_model(about):
        raise ModelFormatError(f"{path} is damaged: {MEMBER} does not describe a model")
    return about


def _describes_a_model(about: dict[str, Any]) -> bool:
    """Whether everything that commands ask of it is there, and of the right types."""
    if set(about) != KEYS or not _are_strings([about["task"], about["target"], about["made_by"]]):
        return False
    lists, dicts = (about["classes"], about["features"]), (about["left_out"], about["versions"])
    if not (all(isinstance(each, list) for each in lists) and all(isinstance(each, dict) for each in dicts)):
        return False
    return (
        about["task"] == ("classification" if about["classes"] else "regression")
        and _are_strings([*about["classes"], *(word for each in dicts for word in each.values())])
        and all(_is_feature(each) for each in about["features"])
    )


def _is_feature(value: Any) -> bool:
    if not (isinstance(value, dict) and set(value) == {"name", "kind", "categories"} and isinstance(value["categories"], list)):
        return False
    return value["kind"] in (*KINDS, "date") and _are_strings([value["name"], *value["categories"]])


def _are_strings(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
