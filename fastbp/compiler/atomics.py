"""What threads that run one kernel together share: integers in memory, the core they wait on, and the time."""

import ctypes
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.compiler.modules import add_this_module

add_this_module()

CLOCK_MONOTONIC, CLOCK_UPTIME_RAW = 1, 8  # of Linux and of macOS


@intrinsic
def fetch_add(typingctx, counter, value):
    """Add to an integer that threads share; the value before."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", args[0], args[1], "acq_rel")

    return types.int64(counter, types.int64), codegen


@intrinsic
def exchange(typingctx, counter, value):
    """Write an integer that threads share; the value before. What was written before another thread's `store_shared` is seen."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("xchg", args[0], args[1], "acquire")

    return types.int64(counter, types.int64), codegen


@intrinsic
def load_shared(typingctx, counter):
    """Read an integer that other threads write."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(args[0], "acquire", 8)

    return types.int64(counter), codegen


@intrinsic
def store_shared(typingctx, counter, value):
    """Write an integer that other threads read: whoever sees it sees all that was written before."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], args[0], "release", 8)
        return context.get_dummy_value()

    return types.void(counter, types.int64), codegen


@intrinsic
def relax(typingctx):
    """Tell the core that this is a spin loop, where it has an instruction for that."""

    def codegen(context, builder, signature, args):
        triple = builder.module.triple
        if triple.startswith(("x86_64", "i386", "i686")):  # pragma: no branch - processors of one kind are measured
            pause = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, pause, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def give_way(typingctx):
    """Let another thread have this core."""

    def codegen(context, builder, signature, args):
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        function = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function, name), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def stack_address(typingctx):
    """Where the stack of this thread is at the moment: about the same number in all its calls, and another in other threads."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(cgutils.alloca_once(builder, ir.IntType(64)), ir.IntType(64))

    return types.int64(), codegen


def _call_with_place(builder, name, words, *before):
    """Call a function of the system that writes so many integers; these."""
    word = ir.IntType(64 if sys.platform == "win32" else 8 * ctypes.sizeof(ctypes.c_long))
    place = cgutils.alloca_once(builder, word, words)
    function = ir.FunctionType(ir.IntType(32), [each.type for each in before] + [place.type])
    builder.call(cgutils.get_or_insert_function(builder.module, function, name), [*before, place])
    values = [builder.load(builder.gep(place, [ir.Constant(ir.IntType(32), i)])) for i in range(words)]
    return [value if word.width == 64 else builder.sext(value, ir.IntType(64)) for value in values]


@intrinsic
def clock(typingctx):
    """Nanoseconds on the clock of `time.perf_counter_ns`."""

    def codegen(context, builder, signature, args):
        second = ir.Constant(ir.IntType(64), 10**9)
        if sys.platform == "win32":
            (ticks,) = _call_with_place(builder, "QueryPerformanceCounter", 1)
            (rate,) = _call_with_place(builder, "QueryPerformanceFrequency", 1)
            seconds, rest = builder.sdiv(ticks, rate), builder.srem(ticks, rate)
            nanoseconds = builder.sdiv(builder.mul(rest, second), rate)
        else:
            number = ir.Constant(ir.IntType(32), CLOCK_UPTIME_RAW if sys.platform == "darwin" else CLOCK_MONOTONIC)
            seconds, nanoseconds = _call_with_place(builder, "clock_gettime", 2, number)
        return builder.add(builder.mul(seconds, second), nanoseconds)

    return types.int64(), codegen
