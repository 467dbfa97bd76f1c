"""Orders of the samples, drawn as scikit-learn draws them."""

from functools import lru_cache

import numpy as np

from fastbp.engine.session import rows_upto
from fastbp.kernels.draws.mersenne import shuffle_often

LEAST_NUMBERS = 1 << 14  # that repay setting the generator's state


def draw_orders(rng, rows, orders):
    """Take the orders of some epochs from as many calls of ``rng.shuffle(rows)``, which leave `rng` and `rows` changed.

    Parameters
    ----------
    rng : numpy.random.RandomState
    rows : ndarray of int32 (n_samples,)
    orders : ndarray of int32 (epochs, n_samples)
        Overwritten with `rows` after each of the calls.
    """
    state = rng.get_state(legacy=False) if orders.size >= LEAST_NUMBERS else {}
    if state.get("bit_generator") != "MT19937":
        for order in orders:
            rng.shuffle(rows)
            order[:] = rows
        return
    words = state["state"]
    key = words["key"].astype(np.int64)
    words["pos"] = shuffle_often["float64"](key, int(words["pos"]), len(rows), len(orders), rows, orders)
    words["key"] = key.astype(np.uint32)
    rng.set_state(state)


@lru_cache(maxsize=8)
def order_of_seed(seed, n_samples) -> np.ndarray:
    """The first order (n_samples,) that a new generator of this seed gives."""
    rows = rows_upto(n_samples)
    np.random.RandomState(seed).shuffle(rows)
    rows.flags.writeable = False
    return rows
