"""``fastbp export``: a saved plain network for other programs and languages."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.commands.table import print_table
from fastbp.exports import numpy_source, parts, safetensors_file
from fastbp.exports.c import source as c_source
from fastbp.exports.parts import Scaling
from fastbp.files import model_file, table_model

FEW = 8  # columns whose numbers are printed


def _c(net: Any, path: Path, scaling: Scaling | None) -> None:
    c_source.write(net, path, training=False, name=None, scaling=scaling)


def _onnx(net: Any, path: Path, scaling: Scaling | None) -> None:
    if scaling is None:
        net.to_onnx(path)
        return
    from fastbp.exports.onnx import estimating

    is_classifier = net.loss_function.task == "labels"
    classes = np.array(scaling.outputs, object) if is_classifier else None
    first = [("Sub", scaling.mean), ("Div", scaling.scale)]
    last = [("Mul", scaling.output_scale), ("Add", scaling.output_mean)]
    estimating.write([net], path, None, first, classes, is_classifier, last)


# what writes a format, and the suffix of its files
FORMATS: dict[str, tuple[Callable[[Any, Path, Scaling | None], Any], str]] = {
    "c": (_c, ".c"),
    "numpy": (numpy_source.write, ".py"),
    "onnx": (_onnx, ".onnx"),
    "safetensors": (safetensors_file.write, ".safetensors"),
}
COMPLETE = "c", "numpy", "onnx"  # which scale inputs and outputs themselves


def export(arguments: argparse.Namespace) -> None:
    """Write a model in another format, and print what is done before and after the network, and by whom."""
    path: Path = arguments.model
    write, suffix = FORMATS[arguments.to]
    out: Path = arguments.out or path.with_suffix(suffix)
    net, scaling = _opened(path)
    if out.exists() and path.exists() and out.samefile(path):
        raise ValueError(f"--out must be another file than the model, {path}")
    write(net, out, scaling)
    rows = [("network", parts.title(net))]
    if scaling is not None:
        rows += [("inputs", _names(scaling.inputs)), ("outputs", _names(scaling.outputs))]
        rows += _told(scaling, arguments.to)
    print_table([*rows, (arguments.to, out)])


def _opened(path: Path) -> tuple[Any, Scaling | None]:
    """The network of a model, and what ``fastbp train`` has it do before and after."""
    from fastbp.loading import load
    from fastbp.network import Network

    if table_model.is_table_model(path):
        raise ValueError(
            f"{path} is of a preset: several networks, of columns that only fastbp prepares; train a plain network, by --hidden"
        )
    extra = model_file.read_header(path)["extra"]
    net = load(path)
    if not isinstance(net, Network):
        raise ValueError(f"{path} has {len(net)} networks: save one of them, as in fastbp.load(path)[0].save(other)")
    return net, _scaling(extra) if "preprocessor" in extra else None


def _scaling(extra: dict[str, Any]) -> Scaling:
    state, names, target = extra["preprocessor"], extra["feature_names"], extra["target_scaling"]
    inputs = [names[i] for i in state["numeric"]]
    for i, categories in zip(state["categorical"], state["categories"], strict=True):
        inputs += [f"{names[i]} = {category}" for category in categories]
    n_categories = len(inputs) - len(state["numeric"])
    mean, scale = (np.array([*state[name], *[rest] * n_categories]) for name, rest in (("mean", 0.0), ("scale", 1.0)))
    return Scaling(mean, scale, target["mean"], target["scale"], inputs, extra["target_names"])


def _names(names: Any) -> str:
    shown = ", ".join(names[:FEW])
    return shown if len(names) <= FEW else f"{shown}, ... ({len(names)})"


def _told(scaling: Scaling, to: str) -> list[tuple[str, str]]:
    if to in COMPLETE:
        return [("scaling", "inputs and outputs are those of the table: it scales them itself")]
    if len(scaling.mean) > FEW:
        before = "x is (input - mean) / scale, numbers that are in the metadata of the file"
    else:
        mean, scale = (", ".join(map(repr, each.tolist())) for each in (scaling.mean, scaling.scale))
        before = f"x is (input - mean) / scale with mean {mean} and scale {scale}"
    rows = [("before", before)]
    if (scaling.output_mean, scaling.output_scale) != (0.0, 1.0):
        rows.append(("after", f"the prediction is {scaling.output_scale!r} times the output, plus {scaling.output_mean!r}"))
    return rows
