"""Buffers of the kernels: where they begin, what is in them, whose they are."""

import gc
import mmap

import pytest

from fastbp import memory

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


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no huge pages on this system")
def test_large_buffers_start_on_a_huge_page():
    assert memory.zeros(memory.LARGE, "float64").ctypes.data % memory.HUGE_PAGE == 0


def test_a_kernel_without_huge_pages_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 12345, raising=False)  # advice that no kernel knows
    assert not memory.zeros(memory.LARGE, "float32").any()
