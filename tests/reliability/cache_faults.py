"""Faults of the cache: whatever is in the place of a file or directory, the answer is right and nothing planted is run.

Then eight processes at once start on a cold cache, as forks and as fresh interpreters. The control is a cache without its checks,
in which planted code must run and answers must be wrong.
"""

import argparse
import errno
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import forked
from numba.core.compiler import CompileResult

import fastbp.compiler.cache
import fastbp.compiler.directory
from fastbp.compiler.cache import DiskCache

NOBODY = 65534


class Planted:
    """A pickle that makes a directory when it is loaded."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.makedirs, (self.marker,)


class Place:
    """A base directory with a good file of one entry, and one of another: a copy of `model`."""

    def __init__(self, root, model):
        self.root, self.base, self.marker = root, root / "cache", root / "planted"
        root.chmod(0o755)
        shutil.copytree(model, self.base)
        os.environ["FASTBP_CACHE_DIR"] = str(self.base)
        (self.file,), (self.other,) = (list(self.base.rglob(f"{name}_*.bin")) for name in ("_twice", "_add"))
        self.good, self.directory = self.file.read_bytes(), self.file.parent

    def put(self, content):
        self.file.write_bytes(content)

    def instead(self, make):
        self.file.unlink()
        make(self.file)

    def pickle(self):
        return pickle.dumps(Planted(self.marker))

    def sealed(self):
        """A pickle with the right digest: in a directory that others may write to, anyone could put it."""
        content = self.pickle()
        cache = DiskCache(self.file.stem)
        return cache.MAGIC + cache._digest(content) + content


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def open_to_all(place):
    place.put(place.sealed())
    place.directory.chmod(0o777)


def linked(place):
    place.put(place.sealed())
    place.directory.rename(place.root / "elsewhere")
    place.directory.symlink_to(place.root / "elsewhere")


def of_another_user(place):
    place.put(place.sealed())
    os.chown(place.directory, NOBODY, NOBODY)


def of_another_environment(place):
    key = fastbp.compiler.directory.environment_key
    fastbp.compiler.cache.environment_key = lambda: "0" * 24
    try:
        place.put(place.sealed())
    finally:
        fastbp.compiler.cache.environment_key = key


START = len(DiskCache.MAGIC)
FAULTS = {
    "empty": lambda place: place.put(b""),
    "short": lambda place: place.put(place.good[: len(place.good) // 2]),
    "garbage": lambda place: place.put(b"\x93" * len(place.good)),
    "flipped in the digest": lambda place: place.put(flipped(place.good, START)),
    "flipped in the content": lambda place: place.put(flipped(place.good, START + 40)),
    "flipped in the middle": lambda place: place.put(flipped(place.good, len(place.good) // 2)),
    "swapped with another": lambda place: shutil.copy(place.other, place.file),
    "of another environment": of_another_environment,
    "planted pickle": lambda place: place.put(place.pickle()),
    "planted pickle with a wrong digest": lambda place: place.put(place.good[: START + 32] + place.pickle()),
    "FIFO": lambda place: place.instead(os.mkfifo),
    "directory in the place of a file": lambda place: place.instead(os.mkdir),
    "directory with a file in the place of a file": lambda place: place.instead(lambda path: (path / "x").mkdir(parents=True)),
    "link to a device": lambda place: place.instead(lambda path: path.symlink_to("/dev/zero")),
    "directory that all may write to": open_to_all,
    "directory that is a link": linked,
    "no base directory": lambda place: (shutil.rmtree(place.base), place.base.touch()),
}
AS_ROOT = {"directory of another user": of_another_user}


# which a cache without checks does not survive
UNCHECKED = "planted pickle with a wrong digest", "short", "swapped with another"


def refuse(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def full(name):
    def start():
        setattr(os, name, refuse)
        forked.compute()

    return start


def read_only():
    """As somebody who may write nowhere, and has no home."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    for name in ("FASTBP_CACHE_DIR", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    os.environ["HOME"] = "/nonexistent/home"
    forked.compute()


def only_readable(place):
    place.base.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(place.directory, NOBODY, NOBODY)
    place.directory.chmod(0o500)


def read_without_a_word():
    """As somebody who may only read, all that is needed being there."""
    if os.geteuid() == 0:
        os.chown(os.environ["FASTBP_CACHE_DIR"], NOBODY, NOBODY)
        for file in Path(os.environ["FASTBP_CACHE_DIR"]).rglob("*.bin"):
            os.chown(file, NOBODY, NOBODY)
        os.setuid(NOBODY)
    warnings.simplefilter("error")
    DiskCache.save_overload = refuse
    forked.compute()


# what a start itself meets, with a cache in which the entry is not
STARTS = {"full disk when a file is synced": full("fsync"), "full disk when it is renamed": full("replace")}
STARTS |= {"full disk when a directory is made": full("mkdir"), "read-only, and no home": read_only}


def survived(model, fault, start=forked.compute):
    """Whether a start after a fault is right and ran nothing planted, and so is the next."""
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root), model)
        fault(place)
        statuses = [forked.ended(forked.start(start)), forked.ended(forked.start(forked.compute))]
        return statuses == [0, 0] and not place.marker.exists()


def on_a_cold_cache(count, way):
    """Starts at once that failed, of how many."""
    with tempfile.TemporaryDirectory() as root:
        os.environ["FASTBP_CACHE_DIR"] = str(Path(root, "cache"))
        if way == "fork":
            statuses = [forked.ended(child) for child in [forked.start(forked.compute) for _ in range(count)]]
        else:
            children = [subprocess.Popen([sys.executable, __file__, "--start"]) for _ in range(count)]
            statuses = [child.wait() for child in children]
        files = [path for path in Path(root).rglob("*") if path.is_file()]
        return sum(status != 0 for status in statuses) + (len(files) != 1), count


def take_protection_away():
    """Read whatever is there, wherever it is."""

    def load(self, sig, target_context):
        path = next(Path(os.environ["FASTBP_CACHE_DIR"]).glob(f"*/{self.name}.bin"), None)
        if path is None:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(path.read_bytes()[START + 32 :]))

    DiskCache.load_overload = load


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two fresh interpreters at once, not eight")
    parser.add_argument("--start", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start:
        forked.compute()
        return 0
    if not hasattr(os, "fork"):
        print("faults of the cache: needs fork")
        return 0
    warnings.simplefilter("ignore", RuntimeWarning)  # what is told is a matter of the tests
    os.environ["FASTBP_CACHE"] = "0"
    forked.compute_other()  # so that forks find the compiler loaded
    os.environ["FASTBP_CACHE"] = "1"
    failed, starts = on_a_cold_cache(8, "fork")
    more = on_a_cold_cache(2 if arguments.quick else 8, "fresh")
    failed, starts = failed + more[0], starts + more[1]
    with tempfile.TemporaryDirectory() as model:
        os.environ["FASTBP_CACHE_DIR"] = model
        for function in (forked.compute, forked.compute_other):
            assert forked.ended(forked.start(function)) == 0
        faults = FAULTS | (AS_ROOT if os.geteuid() == 0 else {})
        results = {name: survived(model, fault) for name, fault in faults.items()}
        for name, start in STARTS.items():
            results[name] = survived(model, lambda place: shutil.rmtree(place.base), start)
        results["read-only, and all that is needed is there"] = survived(model, only_readable, read_without_a_word)
        take_protection_away()
        unchecked = sum(survived(model, FAULTS[name]) for name in UNCHECKED)
    for name in (name for name, is_right in results.items() if not is_right):
        print(f"not survived: {name}")
    print(
        f"{sum(results.values())}/{len(results)} faults of the cache survived, nothing planted run; {failed} of {starts} starts at"
        f" once on a cold cache failed; control: without checks {unchecked} of {len(UNCHECKED)} are survived"
    )
    return 1 if failed or not all(results.values()) or unchecked else 0


if __name__ == "__main__":
    raise SystemExit(main())
