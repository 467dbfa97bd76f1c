"""Training with MPI ranks: the same bits however many there are, and an end of every fault on all of them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from fastbp.engine.threads import usable_threads

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
pytestmark = [pytest.mark.scale, pytest.mark.skipif(MPIEXEC is None, reason="no MPI: pip install mpich")]

CASES = Path(__file__).parent / "mpi_cases.py"
QUIET = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}


def launch(ranks, case, *arguments, seconds=120):
    """What `mpiexec` ended with, and the result of each rank that gave one."""
    with TemporaryDirectory() as folder:  # not by what they print, which MPI may mix
        command = [MPIEXEC, "-n", str(ranks), sys.executable, str(CASES), folder, case, *map(str, arguments)]
        done = subprocess.run(command, env=os.environ | QUIET, capture_output=True, text=True, timeout=seconds)
        return done, {int(path.name): json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).iterdir()}


def results(ranks, case, *arguments):
    """Of all ranks, which end well."""
    done, found = launch(ranks, case, *arguments)
    assert (done.returncode, len(found)) == (0, ranks), done.stderr[-2000:]
    return [found[rank] for rank in range(ranks)]


@pytest.fixture(scope="module")
def of_one():
    return results(1, "bits")[0]


MANY = [
    (2, "bits"),
    pytest.param(4, "bits", marks=pytest.mark.slow),
    (4, "bits_of_nodes"),
    pytest.param(4, "bits_of_uneven_nodes", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("ranks", "case"), MANY)
def test_any_number_of_ranks_gives_the_same_bits(of_one, ranks, case):
    assert results(ranks, case) == [of_one] * ranks


@pytest.mark.slow
def test_sparse_samples_give_the_same_bits():
    assert results(2, "sparse_bits") == results(1, "sparse_bits") * 2


def test_threads_of_a_rank_change_no_bit():
    (found,) = results(1, "threads")
    used, *found = found
    assert used == min(2, usable_threads())
    assert found[:2] == found[2:]


def test_one_part_of_one_rank_gives_the_bits_of_an_ordinary_fit():
    (found,) = results(1, "ordinary")
    assert found["with"] == found["without"]


def test_in_the_fast_mode_only_the_roundings_of_the_sums_differ():
    one, four = (results(ranks, "fast") for ranks in (1, 4))
    assert four[0] == four[3]
    for dtype, ours, theirs in zip(("float32", "float64"), four[0], one[0], strict=True):
        # a rank that was left out of one sum would be seen at 1e-3
        assert np.abs(np.subtract(ours, theirs)).max() < 16 * np.finfo(dtype).eps, dtype


def test_all_ranks_stop_at_the_same_time():
    one, two = results(2, "stops")
    assert one == two
    assert [each[2] for each in one[:3]] == ["patience", "tol", "callback"]
    assert len(one[2][1]) == 2  # by a callback of one rank in the second epoch
    assert one[3][2] == 4


def test_a_run_goes_on_with_other_ranks_to_the_same_bits(tmp_path):
    whole = results(1, "checkpoint", tmp_path / "whole.ckpt", 4)[0]
    path = tmp_path / "part.ckpt"
    results(2, "checkpoint", path, 2)
    assert results(4, "checkpoint", path, 4) == [whole] * 4


OF_THE_LAST = {
    "nan": "X holds NaN or infinity",
    "narrow": "X has 19 columns, but the network has 20 inputs",
    "doubles": "y must hold whole class numbers",
    "unknown": "y holds labels from 1 to 3",
    "none": "X is empty",
    "callback": "the disk is full",
}
OF_ALL = {
    "fewer": "n_samples of X must be alike on all ranks, but it is 240 on rank 0, and 239 on rank 1",
    "batch": "batch_size must be alike on all ranks, but it is 48 on rank 0, and 24 on rank 1",
    "rule": "optimizer must be alike on all ranks",
    "odd": "batch_size must be a multiple of 2, the parts of the gradient, got 47: take 46",
    "judged": "validation_data must be alike on all ranks",
    "zeros": "sample_weight must not be all zero",
    "forever": "epochs=1000000000000 needs",
    "nested": "this Ranks is used by the fit that this call is for: make another one",
    "written": "the parameters of the ranks are no longer the same",
    "diverging": "training diverged in epoch 1",
    "given order": "order must be left out with comm",
}
LATER = ("nested", "callback", "written", "diverging")


def test_what_is_wrong_on_one_rank_is_an_error_on_all():
    first, last = results(2, "errors")
    assert first["after"] == last["after"]
    for name, message in OF_THE_LAST.items():
        assert message in last[name][1]
        assert first[name][:2] == ["RankError", f"rank 1 of 2 has stopped: {last[name][0]}: {last[name][1]}"]
    for name, message in OF_ALL.items():
        assert message in first[name][1]
        assert first[name][:2] == last[name][:2]
    for found in (first, last):
        for name in (*OF_THE_LAST, *OF_ALL):
            _, _, is_same, is_finite, seconds = found[name]
            assert is_finite, name
            assert is_same or name in LATER or found is first, name  # parameters are those of rank 0 from the first epoch on
            assert seconds < 10


def test_trainers_that_differ_are_told_apart():
    first, last = results(2, "trainers")
    assert first["rate"] == last["rate"]
    assert first["rate"][1] == "learning_rate must be alike on all ranks, but it is 0.01 on rank 0, and 0.5 on rank 1"
    assert first["step"] == last["step"]
    assert "samples of the next epoch that steps have taken must be alike" in first["step"][1]
    assert first["full"] == ["RankError", "rank 1 of 2 has stopped: MemoryError: no room"]
    assert last["full"] == ["MemoryError", "no room"]


def test_checkpoints_that_differ_are_told_apart(tmp_path):
    for found in results(2, "unlike_checkpoints", tmp_path / "own"):
        assert found[0] == "ValueError"
        assert found[1].startswith("what resume goes on from must be alike on all ranks")


def test_generators_remain_alike():
    first, last = results(2, "generators")
    assert first == last
    assert all(ours == theirs for ours, theirs in first)


def test_an_interrupt_of_one_rank_alone_ends_no_program():
    assert results(2, "caught") == [True, True]


@pytest.mark.parametrize(
    ("case", "name", "message"),
    [
        ("interrupted", "RankError", "rank 1 of 2 has stopped: KeyboardInterrupt"),
        ("asleep", "RankError", "rank 1 of 2 has not answered for 2 s: if it is only slow, give Ranks a longer timeout"),
        pytest.param(
            *("absent", "RankError", "rank 1 of 2 has not answered for 2 s: if it is only slow, give Ranks a longer timeout"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_no_rank_waits_for_ever(case, name, message):
    done, found = launch(2, case, seconds=60)
    assert done.returncode != 0
    assert found[0][:2] == [name, message]
    assert found[0][3]


def test_a_rank_that_dies_ends_the_program():
    done, found = launch(2, "killed", seconds=60)
    assert done.returncode != 0
    assert 1 not in found


def test_the_program_of_the_guide_runs_by_its_command(tmp_path):
    guide = (Path(__file__).parents[1] / "docs" / "mpi.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^```python\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    assert "mpiexec -n 2 python digits.py" in guide
    (tmp_path / "digits.py").write_text(f"{first}\n{second}\nif ranks.rank == 0:\n    print(history.loss[-1])", encoding="utf-8")
    told = []
    for ranks in (1, 2):
        command = [MPIEXEC, "-n", str(ranks), sys.executable, "digits.py"]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | QUIET, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        told.append(done.stdout.split())
        assert float(told[-1][told[-1].index("accuracy") + 1]) > 0.97
    assert told[0][-1] == told[1][-1]
