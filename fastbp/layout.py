"""Where everything is: sizes to offsets into flat buffers. Integer arithmetic only.

Three buffers reach the kernels. ``params`` is the user's flat vector [W0, b0, W1, b1, ...], row-major, of which weights and biases
are views. ``work`` holds what the kernels keep: packed and transposed weights, slots, gradients, activations, deltas. ``plan`` is
an integer array: settings by the names below, then one row of the layer table for each layer.

Legend: L layers; W lanes of a register; P = 2 W columns of a panel; S samples processed together (a whole mini-batch, or a part).
"""

from functools import cache
from itertools import pairwise

import numpy as np

from fastbp.compiler.modules import add_this_module

add_this_module()

ALIGNMENT = 64  # bytes: a line of the cache, and the widest register

# settings: positions in `plan`
(
    N_LAYERS,
    ROWS,  # rows visited in an epoch
    BATCH,  # samples in a mini-batch
    BLOCK,  # S
    PANEL_STRIDE,  # numbers from one panel of S samples to the next
    LOSS,
    RULE,
    OUTPUT,  # code of the activation that predictions end with
    LABELS,  # 1: targets are class numbers, 0: rows of numbers
    WEIGHTED,  # 1: samples have weights
    ORDER,  # how the rows of an epoch are ordered: one of the codes below
    ORDER_STRIDE,  # numbers from one epoch's rows to the next in `order`
    POPULATION,  # samples there are
    STATUS,  # written by the kernel: RUNNING, STOPPED, DIVERGED or UNKNOWN_CODE
    SEED,
    SEPARATE,  # 1: gradients go to memory before the step, for their norms
    EPOCH,  # cursor: where training goes on
    FIRST,
    EPOCHS,  # epochs in this call, at most
    STEPS,  # mini-batches in this call, at most
    LIMIT,  # epochs without progress that end the training, 0: any number
    PENALISED,  # the penalty on the weights: one of the codes below
    PACKED,  # offsets into `work`
    TRANSPOSED,
    GRADIENT,
    SLOT_1,
    SLOT_2,
    COEFFICIENTS,
    LANES,  # lane blocks, one set for each member that works on a block
    LANES_STRIDE,
    LOSSES,  # one sum of losses for each register of samples
    COPY,  # of the parameters that are packed, where only predictions are made
    PARTIALS,  # gradients not yet summed: of narrow networks over the lanes, of blocks over the blocks
    N_PACKED,
    RATES,  # learning rates of an epoch: 1, or one for every mini-batch
    COMPLETED,  # 1: the gradient is completed by L1 and clipping before the rule sees it
    NORMS,  # sums of squares of the gradient, panel by panel
    AREA,  # numbers from one member's block to the next, where each member has a block of its own; else 0
    MOST_ENTRIES,  # numbers other than zero in a sample, at most; 0: samples are panels like all matrices
    COMPRESSED,  # 1: samples come without their zeros, 0: as rows of all numbers
    VALUES,  # entries of a block by rows: numbers, their columns, and where those of each row in each piece of the columns begin
    PLACES,
    BOUNDS,
    PIECES,  # of the columns
    PIECE,  # columns of each
    COLUMN_VALUES,  # the same entries by columns: numbers, their rows, and where those of each column begin
    COLUMN_PLACES,
    COLUMN_BEGINS,
    PANEL_LOSS,  # 1: the loss takes the outputs as they are, in panels; else it takes samples side by side in the lanes
) = range(49)
TABLE = 49  # first row of the layer table

# positions in `reals`: hyper-parameters of the rule come first
(
    L2,  # lambda of the penalty lambda / 2 sum W^2, or that times the weight of a mini-batch
    LOSS_SCALE,  # the loss's own hyper-parameter
    REPORT,  # factor of the loss that is reported, not of its gradient
    LOSS_SUM,  # of the mini-batches' losses, each times its rows
    LOSS_ROWS,
    TOLERANCE,  # of the rule that ends the training
    BEST,  # loss of an epoch
    WAITED,  # epochs running without progress
    CAP,  # the most that the loss of a sample is reported as
    L1,  # factor of sum |W|, or that times the weight of a mini-batch
    CLIP_VALUE,  # largest size of a component of the gradient
    CLIP_NORM,  # largest Euclidean norm of the gradient
    MAX_NORM,  # largest Euclidean norm of the weights of a unit, 0: any
    UNIT,  # of the sample weights: a penalty PER_BATCH is divided by it, too
    STRICT,  # 1: a loss that gains just TOLERANCE is no progress
) = range(8, 23)
N_REALS = 24

# columns of the layer table; offsets of one layer
(
    N_IN,
    N_OUT,
    WEIGHTS,  # into params
    BIASES,
    PACK,  # into each of the packed buffers
    TRANSPOSE,  # into the transposed weights
    INPUT,  # into work: activations of the layer below
    ACTIVATION,  # activations of this layer
    RAW,  # z, kept beside a where the slope needs it (else the place of a)
    DELTA,  # dC/dz
    CODE,  # of the activation in training: identity where the loss owns the link
    NEEDS_Z,
    KEEP,  # dropout of this layer's inputs: 2^32 times the probability that one is kept, 0: no dropout
    MASK,  # of its inputs
) = range(14)
COLUMNS = 16

GIVEN, SHUFFLED, WITH_REPLACEMENT = range(3)
NOT_PENALISED, PER_POPULATION, PER_BATCH = range(3)
RUNNING, STOPPED, DIVERGED, UNKNOWN_CODE = range(4)
SOFTMAX = -1  # OUTPUT
NO_RULE = -1  # RULE: no step is taken
MAX_STEPS = 1 << 40

N_COEFFICIENTS = 8


def parameter_offsets(sizes) -> list[tuple[int, int, int]]:
    """(offset of W, offset of b, end) of each layer in the flat parameter vector."""
    offsets, start = [], 0
    for n_in, n_out in pairwise(sizes):
        biases = start + n_in * n_out
        offsets.append((start, biases, biases + n_out))
        start = biases + n_out
    return offsets


@cache
def places(sizes: tuple[int, ...]) -> tuple:
    """Where the weights (n_out, n_in), and the biases (n_out,), of each layer are in the flat vector: slices and shapes."""
    shapes = [(n_out, n_in) for n_in, n_out in pairwise(sizes)]
    offsets = list(zip(parameter_offsets(sizes), shapes, strict=True))
    weights = tuple((slice(w, b), shape) for (w, b, _), shape in offsets)
    return weights, tuple((slice(b, end), shape[:1]) for (_, b, end), shape in offsets)


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


PART = 64  # columns of sparse samples whose gradient is computed, and used, at a time
COMPACT = 512  # deltas of few outputs that are kept side by side while a gradient is computed, at most
SIDE_BY_SIDE = 4  # panels whose sums over the entries of a sample run side by side
ENTRIES_OF_PIECE = 8  # of a sample, at least, in a piece of its columns whose weights stay in the first-level cache
PIECE_BYTES = 1 << 14

SMALL_GRADIENT = 1 << 17  # bytes: to add it to another takes little of the time in which a block gives it


def block_rows(batch: int, sizes, itemsize: int) -> int:
    """S: the whole mini-batch, or a part whose activations and deltas stay in the cache when the mini-batch is long."""
    row_bytes = 2 * itemsize * sum(round_up(n, ALIGNMENT // itemsize) for n in sizes)
    if batch * row_bytes <= 1 << 18 or batch <= 1024:
        return batch
    return min(batch, max(96, (1 << 18) // row_bytes // 96 * 96))


def plan_length(n_layers: int) -> int:
    """Integers in a plan, or in a member's copy of it for its own block."""
    return TABLE + COLUMNS * n_layers


def kept_of_words(dropout: float) -> int:
    """KEEP: of 2^32 words, how many keep an input that is dropped with this probability."""
    return max(1, round((1.0 - dropout) * 2**32)) if dropout > 0 else 0


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
):
    """The integer plan of a network and the length of its work buffer.

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
        What there is in a sample, if the first layer is to leave out the zeros (see :mod:`fastbp.kernels.products.sparse`; with no
        dropout of the inputs).

    Returns
    -------
    plan : ndarray of int64
        Settings that depend on anything else are left 0. Where members have blocks of their own, room for a copy for each follows.
    length : int
        Numbers in `work`.
    """
    lanes = panel // 2
    n_layers = len(sizes) - 1
    plan = np.zeros(plan_length(n_layers), np.int64)
    table = plan[TABLE:].reshape(n_layers, COLUMNS)
    work = Allocator(ALIGNMENT // itemsize)

    packed, transposed = Allocator(ALIGNMENT // itemsize), Allocator(ALIGNMENT // itemsize)
    for row, n_in, n_out, offsets in zip(table, sizes[:-1], sizes[1:], parameter_offsets(sizes), strict=True):
        row[[N_IN, N_OUT]] = n_in, n_out
        row[[WEIGHTS, BIASES]] = offsets[:2]
        row[PACK] = packed.take(round_up(n_out, panel) * (n_in + 1))
        if row[WEIGHTS] > 0 and slots >= 0:
            row[TRANSPOSE] = transposed.take(round_up(n_in, panel) * round_up(n_out, lanes))
    plan[N_PACKED] = packed.total
    plan[PACKED] = work.take(packed.total)
    plan[TRANSPOSED] = work.take(transposed.total)
    plan[GRADIENT] = work.take(packed.total) if slots >= 0 else 0
    plan[SLOT_1] = work.take(packed.total) if slots >= 1 else plan[GRADIENT]
    plan[SLOT_2] = work.take(packed.total) if slots >= 2 else plan[SLOT_1]
    plan[COEFFICIENTS] = work.take(2 * N_COEFFICIENTS + 8 + n_layers)
    plan[NORMS] = work.take(sum(round_up(n, panel) // panel for n in sizes[1:]))
    plan[COPY] = work.take(parameter_offsets(sizes)[-1][2]) if slots < 0 else 0

    is_small = packed.total * itemsize <= SMALL_GRADIENT and entries is None
    shared, alone = work.total, slots >= 0 and rows_together < batch and is_small
    plan[PARTIALS] = work.take(packed.total) if alone else 0
    capacity = round_up(rows_together, lanes)
    if capacity * panel * itemsize % 4096 == 0:
        capacity += lanes  # panels a page apart would compete for the same cache lines
    stride = capacity * panel
    plan[[N_LAYERS, BLOCK, PANEL_STRIDE]] = n_layers, rows_together, stride

    def take_matrix(columns: int) -> int:
        return work.take(round_up(columns, panel) // panel * stride)

    if entries:
        bytes_of_column = SIDE_BY_SIDE * panel * itemsize
        pieces = max(1, min(round(entries.average / ENTRIES_OF_PIECE), -(-sizes[0] * bytes_of_column // PIECE_BYTES)))
        piece = round_up(-(-sizes[0] // pieces), lanes)
        plan[[MOST_ENTRIES, PIECES, PIECE]] = entries.most, -(-sizes[0] // piece), piece
        size = capacity * entries.most
        plan[[VALUES, PLACES, BOUNDS]] = [work.take(count) for count in (size, size, (pieces + 1) * capacity)]
        if slots >= 0:
            plan[[COLUMN_VALUES, COLUMN_PLACES, COLUMN_BEGINS]] = [work.take(count) for count in (size, size, sizes[0] + 2)]
    below = 0 if entries else take_matrix(sizes[0])
    for layer, (row, n_out, activation) in enumerate(zip(table, sizes[1:], activations, strict=True)):
        row[INPUT] = below
        row[KEEP] = kept_of_words(dropout[layer]) if dropout else 0
        if row[KEEP]:
            row[MASK] = take_matrix(sizes[layer])
            if layer > 0:
                row[INPUT] = take_matrix(sizes[layer])  # the slope of the layer below is taken of what was not dropped
        row[ACTIVATION] = below = take_matrix(n_out)
        row[NEEDS_Z] = activation.needs_z
        row[RAW] = take_matrix(n_out) if activation.needs_z and slots >= 0 else row[ACTIVATION]
        row[DELTA] = take_matrix(n_out) if slots >= 0 else 0

    of_gradient = panel * max(2 * panel, SIDE_BY_SIDE * PART if entries else 0) + COMPACT
    plan[LANES_STRIDE] = (4 * round_up(sizes[-1], panel) + 1) * lanes + of_gradient
    plan[LANES] = work.take((1 if alone else members) * int(plan[LANES_STRIDE]))
    plan[LOSSES] = work.take(capacity)
    if not alone:
        return plan, work.total
    plan[AREA] = work.total - shared
    return np.concatenate([plan, np.zeros(members * len(plan), np.int64)]), shared + members * int(plan[AREA])


NARROW_LIMIT = 12  # units of the widest layer up to which lanes over samples are the faster way
NARROW_BLOCK = 64  # samples at a time


def make_narrow_plan(sizes, activations, *, lanes: int, batch: int, slots: int, itemsize: int):
    """Like `make_plan`, for :mod:`fastbp.kernels.narrow.minibatch`."""
    n_layers = len(sizes) - 1
    plan = np.zeros(plan_length(n_layers), np.int64)
    table = plan[TABLE:].reshape(n_layers, COLUMNS)
    work = Allocator(ALIGNMENT // itemsize)
    samples = min(round_up(batch, lanes), NARROW_BLOCK)
    plan[[N_LAYERS, BLOCK]] = n_layers, samples

    start = 0
    for row, n_in, n_out, offsets in zip(table, sizes[:-1], sizes[1:], parameter_offsets(sizes), strict=True):
        row[[N_IN, N_OUT]] = n_in, n_out
        row[[WEIGHTS, BIASES]] = offsets[:2]
        row[PACK] = start
        start += n_out * (n_in + 1)
    packed = round_up(start, work.unit)  # so that one slot follows the other, as everywhere
    plan[N_PACKED] = packed
    plan[PACKED] = work.take(packed)
    plan[GRADIENT] = work.take(work.unit + packed) + work.unit  # that of one sample is written from the end, a register too far
    plan[SLOT_1] = work.take(packed) if slots >= 1 else plan[GRADIENT]
    plan[SLOT_2] = work.take(packed) if slots >= 2 else plan[SLOT_1]
    plan[PARTIALS] = work.take(packed * lanes)

    below = work.take((sizes[0] + 1) * samples)
    for row, n_out, activation in zip(table, sizes[1:], activations, strict=True):
        row[INPUT] = below
        row[ACTIVATION] = below = work.take((n_out + 1) * samples)
        row[NEEDS_Z] = activation.needs_z
        row[RAW] = work.take(n_out * samples) if activation.needs_z else row[ACTIVATION]
        row[DELTA] = work.take(n_out * samples)

    plan[COEFFICIENTS] = work.take(2 * N_COEFFICIENTS + 8 + n_layers)
    plan[LANES] = work.take(samples + sizes[-1] * samples)
    return plan, work.total
