"""A hundred random SIGKILLs of processes that write machine code: the next start is right, and no damaged file is met.

At most one temporary file is left after the next start. The control is a cache that writes in place and checks nothing, as Numba's:
some next start must fail.
"""

import argparse
import os
import pickle
import random
import signal
import tempfile
import time
import warnings
from pathlib import Path

import forked
from numba.core.compiler import CompileResult

from fastbp import storage
from fastbp.compiler.cache import DiskCache

MOST_WAIT = 0.01  # seconds between the begin of the first write and the kill


def write_for_ever(begun):
    """Compile, send a byte when the file begins to be written, and write it again and again."""
    replace = storage.replace

    def again(*arguments):
        os.write(begun, b"x")
        while True:
            replace(*arguments)

    storage.replace = again
    forked.compute()


def begin_again():
    """The next start, for which a damaged file would be a warning."""
    warnings.simplefilter("error")
    forked.compute()


def kills(count, until_fault=False):
    """(next starts that failed, most temporary files after one, kills in the middle of a write)."""
    failed = most = amid = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FASTBP_CACHE_DIR"] = str(Path(folder, "cache"))
        for _ in range(count):
            for file in Path(folder).rglob("*.bin"):
                file.unlink()
            reading, writing = os.pipe()
            child = forked.start(write_for_ever, writing)
            os.close(writing)
            os.read(reading, 1)
            time.sleep(random.uniform(0.0, MOST_WAIT))
            os.kill(child, signal.SIGKILL)
            forked.ended(child)
            os.close(reading)
            amid += len(forked.temporary_files(folder)) > 0
            failed += forked.ended(forked.start(begin_again)) != 0
            most = max(most, len(forked.temporary_files(folder)))
            if until_fault and failed:
                break
    return failed, most, amid


def take_protection_away():
    """Write in place, with no digest of the content; read without a check."""

    def write(path, *parts):
        with open(path, "wb", buffering=0) as file:
            for part in parts:
                file.write(part[: len(part) // 2])
                file.write(part[len(part) // 2 :])

    def load(self, sig, target_context):
        path = next(Path(os.environ["FASTBP_CACHE_DIR"]).rglob(f"{self.name}.bin"), None)
        if path is None:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(path.read_bytes()[len(self.MAGIC) + 32 :]))

    storage.replace, DiskCache.load_overload = write, load


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 kills")
    count = 10 if parser.parse_args().quick else 100
    if not hasattr(os, "fork"):
        print("kills during writes of the cache: needs fork")
        return 0
    random.seed(0)
    os.environ["FASTBP_CACHE"] = "0"
    forked.compute_other()  # so that forks find the compiler loaded
    os.environ["FASTBP_CACHE"] = "1"
    failed, most, amid = kills(count)
    take_protection_away()
    seen = kills(1000, until_fault=True)[0]
    print(
        f"{failed} next starts failed, at most {most} temporary file in {count} kills during writes of the cache, {amid} in the"
        f" middle of one; control: a cache without protection {'fails' if seen else 'DOES NOT FAIL'}"
    )
    return 1 if failed or most > 1 or not amid or not seen else 0


if __name__ == "__main__":
    raise SystemExit(main())
