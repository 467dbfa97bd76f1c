"""Gradients of what makes features of a table: scales, periodic embeddings, and the table of embeddings of codes.

Legend: as in :mod:`fastbp.kernels.encoder.features`; D deltas, dC/dA of the features A = s * (features).
"""

from math import pi

from fastbp.compiler import inline, kernel, when_tabular
from fastbp.kernels.backward import pull_to_inputs
from fastbp.kernels.encoder.features import angle, periodic_parts, periodic_stride
from fastbp.kernels.packing import fill
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.kernels.team import barrier, share
from fastbp.kernels.tuning import EMBEDDED
from fastbp.simd.register import fma, like, load, load_first, store, width
from fastbp.simd.vmath import cos, sin


@kernel
def _scale_gradients(plan, work, gradient, rows, team):
    """ds = sum over samples of D * features; the features (S, F) become s * D, their own deltas. A share of the columns."""
    stride, panel, lanes = plan.panel_stride, panel_width(work), width(work)
    scales, features = work + plan.packed + plan.scales, work + plan.features
    first, last = share(count_panels(plan.layers[0].n_in, work) * 2, team)
    for register in range(first, last):
        i = register * lanes
        d = work + plan.delta + i // panel * stride + i % panel
        scale, total = load(scales, i), load(gradient + plan.scales, i)
        for s in range(rows):
            row, delta = features + s * plan.features_stride, load(d, s * panel)
            total = fma(delta, load(row, i), total)
            store(row, i, delta * scale)
        store(gradient + plan.scales, i, total)


@inline
def _frequency_gradients(plan, work, gradient, data, samples, rows, h, n):
    """Adds to dw, db and dV of a frequency of W columns; z = 2 pi w x + b, dz = -sin(z) V^T d."""
    stride, count = periodic_stride(plan, work), plan.periodic
    w, b, v, _ = periodic_parts(plan, work + plan.packed + plan.periods)
    dw, db, dv, _ = periodic_parts(plan, gradient + plan.periods)
    k, next_one = h * stride + n, plan.frequencies * stride
    v_0, v_1, v_2 = load(v, k), load(v, k + next_one), load(v, k + 2 * next_one)
    total_w, total_b = load(dw, k), load(db, k)
    total_0, total_1, total_2 = load(dv, k), load(dv, k + next_one), load(dv, k + 2 * next_one)
    for s in range(rows):
        x = load_first(data.x + samples[s] * plan.columns + n, count - n)
        d = work + plan.features + s * plan.features_stride + count + n
        d_0, d_1, d_2 = (
            load_first(d, count - n),
            load_first(d + count, count - n),
            load_first(d + 2 * count, count - n),
        )
        z = angle(w + k, b + k, x)
        wave, dz = cos(z), -sin(z) * fma(v_0, d_0, fma(v_1, d_1, v_2 * d_2))
        total_b, total_w = total_b + dz, fma(dz * like(x, 2.0 * pi), x, total_w)
        total_0, total_1, total_2 = fma(d_0, wave, total_0), fma(d_1, wave, total_1), fma(d_2, wave, total_2)
    store(dw, k, total_w)
    store(db, k, total_b)
    store(dv, k, total_0)
    store(dv, k + next_one, total_1)
    store(dv, k + 2 * next_one, total_2)


@kernel
def _periodic_gradients(plan, work, gradient, data, samples, rows, team):
    """dw, db, dV and dc of the periodic embeddings; a share of the frequencies."""
    stride, count, lanes = periodic_stride(plan, work), plan.periodic, width(work)
    _, _, _, dc = periodic_parts(plan, gradient + plan.periods)
    first, last = share(stride // lanes * plan.frequencies, team)
    for unit in range(first, last):
        h, n = unit % plan.frequencies, unit // plan.frequencies * lanes
        _frequency_gradients(plan, work, gradient, data, samples, rows, h, n)
        if h == 0:
            for j in range(EMBEDDED):
                total = load(dc, j * stride + n)
                for s in range(rows):
                    row = work + plan.features + s * plan.features_stride
                    total = total + load_first(row + (1 + j) * count + n, count - n)
                store(dc, j * stride + n, total)


@kernel
def _table_gradients(plan, work, gradient, data, samples, rows, team):
    """Rows of the gradient of the table: the sums of the deltas of their codes; a share of the columns, no two of which meet."""
    size = plan.embedding
    begin = plan.periodic * (1 + EMBEDDED) + plan.plain
    first, last = share(plan.coded, team)
    for e in range(first, last):
        for s in range(rows):
            code = int(data.x[samples[s] * plan.columns + plan.periodic + plan.plain + e])
            d = work + plan.features + s * plan.features_stride + begin + e * size
            target = gradient + plan.table + code * size
            for k in range(size):
                target[k] += d[k]


@when_tabular
def encoder_gradients(plan, work, data, samples, rows, is_first, team):
    """Gradients of all that makes features, added to those of the blocks before; the features and deltas are overwritten."""
    layer, gradient = plan.layers[0], work + plan.gradient
    if is_first:
        first, last = share((plan.blends - plan.scales) // width(work), team)
        fill(gradient + plan.scales + first * width(work), (last - first) * width(work), 0.0)
    pull_to_inputs(plan, layer, work, rows, team)
    barrier(team)
    _scale_gradients(plan, work, gradient, rows, team)
    barrier(team)
    if plan.periodic > 0:
        _periodic_gradients(plan, work, gradient, data, samples, rows, team)
    if plan.coded > 0:
        _table_gradients(plan, work, gradient, data, samples, rows, team)
