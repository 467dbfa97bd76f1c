"""A disk cache of machine code that can be trusted.

Numba's own does not see edits in other files or of flags, and a damaged file in it is an error for ever. Entries (the functions
that Python calls) are therefore cached here: one file an entry, named by a digest of what it is compiled from
(`fastbp.compiler.key`), in a private directory named by the tier, versions, flags and the target CPU; a file carries the digest of
its content and is compiled anew if that is wrong.

Environment: ``FASTBP_CACHE_DIR`` moves the cache, ``FASTBP_CACHE=0`` switches it off.
"""

import hashlib
import os
import pickle
import stat
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import config, serialize
from numba.core.compiler import CompileResult

from fastbp.compiler.modules import add_this_module
from fastbp.compiler.tier import TIER, compiler

add_this_module()


@cache
def environment_key() -> str:
    """Hash of all that machine code depends on beside what it is compiled from: the tier, versions, flags, target CPU."""
    names = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
    flags = [(name, repr(getattr(config, name))) for name in names]
    versions = [sys.version, *(library.__version__ for library in (numba, llvmlite, np))]
    return hashlib.sha256(repr((TIER, flags, versions, compiler.processor())).encode()).hexdigest()[:24]


def _is_private(path: Path) -> bool:
    """Whether only this user may write into a directory: the files in it are run."""
    state = path.lstat()
    mine = not hasattr(os, "geteuid") or state.st_uid == os.geteuid()
    return stat.S_ISDIR(state.st_mode) and mine and (os.name == "nt" or not state.st_mode & 0o022)


def cache_directory() -> Path | None:
    """Directory of kernels compiled in this environment, made if need be; None if there is none that can be trusted or written."""
    if os.environ.get("FASTBP_CACHE", "1") == "0":
        return None
    base = os.environ.get("FASTBP_CACHE_DIR")
    if base is None:
        base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME") or "~/.cache"
        base = Path(base, "fastbp")
    try:
        directory = Path(base).expanduser() / environment_key()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (_is_private(directory) and os.access(directory, os.W_OK)):
            return None
        return directory
    except (OSError, RuntimeError):
        return None


class DiskCache:
    """What a Numba dispatcher asks for and gives its machine code to: one checked file."""

    MAGIC = b"fastbp machine code\n"

    def __init__(self, name: str):
        self.name = name

    def _digest(self, content: bytes) -> bytes:
        # with the name: a file in the place of another is damage too
        return hashlib.sha256(self.name.encode() + b"\0" + content).digest()

    def _path(self) -> Path | None:
        directory = cache_directory()
        return directory / f"{self.name}.bin" if directory else None

    def exists(self) -> bool:
        """Whether there is such a file; it may yet be damaged."""
        path = self._path()
        return path is not None and path.exists()

    def load_overload(self, sig, target_context):
        """The stored compile result, or None."""
        path = self._path()
        try:
            blob = path.read_bytes() if path else None
        except OSError:
            return None
        if blob is None:
            return None
        start = len(self.MAGIC) + 32
        if blob[:start] != self.MAGIC + self._digest(blob[start:]):
            warnings.warn(f"{path} is damaged; compiling again", RuntimeWarning, stacklevel=2)
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(blob[start:]))

    def save_overload(self, sig, result):
        """Store a compile result; without a usable directory this does nothing."""
        path = self._path()
        if path is None:
            return
        content = serialize.dumps(result._reduce())
        name = None
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                name = file.name
                file.write(self.MAGIC + self._digest(content) + content)
            os.replace(name, path)
        except OSError:
            if name is not None:
                Path(name).unlink(missing_ok=True)
