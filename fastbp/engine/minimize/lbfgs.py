"""L-BFGS, by SciPy, which asks the kernels for the loss of all samples and its gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine.minimize.objective import Problem
from fastbp.minimizers import LBFGS


def minimize_lbfgs(objective: Problem, after: Callable[[Any], None] | None, **options: Any) -> Any:
    """SciPy's result, from the network's present parameters; which of all those tried it has then, is not said.

    Parameters
    ----------
    objective : Problem
    after : callable, optional
        Called after each iteration with the parameters `x` and the loss `fun` as attributes of one argument; to raise StopIteration
        ends the search.
    **options
        Of SciPy's method "L-BFGS-B".
    """
    from scipy.optimize import minimize

    # the name of the argument asks SciPy for more than the parameters
    callback = None if after is None else lambda intermediate_result: after(intermediate_result)
    start = objective.net._vector.astype(np.float64)
    return minimize(objective, start, method="L-BFGS-B", jac=True, callback=callback, options=options)


def search(objective: Problem, settings: LBFGS, epochs: int, after: Callable[[float, Any], bool]) -> str | None:
    """Iterations of L-BFGS, which begins anew where a callback writes; see `fastbp.engine.minimize.run`."""
    net, latest = objective.net, objective.net._vector.copy()
    n_done, goes_on, options = 0, True, {"maxcor": settings.memory, "gtol": settings.gradient_tol, "ftol": settings.loss_tol}

    def take(step: Any) -> None:
        nonlocal n_done, goes_on
        net._vector[:] = latest[:] = step.x
        n_done, is_over = n_done + 1, after(float(step.fun), objective.gradient)
        is_written = not np.array_equal(net._vector, latest)
        latest[:] = net._vector
        if is_over or is_written:
            goes_on = is_written and not is_over
            raise StopIteration

    try:
        while goes_on and n_done < epochs:
            goes_on = False
            result = minimize_lbfgs(objective, take, maxiter=epochs - n_done, maxfun=np.iinfo(np.int32).max, **options)
            net._vector[:] = latest
            if result.status in (0, 2):  # 2: no step lowers the loss
                return "converged"
    finally:
        net._vector[:] = latest
    return None
