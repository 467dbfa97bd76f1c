"""asv: what a user waits for: import, first fit with cold and warm kernel cache, one row, one step, the smallest fit."""

import os
import subprocess
import sys
import tempfile
from time import perf_counter

from .common import ready

FIRST_FIT = """
import numpy as np, fastbp
rng = np.random.default_rng(0)
X, y = rng.random((1797, 64), np.float32), rng.integers(10, size=1797)
fastbp.Network([64, 100, 10], loss="cross_entropy", rng=0).fit(X, y, epochs=1, batch_size=200, optimizer="adam")
"""
COLD = "import os, tempfile; os.environ['FASTBP_CACHE_DIR'] = tempfile.mkdtemp()" + FIRST_FIT


def timeraw_import_numpy():
    return "import numpy"


def timeraw_import_fastbp():
    return "import fastbp", "import numpy"


def timeraw_import_network():
    return "from fastbp import Network"


def timeraw_first_fit_warm():
    return FIRST_FIT


def timeraw_first_fit_cold():
    return COLD


for function in (timeraw_import_numpy, timeraw_import_fastbp, timeraw_import_network, timeraw_first_fit_warm):
    function.number, function.repeat = 1, 5
timeraw_first_fit_cold.number, timeraw_first_fit_cold.repeat, timeraw_first_fit_cold.timeout = 1, 2, 300
timeraw_first_fit_warm.setup = lambda: subprocess.run([sys.executable, "-c", FIRST_FIT], check=True)


def track_compile_seconds():
    """A first fit with an empty kernel cache less one with a full one, start of the process included in both."""
    seconds = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            start = perf_counter()
            subprocess.run([sys.executable, "-c", FIRST_FIT], env=os.environ | {"FASTBP_CACHE_DIR": cache}, check=True)
            seconds.append(perf_counter() - start)
    return seconds[0] - seconds[1]


track_compile_seconds.unit = "s"
track_compile_seconds.timeout = 300


class Calls:
    def setup(self):
        self.contestant = ready("digits")
        self.row = self.contestant.data.X[0]
        self.smallest = ready("walkthrough")

        self.small = ready("small")
        self.small.begin_steps()
        self.batch = self.small.mini_batches()[0]
        self.estimator = ready("small", contestant="fastbp partial_fit")

    def time_one_step(self):
        self.small.step(*self.batch)

    def time_fit_of_one_mini_batch(self):
        X, y = self.batch
        self.small.net.fit(X, y, epochs=1, batch_size=len(X))

    def time_partial_fit(self):
        self.estimator.step(*self.batch)

    def time_one_row(self):
        self.contestant.net(self.row)

    def time_smallest_fit(self):
        data = self.smallest.data
        self.smallest.net.fit(data.X[:50], data.y[:50], epochs=1, batch_size=50)
