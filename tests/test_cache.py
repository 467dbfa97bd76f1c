"""Machine code on disk: found again, never run if anything is wrong with it, and what is no longer used removed."""

import errno
import os
import pkgutil
import socket
import stat
import subprocess
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numba import types

import fastbp
import fastbp.kernels
from fastbp import storage
from fastbp.compiler import Entry, cache_directory, choose, kernel, notices
from fastbp.compiler import directory as directory_
from fastbp.compiler.cache import DiskCache
from fastbp.engine.orders import epoch_order
from fastbp.simd import pointer

PACKAGE = Path(fastbp.__file__).parent


@kernel
def _double(x):
    return 2 * x


def _twice(x):
    numbers = pointer(x)
    for i in range(x.size):
        numbers[i] = _double(numbers[i])


class Probe:
    """A small entry, made anew each time as a new process would, and a count of its compiles."""

    def __init__(self, monkeypatch):
        self.compiles = 0
        save = DiskCache.save_overload

        def counted(cache, *args):
            self.compiles += 1
            return save(cache, *args)

        monkeypatch.setattr(DiskCache, "save_overload", counted)

    def __call__(self):
        x = np.arange(3.0)
        Entry(_twice, lambda dtype: types.void(dtype[::1]))["float64"](x)
        np.testing.assert_array_equal(x, [0, 2, 4])
        return self.compiles


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache directory of this test's own, in a process that has not warned yet."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(notices, "_once", set())
    directory_.tidy.cache_clear()
    return tmp_path / "cache"


KEPT = r"compiled kernels cannot be kept.*{}.*FASTBP_CACHE_DIR.*FASTBP_CACHE=0"


def warns(reason):
    return pytest.warns(RuntimeWarning, match=KEPT.format(reason))


@pytest.fixture
def probe(cache, monkeypatch):
    return Probe(monkeypatch)


def stored(cache):
    (path,) = (path for path in cache.rglob("*") if path.is_file())
    return path


def test_the_second_time_nothing_is_compiled(cache, probe):
    assert probe() == 1
    assert probe() == 1
    path = stored(cache)
    assert path.parent == cache_directory()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 or os.name == "nt"


def test_another_process_compiles_nothing(cache):
    """In a second process the compiler is replaced by one that fails."""
    code = (
        "import sys\n"
        "from fastbp.engine.orders import epoch_order\n"
        "if sys.argv[1] == 'warm':\n"
        "    import fastbp.compiler.linker\n"
        "    def fail(*args): raise AssertionError('compiled')\n"
        "    fastbp.compiler.linker.CompilerBase.compile_extra = fail\n"
        "print(*epoch_order(3, 1, 6))\n"
    )
    orders = [
        subprocess.run([sys.executable, "-c", code, state], capture_output=True, text=True, cwd=PACKAGE.parent)
        for state in ("cold", "warm")
    ]
    for done in orders:
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(row) for row in epoch_order(3, 1, 6)]
    stored(cache).unlink()
    refused = subprocess.run([sys.executable, "-c", code, "warm"], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert "compiled" in refused.stderr  # the replaced compiler is the one that is used


def flipped(blob, position):
    return blob[:position] + bytes([blob[position] ^ 1]) + blob[position + 1 :]


DAMAGE = {
    "empty": lambda blob: b"",
    "one byte": lambda blob: blob[:1],
    "half": lambda blob: blob[: len(blob) // 2],
    "one byte short": lambda blob: blob[:-1],
    "one byte more": lambda blob: blob + b"\0",
    "garbage": lambda blob: b"\x93" * len(blob),
    "first bit": lambda blob: flipped(blob, 0),
    "digest": lambda blob: flipped(blob, len(DiskCache.MAGIC) + 5),
    "start of the content": lambda blob: flipped(blob, len(DiskCache.MAGIC) + 32),
    "middle": lambda blob: flipped(blob, len(blob) // 2),
    "last bit": lambda blob: flipped(blob, len(blob) - 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_replaced_with_a_warning(cache, probe, damage):
    probe()
    path = stored(cache)
    good = path.read_bytes()
    path.write_bytes(DAMAGE[damage](good))
    with pytest.warns(RuntimeWarning, match="damaged") as told:
        assert probe() == 2
    assert [each.filename for each in told] == [__file__]  # the caller outside the package
    assert probe() == 2  # repaired
    assert stored(cache).read_bytes()[:8] == good[:8]


def test_a_damaged_file_is_replaced_where_warnings_are_errors(cache, probe):
    probe()
    stored(cache).write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        entry = Entry(_twice, lambda dtype: types.void(dtype[::1]))
        with pytest.raises(RuntimeWarning, match="damaged"):
            entry["float64"]
        entry["float64"](np.arange(3.0))  # at hand
        assert probe() == 2
    assert notices._untold == []


OTHERS = {
    "a FIFO": os.mkfifo if hasattr(os, "mkfifo") else None,
    "a directory": os.mkdir,
    "a link": lambda path: path.symlink_to(os.devnull),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a socket": lambda path: socket.socket(socket.AF_UNIX).bind(os.path.relpath(path)),
}


@pytest.mark.skipif(os.name == "nt", reason="files of POSIX")
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_is_no_file_is_replaced(cache, probe, other, monkeypatch):
    probe()
    path = stored(cache)
    path.unlink()
    monkeypatch.chdir(path.parent)  # names of sockets are short
    OTHERS[other](path)
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert probe() == 2
    assert probe() == 2
    assert stat.S_ISREG(path.lstat().st_mode)


def test_a_directory_with_something_in_the_place_of_a_file(cache, probe):
    probe()
    path = stored(cache)
    path.unlink()
    (path / "mine").mkdir(parents=True)
    with warns("not empty"), pytest.warns(RuntimeWarning, match="damaged"):
        assert probe() == 2
    assert (path / "mine").is_dir()


def test_a_file_of_another_environment_is_not_run(cache, probe, monkeypatch):
    probe()
    content, name = stored(cache).read_bytes(), stored(cache).name
    key = "0" * 24
    for module in ("cache", "directory"):
        monkeypatch.setattr(f"fastbp.compiler.{module}.environment_key", lambda: key)
    path = cache_directory() / name
    assert path.parent.name == key
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert probe() == 2
    assert path.read_bytes() != content


def test_a_file_of_another_entry_is_not_run(cache, probe):
    """What is stored under a name is that entry's code, or is compiled again."""
    probe()
    path = stored(cache)
    x = np.arange(3.0)
    Entry(_other, lambda dtype: types.void(dtype[::1]))["float64"](x)
    (other,) = set(path.parent.iterdir()) - {path}
    path.write_bytes(other.read_bytes())
    x = np.arange(3.0)
    with pytest.warns(RuntimeWarning, match="damaged"):
        Entry(_twice, lambda dtype: types.void(dtype[::1]))["float64"](x)
    np.testing.assert_array_equal(x, [0, 2, 4])


def _other(x):
    numbers = pointer(x)
    for i in range(x.size):
        numbers[i] += 100.0


def test_switched_off(cache, probe, monkeypatch):
    monkeypatch.setenv("FASTBP_CACHE", "0")
    assert cache_directory() is None
    assert [probe(), probe()] == [1, 2]
    assert not cache.exists()


def test_a_directory_that_cannot_be_made(tmp_path, probe, monkeypatch):
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert cache_directory() is None
    with warns("cannot be made: Not a directory") as told:
        assert [probe(), probe()] == [1, 2]
    assert [each.filename for each in told] == [__file__]  # once in a process


def test_a_directory_that_cannot_be_written(cache, probe, monkeypatch):
    """What is in it is read, without a word."""
    assert probe() == 1

    def refuse(path, *parts):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(storage, "replace", refuse)
    assert probe() == 1
    stored(cache).unlink()
    with warns("Read-only file system"):
        assert probe() == 2


def test_an_empty_name_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTBP_CACHE_DIR", "")
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache_directory().parent == tmp_path / "home" / "fastbp"
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", "")
    monkeypatch.setenv("USERPROFILE" if os.name == "nt" else "HOME", str(tmp_path / "user"))
    assert cache_directory().parent == tmp_path / "user" / ".cache" / "fastbp"
    assert sorted(os.listdir(tmp_path)) == ["home", "user"]


def test_no_home(monkeypatch, probe):
    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FASTBP_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", nobody)
    assert cache_directory() is None
    with warns("no home"):
        assert probe() == 1


@pytest.mark.parametrize("fault", ["replace", "fsync"])
def test_a_full_disk(cache, probe, monkeypatch, fault):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, fault, full)
    with warns("No space left"):
        assert probe() == 1
    monkeypatch.undo()
    assert [path for path in cache.rglob("*") if path.is_file()] == []  # nothing half-written is left behind


# --- which entries are kept --------------------------------------------------------------------------------------------------


def entries():
    for module in pkgutil.walk_packages(fastbp.kernels.__path__, "fastbp.kernels."):
        for name, value in vars(import_module(module.name)).items():
            if isinstance(value, Entry):
                yield f"{module.name}.{name}", value


def test_every_entry_is_kept():
    found = dict(entries())
    assert {"fastbp.kernels.train.run", "fastbp.kernels.accuracy.count_right"} <= found.keys()
    choice = choose(())
    assert [name for name, each in found.items() if each._stored("float32", choice) is None] == []


# --- what is no longer used --------------------------------------------------------------------------------------------------

OLD = time.time() - directory_.UNUSED - 60.0


def aged(path):
    os.utime(path, (OLD, OLD))
    return path


@pytest.fixture
def others(cache):
    """Directories of other environments: a name, and whether they have been used lately."""
    cache.mkdir(mode=0o700)
    made = {name: cache / (name[0] * 24) for name in ("a used", "b old", "c half old", "d old, and with a file of somebody's")}
    for path in made.values():
        path.mkdir(mode=0o700)
        for kernels in ("one.bin", "two.bin"):
            (path / kernels).touch()
    return made


def test_kernels_that_have_not_been_used_for_a_month_are_removed(cache, probe, others):
    used, old, half, mixed = others.values()
    (mixed / "notes.txt").touch()
    for path in (old / "one.bin", old / "two.bin", half / "one.bin", mixed / "one.bin", mixed / "two.bin", old, mixed):
        aged(path)
    probe()
    assert sorted(path.name for path in used.iterdir()) == ["one.bin", "two.bin"]
    assert not old.exists()
    assert [path.name for path in half.iterdir()] == ["two.bin"]
    assert [path.name for path in mixed.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")
def test_what_is_not_ours_is_left_alone(cache, probe, tmp_path, others, monkeypatch):
    kept = [cache / name for name in ("revisions", "A" * 24, "e" * 23, "f" * 25)]
    kept += [others["a used"], tmp_path / "elsewhere"]
    for path in kept[:-2]:
        path.mkdir(mode=0o700)
    kept[-2].chmod(0o770)
    kept[-1].mkdir(mode=0o700)
    (cache / ("9" * 24)).symlink_to(kept[-1])
    for path in kept:
        (path / "one.bin").touch()
        aged(path / "one.bin")
        aged(path)
    old = others["b old"]
    aged(old / "one.bin")
    probe()
    assert [path for path in kept if not (path / "one.bin").exists()] == []
    assert not (old / "one.bin").exists()  # the others would have been seen


def test_kernels_that_are_used_are_marked_once_a_day(cache, probe):
    probe()
    path = stored(cache)
    aged(path)
    probe()
    marked = path.stat().st_mtime
    assert marked > OLD + directory_.UNUSED
    hour_ago = marked - 3600.0
    os.utime(path, (hour_ago, hour_ago))
    assert probe() == 1
    assert path.stat().st_mtime == pytest.approx(hour_ago)


def test_what_killed_writers_left_is_removed(cache, probe):
    cache_directory()
    path = cache_directory() / ".another-entry.bin.0123456789abcdef.tmp"
    path.touch()
    probe()
    assert not path.exists()
    assert stored(cache)


def test_tidying_is_done_once_a_process(cache, probe, others):
    probe()
    path = others["b old"] / "one.bin"
    aged(path)
    next(cache_directory().iterdir()).unlink()
    assert probe() == 2
    assert path.exists()


# --- whom a directory is trusted to ------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_is_not_used(cache, probe, mode):
    probe()
    directory = cache_directory()
    directory.chmod(mode)
    assert cache_directory() is None
    with warns("can be written to by other users"):
        assert probe() == 2  # compiled, not read
    directory.chmod(0o755)
    assert cache_directory() == directory


@pytest.mark.skipif(os.name == "nt", reason="symbolic links of POSIX")
def test_a_link_is_not_used(cache, probe, tmp_path):
    directory = cache_directory()
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    assert cache_directory() is None
    with warns("is a link"):
        assert probe() == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners of POSIX")
def test_a_directory_of_somebody_else_is_not_used(cache, probe, monkeypatch):
    assert cache_directory() is not None
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    assert cache_directory() is None
    with warns("belongs to another user"):
        assert probe() == 1
