"""Operators on types of our own."""

from numba.core import types, typing
from numba.core.typing import templates
from numba.extending import lower_builtin

from fastbp.compiler.modules import add_this_module

add_this_module()


def lowered(symbol, result):
    """Decorator: emit code for an operator on the types for which ``result(*types)`` is not None.

    Numba's `overload` would compile a function for each combination of types; this emits the instructions in place.
    """

    def register(codegen):
        class Operator(templates.AbstractTemplate):
            key = symbol

            def generic(self, args, kws):
                args = tuple(types.unliteral(arg) for arg in args)
                value = result(*args)
                if value is None:
                    return None
                lower_builtin(symbol, *args)(codegen)
                return typing.signature(value, *args)

        templates.infer_global(symbol)(Operator)
        return codegen

    return register
