"""What there is to know of each network whose lanes a group is, and its parameters there.

Legend: K networks of one shape; W lanes, a network in each; N samples; I inputs and O outputs of a layer. A group's matrices have a
register where a network has a number: parameters of a layer are (O, I + 1, W), the bias the last of a row.
"""

from fastbp.compiler import add_this_module, inline, kernel
from fastbp.kernels.plan import Reals, reals_at
from fastbp.simd.record import Record
from fastbp.simd.register import width

add_this_module()

Lane = Record(
    "Lane",
    network="0 to K - 1",
    status="RUNNING; written by the kernel: STOPPED or DIVERGED",
    seed="of its orders",
    order="place in the given numbers: rows of each epoch in their order, or those that are to be ordered; -1: all, 0 to N - 1",
    order_stride="numbers from one epoch's rows to the next; 0: the same again",
)

Group = Record(
    "Group",
    samples="N",
    rows="m, that each network visits in an epoch",
    order="how they are ordered: GIVEN, SHUFFLED or WITH_REPLACEMENT",
    row_stride="numbers from the rows of one lane to those of the next",
    columns="I', numbers of a row of X; see `Data`",
    target_columns="O', the same of Y",
    changes="1: the rows of an epoch are not those of the one before, or something else is written where they are",
    targets_of_each="N, where Y is (K, N, O), else 0",
    weights_of_each="N, where the weights of samples are (K, N), else 0",
    first="epoch that the call begins with",
    last="epoch that it ends before",
    epochs="E, those of rates and record",
    limit="epochs running without progress of the loss that end the training of a network, 0: any number",
    patience="the same of the loss of samples that are held out",
    held="samples that are held out, 0: none",
    members="lanes that are used, the first",
    slots="of the rule",
)

lane_at, group_at, LANE_SIZE, REALS_SIZE = Lane.at, Group.at, Lane.size, Reals.size


@inline
def lane_of(lanes, j):
    """The record of lane j."""
    return lane_at(lanes + j * LANE_SIZE)


@inline
def reals_of(reals, j):
    """The real numbers of lane j."""
    return reals_at(reals + j * REALS_SIZE)


@kernel
def to_lane(plan, vector, j, target):
    """Lane j of target (P, W) = a vector like a network's parameters."""
    lanes = width(target)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        n_in, place = layer.n_in, layer.pack + j
        for o in range(layer.n_out):
            for i in range(n_in):
                target[place] = vector[layer.weights + o * n_in + i]
                place += lanes
            target[place] = vector[layer.biases + o]
            place += lanes


@kernel
def from_lane(plan, source, j, vector):
    """A vector like a network's parameters = lane j of source (P, W)."""
    lanes = width(source)
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        n_in, place = layer.n_in, layer.pack + j
        for o in range(layer.n_out):
            for i in range(n_in):
                vector[layer.weights + o * n_in + i] = source[place]
                place += lanes
            vector[layer.biases + o] = source[place]
            place += lanes


@kernel
def load_group(plan, work, group, members, params, slots, best):
    """What the networks are in, and keep from call to call, to the lanes; those that are not used have what lane 0 has."""
    count = plan.n_params
    for j in range(width(work)):
        place = lane_of(members, j).network * count
        to_lane(plan, params + place, j, work + plan.packed)
        to_lane(plan, params + place, j, work + plan.copy)
        if group.slots > 0:
            to_lane(plan, slots + place * group.slots, j, work + plan.slot_1)
        if group.slots > 1:
            to_lane(plan, slots + place * group.slots + count, j, work + plan.slot_2)
        if group.patience > 0:
            to_lane(plan, best + place, j, work + plan.partials)


@kernel
def store_group(plan, work, group, members, params, slots, best):
    """What `load_group` has loaded, as it is now; the parameters are those that were kept."""
    count = plan.n_params
    for j in range(group.members):
        place = lane_of(members, j).network * count
        from_lane(plan, work + plan.copy, j, params + place)
        if group.slots > 0:
            from_lane(plan, work + plan.slot_1, j, slots + place * group.slots)
        if group.slots > 1:
            from_lane(plan, work + plan.slot_2, j, slots + place * group.slots + count)
        if group.patience > 0:
            from_lane(plan, work + plan.partials, j, best + place)
