"""Estimators on workers of Dask, processes of their own: bits do not depend on how many there are, or on one that is killed."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from threading import Timer
from time import monotonic, sleep

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

import fastbp

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

from fastbp.dask import MLPClassifier, MLPRegressor, _graph  # noqa: E402

pytestmark = [
    pytest.mark.scale,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
WAIT = 120  # seconds, for workers


@pytest.fixture(scope="module")
def client():
    settings = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    # a cluster that was told of the end of a worker before its beginning fails when it is closed, all else being done
    # (dask/distributed, issue 5407)
    with suppress(KeyError), distributed.LocalCluster(n_workers=1, **settings) as cluster, distributed.Client(cluster) as found:
        yield found


def scale(client, n_workers):
    client.cluster.scale(n_workers)
    client.wait_for_workers(n_workers, timeout=WAIT)


def digits():
    X, y = load_digits(return_X_y=True)
    return da.from_array(X[:900] / 16, chunks=(150, -1)), da.from_array(y[:900], chunks=150)


FITS = {
    "lbfgs": lambda: MLPClassifier((20,), solver="lbfgs", max_iter=6, random_state=0),
    "lm": lambda: MLPRegressor(hidden_layer_sizes=(2,), solver="lm", max_iter=2, random_state=0),
    "local": lambda: MLPClassifier((20,), max_iter=3, random_state=0),
    "synchronous": lambda: MLPClassifier((20,), max_iter=3, random_state=0, batch_size=450, updates="synchronous"),
}


def bits(name):
    model = FITS[name]().fit(*digits())
    return b"".join(each.tobytes() for each in (*model.coefs_, *model.intercepts_)), model


def test_the_bits_do_not_depend_on_the_number_of_workers(client):
    with dask.config.set(scheduler="threads"):  # of this process
        found, used = {name: [bits(name)[0]] for name in FITS}, []
    for n_workers in (1, 2, 3):
        scale(client, n_workers)
        for name in FITS if n_workers == 2 else ["lbfgs"]:
            given, model = bits(name)
            found[name].append(given)
        X, y = (each.persist() for each in digits())
        distributed.wait([X, y])
        used.append(sum(map(bool, client.has_what().values())))
        assert model.predict(X).compute().shape == (900,)
        assert model.score(X, y) > 0
        del X, y
    assert used[0] == 1
    assert max(used) > 1  # else there is nothing to depend on
    deadline = monotonic() + WAIT
    while any(client.has_what().values()) and monotonic() < deadline:
        sleep(0.1)
    assert not any(client.has_what().values())  # nothing of a fit stays behind
    assert {name: len(set(each)) for name, each in found.items()} == dict.fromkeys(FITS, 1)


def kill_one(client, during):
    """Kill a worker that holds partitions: now, or while the tasks that come next are under way."""
    pids = client.run(os.getpid)
    holds = client.has_what()
    address = max(pids, key=lambda each: len(holds[each]))
    assert len(holds[address]) > 0
    Timer(during, os.kill, (pids[address], signal.SIGKILL)).start() if during else os.kill(pids[address], signal.SIGKILL)
    return pids[address]


SLOWLY = [pytest.param(name, 0.0, marks=pytest.mark.slow) for name in FITS]


@pytest.mark.parametrize(("name", "during"), [("lbfgs", 0.05), *SLOWLY])
def test_a_worker_that_is_killed_changes_nothing_but_time(client, monkeypatch, name, during):
    scale(client, 2)
    expected, _ = bits(name)
    calls, killed, results = [], [], _graph.results

    def counted(tasks):
        calls.append(len(tasks))
        if len(calls) == 3:
            killed.append(kill_one(client, during))
        return results(tasks)

    for module in ("_graph", "_rounds"):
        monkeypatch.setattr(f"fastbp.dask.{module}.results", counted)
    found, _ = bits(name)
    client.wait_for_workers(2, timeout=WAIT)
    assert killed[0] not in client.run(os.getpid).values()
    assert len(calls) >= 3
    assert found == expected


def test_an_error_of_what_makes_a_partition_has_its_number(client):
    scale(client, 2)
    X, y = digits()

    def fail(block, block_id=None):
        if block_id and block_id[0] == 4:
            raise OSError("no such file")
        return block

    with pytest.raises(OSError, match="no such file") as raised:
        FITS["local"]().fit(X.map_blocks(fail, meta=np.empty((0, 0))), y)
    assert raised.value.__notes__ == ["This was while partition 4 was computed, before it came here."]


def test_what_is_only_on_a_worker_is_lost_with_it(client):
    """Why parameters are part of each graph: numbers that a client has sent to a worker cannot be computed again."""
    scale(client, 2)
    address = next(iter(client.run(os.getpid)))
    (sent,) = client.scatter([np.ones(3)], workers=[address])
    os.kill(client.run(os.getpid)[address], signal.SIGKILL)
    with pytest.raises(CancelledError):
        client.submit(np.sum, sent, pure=False).result(timeout=WAIT)


def test_a_search_on_workers(client):
    joblib = pytest.importorskip("joblib")
    scale(client, 2)
    X, y = load_digits(return_X_y=True)
    search = GridSearchCV(fastbp.MLPClassifier(max_iter=2, random_state=0), {"hidden_layer_sizes": [(5,), (20,)]}, cv=2)
    with joblib.parallel_config("dask"):
        search.fit(X[:400] / 16, y[:400])
    alone = GridSearchCV(fastbp.MLPClassifier(max_iter=2, random_state=0), search.param_grid, cv=2).fit(X[:400] / 16, y[:400])
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


@pytest.mark.slow
def test_the_benchmark_runs():
    command = [sys.executable, "-m", "benchmarks.partitions", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert re.search(r"^ +local, rows sorted by class +\d\.\d+, \d+\.\d %", done.stdout, re.MULTILINE)
    assert re.search(r"^ +step, 32 of a graph +[\d.]+ ms$", done.stdout, re.MULTILINE)
