"""Today's workloads and contestants, loaded by path: they run on whatever version of fastbp is installed."""

import importlib.util
import os
import sys
from pathlib import Path
from time import perf_counter

BENCH = Path(__file__).resolve().parents[1] / "fastbp" / "bench"

# every environment its own compiled kernels
CACHE = Path(os.environ.setdefault("FASTBP_CACHE_DIR", str(Path(sys.prefix, "fastbp-cache"))))
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))


def _load(name):
    path = BENCH / name / "__init__.py" if (BENCH / name).is_dir() else BENCH / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"_fastbp_{name.replace('/', '_')}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


workloads = _load("workloads")
contestants = _load("contestants")
problems = _load("accuracy/problems")

NAMES = list(workloads.WORKLOADS)
ROUNDS = 9


def ready(name, contestant="fastbp", dtype=None, threads=1):
    """A contestant on a workload, at its first weights, with everything compiled."""
    workload = workloads.get(name)
    kind = contestants.CONTESTANTS[contestant]
    if (reason := kind.reason_against(workload)) is not None:
        raise NotImplementedError(f"{contestant} {reason}")  # which asv takes for: left out
    found = kind(workload, dtype or workload.dtype, threads)
    found.reset()
    found.run(1)
    if not workload.loop:
        found.outputs(found.data.X)
    found.reset()
    return found


def ratios(slow, fast, seconds=0.05):
    """Times of one call divided by those of another, in turns, each repeated for so many seconds."""
    calls = []
    for work in (slow, fast):
        start = perf_counter()
        work()
        calls.append(max(1, round(seconds / (perf_counter() - start))))
    found = []
    for _ in range(ROUNDS):
        times = []
        for work, count in zip((slow, fast), calls, strict=True):
            start = perf_counter()
            for _ in range(count):
                work()
            times.append((perf_counter() - start) / count)
        found.append(times[0] / times[1])
    return sorted(found)
