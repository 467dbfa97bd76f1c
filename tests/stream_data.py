"""Data for the tests of streams: the same rows as sources of every kind."""

import numpy as np

import fastbp

N, WIDTH, CLASSES, BATCH = 203, 40, 3, 16  # the last mini-batch is short


def rows(dtype="float32", n=N):
    """Samples and class numbers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, WIDTH)) * 40
    X = np.clip(X + 128, 0, 255).astype(dtype) if dtype == "uint8" else (X / 40).astype(dtype)
    return X, rng.integers(0, CLASSES, n)


def network(dtype="float32", hidden=20, **settings):
    return fastbp.Network([WIDTH, hidden, CLASSES], loss="cross_entropy", dtype=dtype, rng=0, **settings)


def mapped(tmp_path, array, name="X.npy"):
    """The path of a file with an array."""
    np.save(tmp_path / name, array)
    return tmp_path / name


class Sliced:
    """An array that is not in memory, as those of HDF5 and Zarr: it has a shape, a dtype and slices, and no more."""

    def __init__(self, array, chunks=None):
        self._array, self.chunks = array, chunks
        self.shape, self.dtype = array.shape, array.dtype
        self.asked = []

    def __getitem__(self, rows):
        assert type(rows) is slice
        self.asked.append((rows.start, rows.stop))
        del self.asked[:-1000]
        return self._array[rows].copy()


class Samples:
    """A data set as PyTorch knows them."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, number):
        return tuple(array[number] for array in self.arrays)


class Batches(Samples):
    """One that gives several samples at a time."""

    def __getitems__(self, numbers):
        return [self[number] for number in numbers]


def parts(*arrays, sizes=(7, 50, 1, 45, 100)):
    """A function that gives the rows in parts of several sizes, in memory that it writes anew for each part, as loaders do."""

    def loader():
        first = 0
        room = [np.empty((max(sizes), *array.shape[1:]), array.dtype) for array in arrays]
        for size in sizes:
            count = min(size, len(arrays[0]) - first)
            for target, array in zip(room, arrays, strict=True):
                target[:count] = array[first : first + count]
            yield tuple(target[:count] for target in room)
            first += count

    assert sum(sizes) >= len(arrays[0])
    return loader


def table(tmp_path, X, y, weights=None, group=37, files=2):
    """A folder of Parquet files, whose columns of inputs are x0, x1, ..."""
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path / "table"
    folder.mkdir()
    named = {f"x{k}": X[:, k] for k in range(X.shape[1])} | {"y": y} | ({} if weights is None else {"w": weights})
    whole = pyarrow.table(named)
    size = -(-len(X) // files)
    for k in range(files):
        pyarrow.parquet.write_table(whole.slice(k * size, size), folder / f"part-{k}.parquet", row_group_size=group)
    return folder
