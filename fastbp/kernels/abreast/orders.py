"""The rows that each network of a group visits in an epoch.

Legend: K networks; W lanes, a network in each; N samples; m rows that a network visits in an epoch.
"""

from fastbp.compiler import inline, kernel
from fastbp.kernels.abreast.lanes import lane_of
from fastbp.kernels.draws.philox import draw_with_replacement, shuffle_of_seeds
from fastbp.kernels.plan import GIVEN, SHUFFLED, WITH_REPLACEMENT
from fastbp.simd.philox import SEEDS


@kernel
def write_rows_of_y(data, members, rows, rows_of_y, count, lanes):
    """Rows of Y (K, N, O), where networks have targets of their own; else they are the rows of X, in the same place."""
    for j in range(lanes if data.targets_of_each > 0 else 0):
        first, place = lane_of(members, j).network * data.targets_of_each, j * data.row_stride
        for i in range(place, place + count):
            rows_of_y[i] = rows[i] + first


@kernel
def _shuffle(members, epoch, rows, stride, count, words, lanes):
    seeds = words + 4 * SEEDS
    for first in range(0, lanes, SEEDS):
        n_seeds = min(SEEDS, lanes - first)
        for k in range(n_seeds):
            seeds[k] = lane_of(members, first + k).seed
        shuffle_of_seeds(rows + first * stride, stride, count, seeds, n_seeds, epoch, words)


@inline
def _count_up(first, count, rows):
    for i in range(count):
        rows[i] = first + i


@kernel
def order_rows(group, members, given, epoch, words, rows, stride, lanes):
    """The rows (W, m) of an epoch."""
    count = group.rows
    if group.order == SHUFFLED:
        _shuffle(members, epoch, rows, stride, count, words, lanes)
    for j in range(lanes):
        lane, own = lane_of(members, j), rows + j * stride
        chosen = given + max(lane.order, 0)
        if group.order == GIVEN and lane.order < 0:
            _count_up(0, count, own)
        elif group.order == GIVEN:
            for i in range(count):
                own[i] = chosen[epoch * lane.order_stride + i]
        elif group.order == WITH_REPLACEMENT:
            draw_with_replacement(own, count, lane.seed, epoch, 0, count)
        for i in range(count if lane.order >= 0 and group.order != GIVEN else 0):
            own[i] = chosen[own[i]]


@kernel
def write_consecutive(first, count, rows, stride, lanes):
    """The same rows (W, count) for all, from `first` on."""
    for j in range(lanes):
        _count_up(first, count, rows + j * stride)
