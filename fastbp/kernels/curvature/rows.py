"""Rows of J = d outputs / d parameters, in the order of the user's flat vector, by the delta recursion from one output at a time.

A row belongs to a sample and an output k: delta, with e_k in the place of dC/da, times the inputs of each layer. After the P
parameters comes the error of that output, so that J^T J holds J^T e and e^T e, too. A row is multiplied by the square root of its
sample's weight.

Legend: S samples of a block; P parameters; I inputs and O outputs of a layer; W lanes of a register; Q columns of a panel.
"""

from math import sqrt

from fastbp.compiler import kernel
from fastbp.kernels.backward import backward, multiply_slope_of_panel
from fastbp.kernels.forward import IDENTITY
from fastbp.kernels.packing import copy
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.kernels.samples import weight_of
from fastbp.kernels.team import barrier, share
from fastbp.simd.register import broadcast, like, load, store, width


@kernel
def _begin_deltas(plan, work, data, batch, k, team):
    """D (S, O) = sqrt(w) e_k * f'(Z) of the last layer; a share of the samples."""
    layer, stride, panel = plan.layers[plan.n_layers - 1], plan.panel_stride, panel_width(work)
    first, last = share(batch.count, team)
    zero = like(load(work, 0), 0.0)
    for p in range(count_panels(layer.n_out, work)):
        begin = p * stride + first * panel
        d = work + layer.delta + begin
        for i in range(0, (last - first) * panel, width(work)):
            store(d, i, zero)
        if k // panel == p:
            for row in range(last - first):
                d[row * panel + k % panel] = sqrt(weight_of(plan, data, batch, first + row))
        if layer.code != IDENTITY:
            a, z, left = work + layer.activation + begin, work + layer.raw + begin, layer.n_out - p * panel
            multiply_slope_of_panel(layer.code, z, a, d, last - first, left, work + layer.alpha)


@kernel
def _write_layer(layer, work, sample, stride, row):
    """The derivatives of one sample's output with respect to the parameters of a layer, and some lanes past them.

    `sample`: where its row in the first panel of a matrix begins.
    """
    n_in, n_out, panel, lanes = layer.n_in, layer.n_out, panel_width(work), width(work)
    a, d = work + layer.input + sample, work + layer.delta + sample
    w, b = row + layer.weights, row + layer.biases
    for o in range(n_out):
        delta = broadcast(d, o // panel * stride + o % panel)
        for i in range(0, n_in, lanes):
            store(w, i, delta * load(a, i // panel * stride + i % panel))
        w = w + n_in
    for o in range(0, n_out, lanes):
        store(b, o, load(d, o // panel * stride + o % panel))


@kernel
def _write_rows(plan, work, data, batch, k, panels, row, team):
    """Panels (S, P + 1) of J and e from the deltas of all layers; a share of the samples.

    `row` has room for all panels of a row, and for a register more: rows are put together there, where a register may be written
    across the end of a panel.
    """
    last_layer, stride, panel, lanes = plan.layers[plan.n_layers - 1], plan.panel_stride, panel_width(work), width(work)
    n_params, n_out, zero = plan.n_params, plan.layers[plan.n_layers - 1].n_out, like(load(work, 0), 0.0)
    count = count_panels(n_params + 1, work)
    first, last = share(batch.count, team)
    for b in range(first, last):
        for number in range(plan.n_layers):
            _write_layer(plan.layers[number], work, b * panel, stride, row)
        for i in range(n_params, count * panel, lanes):
            store(row, i, zero)
        output = work[last_layer.activation + k // panel * stride + b * panel + k % panel]
        error = output - data.y[batch.samples[b] * n_out + k]
        row[n_params] = error * sqrt(weight_of(plan, data, batch, b))
        for p in range(count):
            copy(row + p * panel, panels + p * stride + b * panel, panel)


@kernel
def write_rows_of_output(plan, work, data, batch, k, panels, row, team):
    """Panels (S, P + 1): the rows of J and e that belong to output k of the samples of a block, after the forward pass.

    Deltas of all layers are overwritten.
    """
    _begin_deltas(plan, work, data, batch, k, team)
    barrier(team)
    for number in range(plan.n_layers - 1, 0, -1):
        backward(plan, plan.layers[number], work, batch.count, team)
        barrier(team)
    _write_rows(plan, work, data, batch, k, panels, row, team)
    barrier(team)
