"""Compile each function once: Numba functions become parts, and an entry links all of its parts before anything is optimised.

Numba optimises and emits every function by itself, with a copy of all that it calls: in a call tree seven deep the innermost loop
is compiled eight times. A part is only lowered; the entry gathers the whole tree, marks everything but itself as internal (so that
LLVM may inline what is called once and drop what is not called) and runs LLVM once.
"""

import re
from collections import Counter
from functools import cache

import llvmlite.binding as llvm
from numba.core import types
from numba.core.codegen import CodeLibrary, JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from fastbp.compiler import plain
from fastbp.compiler.modules import add_this_module

add_this_module()

MANGLED, ENVIRONMENT = "_ZN", "_ZN08NumbaEnv"  # how names of functions begin, and those of their environments
FAILURE = re.compile(r"ret i32 (?!0\n)")


def all_parts(libraries):
    """Libraries and all that they call, each once."""
    parts, waiting = {}, list(libraries)
    while waiting:
        library = waiting.pop()
        if library not in parts:
            parts[library] = None
            waiting.extend(library._linking_libraries)
    return list(parts)


def optimise(module, machine):
    """Run LLVM's passes for a target machine over a module.

    The vectors are explicit already: LLVM's vectorisers and unrolling would only swell the scalar loops of the edges.
    """
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


class _QuietCodegen:
    """The code generator of a part: its functions are never called from Python, so they get no environment."""

    def __init__(self, codegen):
        self._codegen = codegen

    def __getattr__(self, name):
        return getattr(self._codegen, name)

    def set_env(self, env_name, env):
        """Nothing to set: the part is not in memory."""


@cache
def _shared(codegen):
    """The module that all functions are lowered into: what several of them declare is declared once."""
    return codegen._create_empty_module("fastbp")


def _declare(function):
    """Leave of a function what other functions need to call it."""
    function.blocks.clear()
    function.linkage = ""


class _LoweredLibrary(JITCodeLibrary):
    """Code of one function as text; in the shared module it is only declared."""

    may_raise = False  # whether a path ends with a code that is not that of success

    def create_ir_module(self, name):
        """The shared module."""
        self.functions = {}
        shared = _shared(self._codegen)
        for function in shared.functions:
            _declare(function)  # half of one, where lowering was broken off: by Ctrl-C, say
        return shared

    def add_ir_module(self, module):
        """Keep the text of what has just been lowered."""
        if module is not _shared(self._codegen):  # the wrapper of an entry
            super().add_ir_module(module)
            return
        for function in module.functions:
            if function.blocks:
                text = self.functions[function.name] = str(function)
                self.may_raise |= FAILURE.search(text) is not None
                _declare(function)


class PartLibrary(_LoweredLibrary):
    """Code of one function, neither parsed nor optimised nor emitted."""

    def __init__(self, codegen, name):
        CodeLibrary.__init__(self, codegen, name)
        self._linking_libraries = []

    @property
    def codegen(self):
        """The code generator."""
        return _QuietCodegen(self._codegen)

    def finalize(self):
        """Close the library; linking is left to the entry."""
        self._finalized = True

    def get_pointer_to_function(self, name):
        """0: there is no machine code."""
        self._ensure_finalized()
        return 0


def _attribute(text, mentions):
    """What LLVM's inlining is to know of a function that is mentioned so many times, its definition included."""
    if mentions == 2 and "switch i64" not in text:
        # LLVM would inline what is called once, too, but optimise it before: once for each level of the calls above it. Not what
        # chooses: the choice would be made one with the test before it, and that a jump through a table.
        return " alwaysinline"
    # unrolled, a loop is larger than it looks
    return " noinline" if mentions != 2 and "!llvm.loop" in text else ""


def linked(libraries):
    """LLVM's module of all functions in libraries, with what LLVM's inlining is to know of them."""
    lowered = [library for library in libraries if isinstance(library, _LoweredLibrary)]
    functions = {name: text for library in lowered for name, text in library.functions.items()}
    shared = _shared(lowered[0]._codegen)
    texts = {name: functions.get(name) or str(value) for name, value in shared.globals.items()}
    mentions = Counter(re.findall(r'@"([^"]*)"', "\n".join(texts.values())))
    for name in functions:
        # in the text: as LLVM's value, older versions of llvmlite take it for one of what is returned
        texts[name] = texts[name].replace("\n{", f"{_attribute(texts[name], mentions[name])}\n{{", 1)
    text = "\n".join([f'target triple = "{shared.triple}"', *texts.values(), *map(str, shared.metadata)])
    module = llvm.parse_assembly(text)
    for library in libraries:
        if library not in lowered:
            module.link_in(library._get_module_for_linking(), preserve=True)
    return module


class EntryLibrary(_LoweredLibrary):
    """Code of a function that Python calls, with all parts that it reaches."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self):
        """Link every part once, keep only the entry's own functions visible, optimise, emit."""
        self._raise_if_finalized()
        module = linked([self, *all_parts(self._linking_libraries)])
        final = self._final_module
        own = {value.name for value in (*final.functions, *final.global_variables)}
        # a wrapper for C does not mention the environment, which Numba sets for each function that has a wrapper
        own |= {ENVIRONMENT + name.removeprefix(MANGLED) for name in own}
        module.data_layout = self._codegen._data_layout
        final.link_in(module)
        for value in (*final.functions, *final.global_variables):
            if not value.is_declaration and value.name not in own:
                value.linkage = llvm.Linkage.internal
        self._optimize_final_module()
        self._final_module.verify()
        self._finalize_final_module()

    def _optimize_final_module(self):
        optimise(self._final_module, self._codegen._tm)


class _LinkingCompiler(CompilerBase):
    """Numba's compiler with a library class of its own."""

    library_class = PartLibrary

    def define_pipelines(self):
        self.state.library = self.library_class(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        return [self.passes()]

    def passes(self):
        """What is done with a function, Numba's way."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.finalize()
        return passes


class PartCompiler(_LinkingCompiler):
    """What compiles a part."""


class EntryCompiler(_LinkingCompiler):
    """What compiles an entry."""

    library_class = EntryLibrary


class LinkedDispatcher(plain.OfKernels, Dispatcher):
    """Numba's dispatcher of a function that is linked."""

    targetdescr = cpu_target
    parts: list = []  # noqa: RUF012

    def __init__(self, py_func, locals=None, targetoptions=None, pipeline_class=PartCompiler):
        super().__init__(py_func, locals, targetoptions, pipeline_class)

    def get_call_template(self, args, kws):
        """Numba's, which would have a function compiled anew for each constant among its arguments: here one is like any other."""
        if self.targetoptions.get("forceinline") is False:
            args = tuple(types.unliteral(arg) for arg in args)
        return super().get_call_template(args, kws)


# what a user sets to debug functions of his own is not about these, whose code is not in memory one by one
OPTIONS = {**plain.OPTIONS, "nopython": True, "_nrt": False, "debug": False, "_dbg_extend_lifetimes": False, "boundscheck": None}


class Linked(plain.Plain):
    """Kernels linked to entries, each part compiled as Numba would."""

    options = OPTIONS
    dispatcher_class = LinkedDispatcher
    part_compiler, entry_compiler = PartCompiler, EntryCompiler

    def dispatcher(self, function, options):
        is_part = options["no_cpython_wrapper"] and options["no_cfunc_wrapper"]
        kind = self.part_compiler if is_part else self.entry_compiler
        return self.dispatcher_class(function, None, options, kind)
