"""Memory for the kernels: where it begins, and on what pages."""

import mmap
import os
import weakref
from contextlib import suppress
from functools import cache

import numpy as np
from numpy.typing import DTypeLike

ALIGNMENT = 64  # bytes: a line of the cache, and the widest register
HUGE_PAGE = 1 << 21  # bytes
LARGE = 1 << 20  # bytes from which a buffer gets pages of its own
KEPT = 1 << 27  # bytes at most that wait for the next buffer

ALWAYS_THERE = 1 << 27  # bytes for which nobody is asked
ADDRESSES = 1 << 47  # that a process can address at most

_released: list[mmap.mmap] = []


def check_room(argument: str, size: int) -> None:
    """Raise where an argument asks for more bytes than the machine has, of which no system call would say whose they are."""
    if size > ALWAYS_THERE and size > _room():
        raise ValueError(f"{argument} needs {size >> 30} GiB, but this machine has {_room() >> 30} GiB of memory; choose less")


@cache
def _room() -> int:
    """Bytes of memory of the machine; where the system does not tell, those that a process can address."""
    with suppress(AttributeError, ValueError, OSError):
        return max(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), ALWAYS_THERE)
    return ADDRESSES


def zeros(count: int, dtype: DTypeLike) -> np.ndarray:
    """Zeros (count,), the first of them on a 64-byte boundary; of large arrays on a huge page, where the system has them.

    The panels of a product lie far apart: on pages of 4 KiB the processor looks up more addresses than it can keep, and products of
    a thousand columns take 5 to 8 % longer. Pages of a large array that is gone serve the next one of like size: to fill them with
    zeros takes a third of the time that the system needs for new ones, which on a virtual machine may be ten times that.
    """
    size = count * np.dtype(dtype).itemsize
    if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        buffer = np.zeros(size + ALIGNMENT, np.uint8)
        return _part(buffer, ALIGNMENT, size).view(dtype)
    released = _take(size)
    if released is None:
        _released.clear()  # these are too small or too large: they would only add to the peak
        mapping = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without huge pages: any will do
            mapping.madvise(mmap.MADV_HUGEPAGE)
    else:
        mapping = released
    buffer = np.frombuffer(mapping, np.uint8)
    weakref.finalize(buffer, _release, mapping).atexit = False
    part = _part(buffer, HUGE_PAGE, size)
    if released is not None:
        part[:] = 0
    return part.view(dtype)


def _part(buffer: np.ndarray, unit: int, size: int) -> np.ndarray:
    """The first `size` bytes of a buffer that begin at a multiple of `unit`."""
    start = -buffer.ctypes.data % unit
    return buffer[start : start + size]


def _take(size: int) -> mmap.mmap | None:
    """Released pages for `size` bytes that are not twice as many, or None."""
    for mapping in sorted(_released, key=len):
        if size <= len(mapping) - HUGE_PAGE <= 2 * size:
            with suppress(ValueError):  # another thread has just taken it
                _released.remove(mapping)
                return mapping
    return None


def _release(mapping: mmap.mmap) -> None:
    """Keep pages for the next array, the oldest of them no longer than there is room."""
    _released.append(mapping)
    with suppress(IndexError):
        while sum(map(len, _released)) > KEPT:
            _released.pop(0)
