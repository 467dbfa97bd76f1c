"""What training draws: orders of rows and masks of dropout, from Philox.

Every number is a function of (seed, stream, counter), so that an epoch's order does not depend on what ran before it or on how
many threads there are.

Legend: m numbers drawn.
"""

import numpy as np

from fastbp.compiler import inline, kernel
from fastbp.simd.philox import HALF, LOW, SEEDS, masks, philox, words_of_seeds


@inline
def _bounded(word, count):
    """A number below count (< 2**32) from a 32-bit word; bias at most count / 2**32."""
    return np.int64((word * np.uint64(count)) >> HALF)


@kernel
def _draws(seed, epoch, block):
    seed, epoch, block = np.uint64(seed), np.uint64(epoch), np.uint64(block)
    return philox(block & LOW, block >> HALF, epoch & LOW, epoch >> HALF, seed & LOW, seed >> HALF)


@inline
def mask_of_units(ptr, seed, epoch, position, layer, group, keep):
    """Masks of dropout for the 16 units from 16 group on at a place in an epoch: four registers of four numbers.

    `ptr` tells the dtype. The last counter, 0 in `_draws`, is not 0 here.
    """
    return masks(ptr, group, position, epoch, layer + 1, seed, seed >> 32, keep)


@kernel
def shuffle(order, count, seed, epoch, first, last):
    """order = a random permutation of 0 .. count - 1 (Fisher-Yates), a function of (seed, epoch).

    Its numbers are drawn from the end, and stay as they are then: here those from `first` to `last`, counted from there, which are
    multiples of 4, or `count`.
    """
    if first == 0:
        for i in range(count):
            order[i] = i
    i, end = count - 1 - first, count - 1 - last
    while i > max(end, 0):
        for word in _draws(seed, epoch, i):
            if i > 0:
                j = _bounded(word, i + 1)
                order[i], order[j] = order[j], order[i]
                i -= 1


@kernel
def shuffle_of_seeds(orders, stride, count, seeds, n_seeds, epoch, words):
    """`shuffle` of each of `SEEDS` seeds, or the first few, into orders `stride` numbers apart; words (4, `SEEDS`) are overwritten.

    Side by side: to draw takes a quarter of the time, and no exchange waits for that of another order.
    """
    for k in range(n_seeds):
        for i in range(count):
            orders[k * stride + i] = i
    i = count - 1
    while i > 0:
        words_of_seeds(seeds, epoch, i, words)
        for word in range(0, min(i, 4) * SEEDS, SEEDS):
            order = orders
            for k in range(n_seeds):
                j = (words[word + k] * (i + 1)) >> 32
                order[i], order[j] = order[j], order[i]
                order = order + stride
            i -= 1


@kernel
def draw_with_replacement(order, population, seed, epoch, first, last):
    """order[first:last] = independent uniform numbers below `population`; `first` is a multiple of 4."""
    for i in range(first, last, 4):
        k = i
        for word in _draws(seed, epoch, i):
            if k < last:
                order[k] = _bounded(word, population)
            k += 1
