"""The scripts of reliability, each in its short form: it ends well, prints one line, and says what its control has shown."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import fastbp

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks, signals and limits of POSIX")
HERE = Path(__file__).parent / "reliability"
SCRIPTS = [path for path in sorted(HERE.glob("*.py")) if '\nif __name__ == "__main__":\n' in path.read_text(encoding="utf-8")]


def test_there_are_scripts():
    assert {"kills_of_save", "kills_of_cache", "cache_faults", "model_files"} <= {path.stem for path in SCRIPTS}


def run(*command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    return subprocess.run([*command], env=environment, capture_output=True, text=True, timeout=600)


LONG = ("mutants", "interrupts", "cache_faults")  # parts of which other tests have, too


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow) if path.stem in LONG else path for path in SCRIPTS],
    ids=lambda path: path.stem,
)
def test_script(path):
    done = run(*[sys.executable, path, "--quick"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") == 1, done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_libfuzzer():
    done = run(*[sys.executable, HERE / "model_files.py", "--atheris", "--executions", "1000"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 faults in 1000 hostile files" in done.stdout
