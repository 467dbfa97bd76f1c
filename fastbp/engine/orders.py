"""Orders of rows, as the kernels draw them."""

import numpy as np

from fastbp.kernels.train import draw_order


def epoch_order(seed: int, epoch: int, n_samples: int) -> np.ndarray:
    """The order in which `fit` visits `n_samples` rows in an epoch (from 0) when it shuffles with this seed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import epoch_order
    >>> order = epoch_order(seed=1, epoch=0, n_samples=8)
    >>> np.sort(order).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    >>> (epoch_order(1, 0, 8) == order).all()
    np.True_
    """
    order = np.empty(n_samples, np.int32)
    draw_order["float32"](order, seed, epoch)
    return order
