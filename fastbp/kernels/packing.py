"""Moving matrices between the user's rows, the panels of the products, and lanes over samples.

Legend: see :mod:`fastbp.kernels.products.gemm`. A lane block is (n, W): W samples side by side, one row a feature or output.
"""

from fastbp.compiler import inline, kernel
from fastbp.kernels.products.gemm import count_panels, panel_width
from fastbp.kernels.samples import numbers_of
from fastbp.kernels.tuning import AHEAD, CONVERTED, CONVERTED_AHEAD, GATHERED
from fastbp.simd.kinds import load_as, load_first_as, prefetch_as
from fastbp.simd.register import like, load, load_first, prefetch, store, width
from fastbp.simd.tile import tile_store
from fastbp.simd.transpose import column_load, column_store, square_load_transposed


@inline
def transpose_square(source, source_stride, target, target_stride):
    """target (W, W) = source (W, W)^T, rows so many numbers apart."""
    tile_store(square_load_transposed(source, source_stride), target, target_stride)


@inline
def fill(target, count, value):
    """Write `value` to `count` numbers, a multiple of W."""
    constant = like(load(target, 0), value)
    for i in range(0, count, width(target)):
        store(target, i, constant)


@kernel
def clear_past(x, rows, columns):
    """Write 0 to the columns from `columns` on of `rows` rows of a panel, whatever is in them."""
    panel, lanes = panel_width(x), width(x)
    for i in range(0, rows * panel, panel):
        store(x, i, load_first(x + i, columns))
        store(x, i + lanes, load_first(x + i + lanes, columns - lanes))


@inline
def copy(source, target, count):
    """Copy `count` numbers, of which the last few one by one."""
    whole = count - count % width(source)
    for i in range(0, whole, width(source)):
        store(target, i, load(source, i))
    for i in range(whole, count):
        target[i] = source[i]


@kernel
def pack_weights(w, b, packed, n_in, n_out, first, last):
    """Panels [first, last) of packed (I + 1, O) from w (O, I) row-major and b (O,); columns past O are zero."""
    panel, lanes, zero = panel_width(packed), width(packed), w[0] * 0
    for p in range(first, last):
        target = packed + p * (n_in + 1) * panel
        for column in range(0, panel, lanes):
            o = p * panel + column
            whole = n_in - n_in % lanes if o + lanes <= n_out else 0
            for i in range(0, whole, lanes):
                transpose_square(w + o * n_in + i, n_in, target + i * panel + column, panel)
            for i in range(whole, n_in):
                for j in range(lanes):
                    target[i * panel + column + j] = w[(o + j) * n_in + i] if o + j < n_out else zero
            for j in range(lanes):
                target[n_in * panel + column + j] = b[o + j] if o + j < n_out else zero


@kernel
def unpack_weights(packed, w, b, n_in, n_out):
    """w (O, I) and b (O,) from packed (I + 1, O)."""
    panel, lanes = panel_width(packed), width(packed)
    for o in range(0, n_out, lanes):
        source = packed + o // panel * (n_in + 1) * panel + o % panel
        whole = n_in - n_in % lanes if o + lanes <= n_out else 0
        for i in range(0, whole, lanes):
            transpose_square(source + i * panel, panel, w + o * n_in + i, n_in)
        for j in range(min(lanes, n_out - o)):
            for i in range(whole, n_in):
                w[(o + j) * n_in + i] = source[i * panel + j]
            b[o + j] = source[n_in * panel + j]


@inline
def transposed_stride(n_out, pointer):
    """Numbers from one panel of transposed weights to the next: room for whole squares."""
    lanes = width(pointer)
    return (n_out + lanes - 1) // lanes * lanes * panel_width(pointer)


@kernel
def transpose_weights(packed, transposed, n_in, n_out, first, last):
    """Panels [first, last) of transposed (O, I) from packed (I + 1, O), the bias left out and columns past I zero."""
    panel, lanes, zero = panel_width(packed), width(packed), packed[0] * 0
    for p in range(first, last):
        target = transposed + p * transposed_stride(n_out, packed)
        for o in range(0, n_out, lanes):
            source = packed + o // panel * (n_in + 1) * panel + o % panel
            for column in range(0, panel, lanes):
                i = p * panel + column
                if i + lanes <= n_in:
                    transpose_square(source + i * panel, panel, target + o * panel + column, panel)
                else:
                    for j in range(min(lanes, n_out - o)):
                        for k in range(lanes):
                            target[(o + j) * panel + column + k] = source[(i + k) * panel + j] if i + k < n_in else zero


def _gathering(asked_for, ask, load_whole, load_rest):
    @kernel
    def gather(x, row_length, order, first, last, panels, panel_stride):
        """Rows order[first:last] of x (N, row_length) into rows first.. of panels, columns past the row zero."""
        panel, lanes = panel_width(panels), width(panels)
        step, most = asked_for(panel)
        for b in range(first, last, GATHERED):
            end = min(b + GATHERED, last)
            for sample in range(end, min(end + GATHERED, last)):
                for i in range(0, min(row_length, most), step):
                    ask(x, order[sample] * row_length + i)
            for p in range(count_panels(row_length, panels)):
                part, left = p * panel, row_length - p * panel
                target = panels + p * panel_stride + b * panel
                for sample in range(b, end):
                    source = part + order[sample] * row_length
                    if left >= panel:
                        store(target, 0, load_whole(x, source))
                        store(target, lanes, load_whole(x, source + lanes))
                    else:
                        store(target, 0, load_rest(x, source, left))
                        store(target, lanes, load_rest(x, source + lanes, left - lanes))
                    target = target + panel

    return gather


gather_as_they_are = _gathering(
    inline(lambda panel: (panel, AHEAD * panel)),
    inline(lambda x, i: prefetch(x, i)),
    inline(lambda x, i: load(x, i)),
    inline(lambda x, i, count: load_first(x + i, count)),
)
gather_converted = _gathering(
    inline(lambda panel: (CONVERTED, CONVERTED_AHEAD)),
    inline(lambda numbers, i: prefetch_as(numbers.x, numbers.kind, i)),
    inline(lambda numbers, i: load_as(numbers.x, numbers.kind, i) * numbers.scale),
    inline(lambda numbers, i, count: load_first_as(numbers.x, numbers.kind, i, count) * numbers.scale),
)


@kernel
def gather_rows(plan, reals, data, order, first, last, panels):
    """Samples order[first:last] into rows first.. of panels, as they are or converted."""
    n_in, stride = plan.layers[0].n_in, plan.panel_stride
    if plan.conversion == 0:
        gather_as_they_are(data.x, n_in, order, first, last, panels, stride)
    else:
        gather_converted(numbers_of(plan, reals, data), n_in, order, first, last, panels, stride)


@kernel
def to_lanes(panels, panel_stride, first, count, block):
    """The lane block (count, W) of the W samples from row `first` on."""
    panel, lanes = panel_width(panels), width(panels)
    if count == 1:
        # a square would be all zeros but for one of its columns
        store(block, 0, column_load(panels + first * panel, panel))
        return
    for k in range(0, count, lanes):
        source = panels + k // panel * panel_stride + first * panel + k % panel
        transpose_square(source, panel, block + k * lanes, lanes)


@kernel
def from_lanes(block, count, panels, panel_stride, first):
    """Write a lane block (count, W) as the W rows from `first` on; rows of the block from `count` on must be zero."""
    panel, lanes = panel_width(panels), width(panels)
    if count == 1:
        fill(panels + first * panel, lanes * panel, 0.0)
        column_store(load(block, 0), panels + first * panel, panel)
        return
    for k in range(0, count_panels(count, panels) * panel, lanes):
        target = panels + k // panel * panel_stride + first * panel + k % panel
        transpose_square(block + k * lanes, lanes, target, panel)


@kernel
def rows_from_panels(panels, panel_stride, numbers, rows, columns, out):
    """Rows `numbers` (rows,) of out (N, columns), row-major, from panels."""
    panel = panel_width(panels)
    for p in range(count_panels(columns, panels)):
        for b in range(rows):
            copy(panels + p * panel_stride + b * panel, out + numbers[b] * columns + p * panel, min(panel, columns - p * panel))
