"""Sums in pairs, whoever has how many of the terms."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp.mpi.pairs import RunningSum, sum_in_pairs


def by_levels(terms):
    """Neighbours are added until there is one; an odd one out goes up as it is."""
    while len(terms) > 1:
        terms = [a if b is None else a + b for a, b in zip(terms[::2], [*terms[1::2], None], strict=False)]
    return terms[0]


numbers = st.floats(-1e6, 1e6)


@given(st.lists(numbers, min_size=1, max_size=40))
def test_it_is_the_sum_by_levels(terms):
    assert sum_in_pairs(terms) == by_levels(terms)


@given(st.lists(numbers, min_size=16, max_size=16), st.sampled_from([1, 2, 4, 8, 16]))
def test_shares_may_be_summed_apart(terms, ranks):
    share = 16 // ranks
    assert sum_in_pairs(sum_in_pairs(terms[i : i + share]) for i in range(0, 16, share)) == sum_in_pairs(terms)


def test_the_order_of_other_sums_is_another():
    terms = [1.0, 1e-16, 1e-16, 1e-16]
    assert sum_in_pairs(terms) != sum(terms)


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=12))
def test_a_running_sum_is_the_same(terms):
    place = np.zeros(3)
    total = RunningSum(place)
    for _ in range(2):  # it can be used again
        total.begin()
        for term in terms[:-1]:
            place[:] = term
            total.keep()
        place[:] = terms[-1]
        total.add_to(slice(0, 2))
        total.add_to(slice(2, 3))
        assert place.tolist() == sum_in_pairs(np.array(terms)).tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_its_error_is_that_of_as_many_additions_as_levels(count):
    terms = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    exact = sum(map(Fraction, map(float, terms)))
    levels = max(1, int(np.ceil(np.log2(count))))
    assert abs(Fraction(float(sum_in_pairs(terms))) - exact) <= levels * 2.0**-24 * 1.01 * float(np.abs(terms).sum())
