"""A disk cache of machine code that can be trusted.

Numba's own does not see edits in other files or of flags, and a damaged file in it is an error for ever. Entries (the functions
that Python calls) are therefore cached here: one file an entry, named by a digest of what it is compiled from
(`fastbp.compiler.key`), in a private directory of the environment (`fastbp.compiler.directory`); a file carries the digest of its
content and of its place, and is compiled anew if that is wrong.
"""

import hashlib
import os
import pickle
import stat
from pathlib import Path

from numba.core import serialize
from numba.core.compiler import CompileResult

from fastbp.compiler.directory import (
    ADVICE,
    SUFFIX,
    Unusable,
    cache_directory,
    environment_key,
    is_switched_off,
    mark_used,
    tidy,
    usable_directory,
)
from fastbp.compiler.modules import add_this_module
from fastbp.compiler.notices import note

add_this_module()

kept_by_this_process: list[str] = []  # names of kernels


class DiskCache:
    """What a Numba dispatcher asks for and gives its machine code to: one checked file."""

    MAGIC = b"fastbp machine code\n"

    def __init__(self, name: str):
        self.name = name

    def _digest(self, content: bytes) -> bytes:
        # with the place: a file of another entry or environment is damage too
        return hashlib.sha256(f"{environment_key()}/{self.name}\0".encode() + content).digest()

    def _path(self, directory: Path) -> Path:
        return directory / f"{self.name}{SUFFIX}"

    def exists(self) -> bool:
        """Whether there is such a file; it may yet be damaged."""
        directory = cache_directory()
        return directory is not None and self._path(directory).is_file()

    def load_overload(self, sig, target_context):
        """The stored compile result, or None."""
        directory = cache_directory()
        if directory is None:
            return None
        path = self._path(directory)
        try:
            blob, state = _read(path)
        except FileNotFoundError:
            return None
        except OSError:
            blob, state = b"", None
        start = len(self.MAGIC) + 32
        if blob[:start] != self.MAGIC + self._digest(blob[start:]):
            note(f"{path} was damaged; it has been compiled again")
            return None
        mark_used(path, state)
        return CompileResult._rebuild(target_context, *pickle.loads(blob[start:]))

    def save_overload(self, sig, result):
        """Store a compile result; without a usable directory this does nothing, and says so once."""
        from fastbp import storage  # machine code does not depend on it

        if is_switched_off():
            return
        try:
            path = self._path(usable_directory())
            content = serialize.dumps(result._reduce())
            _remove_unless_file(path)
            storage.replace(path, self.MAGIC, self._digest(content), content)
            kept_by_this_process.append(self.name)
        except (Unusable, OSError) as error:
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
            note(f"compiled kernels cannot be kept, and each process compiles them anew: {reason}; {ADVICE}", "kept")
        else:
            tidy()


def _read(path):
    """Content and state of a regular file; what waits for a writer, or is a link, is an error."""
    more = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW"))
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | more)) as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError(f"{path} is no file")
        return file.read(), state


def _remove_unless_file(path):
    """Make room for a file: what else is there is not ours, and would be written into."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        path.rmdir()
    elif not stat.S_ISREG(mode):
        path.unlink()
