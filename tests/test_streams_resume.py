"""Runs on streams go on from a checkpoint, within an epoch too, to the bits of one that was never interrupted."""

import os
import subprocess
import sys

import numpy as np
import pytest
from stream_data import BATCH, N, Sliced, mapped, network, parts, rows, table

import fastbp
from fastbp.files import checkpoint
from fastbp.streams import stream

OPTIONS = {"epochs": 4, "batch_size": BATCH, "optimizer": "adam", "dropout": 0.2, "schedule": "cosine", "record_norms": True}


class Killed(Exception):
    """What ends a run in these tests."""


class Killing(fastbp.Checkpoint):
    """A checkpoint that ends the run after so many blocks."""

    def __init__(self, path, after, **options):
        super().__init__(path, blocks=1, **options)
        self._left = after

    def after_block(self, *arguments):
        super().after_block(*arguments)
        self._left -= 1
        if self._left == 0:
            raise Killed


def kept(history):
    return {name: value for name, value in history.to_dict().items() if name != "time"}


SOURCES = {
    "chunks": lambda tmp_path, X, y: stream(Sliced(X), y, block_rows=32, chunk_rows=5),
    "rows": lambda tmp_path, X, y: stream(mapped(tmp_path, X), y, block_rows=32, chunk_rows=1),
    "parts": lambda tmp_path, X, y: stream(parts(X, y), n_rows=N, block_rows=32),
    "table": lambda tmp_path, X, y: stream(table(tmp_path, X, y), target="y", block_rows=32),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("after", [1, 9])  # blocks within epochs: of the first, and of the second
def test_a_run_goes_on_within_an_epoch_to_the_same_bits(tmp_path, name, shuffle, after):
    X, y = rows()
    source = SOURCES[name](tmp_path, X, y)
    options = {**OPTIONS, "shuffle": shuffle, "validation_data": (X[:50], y[50:100]), "patience": 9, "tol": 1e-9}
    path = tmp_path / "run.fastbp"
    whole = network()
    history = whole.fit(source, rng=1, callbacks=[fastbp.Checkpoint(tmp_path / "whole.fastbp")], **options)
    with pytest.raises(Killed):
        network().fit(source, rng=1, callbacks=[Killing(path, after)], **options)
    state = checkpoint.read_run(path, network()._settings())
    assert state["trainer"]["first"] == 32 * (after - 6 if after > 6 else after)
    assert len(state["run"]["history"].get("loss", [])) == (after > 6)
    source.read_ahead = 0  # which is nothing that it depends on
    other = network()
    again = other.fit(source, rng=7, resume=path, callbacks=[fastbp.Checkpoint(path)], **options)
    assert kept(again) == kept(history)
    assert (other.params == whole.params).all()
    # that the place within the epoch is what counts
    state["trainer"]["first"] = 0
    state["run"]["part"] = None
    third = network()
    if state["run"]["history"].get("loss"):
        third.trainer(rng=1, **{k: v for k, v in options.items() if k not in ("epochs", "validation_data")}).run(
            source, epochs=4, validation_data=options["validation_data"], resume=state
        )
        assert (third.params != whole.params).any()


KILLED = """
import os, sys
import numpy as np
sys.path.insert(0, {tests!r})
from stream_data import *
import fastbp

class Killing(fastbp.Checkpoint):
    def after_block(self, count, *arguments):
        super().after_block(count, *arguments)
        if count == 7:
            os._exit(9)

net = network()
net.fit(fastbp.stream({data!r}, rows()[1], block_rows=48), callbacks=[Killing({path!r}, blocks=1)], resume={path!r}, **{options!r})
"""


def test_a_process_that_is_killed_within_an_epoch_goes_on_in_another(tmp_path):
    X, y = rows()
    data, path = str(mapped(tmp_path, X)), str(tmp_path / "run.fastbp")
    options = {**OPTIONS, "rng": 1}
    program = KILLED.format(tests=os.path.dirname(__file__), data=data, path=path, options=options)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    net, whole = network(), network()
    again = net.fit(stream(data, y, block_rows=48), resume=path, **options)
    history = whole.fit(stream(data, y, block_rows=48), **options)
    assert kept(again) == kept(history)
    assert (net.params == whole.params).all()


def test_ends_of_epochs_are_kept_too(tmp_path):
    X, y = rows()
    source, path = stream(Sliced(X), y, block_rows=64), tmp_path / "run.fastbp"
    whole, one, other = network(), network(), network()
    history = whole.fit(source, rng=1, **OPTIONS)

    def stop(epoch, net, history):
        if epoch == 1:
            raise Killed

    with pytest.raises(Killed):
        one.fit(source, rng=1, callbacks=[stop, fastbp.Checkpoint(path)], **OPTIONS)
    assert kept(other.fit(source, resume=path, **OPTIONS)) == kept(history)
    assert (whole.params == other.params).all()
    assert kept(network().fit(source, resume=path, callbacks=[fastbp.Checkpoint(path)], **OPTIONS)) == kept(history)
    assert len(network().fit(source, resume=path, **OPTIONS).loss) == 4  # of a run that is over


def test_blocks_and_seconds_say_when(tmp_path):
    X, y = rows()
    written = []

    class Counting(fastbp.Checkpoint):
        def _write(self, net, moment):
            written.append(1)

    for options, count in (({}, 1), ({"blocks": 2}, 4), ({"blocks": 1}, 7), ({"blocks": 1, "seconds": 60}, 1)):
        written.clear()
        keep = Counting(tmp_path / "run.fastbp", **options)
        network().fit(stream(X, y, block_rows=32), epochs=1, batch_size=BATCH, callbacks=[keep])
        assert len(written) == count
    with pytest.raises(ValueError, match="blocks must be at least 1"):
        fastbp.Checkpoint(tmp_path / "run.fastbp", blocks=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.update(part={"loss_sum": 1.0}), "resume is damaged: its part of an epoch is none"),
        (lambda run: run.update(part={"loss_sum": np.nan, "loss_rows": 3.0}), "resume is damaged: its part of an epoch is none"),
        (lambda run: run.update(part=None), "resume is damaged: its history has no losses"),
        (lambda run: run.update(data="x"), "resume is of a run on other data"),
    ],
    ids=["no rows", "nan", "none", "other data"],
)
def test_states_that_are_none_are_refused(tmp_path, change, message):
    X, y = rows()
    path, source = tmp_path / "run.fastbp", stream(X, y, block_rows=32)
    with pytest.raises(Killed):
        network().fit(source, callbacks=[Killing(path, 2)], rng=1, **OPTIONS)
    state = checkpoint.read_run(path, network()._settings())
    change(state["run"])
    net = network()
    before = net.params.copy()
    trainer = net.trainer(**{name: value for name, value in OPTIONS.items() if name != "epochs"})
    with pytest.raises(ValueError, match=message):
        trainer.run(source, epochs=4, resume=state)
    assert (net.params == before).all()


def test_other_blocks_are_another_run(tmp_path):
    X, y = rows()
    path = tmp_path / "run.fastbp"
    with pytest.raises(Killed):
        network().fit(stream(X, y, block_rows=32), callbacks=[Killing(path, 2)], rng=1, **OPTIONS)
    for other in (stream(X, y, block_rows=48), stream(X[:200], y[:200], block_rows=32), stream(X, y, block_rows=32, chunk_rows=2)):
        with pytest.raises(ValueError, match="resume is of a run on other data"):
            network().fit(other, resume=path, **OPTIONS)
    with pytest.raises(ValueError, match="resume is of a run on other data"):
        network().fit(X, y, resume=path, **OPTIONS)
