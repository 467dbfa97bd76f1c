"""Streams that are at fault: one error that names rows and file, the last finite parameters, and no thread that is left."""

import _thread
import os
import sys
import threading
import time

import numpy as np
import pytest
import scipy.sparse
from stream_data import BATCH, N, Samples, Sliced, mapped, network, parts, rows, table

import fastbp
from fastbp.streams import Part, Source, stream

OPTIONS = {"epochs": 3, "batch_size": BATCH, "rng": 1}


def reading():
    return [thread for thread in threading.enumerate() if thread.name == "fastbp-read-ahead"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert reading() == []


def fails(X, error, message, y=None, **options):
    """A fit that ends so; the error, and whether it began to train."""
    net = network()
    before = net.params.copy()
    with pytest.raises(error, match=message) as caught:
        net.fit(X, y, **OPTIONS | options)
    assert np.isfinite(net.params).all()
    net.fit(*rows(), epochs=1)  # nobody holds it any more
    return caught.value, (net.params != before).any()


def spoilt(change, n=N):
    X, y = rows(n=n)
    w = np.ones(n)
    change(X, y, w)
    return X, y, w


def set_nan(X, y, w):
    X[70, 3] = np.nan


def set_class(X, y, w):
    y[70] = 3


def set_weight(X, y, w):
    w[70] = -1


SPOILT = [
    (set_nan, r"X \(row.*\) holds NaN or infinity"),
    (set_class, r"y \(row.*\) holds labels from \d to 3, but the network has classes 0 to 2"),
    (set_weight, r"sample_weight \(row.*\) must not be negative, got -1"),
]


@pytest.mark.parametrize(("change", "message"), SPOILT)
@pytest.mark.parametrize("read_ahead", [0, 1])
def test_a_bad_row_is_named_before_any_step_of_its_block(tmp_path, change, message, read_ahead):
    X, y, w = spoilt(change)
    path = mapped(tmp_path, X)
    size = {"block_rows": 32, "read_ahead": read_ahead}
    # rows in their order: two blocks are trained on
    error, _ = fails(stream(path, y, w, **size), ValueError, message.replace("row.*", r"rows 64 to 95 of X.npy"), shuffle=False)
    assert error.history.loss == []
    one, other = network(), network()
    with pytest.raises(ValueError, match="rows 64 to 95"):
        one.fit(stream(path, y, w, **size), shuffle=False, **OPTIONS)
    trainer = other.trainer(batch_size=BATCH, shuffle=False)
    for first in range(0, 64, BATCH):
        trainer.step(X[first : first + BATCH], y[first : first + BATCH])
    assert (one.params == other.params).all()
    # single rows, and chunks of eight
    fails(stream(path, y, w, chunk_rows=1, **size), ValueError, message.replace("row.*", "row 70 of X.npy"))
    fails(stream(path, y, w, chunk_rows=8, **size), ValueError, message.replace("row.*", "rows 64 to 71 of X.npy"))
    fails(Samples(X, y, w), ValueError, message.replace("row.*", "row 70 of Samples"))
    fails(parts(X, y, w), ValueError, message.replace("row.*", "part 3 of loader"))


def test_the_first_block_is_looked_at_before_anything_is_changed():
    X, y, _ = spoilt(set_nan)
    net = network()
    before = net.params.copy()
    with pytest.raises(ValueError, match="holds NaN"):
        net.fit(stream(X, y), **OPTIONS)
    assert (net.params == before).all()


OTHER_FILES = {
    "a column more": (lambda X, y: table_of(X, y, more=y), "part-1.parquet has a column 'more' that the files before do not have"),
    "a column less": (lambda X, y: table_of(X[:, :39], y), "part-1.parquet has no column 'x39', as the files before"),
    "another dtype": (lambda X, y: table_of(X.astype(float), y), "column 'x0' is of type double, but float in the files before"),
    "words": (lambda X, y: table_of(X.astype(str), y), r"part-1.parquet: column 'x0' is of type (large_)?string, but float in the"),
    "targets of another dtype": (lambda X, y: table_of(X, y + 0.5), "column 'y' is of type double, but int64 in the files before"),
    "an unknown class": (
        lambda X, y: table_of(X, y + 1),
        r"y \(rows 0 to 202 of row group 0 of part-1.parquet\) holds labels from",
    ),
    "nulls": (lambda X, y: table_of(X, [None, *y[1:]]), "row group 0 of part-1.parquet: column 'y' holds 1 nulls"),
    "a file that is none": (None, r"X: .*table is no Parquet file, or no folder of these alone"),
}


def table_of(X, y, **more):
    import pyarrow

    return pyarrow.table({f"x{k}": X[:, k] for k in range(X.shape[1])} | {"y": y} | more)


@pytest.mark.parametrize("name", OTHER_FILES)
def test_files_that_are_not_like_those_before_are_named(tmp_path, name):
    import pyarrow.parquet

    X, y = rows()
    folder, (make, message) = table(tmp_path, X, y), OTHER_FILES[name]
    if make is None:
        (folder / "notes.txt").write_text("a stray file")
        with pytest.raises(ValueError, match=message):
            stream(folder, target="y")
        return
    pyarrow.parquet.write_table(make(X, y), folder / "part-1.parquet")
    fails(stream(folder, target="y"), ValueError, message)
    if name in ("a column more", "another dtype"):  # where that is said to be meant
        columns = [f"x{k}" for k in range(40)]
        schema = table_of(X.astype(float), y).schema
        network().fit(stream(pyarrow.dataset.dataset(folder, schema=schema), columns=columns, target="y"), **OPTIONS)


def test_empty_files_of_tables_are_left_out(tmp_path):
    import pyarrow.parquet

    X, y = rows()
    folder, one, other = table(tmp_path, X, y), network(), network()
    pyarrow.parquet.write_table(table_of(X[:0], y[:0].astype("int64")), folder / "part-00.parquet")
    one.fit(stream(folder, target="y"), shuffle=False, **OPTIONS)
    other.fit(X, y, shuffle=False, **OPTIONS)
    assert (one.params == other.params).all()


def test_files_of_tables_that_change_or_go_meanwhile_are_named(tmp_path):
    X, y = rows()
    changes = (
        (lambda path: os.utime(path, (1, 1)), r"row group \d of part-1.parquet has changed while it was read"),
        # or, in the midst of a read, what pyarrow says of it
        (lambda path: os.truncate(path, 3000), r"row group \d of part-1.parquet (has changed while it was read|cannot be read)"),
        (os.remove, r"row group \d of part-1.parquet (has changed while it was read|cannot be read)"),
    )
    for number, (change, message) in enumerate(changes):
        (tmp_path / str(number)).mkdir()
        folder = table(tmp_path / str(number), X, y)
        source = stream(folder, target="y", block_rows=32)

        def meanwhile(*_, change=change, folder=folder):
            change(folder / "part-1.parquet")

        error, _ = fails(source, ValueError, message, callbacks=[meanwhile])
        assert len(error.history.loss) == 1
    fails(source, ValueError, "part-1.parquet cannot be read")
    (folder / "part-1.parquet").write_bytes((folder / "part-0.parquet").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"X: the data set cannot be read by row groups: .*part-1.parquet"):
        stream(folder, target="y")


def test_paths_that_lead_to_nothing_that_can_be_read(tmp_path):
    (tmp_path / "none.npy").write_text("junk")
    (tmp_path / "empty.npy").write_text("")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "objects.npy", np.array([1, "a"], object))
    for name, error, message in (
        ("none.npy", ValueError, "X: .*none.npy is no file of one array of numbers"),
        ("empty.npy", ValueError, "X: .*empty.npy is no file of one array of numbers"),
        ("objects.npy", ValueError, "X: .*objects.npy is no file of one array of numbers"),
        ("nowhere.npy", FileNotFoundError, "X: there is no file .*nowhere.npy"),
        ("table.csv", ValueError, "X: .*table.csv is no Parquet file, or no folder of these alone"),
        ("folder", ValueError, "X: there is no Parquet file in .*folder"),
    ):
        with pytest.raises(error, match=message):
            stream(tmp_path / name, **({"y": Y} if name.endswith(".npy") else {"target": "b"}))


def test_files_of_tables_are_named(tmp_path):
    import pyarrow
    import pyarrow.dataset
    import pyarrow.parquet

    X, y = rows()
    folder = table(tmp_path, X, y)
    stream(folder, target="y")
    lacking = pyarrow.table({f"x{k}": X[:, k] for k in range(39)} | {"y": y})
    pyarrow.parquet.write_table(lacking, folder / "part-1.parquet")
    fails(stream(folder, target="y"), ValueError, "part-1.parquet has no column 'x39', as the files before", shuffle=False)
    given = pyarrow.dataset.dataset(folder, format="parquet")  # by which the columns of a file that lacks some are null
    message = r"rows 0 to 202 of row group 0 of part-1.parquet: column 'x39' holds 203 nulls, or the file lacks it"
    fails(stream(given, target="y"), ValueError, message, shuffle=False)
    spoilt = pyarrow.table({f"x{k}": X[:, k] for k in range(40)} | {"y": np.where(np.arange(N) == 9, 7, y)})
    pyarrow.parquet.write_table(spoilt, folder / "part-1.parquet")
    fails(stream(folder, target="y"), ValueError, r"y \(rows 0 to 202 of row group 0 of part-1.parquet\) holds labels")
    data = (folder / "part-0.parquet").read_bytes()
    (folder / "part-0.parquet").write_bytes(data[:4000] + b"\0" * (len(data) // 2) + data[4000 + len(data) // 2 :])
    fails(stream(folder, target="y"), (ValueError, OSError), "part-0.parquet", shuffle=False)


# --- files that change -------------------------------------------------------------------------------------------------------


def test_a_file_that_changes_or_is_cut_meanwhile_is_named(tmp_path):
    X, y = rows()
    path = mapped(tmp_path, X)

    def cut(epoch, net, history):
        os.truncate(path, 4000)

    def touch(epoch, net, history):
        os.utime(path, (1, 1))

    def put_another_there(epoch, net, history):
        os.replace(mapped(tmp_path, X + 1, "other.npy"), path)

    def remove(epoch, net, history):
        path.unlink()

    stays = network().fit(stream(path, y, block_rows=32), **OPTIONS, callbacks=[lambda *_: None])
    assert len(stays.loss) == 3
    for change in (touch, cut, put_another_there, remove):
        mapped(tmp_path, X)
        told = "X.npy (has changed while it was read|ends in row .* the file was cut)"  # whichever is seen first
        error, _ = fails(stream(path, y, block_rows=32), ValueError, told, callbacks=[change])
        assert len(error.history.loss) == 1


def test_a_file_that_was_cut_after_it_was_mapped_is_an_error_and_no_end_of_the_process(tmp_path):
    X, y = rows()
    path = mapped(tmp_path, X)
    data = np.load(path, mmap_mode="r")
    made_before = stream(data, y, block_rows=32)
    os.truncate(path, 128 + 100 * 160 + 3)
    message = r"X.npy ends in row 100: rows 96 to 127 of X.npy cannot be read, the file was cut"
    fails(stream(data, y, block_rows=32), ValueError, message, shuffle=False)
    fails(made_before, ValueError, "X.npy has changed since the stream was made: make it anew")


def test_views_of_maps_are_files_too(tmp_path):
    X, y = rows()
    whole = np.load(mapped(tmp_path, np.column_stack([X, y]).astype("float32")), mmap_mode="r")
    expected = network()
    expected.fit(X, y, **OPTIONS, shuffle=False)
    for view in (whole[:, :40], np.load(mapped(tmp_path, X, "F.npy"), mmap_mode="r").view(np.ndarray)):
        source, net = stream(view, y, block_rows=32), network()
        assert source.chunk_rows == 2  # rows drawn one by one are slow on a disk
        net.fit(source, **OPTIONS, shuffle=False)
        assert (net.params == expected.params).all()
    assert stream(X[:, ::2], y, block_rows=32).chunk_rows == 1
    for chunk_rows in (1, 2):
        source = stream(whole[:, :40], y, block_rows=32, chunk_rows=chunk_rows)
        os.utime(tmp_path / "X.npy", (1, chunk_rows))  # as if it had been cut, which would end the process
        fails(source, ValueError, "X has changed while it was read")


def test_a_file_in_the_place_of_the_one_that_was_mapped_is_not_read_by_its_shape(tmp_path):
    X, y = rows()
    source = stream(mapped(tmp_path, X), y, block_rows=32)
    network().fit(source, **OPTIONS)
    mapped(tmp_path, X.reshape(2 * N, 20))  # of the same size
    fails(source, ValueError, "X.npy has changed since the stream was made: make it anew")
    kept = np.load(mapped(tmp_path, X), mmap_mode="r+")
    source = stream(kept, y, block_rows=32)
    one, other = network(), network()
    one.fit(source, **OPTIONS)
    kept[:] = 2 * kept  # by somebody who has it open for writing
    other.fit(source, **OPTIONS)
    assert (one.params != other.params).any()


def test_slices_that_are_too_short_are_named():
    X, y = rows()
    short = Sliced(X)
    short._array = X[:100]
    fails(
        stream(short, y, block_rows=32), ValueError, r"rows 96 to 127 of X must have shape \(32, 40\), got \(4, 40\)", shuffle=False
    )


# --- iterables ---------------------------------------------------------------------------------------------------------------


def changing(*epochs):
    """A function that gives other parts in each epoch."""
    given = iter(epochs)
    return lambda: next(given)


def test_iterables_that_are_not_alike_in_all_epochs():
    X, y = rows()
    whole, short = [(X, y)], [(X[:100], y[:100]), (X[100:200], y[100:200])]
    error, _ = fails(changing(whole, short), ValueError, "X ended in epoch 2 after 200 rows: there are 203 by the first epoch")
    assert len(error.history.loss) == 1
    fails(changing(short, whole), ValueError, r"part 0 of <lambda> in epoch 2: there are more rows than the 200 of the first epoch")
    fails(stream(whole, n_rows=204), ValueError, "X ended in epoch 1 after 203 rows: there are 204 by n_rows")
    fails(stream(short, n_rows=199), ValueError, "part 1 of list: there are more rows than the 199 of n_rows")
    fails(lambda: None, TypeError, r"X \(<lambda>\) must return an iterable of parts \(X, y\), got NoneType")
    fails(changing(whole, []), ValueError, "X gave no rows in epoch 2")
    _, has_trained = fails([], ValueError, "X gave no rows in epoch 1")
    assert has_trained  # by the fit that comes after
    fails(iter(whole), ValueError, r"X is an iterator \(list_iterator\), which is at its end after one epoch")
    assert len(network().fit(iter(whole), **OPTIONS | {"epochs": 1}).loss) == 1


@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        (lambda X, y: (X[:, :39], y), ValueError, r"X \(part 1 of list\) has 39 columns, but the network has 40 inputs"),
        (
            lambda X, y: (X.astype("float64"), y),
            ValueError,
            r"X \(part 1 of list\) is of dtype float64, but is of dtype float32 in",
        ),
        (
            lambda X, y: (X, np.eye(3)[y]),
            ValueError,
            r"y \(part 1 of list\) holds numbers for each output, but holds class numbers",
        ),
        (
            lambda X, y: (X, y, np.ones(len(X))),
            ValueError,
            r"sample_weight \(part 1 of list\) is given, but is not given in the rows",
        ),
        (lambda X, y: (X, y[:50]), ValueError, r"y \(part 1 of list\) must have one label a sample: shape \(100,\), got \(50,\)"),
        (lambda X, y: (X, y.astype(str)), ValueError, r"y \(part 1 of list\) must hold numbers, got strings"),
        (
            lambda X, y: (scipy.sparse.csr_array(X), y),
            TypeError,
            r"X \(part 1 of list\) is a sparse matrix, which a stream does not",
        ),
        (lambda X, y: X, TypeError, r"part 1 of list must be a tuple \(X, y\) or \(X, y, sample_weight\), got ndarray"),
    ],
)
def test_parts_that_do_not_fit_are_named(second, error, message):
    X, y = rows()
    one, other = (X[:100], y[:100]), (X[100:200], y[100:200])
    fails(stream([one, second(*other)], block_rows=32), error, message)
    network().fit(stream([one, other], block_rows=32), **OPTIONS)


def test_columns_of_parts_are_those_of_the_parts_before():
    import pandas

    names = [f"x{k}" for k in range(X.shape[1])]
    frame = pandas.DataFrame(X, columns=names)
    alike = [(frame[:100], Y[:100]), (frame[100:], Y[100:])]
    one, other = network(), network()
    one.fit(alike, **OPTIONS, shuffle=False)
    other.fit(X, Y, **OPTIONS, shuffle=False)
    assert (one.params == other.params).all()
    message = (
        r"columns of X \(part 1 of list\) are \['x39', 'x38', .*, but are \['x0', 'x1', .* in the rows before: all must be alike"
    )
    fails([alike[0], (frame[names[::-1]][100:], Y[100:])], ValueError, message)
    fails([alike[0], (X[100:], Y[100:])], ValueError, r"columns of X \(part 1 of list\) have no names, but are \['x0'")


def test_errors_of_the_iterable_itself_come_through_with_the_history():
    X, y = rows()

    class Own(Exception):
        pass

    def loader():
        yield X, y
        if len(begun) == 2:
            raise Own("of the loader")
        begun.append(0)

    begun = []
    error, _ = fails(stream(loader, block_rows=32), Own, "of the loader")
    assert len(error.history.loss) == 2


def test_samples_that_do_not_fit():
    X, y = rows()

    class Ragged(Samples):
        def __getitem__(self, number):
            return X[number][: 40 - (number == 9)], y[number]

    fails(Ragged(X, y), ValueError, r"x must have one shape, got \(39,\) and \(40,\)")
    fails(Samples(X), TypeError, r"must be tuples \(x, y\)")


# --- what does not go with a stream ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": np.arange(N)}, "order must be left out for a stream"),
        ({"sample_weight": np.ones(N)}, "sample_weight must be left out for a stream: give it to stream"),
        ({"shuffle": "replacement"}, "shuffle='replacement' needs arrays"),
        ({"record_score": True}, "record_score=True needs arrays"),
        ({"validation_fraction": 0.1}, "validation_fraction needs arrays: give validation_data"),
        ({"patience": 3}, "patience needs validation_data"),
        ({"optimizer": "lbfgs"}, "takes all samples at once, and no stream: give it X and y"),
        ({"y": np.zeros(N)}, "y must be left out: a stream has its targets"),
    ],
)
def test_what_needs_arrays_is_refused(options, message):
    X, y = rows()
    net, before = network(), network().params
    with pytest.raises(ValueError, match=message):
        net.fit(stream(X, y), **{"y": None} | options)
    assert (net.params == before).all()


@pytest.mark.parametrize("options", [{"l2": 0.1}, {"l1": 0.1}, {"schedule": "cosine"}, {"schedule": fastbp.schedules.WarmUp(2)}])
def test_the_number_of_rows_is_asked_for_where_it_is_needed(options):
    X, y = rows()
    with pytest.raises(ValueError, match=r"needs the number of rows, .*: give stream\(..., n_rows=...\)"):
        network().fit(parts(X, y), **OPTIONS, **options)
    one, other = network(), network()
    one.fit(stream(parts(X, y), n_rows=N), shuffle=False, **OPTIONS, **options)
    other.fit(X, y, shuffle=False, **OPTIONS, **options)
    assert (one.params == other.params).all()
    network().fit(parts(X, y), **OPTIONS, schedule="exponential")


X, Y = rows()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: stream(X, Y[:5]), ValueError, "y has 5 rows, but X has 203"),
        (lambda: stream(X, Y, np.ones(5)), ValueError, "sample_weight has 5 rows, but X has 203"),
        (lambda: stream(X[:0], Y[:0]), ValueError, "X is empty"),
        (lambda: stream(X, Y, block_rows=0), ValueError, "block_rows must be at least 1"),
        (lambda: stream(X, Y, chunk_rows=1.5), TypeError, "chunk_rows must be an integer"),
        (lambda: stream(X, Y, read_ahead=-1), ValueError, "read_ahead must be at least 0"),
        (lambda: stream(X, Y, n_rows=5), ValueError, "n_rows must be left out: X has a length"),
        (lambda: stream(X, Y, target="y"), ValueError, "target must be left out: X is no data set of pyarrow"),
        (lambda: stream(scipy.sparse.csr_array(X), Y), TypeError, "X is a sparse matrix, which a stream does not take"),
        (
            lambda: stream(5),
            TypeError,
            r"X must be arrays with y, a data set, an iterable of parts \(X, y\), or a function, got int",
        ),
        (lambda: stream(list, chunk_rows=3), ValueError, "chunk_rows must be left out: parts come in an order of their own"),
        (lambda: stream(stream(X, Y)), TypeError, "X is a source already"),
        (lambda: stream("nowhere", Y), FileNotFoundError, "X: there is no file or folder nowhere"),
        (lambda: stream(X, sample_weight=Y), ValueError, "sample_weight must be left out: y is not"),
        (lambda: stream(Samples([], [])), ValueError, "X is empty: it has a length of 0"),
        (lambda: stream({"a": X, "b": X}, Y), TypeError, "X must be one array, got several: choose that of one name, of a, b"),
        (lambda: network().fit(zip(X, Y, strict=True)), TypeError, "part 0 of .* is a single sample: give parts of many"),
    ],
)
def test_arguments_of_stream_are_checked(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_arguments_of_tables_are_checked(tmp_path, monkeypatch):
    folder = table(tmp_path, *rows())
    for options, message in (
        ({}, "target must name the column, or columns, of targets; there are x0, x1,"),
        ({"target": "z"}, "target: there is no column 'z'; there are x0"),
        ({"target": "y", "columns": ["x0", "q"]}, "columns: there is no column 'q'"),
        ({"target": "y", "weight": "q"}, "weight: there is no column 'q'"),
        ({"target": "y", "columns": ["x0", "y"]}, "columns must not name 'y', which is a target or a weight"),
        ({"target": "y", "columns": ["x0", "x0"]}, "columns names a column twice"),
        ({"target": "y", "chunk_rows": 3}, "chunk_rows must be left out: X is a data set of pyarrow"),
    ):
        with pytest.raises(ValueError, match=message):
            stream(folder, **options)
    import pyarrow.dataset
    import pyarrow.parquet

    filtered = pyarrow.dataset.dataset(folder).filter(pyarrow.dataset.field("x0") > 0)
    with pytest.raises(ValueError, match=r"X: the data set cannot be read by row groups: .*filter"):
        stream(filtered, target="y")
    assert stream(pyarrow.parquet.read_table(folder), target="y").n_rows == N
    with pytest.raises(ValueError, match=r"X: .*a.h5 is no Parquet file.*arrays of HDF5 and Zarr are given open"):
        stream(mapped(tmp_path, X).rename(tmp_path / "a.h5"))
    with pytest.raises(TypeError, match="target must be a name of a column, or a list of these, got 5"):
        stream(folder, target=5)
    monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    with pytest.raises(ImportError, match=r"a stream of tables needs pyarrow: python -m pip install 'fastbp\[data\]'"):
        stream(folder, target="y")


def test_weights_that_are_all_zero_in_an_epoch():
    fails(stream(X, Y, np.zeros(N)), ValueError, "sample_weight must not be all zero in an epoch")


# --- what ends a fit ---------------------------------------------------------------------------------------------------------


def test_divergence_leaves_the_last_finite_parameters():
    error, _ = fails(
        stream(X, Y, block_rows=32), fastbp.DivergenceError, "training diverged in epoch 1", optimizer=fastbp.SGD(1e36)
    )
    assert error.epoch == 0


@pytest.mark.parametrize("read_ahead", [0, 1, 2])
def test_ctrl_c_ends_the_thread_and_leaves_whole_steps(read_ahead):
    class Slow(Source):
        n_rows = 4 * N

        def parts(self, epoch, order):
            for number in range(4):
                if number == 2 and epoch == 1:
                    assert len(reading()) == (read_ahead > 0)
                    _thread.interrupt_main()
                    time.sleep(0.3)
                yield Part(X, Y, None, "slow")

    source, net = Slow(), network()
    source.block_rows, source.read_ahead = 64, read_ahead
    with pytest.raises(KeyboardInterrupt) as caught:
        net.fit(source, **OPTIONS)
    assert caught.value.history.stopped_by == "interrupt"
    assert len(caught.value.history.loss) == 1
    assert np.isfinite(net.params).all()


@pytest.mark.parametrize("where", ["started", "not started", "begun"])
def test_ctrl_c_while_the_thread_starts_leaves_none_and_the_stream_free(monkeypatch, where):
    class Interrupted(threading.Thread):
        def start(self):
            if where != "not started":
                super().start()
            raise KeyboardInterrupt

    source, net = stream(Sliced(X), Y, block_rows=32), network()
    with monkeypatch.context() as patch:
        if where == "begun":
            patch.setattr(source, "begin", lambda: _thread.interrupt_main() or time.sleep(0.1))
        else:
            patch.setattr("fastbp.streams.ahead.Thread", Interrupted)
        for call in (lambda: net.loss(source), lambda: net.fit(source, **OPTIONS)):
            with pytest.raises(KeyboardInterrupt):
                call()
            assert reading() == []
    net.fit(source, **OPTIONS)


def test_a_stream_is_read_by_one_fit_at_a_time(tmp_path):
    source = stream(mapped(tmp_path, X), Y, block_rows=32)
    message = "this stream is read by another fit already"

    def fit_again(epoch, net, history):
        with pytest.raises(RuntimeError, match=message):
            network().fit(source, **OPTIONS)

    one, other = network(), network()
    one.fit(source, callbacks=[fit_again], **OPTIONS)
    other.fit(source, **OPTIONS)  # it is free again
    assert (one.params == other.params).all()


def test_the_generator_stays_where_the_first_block_is_at_fault():
    X, y, _ = spoilt(set_nan)
    net = network()
    before = net.rng.bit_generator.state
    with pytest.raises(ValueError, match="holds NaN"):
        net.fit(stream(X, y), epochs=1)
    assert net.rng.bit_generator.state == before
    net.fit(stream(*rows()), epochs=1)
    assert net.rng.bit_generator.state != before


def test_tables_without_targets_are_no_samples():
    import pandas

    with pytest.raises(ValueError, match="y must be given with X"):
        network().fit(pandas.DataFrame(X))
