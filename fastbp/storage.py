"""Files that are never half written: new content beside the old one, synced, and renamed into its place.

Who is killed while writing leaves a temporary file, and the next writer of the same name removes it. That it is nobody's is known
by a lock, which ends with the process that held it; where there are no such locks (Windows), by its age.
"""

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
ABANDONED = 3600.0  # seconds without a write, where nothing else tells that a temporary file is nobody's


def replace(path: AnyPath, *parts: bytes | bytearray | memoryview) -> None:
    """Give a file new content so that, whatever happens meanwhile, it holds all of the old or all of the new.

    The permissions of a file that is there are kept, and links are followed. What is no regular file (a device, a FIFO, a
    descriptor such as /dev/stdout) is written to as it is.

    Parameters
    ----------
    path : str, bytes or path
    *parts : bytes-like
        The content, one after the other.

    Raises
    ------
    OSError
        Naming `path`, if it cannot be written; what was there before is still there.
    """
    name = os.fsdecode(path)
    with _errors_name(name):
        before = _state(name)
        if _is_stream(name, before):
            with _stream(name) as file:
                file.writelines(parts)
            return
        target = Path(os.path.realpath(name))
        remove_abandoned(target.parent, target.name)
        with _temporary(target, before) as (temporary, file):
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows renames no open file; elsewhere the lock is held until it has its name
            os.replace(temporary, target)
        _sync_directory(target.parent)


def check_writable(path: AnyPath) -> None:
    """Raise the OSError that `replace` would raise, disks that fill up aside; nothing is changed.

    Parameters
    ----------
    path : str, bytes or path
    """
    name = os.fsdecode(path)
    with _errors_name(name):
        before = _state(name)
        if not _is_stream(name, before):
            with _temporary(Path(os.path.realpath(name)), before):
                pass


def name_also(path: AnyPath, other: AnyPath) -> None:
    """Give a file a second name, replacing what has that; where a file system has no such links, a copy of the file.

    Parameters
    ----------
    path, other : str, bytes or path
    """
    target = Path(os.fsdecode(other))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        try:
            os.link(path, temporary)
        except OSError:
            replace(target, Path(os.fsdecode(path)).read_bytes())
        else:
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)  # a second name of one file is not replaced by the other


def remove_abandoned(directory: Path, name: str | None = None) -> None:
    """Remove the temporary files of writers that were killed: of the file of that name, by default of all."""
    ours = re.compile(rf"\.{'.+' if name is None else re.escape(name)}\.[0-9a-f]{{16}}\.tmp")
    with suppress(PermissionError):  # a directory that may be written need not be readable
        for each in os.listdir(directory):
            if ours.fullmatch(each):
                with suppress(OSError):  # another is faster, or it is of another user
                    _remove_if_abandoned(directory / each)


def _remove_if_abandoned(temporary: Path) -> None:
    if fcntl is None:
        if time.time() - temporary.stat().st_mtime > ABANDONED:
            temporary.unlink()  # which Windows refuses while it is open
        return
    descriptor = os.open(temporary, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink()
    finally:
        os.close(descriptor)


@contextmanager
def _temporary(target: Path, before: os.stat_result | None) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file beside `target`, and its name, which is removed if it is still there at the end."""
    temporary, file = _locked(target, 0o666 if before is None else 0o600)
    try:
        with file:
            if before is not None and os.name != "nt":
                with suppress(OSError):  # only root gives files away
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), before.st_mode & 0o777)
            yield temporary, file
    finally:
        temporary.unlink(missing_ok=True)


def _locked(target: Path, mode: int) -> tuple[Path, BinaryIO]:
    """A new temporary file that no other writer takes for abandoned."""
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        file = open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
        if fcntl is None:
            return temporary, file
        with suppress(OSError):  # a file system without locks, where nobody can take it for abandoned either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # or another took it for abandoned before it was locked
            return temporary, file
        file.close()


def _state(name: str) -> os.stat_result | None:
    """What is there, None if nothing is.

    Raises
    ------
    OSError
        If it may not be written.
    """
    try:
        state = os.stat(name)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(name, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return state


def _descriptor(name: str) -> int | None:
    """The descriptor of this process that a name stands for."""
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/([0-9]{1,9})", name)
    return int(found[1]) if found else STANDARD.get(name)


def _is_stream(name: str, state: os.stat_result | None) -> bool:
    return state is not None and (not stat.S_ISREG(state.st_mode) or _descriptor(name) is not None)


def _stream(name: str) -> BinaryIO:
    descriptor = _descriptor(name)
    # opened anew, a file that is written to from its middle would begin again
    return open(name if descriptor is None else os.dup(descriptor), "wb")


def _sync_directory(directory: Path) -> None:
    """Let the new name outlast a loss of power."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:  # one that may be written but not read; the file is complete all the same
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _errors_name(name: str) -> Iterator[None]:
    """Errors are about the file that was asked for, not about the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, name) from error
