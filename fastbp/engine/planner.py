"""From the sizes of a network to the places of its buffers: the plan that its kernels are given. Integer arithmetic only.

Legend: L layers; W lanes of a register; P = 2 W columns of a panel; S samples processed together (a whole mini-batch, or a part).
"""

import numpy as np

from fastbp.engine.memory import ALIGNMENT
from fastbp.engine.parameters import parameter_offsets
from fastbp.kernels.groups import BEYOND_LAYERS
from fastbp.kernels.plan import Layer, Plan, Step
from fastbp.kernels.tuning import (
    ABREAST_BYTES,
    ABREAST_LEAST,
    ABREAST_MOST,
    BLOCK_BYTES,
    BLOCK_ROWS,
    COMPACT,
    ENTRIES_OF_PIECE,
    FEW_WEIGHTS,
    LONG_BATCH,
    NARROW_BLOCK,
    PART,
    PIECE_BYTES,
    SIDE_BY_SIDE,
    SMALL_GRADIENT,
)
from fastbp.optimizers import N_COEFFICIENTS


def round_up(count: int, unit: int) -> int:
    """The smallest multiple of `unit` that is at least `count`."""
    return -(-count // unit) * unit


class Allocator:
    """Hands out offsets into a buffer that does not exist yet."""

    def __init__(self, unit: int):
        self.unit, self.total = unit, 0

    def take(self, count: int) -> int:
        """Offset of `count` more numbers."""
        start = self.total
        self.total += round_up(count, self.unit)
        return start


def block_rows(batch: int, sizes, itemsize: int) -> int:
    """S: the whole mini-batch, or a part whose activations and deltas stay in the cache when the mini-batch is long."""
    row_bytes = 2 * itemsize * sum(round_up(n, ALIGNMENT // itemsize) for n in sizes)
    if batch * row_bytes <= BLOCK_BYTES or batch <= LONG_BATCH:
        return batch
    return min(batch, max(BLOCK_ROWS, BLOCK_BYTES // row_bytes // BLOCK_ROWS * BLOCK_ROWS))


def kept_of_words(dropout: float) -> int:
    """Of 2^32 words, how many keep an input that is dropped with this probability."""
    return max(1, round((1.0 - dropout) * 2**32)) if dropout > 0 else 0


def _begun(sizes):
    """A plan that tells the sizes and where the parameters are, and a view of each of its layers."""
    n_layers = len(sizes) - 1
    plan = Plan.view.of(np.zeros(Plan.length(n_layers), np.int64))
    plan.n_layers = n_layers
    layers = [Layer.view.of(part) for part in plan.numbers[Plan.size :].reshape(n_layers, Layer.size)]
    for number, (row, offsets) in enumerate(zip(layers, parameter_offsets(sizes), strict=True)):
        row.number, row.n_in, row.n_out = number, sizes[number], sizes[number + 1]
        row.weights, row.biases, plan.n_params = offsets
    return plan, layers


def _place_step(plan, layers, work: Allocator) -> None:
    """Where the coefficients of a step are, and after them the hyper-parameter of each layer's activation."""
    plan.step = work.take(Step.size + len(layers))
    for row in layers:
        row.alpha = plan.step + Step.size + row.number
        row.rule = plan.step + Step.places["rule"]


def make_plan(
    sizes,
    activations,
    *,
    panel: int,
    batch: int,
    rows_together: int,
    slots: int,
    members: int,
    itemsize: int,
    dropout=None,
    entries=None,
    derives=False,
    encoder=None,
):
    """The plan of a network and the length of its work buffer.

    Parameters
    ----------
    sizes : sequence of int
    activations : sequence
        Activation of each layer in training (identity where the loss owns the link).
    panel : int
        P.
    batch : int
        Samples in a mini-batch.
    rows_together : int
        S. If it is less, and the gradients are so small that to add them up costs little, each member has blocks of its own.
    slots : int
        Slots of the rule (0 to 2), or -1 if no gradient is ever needed.
    members : int
        Threads of the team.
    itemsize : int
        Bytes of a number.
    dropout : sequence of float, optional
        Probability that an input of each layer is dropped.
    entries : fastbp.engine.sparsity.Entries, optional
        What there is in a sample, if the first layer is to leave out the zeros (see :mod:`fastbp.kernels.sparse.first_layer`); with
        no dropout of the inputs.
    derives : bool
        Whether derivatives with respect to the inputs are asked for; with neither of these two.
    encoder : Encoder, optional
        What makes the inputs, ``sizes[0]`` features, of the rows of a table; with none of these three.

    Returns
    -------
    plan : Plan
        Settings that depend on anything else are left 0. Where members have blocks of their own, room for a copy for each follows.
    length : int
        Numbers in `work`.
    """
    lanes = panel // 2
    plan, layers = _begun(sizes)
    work = Allocator(ALIGNMENT // itemsize)

    packed, transposed = Allocator(ALIGNMENT // itemsize), Allocator(ALIGNMENT // itemsize)
    for row in layers:
        row.pack = packed.take(round_up(row.n_out, panel) * (row.n_in + 1))
        if (row.number > 0 or derives or encoder) and slots >= 0:
            row.transpose = transposed.take(round_up(row.n_in, panel) * round_up(row.n_out, lanes))
    if encoder:
        _place_encoder(plan, layers, encoder, packed, panel)
    plan.n_packed = packed.total
    plan.packed = work.take(packed.total)
    plan.transposed = work.take(transposed.total)
    plan.gradient = work.take(packed.total) if slots >= 0 else 0
    plan.slot_1 = work.take(packed.total) if slots >= 1 else plan.gradient
    plan.slot_2 = work.take(packed.total) if slots >= 2 else plan.slot_1
    _place_step(plan, layers, work)
    if encoder:
        plan.coefficients = work.take((2 * len(layers) + BEYOND_LAYERS) * N_COEFFICIENTS)
        for row in layers:
            row.rule = plan.coefficients + 2 * row.number * N_COEFFICIENTS
    plan.norms = work.take(sum(round_up(n, panel) // panel for n in sizes[1:]))
    plan.copy = work.take(plan.n_params) if slots < 0 or plan.n_params <= FEW_WEIGHTS * lanes else 0

    is_small = packed.total * itemsize <= SMALL_GRADIENT and entries is None
    shared, alone = work.total, slots >= 0 and rows_together < batch and is_small
    plan.partials = work.take(packed.total) if alone else 0
    capacity = round_up(rows_together, lanes)
    if capacity * panel * itemsize % 4096 == 0:
        capacity += lanes  # panels a page apart would compete for the same cache lines
    stride = capacity * panel
    plan.block, plan.panel_stride = rows_together, stride

    def take_matrix(columns: int) -> int:
        return work.take(round_up(columns, panel) // panel * stride)

    if entries:
        bytes_of_column = SIDE_BY_SIDE * panel * itemsize
        pieces = max(1, min(round(entries.average / ENTRIES_OF_PIECE), -(-sizes[0] * bytes_of_column // PIECE_BYTES)))
        piece = round_up(-(-sizes[0] // pieces), lanes)
        plan.most_entries, plan.pieces, plan.piece = entries.most, -(-sizes[0] // piece), piece
        size = capacity * entries.most
        plan.values, plan.places, plan.bounds = [work.take(count) for count in (size, size, (pieces + 1) * capacity)]
        if slots >= 0:
            plan.column_values, plan.column_places, plan.column_begins = [work.take(count) for count in (size, size, sizes[0] + 2)]
    below = 0 if entries else take_matrix(sizes[0])
    plan.delta = take_matrix(sizes[0]) if derives or (encoder and slots >= 0) else 0
    if encoder:
        plan.features_stride = round_up(sizes[0] + 2 * panel, panel)  # registers are written past the end
        plan.features = work.take(capacity * plan.features_stride)
    for layer, (row, n_out, activation) in enumerate(zip(layers, sizes[1:], activations, strict=True)):
        row.input = below
        row.keep = kept_of_words(dropout[layer]) if dropout else 0
        row.dropped = (1 << 32) - row.keep if row.keep else 0
        if row.keep or (layer > 0 and layers[layer - 1].blend):
            row.mask = take_matrix(sizes[layer]) if row.keep else 0
            if layer > 0:
                row.input = take_matrix(sizes[layer])  # the slope of the layer below is taken of what was not dropped
        row.activation = below = take_matrix(n_out)
        row.needs_z = activation.needs_z or row.blend > 0
        row.raw = take_matrix(n_out) if row.needs_z and (slots >= 0 or row.blend > 0) else row.activation
        row.delta = take_matrix(n_out) if slots >= 0 else 0

    of_gradient = panel * max(2 * panel, SIDE_BY_SIDE * PART if entries else 0) + COMPACT
    plan.lanes_stride = (4 * round_up(sizes[-1], panel) + 1) * lanes + of_gradient
    plan.lanes = work.take((1 if alone else members) * plan.lanes_stride)
    plan.losses = work.take(capacity)
    if not alone:
        return plan, work.total
    plan.area = work.total - shared
    numbers = plan.numbers
    return Plan.view.of(np.concatenate([numbers, np.zeros(members * len(numbers), np.int64)])), shared + members * plan.area


def _place_encoder(plan, layers, encoder, packed: Allocator, panel: int) -> None:
    """Where an encoder's parameters, and the betas of parametric activations, are in the packed buffers and the flat vector."""
    plan.tabular, plan.columns, plan.encoder_params = 1, encoder.n_columns, plan.n_params
    plan.periodic, plan.plain, plan.coded = encoder.periodic, encoder.plain, encoder.coded
    plan.frequencies, plan.period_rows = encoder.frequencies, encoder.periodic_rows
    plan.embedding, plan.table_rows = encoder.embedding, encoder.table_rows
    plan.scales = packed.take(round_up(encoder.n_features, panel))
    plan.periods = packed.take(encoder.periodic_rows * round_up(encoder.periodic, panel // 2))
    plan.table = packed.take(encoder.table_rows * encoder.embedding)
    plan.blends = packed.total
    hidden = [row.n_out for row in layers[:-1]]
    plan.n_params += encoder.n_params(hidden)
    params = plan.n_params - sum(hidden)
    for row in layers[:-1] if encoder.blended else ():
        row.blend, row.blend_params = packed.take(round_up(row.n_out, panel)), params
        params += row.n_out


def make_narrow_plan(sizes, activations, *, lanes: int, batch: int, slots: int, itemsize: int):
    """Like `make_plan`, for :mod:`fastbp.kernels.narrow.minibatch`."""
    plan, layers = _begun(sizes)
    work = Allocator(ALIGNMENT // itemsize)
    samples = min(round_up(batch, lanes), NARROW_BLOCK)
    plan.block = samples

    start = 0
    for row in layers:
        row.pack = start
        start += row.n_out * (row.n_in + 1)
    packed = round_up(start, work.unit)  # so that one slot follows the other, as everywhere
    plan.n_packed = packed
    plan.packed = work.take(packed)
    plan.gradient = work.take(work.unit + packed) + work.unit  # that of one sample is written from the end, a register too far
    plan.slot_1 = work.take(packed) if slots >= 1 else plan.gradient
    plan.slot_2 = work.take(packed) if slots >= 2 else plan.slot_1
    plan.partials = work.take(packed * lanes)

    below = work.take((sizes[0] + 1) * samples)
    for row, n_out, activation in zip(layers, sizes[1:], activations, strict=True):
        row.input = below
        row.activation = below = work.take((n_out + 1) * samples)
        row.needs_z = activation.needs_z
        row.raw = work.take(n_out * samples) if activation.needs_z else row.activation
        row.delta = work.take(n_out * samples)

    _place_step(plan, layers, work)
    plan.lanes = work.take(samples + sizes[-1] * samples)
    return plan, work.total


def make_abreast_plan(sizes, activations, *, lanes: int, batch: int, slots: int, itemsize: int):
    """Like `make_plan`, for :mod:`fastbp.kernels.abreast`: where a network has a number there is a register."""
    plan, layers = _begun(sizes)
    work = Allocator(lanes)
    columns = sizes[0] + 1 + sum((2 + each.needs_z) * n_out + 1 for n_out, each in zip(sizes[1:], activations, strict=True))
    most = max(ABREAST_LEAST, min(ABREAST_MOST, ABREAST_BYTES // (columns * lanes * itemsize)))
    plan.block = samples = -(-batch // -(-batch // most))  # blocks of like size
    stride = samples * lanes

    start = 0
    for row in layers:
        row.pack = start
        start += row.n_out * (row.n_in + 1) * lanes
    plan.n_packed = start
    plan.packed, plan.gradient, plan.copy, plan.partials = (work.take(start) for _ in range(4))
    plan.slot_1 = work.take(start) if slots >= 1 else plan.gradient
    plan.slot_2 = work.take(start) if slots >= 2 else plan.slot_1

    together = 16 // itemsize  # columns that are taken together
    below = work.take(round_up(sizes[0] + 1, together) * stride)
    for row, n_out, activation in zip(layers, sizes[1:], activations, strict=True):
        row.input = below
        row.activation = below = work.take((n_out + 1) * stride)
        row.needs_z = activation.needs_z
        row.raw = work.take(n_out * stride) if activation.needs_z else row.activation
        row.delta = work.take(n_out * stride)

    plan.step = work.take((2 * N_COEFFICIENTS + 2) * lanes)
    alphas = work.take(len(layers))
    for row in layers:
        row.alpha = alphas + row.number
    plan.lanes = work.take((1 + round_up(sizes[-1], together)) * stride)
    plan.losses = work.take(2 * lanes)
    plan.norms = work.take(2 * lanes)
    return plan, work.total
