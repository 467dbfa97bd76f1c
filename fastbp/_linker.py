"""Compile each function once: Numba functions become parts, and an entry links all of its parts before anything is optimised.

Numba optimises and emits every function by itself, with a copy of all that it calls: in a call tree seven deep the innermost loop
is compiled eight times. A part is only lowered; the entry gathers the whole tree, marks everything but itself as internal (so that
LLVM may inline what is called once and drop what is not called) and runs LLVM once.
"""

import llvmlite.binding as llvm
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.interpreter import Interpreter, peep_hole_delete_with_exit, peep_hole_fuse_dict_add_updates
from numba.core.ir_utils import build_definitions
from numba.core.ssa import reconstruct_ssa
from numba.core.transforms import canonicalize_cfg
from numba.core.typed_passes import AnnotateTypes, NativeLowering, NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.untyped_passes import FixupArgs, ReconstructSSA, TranslateByteCode

from fastbp._lowering import KernelLower
from fastbp._target import target


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


class PartLibrary(JITCodeLibrary):
    """Code of one function, not optimised and not emitted."""

    @property
    def codegen(self):
        """The code generator."""
        return _QuietCodegen(self._codegen)

    def add_llvm_module(self, ll_module):
        """Keep a function's module, of which there is one, as it is."""
        ll_module.data_layout = self._codegen._data_layout
        self._final_module = ll_module

    def _get_module_for_linking(self):
        return self._final_module

    def finalize(self):
        """Close the library; linking is left to the entry."""
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        """0: there is no machine code."""
        self._ensure_finalized()
        return 0


class EntryLibrary(JITCodeLibrary):
    """Code of a function that Python calls, with all parts that it reaches."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self):
        """Link every part once, keep only the entry's own functions visible, optimise, emit."""
        self._raise_if_finalized()
        own = {function.name for function in self._final_module.functions if not function.is_declaration}
        for library in all_parts(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        for function in self._final_module.functions:
            if not function.is_declaration and function.name not in own:
                function.linkage = llvm.Linkage.internal
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
        state.func_ir = KernelInterpreter(state.func_id).interpret(state.bc)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class SingleAssignment(ReconstructSSA):
    """Numba's canonical loops and single assignment, without the lifetimes of variables: nothing in a kernel is to be freed."""

    _name = "fastbp_single_assignment"

    def run_pass(self, state):
        state.func_ir.blocks = canonicalize_cfg(state.func_ir.blocks)
        state.func_ir = reconstruct_ssa(state.func_ir)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


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
    SingleAssignment,
    NopythonTypeInference,
    AnnotateTypes,
    StripPhis,
    KernelLowering,
    NoPythonBackend,
)


def _compiler(library_class):
    class LinkedCompiler(CompilerBase):
        """Numba's compiler with a library class of its own and a short pipeline."""

        def define_pipelines(self):
            codegen = target.target_context.codegen()
            self.state.library = library_class(codegen, self.state.func_id.func_qualname)
            self.state.library.enable_object_caching()
            manager = PassManager("fastbp")
            for each in PASSES:
                manager.add_pass(each, each.__name__)
            manager.finalize()
            return [manager]

    return LinkedCompiler


PartCompiler = _compiler(PartLibrary)
EntryCompiler = _compiler(EntryLibrary)
