"""``fastbp cache``: what it says, what it removes, and that nothing is compiled after it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp
from fastbp import cli
from fastbp.compiler import cache_directory, environment_key


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A cache with two kernels of this environment and one of another."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "cache"))
    for directory, names in ((cache_directory(), "ab"), (tmp_path / "cache" / ("0" * 24), "c")):
        directory.mkdir(mode=0o700, exist_ok=True)
        for name in names:
            (directory / f"{name}.bin").write_bytes(bytes(1_500_000))
    return tmp_path / "cache"


def said(capsys, *arguments, status=0):
    assert cli.main(["cache", *arguments]) == status
    return capsys.readouterr().out if status == 0 else capsys.readouterr().err


def files(base):
    return sorted(path.name for path in base.rglob("*") if path.is_file())


def test_info(base, capsys):
    lines = dict(line.split("  ", 1) for line in said(capsys, "info").splitlines())
    assert {name: text.strip() for name, text in lines.items()} == {
        "directory": str(base / environment_key()),
        "kernels are kept": "yes",
        "this environment": "2 kernels, 3.0 MB",
        "other environments": "1 kernel, 1.5 MB",
    }
    assert files(base) == ["a.bin", "b.bin", "c.bin"]


def test_info_says_why_nothing_is_kept(base, capsys, monkeypatch):
    monkeypatch.setenv("FASTBP_CACHE", "0")
    assert "no: FASTBP_CACHE=0 is set" in said(capsys, "info")
    monkeypatch.delenv("FASTBP_CACHE")
    monkeypatch.setattr("fastbp.storage.os.open", refuse)
    assert "kernel.bin: Read-only file system" in said(capsys, "info")
    monkeypatch.undo()
    monkeypatch.setenv("FASTBP_CACHE_DIR", os.devnull)
    text = said(capsys, "info")
    assert "directory           none" in text
    assert "cannot be made: Not a directory" in text


def refuse(path, *arguments):
    raise OSError(30, "Read-only file system", str(path))


def test_clear(base, capsys):
    (base / environment_key() / ".a.bin.0123456789abcdef.tmp").touch()
    (base / ("0" * 24) / "notes.txt").touch()
    assert said(capsys, "clear") == "removed 2 kernels, 3.0 MB\n"
    assert files(base) == ["c.bin", "notes.txt"]
    assert said(capsys, "clear", "--all") == "removed 1 kernel, 1.5 MB\n"
    assert files(base) == ["notes.txt"]
    assert said(capsys, "clear", "--all") == "removed 0 kernels, 0.0 MB\n"


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_clear_removes_nothing_that_is_not_ours(base, capsys):
    (base / ("0" * 24)).chmod(0o777)
    (base / "revisions").mkdir()
    (base / "revisions" / "d.bin").touch()
    said(capsys, "clear", "--all")
    assert files(base) == ["c.bin", "d.bin"]


def test_warm_says_why_nothing_can_be_kept(base, capsys, monkeypatch):
    monkeypatch.setenv("FASTBP_CACHE", "0")
    assert said(capsys, "warm", status=2) == "fastbp cache: kernels cannot be kept: FASTBP_CACHE=0 is set\n"


# what most programs do, in a process that says which kernels it had to compile
USUAL = """
import warnings
import numpy as np
import fastbp
from fastbp.compiler.cache import DiskCache

save = DiskCache.save_overload
DiskCache.save_overload = lambda self, *args: (print(self.name), save(self, *args))
warnings.simplefilter("ignore")
X = np.random.default_rng(0).random((60, 20))
labels = np.arange(60) % 3
fastbp.MLPClassifier(max_iter=2, early_stopping=True).fit(X, labels).predict_proba(X)
fastbp.MLPRegressor(hidden_layer_sizes=3, max_iter=2).partial_fit(X, labels).score(X, labels)
for dtype in ("float32", "float64"):
    for sizes in ([20, 30, 3], [20, 4, 3]):
        net = fastbp.Network(sizes, loss="cross_entropy", dtype=dtype)
        net.fit(X, labels, epochs=2, optimizer="adam", validation_fraction=0.2, n_threads=2)
        net.trainer(batch_size=60).step(X, labels)
        net.trace(X[:3], labels[:3])
        net.check_gradients(X[:3], labels[:3])
        net(X[0])
"""


def run(*command, **settings):
    environment = os.environ | {"PYTHONPATH": str(Path(fastbp.__file__).parents[1])} | settings
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True).stdout


WARM = "-m", "fastbp", "cache", "warm"


@pytest.mark.slow
def test_after_warm_most_programs_compile_nothing():
    """In the cache of all tests, where most of it is there already."""
    run(*WARM)
    assert re.fullmatch(rf"all kernels were there already \(\d+\.\d s\): {re.escape(str(cache_directory()))}\n", run(*WARM))
    assert run("-c", USUAL) == ""


@pytest.mark.slow
def test_warm_compiles_all_of_that_itself(tmp_path):
    assert run(*WARM, FASTBP_CACHE_DIR=str(tmp_path)).startswith("compiled ")
    assert run("-c", USUAL, FASTBP_CACHE_DIR=str(tmp_path)) == ""
    run("-m", "fastbp", "cache", "clear", FASTBP_CACHE_DIR=str(tmp_path))
    assert len(run("-c", USUAL, FASTBP_CACHE_DIR=str(tmp_path)).splitlines()) > 5  # it would have been seen


def test_kernels_of_tables_are_told_from_the_others(base):
    from fastbp.commands.cache import has_kernels_for_tables
    from fastbp.compiler import Choice, Level
    from fastbp.kernels.train import run

    assert not has_kernels_for_tables()
    kept = run._stored("float32", Choice(Level.TABULAR, {}))  # by the name that the cache gives it
    kept._path(cache_directory()).write_bytes(b"")
    assert has_kernels_for_tables()
