"""Buffers of the kernels: where they begin, what is in them, whose they are."""

import gc
import mmap
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import embedded
import numpy as np
import pytest

from fastbp import Checkpoint, Network
from fastbp.engine import memory
from fastbp.engine.session import Session

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


@pytest.fixture
def room():
    memory._room.cache_clear()
    yield memory._room
    memory._room.cache_clear()


def test_room_where_the_system_does_not_tell(room, monkeypatch):
    def refuse(name):
        raise ValueError("unrecognized configuration name")

    told = room()
    room.cache_clear()
    monkeypatch.setattr(os, "sysconf", refuse, raising=False)
    assert told < room() == memory.ADDRESSES
    memory.check_room("sizes", memory.ADDRESSES)
    with pytest.raises(ValueError, match=f"sizes needs {2 << 17} GiB, but this machine has {1 << 17} GiB of memory"):
        memory.check_room("sizes", 2 * memory.ADDRESSES)


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


# --- what a fit takes beside the samples -------------------------------------------------------------------------------------


def extra_bytes(work):
    """The most that NumPy has taken at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


N, WIDTH = 200_000, 16
X_BYTES = 4 * N * WIDTH


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(0).normal(size=(N, WIDTH)).astype(np.float32), np.zeros(N, np.float32)


@pytest.mark.parametrize(
    ("options", "bytes_a_row"),
    [
        ({}, 4),  # the order
        ({"shuffle": False}, 4),
        ({"shuffle": "replacement"}, 4),
        ({"order": np.arange(N, dtype=np.int32)}, 4 + 1),
        # 8 while rows are drawn, and 4 of them in order, the others chosen; the held-out ones are copied
        ({"validation_fraction": 0.1}, 8 + 4 + 8 + 0.1 * (4 * WIDTH + 4 + 4 + 4)),
    ],
)
@pytest.mark.parametrize("batch_size", [4096, N])
def test_a_fit_copies_no_samples(options, bytes_a_row, batch_size, samples):
    X, y = samples
    net = Network([WIDTH, 4, 1], rng=0)
    options = {"epochs": 2, "batch_size": batch_size} | options
    net.copy().fit(X[:64], y[:64], epochs=1, batch_size=64)
    taken = extra_bytes(lambda: net.fit(X, y, **options))
    assert taken < bytes_a_row * N + 1_250_000  # buffers of blocks
    assert extra_bytes(lambda: X[np.arange(N)]) > X_BYTES  # such a copy would be seen


def test_samples_on_disk_are_not_copied(samples, tmp_path):
    X, y = samples
    np.save(tmp_path / "X.npy", X)
    on_disk = np.load(tmp_path / "X.npy", mmap_mode="r")
    nets = [Network([WIDTH, 4, 1], rng=0) for _ in range(2)]
    options = {"epochs": 1, "batch_size": 4096, "rng": 0}
    nets[0].copy().fit(on_disk[:64], y[:64], epochs=1)  # modules are imported
    assert extra_bytes(lambda: nets[0].fit(on_disk, y, **options)) < 4 * N + 1_200_000
    assert extra_bytes(lambda: nets[0].loss(on_disk, y)) < X_BYTES / 4
    assert extra_bytes(lambda: nets[0](on_disk)) < X_BYTES / 4
    nets[1].fit(X, y, **options)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


FITS = {
    "fit": lambda net, X, y: net.fit(X, y, epochs=2),
    "fit by two": lambda net, X, y: net.fit(X, y, epochs=2, n_threads=2),
    "watched fit": lambda net, X, y: net.fit(
        X, y, epochs=2, validation_fraction=0.3, patience=1, record_score=True, callbacks=[lambda *_: None, Checkpoint(os.devnull)]
    ),
    "run": lambda net, X, y: net.trainer().run(X, y, 2),
    "steps": lambda net, X, y: net.trainer().step(X[:9], y[:9]),
    "gradient": lambda net, X, y: net.value_and_grad(X, y),
    "outputs": lambda net, X, y: net(X),
    "jacobian": lambda net, X, y: net.jacobian(X[:9]),
    "compiled": lambda net, X, y: embedded.outputs(net, X),
    "compiled steps": lambda net, X, y: embedded.step(net.trainer(), X[:9], y[:9]),
}


@pytest.mark.parametrize("fit", FITS)
def test_buffers_do_not_wait_for_the_collector_of_cycles(fit):
    """Whoever trains large networks one after the other would pay for new pages each time: half as long again."""
    X = np.random.default_rng(0).normal(size=(40, 5))
    net = Network([5, 20, 5], dtype="float64", rng=0)
    gc.collect()
    gc.disable()
    try:
        FITS[fit](net, X, X)
        kept = [*net._idle, *net._spare, *net._trained, *net._derived]
        if "_handle" in vars(net):
            kept += net._handle._predicting._sessions + net._handle._differentiating._sessions
        left = [each for each in gc.get_objects() if issubclass(type(each), Session) and each.net is net]
        assert [each for each in left if each not in kept] == []
    finally:
        gc.enable()
