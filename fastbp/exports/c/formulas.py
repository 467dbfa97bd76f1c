"""Activations and losses in C: expressions and statements in double precision, which `typed` makes those of float.

In an activation z is the raw output of a unit, a = f(z), ``$alpha`` the shape parameter. A loss has the outputs v (raw ones if it
owns a link) and the targets t of a sample, adds to ``loss``, and writes dl/dv to d; ``$scale`` is its one number. Names behind @
are functions of the file, of which those are written that are used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastbp import activations, losses

LIBRARY = "erfc|expm1|exp|fabs|log1p|log|tanh"  # of math.h


@dataclass
class Formula:
    """An activation: expressions of a = f(z), and of its slope in z and a."""

    value: str
    slope: str


FUNCTIONS = {
    "sigmoid": """static real @sigmoid(real z)
{
    const real e = exp(-fabs(z));
    return (z < 0.0 ? e : 1.0) / (1.0 + e);
}
""",
    "softplus": """static real @softplus(real z)
{
    return (z > 0.0 ? z : 0.0) + log1p(exp(-fabs(z)));
}
""",
    # tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2); it is 1 from z = 20 on
    "mish": """static real @mish(real z)
{
    const real e = exp(z < 20.0 ? z : 20.0);
    const real n = e * (e + 2.0);
    return z * (n / (n + 2.0));
}
""",
    "mish_slope": """static real @mish_slope(real z)
{
    const real e = exp(z < 20.0 ? z : 20.0);
    const real n = e * (e + 2.0);
    const real t = n / (n + 2.0);
    return t + z * ((1.0 + t) * (2.0 / (n + 2.0))) * (e / (1.0 + e));
}
""",
    "hard_sigmoid": """static real @hard_sigmoid(real z)
{
    const real a = z * 0.16666666666666666 + 0.5;
    return a < 0.0 ? 0.0 : a > 1.0 ? 1.0 : a;
}
""",
    "silu_slope": """static real @silu_slope(real z, real a)
{
    const real s = @sigmoid(z);
    return s + a * (1.0 - s);
}
""",
    "softmax": """static void @softmax(real *z, size_t n)
{
    real most = z[0], sum = 0.0;
    size_t k;
    for (k = 1; k < n; k++)
        most = z[k] > most ? z[k] : most;
    for (k = 0; k < n; k++) {
        z[k] = exp(z[k] - most);
        sum += z[k];
    }
    for (k = 0; k < n; k++)
        z[k] /= sum;
}
""",
    "sign": """static real @sign(real e, real above, real below)
{
    return e > 0.0 ? above : e < 0.0 ? below : 0.0 * e;
}
""",
    "clip": """static real @clip(real e, real most)
{
    return e > most ? most : e < -most ? -most : e;
}
""",
}

ACTIVATIONS: dict[type, Formula] = {
    activations.Identity: Formula("z", "1.0"),
    activations.Sigmoid: Formula("@sigmoid(z)", "a * (1.0 - a)"),
    activations.Tanh: Formula("tanh(z)", "(1.0 - a) * (1.0 + a)"),
    activations.ReLU: Formula("z < 0.0 ? 0.0 : z", "a > 0.0 ? 1.0 : 0.0"),
    activations.Exp: Formula("exp(z)", "a"),
    activations.LeakyReLU: Formula("z > 0.0 ? z : $alpha * z", "a > 0.0 ? 1.0 : $alpha"),
    activations.ELU: Formula("z > 0.0 ? z : $alpha * expm1(z)", "a > 0.0 ? 1.0 : a + $alpha"),
    activations.SELU: Formula(
        "1.0507009873554805 * (z > 0.0 ? z : 1.6732632423543772 * expm1(z))",
        "a > 0.0 ? 1.0507009873554805 : a + 1.7580993408473766",
    ),
    activations.Softplus: Formula("@softplus(z)", "@sigmoid(z)"),
    activations.SiLU: Formula("z * @sigmoid(z)", "@silu_slope(z, a)"),
    activations.GELU: Formula(
        "z * (0.5 * erfc(z * -0.7071067811865476))",
        "0.5 * erfc(z * -0.7071067811865476) + z * (0.3989422804014327 * exp(-0.5 * (z * z)))",
    ),
    activations.Mish: Formula("@mish(z)", "@mish_slope(z)"),
    activations.HardSigmoid: Formula("@hard_sigmoid(z)", "a > 0.0 && a < 1.0 ? 0.16666666666666666 : 0.0"),
    activations.Softmax: Formula("", ""),  # of all outputs of a sample together, and never without its loss
}

_EACH = "for (k = 0; k < $count; k++) {{\n{}}}\n"
LOSSES: dict[type, str] = {
    losses.SquaredError: _EACH.format(
        """    const real error = v[k] - t[k];
    loss += $scale * (error * error);
    d[k] = 2.0 * $scale * error;
"""
    ),
    # exp(v - most): the largest term is 1, so nothing overflows and the sum is at least 1
    losses.CrossEntropy: """{
    real most = v[0], sum = 0.0, mass = 0.0;
    for (k = 1; k < $count; k++)
        most = v[k] > most ? v[k] : most;
    for (k = 0; k < $count; k++) {
        const real target = (1.0 - $scale) * t[k] + $scale / $real_count;
        d[k] = exp(v[k] - most);
        sum += d[k];
        mass += target;
        loss -= target * (v[k] - most);
    }
    loss += mass * log(sum);
    for (k = 0; k < $count; k++)
        d[k] = d[k] * (mass / sum) - ((1.0 - $scale) * t[k] + $scale / $real_count);
}
""",
    losses.BinaryCrossEntropy: _EACH.format(
        """    const real target = (1.0 - $scale) * t[k] + 0.5 * $scale;
    loss += @softplus(v[k]) - target * v[k];
    d[k] = @sigmoid(v[k]) - target;
"""
    ),
    losses.Poisson: _EACH.format(
        """    const real mean = exp(v[k]);
    loss += mean - t[k] * v[k] + ((t[k] > 0.0 ? t[k] * log(t[k]) : 0.0) - t[k]);
    d[k] = mean - t[k];
"""
    ),
    losses.Gamma: _EACH.format(
        """    const real ratio = t[k] * exp(-v[k]);
    loss += v[k] - log(t[k]) + (ratio - 1.0);
    d[k] = 1.0 - ratio;
"""
    ),
    losses.AbsoluteError: _EACH.format(
        """    const real error = v[k] - t[k];
    loss += fabs(error);
    d[k] = @sign(error, 1.0, -1.0);
"""
    ),
    losses.Huber: _EACH.format(
        """    const real error = v[k] - t[k];
    d[k] = @clip(error, $scale);
    loss += d[k] * (error - 0.5 * d[k]);
"""
    ),
    losses.Quantile: _EACH.format(
        """    const real error = t[k] - v[k];
    loss += error > 0.0 ? $scale * error : ($scale - 1.0) * error;
    d[k] = @sign(error, -$scale, 1.0 - $scale);
"""
    ),
    losses.LogCosh: _EACH.format(
        """    const real error = v[k] - t[k];
    loss += fabs(error) + (@softplus(-2.0 * fabs(error)) - 0.6931471805599453);
    d[k] = tanh(error);
"""
    ),
}


def typed(text: str, is_float: bool) -> str:
    """`text` of real numbers, in C of float or double."""
    text = re.sub(r"\breal\b", "float" if is_float else "double", text)
    if not is_float:
        return text
    text = re.sub(rf"(?<![\w@])({LIBRARY})(?=\()", r"\1f", text)
    return re.sub(r"(?<![\w.])(\d+\.\d+(?:e[+-]\d+)?)(?![\w.])", r"\1f", text)


def functions_of(text: str) -> str:
    """The functions of the file that are used in `text`, each below those it uses."""
    found: dict[str, str] = {}

    def add(code: str) -> None:
        for name in dict.fromkeys(re.findall(r"@(\w+)\(", code)):
            if name in FUNCTIONS and name not in found:
                add(FUNCTIONS[name].partition("\n")[2])
                found[name] = FUNCTIONS[name]

    add(text)
    return "".join(f"{each}\n" for each in found.values())
