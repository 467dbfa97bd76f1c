"""One tile of a matrix product from start to finish, as one intrinsic each: the tile is in registers all the while.

As functions of tiles, these would be inferred, lowered and cleaned by LLVM for each of two dozen shapes, which took a third of the
time to compile; as here, LLVM is given little more than what stays.

Legend: W lanes of a register; P = 2 W columns of a panel; K depth of a product; R rows and C registers a row of a tile.
"""

from functools import cache

from llvmlite import ir
from numba import types
from numba.core.cgutils import pack_array, unpack_tuple
from numba.extending import intrinsic

from fastbp.compiler import add_this_module
from fastbp.simd.emit import at, emit_fma, emit_load, emit_splat, emit_store, unrolled_loop, vector_type
from fastbp.simd.register import lanes
from fastbp.simd.tile import (
    ADD_SCALED,
    BIAS,
    CONTINUE,
    FLOOR,
    STORE,
    WHERE_ABOVE,
    ZERO,
    Tile,
    emit_rank,
    emit_step,
    times,
)

add_this_module()


def steps_in_turn(registers: int, lanes: int) -> int:
    """Steps of a product in one turn of its loop: those of a panel of at most 8 columns, else 8, or 4 if each is long.

    A turn of few instructions would be over before those after its jump are fetched, on a core that two threads share.
    """
    if lanes <= 4:
        return 2 * lanes
    return 8 if registers < 8 else 4


def _emit_while(builder, state, is_on, turn, unrolled=1):
    """The values after a loop of ``state = turn(state)`` as long as ``is_on(state[0])``, which LLVM unrolls so many times."""
    before, loop, done = builder.block, builder.append_basic_block("turn"), builder.append_basic_block("turned")
    builder.cbranch(is_on(state[0]), loop, done)
    builder.position_at_end(loop)
    inside = [builder.phi(each.type) for each in state]
    later = turn(inside)
    end = builder.block
    jump = builder.cbranch(is_on(later[0]), loop, done)
    if unrolled > 1:
        jump.set_metadata("llvm.loop", unrolled_loop(builder.module, unrolled))
    builder.position_at_end(done)
    after = [builder.phi(each.type) for each in state]
    for first, last, within, outside in zip(state, later, inside, after, strict=True):
        for phi in (within, outside):
            phi.add_incoming(first, before)
            phi.add_incoming(last, end)
    return after


def _emit_product(builder, tile, registers, a, stride, step, b, b_step, depth):
    """The registers of a tile after what `tile_product` says; strides are numbers or values of LLVM."""
    offsets = [times(builder, stride, r) for r in range(tile.rows)]
    one, steps = ir.Constant(depth.type, 1), steps_in_turn(tile.rows * tile.columns, tile.lanes)

    def turn(state):
        left, a, b, *registers = state
        registers = emit_rank(builder, tile, registers, 0, a, offsets, step, b, b_step)
        left = builder.sub(left, one, flags=["nsw"])
        return [left, emit_step(builder, a, step, 1), emit_step(builder, b, b_step, 1), *registers]

    return _emit_while(builder, [depth, a, b, *registers], lambda left: builder.icmp_signed(">=", left, one), turn, steps)[3:]


@intrinsic
def tile_product(typingctx, tile, a, stride, step, b, b_step, depth):
    """The tile + a_0 b_0^T + a_1 b_1^T + ..., one after another, `depth` products of a column and a row.

    a_k[r] is ``a[k * step + r * stride]``; b_k are the registers at ``b[k * b_step]``, W numbers later, and so on.
    """

    def codegen(context, builder, signature, args):
        value, *operands = args
        return pack_array(builder, _emit_product(builder, tile, unpack_tuple(builder, value), *operands))

    return tile(tile, a, types.intp, types.intp, b, types.intp, types.intp), codegen


def _places(tile):
    """Where in panels the registers of a tile are, in the order in which they are listed."""
    return [row * 2 * tile.lanes + c * tile.lanes for row in range(tile.rows) for c in range(tile.columns)]


def _emit_loads(builder, tile, pointer):
    return [emit_load(builder, pointer, place, vector_type(tile), tile.dtype.bitwidth) for place in _places(tile)]


def _emit_stores(builder, tile, registers, pointer):
    for register, place in zip(registers, _places(tile), strict=True):
        emit_store(builder, register, pointer, place, tile.dtype.bitwidth)


def _emit_choice(builder, code, cases):
    """Registers by ``cases[code]()``, by the last for any other code."""
    blocks = [builder.append_basic_block(f"case.{number}") for number in cases]
    done, found = builder.append_basic_block("chosen"), []
    switch = builder.switch(code, blocks[-1])
    for (number, emit), block in zip(cases.items(), blocks, strict=True):
        switch.add_case(ir.Constant(code.type, number), block)
        builder.position_at_end(block)
        found.append(emit())
        builder.branch(done)
    builder.position_at_end(done)
    chosen = []
    for registers in zip(*found, strict=True):
        chosen.append(builder.phi(registers[0].type))
        for register, block in zip(registers, blocks, strict=True):
            chosen[-1].add_incoming(register, block)
    return chosen


def _emit_min(builder, a, b):
    return builder.select(builder.icmp_signed("<", a, b), a, b)


@cache
def product_tile(rows: int, columns: int):
    """An intrinsic: one tile of C = start + A M, all pointers at its corner; see `gemm.panel_product`."""

    @intrinsic
    def op(typingctx, a, a_panel, depth, m, c, start, bias, finish, aux):
        tile = Tile(a.dtype, lanes(a.dtype), rows, columns)
        vector, panel, index = vector_type(tile), 2 * tile.lanes, ir.IntType(types.intp.bitwidth)
        zero, width = ir.Constant(vector, None), index(panel)

        def codegen(context, builder, signature, args):
            a, a_panel, depth, m, c, start, bias, finish, aux = args

            def of_bias():
                row = [emit_load(builder, bias, i * tile.lanes, vector, tile.dtype.bitwidth) for i in range(columns)]
                return row * rows

            def next_panel(state):
                # C[r, :] += A[r, k] M[k, :]
                left, a, m, *registers = state
                steps = _emit_min(builder, left, width)
                registers = _emit_product(builder, tile, registers, a, panel, 1, m, panel, steps)
                return [builder.sub(left, width), at(builder, a, a_panel), at(builder, m, panel * panel), *registers]

            def floored():
                return [builder.select(builder.fcmp_ordered(">", zero, each), zero, each) for each in registers]

            def where_above():
                keep = [builder.fcmp_ordered(">", each, zero) for each in _emit_loads(builder, tile, aux)]
                return [builder.select(each, register, zero) for each, register in zip(keep, registers, strict=True)]

            starts = {ZERO: lambda: [zero] * (rows * columns), BIAS: of_bias, CONTINUE: lambda: _emit_loads(builder, tile, c)}
            state = [depth, a, m, *_emit_choice(builder, start, starts)]
            _, _, _, *registers = _emit_while(builder, state, lambda left: builder.icmp_signed(">", left, index(0)), next_panel)
            finishes = {FLOOR: floored, WHERE_ABOVE: where_above, STORE: lambda: registers}
            _emit_stores(builder, tile, _emit_choice(builder, finish, finishes), c)
            return context.get_dummy_value()

        integer = types.intp
        return types.void(a, integer, integer, m, c, integer, bias, integer, aux), codegen

    return op


@cache
def outer_tile(rows: int, columns: int):
    """An intrinsic: one tile of G = start + A^T D, all pointers at its corner; see `gemm.outer_product`."""

    @intrinsic
    def op(typingctx, a, d, depth, g, start, finish, scale):
        tile = Tile(a.dtype, lanes(a.dtype), rows, columns)
        vector, panel = vector_type(tile), 2 * tile.lanes

        def codegen(context, builder, signature, args):
            a, d, depth, g, start, finish, scale = args

            def added():
                factor = emit_splat(builder, builder.load(scale), vector)
                return [emit_fma(builder, factor, *each) for each in zip(registers, _emit_loads(builder, tile, g), strict=True)]

            zero = [ir.Constant(vector, None)] * (rows * columns)
            registers = _emit_choice(builder, start, {CONTINUE: lambda: _emit_loads(builder, tile, g), ZERO: lambda: zero})
            # G[i, :] += A[b, i] D[b, :]
            registers = _emit_product(builder, tile, registers, a, 1, panel, d, panel, depth)
            registers = _emit_choice(builder, finish, {ADD_SCALED: added, STORE: lambda: registers})
            _emit_stores(builder, tile, registers, g)
            return context.get_dummy_value()

        return types.void(a, d, types.intp, g, types.intp, types.intp, scale), codegen

    return op
