"""How kernels become LLVM's instructions: Numba's lowering, less what LLVM would have to take out again.

Numba keeps variables in memory, and reads them before each write, makes loops over `range` from records of pointers, and gives each
call a place for its exception: most of the instructions of a kernel, and of the time to compile it.
"""

import operator
from collections import Counter

from llvmlite.ir import Constant
from numba.core import ir, types
from numba.core.analysis import compute_use_defs
from numba.core.cgutils import if_unlikely, pack_struct, unpack_tuple
from numba.core.imputils import Registry
from numba.core.lowering import Lower
from numba.cpython.rangeobj import range_impl_map

from fastbp.compiler.modules import add_this_module

add_this_module()

registry = Registry("fastbp")
RANGES = frozenset(state for state, _ in range_impl_map.values())
INTEGERS = types.int64, types.int64
FOLDED = operator.add, operator.sub, operator.mul  # of constants, which steps of loops are made of


class KernelLower(Lower):
    """Numba's lowering with a variable that is assigned once as a value of LLVM, all others in memory as it is.

    A range, its iterator and what that gives are tuples of values, made a record where anything but a loop asks for them.
    """

    def _find_singly_assigned_variable(self):
        assigned = [(each.target.name, label) for label, block in self.blocks.items() for each in block.find_insts(ir.Assign)]
        counts, home = Counter(name for name, _ in assigned), dict(assigned)
        # blocks are lowered in the order of their labels: what is read before must be in memory
        early = {
            name for label, names in compute_use_defs(self.blocks).usemap.items() for name in names if label <= home.get(name, -1)
        }
        self._singly_assigned_vars = {name for name, count in counts.items() if count == 1} - early
        self._blk_local_varmap = {}

    def lower_inst(self, inst):
        """A statement."""
        if isinstance(inst, ir.Assign):
            name = inst.target.name
            self.storevar(self.lower_assign(self.typeof(name), inst), name)
        elif isinstance(inst, ir.Return) and self.fndesc.restype is types.none:
            self.builder.ret(Constant(self.function.function_type.return_type, 0))
        else:
            super().lower_inst(inst)

    def loadvar(self, name):
        """The value of a variable."""
        value = super().loadvar(name)
        return pack_struct(self.builder, value) if isinstance(value, tuple) else value

    def storevar(self, value, name, argidx=None):
        """Give a variable its value."""
        if name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(pack_struct(self.builder, value) if isinstance(value, tuple) else value, self.getvar(name))

    def lower_assign(self, ty, inst):
        """The right-hand side of an assignment."""
        if isinstance(inst.value, ir.Var):
            fields = self._blk_local_varmap.get(inst.value.name)
            if isinstance(fields, tuple):
                return fields
        return super().lower_assign(ty, inst)

    def lower_expr(self, resty, expr):
        """An expression."""
        if expr.op == "call" and resty in RANGES:
            signature = self.fndesc.calltypes[expr]
            args = self.fold_call_args(self.typeof(expr.func.name), signature, expr.args, expr.vararg, expr.kws)
            return _range(self.context, self.builder, args)
        fields = self._blk_local_varmap.get(expr.value.name) if expr.op in STEPS_OF_LOOPS else None
        if isinstance(fields, tuple):
            return STEPS_OF_LOOPS[expr.op](self.builder, fields)
        return super().lower_expr(resty, expr)

    def lower_binop(self, resty, expr, op):
        """An operator; of constants among its operands Numba would try other ways first."""
        context, signature = self.context, self.fndesc.calltypes[expr]
        values = [
            context.cast(self.builder, self.loadvar(var.name), self.typeof(var.name), kind)
            for var, kind in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        if op in FOLDED and signature.args == INTEGERS and all(isinstance(value, Constant) for value in values):
            return context.cast(self.builder, values[0].type(op(*(value.constant for value in values))), types.int64, resty)
        symbol = context.typing_context.resolve_value_type(op)
        signature = context.typing_context.resolve_function_type(symbol, signature.args, {})
        implementation = context.get_function(symbol, signature)
        return context.cast(self.builder, implementation(self.builder, values), signature.return_type, resty)


def call_part(descriptor, may_raise, context, builder, signature, args):
    """Call a compiled function; its exception, should it raise one, is the caller's."""
    convention, callee = context.call_conv, context.declare_function(builder.module, descriptor)
    exception = convention._get_excinfo_argument(builder.function)
    packed = convention._get_arg_packer(signature.args).as_arguments(builder, args)
    place = convention.get_return_type(signature.return_type)
    if signature.return_type is types.none:
        result = Constant(place, None)
    else:
        with builder.goto_entry_block():
            result = builder.alloca(place.pointee)
    code = builder.call(callee, [result, exception, *packed])
    if may_raise:
        with if_unlikely(builder, builder.icmp_signed("!=", code, code.type(0))):
            builder.ret(code)
    if isinstance(result, Constant):
        return context.get_dummy_value()
    return context.get_returned_value(builder, signature.return_type, builder.load(result))


def _range(context, builder, args):
    """The fields of a range: start, stop and step."""
    zero, one = (args[0].type(value) for value in (0, 1))
    start, stop, step = {1: [zero, *args, one], 2: [*args, one], 3: args}[len(args)]
    if not isinstance(step, Constant):
        with if_unlikely(builder, builder.icmp_signed("==", step, zero)):
            context.call_conv.return_user_exc(builder, ValueError, ("range() arg 3 must not be zero",))
    return start, stop, step


def _begin(builder, fields):
    """The fields of an iterator: where its value is, stop, step, and where the number of turns that are left is."""
    start, stop, step = fields
    # turns: (stop - start) / step rounded up, none if that is negative
    turns = stop if _is(start, 0) else builder.sub(stop, start)
    if not _is(step, 1):
        less_one = builder.select(builder.icmp_signed(">", step, step.type(0)), step.type(-1), step.type(1))
        turns = builder.sdiv(builder.add(turns, builder.add(step, less_one)), step)
    with builder.goto_entry_block():
        value, left = builder.alloca(start.type), builder.alloca(start.type)
    builder.store(start, value)
    builder.store(turns, left)
    return value, stop, step, left


def _following(builder, fields):
    """An iterator's value, and whether there is one."""
    value_at, _, step, left_at = fields
    value, left = builder.load(value_at), builder.load(left_at)
    builder.store(builder.add(value, step), value_at)
    builder.store(builder.sub(left, left.type(1), flags=["nsw"]), left_at)
    return value, builder.icmp_signed(">", left, left.type(0))


STEPS_OF_LOOPS = {
    "getiter": _begin,
    "iternext": _following,
    "pair_first": lambda builder, fields: fields[0],
    "pair_second": lambda builder, fields: fields[1],
}


def _is(value, number) -> bool:
    return isinstance(value, Constant) and value.constant == number


def _lower_range(integer, state, iterator):
    """Emit ``range`` of a type of integers, where it is more than a loop."""

    @registry.lower(range, integer)
    @registry.lower(range, integer, integer)
    @registry.lower(range, integer, integer, integer)
    def make(context, builder, signature, args):
        return pack_struct(builder, _range(context, builder, args))

    @registry.lower("getiter", state)
    def begin(context, builder, signature, args):
        return pack_struct(builder, _begin(builder, unpack_tuple(builder, args[0], 3)))

    @registry.lower("iternext", iterator)
    def following(context, builder, signature, args):
        return pack_struct(builder, _following(builder, unpack_tuple(builder, args[0], 4)))


for integer, (state, iterator) in range_impl_map.items():
    _lower_range(integer, state, iterator)
