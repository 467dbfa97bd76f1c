"""Whether the classes that a plan names by their codes are among those that an entry was compiled for.

Asked once a call, before anything is computed: a `switch` does nothing for a code that it does not know.

Legend: see :mod:`fastbp.kernels.plan`.
"""

from fastbp.activations import ACTIVATIONS
from fastbp.compiler import inline, kernel, known_codes
from fastbp.kernels.plan import NO_RULE, SOFTMAX, UNKNOWN_CODE
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS

_activations, _losses, _rules = known_codes(ACTIVATIONS), known_codes(LOSSES), known_codes(OPTIMIZERS)


@inline
def _is_below(code, count):
    return code >= 0 and code < count


@kernel
def codes_are_known(plan):
    """Whether all codes of a plan are known; if not, STATUS tells."""
    are_known = _is_below(plan.loss, _losses())
    are_known &= plan.rule == NO_RULE or _is_below(plan.rule, _rules())
    are_known &= plan.output == SOFTMAX or _is_below(plan.output, _activations())
    for number in range(plan.n_layers):
        are_known &= _is_below(plan.layers[number].code, _activations())
    if not are_known:
        plan.status = UNKNOWN_CODE
    return are_known
