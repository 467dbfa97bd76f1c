"""The three compilers: which one is chosen, and that all of them make the same of a kernel."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import fastbp
from fastbp.compiler.tier import TESTED, TIERS, chosen

PACKAGE = Path(fastbp.__file__).parent


@pytest.mark.parametrize("word", TIERS)
@pytest.mark.parametrize("version", ["0.61.2", f"{TESTED[-1]}.0", "9.0"])
def test_what_is_asked_for_is_taken_without_a_word(word, version):
    assert chosen({"FASTBP_COMPILER": word}, version) == word


@pytest.mark.parametrize("environment", [{}, {"FASTBP_COMPILER": ""}])
def test_else_the_fast_one_with_a_version_that_was_tested(environment):
    for version in TESTED:
        assert chosen(environment, f"{version}.1") == chosen(environment, f"{version}.0rc1") == "fast"
        with pytest.warns(RuntimeWarning):
            assert chosen(environment, f"{version}0.1") == "linked"


def test_a_version_that_was_not_tested_is_told_of_with_what_to_do():
    message = r"not tested with Numba 9\.1\.0: .* FASTBP_COMPILER=linked to choose this and silence"
    with pytest.warns(RuntimeWarning, match=message) as told:
        assert chosen({}, "9.1.0") == "linked"
    assert len(told) == 1


@pytest.mark.parametrize("word", ["Fast", "none", "0", " fast"])
def test_another_word_is_an_error(word):
    with pytest.raises(ValueError, match="FASTBP_COMPILER must be fast, linked or plain, got"):
        chosen({"FASTBP_COMPILER": word}, TESTED[-1])


def run(code, tier, **environment):
    """A program in a process of its own, from a file: debuggers are told where it stands."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "FASTBP_CACHE": "0", "FASTBP_COMPILER": tier, **environment}
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "program.py")
        program.write_text(code, encoding="utf-8")
        return subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, env=environment)


def test_a_wrong_word_stops_the_first_use_and_not_the_import():
    done = run("import fastbp\nprint('imported')\nfastbp.Network", "slow")
    assert done.stdout == "imported\n"
    assert done.stderr.strip().splitlines()[-1] == "ValueError: FASTBP_COMPILER must be fast, linked or plain, got 'slow'"


UNTESTED = """
import warnings
import numba
numba.__version__ = "9.1.0"
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from fastbp.engine.orders import epoch_order
    import fastbp.estimators
    print(*epoch_order(3, 1, 6))
from fastbp.compiler.tier import compiler, TIER
assert TIER == "linked" and type(compiler).__name__ == "Linked"
assert ["Numba 9.1.0" in str(each.message) for each in told] == [True]
import sys
assert not [name for name in sys.modules if name.startswith("fastbp.compiler.fast")]
"""


def test_an_untested_numba_is_linked_with_one_warning():
    done = run(UNTESTED, "")
    assert done.returncode == 0, done.stderr
    assert done.stdout == run("from fastbp.engine.orders import epoch_order\nprint(*epoch_order(3, 1, 6))", "linked").stdout


# What kernels are made of: vectors, loops, quotients, switches, named tuples in others and built anew, shared integers.
KERNELS = """
import math
from typing import NamedTuple
import numpy as np
from numba import types
from fastbp.compiler import Entry, fetch_add, inline, kernel, load_shared, switch
from fastbp.compiler.tier import TIER, compiler
from fastbp.simd.register import load, maximum, pointer, store, width
from fastbp.simd.vmath import exp

class Team(NamedTuple):
    meeting: object
    member: int
    members: int

class Data(NamedTuple):
    x: object
    team: Team

@inline
def positive(v):
    return maximum(v, 0.0 * v)

@inline
def negative(v):
    return v - positive(v)

part = switch([positive, negative])

@kernel
def elements(data, code, count):
    team, w = data.team, width(data.x)
    for i in range(team.member * w, count - w + 1, team.members * w):
        store(data.x, i, exp(part(code, load(data.x, i)) / 3.0))
    return min(count // w, count % 7, 100) + max(-count // 4, -count % 4)

@kernel
def both(data, count):
    moved, found = Data(data.x, Team(data.team.meeting, 1, data.team.members)), 0
    for code in range(2):
        first = elements(data, code, count)
        if count > 1:
            data = Data(data.x + 1, data.team)
        found += first + elements(moved, code, count) * 1000
    return fetch_add(data.team.meeting, found)

def numbers(meeting, x):
    before = both(Data(pointer(x), Team(pointer(meeting), 0, 2)), x.size - 2)
    return before + math.sqrt(load_shared(pointer(meeting)))

for dtype in ("float32", "float64"):
    entry = Entry(numbers, lambda dtype: types.float64(types.int64[::1], dtype[::1]))
    x, meeting = np.linspace(-3, 3, 117).astype(dtype), np.array([17, 0])
    print(entry[dtype](meeting, x).hex(), meeting[0], x.tobytes().hex())
assert not getattr(compiler.target.target_context, "is_wide", False)
print(TIER)
"""


@pytest.fixture(scope="module")
def results():
    done = {tier: run(KERNELS, tier) for tier in TIERS}
    for each in done.values():
        assert each.returncode == 0, each.stderr[-2000:]
    return {tier: each.stdout.splitlines() for tier, each in done.items()}


def test_all_compilers_make_the_same_bits(results):
    assert [result.pop() for result in map(list, results.values())] == list(TIERS)
    assert results["fast"][:2] == results["linked"][:2] == results["plain"][:2]


STORED = """
from fastbp.compiler import cache_directory
from fastbp.engine.orders import epoch_order
print(len(list(cache_directory().glob("*.bin"))))
print(*epoch_order(3, 1, 9))
"""


@pytest.mark.parametrize("tier", TIERS)
def test_stored_machine_code_runs_in_another_process(tier, tmp_path):
    cold, warm = (run(STORED, tier, FASTBP_CACHE="1", FASTBP_CACHE_DIR=str(tmp_path)) for _ in range(2))
    for done in (cold, warm):
        assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    count, order = cold.stdout.splitlines()
    assert count == "0"
    assert warm.stdout.splitlines() == ["1", order]


@pytest.mark.parametrize("setting", ["NUMBA_DEBUGINFO", "NUMBA_ENABLE_PROFILING", "NUMBA_BOUNDSCHECK"])
def test_the_plain_one_can_be_debugged(setting, results):
    done = run(KERNELS, "plain", **{setting: "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == results["plain"]


@pytest.mark.parametrize("tier", ["plain", "linked", "fast"])
def test_a_kernel_that_is_sent_is_that_of_the_package(tier):
    """One beside it would keep the classes that it was first compiled for."""
    send = "import cloudpickle\nfrom fastbp.kernels.sweeps import activate\nprint(cloudpickle.dumps(activate).hex())"
    sent = run(send, tier).stdout.strip()
    take = (
        f"import pickle\nmade = pickle.loads(bytes.fromhex({sent!r}))\nfrom fastbp.kernels.sweeps import activate\n"
        "from fastbp.compiler.tier import compiler\nprint(made is activate, made in compiler.parts)"
    )
    assert run(take, tier).stdout.split() == ["True", "True"]
