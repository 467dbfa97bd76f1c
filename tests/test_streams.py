"""Streams: the bits of a fit on arrays, whatever the source, its blocks and how far it is read ahead."""

import tracemalloc

import numpy as np
import pytest
from stream_data import BATCH, Batches, N, Samples, Sliced, mapped, network, parts, rows, table

import fastbp
from fastbp.streams import Source, stream
from fastbp.streams.blocks import Epochs, Orders

EVERYTHING = {"optimizer": "adam", "dropout": 0.2, "l2": 0.1, "schedule": "cosine", "record_norms": True}


def fitted(X, y=None, dtype="float32", settings=None, **options):
    net = network(dtype, **(settings or {}))
    return net, net.fit(X, y, **{"epochs": 3, "batch_size": BATCH, "rng": 1} | options)


def assert_same(one, other, is_same=True):
    (net, history), (other_net, other_history) = one, other
    assert (net.params == other_net.params).all() == is_same
    if is_same:
        kept, found = ({k: v for k, v in each.to_dict().items() if k != "time"} for each in (history, other_history))
        assert kept == found


def sources(tmp_path, X, y):
    path = mapped(tmp_path, X)
    return {
        "path": lambda **size: stream(path, y, **size),
        "map": lambda **size: stream(np.load(path, mmap_mode="r"), mapped(tmp_path, y, "y.npy"), **size),
        "part of a map": lambda **size: stream(np.load(mapped(tmp_path, np.vstack([X, X])), mmap_mode="r")[N:], y, **size),
        "array": lambda **size: stream(X, y, **size),
        "slices": lambda **size: stream(Sliced(X), Sliced(y), **size),
        "samples": lambda **size: stream(Samples(X, y), **size),
        "batches of samples": lambda **size: stream(Batches(X, y), **size),
    }


NAMES = ["path", "map", "part of a map", "array", "slices", "samples", "batches of samples"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shuffle", [True, False])
def test_bits_are_those_of_arrays_where_rows_are_addressed(tmp_path, name, shuffle):
    X, y = rows()
    expected = fitted(X, y, shuffle=shuffle, **EVERYTHING)
    make = sources(tmp_path, X, y)[name]
    for size in (50, 5, 10_000):  # rounded down to mini-batches; less than one; more than there are
        assert_same(fitted(make(block_rows=size, chunk_rows=1), shuffle=shuffle, **EVERYTHING), expected)
    if shuffle:
        assert_same(fitted(make(block_rows=50, chunk_rows=8), **EVERYTHING), expected, is_same=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["float32", "float64", "uint8", "float16", ">f4", "int64"])
def test_numbers_are_converted_as_those_of_arrays(tmp_path, dtype, stored):
    X, y = rows("uint8" if stored == "int64" else stored)
    X = X.astype(stored)
    settings = {"input_scale": 1 / 255} if stored in ("uint8", "int64") else {}
    expected = fitted(X, y, dtype, settings)
    for data in (mapped(tmp_path, X), X):
        assert_same(fitted(stream(data, y, block_rows=64, chunk_rows=1), None, dtype, settings), expected)


@pytest.mark.parametrize("hidden", [5, 20])  # a narrow network, and one of panels
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "rmsprop"])
def test_bits_for_rules_and_kinds_of_kernels(hidden, optimizer):
    X, y = rows()
    expected = fitted(X, y, settings={"hidden": hidden}, optimizer=optimizer)
    assert_same(fitted(stream(X, y, block_rows=70), settings={"hidden": hidden}, optimizer=optimizer), expected)


@pytest.mark.parametrize("batch_size", [1, 7, 150, 203, 500])
def test_mini_batches_are_not_cut_where_blocks_end(batch_size):
    X, y = rows()
    for shuffle in (True, False):
        expected = fitted(X, y, batch_size=batch_size, shuffle=shuffle)
        assert_same(fitted(stream(X, y, block_rows=60), batch_size=batch_size, shuffle=shuffle), expected)
    assert_same(fitted(stream(parts(X, y), n_rows=N, block_rows=60), batch_size=batch_size, shuffle=False), expected)


def test_parts_of_any_length_are_one_line_of_rows():
    X, y = rows()
    expected = fitted(X, y, shuffle=False, **EVERYTHING)
    for sizes in ((7, 50, 1, 45, 100), (203,), (16,) * 13, (0, 96, 0, 107, 0)):
        for block_rows in (16, 48, 1000):
            source = stream(parts(X, y, sizes=sizes), n_rows=N, block_rows=block_rows)
            assert_same(fitted(source, shuffle=False, **EVERYTHING), expected)
    assert_same(fitted([(X[:100], y[:100]), (X[100:], y[100:])], shuffle=False), fitted(X, y, shuffle=False))
    assert_same(fitted(parts(X, y), shuffle=False), fitted(X, y, shuffle=False))  # `stream` is called where y is missing
    assert_same(fitted(Samples(X, y)), fitted(X, y))


def test_tables_of_parquet(tmp_path):
    import pyarrow.dataset

    X, y = rows()
    w = np.linspace(0.5, 2, N)
    folder = table(tmp_path, X, y, w)
    expected = fitted(X, y, sample_weight=w, shuffle=False)
    for data in (folder, pyarrow.dataset.dataset(folder, format="parquet")):
        assert_same(fitted(stream(data, target="y", weight="w", block_rows=50), shuffle=False), expected)
    columns = [f"x{k}" for k in range(40)]
    assert_same(fitted(stream(folder, columns=columns, target="y"), shuffle=False), fitted(X, y, shuffle=False))
    backwards = stream(folder, columns=columns[::-1], target="y")
    assert_same(fitted(backwards, shuffle=False), fitted(X[:, ::-1], y, shuffle=False))


def test_targets_of_several_columns_and_weights(tmp_path):
    X, _ = rows()
    y, w = np.random.default_rng(1).normal(size=(N, 2)).astype("float32"), np.random.default_rng(2).uniform(0, 2, N)
    w[:64] = 0  # of a whole block

    def fit(X, *rest, **options):
        net = fastbp.Network([40, 9, 2], rng=0)
        return net, net.fit(X, *rest, epochs=2, shuffle=False, rng=0, **options)

    expected = fit(X, y, sample_weight=w)
    folder = table(tmp_path, np.column_stack([X, y]), y[:, 0], w)
    of_table = stream(folder, columns=[f"x{k}" for k in range(40)], target=["x40", "x41"], weight="w", block_rows=64)
    for source in (of_table, stream(X, y, w, block_rows=64), parts(X, y, w), Samples(X, y, w)):
        assert_same(fit(source), expected)
    assert_same(fit(X, y), expected, is_same=False)


# --- orders ------------------------------------------------------------------------------------------------------------------


def orders(source, epochs=2, seed=5, batch=BATCH):
    """Rows in the order of each epoch, by a source whose samples are their numbers."""

    def check(part):
        return np.asarray(part.X).ravel().copy(), part.y, np.empty(0), np.empty(0)

    source.begin()
    found = [[] for _ in range(epochs)]
    for block in Epochs(source, check, batch, Orders(seed)).blocks(0, epochs, 0):
        assert block.first == len(found[block.epoch])
        found[block.epoch] += block.data[0][block.order].tolist()
    source.end()
    return np.array(found)


NUMBERS = np.arange(N)[:, None]


@pytest.mark.parametrize(
    "make",
    [
        lambda _: stream(Sliced(NUMBERS), NUMBERS, block_rows=64, chunk_rows=10),
        lambda _: stream(Sliced(NUMBERS), NUMBERS, block_rows=64),
        lambda tmp_path: stream(mapped(tmp_path, NUMBERS), NUMBERS, block_rows=64, chunk_rows=100),
        lambda _: stream(parts(NUMBERS, NUMBERS), block_rows=64),
        lambda tmp_path: stream(table(tmp_path, NUMBERS, NUMBERS.ravel()), target="y", block_rows=64),
    ],
    ids=["chunks", "chunks of some size", "two chunks", "parts", "table"],
)
def test_every_row_is_visited_once_an_epoch_in_an_order_of_the_seed(tmp_path, make):
    source = make(tmp_path)
    found = orders(source)
    assert (np.sort(found) == np.arange(N)).all()
    assert (found[0] != found[1]).any()
    assert (found == orders(source)).all()
    assert (found != orders(source, seed=6)).any()


def test_a_shuffled_stream_of_chunks_is_a_fit_in_that_order():
    X, y = rows()
    one = network()
    source = stream(Sliced(X), y, block_rows=64, chunk_rows=10)
    trainer = one.trainer(batch_size=BATCH, rng=3)
    trainer.run(source, epochs=2)
    order = orders(stream(Sliced(NUMBERS), NUMBERS, block_rows=64, chunk_rows=10), seed=trainer.state()["seed"])
    other = network()
    other.fit(X, y, epochs=2, batch_size=BATCH, order=order)
    assert (one.params == other.params).all()


def test_chunks_come_from_all_over_the_data():
    first = orders(stream(Sliced(NUMBERS), NUMBERS, block_rows=64, chunk_rows=8))[0][:64]
    assert first.max() - first.min() > N / 2
    assert len(np.unique(first // 8)) <= 10  # read in whole chunks, of which one may be cut at either end, and one is short
    only = orders(stream(parts(NUMBERS, NUMBERS), block_rows=64))[0][:64]
    assert only.max() == 63  # what cannot be addressed is shuffled within its blocks


def test_chunks_are_those_that_are_stored_together():
    data = Sliced(NUMBERS, chunks=(20, 1))
    orders(stream(data, NUMBERS, block_rows=64), epochs=1)
    assert all(first % 20 == 0 or last % 20 == 0 for first, last in data.asked)
    assert stream(Sliced(NUMBERS, chunks=None), NUMBERS, block_rows=64).chunk_rows == 4


@pytest.mark.parametrize("read_ahead", [0, 1, 2])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_bits_do_not_depend_on_reading_ahead_nor_on_threads(teams, read_ahead, n_threads):
    X, y = rows()
    for make in (lambda **size: stream(Sliced(X), y, **size), lambda **size: stream(parts(X, y), n_rows=N, **size)):
        expected = fitted(make(block_rows=48))
        assert_same(fitted(make(block_rows=48, read_ahead=read_ahead), n_threads=n_threads), expected)
    assert max(teams) == n_threads


# --- what else a fit does ----------------------------------------------------------------------------------------------------


def test_watching_stopping_and_callbacks_are_as_for_arrays():
    X, y = rows()
    seen = []
    watched = {"validation_data": (X[:50], y[50:100]), "patience": 2, "epochs": 12, "optimizer": fastbp.Adam(0.1), "tol": 1e-9}
    options = {**watched, "callbacks": [lambda epoch, net, history: seen.append(epoch)]}
    one = fitted(X, y, **watched)
    assert_same(fitted(stream(X, y, block_rows=64), **options), one)
    assert one[1].stopped_by == "patience"
    assert seen == list(range(len(one[1].loss)))
    by_loss = {"tol": 0.2, "n_iter_no_change": 2, "epochs": 9}
    assert fitted(X, y, **by_loss)[1].stopped_by == "tol"
    assert_same(fitted(stream(X, y, block_rows=64), **by_loss), fitted(X, y, **by_loss))
    by_gradient = {"gradient_tol": 100.0, "epochs": 5}
    assert_same(fitted(stream(X, y, block_rows=64), **by_gradient), fitted(X, y, **by_gradient))


def test_a_trainer_goes_on_from_arrays_to_streams_and_back():
    X, y = rows()
    nets = network(), network()
    for net, X_ in zip(nets, ((X, y), (stream(X, y, block_rows=64),)), strict=True):
        trainer = net.trainer(batch_size=BATCH, optimizer="momentum", rng=0)
        trainer.run(X, y, 1)
        trainer.epoch(*X_)
        trainer.run(*X_, epochs=2)
        trainer.step(X[:4], y[:4])
        assert trainer.epochs == 4
    assert (nets[0].params == nets[1].params).all()


def test_zeros_of_samples_are_left_out_to_the_same_bits():
    X, y = rows()
    X[np.random.default_rng(3).random(X.shape) < 0.9] = 0
    assert_same(fitted(stream(X, y, block_rows=64)), fitted(X, y))


def test_sources_of_your_own():
    X, y = rows()

    class Own(Source):
        n_rows, chunk_rows, row_bytes, block_rows = N, 1, 160, 64

        def read(self, spans):
            (first, last) = spans[0]
            return fastbp.streams.Part(X[first:last], y[first:last], None, "mine")

        def take(self, rows):
            return fastbp.streams.Part(X[rows], y[rows], None, "mine")

    assert_same(fitted(Own()), fitted(X, y))
    assert_same(fitted(Own(), shuffle=False), fitted(X, y, shuffle=False))


# --- memory ------------------------------------------------------------------------------------------------------------------


def peak(fit):
    """The most bytes that NumPy and Python have had meanwhile."""
    tracemalloc.start()
    try:
        fit()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read_ahead", [0, 1, 2])
@pytest.mark.parametrize("kind", ["file", "slices", "parts", "file of another dtype"])
def test_memory_is_bounded_by_blocks(tmp_path, kind, read_ahead):
    n, block_rows = 10_000, 1024
    X, y = rows(n=n)
    stored = X.astype("float64") if kind == "file of another dtype" else X
    path = mapped(tmp_path, stored)
    make = {
        "slices": lambda **size: stream(Sliced(X), y, **size),
        "parts": lambda **size: stream(parts(X, y, sizes=(100,) * 100), **size),
    }.get(kind, lambda **size: stream(path, y, **size))
    block = block_rows * (stored[0].nbytes + 8)
    fitted(make(block_rows=block_rows), epochs=1)  # what is imported and compiled

    def peak_of(size):
        return peak(lambda: fitted(make(block_rows=size, read_ahead=read_ahead), epochs=2))

    rest = peak_of(BATCH)  # the network, what its rule keeps, and Python's own
    assert peak_of(block_rows) < (2 + read_ahead) * block + rest
    assert peak_of(4 * block_rows) > (2 + read_ahead) * block + rest  # that a block is what counts
