"""Intel's libxsmm-dnn: `python -m benchmarks.libxsmm_dnn LIBXSMM LIBXSMM_DNN`, the directories of the sources of two C libraries.

Both are at https://github.com/libxsmm; the first must have been built (``make STATIC=1 BLAS=0``). What trains with the layers of
the second, `libxsmm_dnn.c`, is compiled here, by gcc for this machine. Blocks are the fastest of a trial on each workload.
"""

import argparse
import ctypes
import subprocess
import tempfile
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np

from fastbp.bench import workloads
from fastbp.bench.contestants import Contestant
from fastbp.bench.machine import cores, cpu
from fastbp.bench.measure import Settings, measure, say
from fastbp.bench.report import cell, number, table
from fastbp.bench.worker import Turns

SOURCE = Path(__file__).with_suffix(".c")
NAMES = "tabular", "mnist", "mnist-deep", "wide"
HEAD = ("workload", "threads", "fastbp", "GFLOP/s", "of peak", "libxsmm-dnn", "GFLOP/s", "of peak", "libxsmm-dnn / fastbp")
BLOCKS = tuple(product((16, 32, 64, 128), (16, 32, 64)))  # of samples, and of units


def build(libxsmm, libxsmm_dnn, directory):
    """Compile the trainer; returns the library."""
    library, source = Path(directory, "trainer.so"), libxsmm_dnn / "src"
    layers = [str(source / name) for name in ("libxsmm_dnn_fc.c", "libxsmm_dnn_sfc_tools.c")]
    include = [f"-I{path / 'include'}" for path in (libxsmm, libxsmm_dnn)]
    options = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC", "-shared", "-w", "-DLIBXSMM_NOFORTRAN"]
    link = [str(libxsmm / "lib" / "libxsmm.a"), "-lm", "-lrt", "-ldl", "-lpthread", "-lstdc++"]
    subprocess.run(["gcc", *options, *include, str(SOURCE), *layers, "-o", str(library), *link], check=True)
    trainer = ctypes.CDLL(str(library))
    trainer.create.restype = ctypes.c_void_p
    return trainer


def block(size, most):
    """The largest divisor of a size that is `most` at most, or the size itself if there are only small ones."""
    largest = max(divisor for divisor in range(1, min(size, most) + 1) if size % divisor == 0)
    return largest if largest >= min(size, 8) else size


def addresses(arrays):
    """An argument of C: where arrays begin."""
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


class LibxsmmDNN(Contestant):
    """ReLU, softmax with cross-entropy, SGD, float32, by the library that `build` gives."""

    name, module = "libxsmm-dnn", "ctypes"
    trainer: ctypes.CDLL

    @classmethod
    def reason_against(cls, workload):
        is_known = set(workload.hidden) == {"relu"} and (workload.loss, workload.rule) == ("cross_entropy", "sgd")
        return None if is_known else "is for ReLU, cross-entropy and SGD"

    def build(self):
        w = self.workload
        self.trainers = []
        self.labels = self.data.y.astype(np.int64)
        self.order = np.ascontiguousarray(np.arange(w.n_samples) if self.data.order is None else self.data.order, np.int64)
        trials = {}
        for samples, units in BLOCKS:
            self._use(samples, units)
            self.reset()
            self.run(1)
            times = []
            for _ in range(3):
                start = perf_counter()
                self.run(1)
                times.append(perf_counter() - start)
            trials[samples, units] = min(times)
        self.blocks = min(trials, key=trials.get)
        self._use(*self.blocks)

    def _use(self, samples, units):
        """Make trainers whose blocks are so large at most."""
        w = self.workload
        for trainer in self.trainers:
            self.trainer.destroy(ctypes.c_void_p(trainer))
        sizes, blocks = w.sizes, [block(size, units) for size in w.sizes]
        shapes = list(zip(sizes, sizes[1:], blocks, blocks[1:], strict=False))
        self.w = [np.zeros((n_out // bk, n_in // bc, bc, bk), np.float32) for n_in, n_out, bc, bk in shapes]
        self.b = [np.zeros(n_out, np.float32) for n_out in sizes[1:]]
        ints = ctypes.c_int * len(sizes)
        batches = [w.batch_size] + [w.n_samples % w.batch_size] * (w.n_samples % w.batch_size > 0)
        self.trainers = [
            self.trainer.create(
                len(shapes),
                ints(*sizes),
                ints(*blocks),
                batch,
                block(batch, samples),
                self.threads,
                ctypes.c_float(w.learning_rate),
                addresses(self.w),
                addresses(self.b),
            )
            for batch in batches
        ]

    def reset(self):
        for own, first in zip(self.w, self.data.weights, strict=True):
            outs, ins, bc, bk = own.shape
            own[:] = first.reshape(outs, bk, ins, bc).transpose(0, 2, 3, 1)
        for own, first in zip(self.b, self.data.biases, strict=True):
            own[:] = first

    def train(self, epochs):
        full, rest = (ctypes.c_void_p(trainer) for trainer in (*self.trainers, None)[:2])
        data = (ctypes.c_void_p(array.ctypes.data) for array in (self.data.X, self.labels, self.order))
        self.trainer.train(full, rest, *data, ctypes.c_long(len(self.order)), epochs)

    def arrays(self):
        return [w.transpose(0, 3, 1, 2).reshape(w.shape[0] * w.shape[3], -1) for w in self.w], self.b

    def outputs(self, X):
        raise NotImplementedError("it is only trained")


def compare(name, threads, settings):
    """A row of the table."""
    theirs = Turns(LibxsmmDNN.name, threads, LibxsmmDNN)
    contestants = {"fastbp": Turns("fastbp", threads), LibxsmmDNN.name: theirs}
    result = measure(workloads.get(name), "float32", contestants, Turns("machine", threads), settings)
    say(f"{name}: blocks of {theirs.current.blocks} samples and units at most")
    outcomes = result["contestants"]
    figures = []
    for outcome in outcomes.values():
        if outcome["status"] == "ok":
            time, share = outcome["microseconds"]["estimate"], 100 * outcome["peak_fraction"]["estimate"]
            figures += [f"{number(time)} us", number(outcome["gflops"]), f"{number(share)} %"]
        else:
            figures += [outcome["status"], "", ""]
    return [name, str(threads), *figures, cell(outcomes["libxsmm-dnn"])]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.libxsmm_dnn", description=__doc__)
    parser.add_argument("libxsmm", type=Path)
    parser.add_argument("libxsmm_dnn", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workload", nargs="+", choices=NAMES, default=NAMES)
    arguments = parser.parse_args()
    if arguments.threads == 1:
        Turns("machine", 1).pin(cores()[-1])
    with tempfile.TemporaryDirectory() as directory:
        LibxsmmDNN.trainer = build(arguments.libxsmm.resolve(), arguments.libxsmm_dnn.resolve(), directory)
        rows = [compare(name, arguments.threads, Settings(arguments.rounds)) for name in arguments.workload]
    print(f"{cpu()}\n\n{table(HEAD, rows, markdown=True)}")


if __name__ == "__main__":
    main()
