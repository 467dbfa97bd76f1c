"""asv: many small networks in one call."""

import importlib.util

import numpy as np

COUNT, BATCH = 64, 32


class Networks:
    params = (["2-3-3-2", "8-16-2", "30-64-32-2"], ["float32", "float64"])
    param_names = ("sizes", "dtype")
    timeout = 120

    def setup(self, sizes, dtype):
        if importlib.util.find_spec("fastbp.networks") is None:
            raise NotImplementedError("this version has no Networks")
        import fastbp

        rng, sizes = np.random.default_rng(0), tuple(map(int, sizes.split("-")))
        self.X = rng.standard_normal((8 * BATCH, sizes[0])).astype(dtype)
        self.y = rng.random((8 * BATCH, sizes[-1])).astype(dtype)
        self.nets = fastbp.Networks(COUNT, sizes, "tanh", dtype=dtype, rng=0)
        self.time_fit(sizes, dtype)  # compiled
        self.time_call(sizes, dtype)
        self.time_value_and_grad(sizes, dtype)

    def time_fit(self, sizes, dtype):
        self.nets.fit(self.X, self.y, epochs=10, batch_size=BATCH, optimizer="adam", n_threads=1)

    def time_call(self, sizes, dtype):
        self.nets(self.X, n_threads=1)

    def time_value_and_grad(self, sizes, dtype):
        self.nets.value_and_grad(self.X, self.y, n_threads=1)
