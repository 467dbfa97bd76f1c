"""The passes of the fast tier: Numba's pipeline less what kernels have no use for."""

from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.transforms import canonicalize_cfg
from numba.core.typed_passes import AnnotateTypes, NativeLowering, NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.untyped_passes import FixupArgs, ReconstructSSA, TranslateByteCode

from fastbp.compiler import linker
from fastbp.compiler.fast.lowering import KernelLower
from fastbp.compiler.modules import add_this_module

add_this_module()


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
    TranslateByteCode,
    FixupArgs,
    CanonicalLoops,
    ReconstructSSA,
    NopythonTypeInference,
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


class _FastPasses:
    def passes(self):
        return passes


class PartCompiler(_FastPasses, linker.PartCompiler):
    """What compiles a part."""


class EntryCompiler(_FastPasses, linker.EntryCompiler):
    """What compiles an entry."""
