"""Compile each function once: Numba functions become parts, and an entry links all of its parts before anything is optimised.

Numba optimises and emits every function by itself, with a copy of all that it calls: in a call tree seven deep the innermost loop
is compiled eight times. A part is only lowered; the entry gathers the whole tree, marks everything but itself as internal (so that
LLVM may inline what is called once and drop what is not called) and runs LLVM once.
"""

import re
from collections import Counter
from functools import cache

import llvmlite.binding as llvm
from numba.core.codegen import CodeLibrary, JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.errors import ForceLiteralArg, TypingError
from numba.core.interpreter import Interpreter, peep_hole_delete_with_exit, peep_hole_fuse_dict_add_updates
from numba.core.ir_utils import build_definitions
from numba.core.ssa import reconstruct_ssa
from numba.core.transforms import canonicalize_cfg
from numba.core.typed_passes import AnnotateTypes, NativeLowering, NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.typeinfer import CallConstraint, ConstraintNetwork, IntrinsicCallConstraint, TypeInferer
from numba.core.untyped_passes import FixupArgs, TranslateByteCode

from fastbp.compiler.lowering import KernelLower
from fastbp.compiler.modules import add_this_module
from fastbp.compiler.target import target

add_this_module()

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


def linked(libraries):
    """LLVM's module of all functions in libraries, with what LLVM's inlining is to know of them."""
    lowered = [library for library in libraries if isinstance(library, _LoweredLibrary)]
    functions = {name: text for library in lowered for name, text in library.functions.items()}
    shared = _shared(target.target_context.codegen())
    values = [functions.get(name) or str(value) for name, value in shared.globals.items()]
    text = "\n".join([f'target triple = "{shared.triple}"', *values, *map(str, shared.metadata)])
    module = llvm.parse_assembly(text)
    mentions = Counter(re.findall(r'@"([^"]*)"', text))
    for function in module.functions:
        body = functions.get(function.name, "")
        if body and mentions[function.name] == 2:  # its definition and one call
            # LLVM would inline it, too, but optimise it before: once for each level of the calls above it. Not what chooses: the
            # choice would be made one with the test before it, and that a jump through a table.
            if "switch i64" not in body:
                function.add_function_attribute("alwaysinline")
        elif "!llvm.loop" in body:
            function.add_function_attribute("noinline")  # unrolled, it is larger than it looks
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


class KernelInterpreter(Interpreter):
    """Numba's reader of bytecode, without its search for dicts and `with` statements."""

    def post_process(self, peepholes, func_ir):
        """Numba's rewriting of calls."""
        of_calls = [each for each in peepholes if each not in (peep_hole_delete_with_exit, peep_hole_fuse_dict_add_updates)]
        return super().post_process(of_calls, func_ir)


@register_pass(mutates_CFG=True, analysis_only=False)
class ReadBytecode(TranslateByteCode):
    """Numba's first pass."""

    _name = "fastbp_read_bytecode"

    def run_pass(self, state):
        self._drop_caches(state.bc.table)
        state.func_ir = KernelInterpreter(state.func_id).interpret(state.bc)
        return True

    @staticmethod
    def _drop_caches(table):
        """Leave out the places that Python 3.11 lists as instructions of their own: half of what would be read."""
        before = None
        for offset, instruction in list(table.items()):
            if instruction.opname == "CACHE":
                before.next = instruction.next
                del table[offset]
            else:
                before = instruction


@register_pass(mutates_CFG=True, analysis_only=False)
class CanonicalLoops(FunctionPass):
    """Numba's canonical loops, without the lifetimes of variables: nothing in a kernel is to be freed."""

    _name = "fastbp_canonical_loops"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state):
        state.func_ir.blocks = canonicalize_cfg(state.func_ir.blocks)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


class _Constraints(ConstraintNetwork):
    """Numba's propagation of types, without a look for warnings at each, and a call again only if its arguments are others."""

    def __init__(self):
        super().__init__()
        self._seen = {}

    def propagate(self, typeinfer):
        errors = []
        for constraint in self.constraints:
            key = None
            if isinstance(constraint, CallConstraint) and not (constraint.kws or constraint.vararg):
                names = [] if isinstance(constraint, IntrinsicCallConstraint) else [constraint.func]
                key = [typeinfer.typevars[name].type for name in (*names, *(var.name for var in constraint.args))]
                if key == self._seen.get(constraint):
                    continue
            try:
                constraint(typeinfer)
            except (ForceLiteralArg, TypingError) as error:
                errors.append(error)
            else:
                self._seen[constraint] = key
        return errors


@register_pass(mutates_CFG=True, analysis_only=False)
class Inference(NopythonTypeInference):
    """Numba's inference of types, before it gives each assignment a variable of its own: few kernels need that."""

    _name = "fastbp_type_inference"

    def run_pass(self, state):
        try:
            self._infer(state)
        except TypingError:
            # a variable of several types is several variables, one for each assignment
            state.func_ir = reconstruct_ssa(state.func_ir)
            state.func_ir._definitions = build_definitions(state.func_ir.blocks)
            self._infer(state)
        return True

    def _infer(self, state):
        code = state.func_ir
        inferer = TypeInferer(state.typingctx, code, None)
        inferer.constraints = _Constraints()
        with state.typingctx.callstack.register(state.targetctx.target, inferer, code.func_id, state.args):
            for index, (name, kind) in enumerate(zip(code.arg_names, state.args, strict=True)):
                inferer.seed_argument(name, index, kind)
            inferer.build_constraint()
            inferer.propagate()
            state.typemap, state.return_type, state.calltypes = inferer.unify()


@register_pass(mutates_CFG=False, analysis_only=False)
class StripPhis(PreLowerStripPhis):
    """Numba's assignments for phis, again without lifetimes."""

    _name = "fastbp_strip_phis"

    def run_pass(self, state):
        state.func_ir = self._strip_phi_nodes(state.func_ir)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):
    """Numba's last pass, with a lowering of its own."""

    _name = "fastbp_lowering"
    lowering_class = KernelLower


# Numba's pipeline less what kernels have no use for: object mode, closures, array expressions, overload inlining, lifetimes
PASSES = (
    ReadBytecode,
    FixupArgs,
    CanonicalLoops,
    Inference,
    AnnotateTypes,
    StripPhis,
    KernelLowering,
    NoPythonBackend,
)


class KernelPasses(PassManager):
    """Numba's manager of passes, without checks after each, and without telling listeners of it."""

    def _runPass(self, index, pss, internal_state):
        pss.run_pass(internal_state)


passes = KernelPasses("fastbp")
for each in PASSES:
    passes.add_pass(each, each.__name__)
passes.finalize()


def _compiler(library_class):
    class LinkedCompiler(CompilerBase):
        """Numba's compiler with a library class of its own and a short pipeline."""

        def define_pipelines(self):
            codegen = target.target_context.codegen()
            self.state.library = library_class(codegen, self.state.func_id.func_qualname)
            self.state.library.enable_object_caching()
            return [passes]

    return LinkedCompiler


PartCompiler = _compiler(PartLibrary)
EntryCompiler = _compiler(EntryLibrary)
