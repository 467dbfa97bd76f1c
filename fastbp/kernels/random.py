"""Philox4x32-10, a counter-based generator (Salmon et al., 2011), and what training draws from it.

Every number is a function of (seed, stream, counter), so that an epoch's order does not depend on what ran before it or on how
many threads there are.

Legend: c0..c3 the counter, k0, k1 the key, p0, p1 their 64-bit products; m numbers drawn.
"""

import numpy as np

from fastbp._jit import inline, kernel

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
ROUNDS = 10


@inline
def philox(c0, c1, c2, c3, k0, k1):
    """Four random 32-bit numbers (in uint64) of a 128-bit counter and a 64-bit key, all given as uint64 below 2**32."""
    for _ in range(ROUNDS):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@inline
def _bounded(word, count):
    """A number below count (< 2**32) from a 32-bit word; bias at most count / 2**32."""
    return np.int64((word * np.uint64(count)) >> HALF)


@kernel
def _draws(seed, epoch, block):
    seed, epoch, block = np.uint64(seed), np.uint64(epoch), np.uint64(block)
    return philox(block & LOW, block >> HALF, epoch & LOW, epoch >> HALF, seed & LOW, seed >> HALF)


@inline
def mask_words(seed, epoch, position, layer, block):
    """Four 32-bit words for units 4 block .. 4 block + 3 at a place in an epoch; the last counter, 0 in `_draws`, is not 0 here."""
    seed, epoch, position = np.uint64(seed), np.uint64(epoch), np.uint64(position)
    return philox(np.uint64(block), position & LOW, epoch & LOW, np.uint64(layer + 1), seed & LOW, seed >> HALF)


@kernel
def shuffle(order, count, seed, epoch):
    """order = a random permutation of 0 .. count - 1 (Fisher-Yates), a function of (seed, epoch)."""
    for i in range(count):
        order[i] = i
    i = count - 1
    while i > 0:
        for word in _draws(seed, epoch, i):
            if i > 0:
                j = _bounded(word, i + 1)
                order[i], order[j] = order[j], order[i]
                i -= 1


@kernel
def draw_with_replacement(order, count, population, seed, epoch):
    """order = `count` independent uniform numbers below `population`."""
    for i in range(0, count, 4):
        k = i
        for word in _draws(seed, epoch, i):
            if k < count:
                order[k] = _bounded(word, population)
            k += 1
