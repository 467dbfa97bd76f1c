"""The vector type that kernels are written in, and its mathematics: a library of its own, see docs/simd.md.

`register` has the type and what is done to one register of numbers; `tails` what is left of an array at its end; `vmath` the
elementary functions; `tile` blocks of registers, and `transpose` squares of them. `ieee754` and `emit` are what these are made of.
`record`, `tile_product` and `philox` serve the kernels only: plans, their products, their random numbers.

The names below are imported from here by who uses the library, and looked up when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# what the modules offer
MODULES = {
    "register": "absolute all_lanes broadcast copysign fence floor_at fma horizontal_max horizontal_sum integers isnan lane like"
    " load load_first load_rows maximum minimum pointer prefetch register_bytes select splat sqrt store tile_rows width",
    "tails": "first_lanes store_first zeros",
    "vmath": "cos erf exp expm1 log log1p sigmoid sin softplus tanh",
    "ieee754": "polynomial",
    "tile": "tile_accumulate tile_axpy tile_floor tile_load tile_rank tile_repeat tile_splat tile_store tile_sums tile_where_above"
    " tile_zero",
    "transpose": "column_load column_store columns_together square_load square_load_transposed square_times square_times_first"
    " store_columns",
}
HOME = {name: f"{__name__}.{module}" for module, names in MODULES.items() for name in names.split()}

__all__ = [*HOME]

if TYPE_CHECKING:
    # for tools that gather what a program may import
    from fastbp.simd import ieee754 as ieee754
    from fastbp.simd import register as register
    from fastbp.simd import tails as tails
    from fastbp.simd import tile as tile
    from fastbp.simd import transpose as transpose
    from fastbp.simd import vmath as vmath


def __getattr__(name: str) -> Any:
    if name in HOME:
        value = globals()[name] = getattr(import_module(HOME[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
