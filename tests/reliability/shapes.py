"""Products of layers of ten thousand shapes and of operands of every layout, against float64 and against whole numbers.

Each product, forward, of deltas, of gradients, and the sums of biases, is within gamma_k |A| |B| in every component (Higham, 2002,
section 3.5), equal where numbers are small integers, and leaves its operands and what is between their rows alone. The controls
are products of which one term is left out: none of them may be within the bound.
"""

import argparse
import sys
from itertools import product as combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from products import Products

SMALL = 1, 2, 3, 5, 9
EDGES = 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129
LAYOUTS = "C", "F", "reversed", "strided", "unaligned"
AROUND = 7.0  # between the numbers of an operand


def shapes():
    """(rows, n_in, n_out)."""
    yield from combinations(SMALL, repeat=3)
    yield from combinations(EDGES, repeat=3)


def laid_out(array, layout):
    """(an array of equal numbers in that layout, the memory in which it is)."""
    if layout == "F":
        memory = np.array(array, order="F")
        return memory, memory
    if layout == "reversed":
        memory = np.ascontiguousarray(array[::-1])
        return memory[::-1], memory
    if layout == "strided":
        memory = np.full([2 * size for size in array.shape], AROUND, array.dtype)
        view = memory[tuple(slice(1, None, 2) for _ in array.shape)]
    elif layout == "unaligned":
        memory = np.full(array.nbytes + 2 * array.itemsize, int(AROUND), np.uint8)
        view = memory[1 : 1 + array.nbytes].view(array.dtype).reshape(array.shape)
    else:
        memory = view = np.empty_like(array)
    view[...] = array
    return view, memory


def operands(rng, shape, dtype, are_integers):
    rows, n_in, n_out = shape
    for size in ((rows, n_in), (n_out, n_in), (n_out,), (rows, n_out)):
        yield (rng.integers(-4, 5, size) if are_integers else rng.normal(size=size)).astype(dtype)


def tried(number, shape, dtype, are_integers):
    """(what is wrong with a case, how many products of it that lack a term are within the bound, how many there are)."""
    rng = np.random.default_rng([number, are_integers])
    given = [
        laid_out(each, LAYOUTS[(number + k) % len(LAYOUTS)]) for k, each in enumerate(operands(rng, shape, dtype, are_integers))
    ]
    before = [memory.tobytes() for _, memory in given]
    products = Products(*(view for view, _ in given))
    wrong = products.inexact() if are_integers else products.outside()
    wrong += ["operands"] * any(memory.tobytes() != kept for (_, memory), kept in zip(given, before, strict=True))
    if are_integers:
        return wrong, 0, 0
    x, w, *_ = (view for view, _ in given)
    products.forward = products.forward - np.outer(x[:, -1], w[:, -1])
    return wrong, "forward" not in products.outside(), 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one shape of 50")
    step = 50 if parser.parse_args().quick else 1
    count = missed = terms = 0
    faults = []
    for number, shape in list(enumerate(shapes()))[::step]:
        for dtype, are_integers in combinations(("float32", "float64"), (False, True)):
            wrong, missing, of = tried(number, shape, dtype, are_integers)
            count, missed, terms = count + 1, missed + missing, terms + of
            faults += [f"{shape} {dtype} integers={are_integers}: {', '.join(wrong)}"] if wrong else []
    print(*faults, sep="\n", end="\n" * bool(faults))
    print(f"{len(faults)} faults in {count} cases of shapes; {terms - missed} of {terms} products without their last term found")
    return 1 if faults or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
