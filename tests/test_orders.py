"""Orders of the samples: those of scikit-learn, number by number, and the generator left where it would be."""

import numpy as np
import pytest

from fastbp.engine.session import rows_upto
from fastbp.estimators import _orders
from fastbp.estimators._orders import draw_orders


def shuffled(rng, rows, epochs):
    return np.array([(rng.shuffle(rows), rows.copy())[1] for _ in range(epochs)])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 64, 65, 625, 1000, 4096, 4097])
def test_orders_are_those_of_numpy(n, monkeypatch):
    monkeypatch.setattr(_orders, "LEAST_NUMBERS", 0)
    expected, rng = np.random.RandomState(n), np.random.RandomState(n)
    for generator in (expected, rng):
        generator.randn()  # leaves half of a pair behind, and words that have been read
    start, rows = rows_upto(n) * 3, rows_upto(n) * 3
    for epochs in (1, 0, 7):
        orders = np.full((epochs, n), -1, np.int32)
        draw_orders(rng, rows, orders)
        np.testing.assert_array_equal(orders, shuffled(expected, start, epochs).reshape(epochs, n))
        np.testing.assert_array_equal(rows, start)
    assert rng.randn() == expected.randn()
    assert rng.randint(1 << 30) == expected.randint(1 << 30)


@pytest.mark.parametrize("make", [np.random.PCG64, np.random.MT19937])
@pytest.mark.parametrize("n", [6, _orders.LEAST_NUMBERS // 2])
def test_any_generator_and_any_length(n, make):
    expected, rng = np.random.RandomState(make(4)), np.random.RandomState(make(4))
    start, rows, orders = rows_upto(n), rows_upto(n), np.empty((3, n), np.int32)
    draw_orders(rng, rows, orders)
    np.testing.assert_array_equal(orders, shuffled(expected, start, 3))
    assert rng.uniform() == expected.uniform()
