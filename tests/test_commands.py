"""Every command that a document shows is run: here, in its shortest form, or by what `ELSEWHERE` names."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
DOCUMENTS += [path for folder in ("docs", "benchmarks", "fastbp", "examples") for path in sorted((ROOT / folder).rglob("*.md"))]
DOCUMENTS += [path for folder in ("benchmarks", "examples", "tests/reliability") for path in sorted((ROOT / folder).glob("*.py"))]
PROGRAMS = "fastbp", "python", "asv", "tox", "ruff", "mypy", "pip", "pytest", "make -C", "mpiexec", r"\."

QUICK = "--quick --rounds 2 --workload walkthrough"
ACCURACY = "--quick --rounds 1 --workload moons"
CHOSEN = '-k "walkthrough and training" --benchmark-max-time=0.001 --benchmark-min-rounds=1 --benchmark-storage={here}'
TABULAR = "python -m benchmarks.tabular --results {here}/none --summary"
FAST = "--preset fast --epochs 2"
ASV = "--config asv.conf.json --quick --bench time_loss.*online"
# what documents show, and how it is run: those of a group one after the other in one directory
RUN = {
    "files": {
        "fastbp train houses.csv --target price --report houses.html": (
            f"fastbp train houses.csv --target price --report houses.html {FAST}"
        ),
        "fastbp evaluate houses.fastbp houses.csv": "fastbp evaluate houses.fastbp houses.csv",
        "fastbp train flats.csv --target rent --report flats.html": (
            f"fastbp train flats.csv --target rent --report flats.html {FAST}"
        ),
        "fastbp predict flats.fastbp new_flats.csv --keep": "fastbp predict flats.fastbp new_flats.csv --keep",
        "fastbp evaluate flats.fastbp new_flats.csv": "fastbp evaluate flats.fastbp new_flats.csv",
        "fastbp train flats.csv --target district --drop postcode --preset fast --out district.fastbp": (
            f"fastbp train flats.csv --target district --drop postcode --out district.fastbp {FAST}"
        ),
        "fastbp predict district.fastbp new_flats.csv --keep id --proba": (
            "fastbp predict district.fastbp new_flats.csv --keep id --proba"
        ),
        "fastbp train houses.csv --target price --hidden 128,64 --epochs 100": (
            "fastbp train houses.csv --target price --hidden 8 --epochs 2"
        ),
        "fastbp train houses.csv --target price --hidden 128,64 --epochs 100 --resume": (
            "fastbp train houses.csv --target price --hidden 8 --epochs 2 --resume"
        ),
        "fastbp predict houses.fastbp new_houses.csv": "fastbp predict houses.fastbp new_houses.csv",
        "fastbp export houses.fastbp --to c": "fastbp export houses.fastbp --to c",
        "fastbp export houses.fastbp --to numpy --out predict_house.py": (
            "fastbp export houses.fastbp --to numpy --out predict_house.py"
        ),
        "fastbp export houses.fastbp --to onnx": "fastbp export houses.fastbp --to onnx",
        "fastbp export houses.fastbp --to safetensors": "fastbp export houses.fastbp --to safetensors",
        "fastbp check-gradients houses.fastbp houses.csv": "fastbp check-gradients houses.fastbp houses.csv",
        "fastbp info": "fastbp info",
        "fastbp cache info": "fastbp cache info",
        "fastbp cache warm": "fastbp cache warm",
    },
    "bench": {
        "fastbp bench": f"fastbp bench {QUICK}",
        "fastbp bench --threads 2 --markdown": f"fastbp bench --threads 2 --markdown {QUICK}",
        "fastbp bench --workload NAMES --dtype float64": f"fastbp bench --dtype float64 {QUICK}",
        "fastbp bench --markdown --workload NAMES": f"fastbp bench --markdown {QUICK} small",
        "fastbp bench --markdown --rounds 15 --workload NAMES": f"fastbp bench --markdown {QUICK} closed-loop",
        "fastbp bench --quick --workload NAMES": f"fastbp bench {QUICK} latency start",
        "fastbp bench --json --plot . > results.json": f"fastbp bench --json --plot . {QUICK}",
        "fastbp bench --markdown --plot docs": f"fastbp bench --markdown --plot . {QUICK}",
        "fastbp bench --to-accuracy": f"fastbp bench --to-accuracy {ACCURACY}",
        "fastbp bench --to-accuracy --rounds 11 --workload NAMES": f"fastbp bench --to-accuracy --json {ACCURACY}",
        "fastbp bench --to-accuracy --markdown --plot docs": f"fastbp bench --to-accuracy --markdown --plot . {ACCURACY}",
        "fastbp bench --threads 2 --markdown --workload NAMES": f"fastbp bench --threads 2 --markdown {QUICK}",
        "fastbp bench --dtype float64 --quick --markdown --workload NAMES": f"fastbp bench --dtype float64 --markdown {QUICK}",
        "fastbp bench --threads 2 --dtype float64 --quick --markdown --workload NAMES": (
            f"fastbp bench --threads 2 --dtype float64 --markdown {QUICK}"
        ),
    },
    "scripts": {
        "python tests/reliability/differential.py --cases 20000": "python tests/reliability/differential.py --quick",
        "python -m pytest tests/test_x.py -k word": "python -m pytest -p no:cacheprovider tests/test_plan.py -k record",
        "python -m coverage run -m pytest -n 2": (
            "python -m coverage run --data-file={here}/data -m pytest -p no:cacheprovider tests/test_arguments.py"
        ),
        "python -m coverage combine": "python -m coverage combine --data-file={here}/data {here}",
        "python -m coverage report": "python -m coverage report --data-file={here}/data --fail-under=0",
        "python -m benchmarks.kernels_alone": "python -m benchmarks.kernels_alone --rounds 2 tabular",
        "python -m benchmarks.kernels_alone --rounds 60": "python -m benchmarks.kernels_alone --rounds 2 tabular",
        "python -m benchmarks.neighbours": "python -m benchmarks.neighbours --help",  # `benchmarks/tests` has its parts
        "python -m benchmarks.many_networks": "python -m benchmarks.many_networks --rounds 1",
        "python -m benchmarks.ranks": "python -m benchmarks.ranks --help",  # needs MPI
        "python -m benchmarks.larger_than_memory": "python -m benchmarks.larger_than_memory --quick",
        "python -m benchmarks.larger_than_memory --gigabytes 6 --limit 2 --in-memory 1.5": (
            "python -m benchmarks.larger_than_memory --gigabytes 0.016 --limit 0.5 --in-memory 0.008 --rounds 1"
        ),
        "python -m benchmarks.book": "python -m benchmarks.book --rounds 1 --samples 300",
        "python -m benchmarks.bench_estimators": "python -m benchmarks.bench_estimators --rounds 1 iris",
        "python -m benchmarks.bench_estimators --search": "python -m benchmarks.bench_estimators --rounds 1 --search",
        # `benchmarks/tests` has its runs, as far as what they need is installed
        "python -m benchmarks.tabular": "python -m benchmarks.tabular --help",
        "python -m benchmarks.tabular --data-sets": "python -m benchmarks.tabular --help",
        'python -m benchmarks.tabular --half tune --splits 2 --contestants LightGBM "fastbp fast"': (
            f'{TABULAR} --half tune --splits 2 --contestants LightGBM "fastbp fast"'
        ),
        'python -m benchmarks.tabular --again "fastbp fast"': f'{TABULAR} --again "fastbp fast"',
        "python -m benchmarks.tabular --summary --plot .": f"{TABULAR} --plot {{here}}",
        # needs the sources of two C libraries; `benchmarks/tests` runs it where they are
        "python -m benchmarks.libxsmm_dnn LIBXSMM LIBXSMM_DNN": "python -m benchmarks.libxsmm_dnn --help",
        "python benchmarks/check_vmath.py [--stride N] [name ...]": "python benchmarks/check_vmath.py --stride 100003 exp",
    },
    "pytest-benchmark": {
        'python -m pytest benchmarks -k "mnist and training"': f"python -m pytest benchmarks {CHOSEN}",
        "python -m pytest benchmarks --benchmark-save=before": f"python -m pytest benchmarks --benchmark-save=before {CHOSEN}",
        "python -m pytest benchmarks --benchmark-compare --benchmark-compare-fail=median:10%": (
            f"python -m pytest benchmarks --benchmark-compare --benchmark-compare-fail=median:9999% {CHOSEN}"
        ),
    },
    "asv": {
        "asv machine --yes": "asv machine --yes",
        "asv check -E existing": "asv check --config asv.conf.json -E existing",
        "asv run --quick --python=same": f"asv run {ASV} --python=same",
        "asv run HEAD~3..HEAD": f"asv run {ASV} HEAD^!",
        "asv continuous --interleave-rounds main HEAD": f"asv continuous {ASV} --interleave-rounds --factor 99 HEAD HEAD",
        "asv publish": "asv publish --config asv.conf.json",
        "asv preview": "asv preview --help",  # which serves until it is told to end
    },
}
# where else, and the text there that does it
CI, MATRIX = ".ci/run", ".github/workflows/test.yml"
ALL_TOOLS = "python -m pip install --quiet -e '.[lint,docs,bench,release]'\n"
ELSEWHERE = {
    # which has these in it
    **{
        f"pip install 'fastbp[{extra}]'": (CI, "python -m pip install --quiet -e '.[test]'\n")
        for extra in ("tables", "data", "exports", "plot", "cli", "dask")
    },
    "python -m pip install 'fastbp[mpi]' mpich": (CI, "python -m pip install --quiet -e '.[scale]'\n"),
    "mpiexec -n 2 python digits.py": ("tests/test_mpi.py", '[MPIEXEC, "-n", str(ranks), sys.executable, "digits.py"]'),
    "python -m pytest -n 2 -m scale": (CI, '\npython -m pytest -n 2 --dist worksteal -m "scale and not slow" '),
    "pip install 'fastbp[mlflow]'": ("tests/test_callbacks.py", 'pytest.importorskip("mlflow")'),
    "pip install '.[tables]'": (CI, "python -m pip install --quiet -e '.[test]'\n"),
    "python -m pip install '.[cli]'": (CI, 'python -m pip install --quiet "$root"[cli]\n'),
    "fastbp train digits": (CI, "fastbp train digits &&"),
    "python -m pip install -e '.[test]'": (CI, "python -m pip install --quiet -e '.[test]'\n"),
    "python -m pip install '.[docs]'": (CI, ALL_TOOLS),
    "make -C docs html": (CI, "make -C docs html links "),
    "python -m pip install -e '.[test,lint]'": (CI, ALL_TOOLS),
    "python -m pip install -e '.[bench]'": (CI, ALL_TOOLS),
    "python -m pip install -e '.[matrix]'": (MATRIX, 'python -m pip install -e ".[matrix]"\n'),
    "python -m venv .venv": (CI, '-m venv "$scratch/venv"\n'),
    ". .venv/bin/activate": (CI, 'export PATH="$scratch/venv/bin:$PATH"\n'),
    "python -m pytest -n 2": (CI, "\npython -m pytest -n 2 "),
    "python -m pytest -n 2 -m 'slow or not slow'": (CI, "\npython -m pytest -n 2 --dist worksteal -m slow "),
    "tox": (MATRIX, "python -m tox run "),
    "tox -e 3.13-oldest -- -k word": (MATRIX, " -e 3.13-oldest -- "),
    "ruff check": (CI, "\nruff check "),
    "ruff format --check": (CI, "\nruff format --check "),
    "mypy": (CI, "\nmypy "),
    "python -m pytest benchmarks --benchmark-disable": (CI, "python -m pytest benchmarks --benchmark-disable "),
    "python benchmarks/gate_selftest.py --runs 20 --unchanged 50": (
        "tests/test_gate_selftest.py",
        "selftest.plant(package, door, value)\n",
    ),
    "fastbp bench --against HEAD": ("benchmarks/gate_selftest.py", '"bench", "--against", commit,'),
    "fastbp bench --against HEAD --quick": ("benchmarks/gate_selftest.py", '"bench", "--against", commit, "--quick"'),
    "fastbp bench --against REVISION": ("benchmarks/gate_selftest.py", '"bench", "--against", commit,'),
    "fastbp bench --against v0.1.0 --tolerance 3 --quick --workload NAMES": ("benchmarks/gate_selftest.py", '"--tolerance", '),
    "fastbp cache clear --all": ("tests/test_cache_command.py", 'said(capsys, "clear", "--all")'),
    "python examples/plot_dixon_softmax.py": ("tests/test_examples.py", "def test_runs_without_a_warning(path, tmp_path):"),
    "python tests/reliability/model_files.py --atheris": ("tests/test_reliability_scripts.py", '"model_files.py", "--atheris"'),
    "python -m benchmarks.partitions": ("tests/test_dask_cluster.py", '"benchmarks.partitions", "--quick"'),
    "python tests/golden/make.py": ("tests/test_golden.py", "make.write()"),
    "python docs/classes.py": ("tests/test_docs.py", "module.page()"),
    "FASTBP_COMPILER=fast python -m pytest": ("tests/test_tier.py", '"FASTBP_COMPILER": tier'),
}
SCRIPTS = [
    path for path in sorted((ROOT / "tests" / "reliability").glob("*.py")) if '\nif __name__ == "__main__":\n' in path.read_text()
]
ELSEWHERE |= {
    f"python tests/reliability/{path.name}": ("tests/test_reliability_scripts.py", '[sys.executable, path, "--quick"]')
    for path in SCRIPTS
}
KNOWN = {shown for group in RUN.values() for shown in group} | ELSEWHERE.keys()


def is_command(text):
    return re.match(rf"(?:[A-Z_]+=\S+ )?(?:{'|'.join(PROGRAMS)})(?: [^\s(]|$)", text) is not None


def parts(line):
    """The commands of a line of a shell, their comments and lists of workloads left out."""
    for command in re.split(r" && ", re.sub(r"\s+#.*", "", line)):
        yield re.sub(r"--workload(?: [a-z][a-z0-9-]*)+", "--workload NAMES", " ".join(command.split()))


def shown(text, is_page):
    """The commands that a page, or the docstring at the head of a file, shows: in blocks, and in the prose."""
    if is_page:
        blocks = [
            body for kind, body in re.findall(r"^ *```([a-z]*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE) if kind in ("", "sh")
        ]
        prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    else:
        prose = text.split('"""')[1]
        blocks = re.findall(r"^    \S.*$", prose, re.MULTILINE)
    for command in (part for block in blocks for line in block.splitlines() for part in parts(line)):
        if is_page and command and not command.startswith("."):
            assert is_command(command), f"{command}: its program is not among PROGRAMS"
        if is_command(command):
            yield command
    for quoted in re.findall(r"(`+)(.+?)\1", prose, re.DOTALL):
        yield from (command for command in parts(quoted[1]) if " " in command and is_command(command))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_is_run_somewhere(path):
    """Or it is the beginning of one that is."""
    found = set(shown(path.read_text(encoding="utf-8"), path.suffix == ".md"))
    assert {command for command in found if not any(f"{known} ".startswith(f"{command} ") for known in KNOWN)} == set()


def test_commands_are_found():
    found = {command for path in DOCUMENTS for command in shown(path.read_text(encoding="utf-8"), path.suffix == ".md")}
    assert found >= KNOWN, "no document shows these any more"
    page = "```\nfastbp x && asv y  # z\n```\n```python\nfastbp.x\n```\n`python\nz`, `tox`\n"
    assert list(shown(page, True)) == ["fastbp x", "asv y", "python z"]


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_runs_it_is_there(command):
    file, text = ELSEWHERE[command]
    assert text in (ROOT / file).read_text(encoding="utf-8")


def prepare(directory):
    """Files that the commands read."""
    rng = np.random.default_rng(0)
    area, rooms = rng.uniform(40, 200, 120), rng.integers(1, 6, 120)
    rows = [f"{a:.0f},{r},{'north' if a > 100 else 'south'}" for a, r in zip(area, rooms, strict=True)]
    (directory / "new_houses.csv").write_text("\n".join(["area,rooms,side", *rows[:5]]) + "\n")
    priced = [f"{row},{3 * a + 10 * r:.0f}" for row, a, r in zip(rows, area, rooms, strict=True)]
    (directory / "houses.csv").write_text("\n".join(["area,rooms,side,price", *priced]) + "\n")
    flats = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8"), re.DOTALL)
    subprocess.run([sys.executable, "-c", flats[1]], cwd=directory, check=True)
    settings = (
        (ROOT / "asv.conf.json")
        .read_text()
        .replace('"benchmarks"', f'"{ROOT}/benchmarks"')
        .replace('"repo": "."', f'"repo": "{ROOT}"')
    )
    (directory / "asv.conf.json").write_text(settings.replace('".asv/', f'"{directory}/asv/'))


@pytest.mark.slow
@pytest.mark.parametrize("group", RUN)
def test_command_runs(group, tmp_path):
    if group == "asv" and shutil.which("asv", path=Path(sys.executable).parent) is None:
        pytest.skip("asv is not installed")
    prepare(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(Path(fastbp.__file__).parents[1]), "PYTHONWARNINGS": "default"}
    programs = {"python": [sys.executable], "fastbp": [sys.executable, "-m", "fastbp"], "asv": [sys.executable, "-m", "asv"]}
    if group == "asv":  # which keeps a file in the home directory
        environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))}
        del environment["PYTHONPATH"]  # asv takes it for that of its own environments, and leaves out what is installed
    for command in dict.fromkeys(RUN[group].values()):
        program, *arguments = shlex.split(command.replace("{here}", str(tmp_path)))
        where = ROOT if program == "python" else tmp_path
        done = subprocess.run(
            [*programs[program], *arguments], cwd=where, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
