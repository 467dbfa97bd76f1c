"""Where machine code is kept: a private directory for each environment, and what is done with those that are no longer used.

Environment: ``FASTBP_CACHE_DIR`` moves the cache, ``FASTBP_CACHE=0`` switches it off.
"""

import hashlib
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from math import inf
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import config

from fastbp.compiler.modules import add_this_module
from fastbp.compiler.tier import TIER, compiler

add_this_module()

SUFFIX = ".bin"
DAY = 86400.0
UNUSED = 30 * DAY  # seconds, after which machine code that no process has asked for is removed
ADVICE = "set FASTBP_CACHE_DIR to a directory that only you can write to, or FASTBP_CACHE=0 to do without"


class Unusable(Exception):
    """Why machine code cannot be kept."""


@cache
def environment_key() -> str:
    """Hash of all that machine code depends on beside what it is compiled from: the tier, versions, flags, target CPU."""
    names = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
    flags = [(name, repr(getattr(config, name))) for name in names]
    versions = [sys.version, *(library.__version__ for library in (numba, llvmlite, np))]
    return hashlib.sha256(repr((TIER, flags, versions, compiler.processor())).encode()).hexdigest()[:24]


def is_switched_off() -> bool:
    """Whether the user wants nothing to be kept."""
    return os.environ.get("FASTBP_CACHE", "1") == "0"


def base_directory() -> Path:
    """Where the directories of all environments are.

    Raises
    ------
    Unusable
        If there is no such place.
    """
    chosen = os.environ.get("FASTBP_CACHE_DIR")  # if that is empty, it is not set
    if not chosen:
        home = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME") or "~/.cache"
        chosen = os.path.join(home, "fastbp")
    try:
        return Path(chosen).expanduser()
    except RuntimeError as error:
        raise Unusable("there is no home directory") from error


def usable_directory() -> Path:
    """The directory of this environment, made if need be. It may yet be one that can only be read.

    Raises
    ------
    Unusable
        If there is none that can be trusted.
    """
    directory = base_directory() / environment_key()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        refusal = _refusal(directory)
    except OSError as error:
        raise Unusable(f"{directory} cannot be made: {error.strerror}") from error
    if refusal:
        raise Unusable(f"{directory} {refusal}")
    return directory


def _refusal(path: Path) -> str:
    """What is wrong with a directory into which only this user may write, for the files in it are run."""
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode):
        return "is a link"
    if hasattr(os, "geteuid") and state.st_uid != os.geteuid():
        return "belongs to another user"
    return "can be written to by other users" if os.name != "nt" and state.st_mode & 0o022 else ""


def cache_directory() -> Path | None:
    """Directory of kernels compiled in this environment, made if need be; None if there is none, or none that can be trusted."""
    try:
        return None if is_switched_off() else usable_directory()
    except Unusable:
        return None


def cache_trouble() -> str:
    """Why kernels are not kept, "" if they are."""
    from fastbp import storage  # machine code does not depend on it

    if is_switched_off():
        return "FASTBP_CACHE=0 is set"
    try:
        storage.check_writable(usable_directory() / f"kernel{SUFFIX}")
    except Unusable as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def cache_directories() -> list[Path]:
    """Those of all environments; what others have put beside them, or could have, is not among them."""
    found = []
    with suppress(OSError, Unusable):
        for path in sorted(base_directory().iterdir()):
            with suppress(OSError):
                if re.fullmatch("[0-9a-f]{24}", path.name) and not _refusal(path):
                    found.append(path)
    return found


def stored_kernels(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Files of machine code in a directory."""
    with suppress(OSError):
        for path in directory.iterdir():
            with suppress(OSError):
                state = path.lstat()
                if path.suffix == SUFFIX and stat.S_ISREG(state.st_mode):
                    yield path, state


def mark_used(path: Path, state: os.stat_result) -> None:
    """Note that a file is used, at most once a day."""
    if time.time() - state.st_mtime > DAY:
        with suppress(OSError):
            os.utime(path)


@cache
def tidy() -> None:
    """Once a process: remove machine code that has not been used for a month, and what killed writers have left."""
    oldest = time.time() - UNUSED
    for directory in cache_directories():
        with suppress(OSError):
            is_old = directory.stat().st_mtime < oldest
            remove_kernels(directory, oldest)
            if is_old:
                directory.rmdir()  # an error if there is more in it


def remove_kernels(directory: Path, oldest: float = inf) -> list[int]:
    """Remove those last used before a time, in seconds of the epoch, by default all, and temporary files; their sizes in bytes."""
    from fastbp import storage  # machine code does not depend on it

    removed = []
    storage.remove_abandoned(directory)
    for path, state in stored_kernels(directory):
        if state.st_mtime < oldest:
            path.unlink(missing_ok=True)
            removed.append(state.st_size)
    return removed
