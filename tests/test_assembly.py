"""The machine code of the inner loops: as many fused multiply-adds as the textbook counts, nothing spilled, nothing called.

The tiles are compiled alone, for this machine and, in other processes, for processors it is not.
"""

import os
import pickle
import re
import struct
import subprocess
import sys

import llvmlite.binding as llvm
import pytest

from fastbp.compiler import cache_directory
from fastbp.compiler.cache import DiskCache
from fastbp.compiler.tier import TIER
from fastbp.kernels.train import run, run_narrow
from fastbp.kernels.tuning import SIDE_BY_SIDE
from fastbp.simd.tile_product import steps_in_turn

# LLVM 20 and 21 leave the roots of negative numbers to the library, which notes that there are none, and unroll a loop less
OLDER = llvm.llvm_version_info < (22,)
linked_only = pytest.mark.skipif(TIER == "plain", reason="in the plain tier parts are compiled one by one, with Numba's runtime")

SCRIPT = r"""
import sys
import llvmlite.binding as llvm
from numba import types
from numba.core.registry import cpu_target
from fastbp.compiler.linker import all_parts, linked, optimise
from fastbp.kernels.products import gemm
from fastbp.simd import register
from fastbp.kernels.sparse import first_layer as sparse
from fastbp.kernels.tuning import SIDE_BY_SIDE

dtype, triple, cpu = sys.argv[1:]
rows, pointer, integer = register.tile_rows(), types.CPointer(getattr(types, dtype)), types.int64
strip, outer, sums = gemm._strip(rows, 2), gemm._outer(rows, 2), sparse._sums(SIDE_BY_SIDE)
panels = types.NamedTuple((pointer, integer), gemm.Panels)
ends = types.NamedTuple((integer, pointer, integer, pointer), gemm.Ends)
entries = types.NamedTuple((pointer, *[types.CPointer(types.int32)] * 3), sparse.Entries)
strip.compile((panels, integer, pointer, pointer, integer, ends, integer, integer))
outer.compile((pointer, pointer, integer, pointer, integer, ends))
sums.compile((entries, integer, integer, panels, panels, ends))
module = linked(all_parts([f.overloads[f.signatures[0]].library for f in (strip, outer, sums)]))
machine = cpu_target.target_context.codegen()._tm
if triple != "host":
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    module.triple, module.data_layout = triple, str(machine.target_data)
optimise(module, machine)
print(machine.emit_assembly(module))
print(rows, register.lanes(getattr(types, dtype)))
"""


def assembly(dtype, triple, cpu, environment):
    """(assembly, rows of the tile, lanes) of the two tile loops."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, dtype, triple, cpu],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, last = run.stdout.splitlines()
    rows, lanes = last.split()
    return lines, int(rows), int(lanes)


def inner_loops(lines, multiply_add):
    """Basic blocks that a jump leads back to, as lists of instructions, of those that hold multiply-adds."""
    blocks, loops, label = {}, {}, ""
    for line in lines:
        start = re.match(r"^(\.?L\w+):", line)
        if start:
            label = start.group(1)
            blocks[label] = []
        elif label and line.startswith("\t") and not line.startswith("\t."):
            blocks[label].append(line.strip())
            jump = re.match(r"\t(?:j\w+|b\.\w+|cbn?z|tbn?z)\s.*?(\.?L\w+)$", line)
            if jump and jump.group(1) in blocks:
                loops[jump.group(1)] = blocks[jump.group(1)]
    return [block for block in loops.values() if count(block, multiply_add)]


def count(block, pattern):
    return sum(bool(re.match(pattern, instruction)) for instruction in block)


X86 = r"vfmadd\d+p[sd]\s"
TARGETS = {
    "this machine": ({}, "host", "", X86, r"\[?%?[xyz]mm\d+.*\(%rsp\)|.*\(%rsp\).*%[xyz]mm"),
    "AVX2": (
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
        "host",
        "",
        X86,
        r".*\(%rsp\).*%ymm|.*%ymm.*\(%rsp\)",
    ),
    "AVX-512": (
        {"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": "+avx512f"},
        "host",
        "",
        X86,
        r".*\(%rsp\).*%zmm|.*%zmm.*\(%rsp\)",
    ),
    "NEON": (
        {"NUMBA_CPU_NAME": "generic"},
        "aarch64-unknown-linux-gnu",
        "neoverse-n1",
        r"fmla\s",
        r"(?:ldr|str|ldp|stp)\s+q.*\[sp",
    ),
}


@pytest.mark.skipif(not re.search("x86|AMD64", os.uname().machine if hasattr(os, "uname") else ""), reason="names x86 targets")
@linked_only
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inner_loops_are_multiply_adds_and_loads(target, dtype):
    environment, triple, cpu, multiply_add, spill = TARGETS[target]
    lines, rows, lanes = assembly(dtype, triple, cpu, environment)
    expected = {"AVX2": 32, "AVX-512": 64, "NEON": 16}.get(target)
    if expected:
        assert lanes * (4 if dtype == "float32" else 8) == expected
    loops = inner_loops(lines, multiply_add)
    steps = steps_in_turn(rows * 2, lanes)
    main = [loop for loop in loops if count(loop, multiply_add) == steps * rows * 2]
    if not OLDER or len(main) != 1:
        assert len(main) == 2, "one loop of each product takes several steps in a turn"
    sums = 2 * SIDE_BY_SIDE  # of sparse samples, a register of each half of a panel
    assert sums in [count(loop, multiply_add) for loop in loops]
    for loop in loops:
        multiply_adds = count(loop, multiply_add)
        assert multiply_adds in (sums, rows * 2, steps * rows * 2), "one multiply-add a step for each register of the tile"
        assert count(loop, spill) == 0, "a register of the tile went to the stack"
        assert not any("call" in instruction for instruction in loop)
        # loads, splats, two pointers, a counter and a jump; of sparse sums the addresses of the panels
        assert len(loop) <= multiply_adds * 2 + (8 + SIDE_BY_SIDE if multiply_adds == sums else 8)
    text = "\n".join(lines)
    assert not re.search(r"call\w*\s.*fmaf?\b|\bbl\s+fmaf?\b", text)
    if dtype == "float32":
        assert "cvtss2sd" not in text
        assert "cvtps2pd" not in text


def test_a_spill_would_be_seen():
    loop = ["vfmadd231ps\t%ymm1, %ymm2, %ymm3", "vmovups\t%ymm3, 32(%rsp)"]
    assert count(loop, TARGETS["AVX2"][4]) == 1


# what Numba's wrapper of an entry needs to take its arguments, give its result back, and let go of the interpreter meanwhile
WRAPPER = {"numba_adapt_ndarray", "numba_runtime_build_excinfo_struct", "numba_unpickle", "numba_do_raise"}


def undefined_symbols(machine_code):
    """Names of all that an object file in ELF's 64-bit format calls and does not hold."""
    sections = {section.name(): section.data() for section in llvm.ObjectFileRef.from_data(machine_code).sections()}
    names = sections[b".strtab"]
    entries = struct.iter_unpack("<IBBHQQ", sections[b".symtab"])
    return {names[start : names.index(b"\0", start)].decode() for start, _, _, section, _, _ in entries if start and not section}


@linked_only
@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
@pytest.mark.parametrize("entry", [run, pytest.param(run_narrow, marks=pytest.mark.slow)], ids=["run", "run_narrow"])
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_an_entry_calls_nothing_but_the_scheduler_and_the_clock(entry, dtype):
    """No allocator, no libm, no interpreter: what runs between two calls from Python is in the machine code itself."""
    assert entry[dtype]
    paths = list(cache_directory().glob(f"{entry.function.__name__}_{dtype}*-????????????.bin"))
    assert paths
    for path in paths:  # of every level that has been compiled
        (_, kind, (machine_code, _)), *_, needed = pickle.loads(path.read_bytes()[len(DiskCache.MAGIC) + 32 :])
        assert all("fastbp" in each.env_name for each in needed)  # nothing of whoever had something else compiled
        assert kind == "object"
        called = undefined_symbols(machine_code)
        assert ("sched_yield" in called) == (entry is run)  # narrow networks have one thread
        own = {name for name in called if not name.startswith(("Py", "_Py"))} - WRAPPER
        assert own <= {"sched_yield", "clock_gettime", "memset", "memcpy", "memmove"} | ({"sqrt"} if OLDER else set())
