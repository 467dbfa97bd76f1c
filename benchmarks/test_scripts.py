"""The scripts run, and stop at what computes something else."""

import os
from pathlib import Path

import pytest

from fastbp.bench.measure import Settings

from . import bench_estimators, kernels_alone, libxsmm_dnn


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


def test_estimators():
    rows = bench_estimators.compare("iris", 1)
    assert [row[0] for row in rows] == ["fit", "predict one row", "predict all rows"]
    assert all(value > 0 for row in rows for value in row[1:])


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
