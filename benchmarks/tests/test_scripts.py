"""The scripts run, and stop at what computes something else."""

import math
import os
from pathlib import Path

import pytest

from benchmarks import bench_estimators, book, kernels_alone, libxsmm_dnn, neighbours
from fastbp.bench.measure import Settings


@pytest.mark.parametrize("name", ["tabular", "matrix-exp"])
def test_the_kernels_alone(name):
    row = dict(zip(kernels_alone.HEAD, kernels_alone.measure(name, "float32", 2), strict=True))
    assert row["workload"] == name
    assert 0 < float(row["least"]) <= float(row["us a step"])
    assert 0 < int(row["at best"].split()[0]) <= 100


def test_the_kernels_alone_are_compared_with_the_baseline(monkeypatch):
    monkeypatch.setattr(kernels_alone.Burst, "seconds", lambda burst: burst.contestant.run(1) or 1.0)
    with pytest.raises(AssertionError, match="tabular ends"):
        kernels_alone.measure("tabular", "float32", 2)


def test_the_program_of_the_book(monkeypatch):
    assert min(book.contest(200)) > 0
    monkeypatch.setattr(book.InNumPy, "gradient", lambda self, X, Y, gradient=book.InNumPy.gradient: gradient(self, X, 0.999 * Y))
    with pytest.raises(AssertionError, match="Not equal"):
        book.contest(200)


def test_estimators():
    rows = bench_estimators.compare("iris", 1)
    assert [row[0] for row in rows] == ["fit", "predict one row", "predict all rows"]
    assert all(value > 0 for row in rows for value in row[1:])


def test_searches():
    assert min(bench_estimators.compare_searches(1)) > 0


def test_what_the_peak_leaves_room_for():
    ratio, at_peak = bench_estimators.at_peak("iris", 1)
    assert 0 < ratio < at_peak


def test_blocks_of_libxsmm_dnn():
    blocks = {(784, 32): 28, (1024, 64): 64, (10, 32): 10, (2, 16): 2, (30, 16): 15, (97, 32): 97}
    assert {key: libxsmm_dnn.block(*key) for key in blocks} == blocks


@pytest.mark.skipif("LIBXSMM" not in os.environ, reason="LIBXSMM and LIBXSMM_DNN must name directories of their sources")
@pytest.mark.parametrize("threads", [1, 2])
def test_libxsmm_dnn_trains_like_the_baseline(threads, tmp_path, monkeypatch):
    sources = (Path(os.environ[name]) for name in ("LIBXSMM", "LIBXSMM_DNN"))
    monkeypatch.setattr(libxsmm_dnn.LibxsmmDNN, "trainer", libxsmm_dnn.build(*sources, tmp_path), raising=False)
    *_, peak, ratio = libxsmm_dnn.compare("tabular", threads, Settings(3, 0.01, 500))
    assert peak.endswith("%")
    assert " to " in ratio


needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs to choose cores")


@needs_affinity
def test_fits_among_neighbours():
    conditions = ["idle", "one core busy", "one core from 20 ms on"]
    rows = list(neighbours.compare(["fastbp", "numpy"], ["10-256-256-10"], conditions, 1, 1))
    assert [row[1] for row in rows[::3]] == conditions
    assert [row[2] for row in rows[:3]] == ["fastbp, one thread", "fastbp", "numpy"]
    assert all(0 < least <= median <= most and ratio > 0 for *_, median, least, most, ratio in rows)


@needs_affinity
def test_nothing_is_timed_that_ends_elsewhere():
    players = [neighbours.Player("fastbp", "10-256-256-10", 1, 1) for _ in range(2)]
    try:
        players[1].check(players[0])
        players[1].parameters = 1.01 * players[1].parameters
        with pytest.raises(AssertionError, match="ends elsewhere"):
            players[1].check(players[0])
    finally:
        for player in players:
            player.close()


@needs_affinity
def test_a_turn_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(neighbours, "PATIENCE", 0.01)
    player = neighbours.Player("fastbp", "784-128-10", 1, 1000)
    assert player.turn(None) == player.turn(None) == math.inf
    player.close()
