"""The decorators of kernels."""

from fastbp.compiler.modules import add_this_module
from fastbp.compiler.tier import compiler

add_this_module()


def inline(function):
    """Compile a helper that is always inlined: vector formulas, address arithmetic."""
    add_this_module()  # the one that it stands in is in the key of the machine code
    return compiler.part(function, inlined=True)


def kernel(function):
    """Compile a function called from other kernels: a loop nest with a name of its own."""
    add_this_module()
    return compiler.part(function, inlined=False)
