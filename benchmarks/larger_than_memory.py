"""What a file costs that does not fit in memory; `python -m benchmarks.larger_than_memory`.

784-128-10, mini-batches of 128, shuffled: one process has rows in memory, all or a part, the other one reads the file as a stream,
and may have a third of its bytes as data of its own (``RLIMIT_DATA``: private memory that can be written to). Both take turns, each
by one thread that trains. Then the system forgets the file, and the disk is read alone, from end to end, and by the stream.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

WIDTH, BATCH, PART = 784, 128, 8192
QUICK, WHOLE = 16 << 20, 3 << 29  # bytes
TOLD = "{:48} {:>12,.0f} rows/s {:>8.0f} MB/s   {:>5.2f} of {}"

WORKER = """
import json, resource, sys, time
kind, path, labels, limit, most = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
if limit:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
import numpy as np
import fastbp
from fastbp.streams.ahead import ReadAhead
y, waits, wait = np.load(labels), [], ReadAhead._wait
def timed(self):
    start = time.perf_counter()
    try:
        return wait(self)
    finally:
        waits.append(time.perf_counter() - start)
ReadAhead._wait = timed
def queued():  # seconds that this thread has waited for a core
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return float("nan")
net = fastbp.Network([784, 128, 10], hidden="relu", loss="cross_entropy", dtype="float32", rng=0)
marks = []
mark = lambda *_: marks.append((time.perf_counter(), time.process_time(), time.thread_time(), queued()))
trainer = net.trainer(batch_size=128, rng=0, n_threads=1, callbacks=[mark])
data = (fastbp.stream(path, y),)
if kind == "memory":  # read, as pages of a map would count, too
    mapped = np.load(path, mmap_mode="r")
    X = np.fromfile(path, mapped.dtype, most * mapped.shape[1], offset=mapped.offset).reshape(most, -1)
    data = X, y[:most]
print("ready", flush=True)
for line in sys.stdin:
    marks.clear()
    waits.clear()
    mark()
    trainer.run(*data, epochs=int(line))
    wall, cpu, own, queue = (after - before for before, after in zip(*marks[-2:]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps([wall, cpu, own, wall - queue, peak, sum(waits)]), flush=True)
"""


class Worker:
    """A process that trains when it is told to."""

    def __init__(self, kind, path, labels, limit=0, most=0):
        command = [sys.executable, "-c", WORKER, kind, str(path), str(labels), str(limit), str(most)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.read_line()

    def read_line(self):
        """What it says next."""
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process that trains has ended: see above")
        return line

    def epoch(self, epochs=2):
        """Seconds of the last of some epochs, peak of bytes, and seconds in which kernels have waited for blocks.

        Seconds by the clock, of all threads, of the one that trains, and by the clock but for its waits for a core (Linux).
        """
        self._process.stdin.write(f"{epochs}\n")
        self._process.stdin.flush()
        return json.loads(self.read_line())

    def close(self):
        """Let it end."""
        self._process.stdin.close()
        self._process.wait()


def write(folder, size):
    """A file of normal numbers of about so many bytes, and one of class numbers; their paths, and the number of rows."""
    n_rows, rng = size // (4 * WIDTH), np.random.default_rng(0)
    path, labels = folder / "X.npy", folder / "y.npy"
    with open(path, "wb") as file:  # by parts: the most memory of this process is counted as that of those which it starts
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (n_rows, WIDTH)})
        for first in range(0, n_rows, PART):
            file.write(rng.standard_normal((min(PART, n_rows - first), WIDTH), np.float32).data)
    np.save(labels, rng.integers(0, 10, n_rows))
    return path, labels, n_rows


def forget(path):
    """Let the system drop a file from its cache; whether that was possible."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def read(path):
    """Seconds to read a file from its beginning to its end, in parts of 2 MiB."""
    room, start = bytearray(1 << 21), perf_counter()
    with open(path, "rb", buffering=0) as file:
        while file.readinto(room):
            pass
    return perf_counter() - start


def measure(folder, size, limit, in_memory, rounds):
    """Print the table."""
    path, labels, n_rows = write(folder, size)
    in_file = path.stat().st_size
    limit = limit or max(in_file // 3, 3 << 27)  # less than Python with Numba needs is no limit, but the end
    n_memory = min(n_rows, (in_memory or size) // (4 * WIDTH))
    memory, stream = Worker("memory", path, labels, 0, n_memory), Worker("stream", path, labels, limit)
    try:
        read(path)
        for worker in (memory, stream):
            worker.epoch()  # which compiles
        pairs = []
        for _ in range(rounds):
            before, between, after = memory.epoch(), stream.epoch(1), memory.epoch()
            mean = [(one + other) / 2 / n_memory for one, other in zip(before, after, strict=True)]
            pairs.append((mean, [value / n_rows for value in between], between))
        ratios = [[pair[0][k] / pair[1][k] for pair in pairs] for k in range(4)]
        speeds = [1 / median(pair[k][0] for pair in pairs) for k in (0, 1)]
        print(f"{in_file / 1e6:,.0f} MB, {n_rows:,} rows, {n_memory:,} of them in memory; {rounds} rounds")
        print(f"the stream may have {limit / 1e6:,.0f} MB of its own")
        bytes_of_row = 4 * WIDTH / 1e6
        print(TOLD.format("in memory", speeds[0], speeds[0] * bytes_of_row, 1, "itself"))
        print(TOLD.format("stream, file in the cache", speeds[1], speeds[1] * bytes_of_row, median(ratios[0]), "in memory"))
        print(f"   of the single rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios[0])}")
        for name, k in (("of all threads", 1), ("of the one that trains", 2), ("with a core of its own", 3)):
            by_cpu = 1 / median(pair[1][k] for pair in pairs)
            print(TOLD.format(f"the same, by the time {name}", by_cpu, by_cpu * bytes_of_row, median(ratios[k]), "in memory"))
        print(f"   in an epoch of {pairs[-1][2][0]:.2f} s the kernels have waited {pairs[-1][2][5]:.2f} s for blocks")
        alone = 1 / median(pair[0][3] for pair in pairs)
        for _ in range(rounds if forget(path) else 0):
            seconds = read(path)
            forget(path)
            cold, _, _, own, _, waited = stream.epoch(1)
            forget(path)
            disk = n_rows / seconds
            print(TOLD.format("disk alone", disk, disk * bytes_of_row, disk / speeds[0], "in memory"))
            slower = "the slower of disk and memory"
            for name, took, bound in (("", cold, speeds[0]), (", a core of its own", own, alone)):
                speed = n_rows / took
                print(
                    TOLD.format(
                        f"stream, file not in the cache{name}", speed, speed * bytes_of_row, speed / min(disk, bound), slower
                    )
                )
            print(f"   in that epoch of {cold:.2f} s the kernels have waited {waited:.2f} s for blocks")
        print(f"peak resident: in memory {memory.epoch(1)[4] / 1e6:,.0f} MB, stream {stream.epoch(1)[4] / 1e6:,.0f} MB")
    finally:
        memory.close()
        stream.close()


def main():
    """Make the file, measure, and remove it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a file of 16 MB")
    parser.add_argument("--gigabytes", type=float, default=WHOLE / 1e9, help="of the file")
    parser.add_argument("--limit", type=float, default=0, help="gigabytes that the stream may have; by default a third of the file")
    parser.add_argument("--in-memory", type=float, default=0, help="gigabytes of it that the other process has; by default all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the file is made, on the disk that is measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        size = QUICK if arguments.quick else int(arguments.gigabytes * 1e9)
        limits = int(arguments.limit * 1e9), int(arguments.in_memory * 1e9)
        measure(Path(folder), size, *limits, 1 if arguments.quick else arguments.rounds)


if __name__ == "__main__":
    main()
