"""How many threads a fit uses: the least of all limits there are when it begins, asked only where the work repays a second."""

import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastbp
from fastbp.engine import threads

WORK = 1e12  # floating-point operations that repay any number of threads


@pytest.fixture
def eight(monkeypatch):
    """A machine of eight cores, and nothing that limits their use."""
    monkeypatch.setattr(threads, "_cores", lambda: 8)
    monkeypatch.setattr(threads, "_quota", lambda second: math.inf)
    monkeypatch.setattr(threads, "_pools", lambda: ())
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("eight")
def test_how_many_threads():
    assert threads.members_for(0, None) == threads.members_for(0, 4) == 1  # little work
    assert threads.members_for(WORK, None) == 8
    assert threads.members_for(WORK, 3) == 3
    assert threads.members_for(WORK, 1) == 1
    assert threads.members_for(WORK, 100) == 8
    counts = [threads.members_for(flop, None) for flop in np.geomspace(1e3, 1e12, 50)]
    assert counts == sorted(counts)


def test_limits_are_not_asked_for_where_a_second_thread_does_not_pay(monkeypatch):
    monkeypatch.setattr(threads, "usable_threads", lambda: pytest.fail("asked"))
    assert threads.members_for(1.9 * threads.FLOP_PER_MEMBER, None) == threads.members_for(WORK, 1) == 1


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize("name", threads.VARIABLES)
def test_a_variable_is_a_limit(name, monkeypatch):
    for value, count in (("3", 3), ("1", 1), ("64", 8), ("", 8), ("0", 8), ("-1", 8), ("rubbish", 8)):
        monkeypatch.setenv(name, value)
        assert threads.usable_threads() == count
        assert threads.members_for(WORK, 2) == min(2, count)  # what the user asks for is a limit among the others


@pytest.mark.usefixtures("eight")
def test_of_limits_for_each_level_of_nesting_the_first_counts(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", " 4,2,1")
    assert threads.usable_threads() == 4


@pytest.mark.usefixtures("eight")
def test_the_least_of_all(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setattr(threads, "_pools", lambda: (7, 4))
    assert threads.usable_threads() == 4
    monkeypatch.setattr(threads, "_quota", lambda second: 0)  # half a core
    assert threads.usable_threads() == 1


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    if hasattr(os, "process_cpu_count"):
        monkeypatch.setattr(os, "process_cpu_count", lambda: 6)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert threads._cores() == 6


@pytest.mark.parametrize(("told", "cores"), [(3, 3), (None, 1)])
def test_cores_that_python_is_told_of(told, cores, monkeypatch):
    monkeypatch.setattr(os, "process_cpu_count", lambda: told, raising=False)
    assert threads._cores() == cores


def test_no_pool_of_numba_is_no_limit(monkeypatch):
    module = SimpleNamespace(_is_initialized=True, get_num_threads=lambda: 3)
    monkeypatch.setattr(threads, "_libraries", lambda modules: [])
    monkeypatch.setitem(sys.modules, "numba.np.ufunc.parallel", module)
    assert list(threads._pools()) == [3]
    monkeypatch.delitem(sys.modules, "numba.np.ufunc.parallel")
    assert list(threads._pools()) == []


# --- control groups ----------------------------------------------------------------------------------------------------------

V2, V1 = "cgroup2 cgroup rw,nsdelegate", "cgroup cgroup rw,cpu,cpuacct"
# /proc/self/cgroup; root, place and kind of each mount; the files that there are; cores that are left
GROUPS = {
    "no quota": ("0::/", [("/", "", V2)], {"cpu.max": "max 100000"}, math.inf),
    "version 2": ("0::/", [("/", "", V2)], {"cpu.max": "400000 100000"}, 4),
    "half a core": ("0::/", [("/", "", V2)], {"cpu.max": "50000 100000"}, 0),
    "nested": ("0::/user/job", [("/", "", V2)], {"user/job/cpu.max": "300000 100000", "user/cpu.max": "max 100000"}, 3),
    "above": ("0::/user/job", [("/", "", V2)], {"user/job/cpu.max": "300000 100000", "user/cpu.max": "400000 200000"}, 2),
    "beside": ("0::/user/job", [("/", "", V2)], {"user/other/cpu.max": "100000 100000"}, math.inf),
    "own root": ("0::/docker/a", [("/docker/a", "", V2)], {"cpu.max": "200000 100000"}, 2),
    "below own root": ("0::/docker/a/b", [("/docker/a", "", V2)], {"b/cpu.max": "200000 100000"}, 2),
    "outside of the root": ("0::/../b", [("/", "x", V2)], {"x/cpu.max": "200000 100000"}, 2),
    "version 1": (
        "4:memory:/\n3:cpu,cpuacct:/",
        [("/", "memory", "cgroup cgroup rw,memory"), ("/", "cpu", V1)],
        {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"},
        2,
    ),
    "version 1, no quota": (
        "3:cpu,cpuacct:/",
        [("/", "cpu", V1)],
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
        math.inf,
    ),
    "version 1, above": (
        "3:cpu,cpuacct:/slurm/job/step",
        [("/", "cpu", V1)],
        {
            "cpu/slurm/job/cpu.cfs_quota_us": "300000",
            "cpu/slurm/job/cpu.cfs_period_us": "100000",
            "cpu/slurm/cpu.cfs_quota_us": "-1",
            "cpu/slurm/cpu.cfs_period_us": "100000",
        },
        3,
    ),
    "both": (
        "3:cpu:/a\n0::/",
        [("/", "cpu", "cgroup cgroup rw,cpu"), ("/", "unified", V2)],
        {"cpu/a/cpu.cfs_quota_us": "500000", "cpu/a/cpu.cfs_period_us": "100000", "unified/cpu.max": "max 100000"},
        5,
    ),
    "cpuset is not cpu": ("3:cpuset:/", [("/", "", "cgroup cgroup rw,cpuset")], {"cpu.cfs_quota_us": "1"}, math.inf),
    "rubbish": ("0::/", [("/", "", V2)], {"cpu.max": "rubbish"}, math.inf),
    "no period": ("0::/", [("/", "", V2)], {"cpu.max": "400000 0"}, math.inf),
    "no file": ("0::/", [("/", "", V2)], {}, math.inf),
    "no control groups": ("", [], {}, math.inf),
}


@pytest.mark.parametrize(("groups", "mounts", "files", "cores"), GROUPS.values(), ids=GROUPS)
def test_the_quota_of_a_control_group_or_of_one_above(groups, mounts, files, cores, tmp_path, monkeypatch):
    (tmp_path / "cgroup").write_text(groups)
    lines = [f"{i} 1 0:{i} {root} {tmp_path / place} rw shared:9 - {kind}\n" for i, (root, place, kind) in enumerate(mounts)]
    (tmp_path / "mountinfo").write_text("1 0 8:1 / / rw - ext4 /dev/root rw\n" + "".join(lines))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(threads, "PROC", tmp_path)
    assert threads._quota.__wrapped__(0) == cores


def test_a_system_without_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "PROC", tmp_path / "absent")
    assert threads._quota.__wrapped__(0) == math.inf


# --- real limits -------------------------------------------------------------------------------------------------------------

START = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import joblib, numba, numpy as np, threadpoolctl
import fastbp
from fastbp.optimizers import SGD
from fastbp.engine.rule import RunningRule
from numba.np.ufunc import parallel

def members(_=None, n_threads=None):
    net = fastbp.Network([500, 500, 10], rng=0)
    return RunningRule(SGD(0.1)).open(net, 512, np.zeros((512, 500)), None, n_threads).members

def by_joblib(n_jobs, backend="loky", **options):
    with joblib.parallel_config(backend, **options):
        return joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(members)(i) for i in range(3))

def expect(count, *found):
    print(*found)
    assert set(found) == {count}
"""
LIMITS = {
    "none, n_threads, variables and Numba": """
expect(2, members(), members(n_threads=2), members(n_threads=9))
expect(1, members(n_threads=1))
assert not parallel._is_initialized
for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
    expect(1, members(), members(n_threads=2))
    del os.environ[name]
    expect(2, members())
numba.config.NUMBA_NUM_THREADS = 1
expect(1, members(), members(n_threads=2))
assert not parallel._is_initialized
numba.config.NUMBA_NUM_THREADS = 2
expect(2, members())
numba.set_num_threads(1)
expect(1, members(), members(n_threads=2))
numba.set_num_threads(2)
expect(2, members())
""",
    "threadpool_limits": """
with threadpoolctl.threadpool_limits(1):
    expect(1, members(), members(n_threads=2))
expect(2, members())
with threadpoolctl.threadpool_limits(1, user_api="blas"):
    expect(1, members())
expect(2, members())
import sklearn.ensemble  # a library that comes later
with threadpoolctl.threadpool_limits(1, user_api="openmp"):
    expect(1, members())
expect(2, members())
threadpoolctl.threadpool_limits(1)
expect(1, members())
""",
    "joblib": """
expect(1, *by_joblib(2))
expect(2, *by_joblib(2, inner_max_num_threads=2))
expect(1, *by_joblib(2, inner_max_num_threads=1))
expect(1, *by_joblib(2, "threading"))
expect(1, *by_joblib(2, "multiprocessing"))
expect(2, *by_joblib(1), *by_joblib(1, "threading"), members())
""",
    "search": """
import warnings
from sklearn.model_selection import GridSearchCV
warnings.simplefilter("ignore")
X, y = np.random.default_rng(0).normal(size=(1200, 400)), np.arange(1200) % 2

def while_it_fits(model, X, y):
    return model._optimizer.session.members

def afterwards(model, X, y):
    return model.validation_scores_[0]

model = fastbp.MLPClassifier((400,), batch_size=400, max_iter=1, early_stopping=True, scoring=while_it_fits)
for n_threads in (None, 2):
    for n_jobs, count in ((1, 2), (2, 1)):
        options = {"scoring": afterwards, "cv": 2, "n_jobs": n_jobs, "refit": False}
        search = GridSearchCV(model.set_params(n_threads=n_threads), {"alpha": [0.0, 1e-4]}, **options)
        expect(count, *search.fit(X, y).cv_results_["mean_test_score"])
""",
}
can_have_two = hasattr(os, "sched_setaffinity") and min(threads._cores(), threads._quota(0)) >= 2


@pytest.mark.skipif(not can_have_two, reason="needs two cores, and to be able to choose them")
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_alone(name):
    plain = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name and name not in threads.VARIABLES}
    environment = {**plain, "PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", START + LIMITS[name]], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
