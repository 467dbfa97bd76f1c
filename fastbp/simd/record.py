"""Records in flat arrays: what kernels read as ``plan.batch`` and Python sets by the same name.

A record is declared once, by the names of its fields and what each means. Kernels see a pointer to its first number; a field is one
load, or for a field of several numbers, and for rows of records that follow it, the address of the first. Python sees a view of the
array that the kernel is given.
"""

import ctypes
import operator
from functools import cached_property
from typing import Any

import numpy as np
from numba import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, lower_setattr_generic, models, register_model

from fastbp.compiler import add_this_module, lowered
from fastbp.simd.emit import at

add_this_module()


class RecordType(types.Type):
    """Numba type of a pointer to a record of numbers of one type."""

    def __init__(self, record, dtype):
        self.record, self.dtype = record, dtype
        super().__init__(f"{record.name}({dtype})")


class RowsType(types.Type):
    """Numba type of a pointer to records one after another."""

    def __init__(self, record, dtype):
        self.record, self.dtype = record, dtype
        super().__init__(f"Rows({record.name}({dtype}))")


register_model(RecordType)(models.PointerModel)
register_model(RowsType)(models.PointerModel)


class Record:
    """The fields of a record, in their order.

    Parameters
    ----------
    name : str
    number : {np.int64, np.float64}
        What its numbers are, where Python sees them.
    **fields : str, (int, str) or (Record, str)
        What a field means; of several numbers after how many there are. The last may be records of another kind, with the name of
        the field that holds their number.
    """

    def __init__(self, name: str, number: type = np.int64, /, **fields):
        self.name, self.number, self.size = name, number, 0
        self.places, self.counts, self.meanings, self.rows = {}, {}, {}, {}
        for field, told in fields.items():
            count, meaning = (1, told) if isinstance(told, str) else told
            self.places[field], self.counts[field], self.meanings[field] = self.size, count, meaning
            if isinstance(count, Record):
                self.rows = {field: count}
            else:
                self.size += count
        self.at = _at(self)

    @cached_property
    def dtype(self) -> np.dtype:
        """NumPy's type of a record of integers, without the records that follow it."""
        kinds = {1: np.int64}
        return np.dtype([(field, kinds.get(n, (np.int64, n))) for field, n in self.counts.items() if field not in self.rows])

    def __getstate__(self):
        # what a class that is sent to another process refers to goes with it, but no class of C can
        return {name: value for name, value in vars(self).items() if name != "view"}

    def length(self, n_rows: int) -> int:
        """Numbers of a record and of so many that follow it."""
        return self.size + n_rows * sum(record.size for record in self.rows.values())

    @cached_property
    def view(self) -> Any:
        """The class of a view of a record in an array, ``view.of(numbers)``: its attributes are the fields.

        They are fields of C, as a call of Python for each would be felt by who trains a small network.
        """
        scalar = {np.int64: ctypes.c_int64, np.float64: ctypes.c_double}[self.number]
        own = {field: n for field, n in self.counts.items() if field not in self.rows}
        kinds = [(field, scalar) if n == 1 else (f"_{field}", scalar * n) for field, n in own.items()]
        several = {field: _part(self, field) for field, n in self.counts.items() if n != 1}
        members = {"__slots__": ("numbers",), "__doc__": f"A {self.name} in an array, its `numbers`.", "of": classmethod(_of)}
        return type(self.name, (ctypes.Structure,), {**members, "_fields_": kinds, **several})


def _of(cls, numbers):
    """The record that an array of 64-bit numbers begins with."""
    view = cls.from_buffer(numbers)
    view.numbers = numbers
    return view


def _part(record, field):
    place, count, meaning = record.places[field], record.counts[field], record.meanings[field]
    if isinstance(count, Record):
        return property(lambda view: view.numbers[place : record.length(getattr(view, meaning))].view(count.dtype))
    return property(lambda view: view.numbers[place : place + count], doc=meaning)


def _at(record):
    @intrinsic
    def record_at(typingctx, ptr):
        """The record that begins at a pointer."""
        return RecordType(record, ptr.dtype)(ptr), lambda context, builder, signature, args: args[0]

    return record_at


@intrinsic
def numbers_of(typingctx, record):
    """Pointer to the first number of a record."""
    return types.CPointer(record.dtype)(record), lambda context, builder, signature, args: args[0]


def _neighbour(step):
    @intrinsic
    def neighbour(typingctx, row):
        """The record after this one, or before it."""
        return row(row), lambda context, builder, signature, args: at(builder, args[0], step * row.record.size)

    return neighbour


following, preceding = _neighbour(1), _neighbour(-1)


@infer_getattr
class _Fields(AttributeTemplate):
    key = RecordType

    def generic_resolve(self, typ, name):
        count = typ.record.counts.get(name)
        if isinstance(count, Record):
            return RowsType(count, typ.dtype)
        return None if count is None else typ.dtype if count == 1 else types.CPointer(typ.dtype)


@lower_getattr_generic(RecordType)
def _get(context, builder, typ, value, name):
    place = at(builder, value, typ.record.places[name])
    return builder.load(place) if typ.record.counts[name] == 1 else place


@lower_setattr_generic(RecordType)
def _set(context, builder, signature, args, name):
    typ, _ = signature.args
    builder.store(args[1], at(builder, args[0], typ.record.places[name]))


def _is_row(rows, index) -> bool:
    return isinstance(rows, RowsType) and isinstance(index, types.Integer)


@lowered(operator.getitem, lambda rows, index: RecordType(rows.record, rows.dtype) if _is_row(rows, index) else None)
def _row(context, builder, signature, args):
    rows, index = signature.args
    number = context.cast(builder, args[1], index, types.intp)
    return at(builder, args[0], builder.mul(number, number.type(rows.record.size)))
