"""Parametric activations: a = z + beta (f(z) - z) with a trained beta for every unit (Holzmueller, Grinsztajn & Steinwart, 2024).

Legend: S samples of the block; O outputs of the layer; P columns of a panel; W lanes; E (S, O) the derivative with respect to beta
of each sample.
"""

from fastbp.activations import ACTIVATIONS
from fastbp.compiler import inline, kernel, switch_over, when_tabular
from fastbp.kernels.packing import clear_past
from fastbp.kernels.products.gemm import column_sums, count_panels, panel_width
from fastbp.kernels.team import share
from fastbp.simd.record import following
from fastbp.simd.register import broadcast, fma, like, load, store, width
from fastbp.simd.tile import CONTINUE, ZERO


@when_tabular
def blend(plan, layer, work, p, top, rows, drops):
    """What the next layer reads: Z + beta (A - Z), times its mask where inputs are dropped, for rows from `top` on of panel p."""
    above, panel, lanes = following(layer), panel_width(work), width(work)
    out, beta = p * plan.panel_stride + top * panel, work + plan.packed + layer.blend + p * panel
    z, a, target = work + layer.raw + out, work + layer.activation + out, work + above.input + out
    mask, is_masked = work + above.mask + out, drops and above.keep > 0
    for column in range(0, panel, lanes):
        b = load(beta, column)
        for i in range(column, rows * panel, panel):
            value = fma(b, load(a, i) - load(z, i), load(z, i))
            store(target, i, value * load(mask, i) if is_masked else value)


def _slope_sweep(cls):
    slope = inline(cls.slope)

    @kernel
    def sweep(z, a, d, count, step, beta, alpha):
        alpha = broadcast(alpha, 0)
        for column in range(0, step, width(z)):
            b, one = load(beta, column), like(load(beta, column), 1.0)
            for i in range(column, count, step):
                z_i, a_i, d_i = load(z, i), load(a, i), load(d, i)
                store(d, i, d_i * fma(b, slope(z_i, a_i, alpha) - one, one))
                store(a, i, d_i * (a_i - z_i))

    return sweep


_choose_sweep = switch_over(ACTIVATIONS, _slope_sweep)


@when_tabular
def multiply_blended_slope(plan, layer, work, p, out, rows, columns):
    """D = D * (1 + beta (f'(Z) - 1)), and E = D (A - Z) in the place of A = f(Z), for rows of a panel."""
    panel = panel_width(work)
    z, a, d = work + layer.raw + out, work + layer.activation + out, work + layer.delta + out
    _choose_sweep(layer.code, z, a, d, rows * panel, panel, work + plan.packed + layer.blend + p * panel, work + layer.alpha)
    if columns < panel:
        clear_past(a, rows, columns)
        clear_past(d, rows, columns)


@when_tabular
def blend_gradients(plan, work, rows, is_first, team):
    """The gradient of every beta, sums over the samples of E, of this block and those before; a share of the panels."""
    panel = panel_width(work)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        if layer.blend > 0:
            first, last = share(count_panels(layer.n_out, work), team)
            for p in range(first, last):
                e = work + layer.activation + p * plan.panel_stride
                g = work + plan.gradient + layer.blend + p * panel
                column_sums(e, rows, g, ZERO if is_first else CONTINUE)
