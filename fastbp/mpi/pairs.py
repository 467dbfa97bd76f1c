"""Sums in pairs, in one order, whoever has how many of the terms.

((t_0 + t_1) + (t_2 + t_3)) + ...: neighbours of equal size are added as soon as there are two of them, what is left at the end from
the last one on. So sums of 2^k terms next to each other, whose first is a multiple of 2^k, are terms again: a process that has them
may add them up by itself. The error of a sum of n numbers is that of log2 n additions, rounded up (Higham, 2002, section 4.2).

Legend: N numbers of a gradient.
"""

from collections.abc import Callable, Iterable
from operator import add
from typing import Any

import numpy as np


def sum_in_pairs(terms: Iterable[Any], plus: Callable[[Any, Any], Any] = add) -> Any:
    """The sum of numbers, or of arrays, which are left as they are; or of whatever `plus` adds."""
    open_sums: list[tuple[int, Any]] = []  # sizes, and sums that wait for one of equal size
    for term in terms:
        size = 1
        while open_sums and open_sums[-1][0] == size:
            term = plus(open_sums.pop()[1], term)
            size *= 2
        open_sums.append((size, term))
    total = open_sums.pop()[1]
    while open_sums:
        total = plus(open_sums.pop()[1], total)
    return total


class RunningSum:
    """`sum_in_pairs` of gradients that come one after the other in the same place.

    Parameters
    ----------
    gradient : ndarray (N,)
        Where they come, and where the sum is to be.
    """

    def __init__(self, gradient: np.ndarray) -> None:
        self._gradient = gradient
        self._kept: list[np.ndarray] = []  # buffers
        self._sizes: list[int] = []  # of the sums that are in the first of them

    def begin(self) -> None:
        """Forget all terms."""
        self._sizes.clear()

    def keep(self) -> None:
        """Take over a term, which is not the last."""
        size, term = 1, self._gradient
        while self._sizes and self._sizes[-1] == size:
            size *= 2
            del self._sizes[-1]
            term = np.add(self._kept[len(self._sizes)], term, out=self._kept[len(self._sizes)])
        if term is self._gradient:
            if len(self._kept) == len(self._sizes):
                self._kept.append(np.empty_like(term))
            self._kept[len(self._sizes)][:] = term
        self._sizes.append(size)

    def add_to(self, region: slice) -> None:
        """Add those that were kept to this region of the last term."""
        own = self._gradient[region]
        for kept in reversed(self._kept[: len(self._sizes)]):
            np.add(kept[region], own, out=own)
