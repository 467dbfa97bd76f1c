"""Orders of rows as ``numpy.random.RandomState.shuffle`` draws them, from its generator MT19937, in half the time.

The generator is that of Matsumoto & Nishimura (1998). NumPy jumps whenever a number is refused, which no processor foresees.

Legend: n rows; key the 624 words of the generator's state, and position that of the next one to be read.
"""

from numba import types

from fastbp.compiler import entry, inline, kernel
from fastbp.simd.register import pointer

WORDS, AHEAD = 624, 397
UPPER, LOWER, TWIST = 0x80000000, 0x7FFFFFFF, 0x9908B0DF


@inline
def _twisted(upper, lower, ahead):
    word = (upper & UPPER) | (lower & LOWER)
    return ahead ^ (word >> 1) ^ ((word << 63 >> 63) & TWIST)


@kernel
def _twist(key):
    """The next 624 words."""
    for i in range(WORDS - AHEAD):
        key[i] = _twisted(key[i], key[i + 1], key[i + AHEAD])
    for i in range(WORDS - AHEAD, WORDS - 1):
        key[i] = _twisted(key[i], key[i + 1], key[i + AHEAD - WORDS])
    key[WORDS - 1] = _twisted(key[WORDS - 1], key[0], key[AHEAD - 1])


@inline
def _tempered(word):
    word ^= word >> 11
    word ^= (word << 7) & 0x9D2C5680
    word ^= (word << 15) & 0xEFC60000
    return word ^ (word >> 18)


@kernel
def _draw_partners(key, position, count, out):
    """out[i], for i from count - 1 down to 1, a number in [0, i]: the first so small of words cut to the bits of i."""
    i, mask = count - 1, 1
    while mask < i:
        mask = 2 * mask + 1
    while i > 0:
        if position == WORDS:
            _twist(key)
            position = 0
        # one that is too large is overwritten by the next: no jump depends on a random number
        while position < WORDS and i > mask >> 1:
            out[i] = number = _tempered(key[position]) & mask
            position += 1
            i += (number - i - 1) >> 63
        if i <= mask >> 1:
            mask >>= 1
    return position


@entry(lambda dtype: types.int64(types.int64[::1], *[types.int64] * 3, types.int32[::1], types.int32[::1]))
def shuffle_often(key, position, count, times, rows, orders):
    """orders (times, count) = `rows` (count,) after each of so many calls of ``RandomState.shuffle(rows)``; the next position.

    `key` and `rows` are overwritten. `count` is below 2**31.
    """
    key_, rows_, order = pointer(key), pointer(rows), pointer(orders)
    for _ in range(times):
        position = _draw_partners(key_, position, count, order)
        for i in range(count - 1, 0, -1):
            partner, row = order[i], rows_[i]
            order[i] = rows_[partner]
            rows_[partner] = row
            rows_[i] = order[i]
        order[0] = rows_[0]
        order = order + count
    return position
