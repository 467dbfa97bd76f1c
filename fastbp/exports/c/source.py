"""Networks as C99 programs of one file, with `math.h` and nothing else: no allocation, no state but what training changes.

A sum begins at the bias, and the terms are added in the order of the inputs. Weights are written with a row for each input, so that
the innermost loop goes over units, whose sums do not wait for each other.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np

from fastbp import storage
from fastbp.arguments import boolean
from fastbp.exports import parts
from fastbp.exports.c import step
from fastbp.exports.c.formulas import ACTIVATIONS, functions_of, typed
from fastbp.exports.c.layers import layers_of, values
from fastbp.exports.parts import Array, Scaling

MOST_PARAMETERS = 1 << 22  # of which a file has 80 MB, and more than that is too much for compilers
PER_LINE = 8

SUMS = """static void @sums(const real *p, const real *a, real *@RESTRICT z, size_t n_in, size_t n_out)
{
    size_t j, k;
    for (k = 0; k < n_out; k++)
        z[k] = p[n_in * n_out + k];
    for (j = 0; j < n_in; j++)
        for (k = 0; k < n_out; k++)
            z[k] += a[j] * p[j * n_out + k];
}
"""
PREDICT = """void @predict(const $x *x, $x *y)
{
    real a[$widest], b[$widest];
    size_t k;

$body
}
"""
ROWS = """void @predict_rows(const $x *x, $x *y, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        @predict(x + i * @n_inputs, y + i * @n_outputs);
}
"""
HEAD = """/*
$says
 */
#include <math.h>
#include <stddef.h>

#ifdef __cplusplus
#define @RESTRICT
extern "C" {
#else
#define @RESTRICT restrict
#endif
"""
END = """
#ifdef __cplusplus
}
#endif
"""


def write(net: Any, path: Any, training: bool, name: str | None, scaling: Scaling | None = None) -> None:
    """Write the program of a network; see `Network.to_c`."""
    path = parts.checked_path(path)
    storage.replace(path, source(net, name_for(path, name), training, scaling).encode("ascii"))


def name_for(path: Any, name: str | None) -> str:
    """What names in the program begin with: as given, or made of the name of the file."""
    if name is None:
        stem = re.sub(r"[^A-Za-z0-9_]", "_", Path(os.fsdecode(path)).name.partition(".")[0])
        return stem if re.match("[A-Za-z]", stem) else f"net_{stem.lstrip('_')}"
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a letter, and then letters, digits and underscores, as names in C are, got {name!r}")
    return name


def source(net: Any, name: str, training: bool = False, scaling: Scaling | None = None) -> str:
    """The text of the program; with a scaling, x and y are double whatever the network is."""
    parts.check(net, "to_c", ACTIVATIONS)
    if boolean("training", training):
        step.check(net)
    parts.check_finite(net, "to_c")
    count = net.params.size
    if count > MOST_PARAMETERS:
        raise ValueError(f"to_c writes at most {MOST_PARAMETERS} parameters, but this network has {count}: use to_onnx")
    kind = "double" if scaling is not None else "real"
    functions = [_predict(net, scaling), ROWS, *([step.functions(net)] if training else [])]
    body = "\n".join(functions).replace("$x", kind)
    prototypes = [f"void @predict(const {kind} *x, {kind} *y);", f"void @predict_rows(const {kind} *x, {kind} *y, size_t n);"]
    if training:
        prototypes += [f"{step.PROTOTYPE};", f"extern real @parameters[{count}];"]
    sizes = f"enum {{ @n_inputs = {net.sizes[0]}, @n_outputs = {net.sizes[-1]} }};"
    says = "\n".join(f" * {line}".rstrip() for line in _says(net, training, scaling))
    is_float = net.dtype == np.float32
    text = [
        HEAD.replace("$says", says),
        *(sizes, typed("\n".join(prototypes), is_float), ""),
        *([] if scaling is None else _constants(scaling)),
        *_parameters(net, typed("real" if training else "static const real", is_float)),
        typed("\n".join([functions_of(body) + SUMS, body]), is_float) + END,
    ]
    return "\n".join(text).replace("@", f"{name}_")


def _says(net: Any, training: bool, scaling: Scaling | None) -> list[str]:
    lines = [f"{parts.origin(net)}.", ""]
    lines += ["@predict computes the outputs y of a sample x, and @predict_rows those of n, a row each."]
    lines += ["In @predict x may be y."]
    if scaling is not None:
        lines += ["Inputs are scaled before, and outputs scaled back. A column of categories is an input for each, 1 or 0.", ""]
        lines += [f"x[{j}] is {_quoted(each)}" for j, each in enumerate(scaling.inputs)]
        lines += [f"y[{k}] is {_quoted(each)}" for k, each in enumerate(scaling.outputs)]
    if training:
        lines += step.ABOUT.splitlines()
    stack = 2 * max(net.sizes)
    return [*lines, "", f"C99 or C++17 with math.h (-lm). Nothing is allocated; a prediction has {stack} numbers on the stack."]


def _quoted(name: str) -> str:
    """In ASCII, and without what would end a comment, or mean something in it."""
    return re.sub(r"[*/?@]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(name))


def _parameters(net: Any, kind: str) -> list[str]:
    lines = [f"{kind} @parameters[{net.params.size}] = {{"]
    for layer, w, b in zip(layers_of(net), net.weights, net.biases, strict=True):
        lines += [
            f"    /* layer {layer.number}: weights, {layer.n_in} by {layer.n_out} */",
            *_numbers(w.T),
            "    /* biases */",
            *_numbers(b),
        ]
    return [*lines, "};", ""]


def _constants(scaling: Scaling) -> list[str]:
    lines = []
    for name, numbers in (("mean", scaling.mean), ("scale", scaling.scale)):
        lines += [f"static const double @{name}[{numbers.size}] = {{", *_numbers(np.asarray(numbers, np.float64)), "};"]
    outputs = (("output_mean", scaling.output_mean), ("output_scale", scaling.output_scale))
    return [*lines, *(f"static const double @{name} = {float(value).hex()};" for name, value in outputs), ""]


def _numbers(array: Array) -> Iterable[str]:
    """Lines of numbers in hexadecimal digits, which are exact."""
    end = "f" if array.dtype == np.float32 else ""
    numbers = [_hexadecimal(value) + end for value in array.ravel().tolist()]
    for first in range(0, len(numbers), PER_LINE):
        yield f"    {', '.join(numbers[first : first + PER_LINE])},"


def _hexadecimal(value: float) -> str:
    digits, _, power = value.hex().partition("p")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}p{power}"


def _predict(net: Any, scaling: Scaling | None) -> str:
    scale = step.scale_of_inputs(net)
    first = f"x[k]{scale}" if scaling is None else f"(real)((x[k] - @mean[k]) / @scale[k]){scale}"
    lines = [f"for (k = 0; k < {net.sizes[0]}; k++)", f"    a[k] = {first};"]
    now, then = "a", "b"
    for layer in layers_of(net):
        lines += [
            f"/* layer {layer.number}: {layer.activation.name} */",
            f"@sums(@parameters + {layer.start}, {now}, {then}, {layer.n_in}, {layer.n_out});",
            *values(layer, net.dtype, then, then),
        ]
        now, then = then, now
    last = f"{now}[k]" if scaling is None else f"(double){now}[k] * @output_scale + @output_mean"
    lines += [f"for (k = 0; k < {net.sizes[-1]}; k++)", f"    y[k] = {last};"]
    body = indent("\n".join(lines), "    ")
    return PREDICT.replace("$widest", str(max(net.sizes))).replace("$body", body)
