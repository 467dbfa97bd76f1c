"""Whether all numbers of an array are finite or those of another, and whether what says where they are stays inside.

Legend: W lanes of a register.
"""

from numba import types

from fastbp.compiler import entry, kernel
from fastbp.simd.register import all_lanes, broadcast, fma, like, load, pointer, width


@kernel
def are_finite(x, count):
    """Whether none of the `count` numbers at x is NaN or infinite: 0 times such a number is NaN, and NaN stays in the sum."""
    lanes = width(x)
    fours, whole = count - count % (4 * lanes), count - count % lanes
    zero = like(broadcast(x, 0), 0.0)
    rest = b = c = d = zero  # four sums, none of which waits for another
    for i in range(0, fours, 4 * lanes):
        rest = fma(load(x, i), zero, rest)
        b = fma(load(x, i + lanes), zero, b)
        c = fma(load(x, i + 2 * lanes), zero, c)
        d = fma(load(x, i + 3 * lanes), zero, d)
    for i in range(fours, whole, lanes):
        rest = fma(load(x, i), zero, rest)
    for i in range(whole, count):
        rest = fma(broadcast(x, i), zero, rest)
    return all_lanes((rest + b) + (c + d) == zero)


@kernel
def are_equal(a, b, count):
    """Whether two vectors are the same (a NaN is not)."""
    whole = count - count % (2 * width(a))
    for i in range(0, whole, 2 * width(a)):
        if not all_lanes((load(a, i) == load(b, i)) & (load(a, i + width(a)) == load(b, i + width(a)))):
            return False
    same = True
    for i in range(whole, count):
        same &= a[i] == b[i]
    return same


@entry(lambda dtype: types.boolean(types.Array(dtype, 1, "C", readonly=True)))
def all_finite(x):
    """Whether none of x (n,) is NaN or infinite."""
    return are_finite(pointer(x), x.size)


@entry(lambda _: types.boolean(types.Array(types.int64, 1, "C", readonly=True), types.int64))
def all_below(numbers, limit):
    """Whether all of `numbers` (n,) are in [0, limit)."""
    number, outside = pointer(numbers), 0
    for i in range(numbers.size):
        outside |= number[i] | (limit - 1 - number[i])  # negative if either is
    return outside >= 0


FITS, NOT_ASCENDING, WRONG_STARTS, OUTSIDE = range(4)  # what compressed rows may be


def _places_and_starts(_):
    places, starts = (types.Array(dtype, 1, "C", readonly=True) for dtype in (types.int32, types.int64))
    return types.int64(places, starts, types.int64)


@entry(_places_and_starts)
def order_of_places(places, starts, n_places):
    """Whether places (count,), those of row i from starts[i] to starts[i + 1], lie in [0, n_places) and ascend in each row.

    One of the codes above; the worst that there is, but for starts, without which nothing else can be read.
    """
    place, start, n_rows = pointer(places), pointer(starts), starts.size - 1
    is_wrong = start[0] != 0
    for row in range(n_rows):
        is_wrong |= start[row + 1] < start[row]
    if is_wrong or start[n_rows] > places.size:
        return WRONG_STARTS
    outside, n_descents, before = 0, 0, -1
    for k in range(start[n_rows]):
        at = place[k]
        outside |= at | (n_places - 1 - at)  # negative if either is
        n_descents += at <= before
        before = at
    for row in range(n_rows):  # from the end of a row to the next there may be one
        begin, end = start[row], start[row + 1]
        if 0 < begin < end:
            n_descents -= place[begin] <= place[begin - 1]
    return OUTSIDE if outside < 0 else NOT_ASCENDING if n_descents else FITS
