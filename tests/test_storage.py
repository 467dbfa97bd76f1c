"""Files that are replaced: whole at any moment, of the same mode, nothing left behind, and streams left what they are."""

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastbp import storage

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes, FIFOs and locks of POSIX")
NAME = "net.fastbp"


@pytest.fixture
def path(tmp_path):
    storage.replace(tmp_path / NAME, b"old")
    return tmp_path / NAME


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def left(directory):
    return sorted(os.listdir(directory))


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_parts_are_written_one_after_the_other(path, kind):
    storage.replace(kind(path), b"ab", bytearray(b"cd"), memoryview(b"ef"))
    assert path.read_bytes() == b"abcdef"
    storage.replace(kind(path))
    assert path.read_bytes() == b""
    assert left(path.parent) == [NAME]


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o664, 0o755])
def test_permissions_are_kept(path, bits):
    path.chmod(bits)
    storage.replace(path, b"new")
    assert (mode(path), path.read_bytes()) == (bits, b"new")


@pytest.mark.parametrize(("umask", "bits"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_of_any(tmp_path, umask, bits):
    before = os.umask(umask)
    try:
        storage.replace(tmp_path / NAME, b"new")
    finally:
        os.umask(before)
    assert mode(tmp_path / NAME) == bits


def test_the_content_is_never_readable_by_more_than_before(path, monkeypatch):
    """Nor is that of the temporary file, while it is written."""
    path.chmod(0o600)
    seen, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (seen.extend(mode(each) for each in path.parent.iterdir()), sync(file)))
    storage.replace(path, b"new")
    assert seen[:2] == [0o600, 0o600]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_root_leaves_a_file_to_its_owner(path):
    os.chown(path, 65534, 65534)
    storage.replace(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def test_links_are_followed(path, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, dangling = tmp_path / "elsewhere" / "link", tmp_path / "elsewhere" / "dangling"
    link.symlink_to(path)
    dangling.symlink_to(tmp_path / "new")
    for each in (link, dangling):
        storage.check_writable(each)
        storage.replace(each, b"new")
        assert each.is_symlink()
        assert each.read_bytes() == b"new"
    assert left(tmp_path) == ["elsewhere", NAME, "new"]
    assert left(tmp_path / "elsewhere") == ["dangling", "link"]


# --- streams -----------------------------------------------------------------------------------------------------------------


def test_a_device_is_written_to(tmp_path):
    state = os.stat("/dev/null")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("/dev/null", tmp_path / "link"):
        storage.check_writable(name)
        storage.replace(name, b"new")
    after = os.stat("/dev/null")
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_mode) == (state.st_ino, state.st_mode)


def test_a_fifo_is_written_to(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    storage.check_writable(fifo)  # which does not wait for a reader
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    storage.replace(fifo, b"a", b"b")
    reader.join()
    assert read == [b"ab"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


TO_STDOUT = """
import sys
from fastbp import storage

print("before", flush=True)
storage.check_writable(sys.argv[1])
storage.replace(sys.argv[1], b"content\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["pipe", "file"])
def test_standard_output_is_written_to(tmp_path, name, into):
    if not os.path.exists(name):
        pytest.skip(f"no {name}")
    command = [sys.executable, "-c", TO_STDOUT, name]
    if into == "pipe":
        text = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    else:
        with open(tmp_path / "out", "wb") as file:
            subprocess.run(command, stdout=file, check=True)
        text = (tmp_path / "out").read_bytes()
        assert left(tmp_path) == ["out"]
    assert text == b"before\ncontent\nafter\n"


# --- what cannot be written --------------------------------------------------------------------------------------------------


def refusals(path, error):
    """Both functions raise it, and it names the path."""
    for attempt in (storage.check_writable, lambda path: storage.replace(path, b"new")):
        with pytest.raises(error) as told:
            attempt(path)
        assert told.value.filename == str(path)
        assert "tmp" not in str(told.value).replace(str(path), "")


def test_no_directory_no_file(tmp_path, path):
    refusals(tmp_path / "absent" / NAME, FileNotFoundError)
    refusals(path / NAME, NotADirectoryError)
    refusals(tmp_path, IsADirectoryError)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links"):
        storage.check_writable(tmp_path / "a")
    assert left(tmp_path) == ["a", "b", NAME]


@contextmanager
def nobody():
    """A directory of somebody who is not root, and be that one."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        storage.replace(directory / NAME, b"old")
        is_root = os.geteuid() == 0
        if is_root:
            for each in (directory, directory / NAME):
                os.chown(each, 65534, 65534)
            os.seteuid(65534)
        try:
            yield directory
        finally:
            if is_root:
                os.seteuid(0)
            directory.chmod(0o700)


def test_a_file_that_may_not_be_written():
    with nobody() as directory:
        (directory / NAME).chmod(0o400)
        refusals(directory / NAME, PermissionError)
        assert (directory / NAME).read_bytes() == b"old"
        assert left(directory) == [NAME]


def test_a_directory_that_may_not_be_written():
    with nobody() as directory:
        directory.chmod(0o500)
        for name in (NAME, "new"):
            refusals(directory / name, PermissionError)
        assert left(directory) == [NAME]


def test_a_directory_that_may_be_written_and_not_read():
    with nobody() as directory:
        directory.chmod(0o300)
        storage.check_writable(directory / NAME)
        storage.replace(directory / NAME, b"new")
        assert (directory / NAME).read_bytes() == b"new"


def test_a_check_changes_nothing(path):
    before = path.stat()
    storage.check_writable(path)
    storage.check_writable(path.with_name("new"))
    assert path.stat() == before
    assert left(path.parent) == [NAME]


@pytest.mark.parametrize("function", ["fsync", "replace", "fchmod"])
def test_what_fails_leaves_the_old_file(path, monkeypatch, function):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="No space left") as told:
        storage.replace(path, b"new")
    assert told.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert left(path.parent) == [NAME]


def test_an_interrupt_leaves_the_old_file(path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert left(path.parent) == [NAME]


@pytest.mark.parametrize(("code", "is_told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_directories(path, monkeypatch, code, is_told):
    sync = os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    if is_told:
        with pytest.raises(OSError, match="Input/output"):
            storage.replace(path, b"new")
    else:
        storage.replace(path, b"new")
    assert path.read_bytes() == b"new"


# --- what killed writers leave -----------------------------------------------------------------------------------------------

KILLED = """
import os, sys
from fastbp import storage

os.replace = lambda *args: os.kill(os.getpid(), 9)
storage.replace(sys.argv[1], b"never")
"""


def kill_a_writer(path):
    done = subprocess.run([sys.executable, "-c", KILLED, path])
    assert done.returncode == -signal.SIGKILL


def test_the_next_writer_removes_what_a_killed_one_left(path):
    for _ in range(2):
        kill_a_writer(path)
        assert len(left(path.parent)) == 2  # and not 3
    others = [f".{NAME}.0123.tmp", f".{NAME}.0123456789abcdef.txt", ".other.0123456789abcdef.tmp", "0123456789abcdef.tmp"]
    for each in others:
        (path.parent / each).touch()
    storage.replace(path, b"new")
    assert left(path.parent) == sorted([NAME, *others])


def test_what_stands_in_the_place_of_a_temporary_file_is_left_alone(path):
    os.mkfifo(path.with_name(f".{NAME}.{'0' * 16}.tmp"))
    path.with_name(f".{NAME}.{'1' * 16}.tmp").mkdir()
    path.with_name(f".{NAME}.{'2' * 16}.tmp").symlink_to(path)
    storage.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert len(left(path.parent)) == 4


@pytest.fixture(params=["locks", "no locks"])
def locks(request, monkeypatch):
    if request.param == "no locks":
        monkeypatch.setattr(storage, "fcntl", None)
    return request.param == "locks"


def test_writers_at_work_are_left_alone(path, monkeypatch, locks):
    """Also those of the same process."""
    is_at_work, may_end, sync = threading.Event(), threading.Event(), os.fsync

    def wait(descriptor):
        if threading.current_thread() is writer and not may_end.is_set():
            is_at_work.set()
            assert may_end.wait(60)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", wait)
    writer = threading.Thread(target=storage.replace, args=(path, b"slow"))
    writer.start()
    assert is_at_work.wait(60)
    storage.replace(path, b"quick")
    storage.check_writable(path)
    assert len(left(path.parent)) == 2
    assert path.read_bytes() == b"quick"
    may_end.set()
    writer.join()
    assert path.read_bytes() == b"slow"
    assert left(path.parent) == [NAME]


def test_without_locks_age_tells(path, monkeypatch):
    monkeypatch.setattr(storage, "fcntl", None)
    old, new = (path.with_name(f".{NAME}.{digit * 16}.tmp") for digit in "01")
    for each in (old, new):
        each.touch()
    hour_ago = time.time() - storage.ABANDONED - 1
    os.utime(old, (hour_ago, hour_ago))
    storage.replace(path, b"new")
    assert left(path.parent) == sorted([NAME, new.name])


def test_a_file_that_was_taken_for_abandoned_is_made_again(path, monkeypatch):
    """Between its making and its lock."""
    lock, removed = storage.fcntl.flock, []

    def late(file, kind):
        if not removed and not kind & storage.fcntl.LOCK_NB:
            removed.extend(path.parent.glob("*.tmp"))
            for each in path.parent.glob(".*.tmp"):
                removed.append(each)
                storage._remove_if_abandoned(each)
        lock(file, kind)

    monkeypatch.setattr(storage.fcntl, "flock", late)
    storage.replace(path, b"new")
    assert removed
    assert path.read_bytes() == b"new"
    assert left(path.parent) == [NAME]


def test_a_file_system_without_locks(path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(storage.fcntl, "flock", refuse)
    (path.with_name(f".{NAME}.{'0' * 16}.tmp")).touch()
    storage.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert len(left(path.parent)) == 2  # whose it is cannot be told


def test_threads_that_save_at_once(path):
    failures = []

    def save(text):
        try:
            for _ in range(30):
                storage.replace(path, text * 1000)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=save, args=(bytes([65 + i]),)) for i in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert len(set(path.read_bytes())) == 1
    assert left(path.parent) == [NAME]


@pytest.mark.parametrize("links", [True, False])
def test_a_second_name_where_there_are_links_and_where_not(path, monkeypatch, links):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    other = path.with_name("older")
    other.write_bytes(b"oldest")
    storage.name_also(path, other)
    storage.replace(path, b"new")
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"old")
    assert left(path.parent) == [NAME, "older"]


def test_an_error_without_a_number_is_told_as_it_is(path, monkeypatch):
    def refuse(_):
        raise OSError("in words")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=r"^in words$"):
        storage.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert left(path.parent) == [NAME]
