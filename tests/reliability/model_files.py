"""Model files that are damaged or hostile: each is a `ModelFormatError`, or a network that is saved and loaded to equal bytes.

Every bit flip and every truncation of a file of about 1 kB; the control is a reader without the checksum, which takes some of them.
Then a fuzzer, whose files have the right lengths and checksum, so that it gets to what is behind them: mutants of headers and data
by a seeded generator, or, with `--atheris`, by libFuzzer, led by the branches that they take (if atheris is installed). No file may
take more than a second, nor much more memory than there is of it.
"""

import argparse
import hashlib
import io
import json
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import fastbp
from fastbp.files import model_file
from fastbp.files.model_file import ModelFormatError, read_header

HEAD = struct.Struct("<8sIIQ")
GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.fastbp"))
MOST_SECONDS, MOST_MEMORY = 1.0, 50e6  # of one file; of all, beyond the start
NOTE = {"note": "about a kilobyte"}
DEEPER = 10_000  # frames for writing what was read in as few as there are


def saved(net, extra=None):
    """The bytes of a network's file."""
    file = io.BytesIO()
    net.save(file, extra)
    return file.getvalue()


def parts(content):
    """Version, header and data of a file of right lengths."""
    _, version, n_header, n_data = HEAD.unpack_from(content)
    end = HEAD.size + n_header
    return version, content[HEAD.size : end], content[end : end + n_data]


def sealed(version, header, data):
    """A file with the right lengths and checksum, whatever it holds."""
    content = HEAD.pack(model_file.MAGIC, version, len(header), len(data)) + header + data
    return content + hashlib.sha256(content).digest()


def is_refused(content):
    """Whether a file is no model; if it is one, it must be written as it was read."""
    try:
        net, header = fastbp.load(io.BytesIO(content)), read_header(io.BytesIO(content))
    except ModelFormatError:
        return True
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPER)
    try:
        once = saved(net, header["extra"])
        twice = saved(fastbp.load(io.BytesIO(once)), read_header(io.BytesIO(once))["extra"])
    finally:
        sys.setrecursionlimit(limit)
    assert once == twice, "saved, loaded and saved, it is another"
    assert parts(once)[2] == parts(content)[2], "other parameters"
    return False


# --- damage ------------------------------------------------------------------------------------------------------------------


def damaged(content):
    """Every bit flip, and every truncation."""
    flipped = bytearray(content)
    for i in range(len(content)):
        for bit in range(8):
            flipped[i] ^= 1 << bit
            yield bytes(flipped)
            flipped[i] ^= 1 << bit
    for length in range(len(content)):
        yield content[:length]


def refused(contents):
    """How many files of several are refused, of how many."""
    results = [is_refused(content) for content in contents]
    return sum(results), len(results)


class Constant:
    """A checksum that is always right."""

    def __init__(self, content=b""):
        pass

    def update(self, content):
        pass

    def digest(self):
        return bytes(32)


# --- the fuzzer --------------------------------------------------------------------------------------------------------------

NUMBERS = [0, 1, -1, 2, 0.5, 1e-300, 1e300, 5e-324, 2**31, 2**63, -(2**63), 10**400, 1000, 1e-50]
WORDS = ["", "relu", "softmax", "os.system", "é", "\ud800", "float32", "float64", "mean", "x" * 1000, "name", "parameters", "alpha"]
WORDS += [*fastbp.activations.ACTIVATIONS.names, *fastbp.losses.LOSSES.names, *model_file.HEADER_KEYS]
TOKENS = [b"null", b"NaN", b"-Infinity", b"1e999", b"{", b"}", b'"', b"\\u0000", b"\xff", b","]
TOKENS += [b"[" * 900, b'{"a":' * 900, b"9" * 5000]


def strange(rng):
    """Any value of JSON."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 5:
        return rng.choice(WORDS)
    if kind == 5:
        return rng.choice([None, True, False])
    if kind == 6:
        return [strange(rng) for _ in range(rng.randrange(4))]
    return {rng.choice(WORDS): strange(rng) for _ in range(rng.randrange(4))}


def changed(rng, value):
    """A value with one of its parts changed, left out, repeated, or put in."""
    if rng.random() < 0.3 or not isinstance(value, dict | list) or not value:
        return strange(rng)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key, copy, way = rng.choice(keys), value.copy(), rng.randrange(8)
    if way == 0:
        del copy[key]
    elif way == 1 and isinstance(copy, list):
        copy.insert(key, copy[rng.randrange(len(copy))])
    elif way == 1:
        copy[rng.choice(WORDS)] = strange(rng)
    else:
        copy[key] = changed(rng, copy[key])
    return copy


def mutant(rng, seeds):
    """A hostile file."""
    version, header, data = parts(rng.choice(seeds))
    for _ in range(rng.randrange(1, 4)):
        way = rng.randrange(10)
        if way < 6:
            try:
                header = json.dumps(changed(rng, json.loads(header))).encode()
            except (ValueError, RecursionError):
                way = 6
        if way == 6:
            place = rng.randrange(len(header) + 1)
            header = header[:place] + rng.choice(TOKENS) + header[place + rng.randrange(3) :]
        elif way == 7:
            place = rng.randrange(len(header) + 1)
            header = header[:place] + rng.randbytes(1) + header[place + 1 :]
        elif way == 8:
            data = data[: rng.randrange(len(data) + 1)] if rng.random() < 0.5 else data + rng.randbytes(rng.randrange(9))
        elif way == 9 and rng.random() < 0.3:
            version = rng.choice([0, 1, 2, model_file.VERSION, model_file.VERSION + 1, 2**32 - 1])
    content = sealed(version, header, data)
    if rng.random() < 0.05:  # lengths that ask for more than there is
        content = (
            HEAD.pack(model_file.MAGIC, version, rng.choice([0, 2**32 - 1]), rng.choice([0, 2**62, 2**64 - 1]))
            + content[HEAD.size :]
        )
    return content


def grown(before):
    """Bytes of memory beyond those before."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


class Fuzzer:
    """Counts of what became of files."""

    def __init__(self, most_memory=MOST_MEMORY):
        self.most_memory = most_memory
        self.executions = self.accepted = 0
        self.slowest = 0.0
        self.faults = []
        self.before = grown(0)

    def __call__(self, content):
        self.executions += 1
        begin = time.perf_counter()
        try:
            self.accepted += not is_refused(content)
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error} for {content!r}"[:2000])
        # of this process: others may keep it waiting
        seconds = time.perf_counter() - begin
        if seconds > MOST_SECONDS:
            begin = time.process_time()
            is_refused(content)
            seconds = time.process_time() - begin
        self.slowest = max(self.slowest, seconds)

    def report(self):
        """Whether all went well, and the figures."""
        memory = grown(self.before)
        for fault in self.faults[:10]:
            print(fault)
        is_right = (
            not self.faults and self.slowest <= MOST_SECONDS and memory <= self.most_memory and 0 < self.accepted < self.executions
        )
        return is_right, (
            f"{len(self.faults)} faults in {self.executions} hostile files, {self.accepted} of them networks that are saved and"
            f" loaded to equal bytes, at most {1000 * self.slowest:.0f} ms and {memory / 1e6:.0f} MB for one"
        )


def fuzz(executions):
    """Mutants by a seeded generator."""
    rng, seeds, fuzzer = random.Random(0), [path.read_bytes() for path in GOLDEN], Fuzzer()
    for content in seeds:
        fuzzer(content)
    while fuzzer.executions < executions:
        fuzzer(mutant(rng, seeds))
    return fuzzer.report()


def fuzz_by_libfuzzer(executions):
    """Mutants by libFuzzer, in a process of its own, which ends there."""
    import atheris

    from fastbp import network

    for module in (model_file, network):
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", None) == module.__name__ and hasattr(value, "__code__"):
                setattr(module, name, atheris.instrument_func(value))
    fuzzer, folder = Fuzzer(most_memory=512e6), Path(tempfile.mkdtemp())  # of which libFuzzer takes a part

    def one(content):
        """Version, header and data, with a zero byte between the last two; or a file as it is."""
        header, _, data = content[1:].partition(b"\0")
        fuzzer(content if content[:1] == model_file.MAGIC[:1] else sealed(content[0] if content else 0, header, data))
        if fuzzer.executions >= executions:
            is_right, figures = fuzzer.report()
            print(f"libFuzzer: {figures}", flush=True)
            shutil.rmtree(folder)
            os._exit(not is_right)

    corpus, dictionary = folder / "corpus", folder / "words"
    corpus.mkdir()
    for path in GOLDEN:
        version, header, data = parts(path.read_bytes())
        (corpus / path.stem).write_bytes(bytes([version]) + header + b"\0" + data)
        (corpus / path.name).write_bytes(path.read_bytes())
    dictionary.write_text("".join(f'"\\"{word}\\""\n' for word in WORDS if word.isascii() and word))
    options = [f"-dict={dictionary}", "-max_len=8192", "-timeout=10", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 000 hostile files")
    parser.add_argument("--executions", type=int, default=1_000_000, help="hostile files (default: %(default)s)")
    parser.add_argument("--atheris", action="store_true", help="of libFuzzer, and nothing else")
    arguments = parser.parse_args()
    if arguments.atheris:
        return fuzz_by_libfuzzer(arguments.executions)
    net = fastbp.Network([9, 12, 6], hidden="tanh", loss="cross_entropy", rng=0)
    found, of = refused(damaged(saved(net, NOTE)))
    with mock.patch.object(model_file.hashlib, "sha256", Constant):
        unsealed, _ = refused(damaged(saved(net, NOTE)))
    is_right, figures = fuzz(3_000 if arguments.quick else arguments.executions)
    print(f"{found} of {of} damaged files refused (without the checksum {unsealed}); {figures}")
    return 0 if found == of > unsealed and is_right else 1


if __name__ == "__main__":
    raise SystemExit(main())
