"""Networks as Python programs that need NumPy alone: the function ``predict(x)``, to be read as well as run.

Up to `MOST_IN_DIGITS` parameters are written as numbers, with as few digits as tell each from all others of its dtype; more are
written as the bytes of their arrays, in base 64. Either way they are exact, and one file is all there is.
"""

from __future__ import annotations

import base64
import json
import re
from textwrap import indent
from typing import Any

import numpy as np

from fastbp import activations, storage
from fastbp.exports import parts
from fastbp.exports.parts import Array, Scaling

MOST_IN_DIGITS = 1000
WIDTH = 120  # of lines of parameters

FUNCTIONS: dict[type, str] = {
    activations.Identity: "",
    activations.Sigmoid: """def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)
""",
    activations.Tanh: """def tanh(z):
    return np.tanh(z)
""",
    activations.ReLU: """def relu(z):
    return np.maximum(z, 0)
""",
    activations.Exp: """def exp(z):
    return np.exp(z)
""",
    activations.LeakyReLU: """def leaky_relu(z, alpha):
    return np.where(z > 0, z, alpha * z)
""",
    activations.ELU: """def elu(z, alpha):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))
""",
    activations.SELU: """def selu(z):
    return 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0)))
""",
    activations.Softplus: """def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
""",
    activations.SiLU: """def silu(z):
    e = np.exp(-np.abs(z))
    return z * (np.where(z < 0, e, 1) / (1 + e))
""",
    activations.GELU: """erfc = np.vectorize(math.erfc, otypes=[float])  # which NumPy does not have


def gelu(z):
    return z * (0.5 * erfc(z * -(0.5**0.5))).astype(z.dtype)
""",
    # tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2); it is 1 from z = 20 on
    activations.Mish: """def mish(z):
    e = np.exp(np.minimum(z, 20))
    n = e * (e + 2)  # z tanh(log(1 + e)), without rounding 1 + e
    return z * (n / (n + 2))
""",
    activations.HardSigmoid: """def hard_sigmoid(z):
    return np.clip(z / 6 + 0.5, 0, 1)
""",
    activations.Softmax: """def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
""",
}

SPLIT = """weights, biases, start = [], [], 0
for n_in, n_out in zip(sizes[:-1], sizes[1:]):
    weights.append(parameters[start : start + n_in * n_out].reshape(n_out, n_in))
    start += n_in * n_out
    biases.append(parameters[start : start + n_out])
    start += n_out
"""


def write(net: Any, path: Any, scaling: Scaling | None = None) -> str:
    """The program of a network, which is written, too, if there is a path; see `Network.to_numpy`."""
    if path is not None:
        path = parts.checked_path(path)
    text = source(net, scaling)
    if path is not None:
        storage.replace(path, text.encode())
    return text


def source(net: Any, scaling: Scaling | None = None) -> str:
    """The text of the program."""
    parts.check(net, "to_numpy", FUNCTIONS)
    parts.check_finite(net, "to_numpy")
    used = dict.fromkeys(type(each) for each in (*net.hidden, net.output))
    in_digits = net.params.size <= MOST_IN_DIGITS
    libraries = [*([] if in_digits else ["base64"]), *(["math"] if activations.GELU in used else [])]
    parameters = _arrays(net) if in_digits else f"sizes = {list(net.sizes)}\n{_bytes(net)}{SPLIT}"
    sections = [
        f'"""A network of {parts.origin(net)}.\n\nIt needs NumPy alone.{_columns(scaling)}\n"""\n',
        "".join(f"import {each}\n" for each in libraries),
        "import numpy as np\n",
        f'dtype = np.dtype("{net.dtype.name}")\n' + ("" if scaling is None else _scaling(scaling)) + parameters,
        *("\n" + FUNCTIONS[each] for each in used if FUNCTIONS[each]),
        "\n" + _predict(net, scaling),
    ]
    return "\n".join(each for each in sections if each)


def _columns(scaling: Scaling | None) -> str:
    if scaling is None:
        return ""
    lines = ["", "", "Inputs are scaled before, and outputs scaled back. A column of categories is an input for each, 1 or 0.", ""]
    lines += [f"x[:, {j}] is {_quoted(each)}" for j, each in enumerate(scaling.inputs)]
    lines += [f"y[:, {k}] is {_quoted(each)}" for k, each in enumerate(scaling.outputs)]
    return "\n".join(lines)


def _quoted(name: str) -> str:
    """In ASCII, and without what would end a docstring, or mean something in it."""
    return re.sub(r'["\\]', lambda found: "'" if found[0] == '"' else "/", json.dumps(name))


def _scaling(scaling: Scaling) -> str:
    arrays = [_array(f"input_{name}", np.asarray(getattr(scaling, name), np.float64), "float") for name in ("mean", "scale")]
    return "".join([*arrays, f"output_mean, output_scale = {scaling.output_mean!r}, {scaling.output_scale!r}\n"])


def _arrays(net: Any) -> str:
    text = "weights, biases = [], []\n"
    for w, b in zip(net.weights, net.biases, strict=True):
        text += _appended("weights", w) + _appended("biases", b)
    return text


def _appended(name: str, array: Array) -> str:
    rows = [_wrapped(row.ravel()) for row in (array if array.ndim == 2 else [array])]
    if array.ndim == 1:
        return f"{name}.append(np.array([\n{indent(rows[0], '    ')}\n], dtype))\n"
    lines = "".join(f"    [\n{indent(row, ' ' * 8)}\n    ],\n" for row in rows)
    return f"{name}.append(np.array([\n{lines}], dtype))\n"


def _array(name: str, array: Array, dtype: str) -> str:
    return f"{name} = np.array([\n{indent(_wrapped(array), '    ')}\n], {dtype})\n"


def _wrapped(array: Array) -> str:
    """Numbers and commas, in lines."""
    lines, line = [], ""
    for number in map(_digits, array):
        if line and len(line) + len(number) > WIDTH:
            lines.append(line.rstrip())
            line = ""
        line += f"{number}, "
    return "\n".join([*lines, line.rstrip()])


def _digits(number: Any) -> str:
    """As few as become this number again: what is read is a float64, and then rounded to the dtype."""
    short = str(number)
    return short if type(number)(float(short)) == number else repr(float(number))


def _bytes(net: Any) -> str:
    little = net.dtype.newbyteorder("<").str
    text = base64.b64encode(net.params.astype(little).tobytes()).decode("ascii")
    lines = "\n".join(text[start : start + WIDTH] for start in range(0, len(text), WIDTH))
    return f'parameters = np.frombuffer(base64.b64decode("""\n{lines}\n"""), "{little}").astype(dtype)\n'


def _predict(net: Any, scaling: Scaling | None) -> str:
    n_in, n_out = net.sizes[0], net.sizes[-1]
    lines = [
        f'"""Outputs (n, {n_out}) of the rows x (n, {n_in}), or ({n_out},) of one (n_inputs,)."""'.replace("n_inputs", str(n_in))
    ]
    scale = "" if net.input_scale == 1.0 else f" * dtype.type({net.input_scale!r})"
    if scaling is None:
        lines.append(f"a = np.asarray(x, dtype){scale}")
    else:
        lines.append(f"a = ((np.asarray(x, float) - input_mean) / input_scale).astype(dtype){scale}")
    for number, activation in enumerate((*net.hidden, net.output)):
        z = f"a @ weights[{number}].T + biases[{number}]"
        alpha = f", dtype.type({activation.alpha!r})" if "alpha" in activation.parameters() else ""
        lines.append(f"a = {z}" if activation.name == "identity" else f"a = {activation.name}({z}{alpha})")
    lines.append("return a" if scaling is None else "return a.astype(float) * output_scale + output_mean")
    return f"def predict(x):\n{indent(chr(10).join(lines), '    ')}\n"
