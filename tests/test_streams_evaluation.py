"""What a network says of a stream, and how well: as of the arrays, in blocks."""

import tracemalloc

import numpy as np
import pytest
from stream_data import BATCH, CLASSES, WIDTH, N, Samples, Sliced, mapped, network, parts, rows, table

import fastbp
from fastbp.engine import metrics
from fastbp.streams import stream

EPS = float(np.finfo(np.float32).eps)


def trained(dtype="float32", **settings):
    net = network(dtype, **settings)
    net.fit(*rows(), epochs=2, rng=0)
    return net


def sources(tmp_path, X, y, **size):
    return [
        stream(mapped(tmp_path, X), y, **size),
        stream(Sliced(X), Sliced(y), **size),
        stream(Samples(X, y), **size),
        stream(parts(X, y), **size),
        stream(table(tmp_path, X, y), target="y", **size),
    ]


@pytest.mark.parametrize("block_rows", [7, 64, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_those_of_arrays_to_the_bit(tmp_path, block_rows, dtype):
    X, y = rows()
    net = trained(dtype)
    for source in sources(tmp_path, X, y, block_rows=block_rows):
        assert (net(source) == net(X)).all()
        assert (net.predict(source, n_threads=1) == net.predict(X)).all()
    other = network(dtype, hidden=5)
    assert (other.predict(stream(parts(X, y), block_rows=block_rows)) != net.predict(X)).any()


def test_predictions_need_no_targets(tmp_path):
    X, y = rows()
    net, path = trained(), mapped(tmp_path, X)
    folder = table(tmp_path, X, y)
    without = stream(folder, columns=[f"x{k}" for k in range(WIDTH)], block_rows=50)
    for source in (stream(path, block_rows=50), stream(X, block_rows=50), without, stream(path, np.full(N, 7), block_rows=50)):
        assert (net.predict(source) == net.predict(X)).all()
    for call in (net.fit, net.loss, net.score):
        with pytest.raises(ValueError, match=r"y must be given with X \(row.* of (X.npy|row group 0 of part-\d.parquet)"):
            call(stream(path))
        with pytest.raises(ValueError, match="y must be given with X: only samples, parts and tables"):
            call(X)
    with pytest.raises(ValueError, match=r"y must be given with X \(rows .*part-0.parquet\)"):
        net.loss(without)


@pytest.mark.parametrize("block_rows", [7, 64, 1000])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "binary_cross_entropy"])
def test_loss_and_score_are_those_of_arrays_to_rounding(tmp_path, block_rows, loss):
    X, y = rows()
    w = np.random.default_rng(2).uniform(0, 2, N)
    w[:32] = 0
    if loss != "cross_entropy":
        y = np.random.default_rng(3).random((N, CLASSES)).round(2 if loss != "binary_cross_entropy" else 0).astype("float32")
    net = fastbp.Network([WIDTH, 20, CLASSES], loss=loss, rng=0)
    net.fit(X, y, epochs=2, rng=0)
    task = net.loss_function.task
    for weights in (None, w):
        source = stream(Sliced(X), y, weights, block_rows=block_rows)
        # sums of at most N float32 numbers, in another order
        assert net.loss(source) == pytest.approx(net.loss(X, y, weights), rel=N * EPS)
        expected = metrics.score(task, net(X), y, weights)
        assert net.score(source) == pytest.approx(expected, rel=N * EPS)
        if weights is None and task in ("labels", "binary"):
            assert net.score(source) == expected == net.score(X, y)
    assert net.loss(X, y, w) != pytest.approx(net.loss(X, y), rel=N * EPS)
    assert net.loss(stream(parts(X, y, w))) == pytest.approx(net.loss(X, y, w), rel=N * EPS)


def test_scores_of_parts_are_those_of_all_at_once():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(300, 2)) * [1.0, 1e-3] + [0.0, 1e6]  # far from zero, where sums of squares would lose everything
    outputs, weights = targets + rng.normal(size=(300, 2)) * [0.3, 1e-4], rng.uniform(0, 1, 300)
    for given in (None, weights):
        tally = metrics.Tally("regression")
        for first in (0, 50, 51, 200):
            place = slice(first, {0: 50, 50: 51, 51: 200, 200: 300}[first])
            tally.add(outputs[place], targets[place], None if given is None else given[place])
        assert tally.value() == pytest.approx(metrics.r2(outputs, targets, given), rel=1e-6)
        assert 0.5 < tally.value() < 1
    constant = metrics.Tally("regression")
    for count in (3, 7):
        constant.add(np.full((count, 1), 0.1), np.full((count, 1), 0.1))
    assert constant.value() == 1
    constant.add(np.full((3, 1), 0.2), np.full((3, 1), 0.1))
    assert constant.value() == 0
    broken = metrics.Tally("regression")
    broken.add(np.array([[np.nan]]), np.array([[1.0]]))
    assert np.isnan(broken.value())
    with pytest.raises(ValueError, match="sample_weight must not be all zero"):
        metrics.Tally("labels").value()


# --- validation --------------------------------------------------------------------------------------------------------------


def fitted(X, y=None, **options):
    net = network()
    return net, net.fit(
        X, y, **{"epochs": 8, "batch_size": BATCH, "rng": 1, "optimizer": fastbp.Adam(0.1), "patience": 2} | options
    )


@pytest.mark.parametrize("kind", range(5))
def test_validation_data_may_be_a_stream(tmp_path, kind):
    X, y = rows()
    held = X[:90], y[50:140]
    source = sources(tmp_path, *held, block_rows=40)[kind]
    one, history = fitted(X, y, validation_data=held)
    for data in ((X, y), (stream(Sliced(X), y, chunk_rows=1, block_rows=64),)):
        other, found = fitted(*data, validation_data=source)
        assert found.validation_score == history.validation_score
        assert found.validation_loss == pytest.approx(history.validation_loss, rel=N * EPS)
        assert (found.loss, found.stopped_by) == (history.loss, history.stopped_by) == (history.loss, "patience")
        assert (one.params == other.params).all()  # the best are restored
    last, _ = fitted(X, y, validation_data=held, patience=None, epochs=len(history.loss))
    assert (last.params != one.params).any()
    assert one.trainer(rng=0).run(X, y, 1, validation_data=source).validation_loss != []


def test_a_run_that_is_judged_by_a_stream_goes_on_to_the_same_bits(tmp_path):
    X, y = rows()
    source, path = stream(Sliced(X[:90]), y[50:140], block_rows=40), tmp_path / "run.fastbp"

    def stop(epoch, net, history):
        if epoch == 3:
            raise KeyError

    options = {"validation_data": source, "patience": 9, "optimizer": "sgd"}
    whole, history = fitted(X, y, **options)
    with pytest.raises(KeyError):
        fitted(X, y, **options, callbacks=[stop, fastbp.Checkpoint(path)])
    again, found = fitted(X, y, **options, resume=path)
    assert (again.params == whole.params).all()
    assert found.validation_loss == history.validation_loss
    with pytest.raises(ValueError, match="resume is of a run on other data"):
        fitted(X, y, **options | {"validation_data": stream(Sliced(X[:80]), y[:80], block_rows=40)}, resume=path)


def test_memory_of_a_validation_is_that_of_its_blocks(tmp_path):
    X, y = rows(n=40_000)
    path = mapped(tmp_path, X)

    def peak(block_rows):
        tracemalloc.start()
        try:
            fitted(X[:64], y[:64], epochs=2, validation_data=stream(path, y, block_rows=block_rows))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    block, rest = 4000 * (X[0].nbytes + 8), peak(400)
    rest = peak(400)  # now that everything is compiled
    assert peak(4000) < 3 * block + rest
    assert peak(40_000) > 3 * block + rest


@pytest.mark.parametrize("read_ahead", [0, 1])
def test_memory_of_a_loss_is_that_of_its_blocks(read_ahead):
    X, y = rows(n=20_000)
    net = trained()

    def peak(block_rows):
        tracemalloc.start()
        try:
            net.loss(stream(parts(X, y, sizes=(100,) * 200), block_rows=block_rows, read_ahead=read_ahead))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    block, rest = 4000 * (X[0].nbytes + 8), peak(400)
    rest = peak(400)  # now that everything is compiled
    # nothing is converted, and so there is none but the one in use and those that are read
    assert peak(4000) < (1.5 + read_ahead) * block + rest
    assert peak(20_000) > (1.5 + read_ahead) * block + rest


def test_columns_of_another_order_are_told(tmp_path):
    folder = table(tmp_path, *rows())
    backwards = stream(folder, columns=[f"x{k}" for k in range(WIDTH)][::-1], target="y")
    with pytest.raises(ValueError, match=r"columns of validation_data must be those of X, \['x0', .* got \['x39'"):
        network().fit(stream(folder, target="y"), epochs=1, validation_data=backwards)
    network().fit(backwards, epochs=1, validation_data=rows())


def test_bad_validation_streams_are_told_before_training_or_by_name(tmp_path):
    X, y = rows()
    net = network()
    before = net.params.copy()
    for bad, error, message in (
        (stream(X[:, :39], y), ValueError, r"validation_data: X \(row 0 of X\) has 39 columns, but the network has 40 inputs"),
        (stream([(X[:, :39], y)]), ValueError, r"validation_data: X \(part 0 of list\) has 39 columns"),
        (stream(parts(X, y + 5)), ValueError, r"validation_data: y \(part 0 of loader\) holds labels"),
        (stream(table(tmp_path, X, y + 5), target="y"), ValueError, r"validation_data: y \(rows .*part-0.parquet\) holds labels"),
        (stream(X), ValueError, r"validation_data: y must be given with X \(row 0 of X\)"),
    ):
        with pytest.raises(error, match=message):
            net.fit(X, y, epochs=2, validation_data=bad)
        assert (net.params == before).all()
    source = stream(Sliced(X), y)
    with pytest.raises(RuntimeError, match="is both that of the samples and that of validation_data"):
        net.fit(source, epochs=2, validation_data=source)
    assert (net.params == before).all()
    late = X.copy()
    late[150, 3] = np.nan
    with pytest.raises(ValueError, match=r"validation_data: X \(rows 128 to 191 of X\) holds NaN") as caught:
        net.fit(X, y, epochs=2, validation_data=stream(Sliced(late), y, block_rows=64))
    assert np.isfinite(net.params).all()
    assert len(caught.value.history.loss) == 0
    with pytest.raises(ValueError, match=r"validation_data: X is an iterator \(list_iterator\), which is at its end after one"):
        net.fit(X, y, epochs=2, validation_data=stream(iter([(X, y)])))
    with pytest.raises(TypeError, match="validation_data is a stream, which only a Network that is trained by mini-batches takes"):
        net.copy("float64").fit(X, y, optimizer="lbfgs", validation_data=source)
    with pytest.raises(TypeError, match="X is a stream, which is not taken here"):
        net.jacobian(source)
    with pytest.raises(ValueError, match="sample_weight must be left out for a stream"):
        net.loss(source, sample_weight=np.ones(N))
    net.fit(source, epochs=1, validation_data=stream(Sliced(X), y))
