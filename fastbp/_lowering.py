"""How kernels become LLVM's instructions: Numba's lowering, less what LLVM would have to take out again.

Numba keeps variables in memory that it fills with zeros and reads before each write, makes loops over `range` from records of
pointers, and gives each call a place for its exception: most of the instructions of a kernel, and of the time to compile it.
"""

from collections import Counter

from llvmlite.ir import Constant
from numba.core import ir
from numba.core.analysis import compute_use_defs
from numba.core.cgutils import if_unlikely, pack_struct, unpack_tuple
from numba.core.imputils import Registry
from numba.core.lowering import Lower
from numba.cpython.rangeobj import range_impl_map

registry = Registry("fastbp")


class KernelLower(Lower):
    """Numba's lowering with a variable that is assigned once as a value of LLVM, all others in memory as it is."""

    def _find_singly_assigned_variable(self):
        assigned = [(each.target.name, label) for label, block in self.blocks.items() for each in block.find_insts(ir.Assign)]
        counts, home = Counter(name for name, _ in assigned), dict(assigned)
        # blocks are lowered in the order of their labels: what is read before must be in memory
        early = {
            name for label, names in compute_use_defs(self.blocks).usemap.items() for name in names if label <= home.get(name, -1)
        }
        self._singly_assigned_vars = {name for name, count in counts.items() if count == 1} - early
        self._blk_local_varmap = {}

    def storevar(self, value, name, argidx=None):
        """Give a variable its value."""
        if name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(value, self.getvar(name))

    def alloca_lltype(self, name, lltype, datamodel=None):
        """Memory for a variable."""
        with self.builder.goto_entry_block():
            return self.builder.alloca(lltype, name=name)

    def lower_binop(self, resty, expr, op):
        """An operator; of constants among its operands Numba would try other ways first."""
        context, signature = self.context, self.fndesc.calltypes[expr]
        values = [
            context.cast(self.builder, self.loadvar(var.name), self.typeof(var.name), kind)
            for var, kind in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        operator = context.typing_context.resolve_value_type(op)
        signature = context.typing_context.resolve_function_type(operator, signature.args, {})
        implementation = context.get_function(operator, signature)
        return context.cast(self.builder, implementation(self.builder, values), signature.return_type, resty)


def call_part(descriptor, context, builder, signature, args):
    """Call a compiled function; its exception, should it raise one, is the caller's."""
    convention, callee = context.call_conv, context.declare_function(builder.module, descriptor)
    with builder.goto_entry_block():
        result = builder.alloca(convention.get_return_type(signature.return_type).pointee)
    exception = convention._get_excinfo_argument(builder.function)
    packed = convention._get_arg_packer(signature.args).as_arguments(builder, args)
    code = builder.call(callee, [result, exception, *packed])
    with if_unlikely(builder, builder.icmp_signed("!=", code, code.type(0))):
        builder.ret(code)
    return context.get_returned_value(builder, signature.return_type, builder.load(result))


def _lower_range(integer, state, iterator):
    """Emit ``range`` of a type of integers."""

    @registry.lower(range, integer)
    @registry.lower(range, integer, integer)
    @registry.lower(range, integer, integer, integer)
    def make(context, builder, signature, args):
        zero, one = (context.get_constant(integer, value) for value in (0, 1))
        start, stop, step = {1: [zero, *args, one], 2: [*args, one], 3: args}[len(args)]
        if not isinstance(step, Constant):
            with if_unlikely(builder, builder.icmp_signed("==", step, zero)):
                context.call_conv.return_user_exc(builder, ValueError, ("range() arg 3 must not be zero",))
        return pack_struct(builder, [start, stop, step])

    @registry.lower("getiter", state)
    def begin(context, builder, signature, args):
        start, stop, step = unpack_tuple(builder, args[0], 3)
        # turns: (stop - start) / step rounded up, none if that is negative
        less_one = builder.select(builder.icmp_signed(">", step, step.type(0)), step.type(-1), step.type(1))
        turns = builder.sdiv(builder.add(builder.sub(stop, start), builder.add(step, less_one)), step)
        with builder.goto_entry_block():
            value, left = builder.alloca(start.type), builder.alloca(start.type)
        builder.store(start, value)
        builder.store(turns, left)
        return pack_struct(builder, [value, stop, step, left])

    @registry.lower("iternext", iterator)
    def following(context, builder, signature, args):
        value_at, _, step, left_at = unpack_tuple(builder, args[0], 4)
        value, left = builder.load(value_at), builder.load(left_at)
        builder.store(builder.add(value, step), value_at)
        builder.store(builder.sub(left, left.type(1), flags=["nsw"]), left_at)
        return pack_struct(builder, [value, builder.icmp_signed(">", left, left.type(0))])


for integer, (state, iterator) in range_impl_map.items():
    _lower_range(integer, state, iterator)
