"""What the scripts of kills and faults share: children that are forks, and a small entry that they compile."""

import os
import sys
import traceback
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: a fork copies one thread only
sys.path.insert(0, str(Path(__file__).parents[2]))

import signal

import numpy as np
from numba import types

from fastbp.compiler import Entry, directory, kernel, notices
from fastbp.simd import pointer

SECONDS = 60  # after which a child hangs


def start(function, *arguments):
    """The process id of a fork that runs a function, and ends with 0, 1 after an exception, or by a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(SECONDS)
            function(*arguments)
            status = 0
        except BaseException:
            if os.environ.get("SHOW"):
                traceback.print_exc()
        finally:
            os._exit(status)
    return child


def ended(child):
    """The exit status of a process, negative after a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@kernel
def _double(x):
    return 2 * x


def _twice(x):
    numbers = pointer(x)
    for i in range(x.size):
        numbers[i] = _double(numbers[i])


def _add(x):
    numbers = pointer(x)
    for i in range(x.size):
        numbers[i] += 100.0


def compute(function=_twice, expected=(0.0, 2.0, 4.0)):
    """Compile or load a small entry, as a new process would, and check what it computes."""
    notices._once.clear()
    directory.tidy.cache_clear()
    x = np.arange(3.0)
    Entry(function, lambda dtype: types.void(dtype[::1]))["float64"](x)
    if tuple(x) != expected:
        raise AssertionError(x)


def compute_other():
    """Another entry of the same types."""
    compute(_add, (100.0, 101.0, 102.0))


def temporary_files(folder):
    """Those in a folder and below."""
    return list(Path(folder).rglob(".*.tmp"))
