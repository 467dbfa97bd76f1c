"""What a kernel is told: the plan of a network's buffers and settings, its layers, real numbers, and the coefficients of a step.

``params`` is the user's flat vector [W0, b0, W1, b1, ...], row-major, of which weights and biases are views. ``work`` holds what
the kernels keep: packed and transposed weights, slots, gradients, activations, deltas. The plan says where: a field that is called
a place is an offset into `work`. ``reals`` has settings and sums in float64. :func:`fastbp.kernels.train.run` lists the other
arrays of a call.

Legend: L layers; I inputs and O outputs of a layer; W lanes of a register; P = 2 W columns of a panel; S samples of a block, which
are processed together: a whole mini-batch, or a part.
"""

import numpy as np

from fastbp.compiler import add_this_module
from fastbp.optimizers import N_COEFFICIENTS, N_HYPER
from fastbp.simd.record import Record

add_this_module()

GIVEN, SHUFFLED, WITH_REPLACEMENT = range(3)  # order
NOT_PENALISED, PER_POPULATION, PER_BATCH = range(3)  # penalised
RUNNING, STOPPED, DIVERGED, UNKNOWN_CODE = range(4)  # status
SOFTMAX = -1  # output
NO_RULE = -1  # rule: no step is taken
MAX_PIECES = 1 << 40

Layer = Record(
    "Layer",
    number="0 for the one that reads the samples",
    n_in="I",
    n_out="O",
    weights="offset into params: (O, I)",
    biases="offset into params: (O,)",
    pack="offset into each of the packed buffers: (I + 1, O) in panels, the biases last",
    transpose="offset into the transposed weights: (O, I) in panels",
    input="place: activations of the layer below, (S, I) in panels",
    activation="place: a, (S, O) in panels",
    raw="place: z, kept beside a where the slope needs it, else that of a",
    delta="place: dC/dz, (S, O) in panels",
    code="of the activation in training: identity where the loss owns the link",
    needs_z="1: the slope needs z",
    alpha="place of the activation's hyper-parameter",
    keep="dropout of the inputs: 2^32 times the probability that one is kept, 0: no dropout",
    mask="place: masks of the inputs, (S, I) in panels",
    dropped="dropout of the inputs that a schedule begins with: 2^32 times the probability that one is dropped",
    rule="place: coefficients of the rule for the weights, and after them those for the biases",
    blend="offset into each of the packed buffers: beta (O,) of a parametric activation; 0: it is none",
    blend_params="offset into params: beta (O,)",
)

Plan = Record(
    "Plan",
    n_layers="L",
    n_rows="rows visited in an epoch",
    batch="samples in a mini-batch",
    block="S",
    panel_stride="numbers from one panel of S samples to the next",
    loss="code",
    rule="code, or NO_RULE",
    output="code of the activation that predictions end with, or SOFTMAX",
    outputs="1: the outputs that a loss is computed from are written for the user",
    labelled="1: targets are class numbers, 0: rows of numbers",
    weighted="1: samples have weights",
    order="how the rows of an epoch are ordered: GIVEN, SHUFFLED or WITH_REPLACEMENT",
    chosen="1: what is ordered so are places in a list of rows, which follows the order",
    order_stride="numbers from one epoch's rows to the next in the order",
    population="samples there are",
    conversion="written by the kernel: of the samples' numbers, 0 if they are computed with as they are, else 1 + their kind",
    status="written by the kernel: RUNNING, STOPPED, DIVERGED or UNKNOWN_CODE",
    seed="of the order and of dropout",
    guarded="1: no step is taken where the loss is not finite, and the status is DIVERGED",
    separate="1: gradients go to memory before the step, for their norms",
    epoch="cursor: where training goes on",
    first="cursor: row of that epoch",
    top="cursor: sample of that mini-batch",
    below="cursor: layers of its last block whose gradients are still to come, where a call ends after each; 0: it begins",
    drawn="cursor: rows of the epoch whose order is drawn",
    epochs="the epoch that this call ends before, at the latest",
    origin="epoch of the first rates, record and given order",
    budget="mini-batches in this call, at most, or parts of long ones; written by the kernel: how many are left of them",
    limit="epochs without progress that end the training, 0: any number",
    penalised="the penalty on the weights: NOT_PENALISED, PER_POPULATION or PER_BATCH",
    completed="1: the gradient is completed by L1 and clipping before the rule sees it",
    panel_loss="1: the loss takes the outputs as they are, in panels; else it takes samples side by side in the lanes",
    rates="learning rates of an epoch: 1, or one for every mini-batch",
    n_params="numbers of params",
    n_packed="numbers of a packed buffer",
    packed="place: packed weights and biases of all layers",
    transposed="place: transposed weights",
    gradient="place: like the packed weights",
    slot_1="place: like the packed weights",
    slot_2="place: like the packed weights",
    partials="place: gradients not yet summed: of narrow networks over the lanes, of blocks over the blocks",
    copy="place: of the parameters that are packed; 0: they are packed in every call",
    delta="place: derivatives with respect to the inputs, (S, I) in panels; 0: none are asked for",
    step="place: a Step",
    lanes="place: lane blocks, one set for each member that works on a block",
    lanes_stride="numbers from one of these sets to the next",
    losses="place: one sum of losses for each register of samples",
    norms="place: sums of squares of the gradient, panel by panel",
    area="numbers from one member's block to the next, where each member has a block of its own; else 0",
    most_entries="numbers other than zero in a sample, at most; 0: samples are panels like all matrices",
    tabular="1: samples are rows of a table, which an encoder makes features of, and rates go by groups of parameters",
    columns="numbers in such a row",
    periodic="columns of numbers that have periodic embeddings",
    frequencies="in each of these",
    period_rows="of the parameters of these: one number a column",
    plain="columns that are features as they are",
    coded="columns of codes: rows of the table of embeddings",
    embedding="numbers in such a row",
    table_rows="rows of that table",
    scales="offset into each of the packed buffers: factor of each feature",
    periods="offset into each of the packed buffers: parameters of the periodic embeddings",
    table="offset into each of the packed buffers: embeddings of codes",
    blends="offset into each of the packed buffers: from here on beta of all layers",
    encoder_params="offset into params: of the scales; periodic embeddings and the table follow",
    features="place: features before they are scaled, (S, F) row by row; then their deltas",
    features_stride="numbers from one of these rows to the next",
    coefficients="place: of the rule, for each group of parameters",
    factors="offset into the reals: of the rule's hyper-parameters, for each group; room for one more group follows",
    schedules="offset into the rates: decay and dropout of each epoch, as parts of those that are set; 0: they do not change",
    compressed="1: samples come without their zeros, 0: as rows of all numbers",
    pieces="of the columns of sparse samples",
    piece="columns of each",
    values="place: entries of a block by rows: their numbers",
    places="place: their columns",
    bounds="place: where those of each row in each piece begin",
    column_values="place: the same entries by columns: their numbers",
    column_places="place: their rows",
    column_begins="place: where those of each column begin",
    layers=(Layer, "n_layers"),
)

Reals = Record(
    "Reals",
    np.float64,
    hyper=(N_HYPER, "of the rule, the learning rate first; it may keep running products there"),
    l2="lambda of the penalty lambda / 2 sum W^2, or that times the weight of a mini-batch",
    l1="factor of sum |W|, or that times the weight of a mini-batch",
    unit="of the sample weights: a penalty PER_BATCH is divided by it, too",
    input_scale="what the numbers of the samples are multiplied by",
    loss_scale="the loss's own hyper-parameter",
    report="factor of the loss that is reported, not of its gradient",
    cap="the most that the loss of a sample is reported as",
    part="of the loss of a mini-batch, of which only a part is done",
    loss_sum="of the mini-batches' losses, each times its rows",
    loss_rows="rows of these mini-batches",
    tolerance="what a loss must gain on the best one to be progress",
    strict="1: a gain of just that is none",
    best="loss of an epoch",
    waited="epochs running without progress",
    best_held="lowest loss of samples that are held out; of networks side by side only, as the next",
    waited_held="epochs running without a lower one",
    clip_value="largest size of a component of the gradient",
    clip_norm="largest Euclidean norm of the gradient",
    inverse="1 over the sum of the weights of the mini-batch that a team works on",
    max_norm="largest Euclidean norm of the weights of a unit, 0: any",
    decay="part of the weight decay that is in force in this epoch",
)

# in `work`, of the network's dtype; what is for the weights stands before what is for the biases
Step = Record(
    "Step",
    rule=(2 * N_COEFFICIENTS, "coefficients of the rule"),
    l2=(2, "of the penalty, 0 for the biases"),
    l1=(2, "of the penalty, 0 for the biases"),
    clip="largest size of a component of the gradient",
)

plan_at, reals_at, step_at = Plan.at, Reals.at, Step.at
