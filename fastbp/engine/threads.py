"""How many threads a fit uses: what its work repays, and never more than the least of the limits that are set when it begins.

The limits are those which the libraries around obey: the cores of the process, the quotas of its control groups, the variables of
OpenMP, Numba and joblib, and the sizes of the thread pools of BLAS, OpenMP and Numba, which `threadpoolctl` sets. joblib gives its
worker processes their share in variables; its worker threads have one thread each.
"""

import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from threading import Event, Lock, current_thread, main_thread
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from fastbp.compiler import threads_of_numba

if TYPE_CHECKING:
    from fastbp.engine.sparsity import Entries

FLOP_PER_MEMBER = 2e7  # of one mini-batch (about 0.2 ms): less does not repay the meetings of the team
FLOP_PER_START = 2e8  # of work that is done once: less does not repay the start of a thread
VARIABLES = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
POOLS = ("openblas", "mkl", "openmp")  # BLIS has one thread until it is told otherwise: that is no limit
WITHOUT_THREADS = ("disabled", "sequential")  # nor is the one thread of a library that was built without
Part = TypeVar("Part")
PROC = Path("/proc/self")


class _Blas:
    """The thread pools of BLAS, which the whole process shares: who sets them is alone, or would restore another's limit."""

    def __init__(self) -> None:
        self.lock = Lock()

    @contextmanager
    def of_one_thread(self) -> Iterator[None]:
        """Let BLAS have one thread: with more of them, the last bits of its results tell how many there were."""
        with self.lock, _controller(len(sys.modules)).select(user_api="blas").limit(limits=1):
            yield


blas = _Blas()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(after_in_child=blas.__init__)  # type: ignore[misc]  # whoever held the lock does not exist here


def flop_of_sample(sizes: Sequence[int], entries: "Entries | None" = None) -> int:
    """Floating-point operations of one step on one sample: 6 P - 2 P_1.

    P weights take 2 P forward, 2 P in the gradient and 2 P in the delta recursion, which the first layer's P_1 do not need; of
    these only those of the `entries` of a sample, if its zeros are left out.
    """
    first, others = _weights(tuple(sizes))
    return 6 * others + 4 * (first if entries is None else round(entries.average * sizes[1]))


@lru_cache(maxsize=64)
def _weights(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Weights of the first layer, and of all others."""
    first, *others = (a * b for a, b in pairwise(sizes))
    return first, sum(others)


def members_for(flop: float, limit: int | None, least: float = FLOP_PER_MEMBER) -> int:
    """Threads for mini-batches of so much work, `least` each: never more than are usable, nor than `limit` if it is given.

    How many of them work at a time depends on what other programs leave (:mod:`fastbp.engine.crew`).
    """
    if limit == 1 or flop < 2 * least:
        return 1  # without asking for limits, which takes longer than a small network
    most = usable_threads() if limit is None else min(limit, usable_threads())
    return max(1, min(most, int(flop / least)))


def divide(work: Callable[[Part], None], parts: Iterable[Part], members: int, halt: Event | None = None) -> None:
    """``work(part)`` of every part, by so many threads, one of which is this; no more after an error or Ctrl-C.

    `halt` is set then, for the parts that are being worked on.
    """
    waiting = deque(parts)

    def end() -> None:
        waiting.clear()
        if halt is not None:
            halt.set()

    def take() -> None:
        while True:
            try:
                part = waiting.popleft()
            except IndexError:  # all are taken
                return
            try:
                work(part)
            except BaseException:
                end()
                raise

    if members == 1:
        take()
        return
    with ThreadPoolExecutor(members - 1) as pool:
        begun: list[Future[None]] = []
        try:
            with suppress(RuntimeError):  # no thread is to be had, as at the end of the interpreter
                for _ in range(members - 1):
                    begun.append(pool.submit(take))
            take()
            for other in begun:
                other.result()
        except BaseException:
            end()
            raise


def usable_threads() -> int:
    """The least of all limits of a fit that begins now, in this thread."""
    if _is_worker_thread():
        return 1
    return max(1, int(min(_cores(), _quota(int(monotonic())), *_variables(), *_pools())))


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13: ``-X cpu_count`` too
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _quota(second: int) -> float:
    """Whole cores whose time the control groups of this process leave it (Linux), looked at once a second: that takes 100 us."""
    least = math.inf
    for files in _quota_files():
        numbers = " ".join(map(_text, files)).split()  # microseconds, in a period of so many
        if len(numbers) == 2 and all(map(str.isdecimal, numbers)) and int(numbers[1]):
            least = min(least, int(numbers[0]) // int(numbers[1]))
    return least


def _quota_files() -> Iterator[list[Path]]:
    """Where the quotas of control groups stand, of versions 1 and 2: of those in which this process is, and of all above them."""
    names: tuple[str, ...]
    paths = {}
    for line in _text(PROC / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    for line in _text(PROC / "mountinfo").splitlines():
        mount, _, system = line.partition(" - ")
        (root, place), (kind, *_, options) = mount.split()[3:5], system.split()
        if kind == "cgroup2":
            path, names = paths.get("", "/"), ("cpu.max",)
        elif kind == "cgroup" and "cpu" in options.split(","):
            path, names = paths.get("cpu", "/"), ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        else:
            continue
        # a container may see a group of its own only, mounted in the place of the first
        inside = Path(path if root == "/" else path.removeprefix(root)).parts[1:]
        for depth in range(len(inside) + 1):
            yield [Path(place, *inside[:depth], name) for name in names]


def _text(path: Path) -> str:
    """Content of a small file; nothing if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _variables() -> Iterator[int]:
    for name in VARIABLES:
        number = os.environ.get(name, "").partition(",")[0].strip()  # OpenMP's may have one for each level of nesting
        if number.isdecimal() and int(number):
            yield int(number)


def _pools() -> Iterator[int]:
    """Threads of each pool in this process: what `threadpoolctl` or its own functions have set for this thread."""
    for library in _libraries(len(sys.modules)):
        yield library.num_threads or 1
    in_loops = threads_of_numba()
    if in_loops is not None:
        yield in_loops


@lru_cache(maxsize=1)
def _controller(modules: int) -> Any:
    """Of libraries that have pools; looked for, which takes 2 ms, when modules have been imported since, as which they come."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _libraries(modules: int) -> list[Any]:
    """Those whose pools are limits."""
    found = _controller(modules).lib_controllers
    return [each for each in found if each.internal_api in POOLS and getattr(each, "threading_layer", "") not in WITHOUT_THREADS]


def _is_worker_thread() -> bool:
    """Whether joblib has divided work among threads, or processes without a share in variables, and this is one of them."""
    joblib = sys.modules.get("joblib.parallel")
    if joblib is None or not joblib.get_active_backend()[0].nesting_level:
        return False
    return current_thread() is not main_thread() or "NUMBA_NUM_THREADS" not in os.environ
