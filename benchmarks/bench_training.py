"""asv: training, one epoch of every workload; its speed relative to NumPy and to the machine; memory; accuracy."""

from statistics import median
from time import perf_counter

import numpy as np

from .common import NAMES, ratios, ready

SMALL = [name for name in NAMES if name not in ("mnist-60k", "mnist-deep", "wide")]


class Training:
    params = (NAMES, ["float32", "float64"])
    param_names = ("workload", "dtype")
    timeout = 120

    def setup(self, name, dtype):
        self.contestant = ready(name, dtype=dtype)

    def time_epoch(self, name, dtype):
        self.contestant.run(1)


class Relative:
    params = (SMALL,)
    param_names = ("workload",)
    timeout = 120

    def setup(self, name):
        self.ours, self.theirs = ready(name), ready(name, "numpy")

    def track_times_faster_than_numpy(self, name):
        return median(ratios(lambda: self.theirs.run(1), lambda: self.ours.run(1)))

    track_times_faster_than_numpy.unit = "x"


class Peak:
    params = (NAMES,)
    param_names = ("workload",)
    timeout = 120

    def setup(self, name):
        try:
            from fastbp.bench.machine import Machine
        except ImportError:
            raise NotImplementedError("this version cannot measure the FMA peak") from None
        self.contestant = ready(name)
        self.machine = Machine(self.contestant.dtype, 1)

    def track_percent_of_fma_peak(self, name):
        found = []
        for _ in range(9):
            start = perf_counter()
            self.contestant.run(1)
            seconds = perf_counter() - start
            found.append(100 * self.contestant.workload.flop_per_epoch / seconds / self.machine.flops())
        return median(found)

    track_percent_of_fma_peak.unit = "%"


class Memory:
    params = (["digits", "mnist", "mnist-adam", "wide"],)
    param_names = ("workload",)
    timeout = 120

    def peakmem_epoch(self, name):
        ready(name).run(1)


def track_digits_accuracy():
    """Accuracy on a quarter of scikit-learn's digits after 20 epochs on the rest."""
    from sklearn.datasets import load_digits

    import fastbp

    X, y = load_digits(return_X_y=True)
    X, mixed = np.ascontiguousarray(X / 16, np.float32), np.random.default_rng(0).permutation(len(y))
    train, test = mixed[450:], mixed[:450]
    net = fastbp.Network([64, 100, 10], loss="cross_entropy", rng=0)
    net.fit(X[train], y[train], epochs=20, batch_size=32, optimizer="adam", rng=0)
    return 100 * net.score(X[test], y[test])


track_digits_accuracy.unit = "%"
