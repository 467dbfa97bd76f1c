"""Minimisers: what `fit` may be told, in the place of an update rule, to take all samples at once and look at the curvature.

They are settings; what they do is in :mod:`fastbp.engine.minimize`. Each epoch is an iteration: a step that lowers the loss. Their
names are solvers of the estimators, too: "lm", for small networks, and "gauss-newton-cg" of `MLPRegressor` with its squared error,
in double precision by default; they stop where no component of the gradient is more than `tol`, with ``tol=0`` at the end.
"""

from typing import Any

from fastbp.arguments import integer, positive, real
from fastbp.compiler import Described, Registry
from fastbp.optimizers import OPTIMIZERS

__all__ = ["LBFGS", "GaussNewtonCG", "LevenbergMarquardt"]

MINIMIZERS = Registry("optimizer")
MOST_DAMPING = 1e16  # a step that is so short is lost in rounding


class Minimizer(Described):
    """Base of the minimisers.

    Attributes
    ----------
    needs_squares : bool
        Whether the loss must be a sum of squares.
    """

    registry = MINIMIZERS
    needs_squares = False


class _Damped(Minimizer):
    needs_squares = True

    def __init__(self, damping: float = 1e-3):
        self.damping = positive("damping", damping, below=MOST_DAMPING)


@MINIMIZERS.register
class LevenbergMarquardt(_Damped):
    """w <- w - (J^T J + mu d I)^-1 g, d the largest element of the diagonal of J^T J so far, mu by Nielsen's rule.

    With r the gain of the loss by what the quadratic model promised, a step of r > 0 is taken, and mu multiplied by
    max(1/3, 1 - (2 r - 1)^3); without, mu is multiplied by 2, then 4, 8 and so on, until there is one (Nielsen, 1999; Madsen,
    Nielsen and Tingleff, "Methods for non-linear least squares problems", 2nd ed., 2004, algorithm 3.16). J^T J is that of the mean
    loss, L2 penalty included; J is never stored. To damp each parameter by its own element of the diagonal, as Marquardt (1963) and
    Moré (1978) do, takes more iterations here: parameters that little depends on go too far.

    Parameters
    ----------
    damping : float, default 1e-3
        The first mu.
    acceleration : float, default 0.75
        Add half of the geodesic acceleration a to a step h where 2 |a| is at most so much of |h| (Transtrum and Sethna, 2012);
        0: never. With it 337 parameters and 1000 samples of the sin product take a quarter to two fifths of the iterations, each
        an eighth longer.
    """

    name = "lm"

    def __init__(self, damping: float = 1e-3, acceleration: float = 0.75):
        super().__init__(damping)
        self.acceleration = real("acceleration", acceleration)


@MINIMIZERS.register
class GaussNewtonCG(_Damped):
    """w <- w - (J^T J + mu I)^-1 g by conjugate gradients, from products J^T (J v) alone (Schraudolph, 2002; Martens, 2010).

    Steps are taken or not, and mu changed, as by `LevenbergMarquardt`. Memory is that of a few gradients, for networks of any size.

    Parameters
    ----------
    damping : float, default 1e-3
        The first mu, divided by the curvature along the first gradient.
    rtol : float, default 0.01
        Of each step: the residual by the gradient at which conjugate gradients stop.
    cg_iterations : int, default 100
        Products for a step, at most.
    """

    name = "gauss-newton-cg"

    def __init__(self, damping: float = 1e-3, rtol: float = 0.01, cg_iterations: int = 100):
        super().__init__(damping)
        self.rtol = real("rtol", rtol, below=1.0)
        self.cg_iterations = integer("cg_iterations", cg_iterations)


@MINIMIZERS.register
class LBFGS(Minimizer):
    """SciPy's L-BFGS-B: quasi-Newton steps from the last ten changes of the gradient (Byrd, Lu, Nocedal and Zhu, 1995).

    Parameters
    ----------
    memory : int, default 10
        Changes that are kept.
    gradient_tol : float, default 1e-5
        The largest component of the gradient at which to stop.
    loss_tol : float, default 2.2e-9
        Stop when a step lowers the loss by less than this part of it.
    """

    name = "lbfgs"

    def __init__(self, memory: int = 10, gradient_tol: float = 1e-5, loss_tol: float = 2.2e-9):
        self.memory = integer("memory", memory)
        self.gradient_tol = real("gradient_tol", gradient_tol)
        self.loss_tol = real("loss_tol", loss_tol)


def is_one(value: Any) -> bool:
    """Whether a name, class or instance means a minimiser."""
    if isinstance(value, str):
        return value in MINIMIZERS.names
    return issubclass(value if isinstance(value, type) else type(value), Minimizer)


def require_known(name: str) -> None:
    """Raise for a name of neither a minimiser nor an update rule."""
    names = [*OPTIMIZERS.names, *MINIMIZERS.names]
    if name not in names:
        raise ValueError(f"optimizer {name!r} is not known; choose from {', '.join(names)}")


def get(value: Any) -> Minimizer:
    """The minimiser meant by a name, class or instance; see `Registry.get`."""
    found: Minimizer = MINIMIZERS.get(value)
    return found
