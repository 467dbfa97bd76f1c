"""The passes of the fast tier: Numba's pipeline less what kernels have no use for."""

from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.errors import ForceLiteralArg, TypingError
from numba.core.interpreter import Interpreter, peep_hole_delete_with_exit, peep_hole_fuse_dict_add_updates
from numba.core.ir_utils import build_definitions
from numba.core.transforms import canonicalize_cfg
from numba.core.typed_passes import AnnotateTypes, NativeLowering, NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.typeinfer import CallConstraint, ConstraintNetwork, IntrinsicCallConstraint, TypeInferer
from numba.core.untyped_passes import FixupArgs, ReconstructSSA, TranslateByteCode

from fastbp.compiler import linker
from fastbp.compiler.fast.lowering import KernelLower
from fastbp.compiler.modules import add_this_module

add_this_module()


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
    """Numba's inference of types, in fewer rounds."""

    _name = "fastbp_type_inference"

    def run_pass(self, state):
        code = state.func_ir
        inferer = TypeInferer(state.typingctx, code, None)
        inferer.constraints = _Constraints()
        with state.typingctx.callstack.register(state.targetctx.target, inferer, code.func_id, state.args):
            for index, (name, kind) in enumerate(zip(code.arg_names, state.args, strict=True)):
                inferer.seed_argument(name, index, kind)
            inferer.build_constraint()
            inferer.propagate()
            state.typemap, state.return_type, state.calltypes = inferer.unify()
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
    CanonicalLoops,
    ReconstructSSA,
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


class _FastPasses:
    def passes(self):
        return passes


class PartCompiler(_FastPasses, linker.PartCompiler):
    """What compiles a part."""


class EntryCompiler(_FastPasses, linker.EntryCompiler):
    """What compiles an entry."""
