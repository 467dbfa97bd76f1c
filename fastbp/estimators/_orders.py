"""Orders of the samples, drawn as scikit-learn draws them."""

import numpy as np

from fastbp.kernels.draws.mersenne import shuffle_often

LEAST_NUMBERS = 1 << 14  # that repay setting the generator's state


def draw_orders(rng, rows, orders):
    """Take the orders of some epochs from as many calls of ``rng.shuffle(rows)``, which leave `rng` and `rows` changed.

    Parameters
    ----------
    rng : numpy.random.RandomState
    rows : ndarray of int64 (n_samples,)
    orders : ndarray of int64 (epochs, n_samples)
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
