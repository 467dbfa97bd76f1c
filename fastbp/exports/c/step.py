"""A step of gradient descent in C: backpropagation of the network's loss, sample by sample, and the mean gradient."""

from __future__ import annotations

from textwrap import indent
from typing import Any

from fastbp.exports import parts
from fastbp.exports.c.formulas import LOSSES
from fastbp.exports.c.layers import decimal, layers_of, slopes, values

ABOUT = """
@step takes one step of gradient descent with the mean gradient of n samples, a row of x and one of targets y
each, and gives their mean loss before it. The targets of classes are rows with 1 at the class, else 0.
@parameters are trained: of each layer the weights, a row for each input, and then the biases. Beside them there is
memory for a gradient and one sample; two threads must not take a step at once, nor predict meanwhile."""

PROTOTYPE = "real @step(const real *x, const real *y, size_t n, real rate)"

BACK = """static void @add_gradient(real *g, const real *a, const real *d, size_t n_in, size_t n_out)
{
    size_t j, k;
    for (j = 0; j < n_in; j++)
        for (k = 0; k < n_out; k++)
            g[j * n_out + k] += a[j] * d[k];
    for (k = 0; k < n_out; k++)
        g[n_in * n_out + k] += d[k];
}
"""
THROUGH = """static void @through_weights(const real *p, const real *d, real *e, size_t n_in, size_t n_out)
{
    size_t j, k;
    for (j = 0; j < n_in; j++) {
        real sum = 0.0;
        for (k = 0; k < n_out; k++)
            sum += p[j * n_out + k] * d[k];
        e[j] = sum;
    }
}
"""
STEP = """$prototype
{
    real loss = 0.0;
    size_t i;
    if (n == 0)
        return loss;
    for (i = 0; i < $n_params; i++)
        @gradient[i] = 0.0;
    for (i = 0; i < n; i++)
        loss += @backpropagate(x + i * @n_inputs, y + i * @n_outputs);
    for (i = 0; i < $n_params; i++)
        @parameters[i] -= rate * (@gradient[i] / (real)n);
    return loss / (real)n;
}
"""


def check(net: Any) -> None:
    """Raise for a loss that is not the package's."""
    if type(net.loss_function) not in LOSSES:
        raise parts.unknown("to_c(training=True)", "loss", net.loss_function)


def functions(net: Any) -> str:
    """The functions of a step."""
    layers = list(layers_of(net))
    count, last = net.params.size, layers[-1]
    lines = [f"for (k = 0; k < {net.sizes[0]}; k++)", f"    a0[k] = x[k]{scale_of_inputs(net)};"]
    for layer in layers:
        n, is_raw = layer.number, layer is last and net.loss_function.link
        lines += [
            f"/* layer {n}: {layer.activation.name} */",
            f"@sums(@parameters + {layer.start}, a{n - 1}, z{n}, {layer.n_in}, {layer.n_out});",
        ]
        lines += [] if is_raw else values(layer, net.dtype, f"z{n}", f"a{n}")
    outputs = f"{'z' if net.loss_function.link else 'a'}{last.number}"
    lines += [f"/* {net.loss_function.name} */", *_loss(net, outputs).splitlines()]
    d, e = "d", "e"
    if not net.loss_function.link:
        lines += slopes(last, net.dtype, f"z{last.number}", f"a{last.number}", d)
    for layer in reversed(layers):
        n = layer.number
        lines += [f"/* layer {n} */", f"@add_gradient(@gradient + {layer.start}, a{n - 1}, {d}, {layer.n_in}, {layer.n_out});"]
        if n > 1:
            lines.append(f"@through_weights(@parameters + {layer.start}, {d}, {e}, {layer.n_in}, {layer.n_out});")
            lines += slopes(layers[n - 2], net.dtype, f"z{n - 1}", f"a{n - 1}", e)
        d, e = e, d
    lines.append("return loss;")
    kept = [f"a0[{net.sizes[0]}]"]
    for layer in layers:
        n = layer.number
        kept += [f"z{n}[{layer.n_out}]"] + ([] if layer is last and net.loss_function.link else [f"a{n}[{layer.n_out}]"])
    widest = max(net.sizes[1:])
    kept += [f"d[{widest}]"] + ([f"e[{widest}]"] if len(layers) > 1 else [])
    declared = "".join(f"    static real {each};\n" for each in kept) + "    real loss = 0.0;\n    size_t k;\n\n"
    body = f"static real @backpropagate(const real *x, const real *t)\n{{\n{declared}{indent(chr(10).join(lines), '    ')}\n}}\n"
    steps = STEP.replace("$prototype", PROTOTYPE).replace("$n_params", str(count))
    through = [THROUGH] if len(layers) > 1 else []
    return "\n".join([f"static real @gradient[{count}];\n", BACK, *through, body, steps])


def scale_of_inputs(net: Any) -> str:
    """What x is multiplied by."""
    return "" if net.input_scale == 1.0 else f" * {decimal(net.input_scale, net.dtype)}"


def _loss(net: Any, outputs: str) -> str:
    loss, count = net.loss_function, net.sizes[-1]
    code = LOSSES[type(loss)].replace("$scale", decimal(loss.scale(count), net.dtype))
    return code.replace("$real_count", decimal(count, net.dtype)).replace("$count", str(count)).replace("v[", f"{outputs}[")
