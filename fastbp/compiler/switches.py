"""Calls that depend on a code, or on what an entry is compiled for: typed anew when the choice of classes changes."""

import inspect

from llvmlite.ir import Constant
from numba.core import cgutils, types, typing
from numba.extending import intrinsic

from fastbp.compiler.choice import Choice, Level, switches
from fastbp.compiler.modules import add_this_module
from fastbp.compiler.parts import kernel
from fastbp.compiler.tier import compiler

add_this_module()


def switch_over(registry, build):
    """A `switch` over ``build(cls)`` for the classes of a registry, those registered later included."""
    built = {}

    def functions():
        for cls in Choice.current.classes(registry):
            if cls not in built:
                built[cls] = build(cls)
            yield built[cls]

    def refuse(i, error):
        compiler.refused[Choice.current.classes(registry)[i]] = error

    return switch(functions, refuse)


def known_codes(registry):
    """A function ``()`` for use in kernels: how many classes of a registry there are, whose codes are the numbers below that."""

    def choose(typingctx):
        count = len(Choice.current.classes(registry))
        return types.int64(), lambda context, builder, signature, args: context.get_constant(types.int64, count)

    return _chooser(choose, [])


def switch(functions, refuse=lambda i, error: None):
    """A function ``(code, *args)`` for use in kernels that calls ``functions[code](*args)``: one jump, which can be cached.

    All functions take the same types and return the same type. For a code out of range none is called, and the result is 0.
    `functions` is a list, or gives one when called; ``refuse(i, error)`` is told which one cannot be compiled.
    """
    listed = functions if callable(functions) else lambda: functions

    def choose(typingctx, code, *args):
        plain = tuple(types.unliteral(arg) for arg in args)
        callees = [typingctx.resolve_value_type(function) for function in listed()]
        signatures = []
        for i, callee in enumerate(callees):
            try:
                signatures.append(callee.get_call_type(typingctx, plain, {}))
            except Exception as error:
                refuse(i, error)
                raise
        result = signatures[0].return_type

        def codegen(context, builder, signature, values):
            outcome = cgutils.alloca_once_value(builder, Constant(context.get_value_type(result), None))
            done = builder.append_basic_block("chosen")
            branches = [builder.append_basic_block(f"choice.{i}") for i in range(len(callees))]
            jump = builder.switch(values[0], done)
            for i, (callee, callee_signature) in enumerate(zip(callees, signatures, strict=True)):
                jump.add_case(values[0].type(i), branches[i])
                builder.position_at_end(branches[i])
                implementation = context.get_function(callee, callee_signature)
                context.add_linking_libs(getattr(implementation, "libs", ()))
                builder.store(implementation(builder, values[1:]), outcome)
                builder.branch(done)
            builder.position_at_end(done)
            return builder.load(outcome)

        return typing.signature(result, types.int64, *plain), codegen

    return _chooser(choose, ["code", *inspect.signature(next(iter(listed())).py_func).parameters])


def _from(level):
    """Decorator: a kernel without a result, which entries of this level and above call; in others its calls are nothing."""

    def decorate(function):
        dispatcher = kernel(function)

        def choose(typingctx, *args):
            plain = tuple(types.unliteral(arg) for arg in args)
            is_called = Choice.current.level >= level
            callee = typingctx.resolve_value_type(dispatcher)
            signature = callee.get_call_type(typingctx, plain, {}) if is_called else None

            def codegen(context, builder, _, values):
                if is_called:
                    implementation = context.get_function(callee, signature)
                    context.add_linking_libs(getattr(implementation, "libs", ()))
                    implementation(builder, values)
                return context.get_dummy_value()

            return types.void(*plain), codegen

        return _chooser(choose, list(inspect.signature(function).parameters))

    return decorate


when_sparse, when_extended, when_tabular = map(_from, (Level.SPARSE, Level.EXTENDED, Level.TABULAR))


def _chooser(choose, parameters):
    """The intrinsic ``choose(typingctx, *parameters)``, typed anew when the choice of classes changes."""
    # Numba folds arguments by the signature, which must not have a star
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    choose.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in ("typingctx", *parameters)])
    chooser = intrinsic(choose)
    switches.append(chooser)
    return chooser
