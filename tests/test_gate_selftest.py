"""What `benchmarks/gate_selftest.py` plants makes the door slower that it says, and computes the same."""

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastbp.bench import gate, report, worker, workloads
from fastbp.bench.worker import DOORS, PACKAGE, Worker

SPEC = spec_from_file_location("gate_selftest", Path(__file__).parents[1] / "benchmarks" / "gate_selftest.py")
selftest = module_from_spec(SPEC)
SPEC.loader.exec_module(selftest)


def test_every_door_of_the_gate_has_a_plant():
    assert selftest.PLANTS.keys() == DOORS.keys()


@pytest.fixture
def package(tmp_path):
    return Path(shutil.copytree(PACKAGE, tmp_path / "fastbp", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.slow  # each compiles the kernels anew
@pytest.mark.parametrize("door", DOORS)
def test_a_constant_that_is_gone_is_an_error(door, package):
    file = package / selftest.FILE
    file.write_text(file.read_text().replace(selftest.PLANTS[door].constant, "RENAMED"))
    with pytest.raises(ValueError, match=rf"by which {door} is made slower, must be in .* once, and is there 0 times"):
        selftest.plant(package, door)


# a plant that is seen at once, and by which workload: a panel of every layer twice, and calls that take as long as the door
LARGE = dict.fromkeys(("fit", "predict"), ("digits", 1000)) | dict.fromkeys(("step", "partial_fit", "row"), ("small", 50))


@pytest.mark.slow  # each compiles the kernels anew
@pytest.mark.parametrize("door", DOORS)
def test_gate_names_the_door_that_is_planted_and_no_other(door, package, monkeypatch):
    workload, value = LARGE[door]
    selftest.plant(package, door, value)

    def start(threads, of):
        monkeypatch.setattr(worker, "PACKAGE", of)
        return Worker("fastbp", threads)

    sides = [SimpleNamespace(start=lambda threads, of=of: start(threads, of)) for of in (PACKAGE, package)]
    found = gate.compare(
        *sides, [workloads.get(workload)], tolerance=0.06, settings=gate.Settings(sessions=2, seconds=1.0, turn=4e-3)
    )
    assert report.failures(found) == [f"{workload} {door}"], found
    assert found[0]["right"]
