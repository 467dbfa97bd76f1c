"""What threads that run one kernel together share: an integer in memory, and the core they wait on."""

import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.compiler.modules import add_this_module

add_this_module()


@intrinsic
def fetch_add(typingctx, counter, value):
    """Add to an integer that threads share; the value before."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", args[0], args[1], "acq_rel")

    return types.int64(counter, types.int64), codegen


@intrinsic
def load_shared(typingctx, counter):
    """Read an integer that other threads write."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(args[0], "acquire", 8)

    return types.int64(counter), codegen


@intrinsic
def relax(typingctx):
    """Tell the core that this is a spin loop, where it has an instruction for that."""

    def codegen(context, builder, signature, args):
        triple = builder.module.triple
        if triple.startswith(("x86_64", "i386", "i686")):
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
