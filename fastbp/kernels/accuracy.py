"""How many predictions of classes are right.

Legend: N samples; O outputs of the network, one for each class.
"""

from numba import types

from fastbp.compiler import entry
from fastbp.simd.register import pointer


def _outputs_and_labels(dtype):
    outputs, labels = (types.Array(each, 1, "C", readonly=True) for each in (dtype, types.int64))
    return types.int64(outputs, labels)


@entry(_outputs_and_labels)
def count_right(outputs, labels):
    """Samples whose highest output (N, O), the first of them if there are several, is that of their class (N,)."""
    row, label, n_out, count = pointer(outputs), pointer(labels), outputs.size // labels.size, 0
    for j in range(labels.size):
        own = row[label[j]]
        above = 0
        for k in range(label[j]):
            above += row[k] >= own
        for k in range(label[j] + 1, n_out):
            above += row[k] > own
        count += above == 0
        row = row + n_out
    return count
