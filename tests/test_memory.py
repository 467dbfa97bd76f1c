"""Buffers of the kernels: where they begin, what is in them, whose they are."""

import gc
import mmap
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastbp.engine import memory

AROUND = [0, 1, 3, 1000, *(memory.LARGE // 8 + k for k in (-9, -8, -1, 0, 1, 7)), memory.HUGE_PAGE // 8, memory.HUGE_PAGE]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", AROUND)
def test_zeros_are_aligned_writable_and_zero(count, dtype):
    buffer = memory.zeros(count, dtype)
    assert buffer.shape == (count,)
    assert buffer.dtype == dtype
    assert buffer.flags.c_contiguous
    assert buffer.ctypes.data % memory.ALIGNMENT == 0 or count == 0
    assert not buffer.any()
    buffer[:] = 1
    assert buffer.sum() == count


def test_buffers_do_not_overlap_and_are_given_back():
    first, second = memory.zeros(memory.LARGE, "float32"), memory.zeros(memory.LARGE, "float32")
    first[:] = 1
    assert not second.any()
    kept = first[-5:]
    del first
    gc.collect()
    assert (kept == 1).all()


has_huge_pages = pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no huge pages on this system")


@has_huge_pages
def test_pages_serve_again_filled_with_zeros():
    size = 3 * memory.LARGE
    first = memory.zeros(size, "float32")
    address, first[:] = first.ctypes.data, 1
    tail = first[size // 2 :]
    del first
    other = memory.zeros(size, "float32")
    assert other.ctypes.data != address  # a view still has the pages
    del tail
    second = memory.zeros(size - 100, "float32")
    assert second.ctypes.data == address
    assert not second.any()


@has_huge_pages
def test_few_pages_wait_and_none_while_others_are_made():
    for _ in range(3):
        arrays = [memory.zeros(memory.KEPT // 12, "float32") for _ in range(4)]
        del arrays
        assert sum(map(len, memory._released)) <= memory.KEPT
    assert memory._released
    large = memory.zeros(memory.KEPT, "uint8")
    assert not memory._released
    del large
    assert not memory._released  # too large to wait


def test_threads_never_share_pages():
    def fill(value):
        for _ in range(50):
            array = memory.zeros(memory.LARGE // 4, "float32")
            assert not array.any()
            array[:] = value
            assert (array == value).all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(1, 9)))


@has_huge_pages
def test_large_buffers_start_on_a_huge_page():
    assert memory.zeros(memory.LARGE, "float64").ctypes.data % memory.HUGE_PAGE == 0


def test_a_kernel_without_huge_pages_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 12345, raising=False)  # advice that no kernel knows
    assert not memory.zeros(memory.LARGE, "float32").any()
