"""What all tests share: one private cache of compiled kernels a session, teams, and what `problems.py` has.

``FASTBP_TEST_CACHE_DIR`` names a cache directory that outlives the session, so that the kernels are not compiled every time.
"""

import os
import shutil
import tempfile

os.environ["MPLBACKEND"] = "Agg"
os.environ["FASTBP_CACHE"] = "1"
os.environ["FASTBP_CACHE_DIR"] = (
    os.environ["FASTBP_CACHE_DIR"]  # of the process that has begun this one
    if "PYTEST_XDIST_WORKER" in os.environ
    else os.environ.get("FASTBP_TEST_CACHE_DIR") or tempfile.mkdtemp(prefix="fastbp-tests-")
)

import hypothesis
import pytest
from problems import (  # noqa: F401
    ACTIVATIONS,
    DTYPES,
    KINKS,
    LOSSES,
    PAIRS,
    PATIENCE,
    RULES,
    WIDTHS,
    error,
    flat,
    label,
    make_net,
    make_samples,
    make_targets,
    oracle,
    problem,
    same_state,
)

from fastbp.compiler import entry
from fastbp.engine import crew, threads
from fastbp.engine.session import Session
from fastbp.kernels.modes import TRAIN

hypothesis.settings.register_profile("fastbp", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("fastbp")


def pytest_unconfigure(config):
    if not {"PYTEST_XDIST_WORKER", "FASTBP_TEST_CACHE_DIR"} & os.environ.keys():
        shutil.rmtree(os.environ["FASTBP_CACHE_DIR"], ignore_errors=True)


compiled = entry  # a decorator, as in the package


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """Teams are whole, however slowly their members come: what a test is about would else be computed by one of them, mostly."""
    for name, value in PATIENCE.items():
        monkeypatch.setattr(crew, name, value)


@pytest.fixture
def teams(monkeypatch):
    """Fits use as many threads as they are allowed, however little the work; the numbers of them that were used."""
    used, call = [], Session.call
    monkeypatch.setattr(threads, "members_for", lambda flop, limit, *start: 1 if start else limit or 1)
    monkeypatch.setattr(Session, "call", lambda self, mode: (used.append(self.members), call(self, mode))[1])
    return used


def count_calls(monkeypatch):
    """A list that grows by one for each call of the kernel that trains."""
    calls, call = [], Session.call

    def counted(self, mode):
        calls.extend([mode] if mode == TRAIN else [])
        return call(self, mode)

    monkeypatch.setattr(Session, "call", counted)
    return calls
