"""A table of columns of all kinds, and quick settings, for the tests of what takes tables."""

import numpy as np
import pandas as pd

from fastbp.tabular import Recipe

QUICK = Recipe(hidden_layer_sizes=(16,), epochs=4, n_networks=2)


def table(n=240, seed=0):
    """Numbers, missing values, categories of two, few and many, booleans, dates, text; the classes and numbers to be told."""
    rng = np.random.default_rng(seed)
    size, town = rng.normal(size=n), rng.integers(20, size=n)
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, size),
            "count": rng.integers(5, size=n),
            "sex": rng.choice(["f", "m"], n),
            "kind": pd.Categorical(rng.choice(["a", "b", "c", None], n)),
            "town": [f"town {k}" for k in town],
            "paid": rng.random(n) < 0.5,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(500, size=n), unit="D"),
            "nothing": np.nan,
            "same": "x",
        }
    )
    value = size + (town % 3) + (frame["sex"] == "m") * 1.0
    return frame, np.where(value > 1.5, "yes", "no"), value.to_numpy()
