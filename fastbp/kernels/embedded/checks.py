"""Whether samples and targets are what a kernel may be given: what Python checks for itself.

Legend: N rows; I inputs and O outputs of the network.
"""

from fastbp.compiler import kernel
from fastbp.kernels.check import are_finite
from fastbp.kernels.embedded.records import (
    ANY,
    DONE,
    NO_SUCH_CLASS,
    NOT_FINITE,
    POSITIVE,
    PROBABILITIES,
    ROUNDING,
    SHARES,
    TOO_MANY_ROWS,
    WRONG_TARGETS,
)
from fastbp.kernels.embedded.workspaces import differentiating


@kernel
def _are_targets(handle, rows, y):
    """Whether y (N, O) is what the loss takes."""
    kind, n_out = handle.targets, handle.n_out
    lowest, highest, worst = y[0], y[0], 0.0
    for i in range(rows * n_out):
        lowest, highest = min(lowest, y[i]), max(highest, y[i])
    if kind == SHARES:
        for i in range(rows):
            total = 0.0
            for k in range(n_out):
                total += y[i * n_out + k]
            worst = max(worst, abs(total - 1.0))
    is_low = kind != ANY and (lowest < 0.0 or (kind == POSITIVE and lowest == 0.0))
    return not (is_low or (kind == PROBABILITIES and highest > 1.0) or worst > ROUNDING)


@kernel
def check(handle, rows, x, y, labels, is_labelled):
    """DONE if x (N, I) and y (N, O) or labels (N,) can be differentiated at, in one call; else what is wrong."""
    if rows > differentiating(handle).rows:
        return TOO_MANY_ROWS
    if not are_finite(x, rows * handle.n_in):
        return NOT_FINITE
    if is_labelled == 1:
        outside = 0
        for i in range(rows):
            outside |= labels[i] | (handle.n_out - 1 - labels[i])  # negative if either is
        return DONE if outside >= 0 else NO_SUCH_CLASS
    if not are_finite(y, rows * handle.n_out):
        return NOT_FINITE
    return DONE if _are_targets(handle, rows, y) else WRONG_TARGETS
