"""Streams of what other libraries keep: HDF5, Zarr, data sets of PyTorch, arrays of Dask."""

import os
import shutil
import threading

import numpy as np
import pytest
from stream_data import BATCH, WIDTH, N, network, rows

import fastbp
from fastbp.streams import stream

OPTIONS = {"epochs": 3, "batch_size": BATCH, "rng": 1}
X, Y = rows()


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert [thread for thread in threading.enumerate() if thread.name == "fastbp-read-ahead"] == []


def fitted(X, y=None, **options):
    net = network()
    net.fit(X, y, **OPTIONS | options)
    return net.params


EXPECTED = {shuffle: fitted(X, Y, shuffle=shuffle) for shuffle in (True, False)}


def assert_is_read(make):
    """That a source of these arrays gives the bits of arrays, and what else streams do."""
    for shuffle, expected in EXPECTED.items():
        assert (fitted(make(block_rows=50, chunk_rows=1), shuffle=shuffle) == expected).all()
    assert (fitted(make(block_rows=50), shuffle=False) == EXPECTED[False]).all()
    assert (fitted(make(block_rows=50)) == fitted(make(block_rows=50, read_ahead=0))).all()
    net = network()
    assert (net.predict(make(block_rows=50)) == net.predict(X)).all()
    one, other = (fastbp.MLPClassifier((5,), max_iter=2, random_state=0, tol=0, n_iter_no_change=9) for _ in range(2))
    with pytest.warns(UserWarning, match="Maximum iterations"):
        one.fit(make(block_rows=50, chunk_rows=1))
    with pytest.warns(UserWarning, match="Maximum iterations"):
        other.fit(X, Y)
    assert one.loss_curve_ == other.loss_curve_


def fails(source, message, **options):
    """A fit that ends so, and the last finite weights after it; the epochs that were complete."""
    net = network()
    with pytest.raises(ValueError, match=message) as caught:
        net.fit(source, **OPTIONS | options)
    assert np.isfinite(net.params).all()
    return len(caught.value.history.loss) if hasattr(caught.value, "history") else 0


# --- HDF5 --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hdf5(tmp_path):
    """Makes a file of HDF5 with the data, and opens it."""
    h5py = pytest.importorskip("h5py")
    opened = []

    def make(mode="r", name="a.h5", **options):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            group = file.create_group("data")
            group.create_dataset("X", data=X, **options)
            group.create_dataset("y", data=Y)
        opened.append(h5py.File(path, mode))
        return opened[-1]

    yield make
    for file in opened:
        file.close()


STORED = [{}, {"chunks": (20, 40), "compression": "gzip"}, {"chunks": (30, 7), "maxshape": (None, WIDTH), "shuffle": True}]


@pytest.mark.parametrize("options", STORED, ids=["contiguous", "compressed", "resizable"])
def test_hdf5(hdf5, options):
    file = hdf5(**options)
    assert_is_read(lambda **size: stream(file["data/X"], file["data/y"], **size))
    source = stream(file["data/X"], Y, block_rows=1000)
    assert source.chunk_rows == {(): 62, (20, 40): 60, (30, 7): 60}[options.get("chunks", ())]  # a 16th of a block, in whole chunks


def test_who_else_reads_the_file_waits_for_its_turn(hdf5):
    file = hdf5(chunks=(20, 40), compression="gzip")
    read = []

    def look(epoch, net, history):
        read.append(float(file["data/X"][epoch * 10, 0]))

    fitted(stream(file["data/X"], file["data/y"], block_rows=16, read_ahead=2), callbacks=[look])
    assert read == [float(X[row, 0]) for row in (0, 10, 20)]


def test_a_file_of_hdf5_that_is_closed_damaged_cut_or_resized_is_named(hdf5):
    file = hdf5()
    source = stream(file["data/X"], Y, block_rows=32)
    begun = fails(source, r"a.h5/data/X .*cannot be read|of a.h5/data/X cannot be read", callbacks=[lambda *_: file.close()])
    assert begun == 1
    fails(source, "a.h5/data/X cannot be read: ")  # closed from the beginning

    file = hdf5(name="cut.h5")
    path, source = file.filename, stream(file["data/X"], Y, block_rows=32)
    assert fails(source, "cut.h5/data/X has changed while it was read", callbacks=[lambda *_: os.truncate(path, 9000)]) == 1

    file = hdf5(name="damaged.h5", chunks=(20, 40), compression="gzip")
    path = file.filename
    place = file["data/X"].id.get_chunk_info(5).byte_offset
    with open(path, "r+b") as raw:
        raw.seek(place)
        raw.write(b"\0" * 500)
    fails(stream(file["data/X"], Y, block_rows=32), r"rows \d+ to \d+ of damaged.h5/data/X cannot be read: ", shuffle=False)

    file = hdf5("a", name="resized.h5", maxshape=(None, WIDTH))
    source = stream(file["data/X"], Y, block_rows=32)
    fitted(source)
    for size in (100, 300):
        message = rf"resized.h5/data/X has changed: its shape was \({N}, 40\) and is \({size}, 40\)|of resized.h5/data/X must have"
        assert fails(source, message, callbacks=[lambda *_, size=size: file["data/X"].resize((size, WIDTH))]) == 1
        file["data/X"].resize((N, WIDTH))


def test_what_is_no_array_of_hdf5(hdf5):
    import h5py

    file = hdf5("a")
    file["nothing"] = h5py.Empty("f4")
    with pytest.raises(ValueError, match="X must have rows, got shape None"):
        stream(file["nothing"], Y)
    with pytest.raises(TypeError, match="X must be one array, got several: choose that of one name, of X, y"):
        stream(file["data"], Y)
    file["words"] = np.array(["one", "two", "three"], object)[Y]
    found = fastbp.MLPClassifier((4,), max_iter=1, tol=0).fit
    with pytest.warns(match="Maximum iterations"):
        assert found(stream(file["data/X"], file["words"].asstr())).classes_.tolist() == ["one", "three", "two"]
    with pytest.raises(ValueError, match=r"of a.h5/words\) must hold words or numbers, and not objects of type bytes: .*asstr"):
        found(stream(file["data/X"], file["words"]))


# --- Zarr --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def zarray(tmp_path):
    """Makes an array of Zarr of the samples."""
    zarr = pytest.importorskip("zarr", minversion="3.0")

    def make(name="a.zarr", **options):
        array = zarr.create_array(tmp_path / name, shape=X.shape, dtype=X.dtype, **options)
        array[:] = X
        return array

    return make


STORES = [{"chunks": (20, 40)}, {"chunks": (20, 20), "shards": (80, 40)}, {"chunks": (50, 40), "compressors": None}]


@pytest.mark.parametrize("options", STORES, ids=["chunks", "shards", "as they are"])
def test_zarr(zarray, options):
    array = zarray(**options)
    assert_is_read(lambda **size: stream(array, Y, **size))
    assert stream(array, Y, block_rows=1000).chunk_rows % options["chunks"][0] == 0


def test_an_array_of_zarr_that_is_cut_or_resized_is_named(zarray, tmp_path):
    array = zarray(chunks=(20, 40))
    source = stream(array, Y, block_rows=32)
    # or, where the thread that reads has just looked at the shape, by what it then gets
    message = r"a.zarr has changed: its shape was \(203, 40\) and is \(90, 40\)|rows \d+ to \d+ of a.zarr must have shape"
    assert fails(source, message, callbacks=[lambda *_: array.resize((90, 40))]) == 1
    array = zarray("b.zarr", chunks=(20, 40))
    os.truncate(tmp_path / "b.zarr" / "c" / "3" / "0", 10)
    fails(stream(array, Y, block_rows=32), r"rows \d+ to \d+ of b.zarr cannot be read: ")
    fails(stream(array, Y, block_rows=32, chunk_rows=1), r"rows \d+ to \d+ of b.zarr cannot be read: ")


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_of_zarr_that_is_deleted_is_not_all_zeros(zarray, tmp_path, mode, zarr_format):
    import zarr

    zarray(chunks=(20, 40), zarr_format=zarr_format)
    source = stream(zarr.open_array(tmp_path / "a.zarr", mode=mode), Y, block_rows=32)
    gone = lambda *_: shutil.rmtree(tmp_path / "a.zarr", ignore_errors=True)  # noqa: E731
    assert fails(source, "a.zarr has changed while it was read|of a.zarr cannot be read", callbacks=[gone]) == 1


def test_a_group_of_zarr_is_no_array(tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3.0")
    group = zarr.open_group(tmp_path / "g", mode="w")
    group.create_array("X", data=X)
    with pytest.raises(TypeError, match="X must be one array, got several: choose that of one name, of X"):
        stream(group, Y)
    assert (fitted(stream(group["X"], Y, chunk_rows=1)) == EXPECTED[True]).all()


# --- PyTorch -----------------------------------------------------------------------------------------------------------------


def test_data_sets_of_torch():
    data = pytest.importorskip("torch.utils.data")
    import torch

    whole = data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))

    class Own(data.Dataset):
        def __len__(self):
            return N

        def __getitem__(self, number):
            return X[number], Y[number]

    for samples in (whole, Own(), data.Subset(Own(), range(N))):
        assert (fitted(samples) == EXPECTED[True]).all()
        assert (fitted(stream(samples, block_rows=50), shuffle=False) == EXPECTED[False]).all()
    loader = data.DataLoader(whole, batch_size=30)
    assert (fitted(loader, shuffle=False) == EXPECTED[False]).all()

    class Parts(data.IterableDataset):
        def __len__(self):
            return 2

        def __iter__(self):
            yield X[:100], Y[:100]
            yield X[100:], Y[100:]

    assert (fitted(Parts(), shuffle=False) == EXPECTED[False]).all()
    assert (fitted(data.DataLoader(Parts(), batch_size=None), shuffle=False) == EXPECTED[False]).all()

    class OneByOne(Parts):
        def __iter__(self):
            return iter(Own())

    with pytest.raises(TypeError, match=r"part 0 of OneByOne is a single sample: give parts of many rows each, as .*DataLoader"):
        fitted(OneByOne())


def test_tensors_of_torch():
    torch = pytest.importorskip("torch")
    data = torch.utils.data
    tensors = torch.from_numpy(X), torch.from_numpy(Y)
    assert (fitted(stream(*tensors)) == EXPECTED[True]).all()
    assert (fitted(stream(*tensors, block_rows=50), shuffle=False) == EXPECTED[False]).all()
    for change, message in ((lambda x: x.requires_grad_(), "requires grad"), (lambda x: x.bfloat16(), "BFloat16")):
        bad = change(torch.from_numpy(X.copy()))
        with pytest.raises(TypeError, match=f"X must be an array: .*{message}"):
            stream(bad, tensors[1])
        with pytest.raises(TypeError, match=f"row 0 of TensorDataset: x cannot be made an array: .*{message}"):
            stream(data.TensorDataset(bad, tensors[1]))


# --- Dask --------------------------------------------------------------------------------------------------------------------


def test_arrays_of_dask():
    dask = pytest.importorskip("dask.array")
    lazy, targets = dask.from_array(X, chunks=(60, 20)), dask.from_array(Y, chunks=30)
    assert_is_read(lambda **size: stream(lazy, targets, **size))
    with pytest.raises(ValueError, match=r"X has an unknown number of rows, shape \(nan, 40\)"):
        stream(lazy[lazy[:, 0] > 0], Y)
    frames = pytest.importorskip("dask.dataframe")
    table = frames.from_dask_array(lazy, columns=[f"x{k}" for k in range(WIDTH)])
    with pytest.raises(TypeError, match="X is a table of Dask, which would all be computed"):
        stream(table, Y)
    with pytest.raises(TypeError, match="y is a table of Dask"):
        stream(X, table["x0"])
    assert stream(table.to_dask_array(lengths=True), Y).n_rows == N
