"""Networks inside compiled code: functions of `numba.njit`, C function pointers.

A `fastbp.Network` and a `fastbp.Trainer` are values that Numba understands. In a compiled function, with or without the GIL, in a
`prange` and in a function that is cached:

``net(x)``
    Outputs, a new array, for a row x (n_inputs,) or a matrix (n, n_inputs).
``net.predict_into(x, out)``
    The same into `out`; as all that follow, without an allocation.
``net.value_and_grad_into(x, y, grad)``
    The mean loss; `grad` (n_params,), like `net.params`, is its gradient.
``net.input_gradient_into(x, out)``
    dy/dx, `out` like x, of a network with one output.
``net.jacobian_into(x, out)``, ``net.vjp_into(x, v, out)``, ``net.jvp_into(x, v, out)``
    What `Network.jacobian`, `Network.vjp` and `Network.jvp` give.
``trainer.step(x, y)``
    One mini-batch: the loss before it.

Arrays are C-contiguous, of the network's dtype; y is as in Python, for class numbers int64, or one integer for a row. Wrong types
are errors when the function is compiled, wrong shapes and what is not finite a ValueError; then nothing is computed. The results
have the bits of those in Python: the kernels are the same.

Parameters that are set in Python are seen by the next call. A network that is an argument lives as long as the call; one that is
a global of the function, which Numba makes a constant, as long as the process.
"""

from fastbp.embed import methods as methods
from fastbp.embed.functions import CFunction as CFunction
from fastbp.embed.handles import prepare as prepare
from fastbp.embed.kinds import kind_of_network as kind_of_network
