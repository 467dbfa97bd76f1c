"""The scripts run, and stop at what computes something else."""

import pytest

from . import bench_estimators, kernels_alone


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
