"""Orders of rows, as the kernels draw them."""

import numpy as np

from fastbp.kernels.train import draw_order


def epoch_order(seed: int, epoch: int, n_samples: int) -> np.ndarray:
    """The order in which `fit` visits `n_samples` rows in an epoch (from 0) when it shuffles with this seed."""
    order = np.empty(n_samples, np.int32)
    draw_order["float32"](order, seed, epoch)
    return order
