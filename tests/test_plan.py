"""Plans: their fields have one place each for Python and for kernels, and the regions of the work buffer do not overlap."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types

from fastbp.activations import GELU, ReLU, Sigmoid
from fastbp.compiler import entry
from fastbp.engine import planner
from fastbp.engine.sparsity import Entries
from fastbp.kernels.plan import Layer, Plan, Reals, Step, plan_at, reals_at, step_at
from fastbp.simd.record import Record, following, numbers_of, preceding
from fastbp.simd.register import pointer


def test_fields_follow_each_other():
    for record in (Layer, Plan, Reals, Step):
        end = 0
        for name, place in record.places.items():
            assert place == end, name
            end += 0 if name in record.rows else record.counts[name]
            assert record.meanings[name]
        assert end == record.size
    assert Plan.dtype.itemsize == 8 * Plan.size
    assert list(Layer.dtype.names) == list(Layer.places)


def test_a_view_sets_the_array_by_name():
    numbers = np.zeros(Plan.length(2), np.int64)
    plan = Plan.view.of(numbers)
    plan.n_layers, plan.batch, plan.separate = 2, 7, True
    plan.layers["n_in"] = 3, 5
    plan.layers[1]["alpha"] = 11
    expected = {Plan.places["n_layers"]: 2, Plan.places["batch"]: 7, Plan.places["separate"]: 1}
    expected |= {Plan.size + Layer.places["n_in"]: 3, Plan.length(1) + Layer.places["n_in"]: 5}
    expected |= {Plan.length(1) + Layer.places["alpha"]: 11}
    np.testing.assert_array_equal(np.flatnonzero(numbers), sorted(expected))
    assert all(numbers[place] == value for place, value in expected.items())
    assert (plan.batch, type(plan.batch)) == (7, int)
    with pytest.raises(AttributeError):
        plan.bacth = 8
    with pytest.raises(TypeError):
        plan.batch = 1.5


@entry(lambda dtype: types.float64(types.int64[::1], types.float64[::1], dtype[::1]))
def read_and_write(plan_numbers, real_numbers, work):
    plan, reals = plan_at(pointer(plan_numbers)), reals_at(pointer(real_numbers))
    step, last = step_at(pointer(work) + plan.step), plan.layers[plan.n_layers - 1]
    plan.status += 5
    reals.l2 = plan.batch  # a number of another type
    reals.hyper[1] = reals.hyper[0] + 1.0
    step.l1[1], step.clip = 4, reals.cap
    preceding(last).keep = following(plan.layers[0]).n_out
    numbers_of(plan)[0] += 0
    return last.n_in + 100.0 * last.number


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_see_what_python_sees(dtype):
    plan, reals = Plan.view.of(np.zeros(Plan.length(3), np.int64)), Reals.view.of(np.zeros(Reals.size))
    work = np.zeros(9 + Step.size, dtype)
    plan.n_layers, plan.batch, plan.status, plan.step = 3, 12, 2, 9
    plan.layers["number"], plan.layers["n_in"], plan.layers["n_out"] = range(3), [4, 5, 6], [5, 6, 7]
    reals.hyper[0], reals.cap = 0.5, 0.25
    assert read_and_write[dtype](plan.numbers, reals.numbers, work) == 206.0
    assert (plan.status, reals.l2, reals.hyper[1], plan.layers["keep"].tolist()) == (7, 12.0, 1.5, [0, 6, 0])
    assert np.flatnonzero(work).tolist() == [9 + Step.places["l1"] + 1, 9 + Step.places["clip"]]
    assert work[9 + Step.places["clip"]] == 0.25


def test_records_of_ones_own():
    pair = Record("Pair", first="a number", second=(2, "two"))
    assert (pair.size, pair.length(9), pair.dtype) == (3, 3, np.dtype([("first", "i8"), ("second", "i8", 2)]))


def regions(plan, panel, slots, members, entries):
    """Name, offset and length of all that has a place in `work`, of the first member's block."""
    stride, layers = plan.panel_stride, plan.layers
    capacity = stride // panel

    def matrix(columns):
        return -(-int(columns) // panel) * stride

    packed = sum(-(-int(layer["n_out"]) // panel) * panel * (int(layer["n_in"]) + 1) for layer in layers)
    assert plan.n_packed >= packed
    yield "packed", plan.packed, packed
    yield "step", plan.step, Step.size
    yield "losses", plan.losses, -(-plan.block // (panel // 2))
    yield "lanes", plan.lanes, (1 if plan.area else members) * plan.lanes_stride
    yield "norms", plan.norms, sum(-(-int(n) // panel) for n in layers["n_out"])
    if slots < 0:
        yield "copy", plan.copy, plan.n_params
    for number, name in enumerate(("gradient", "slot_1", "slot_2")):
        if slots >= number:
            yield name, getattr(plan, name), packed
    if plan.area:
        yield "partials", plan.partials, packed
    if entries:
        size = capacity * entries.most
        for name, count in {"values": size, "places": size, "bounds": (plan.pieces + 1) * capacity}.items():
            yield name, getattr(plan, name), count
        if slots >= 0:
            for name, count in {"column_values": size, "column_places": size, "column_begins": int(layers[0]["n_in"]) + 1}.items():
                yield name, getattr(plan, name), count
    for layer in layers:
        number = int(layer["number"])
        yield f"alpha {number}", int(layer["alpha"]), 1
        if number == 0 and not entries:
            yield "samples", int(layer["input"]), matrix(layer["n_in"])
        yield f"activation {number}", int(layer["activation"]), matrix(layer["n_out"])
        if slots >= 0:
            yield f"delta {number}", int(layer["delta"]), matrix(layer["n_out"])
            if number > 0:
                rows = -(-int(layer["n_out"]) // (panel // 2)) * (panel // 2)
                count = -(-int(layer["n_in"]) // panel) * panel * rows
                yield f"transposed {number}", plan.transposed + int(layer["transpose"]), count
            if layer["needs_z"]:
                yield f"raw {number}", int(layer["raw"]), matrix(layer["n_out"])
        if layer["keep"]:
            yield f"mask {number}", int(layer["mask"]), matrix(layer["n_in"])
            if number > 0:
                yield f"input {number}", int(layer["input"]), matrix(layer["n_in"])


WIDTHS = st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65])


@settings(deadline=None, max_examples=300)
@given(
    sizes=st.lists(WIDTHS, min_size=2, max_size=5),
    panel=st.sampled_from([4, 8, 16, 32]),
    batch=st.integers(1, 200),
    parts=st.integers(1, 4),
    slots=st.integers(-1, 2),
    members=st.integers(1, 3),
    kind=st.sampled_from(["dense", "entries", "dropout"]),
    activations=st.lists(st.sampled_from([ReLU(), Sigmoid(), GELU()]), min_size=4, max_size=4),
)
def test_regions_do_not_overlap(sizes, panel, batch, parts, slots, members, kind, activations):
    entries = Entries(min(3, sizes[0]), 1.5) if kind == "entries" else None
    dropout = [0.25] * (len(sizes) - 1) if kind == "dropout" and slots >= 0 else None
    plan, length = planner.make_plan(
        sizes,
        activations[: len(sizes) - 1],
        panel=panel,
        batch=batch,
        rows_together=-(-batch // parts),
        slots=slots,
        members=members,
        itemsize=4 if panel > 8 else 8,
        dropout=dropout,
        entries=entries,
    )
    found = sorted((start, start + count, name) for name, start, count in regions(plan, panel, slots, members, entries) if count)
    assert found[0][0] >= 0
    for (_, end, name), (start, _, following_name) in pairwise(found):
        assert end <= start, f"{name} runs into {following_name}"
    assert found[-1][1] <= length
    if plan.area:  # what members have of their own comes last, one after the other
        own = min(start for start, _, name in found if name in ("partials", "samples"))
        assert own + members * plan.area <= length
        assert found[-1][1] <= own + plan.area


def test_an_overlap_would_be_seen(monkeypatch):
    take = planner.Allocator.take
    monkeypatch.setattr(planner.Allocator, "take", lambda self, count: max(0, take(self, count) - self.unit))
    with pytest.raises(AssertionError, match="runs into"):
        test_regions_do_not_overlap.hypothesis.inner_test([3, 4, 2], 16, 5, 1, 1, 1, "dense", [ReLU()] * 4)
